//! Step 4: statistics. Series of steps -> groups of repetitions -> estimates with intervals -> comparisons.
//!
//! A [`Group`] is one case on one host; nothing is ever averaged across hosts, phases, units, token counts or bit
//! widths. This module computes; what a person sees is made by `plot`, `report` and the `tokometer` binary.
//!
//! `bootstrap` makes intervals, `ratio` compares two cases, `verdict` says in a word what came of it, `rounds` predicts how
//! many rounds are enough and when to stop, `drift` looks for changes within a run, `versus` matches the cases of two sets.

mod bootstrap;
mod compare;
mod drift;
mod estimate;
mod findings;
mod group;
mod metric;
mod ratio;
mod repetition;
pub mod rounds;
mod steps;
mod student;
#[cfg(test)]
mod testing;
mod verdict;
pub mod versus;

pub use crate::random::Random;
pub use bootstrap::{RESAMPLES, mean_interval};
pub use compare::{Comparison, against_rivals, best_per_host, compare_pair, speedups};
pub use drift::{Change, EXPLAINED, Growth, Kind, changes, growth};
pub use estimate::{Estimate, quantile};
pub use findings::{Finding, findings};
pub use group::{Group, GroupKey, groups};
pub use metric::{DECODE, METRICS, Metric, PREFILL};
pub use ratio::Ratio;
pub use repetition::Repetition;
pub use steps::{Percentile, StepTimes, effective_size};
pub use verdict::{ASSUMED_SPREAD, FEW_ROUNDS, Judge, LEVEL, Verdict, WITHIN};

use crate::record::Series;
use serde::Serialize;

/// Everything that is derived from the rows.
#[derive(Debug, Clone, Serialize)]
pub struct Analysis {
    /// One per case and host, in the order of tables: host, model, workload, engine, quantization.
    pub groups: Vec<Group>,
    /// Decode speed of each group against the baseline of its kind.
    pub speedups: Vec<Comparison>,
    /// Sentences that the data support.
    pub findings: Vec<Finding>,
}

/// Analyzes series; the same input gives the same output, to the last bit.
pub fn analyze(series: &[Series]) -> Analysis {
    let groups = groups(series);
    let speedups = speedups(&groups);
    let findings = findings(&groups, &speedups);
    Analysis { groups, speedups, findings }
}
