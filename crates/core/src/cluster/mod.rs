//! Many machines: the groups of cases of a sweep as tasks of a Slurm cluster.
//!
//! `slurm` asks the cluster (submit, look, cancel, list nodes), `script` writes what it runs, `state` reads what it says of a
//! task, `follow` keeps track of all tasks until they are over and submits again what the cluster lost, `array` remembers
//! what was submitted. Commands go through a [`Shell`], so that all of this is tested with recorded answers.
//!
//! What a task measures is its caller's: it gives a command line, in which the shell variable `TOKOMETER_TASK` is the number
//! of the task. Which cases were measured is told by the sweep's journal, not by Slurm.

mod array;
mod follow;
mod script;
mod shell;
mod slurm;
mod state;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;

pub use array::{Array, ranges, remember, remembered};
pub use follow::{Change, Counts, Follower, Task};
pub use script::{TASK, sbatch, script};
pub use shell::{Said, Shell, System};
pub use slurm::{Node, Slurm};
pub use state::{Failure, FailureKind, Seen, TaskState};

use std::io;
use std::path::PathBuf;

/// Why the cluster could not be asked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Not a machine of a cluster.
    #[error(
        "`{program}` is not on PATH: run this on a login node of the cluster, or load the module that brings Slurm's commands"
    )]
    Missing {
        /// The program.
        program: String,
    },
    /// A command could not be started.
    #[error("cannot start `{program}`: {cause}")]
    Start {
        /// The program.
        program: String,
        /// What the system said.
        cause: io::Error,
    },
    /// The cluster said no.
    #[error("the cluster refused to {what}: {said}; {hint}")]
    Refused {
        /// What was asked for.
        what: String,
        /// What it said.
        said: String,
        /// What to do.
        hint: &'static str,
    },
    /// An answer that makes no sense.
    #[error("`{program}` answered {answer:?}, which is not known; is it Slurm's?")]
    Answer {
        /// The program.
        program: String,
        /// Its answer, or the line of it.
        answer: String,
    },
    /// There is nothing to run on.
    #[error("no node of the cluster can be used: {why}; `sinfo -N -l` shows all, [sweep.slurm] says which are wanted")]
    NoNodes {
        /// What there is.
        why: String,
    },
    /// A file of the sweep's folder.
    #[error("cannot {what} {path}: {cause}; the folder must be one that all nodes see")]
    File {
        /// Read or write.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// What the system said.
        cause: io::Error,
    },
}

/// What this module returns.
pub type Result<T> = std::result::Result<T, Error>;
