//! Confidence intervals by resampling.
//!
//! Repetitions of one launch share its memory layout and its moment, so they are no independent samples: launches
//! are resampled first and repetitions inside each drawn launch second (two-stage bootstrap, A. Davison and
//! D. Hinkley, "Bootstrap methods and their application", 1997, section 3.8). Intervals are percentile intervals,
//! widened for few launches: see [`widening`].

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
    let (low, high) = middle(means);
    let (mean, width) = (mean_of(&launches), widening(&launches));
    if low > 0.0 {
        // Speeds and times are positive, and so are the ends of their intervals: widened as ratios.
        return Some((mean * (low / mean).powf(width), mean * (high / mean).powf(width)));
    }
    Some((mean - width * (mean - low), mean + width * (high - mean)))
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
    if ratios.is_empty() {
        return None;
    }
    let (low, high) = middle(ratios);
    let (ratio, width) = (mean_of(&a) / mean_of(&b), widening(&a).max(widening(&b)));
    Some((ratio * (low / ratio).powf(width), ratio * (high / ratio).powf(width)))
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

fn mean_of(launches: &[&[f64]]) -> f64 {
    let n: usize = launches.iter().map(|launch| launch.len()).sum();
    launches.iter().copied().flatten().sum::<f64>() / n as f64
}

/// What a percentile interval of so few units must be widened by: a bootstrap of k units has a variance too small by
/// (k - 1) / k, and its quantiles are those of the normal distribution where Student's t with k - 1 degrees of freedom
/// is due (T. Hesterberg, "What teachers should know about the bootstrap", The American Statistician, 2015, section
/// 4.1). Units are launches, or the repetitions of a single launch.
fn widening(launches: &[&[f64]]) -> f64 {
    // t(0.975, k - 1) / 1.96 x sqrt(k / (k - 1)), by k.
    const FEW: [f64; 11] = [1.0, 1.0, 9.17, 2.69, 1.87, 1.58, 1.44, 1.35, 1.29, 1.25, 1.22];
    let units = if launches.len() == 1 { launches[0].len() } else { launches.len() };
    FEW.get(units).copied().unwrap_or(1.0 + 2.2 / units as f64)
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

    /// 400 simulated runs with a launch effect: the interval holds the truth about as often as it says.
    #[test]
    fn three_launches_of_five_cover_the_truth() {
        let mut random = Random::new(7);
        let mut normal = move || (0..12).map(|_| (random.bits() >> 11) as f64 / (1u64 << 53) as f64).sum::<f64>() - 6.0;
        let mut covered = 0;
        for run in 0..400 {
            let data: Vec<Vec<f64>> = (0..3)
                .map(|_| {
                    let launch = 100.0 + 2.0 * normal();
                    (0..5).map(|_| launch + normal()).collect()
                })
                .collect();
            let (low, high) = hierarchical_interval(&data, &format!("run {run}")).unwrap();
            covered += u32::from(low <= 100.0 && 100.0 <= high);
        }
        assert!((364..=398).contains(&covered), "{covered} of 400");
    }

    #[test]
    fn an_interval_of_a_speed_stays_positive() {
        let (low, high) = hierarchical_interval(&[vec![318.0, 402.0]], "two").unwrap();
        assert!(low > 0.0 && low < 200.0 && high > 600.0, "{low} {high}");
    }

    #[test]
    fn a_ratio_of_equal_constants_is_one() {
        let data = [vec![4.0, 4.0], vec![4.0, 4.0]];
        assert_eq!(ratio_interval(&data, &data, "r"), Some((1.0, 1.0)));
        assert_eq!(ratio_interval(&[vec![4.0]], &data, "r"), None);
    }
}
