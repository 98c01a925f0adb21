//! What the tests of this module share: series with known times.

use super::{Group, groups};
use crate::record::{Context, Phase, Series, Step};

/// A case `name` of a run: one launch a round, in which every decode step takes `ms`; the prompt takes ten times as long.
pub fn case(name: &str, run: &str, ms: &[f64]) -> Vec<Series> {
    ms.iter().enumerate().map(|(i, ms)| one(name, run, i as u32 + 1, 1, &[*ms; 4])).collect()
}

/// One repetition with these decode steps.
pub fn one(name: &str, run: &str, launch: u32, repetition: u32, ms: &[f64]) -> Series {
    let text = |text: &str| Some(text.to_owned());
    let context = Context {
        engine: "mock".into(),
        hostname: text("host"),
        device: text("CPU"),
        model: text("m"),
        quantize: text(name),
        uuid: Some(format!("{name}-{run}")),
        run: text(run),
        launch: Some(launch),
        round: Some(launch),
        repetition: Some(repetition),
        bits_per_weight: Some(4.5),
        prompt_tokens: Some(10),
        gen_tokens: Some(ms.len() as u32 + 1),
        depth: Some(0),
        threads: Some(2),
        ..Context::default()
    };
    let prompt = ms.first().map(|ms| ms * 10.0);
    let prefill = Step { phase: Phase::Prefill, tokens: Some(10), total_ms: prompt, ..Step::default() };
    let step = |(i, ms): (usize, &f64)| Step {
        step: Some(i as u32 + 1),
        tokens: Some(1),
        position: Some(10 + i as u32),
        total_ms: Some(*ms),
        ..Step::default()
    };
    Series { context, steps: std::iter::once(prefill).chain(ms.iter().enumerate().map(step)).collect() }
}

/// The one group that series make.
pub fn group(series: &[Series]) -> Group {
    let mut all = groups(series);
    assert_eq!(all.len(), 1);
    all.remove(0)
}
