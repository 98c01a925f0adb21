//! What a section's first table has no room for: how long one waits, and what it takes of the machine's memory.

use super::Session;
use super::analyze::{gigabytes, plus_minus, with_interval};
use crate::terminal::{Align, Style, Table};
use tokometer_core::analyze::{EngineLabels, Estimate, Group, StepTimes};

/// Steps from which on a 95th percentile is told: one lies beyond it.
const FOR_P95: usize = 20;
/// The same of the 99th.
const FOR_P99: usize = 100;

/// Two tables of the cases that were measured; columns that nobody filled are left out, and so is an empty table.
pub fn show(session: &Session<'_>, groups: &[&Group], labels: &EngineLabels) {
    let measured: Vec<&Group> = groups.iter().copied().filter(|group| !group.repetitions.is_empty()).collect();
    let name = |group: &Group| format!("{} {}", labels.of(group), group.short_quantize_label());
    let tables = [("Latency", latency(&measured, name)), ("Memory and start", memory(&measured, name))];
    for (title, table) in tables {
        let Some(table) = table else { continue };
        session.terminal.line(&session.terminal.paint(Style::Bold, title));
        table.lines(session.terminal.width()).iter().for_each(|line| session.terminal.line(line));
        session.terminal.line("");
    }
}

/// What one waits for: the first token, the others, all of them.
fn latency(groups: &[&Group], name: impl Fn(&Group) -> String) -> Option<Table> {
    let table = Table::new(&[
        ("case", Align::Left),
        ("TTFT ms", Align::Right),
        ("TPOT ms", Align::Right),
        ("step p50", Align::Right),
        ("p95", Align::Right),
        ("p99", Align::Right),
        ("longest", Align::Right),
        ("E2E ms", Align::Right),
        ("typical step", Align::Right),
    ]);
    let mean = |estimate: &Option<Estimate>| estimate.as_ref().map(with_interval).unwrap_or_default();
    let step = |group: &Group, least: usize, of: fn(&StepTimes) -> f64| {
        let steps = group.steps.as_ref().filter(|steps| steps.n >= least);
        steps.map(|steps| format!("{:.2}", of(steps))).unwrap_or_default()
    };
    filled(table, groups, name, |group| {
        vec![
            mean(&group.ttft),
            mean(&group.tpot),
            step(group, 1, |steps| steps.p50.ms),
            step(group, FOR_P95, |steps| steps.p95.ms),
            step(group, FOR_P99, |steps| steps.p99.ms),
            step(group, 1, |steps| steps.max_ms),
            mean(&group.e2e),
            group.typical.map(|typical| plus_minus(typical.step_ms, typical.ci)).unwrap_or_default(),
        ]
    })
}

/// How much memory it takes, at its highest where that changes, and how long a start.
fn memory(groups: &[&Group], name: impl Fn(&Group) -> String) -> Option<Table> {
    let table = Table::new(&[
        ("case", Align::Left),
        ("weights GB", Align::Right),
        ("KV GB", Align::Right),
        ("RSS GB", Align::Right),
        ("anon GB", Align::Right),
        ("device GB", Align::Right),
        ("load ms", Align::Right),
        ("first token + ms", Align::Right),
        ("warm-up ms", Align::Right),
    ]);
    let mean = |estimate: &Option<Estimate>, digits: usize| {
        estimate.as_ref().map(|estimate| format!("{:.digits$}", estimate.mean)).unwrap_or_default()
    };
    let gb = |bytes: Option<u64>| bytes.map(gigabytes).unwrap_or_default();
    filled(table, groups, name, |group| {
        vec![
            gb(group.key.weights_bytes),
            gb(group.kv_bytes),
            gb(group.peak_rss_bytes),
            gb(group.peak_anon_bytes),
            gb(group.peak_device_bytes),
            mean(&group.load, 0),
            mean(&group.first_token_penalty, 1),
            mean(&group.warmup, 0),
        ]
    })
}

/// The table with a row for each case; `None` where no cell says anything.
fn filled(
    mut table: Table,
    groups: &[&Group],
    name: impl Fn(&Group) -> String,
    cells: impl Fn(&Group) -> Vec<String>,
) -> Option<Table> {
    let mut told = false;
    for group in groups {
        let cells = cells(group);
        told |= cells.iter().any(|cell| !cell.is_empty());
        table.row([vec![name(group)], cells].concat());
    }
    told.then_some(table)
}
