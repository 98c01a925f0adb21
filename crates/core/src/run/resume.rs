//! Going on with a run that was cut off. Its logs hold whole rounds, each closed by a probe that stands in all of them; what
//! comes after the last round that all logs have is put aside, and the round is measured again.

use super::Options;
use super::case::{Running, gives_up};
use super::controller::{Measured, Rounds, Visit};
use crate::engine::{Failed, Kind};
use crate::record::{Event, LogWriter, Result, write_error as log_error};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokometer_protocol::Hello;

/// Beside the raw logs: what does not count any more, kept all the same.
pub(crate) const ASIDE: &str = "superseded";

/// The log that a run which was cut off left of one case.
#[derive(Debug, Clone)]
pub struct Earlier {
    /// The file, `{name}.partial`.
    pub log: PathBuf,
    /// Name of the run.
    pub run: String,
    /// The events, each with the number of bytes up to its end.
    events: Vec<(u64, Event)>,
}

/// What is known of a case after its last whole round.
#[derive(Debug, Default)]
pub(super) struct Replayed {
    /// Bytes of the log up to there.
    keep: u64,
    pub launches: u32,
    pub failures: Vec<String>,
    pub in_a_row: u32,
    pub given_up: bool,
    pub hello: Option<Hello>,
    visits: Vec<Visit>,
    /// Time of its part in each round.
    took: Vec<Duration>,
}

impl Earlier {
    /// Reads a log that has no closing line. What cannot be read ends it: it was being written.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn read(log: &Path) -> Result<Earlier> {
        let bytes = fs::read(log).map_err(|cause| log_error(log, cause))?;
        let run =
            crate::record::head(log).map_err(|cause| log_error(log, cause))?.and_then(|mut head| head.remove("run"));
        let mut at = bytes.windows(2).position(|two| two == b"\n\n").map_or(bytes.len(), |at| at + 2);
        let mut events = Vec::new();
        while let Some(length) = bytes[at..].iter().position(|byte| *byte == b'\n') {
            let Ok(event) = serde_json::from_slice(&bytes[at..at + length]) else { break };
            at += length + 1;
            events.push((at as u64, event));
        }
        Ok(Earlier { log: log.to_path_buf(), run: run.unwrap_or_default(), events })
    }

    /// Whole rounds that it holds.
    pub fn rounds(&self) -> u32 {
        let round = |(_, event): &(u64, Event)| match event {
            Event::Probe { round, .. } => Some(*round),
            _ => None,
        };
        self.events.iter().filter_map(round).max().unwrap_or(0)
    }

    /// The manifest of the model that was measured, as it was recorded.
    pub fn manifest(&self) -> Option<&serde_json::Value> {
        self.events.iter().find_map(|(_, event)| match event {
            Event::Plan { manifest, .. } => manifest.as_ref(),
            _ => None,
        })
    }

    /// What stands up to the probe after round `rounds`.
    fn replay(&self, rounds: u32, repetitions: u32) -> Replayed {
        let closes = |(_, event): &(u64, Event)| matches!(event, Event::Probe { round, .. } if *round == rounds);
        let last = self.events.iter().rposition(closes).map_or(0, |at| at + 1);
        let mut replayed = Replayed::default();
        for (end, event) in &self.events[..last] {
            replayed.keep = *end;
            replayed.take(event, repetitions);
        }
        replayed
    }
}

impl Replayed {
    fn visit(&mut self, round: u32, launch: u32) {
        self.visits.push(Visit { round, launch, ..Visit::default() });
        self.took.resize(round as usize, Duration::ZERO);
    }

    fn take(&mut self, event: &Event, repetitions: u32) {
        match event {
            Event::Launch { launch, round, hello, .. } => {
                self.launches = *launch;
                self.hello = Some(hello.clone());
                self.visit(*round, *launch);
            }
            Event::Visit { launch, round, .. } => self.visit(*round, *launch),
            Event::Repetition { generated, .. } => {
                let Some(visit) = self.visits.last_mut() else { return };
                visit.repetitions.extend(Measured::of(generated));
                visit.complete = visit.repetitions.len() >= repetitions as usize;
                if visit.complete {
                    self.in_a_row = 0;
                }
            }
            Event::Resources { resources, .. } => {
                let wall = Duration::from_nanos(resources.wall_ns.unwrap_or(0));
                if let Some(took) = self.took.last_mut() {
                    *took += wall;
                }
            }
            Event::Failure { launch, kind, reason } => {
                let kind = Kind::by_name(kind);
                self.launches = launch.unwrap_or(self.launches).max(self.launches);
                self.in_a_row += 1;
                self.given_up = gives_up(self.in_a_row, kind);
                self.failures.push(Failed::new(kind, reason.clone()).to_string());
            }
            _ => (),
        }
    }
}

/// Rounds that all logs hold; none if they are not of one run.
pub(super) fn common_rounds(earlier: &[Earlier]) -> u32 {
    let one_run = earlier.windows(2).all(|two| two[0].run == two[1].run);
    let one_run = one_run && earlier.first().is_some_and(|first| !first.run.is_empty());
    if one_run { earlier.iter().map(Earlier::rounds).min().unwrap_or(0) } else { 0 }
}

/// Whether there is a whole round that all of these logs hold: then [`super::resume()`] goes on after it.
pub fn can_go_on(earlier: &[Earlier]) -> bool {
    common_rounds(earlier) > 0
}

/// Cuts the logs after round `done`, keeps what was behind it, and tells cases and run what had been measured.
pub(super) fn go_on(
    earlier: &[Earlier],
    done: u32,
    options: &Options,
    cases: &mut [Running<'_>],
    so_far: &mut Rounds,
) -> Result<()> {
    so_far.done = done;
    so_far.took = vec![Duration::ZERO; done as usize];
    for ((earlier, case), rounds) in earlier.iter().zip(cases).zip(&mut so_far.cases) {
        let replayed = earlier.replay(done, options.schedule.repetitions);
        let cut = put_tail_aside(&earlier.log, replayed.keep)?;
        case.take_up(LogWriter::reopen(&earlier.log, replayed.keep)?, &replayed);
        let message = format!("goes on after round {done}; {cut} bytes of the round after it are in {ASIDE}/");
        case.journal.share(&Event::Note { launch: None, code: "resumed".into(), message })?;
        for (sum, took) in so_far.took.iter_mut().zip(&replayed.took) {
            *sum += *took;
        }
        rounds.visits = replayed.visits;
        rounds.given_up = replayed.given_up;
    }
    so_far.elapsed = so_far.took.iter().sum();
    Ok(())
}

/// Copies what stands behind the first `keep` bytes to a file of its own. Returns how much that is.
fn put_tail_aside(log: &Path, keep: u64) -> Result<u64> {
    let bytes = fs::read(log).map_err(|cause| log_error(log, cause))?;
    let tail = bytes.get(keep as usize..).unwrap_or_default();
    if !tail.is_empty() {
        let name = log.file_name().unwrap_or_default().to_string_lossy();
        let file = format!("{name}.{}.tail", crate::fingerprint::fresh_name());
        let aside = log.with_file_name(ASIDE).join(file);
        crate::disk::write_whole(&aside, tail).map_err(|cause| log_error(&aside, cause))?;
    }
    Ok(tail.len() as u64)
}

/// Whether two introductions are those of one worker.
pub(super) fn is_the_same(known: &Hello, now: &Hello) -> bool {
    (&known.engine_version, &known.worker_version, &known.build)
        == (&now.engine_version, &now.worker_version, &now.build)
}
