//! Content hashes: of bytes, of files, and of anything that serializes to JSON.

use serde::Serialize;
use sha2::{Digest, Sha256};
use std::io::{self, Read};
use std::path::Path;

/// sha256 of bytes in hex.
pub fn of_bytes(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

/// sha256 of a value's JSON in hex. Types that are hashed keep their fields in a fixed order.
pub fn of_value(value: &impl Serialize) -> String {
    // Serializing plain data to memory cannot fail; a map with keys that are no strings would be a bug here.
    of_bytes(&serde_json::to_vec(value).expect("plain data serializes"))
}

/// Bytes that are read at a time: they are still in the second-level cache when they are hashed.
const PORTION: usize = 256 << 10;

/// sha256 of a file in hex; `advance` hears the bytes read.
///
/// # Errors
/// The file cannot be read.
pub fn of_file(path: &Path, mut advance: impl FnMut(u64)) -> io::Result<String> {
    of_file_while(path, |n| {
        advance(n);
        Ok(())
    })
}

/// As [`of_file`], until `advance` fails.
///
/// # Errors
/// The file cannot be read, or what `advance` said.
pub fn of_file_while(path: &Path, mut advance: impl FnMut(u64) -> io::Result<()>) -> io::Result<String> {
    let mut file = std::fs::File::open(path)?;
    let mut hash = Sha256::new();
    let mut buffer = vec![0; PORTION];
    loop {
        let n = file.read(&mut buffer)?;
        if n == 0 {
            return Ok(hex(&hash.finalize()));
        }
        hash.update(&buffer[..n]);
        advance(n as u64)?;
    }
}

/// Bytes as lower-case hex.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A name that has not been used before: eight hex digits from the clock, the process and a counter.
pub fn fresh_name() -> String {
    use std::sync::atomic::{AtomicU64, Ordering};
    static COUNTER: AtomicU64 = AtomicU64::new(0);
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).map_or(0, |d| d.as_nanos());
    let count = COUNTER.fetch_add(1, Ordering::Relaxed);
    of_bytes(format!("{now} {} {count}", std::process::id()).as_bytes())[..8].to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Dir;

    #[test]
    fn known_digest() {
        assert_eq!(of_bytes(b"abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    }

    #[test]
    fn a_file_has_the_digest_of_its_bytes_and_reading_it_can_be_stopped() {
        let dir = Dir::new();
        let path = dir.join("file");
        let bytes: Vec<u8> = (0..2 * PORTION + 7).map(|i| (i % 251) as u8).collect();
        std::fs::write(&path, &bytes).unwrap();
        let mut read = 0;
        assert_eq!(of_file(&path, |n| read += n).unwrap(), of_bytes(&bytes));
        assert_eq!(read, bytes.len() as u64);
        let stopped = of_file_while(&path, |_| Err(io::Error::other("enough"))).unwrap_err();
        assert_eq!(stopped.to_string(), "enough");
    }

    #[test]
    fn fresh_names_differ() {
        assert_ne!(fresh_name(), fresh_name());
    }
}
