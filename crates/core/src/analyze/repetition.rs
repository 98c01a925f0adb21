//! One repetition's figures, from the steps of its series.

use crate::record::{Phase, SampleUnit, Series, Step};
use serde::Serialize;

/// One repetition's figures.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub struct Repetition {
    /// Which launch of the group, from 0.
    pub launch: usize,
    /// Round, where the runner had rounds.
    pub round: Option<u32>,
    /// Decode speed, tokens/s: tokens of the steps / their total time.
    pub decode_tok_s: Option<f64>,
    /// Time per output token, ms: (t_last - t_first) / (n - 1).
    pub tpot_ms: Option<f64>,
    /// Time to first token, ms.
    pub ttft_ms: Option<f64>,
    /// Prefill speed, tokens/s: prompt tokens / TTFT.
    pub prefill_tok_s: Option<f64>,
    /// End to end, ms: prefill and all steps.
    pub e2e_ms: Option<f64>,
    /// Bytes moved by decode / its time, GB/s.
    pub memory_gb_s: Option<f64>,
    /// Bytes of weights / decode step, GB/s.
    pub param_gb_s: Option<f64>,
    /// Speed of a repetition that mixes prefill and decode, tokens/s.
    pub mixed_tok_s: Option<f64>,
}

/// The figures of one series; a tool that reports whole repetitions yields one entry per row.
pub(super) fn figures(series: &Series, launch: usize) -> Vec<Repetition> {
    let round = series.context.round;
    if series.steps.iter().any(|step| step.unit == SampleUnit::Repetition) {
        return series.steps.iter().map(|step| whole(step, launch, round)).collect();
    }
    let decode: Vec<_> = series.steps.iter().filter(|step| step.phase == Phase::Decode).collect();
    let prefill = series.steps.iter().find(|step| step.phase == Phase::Prefill);
    let decode = &decode[cold_steps(series)..];
    let times: Option<Vec<f64>> = decode.iter().map(|step| step.total_ms).collect();
    let total = times.filter(|t| !t.is_empty()).map(|t| t.iter().sum::<f64>()).filter(|t| *t > 0.0);
    // A step of an endpoint may hold several tokens.
    let n = decode.iter().map(|step| f64::from(step.tokens.unwrap_or(1))).sum::<f64>();
    // GB/s over the repetition: bytes of all steps / time of all steps.
    let rate = |figure: fn(&Step) -> Option<f64>| {
        let moved: Option<f64> = decode.iter().map(|s| Some(figure(s)? * s.total_ms?)).sum();
        Some(moved? / total?)
    };
    let ttft = prefill.and_then(|step| step.total_ms);
    vec![Repetition {
        launch,
        round,
        decode_tok_s: total.map(|ms| n * 1000.0 / ms),
        tpot_ms: total.map(|ms| ms / n),
        ttft_ms: ttft,
        prefill_tok_s: prefill.and_then(|step| Some(f64::from(step.tokens?) * 1000.0 / step.total_ms?)),
        e2e_ms: ttft.map(|first| first + total.unwrap_or(0.0)),
        memory_gb_s: rate(|step| step.memory_gb_s),
        param_gb_s: rate(|step| step.param_gb_s),
        mixed_tok_s: None,
    }]
}

/// Decode steps at the beginning of a series that are not in the figures: where a log has no prefill row, the end of its
/// first step is t_first, as in TPOT = (t_last - t_first) / (n - 1).
pub(super) fn cold_steps(series: &Series) -> usize {
    let steps = series.steps.iter().filter(|step| step.unit == SampleUnit::Step);
    let (decode, others): (Vec<_>, Vec<_>) = steps.partition(|step| step.phase == Phase::Decode);
    usize::from(others.is_empty() && decode.len() > 1)
}

fn whole(step: &Step, launch: usize, round: Option<u32>) -> Repetition {
    let speed = step.tokens_per_sec.or_else(|| Some(f64::from(step.tokens?) * 1000.0 / step.total_ms?));
    let mut repetition = Repetition { launch, round, ..Repetition::default() };
    match step.phase {
        Phase::Decode => {
            repetition.decode_tok_s = speed;
            repetition.tpot_ms = speed.map(|s| 1000.0 / s);
        }
        Phase::Prefill => repetition.prefill_tok_s = speed,
        Phase::Mixed => repetition.mixed_tok_s = speed,
    }
    repetition
}
