//! The figures of a distance: means with standard errors, ratios, percentiles.
//!
//! To add one: a line in [`FIGURES`].

use super::sums::{Position, Sums};
use serde::{Deserialize, Serialize};
use tokometer_core::analyze::quantile;

/// Fewer positions than these have no standard error, as in llama-perplexity.
const FEWEST: u64 = 11;

/// A figure.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Value {
    /// The figure itself.
    pub avg: f64,
    /// Its standard error, over positions: that of the figure, not the spread of single positions. Missing for percentiles
    /// and for too few positions.
    pub std: Option<f64>,
}

/// What is told of a distance.
#[derive(Debug)]
pub struct Figure {
    /// Its name in results.
    pub name: &'static str,
    /// What it is, with its unit.
    pub meaning: &'static str,
    of: fn(&Sample) -> Value,
}

/// Every figure, in the order of results.
pub const FIGURES: &[Figure] = &[
    Figure {
        name: "ppl",
        meaning: "perplexity on the text: e to the mean negative log-likelihood",
        of: |s| s.nll().exp(),
    },
    Figure { name: "ppl_base", meaning: "the same of the unquantized model", of: |s| s.nll_base().exp() },
    Figure {
        name: "ln_ppl_ratio",
        meaning: "ln(ppl / ppl_base), nats per token; the error is that of the pair",
        of: Sample::ratio,
    },
    Figure {
        name: "kld_mean",
        meaning: "mean Kullback-Leibler divergence from the unquantized model, nats per token",
        of: Sample::kld,
    },
    Figure { name: "kld_median", meaning: "median of it", of: |s| at(&s.klds, 0.5) },
    Figure { name: "kld_p90", meaning: "90th percentile of it", of: |s| at(&s.klds, 0.9) },
    Figure { name: "kld_p95", meaning: "95th percentile of it", of: |s| at(&s.klds, 0.95) },
    Figure { name: "kld_p99", meaning: "99th percentile of it", of: |s| at(&s.klds, 0.99) },
    Figure { name: "kld_p999", meaning: "99.9th percentile of it", of: |s| at(&s.klds, 0.999) },
    Figure { name: "kld_max", meaning: "largest of it", of: |s| at(&s.klds, 1.0) },
    Figure {
        name: "same_top",
        meaning: "share of positions at which the most probable token is the unquantized model's",
        of: Sample::same_top,
    },
    Figure {
        name: "delta_p_mean",
        meaning: "mean Δp: probability of the token that follows, less the unquantized model's",
        of: Sample::delta_p,
    },
    Figure { name: "delta_p_rms", meaning: "root of the mean square of Δp", of: Sample::delta_p_rms },
    Figure { name: "delta_p_min", meaning: "smallest Δp", of: |s| at(&s.delta_ps, 0.0) },
    Figure { name: "delta_p_p01", meaning: "1st percentile of Δp", of: |s| at(&s.delta_ps, 0.01) },
    Figure { name: "delta_p_p05", meaning: "5th percentile of Δp", of: |s| at(&s.delta_ps, 0.05) },
    Figure { name: "delta_p_median", meaning: "median of Δp", of: |s| at(&s.delta_ps, 0.5) },
    Figure { name: "delta_p_p95", meaning: "95th percentile of Δp", of: |s| at(&s.delta_ps, 0.95) },
    Figure { name: "delta_p_p99", meaning: "99th percentile of Δp", of: |s| at(&s.delta_ps, 0.99) },
    Figure { name: "delta_p_max", meaning: "largest Δp", of: |s| at(&s.delta_ps, 1.0) },
];

/// All figures over these positions, by name and in the order of [`FIGURES`]; none for no positions.
pub fn figures<'a>(positions: impl IntoIterator<Item = &'a Position>) -> Vec<(&'static str, Value)> {
    let all: Vec<&Position> = positions.into_iter().collect();
    if all.is_empty() {
        return Vec::new();
    }
    let sorted = |of: fn(&Position) -> f64| {
        let mut values: Vec<f64> = all.iter().map(|position| of(position)).collect();
        values.sort_by(f64::total_cmp);
        values
    };
    let sample = Sample {
        sums: Sums::of(all.iter().copied()),
        klds: sorted(|position| position.kld),
        delta_ps: sorted(|position| position.delta_p),
    };
    FIGURES.iter().map(|figure| (figure.name, (figure.of)(&sample))).collect()
}

/// What figures are made of.
struct Sample {
    sums: Sums,
    /// In ascending order.
    klds: Vec<f64>,
    /// In ascending order.
    delta_ps: Vec<f64>,
}

/// The mean of `count` values from their sum and that of their squares, with its standard error: the root of
/// variance / (n - 1), the variance being that with n (`mean_and_uncertainty` of llama-perplexity).
fn mean(sum: f64, squares: f64, count: u64) -> Value {
    let n = count as f64;
    let avg = sum / n;
    let variance = (squares / n - avg * avg).max(0.0);
    Value { avg, std: (count >= FEWEST).then(|| (variance / (n - 1.0)).sqrt()) }
}

/// A percentile of sorted values.
fn at(sorted: &[f64], q: f64) -> Value {
    Value { avg: quantile(sorted, q), std: None }
}

impl Value {
    /// e to this, with the error to first order.
    fn exp(self) -> Value {
        let avg = self.avg.exp();
        Value { avg, std: self.std.map(|error| avg * error) }
    }
}

impl Sample {
    fn nll(&self) -> Value {
        mean(self.sums.nll, self.sums.nll2, self.sums.count)
    }

    fn nll_base(&self) -> Value {
        mean(self.sums.nll_base, self.sums.nll_base2, self.sums.count)
    }

    /// ln(PPL(Q) / PPL(base)): both are measured on the same tokens, so the covariance is taken off.
    fn ratio(&self) -> Value {
        let (own, base, n) = (self.nll(), self.nll_base(), self.sums.count as f64);
        let std = own.std.zip(base.std).map(|(a, b)| {
            let covariance = (self.sums.nll_nll_base / n - own.avg * base.avg) / (n - 1.0);
            (a * a + b * b - 2.0 * covariance).max(0.0).sqrt()
        });
        Value { avg: own.avg - base.avg, std }
    }

    fn kld(&self) -> Value {
        mean(self.sums.kld, self.sums.kld2, self.sums.count)
    }

    /// A share p has the standard error of the root of p (1 - p) / (n - 1).
    fn same_top(&self) -> Value {
        let n = self.sums.count as f64;
        let avg = self.sums.same_top as f64 / n;
        Value { avg, std: (self.sums.count >= FEWEST).then(|| (avg * (1.0 - avg) / (n - 1.0)).sqrt()) }
    }

    fn delta_p(&self) -> Value {
        mean(self.sums.delta_p, self.sums.delta_p2, self.sums.count)
    }

    /// The error is that of the mean square, to first order.
    fn delta_p_rms(&self) -> Value {
        let square = mean(self.sums.delta_p2, self.sums.delta_p4, self.sums.count);
        let avg = square.avg.sqrt();
        Value { avg, std: square.std.map(|error| if avg > 0.0 { 0.5 * error / avg } else { 0.0 }) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    fn position(i: u32) -> Position {
        let i = f64::from(i);
        Position {
            token: 1,
            nll: 1.0 + i,
            nll_base: 1.0 + i / 2.0,
            kld: i / 10.0,
            delta_p: 0.01 * (i - 4.0),
            same_top: i < 9.0,
        }
    }

    fn named(positions: &[Position]) -> BTreeMap<&'static str, Value> {
        figures(positions).into_iter().collect()
    }

    fn close(a: f64, b: f64) {
        assert!((a - b).abs() <= 1e-9 * b.abs().max(1e-9), "{a} is not {b}");
    }

    #[test]
    fn means_and_errors_are_those_of_the_formulas() {
        // 0 to 11: the mean is 5.5 and the variance (with n) 143 / 12.
        let positions: Vec<Position> = (0..12).map(position).collect();
        let found = named(&positions);
        let error = (143.0f64 / 12.0 / 11.0).sqrt();
        close(found["ppl"].avg, 6.5f64.exp());
        close(found["ppl"].std.unwrap(), 6.5f64.exp() * error);
        close(found["ppl_base"].avg, 3.75f64.exp());
        close(found["ln_ppl_ratio"].avg, 2.75);
        // The base's values are a straight line of the others': the difference has half their spread.
        close(found["ln_ppl_ratio"].std.unwrap(), error / 2.0);
        close(found["kld_mean"].avg, 0.55);
        close(found["kld_mean"].std.unwrap(), error / 10.0);
        close(found["kld_median"].avg, 0.55);
        close(found["kld_max"].avg, 1.1);
        close(found["same_top"].avg, 0.75);
        close(found["same_top"].std.unwrap(), (0.75f64 * 0.25 / 11.0).sqrt());
        close(found["delta_p_mean"].avg, 0.015);
        close(found["delta_p_min"].avg, -0.04);
        assert_eq!(found["kld_p99"].std, None);
    }

    #[test]
    fn the_same_model_has_no_distance_and_no_error() {
        let positions: Vec<Position> = (0..20)
            .map(|i| Position { nll_base: position(i).nll, kld: 0.0, delta_p: 0.0, same_top: true, ..position(i) })
            .collect();
        let found = named(&positions);
        for name in ["ln_ppl_ratio", "kld_mean", "delta_p_mean", "delta_p_rms"] {
            assert_eq!(found[name].avg, 0.0, "{name}");
            assert!(found[name].std.unwrap() < 1e-6, "{name}: {:?}", found[name]);
        }
        assert_eq!(found["same_top"], Value { avg: 1.0, std: Some(0.0) });
    }

    #[test]
    fn few_positions_have_no_error_and_none_no_figure() {
        assert_eq!(named(&[position(1), position(2)])["kld_mean"].std, None);
        assert!(figures(&[]).is_empty());
    }

    #[test]
    fn sums_of_chunks_add_up() {
        let positions: Vec<Position> = (0..12).map(position).collect();
        let (all, first, last) = (Sums::of(&positions), Sums::of(&positions[..5]), Sums::of(&positions[5..]));
        assert_eq!((all.count, all.same_top), (first.count + last.count, first.same_top + last.same_top));
        close(all.delta_p4, first.delta_p4 + last.delta_p4);
        close(all.nll_nll_base, first.nll_nll_base + last.nll_nll_base);
    }
}
