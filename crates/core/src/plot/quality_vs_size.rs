//! What bits cost: distance from the unquantized model, and accuracy on tasks, against the size of the weights. Neither depends
//! on the machine: there are no hosts in this figure.

use super::cloud::{Cloud, Dot};
use super::sheet::{Key, MOST_PANELS, Page, Sheet};
use super::{EVALUATE, labels};
use crate::analyze::{Analysis, Better, Score, by_key};

pub(super) const TITLE: &str = "Quality against the size of the weights";

/// A panel per model and evaluation; a point per engine and quantization.
pub(super) fn build(analysis: &Analysis) -> Sheet {
    let engines = engines(analysis);
    let panels = panels(analysis);
    if panels.is_empty() {
        let what = "no quantization has both a known size and an evaluation";
        return Page::nothing(TITLE, what, EVALUATE, labels::failures(&analysis.groups));
    }
    let subtitle =
        "Further left is smaller. Lower is nearer to the unquantized model; of a task, higher is more often right.";
    let mut page = Page::of(analysis, TITLE, subtitle);
    let panels = page.choose(panels, MOST_PANELS, "scores");
    page.keys(engines.iter().enumerate().map(|(slot, name)| Key::Point(slot, name.clone())));
    page.keys([Key::Interval("95% interval"), Key::Line("Pareto front: nothing beats these in both", true)]);
    page.note("bpw: bits per weight as stored. Divergence: mean Kullback-Leibler divergence of the unquantized model's predictions from the quantized one's, nats per token.");
    page.columns(if panels.len() > 1 { 2 } else { 1 });
    let (distances, tasks): (Vec<_>, Vec<_>) = panels.iter().partition(|scores| scores[0].is_distance());
    for panels in [distances, tasks] {
        page.section(panels.into_iter().map(|scores| cloud(scores, &engines)).collect());
    }
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

/// Scores that may stand together.
fn panels(analysis: &Analysis) -> Vec<Vec<&Score>> {
    let sized = analysis.scores.iter().filter(|score| score.weights_bytes.is_some());
    by_key(sized, |score| (score.model.as_str(), score.environment.as_str(), text(score)))
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
fn distance(scores: &[&Score]) -> Vec<String> {
    let first = scores[0];
    let same = scores.iter().all(|score| score.setting == first.setting);
    match first.setting.split_once(", on ") {
        None if same => vec![first.setting.clone()],
        Some((from, text)) if same => vec![from.to_owned(), format!("on {text}")],
        _ => vec!["from each engine's own original".to_owned(), format!("on {}", text(first))],
    }
}

fn cloud(scores: &[&Score], engines: &[String]) -> Cloud {
    let bytes = |score: &Score| score.weights_bytes.map_or(0.0, |bytes| bytes as f64);
    let largest = scores.iter().map(|score| bytes(score)).fold(0.0, f64::max);
    let (unit, name) = if largest < 5e8 { (1e6, "Weights as stored (MB)") } else { (1e9, "Weights as stored (GB)") };
    let first = scores[0];
    let (axis, better, what) = match first.is_distance() {
        true => ("Divergence (nats per token)", Better::Lower, distance(scores)),
        false => {
            ("Accuracy", Better::Higher, vec![format!("{} ({}) {}", first.environment, first.metric, first.setting)])
        }
    };
    let dots = scores.iter().map(|score| Dot {
        slot: engines.iter().position(|engine| *engine == score.engine).unwrap_or(0),
        x: bytes(score) / unit,
        x_ci: None,
        y: score.value,
        ci: score.interval,
        label: label(score),
    });
    Cloud {
        title: [vec![first.model.clone()], what].concat(),
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
