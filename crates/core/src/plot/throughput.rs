//! Bytes per second in decode: `memory_throughput` counts all that a step moves, `param_throughput` the weights alone.

use super::chart::arrange;
use super::grouped::{OF_THE_MEAN, Shown, bar_keys, bar_notes, charts};
use super::roster::{Roster, facets_of};
use super::sheet::{MOST_PANELS, Page, Sheet};
use super::{RUN, labels};
use crate::analyze::{Analysis, Group};

pub(super) const MEMORY_TITLE: &str = "Memory throughput in decode";
pub(super) const PARAM_TITLE: &str = "Parameter throughput in decode";

/// All bytes that a decode step reads and writes / its time.
pub(super) fn memory(analysis: &Analysis) -> Sheet {
    let shown = Shown {
        axis: "Memory (GB/s)",
        figure: |group| group.memory.as_ref(),
        details: |group| group.key.throughput_source.map(|source| format!("by {}", source.word())),
    };
    let subtitle = "Bytes that a decode step must move / its time. 1 GB = 10^9 bytes.";
    let notes = [
        "by model: weights as stored and the KV cache at that depth, counted by Tokometer; by engine: the engine's own count.",
        "Figures of different counters are not comparable.",
    ];
    build(analysis, MEMORY_TITLE, subtitle, &shown, "no log says how many bytes a step moves", &notes)
}

/// Bytes of the weights as stored / time of a decode step.
pub(super) fn param(analysis: &Analysis) -> Sheet {
    let shown = Shown { axis: "Parameters (GB/s)", figure: |group| group.param.as_ref(), details: |_| None };
    let subtitle = "Bytes of the weights as stored / time of a decode step. 1 GB = 10^9 bytes.";
    let notes = ["Every weight is counted once per step, whatever the engine keeps in caches or skips."];
    build(analysis, PARAM_TITLE, subtitle, &shown, "no log says how many bytes the weights have", &notes)
}

fn build(
    analysis: &Analysis,
    title: &'static str,
    subtitle: &str,
    shown: &Shown<'_>,
    missing: &str,
    notes: &[&str],
) -> Sheet {
    let groups: &[Group] = &analysis.groups;
    let roster = Roster::new(groups);
    let measured = |group: &Group| (shown.figure)(group).is_some();
    if !groups.iter().any(measured) {
        return Page::nothing(title, missing, RUN, labels::failures(groups));
    }
    let mut page = Page::of(analysis, title, subtitle);
    let facets = facets_of(groups, |group| measured(group) || labels::failed(group));
    let facets = page.choose(facets, MOST_PANELS, "cases");
    let mut sections = [charts(&roster, &facets, shown)];
    page.columns(arrange(&mut sections));
    page.keys(bar_keys(roster.series_of(0..groups.len()), OF_THE_MEAN, &sections));
    for note in notes {
        page.note(*note);
    }
    bar_notes(&mut page, &sections);
    let [charts] = sections;
    page.section(charts);
    page.finish()
}
