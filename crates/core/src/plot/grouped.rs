//! Charts with one panel per facet, quantization labels as categories and a bar per engine: what four plots share.

use super::chart::{Category, Chart, Entry};
use super::labels;
use super::marks::Mark;
use super::roster::Roster;
use super::sheet::{Key, Page};
use crate::analyze::{Estimate, Group, by_key};

/// What a chart shows of each case.
pub(super) struct Shown<'a> {
    /// Name of the value axis with its unit.
    pub axis: &'a str,
    /// The figure.
    pub figure: fn(&Group) -> Option<&Estimate>,
    /// Details beside the quantization's own.
    pub details: fn(&Group) -> Option<String>,
}

/// Charts of one figure. Facets in which no case has it, and none failed, are left out.
pub(super) fn charts(roster: &Roster<'_>, facets: &[Vec<usize>], shown: &Shown<'_>) -> Vec<Chart> {
    facets.iter().filter_map(|cases| chart(roster, cases, shown)).collect()
}

fn chart(roster: &Roster<'_>, cases: &[usize], shown: &Shown<'_>) -> Option<Chart> {
    let entry = |case: usize| {
        let group = &roster.groups[case];
        let mark = match (shown.figure)(group) {
            Some(estimate) => Mark::bar(estimate),
            None if labels::failed(group) => Mark::Failed,
            None => return None,
        };
        let mut parts = labels::weights(group);
        parts.extend((shown.details)(group));
        Some(Entry { slot: roster.slot(case), mark, parts, column: String::new() })
    };
    let named = by_label(roster.groups, cases).into_iter().map(|(name, cases)| {
        let entries = cases.into_iter().filter_map(entry).collect();
        Category::new(name, entries)
    });
    let categories: Vec<Category> = named.filter(|category| !category.entries.is_empty()).collect();
    // A title from a case that was measured: a failed one may not know its device.
    let first = cases.iter().copied().find(|case| !labels::failed(&roster.groups[*case])).or(cases.first().copied())?;
    let chart = Chart::new(labels::facet_title(&roster.groups[first]), shown.axis, categories);
    (!chart.categories.is_empty()).then_some(chart)
}

/// Cases by quantization label, in the order in which the labels come.
pub(super) fn by_label(groups: &[Group], cases: &[usize]) -> Vec<(String, Vec<usize>)> {
    let mut sets = by_key(cases.iter().copied(), |case| groups[case].key.quantize.as_str());
    // Of several engines, one may lack a label that another has: order by labels, then by the order of tables.
    let rank = |case: usize| {
        let label = &groups[case].key.quantize;
        crate::engine::LABELS.iter().position(|known| known == label).unwrap_or(crate::engine::LABELS.len())
    };
    sets.sort_by_key(|set| rank(set[0]));
    sets.into_iter().map(|set| (groups[set[0]].key.quantize.clone(), set)).collect()
}

/// What the whiskers of means are.
pub(super) const OF_THE_MEAN: &str = "95% interval of the mean";

/// The legend of charts of bars: their series, the interval, the repetitions.
pub(super) fn bar_keys(series: Vec<(usize, String)>, interval: &'static str, sections: &[Vec<Chart>]) -> Vec<Key> {
    let used = |slot: usize| sections.iter().flatten().flat_map(Chart::entries).any(|entry| entry.slot == slot);
    let mut keys: Vec<Key> =
        series.into_iter().filter(|(slot, _)| used(*slot)).map(|(slot, name)| Key::Series(slot, name)).collect();
    let bars = || {
        sections.iter().flatten().flat_map(Chart::entries).filter_map(|entry| match &entry.mark {
            Mark::Bar { ci, samples, .. } => Some((ci.is_some(), samples.len())),
            _ => None,
        })
    };
    if bars().any(|(known, _)| known) {
        keys.push(Key::Interval(interval));
    }
    if bars().any(|(_, samples)| samples > 1) {
        keys.push(Key::Dot("one repetition"));
    }
    keys
}

/// Notes that charts of bars owe their reader.
pub(super) fn bar_notes(page: &mut Page, sections: &[Vec<Chart>]) {
    let mut marks = sections.iter().flatten().flat_map(Chart::entries).map(|entry| &entry.mark);
    if marks.any(|mark| matches!(mark, Mark::Bar { ci: None, .. })) {
        page.note("A bar without whiskers comes from a single repetition: nothing can be said of its spread.");
    }
}
