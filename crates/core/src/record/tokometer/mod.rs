//! Our own raw log: header, a blank line, one event per line, a closing line. See [`super::event`] for the events and
//! [`super::writer`] for who writes them.
//!
//! A launch may span several rounds; what stands between two visits belongs to the round of the first.
//!
//! What belongs to a launch (its memory, its warnings) stands after its repetitions, so the log is read twice: first
//! everything but the repetitions, then these. Only the fields that are needed are taken out of the JSON, borrowed where
//! that is possible: a log of thousands of tokens is read at the speed of the JSON parser.

mod pass;
mod scan;
mod surroundings;

use super::header::{self, Header};
use super::lines::{Lines, lines};
use super::series::{Context, Series, Status};
use super::{Format, Input, Result, device, json_reason};
use pass::{Moved, Repetition};
use scan::{Item, Launch, Scan};
use std::collections::HashMap;
use tokometer_protocol::Loaded;

/// See the module.
pub struct Tokometer;

/// The first key of the header; its value is [`VERSION`].
pub(super) const KEY: &str = "tokometer-log";

/// The version of the log. Events may be added without raising it.
pub(super) const VERSION: u32 = 1;

impl Format for Tokometer {
    fn name(&self) -> &'static str {
        "tokometer"
    }

    fn recognize(&self, head: &[u8], _: &str) -> bool {
        head.strip_prefix(KEY.as_bytes()).is_some_and(|rest| rest.starts_with(b":"))
    }

    fn read(&self, input: &Input<'_>, emit: &mut dyn FnMut(Series)) -> Result<()> {
        let (header, body) = read_header(input)?;
        let scan = Scan::read(input, body)?;
        let base = base_context(input, &header, &scan)?;
        let mut contexts = Contexts { base: &base, scan: &scan, made: HashMap::new() };
        let machine = scan.surroundings.compared();
        for (index, item) in scan.items.iter().enumerate() {
            match item {
                Item::Repetition(line) => {
                    let cut = !line.terminated && !scan.closed;
                    match serde_json::from_slice::<Repetition<'_>>(line.bytes) {
                        Ok(repetition) => {
                            let series = contexts.measured(&repetition);
                            let mut series = series.map_err(|reason| input.damaged(line.number, reason))?;
                            machine.tell(index, &mut series);
                            emit(series);
                        }
                        // The run was killed while it wrote this line.
                        Err(_) if cut => {}
                        Err(e) => return Err(input.damaged(line.number, json_reason(&e))),
                    }
                }
                Item::Failure { launch, round, reason } => emit(contexts.failed(*launch, *round, reason)),
            }
        }
        Ok(())
    }
}

/// The header, and the lines after the blank one that closes it.
fn read_header<'a>(input: &Input<'a>) -> Result<(Header, Lines<'a>)> {
    let mut body = lines(input.bytes);
    let mut header = Header::default();
    for line in body.by_ref() {
        if line.bytes.is_empty() {
            break;
        }
        let text = line.text().map_err(|reason| input.damaged(line.number, reason))?;
        match header::pair(text) {
            Some((key, value)) => header.push(key, &unescape(value)),
            // Killed while it wrote the header.
            None if !line.terminated => break,
            None => return Err(input.damaged(line.number, "no `key: value` line, and the header is not closed yet")),
        }
    }
    match header.number::<u32>(KEY) {
        Some(VERSION) => Ok((header, body)),
        _ => {
            let found = header.get(KEY).unwrap_or("nothing").to_owned();
            let reason =
                format!("version `{found}` of the raw log is unknown (this Tokometer reads {VERSION}): update it");
            Err(input.damaged(1, reason))
        }
    }
}

/// What the header says for every launch.
fn base_context(input: &Input<'_>, header: &Header, scan: &Scan<'_>) -> Result<Context> {
    let mut base = header.context(input.name.as_ref(), "");
    if base.engine.is_empty() {
        // A log that was cut inside its header holds nothing that would need the engine's name.
        if !scan.items.is_empty() {
            return Err(input.damaged(1, "neither header (`framework`) nor file name tell the engine"));
        }
        return Ok(base);
    }
    base.status = scan.status;
    base.reason = scan.interrupted.clone().filter(|_| scan.status == Status::Interrupted);
    Ok(base)
}

/// Makes the context of each launch and round once.
struct Contexts<'s, 'a> {
    base: &'s Context,
    scan: &'s Scan<'a>,
    made: HashMap<(u32, Option<u32>), (Context, Moved)>,
}

impl Contexts<'_, '_> {
    fn of(&mut self, launch: u32, round: Option<u32>) -> &(Context, Moved) {
        let known = self.scan.launches.get(&launch);
        let round = round.or_else(|| known?.round);
        self.made.entry((launch, round)).or_insert_with(|| {
            let mut context = known.map_or_else(|| self.base.clone(), |known| of_launch(self.base, known, round));
            context.launch = Some(launch);
            context.round = round;
            for code in &self.scan.warnings {
                if !context.warnings.contains(code) {
                    context.warnings.push(code.clone());
                }
            }
            let moved = Moved {
                weights: context.weights_bytes,
                read: match known.and_then(|known| known.loaded.as_ref()) {
                    // A mixture of experts does not read all: then it is not known.
                    Some(loaded) => loaded.weights_read_bytes,
                    None => context.weights_bytes,
                },
                kv_per_token: known.and_then(|known| known.loaded.as_ref()?.kv_bytes_per_token),
            };
            (context, moved)
        })
    }

    /// The series of a repetition.
    fn measured(&mut self, repetition: &Repetition<'_>) -> std::result::Result<Series, String> {
        let (context, moved) = self.of(repetition.launch, repetition.round);
        let pass = &repetition.generated;
        let (steps, throughput_source) = pass.steps(moved)?;
        let context = Context {
            repetition: Some(repetition.repetition),
            prompt_tokens: context.prompt_tokens.or(Some(pass.prompt_tokens)),
            gen_tokens: context.gen_tokens.or_else(|| u32::try_from(steps.len()).ok()),
            depth: context.depth.or(Some(pass.context_tokens)),
            throughput_source,
            ..context.clone()
        };
        Ok(Series { context, steps })
    }

    /// The series without steps that says that a launch failed.
    fn failed(&mut self, launch: Option<u32>, round: Option<u32>, reason: &str) -> Series {
        let known = match launch {
            Some(launch) => self.of(launch, round).0.clone(),
            None => self.base.clone(),
        };
        let context = Context { status: Status::Failed, reason: Some(reason.to_owned()), ..known };
        Series { context, steps: Vec::new() }
    }
}

/// The context of one launch in a round: what was really loaded counts more than what the header planned.
fn of_launch(base: &Context, launch: &Launch, round: Option<u32>) -> Context {
    let mut context = base.clone();
    context.engine_version = context.engine_version.or_else(|| launch.engine_version.clone());
    context.warmup_ms = launch.warmup_ns.map(|ns| ns as f64 / 1e6);
    context.cold_ttft_ms = launch.cold_ttft_ns.map(|ns| ns as f64 / 1e6);
    context.peak_rss_bytes = launch.resources.peak_rss_bytes;
    context.peak_anon_bytes = launch.resources.peak_anon_bytes;
    context.peak_device_bytes = launch.resources.peak_device_bytes;
    context.warnings = launch.warnings_of(round);
    let Some(loaded) = &launch.loaded else { return context };
    let text = |text: &String| Some(text.clone()).filter(|text| !text.is_empty());
    context.native_quantize = text(&loaded.native_quantize).or(context.native_quantize);
    context.weights_bytes = Some(loaded.weights_bytes).filter(|bytes| *bytes > 0).or(context.weights_bytes);
    if loaded.weights_bytes > 0 && loaded.n_params > 0 {
        let measured = 8.0 * loaded.weights_bytes as f64 / loaded.n_params as f64;
        context.bits_per_weight = context.bits_per_weight.or(Some(measured));
    }
    // Whose kernels computed is part of what was measured, whoever chose them.
    if let Some(kernels) = loaded.details.get("kernels").filter(|kernels| !kernels.is_empty()) {
        let version = context.engine_version.take().unwrap_or_default();
        let told = version.split(' ').any(|word| word.starts_with("kernels="));
        context.engine_version =
            Some(if told { version } else { format!("{version} kernels={kernels}").trim().to_owned() });
    }
    context.device = device_of(&loaded.device, context.device);
    context.device_description = loaded.device_description.clone().filter(|text| !text.is_empty());
    context.load_ms = (loaded.load_ns > 0).then_some(loaded.load_ns as f64 / 1e6);
    context.jit_ms = count_in(loaded, "jit_ns").map(|ns| ns as f64 / 1e6);
    context.kernels = count_in(loaded, "kernels_decode");
    context.threads = loaded.threads;
    context.batch = loaded.batch;
    context.ubatch = loaded.ubatch;
    context.flash_attn = loaded.flash_attn;
    context.kv_type.clone_from(&loaded.kv_type);
    context.kv_bytes = loaded.kv_bytes;
    context
}

/// A whole number among the details that the worker told; `None` where it told none.
fn count_in(loaded: &Loaded, name: &str) -> Option<u64> {
    loaded.details.get(name)?.parse().ok()
}

/// The device that a launch used. The header keeps the number of one that was asked for by number, without which two GPUs of
/// an interface could not be told apart; but an engine that loaded onto another kind of device has the last word.
fn device_of(loaded: &str, planned: Option<String>) -> Option<String> {
    let used = device::kind(loaded);
    let planned = planned.map(|name| device::numbered(&name));
    match planned {
        Some(name) if used.is_empty() || device::kind(&name) == used => Some(name),
        _ => Some(used).filter(|used| !used.is_empty()),
    }
}

/// Undoes what the writer does to line ends in values.
pub(super) fn unescape(value: &str) -> String {
    let mut plain = String::with_capacity(value.len());
    let mut letters = value.chars();
    while let Some(letter) = letters.next() {
        if letter != '\\' {
            plain.push(letter);
            continue;
        }
        match letters.next() {
            Some('n') => plain.push('\n'),
            Some('r') => plain.push('\r'),
            Some('\\') | None => plain.push('\\'),
            Some(other) => plain.extend(['\\', other]),
        }
    }
    plain
}

#[cfg(test)]
mod tests;
