//! How often the statistics are right: runs with known noise, judged by the very code that judges measurements.
//!
//! `cargo run --release --example simulate` prints a table in Markdown; 1,000 runs for each kind of noise. A run has a number
//! of rounds; each round launches two cases, each with five repetitions; a number behind `--` is that of runs under `--until`.
//! What is known is the time per token of every repetition; its steps take equally long but for hiccups. Speeds are judged by
//! their ratios, so that times serve as well.

use std::thread;
use tokometer_core::analyze::rounds::{Decision, Figure, Goal, Rule, decide};
use tokometer_core::analyze::{Judge, Random, Ratio, Verdict, mean_interval, quantile, typical_interval};

const RUNS: usize = 1000;
const ROUNDS: usize = 10;
const REPETITIONS: usize = 5;
const STEPS: usize = 127;
/// The difference that is to be found.
const DIFFERENCE: f64 = 0.02;
/// Launches from which the mean of their medians is taken for the true one.
const MANY: usize = 200_000;
/// Rounds from which the number that is needed is predicted.
const PILOT: usize = 8;

/// What disturbs a measurement.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Noise {
    White,
    Autocorrelated,
    Bimodal,
    Drift,
    HeavyTails,
    Hiccups,
    Stalls,
}

const ALL: [(Noise, &str); 7] = [
    (Noise::White, "white: launches 0.5%, repetitions 1%"),
    (Noise::Autocorrelated, "autocorrelated: repetitions 1%, correlation 0.8"),
    (Noise::Bimodal, "bimodal: half of the launches 3% slower, repetitions 0.3%"),
    (Noise::Drift, "drift: both cases 10% slower over the run, launches 0.5%, repetitions 1%"),
    (Noise::HeavyTails, "heavy tails: repetitions of Student's t with 3 degrees of freedom, 1%"),
    (Noise::Hiccups, "hiccups: one step in 500 takes ten times as long, 127 steps a repetition, repetitions 0.5%"),
    (Noise::Stalls, "stalls: one repetition in fifty takes half as long again, repetitions 0.5%"),
];

/// Time per token of a repetition.
#[derive(Debug, Clone, Copy)]
struct Repetition {
    /// Of all its steps.
    mean: f64,
    /// Of the step in the middle of them.
    step: f64,
}

/// The launches of two cases.
type Both = [Vec<Vec<Repetition>>; 2];

/// One figure of every repetition, by launch.
fn each(launches: &[Vec<Repetition>], of: fn(&Repetition) -> f64) -> Vec<Vec<f64>> {
    launches.iter().map(|launch| launch.iter().map(of).collect()).collect()
}

/// The mean of a case and its interval.
fn of_mean(launches: &[Vec<Repetition>], name: &str) -> Option<(f64, Option<(f64, f64)>)> {
    mean_interval(&each(launches, |one| one.mean), name)
}

/// What is typical of it, and its interval.
fn of_typical(launches: &[Vec<Repetition>], name: &str) -> Option<(f64, Option<(f64, f64)>)> {
    typical_interval(&each(launches, |one| one.step), name)
}

/// A source of noise with a memory.
struct Source {
    random: Random,
    noise: Noise,
    rounds: usize,
    repetitions: usize,
}

impl Source {
    fn uniform(&mut self) -> f64 {
        (self.random.below(1 << 30) as f64 + 0.5) / f64::from(1 << 30)
    }

    /// Box and Muller's method.
    fn normal(&mut self) -> f64 {
        (-2.0 * self.uniform().ln()).sqrt() * (std::f64::consts::TAU * self.uniform()).cos()
    }

    /// The repetitions of one launch whose true time per token is `base`, in round `round`. The place in the round (0 or 1) is
    /// where a drift stands.
    fn launch(&mut self, base: f64, round: usize, place: usize) -> Vec<Repetition> {
        let (level, spread) = match self.noise {
            Noise::White | Noise::Drift => (0.005 * self.normal(), 0.01),
            Noise::Bimodal => (if self.uniform() < 0.5 { 0.03 } else { 0.0 }, 0.003),
            Noise::Stalls | Noise::Hiccups => (0.0, 0.005),
            Noise::Autocorrelated | Noise::HeavyTails => (0.0, 0.01),
        };
        let mut before = self.normal();
        let mut all = Vec::with_capacity(self.repetitions);
        for i in 0..self.repetitions {
            let own = match self.noise {
                Noise::Autocorrelated => {
                    before = 0.8 * before + 0.6 * self.normal();
                    before
                }
                Noise::HeavyTails => {
                    let square: f64 = (0..3).map(|_| self.normal().powi(2)).sum();
                    (self.normal() / (square / 3.0).sqrt()).clamp(-40.0, 40.0)
                }
                _ => self.normal(),
            };
            let stalled = self.noise == Noise::Stalls && self.uniform() < 0.02;
            let stall = if stalled { 0.5 } else { 0.0 };
            let at = (2 * round + place) as f64 + i as f64 / self.repetitions as f64;
            let drift = if self.noise == Noise::Drift { 0.1 * at / (2 * self.rounds) as f64 } else { 0.0 };
            let usual = base * (1.0 + level + drift + spread * own);
            let mut steps = vec![usual + base * stall; STEPS];
            if self.noise == Noise::Hiccups {
                let held_up = |step: &mut f64| *step += if self.random.below(500) == 0 { 9.0 * base } else { 0.0 };
                steps.iter_mut().for_each(held_up);
                steps.sort_by(f64::total_cmp);
            }
            all.push(Repetition { mean: steps.iter().sum::<f64>() / STEPS as f64, step: quantile(&steps, 0.5) });
        }
        all
    }

    /// The launches of two cases over rounds, the second slower by `difference`, in shuffled order.
    fn run(&mut self, difference: f64) -> Both {
        let mut both = [Vec::new(), Vec::new()];
        for round in 0..self.rounds {
            let first = self.random.below(2);
            for place in 0..2 {
                let case = (first + place) % 2;
                let base = if case == 0 { 1.0 } else { 1.0 + difference };
                both[case].push(self.launch(base, round, place));
            }
        }
        both
    }
}

/// The mean time per token of a case without difference.
fn truth(noise: Noise) -> f64 {
    match noise {
        Noise::Bimodal => 1.015,
        Noise::Stalls => 1.01,
        Noise::Hiccups => 1.018,
        Noise::Drift => 1.05,
        _ => 1.0,
    }
}

/// What is typical of a case without difference: known where noise lies evenly around the mean, from a great many launches
/// where it does not.
fn typical(noise: Noise, repetitions: usize) -> f64 {
    match noise {
        Noise::Stalls => (),
        Noise::Hiccups => return 1.0,
        _ => return truth(noise),
    }
    let random = Random::named(2, &format!("{noise:?}"));
    let mut source = Source { random, noise, rounds: ROUNDS, repetitions };
    let median = |launch: Vec<Repetition>| {
        let mut steps: Vec<f64> = launch.iter().map(|one| one.step).collect();
        steps.sort_by(f64::total_cmp);
        quantile(&steps, 0.5)
    };
    (0..MANY).map(|_| median(source.launch(1.0, 0, 0))).sum::<f64>() / MANY as f64
}

/// Whether an interval holds a value.
fn holds(found: Option<(f64, Option<(f64, f64)>)>, truth: f64) -> bool {
    found.and_then(|(_, ci)| ci).is_some_and(|(low, high)| low <= truth && truth <= high)
}

/// The mean time of a launch.
fn mean(launch: &[Repetition]) -> f64 {
    launch.iter().map(|one| one.mean).sum::<f64>() / launch.len() as f64
}

/// Logarithms of the speed of the second case over the first's, by round.
fn logs(both: &Both) -> Vec<f64> {
    both[0].iter().zip(&both[1]).map(|(a, b)| (mean(a) / mean(b)).ln()).collect()
}

/// What was counted, of [`RUNS`] runs each.
#[derive(Debug, Default)]
struct Counts {
    covered: usize,
    typical_covered: usize,
    ratio_covered: usize,
    said: usize,
    found: usize,
    predicted: Vec<f64>,
    until_covered: usize,
    until_typical: usize,
    until_bias: f64,
    until_typical_bias: f64,
    until_rounds: f64,
    bias: f64,
}

fn simulate(noise: Noise, until_repetitions: usize) -> Counts {
    let mut counts = Counts::default();
    let strict = Judge { within: 0.0, ..Judge::default() };
    let (usual, usual_until) = (typical(noise, REPETITIONS), typical(noise, until_repetitions));
    for run in 0..RUNS {
        let name = format!("{noise:?} {run}");
        let mut source = Source { random: Random::named(1, &name), noise, rounds: ROUNDS, repetitions: REPETITIONS };
        let equal = source.run(0.0);
        counts.covered += usize::from(holds(of_mean(&equal[0], &name), truth(noise)));
        counts.typical_covered += usize::from(holds(of_typical(&equal[0], &name), usual));
        if let Some(ratio) = Ratio::of_rounds(&logs(&equal), &strict, &name) {
            counts.ratio_covered += usize::from(ratio.ci.is_some_and(|(low, high)| low <= 1.0 && 1.0 <= high));
            counts.said += usize::from(matches!(ratio.verdict, Verdict::Faster | Verdict::Slower));
            counts.bias += ratio.ratio.ln() / RUNS as f64;
        }
        let found = find(&mut source, &strict, &name);
        counts.found += usize::from(found.0);
        counts.predicted.push(found.1 as f64);
        let until = until(&mut source, until_repetitions, &name, usual_until);
        counts.until_covered += usize::from(until.mean);
        counts.until_typical += usize::from(until.typical);
        counts.until_bias += until.off / RUNS as f64;
        counts.until_typical_bias += until.typical_off / RUNS as f64;
        counts.until_rounds += until.rounds as f64 / RUNS as f64;
    }
    counts
}

/// Whether a true difference is established after as many rounds as a pilot predicts, and how many these are.
fn find(source: &mut Source, judge: &Judge, name: &str) -> (bool, usize) {
    source.rounds = PILOT;
    let pilot = logs(&source.run(DIFFERENCE));
    let Some(first) = Ratio::of_rounds(&pilot, judge, name) else { return (false, PILOT) };
    let total = PILOT + first.more_rounds.map_or(0, |more| more.min(2000) as usize);
    source.rounds = total - PILOT;
    let mut all = pilot;
    all.extend(logs(&source.run(DIFFERENCE)));
    source.rounds = ROUNDS;
    let last = Ratio::of_rounds(&all, judge, name);
    (last.is_some_and(|ratio| ratio.verdict == Verdict::Slower), total)
}

/// What came of a run under `--until`.
struct Until {
    /// Whether the interval of the mean holds the truth.
    mean: bool,
    /// Whether that of what is typical does.
    typical: bool,
    /// How far the mean is off, as a share.
    off: f64,
    /// How far what is typical is.
    typical_off: f64,
    /// How many rounds it took.
    rounds: usize,
}

/// A run of one case under `--until 1%`, 200 rounds at most.
fn until(source: &mut Source, repetitions: usize, name: &str, usual: f64) -> Until {
    const MOST: usize = 200;
    (source.rounds, source.repetitions) = (MOST, repetitions);
    let all = source.run(0.0)[0].clone();
    (source.rounds, source.repetitions) = (ROUNDS, REPETITIONS);
    let rule = Rule { half_width: 0.01, goal: Goal::Figures, max_rounds: Some(MOST as u32) };
    let stop = |n: &usize| {
        let per_round = all[..*n].iter().map(|launch| Some(mean(launch))).collect();
        let figure = Figure { case: "a".into(), metric: "TPOT".into(), per_round };
        matches!(decide(&[figure], &rule), Decision::Stop { .. })
    };
    let rounds = (1..=MOST).find(stop).unwrap_or(MOST);
    // A drift goes on: what is true is the mean of the rounds that were done.
    let drift = 0.1 * rounds as f64 / MOST as f64 / 2.0;
    let drifts = source.noise == Noise::Drift;
    let (truth, usual) = if drifts { (1.0 + drift, 1.0 + drift) } else { (truth(source.noise), usual) };
    let (means, medians) = (of_mean(&all[..rounds], name), of_typical(&all[..rounds], name));
    let off =
        |found: Option<(f64, Option<(f64, f64)>)>, truth: f64| found.map_or(0.0, |(value, _)| value / truth - 1.0);
    Until {
        mean: holds(means, truth),
        typical: holds(medians, usual),
        off: off(means, truth),
        typical_off: off(medians, usual),
        rounds,
    }
}

fn main() {
    let repetitions = std::env::args().nth(1).map_or(REPETITIONS, |n| n.parse().expect("a number of repetitions"));
    let each = |(noise, words): (Noise, &'static str)| (words, simulate(noise, repetitions));
    let results: Vec<(&str, Counts)> = thread::scope(|scope| {
        let all: Vec<_> = ALL.into_iter().map(|one| scope.spawn(move || each(one))).collect();
        all.into_iter().map(|one| one.join().expect("a simulation panicked")).collect()
    });
    let percent = |n: usize| format!("{:.1}%", 100.0 * n as f64 / RUNS as f64);
    println!(
        "| noise | interval of the mean holds it | of what is typical | of the ratio | faster or slower said of equals | ratio off | 2% found as predicted | rounds for that, median | `--until 1%`: mean held | off | typical held | off | rounds |"
    );
    println!("|---|---|---|---|---|---|---|---|---|---|---|---|---|");
    for (words, mut counts) in results {
        counts.predicted.sort_by(f64::total_cmp);
        println!(
            "| {words} | {} | {} | {} | {} | {:+.3}% | {} | {:.0} | {} | {:+.3}% | {} | {:+.3}% | {:.0} |",
            percent(counts.covered),
            percent(counts.typical_covered),
            percent(counts.ratio_covered),
            percent(counts.said),
            100.0 * counts.bias,
            percent(counts.found),
            counts.predicted[RUNS / 2],
            percent(counts.until_covered),
            100.0 * counts.until_bias,
            percent(counts.until_typical),
            100.0 * counts.until_typical_bias,
            counts.until_rounds,
        );
    }
}
