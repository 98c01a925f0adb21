//! Series -> groups: all repetitions of one case on one host, with the figures of each repetition.

use super::drift::{Change, Growth, changes, growth};
use super::repetition::{cold_steps, figures};
use super::{Estimate, Repetition, StepTimes, Surroundings};
use crate::engine::ENGINES;
use crate::record::{Context, Phase, SampleUnit, Series, Status, Step};
use serde::Serialize;
use std::collections::BTreeMap;

/// What makes a case on a host: everything that must be equal before two samples may be averaged.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct GroupKey {
    /// The machine.
    pub host: String,
    /// `CPU`, `CUDA`, ...
    pub device: String,
    /// The model's name, or its size label.
    pub model: String,
    /// Size label.
    pub size: String,
    /// The engine.
    pub engine: String,
    /// Its version, where known.
    pub engine_version: Option<String>,
    /// The label asked for.
    pub quantize: String,
    /// What the engine computed with, where known.
    pub native_quantize: Option<String>,
    /// Measured bits per weight, where known.
    pub bits_per_weight: Option<f64>,
    /// Bytes of weights as stored, where known.
    pub weights_bytes: Option<u64>,
    /// Prompt tokens of the workload.
    pub prompt_tokens: Option<u32>,
    /// Generated tokens of the workload.
    pub gen_tokens: Option<u32>,
    /// Whether these were counted, because the log does not tell its workload: logs of other lengths stay apart.
    pub gen_tokens_counted: bool,
    /// Context depth of the workload.
    pub depth: Option<u32>,
    /// Threads really used.
    pub threads: Option<u32>,
    /// Logical batch.
    pub batch: Option<u32>,
    /// Physical batch.
    pub ubatch: Option<u32>,
    /// Flash attention.
    pub flash_attn: Option<bool>,
    /// KV cache type.
    pub kv_type: Option<String>,
    /// `step`, or `repetition` for tools that keep no more.
    pub unit: &'static str,
    /// Who counted the bytes of the memory throughput.
    pub throughput_source: Option<&'static str>,
    /// Hash of the case, its worker and its environment, where the log has one: whatever else may differ.
    pub case: Option<String>,
}

/// One case on one host.
#[derive(Debug, Clone, Serialize)]
pub struct Group {
    /// What it is.
    pub key: GroupKey,
    /// The device in words, where known.
    pub device_description: Option<String>,
    /// Decode speed, tokens/s.
    pub decode: Option<Estimate>,
    /// Time per output token, ms.
    pub tpot: Option<Estimate>,
    /// Time to first token, ms.
    pub ttft: Option<Estimate>,
    /// Prefill speed, tokens/s.
    pub prefill: Option<Estimate>,
    /// End-to-end latency, ms.
    pub e2e: Option<Estimate>,
    /// Memory throughput in decode, GB/s.
    pub memory: Option<Estimate>,
    /// Parameter throughput in decode, GB/s.
    pub param: Option<Estimate>,
    /// Speed where prefill and decode cannot be told apart, tokens/s.
    pub mixed: Option<Estimate>,
    /// Load time per launch, ms.
    pub load: Option<Estimate>,
    /// Warm-up time per launch, ms.
    pub warmup: Option<Estimate>,
    /// What the first token of a cold engine costs more than a warm one's, per launch, ms: TTFT of the first warm-up pass
    /// minus the mean TTFT of the launch.
    pub first_token_penalty: Option<Estimate>,
    /// Latencies of single decode steps: percentiles.
    pub steps: Option<StepTimes>,
    /// How the time per token changed during the run.
    pub changes: Vec<Change>,
    /// How it grows with the context.
    pub growth: Option<Growth>,
    /// Highest resident memory over all launches, bytes.
    pub peak_rss_bytes: Option<u64>,
    /// Highest anonymous memory over all launches, bytes.
    pub peak_anon_bytes: Option<u64>,
    /// Highest device memory over all launches, bytes.
    pub peak_device_bytes: Option<u64>,
    /// KV cache, bytes.
    pub kv_bytes: Option<u64>,
    /// What the machine was like.
    pub surroundings: Surroundings,
    /// Latency of every decode step, ms, in order of measurement.
    #[serde(skip)]
    pub step_ms: Vec<f64>,
    /// Enqueue latency of every decode step that has one, ms.
    #[serde(skip)]
    pub enqueue_ms: Vec<f64>,
    /// The repetitions.
    pub repetitions: Vec<Repetition>,
    /// Names of the raw logs' uuids.
    pub uuids: Vec<String>,
    /// Reasons of launches that failed.
    pub failures: Vec<String>,
    /// Short names of warnings.
    pub warnings: Vec<String>,
    /// Whether a log of the group was cut off.
    pub interrupted: bool,
}

impl Group {
    /// `llamacpp`, or with a mark where another tool measured whole repetitions.
    pub fn engine_label(&self) -> String {
        match self.key.unit {
            "repetition" => format!("{} (per run)", self.key.engine),
            _ => self.key.engine.clone(),
        }
    }

    /// The engine's label, with the words of its version that tell it from others of the same engine and quantization:
    /// `mlc_llm (via=serve)`.
    pub fn engine_label_among<'a>(&self, others: impl IntoIterator<Item = &'a Group>) -> String {
        let words = |group: &Group| -> Vec<String> {
            group.key.engine_version.iter().flat_map(|text| text.split(' ')).map(str::to_owned).collect()
        };
        let mut own: Vec<String> = Vec::new();
        for other in others {
            if other.key.engine == self.key.engine && other.quantize_label() == self.quantize_label() {
                let known = words(other);
                for word in words(self) {
                    if !known.contains(&word) && !own.contains(&word) {
                        own.push(word);
                    }
                }
            }
        }
        if own.is_empty() { self.engine_label() } else { format!("{} ({})", self.engine_label(), own.join(" ")) }
    }

    /// The quantization with what it really was: `nf4 (Q4_K_M)`.
    pub fn quantize_label(&self) -> String {
        match &self.key.native_quantize {
            Some(native) if *native != self.key.quantize => format!("{} ({native})", self.key.quantize),
            _ => self.key.quantize.clone(),
        }
    }

    /// The same in few words, for narrow tables: what the engine adds after a comma is left to wider places.
    pub fn short_quantize_label(&self) -> String {
        let native = self.key.native_quantize.as_deref().and_then(|native| native.split(',').next());
        match native {
            Some(native) if native != self.key.quantize => format!("{} ({native})", self.key.quantize),
            _ => self.key.quantize.clone(),
        }
    }

    /// `prefill 512, decode 128`, with the depth where there is one; `decode 20 (counted)` of a log that does not tell.
    pub fn workload_label(&self) -> String {
        let mut parts = Vec::new();
        parts.extend(self.key.prompt_tokens.filter(|n| *n > 0).map(|n| format!("prefill {n}")));
        let counted = if self.key.gen_tokens_counted { " (counted)" } else { "" };
        parts.extend(self.key.gen_tokens.filter(|n| *n > 0).map(|n| format!("decode {n}{counted}")));
        parts.extend(self.key.depth.filter(|n| *n > 0).map(|n| format!("depth {n}")));
        parts.join(", ")
    }

    /// A figure's samples grouped by launch.
    pub fn by_launch(&self, figure: impl Fn(&Repetition) -> Option<f64>) -> Vec<Vec<f64>> {
        by_launch(&self.repetitions, figure)
    }
}

fn by_launch(repetitions: &[Repetition], figure: impl Fn(&Repetition) -> Option<f64>) -> Vec<Vec<f64>> {
    let mut launches: BTreeMap<usize, Vec<f64>> = BTreeMap::new();
    for repetition in repetitions {
        if let Some(value) = figure(repetition) {
            launches.entry(repetition.launch).or_default().push(value);
        }
    }
    launches.into_values().collect()
}

/// What is resampled: samples by launch, or by round where one launch stayed for all of them.
fn by_unit(repetitions: &[Repetition], figure: impl Fn(&Repetition) -> Option<f64>) -> Vec<Vec<f64>> {
    let one = repetitions.windows(2).all(|pair| pair[0].launch == pair[1].launch);
    if !one {
        return by_launch(repetitions, figure);
    }
    let mut rounds: BTreeMap<(Option<&str>, Option<u32>), Vec<f64>> = BTreeMap::new();
    for repetition in repetitions {
        if let Some(value) = figure(repetition) {
            rounds.entry((repetition.run.as_deref(), repetition.round)).or_default().push(value);
        }
    }
    rounds.into_values().collect()
}

/// Groups series and computes each group's figures. Order: host, device, model, workload, engine, quantization.
pub fn groups(series: &[Series]) -> Vec<Group> {
    let mut gathered: BTreeMap<String, (GroupKey, Vec<&Series>)> = BTreeMap::new();
    for one in series {
        let key = key_of(one);
        gathered.entry(sort_text(&key)).or_insert_with(|| (key, Vec::new())).1.push(one);
    }
    let mut groups: Vec<Group> = gathered.into_values().map(|(key, members)| build(key, &members)).collect();
    adopt_failures(&mut groups);
    groups
}

fn key_of(series: &Series) -> GroupKey {
    let context = &series.context;
    let text = |value: &Option<String>| value.clone().unwrap_or_else(|| "unknown".into());
    let repetition = series.steps.first().is_some_and(|step| step.unit == SampleUnit::Repetition);
    let size = text(&context.size);
    let counted = if context.gen_tokens.is_none() { counted_tokens(series) } else { None };
    GroupKey {
        host: text(&context.hostname),
        device: text(&context.device),
        model: context.model.clone().unwrap_or_else(|| size.clone()),
        size,
        engine: context.engine.clone(),
        engine_version: context.engine_version.clone(),
        quantize: text(&context.quantize),
        native_quantize: context.native_quantize.clone(),
        bits_per_weight: context.bits_per_weight,
        weights_bytes: context.weights_bytes,
        prompt_tokens: context.prompt_tokens,
        gen_tokens: context.gen_tokens.or(counted),
        gen_tokens_counted: counted.is_some(),
        depth: context.depth,
        threads: context.threads,
        batch: context.batch,
        ubatch: context.ubatch,
        flash_attn: context.flash_attn,
        kv_type: context.kv_type.clone(),
        unit: if repetition { "repetition" } else { "step" },
        throughput_source: context.throughput_source.map(|source| match source {
            crate::record::ThroughputSource::Model => "model",
            crate::record::ThroughputSource::Engine => "engine",
        }),
        case: context.case.clone(),
    }
}

/// Generated tokens of a series whose log does not tell: its steps, each of which is a token, or what each of its whole
/// repetitions says, where they agree.
fn counted_tokens(series: &Series) -> Option<u32> {
    let first = series.steps.first()?;
    match first.unit {
        SampleUnit::Step => u32::try_from(series.steps.len()).ok(),
        SampleUnit::Repetition => first.tokens.filter(|_| series.steps.iter().all(|step| step.tokens == first.tokens)),
    }
}

/// The key as text that sorts the way tables read: labels in the seed workflow's order, engines in ours.
fn sort_text(key: &GroupKey) -> String {
    let engine = ENGINES.iter().position(|engine| engine.name == key.engine).unwrap_or(ENGINES.len());
    let label = crate::engine::LABELS.iter().position(|label| *label == key.quantize).unwrap_or(9);
    // Not known is not zero.
    let n = |value: Option<u32>| value.map(|n| format!("{n:08}")).unwrap_or_default();
    let counted = if key.gen_tokens_counted { " counted" } else { "" };
    let bits = key.bits_per_weight.unwrap_or(0.0);
    format!(
        "{}\0{}\0{}\0{}\0{}\0{}{counted}\0{engine:02}\0{}\0{label}\0{}\0{:?}\0{:?}\0{bits:08.4}\0{:?}\0{:?}\0{:?}\0{:?}\0{:?}\0{}\0{:?}\0{:?}\0{:?}",
        key.host,
        key.device,
        key.model,
        n(key.depth),
        n(key.prompt_tokens),
        n(key.gen_tokens),
        key.engine,
        key.quantize,
        key.native_quantize,
        key.engine_version,
        key.threads,
        key.batch,
        key.ubatch,
        key.flash_attn,
        key.kv_type,
        key.unit,
        key.weights_bytes,
        key.throughput_source,
        key.case,
    )
}

fn build(key: GroupKey, members: &[&Series]) -> Group {
    let mut launches: Vec<(Option<&str>, Option<u32>)> = Vec::new();
    let mut repetitions = Vec::new();
    let mut passes: Vec<(usize, Vec<f64>)> = Vec::new();
    for series in members.iter().filter(|series| !series.steps.is_empty()) {
        let id = (series.context.uuid.as_deref(), series.context.launch);
        let launch = launches.iter().position(|known| *known == id).unwrap_or_else(|| {
            launches.push(id);
            launches.len() - 1
        });
        repetitions.extend(figures(series, launch));
        passes.push((launch, steps_of(series).filter_map(|step| step.total_ms).collect()));
    }
    let name = sort_text(&key);
    let estimate = |what: &str, speed: bool, figure: fn(&Repetition) -> Option<f64>| {
        let (samples, seed_name) = (by_unit(&repetitions, figure), format!("{name}\0{what}"));
        let made = if speed { Estimate::of_speed(&samples, &seed_name) } else { Estimate::new(&samples, &seed_name) };
        // One launch that stayed for all rounds is still one launch.
        made.map(|made| Estimate { launches: made.launches.min(launches.len()), ..made })
    };
    let per_launch = |what: &str, figure: fn(&Context) -> Option<f64>| {
        let values: BTreeMap<_, _> = members
            .iter()
            .filter_map(|s| Some(((s.context.uuid.as_deref(), s.context.launch), figure(&s.context)?)))
            .collect();
        Estimate::new(&values.into_values().map(|v| vec![v]).collect::<Vec<_>>(), &format!("{name}\0{what}"))
    };
    let highest = |figure: fn(&Context) -> Option<u64>| members.iter().filter_map(|s| figure(&s.context)).max();
    let decode_steps = || members.iter().flat_map(|series| steps_of(series));
    let changes = changes(&repetitions);
    Group {
        decode: estimate("decode", true, |r| r.decode_tok_s),
        tpot: estimate("tpot", false, |r| r.tpot_ms),
        ttft: estimate("ttft", false, |r| r.ttft_ms),
        prefill: estimate("prefill", true, |r| r.prefill_tok_s),
        e2e: estimate("e2e", false, |r| r.e2e_ms),
        memory: estimate("memory", true, |r| r.memory_gb_s),
        param: estimate("param", true, |r| r.param_gb_s),
        mixed: estimate("mixed", true, |r| r.mixed_tok_s),
        load: per_launch("load", |c| c.load_ms),
        warmup: per_launch("warmup", |c| c.warmup_ms),
        first_token_penalty: Estimate::new(&penalties(members), &format!("{name}\0first token")),
        steps: StepTimes::new(&passes),
        growth: growth(&repetitions, key.gen_tokens.map_or(0, |n| n.saturating_sub(1) as usize)),
        peak_rss_bytes: highest(|c| c.peak_rss_bytes),
        peak_anon_bytes: highest(|c| c.peak_anon_bytes),
        peak_device_bytes: highest(|c| c.peak_device_bytes),
        kv_bytes: highest(|c| c.kv_bytes),
        surroundings: Surroundings::of(members, &name),
        step_ms: decode_steps().filter_map(|s| s.total_ms).collect(),
        enqueue_ms: decode_steps().filter_map(|s| s.enqueue_ms).collect(),
        device_description: members.iter().find_map(|s| s.context.device_description.clone()),
        uuids: distinct(members.iter().filter_map(|s| s.context.uuid.clone())),
        failures: members
            .iter()
            .filter(|s| s.context.status == Status::Failed)
            .filter_map(|s| s.context.reason.clone())
            .collect(),
        warnings: distinct(
            members.iter().flat_map(|s| s.context.warnings.clone()).chain(changes.iter().map(|c| c.kind.code().into())),
        ),
        changes,
        interrupted: members.iter().any(|s| s.context.status == Status::Interrupted),
        repetitions,
        key,
    }
}

/// The decode steps of a series that are in the figures.
fn steps_of(series: &Series) -> impl Iterator<Item = &Step> {
    let decode = |step: &&Step| step.phase == Phase::Decode && step.unit == SampleUnit::Step;
    series.steps.iter().filter(decode).skip(cold_steps(series))
}

/// A launch among those of all logs: the log's uuid, and the launch's number in it.
type Launch<'a> = (Option<&'a str>, Option<u32>);

/// For each launch that knows both: TTFT of its first warm-up pass minus the mean TTFT of its repetitions, ms.
fn penalties(members: &[&Series]) -> Vec<Vec<f64>> {
    let mut launches: BTreeMap<Launch<'_>, (f64, Vec<f64>)> = BTreeMap::new();
    for series in members {
        let first = series.steps.iter().find(|step| step.phase == Phase::Prefill).and_then(|step| step.total_ms);
        if let (Some(cold), Some(first)) = (series.context.cold_ttft_ms, first) {
            let launch = (series.context.uuid.as_deref(), series.context.launch);
            launches.entry(launch).or_insert_with(|| (cold, Vec::new())).1.push(first);
        }
    }
    launches.into_values().map(|(cold, warm)| vec![cold - warm.iter().sum::<f64>() / warm.len() as f64]).collect()
}

fn distinct(names: impl Iterator<Item = String>) -> Vec<String> {
    let mut seen: Vec<String> = names.collect();
    seen.sort();
    seen.dedup();
    seen
}

/// A launch that failed before its model was loaded does not know threads, bits per weight and the like: its failure
/// is told in the group of the same case that does, where there is one.
fn adopt_failures(groups: &mut Vec<Group>) {
    let mut i = 0;
    while i < groups.len() {
        let lost = groups[i].repetitions.is_empty() && !groups[i].failures.is_empty();
        let home = lost
            .then(|| {
                groups.iter().position(|other| {
                    !other.repetitions.is_empty() && groups[i].uuids.iter().all(|uuid| other.uuids.contains(uuid))
                })
            })
            .flatten();
        match home {
            Some(home) => {
                let orphan = groups.remove(i);
                let home = if home > i { home - 1 } else { home };
                groups[home].failures.extend(orphan.failures);
            }
            None => i += 1,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::testing::LLAMA_BENCH;
    use std::path::Path;

    fn series(host: &str, launch: u32, step_ms: &[f64]) -> Series {
        let context = Context {
            engine: "llamacpp".into(),
            hostname: Some(host.into()),
            uuid: Some("0".into()),
            launch: Some(launch),
            quantize: Some("nf4".into()),
            ..Context::default()
        };
        let prefill = Step { phase: Phase::Prefill, tokens: Some(100), total_ms: Some(50.0), ..Step::default() };
        let decode = step_ms.iter().map(|ms| Step { tokens: Some(1), total_ms: Some(*ms), ..Step::default() });
        Series { context, steps: std::iter::once(prefill).chain(decode).collect() }
    }

    #[test]
    fn decode_speed_is_steps_over_time_and_prefill_stays_out() {
        let groups = groups(&[series("a", 1, &[10.0, 30.0])]);
        let group = &groups[0];
        assert_eq!(group.decode.as_ref().unwrap().mean, 50.0);
        assert_eq!(group.tpot.as_ref().unwrap().mean, 20.0);
        assert_eq!(group.prefill.as_ref().unwrap().mean, 2000.0);
        assert_eq!(group.e2e.as_ref().unwrap().mean, 90.0);
        assert_eq!(group.memory, None);
    }

    #[test]
    fn hosts_are_never_mixed_and_launches_are_told_apart() {
        let groups = groups(&[series("a", 1, &[10.0]), series("b", 1, &[20.0]), series("a", 2, &[10.0])]);
        assert_eq!(groups.len(), 2);
        assert_eq!(groups[0].decode.as_ref().unwrap().launches, 2);
    }

    /// A log as other tools write it: nothing is known of the workload.
    fn old(step_ms: &[f64]) -> Series {
        let mut old = series("a", 1, step_ms);
        old.steps.remove(0);
        old
    }

    #[test]
    fn logs_that_do_not_tell_their_length_are_told_apart_by_it() {
        let groups = groups(&[old(&[10.0; 20]), old(&[10.0; 20]), old(&[10.0; 100])]);
        let labels: Vec<_> = groups.iter().map(|g| (g.workload_label(), g.repetitions.len())).collect();
        assert_eq!(labels, [("decode 20 (counted)".to_owned(), 2), ("decode 100 (counted)".to_owned(), 1)]);
    }

    #[test]
    fn a_log_that_tells_its_length_is_not_mixed_with_one_that_does_not() {
        let mut telling = old(&[10.0; 20]);
        telling.context.gen_tokens = Some(20);
        let mut of_nothing = old(&[10.0; 20]);
        of_nothing.context.depth = Some(0);
        assert_eq!(groups(&[old(&[10.0; 20]), telling, of_nothing]).len(), 3);
    }

    #[test]
    fn two_logs_of_another_tool_are_two_launches() {
        let read = |name: &str| crate::record::read_log(LLAMA_BENCH.as_bytes(), Path::new(name)).unwrap().series;
        let groups = groups(&[read("a.jsonl"), read("b.jsonl")].concat());
        let decode = groups.iter().find_map(|group| group.decode.as_ref()).unwrap();
        assert_eq!((decode.launches, decode.n), (2, 6));
    }

    #[test]
    fn other_settings_of_the_engine_are_another_group() {
        let mut other = series("a", 1, &[20.0]);
        other.context.case = Some("0123".into());
        assert_eq!(groups(&[series("a", 1, &[10.0]), other]).len(), 2);
    }

    #[test]
    fn two_ways_into_an_engine_are_told_apart() {
        let mut served = series("a", 1, &[10.0]);
        served.context.engine_version = Some("1.0 via=serve".into());
        let mut inside = series("a", 1, &[12.0]);
        inside.context.engine_version = Some("1.0".into());
        let groups = groups(&[served, inside]);
        let mut labels: Vec<String> = groups.iter().map(|group| group.engine_label_among(&groups)).collect();
        labels.sort();
        assert!(labels.len() == 2 && labels[1].ends_with("(via=serve)") && !labels[0].contains('('), "{labels:?}");
        assert_eq!(groups[0].engine_label_among(&groups[..1]), groups[0].engine_label());
    }

    #[test]
    fn the_first_token_of_a_cold_engine_costs_more() {
        let mut cold = series("a", 1, &[10.0]);
        cold.context.cold_ttft_ms = Some(80.0);
        let groups = groups(&[cold, series("a", 2, &[10.0])]);
        assert_eq!(groups[0].first_token_penalty.as_ref().map(|penalty| (penalty.n, penalty.mean)), Some((1, 30.0)));
    }

    #[test]
    fn one_launch_over_many_rounds_has_an_interval_by_rounds() {
        let rounds = (1..=4).map(|round| {
            let mut one = series("a", 1, &[10.0 + f64::from(round)]);
            one.context.round = Some(round);
            one
        });
        let groups = groups(&rounds.collect::<Vec<_>>());
        let decode = groups[0].decode.as_ref().unwrap();
        assert!(decode.launches == 1 && decode.n == 4 && decode.ci.is_some(), "{decode:?}");
    }

    #[test]
    fn the_first_step_of_a_log_without_prefill_is_no_decode_interval() {
        let groups = groups(&[old(&[44.0, 20.0, 20.0])]);
        assert_eq!(groups[0].decode.as_ref().unwrap().mean, 50.0);
        assert_eq!(groups[0].step_ms, [20.0, 20.0]);
    }
}
