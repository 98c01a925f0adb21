//! One visit: a case's part in one round. Start and load the engine, unless it stayed loaded; warm up; measure. Every event
//! is in the log as soon as it is known.

use super::case::Running;
use super::controller::{Measured, Visit};
use super::launch::Live;
use super::resident::Need;
use super::usage::Usage;
use super::{Observer, Options, Stop, ask, cross_check, resume};
use crate::engine::Failed;
use crate::machine;
use crate::progress::{Progress, Task};
use crate::record::{self, Event};
use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};
use tokometer_protocol::Generated;

const ROOT: &str = "/";
/// How long the machine is listened to before a launch.
const LISTEN: Duration = Duration::from_millis(100);
/// Tokens generated in a warm-up pass.
const WARMUP_TOKENS: u32 = 16;
/// Warnings of load before the launch. Where other runs are under way it may be theirs.
const LOAD: [&str; 2] = ["high_load", "busy_gpu"];

/// Where a visit stands in the run.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place {
    /// Round, from 1; each round visits every case once.
    pub round: u32,
    /// Place in the round's shuffled order, from 1.
    pub order: u32,
}

/// What a visit needs beside its case.
pub(super) struct Around<'r> {
    pub options: &'r Options,
    pub observer: &'r mut dyn Observer,
    pub stop: &'r Stop,
    pub task: &'r dyn Task,
    pub notes: &'r dyn Progress,
    /// How far the run is, in words.
    pub progress: &'r str,
    /// Whether something else computed since its last visit: another case, or the probe.
    pub cold: bool,
}

/// Why a visit ended early.
enum Trouble {
    /// The log cannot be written: the run ends.
    Record(record::Error),
    /// The engine failed.
    Engine(Failed),
}

impl From<record::Error> for Trouble {
    fn from(error: record::Error) -> Trouble {
        Trouble::Record(error)
    }
}

impl From<Failed> for Trouble {
    fn from(failed: Failed) -> Trouble {
        Trouble::Engine(failed)
    }
}

impl Running<'_> {
    /// Measures one round of the case. Returns what was measured, and the failure if there was one; a worker that did
    /// not fail is left loaded. A worker that was killed because the run is to stop now has not failed.
    ///
    /// # Errors
    /// Only the record's: a failing engine is an event.
    pub fn visit(&mut self, place: Place, around: &mut Around<'_>) -> record::Result<(Visit, Option<Failed>)> {
        let alone = around.observer.is_alone();
        let fresh = self.live.is_none();
        // Later rounds of a launch have their conditions, as all have: these take no time of the run.
        let busy = fresh.then(|| machine::busy_share(Path::new(ROOT), LISTEN)).flatten();
        let usage = Usage::begin(self.live.as_ref().map(|live| live.computing));
        let mut visit = Visit { round: place.round, ..Visit::default() };
        let mut live = match self.arrive(place, around.options)? {
            Ok(live) => live,
            Err(failed) => {
                visit.launch = self.launches;
                return self.ended(visit, Some(failed), around.stop);
            }
        };
        visit.launch = live.launch;
        for warning in std::mem::take(&mut live.worker.warnings) {
            self.warn(live.launch, warning.code, warning.message)?;
        }
        self.warn_of_machine(&live, busy, alone, &*around.observer)?;
        let stop = around.stop;
        let watched = stop.watch(live.worker.pid());
        around.observer.launch_started(live.worker.pid());
        let result = self.measure(&mut live, fresh, &mut visit, around);
        let observed = around.observer.launch_ended(live.launch);
        drop(watched);
        let failed = match result {
            Ok(()) => None,
            Err(Trouble::Engine(failed)) => Some(failed),
            Err(Trouble::Record(error)) => return Err(error),
        };
        self.account(&live, &usage, &observed)?;
        if failed.is_none() {
            self.live = Some(live);
        }
        self.ended(visit, failed, stop)
    }

    /// The worker that stayed loaded, or a new one. The outer result is the record's, the inner one the engine's.
    fn arrive(&mut self, place: Place, options: &Options) -> record::Result<Result<Live, Failed>> {
        let Place { round, order } = place;
        if let Some(live) = self.live.take() {
            self.journal.append(&Event::Visit { launch: live.launch, round, order })?;
            return Ok(Ok(live));
        }
        self.launches += 1;
        let live = match Live::start(self.job, self.launches, round, options.timeouts) {
            Ok(live) => live,
            Err(failed) => return Ok(Err(failed)),
        };
        let hello = live.worker.hello.clone();
        let start_ns = live.worker.start_time.as_nanos() as u64;
        let launch = live.launch;
        let changed = self.known_as.take().filter(|known| !resume::is_the_same(known, &hello));
        self.journal.append(&Event::Launch { launch, round, order, hello, start_ns })?;
        if changed.is_some() {
            let message = "the engine or its worker is another version than before the run was cut off".to_owned();
            self.warn(launch, "engine_changed", message)?;
        }
        Ok(Ok(live))
    }

    /// `alone`: no other run was under way when `busy` was measured.
    fn warn_of_machine(
        &mut self,
        live: &Live,
        busy: Option<f64>,
        alone: bool,
        observer: &dyn Observer,
    ) -> record::Result<()> {
        let warnings = machine::check(Path::new(ROOT), self.job.logical_cpus, busy);
        let alone = alone && observer.is_alone();
        for warning in warnings.into_iter().filter(|warning| alone || !LOAD.contains(&warning.code)) {
            self.warn(live.launch, warning.code, warning.message)?;
        }
        Ok(())
    }

    fn warn(&mut self, launch: u32, code: &str, message: String) -> record::Result<()> {
        self.journal.append(&Event::Warning { launch: Some(launch), code: code.into(), message })
    }

    /// Load if need be, warm up, repeat.
    fn measure(
        &mut self,
        live: &mut Live,
        fresh: bool,
        visit: &mut Visit,
        around: &mut Around<'_>,
    ) -> Result<(), Trouble> {
        let schedule = around.options.schedule;
        if fresh {
            self.load(live, around)?;
            if schedule.warmup == 0 {
                let message = "without warm-up the first repetition is that of a cold engine".to_owned();
                self.warn(live.launch, "no_warmup", message)?;
            }
        }
        let warmups = match (fresh, around.cold) {
            (true, _) => schedule.warmup,
            // The caches of the processor are cold.
            (false, true) => schedule.warmup.min(1),
            (false, false) => 0,
        };
        for _ in 0..warmups {
            self.warm_up(live, around)?;
        }
        for _ in 0..schedule.repetitions {
            self.repeat(live, visit, around)?;
        }
        visit.complete = true;
        self.in_a_row = 0;
        Ok(())
    }

    fn load(&mut self, live: &mut Live, around: &Around<'_>) -> Result<(), Trouble> {
        self.detail(around, "loading");
        let loaded = ask::load(&mut live.worker, self.job, |stage| self.detail(around, stage))?;
        live.computing = loaded.pid.unwrap_or(live.computing);
        self.need = Need::of(&loaded, &live.worker.hello);
        let cold = cold_start(&loaded.details);
        self.journal.append(&Event::Load { launch: live.launch, loaded: Box::new(loaded) })?;
        if let Some(message) = cold {
            around.notes.note(&format!("{}: {message}", self.job.case.title()));
            self.journal.append(&Event::Note { launch: Some(live.launch), code: "cold_start".into(), message })?;
        }
        Ok(())
    }

    fn warm_up(&mut self, live: &mut Live, around: &Around<'_>) -> Result<(), Trouble> {
        self.detail(around, "warming up");
        let began = Instant::now();
        let tokens = self.job.case.workload.gen_tokens.min(WARMUP_TOKENS);
        let generated = ask::generate(&mut live.worker, &self.prompt, tokens)?;
        let elapsed_ns = began.elapsed().as_nanos() as u64;
        self.journal.append(&Event::Warmup { launch: live.launch, elapsed_ns, generated })?;
        Ok(())
    }

    fn repeat(&mut self, live: &mut Live, visit: &mut Visit, around: &mut Around<'_>) -> Result<(), Trouble> {
        around.observer.repetition_started();
        let generated = ask::generate(&mut live.worker, &self.prompt, self.job.case.workload.gen_tokens)?;
        let now = machine::process_memory(Path::new(ROOT), live.computing).anon;
        live.anon = live.anon.max(now);
        live.repetitions += 1;
        let (launch, round, repetition) = (live.launch, visit.round, live.repetitions);
        around.task.advance(1);
        if let Some(measured) = Measured::of(&generated) {
            self.detail(around, &format!("{:.1} tok/s", measured.decode_tok_s()));
            visit.repetitions.push(measured);
        }
        let changed = changed(&mut live.first_tokens, &generated);
        for (code, message) in cross_check::warnings(&generated, repetition) {
            self.warn(launch, &code, message)?;
        }
        let energy = around.observer.repetition_ended(launch, repetition);
        self.journal.append(&Event::Repetition { launch, round, repetition, generated })?;
        if let Some(energy) = energy {
            self.journal.append(&energy)?;
        }
        if changed {
            let message = format!(
                "repetition {repetition} generated other tokens than the first one: the engine is not deterministic"
            );
            self.warn(launch, "not_deterministic", message)?;
        }
        Ok(())
    }

    fn detail(&self, around: &Around<'_>, what: &str) {
        around.task.detail(&format!("{} · {} · {what}", around.progress, self.job.case.title()));
    }

    /// What the machine says of the visit, and what the engine printed.
    fn account(&mut self, live: &Live, usage: &Usage, observed: &[Event]) -> record::Result<()> {
        let (pid, launch) = (live.computing, live.launch);
        let mut resources = usage.until_now(pid, live.anon);
        // Of a worker that is dead /proc tells nothing any more.
        resources.peak_rss_bytes = resources.peak_rss_bytes.or(live.worker.peak_rss());
        self.need.at_least(machine::resident_memory(Path::new(ROOT), pid));
        self.journal.append(&Event::Resources { launch, resources })?;
        for event in observed {
            self.journal.append(event)?;
        }
        let (lines, dropped) = live.worker.take_output();
        if !lines.is_empty() {
            self.journal.append(&Event::Output { launch, lines, dropped })?;
        }
        Ok(())
    }

    /// Records the failure, if it is one of the engine's own, and brings all to the disk.
    fn ended(&mut self, visit: Visit, failed: Option<Failed>, stop: &Stop) -> record::Result<(Visit, Option<Failed>)> {
        let failed = failed.filter(|_| !stop.is_now());
        if let Some(failed) = &failed {
            let (kind, reason) = (failed.kind.name().into(), failed.reason.clone());
            self.journal.append(&Event::Failure { launch: Some(visit.launch), kind, reason })?;
            self.fail(failed);
        }
        self.journal.sync()?;
        Ok((visit, failed))
    }
}

/// In words, that an engine had to compile its kernels first; the time is in no figure.
fn cold_start(details: &BTreeMap<String, String>) -> Option<String> {
    let cold = details.get("jit").is_some_and(|state| state == "cold");
    let ns = details.get("jit_ns").and_then(|ns| ns.parse::<u64>().ok());
    let kernels = details.get("kernels_compiled").map(|n| format!(" {n} kernels")).unwrap_or_default();
    let took = ns.map(|ns| format!(" in {:.1} s", ns as f64 / 1e9)).unwrap_or_default();
    cold.then(|| format!("cold start: compiled{kernels}{took}, once for this machine"))
}

/// Whether a repetition generated other tokens than the first one, which is kept.
fn changed(first: &mut Option<Vec<u32>>, generated: &Generated) -> bool {
    *first.get_or_insert_with(|| generated.tokens.clone()) != generated.tokens
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cold_start_is_told_with_what_it_cost() {
        let details = |state: &str| {
            let all = [("jit", state), ("jit_ns", "2500000000"), ("kernels_compiled", "7")];
            all.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
        };
        let told = cold_start(&details("cold")).unwrap();
        assert_eq!(told, "cold start: compiled 7 kernels in 2.5 s, once for this machine");
        assert_eq!((cold_start(&details("warm")), cold_start(&BTreeMap::new())), (None, None));
    }

    #[test]
    fn an_engine_that_changes_its_mind_is_noticed() {
        let tokens = |tokens: &[u32]| Generated { tokens: tokens.to_vec(), ..Generated::default() };
        let mut first = None;
        assert!(!changed(&mut first, &tokens(&[1, 2])));
        assert!(!changed(&mut first, &tokens(&[1, 2])));
        assert!(changed(&mut first, &tokens(&[1, 3])));
    }
}
