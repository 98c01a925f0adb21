//! `tokometer run`: step 2.

use super::{OK, SOME_FAILED, Session, prepare, print_json};
use crate::args::Run;
use crate::settings::{self, RunSettings};
use crate::terminal::{Align, Table};
use anyhow::{Context, Result, bail};
use serde_json::json;
use std::path::Path;
use std::time::Duration;
use tokometer_core::analyze::{self, Estimate, Group};
use tokometer_core::machine::{self, Lock};
use tokometer_core::prepare::Target;
use tokometer_core::record;
use tokometer_core::run::{self, CaseOutcome, Job, Options};

/// The command.
pub fn run(session: &Session<'_>, options: &Run) -> Result<u8> {
    let (outcomes, code) = measure(session, options)?;
    if options.selection.json {
        let entries = outcomes.iter().map(json_of).collect::<Result<Vec<_>>>()?;
        print_json(session.terminal, &entries)?;
    } else {
        show(session, &outcomes)?;
    }
    Ok(code)
}

/// Prepares what is missing and measures all cases.
pub fn measure(session: &Session<'_>, options: &Run) -> Result<(Vec<CaseOutcome>, u8)> {
    let terminal = session.terminal;
    let settings = settings::run(options, &session.config, |text| terminal.say(text))?;
    let _lock = exclusive(session)?;
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
    let options = Options {
        output: session.folders.output(),
        schedule: settings.schedule,
        machine: settings.machine,
        command: std::iter::once("tokometer".to_owned()).chain(std::env::args().skip(1)).collect(),
        timeouts: settings.timeouts,
        seed: settings.seed,
    };
    let outcomes = run::run(&jobs, &options, terminal.progress())?;
    let complete = failed.is_empty() && outcomes.iter().all(|outcome| outcome.failures.is_empty());
    if outcomes.iter().all(|outcome| outcome.measured == 0) {
        let first = outcomes.iter().flat_map(|outcome| &outcome.failures).next().map_or("", String::as_str);
        terminal.error(&format!("every case failed; the first one: {first}"));
    }
    Ok((outcomes, if complete { OK } else { SOME_FAILED }))
}

/// The machine's lock: preparing disturbs a measurement as much as another measurement does.
pub fn exclusive(session: &Session<'_>) -> Result<Lock> {
    let waiting =
        |holder: &str| session.terminal.say(&format!("another measurement runs here ({holder}): waiting for it"));
    Ok(Lock::acquire(&Lock::default_path(), waiting)?)
}

/// Cases with their models and workers; what cannot be prepared goes to `failed` and the rest goes on.
fn jobs(session: &Session<'_>, options: &Run, settings: &RunSettings, failed: &mut Vec<String>) -> Vec<Job> {
    let mut jobs = Vec::new();
    for case in &settings.cases {
        let Some(found) = settings.found.iter().find(|found| found.engine.name == case.engine) else { continue };
        let discovery = match &found.worker {
            Ok(discovery) => discovery.clone(),
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
                });
            }
            Err(error) => failed.push(format!("{}: {error:#}", case.title())),
        }
    }
    jobs
}

/// The groups that a raw log holds.
fn groups_of(log: &Path) -> Result<Vec<Group>> {
    let bytes = std::fs::read(log).with_context(|| format!("cannot read {}", log.display()))?;
    Ok(analyze::groups(&record::read_log(&bytes, log)?.series))
}

fn json_of(outcome: &CaseOutcome) -> Result<serde_json::Value> {
    let groups = groups_of(&outcome.log)?;
    let samples = |figure: fn(&Group) -> &Option<Estimate>| -> Vec<f64> {
        groups.iter().filter_map(|group| figure(group).as_ref()).flat_map(|e| e.samples.clone()).collect()
    };
    Ok(json!({
        "log": outcome.log, "case": outcome.case, "hash": outcome.hash, "failures": outcome.failures,
        "decode_tok_s": samples(|g| &g.decode), "prefill_tok_s": samples(|g| &g.prefill), "ttft_ms": samples(|g| &g.ttft),
    }))
}

fn show(session: &Session<'_>, outcomes: &[CaseOutcome]) -> Result<()> {
    let mut table = Table::new(&[
        ("case", Align::Left),
        ("decode tok/s", Align::Right),
        ("95% interval", Align::Right),
        ("prefill tok/s", Align::Right),
        ("TTFT ms", Align::Right),
        ("launches", Align::Right),
        ("failed", Align::Left),
    ]);
    for outcome in outcomes {
        let groups = groups_of(&outcome.log)?;
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
            outcome.failures.first().map(|reason| reason.chars().take(60).collect()).unwrap_or_default(),
        ]);
    }
    let terminal = session.terminal;
    table.lines(terminal.width()).iter().for_each(|line| terminal.line(line));
    terminal.line(&format!("{} raw log(s) in {}", outcomes.len(), session.folders.output().display()));
    Ok(())
}
