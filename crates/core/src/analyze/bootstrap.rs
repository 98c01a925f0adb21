//! Confidence intervals of means by resampling.
//!
//! Steps of one repetition and repetitions of one launch share a moment and a memory layout, so they are no independent
//! samples. Of launch > repetition > step the highest level that has at least two members is resampled, and each member
//! keeps everything below it (hierarchical bootstrap without replacement below the top: A. Davison and D. Hinkley,
//! "Bootstrap methods and their application", 1997, section 3.8, who show that resampling the lower levels too counts
//! their variance twice).
//!
//! Resamples of few launches are too narrow and have no far quantiles: of three launches there are ten different ones. So
//! Student's t says how wide the interval is, and the bootstrap only how the width lies around the mean (the idea behind
//! T. Hesterberg, "What teachers should know about the bootstrap", The American Statistician 69(4), 2015, section 4).

use super::quantile;
use super::student::t_critical;
use crate::random::Random;

/// Resamples drawn for one interval.
pub const RESAMPLES: usize = 2000;
/// From this number on the spread is taken around a straight line over the run: a steady drift then moves the mean over
/// the run, but does not blow up the interval of that mean. Below it the line would cost more than it gains.
const STRAIGHT: usize = 8;
/// More members than this are not resampled: the mean of so many lies evenly in its interval.
const MOST: usize = 128;
/// Repetitions of a single launch from which on they are joined: neighbours are alike.
const MANY: usize = 40;
/// How many batches they are joined into (B. Schmeiser, "Batch size effects in the analysis of simulation output",
/// Operations Research 30(3), 1982: 10 to 30).
const BATCHES: usize = 20;

/// Members of the highest level that has two, each as one value, in order of measurement: the mean of the values is the
/// mean of all samples. Members of unequal size make a ratio estimator (W. Cochran, "Sampling techniques", 1977, 9A.2).
pub(super) fn unit_values(by_launch: &[Vec<f64>]) -> Vec<f64> {
    let filled: Vec<&[f64]> = by_launch.iter().map(Vec::as_slice).filter(|launch| !launch.is_empty()).collect();
    let single: Vec<&[f64]> = match *filled.as_slice() {
        [only] if only.len() >= MANY => (0..BATCHES).map(|i| batch(only, i, BATCHES)).collect(),
        [only] => only.chunks(1).collect(),
        _ => Vec::new(),
    };
    let units = if single.is_empty() { filled } else { single };
    let n: usize = units.iter().map(|unit| unit.len()).sum();
    if n == 0 {
        return Vec::new();
    }
    let mean = units.iter().copied().flatten().sum::<f64>() / n as f64;
    let size = n as f64 / units.len() as f64;
    let value = |unit: &[f64]| mean + (unit.iter().sum::<f64>() - mean * unit.len() as f64) / size;
    units.into_iter().map(value).collect()
}

/// Part `i` of `parts` of nearly equal length.
pub(super) fn batch(values: &[f64], i: usize, parts: usize) -> &[f64] {
    &values[values.len() * i / parts..values.len() * (i + 1) / parts]
}

/// How far values lie from their mean, or from a straight line through them.
#[derive(Debug, Clone)]
pub(super) struct Spread {
    /// Their mean.
    pub mean: f64,
    /// What is left of each.
    pub residuals: Vec<f64>,
    /// Degrees of freedom of what is left.
    pub df: u32,
}

impl Spread {
    /// Around the mean; `None` for fewer than two values.
    pub fn around_mean(values: &[f64]) -> Option<Spread> {
        let n = values.len();
        if n < 2 {
            return None;
        }
        let mean = values.iter().sum::<f64>() / n as f64;
        Some(Spread { mean, residuals: values.iter().map(|v| v - mean).collect(), df: n as u32 - 1 })
    }

    /// Around a straight line over the run where there are enough values for one, else around the mean.
    pub fn over_run(values: &[f64]) -> Option<Spread> {
        let mut spread = Spread::around_mean(values)?;
        if values.len() >= STRAIGHT {
            spread.residuals = without_line(&spread.residuals);
            spread.df -= 1;
        }
        Some(spread)
    }

    /// Standard deviation of one value.
    pub fn std_dev(&self) -> f64 {
        (self.residuals.iter().map(|r| r * r).sum::<f64>() / f64::from(self.df)).sqrt()
    }

    /// Half the width of the interval of the mean at `level`.
    pub fn half_width(&self, level: f64) -> f64 {
        t_critical(level, self.df) * self.std_dev() / (self.residuals.len() as f64).sqrt()
    }

    /// How far the interval at `level` reaches below and above the mean.
    pub fn reach(&self, level: f64, seed_name: &str) -> (f64, f64) {
        let half = self.half_width(level);
        let (below, above) = shape(&self.residuals, seed_name);
        (half * below, half * above)
    }
}

/// Values without their mean and their least-squares line over the index.
pub(super) fn without_line(values: &[f64]) -> Vec<f64> {
    let n = values.len() as f64;
    let mean = values.iter().sum::<f64>() / n;
    let place = |i: usize| i as f64 - (n - 1.0) / 2.0;
    let squares: f64 = (0..values.len()).map(|i| place(i).powi(2)).sum();
    let product: f64 = values.iter().enumerate().map(|(i, v)| place(i) * (v - mean)).sum();
    let slope = if squares > 0.0 { product / squares } else { 0.0 };
    values.iter().enumerate().map(|(i, v)| v - mean - slope * place(i)).collect()
}

/// How the width of an interval lies below and above the mean: two shares whose sum is 2, from the percentiles of the
/// resampled mean.
fn shape(residuals: &[f64], seed_name: &str) -> (f64, f64) {
    let n = residuals.len();
    if n > MOST {
        return (1.0, 1.0);
    }
    let mut random = Random::named(0, seed_name);
    let mut resampled = || (0..n).map(|_| residuals[random.below(n)]).sum::<f64>();
    let mut sums: Vec<f64> = (0..RESAMPLES).map(|_| resampled()).collect();
    sums.sort_by(f64::total_cmp);
    let (low, high) = (quantile(&sums, 0.025), quantile(&sums, 0.975));
    if low < 0.0 && high > 0.0 { (2.0 * low / (low - high), 2.0 * high / (high - low)) } else { (1.0, 1.0) }
}

/// Mean and 95% interval; the interval is `None` where there are fewer than two samples. `seed_name` makes the draw
/// repeatable. Of positive samples the interval is positive: it is then laid out in ratios to the mean.
pub fn mean_interval(by_launch: &[Vec<f64>], seed_name: &str) -> Option<(f64, Option<(f64, f64)>)> {
    interval(&unit_values(by_launch), is_positive(by_launch), seed_name)
}

/// What a launch does when nothing out of the ordinary happens: the mean of the launches' medians (or of the medians of whatever the
/// samples are grouped by, as the rounds of a single launch), and its 95% interval; `None` in place of the interval for a
/// single one. Of five repetitions two may stall without moving it, so that it does not hang on something that a short run
/// sees once or never, as the mean does. Of one or two repetitions the median is their mean.
pub fn typical_interval(by_launch: &[Vec<f64>], seed_name: &str) -> Option<(f64, Option<(f64, f64)>)> {
    let medians: Vec<f64> = by_launch.iter().filter(|launch| !launch.is_empty()).map(|launch| median(launch)).collect();
    interval(&medians, is_positive(by_launch), seed_name)
}

fn is_positive(by_launch: &[Vec<f64>]) -> bool {
    by_launch.iter().flatten().all(|sample| *sample > 0.0)
}

/// The median; `values` is not empty.
pub(super) fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    quantile(&sorted, 0.5)
}

/// The mean of independent values and its interval.
fn interval(values: &[f64], positive: bool, seed_name: &str) -> Option<(f64, Option<(f64, f64)>)> {
    let n = values.len() as f64;
    if values.is_empty() {
        return None;
    }
    let Some(spread) = Spread::over_run(values) else { return Some((values.iter().sum::<f64>() / n, None)) };
    let mean = spread.mean;
    let (below, above) = spread.reach(0.95, seed_name);
    let ci = match positive {
        true => (mean * (-below / mean).exp(), mean * (above / mean).exp()),
        false => (mean - below, mean + above),
    };
    Some((mean, Some(ci)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn interval(by_launch: &[Vec<f64>], seed_name: &str) -> (f64, f64) {
        mean_interval(by_launch, seed_name).unwrap().1.unwrap()
    }

    fn normals(seed: u64) -> impl FnMut() -> f64 {
        let mut random = Random::new(seed);
        move || (0..12).map(|_| (random.bits() >> 11) as f64 / (1u64 << 53) as f64).sum::<f64>() - 6.0
    }

    #[test]
    fn the_interval_is_repeatable_and_holds_the_mean() {
        let data = [vec![10.0, 11.0, 9.0], vec![12.0, 11.5, 12.5], vec![10.0, 10.5, 9.5]];
        let first = interval(&data, "a");
        assert_eq!(first, interval(&data, "a"));
        assert!(first.0 < 10.666 && 10.667 < first.1, "{first:?}");
        assert!((mean_interval(&data, "a").unwrap().0 - 10.666_666).abs() < 1e-5);
    }

    #[test]
    fn only_the_spread_of_launches_counts() {
        let same = [vec![10.0, 12.0], vec![12.0, 10.0], vec![10.0, 12.0]];
        let apart = [vec![10.0, 10.0], vec![12.0, 12.0], vec![11.0, 11.0]];
        assert_eq!(interval(&same, "w"), (11.0, 11.0));
        let (low, high) = interval(&apart, "w");
        // Student's t with 2 degrees of freedom: 4.30 x 1 / sqrt 3, in ratios to the mean.
        assert!(((high / low).ln() * 11.0 / 2.0 - 2.484).abs() < 0.01, "{low} {high}");
    }

    #[test]
    fn a_repetition_that_stalls_moves_the_mean_and_not_what_is_typical() {
        let calm = [vec![10.0, 10.1, 9.9], vec![10.2, 10.0, 10.1], vec![9.9, 10.0, 10.1]];
        let mut stalled = calm.clone();
        stalled[1][0] = 15.0;
        assert!(mean_interval(&stalled, "s").unwrap().0 > 10.5);
        let (typical, ci) = typical_interval(&stalled, "s").unwrap();
        assert!((typical - 10.033).abs() < 0.001, "{typical}");
        assert!(ci.is_some_and(|(low, high)| low < 10.0 && high < 10.3), "{ci:?}");
        // The middle of a launch of two is their mean; a single launch has no interval.
        assert_eq!(typical_interval(&[vec![1.0, 3.0]], "s"), Some((2.0, None)));
        assert_eq!(typical_interval(&[vec![]], "s"), None);
    }

    #[test]
    fn launches_of_unequal_size_weigh_as_much_as_they_hold() {
        let values = unit_values(&[vec![1.0], vec![4.0, 4.0, 4.0], vec![]]);
        assert_eq!(values.len(), 2);
        assert!((values.iter().sum::<f64>() / 2.0 - 3.25).abs() < 1e-12, "{values:?}");
    }

    /// 400 simulated runs with a launch effect: the interval holds the truth about as often as it says.
    #[test]
    fn three_launches_of_five_cover_the_truth() {
        let mut normal = normals(7);
        let mut covered = 0;
        for run in 0..400 {
            let data: Vec<Vec<f64>> = (0..3)
                .map(|_| {
                    let launch = 100.0 + 2.0 * normal();
                    (0..5).map(|_| launch + normal()).collect()
                })
                .collect();
            let (low, high) = interval(&data, &format!("run {run}"));
            covered += u32::from(low <= 100.0 && 100.0 <= high);
        }
        assert!((364..=394).contains(&covered), "{covered} of 400");
    }

    #[test]
    fn a_steady_drift_does_not_widen_the_interval_of_the_mean() {
        let mut normal = normals(3);
        let drifting: Vec<Vec<f64>> = (0..10).map(|i| vec![100.0 + f64::from(i) + 0.1 * normal()]).collect();
        let (low, high) = interval(&drifting, "d");
        assert!(high - low < 0.5 && low < 104.6 && high > 104.4, "{low} {high}");
    }

    #[test]
    fn a_skewed_sample_reaches_further_to_its_long_side() {
        let values: Vec<Vec<f64>> = [1.0, 1.0, 1.1, 1.0, 1.1, 2.0, 1.0].iter().map(|v| vec![*v]).collect();
        let (mean, ci) = mean_interval(&values, "s").unwrap();
        let (low, high) = ci.unwrap();
        assert!((high / mean).ln() > 1.2 * (mean / low).ln(), "{low} {mean} {high}");
    }

    #[test]
    fn an_interval_of_a_speed_stays_positive() {
        let (low, high) = interval(&[vec![318.0, 402.0]], "two");
        assert!(low > 0.0 && low < 200.0 && high > 600.0, "{low} {high}");
    }

    #[test]
    fn many_repetitions_of_one_launch_are_joined() {
        let single = [(0..100).map(f64::from).collect::<Vec<_>>()];
        let values = unit_values(&single);
        assert_eq!((values.len(), values[0], values[19]), (20, 2.0, 97.0));
        assert_eq!(mean_interval(&[vec![4.0]], "one"), Some((4.0, None)));
        assert_eq!(mean_interval(&[vec![]], "none"), None);
    }
}
