//! What can go wrong, each with what was being done and what to do next.

use std::path::{Path, PathBuf};

/// Why an evaluation did not come about.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A task set cannot be used.
    #[error("the task set {name} cannot be used: {why}")]
    Task {
        /// Its name or file.
        name: String,
        /// What is wrong, with the line where there is one.
        why: String,
    },
    /// A name that means nothing.
    #[error("{0}")]
    Unknown(String),
    /// The server did not start, ended, or answered with an error.
    #[error("{0}")]
    Endpoint(String),
    /// `vf-eval` or `lm_eval` is missing or failed.
    #[error("{0}")]
    Tool(String),
    /// A file cannot be read or written.
    #[error("cannot {doing} {}: {source}", path.display())]
    File {
        /// `read`, `write`, ...
        doing: &'static str,
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A file holds something else than it should.
    #[error("{} is not {what}: {why}", path.display())]
    Form {
        /// The file.
        path: PathBuf,
        /// What it should be.
        what: &'static str,
        /// What was found instead.
        why: String,
    },
    /// Another evaluation of the same case is at work.
    #[error("{} is being written by another evaluation of the same case; wait for it or stop it", .0.display())]
    Busy(PathBuf),
}

/// What this crate returns.
pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    /// For `map_err` of file operations.
    pub fn file(doing: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> Error {
        let path = path.to_path_buf();
        move |source| Error::File { doing, path, source }
    }
}
