//! The raw log of one case: opened with its first event, so that its header knows the engine's version and devices.

use super::{Job, Options, Prompt};
use crate::plan::Case;
use crate::record::provenance::BEGAN;
use crate::record::{Event, FileName, LogWriter, Result, device};
use std::path::PathBuf;
use std::rc::Rc;

/// Where the events of a case go, each at once.
pub(super) struct Journal<'a> {
    job: &'a Job,
    options: &'a Options,
    prompt: Rc<Prompt>,
    /// Name of the run.
    run: String,
    writer: Option<LogWriter>,
    /// Events that came before the log was opened.
    waiting: Vec<Event>,
}

impl<'a> Journal<'a> {
    /// For a case of the run `run`; nothing is written yet.
    pub fn new(job: &'a Job, options: &'a Options, prompt: Rc<Prompt>, run: &str) -> Journal<'a> {
        Journal { job, options, prompt, run: run.to_owned(), writer: None, waiting: Vec::new() }
    }

    /// Writes an event of the case itself.
    pub fn append(&mut self, event: &Event) -> Result<()> {
        match &mut self.writer {
            Some(writer) => writer.append(event),
            None => {
                let writer = self.writer.insert(open(self.job, &self.prompt, self.options, &self.run, event)?);
                for earlier in self.waiting.drain(..) {
                    writer.append(&earlier)?;
                }
                writer.append(event)
            }
        }
    }

    /// Writes an event that all cases share; before the log is open it waits for the first event of the case.
    pub fn share(&mut self, event: &Event) -> Result<()> {
        match &mut self.writer {
            Some(writer) => writer.append(event),
            None => {
                self.waiting.push(event.clone());
                Ok(())
            }
        }
    }

    /// Brings everything so far to the disk.
    pub fn sync(&mut self) -> Result<()> {
        self.writer.as_mut().map_or(Ok(()), LogWriter::sync)
    }

    /// Goes on with a log that was cut off.
    pub fn take_up(&mut self, writer: LogWriter) {
        self.writer = Some(writer);
    }

    /// Whether the log stays open when a person stops the run.
    pub fn is_left_open(&self) -> bool {
        self.options.leave_open
    }

    /// Closes the log; `None` if nothing of the case ever happened.
    pub fn finish(&mut self, status: &str) -> Result<Option<PathBuf>> {
        self.writer.take().map(|writer| writer.finish(status)).transpose()
    }
}

/// Opens the raw log of a case and writes its plan; the first event tells which devices the engine has.
pub(super) fn open(job: &Job, prompt: &Prompt, options: &Options, run: &str, first: &Event) -> Result<LogWriter> {
    let uuid = crate::fingerprint::fresh_name();
    let name = FileName {
        engine: Some(job.case.engine.clone()),
        hostname: options.machine.hostname.clone(),
        size: job.manifest.size.clone(),
        quantize: job.case.quantize.clone(),
        seed: job.case.seed,
        uuid: uuid.clone(),
    };
    let mut writer = LogWriter::create(&options.output, &name, &header(job, options, run, &uuid, first))?;
    let value = |v: serde_json::Result<serde_json::Value>| v.expect("plain data serializes");
    writer.append(&Event::Plan {
        case: value(serde_json::to_value(&job.case)),
        manifest: Some(value(serde_json::to_value(&job.manifest))),
        machine: value(serde_json::to_value(&options.machine)),
        command: options.command.clone(),
        schedule: Some(serde_json::json!({
            "times": options.schedule, "ends": options.ends, "resident": options.resident,
        })),
        prompt: prompt.prompt.clone(),
        context: prompt.context.clone(),
    })?;
    Ok(writer)
}

fn header(job: &Job, options: &Options, run: &str, uuid: &str, first: &Event) -> Vec<(String, String)> {
    let (machine, case) = (&options.machine, &job.case);
    let mut header: Vec<(String, String)> = Vec::new();
    let mut put = |key: &str, value: Option<String>| header.extend(value.map(|value| (key.to_owned(), value)));
    put("framework", Some(case.engine.clone()));
    if let Event::Launch { hello, .. } = first {
        put("engine_version", Some(versioned(&hello.engine_version, &case.settings.options)));
        put("device", Some(device_label(case, &hello.devices)));
    }
    if matches!(first, Event::Failure { launch: Some(_), .. }) {
        put(BEGAN, Some("failed".into()));
    }
    put("started_utc", Some(crate::clock::now_utc_ms()));
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
    put("uuid", Some(uuid.to_owned()));
    put("case", Some(job.identity()));
    put("run", Some(run.to_owned()));
    put("prompt_tokens", Some(case.workload.prompt_tokens.to_string()));
    put("gen_tokens", Some(case.workload.gen_tokens.to_string()));
    put("depth", Some(case.workload.depth.to_string()));
    job.marks.iter().for_each(|(key, value)| put(key, Some(value.clone())));
    header
}

/// The engine's version with the settings of its own that it was given: they are part of what was measured.
pub(crate) fn versioned(version: &str, options: &std::collections::BTreeMap<String, String>) -> String {
    let options: String = options.iter().map(|(key, value)| format!(" {key}={value}")).collect();
    format!("{version}{options}")
}

/// The device in the seed workflow's sense: `CPU`, `CUDA`, `METAL`; with its number where the case asked for one by number.
fn device_label(case: &Case, devices: &[tokometer_protocol::Device]) -> String {
    if let Some(asked) = &case.settings.device {
        return device::numbered(asked);
    }
    let best = devices.iter().find(|device| device.kind != "cpu").or(devices.first());
    best.map_or_else(|| "CPU".into(), |best| device::kind(&best.name))
}
