//! A file of distributions as workers write it: rows of log-probabilities, little-endian f32.

use super::{Error, Result, io_error};
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

/// Bytes of a log-probability.
pub(super) const VALUE: u64 = 4;

/// An open file, read row by row from any thread.
pub(super) struct Rows {
    file: File,
    path: PathBuf,
    vocab: usize,
}

impl Rows {
    /// Opens a file that must hold `rows` rows of `vocab` values; `engine` is who wrote it.
    pub fn open(path: &Path, rows: usize, vocab: u32, engine: &str) -> Result<Rows> {
        let file = File::open(path).map_err(io_error("open the log-probabilities", path))?;
        let found = file.metadata().map_err(io_error("measure the log-probabilities", path))?.len();
        let wanted = rows as u64 * u64::from(vocab) * VALUE;
        if found != wanted {
            return Err(Error::Shape {
                engine: engine.to_owned(),
                found: format!("{found} bytes of log-probabilities"),
                wanted: format!("{wanted} bytes ({rows} positions of {vocab} tokens)"),
            });
        }
        Ok(Rows { file, path: path.to_owned(), vocab: vocab as usize })
    }

    /// Reads one row into `values`; `bytes` is room that is used again.
    pub fn read(&self, row: usize, bytes: &mut Vec<u8>, values: &mut Vec<f32>) -> Result<()> {
        let length = self.vocab * VALUE as usize;
        bytes.resize(length, 0);
        self.file
            .read_exact_at(bytes, (row * length) as u64)
            .map_err(io_error("read the log-probabilities", &self.path))?;
        values.clear();
        values.extend(bytes.chunks_exact(VALUE as usize).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])));
        Ok(())
    }
}
