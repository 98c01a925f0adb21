//! One figure of a group: its samples and what they say.

use super::bootstrap::mean_interval;
use serde::{Deserialize, Serialize};

/// A figure with its spread. Samples are one value per repetition, in the order of measurement.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Estimate {
    /// Number of samples (repetitions).
    pub n: usize,
    /// Number of launches that they come from.
    pub launches: usize,
    /// The mean: of times and sizes the arithmetic one; of speeds all work over all time, which is the harmonic one.
    pub mean: f64,
    /// Median.
    pub median: f64,
    /// Standard deviation of the samples (n - 1); `None` for a single sample.
    pub std_dev: Option<f64>,
    /// Smallest.
    pub min: f64,
    /// 5th percentile.
    pub p05: f64,
    /// 25th percentile.
    pub p25: f64,
    /// 75th percentile.
    pub p75: f64,
    /// 95th percentile.
    pub p95: f64,
    /// 99th percentile.
    pub p99: f64,
    /// Largest.
    pub max: f64,
    /// 95% confidence interval of the mean; `None` for a single sample. See [`mean_interval`].
    pub ci: Option<(f64, f64)>,
    /// The samples.
    pub samples: Vec<f64>,
}

impl Estimate {
    /// From samples grouped by launch. `None` if there is no sample, or one that is no number.
    pub fn new(by_launch: &[Vec<f64>], seed_name: &str) -> Option<Estimate> {
        let samples: Vec<f64> = by_launch.iter().flatten().copied().collect();
        if samples.iter().any(|sample| !sample.is_finite()) {
            return None;
        }
        let (mean, ci) = mean_interval(by_launch, seed_name)?;
        let mut sorted = samples.clone();
        sorted.sort_by(f64::total_cmp);
        let n = samples.len();
        let middle = samples.iter().sum::<f64>() / n as f64;
        let squares: f64 = samples.iter().map(|sample| (sample - middle).powi(2)).sum();
        Some(Estimate {
            n,
            launches: by_launch.iter().filter(|launch| !launch.is_empty()).count(),
            mean,
            median: quantile(&sorted, 0.5),
            std_dev: (n > 1).then(|| (squares / (n - 1) as f64).sqrt()),
            min: sorted[0],
            p05: quantile(&sorted, 0.05),
            p25: quantile(&sorted, 0.25),
            p75: quantile(&sorted, 0.75),
            p95: quantile(&sorted, 0.95),
            p99: quantile(&sorted, 0.99),
            max: sorted[n - 1],
            ci,
            samples,
        })
    }

    /// From speeds grouped by launch. Their mean is work over time: 1 / the mean of the times that equal work takes, so
    /// that decode tokens/s = 1 / TPOT holds for means as it does for samples.
    pub fn of_speed(by_launch: &[Vec<f64>], seed_name: &str) -> Option<Estimate> {
        let mut estimate = Estimate::new(by_launch, seed_name)?;
        if estimate.min > 0.0 {
            // Times relative to the first: equal speeds have exactly their speed as the mean.
            let first = estimate.samples[0];
            let times: Vec<Vec<f64>> =
                by_launch.iter().map(|launch| launch.iter().map(|speed| first / speed).collect()).collect();
            let (mean, ci) = mean_interval(&times, seed_name)?;
            estimate.mean = first / mean;
            estimate.ci = ci.map(|(low, high)| (first / high, first / low));
        }
        Some(estimate)
    }

    /// Half the width of the interval relative to the mean, where there is one.
    pub fn relative_half_width(&self) -> Option<f64> {
        self.ci.map(|(low, high)| (high - low) / 2.0 / self.mean)
    }
}

/// Quantile `q` in [0, 1] of sorted values, interpolating linearly between order statistics
/// (type 7 of R. Hyndman and Y. Fan, "Sample quantiles in statistical packages", 1996). `sorted` is not empty.
pub fn quantile(sorted: &[f64], q: f64) -> f64 {
    let place = q * (sorted.len() - 1) as f64;
    let below = place.floor() as usize;
    let above = (below + 1).min(sorted.len() - 1);
    sorted[below] + (sorted[above] - sorted[below]) * (place - below as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_figures() {
        let estimate = Estimate::new(&[vec![2.0, 4.0], vec![4.0, 4.0, 5.0, 5.0, 7.0, 9.0]], "x").unwrap();
        assert_eq!((estimate.n, estimate.launches, estimate.median), (8, 2, 4.5));
        assert!((estimate.mean - 5.0).abs() < 1e-12);
        assert!((estimate.std_dev.unwrap() - 2.138_089_935_299_395).abs() < 1e-12);
        assert_eq!((estimate.min, estimate.max, estimate.p25, estimate.p75), (2.0, 9.0, 4.0, 5.5));
    }

    #[test]
    fn a_mean_of_speeds_is_work_over_time() {
        // As many tokens at 10 tokens/s as at 30 take 4/3 of the time that both take at 20.
        let speed = Estimate::of_speed(&[vec![10.0], vec![30.0]], "x").unwrap();
        assert!((speed.mean - 15.0).abs() < 1e-12, "{speed:?}");
        let (low, high) = speed.ci.unwrap();
        assert!(low > 0.0 && low < 15.0 && high > 15.0);
        assert_eq!(Estimate::of_speed(&[vec![500.0; 3], vec![500.0; 3]], "x").unwrap().mean, 500.0);
    }

    #[test]
    fn one_sample_has_no_spread_and_no_interval() {
        let estimate = Estimate::new(&[vec![3.0]], "x").unwrap();
        assert_eq!((estimate.std_dev, estimate.ci), (None, None));
    }

    #[test]
    fn nothing_is_not_zero() {
        assert_eq!(Estimate::new(&[], "x"), None);
        assert_eq!(Estimate::new(&[vec![f64::NAN]], "x"), None);
    }
}
