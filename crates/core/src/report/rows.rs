//! The result tables: one section per set of comparable cases, one row per case.

use super::number::{count, estimate, gigabytes, interval, number, value};
use super::section::{case, detail, place, schedule_text, sections, shown, workload};
use crate::analyze::{Analysis, Comparison, Group, Percentile, Roofline, StepTimes};
use serde_json::{Value, json};

/// The sections that are shown.
pub fn results(analysis: &Analysis) -> Vec<Value> {
    let told = Told::of(analysis);
    shown(sections(&analysis.groups)).sets.iter().map(|section| one(&told, section)).collect()
}

/// What is known of each group beside its own figures.
struct Told<'a> {
    groups: &'a [Group],
    ratios: Vec<Option<&'a Comparison>>,
    roofs: Vec<Option<&'a Roofline>>,
}

impl<'a> Told<'a> {
    fn of(analysis: &'a Analysis) -> Told<'a> {
        let mut ratios = vec![None; analysis.groups.len()];
        analysis.speedups.iter().for_each(|comparison| ratios[comparison.group] = Some(comparison));
        let mut roofs = vec![None; analysis.groups.len()];
        analysis.roofline.iter().for_each(|roof| roofs[roof.group] = Some(roof));
        Told { groups: &analysis.groups, ratios, roofs }
    }
}

fn one(told: &Told<'_>, section: &[usize]) -> Value {
    let groups = told.groups;
    let first = &groups[section[0]];
    let speed = |i: usize| groups[i].decode.as_ref().map(|decode| decode.mean);
    let best = section
        .iter()
        .copied()
        .filter(|i| speed(*i).is_some())
        .max_by(|a, b| speed(*a).partial_cmp(&speed(*b)).unwrap_or(std::cmp::Ordering::Equal));
    let ratios: Vec<&Comparison> = section.iter().filter_map(|i| told.ratios[*i]).collect();
    // One baseline for all is told once, above the table.
    let baseline =
        ratios.first().filter(|first| ratios.iter().all(|r| r.baseline == first.baseline)).map(|r| r.against.clone());
    let rows: Vec<Value> = section
        .iter()
        .map(|i| row(told, section, *i, baseline.is_none(), best == Some(*i) && section.len() > 1))
        .collect();
    json!({
        "host": first.key.host,
        "device": first.key.device,
        "model": first.key.model,
        "place": place(&first.key),
        "workload": workload(first),
        "unit": first.key.unit,
        "baseline": baseline,
        "rows": rows,
    })
}

fn row(told: &Told<'_>, section: &[usize], i: usize, tell_baseline: bool, best: bool) -> Value {
    let group = &told.groups[i];
    let key = &group.key;
    let mut row = json!({
        "case": case(group),
        "engine": group.engine_label(),
        "engine_version": key.engine_version,
        "quantize": group.quantize_label(),
        "detail": detail(told.groups, section, i),
        "bits": value(key.bits_per_weight),
        "weights": gigabytes(key.weights_bytes),
        "decode": estimate(group.decode.as_ref(), 1.0),
        "ratio": told.ratios[i].map(|comparison| ratio(comparison, i, tell_baseline)),
        "prefill": estimate(group.prefill.as_ref(), 1.0),
        "mixed": estimate(group.mixed.as_ref(), 1.0),
        "ttft": estimate(group.ttft.as_ref(), 1.0),
        "first_token_penalty": estimate(group.first_token_penalty.as_ref(), 1.0),
        "tpot": estimate(group.tpot.as_ref(), 1.0),
        "e2e": estimate(group.e2e.as_ref(), 1.0),
        "step_p50": step(group, |steps| &steps.p50),
        "step_p95": step(group, |steps| &steps.p95),
        "step_p99": step(group, |steps| &steps.p99),
        "memory": estimate(group.memory.as_ref(), 1.0),
        "param": estimate(group.param.as_ref(), 1.0),
        "kv": gigabytes(group.kv_bytes),
        "rss": gigabytes(group.peak_rss_bytes),
        "anon": gigabytes(group.peak_anon_bytes),
        "device_memory": gigabytes(group.peak_device_bytes),
        "load": estimate(group.load.as_ref(), 1e-3),
        "warmup": estimate(group.warmup.as_ref(), 1e-3),
        "runs": schedule_text(group),
        "best": best,
        "flags": flags(group),
    });
    for (key, share) in machine_share(told, i) {
        row[key] = share;
    }
    row
}

/// What a case uses of the machine.
fn machine_share(told: &Told<'_>, i: usize) -> [(&'static str, Value); 6] {
    let roof = told.roofs[i];
    let of = |figure: fn(&Roofline) -> Option<f64>| value(roof.and_then(figure));
    [
        ("bytes_per_token", of(|roof| Some(roof.bytes_per_token? / 1e9))),
        ("roof_gb_s", of(|roof| roof.roof_gb_s)),
        ("bandwidth_percent", of(|roof| roof.bandwidth_percent)),
        ("roof_gflops", of(|roof| roof.roof_gflops)),
        ("compute_percent", of(|roof| roof.compute_percent)),
        ("joules", estimate(told.groups[i].surroundings.joules_per_token.as_ref(), 1.0)),
    ]
}

fn ratio(comparison: &Comparison, i: usize, tell_baseline: bool) -> Value {
    let is_baseline = comparison.baseline == i;
    json!({
        "text": if is_baseline { "baseline".to_owned() } else { format!("{}×", number(comparison.ratio)) },
        "interval": comparison.ci.map(|ci| interval(comparison.ratio, ci)),
        "mean": comparison.ratio,
        "low": comparison.ci.map(|ci| ci.0),
        "high": comparison.ci.map(|ci| ci.1),
        "against": comparison.against,
        "note": (tell_baseline && !is_baseline).then(|| format!("of {}", comparison.against)),
    })
}

/// A percentile of the latencies of single decode steps, ms.
fn step(group: &Group, of: fn(&StepTimes) -> &Percentile) -> Value {
    value(group.steps.as_ref().map(|steps| of(steps).ms))
}

/// What a reader must know of a row.
fn flags(group: &Group) -> Vec<String> {
    let mut flags = Vec::new();
    if !group.failures.is_empty() {
        flags.push(format!("{} failed", count(group.failures.len(), "launch", "launches")));
    }
    if group.interrupted {
        flags.push("cut off".to_owned());
    }
    flags.extend(group.warnings.iter().map(|code| code.replace('_', " ")));
    flags
}
