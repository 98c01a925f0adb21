//! The result tables: one section per set of comparable cases, one row per case.

use super::number::{count, estimate, gigabytes, interval, number, value};
use super::section::{case, detail, place, schedule_text, sections, workload};
use crate::analyze::{Analysis, Comparison, Group, Roofline, quantile};
use serde_json::{Value, json};

/// All sections.
pub fn results(analysis: &Analysis) -> Vec<Value> {
    sections(&analysis.groups).iter().map(|section| one(analysis, section)).collect()
}

fn one(analysis: &Analysis, section: &[usize]) -> Value {
    let groups = &analysis.groups;
    let first = &groups[section[0]];
    let speed = |i: usize| groups[i].decode.as_ref().map(|decode| decode.mean);
    let best = section
        .iter()
        .copied()
        .filter(|i| speed(*i).is_some())
        .max_by(|a, b| speed(*a).partial_cmp(&speed(*b)).unwrap_or(std::cmp::Ordering::Equal));
    let ratios: Vec<&Comparison> = section.iter().filter_map(|i| ratio_of(analysis, *i)).collect();
    // One baseline for all is told once, above the table.
    let baseline =
        ratios.first().filter(|first| ratios.iter().all(|r| r.baseline == first.baseline)).map(|r| r.against.clone());
    let rows: Vec<Value> = section
        .iter()
        .map(|i| row(analysis, section, *i, baseline.is_none(), best == Some(*i) && section.len() > 1))
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

fn ratio_of(analysis: &Analysis, i: usize) -> Option<&Comparison> {
    analysis.speedups.iter().find(|comparison| comparison.group == i)
}

fn row(analysis: &Analysis, section: &[usize], i: usize, tell_baseline: bool, best: bool) -> Value {
    let group = &analysis.groups[i];
    let key = &group.key;
    let mut row = json!({
        "case": case(group),
        "engine": group.engine_label(),
        "engine_version": key.engine_version,
        "quantize": group.quantize_label(),
        "detail": detail(&analysis.groups, section, i),
        "bits": value(key.bits_per_weight),
        "weights": gigabytes(key.weights_bytes),
        "decode": estimate(group.decode.as_ref(), 1.0),
        "ratio": ratio_of(analysis, i).map(|comparison| ratio(comparison, i, tell_baseline)),
        "prefill": estimate(group.prefill.as_ref(), 1.0),
        "mixed": estimate(group.mixed.as_ref(), 1.0),
        "ttft": estimate(group.ttft.as_ref(), 1.0),
        "tpot": estimate(group.tpot.as_ref(), 1.0),
        "e2e": estimate(group.e2e.as_ref(), 1.0),
        "step_p50": step(group, 0.5),
        "step_p95": step(group, 0.95),
        "step_p99": step(group, 0.99),
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
    for (key, share) in machine_share(analysis, i) {
        row[key] = share;
    }
    row
}

/// What a case uses of the machine.
fn machine_share(analysis: &Analysis, i: usize) -> [(&'static str, Value); 6] {
    let roof = analysis.roofline.iter().find(|roof| roof.group == i);
    let of = |figure: fn(&Roofline) -> Option<f64>| value(roof.and_then(figure));
    [
        ("bytes_per_token", of(|roof| Some(roof.bytes_per_token? / 1e9))),
        ("roof_gb_s", of(|roof| roof.roof_gb_s)),
        ("bandwidth_percent", of(|roof| roof.bandwidth_percent)),
        ("roof_gflops", of(|roof| roof.roof_gflops)),
        ("compute_percent", of(|roof| roof.compute_percent)),
        ("joules", estimate(analysis.groups[i].surroundings.joules_per_token.as_ref(), 1.0)),
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

/// A quantile of the latencies of single decode steps, ms.
fn step(group: &Group, q: f64) -> Value {
    let mut sorted = group.step_ms.clone();
    sorted.sort_by(f64::total_cmp);
    value((!sorted.is_empty()).then(|| quantile(&sorted, q)))
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
