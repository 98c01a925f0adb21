//! The header of one of our own raw logs, and nothing else of it: a folder of ten thousand logs is looked through in no time.

use super::header;
use super::tokometer::{KEY, unescape};
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;

/// The longest header that is read, bytes.
const LONGEST: u64 = 64 << 10;

/// The `key: value` pairs of the log at `path`; `None` if it is another tool's.
///
/// # Errors
/// The file cannot be read.
pub fn head(path: &Path) -> io::Result<Option<BTreeMap<String, String>>> {
    let pairs = pairs(path)?;
    Ok(pairs.contains_key(KEY).then_some(pairs))
}

/// The `key: value` pairs that the log at `path` begins with, whoever wrote it; most other tools' logs have none.
///
/// # Errors
/// The file cannot be read.
pub(super) fn pairs(path: &Path) -> io::Result<BTreeMap<String, String>> {
    let mut lines = BufReader::with_capacity(4096, File::open(path)?.take(LONGEST)).split(b'\n');
    let mut pairs = BTreeMap::new();
    while let Some(line) = lines.next().transpose()?.filter(|line| !line.is_empty()) {
        let text = String::from_utf8_lossy(&line);
        match header::pair(&text) {
            Some((key, value)) => pairs.entry(key.to_owned()).or_insert_with(|| unescape(value)),
            None => break,
        };
    }
    Ok(pairs)
}
