//! How it was measured, and what the figures do not say.

use super::context::ReportContext;
use super::glance::FEW_LAUNCHES;
use super::number::count;
use super::section::{schedule, schedule_text, sections, shown};
use crate::analyze::{Analysis, Group, Judge, RESAMPLES, WITHIN};
use crate::record::{SampleUnit, ThroughputSource};
use serde_json::{Value, json};
use std::collections::HashSet;

/// Terms as this project uses them.
const DEFINITIONS: &[(&str, &str)] = &[
    ("Prefill", "the prompt up to and including the first token; its speed is prompt tokens / TTFT."),
    ("TTFT", "time to first token."),
    ("Decode", "every token after the first; decode tokens/s = 1 / TPOT."),
    ("TPOT", "time per output token: (time of last − time of first token) / (tokens − 1)."),
    ("Step latency", "the wall time of one decode step; p99 is the time that 99% of the steps stay below."),
    ("Bits per weight", "8 × bytes of the weights as stored / number of weights: measured, not the name."),
];

/// Workloads, repetitions, warm-up, definitions, intervals.
pub fn method(analysis: &Analysis) -> Value {
    let definitions: Vec<Value> = DEFINITIONS.iter().map(|(term, text)| json!({"term": term, "text": text})).collect();
    json!({
        "workloads": distinct(analysis.groups.iter().map(Group::workload_label).filter(|w| !w.is_empty())),
        "repetitions": repetitions(&analysis.groups),
        "rounds": rounds(&analysis.groups),
        "warmup": warmup(&analysis.groups),
        "definitions": definitions,
        "interval": format!(
            "Intervals hold the mean with 95% confidence: Student's t over launches (of a single launch: over its rounds or repetitions) gives their width, a bootstrap of {RESAMPLES} resamples how it lies around the mean. Cases are called faster, slower or the same within {}% only where the interval of their ratio allows nothing else, at {} for all comparisons that are read together.",
            WITHIN * 100.0,
            Judge::default().level_text(),
        ),
        "resamples": RESAMPLES,
    })
}

fn repetitions(groups: &[Group]) -> String {
    let texts = distinct(groups.iter().filter_map(schedule_text));
    match texts.as_slice() {
        [] => "Nothing was measured yet.".to_owned(),
        [one] => format!("{one} (launches × repetitions in each) for every case."),
        several => format!("{} (launches × repetitions in each), depending on the case.", several.join(", ")),
    }
}

fn rounds(groups: &[Group]) -> Option<String> {
    let rounds = groups.iter().any(|group| group.repetitions.iter().any(|repetition| repetition.round.is_some()));
    rounds.then(|| {
        "Each round measures every case once, in a shuffled order: slow drift of the machine hits all cases alike."
            .to_owned()
    })
}

fn warmup(groups: &[Group]) -> String {
    let measured = groups.iter().filter(|group| !group.repetitions.is_empty()).count();
    let warm = groups.iter().filter(|group| group.warmup.is_some()).count();
    if measured == 0 {
        String::new()
    } else if warm == measured {
        "Every launch warms up first; that pass is timed and shown, and is in no other figure.".to_owned()
    } else if warm == 0 {
        "The logs record no warm-up: first steps may hold work that later ones do not.".to_owned()
    } else {
        format!(
            "{warm} of {} record a warm-up, which is in no other figure; the others may hold first-time work.",
            count(measured, "case", "cases")
        )
    }
}

/// What must not be read into the figures.
pub fn limits(analysis: &Analysis, context: &ReportContext) -> Vec<String> {
    let groups = &analysis.groups;
    let any = |test: fn(&Group) -> bool| groups.iter().any(test);
    let quality = match analysis.scores.is_empty() {
        true => "Speed only: what a quantization costs in the quality of the answers is not measured here.",
        false => "Quality is that of these tasks and texts: another task may suffer more from a quantization, or less.",
    };
    let mut limits = vec![
        quality.to_owned(),
        "One sequence at a time: nothing here says how an engine serves many users at once.".to_owned(),
        "The intervals cover what varied between these launches on these machines. Another machine, version, driver or setting is another measurement.".to_owned(),
    ];
    let mut add = |applies: bool, text: &str| limits.extend(applies.then(|| text.to_owned()));
    add(
        context.sources.iter().any(|source| source.source.starts_with("synthetic:"))
            || any(|g| g.key.model.starts_with("synthetic:")),
        "Synthetic models have random weights: their speed is that of a real model of the same shape, their text means nothing.",
    );
    add(hosts(groups) > 1, "No figure is averaged over hosts; hosts differ in more than what is listed.");
    add(
        any(|g| (1..FEW_LAUNCHES).contains(&schedule(g).len())),
        "Some cases rest on few launches; their intervals are too narrow where launches differ.",
    );
    add(
        any(|g| g.key.unit == SampleUnit::Repetition),
        "Cases marked (per run) come from a tool that keeps one time per repetition; they have no step latencies and are compared only with each other.",
    );
    add(
        any(|g| g.mixed.is_some()),
        "Speeds called mixed hold prefill and decode in one figure and cannot be compared with either.",
    );
    add(
        any(|g| g.key.throughput_source == Some(ThroughputSource::Engine)),
        "Where an engine counts its own memory traffic, GB/s is that count and not comparable with the others' (weights as stored plus KV cache).",
    );
    if let Some(choice) = analysis.choice() {
        add(true, &choice);
    }
    let part = shown(sections(groups));
    add(
        part.is_part(),
        &format!(
            "The tables list {} of {} cases, in {} of {} sections: those with the most cases first, of equals the first in the order of tables. `tokometer present --only KEY=VALUE` makes them of others, `tokometer analyze --json` holds all.",
            part.items(),
            part.items_in_all,
            part.sets.len(),
            part.sets_in_all,
        ),
    );
    let unknown = groups.iter().filter(|g| g.key.bits_per_weight.is_none()).count();
    add(
        unknown > 0,
        &format!(
            "The bits per weight of {} not known: an equal label does not mean an equal format.",
            count(unknown, "case are", "cases are")
        ),
    );
    limits
}

fn hosts(groups: &[Group]) -> usize {
    distinct(groups.iter().map(|group| group.key.host.clone())).len()
}

/// Each text once, in the order of first appearance.
pub fn distinct(texts: impl Iterator<Item = String>) -> Vec<String> {
    let mut seen = HashSet::new();
    texts.filter(|text| seen.insert(text.clone())).collect()
}

/// The first of many texts, and how many more there are.
pub fn first(texts: Vec<String>, most: usize) -> Vec<String> {
    let more = texts.len().saturating_sub(most);
    let shown = texts.into_iter().take(most);
    shown.chain((more > 0).then(|| format!("and {more} more"))).collect()
}
