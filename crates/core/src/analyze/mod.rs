//! Step 4: statistics. Series of steps -> groups of repetitions -> estimates with intervals -> comparisons.
//!
//! A [`Group`] is one case on one host; nothing is ever averaged across hosts, phases, units, token counts or bit
//! widths. This module computes; what a person sees is made by `plot`, `report` and the `tokometer` binary.
//!
//! `bootstrap` makes intervals, `ratio` compares two cases, `verdict` says in a word what came of it, `rounds` predicts how
//! many rounds are enough and when to stop, `drift` looks for changes within a run. `scores` joins what evaluations say of the
//! quality, `pareto` finds the cases that nothing beats, `recommend` chooses one.

mod bootstrap;
mod compare;
mod condition;
mod drift;
mod estimate;
mod findings;
mod group;
mod metric;
mod pareto;
mod ratio;
mod recommend;
mod repetition;
mod roofline;
pub mod rounds;
mod scores;
mod steps;
mod student;
mod surroundings;
#[cfg(test)]
mod testing;
mod validity;
mod verdict;
pub mod versus;

pub use crate::random::Random;
pub use bootstrap::{RESAMPLES, mean_interval};
pub use compare::{Comparison, against_rivals, best_per_host, compare_pair, speedups};
pub use condition::Condition;
pub(crate) use condition::peak_memory;
pub use drift::{Change, EXPLAINED, Growth, Kind, changes, growth};
pub use estimate::{Estimate, quantile};
pub use findings::{Finding, findings};
pub use group::{Group, GroupKey, groups};
pub use metric::{DECODE, METRICS, Metric, PREFILL};
pub use pareto::{Better, front};
pub use ratio::Ratio;
pub use recommend::{Advice, Candidate, Choice, Missing, Wishes, recommend};
pub use repetition::Repetition;
pub use roofline::{Roofline, flop_per_token, roofline};
pub use scores::{Score, scores};
pub use steps::{Percentile, StepTimes, effective_size};
pub use student::t_critical;
pub use surroundings::Surroundings;
pub use validity::{Grade, Validity, validity, validity_lines, warning_meaning};
pub use verdict::{ASSUMED_SPREAD, FEW_ROUNDS, Judge, LEVEL, Verdict, WITHIN};

use crate::record::{Quality, Series};
use serde::Serialize;

/// Everything that is derived from the rows.
#[derive(Debug, Clone, Serialize)]
pub struct Analysis {
    /// Whether the figures can be believed, by run.
    pub validity: Vec<Validity>,
    /// One per case and host, in the order of tables: host, model, workload, engine, quantization.
    pub groups: Vec<Group>,
    /// Decode speed of each group against the baseline of its kind.
    pub speedups: Vec<Comparison>,
    /// Each group's share of what the machine can do.
    pub roofline: Vec<Roofline>,
    /// Sentences that the data support.
    pub findings: Vec<Finding>,
    /// What evaluations say of the quality, joined with the groups.
    pub scores: Vec<Score>,
}

/// Analyzes series; the same input gives the same output, to the last bit.
pub fn analyze(series: &[Series]) -> Analysis {
    analyze_with(series, &[])
}

/// The same with results of evaluations.
pub fn analyze_with(series: &[Series], quality: &[Quality]) -> Analysis {
    let groups = groups(series);
    let scores = scores(quality, &groups);
    let speedups = speedups(&groups);
    let findings = findings(&groups, &speedups);
    Analysis { validity: validity(series), roofline: roofline(&groups), groups, speedups, findings, scores }
}
