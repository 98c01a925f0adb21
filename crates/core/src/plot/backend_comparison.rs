//! Decode and prefill speed by engine and quantization.

use super::chart::{Chart, arrange};
use super::grouped::{OF_THE_MEAN, Shown, bar_keys, bar_notes, charts};
use super::roster::{Roster, facets_of};
use super::sheet::{MOST_PANELS, Page, Sheet};
use super::{RUN, labels};
use crate::analyze::{Analysis, Group};

pub(super) const TITLE: &str = "Speed by engine and quantization";

/// One row of facets for decode, one for prefill, and one for tools that cannot tell them apart.
pub(super) fn build(analysis: &Analysis) -> Sheet {
    let groups = &analysis.groups;
    let roster = Roster::new(groups);
    let details: fn(&Group) -> Option<String> = |_| None;
    let decode = Shown { axis: "Decode speed (tokens/s)", figure: |group| group.decode.as_ref(), details };
    let prefill = Shown { axis: "Prefill speed (tokens/s)", figure: |group| group.prefill.as_ref(), details };
    let mixed = Shown { axis: "Prefill + decode (tokens/s)", figure: |group| group.mixed.as_ref(), details };

    let measured = |group: &Group| group.decode.is_some() || group.prefill.is_some() || group.mixed.is_some();
    if !groups.iter().any(measured) {
        return Page::nothing(TITLE, "no speed was measured", RUN, labels::failures(groups));
    }
    let mut page =
        Page::of(analysis, TITLE, "Mean over repetitions, each host, device, model and workload on its own.");
    let facets = facets_of(groups, |group| measured(group) || labels::failed(group));
    let facets = page.choose(facets, MOST_PANELS, "cases");
    let some =
        |shown: &Shown<'_>| charts(&roster, &facets, shown).into_iter().filter(Chart::measured).collect::<Vec<_>>();
    let (decode, prefill, mixed) = (charts(&roster, &facets, &decode), some(&prefill), some(&mixed));
    if !decode.iter().any(Chart::measured) {
        page.note("No log tells the speed of decode alone; `tokometer run` measures it.");
    }
    if prefill.is_empty() {
        page.note("No prefill speed: these logs hold no prompt step; `tokometer run` measures it.");
    }
    if !mixed.is_empty() {
        page.note("Prefill + decode: the tool reports one figure for both; never to be compared with either.");
    }
    page.note("bpw: bits per weight as stored.");
    let mut sections = [decode, prefill, mixed];
    page.columns(arrange(&mut sections));
    page.keys(bar_keys(roster.series_of(0..groups.len()), OF_THE_MEAN, &sections));
    bar_notes(&mut page, &sections);
    for section in sections {
        page.section(section);
    }
    page.finish()
}
