//! What can go wrong with a GGUF file.

use std::io;

/// A GGUF file that cannot be read, or could not be written.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The operating system refused.
    #[error("cannot read {file}: {why}. Check that it exists and is readable")]
    Io {
        /// The file as the caller named it.
        file: String,
        /// What the system said.
        why: io::Error,
    },
    /// The bytes are not what the format asks for.
    #[error("{file} is not a usable GGUF file: at byte {offset}, {what}. {way_out}")]
    Malformed {
        /// The file as the caller named it.
        file: String,
        /// Where in the file the wrong field starts.
        offset: u64,
        /// What is wrong there.
        what: String,
        /// What the user can do.
        way_out: &'static str,
    },
    /// The disk did not take the bytes.
    #[error("cannot write the GGUF file: {why}. Check the free space and the permissions of the folder")]
    Write {
        /// What the system said.
        why: io::Error,
    },
    /// The writer was given something that does not fit its own plan.
    #[error("cannot write the GGUF file: {0}")]
    Plan(String),
}

/// The result of everything in this module.
pub type Result<T> = std::result::Result<T, Error>;

/// The way out of nearly every malformed file.
pub(super) const FETCH_AGAIN: &str =
    "The file is cut or damaged: download or convert it again and compare its size and sha256";
