//! All cases at a glance: speed, latency, load time and memory, a row per case.

use super::roster::{Roster, facets};
use super::sheet::{Key, MOST_PANELS, Page, Sheet};
use super::table::{Cell, Measure, Row, Table};
use super::{RUN, labels};
use crate::analyze::{Analysis, Estimate, Group};

pub(super) const TITLE: &str = "Summary of all cases";

/// A measure: its name with the unit, and the cell of a case.
type Column = (&'static str, fn(&Group) -> Option<Cell>);

/// The measures, in rows of three.
const COLUMNS: [[Column; 3]; 2] = [
    [
        ("Decode (tokens/s)", |group| cell(group.decode.as_ref(), 1.0)),
        ("Prefill (tokens/s)", |group| cell(group.prefill.as_ref(), 1.0)),
        ("Time to first token (ms)", |group| cell(group.ttft.as_ref(), 1.0)),
    ],
    [
        ("Time per output token (ms)", |group| cell(group.tpot.as_ref(), 1.0)),
        ("Load time (s)", |group| cell(group.load.as_ref(), 1e-3)),
        ("Peak memory (GB)", memory),
    ],
];

fn cell(estimate: Option<&Estimate>, unit: f64) -> Option<Cell> {
    let estimate = estimate?;
    let ci = estimate.ci.map(|(low, high)| (low * unit, high * unit));
    Some(Cell { value: estimate.mean * unit, ci, other: None })
}

/// Highest resident memory of the process; beside it that of the device, where it was measured.
fn memory(group: &Group) -> Option<Cell> {
    let gigabytes = |bytes: u64| bytes as f64 / 1e9;
    let device = group.peak_device_bytes.filter(|bytes| *bytes > 0).map(gigabytes);
    let process = group.peak_rss_bytes.or(group.peak_anon_bytes).map(gigabytes);
    Some(Cell { value: process.or(device)?, ci: None, other: process.and(device) })
}

/// Two tables of three measures over the same rows.
pub(super) fn build(analysis: &Analysis) -> Sheet {
    let groups = &analysis.groups;
    let roster = Roster::new(groups);
    if groups.iter().all(|group| group.repetitions.is_empty()) {
        return Page::nothing(TITLE, "nothing was measured", RUN, labels::failures(groups));
    }
    let mut page = Page::of(
        analysis,
        TITLE,
        "Mean over repetitions (load: over launches) with its 95% interval; peak memory: the highest of all launches.",
    );
    // A heading takes less room than a panel.
    let facets = page.choose(facets(groups), 2 * MOST_PANELS, "cases");
    let (rows, cases) = rows(&roster, &facets);
    let shown = cases.iter().copied().flatten();
    page.keys(roster.series_of(shown).into_iter().map(|(slot, name)| Key::Point(slot, name)));
    let mut tables = Vec::new();
    let (mut intervals, mut devices) = (false, false);
    for columns in COLUMNS {
        let measures = columns.map(|(name, cell)| {
            let cells: Vec<Option<Cell>> = cases.iter().map(|case| cell(&groups[(*case)?])).collect();
            intervals |= cells.iter().flatten().any(|cell| cell.ci.is_some());
            devices |= cells.iter().flatten().any(|cell| cell.other.is_some());
            Measure { name, cells }
        });
        tables.push(Table { rows: rows.clone(), measures: measures.into() });
    }
    page.keys(intervals.then_some(Key::Interval("95% interval of the mean")));
    page.keys(devices.then_some(Key::Hollow("peak memory of the device")));
    page.note("bpw: bits per weight as stored. Memory: resident memory of the engine's process, mapped model files included. 1 GB = 10^9 bytes.");
    for table in tables {
        page.section(vec![table]);
    }
    page.finish()
}

/// The rows, and the case that each stands for; a facet begins with a heading.
fn rows(roster: &Roster<'_>, facets: &[Vec<usize>]) -> (Vec<Row>, Vec<Option<usize>>) {
    let groups = roster.groups;
    let (mut rows, mut cases) = (Vec::new(), Vec::new());
    for facet in facets {
        let first = facet.iter().copied().find(|case| !labels::failed(&groups[*case])).unwrap_or(facet[0]);
        rows.push(Row::Heading(labels::facet_title(&groups[first]).join(" · ")));
        cases.push(None);
        for case in facet.iter().copied() {
            let group = &groups[case];
            let figure = group.key.bits_per_weight.map(|bits| format!(" {bits:.2} bpw")).unwrap_or_default();
            let name = format!("{} {}", roster.name(case), group.short_quantize_label());
            rows.push(Row::Case { slot: roster.slot(case), name, figure, failed: labels::failed(group) });
            cases.push(Some(case));
        }
    }
    (rows, cases)
}
