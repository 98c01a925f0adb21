//! Step 4: statistics. Series of steps -> groups of repetitions -> estimates with intervals -> comparisons.
//!
//! A [`Group`] is one case on one host; nothing is ever averaged across hosts, phases, units, token counts or bit
//! widths. This module computes; what a person sees is made by `plot`, `report` and the `tokometer` binary.
//!
//! `gather` makes the groups, `store` keeps the analysis of a CSV file beside it, `only` chooses some of the cases, `sets` says
//! which cases stand together and which of very many are shown.
//!
//! `bootstrap` makes intervals, `ratio` compares two cases, `verdict` says in a word what came of it, `rounds` predicts how
//! many rounds are enough and when to stop, `drift` looks for changes within a run, `stalls` for repetitions that something held up. `scores` joins what evaluations say of the
//! quality, `pareto` finds the cases that nothing beats, `recommend` chooses one.

mod bootstrap;
mod compare;
mod condition;
mod drift;
mod estimate;
mod findings;
mod gather;
mod group;
mod labels;
mod metric;
mod only;
mod pareto;
mod ratio;
mod recommend;
mod repetition;
mod resources;
mod roofline;
pub mod rounds;
mod scores;
mod sets;
mod stalls;
mod steps;
mod store;
mod student;
mod surroundings;
#[cfg(test)]
mod testing;
mod validity;
mod verdict;
pub mod versus;

pub use crate::random::Random;
pub use bootstrap::{RESAMPLES, mean_interval, typical_interval};
pub use compare::{Comparison, against_rivals, best_per_host, compare_pair, speedups, together};
pub use condition::Condition;
pub(crate) use condition::peak_memory;
pub use drift::{Change, EXPLAINED, Growth, Kind, changes, growth};
pub use estimate::{Estimate, quantile};
pub use findings::{Finding, findings, within_run};
pub use gather::{Gatherer, groups};
pub use group::{Group, GroupKey};
pub use labels::EngineLabels;
pub use metric::{DECODE, METRICS, Metric, PREFILL};
pub use only::Only;
pub use pareto::{Better, front};
pub use ratio::Ratio;
pub use recommend::{Advice, Candidate, Choice, Missing, Wishes, recommend};
pub use repetition::Repetition;
pub use resources::{Amount, Resource, resources};
pub use roofline::{Roofline, flop_per_token, roofline};
pub use scores::{Score, Unscored, scores, unscored};
pub use sets::{Shown, by_key, largest};
pub use stalls::{Stalls, Typical, stalls};
pub use steps::{Percentile, StepTimes, effective_size};
pub use store::{of_table, stored};
pub use student::t_critical;
pub use surroundings::Surroundings;
pub use validity::{Grade, Validity, validity, validity_lines, warning_meaning};
pub use verdict::{ASSUMED_SPREAD, FEW_ROUNDS, Judge, LEVEL, Verdict, WITHIN};

use crate::record::{Quality, Series};
use serde::Serialize;
use std::collections::BTreeSet;

/// Everything that is derived from the rows.
#[derive(Debug, Clone, Serialize)]
pub struct Analysis {
    /// How the cases were chosen with `--only`, where not all are here: everything below is of the chosen ones alone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub chosen: Option<String>,
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
    /// Evaluations that have no figures, and why.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub unscored: Vec<Unscored>,
}

/// Analyzes series; the same input gives the same output, to the last bit.
pub fn analyze(series: &[Series]) -> Analysis {
    analyze_with(series, &[])
}

/// The same with results of evaluations.
pub fn analyze_with(series: &[Series], quality: &[Quality]) -> Analysis {
    Gatherer::of(series).finish().with_quality(quality)
}

impl Analysis {
    /// All that follows from groups and from the verdicts on their runs, without evaluations.
    fn of(validity: Vec<Validity>, groups: Vec<Group>) -> Analysis {
        let speedups = speedups(&groups);
        let findings = findings(&groups, &speedups);
        Analysis {
            chosen: None,
            validity,
            roofline: roofline(&groups),
            groups,
            speedups,
            findings,
            scores: Vec::new(),
            unscored: Vec::new(),
        }
    }

    /// With results of evaluations, in place of those that it had; of chosen cases with theirs alone.
    pub fn with_quality(self, quality: &[Quality]) -> Analysis {
        let mut scores = scores(quality, &self.groups);
        let mut unscored = unscored(quality, &self.groups);
        if self.chosen.is_some() {
            scores.retain(|score| !score.groups.is_empty());
            unscored.retain(|unscored| !unscored.groups.is_empty());
        }
        Analysis { scores, unscored, ..self }
    }

    /// That not all cases are here, in a sentence.
    pub fn choice(&self) -> Option<String> {
        let chosen = self.chosen.as_ref()?;
        Some(format!("Of the cases chosen with {chosen}: comparisons, baselines and what is fastest are among these."))
    }

    /// Of the cases that were chosen alone, without evaluations: comparisons and findings are those among them, verdicts
    /// those on the runs that measured them.
    ///
    /// # Errors
    /// No case was chosen: the text says what there is.
    pub fn only(self, only: &Only) -> Result<Analysis, String> {
        if only.is_empty() {
            return Ok(self);
        }
        let (groups, others): (Vec<Group>, Vec<Group>) = self.groups.into_iter().partition(|group| only.chooses(group));
        if groups.is_empty() {
            return Err(only.nothing(&others));
        }
        let mut runs: BTreeSet<(&str, &str)> = BTreeSet::new();
        for group in &groups {
            let named = group.repetitions.iter().filter_map(|repetition| repetition.run.as_deref());
            let names = named.chain(group.uuids.iter().map(String::as_str));
            runs.extend(names.map(|run| (group.key.host.as_str(), run)));
        }
        let validity =
            self.validity.into_iter().filter(|run| runs.contains(&(run.host.as_str(), run.run.as_str()))).collect();
        drop(runs);
        Ok(Analysis { chosen: Some(only.words()), ..Analysis::of(validity, groups) })
    }
}
