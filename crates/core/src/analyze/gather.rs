//! Series -> groups. Each series is reduced to its numbers when it comes, so that no more than these are in memory; the
//! figures are computed at the end, on all cores.

use super::drift::{changes, growth};
use super::group::by_launch;
use super::repetition::{cold_steps, figures};
use super::steps::order;
use super::surroundings::Around;
use super::validity::Runs;
use super::{Analysis, Estimate, Group, GroupKey, Repetition, StepTimes, Typical, Validity};
use crate::engine::{ENGINES, LABELS};
use crate::fingerprint;
use crate::parallel::on_all_cores;
use crate::record::{Context, Phase, SampleUnit, Series, Status, Step, ThroughputSource};
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};

/// Groups series and computes each group's figures. Order: host, device, model, workload, engine, quantization.
pub fn groups(series: &[Series]) -> Vec<Group> {
    Gatherer::of(series).groups()
}

/// Takes series one after the other and makes the analysis of them; the same series in the same order give the same
/// analysis, to the last bit.
#[derive(Default)]
pub struct Gatherer {
    /// By the text that they are sorted by.
    groups: BTreeMap<String, Gathered>,
    runs: Runs,
}

/// Groups of an earlier analysis by the hash of what their figures come from.
pub(super) type Known = BTreeMap<String, Group>;

impl Gatherer {
    /// Of series that are all there.
    pub fn of(series: &[Series]) -> Gatherer {
        let mut gatherer = Gatherer::default();
        series.iter().for_each(|one| gatherer.push(one));
        gatherer
    }

    /// Hears of one more series.
    pub fn push(&mut self, series: &Series) {
        self.runs.push(series);
        let key = key_of(series);
        self.groups.entry(sort_text(&key)).or_insert_with(|| Gathered::new(key)).push(series);
    }

    /// The groups alone.
    pub fn groups(self) -> Vec<Group> {
        figured(self.groups, &Known::new())
    }

    /// The verdicts on the runs, and the groups.
    pub fn judged(self) -> (Vec<Validity>, Vec<Group>) {
        (self.runs.finish(), figured(self.groups, &Known::new()))
    }

    /// The analysis, without evaluations.
    pub fn finish(self) -> Analysis {
        self.finish_with(&Known::new())
    }

    /// The same; figures of groups that are known from the same numbers are taken over.
    pub(super) fn finish_with(self, known: &Known) -> Analysis {
        Analysis::of(self.runs.finish(), figured(self.groups, known))
    }
}

/// The figures of all groups, in order.
fn figured(gathered: BTreeMap<String, Gathered>, known: &Known) -> Vec<Group> {
    let gathered: Vec<Gathered> = gathered.into_values().collect();
    adopt_failures(on_all_cores(gathered, |group| group.figure(known)))
}

/// A launch among those of all logs: the log's uuid, and the launch's number in it.
pub(super) type Launch = (Option<String>, Option<u32>);

/// What the series of a group come down to.
#[derive(Serialize)]
struct Gathered {
    key: GroupKey,
    /// Launches that measured something, with their numbers in the order in which they came.
    launches: BTreeMap<Launch, usize>,
    repetitions: Vec<Repetition>,
    /// Latencies of the decode steps of each series, with the launch.
    passes: Vec<(usize, Vec<f64>)>,
    load: BTreeMap<Launch, f64>,
    warmup: BTreeMap<Launch, f64>,
    /// TTFT of the first warm-up pass, and of the repetitions.
    first_tokens: BTreeMap<Launch, (f64, Vec<f64>)>,
    around: Around,
    peaks: Peaks,
    device_description: Option<String>,
    uuids: BTreeSet<String>,
    warnings: BTreeSet<String>,
    failures: Vec<String>,
    interrupted: bool,
}

/// Highest memory of all launches, bytes.
#[derive(Default, Serialize)]
struct Peaks {
    rss: Option<u64>,
    anon: Option<u64>,
    device: Option<u64>,
    kv: Option<u64>,
}

impl Peaks {
    fn push(&mut self, context: &Context) {
        self.rss = self.rss.max(context.peak_rss_bytes);
        self.anon = self.anon.max(context.peak_anon_bytes);
        self.device = self.device.max(context.peak_device_bytes);
        self.kv = self.kv.max(context.kv_bytes);
    }
}

impl Gathered {
    fn new(key: GroupKey) -> Gathered {
        Gathered {
            key,
            launches: BTreeMap::new(),
            repetitions: Vec::new(),
            passes: Vec::new(),
            load: BTreeMap::new(),
            warmup: BTreeMap::new(),
            first_tokens: BTreeMap::new(),
            around: Around::default(),
            peaks: Peaks::default(),
            device_description: None,
            uuids: BTreeSet::new(),
            warnings: BTreeSet::new(),
            failures: Vec::new(),
            interrupted: false,
        }
    }

    fn push(&mut self, series: &Series) {
        let context = &series.context;
        let launch: Launch = (context.uuid.clone(), context.launch);
        self.around.push(&launch, context);
        self.peaks.push(context);
        if self.device_description.is_none() {
            self.device_description.clone_from(&context.device_description);
        }
        self.uuids.extend(context.uuid.clone());
        self.warnings.extend(context.warnings.iter().cloned());
        self.failures.extend(context.reason.clone().filter(|_| context.status == Status::Failed));
        self.interrupted |= context.status == Status::Interrupted;
        self.measured(&launch, series);
        let first = series.steps.iter().find(|step| step.phase == Phase::Prefill).and_then(|step| step.total_ms);
        if let (Some(cold), Some(first)) = (context.cold_ttft_ms, first) {
            self.first_tokens.entry(launch.clone()).or_insert_with(|| (cold, Vec::new())).1.push(first);
        }
        if let Some(ms) = context.load_ms {
            self.load.insert(launch.clone(), ms);
        }
        if let Some(ms) = context.warmup_ms {
            self.warmup.insert(launch, ms);
        }
    }

    /// The figures of the repetition, if there is one.
    fn measured(&mut self, launch: &Launch, series: &Series) {
        if series.steps.is_empty() {
            return;
        }
        let next = self.launches.len();
        let number = *self.launches.entry(launch.clone()).or_insert(next);
        self.repetitions.extend(figures(series, number));
        self.passes.push((number, steps_of(series).filter_map(|step| step.total_ms).collect()));
    }

    /// The group, taken over where it is known.
    fn figure(self, known: &Known) -> Group {
        let bytes = postcard::to_stdvec(&self).expect("plain data serializes");
        let inputs = fingerprint::of_bytes(&bytes);
        match known.get(&inputs) {
            // Failures of other groups may have been added to its own.
            Some(group) => Group { failures: self.failures, ..group.clone() },
            None => self.group(inputs),
        }
    }

    fn group(self, inputs: String) -> Group {
        let (key, repetitions, launches) = (self.key, self.repetitions, self.launches.len());
        let name = sort_text(&key);
        let estimate = |what: &str, speed: bool, figure: fn(&Repetition) -> Option<f64>| {
            let (samples, seed_name) = (by_unit(&repetitions, figure), format!("{name}\0{what}"));
            let made =
                if speed { Estimate::of_speed(&samples, &seed_name) } else { Estimate::new(&samples, &seed_name) };
            // One launch that stayed for all rounds is still one launch.
            made.map(|made| Estimate { launches: made.launches.min(launches), ..made })
        };
        let per_launch = |what: &str, values: BTreeMap<Launch, f64>| {
            Estimate::new(&values.into_values().map(|v| vec![v]).collect::<Vec<_>>(), &format!("{name}\0{what}"))
        };
        let changes = changes(&repetitions);
        let mut warnings = self.warnings;
        warnings.extend(changes.iter().map(|change| change.kind.code().to_owned()));
        Group {
            decode: estimate("decode", true, |r| r.decode_tok_s),
            tpot: estimate("tpot", false, |r| r.tpot_ms),
            typical: Typical::new(&by_unit(&repetitions, |r| r.step_ms.or(r.tpot_ms)), &format!("{name}\0typical")),
            ttft: estimate("ttft", false, |r| r.ttft_ms),
            prefill: estimate("prefill", true, |r| r.prefill_tok_s),
            e2e: estimate("e2e", false, |r| r.e2e_ms),
            memory: estimate("memory", true, |r| r.memory_gb_s),
            param: estimate("param", true, |r| r.param_gb_s),
            mixed: estimate("mixed", true, |r| r.mixed_tok_s),
            load: per_launch("load", self.load),
            warmup: per_launch("warmup", self.warmup),
            first_token_penalty: Estimate::new(&penalties(self.first_tokens), &format!("{name}\0first token")),
            steps: StepTimes::new(&self.passes),
            growth: growth(&repetitions, key.gen_tokens.map_or(0, |n| n.saturating_sub(1) as usize)),
            peak_rss_bytes: self.peaks.rss,
            peak_anon_bytes: self.peaks.anon,
            peak_device_bytes: self.peaks.device,
            kv_bytes: self.peaks.kv,
            surroundings: self.around.finish(&name),
            step_order: order(&self.passes),
            inputs,
            device_description: self.device_description,
            uuids: self.uuids.into_iter().collect(),
            failures: self.failures,
            warnings: warnings.into_iter().collect(),
            changes,
            interrupted: self.interrupted,
            repetitions,
            key,
        }
    }
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
        unit: if repetition { SampleUnit::Repetition } else { SampleUnit::Step },
        throughput_source: context.throughput_source,
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
    let label = LABELS.iter().position(|label| *label == key.quantize).unwrap_or(9);
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
        key.unit.word(),
        key.weights_bytes,
        key.throughput_source.map(ThroughputSource::word),
        key.case,
    )
}

/// The decode steps of a series that are in the figures.
fn steps_of(series: &Series) -> impl Iterator<Item = &Step> {
    let decode = |step: &&Step| step.phase == Phase::Decode && step.unit == SampleUnit::Step;
    series.steps.iter().filter(decode).skip(cold_steps(series))
}

/// For each launch that knows both: TTFT of its first warm-up pass minus the mean TTFT of its repetitions, ms.
fn penalties(first_tokens: BTreeMap<Launch, (f64, Vec<f64>)>) -> Vec<Vec<f64>> {
    let launches = first_tokens.into_values();
    launches.map(|(cold, warm)| vec![cold - warm.iter().sum::<f64>() / warm.len() as f64]).collect()
}

/// A launch that failed before its model was loaded does not know threads, bits per weight and the like: its failure
/// is told in the group of the same case that does, where there is one.
fn adopt_failures(mut groups: Vec<Group>) -> Vec<Group> {
    let homes = homes(&groups);
    for (i, home) in homes.iter().enumerate() {
        if let Some(home) = home {
            let told = std::mem::take(&mut groups[i].failures);
            groups[*home].failures.extend(told);
        }
    }
    groups.into_iter().zip(homes).filter(|(_, home)| home.is_none()).map(|(group, _)| group).collect()
}

/// For each group that holds nothing but failures: the first one that measured something and has all of its logs.
fn homes(groups: &[Group]) -> Vec<Option<usize>> {
    let measured: Vec<usize> = (0..groups.len()).filter(|i| !groups[*i].repetitions.is_empty()).collect();
    let mut by_log: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    for i in &measured {
        for uuid in &groups[*i].uuids {
            by_log.entry(uuid).or_default().push(*i);
        }
    }
    let home = |group: &Group| {
        let candidates = match group.uuids.first() {
            Some(uuid) => by_log.get(uuid.as_str())?,
            None => &measured,
        };
        let has_all = |i: &&usize| group.uuids.iter().all(|uuid| groups[**i].uuids.binary_search(uuid).is_ok());
        candidates.iter().find(has_all).copied()
    };
    let lost = |group: &Group| group.repetitions.is_empty() && !group.failures.is_empty();
    groups.iter().map(|group| if lost(group) { home(group) } else { None }).collect()
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
    fn a_failure_that_knows_little_is_told_with_its_case() {
        let lost = |uuid: Option<&str>| {
            let mut lost = series("a", 2, &[]);
            lost.steps.clear();
            lost.context.uuid = uuid.map(str::to_owned);
            (lost.context.quantize, lost.context.case) = (None, uuid.map(str::to_owned));
            (lost.context.status, lost.context.reason) = (Status::Failed, Some(format!("crash of {uuid:?}")));
            lost
        };
        let all = [series("a", 1, &[10.0]), lost(Some("0")), lost(Some("1"))];
        let groups = groups(&all);
        assert_eq!(groups.iter().map(|group| group.failures.len()).collect::<Vec<_>>(), [1, 1]);
        let home = groups.iter().find(|group| group.decode.is_some()).unwrap();
        assert_eq!(home.failures, ["crash of Some(\"0\")"]);
    }

    #[test]
    fn known_figures_are_taken_over_as_long_as_nothing_changed() {
        let all = [series("a", 1, &[10.0]), series("b", 1, &[20.0])];
        let marked = |group: Group| (group.inputs.clone(), Group { device_description: Some("known".into()), ..group });
        let known: Known = groups(&all).into_iter().map(marked).collect();
        let mut gatherer = Gatherer::default();
        gatherer.push(&all[0]);
        gatherer.push(&series("b", 1, &[21.0]));
        let told: Vec<_> =
            gatherer.finish_with(&known).groups.into_iter().map(|group| group.device_description).collect();
        assert_eq!(told, [Some("known".to_owned()), None]);
    }

    #[test]
    fn the_first_step_of_a_log_without_prefill_is_no_decode_interval() {
        let groups = groups(&[old(&[44.0, 20.0, 20.0])]);
        assert_eq!(groups[0].decode.as_ref().unwrap().mean, 50.0);
        assert_eq!(groups[0].step_order, [20.0, 20.0]);
    }
}
