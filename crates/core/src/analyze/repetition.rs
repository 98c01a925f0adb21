//! One repetition's figures, from the steps of its series.

use super::bootstrap::median;
use crate::record::{Phase, SampleUnit, Series, Step};
use serde::{Deserialize, Serialize};

/// One repetition's figures.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Repetition {
    /// Which launch of the group, from 0.
    pub launch: usize,
    /// Name of the run that it belongs to, where the runner had runs.
    pub run: Option<String>,
    /// Round, where the runner had rounds.
    pub round: Option<u32>,
    /// Decode speed, tokens/s: tokens of the steps / their total time.
    pub decode_tok_s: Option<f64>,
    /// Time per output token, ms: (t_last - t_first) / (n - 1).
    pub tpot_ms: Option<f64>,
    /// Median time of its decode steps, ms, where each is one token.
    pub step_ms: Option<f64>,
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
    /// Growth of the time of a decode step with each token of context, ms: the slope of a least-squares line over the
    /// repetition's steps.
    pub growth_ms: Option<f64>,
}

/// Steps that a repetition must have to tell growth from noise.
const STEPS_FOR_GROWTH: usize = 16;

/// The figures of one series; a tool that reports whole repetitions yields one entry per row.
pub(super) fn figures(series: &Series, launch: usize) -> Vec<Repetition> {
    let place =
        Repetition { launch, run: series.context.run.clone(), round: series.context.round, ..Repetition::default() };
    if series.steps.iter().any(|step| step.unit == SampleUnit::Repetition) {
        return series.steps.iter().map(|step| whole(step, &place)).collect();
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
        decode_tok_s: total.map(|ms| n * 1000.0 / ms),
        tpot_ms: total.map(|ms| ms / n),
        step_ms: total.and_then(|_| middle(decode)),
        ttft_ms: ttft,
        prefill_tok_s: prefill.and_then(|step| Some(f64::from(step.tokens?) * 1000.0 / step.total_ms?)),
        e2e_ms: ttft.map(|first| first + total.unwrap_or(0.0)),
        memory_gb_s: rate(|step| step.memory_gb_s),
        param_gb_s: rate(|step| step.param_gb_s),
        growth_ms: slope(decode),
        ..place
    }]
}

/// The median time of steps, ms; `None` where one has no time or several tokens: what comes in bursts has no typical step.
fn middle(steps: &[&Step]) -> Option<f64> {
    let each = |step: &&Step| step.total_ms.filter(|_| step.tokens.is_none_or(|tokens| tokens == 1));
    let times: Vec<f64> = steps.iter().map(each).collect::<Option<_>>()?;
    (!times.is_empty()).then(|| median(&times)).filter(|ms| *ms > 0.0)
}

/// Slope of the times of steps over their position in the context, ms per token.
fn slope(steps: &[&Step]) -> Option<f64> {
    if steps.len() < STEPS_FOR_GROWTH {
        return None;
    }
    let place = |(i, step): (usize, &&Step)| Some((step.position.map_or(i as f64, f64::from), step.total_ms?));
    let points: Vec<(f64, f64)> = steps.iter().enumerate().map(place).collect::<Option<_>>()?;
    let n = points.len() as f64;
    let (x, y) = points.iter().fold((0.0, 0.0), |(x, y), point| (x + point.0 / n, y + point.1 / n));
    let squares: f64 = points.iter().map(|point| (point.0 - x).powi(2)).sum();
    let products: f64 = points.iter().map(|point| (point.0 - x) * (point.1 - y)).sum();
    (squares > 0.0).then(|| products / squares)
}

/// Decode steps at the beginning of a series that are not in the figures: where a log has no prefill row, the end of its
/// first step is t_first, as in TPOT = (t_last - t_first) / (n - 1).
pub(super) fn cold_steps(series: &Series) -> usize {
    let steps = series.steps.iter().filter(|step| step.unit == SampleUnit::Step);
    let (decode, others): (Vec<_>, Vec<_>) = steps.partition(|step| step.phase == Phase::Decode);
    usize::from(others.is_empty() && decode.len() > 1)
}

fn whole(step: &Step, place: &Repetition) -> Repetition {
    let speed = step.tokens_per_sec.or_else(|| Some(f64::from(step.tokens?) * 1000.0 / step.total_ms?));
    let mut repetition = place.clone();
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

#[cfg(test)]
mod tests {
    use super::super::testing::one;
    use super::*;

    #[test]
    fn growth_is_the_slope_over_the_position() {
        let ms: Vec<f64> = (0..20).map(|i| 10.0 + 0.25 * f64::from(i)).collect();
        let repetition = figures(&one("a", "run", 1, 1, &ms), 0).remove(0);
        assert!((repetition.growth_ms.unwrap() - 0.25).abs() < 1e-12, "{repetition:?}");
        assert_eq!(repetition.run.as_deref(), Some("run"));
        assert_eq!((repetition.tpot_ms, repetition.step_ms), (Some(12.375), Some(12.375)));
        let hiccup = figures(&one("a", "run", 1, 1, &[10.0, 10.0, 90.0, 10.0]), 0).remove(0);
        assert_eq!((hiccup.tpot_ms, hiccup.step_ms), (Some(30.0), Some(10.0)));
        // Three chunks that come together after one that was waited for.
        assert_eq!(figures(&one("a", "run", 1, 1, &[40.0, 0.0, 0.0, 0.0]), 0)[0].step_ms, None);
        let mut chunks = one("a", "run", 1, 1, &[10.0; 4]);
        chunks.steps[2].tokens = Some(3);
        assert_eq!(figures(&chunks, 0)[0].step_ms, None);
        assert_eq!(figures(&one("a", "run", 1, 1, &ms[..8]), 0)[0].growth_ms, None);
    }
}
