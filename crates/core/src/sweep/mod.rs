//! A sweep: the whole matrix, whatever happens on the way. The plan says what is to be measured, the raw logs what was;
//! the journal is a short cut between the two.
//!
//! `stored` keeps the plan, `journal` what became of each case, `state` says where every case stands, `logs` finds the raw
//! logs of cases and puts aside what does not count any more, `fit` and `estimate` foretell memory and time, `lanes` says
//! what can be measured at the same time and `company` who was, `origin` what a finished case was measured with, `live` tells
//! other terminals how far it is. Measuring is `run`'s business, and who prints and in which order things are done the caller's.

mod company;
pub mod estimate;
pub mod fit;
mod journal;
mod lanes;
mod live;
mod logs;
mod origin;
mod state;
mod stored;

pub use company::{Beside, Company};
pub use journal::{Entry, Finish, Journal};
pub use lanes::{Gpu, Lane, Order};
pub use live::{Best, Live, LiveLane};
pub use logs::{BLOCK_KEY, CASE_KEY, left_open, put_aside, settle};
pub use origin::Origin;
pub use state::{Standing, State, Tally};
pub use stored::Stored;

use crate::disk;
use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

/// Why a sweep's own files cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file or folder.
    #[error(
        "cannot {doing} {path}: {cause}; what was measured is in the raw logs, and `tokometer sweep --resume` goes on"
    )]
    Io {
        /// What was being done.
        doing: &'static str,
        /// With what.
        path: PathBuf,
        /// What the system said.
        cause: io::Error,
    },
    /// There is no sweep to go on with.
    #[error("there is no sweep in {folder}: `tokometer sweep` begins one")]
    None {
        /// Where it was looked for.
        folder: PathBuf,
    },
    /// A file of the sweep makes no sense.
    #[error(
        "{path} cannot be read: {reason}; remove it and begin the sweep again with its options: what is measured is found in the raw logs"
    )]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// Somebody else is at it.
    #[error("a sweep is running in {folder} already; `tokometer status` shows how far it is")]
    Running {
        /// Where.
        folder: PathBuf,
    },
}

/// What this module returns.
pub type Result<T> = std::result::Result<T, Error>;

fn io_error(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Error {
    let path = path.to_owned();
    move |cause| Error::Io { doing, path, cause }
}

/// Where a sweep keeps its things, below a working folder.
#[derive(Debug, Clone)]
pub struct Place {
    root: PathBuf,
}

impl Place {
    /// Below that working folder.
    pub fn new(root: &Path) -> Place {
        Place { root: root.to_owned() }
    }

    /// `sweep/`.
    pub fn folder(&self) -> PathBuf {
        self.root.join("sweep")
    }

    /// The plan.
    pub fn plan(&self) -> PathBuf {
        self.folder().join("plan.json")
    }

    /// The journal's files, one for each process that measured.
    pub fn journal(&self) -> PathBuf {
        self.folder().join("journal")
    }

    /// How far it is.
    pub fn live(&self) -> PathBuf {
        self.folder().join("live.json")
    }

    /// The raw logs.
    pub fn output(&self) -> PathBuf {
        self.root.join("benchmark_output")
    }

    fn lock_path(&self) -> PathBuf {
        self.folder().join("lock")
    }

    /// Takes the sweep for this process; the result must be kept.
    ///
    /// # Errors
    /// [`Error::Running`], or the file cannot be used.
    pub fn lock(&self) -> Result<File> {
        let path = self.lock_path();
        std::fs::create_dir_all(self.folder()).map_err(io_error("make the folder", &self.folder()))?;
        let open = OpenOptions::new().create(true).truncate(false).write(true).open(&path);
        let file = open.map_err(io_error("open", &path))?;
        match disk::try_lock(&file) {
            Ok(()) => Ok(file),
            Err(TryLockError::WouldBlock) => Err(Error::Running { folder: self.root.clone() }),
            Err(TryLockError::Error(cause)) => Err(io_error("lock", &path)(cause)),
        }
    }

    /// Whether a process has taken the sweep.
    pub fn is_running(&self) -> bool {
        let Ok(file) = File::open(self.lock_path()) else { return false };
        matches!(file.try_lock_shared(), Err(TryLockError::WouldBlock))
    }
}
