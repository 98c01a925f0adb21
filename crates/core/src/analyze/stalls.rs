//! Repetitions that something held up: they took far longer than the others of their launch in the same round.
//!
//! A mean hangs on what happens rarely, and a short run has seen it once or never. So what is rare is told by itself: how many
//! repetitions it hit, between which shares of all it lies if one does not call the next (E. Wilson's score interval, "Probable
//! inference, the law of succession, and statistical inference", Journal of the American Statistical Association 22, 1927), and
//! what it costs the mean. [`Typical`] is the figure without it.

use super::Repetition;
use super::bootstrap::{median, typical_interval};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// A repetition that took so much longer than the median of its round was held up, ...
const LONGER: f64 = 0.25;
/// ... if that is so many times the usual spread within rounds, too.
const SIGMAS: f64 = 5.0;
/// Of fewer repetitions one moves the middle.
const FEWEST: usize = 3;
/// This share or more is not rare: it is how the machine is, or a first repetition that was not warmed up.
const RARE: f64 = 0.2;
/// 97.5% quantile of the normal distribution.
const Z: f64 = 1.959_964;

/// The decode step when nothing out of the ordinary happens: the mean over launches (of a single one over its rounds) of the
/// median over repetitions of the median over steps.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Typical {
    /// Time for a token, ms.
    pub step_ms: f64,
    /// Its 95% confidence interval; `None` for a single launch of one round.
    pub ci: Option<(f64, f64)>,
}

impl Typical {
    /// From the median steps of repetitions, ms, grouped by launch or round. `None` if there is none, or one that is not above 0.
    pub fn new(by_unit: &[Vec<f64>], seed_name: &str) -> Option<Typical> {
        if by_unit.iter().flatten().any(|ms| !(ms.is_finite() && *ms > 0.0)) {
            return None;
        }
        typical_interval(by_unit, seed_name).map(|(step_ms, ci)| Typical { step_ms, ci })
    }

    /// The same as a speed, tokens/s, with its interval.
    pub fn tok_s(&self) -> (f64, Option<(f64, f64)>) {
        (1000.0 / self.step_ms, self.ci.map(|(low, high)| (1000.0 / high, 1000.0 / low)))
    }
}

/// Repetitions of a case that were held up.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Stalls {
    /// How many.
    pub n: usize,
    /// Of how many.
    pub of: usize,
    /// 95% interval of their share of all repetitions, if one does not call the next.
    pub share_ci: (f64, f64),
    /// How many times as long as the median of its launch and round the worst of them took.
    pub worst: f64,
    /// By what share the mean time per token is above the typical one, because of them and of all else that is skewed.
    pub cost: f64,
}

/// A launch's part in a round of a run.
type Visit<'a> = (usize, Option<&'a str>, Option<u32>);

/// What held up the decode of a case with this mean time per token, ms; `None` where nothing did, or where so much did that it is no
/// exception.
pub fn stalls(repetitions: &[Repetition], tpot_ms: f64, typical: &Typical) -> Option<Stalls> {
    let mut visits: BTreeMap<Visit<'_>, Vec<f64>> = BTreeMap::new();
    for repetition in repetitions {
        if let Some(time) = repetition.tpot_ms {
            let visit = (repetition.launch, repetition.run.as_deref(), repetition.round);
            visits.entry(visit).or_default().push(time);
        }
    }
    let visits = visits.into_values().filter(|visit| visit.len() >= FEWEST);
    let relative = visits.flat_map(|visit| {
        let middle = median(&visit);
        visit.into_iter().map(move |time| time / middle)
    });
    let relative: Vec<f64> = relative.collect();
    if relative.is_empty() {
        return None;
    }
    // The median absolute deviation, scaled to a standard deviation of normal noise.
    let spread = 1.4826 * median(&relative.iter().map(|one| (one - 1.0).abs()).collect::<Vec<f64>>());
    let limit = 1.0 + LONGER.max(SIGMAS * spread);
    let held: Vec<f64> = relative.iter().copied().filter(|one| *one > limit).collect();
    let (n, of) = (held.len(), relative.len());
    if n == 0 || n as f64 >= RARE * of as f64 {
        return None;
    }
    let worst = held.into_iter().fold(1.0, f64::max);
    Some(Stalls { n, of, share_ci: wilson(n as f64, of as f64), worst, cost: tpot_ms / typical.step_ms - 1.0 })
}

/// The 95% interval of a share of which `n` of `of` were seen.
fn wilson(n: f64, of: f64) -> (f64, f64) {
    let share = n / of;
    let unit = 1.0 + Z * Z / of;
    let middle = (share + Z * Z / (2.0 * of)) / unit;
    let half = Z / unit * (share * (1.0 - share) / of + Z * Z / (4.0 * of * of)).sqrt();
    ((middle - half).max(0.0), (middle + half).min(1.0))
}

#[cfg(test)]
mod tests {
    use super::super::testing::{group, one};
    use super::*;

    /// Five rounds of five repetitions, some of which are held up: round, repetition, how many times as long.
    fn found(longer: &[(u32, u32, f64)]) -> Option<Stalls> {
        in_launches(longer, |round| round)
    }

    /// The same with the launch of each round.
    fn in_launches(longer: &[(u32, u32, f64)], launch: fn(u32) -> u32) -> Option<Stalls> {
        let mut all = Vec::new();
        for round in 1..=5u32 {
            for repetition in 1..=5u32 {
                let usual = 10.0 + 0.05 * f64::from((round + 2 * repetition) % 5);
                let held = longer.iter().find(|(r, i, _)| (*r, *i) == (round, repetition)).map_or(1.0, |(.., by)| *by);
                let mut series = one("a", "run", launch(round), repetition, &[usual * held; 4]);
                series.context.round = Some(round);
                all.push(series);
            }
        }
        let group = group(&all);
        stalls(&group.repetitions, group.tpot.as_ref().unwrap().mean, group.typical.as_ref().unwrap())
    }

    #[test]
    fn what_was_held_up_is_counted_with_how_often_it_may_come() {
        let told = found(&[(2, 3, 1.5), (4, 1, 2.0)]).unwrap();
        assert_eq!((told.n, told.of), (2, 25));
        assert!((told.worst - 2.0).abs() < 0.05 && told.cost > 0.04, "{told:?}");
        // Wilson's interval of 2 in 25.
        assert!((told.share_ci.0 - 0.0222).abs() < 1e-3 && (told.share_ci.1 - 0.2497).abs() < 1e-3, "{told:?}");
    }

    #[test]
    fn what_is_usual_or_slow_as_a_whole_is_no_stall() {
        assert_eq!(found(&[]), None);
        let slow_round: Vec<_> = (1..=5).map(|repetition| (3, repetition, 1.5)).collect();
        assert_eq!(found(&slow_round), None);
        assert_eq!(in_launches(&slow_round, |_| 1), None);
        assert!(in_launches(&[(2, 3, 1.5)], |_| 1).is_some_and(|told| (told.n, told.of) == (1, 25)));
        // The first one of every round: that is no accident. Two of five: that is the machine.
        let first: Vec<_> = (1..=5).map(|round| (round, 1, 1.5)).collect();
        assert_eq!(found(&first), None);
        let often: Vec<_> = (1..=5).flat_map(|round| [(round, 1, 1.5), (round, 4, 1.5)]).collect();
        assert_eq!(found(&often), None);
    }
}
