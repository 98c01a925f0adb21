//! A case while it is being measured: its log, its worker while that is loaded, and what became of it so far.

use super::controller::CaseRounds;
use super::launch::Live;
use super::log::Journal;
use super::resident::Need;
use super::{CaseOutcome, Job, Options, Prompt, draw, resume};
use crate::engine::{Failed, Kind};
use crate::record::{Event, LogWriter, Result};
use std::path::PathBuf;
use std::rc::Rc;
use tokometer_protocol::Hello;

/// Launches of a case that fail one after the other before it is given up.
const FAILURES_IN_A_ROW: u32 = 3;

/// See the module; `visit` measures it.
pub(super) struct Running<'a> {
    pub job: &'a Job,
    pub prompt: Rc<Prompt>,
    pub journal: Journal<'a>,
    /// The worker, between its start and its end.
    pub live: Option<Live>,
    /// Starts of its worker so far, failed ones included.
    pub launches: u32,
    /// Memory that it needs while loaded, as far as known.
    pub need: Need,
    /// Whether its worker ever stayed loaded between two rounds.
    stayed: bool,
    /// What was last said about staying loaded.
    said: Option<bool>,
    failures: Vec<String>,
    /// How many launches have failed since the last that did not.
    pub in_a_row: u32,
    /// Whether trying again would only cost time.
    pub given_up: bool,
    /// What the worker said of itself before the run was cut off, until a new one was held against it.
    pub known_as: Option<Hello>,
}

impl<'a> Running<'a> {
    /// Before its first round.
    pub fn new(job: &'a Job, options: &'a Options, run: &str) -> Running<'a> {
        let prompt = Rc::new(draw(&job.case.workload, options.seed, job.manifest.prompt_ids, job.manifest.bos));
        Running {
            job,
            journal: Journal::new(job, options, Rc::clone(&prompt), run),
            prompt,
            live: None,
            launches: 0,
            need: Need::guess(job),
            stayed: false,
            said: None,
            failures: Vec::new(),
            in_a_row: 0,
            given_up: false,
            known_as: None,
        }
    }

    /// Takes up what was measured before the run was cut off.
    pub fn take_up(&mut self, writer: LogWriter, replayed: &resume::Replayed) {
        self.journal.take_up(writer);
        self.launches = replayed.launches;
        self.failures.clone_from(&replayed.failures);
        self.in_a_row = replayed.in_a_row;
        self.given_up = replayed.given_up;
        self.known_as.clone_from(&replayed.hello);
    }

    /// Ends its worker, if there is one: with a request to leave, or at once.
    pub fn leave(&mut self, at_once: bool) {
        match self.live.take() {
            Some(live) if !at_once => live.worker.shutdown(),
            other => drop(other),
        }
    }

    /// Its worker stays loaded, or leaves; recorded when that differs from before. Returns what is to be said then.
    pub fn settle(&mut self, verdict: std::result::Result<String, String>) -> Result<Option<String>> {
        let Some(launch) = self.live.as_ref().map(|live| live.launch) else { return Ok(None) };
        let (stays, why) = match verdict {
            Ok(why) => (true, why),
            Err(why) => (false, why),
        };
        self.stayed |= stays;
        let news = self.said != Some(stays);
        self.said = Some(stays);
        let (code, words) = match stays {
            true => ("resident", "stays loaded between rounds"),
            false => ("not_resident", "is loaded anew in every round"),
        };
        let message = format!("{words}: {why}");
        if news {
            let note = Event::Note { launch: Some(launch), code: code.into(), message: message.clone() };
            self.journal.append(&note)?;
        }
        if !stays {
            self.leave(false);
        }
        Ok(news.then(|| format!("{} {message}", self.job.case.title())))
    }

    /// A launch failed. Says whether there is any use in trying again.
    pub fn fail(&mut self, failed: &Failed) {
        self.in_a_row += 1;
        self.given_up = gives_up(self.in_a_row, failed.kind);
        self.failures.push(failed.to_string());
    }

    /// Closes the log with the reason why the run was over; or leaves it open, where the run is to be gone on with.
    pub fn finish(mut self, so_far: &CaseRounds, interrupted: bool, reason: &str) -> Result<CaseOutcome> {
        if interrupted && self.journal.is_left_open() {
            self.journal.sync()?;
            return Ok(self.outcome(so_far, None));
        }
        let code = if interrupted { "interrupted" } else { "ended" };
        self.journal.share(&Event::Note { launch: None, code: code.into(), message: reason.to_owned() })?;
        let status = match interrupted {
            true => "interrupted",
            false if self.failures.is_empty() => "ok",
            false => "failed",
        };
        let log = self.journal.finish(status)?;
        Ok(self.outcome(so_far, log))
    }

    fn outcome(self, so_far: &CaseRounds, log: Option<PathBuf>) -> CaseOutcome {
        let complete = || so_far.visits.iter().filter(|visit| visit.complete);
        let mut launches: Vec<u32> = complete().map(|visit| visit.launch).collect();
        launches.dedup();
        CaseOutcome {
            case: self.job.case.clone(),
            hash: so_far.hash.clone(),
            log,
            measured: launches.len() as u32,
            rounds: complete().count() as u32,
            resident: self.stayed,
            failures: self.failures,
        }
    }
}

/// Whether there is no use in a further launch after so many that failed in a row, the last one like this.
pub(super) fn gives_up(in_a_row: u32, kind: Kind) -> bool {
    in_a_row >= FAILURES_IN_A_ROW
        || matches!(kind, Kind::NotInstalled | Kind::Unsupported | Kind::Hang | Kind::OutOfMemory)
}
