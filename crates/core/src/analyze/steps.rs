//! Latencies of single decode steps: percentiles with intervals, and how many independent samples the steps are worth.

use super::bootstrap::{Spread, without_line};
use super::quantile;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Samples beyond a percentile that make it worth an interval.
const BEYOND: f64 = 5.0;

/// Order statistics that are kept of a case: enough for the shape of any distribution, however long the case was measured.
const MOST: usize = 512;

/// A percentile with its 95% interval.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Percentile {
    /// The value, ms.
    pub ms: f64,
    /// Its interval; an end that lies beyond the largest sample is `None`, as is all of it where there are few samples.
    pub ci: Option<(f64, Option<f64>)>,
}

/// Latencies of the decode steps of a case.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StepTimes {
    /// Steps.
    pub n: usize,
    /// Independent samples that they are worth: neighbours are alike. See [`effective_size`].
    pub effective: f64,
    /// Median.
    pub p50: Percentile,
    /// 90th percentile.
    pub p90: Percentile,
    /// 95th percentile.
    pub p95: Percentile,
    /// 99th percentile: 99% of the steps stay below.
    pub p99: Percentile,
    /// The longest, ms.
    pub max_ms: f64,
}

impl StepTimes {
    /// From the steps of each repetition, with the repetition's launch. `None` where there are no steps.
    pub(super) fn new(passes: &[(usize, Vec<f64>)]) -> Option<StepTimes> {
        let mut sorted: Vec<f64> = passes.iter().flat_map(|(_, steps)| steps).copied().collect();
        if sorted.is_empty() || sorted.iter().any(|ms| !ms.is_finite()) {
            return None;
        }
        sorted.sort_by(f64::total_cmp);
        let clusters = clusters(passes);
        let percentile = |q: f64| Percentile { ms: quantile(&sorted, q), ci: interval(&sorted, &clusters, q) };
        let steps: Vec<&[f64]> = passes.iter().map(|(_, steps)| steps.as_slice()).collect();
        Some(StepTimes {
            n: sorted.len(),
            effective: effective_size(&steps),
            p50: percentile(0.5),
            p90: percentile(0.9),
            p95: percentile(0.95),
            p99: percentile(0.99),
            max_ms: sorted[sorted.len() - 1],
        })
    }
}

/// The shape of the distribution, as order statistics in ascending order: all steps, or of more than [`MOST`] so many that
/// lie evenly among them, the shortest and the longest included. Steps of no time at all have no place on a logarithmic axis.
pub(super) fn order(passes: &[(usize, Vec<f64>)]) -> Vec<f64> {
    let steps = passes.iter().flat_map(|(_, steps)| steps).copied();
    let mut sorted: Vec<f64> = steps.filter(|ms| ms.is_finite() && *ms > 0.0).collect();
    sorted.sort_by(f64::total_cmp);
    if sorted.len() <= MOST {
        return sorted;
    }
    (0..MOST).map(|i| quantile(&sorted, i as f64 / (MOST - 1) as f64)).collect()
}

/// Steps by launch where there are three launches, else by repetition.
fn clusters(passes: &[(usize, Vec<f64>)]) -> Vec<Vec<f64>> {
    let mut by_launch: BTreeMap<usize, Vec<f64>> = BTreeMap::new();
    for (launch, steps) in passes {
        by_launch.entry(*launch).or_default().extend(steps);
    }
    let clusters: Vec<Vec<f64>> = match by_launch.len() >= 3 {
        true => by_launch.into_values().collect(),
        false => passes.iter().map(|(_, steps)| steps.clone()).collect(),
    };
    clusters.into_iter().filter(|steps| !steps.is_empty()).collect()
}

/// The interval of a quantile: how well the share of steps below it is known, from the spread of that share over clusters,
/// read off the distribution (R. Woodruff, "Confidence intervals for medians and other position measures", Journal of the
/// American Statistical Association 47, 1952). Steps that come in runs make the shares differ more, and the interval wide.
fn interval(sorted: &[f64], clusters: &[Vec<f64>], q: f64) -> Option<(f64, Option<f64>)> {
    let n = sorted.len() as f64;
    if clusters.len() < 3 || n * q.min(1.0 - q) < BEYOND {
        return None;
    }
    let value = quantile(sorted, q);
    let below = |steps: &Vec<f64>| steps.iter().filter(|ms| **ms <= value).count() as f64 / steps.len() as f64;
    let shares: Vec<f64> = clusters.iter().map(below).collect();
    let half = Spread::around_mean(&shares)?.half_width(0.95);
    let high = (q + half < 1.0).then(|| quantile(sorted, q + half));
    Some((quantile(sorted, (q - half).max(0.0)), high))
}

/// How many independent samples series of neighbouring values are worth: their number over the integrated autocorrelation
/// time, which is summed up to the first pair of lags whose autocorrelations are no longer positive together (C. Geyer,
/// "Practical Markov chain Monte Carlo", Statistical Science 7(4), 1992, section 3.3). The line of each series over its
/// index is taken out first: growth with the context is no noise.
pub fn effective_size(series: &[&[f64]]) -> f64 {
    let n: usize = series.iter().map(|values| values.len()).sum();
    let residuals: Vec<Vec<f64>> = series.iter().filter(|v| v.len() >= 4).map(|v| without_line(v)).collect();
    let product = |lag: usize| -> f64 {
        residuals.iter().flat_map(|r| r.iter().zip(r.iter().skip(lag))).map(|(a, b)| a * b).sum()
    };
    let variance = product(0);
    if variance <= 0.0 {
        return n as f64;
    }
    let longest = residuals.iter().map(Vec::len).max().unwrap_or(0) / 2;
    let mut time = -1.0;
    for lag in (0..longest).step_by(2) {
        let pair = (product(lag) + product(lag + 1)) / variance;
        if pair <= 0.0 {
            break;
        }
        time += 2.0 * pair;
    }
    n as f64 / time.max(1.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Random;

    fn normals(seed: u64) -> impl FnMut() -> f64 {
        let mut random = Random::new(seed);
        move || (0..12).map(|_| (random.bits() >> 11) as f64 / (1u64 << 53) as f64).sum::<f64>() - 6.0
    }

    #[test]
    fn alike_neighbours_are_worth_less() {
        let mut normal = normals(1);
        let white: Vec<f64> = (0..4000).map(|_| normal()).collect();
        let mut before = 0.0;
        let correlated: Vec<f64> = white
            .iter()
            .map(|v| {
                before = 0.8 * before + v;
                before
            })
            .collect();
        assert!(effective_size(&[&white]) > 3000.0, "{}", effective_size(&[&white]));
        // (1 - 0.8) / (1 + 0.8) of 4000.
        let effective = effective_size(&[&correlated]);
        assert!((300.0..620.0).contains(&effective), "{effective}");
        assert_eq!(effective_size(&[&[2.0; 10]]), 10.0);
    }

    #[test]
    fn percentiles_have_intervals_where_there_are_enough_steps() {
        let mut normal = normals(2);
        let passes: Vec<(usize, Vec<f64>)> =
            (0..6).map(|launch| (launch, (0..200).map(|_| 10.0 + normal()).collect())).collect();
        let times = StepTimes::new(&passes).unwrap();
        let (low, high) = times.p50.ci.unwrap();
        assert!(low < 10.0 && high.unwrap() > 10.0 && high.unwrap() - low < 0.6, "{times:?}");
        assert!((11.8..13.0).contains(&times.p99.ms) && times.p99.ci.unwrap().0 < times.p99.ms, "{times:?}");
        let few = StepTimes::new(&passes.iter().map(|(l, s)| (*l, s[..10].to_vec())).collect::<Vec<_>>()).unwrap();
        assert_eq!((few.n, few.p99.ci), (60, None));
        assert_eq!(StepTimes::new(&[(0, vec![])]), None);
    }

    #[test]
    fn many_steps_are_thinned_and_their_ends_stay() {
        let many: Vec<f64> = (0..10_000).rev().map(|i| 1.0 + f64::from(i) / 1e4).collect();
        let kept = order(&[(0, many), (1, vec![0.0, 0.5])]);
        assert_eq!((kept.len(), kept[0], kept[MOST - 1]), (MOST, 0.5, 1.0 + 9999.0 / 1e4));
        assert!(kept.is_sorted());
        assert_eq!(order(&[(0, vec![2.0, 1.0]), (1, vec![1.5])]), [1.0, 1.5, 2.0]);
    }
}
