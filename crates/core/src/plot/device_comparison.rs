//! Decode speed of the same engine and quantization on each host and device.

use super::chart::{Category, Chart, Entry, arrange};
use super::grouped::{OF_THE_MEAN, bar_keys, bar_notes};
use super::marks::Mark;
use super::roster::Roster;
use super::sheet::{MOST_PANELS, Page, Sheet};
use super::{RUN, labels};
use crate::analyze::{Analysis, Group, by_key};

pub(super) const TITLE: &str = "Decode speed by host and device";

/// One panel per model and workload; hosts and devices stand side by side and are never averaged.
pub(super) fn build(analysis: &Analysis) -> Sheet {
    let groups = &analysis.groups;
    let roster = Roster::new(groups);
    let places = places(groups);
    let shown = |case: &usize| groups[*case].decode.is_some() || labels::failed(&groups[*case]);
    let panels = by_key((0..groups.len()).filter(shown), |case| {
        let key = &groups[case].key;
        (key.model.as_str(), key.prompt_tokens, key.gen_tokens, key.depth)
    });
    if groups.iter().all(|group| group.decode.is_none()) {
        return Page::nothing(TITLE, "no decode speed was measured", RUN, labels::failures(groups));
    }
    let subtitle = match places.as_slice() {
        [only] => format!(
            "Only {only} was measured. Copy the logs of other machines into benchmark_output and run `tokometer collate` \
             to see them here."
        ),
        _ => "The same engine and quantization side by side on each host and device.".to_owned(),
    };
    let mut page = Page::of(analysis, TITLE, subtitle);
    let panels = page.choose(panels, MOST_PANELS, "cases");
    let mut sections = [panels.iter().map(|cases| chart(&roster, &places, cases)).collect::<Vec<Chart>>()];
    page.columns(arrange(&mut sections));
    page.keys(bar_keys(places.into_iter().enumerate().collect(), OF_THE_MEAN, &sections));
    bar_notes(&mut page, &sections);
    let [charts] = sections;
    page.section(charts);
    page.finish()
}

/// Hosts with their devices; colours are theirs in this plot.
fn places(groups: &[Group]) -> Vec<String> {
    let all: Vec<String> = groups.iter().map(labels::short_place).collect();
    by_key(0..all.len(), |i| all[i].as_str()).into_iter().map(|same| all[same[0]].clone()).collect()
}

fn chart(roster: &Roster<'_>, places: &[String], cases: &[usize]) -> Chart {
    let groups = roster.groups;
    let sets = by_key(cases.iter().copied(), |case| (roster.slot(case), groups[case].quantize_label()));
    let entry = |case: usize| {
        let group = &groups[case];
        let place = labels::short_place(group);
        let mark = group.decode.as_ref().map_or(Mark::Failed, Mark::bar);
        let slot = places.iter().position(|known| *known == place).unwrap_or(0);
        Entry { slot, mark, parts: vec![group.key.host.clone(), group.key.device.clone()], column: String::new() }
    };
    let categories = sets.into_iter().map(|cases| {
        let first = &groups[cases[0]];
        let label = first.short_quantize_label();
        let name = format!("{} {label}", roster.name(cases[0]));
        // What the name says already is not said again; bits and bytes follow it, unless hosts differ in them.
        let weights = |case: usize| {
            let group = &groups[case];
            let native = group.key.native_quantize.as_deref().filter(|_| label == group.quantize_label());
            labels::weights(group).into_iter().filter(|part| Some(part.as_str()) != native).collect::<Vec<_>>()
        };
        let shared = cases.iter().all(|case| weights(*case) == weights(cases[0]));
        let entries: Vec<Entry> = cases
            .iter()
            .map(|case| {
                let mut entry = entry(*case);
                if !shared {
                    entry.parts.extend(weights(*case));
                }
                entry
            })
            .collect();
        Category { name, parts: if shared { weights(cases[0]) } else { Vec::new() }, entries }
    });
    let axis = "Decode speed (tokens/s)";
    let title = vec![labels::work(&groups[cases[0]])];
    Chart::new(title, axis, categories.collect())
}
