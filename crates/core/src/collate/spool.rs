//! Rows that wait for their turn: in memory as long as they are few, in a nameless file from then on. A raw log grows about
//! tenfold on its way to rows, so a long one must not stand in memory.

use std::fs::{self, File};
use std::io::{self, Seek, Write};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

/// Bytes of rows that stay in memory.
const IN_MEMORY: usize = 8 << 20;

/// Rows of one log and one engine.
#[derive(Debug, Default)]
pub(super) struct Spool {
    /// What was moved out of memory, and its length.
    file: Option<(File, u64)>,
    /// What follows it.
    text: Vec<u8>,
    /// How many rows both hold.
    pub rows: u64,
}

impl Spool {
    /// Where rows are appended; [`Spool::settle`] follows.
    pub fn text(&mut self) -> &mut Vec<u8> {
        &mut self.text
    }

    /// Moves the rows into a file in `dir` once they are many.
    ///
    /// # Errors
    /// The file's: no space, no permission.
    pub fn settle(&mut self, dir: &Path) -> io::Result<()> {
        self.settle_beyond(IN_MEMORY, dir)
    }

    fn settle_beyond(&mut self, limit: usize, dir: &Path) -> io::Result<()> {
        if self.text.len() <= limit {
            return Ok(());
        }
        let (file, length) = match &mut self.file {
            Some(file) => file,
            None => self.file.insert((nameless(dir)?, 0)),
        };
        file.write_all(&self.text)?;
        *length += self.text.len() as u64;
        self.text.clear();
        Ok(())
    }

    /// Writes everything to `out`, in order, and returns the number of bytes.
    ///
    /// # Errors
    /// Those of reading the file or of `out`.
    pub fn pour(&mut self, out: &mut impl Write) -> io::Result<u64> {
        let mut poured = self.text.len() as u64;
        if let Some((file, length)) = &mut self.file {
            file.rewind()?;
            let copied = io::copy(file, out)?;
            if copied != *length {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            poured += copied;
        }
        out.write_all(&self.text)?;
        Ok(poured)
    }
}

/// A file that is gone when it is closed, whatever happens to this process.
fn nameless(dir: &Path) -> io::Result<File> {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    let path = dir.join(format!(".spool-{}-{number}{}", std::process::id(), super::output::TEMPORARY));
    let file = File::options().read(true).write(true).create_new(true).open(&path)?;
    fs::remove_file(&path)?;
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::testing::Dir;

    #[test]
    fn rows_come_out_as_they_went_in_wherever_they_waited() {
        let dir = Dir::new();
        for limit in [0, 3, 5, 100] {
            let mut spool = Spool::default();
            for part in ["one\n", "two\n", "three\n", "4\n"] {
                spool.text().extend_from_slice(part.as_bytes());
                spool.settle_beyond(limit, dir.path()).unwrap();
            }
            assert_eq!(spool.file.is_some(), limit < 100);
            let mut out = Vec::new();
            assert_eq!(spool.pour(&mut out).unwrap(), 16);
            assert_eq!(out, b"one\ntwo\nthree\n4\n", "limit {limit}");
        }
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
    }
}
