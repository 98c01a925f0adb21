//! What a quantization costs in quality and buys in speed: accuracy on a task against decode speed.

use super::cloud::{Cloud, Dot};
use super::roster::{Roster, facets};
use super::sheet::{Key, Page, Sheet};
use super::{RUN_AND_EVALUATE, labels};
use crate::analyze::{Analysis, Better, Group, Score};

pub(super) const TITLE: &str = "Accuracy against decode speed";

/// One panel per facet and task; a point per case that has both.
pub(super) fn build(analysis: &Analysis) -> Sheet {
    let groups = &analysis.groups;
    let roster = Roster::new(groups);
    let mut clouds = Vec::new();
    for cases in facets(groups) {
        for (task, scores) in tasks(analysis, &cases) {
            clouds.push(cloud(&roster, &task, &scores));
        }
    }
    if clouds.is_empty() {
        let what = "no case has both a decode speed and a score on a task";
        return Page::nothing(TITLE, what, RUN_AND_EVALUATE, labels::failures(groups));
    }
    let subtitle = "Higher is more often right, further right is faster. Mean and 95% interval of each case.";
    let mut page = Page::new(TITLE, subtitle);
    let shown = analysis.scores.iter().filter(|score| !score.is_distance()).flat_map(|score| score.groups.clone());
    page.keys(roster.series_of(shown).into_iter().map(|(slot, name)| Key::Point(slot, name)));
    page.keys([Key::Interval("95% interval"), Key::Line("Pareto front: no case beats these in both", true)]);
    page.note("bpw: bits per weight as stored. Accuracy was measured on the same engine and quantization, not in the same run as the speed.");
    page.columns(if clouds.len() > 1 { 2 } else { 1 });
    page.section(clouds);
    page.finish()
}

/// A case with its score.
type Scored<'a> = (usize, &'a Score);

/// The tasks that cases of a facet were evaluated on, with these cases.
fn tasks<'a>(analysis: &'a Analysis, cases: &[usize]) -> Vec<(String, Vec<Scored<'a>>)> {
    let mut tasks: Vec<(String, Vec<Scored<'a>>)> = Vec::new();
    for score in analysis.scores.iter().filter(|score| !score.is_distance()) {
        let measured = |case: &&usize| score.groups.contains(case) && analysis.groups[**case].decode.is_some();
        let name = match score.setting.is_empty() {
            true => format!("{} ({})", score.environment, score.metric),
            false => format!("{} ({}), {}", score.environment, score.metric, score.setting),
        };
        let own = cases.iter().filter(measured).map(|case| (*case, score));
        match tasks.iter_mut().find(|(known, _)| *known == name) {
            Some((_, known)) => known.extend(own),
            None => tasks.push((name, own.collect())),
        }
    }
    tasks.retain(|(_, scored)| !scored.is_empty());
    tasks
}

fn cloud(roster: &Roster<'_>, task: &str, scored: &[Scored<'_>]) -> Cloud {
    let dots = scored.iter().filter_map(|(case, score)| {
        let group = &roster.groups[*case];
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
    let mut title = scored.first().map(|(case, _)| labels::facet_title(&roster.groups[*case])).unwrap_or_default();
    title.push(task.to_owned());
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
