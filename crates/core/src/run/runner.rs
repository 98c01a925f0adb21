//! The loop of rounds: who is next, who stays loaded, whether it goes on.

use super::case::Running;
use super::controller::{CaseRounds, Next, Rounds};
use super::resident::Residents;
use super::rounds::{Restarts, order};
use super::visit::{Around, Place};
use super::{Earlier, Hooks, Job, Options, Outcome, resume};
use crate::engine::{Failed, Kind};
use crate::machine;
use crate::progress::{Task, Unit};
use crate::record::{Event, Result};
use std::path::Path;
use std::time::{Duration, Instant};

/// Rounds that a process serves at most, where rounds are added until intervals are narrow.
const ROUNDS_OF_A_LAUNCH: u32 = 2;

/// A run under way.
pub(super) struct Runner<'a> {
    options: &'a Options,
    hooks: Hooks<'a>,
    cases: Vec<Running<'a>>,
    so_far: Rounds,
    residents: Residents,
    restarts: Restarts,
    task: Box<dyn Task>,
    began: Instant,
    /// Time that earlier rounds took, where the run was cut off.
    before: Duration,
    /// Whether the machine was looked at before the first round that is measured.
    probed: bool,
    /// What computed last: the case, by its number, unless it was the probe.
    computed: Option<usize>,
}

/// Why a run is over.
pub(super) struct End {
    reason: String,
    interrupted: bool,
}

impl<'a> Runner<'a> {
    /// Nothing is started yet.
    pub fn new(jobs: &'a [Job], options: &'a Options, hooks: Hooks<'a>, earlier: &[Earlier]) -> Result<Runner<'a>> {
        let done = if earlier.len() == jobs.len() { resume::common_rounds(earlier) } else { 0 };
        let name = match earlier.first().filter(|_| done > 0) {
            Some(first) => first.run.clone(),
            None => crate::fingerprint::fresh_name(),
        };
        let entry = |job: &Job| CaseRounds { title: job.case.title(), hash: job.identity(), ..CaseRounds::default() };
        let mut so_far = Rounds { cases: jobs.iter().map(entry).collect(), ..Rounds::default() };
        let mut cases: Vec<Running<'a>> = jobs.iter().map(|job| Running::new(job, options, &name)).collect();
        if done > 0 {
            resume::go_on(earlier, done, options, &mut cases, &mut so_far)?;
        }
        let before = so_far.elapsed;
        // A controller that has seen enough says so before another round.
        let rounds = hooks.controller.expected_rounds();
        let passes = u64::from(options.schedule.repetitions) * jobs.len() as u64;
        let total = passes * u64::from(rounds.unwrap_or(options.schedule.launches).max(done));
        let task = hooks.progress.task("measure", Some(total), Unit::Count);
        task.advance(passes * u64::from(done));
        Ok(Runner {
            options,
            cases,
            so_far,
            residents: Residents::new(options.resident, machine::available_memory(Path::new("/"))),
            restarts: Restarts { launches: options.schedule.launches, rounds },
            task,
            hooks,
            began: Instant::now(),
            before,
            probed: false,
            computed: None,
        })
    }

    /// One round; returns the end of the run once it has come.
    pub fn round(&mut self) -> Result<Option<End>> {
        let round = self.so_far.done + 1;
        if !std::mem::replace(&mut self.probed, true) {
            self.observe()?;
        }
        let began = Instant::now();
        for (place, index) in order(self.options.seed, round, self.cases.len()).into_iter().enumerate() {
            if self.hooks.stop.asked() {
                break;
            }
            self.visit(index, Place { round, order: place as u32 + 1 })?;
        }
        if self.hooks.stop.asked() {
            let reason = format!("stopped by Ctrl-C or a signal in round {round}");
            return Ok(Some(End { reason, interrupted: true }));
        }
        self.so_far.done = round;
        self.so_far.took.push(began.elapsed());
        self.observe()?;
        self.so_far.elapsed = self.before + self.began.elapsed();
        let end = self.over().map(|reason| End { reason, interrupted: false });
        if end.is_some() {
            let event = self.hooks.observer.after_last_round(self.so_far.done);
            self.share(event)?;
        }
        Ok(end)
    }

    /// The end of a run that was cut off when all was measured and only its logs were not closed yet.
    pub fn is_over(&mut self) -> Option<End> {
        if self.so_far.done == 0 {
            return None;
        }
        self.over().map(|reason| End { reason, interrupted: false })
    }

    /// Why there is no further round, or `None` if there is one.
    fn over(&mut self) -> Option<String> {
        if self.cases.iter().all(|case| case.given_up) {
            return Some("no case can be measured any further".into());
        }
        match self.hooks.controller.after_round(&self.so_far) {
            Next::Stop { reason } => Some(reason),
            Next::Continue { expected_rounds } => {
                self.restarts.rounds = expected_rounds;
                if self.options.ends.until.is_some() {
                    // What launches differ by only averages out over launches: they must grow with the rounds.
                    let rounds = expected_rounds.unwrap_or(0).max(self.so_far.done + 1);
                    self.restarts.launches = self.options.schedule.launches.max(rounds.div_ceil(ROUNDS_OF_A_LAUNCH));
                }
                if let Some(rounds) = expected_rounds {
                    let passes = u64::from(self.options.schedule.repetitions) * self.cases.len() as u64;
                    self.task.expect(passes * u64::from(rounds.max(self.so_far.done + 1)));
                }
                None
            }
        }
    }

    /// The one place where the machine is watched between rounds: what is seen belongs to all cases.
    fn observe(&mut self) -> Result<()> {
        let event = self.hooks.observer.between_rounds(self.so_far.done);
        self.share(event)
    }

    fn share(&mut self, event: Option<Event>) -> Result<()> {
        let Some(event) = event else { return Ok(()) };
        if matches!(&event, Event::Probe { reading, .. } if reading.threads > 0) {
            self.computed = None;
        }
        self.cases.iter_mut().try_for_each(|case| case.journal.share(&event))
    }

    /// One case's part in the round.
    fn visit(&mut self, index: usize, place: Place) -> Result<()> {
        let repetitions = u64::from(self.options.schedule.repetitions);
        let progress = self.progress(place.round);
        let case = &mut self.cases[index];
        if case.given_up {
            self.task.advance(repetitions);
            return Ok(());
        }
        let cold = self.computed.replace(index) != Some(index);
        if case.live.as_ref().is_some_and(|live| self.restarts.due(live.started_in, place.round)) {
            case.leave(false);
        }
        let mut around = Around {
            options: self.options,
            observer: &mut *self.hooks.observer,
            stop: self.hooks.stop,
            task: &*self.task,
            notes: self.hooks.progress,
            progress: &progress,
            cold,
        };
        let stayed = case.live.is_some();
        let (visit, failed) = case.visit(place, &mut around)?;
        self.task.advance(repetitions.saturating_sub(visit.repetitions.len() as u64));
        let launch = visit.launch;
        self.so_far.cases[index].visits.push(visit);
        if let Some(failed) = failed {
            self.failed(index, launch, &failed, stayed);
        }
        self.settle(index, place.round)
    }

    /// `round 3 of 12`, with what the controller says of how far it is.
    fn progress(&self, round: u32) -> String {
        let of = match (self.hooks.controller.most_rounds(), self.restarts.rounds) {
            (Some(most), Some(expected)) if most == expected => format!(" of {most}"),
            (_, Some(expected)) => format!(" of about {}", expected.max(round)),
            (Some(most), None) => format!(" of {most} at most"),
            (None, None) => String::new(),
        };
        let status = self.hooks.controller.status().map(|status| format!(" · {status}")).unwrap_or_default();
        format!("round {round}{of}{status}")
    }

    /// Says that a launch failed, and makes room if it was for lack of memory. `stayed`: its worker had stayed loaded, and
    /// may have been killed while another one was measured.
    fn failed(&mut self, index: usize, launch: u32, failed: &Failed, stayed: bool) {
        let title = self.cases[index].job.case.title();
        self.hooks.progress.warn(&format!("{title}, launch {launch}: {failed}"));
        let loaded = self.cases.iter().filter(|case| case.live.is_some()).count();
        if failed.kind == Kind::OutOfMemory && (loaded > 0 || stayed) {
            self.cases.iter_mut().for_each(|case| case.leave(false));
            self.residents.refuse("memory ran out while others were loaded");
            // Alone it may fit.
            self.cases[index].given_up = false;
            self.hooks.progress.warn(&format!("{loaded} other model(s) were loaded: from now on none stays loaded"));
        }
        self.so_far.cases[index].given_up = self.cases[index].given_up;
    }

    /// Decides whether the worker that was just measured stays loaded.
    fn settle(&mut self, index: usize, round: u32) -> Result<()> {
        let Some(live) = &self.cases[index].live else { return Ok(()) };
        let last = self.hooks.controller.most_rounds().is_some_and(|most| round >= most);
        if last || self.hooks.stop.asked() || self.restarts.due(live.started_in, round + 1) {
            self.cases[index].leave(self.hooks.stop.is_now());
            return Ok(());
        }
        let all: Vec<_> = self.cases.iter().map(|case| (case.need, case.live.is_some())).collect();
        let verdict = self.residents.stays(&all, index);
        if let Some(news) = self.cases[index].settle(verdict)? {
            self.hooks.progress.note(&news);
        }
        Ok(())
    }

    /// Ends all workers, closes all logs.
    pub fn finish(mut self, end: End) -> Result<Outcome> {
        let now = self.hooks.stop.is_now();
        self.cases.iter_mut().for_each(|case| case.leave(now));
        let rounds = self.so_far.done;
        let so_far = &self.so_far.cases;
        let outcomes = self.cases.into_iter().zip(so_far);
        let cases = outcomes
            .map(|(case, so_far)| case.finish(so_far, end.interrupted, &end.reason))
            .collect::<Result<Vec<_>>>()?;
        let failed: usize = cases.iter().map(|case| case.failures.len()).sum();
        let failures = if failed == 0 { String::new() } else { format!(", {failed} launch(es) failed") };
        self.task.finish(&format!("{} case(s), {rounds} round(s){failures}; {}", cases.len(), end.reason));
        Ok(Outcome { cases, rounds, reason: end.reason, interrupted: end.interrupted })
    }
}
