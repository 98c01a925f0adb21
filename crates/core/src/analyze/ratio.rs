//! One figure of a case relative to another's.
//!
//! Cases of one run were measured in turn, round by round, so what slowed a round down slowed both: the ratio is taken in
//! each round, and its logarithms are averaged. The result is the ratio in a typical round (the geometric mean: P. Fleming
//! and J. Wallace, "How not to lie with statistics: the correct way to summarize benchmark results", Communications of the
//! ACM 29(3), 1986). A drift of the machine cancels because the order inside a round is shuffled. Where the noise of both
//! cases looks alike this is also the ratio of their means.
//!
//! Cases of different runs have no common rounds. Their launches are compared as independent samples (B. Welch, "The
//! generalization of Student's problem when several different population variances are involved", Biometrika 34, 1947),
//! and the result says so: what changed between the runs is in it and in no interval.

use super::bootstrap::Spread;
use super::rounds::rounds_to_tell;
use super::verdict::{ASSUMED_SPREAD, FEW_ROUNDS, Judge, Verdict};
use super::{Group, Metric};
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};

/// A ratio with what is known of it.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Ratio {
    /// The ratio.
    pub ratio: f64,
    /// Its 95% interval, for itself alone.
    pub ci: Option<(f64, f64)>,
    /// The interval that the verdict rests on: see [`Judge`].
    pub interval: Option<(f64, f64)>,
    /// The verdict.
    pub verdict: Verdict,
    /// Independent units: rounds, or the launches of the side that has fewer.
    pub rounds: usize,
    /// Launches of the side that has fewer.
    pub launches: usize,
    /// Whether it was taken round by round.
    pub paired: bool,
    /// How many more rounds are enough to tell, where the verdict is [`Verdict::CannotTell`].
    pub more_rounds: Option<u32>,
}

impl Ratio {
    /// The ratio of a figure of `a` to that of `b`. `None` where one has no such figure.
    pub fn between(metric: &Metric, a: &Group, b: &Group, judge: &Judge) -> Option<Ratio> {
        let launches = launches(metric, a).min(launches(metric, b));
        let seed_name = format!("{} {} {}", metric.name, a.uuids.join(" "), b.uuids.join(" "));
        let logs = match paired(metric, a, b) {
            Some(logs) => Logs::Paired(logs),
            None => Logs::Apart(blocks(metric, a)?, blocks(metric, b)?),
        };
        Some(logs.ratio(judge, metric.speed, launches, &seed_name))
    }

    /// The ratio of two speeds from the logarithm of their ratio in each round, every round a launch of both.
    pub fn of_rounds(logs: &[f64], judge: &Judge, seed_name: &str) -> Option<Ratio> {
        (!logs.is_empty()).then(|| Logs::Paired(logs.to_vec()).ratio(judge, true, logs.len(), seed_name))
    }
}

/// Logarithms: of the ratio in each round, or of each side's launches.
enum Logs {
    Paired(Vec<f64>),
    Apart(Vec<f64>, Vec<f64>),
}

/// How well a mean logarithm is known.
struct Precision {
    std_error: f64,
    df: u32,
}

impl Logs {
    fn units(&self) -> usize {
        match self {
            Logs::Paired(logs) => logs.len(),
            Logs::Apart(a, b) => a.len().min(b.len()),
        }
    }

    fn mean(&self) -> f64 {
        let mean = |logs: &[f64]| logs.iter().sum::<f64>() / logs.len() as f64;
        match self {
            Logs::Paired(logs) => mean(logs),
            Logs::Apart(a, b) => mean(a) - mean(b),
        }
    }

    /// Standard error and degrees of freedom, the standard deviation of a round's ratio being at least `least`.
    fn spread(&self, least: f64) -> Option<Precision> {
        match self {
            Logs::Paired(logs) => {
                let spread = Spread::around_mean(logs)?;
                Some(Precision { std_error: spread.std_dev().max(least) / (logs.len() as f64).sqrt(), df: spread.df })
            }
            Logs::Apart(a, b) => {
                let variance = |logs: &[f64]| -> Option<(f64, f64)> {
                    let spread = Spread::around_mean(logs)?;
                    let std_dev = spread.std_dev().max(least * std::f64::consts::FRAC_1_SQRT_2);
                    Some((std_dev * std_dev / logs.len() as f64, f64::from(spread.df)))
                };
                let ((va, dfa), (vb, dfb)) = (variance(a)?, variance(b)?);
                let sum = va + vb;
                let df = if sum > 0.0 { sum * sum / (va * va / dfa + vb * vb / dfb) } else { dfa + dfb };
                Some(Precision { std_error: sum.sqrt(), df: (df as u32).max(1) })
            }
        }
    }

    fn ratio(&self, judge: &Judge, speed: bool, launches: usize, seed_name: &str) -> Ratio {
        let (mean, units) = (self.mean(), self.units());
        let least = if units < FEW_ROUNDS { ASSUMED_SPREAD } else { 0.0 };
        let own = self.spread(0.0);
        let interval = self.spread(least).map(|spread| {
            let half = judge.critical(spread.df) * spread.std_error;
            ((mean - half).exp(), (mean + half).exp())
        });
        let verdict = match interval {
            None => Verdict::NoInterval,
            Some(_) if launches < 2 => Verdict::OneLaunch,
            Some(interval) => judge.verdict(interval, speed),
        };
        let more_rounds = own.as_ref().filter(|_| verdict == Verdict::CannotTell).and_then(|own| {
            let limit = judge.within.ln_1p();
            let off = mean.abs();
            // The word comes when the interval is this narrow: it then leaves out 1, or what lies beyond the limit.
            let target = if limit > 0.0 { off.max(limit - off).min(limit) } else { off };
            let std_dev = own.std_error * (units as f64).sqrt();
            let total = rounds_to_tell(std_dev, own.df, target, judge.adjusted_level())?;
            Some(total.saturating_sub(units as u32).max(1))
        });
        Ratio {
            ratio: mean.exp(),
            ci: self.ci(mean, seed_name),
            interval,
            verdict,
            rounds: units,
            launches,
            paired: matches!(self, Logs::Paired(_)),
            more_rounds,
        }
    }

    fn ci(&self, mean: f64, seed_name: &str) -> Option<(f64, f64)> {
        let (below, above) = match self {
            Logs::Paired(logs) => Spread::around_mean(logs)?.reach(0.95, seed_name),
            Logs::Apart(..) => {
                let spread = self.spread(0.0)?;
                let half = super::student::t_critical(0.95, spread.df) * spread.std_error;
                (half, half)
            }
        };
        Some(((mean - below).exp(), (mean + above).exp()))
    }
}

/// A round: the run's name and its number.
type Round<'a> = (&'a str, u32);

/// The launch and the logarithm of the mean in each round that is known.
fn by_round<'a>(metric: &Metric, group: &'a Group) -> BTreeMap<Round<'a>, (usize, f64)> {
    let mut values: BTreeMap<Round<'a>, (usize, Vec<f64>)> = BTreeMap::new();
    for repetition in &group.repetitions {
        let (Some(run), Some(round), Some(value)) = (&repetition.run, repetition.round, (metric.of)(repetition)) else {
            continue;
        };
        values.entry((run.as_str(), round)).or_insert_with(|| (repetition.launch, Vec::new())).1.push(value);
    }
    values.into_iter().filter_map(|(round, (launch, all))| Some((round, (launch, metric.mean(&all)?.ln())))).collect()
}

/// Logarithms of the ratio in the rounds that both have, where these are most of what there is. Rounds that share the
/// launches of both sides are one unit, unless there is nothing else.
fn paired(metric: &Metric, a: &Group, b: &Group) -> Option<Vec<f64>> {
    let (a, b) = (by_round(metric, a), by_round(metric, b));
    let common: Vec<(usize, usize, f64)> = a
        .iter()
        .filter_map(|(round, (launch, log))| b.get(round).map(|(other, base)| (*launch, *other, log - base)))
        .collect();
    if common.len() < 2 || 2 * common.len() < a.len().min(b.len()) {
        return None;
    }
    let mut units: BTreeMap<(usize, usize), Vec<f64>> = BTreeMap::new();
    for (launch, other, log) in &common {
        units.entry((*launch, *other)).or_default().push(*log);
    }
    if units.len() < 2 {
        return Some(common.into_iter().map(|(_, _, log)| log).collect());
    }
    Some(units.into_values().map(|logs| logs.iter().sum::<f64>() / logs.len() as f64).collect())
}

/// Logarithms of the means of launches, or of the repetitions of a single launch. `None` where there are none.
fn blocks(metric: &Metric, group: &Group) -> Option<Vec<f64>> {
    let by_launch = group.by_launch(metric.of);
    let blocks: Vec<f64> = match by_launch.as_slice() {
        [only] => only.iter().filter_map(|value| metric.mean(&[*value])).map(f64::ln).collect(),
        several => several.iter().filter_map(|launch| metric.mean(launch)).map(f64::ln).collect(),
    };
    (!blocks.is_empty()).then_some(blocks)
}

fn launches(metric: &Metric, group: &Group) -> usize {
    let measured = group.repetitions.iter().filter(|repetition| (metric.of)(repetition).is_some());
    measured.map(|repetition| repetition.launch).collect::<BTreeSet<_>>().len()
}

#[cfg(test)]
mod tests {
    use super::super::testing::{case, group};
    use super::super::{DECODE, METRICS};
    use super::*;

    #[test]
    fn what_slows_a_round_down_cancels() {
        // Rounds 2 and 4 are three times as slow for both; b takes 2% longer in each.
        let slow = [1.0, 3.0, 1.1, 3.3, 1.0, 1.2];
        let a = group(&case("a", "run", &slow));
        let b = group(&case("b", "run", &slow.map(|ms| ms * 1.02)));
        let ratio = Ratio::between(DECODE, &a, &b, &Judge { within: 0.0, ..Judge::default() }).unwrap();
        assert!((ratio.ratio - 1.02).abs() < 1e-9, "{ratio:?}");
        assert_eq!((ratio.verdict, ratio.rounds, ratio.paired), (Verdict::Faster, 6, true));
        let back = Ratio::between(&METRICS[3], &b, &a, &Judge::default()).unwrap();
        assert!((back.ratio - 1.02).abs() < 1e-9, "a ratio of times: {back:?}");
    }

    #[test]
    fn other_runs_are_compared_without_pairs() {
        let slow = [1.0, 3.0, 1.1, 3.3, 1.0, 1.2];
        let a = group(&case("a", "monday", &slow));
        let b = group(&case("b", "friday", &slow.map(|ms| ms * 1.02)));
        let ratio = Ratio::between(DECODE, &a, &b, &Judge::default()).unwrap();
        assert_eq!((ratio.verdict, ratio.paired), (Verdict::CannotTell, false));
        assert!(ratio.more_rounds.unwrap() > 100, "{ratio:?}");
    }

    #[test]
    fn few_rounds_tell_large_differences_only() {
        let calm = [1.0, 1.001, 0.999];
        let a = group(&case("a", "run", &calm));
        let near = group(&case("b", "run", &[1.05, 1.051, 1.049]));
        let far = group(&case("b", "run", &[2.0, 2.001, 1.999]));
        let verdict = |b| Ratio::between(DECODE, &a, b, &Judge::default()).unwrap().verdict;
        assert_eq!((verdict(&near), verdict(&far)), (Verdict::CannotTell, Verdict::Faster));
    }

    #[test]
    fn one_launch_establishes_nothing() {
        let mut all = case("a", "run", &[1.0, 1.0, 1.0, 1.0, 1.0, 1.0]);
        let mut other = case("b", "run", &[2.0, 2.0, 2.0, 2.0, 2.0, 2.0]);
        for series in all.iter_mut().chain(&mut other) {
            series.context.launch = Some(1);
        }
        let ratio = Ratio::between(DECODE, &group(&all), &group(&other), &Judge::default()).unwrap();
        assert_eq!((ratio.verdict, ratio.rounds, ratio.more_rounds), (Verdict::OneLaunch, 6, None));
    }

    #[test]
    fn equal_constants_are_the_same_and_one_round_has_no_interval() {
        let flat = group(&case("a", "run", &[1.0; 6]));
        let ratio = Ratio::between(DECODE, &flat, &flat, &Judge::default()).unwrap();
        assert_eq!((ratio.ratio, ratio.ci, ratio.verdict), (1.0, Some((1.0, 1.0)), Verdict::Same));
        let single = group(&case("b", "run", &[1.0]));
        let ratio = Ratio::between(DECODE, &single, &flat, &Judge::default()).unwrap();
        assert_eq!((ratio.interval, ratio.verdict), (None, Verdict::NoInterval));
    }
}
