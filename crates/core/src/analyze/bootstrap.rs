//! Confidence intervals by resampling.
//!
//! Repetitions of one launch share its memory layout and its moment, so they are no independent samples: launches
//! are resampled first and repetitions inside each drawn launch second (two-stage bootstrap, A. Davison and
//! D. Hinkley, "Bootstrap methods and their application", 1997, section 3.8). Intervals are percentile intervals.

use super::quantile;
use crate::random::Random;

/// Resamples drawn for one interval.
pub const RESAMPLES: usize = 2000;

/// 95% interval of the mean; `None` where there are fewer than two samples. `seed_name` makes the draw repeatable.
pub fn hierarchical_interval(by_launch: &[Vec<f64>], seed_name: &str) -> Option<(f64, f64)> {
    let launches: Vec<&[f64]> = by_launch.iter().map(Vec::as_slice).filter(|launch| !launch.is_empty()).collect();
    if launches.iter().map(|launch| launch.len()).sum::<usize>() < 2 {
        return None;
    }
    let mut random = Random::named(0, seed_name);
    let means: Vec<f64> = (0..RESAMPLES).map(|_| resampled_mean(&launches, &mut random)).collect();
    Some(middle(means))
}

/// 95% interval of `mean(a) / mean(b)`, resampling both; `None` where either has fewer than two samples.
pub fn ratio_interval(a: &[Vec<f64>], b: &[Vec<f64>], seed_name: &str) -> Option<(f64, f64)> {
    let filled = |side: &[Vec<f64>]| side.iter().filter(|l| !l.is_empty()).cloned().collect::<Vec<_>>();
    let (a, b) = (filled(a), filled(b));
    let count = |side: &[Vec<f64>]| side.iter().map(Vec::len).sum::<usize>();
    if count(&a) < 2 || count(&b) < 2 {
        return None;
    }
    let a: Vec<&[f64]> = a.iter().map(Vec::as_slice).collect();
    let b: Vec<&[f64]> = b.iter().map(Vec::as_slice).collect();
    let mut random = Random::named(1, seed_name);
    let ratios = (0..RESAMPLES)
        .map(|_| resampled_mean(&a, &mut random) / resampled_mean(&b, &mut random))
        .filter(|ratio| ratio.is_finite())
        .collect::<Vec<_>>();
    (!ratios.is_empty()).then(|| middle(ratios))
}

fn resampled_mean(launches: &[&[f64]], random: &mut Random) -> f64 {
    let (mut sum, mut count) = (0.0, 0usize);
    for _ in 0..launches.len() {
        let launch = launches[random.below(launches.len())];
        for _ in 0..launch.len() {
            sum += launch[random.below(launch.len())];
        }
        count += launch.len();
    }
    sum / count as f64
}

fn middle(mut values: Vec<f64>) -> (f64, f64) {
    values.sort_by(f64::total_cmp);
    (quantile(&values, 0.025), quantile(&values, 0.975))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_interval_is_repeatable_and_holds_the_mean() {
        let data = [vec![10.0, 11.0, 9.0], vec![12.0, 11.5, 12.5], vec![10.0, 10.5, 9.5]];
        let first = hierarchical_interval(&data, "a").unwrap();
        assert_eq!(first, hierarchical_interval(&data, "a").unwrap());
        assert!(first.0 < 10.666 && 10.667 < first.1, "{first:?}");
    }

    #[test]
    fn launches_that_differ_widen_the_interval() {
        let same = [vec![10.0, 12.0], vec![10.0, 12.0], vec![10.0, 12.0]];
        let apart = [vec![10.0, 10.0], vec![12.0, 12.0], vec![11.0, 11.0]];
        let width = |data: &[Vec<f64>]| hierarchical_interval(data, "w").map(|(low, high)| high - low).unwrap();
        assert!(width(&apart) > 0.9 * width(&same));
        assert_eq!(width(&[vec![5.0; 4], vec![5.0; 4]]), 0.0);
    }

    #[test]
    fn a_ratio_of_equal_constants_is_one() {
        let data = [vec![4.0, 4.0], vec![4.0, 4.0]];
        assert_eq!(ratio_interval(&data, &data, "r"), Some((1.0, 1.0)));
        assert_eq!(ratio_interval(&[vec![4.0]], &data, "r"), None);
    }
}
