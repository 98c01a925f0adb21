//! What a case needs and what it gives: decode speed against peak memory.

use super::accuracy_vs_speed::label;
use super::cloud::{Cloud, Dot};
use super::roster::{Roster, facets_of};
use super::sheet::{Key, MOST_PANELS, Page, Sheet};
use super::{RUN_BOTH, labels};
use crate::analyze::{Analysis, Better, Group, peak_memory};

pub(super) const TITLE: &str = "Decode speed against peak memory";

/// One panel per facet; a point per case.
pub(super) fn build(analysis: &Analysis) -> Sheet {
    let groups = &analysis.groups;
    let roster = Roster::new(groups);
    let facets = facets_of(groups, measured);
    if facets.is_empty() {
        let what = "no case has both a decode speed and a known peak of its memory";
        return Page::nothing(TITLE, what, RUN_BOTH, labels::failures(groups));
    }
    let subtitle = "Higher is faster, further left needs less memory. Mean speed with its 95% interval.";
    let mut page = Page::of(analysis, TITLE, subtitle);
    let facets = page.choose(facets, MOST_PANELS, "cases");
    let clouds: Vec<Cloud> = facets.iter().map(|cases| cloud(&roster, cases)).collect();
    page.keys(roster.series_of(facets.into_iter().flatten()).into_iter().map(|(slot, name)| Key::Point(slot, name)));
    page.keys([Key::Interval("95% interval"), Key::Line("Pareto front: no case beats these in both", true)]);
    let unknown = groups.iter().filter(|group| group.decode.is_some() && peak_memory(group).is_none()).count();
    if unknown > 0 {
        page.note(format!(
            "{unknown} measured case(s) are not shown: their logs do not tell how much memory they needed."
        ));
    }
    page.note("The highest peak of all launches, loading included: resident memory on processors, mapped model files too; memory of the device elsewhere.");
    page.columns(if clouds.len() > 1 { 2 } else { 1 });
    page.section(clouds);
    page.finish()
}

fn measured(group: &Group) -> bool {
    group.decode.is_some() && peak_memory(group).is_some()
}

/// Cases of which speed and memory are known: at least one.
fn cloud(roster: &Roster<'_>, cases: &[usize]) -> Cloud {
    let groups = roster.groups;
    let dots = cases.iter().filter_map(|case| {
        let group = &groups[*case];
        let decode = group.decode.as_ref()?;
        let x = peak_memory(group)? as f64 / 1e9;
        Some(Dot { slot: roster.slot(*case), x, x_ci: None, y: decode.mean, ci: decode.ci, label: label(group) })
    });
    Cloud {
        title: labels::facet_title(&groups[cases[0]]),
        x: "Peak memory (GB)".to_owned(),
        y: "Decode speed (tokens/s)".to_owned(),
        dots: dots.collect(),
        better: Some((Better::Lower, Better::Higher)),
    }
}
