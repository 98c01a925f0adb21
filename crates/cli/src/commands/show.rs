//! `tokometer show`: where a figure came from.

use super::{OK, SOME_FAILED, Session, again, print_json};
use crate::args::Show;
use crate::terminal::{Style, Terminal};
use anyhow::Result;
use serde_json::Value;
use tokometer_core::machine::{Conditions, Machine, Reading};
use tokometer_core::record::provenance::{self, Provenance};
use tokometer_core::shell;

/// The command.
pub fn show(session: &Session<'_>, options: &Show) -> Result<u8> {
    let logs = provenance::find(&session.folders.output(), &options.run)?;
    let all = logs.iter().map(|log| provenance::read(log)).collect::<provenance::Result<Vec<Provenance>>>()?;
    if options.json {
        print_json(session.terminal, &all)?;
    } else {
        for (i, one) in all.iter().enumerate() {
            if i > 0 {
                session.terminal.line("");
            }
            print(session.terminal, one);
        }
    }
    let edited: Vec<&Provenance> = all.iter().filter(|one| one.check.is_edited()).collect();
    for one in &edited {
        session.terminal.error(&format!(
            "{} is not as it was written: {}",
            one.log.display(),
            one.check.problems.join("; ")
        ));
    }
    Ok(if edited.is_empty() { OK } else { SOME_FAILED })
}

fn print(terminal: &Terminal, one: &Provenance) {
    terminal.field("log", &one.log.display().to_string());
    terminal.field("check", &one.check.words());
    measurement(terminal, one);
    engine(terminal, one);
    model(terminal, one);
    workload(terminal, one);
    machine(terminal, one);
    for (code, message) in one.warnings.iter().filter(|(code, _)| !code.is_empty()) {
        terminal.field("warning", &format!("{code}: {message}"));
    }
    for reason in &one.failures {
        terminal.field("failure", reason.lines().next().unwrap_or_default());
    }
    if !one.command.is_empty() {
        // Not broken into lines: it is to be copied.
        terminal.line(&terminal.paint(Style::Bold, &shell::line(&one.command)));
    }
    let again = again::line(one);
    if again != one.command {
        terminal.line("This case alone, as `tokometer rerun` measures it again:");
        terminal.line(&terminal.paint(Style::Bold, &shell::line(&again)));
    }
}

fn measurement(terminal: &Terminal, one: &Provenance) {
    let get = |key: &str| one.header(key).unwrap_or("unknown");
    let status = one.check.status.as_deref().unwrap_or("unfinished");
    terminal.field(
        "measured",
        &format!("{}, {status}: {} launch(es), {} repetitions", get("started_utc"), one.launches, one.repetitions),
    );
    terminal.field("by", &format!("{} on {}", get("username"), get("hostname")));
    let label = one.header(provenance::label::KEY).map(|label| format!(", label {label}")).unwrap_or_default();
    terminal.field("names", &format!("uuid {}, case {}, run {}{label}", get("uuid"), get("case"), get("run")));
    if !one.schedule.is_null() {
        terminal.field("schedule", &flat(&one.schedule));
    }
}

fn engine(terminal: &Terminal, one: &Provenance) {
    for worker in &one.workers {
        terminal.field(
            "engine",
            &format!(
                "{} {}, worker {}",
                text(&worker["engine"]),
                text(&worker["engine_version"]),
                text(&worker["worker_version"])
            ),
        );
        for (key, value) in worker["build"].as_object().into_iter().flatten() {
            terminal.field("build", &format!("{key}: {}", text(value)));
        }
    }
    let loaded = &one.loaded;
    if !loaded.is_null() {
        terminal.field("device", [text(&loaded["device"]), text(&loaded["device_description"])].join(" ").trim());
    }
}

fn model(terminal: &Terminal, one: &Provenance) {
    let manifest = &one.manifest;
    if manifest.is_null() {
        return;
    }
    let source = &manifest["source"];
    let revision = source["revision"].as_str().map(|revision| format!(" at {revision}")).unwrap_or_default();
    terminal.field("model", &format!("{} from {}{revision}", text(&manifest["name"]), text(&source["model"])));
    let bits =
        manifest["bits_per_weight"].as_f64().map(|bits| format!(", {bits:.3} bits per weight")).unwrap_or_default();
    let bytes =
        manifest["weights_bytes"].as_u64().map(|bytes| format!(", {bytes} bytes of weights")).unwrap_or_default();
    let native = one.loaded["native_quantize"].as_str().filter(|native| !native.is_empty());
    let native = native.map_or_else(|| text(&manifest["native"]), str::to_owned);
    terminal.field("quantize", &format!("{} as {native}{bits}{bytes}", text(&one.case["quantize"])));
    for (name, files) in [("source", &source["files"]), ("prepared", &manifest["files"])] {
        for file in files.as_array().into_iter().flatten() {
            let words = format!("{} ({} bytes) sha256 {}", text(&file["name"]), file["bytes"], text(&file["sha256"]));
            terminal.field(name, &words);
        }
    }
    for (tool, version) in manifest["tools"].as_object().into_iter().flatten() {
        terminal.field("tool", &format!("{tool}: {}", text(version)));
    }
}

fn workload(terminal: &Terminal, one: &Provenance) {
    let case = &one.case;
    if case.is_null() {
        return;
    }
    terminal.field("workload", &format!("{}, seed {}", flat(&case["workload"]), case["seed"]));
    for (name, tokens) in [("prompt", &one.prompt), ("context", &one.context)] {
        if let Some(tokens) = tokens {
            terminal.field(name, &format!("{} token ids, sha256 {}", tokens.count, tokens.sha256));
        }
    }
    terminal.field("settings", &flat(&case["settings"]));
}

fn machine(terminal: &Terminal, one: &Provenance) {
    if let Ok(machine) = serde_json::from_value::<Machine>(one.machine.clone()) {
        let governor = machine.governor.as_ref().map(|governor| format!(", governor {governor}")).unwrap_or_default();
        terminal.field("machine", &format!("{}{governor}", machine.line()));
    }
    let range = |figure: fn(&Reading) -> Option<f64>| {
        let values = || one.probes.iter().filter_map(figure);
        Some((values().reduce(f64::min)?, values().reduce(f64::max)?))
    };
    let memory = range(|probe| probe.bandwidth_gb_s).map(|(low, high)| format!(", {low:.1} to {high:.1} GB/s"));
    let compute = range(|probe| probe.gflops).map(|(low, high)| format!(", {low:.0} to {high:.0} GFLOP/s"));
    if let Some(first) = one.probes.first() {
        let figures = [memory, compute].into_iter().flatten().collect::<String>();
        let n = one.probes.len();
        terminal.field("probes", &format!("{n} with {} thread(s){figures} ({})", first.threads, first.kernel));
    }
    if !one.conditions.is_empty() {
        terminal.field("conditions", &conditions(&one.conditions));
    }
}

/// A condition's name, where it stands, and its unit.
type Condition = (&'static str, fn(&Conditions) -> Option<f64>, &'static str);

const CONDITIONS: [Condition; 9] = [
    ("load before", |all| all.load_before, ""),
    ("processors busy", |all| all.busy_percent, "%"),
    ("by others", |all| all.others_percent, "%"),
    ("stolen", |all| all.steal_percent, "%"),
    ("waiting for a processor", |all| all.cpu_pressure_percent, "%"),
    ("waiting for memory", |all| all.memory_pressure_percent, "%"),
    ("frequency", |all| all.freq_mhz, " MHz"),
    ("temperature", |all| all.temperature_c, " °C"),
    ("throttled", |all| all.throttle_events.map(|n| n as f64), " times"),
];

/// From the lowest to the highest of all launches, as far as the machine told.
fn conditions(all: &[Conditions]) -> String {
    let short = |value: f64| format!("{:.1}", value).trim_end_matches(".0").to_owned();
    let range = |(name, of, unit): &Condition| {
        let values = || all.iter().filter_map(of);
        let (low, high) = (short(values().reduce(f64::min)?), short(values().reduce(f64::max)?));
        let words = if low == high { low } else { format!("{low} to {high}") };
        Some(format!("{name} {words}{unit}"))
    };
    let mut words: Vec<String> = CONDITIONS.iter().filter_map(range).collect();
    let used = |one: &&Conditions| one.busiest_other.is_some() && one.busiest_other_percent.is_some();
    let busiest = all.iter().filter(used).max_by(|a, b| {
        let percent = |one: &Conditions| one.busiest_other_percent.unwrap_or(0.0);
        percent(a).total_cmp(&percent(b))
    });
    if let Some((name, percent)) = busiest.and_then(|one| one.busiest_other.as_ref().zip(one.busiest_other_percent)) {
        words.push(format!("busiest other {name} with {}% of a processor", short(percent)));
    }
    if all.iter().any(|one| one.on_battery) {
        words.push("on battery".into());
    }
    let n = all.len();
    format!("in {n} visit(s) of rounds: {}", words.join(", "))
}

/// A value in words: text without quotes, nothing for null.
fn text(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// An object as `key value, key value`; what is not set is left out.
fn flat(value: &Value) -> String {
    let Some(object) = value.as_object() else { return text(value) };
    let entries = object.iter().filter(|(_, value)| !value.is_null());
    let words = entries.filter_map(|(key, value)| match value.as_object() {
        Some(inner) if inner.is_empty() => None,
        Some(_) => Some(format!("{key}: {}", flat(value))),
        None => Some(format!("{} {}", key.replace('_', " "), text(value))),
    });
    words.collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn conditions_are_told_from_the_lowest_to_the_highest() {
        let one = |steal, other: &str, percent| Conditions {
            steal_percent: Some(steal),
            busy_percent: Some(97.0),
            busiest_other: Some(other.to_owned()),
            busiest_other_percent: Some(percent),
            ..Conditions::default()
        };
        let words = conditions(&[one(0.25, "cron", 3.0), one(1.5, "make", 12.5)]);
        let expected = "in 2 visit(s) of rounds: processors busy 97%, stolen 0.2 to 1.5%, busiest other make with 12.5% of a processor";
        assert_eq!(words, expected);
    }

    #[test]
    fn settings_read_as_words() {
        let value = json!({"threads": 2, "kv_type": null, "flash_attn": true, "options": {}, "more": {"a": "b"}});
        assert_eq!(flat(&value), "threads 2, flash attn true, more: a b");
        assert_eq!((flat(&Value::Null), text(&json!("x"))), (String::new(), "x".to_owned()));
    }
}
