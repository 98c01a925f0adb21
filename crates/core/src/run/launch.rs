//! A launch: one start of an engine's process, which may serve several rounds.

use super::Job;
use crate::engine::{Failed, Timeouts, Worker};

/// A worker that was started in some round.
pub(super) struct Live {
    /// The process.
    pub worker: Worker,
    /// Number of the launch, from 1.
    pub launch: u32,
    /// The round in which it was started.
    pub started_in: u32,
    /// The process that computes: the worker itself, or one that it started.
    pub computing: u32,
    /// Repetitions that it has measured.
    pub repetitions: u32,
    /// Highest anonymous memory seen, bytes.
    pub anon: Option<u64>,
    /// What its first repetition generated; every other one must generate the same.
    pub first_tokens: Option<Vec<u32>>,
}

impl Live {
    /// Starts the job's worker; nothing is loaded yet.
    pub fn start(job: &Job, launch: u32, round: u32, timeouts: Timeouts) -> Result<Live, Failed> {
        let worker = Worker::start(&job.discovery, timeouts)?;
        let computing = worker.pid();
        Ok(Live { worker, launch, started_in: round, computing, repetitions: 0, anon: None, first_tokens: None })
    }
}
