//! Where and with what: machines, models, versions, commands, and what went wrong.

use super::context::ReportContext;
use super::method::{distinct, first};
use super::number::{gigabytes, value};
use super::section::case;
use crate::analyze::{Analysis, Group, by_key, warning_meaning};
use crate::shell;
use serde_json::{Value, json};
use std::collections::HashSet;

/// Characters of a reason that fit a slide.
const LONG: usize = 400;

/// One entry per host of the analysis: its devices, and what the runs say of it.
pub fn machines(analysis: &Analysis, context: &ReportContext) -> Vec<Value> {
    hosts(analysis).iter().map(|host| machine(analysis, context, host)).collect()
}

/// The hosts, in the order of the analysis.
pub fn hosts(analysis: &Analysis) -> Vec<String> {
    distinct(analysis.groups.iter().map(|group| group.key.host.clone()))
}

fn machine(analysis: &Analysis, context: &ReportContext, host: &str) -> Value {
    let here = || analysis.groups.iter().filter(|group| group.key.host == host);
    let devices = distinct(here().map(|group| match &group.device_description {
        Some(words) => format!("{}: {words}", group.key.device),
        None => group.key.device.clone(),
    }));
    let runs = context.runs.iter().filter(|run| run.host.as_deref() == Some(host));
    json!({
        "host": host,
        "devices": devices,
        "lines": distinct(runs.flat_map(|run| run.machine.iter().cloned())),
        "threads": distinct(here().filter_map(|group| group.key.threads).map(|n| n.to_string())),
    })
}

/// Models by name, in the order of the analysis.
pub fn models(analysis: &Analysis) -> Vec<String> {
    distinct(analysis.groups.iter().map(|group| group.key.model.clone()))
}

/// Each model as each engine really had it: native quantization, bits per weight, bytes, source.
pub fn builds(analysis: &Analysis, context: &ReportContext) -> Vec<Value> {
    let mut known = HashSet::new();
    let builds = analysis.groups.iter().map(|group| build(group, context));
    builds.filter(|build| known.insert(build.to_string())).collect()
}

fn build(group: &Group, context: &ReportContext) -> Value {
    let key = &group.key;
    json!({
        "model": key.model,
        "size": key.size,
        "engine": key.engine,
        "quantize": key.quantize,
        "native": key.native_quantize,
        "bits": value(key.bits_per_weight),
        "weights": gigabytes(key.weights_bytes),
        "source": context.source(&key.model, &key.quantize),
    })
}

/// Cases that are named with a reason; more are counted.
const NAMED: usize = 6;
/// Names of raw logs that are listed.
const LOGS: usize = 100;

/// What failed, with the reason: each reason once for each host, with the cases that it stopped.
pub fn failures(analysis: &Analysis) -> Vec<Value> {
    let all: Vec<(&Group, String)> = analysis
        .groups
        .iter()
        .flat_map(|group| group.failures.iter().map(move |reason| (group, clipped(reason))))
        .collect();
    let same = by_key(0..all.len(), |i| (all[i].0.key.host.as_str(), all[i].1.as_str()));
    let entry = |same: Vec<usize>| {
        let (group, reason) = &all[same[0]];
        let names = distinct(same.iter().map(|i| case(all[*i].0)));
        let more = names.len().saturating_sub(NAMED);
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        let shown: Vec<String> = names.into_iter().take(NAMED).collect();
        json!({"case": format!("{}{more}", shown.join(", ")), "host": group.key.host, "reason": reason})
    };
    same.into_iter().map(entry).collect()
}

/// The beginning of a text that may hold pages of an engine's output.
fn clipped(text: &str) -> String {
    match text.char_indices().nth(LONG) {
        Some((end, _)) => format!("{} …", text[..end].trim_end()),
        None => text.trim_end().to_owned(),
    }
}

/// Cases that are named with a warning.
const CARRIERS: usize = 24;

/// Warnings, each with the cases that carry it.
pub fn warnings(analysis: &Analysis, context: &ReportContext) -> Vec<Value> {
    let codes = distinct(analysis.groups.iter().flat_map(|group| group.warnings.iter().cloned()));
    codes
        .iter()
        .map(|code| {
            let carriers = analysis.groups.iter().filter(|group| group.warnings.contains(code));
            let cases = distinct(carriers.map(|group| format!("{} on {}", case(group), group.key.host)));
            let cases = first(cases, CARRIERS);
            // Of what came out only when the whole log was read, no words are recorded.
            let text = context.warning_texts.get(code).map(String::as_str).or_else(|| warning_meaning(code));
            json!({"code": code, "title": code.replace('_', " "), "text": text, "cases": cases})
        })
        .collect()
}

/// How to repeat it: commands, versions, names of the raw logs.
pub fn repeat(analysis: &Analysis, context: &ReportContext) -> Value {
    let own = ("tokometer".to_owned(), env!("CARGO_PKG_VERSION").to_owned());
    let of_engines = analysis.groups.iter().filter_map(|g| Some((g.key.engine.clone(), g.key.engine_version.clone()?)));
    let of_runs = context.runs.iter().flat_map(|run| run.versions.iter().cloned());
    let mut known = HashSet::new();
    let versions =
        std::iter::once(own).chain(of_engines).chain(of_runs).filter(|version| known.insert(version.clone()));
    let versions: Vec<Value> = versions.map(|(name, version)| json!({"name": name, "version": version})).collect();
    let logs = distinct(analysis.groups.iter().flat_map(|group| group.uuids.iter().cloned()));
    json!({
        "commands": distinct(context.runs.iter().filter(|run| !run.command.is_empty()).map(|run| shell::line(&run.command))),
        "versions": versions,
        "logs": first(logs, LOGS),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_reason_is_clipped_between_characters() {
        assert_eq!(clipped("short\n"), "short");
        assert_eq!(clipped(&"ä".repeat(LONG + 1)), format!("{} …", "ä".repeat(LONG)));
    }
}
