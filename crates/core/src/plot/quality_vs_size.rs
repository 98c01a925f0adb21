//! What bits cost: distance from the unquantized model, and accuracy on tasks, against the size of the weights. Neither depends
//! on the machine: there are no hosts in this figure.

use super::cloud::{Cloud, Dot};
use super::sheet::{Key, Page, Sheet};
use super::{EVALUATE, labels};
use crate::analyze::{Analysis, Better, Score};

pub(super) const TITLE: &str = "Quality against the size of the weights";

/// A panel per model and evaluation; a point per engine and quantization.
pub(super) fn build(analysis: &Analysis) -> Sheet {
    let engines = engines(analysis);
    let (distances, tasks): (Vec<Panel<'_>>, Vec<Panel<'_>>) =
        panels(analysis).into_iter().partition(|panel| panel.scores[0].is_distance());
    let clouds = |panels: Vec<Panel<'_>>| panels.iter().map(|panel| cloud(panel, &engines)).collect::<Vec<_>>();
    let (distances, tasks) = (clouds(distances), clouds(tasks));
    if distances.is_empty() && tasks.is_empty() {
        let what = "no quantization has both a known size and an evaluation";
        return Page::nothing(TITLE, what, EVALUATE, labels::failures(&analysis.groups));
    }
    let subtitle =
        "Further left is smaller. Lower is nearer to the unquantized model; of a task, higher is more often right.";
    let mut page = Page::new(TITLE, subtitle);
    page.keys(engines.iter().enumerate().map(|(slot, name)| Key::Point(slot, name.clone())));
    page.keys([Key::Interval("95% interval"), Key::Line("Pareto front: nothing beats these in both", true)]);
    page.note("bpw: bits per weight as stored. Divergence: mean Kullback-Leibler divergence of the unquantized model's predictions from the quantized one's, nats per token.");
    page.columns(if distances.len() + tasks.len() > 1 { 2 } else { 1 });
    page.section(distances);
    page.section(tasks);
    page.finish()
}

/// The engines, in the order in which cases show them, then those without cases.
fn engines(analysis: &Analysis) -> Vec<String> {
    let of_groups = analysis.groups.iter().map(|group| &group.key.engine);
    let mut engines: Vec<String> = Vec::new();
    for engine in of_groups.chain(analysis.scores.iter().map(|score| &score.engine)) {
        if !engines.contains(engine) && analysis.scores.iter().any(|score| score.engine == *engine) {
            engines.push(engine.clone());
        }
    }
    engines
}

/// Scores that may stand together: at least one.
struct Panel<'a> {
    scores: Vec<&'a Score>,
}

fn panels(analysis: &Analysis) -> Vec<Panel<'_>> {
    let mut panels: Vec<Panel<'_>> = Vec::new();
    for score in analysis.scores.iter().filter(|score| score.weights_bytes.is_some()) {
        let together = |panel: &&mut Panel<'_>| {
            let first = panel.scores[0];
            first.model == score.model && first.environment == score.environment && text(first) == text(score)
        };
        match panels.iter_mut().find(together) {
            Some(panel) => panel.scores.push(score),
            None => panels.push(Panel { scores: vec![score] }),
        }
    }
    panels
}

/// What scores must share to stand together. Distances of several engines, each from its own original, do so if the text is
/// the same.
fn text(score: &Score) -> String {
    match (score.is_distance(), score.setting.split_once(", on ")) {
        (true, Some((_, text))) => text.to_owned(),
        (true, None) => score.setting.clone(),
        (false, _) => format!("{} {}", score.metric, score.setting),
    }
}

/// What a panel of distances shows: from what, and on which text.
fn distance(panel: &Panel<'_>) -> String {
    let first = panel.scores[0];
    match panel.scores.iter().all(|score| score.setting == first.setting) {
        true => first.setting.clone(),
        false => format!("from each engine's own original, on {}", text(first)),
    }
}

fn cloud(panel: &Panel<'_>, engines: &[String]) -> Cloud {
    let bytes = |score: &Score| score.weights_bytes.map_or(0.0, |bytes| bytes as f64);
    let largest = panel.scores.iter().map(|score| bytes(score)).fold(0.0, f64::max);
    let (unit, name) = if largest < 5e8 { (1e6, "Weights as stored (MB)") } else { (1e9, "Weights as stored (GB)") };
    let first = panel.scores[0];
    let (axis, better, what) = match first.is_distance() {
        true => ("Divergence (nats per token)", Better::Lower, distance(panel)),
        false => ("Accuracy", Better::Higher, format!("{} ({}) {}", first.environment, first.metric, first.setting)),
    };
    let dots = panel.scores.iter().map(|score| Dot {
        slot: engines.iter().position(|engine| *engine == score.engine).unwrap_or(0),
        x: bytes(score) / unit,
        x_ci: None,
        y: score.value,
        ci: score.interval,
        label: label(score),
    });
    Cloud {
        title: vec![first.model.clone(), what],
        x: name.to_owned(),
        y: axis.to_owned(),
        dots: dots.collect(),
        better: Some((Better::Lower, better)),
    }
}

/// Engine, native quantization and bits per weight.
fn label(score: &Score) -> String {
    let native = score.native_quantize.as_deref().unwrap_or(&score.quantize);
    let native = native.split(',').next().unwrap_or(native);
    let bits = score.bits_per_weight.map(|bits| format!(" {bits:.2} bpw")).unwrap_or_default();
    format!("{} {native}{bits}", score.engine)
}
