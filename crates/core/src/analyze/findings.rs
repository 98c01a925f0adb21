//! Sentences that the data support, computed and never written by hand.

use super::compare::comparable;
use super::{Comparison, Group, best_per_host};
use serde::Serialize;

/// One finding.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Finding {
    /// The sentence.
    pub text: String,
    /// Whether the intervals establish it, or it is only what the means say.
    pub established: bool,
}

/// What can be said of the groups.
pub fn findings(groups: &[Group], speedups: &[Comparison]) -> Vec<Finding> {
    let mut all = Vec::new();
    all.extend(best_per_host(groups).into_iter().filter_map(|i| fastest(groups, i)));
    all.extend(speedups.iter().filter(|c| c.group != c.baseline).map(|c| ratio(groups, c)));
    all.extend(groups.iter().filter(|group| !group.failures.is_empty()).map(failed));
    all
}

fn fastest(groups: &[Group], i: usize) -> Option<Finding> {
    let group = &groups[i];
    let decode = group.decode.as_ref()?;
    let (low, _) = decode.ci.unwrap_or((f64::NEG_INFINITY, 0.0));
    // Established only when no comparable group's interval reaches into its own.
    let rivals = groups.iter().enumerate().filter(|(j, other)| *j != i && comparable(group, other));
    let highest = rivals
        .filter_map(|(_, other)| other.decode.as_ref().map(|d| d.ci.map_or(f64::INFINITY, |ci| ci.1)))
        .fold(f64::NEG_INFINITY, f64::max);
    let interval = decode.ci.map(|(low, high)| format!(" (95% interval {low:.2} to {high:.2})")).unwrap_or_default();
    let text = format!(
        "Fastest decode on {} ({}), {}: {} {} with {:.2} tokens/s{interval}.",
        group.key.host,
        group.key.device,
        group.key.model,
        group.engine_label(),
        group.quantize_label(),
        decode.mean,
    );
    Some(Finding { text, established: highest < low && decode.launches > 1 })
}

fn ratio(groups: &[Group], comparison: &Comparison) -> Finding {
    let group = &groups[comparison.group];
    let bits = |g: &Group| g.key.bits_per_weight.map(|b| format!(" at {b:.2} bits per weight")).unwrap_or_default();
    let interval =
        comparison.ci.map(|(low, high)| format!(" (95% interval {low:.2} to {high:.2})")).unwrap_or_default();
    let text = format!(
        "On {}, {} {}{} decodes {:.2} times as fast as {}{}{interval}.",
        group.key.host,
        group.engine_label(),
        group.quantize_label(),
        bits(group),
        comparison.ratio,
        comparison.against,
        bits(&groups[comparison.baseline]),
    );
    let established = matches!(comparison.verdict(), "faster" | "slower");
    Finding { text, established }
}

fn failed(group: &Group) -> Finding {
    let text = format!(
        "{} {} on {} failed in {} launch(es): {}.",
        group.engine_label(),
        group.quantize_label(),
        group.key.host,
        group.failures.len(),
        group.failures[0],
    );
    Finding { text, established: true }
}
