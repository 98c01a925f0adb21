//! Statistics of scores: means, intervals, paired tests. Words are made of them by `compare`.
//!
//! Intervals for people are of 95%; words rest on [`tokometer_core::analyze::LEVEL`], as everywhere in Tokometer.

mod holm;
mod mcnemar;
mod paired;

pub use holm::holm;
pub use mcnemar::mcnemar;
pub use paired::{Paired, examples_to_tell, paired};

use serde::{Deserialize, Serialize};
use tokometer_core::analyze::{RESAMPLES, Random, quantile, t_critical};

/// Degrees of freedom at which Student's t is the normal distribution, to six digits.
const MANY: u32 = 1_000_000;

/// Mean and spread of a metric, as the results' files hold them.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Moments {
    /// Mean.
    pub avg: f64,
    /// Standard deviation of the values themselves (divided by n), as `verifiers` computes it; of a distance the standard
    /// error of the mean. `None` for figures that have none, as a maximum.
    pub std: Option<f64>,
}

impl Moments {
    /// Of values; `None` if there are none.
    pub fn of(values: &[f64]) -> Option<Moments> {
        let n = values.len() as f64;
        if values.is_empty() {
            return None;
        }
        let avg = values.iter().sum::<f64>() / n;
        let std = (values.iter().map(|value| (value - avg).powi(2)).sum::<f64>() / n).sqrt();
        Some(Moments { avg, std: Some(std) })
    }
}

/// The value that a normal variable stays below in absolute value with that probability.
pub fn critical(level: f64) -> f64 {
    t_critical(level, MANY)
}

/// Whether all scores are 0 or 1.
pub fn are_binary(scores: &[f64]) -> bool {
    scores.iter().all(|score| *score == 0.0 || *score == 1.0)
}

/// Interval of the mean score at `level`: Wilson's where all scores are 0 or 1, else by resampling. `None` without scores,
/// and for ratios of which there are fewer than two.
pub fn interval(scores: &[f64], level: f64, seed_name: &str) -> Option<(f64, f64)> {
    match are_binary(scores) {
        true => wilson(scores.iter().filter(|score| **score == 1.0).count(), scores.len(), level),
        false => resampled(scores, level, seed_name),
    }
}

/// Wilson's interval of a proportion (E. Wilson, "Probable inference, the law of succession, and statistical inference",
/// Journal of the American Statistical Association 22, 1927). `None` for n = 0.
pub fn wilson(right: usize, n: usize, level: f64) -> Option<(f64, f64)> {
    if n == 0 {
        return None;
    }
    let (z, n) = (critical(level), n as f64);
    let (p, z2) = (right as f64 / n, z * z);
    let middle = (p + z2 / (2.0 * n)) / (1.0 + z2 / n);
    let half = z / (1.0 + z2 / n) * (p * (1.0 - p) / n + z2 / (4.0 * n * n)).sqrt();
    Some(((middle - half).max(0.0), (middle + half).min(1.0)))
}

/// Percentiles of the resampled mean (B. Efron and R. Tibshirani, "An introduction to the bootstrap", 1993, chapter 13).
/// `seed_name` makes the draw repeatable. Scores that are all equal have an interval without width: nothing is known of
/// their spread.
fn resampled(scores: &[f64], level: f64, seed_name: &str) -> Option<(f64, f64)> {
    let n = scores.len();
    if n < 2 {
        return None;
    }
    let mut random = Random::named(0, seed_name);
    let mut mean = || (0..n).map(|_| scores[random.below(n)]).sum::<f64>() / n as f64;
    let mut means: Vec<f64> = (0..RESAMPLES).map(|_| mean()).collect();
    means.sort_by(f64::total_cmp);
    let tail = (1.0 - level) / 2.0;
    Some((quantile(&means, tail), quantile(&means, 1.0 - tail)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wilson_is_that_of_the_textbook() {
        // A. Agresti and B. Coull, "Approximate is better than exact", 1998: 0 of 10 has the upper end 0.278.
        let (low, high) = wilson(0, 10, 0.95).unwrap();
        assert!(low == 0.0 && (high - 0.2775).abs() < 5e-4, "{low} {high}");
        // R: prop.test(15, 20, correct = FALSE) gives 0.5313 to 0.8881.
        let (low, high) = wilson(15, 20, 0.95).unwrap();
        assert!((low - 0.5313).abs() < 5e-4 && (high - 0.8881).abs() < 5e-4, "{low} {high}");
        assert_eq!(wilson(0, 0, 0.95), None);
    }

    #[test]
    fn moments_are_of_the_values_themselves() {
        assert_eq!(Moments::of(&[1.0, 0.0, 1.0, 0.0]), Some(Moments { avg: 0.5, std: Some(0.5) }));
        assert_eq!(Moments::of(&[]), None);
    }

    #[test]
    fn the_interval_of_ratios_is_repeatable_and_holds_their_mean() {
        let scores: Vec<f64> = (0..40).map(|i| f64::from(i % 5) / 4.0).collect();
        let (low, high) = interval(&scores, 0.95, "a").unwrap();
        assert_eq!(interval(&scores, 0.95, "a"), Some((low, high)));
        // Mean 0.5, standard error 0.3536 / sqrt 40 = 0.0559.
        assert!((0.5 - low - 0.11).abs() < 0.02 && (high - 0.5 - 0.11).abs() < 0.02, "{low} {high}");
        assert_eq!((interval(&[0.5], 0.95, "a"), interval(&[], 0.95, "a")), (None, None));
    }
}
