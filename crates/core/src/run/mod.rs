//! Step 2: measure. A run is a series of rounds; each round visits every case once, in an order shuffled from the seed, so
//! that drift hits all cases alike and comparisons are paired by round. Every case has its raw log, and what was measured
//! is in it at once.
//!
//! `runner` is the loop; `rounds` the order and the restarts; `resident` who stays loaded between rounds; `case`, `visit`
//! and `launch` one case in one round; `log` its record. Whether it goes on is told by a [`Controller`], the machine is
//! watched by an [`Observer`], a person stops it through [`Stop`]: all three are the caller's.

mod ask;
mod case;
mod controller;
mod cross_check;
mod launch;
mod log;
mod never;
mod observer;
mod prompt;
mod resident;
mod resume;
mod rounds;
mod runner;
mod stop;
mod usage;
mod visit;

pub use controller::{CaseRounds, Controller, Measured, Next, Rounds, Visit};
pub(crate) use log::versioned;
pub use never::{NEVER_STARTED, never_started};
pub use observer::{Observer, Unobserved};
pub use prompt::{Prompt, draw};
pub use resident::Residency;
pub(crate) use resume::ASIDE;
pub use resume::{Earlier, can_go_on};
pub use stop::Stop;

use crate::engine::{Discovery, Engine, Timeouts};
use crate::machine::Machine;
use crate::plan::{Case, Ends, Schedule};
use crate::prepare::Manifest;
use crate::progress::Progress;
use std::path::PathBuf;

/// A case with all that it needs to be launched.
#[derive(Debug, Clone)]
pub struct Job {
    /// The case.
    pub case: Case,
    /// Its engine.
    pub engine: &'static Engine,
    /// How to start the worker.
    pub discovery: Discovery,
    /// What the worker loads.
    pub model_path: PathBuf,
    /// What that is.
    pub manifest: Manifest,
    /// Processors of the machine, for warnings.
    pub logical_cpus: u32,
    /// Further `key: value` pairs for the header of its raw log.
    pub marks: Vec<(String, String)>,
}

impl Job {
    /// Twelve hex digits of the sha256 of everything that must be equal for two measurements to be averaged: the case
    /// without its seed, the worker and the environment that it is given.
    pub fn identity(&self) -> String {
        let case = Case { seed: 0, ..self.case.clone() };
        let environment: Vec<_> = self.discovery.environment.iter().map(|(k, v)| (k, v.to_string_lossy())).collect();
        let worker = self.discovery.program.to_string_lossy();
        crate::fingerprint::of_value(&(case, worker, environment))[..12].to_owned()
    }
}

/// How a run is done.
#[derive(Debug, Clone)]
pub struct Options {
    /// Where raw logs go.
    pub output: PathBuf,
    /// How often.
    pub schedule: Schedule,
    /// What was asked to end it, for the record; the [`Controller`] does it.
    pub ends: Ends,
    /// Whether workers stay loaded between rounds.
    pub resident: Residency,
    /// The machine.
    pub machine: Machine,
    /// The command line, for the record.
    pub command: Vec<String>,
    /// When a worker counts as hung.
    pub timeouts: Timeouts,
    /// Seed of the order of the rounds.
    pub seed: u64,
    /// Whether the logs of a run that a person stops are left open, for [`resume()`] to go on with.
    pub leave_open: bool,
}

/// Those who have a say in a run, or hear of it.
pub struct Hooks<'a> {
    /// Hears how far it is.
    pub progress: &'a dyn Progress,
    /// Says after each round whether it goes on.
    pub controller: &'a mut dyn Controller,
    /// Watches the machine.
    pub observer: &'a mut dyn Observer,
    /// Stops it before its end.
    pub stop: &'a Stop,
}

/// What became of a run.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// The cases, in the order of the jobs.
    pub cases: Vec<CaseOutcome>,
    /// Whole rounds.
    pub rounds: u32,
    /// Why it was over, in words.
    pub reason: String,
    /// Whether a person stopped it.
    pub interrupted: bool,
}

/// What became of a case.
#[derive(Debug, Clone)]
pub struct CaseOutcome {
    /// The case.
    pub case: Case,
    /// Hash of the case, its worker and its environment, as in the column `case`.
    pub hash: String,
    /// Its raw log; `None` if the run was stopped before its first visit.
    pub log: Option<PathBuf>,
    /// Launches that measured all repetitions of a round at least.
    pub measured: u32,
    /// Rounds in which all its repetitions were measured.
    pub rounds: u32,
    /// Whether its worker stayed loaded between rounds.
    pub resident: bool,
    /// Launches that failed, with reasons.
    pub failures: Vec<String>,
}

/// Runs all jobs, round after round, until the controller or a person says stop.
///
/// # Errors
/// Only the record's: the disk is full, the folder cannot be written. Failing engines are outcomes.
pub fn run<'a>(jobs: &'a [Job], options: &'a Options, hooks: Hooks<'a>) -> crate::record::Result<Outcome> {
    resume(jobs, options, hooks, &[])
}

/// Goes on with a run that was cut off, after its last whole round: `earlier` are the logs that it left, one for each job
/// and in their order. Without any it is [`run()`].
///
/// # Errors
/// Those of [`run()`].
pub fn resume<'a>(
    jobs: &'a [Job],
    options: &'a Options,
    hooks: Hooks<'a>,
    earlier: &[Earlier],
) -> crate::record::Result<Outcome> {
    let mut runner = runner::Runner::new(jobs, options, hooks, earlier)?;
    if let Some(end) = runner.is_over() {
        return runner.finish(end);
    }
    loop {
        if let Some(end) = runner.round()? {
            return runner.finish(end);
        }
    }
}
