//! Change within a run: a steady drift, a sudden shift, growth with the context.
//!
//! A change is looked for in the time per output token: from launch to launch over the run, and from repetition to
//! repetition inside launches. The statistic is the correlation with a line, or with the best step; its distribution without a
//! change comes from shuffling the values, each launch's repetitions only among themselves. Neighbouring values that are
//! alike look like a change to a shuffle: the statistic is first reduced to the effective number of samples, from the
//! autocorrelation of what the line or step leaves over (G. Bayley and J. Hammersley, "The effective number of independent
//! observations in an autocorrelated time series", Supplement to the Journal of the Royal Statistical Society 8, 1946),
//! corrected for its bias in short series (M. Kendall, "Note on bias in the estimation of autocorrelation", Biometrika
//! 41, 1954). All tests of a case together raise a false alarm in 1% of cases; a change below 1% is none.

use super::Repetition;
use super::bootstrap::{Spread, without_line};
use crate::random::Random;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Chance of a false alarm per case.
const FALSE_ALARM: f64 = 0.01;
/// Tests of a case that share it: line and step over the run, line inside launches.
const TESTS: f64 = 3.0;
/// Smallest change worth a word, as a share.
const SMALLEST: f64 = 0.01;
/// Shuffles that decide.
const SHUFFLES: usize = 999;
/// A test is over when so many shuffles look at least as much like a change as the data.
const PLENTY: usize = 30;
/// Units over the run that a drift can be seen in. Fewer have not enough orders.
const FEWEST_UNITS: usize = 7;
/// Repetitions in all that a drift inside launches can be seen in.
const FEWEST_REPETITIONS: usize = 9;
/// Units on either side of a shift, at least.
const SIDE: usize = 2;

/// What kind of change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// From launch to launch over the run, steadily.
    DriftOverRun,
    /// At once, somewhere in the run.
    LevelShift,
    /// From repetition to repetition inside launches.
    DriftWithinLaunch,
}

impl Kind {
    /// The short name, as among warnings.
    pub fn code(self) -> &'static str {
        match self {
            Kind::DriftOverRun => "drift_over_run",
            Kind::LevelShift => "level_shift",
            Kind::DriftWithinLaunch => "drift_within_launch",
        }
    }
}

/// What the warnings of this module mean.
pub const EXPLAINED: &[(&str, &str)] = &[
    (
        "drift_over_run",
        "decode became steadily slower or faster from launch to launch; ratios of cases measured in turn do not mind, the speed itself does",
    ),
    ("level_shift", "decode changed its speed at once during the run, and stayed there"),
    (
        "drift_within_launch",
        "decode became steadily slower or faster from repetition to repetition inside its launches: the warm-up may be too short, or the machine heats up",
    ),
];

/// A change that was found.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Change {
    /// What kind.
    pub kind: Kind,
    /// Change of the time per token from the beginning to the end, or across the shift, as a share: above 0 is slower.
    pub share: f64,
    /// The last unit (launch or round, from 1) before a shift.
    pub after: Option<usize>,
    /// Chance to see as much without a change.
    pub p: f64,
}

/// Growth of the time per token with the context.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Growth {
    /// ms per token of context.
    pub ms_per_token: f64,
    /// Its 99% interval over repetitions, each of which has one slope: steps that are alike do not narrow it.
    pub ci: (f64, f64),
    /// From the first to the last step, as a share of the mean.
    pub share: f64,
    /// Whether the interval leaves out 0 and the share is worth a word.
    pub established: bool,
}

/// The changes that the repetitions of a case show.
pub fn changes(repetitions: &[Repetition]) -> Vec<Change> {
    let mut found = Vec::new();
    for units in units(repetitions) {
        let drift = test(std::slice::from_ref(&units), Shape::Line);
        let shift = test(&[units], Shape::Step);
        // Either looks a little like the other: the better description is told.
        let best = match (drift, shift) {
            (Some(drift), Some(shift)) => Some(if shift.fit > drift.fit { shift } else { drift }),
            (drift, shift) => drift.or(shift),
        };
        found.extend(best.map(|seen| seen.change));
    }
    let within = within_launches(repetitions);
    if within.iter().map(Vec::len).sum::<usize>() >= FEWEST_REPETITIONS {
        found.extend(test(&within, Shape::Line).map(|seen| Change { kind: Kind::DriftWithinLaunch, ..seen.change }));
    }
    found
}

/// For each run: the means of its launches and rounds, in order.
fn units(repetitions: &[Repetition]) -> Vec<Vec<f64>> {
    let mut runs: BTreeMap<&str, BTreeMap<(u32, usize), Vec<f64>>> = BTreeMap::new();
    for repetition in repetitions {
        if let Some(ms) = repetition.tpot_ms {
            let run = runs.entry(repetition.run.as_deref().unwrap_or_default()).or_default();
            run.entry((repetition.round.unwrap_or(0), repetition.launch)).or_default().push(ms);
        }
    }
    let mean = |all: Vec<f64>| all.iter().sum::<f64>() / all.len() as f64;
    let runs = runs.into_values().map(|run| run.into_values().map(mean).collect::<Vec<f64>>());
    runs.filter(|units| units.len() >= FEWEST_UNITS).collect()
}

/// The repetitions of each launch and round.
fn within_launches(repetitions: &[Repetition]) -> Vec<Vec<f64>> {
    let mut launches: BTreeMap<(usize, u32), Vec<f64>> = BTreeMap::new();
    for repetition in repetitions {
        let place = (repetition.launch, repetition.round.unwrap_or(0));
        launches.entry(place).or_default().extend(repetition.tpot_ms);
    }
    launches.into_values().filter(|values| values.len() > 1).collect()
}

/// What a change looks like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Shape {
    Line,
    Step,
}

/// A change and the share of the variance that it explains.
struct Seen {
    change: Change,
    fit: f64,
}

/// How well a shape fits series: correlation, size as a share of the mean, and where a step is.
#[derive(Clone, Copy)]
struct Fit {
    correlation: f64,
    share: f64,
    after: usize,
}

fn test(series: &[Vec<f64>], shape: Shape) -> Option<Seen> {
    let fit = fit(series, shape)?;
    if fit.share.abs() < SMALLEST {
        return None;
    }
    let limit = FALSE_ALARM / TESTS;
    let reduced = reduced(series, shape, fit);
    let mut random = Random::named(0, "drift");
    let mut shuffled = series.to_vec();
    let (mut alike, mut done) = (0, 0);
    while done < SHUFFLES && alike < PLENTY {
        shuffled.iter_mut().for_each(|values| random.shuffle(values));
        // Rounding must not tell equal orders apart.
        let own = self::fit(&shuffled, shape).map_or(0.0, |fit| fit.correlation.abs());
        alike += usize::from(own >= reduced - 1e-12);
        done += 1;
    }
    let p = (alike + 1) as f64 / (done + 1) as f64;
    let (kind, after) = match shape {
        Shape::Line => (Kind::DriftOverRun, None),
        Shape::Step => (Kind::LevelShift, Some(fit.after)),
    };
    let change = Change { kind, share: fit.share, after, p };
    (p <= limit).then_some(Seen { change, fit: fit.correlation.abs() })
}

/// The best fit of a shape; `None` where all values are equal, or too few for a step.
fn fit(series: &[Vec<f64>], shape: Shape) -> Option<Fit> {
    match shape {
        Shape::Line => line(series),
        Shape::Step => step(series.first()?),
    }
}

/// One slope for all series, each around its own mean.
fn line(series: &[Vec<f64>]) -> Option<Fit> {
    let (mut products, mut places, mut squares, mut sum, mut n) = (0.0, 0.0, 0.0, 0.0, 0usize);
    let mut span = 0usize;
    for values in series {
        let mean = values.iter().sum::<f64>() / values.len() as f64;
        let middle = (values.len() - 1) as f64 / 2.0;
        for (i, value) in values.iter().enumerate() {
            let place = i as f64 - middle;
            products += place * (value - mean);
            places += place * place;
            squares += (value - mean).powi(2);
        }
        sum += mean * values.len() as f64;
        n += values.len();
        span = span.max(values.len() - 1);
    }
    let correlation = products / (places * squares).sqrt();
    let share = products / places * span as f64 / (sum / n as f64);
    (correlation.is_finite() && share.is_finite()).then_some(Fit { correlation, share, after: 0 })
}

/// The step that explains most.
fn step(values: &[f64]) -> Option<Fit> {
    let n = values.len();
    let mean = values.iter().sum::<f64>() / n as f64;
    let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
    let mut best: Option<Fit> = None;
    let mut before = 0.0;
    for (i, value) in values.iter().enumerate() {
        before += value - mean;
        let (left, right) = ((i + 1) as f64, (n - i - 1) as f64);
        if i + 1 < SIDE || n - i - 1 < SIDE {
            continue;
        }
        // The means on both sides are mean + before / left and mean - before / right.
        let rise = -before / right - before / left;
        let correlation = rise * (left * right / n as f64 / squares).sqrt();
        if correlation.is_finite() && best.is_none_or(|fit| correlation.abs() > fit.correlation.abs()) {
            best = Some(Fit { correlation, share: rise / mean, after: i + 1 });
        }
    }
    best
}

/// The correlation that as clear a change would have among independent values: r^2 / (1 - r^2), which grows with their number,
/// is reduced to the effective number.
fn reduced(series: &[Vec<f64>], shape: Shape, fit: Fit) -> f64 {
    let long = series.iter().filter(|values| values.len() >= FEWEST_UNITS);
    let rho = autocorrelation(&long.map(|values| rest(values, shape, fit)).collect::<Vec<_>>());
    let square = fit.correlation.powi(2).min(1.0);
    let odds = square / (1.0 - square).max(1e-300) * (1.0 - rho) / (1.0 + rho);
    (odds / (1.0 + odds)).sqrt()
}

/// What a shape leaves of values.
fn rest(values: &[f64], shape: Shape, fit: Fit) -> Vec<f64> {
    match shape {
        Shape::Line => without_line(values),
        Shape::Step => {
            let (left, right) = values.split_at(fit.after);
            let centred = |part: &[f64]| {
                let mean = part.iter().sum::<f64>() / part.len() as f64;
                part.iter().map(|v| v - mean).collect::<Vec<f64>>()
            };
            [centred(left), centred(right)].concat()
        }
    }
}

/// Autocorrelation of neighbours in what is left, at least 0 and at most 0.8, corrected for the bias of short series.
fn autocorrelation(left_over: &[Vec<f64>]) -> f64 {
    let squares: f64 = left_over.iter().flatten().map(|r| r * r).sum();
    let products: f64 = left_over.iter().flat_map(|r| r.windows(2)).map(|pair| pair[0] * pair[1]).sum();
    let longest = left_over.iter().map(Vec::len).max().unwrap_or(0) as f64;
    if squares <= 0.0 || longest <= 4.0 {
        return 0.0;
    }
    ((longest * products / squares + 2.0) / (longest - 4.0)).clamp(0.0, 0.8)
}

/// How the time per token grows with the context; `None` where fewer than three repetitions have a slope.
pub fn growth(repetitions: &[Repetition], steps: usize) -> Option<Growth> {
    let slopes: Vec<f64> = repetitions.iter().filter_map(|repetition| repetition.growth_ms).collect();
    let times: Vec<f64> = repetitions.iter().filter_map(|repetition| repetition.tpot_ms).collect();
    if slopes.len() < 3 {
        return None;
    }
    let spread = Spread::around_mean(&slopes)?;
    let (slope, half) = (spread.mean, spread.half_width(1.0 - FALSE_ALARM));
    let mean = times.iter().sum::<f64>() / times.len() as f64;
    let share = slope * steps.saturating_sub(1) as f64 / mean;
    let established = slope.abs() > half && share.abs() >= SMALLEST;
    Some(Growth { ms_per_token: slope, ci: (slope - half, slope + half), share, established })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn normals(seed: u64) -> impl FnMut() -> f64 {
        let mut random = Random::new(seed);
        move || (0..12).map(|_| (random.bits() >> 11) as f64 / (1u64 << 53) as f64).sum::<f64>() - 6.0
    }

    /// Launches of three repetitions with these times per token.
    fn launches(times: impl IntoIterator<Item = f64>, mut noise: impl FnMut() -> f64) -> Vec<Repetition> {
        let mut all = Vec::new();
        for (launch, ms) in times.into_iter().enumerate() {
            for _ in 0..3 {
                let tpot_ms = Some(ms + 0.02 * noise());
                all.push(Repetition { launch, round: Some(launch as u32 + 1), tpot_ms, ..Repetition::default() });
            }
        }
        all
    }

    #[test]
    fn a_drift_over_the_run_is_found() {
        let mut noise = normals(1);
        let found = changes(&launches((0..10).map(|i| 10.0 + 0.1 * f64::from(i)), &mut noise));
        assert_eq!(found.iter().map(|change| change.kind).collect::<Vec<_>>(), [Kind::DriftOverRun]);
        assert!((0.07..0.10).contains(&found[0].share) && found[0].p < 0.004, "{found:?}");
    }

    #[test]
    fn a_shift_is_no_drift() {
        let mut noise = normals(2);
        let found = changes(&launches((0..24).map(|i| if i < 10 { 10.0 } else { 9.5 }), &mut noise));
        assert_eq!((found.len(), found[0].kind, found[0].after), (1, Kind::LevelShift, Some(10)));
        assert!((-0.06..-0.04).contains(&found[0].share), "{found:?}");
    }

    #[test]
    fn a_drift_inside_launches_is_told_apart() {
        let mut noise = normals(3);
        let mut all = launches((0..6).map(f64::from).map(|i| 10.0 + i % 2.0), &mut noise);
        for (i, repetition) in all.iter_mut().enumerate() {
            repetition.tpot_ms = repetition.tpot_ms.map(|ms| ms + 0.2 * (i % 3) as f64);
        }
        let found = changes(&all);
        assert_eq!(found.iter().map(|change| change.kind).collect::<Vec<_>>(), [Kind::DriftWithinLaunch]);
    }

    #[test]
    fn noise_is_no_change_and_alike_neighbours_are_none() {
        let mut noise = normals(4);
        let (mut white, mut alike) = (0, 0);
        for _ in 0..200 {
            let mut before = 0.0;
            let independent: Vec<f64> = (0..12).map(|_| 10.0 + noise()).collect();
            let correlated: Vec<f64> = (0..12)
                .map(|_| {
                    before = 0.4 * before + noise();
                    10.0 + before
                })
                .collect();
            white += usize::from(!changes(&launches(independent, || 0.0)).is_empty());
            alike += usize::from(!changes(&launches(correlated, || 0.0)).is_empty());
        }
        assert!(white <= 5 && alike <= 10, "{white} {alike} of 200");
    }

    #[test]
    fn a_small_change_is_not_worth_a_word_and_constants_have_none() {
        let mut noise = normals(5);
        let tiny = launches((0..20).map(|i| 10.0 + 0.002 * f64::from(i)), || 0.01 * noise());
        assert_eq!(changes(&tiny), []);
        assert_eq!(changes(&launches([5.0; 12], || 0.0)), []);
        assert_eq!(changes(&[]), []);
    }

    #[test]
    fn growth_with_the_context_is_one_slope_a_repetition() {
        let slopes = [0.011, 0.010, 0.009, 0.010, 0.0105];
        let repetition =
            |slope: f64| Repetition { growth_ms: Some(slope), tpot_ms: Some(20.0), ..Repetition::default() };
        let all: Vec<Repetition> = slopes.into_iter().map(repetition).collect();
        let grown = growth(&all, 101).unwrap();
        assert!(grown.established && (grown.share - 0.0505).abs() < 1e-9, "{grown:?}");
        assert_eq!(growth(&all[..2], 101), None);
        let flat: Vec<Repetition> = [0.01, -0.01, 0.012, -0.012].into_iter().map(repetition).collect();
        assert!(!growth(&flat, 101).unwrap().established);
    }
}
