//! The difference of two sets of scores of the same examples.

use super::{are_binary, critical, mcnemar};
use serde::Serialize;
use tokometer_core::analyze::Random;

/// Sign flips drawn where scores are ratios.
const FLIPS: usize = 20_000;
/// Probability with which the number of examples that [`examples_to_tell`] names is enough.
const POWER: f64 = 0.9;

/// What the pairs say.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Paired {
    /// Pairs.
    pub n: usize,
    /// Mean of second minus first.
    pub difference: f64,
    /// Examples at which the first is better.
    pub first_better: usize,
    /// Examples at which the second is better.
    pub second_better: usize,
    /// Of the hypothesis that there is no difference.
    pub p_value: f64,
    /// Standard deviation of one difference, see [`Paired::interval`].
    pub spread: f64,
    /// Mean that the interval lies around.
    centre: f64,
}

/// Compares scores that belong together by their place. `None` without any. Scores of 0 and 1 are tested by McNemar's exact
/// test, others by flipping the signs of the differences at random (E. Pitman, "Significance tests which may be applied to
/// samples from any populations", Journal of the Royal Statistical Society 4, 1937).
pub fn paired(first: &[f64], second: &[f64], seed_name: &str) -> Option<Paired> {
    let n = first.len().min(second.len());
    if n == 0 {
        return None;
    }
    let differences: Vec<f64> = first.iter().zip(second).map(|(a, b)| b - a).collect();
    let first_better = differences.iter().filter(|d| **d < 0.0).count();
    let second_better = differences.iter().filter(|d| **d > 0.0).count();
    let p_value = match are_binary(first) && are_binary(second) {
        true => mcnemar(first_better, second_better),
        false => sign_flips(&differences, seed_name),
    };
    let (sum, squares) = (differences.iter().sum::<f64>(), differences.iter().map(|d| d * d).sum::<f64>());
    let more = n as f64 + 2.0;
    let centre = sum / more;
    let spread = ((squares + 1.0) / more - centre * centre).max(0.0).sqrt();
    Some(Paired { n, difference: sum / n as f64, first_better, second_better, p_value, spread, centre })
}

impl Paired {
    /// Interval of the difference at `level`: Wald's, after half an example was added to each way of right and wrong (A.
    /// Agresti and Y. Min, "Simple improved confidence intervals for comparing matched proportions", Statistics in Medicine
    /// 24(5), 2005). Of ratios it adds the same, which makes it too wide rather than too narrow. Unlike resampling it has a
    /// width where all pairs agree.
    pub fn interval(&self, level: f64) -> (f64, f64) {
        let half = critical(level) * self.spread / (self.n as f64 + 2.0).sqrt();
        ((self.centre - half).max(-1.0), (self.centre + half).min(1.0))
    }
}

/// How many examples would tell, if difference and spread stay as they are: that two differ, or, where the difference is
/// within `within`, that they are the same up to that. The usual formula for a mean, with a power of 90%. `None` if more
/// than ten million.
pub fn examples_to_tell(paired: &Paired, within: f64, level: f64) -> Option<usize> {
    let size = paired.difference.abs();
    // Distance of the difference from what must be ruled out.
    let distance = if size <= within { within - size } else { size };
    let z = critical(level) + critical(2.0 * POWER - 1.0);
    let n = (z * paired.spread / distance).powi(2).ceil();
    (n <= 1e7).then_some(n as usize)
}

fn sign_flips(differences: &[f64], seed_name: &str) -> f64 {
    let moved: Vec<f64> = differences.iter().copied().filter(|d| *d != 0.0).collect();
    if moved.is_empty() {
        return 1.0;
    }
    let seen = moved.iter().sum::<f64>().abs();
    let mut random = Random::named(0, seed_name);
    let mut flipped = || {
        let mut bits = 0u64;
        let mut sum = 0.0;
        for (i, d) in moved.iter().enumerate() {
            if i % 64 == 0 {
                bits = random.bits();
            }
            sum += if bits & 1 == 0 { *d } else { -d };
            bits >>= 1;
        }
        sum.abs()
    };
    // A sum of the same terms in the same order may differ in its last digit.
    let as_far = (0..FLIPS).filter(|_| flipped() >= seen * (1.0 - 1e-12)).count();
    (as_far + 1) as f64 / (FLIPS + 1) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Right and wrong answers: so many right in both, only in the first, only in the second, in none.
    fn table(both: usize, first: usize, second: usize, none: usize) -> Paired {
        let of = |a: f64, b: f64, n: usize| std::iter::repeat_n((a, b), n);
        let (a, b): (Vec<f64>, Vec<f64>) =
            of(1.0, 1.0, both).chain(of(1.0, 0.0, first)).chain(of(0.0, 1.0, second)).chain(of(0.0, 0.0, none)).unzip();
        paired(&a, &b, "t").unwrap()
    }

    #[test]
    fn the_interval_is_that_of_agresti_and_min() {
        // n = 1144 + 2, b = 132, c = 107 (their example of environmental opinions): difference -0.0219 or +0.0219.
        let paired = table(227, 132, 107, 678);
        let (low, high) = paired.interval(0.95);
        let (n, b, c): (f64, f64, f64) = (1146.0, 132.5, 107.5);
        let centre = (c - b) / n;
        let half = 1.959_964 * ((b + c) - (c - b) * (c - b) / n).sqrt() / n;
        assert!((low - (centre - half)).abs() < 1e-6 && (high - (centre + half)).abs() < 1e-6, "{low} {high}");
        assert!((paired.difference + 25.0 / 1144.0).abs() < 1e-12);
        assert_eq!((paired.first_better, paired.second_better), (132, 107));
    }

    #[test]
    fn equal_answers_to_few_questions_tell_little() {
        let (low, high) = table(5, 0, 0, 0).interval(0.95);
        assert!(low < -0.2 && high > 0.2, "{low} {high}");
        let (low, high) = table(2000, 0, 0, 0).interval(0.95);
        assert!(low > -0.002 && high < 0.002, "{low} {high}");
    }

    #[test]
    fn flips_agree_with_counting_all_of_them() {
        // Of ten differences of one sign two in 1024 flips are as far off.
        let p = sign_flips(&[0.1, 0.2, 0.3, 0.1, 0.2, 0.3, 0.1, 0.2, 0.3, 0.25], "f");
        assert!((p - 2.0 / 1024.0).abs() < 0.001, "{p}");
        assert_eq!(sign_flips(&[0.0, 0.0], "f"), 1.0);
        let even = paired(&[0.5, 0.2, 0.9], &[0.2, 0.5, 0.9], "e").unwrap();
        assert!(even.p_value > 0.9 && even.difference.abs() < 1e-12);
    }

    #[test]
    fn the_number_of_examples_falls_with_the_difference() {
        let (small, large) = (table(80, 6, 2, 12), table(60, 30, 2, 8));
        let n = |paired: &Paired| examples_to_tell(paired, 0.02, 0.997).unwrap();
        assert!(n(&small) > n(&large) && n(&large) < 100, "{} {}", n(&small), n(&large));
        // Equal so far: so many that an interval fits within two points.
        let same = n(&table(95, 0, 0, 5));
        assert!((200..5000).contains(&same), "{same}");
    }
}
