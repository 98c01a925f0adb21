//! What a quantization costs in quality and buys in speed: accuracy on a task against decode speed.

use super::cloud::{Cloud, Dot};
use super::roster::{Roster, facets_of};
use super::sheet::{Key, MOST_PANELS, Page, Sheet};
use super::{RUN_AND_EVALUATE, labels};
use crate::analyze::{Analysis, Better, Group, Score, by_key};

pub(super) const TITLE: &str = "Accuracy against decode speed";

/// One panel per facet and task; a point per case that has both.
pub(super) fn build(analysis: &Analysis) -> Sheet {
    let groups = &analysis.groups;
    let roster = Roster::new(groups);
    let panels = panels(analysis);
    if panels.is_empty() {
        let what = "no case has both a decode speed and a score on a task";
        return Page::nothing(TITLE, what, RUN_AND_EVALUATE, labels::failures(groups));
    }
    let subtitle = "Higher is more often right, further right is faster. Mean and 95% interval of each case.";
    let mut page = Page::of(analysis, TITLE, subtitle);
    let panels = page.choose(panels, MOST_PANELS, "scores");
    let shown = panels.iter().flatten().map(|(_, case)| *case);
    page.keys(roster.series_of(shown).into_iter().map(|(slot, name)| Key::Point(slot, name)));
    page.keys([Key::Interval("95% interval"), Key::Line("Pareto front: no case beats these in both", true)]);
    page.note("bpw: bits per weight as stored. Accuracy was measured on the same engine and quantization, not in the same run as the speed.");
    page.columns(if panels.len() > 1 { 2 } else { 1 });
    page.section(panels.iter().map(|scored| cloud(&roster, &analysis.scores, scored)).collect());
    page.finish()
}

/// Index of a score, and of a case that it holds for.
type Scored = (usize, usize);

/// For each facet and task: the scores of cases whose speed is known.
fn panels(analysis: &Analysis) -> Vec<Vec<Scored>> {
    let mut of_case: Vec<Vec<usize>> = vec![Vec::new(); analysis.groups.len()];
    for (i, score) in analysis.scores.iter().enumerate().filter(|(_, score)| !score.is_distance()) {
        score.groups.iter().for_each(|case| of_case[*case].push(i));
    }
    let facets = facets_of(&analysis.groups, |group| group.decode.is_some());
    let of_facet = |cases: Vec<usize>| {
        let mut scored: Vec<Scored> =
            cases.iter().flat_map(|case| of_case[*case].iter().map(|score| (*score, *case))).collect();
        scored.sort_unstable();
        by_key(scored, |(score, _)| task(&analysis.scores[score]))
    };
    facets.into_iter().flat_map(of_facet).collect()
}

/// The name of what was evaluated.
fn task(score: &Score) -> String {
    match score.setting.is_empty() {
        true => format!("{} ({})", score.environment, score.metric),
        false => format!("{} ({}), {}", score.environment, score.metric, score.setting),
    }
}

/// Scores of one task on cases of one facet: at least one.
fn cloud(roster: &Roster<'_>, scores: &[Score], scored: &[Scored]) -> Cloud {
    let dots = scored.iter().filter_map(|(score, case)| {
        let (group, score) = (&roster.groups[*case], &scores[*score]);
        let decode = group.decode.as_ref()?;
        Some(Dot {
            slot: roster.slot(*case),
            x: decode.mean,
            x_ci: decode.ci,
            y: score.value,
            ci: score.interval,
            label: label(group),
        })
    });
    let (score, case) = scored[0];
    let mut title = labels::facet_title(&roster.groups[case]);
    title.push(task(&scores[score]));
    Cloud {
        title,
        x: "Decode speed (tokens/s)".to_owned(),
        y: "Accuracy".to_owned(),
        dots: dots.collect(),
        better: Some((Better::Higher, Better::Higher)),
    }
}

/// Engine, native quantization and bits per weight.
pub(super) fn label(group: &Group) -> String {
    let native = group.key.native_quantize.as_deref().unwrap_or(&group.key.quantize);
    let native = native.split(',').next().unwrap_or(native);
    let bits = group.key.bits_per_weight.map(|bits| format!(" {bits:.2} bpw")).unwrap_or_default();
    format!("{} {native}{bits}", group.engine_label())
}
