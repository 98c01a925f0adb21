//! One launch: start the worker, load, warm up, measure, leave. Everything that happens is handed on as events.

use super::{Job, cross_check, prompt::Prompt};
use crate::engine::{Failed, Kind, ModelFormat, Timeouts, Worker};
use crate::machine;
use crate::plan::Schedule;
use crate::progress::Task;
use crate::record::{Event, Resources};
use std::path::Path;
use std::time::Instant;
use tokometer_protocol::{Answer, Generate, Generated, Load, Loaded, Request};

/// How long the machine is listened to before a launch.
const LISTEN: std::time::Duration = std::time::Duration::from_millis(100);
/// Tokens generated in a warm-up pass.
const WARMUP_TOKENS: u32 = 16;

/// Where a launch stands in the run.
#[derive(Debug, Clone, Copy)]
pub struct Place {
    /// Round, from 1; each round launches every case once.
    pub round: u32,
    /// Launch of the case, from 1.
    pub launch: u32,
    /// Place in the round's shuffled order, from 1.
    pub order: u32,
}

/// Receives events as they happen. An error (a full disk) ends the run.
pub type Emit<'a> = &'a mut dyn FnMut(&Event) -> crate::record::Result<()>;

/// How a launch ended.
pub enum Ended {
    /// All repetitions were measured.
    Measured,
    /// The engine failed; recorded.
    Failed(Failed),
}

/// Runs one launch of a job. `emit` gets every event but [`Event::Plan`] and [`Event::End`].
///
/// # Errors
/// Only those of `emit`: a failing engine is an event.
pub fn launch(
    job: &Job,
    place: Place,
    schedule: &Schedule,
    timeouts: Timeouts,
    prompt: &Prompt,
    task: &dyn Task,
    emit: Emit<'_>,
) -> crate::record::Result<Ended> {
    let busy = machine::busy_share(Path::new("/"), LISTEN);
    let began = Instant::now();
    let before = Before::now();
    let mut worker = match Worker::start(&job.discovery, timeouts) {
        Ok(worker) => worker,
        Err(failed) => return failure(place, failed, emit),
    };
    let start_ns = worker.start_time.as_nanos() as u64;
    emit(&Event::Launch {
        launch: place.launch,
        round: place.round,
        order: place.order,
        hello: worker.hello.clone(),
        start_ns,
    })?;
    for warning in machine::check(Path::new("/"), job.logical_cpus, busy) {
        emit(&Event::Warning { launch: Some(place.launch), code: warning.code.into(), message: warning.message })?;
    }
    let (mut anon, mut computing) = (None, worker.pid());
    let result = measure(&mut worker, job, place, schedule, prompt, task, &mut anon, &mut computing, emit)?;
    let resources = before.until_now(computing, began, anon);
    if let Some(share) = resources.others.filter(|share| *share > machine::BUSY) {
        let message = format!("other programs used {:.0}% of the processors during the launch", share * 100.0);
        emit(&Event::Warning { launch: Some(place.launch), code: "other_load".into(), message })?;
    }
    emit(&Event::Resources { launch: place.launch, resources })?;
    if result.is_ok() {
        let output = worker.take_output();
        worker.shutdown();
        emit_output(place, output, emit)?;
    } else {
        emit_output(place, worker.take_output(), emit)?;
    }
    match result {
        Ok(()) => Ok(Ended::Measured),
        Err(failed) => failure(place, failed, emit),
    }
}

fn failure(place: Place, failed: Failed, emit: Emit<'_>) -> crate::record::Result<Ended> {
    emit(&Event::Failure { launch: place.launch, kind: failed.kind.name().into(), reason: failed.reason.clone() })?;
    Ok(Ended::Failed(failed))
}

fn emit_output(place: Place, (lines, dropped): (Vec<String>, u64), emit: Emit<'_>) -> crate::record::Result<()> {
    if lines.is_empty() {
        return Ok(());
    }
    emit(&Event::Output { launch: place.launch, lines, dropped })
}

/// Load, warm up, repeat. The outer result is the record's, the inner one the engine's.
#[allow(clippy::too_many_arguments)]
fn measure(
    worker: &mut Worker,
    job: &Job,
    place: Place,
    schedule: &Schedule,
    prompt: &Prompt,
    task: &dyn Task,
    anon: &mut Option<u64>,
    computing: &mut u32,
    emit: Emit<'_>,
) -> crate::record::Result<Result<(), Failed>> {
    let title = job.case.title();
    task.detail(&format!("round {} · {title} · loading", place.round));
    let loaded = match load(worker, job) {
        Ok(loaded) => loaded,
        Err(failed) => return Ok(Err(failed)),
    };
    *computing = loaded.pid.unwrap_or(worker.pid());
    emit(&Event::Load { launch: place.launch, loaded: Box::new(loaded) })?;
    if schedule.warmup == 0 {
        let message = "without warm-up the first repetition is that of a cold engine".to_owned();
        emit(&Event::Warning { launch: Some(place.launch), code: "no_warmup".into(), message })?;
    }
    for _ in 0..schedule.warmup {
        task.detail(&format!("round {} · {title} · warming up", place.round));
        let began = Instant::now();
        let generated = match generate(worker, prompt, job.case.workload.gen_tokens.min(WARMUP_TOKENS)) {
            Ok(generated) => generated,
            Err(failed) => return Ok(Err(failed)),
        };
        let elapsed_ns = began.elapsed().as_nanos() as u64;
        emit(&Event::Warmup { launch: place.launch, elapsed_ns, generated })?;
        task.advance(1);
    }
    let mut first_tokens: Option<Vec<u32>> = None;
    for repetition in 1..=schedule.repetitions {
        let generated = match generate(worker, prompt, job.case.workload.gen_tokens) {
            Ok(generated) => generated,
            Err(failed) => return Ok(Err(failed)),
        };
        let now = machine::process_memory(Path::new("/"), *computing).anon;
        *anon = (*anon).max(now);
        task.advance(1);
        task.detail(&format!("round {} · {title} · {:.1} tok/s", place.round, decode_speed(&generated)));
        let changed = *first_tokens.get_or_insert_with(|| generated.tokens.clone()) != generated.tokens;
        for (code, message) in cross_check::warnings(&generated, repetition) {
            emit(&Event::Warning { launch: Some(place.launch), code, message })?;
        }
        emit(&Event::Repetition { launch: place.launch, round: place.round, repetition, generated })?;
        if changed {
            let message = format!(
                "repetition {repetition} generated other tokens than the first one: the engine is not deterministic"
            );
            emit(&Event::Warning { launch: Some(place.launch), code: "not_deterministic".into(), message })?;
        }
    }
    Ok(Ok(()))
}

fn load(worker: &mut Worker, job: &Job) -> Result<Loaded, Failed> {
    let settings = &job.case.settings;
    let request = Load {
        model: job.model_path.display().to_string(),
        ctx_tokens: job.case.workload.ctx_tokens(),
        threads: settings.threads,
        batch: settings.batch,
        ubatch: settings.ubatch,
        flash_attn: settings.flash_attn,
        kv_type: settings.kv_type.clone(),
        device: settings.device.clone(),
        quantize: (job.engine.format != ModelFormat::Gguf).then(|| job.case.native.clone()),
        options: settings.options.clone(),
    };
    match worker.call(Request::Load(request), |_| ())? {
        Answer::Loaded(loaded) => Ok(*loaded),
        other => Err(Failed::new(Kind::Garbage, format!("load was answered by {other:?}"))),
    }
}

fn generate(worker: &mut Worker, prompt: &Prompt, gen_tokens: u32) -> Result<Generated, Failed> {
    let request =
        Generate { prompt: prompt.prompt.clone(), context: prompt.context.clone(), gen_tokens, ..Generate::default() };
    match worker.call(Request::Generate(request), |_| ())? {
        Answer::Generated(generated) => check(generated, prompt, gen_tokens),
        other => Err(Failed::new(Kind::Garbage, format!("generate was answered by {other:?}"))),
    }
}

/// An engine that computed something else than was asked is not measured.
fn check(generated: Generated, prompt: &Prompt, gen_tokens: u32) -> Result<Generated, Failed> {
    let (n, steps) = (gen_tokens as usize, generated.done_ns.len());
    let wrong = |what: String| Err(Failed::new(Kind::Garbage, what));
    let (together, ids) = (generated.step_tokens.len(), generated.tokens.len());
    // Only an endpoint that tells the text alone, in chunks, may leave out the ids.
    let complete = generated.count() == n as u64 && (ids == n || (ids == 0 && together > 0));
    if !complete || (together != 0 && (together != steps || generated.step_tokens.contains(&0))) {
        return wrong(format!(
            "{n} tokens were asked for, {} tokens with {ids} ids in {steps} steps came back",
            generated.count()
        ));
    }
    if generated.prompt_tokens as usize != prompt.prompt.len()
        || generated.context_tokens as usize != prompt.context.len()
    {
        return wrong(format!(
            "a prompt of {} tokens after {} was to be computed, the engine says {} after {}: is its prefix cache on?",
            prompt.prompt.len(),
            prompt.context.len(),
            generated.prompt_tokens,
            generated.context_tokens
        ));
    }
    let optional = [
        ("enqueue times", generated.enqueued_ns.len()),
        ("byte counts", generated.engine_bytes.len()),
        ("pieces", generated.pieces.len()),
    ];
    if let Some((what, length)) = optional.into_iter().find(|(_, length)| *length != 0 && *length != steps) {
        return wrong(format!("{length} {what} came back for {steps} steps"));
    }
    if generated.done_ns.first() == Some(&0) || !generated.done_ns.is_sorted_by(|a, b| a < b) {
        return wrong("its times do not grow from step to step".into());
    }
    Ok(generated)
}

fn decode_speed(generated: &Generated) -> f64 {
    let (tokens, ns) = generated.decode();
    tokens as f64 * 1e9 / ns.max(1) as f64
}

/// What the machine said before the launch.
struct Before {
    load: Option<f64>,
    cpu: Option<machine::CpuTimes>,
}

impl Before {
    fn now() -> Before {
        let root = Path::new("/");
        Before { load: machine::load_average(root), cpu: machine::cpu_times(root) }
    }

    fn until_now(&self, pid: u32, began: Instant, anon: Option<u64>) -> Resources {
        let root = Path::new("/");
        let memory = machine::process_memory(root, pid);
        let worker_ticks = machine::process_ticks(root, pid);
        let spent = self.cpu.zip(machine::cpu_times(root)).map(|(before, after)| machine::CpuTimes {
            total: after.total.saturating_sub(before.total),
            idle: after.idle.saturating_sub(before.idle),
            steal: after.steal.saturating_sub(before.steal),
        });
        let share =
            |ticks: u64, spent: &machine::CpuTimes| (spent.total > 0).then(|| ticks as f64 / spent.total as f64);
        Resources {
            peak_rss_bytes: memory.peak_rss,
            peak_anon_bytes: anon.max(memory.anon),
            peak_device_bytes: None,
            cpu_ns: worker_ticks.map(|ticks| ticks * machine::TICK_NS),
            wall_ns: Some(began.elapsed().as_nanos() as u64),
            load_before: self.load,
            steal: spent.and_then(|s| share(s.steal, &s)),
            others: spent.zip(worker_ticks).and_then(|(s, own)| {
                share((s.total - s.idle.min(s.total)).saturating_sub(own).saturating_sub(s.steal), &s)
            }),
            readings: Default::default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn good() -> (Generated, Prompt) {
        let generated = Generated { prompt_tokens: 2, tokens: vec![1, 2], done_ns: vec![5, 9], ..Generated::default() };
        (generated, Prompt { context: vec![], prompt: vec![7, 8] })
    }

    #[test]
    fn what_was_asked_is_accepted() {
        let (generated, prompt) = good();
        assert!(check(generated, &prompt, 2).is_ok());
    }

    #[test]
    fn fewer_tokens_a_cached_prefix_and_frozen_clocks_are_not() {
        let (generated, prompt) = good();
        assert!(check(generated.clone(), &prompt, 3).is_err());
        assert!(
            check(Generated { prompt_tokens: 1, ..generated.clone() }, &prompt, 2)
                .unwrap_err()
                .reason
                .contains("prefix cache")
        );
        assert!(check(Generated { done_ns: vec![5, 5], ..generated.clone() }, &prompt, 2).is_err());
        assert!(check(Generated { enqueued_ns: vec![1], ..generated }, &prompt, 2).is_err());
    }

    #[test]
    fn steps_of_several_tokens_must_add_up() {
        let (generated, prompt) = good();
        let chunks = Generated { tokens: vec![], step_tokens: vec![1, 3], ..generated };
        assert!(check(chunks.clone(), &prompt, 4).is_ok());
        assert!(check(chunks.clone(), &prompt, 5).is_err());
        assert!(check(Generated { step_tokens: vec![4], ..chunks.clone() }, &prompt, 4).is_err());
        assert!(check(Generated { step_tokens: vec![4, 0], ..chunks.clone() }, &prompt, 4).is_err());
        assert!(check(Generated { step_tokens: vec![], ..chunks }, &prompt, 2).is_err());
    }
}
