//! `tokometer run`: step 2.

use super::rule::{Narrow, Rule};
use super::{INTERRUPTED, OK, SOME_FAILED, Session, prepare, print_json, validity};
use crate::args::Run;
use crate::interrupt;
use crate::settings::{self, RunSettings};
use crate::terminal::{Align, Table, Terminal};
use anyhow::{Context, Result, bail};
use serde_json::json;
use std::path::Path;
use std::time::Duration;
use tokometer_core::analyze::{self, Estimate, Group};
use tokometer_core::engine::Discovery;
use tokometer_core::machine::{self, Lock, MemoryGroup, Root, Watch};
use tokometer_core::prepare::Target;
use tokometer_core::record::provenance::{self, label};
use tokometer_core::record::{self, Series};
use tokometer_core::run::{self, CaseOutcome, Hooks, Job, Options, Outcome, Stop};

/// The command.
pub fn run(session: &Session<'_>, options: &Run) -> Result<u8> {
    let (outcome, code) = measure(session, options)?;
    if options.selection.json {
        let entries = outcome.cases.iter().map(|case| json_of(case, &outcome.reason)).collect::<Result<Vec<_>>>()?;
        print_json(session.terminal, &entries)?;
    } else {
        show(session, &outcome)?;
    }
    Ok(code)
}

/// Prepares what is missing and measures all cases.
pub fn measure(session: &Session<'_>, options: &Run) -> Result<(Outcome, u8)> {
    let terminal = session.terminal;
    let settings = settings::run(options, &session.config, |text| terminal.say(text))?;
    not_taken(session, options)?;
    let _lock = exclusive(session)?;
    // Whoever held the lock may have taken it.
    not_taken(session, options)?;
    let mut failed = settings.refused.clone();
    let jobs = jobs(session, options, &settings, &mut failed);
    for reason in &failed {
        terminal.error(reason);
    }
    if jobs.is_empty() {
        bail!("nothing can be measured");
    }
    for warning in machine::check(
        Path::new("/"),
        settings.machine.logical_cpus,
        machine::busy_share(Path::new("/"), Duration::from_millis(300)),
    ) {
        terminal.warn(&warning.message);
    }
    terminal.say(&format!("measuring on {}", settings.machine.line()));
    tell_limit(terminal, &settings);
    let outcome = rounds(session, options, settings, &jobs)?;
    if outcome.interrupted {
        terminal.warn(&format!("{}; what was measured is kept", outcome.reason));
        return Ok((outcome, INTERRUPTED));
    }
    let complete = failed.is_empty() && outcome.cases.iter().all(|case| case.failures.is_empty());
    if outcome.cases.iter().all(|case| case.measured == 0) {
        let first = outcome.cases.iter().flat_map(|case| &case.failures).next().map_or("", String::as_str);
        terminal.error(&format!("every case failed; the first one: {first}"));
    }
    Ok((outcome, if complete { OK } else { SOME_FAILED }))
}

/// Refuses a label that an earlier run has: it would mean both.
fn not_taken(session: &Session<'_>, options: &Run) -> Result<()> {
    let Some(label) = &options.label else { return Ok(()) };
    let folder = session.folders.output();
    if let Some(earlier) = provenance::labelled(&folder, label)? {
        bail!(
            "--label {label} is taken: run {} of {} in {} is called so; choose another name",
            earlier.name,
            earlier.started_utc,
            folder.display()
        );
    }
    Ok(())
}

/// Measures the jobs, round after round; Ctrl-C stops it.
fn rounds(session: &Session<'_>, options: &Run, settings: RunSettings, jobs: &[Job]) -> Result<Outcome> {
    let terminal = session.terminal;
    let mut rule = Rule::new(settings.ends, Narrow::asked(&settings.ends));
    let threads = settings.cases.iter().filter_map(|case| case.settings.threads).max();
    let mut observer = Watch::new(threads.unwrap_or(settings.machine.logical_cpus), Root::default());
    let options = Options {
        output: session.folders.output(),
        schedule: settings.schedule,
        ends: settings.ends,
        resident: options.often.resident,
        machine: settings.machine,
        command: command_line(),
        timeouts: settings.timeouts,
        seed: settings.seed,
        leave_open: false,
    };
    let stop = Stop::default();
    let _listening = interrupt::listen(stop.clone(), terminal.shared_progress())?;
    let hooks = Hooks { progress: terminal.progress(), controller: &mut rule, observer: &mut observer, stop: &stop };
    Ok(run::run(jobs, &options, hooks)?)
}

/// The command line of this process, for the record.
pub fn command_line() -> Vec<String> {
    let words = std::env::args_os().skip(1).map(|word| word.to_string_lossy().into_owned());
    std::iter::once("tokometer".to_owned()).chain(words).collect()
}

/// Says how a memory limit will be kept.
fn tell_limit(terminal: &Terminal, settings: &RunSettings) {
    let Some(limit) = settings.cases.iter().find_map(|case| case.settings.memory_limit) else { return };
    let amount = format!("each worker may use {:.3} GB of memory", limit as f64 / 1e9);
    match MemoryGroup::create(Path::new("/"), limit) {
        Ok(_) => terminal.say(&format!("{amount}, kept by a control group")),
        Err(why) => terminal.warn(&format!(
            "{amount}, kept by RLIMIT_DATA, which counts what is reserved and not what is used: no control group can be made ({why})"
        )),
    }
}

/// The machine's lock: preparing disturbs a measurement as much as another measurement does.
pub fn exclusive(session: &Session<'_>) -> Result<Lock> {
    let waiting =
        |holder: &str| session.terminal.say(&format!("another measurement runs here ({holder}): waiting for it"));
    Ok(Lock::acquire(&Lock::default_path(), waiting)?)
}

/// The machine's lock where nobody has it, for what may as well be left out. `None` also where the file cannot be used, as on
/// machines where nothing is measured.
pub fn exclusive_if_idle() -> Option<Lock> {
    Lock::try_acquire(&Lock::default_path()).ok().flatten()
}

/// Cases with their models and workers; what cannot be prepared goes to `failed` and the rest goes on.
fn jobs(session: &Session<'_>, options: &Run, settings: &RunSettings, failed: &mut Vec<String>) -> Vec<Job> {
    let mut jobs = Vec::new();
    for case in &settings.cases {
        let Some(found) = settings.found.iter().find(|found| found.engine.name == case.engine) else { continue };
        let discovery = match &found.worker {
            Ok(discovery) => Discovery { memory_limit: case.settings.memory_limit, ..discovery.clone() },
            Err(_) => {
                // Once, however many of its cases there are.
                let text = found.missing().unwrap_or_default();
                if !failed.contains(&text) {
                    failed.push(text);
                }
                continue;
            }
        };
        let target = Target {
            device: case.settings.device.as_deref(),
            ctx_tokens: case.workload.ctx_tokens(),
            ubatch: case.settings.ubatch,
            options: &case.settings.options,
        };
        let names = (case.quantize.as_str(), case.native.as_str());
        match prepare::one(session, &options.selection, found, &settings.model, names, target) {
            Ok(prepared) => {
                let mut case = case.clone();
                case.native.clone_from(&prepared.manifest.native);
                jobs.push(Job {
                    case,
                    engine: found.engine,
                    discovery,
                    model_path: prepared.path,
                    manifest: prepared.manifest,
                    logical_cpus: settings.machine.logical_cpus,
                    marks: options.label.iter().map(|name| (label::KEY.to_owned(), name.clone())).collect(),
                });
            }
            Err(error) => failed.push(format!("{}: {error:#}", case.title())),
        }
    }
    jobs
}

/// The groups that the raw log of a case holds; none if nothing was measured.
pub fn groups_of(outcome: &CaseOutcome) -> Result<Vec<Group>> {
    Ok(analyze::groups(&series_of(outcome)?))
}

/// What the raw log of a case holds.
fn series_of(outcome: &CaseOutcome) -> Result<Vec<Series>> {
    let Some(log) = &outcome.log else { return Ok(Vec::new()) };
    let bytes = std::fs::read(log).with_context(|| format!("cannot read {}", log.display()))?;
    Ok(record::read_log(&bytes, log)?.series)
}

fn json_of(outcome: &CaseOutcome, reason: &str) -> Result<serde_json::Value> {
    let groups = groups_of(outcome)?;
    let samples = |figure: fn(&Group) -> &Option<Estimate>| -> Vec<f64> {
        groups.iter().filter_map(|group| figure(group).as_ref()).flat_map(|e| e.samples.clone()).collect()
    };
    Ok(json!({
        "log": outcome.log, "case": outcome.case, "hash": outcome.hash, "failures": outcome.failures,
        "launches": outcome.measured, "rounds": outcome.rounds, "resident": outcome.resident,
        "ended_by": reason,
        "decode_tok_s": samples(|g| &g.decode), "prefill_tok_s": samples(|g| &g.prefill), "ttft_ms": samples(|g| &g.ttft),
    }))
}

fn show(session: &Session<'_>, outcome: &Outcome) -> Result<()> {
    let mut table = Table::new(&[
        ("case", Align::Left),
        ("decode tok/s", Align::Right),
        ("95% interval", Align::Right),
        ("prefill tok/s", Align::Right),
        ("TTFT ms", Align::Right),
        ("launches", Align::Right),
        ("rounds", Align::Right),
        ("failed", Align::Left),
    ]);
    let mut all = Vec::new();
    for outcome in &outcome.cases {
        let series = series_of(outcome)?;
        let groups = analyze::groups(&series);
        all.extend(series);
        let measured = groups.iter().find(|group| group.decode.is_some());
        let mean = |figure: fn(&Group) -> &Option<Estimate>, digits: usize| {
            measured
                .and_then(|group| figure(group).as_ref())
                .map(|e| format!("{:.digits$}", e.mean))
                .unwrap_or_default()
        };
        let interval = measured.and_then(|group| group.decode.as_ref()?.ci);
        table.row(vec![
            outcome.case.title(),
            mean(|g| &g.decode, 2),
            interval.map(|(low, high)| format!("{low:.2} to {high:.2}")).unwrap_or_default(),
            mean(|g| &g.prefill, 1),
            mean(|g| &g.ttft, 1),
            outcome.measured.to_string(),
            // One for each launch is no news.
            if outcome.rounds == outcome.measured { String::new() } else { outcome.rounds.to_string() },
            outcome.failures.first().map(|reason| reason.chars().take(60).collect()).unwrap_or_default(),
        ]);
    }
    let terminal = session.terminal;
    validity::show(session, &analyze::validity(&all));
    table.lines(terminal.width()).iter().for_each(|line| terminal.line(line));
    let logs = outcome.cases.iter().filter(|case| case.log.is_some()).count();
    terminal.line(&format!("{} round(s): {}", outcome.rounds, outcome.reason));
    let stayed: Vec<String> = outcome.cases.iter().filter(|case| case.resident).map(|case| case.case.title()).collect();
    if !stayed.is_empty() {
        terminal.line(&format!("stayed loaded between rounds: {}", stayed.join(", ")));
    }
    terminal.line(&format!("{logs} raw log(s) in {}", session.folders.output().display()));
    Ok(())
}
