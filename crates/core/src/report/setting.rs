//! Where and with what: machines, models, versions, commands, and what went wrong.

use super::context::ReportContext;
use super::method::distinct;
use super::number::{gigabytes, value};
use super::section::case;
use crate::analyze::{Analysis, Group, warning_meaning};
use crate::shell;
use serde_json::{Value, json};

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
    let mut builds: Vec<Value> = Vec::new();
    for group in &analysis.groups {
        let build = build(group, context);
        if !builds.contains(&build) {
            builds.push(build);
        }
    }
    builds
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

/// What failed, with the reason: each reason once for each host, with the cases that it stopped.
pub fn failures(analysis: &Analysis) -> Vec<Value> {
    let mut found: Vec<(&str, String, Vec<String>)> = Vec::new();
    for group in &analysis.groups {
        for reason in &group.failures {
            let (host, reason, case) = (group.key.host.as_str(), clipped(reason), case(group));
            match found.iter_mut().find(|(known, same, _)| *known == host && *same == reason) {
                Some((_, _, cases)) => cases.push(case),
                None => found.push((host, reason, vec![case])),
            }
        }
    }
    let entry = |(host, reason, cases): (&str, String, Vec<String>)| {
        let names = distinct(cases.into_iter());
        let more = names.len().saturating_sub(NAMED);
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        let shown: Vec<String> = names.into_iter().take(NAMED).collect();
        json!({"case": format!("{}{more}", shown.join(", ")), "host": host, "reason": reason})
    };
    found.into_iter().map(entry).collect()
}

/// The beginning of a text that may hold pages of an engine's output.
fn clipped(text: &str) -> String {
    match text.char_indices().nth(LONG) {
        Some((end, _)) => format!("{} …", text[..end].trim_end()),
        None => text.trim_end().to_owned(),
    }
}

/// Warnings, each with the cases that carry it.
pub fn warnings(analysis: &Analysis, context: &ReportContext) -> Vec<Value> {
    let codes = distinct(analysis.groups.iter().flat_map(|group| group.warnings.iter().cloned()));
    codes
        .iter()
        .map(|code| {
            let carriers = analysis.groups.iter().filter(|group| group.warnings.contains(code));
            let cases = distinct(carriers.map(|group| format!("{} on {}", case(group), group.key.host)));
            // Of what came out only when the whole log was read, no words are recorded.
            let text = context.warning_texts.get(code).map(String::as_str).or_else(|| warning_meaning(code));
            json!({"code": code, "title": code.replace('_', " "), "text": text, "cases": cases})
        })
        .collect()
}

/// How to repeat it: commands, versions, names of the raw logs.
pub fn repeat(analysis: &Analysis, context: &ReportContext) -> Value {
    let mut versions = vec![("tokometer".to_owned(), env!("CARGO_PKG_VERSION").to_owned())];
    let of_engines = analysis.groups.iter().filter_map(|g| Some((g.key.engine.clone(), g.key.engine_version.clone()?)));
    for version in of_engines.chain(context.runs.iter().flat_map(|run| run.versions.iter().cloned())) {
        if !versions.contains(&version) {
            versions.push(version);
        }
    }
    json!({
        "commands": distinct(context.runs.iter().filter(|run| !run.command.is_empty()).map(|run| shell::line(&run.command))),
        "versions": versions.into_iter().map(|(name, version)| json!({"name": name, "version": version})).collect::<Vec<_>>(),
        "logs": distinct(analysis.groups.iter().flat_map(|group| group.uuids.iter().cloned())),
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
