//! How many rounds are enough: predictions, and the rule by which a run may stop.
//!
//! **Prediction.** That a difference d of logarithms is established by N rounds with a chance of [`POWER`] needs
//! sqrt(N) d / s >= q, where s is the standard deviation seen so far and q the quantile of the noncentral t distribution
//! that allows for s being an estimate itself (C. Stein, "A two-sample test for a linear hypothesis whose power is
//! independent of the variance", Annals of Mathematical Statistics 16, 1945; R. Browne, "On the use of a pilot sample for
//! sample size determination", Statistics in Medicine 14, 1995). Three rounds say little about s, so they predict many.
//!
//! **Stopping.** Looking after every round and stopping when the interval is narrow stops when the spread happens to look
//! small: intervals then cover less often than they say (Y. Chow and H. Robbins, "On the asymptotic theory of fixed-width
//! sequential confidence intervals for the mean", Annals of Mathematical Statistics 36, 1965, hold only for many rounds), and
//! of skewed noise the mean is pulled to the side where stalls are missing. [`decide`] therefore looks at few points, the
//! [`checkpoints`], the first of them not early, and stops at the second one in a row at which everything is narrow: the
//! rounds between the two were not chosen by their result.

use super::bootstrap::Spread;
use super::student::{noncentral_t, t_critical};
use super::verdict::FEW_ROUNDS;
use super::{Group, Metric};
use serde::Serialize;
use std::collections::BTreeMap;

/// Chance of a predicted number of rounds to be enough, for normal noise: the promise is 95%, the rest is for other noise.
pub const POWER: f64 = 0.98;
/// The first round after which a run may be looked at.
pub const FIRST_CHECK: u32 = 8;
/// More rounds than this are predicted by nobody.
const MOST: u32 = 1_000_000;
/// A figure without a value in so many rounds in a row is not waited for.
const LOST: usize = 3;

/// The smallest of `least..=MOST` that is enough. What is enough stays so.
fn smallest(least: u32, enough: impl Fn(u32) -> bool) -> Option<u32> {
    let (mut low, mut high) = (least, least);
    while !enough(high) {
        low = high + 1;
        high = high.saturating_mul(2).min(MOST);
        if low > high {
            return None;
        }
    }
    while low < high {
        let middle = low + (high - low) / 2;
        if enough(middle) { high = middle } else { low = middle + 1 }
    }
    Some(low)
}

/// Rounds in all after which the interval of a mean at 95% has this half width, if the spread stays as it is; `None`
/// for fewer than two values, or where no number of rounds is enough. Values and width are in the same unit.
pub fn rounds_to_narrow(values: &[f64], half_width: f64) -> Option<u32> {
    let std_dev = Spread::over_run(values)?.std_dev();
    smallest(2, |n| t_critical(0.95, n - 1) * std_dev / f64::from(n).sqrt() <= half_width)
}

/// Rounds in all that establish a difference of logarithms at `level`, with a chance of [`POWER`]. `std_dev` is that of one
/// round, known with `df` degrees of freedom.
pub fn rounds_to_tell(std_dev: f64, df: u32, difference: f64, level: f64) -> Option<u32> {
    let least = FEW_ROUNDS as u32;
    if difference.is_nan() || difference <= 0.0 || !std_dev.is_finite() {
        return None;
    }
    if std_dev == 0.0 {
        return Some(least);
    }
    let far = t_critical(level, MOST);
    let factor = noncentral_t(POWER, df, far);
    // The quantile grows less than in proportion to the critical value: on the safe side.
    smallest(least, |n| f64::from(n).sqrt() * difference / std_dev >= factor * t_critical(level, n - 1) / far)
}

/// One figure of a case over the rounds of a run.
#[derive(Debug, Clone, PartialEq)]
pub struct Figure {
    /// The case, for people.
    pub case: String,
    /// Name of the metric: ratios are taken of equal ones.
    pub metric: String,
    /// The mean of each round: a speed or a time; `None` where it was not measured.
    pub per_round: Vec<Option<f64>>,
}

/// What is to be narrow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Goal {
    /// The interval of every figure.
    Figures,
    /// The interval of every figure's ratio to the first one of the same metric.
    Ratios,
}

/// When to stop.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rule {
    /// Half width of each 95% interval, as a share of the figure or ratio.
    pub half_width: f64,
    /// What is to be that narrow.
    pub goal: Goal,
    /// Never more rounds than these.
    pub max_rounds: Option<u32>,
}

/// How far a run is.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Standing {
    /// Rounds so far.
    pub rounds: u32,
    /// Intervals that are waited for.
    pub intervals: usize,
    /// How many of them are narrow enough now.
    pub narrow: usize,
    /// The widest of them, as a share; `None` while one has no interval yet.
    pub widest: Option<f64>,
    /// Whose it is.
    pub widest_of: Option<String>,
    /// Figures that are not waited for because they are no longer measured.
    pub lost: Vec<String>,
}

/// What to do after a round.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "decision", rename_all = "snake_case")]
pub enum Decision {
    /// No further round.
    Stop {
        /// Whether everything is narrow; else there were as many rounds as allowed, or nothing is measured any more.
        reached: bool,
        /// How far the run is.
        standing: Standing,
    },
    /// Another round.
    Continue {
        /// How many more are expected to be needed; `None` while nobody can know.
        expected_rounds: Option<u32>,
        /// How far the run is.
        standing: Standing,
    },
}

/// The rounds after which a run may be looked at: 8, 10, 13, 17, 22, ... each a quarter more than the one before.
pub fn checkpoints() -> impl Iterator<Item = u32> {
    std::iter::successors(Some(FIRST_CHECK), |n| n.checked_add(n.div_ceil(4)))
}

/// Decides after a round from everything that was measured so far. The same rounds give the same decision, so it can be
/// asked again after an interruption.
pub fn decide(figures: &[Figure], rule: &Rule) -> Decision {
    let rounds = figures.iter().map(|figure| figure.per_round.len()).max().unwrap_or(0);
    let targets = targets(figures, rule.goal, rounds);
    let lost: Vec<String> = figures.iter().filter(|f| is_lost(f, rounds)).map(Figure::label).collect();
    let widths: Vec<Option<f64>> = targets.iter().map(|target| target.half_width(rounds)).collect();
    let widest = targets.iter().zip(&widths).max_by(|a, b| {
        let width = |w: &Option<f64>| w.unwrap_or(f64::INFINITY);
        width(a.1).total_cmp(&width(b.1))
    });
    let standing = Standing {
        rounds: rounds as u32,
        intervals: targets.len(),
        narrow: widths.iter().flatten().filter(|width| **width <= rule.half_width).count(),
        widest: widest.and_then(|(_, width)| *width),
        widest_of: widest.map(|(target, _)| target.label.clone()),
        lost,
    };
    let narrow = |n: u32| targets.iter().all(|t| t.half_width(n as usize).is_some_and(|w| w <= rule.half_width));
    let past: Vec<u32> = checkpoints().take_while(|n| *n <= standing.rounds).collect();
    let reached = match past.as_slice() {
        [.., before, last] => *last == standing.rounds && narrow(*before) && narrow(*last),
        _ => false,
    };
    let full = rule.max_rounds.is_some_and(|most| standing.rounds >= most);
    let nothing_left = targets.is_empty() && rounds >= LOST;
    if full || nothing_left || (reached && !targets.is_empty()) {
        return Decision::Stop { reached: reached && !targets.is_empty(), standing };
    }
    let needed = targets.iter().map(|target| target.checkpoint(rule.half_width, rounds)).collect::<Option<Vec<u32>>>();
    let first = needed.and_then(|all| all.into_iter().max());
    let end = first.and_then(|first| end(first, &past, narrow));
    let expected_rounds = end.map(|end| rule.max_rounds.map_or(end, |most| end.min(most)) - standing.rounds);
    Decision::Continue { expected_rounds, standing }
}

/// The checkpoint at which a run ends that is narrow from `first` on: the second one in a row.
fn end(first: u32, past: &[u32], narrow: impl Fn(u32) -> bool) -> Option<u32> {
    let last = past.last().copied().unwrap_or(0);
    let mut coming = checkpoints().skip_while(|n| *n <= last || *n < first);
    let next = coming.next()?;
    // The last checkpoint may have been the first of the two.
    let follows = checkpoints().find(|n| *n > last) == Some(next);
    if follows && last > 0 && narrow(last) { Some(next) } else { coming.next() }
}

impl Figure {
    fn label(&self) -> String {
        format!("{} {}", self.case, self.metric)
    }
}

/// Whether a figure is no longer measured.
fn is_lost(figure: &Figure, rounds: usize) -> bool {
    let silent = (0..rounds).rev().take_while(|i| figure.per_round.get(*i).is_none_or(Option::is_none)).count();
    silent >= LOST
}

/// Something whose interval is to become narrow: its value in each round.
struct Target {
    label: String,
    per_round: Vec<Option<f64>>,
    /// Whether the values are logarithms of ratios.
    logs: bool,
}

fn targets(figures: &[Figure], goal: Goal, rounds: usize) -> Vec<Target> {
    let live: Vec<&Figure> = figures.iter().filter(|figure| !is_lost(figure, rounds)).collect();
    let of_itself =
        |figure: &&Figure| Target { label: figure.label(), per_round: figure.per_round.clone(), logs: false };
    if goal == Goal::Figures {
        return live.iter().map(of_itself).collect();
    }
    let mut ratios = Vec::new();
    for (i, figure) in live.iter().enumerate() {
        let Some(base) = live[..i].iter().find(|other| other.metric == figure.metric) else { continue };
        let pairs = figure.per_round.iter().zip(&base.per_round);
        let log =
            |(a, b): (&Option<f64>, &Option<f64>)| Some((a.as_ref()? / b.as_ref()?).ln()).filter(|log| log.is_finite());
        let label = format!("{} / {} {}", figure.case, base.case, figure.metric);
        ratios.push(Target { label, per_round: pairs.map(log).collect(), logs: true });
    }
    ratios
}

impl Target {
    fn spread(&self, rounds: usize) -> Option<Spread> {
        let values: Vec<f64> = self.per_round.iter().take(rounds).flatten().copied().collect();
        if self.logs { Spread::around_mean(&values) } else { Spread::over_run(&values) }
    }

    /// Half the width of the interval after the first rounds, as a share.
    fn half_width(&self, rounds: usize) -> Option<f64> {
        let spread = self.spread(rounds)?;
        let unit = if self.logs { 1.0 } else { spread.mean.abs() };
        Some(spread.half_width(0.95) / unit).filter(|width| width.is_finite())
    }

    /// The first checkpoint at which the interval should be narrow, from the spread so far; `None` while there is none.
    fn checkpoint(&self, half_width: f64, rounds: usize) -> Option<u32> {
        let spread = self.spread(rounds)?;
        let share = spread.std_dev() / if self.logs { 1.0 } else { spread.mean.abs() };
        if !share.is_finite() {
            return None;
        }
        let line = u32::from(!self.logs);
        checkpoints()
            .take_while(|n| *n < MOST)
            .find(|n| t_critical(0.95, n - 1 - line) * share / f64::from(*n).sqrt() <= half_width)
    }
}

/// The figures of groups of one run over its rounds, for [`decide`]; cases without a round are left out.
pub fn figures(groups: &[Group], metrics: &[&Metric]) -> Vec<Figure> {
    let rounds = groups.iter().flat_map(|group| group.repetitions.iter().filter_map(|r| r.round)).max().unwrap_or(0);
    let mut figures = Vec::new();
    for metric in metrics {
        for group in groups {
            let mut values: BTreeMap<u32, Vec<f64>> = BTreeMap::new();
            for repetition in &group.repetitions {
                if let (Some(round), Some(value)) = (repetition.round, (metric.of)(repetition)) {
                    values.entry(round).or_default().push(value);
                }
            }
            if !values.is_empty() {
                let mean = |round: u32| values.get(&round).and_then(|all| metric.mean(all));
                figures.push(Figure {
                    case: group.short_label(),
                    metric: metric.name.to_owned(),
                    per_round: (1..=rounds).map(mean).collect(),
                });
            }
        }
    }
    figures
}

#[cfg(test)]
mod tests {
    use super::super::testing::{case, group};
    use super::super::{DECODE, PREFILL};
    use super::*;

    fn figure(case: &str, per_round: impl IntoIterator<Item = f64>) -> Figure {
        Figure { case: case.into(), metric: "decode".into(), per_round: per_round.into_iter().map(Some).collect() }
    }

    fn rule(half_width: f64) -> Rule {
        Rule { half_width, goal: Goal::Figures, max_rounds: None }
    }

    /// `n` values that alternate by `share` around 100.
    fn alternating(n: usize, share: f64) -> Vec<f64> {
        (0..n).map(|i| 100.0 * (1.0 + if i % 2 == 0 { share } else { -share })).collect()
    }

    #[test]
    fn checkpoints_grow_by_a_quarter() {
        assert_eq!(checkpoints().take(7).collect::<Vec<_>>(), [8, 10, 13, 17, 22, 28, 35]);
    }

    #[test]
    fn predictions_follow_the_spread() {
        let values = alternating(10, 0.01);
        let narrow = rounds_to_narrow(&values, 0.5).unwrap();
        assert!((17..=24).contains(&narrow), "{narrow}");
        assert!(rounds_to_narrow(&values, 0.25).unwrap() > 3 * narrow);
        assert_eq!(rounds_to_narrow(&[1.0], 0.5), None);
        assert_eq!(rounds_to_narrow(&values, 0.0), None);
        let tell = |df| rounds_to_tell(0.02, df, 0.02, 0.997).unwrap();
        assert!(tell(2) > 3 * tell(9) && tell(9) > tell(100), "{} {} {}", tell(2), tell(9), tell(100));
        // Of a known spread: (2.97 + 2.05)^2 rounds.
        assert!((24..=32).contains(&tell(5000)), "{}", tell(5000));
        assert_eq!(rounds_to_tell(0.0, 2, 0.02, 0.997), Some(5));
        assert_eq!(rounds_to_tell(0.02, 2, 0.0, 0.997), None);
    }

    #[test]
    fn a_calm_run_stops_at_the_second_checkpoint() {
        let mut decisions = Vec::new();
        for n in 1..=10 {
            let decision = decide(&[figure("a", alternating(n, 0.001))], &rule(0.01));
            decisions.push(matches!(decision, Decision::Stop { reached: true, .. }));
        }
        assert_eq!(decisions.iter().position(|stop| *stop), Some(9), "{decisions:?}");
        let Decision::Continue { expected_rounds, standing } =
            decide(&[figure("a", alternating(4, 0.001))], &rule(0.01))
        else {
            panic!()
        };
        assert_eq!((expected_rounds, standing.narrow, standing.intervals), (Some(6), 1, 1));
    }

    #[test]
    fn the_widest_interval_decides_and_is_named() {
        let both = [figure("calm", alternating(10, 0.001)), figure("noisy", alternating(10, 0.1))];
        let Decision::Continue { expected_rounds, standing } = decide(&both, &rule(0.01)) else { panic!() };
        assert_eq!((standing.widest_of.as_deref(), standing.narrow), (Some("noisy decode"), 1));
        assert!(expected_rounds.unwrap() > 300, "{expected_rounds:?}");
        let limited = Rule { max_rounds: Some(10), ..rule(0.01) };
        assert!(matches!(decide(&both, &limited), Decision::Stop { reached: false, .. }));
    }

    #[test]
    fn ratios_do_not_mind_what_both_share() {
        let noisy = alternating(10, 0.3);
        let both = [figure("a", noisy.clone()), figure("b", noisy.iter().map(|v| v * 1.1))];
        assert!(matches!(decide(&both, &rule(0.01)), Decision::Continue { .. }));
        let ratios = Rule { goal: Goal::Ratios, ..rule(0.01) };
        assert!(matches!(decide(&both, &ratios), Decision::Stop { reached: true, .. }));
    }

    #[test]
    fn a_case_that_fails_for_good_is_not_waited_for() {
        let mut broken = figure("broken", alternating(10, 0.5));
        broken.per_round[6..].fill(None);
        let Decision::Stop { reached, standing } = decide(&[figure("a", alternating(10, 0.001)), broken], &rule(0.01))
        else {
            panic!()
        };
        assert_eq!((reached, standing.lost), (true, vec!["broken decode".to_owned()]));
        let silent = Figure { per_round: vec![None; 4], ..figure("a", []) };
        assert!(matches!(decide(&[silent], &rule(0.01)), Decision::Stop { reached: false, .. }));
        assert!(matches!(decide(&[], &rule(0.01)), Decision::Continue { expected_rounds: None, .. }));
    }

    #[test]
    fn figures_are_one_value_a_round() {
        let group = group(&case("a", "run", &[1.0, 2.0, 4.0]));
        let figures = figures(&[group], &[DECODE, PREFILL]);
        assert_eq!(figures.len(), 2);
        assert_eq!(figures[0].per_round, [Some(1000.0), Some(500.0), Some(250.0)]);
        assert_eq!(figures[1].per_round, [Some(1000.0), Some(500.0), Some(250.0)]);
    }
}
