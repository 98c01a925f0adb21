//! Step 4: statistics. Series of steps -> groups of repetitions -> estimates with intervals -> comparisons.
//!
//! A [`Group`] is one case on one host; nothing is ever averaged across hosts, phases, units, token counts or bit
//! widths. This module computes; what a person sees is made by `plot`, `report` and the `tokometer` binary.

mod bootstrap;
mod compare;
mod estimate;
mod findings;
mod group;
mod repetition;
mod roofline;
mod surroundings;
mod validity;

pub use crate::random::Random;
pub use bootstrap::{RESAMPLES, hierarchical_interval, ratio_interval};
pub use compare::{Comparison, best_per_host, speedups};
pub use estimate::{Estimate, quantile};
pub use findings::{Finding, findings};
pub use group::{Group, GroupKey, groups};
pub use repetition::Repetition;
pub use roofline::{Roofline, flop_per_token, roofline};
pub use surroundings::Surroundings;
pub use validity::{Grade, Validity, validity, validity_lines, warning_meaning};

use crate::record::Series;
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
}

/// Analyzes series; the same input gives the same output, to the last bit.
pub fn analyze(series: &[Series]) -> Analysis {
    let groups = groups(series);
    let speedups = speedups(&groups);
    let findings = findings(&groups, &speedups);
    Analysis { validity: validity(series), roofline: roofline(&groups), groups, speedups, findings }
}
