//! Step 2: measure. A run is a series of rounds; each round launches every case once, in an order shuffled from the
//! seed, so that drift hits all cases alike. Every case has its raw log, and what was measured is in it at once.

mod cross_check;
mod launch;
mod prompt;

pub use prompt::{Prompt, draw};

use crate::engine::{Discovery, Engine, Kind, Timeouts};
use crate::machine::Machine;
use crate::plan::{Case, Schedule};
use crate::prepare::Manifest;
use crate::progress::{Progress, Task, Unit};
use crate::random::Random;
use crate::record::{Event, FileName, LogWriter};
use launch::{Ended, Place};
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

/// The engine's version with the settings of its own that it was given: they are part of what was measured.
fn versioned(version: &str, options: &std::collections::BTreeMap<String, String>) -> String {
    let options: String = options.iter().map(|(key, value)| format!(" {key}={value}")).collect();
    format!("{version}{options}")
}

/// How a run is done.
#[derive(Debug, Clone)]
pub struct Options {
    /// Where raw logs go.
    pub output: PathBuf,
    /// How often.
    pub schedule: Schedule,
    /// The machine.
    pub machine: Machine,
    /// The command line, for the record.
    pub command: Vec<String>,
    /// When a worker counts as hung.
    pub timeouts: Timeouts,
    /// Seed of the order of the rounds.
    pub seed: u64,
}

/// What became of a case.
#[derive(Debug, Clone)]
pub struct CaseOutcome {
    /// The case.
    pub case: Case,
    /// Hash of the case, its worker and its environment, as in the column `case`.
    pub hash: String,
    /// Its raw log.
    pub log: PathBuf,
    /// Launches that measured all their repetitions.
    pub measured: u32,
    /// Launches that failed, with reasons.
    pub failures: Vec<String>,
}

/// Runs all jobs. The order of the outcomes is that of the jobs.
///
/// # Errors
/// Only the record's: the disk is full, the folder cannot be written. Failing engines are outcomes.
pub fn run(jobs: &[Job], options: &Options, progress: &dyn Progress) -> crate::record::Result<Vec<CaseOutcome>> {
    let name = crate::fingerprint::fresh_name();
    let schedule = &options.schedule;
    let per_launch = u64::from(schedule.warmup) + u64::from(schedule.repetitions);
    let total = per_launch * u64::from(schedule.launches) * jobs.len() as u64;
    let task = progress.task("measure", Some(total), Unit::Count);
    let mut running: Vec<Running> = jobs.iter().map(|job| Running::new(job, options)).collect();
    for round in 1..=schedule.launches {
        let mut order: Vec<usize> = (0..jobs.len()).collect();
        Random::named(options.seed, &format!("round {round}")).shuffle(&mut order);
        for (place, index) in order.into_iter().enumerate() {
            let place = Place { round, launch: round, order: place as u32 + 1 };
            running[index].launch(place, options, &name, &*task, progress)?;
        }
    }
    let outcomes = running.into_iter().map(|running| running.finish(options, &name)).collect::<Result<Vec<_>, _>>()?;
    let failed: usize = outcomes.iter().map(|outcome| outcome.failures.len()).sum();
    task.finish(&match failed {
        0 => format!("{} case(s), {} round(s)", jobs.len(), schedule.launches),
        n => format!("{} case(s), {} round(s), {n} launch(es) failed", jobs.len(), schedule.launches),
    });
    Ok(outcomes)
}

/// A case while it is being measured.
struct Running<'a> {
    job: &'a Job,
    prompt: Prompt,
    log: Option<LogWriter>,
    measured: u32,
    failures: Vec<String>,
    given_up: bool,
}

impl<'a> Running<'a> {
    fn new(job: &'a Job, options: &Options) -> Running<'a> {
        let prompt = draw(&job.case.workload, options.seed, job.manifest.prompt_ids, job.manifest.bos);
        Running { job, prompt, log: None, measured: 0, failures: Vec::new(), given_up: false }
    }

    fn launch(
        &mut self,
        place: Place,
        options: &Options,
        run: &str,
        task: &dyn Task,
        progress: &dyn Progress,
    ) -> crate::record::Result<()> {
        if self.given_up {
            return Ok(());
        }
        let (job, prompt) = (self.job, self.prompt.clone());
        let mut log = self.log.take();
        let mut emit = |event: &Event| {
            let writer = match log.take() {
                Some(writer) => log.insert(writer),
                None => log.insert(open(job, &prompt, options, run, event)?),
            };
            writer.append(event)
        };
        let ended = launch::launch(job, place, &options.schedule, options.timeouts, &prompt, task, &mut emit);
        if let Some(writer) = &mut log {
            writer.sync()?;
        }
        self.log = log;
        match ended? {
            Ended::Measured => self.measured += 1,
            Ended::Failed(failed) => {
                progress.warn(&format!("{}, launch {}: {failed}", job.case.title(), place.launch));
                // Trying again what cannot work only costs time.
                self.given_up =
                    matches!(failed.kind, Kind::NotInstalled | Kind::Unsupported | Kind::Hang | Kind::OutOfMemory);
                self.failures.push(failed.to_string());
            }
        }
        Ok(())
    }

    fn finish(self, options: &Options, run: &str) -> crate::record::Result<CaseOutcome> {
        let writer = match self.log {
            Some(writer) => writer,
            None => open(
                self.job,
                &self.prompt,
                options,
                run,
                &Event::Warning { launch: None, code: String::new(), message: String::new() },
            )?,
        };
        let status = if self.failures.is_empty() { "ok" } else { "failed" };
        let log = writer.finish(status)?;
        Ok(CaseOutcome {
            case: self.job.case.clone(),
            hash: self.job.identity(),
            log,
            measured: self.measured,
            failures: self.failures,
        })
    }
}

/// Opens the raw log of a case; the first event tells which devices the engine has.
fn open(job: &Job, prompt: &Prompt, options: &Options, run: &str, first: &Event) -> crate::record::Result<LogWriter> {
    let machine = &options.machine;
    let case = &job.case;
    let uuid = crate::fingerprint::fresh_name();
    let name = FileName {
        engine: Some(case.engine.clone()),
        hostname: machine.hostname.clone(),
        size: job.manifest.size.clone(),
        quantize: case.quantize.clone(),
        seed: case.seed,
        uuid: uuid.clone(),
    };
    let mut header: Vec<(String, String)> = Vec::new();
    let mut put = |key: &str, value: Option<String>| header.extend(value.map(|value| (key.to_owned(), value)));
    put("framework", Some(case.engine.clone()));
    if let Event::Launch { hello, .. } = first {
        put("engine_version", Some(versioned(&hello.engine_version, &case.settings.options)));
        put("device", Some(device_label(case, &hello.devices)));
    }
    put("started_utc", Some(crate::clock::now_utc()));
    put("platform", Some(machine.platform.clone()));
    put("release", Some(machine.release.clone()));
    put("username", Some(machine.username.clone()));
    put("hostname", Some(machine.hostname.clone()));
    put("size", Some(job.manifest.size.clone()));
    put("quantize", Some(case.quantize.clone()));
    put("native_quantize", Some(job.manifest.native.clone()));
    put("bits_per_weight", job.manifest.bits_per_weight.map(|bits| bits.to_string()));
    put("weights_bytes", job.manifest.weights_bytes.map(|bytes| bytes.to_string()));
    put("model", Some(job.manifest.name.clone()));
    put("seed", Some(case.seed.to_string()));
    put("uuid", Some(uuid));
    put("case", Some(job.identity()));
    put("run", Some(run.to_owned()));
    put("prompt_tokens", Some(case.workload.prompt_tokens.to_string()));
    put("gen_tokens", Some(case.workload.gen_tokens.to_string()));
    put("depth", Some(case.workload.depth.to_string()));
    let mut writer = LogWriter::create(&options.output, &name, &header)?;
    let value = |v: serde_json::Result<serde_json::Value>| v.expect("plain data serializes");
    writer.append(&Event::Plan {
        case: value(serde_json::to_value(case)),
        manifest: Some(value(serde_json::to_value(&job.manifest))),
        machine: value(serde_json::to_value(machine)),
        command: options.command.clone(),
        prompt: prompt.prompt.clone(),
        context: prompt.context.clone(),
    })?;
    Ok(writer)
}

/// The device in the seed workflow's sense: `CPU`, `CUDA`, `METAL`.
fn device_label(case: &Case, devices: &[tokometer_protocol::Device]) -> String {
    let best =
        || devices.iter().find(|device| device.kind != "cpu").or(devices.first()).map(|device| device.name.clone());
    let name = case.settings.device.clone().or_else(best).unwrap_or_else(|| "CPU".into());
    name.trim_end_matches(|c: char| c.is_ascii_digit() || c == ':').to_uppercase()
}
