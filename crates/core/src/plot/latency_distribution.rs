//! How long single decode steps take: the distribution of inter-token latencies.

use super::chart::{Category, Chart, Entry};
use super::grouped::by_label;
use super::marks::Mark;
use super::roster::{Roster, facets_of};
use super::sheet::{Key, MOST_PANELS, Page, Sheet};
use super::{RUN, labels, text};
use crate::analyze::{Analysis, Group};
use crate::record::SampleUnit;

pub(super) const TITLE: &str = "Latency of decode steps";

/// From this ratio of largest to smallest latency on, the axis is logarithmic.
const WIDE: f64 = 6.0;

/// One panel per facet, a row per case.
pub(super) fn build(analysis: &Analysis) -> Sheet {
    let groups = &analysis.groups;
    let roster = Roster::new(groups);
    let measured = |group: &Group| !group.step_order.is_empty();
    if !groups.iter().any(measured) {
        return Page::nothing(TITLE, "no log holds single decode steps", RUN, labels::failures(groups));
    }
    let mut page = Page::of(
        analysis,
        TITLE,
        "Inter-token latency of every measured decode step, all repetitions; prefill is not in it.",
    );
    let facets = facets_of(groups, |group| measured(group) || labels::failed(group));
    let facets = page.choose(facets, MOST_PANELS, "cases");
    let mut charts: Vec<Chart> = facets.iter().filter_map(|cases| chart(&roster, cases)).collect();
    // One kind of axis for all panels: they are compared by eye.
    let wide = charts.iter().filter_map(Chart::range).any(|(low, high)| high / low > WIDE);
    for chart in &mut charts {
        chart.logarithmic = wide && chart.measured();
        chart.sideways = true;
    }
    let series = roster.series_of(facets.into_iter().flatten().filter(|case| measured(&groups[*case])));
    page.keys(series.into_iter().map(|(slot, name)| Key::Series(slot, name)));
    page.keys([Key::Dot("median"), Key::Line("p95", false), Key::Line("p99", true)]);
    page.note("Width of a shape: density of the steps, each shape scaled to the same width. The thin line runs from the shortest step to the longest.");
    if groups.iter().any(|group| group.key.unit == SampleUnit::Repetition) {
        page.note("Tools that report whole repetitions only (per run) have no single steps to show.");
    }
    page.section(charts);
    page.finish()
}

fn chart(roster: &Roster<'_>, cases: &[usize]) -> Option<Chart> {
    let entry = |case: usize| {
        let group = &roster.groups[case];
        let (mark, column) = match group.steps.as_ref().filter(|_| !group.step_order.is_empty()) {
            Some(steps) => {
                let percentiles = [steps.p50.ms, steps.p95.ms, steps.p99.ms];
                let [p50, p95, p99] = percentiles.map(text::figure);
                let column = format!("{p50} / {p95} / {p99} ms, n = {}", steps.n);
                // Steps of no time at all have no place on a logarithmic axis.
                let percentiles = percentiles.map(|ms| ms.max(group.step_order[0]));
                (Mark::Spread { sorted: group.step_order.clone(), percentiles }, column)
            }
            None if labels::failed(group) => (Mark::Failed, String::new()),
            None => return None,
        };
        Some(Entry { slot: roster.slot(case), mark, parts: labels::weights(group), column })
    };
    let categories = by_label(roster.groups, cases).into_iter().map(|(name, cases)| {
        let entries = cases.into_iter().filter_map(entry).collect();
        Category::new(name, entries)
    });
    let categories: Vec<Category> = categories.filter(|category| !category.entries.is_empty()).collect();
    let first = cases.iter().copied().find(|case| !labels::failed(&roster.groups[*case])).or(cases.first().copied())?;
    let mut chart = Chart::new(labels::facet_title(&roster.groups[first]), "Latency of a step (ms)", categories);
    chart.column = Some("p50 / p95 / p99".to_owned());
    (!chart.categories.is_empty()).then_some(chart)
}
