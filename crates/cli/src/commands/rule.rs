//! What ends a run: `--rounds`, `--until`, `--budget`, whichever comes first. The runner asks after every round.

use crate::terminal::duration;
use std::time::Duration;
use tokometer_core::analyze::rounds::{self, Decision, Figure, Goal};
use tokometer_core::plan::Ends;
use tokometer_core::run::{CaseRounds, Controller, Measured, Next, Rounds};

/// Rounds after which a run without `--rounds` ends whatever happens.
const MOST_ROUNDS: u32 = 10_000;

/// Judges how narrow the intervals are.
pub trait Precision {
    /// Hears what was measured so far.
    fn judge(&mut self, so_far: &Rounds) -> Judgement;
}

/// How narrow the intervals are.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Judgement {
    /// Whether that is narrow enough.
    pub reached: bool,
    /// In words: `widest interval ±2.3%`.
    pub words: String,
    /// Rounds in all after which it is expected to be.
    pub rounds: Option<u32>,
}

/// The rule that a command line asks for.
pub struct Rule {
    ends: Ends,
    precision: Option<Box<dyn Precision>>,
    status: Option<String>,
}

impl Rule {
    /// `precision` judges `--until`.
    pub fn new(ends: Ends, precision: Option<Box<dyn Precision>>) -> Rule {
        Rule { ends, precision, status: None }
    }

    fn budget(&self) -> Option<Duration> {
        self.ends.budget_s.map(Duration::from_secs)
    }
}

impl Controller for Rule {
    fn expected_rounds(&self) -> Option<u32> {
        // With another end, nobody knows before the first round.
        self.ends.rounds.filter(|_| self.ends.until.is_none() && self.ends.budget_s.is_none())
    }

    fn most_rounds(&self) -> Option<u32> {
        self.ends.rounds
    }

    fn status(&self) -> Option<String> {
        self.status.clone()
    }

    fn after_round(&mut self, so_far: &Rounds) -> Next {
        let stop = |reason: String| Next::Stop { reason };
        let judged = self.precision.as_mut().map(|precision| precision.judge(so_far));
        if let Some(judged) = judged.as_ref().filter(|judged| judged.reached) {
            return stop(format!("{}, as narrow as asked", judged.words));
        }
        if self.ends.rounds.is_some_and(|most| so_far.done >= most) {
            return stop(format!("all {} round(s) are done", so_far.done));
        }
        if self.ends.rounds.is_none() && so_far.done >= MOST_ROUNDS {
            return stop(format!("{MOST_ROUNDS} rounds are enough"));
        }
        let next = expected_time(&so_far.took);
        if let Some(budget) = self.budget()
            && so_far.elapsed.saturating_add(next) > budget
        {
            let (spent, budget) = (duration(so_far.elapsed.as_secs_f64()), duration(budget.as_secs_f64()));
            let next = duration(next.as_secs_f64());
            return stop(format!("the budget: {spent} of {budget} are spent, another round takes about {next}"));
        }
        let by_budget = self.budget().map(|budget| rounds_within(budget, so_far, next));
        self.status = status(judged.as_ref(), self.budget(), so_far.elapsed);
        let bounds = [self.ends.rounds, by_budget].into_iter().flatten().min();
        let expected_rounds = match judged {
            // The intervals may be narrow long before the other ends come: until that can be told, every round is a
            // launch of its own, so that there are several of them by then.
            Some(Judgement { rounds: None, .. }) => None,
            Some(Judgement { rounds: Some(rounds), .. }) => Some(bounds.map_or(rounds, |most| most.min(rounds))),
            None => bounds,
        };
        Next::Continue { expected_rounds }
    }
}

/// How far it is: the widest interval, the time spent.
fn status(judged: Option<&Judgement>, budget: Option<Duration>, elapsed: Duration) -> Option<String> {
    let time =
        budget.map(|budget| format!("{} of {}", duration(elapsed.as_secs_f64()), duration(budget.as_secs_f64())));
    let parts: Vec<String> = judged.map(|judged| judged.words.clone()).into_iter().chain(time).collect();
    (!parts.is_empty()).then(|| parts.join(" · "))
}

/// The next round's time: the longer one of the last two, for one may have loaded the engines and the other not.
fn expected_time(took: &[Duration]) -> Duration {
    took.iter().rev().take(2).max().copied().unwrap_or_default()
}

/// Rounds in all that fit.
fn rounds_within(budget: Duration, so_far: &Rounds, next: Duration) -> u32 {
    let left = budget.saturating_sub(so_far.elapsed).as_secs_f64();
    let more = (left / next.as_secs_f64().max(1e-9)).min(f64::from(MOST_ROUNDS)) as u32;
    so_far.done.saturating_add(more).min(MOST_ROUNDS)
}

/// Asks that half the width of the 95% interval of every figure of every case, or of its ratio to that of the first case, is
/// within a share of it. When that
/// may be looked at, so that stopping does not bias what was measured, is the business of [`rounds`].
pub struct Narrow {
    /// Half the width, as a share of the figure.
    share: f64,
    /// Of what.
    goal: Goal,
}

impl Narrow {
    /// What `--until` asks for, if it was given.
    pub fn asked(ends: &Ends) -> Option<Box<dyn Precision>> {
        let goal = if ends.ratios { Goal::Ratios } else { Goal::Figures };
        ends.until.map(|share| Box::new(Narrow { share, goal }) as Box<dyn Precision>)
    }
}

impl Precision for Narrow {
    fn judge(&mut self, so_far: &Rounds) -> Judgement {
        let figures: Vec<Figure> = so_far.cases.iter().flat_map(|case| figures(case, so_far.done)).collect();
        let rule = rounds::Rule { half_width: self.share, goal: self.goal, max_rounds: None };
        let (reached, expected, standing) = match rounds::decide(&figures, &rule) {
            Decision::Stop { reached, standing } => (reached, None, standing),
            Decision::Continue { expected_rounds, standing } => (false, expected_rounds, standing),
        };
        let words = match standing.widest {
            Some(width) => match self.goal {
                Goal::Figures => format!("widest interval ±{:.2}%", width * 100.0),
                Goal::Ratios => format!("widest interval of a ratio ±{:.2}%", width * 100.0),
            },
            None if self.goal == Goal::Ratios && so_far.cases.len() < 2 => "one case has no ratio".into(),
            None => "no interval yet".into(),
        };
        Judgement { reached, words, rounds: expected.map(|more| so_far.done.saturating_add(more)) }
    }
}

/// A figure's name, and how it is taken from a repetition.
type Kind = (&'static str, fn(&Measured) -> f64);

/// The figures of a case, each with its mean in every round.
fn figures(case: &CaseRounds, done: u32) -> Vec<Figure> {
    let kinds: [Kind; 3] = [("TPOT", |m| m.tpot_ms), ("TTFT", |m| m.ttft_ms), ("E2E", |m| m.e2e_ms)];
    let in_round = |round: u32, figure: fn(&Measured) -> f64| {
        let visits = case.visits.iter().filter(|visit| visit.round == round);
        let values: Vec<f64> = visits.flat_map(|visit| visit.repetitions.iter().map(figure)).collect();
        (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
    };
    let figure = |(name, of): Kind| Figure {
        case: case.title.clone(),
        metric: name.to_owned(),
        per_round: (1..=done).map(|round| in_round(round, of)).collect(),
    };
    kinds.into_iter().map(figure).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokometer_core::run::Visit;

    /// Rounds of a case that take ten seconds each.
    fn rounds(tpot_ms: &[f64]) -> Rounds {
        let visit = |(i, tpot): (usize, &f64)| Visit {
            round: i as u32 + 1,
            launch: i as u32 + 1,
            repetitions: vec![Measured { tpot_ms: *tpot, ttft_ms: 5.0, e2e_ms: 100.0 }; 2],
            complete: true,
        };
        let visits = tpot_ms.iter().enumerate().map(visit).collect();
        let done = tpot_ms.len() as u32;
        Rounds {
            done,
            cases: vec![CaseRounds { visits, ..CaseRounds::default() }],
            took: vec![Duration::from_secs(10); tpot_ms.len()],
            elapsed: Duration::from_secs(10) * done,
        }
    }

    fn expected(next: Next) -> Option<u32> {
        match next {
            Next::Continue { expected_rounds } => expected_rounds,
            Next::Stop { reason } => panic!("stopped: {reason}"),
        }
    }

    /// Two cases that are disturbed together: each is far from narrow, and their ratio is exact.
    #[test]
    fn ratios_are_narrow_where_figures_are_not() {
        let disturbed: Vec<f64> = (0..10).map(|i| if i % 2 == 0 { 1.0 } else { 1.1 }).collect();
        let mut both = rounds(&disturbed);
        let mut other = rounds(&disturbed.iter().map(|tpot| tpot * 2.0).collect::<Vec<_>>()).cases.remove(0);
        other
            .visits
            .iter_mut()
            .flat_map(|visit| &mut visit.repetitions)
            .for_each(|m| (m.ttft_ms, m.e2e_ms) = (9.0, 90.0));
        both.cases.push(other);
        let ends = |ratios| Ends { until: Some(0.01), ratios, ..Ends::default() };
        let mut figures = Rule::new(ends(false), Narrow::asked(&ends(false)));
        assert!(matches!(figures.after_round(&both), Next::Continue { .. }));
        let mut ratios = Rule::new(ends(true), Narrow::asked(&ends(true)));
        let Next::Stop { reason } = ratios.after_round(&both) else { panic!("it goes on") };
        assert!(reason.contains("interval of a ratio"), "{reason}");
    }

    #[test]
    fn a_number_of_rounds_is_kept() {
        let mut rule = Rule::new(Ends { rounds: Some(2), ..Ends::default() }, None);
        assert_eq!((rule.expected_rounds(), rule.most_rounds()), (Some(2), Some(2)));
        assert_eq!(expected(rule.after_round(&rounds(&[1.0]))), Some(2));
        assert!(matches!(rule.after_round(&rounds(&[1.0, 1.0])), Next::Stop { .. }));
    }

    #[test]
    fn a_budget_begins_no_round_that_would_end_too_late() {
        let mut rule = Rule::new(Ends { budget_s: Some(45), ..Ends::default() }, None);
        assert_eq!((rule.expected_rounds(), rule.most_rounds()), (None, None));
        assert_eq!(expected(rule.after_round(&rounds(&[1.0]))), Some(4));
        assert!(rule.status().unwrap().contains("10 s of 45 s"));
        assert_eq!(expected(rule.after_round(&rounds(&[1.0; 3]))), Some(4));
        let Next::Stop { reason } = rule.after_round(&rounds(&[1.0; 4])) else { panic!("it goes on") };
        assert!(reason.contains("budget") && reason.contains("40 s of 45 s"), "{reason}");
    }

    #[test]
    fn narrow_intervals_end_a_run_and_wide_ones_tell_how_many_rounds_it_takes() {
        let ends = Ends { until: Some(0.01), ..Ends::default() };
        let mut rule = Rule::new(ends, Narrow::asked(&ends));
        assert_eq!(expected(rule.after_round(&rounds(&[1.0]))), None);
        assert!(expected(rule.after_round(&rounds(&[1.0, 1.1, 0.9, 1.05]))).unwrap() > 10);
        assert!(rule.status().unwrap().contains("widest interval ±"));
        // Narrow from the first round on: the second of the looks in a row, after 10 rounds, ends it.
        assert_eq!(expected(rule.after_round(&rounds(&[1.0; 9]))), Some(10));
        let Next::Stop { reason } = rule.after_round(&rounds(&[1.0; 10])) else { panic!("it goes on") };
        assert!(reason.contains("±0.00%"), "{reason}");
    }
}
