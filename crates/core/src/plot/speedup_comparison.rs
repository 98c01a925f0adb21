//! Decode speed of each case relative to its baseline.

use super::chart::{Category, Chart, Entry, arrange};
use super::grouped::{bar_keys, by_label};
use super::marks::Mark;
use super::roster::{Roster, facets};
use super::sheet::{MOST_PANELS, Page, Sheet};
use super::{RUN_BOTH, labels};
use crate::analyze::{Analysis, Comparison};

pub(super) const TITLE: &str = "Decode speed relative to a baseline";

/// One panel per facet in which anything can be compared.
pub(super) fn build(analysis: &Analysis) -> Sheet {
    let groups = &analysis.groups;
    let roster = Roster::new(groups);
    let mut compared: Vec<Option<&Comparison>> = vec![None; groups.len()];
    analysis.speedups.iter().for_each(|comparison| compared[comparison.group] = Some(comparison));
    let mut facets = facets(groups);
    let ratio = |case: &usize| compared[*case].is_some_and(|comparison| comparison.group != comparison.baseline);
    facets.retain(|cases| cases.iter().any(ratio));
    for cases in &mut facets {
        cases.retain(|case| compared[*case].is_some() || labels::failed(&groups[*case]));
    }
    if facets.is_empty() {
        let what = "no two cases of one host, device, model and workload can be compared";
        return Page::nothing(TITLE, what, RUN_BOTH, labels::failures(groups));
    }
    let mut page = Page::of(analysis, TITLE, "Ratio of mean decode speeds: above 1× is faster than the baseline.");
    let facets = page.choose(facets, MOST_PANELS, "cases");
    let charts: Vec<Chart> = facets.iter().filter_map(|cases| chart(analysis, &roster, &compared, cases)).collect();
    let mut sections = [charts];
    page.columns(arrange(&mut sections));
    page.keys(bar_keys(roster.series_of(0..groups.len()), "95% interval of the ratio", &sections));
    page.note("The interval is that of the ratio, round by round where both were measured in turn; the baseline itself has none.");
    page.note("bpw: bits per weight as stored. Cases with different bits per weight do not compute the same thing.");
    let [charts] = sections;
    page.section(charts);
    page.finish()
}

fn chart(analysis: &Analysis, roster: &Roster<'_>, all: &[Option<&Comparison>], cases: &[usize]) -> Option<Chart> {
    let compared: Vec<&Comparison> = cases.iter().filter_map(|case| all[*case]).collect();
    let first = *compared.first()?;
    let (axis, named_in_axis) = axis(analysis, roster, &compared);
    let entry = |case: usize| {
        let group = &roster.groups[case];
        let mut parts = labels::weights(group);
        let mark = match all[case] {
            Some(comparison) => {
                if comparison.group == comparison.baseline {
                    parts.push("baseline".to_owned());
                } else if !named_in_axis {
                    parts.push(format!("vs {}", comparison.against));
                }
                Mark::Bar { value: comparison.ratio, ci: comparison.ci, samples: Vec::new() }
            }
            None if labels::failed(group) => Mark::Failed,
            None => return None,
        };
        Some(Entry { slot: roster.slot(case), mark, parts, column: String::new() })
    };
    let categories = by_label(roster.groups, cases).into_iter().map(|(name, cases)| {
        let entries = cases.into_iter().filter_map(entry).collect();
        Category::new(name, entries)
    });
    let categories = categories.filter(|category| !category.entries.is_empty()).collect();
    let title = labels::facet_title(&roster.groups[first.group]);
    let mut chart = Chart::new(title, axis, categories);
    chart.reference = Some((1.0, "1×".to_owned()));
    Some(chart)
}

/// Name of the axis with the baseline in it, and whether that names the baseline of every case.
fn axis(analysis: &Analysis, roster: &Roster<'_>, compared: &[&Comparison]) -> (String, bool) {
    let first = compared[0];
    if compared.iter().all(|comparison| comparison.against == first.against) {
        return (format!("Decode speed, × {}", first.against), true);
    }
    let same_label = |comparison: &&Comparison| {
        let (case, base) = (&analysis.groups[comparison.group].key, &analysis.groups[comparison.baseline].key);
        case.quantize == base.quantize && roster.slot(comparison.baseline) == roster.slot(first.baseline)
    };
    if compared.iter().all(same_label) {
        return (format!("Decode speed, × {} at the same label", roster.name(first.baseline)), true);
    }
    ("Decode speed, × baseline".to_owned(), false)
}
