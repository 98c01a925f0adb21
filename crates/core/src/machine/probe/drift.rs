//! Does a probe differ from the others of its run by more than its own noise?
//!
//! The noise of a probe is the spread of its passes: the median absolute deviation, scaled to a standard deviation
//! (F. Hampel, "The influence curve and its role in robust estimation", Journal of the American Statistical Association,
//! 1974), relative to their median. The best of many passes varies less than one pass does, so three times that is a
//! wide limit: what passes it is no accident.

use super::Reading;

/// Deviations below this share are no drift, however quiet the probe is.
const LEAST: f64 = 0.03;
/// Standard deviations of a pass that a probe may be away.
const SIGMAS: f64 = 3.0;
/// Spread of passes above which the machine is unsteady within a tenth of a second.
const UNSTEADY: f64 = 0.10;

/// How far a probe is from the middle of its run, as a share; `None` within the noise, or where it is not known.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Drift {
    /// Of memory bandwidth: -0.2 is a fifth less.
    pub memory: Option<f64>,
    /// Of arithmetic.
    pub compute: Option<f64>,
}

/// The drift of every probe of a run, in their order.
pub fn drifts(readings: &[Reading]) -> Vec<Drift> {
    let memory = deviations(readings, |r| r.bandwidth_gb_s, |r| &r.bandwidth_samples);
    let compute = deviations(readings, |r| r.gflops, |r| &r.gflops_samples);
    memory.into_iter().zip(compute).map(|(memory, compute)| Drift { memory, compute }).collect()
}

/// The spread of the passes inside probes, where it is so large that the machine cannot be called steady.
pub fn unsteadiness(readings: &[Reading]) -> Option<f64> {
    let memory = noise(readings, |r| &r.bandwidth_samples);
    let compute = noise(readings, |r| &r.gflops_samples);
    memory.into_iter().chain(compute).reduce(f64::max).filter(|spread| *spread > UNSTEADY)
}

fn deviations(
    readings: &[Reading],
    figure: fn(&Reading) -> Option<f64>,
    samples: fn(&Reading) -> &Vec<f64>,
) -> Vec<Option<f64>> {
    let known: Vec<f64> = readings.iter().filter_map(figure).filter(|value| *value > 0.0).collect();
    // Of two probes the faster one is what the machine can do.
    let Some(middle) = upper_median(known.clone()).filter(|_| known.len() > 1) else {
        return vec![None; readings.len()];
    };
    let limit = (SIGMAS * noise(readings, samples).unwrap_or(0.0)).max(LEAST);
    let away = |reading: &Reading| Some(figure(reading)? / middle - 1.0).filter(|away| away.abs() > limit);
    readings.iter().map(away).collect()
}

/// The middle one of the probes' noises.
fn noise(readings: &[Reading], samples: fn(&Reading) -> &Vec<f64>) -> Option<f64> {
    upper_median(readings.iter().filter_map(|reading| relative_spread(samples(reading))).collect())
}

/// Scaled median absolute deviation / median; needs three passes.
fn relative_spread(samples: &[f64]) -> Option<f64> {
    let middle = upper_median(samples.to_vec()).filter(|middle| *middle > 0.0 && samples.len() > 2)?;
    let away = upper_median(samples.iter().map(|sample| (sample - middle).abs()).collect())?;
    Some(1.4826 * away / middle)
}

fn upper_median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reading(gb_s: f64, spread: f64) -> Reading {
        let samples = [0.0, 0.5, 1.0, 1.5, 2.0].map(|step| gb_s * (1.0 - spread * step));
        Reading { bandwidth_gb_s: Some(gb_s), bandwidth_samples: samples.to_vec(), ..Reading::default() }
    }

    #[test]
    fn a_slow_probe_among_steady_ones_is_a_drift() {
        let all = [20.0, 20.1, 16.0, 19.9].map(|gb_s| reading(gb_s, 0.005));
        let found = drifts(&all);
        assert!((found[2].memory.unwrap() + 0.2).abs() < 0.01, "{found:?}");
        assert!([0, 1, 3].iter().all(|i| found[*i] == Drift::default()), "{found:?}");
        assert_eq!(unsteadiness(&all), None);
    }

    #[test]
    fn the_same_difference_is_noise_where_passes_differ_as_much() {
        let all = [20.0, 20.1, 16.0, 19.9].map(|gb_s| reading(gb_s, 0.2));
        assert!(drifts(&all).iter().all(|drift| *drift == Drift::default()));
        assert!(unsteadiness(&all).unwrap() > 0.15);
    }

    #[test]
    fn of_two_the_slower_one_has_drifted() {
        let found = drifts(&[reading(20.0, 0.001), reading(18.0, 0.001)]);
        assert_eq!(found[0].memory, None);
        assert!((found[1].memory.unwrap() + 0.1).abs() < 1e-9);
    }

    #[test]
    fn one_probe_or_none_says_nothing() {
        assert_eq!(drifts(&[reading(20.0, 0.01)]), [Drift::default()]);
        assert_eq!(drifts(&[]), []);
        let missing = [Reading::default(), Reading::default()];
        assert_eq!((drifts(&missing), unsteadiness(&missing)), (vec![Drift::default(); 2], None));
    }
}
