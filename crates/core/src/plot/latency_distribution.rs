//! How long single decode steps take: the distribution of inter-token latencies.

use super::chart::{Category, Chart, Entry};
use super::grouped::{by_label, measured};
use super::marks::Mark;
use super::roster::{Roster, facets};
use super::sheet::{Key, Page, Sheet};
use super::{RUN, labels, text};
use crate::analyze::{Analysis, quantile};

pub(super) const TITLE: &str = "Latency of decode steps";

/// From this ratio of largest to smallest latency on, the axis is logarithmic.
const WIDE: f64 = 6.0;

/// One panel per facet, a row per case.
pub(super) fn build(analysis: &Analysis) -> Sheet {
    let groups = &analysis.groups;
    let roster = Roster::new(groups);
    let mut charts: Vec<Chart> = facets(groups).iter().filter_map(|cases| chart(&roster, cases)).collect();
    if !measured(&charts) {
        return Page::nothing(TITLE, "no log holds single decode steps", RUN, labels::failures(groups));
    }
    // One kind of axis for all panels: they are compared by eye.
    let wide = charts.iter().filter_map(Chart::range).any(|(low, high)| high / low > WIDE);
    for chart in &mut charts {
        chart.logarithmic = wide && chart.measured();
        chart.sideways = true;
    }
    let mut page =
        Page::new(TITLE, "Inter-token latency of every measured decode step, all repetitions; prefill is not in it.");
    let series = roster.series_of((0..groups.len()).filter(|case| !groups[*case].step_ms.is_empty()));
    page.keys(series.into_iter().map(|(slot, name)| Key::Series(slot, name)));
    page.keys([Key::Dot("median"), Key::Line("p95", false), Key::Line("p99", true)]);
    page.note("Width of a shape: density of the steps, each shape scaled to the same width. The thin line runs from the shortest step to the longest.");
    if groups.iter().any(|group| group.key.unit == "repetition") {
        page.note("Tools that report whole repetitions only (per run) have no single steps to show.");
    }
    page.section(charts);
    page.finish()
}

fn chart(roster: &Roster<'_>, cases: &[usize]) -> Option<Chart> {
    let entry = |case: usize| {
        let group = &roster.groups[case];
        let mut sorted: Vec<f64> = group.step_ms.iter().copied().filter(|ms| ms.is_finite() && *ms > 0.0).collect();
        sorted.sort_by(f64::total_cmp);
        let (mark, column) = match sorted.is_empty() {
            false => {
                let at = |q: f64| text::figure(quantile(&sorted, q));
                let column = format!("{} / {} / {} ms, n = {}", at(0.5), at(0.95), at(0.99), sorted.len());
                (Mark::Spread { sorted }, column)
            }
            true if labels::failed(group) => (Mark::Failed, String::new()),
            true => return None,
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
