//! Sentences that the data support, computed and never written by hand.

use super::compare::{best, sections};
use super::drift::Kind;
use super::{Comparison, Group, Verdict, against_rivals, stalls};
use crate::parallel::on_all_cores;
use serde::{Deserialize, Serialize};

/// One finding.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Finding {
    /// The sentence.
    pub text: String,
    /// Whether the intervals establish it, or it is only what the means say.
    pub established: bool,
}

/// What can be said of the groups.
pub fn findings(groups: &[Group], speedups: &[Comparison]) -> Vec<Finding> {
    let mut all = Vec::new();
    all.extend(on_all_cores(sections(groups), |section| fastest(groups, &section)).into_iter().flatten());
    all.extend(speedups.iter().filter(|c| c.group != c.baseline).map(|c| ratio(groups, c)));
    all.extend(groups.iter().flat_map(changed));
    all.extend(groups.iter().filter_map(grows));
    all.extend(groups.iter().filter_map(held_up));
    all.extend(groups.iter().filter(|group| !group.failures.is_empty()).map(failed));
    all
}

/// What can be said of a case in time: how its decode changed during the run, how it grows with the context, and what held it
/// up. Its sentences are among the [`findings`].
pub fn within_run(group: &Group) -> Vec<Finding> {
    changed(group).into_iter().chain(grows(group)).chain(held_up(group)).collect()
}

fn name(group: &Group) -> String {
    format!("{} {} on {}", group.engine_label(), group.quantize_label(), group.key.host)
}

fn fastest(groups: &[Group], section: &[usize]) -> Option<Finding> {
    let best = best(groups, section)?;
    let group = &groups[best];
    let decode = group.decode.as_ref()?;
    let rivals = against_rivals(groups, section, best);
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
    let established = decode.launches > 1 && rivals.iter().all(|rival| rival.verdict == Verdict::Faster);
    Some(Finding { text, established })
}

fn ratio(groups: &[Group], comparison: &Comparison) -> Finding {
    let group = &groups[comparison.group];
    let bits = |g: &Group| g.key.bits_per_weight.map(|b| format!(" at {b:.2} bits per weight")).unwrap_or_default();
    let level = comparison.judge.level_text();
    let interval = comparison.interval.map(|(low, high)| format!(" ({level} interval {low:.3} to {high:.3})"));
    let apart = if comparison.paired { "" } else { ", measured in different runs" };
    let text = format!(
        "On {}, {} {}{} decodes {:.3} times as fast as {}{}{}{apart}: {}.",
        group.key.host,
        group.engine_label(),
        group.quantize_label(),
        bits(group),
        comparison.ratio,
        comparison.against,
        bits(&groups[comparison.baseline]),
        interval.unwrap_or_default(),
        comparison.words(),
    );
    Finding { text, established: comparison.verdict.established() }
}

/// Changes during the run.
fn changed(group: &Group) -> Vec<Finding> {
    let one = |change: &super::Change| {
        let by = format!("{:.1}%", change.share.abs() * 100.0);
        let slower = if change.share > 0.0 { "slower" } else { "faster" };
        let how = match (change.kind, change.after) {
            (Kind::LevelShift, Some(after)) => format!("became {by} {slower} at once after launch {after} of the run"),
            (Kind::DriftWithinLaunch, _) => {
                format!("became {by} {slower} from the first to the last repetition of a launch")
            }
            _ => format!("became {by} {slower} from the first to the last launch of the run"),
        };
        Finding { text: format!("Decode of {} {how}.", name(group)), established: true }
    };
    group.changes.iter().map(one).collect()
}

fn grows(group: &Group) -> Option<Finding> {
    let growth = group.growth.as_ref().filter(|growth| growth.established)?;
    // Established, so both ends of the interval are on one side of 0.
    let (more, sign) = if growth.ms_per_token < 0.0 { ("less", -1e3) } else { ("more", 1e3) };
    let (one, other) = (growth.ci.0 * sign, growth.ci.1 * sign);
    let text = format!(
        "A decode step of {} takes {:.2} µs {more} with each token of context (99% interval {:.2} to {:.2}): {:+.1}% from the first step to the last.",
        name(group),
        growth.ms_per_token * sign,
        one.min(other),
        one.max(other),
        growth.share * 100.0,
    );
    Some(Finding { text, established: true })
}

/// Repetitions that something held up.
fn held_up(group: &Group) -> Option<Finding> {
    let (tpot, typical) = (group.tpot.as_ref()?, group.typical.as_ref()?);
    let stalls = stalls(&group.repetitions, tpot.mean, typical)?;
    let (speed, ci) = typical.tok_s();
    let interval = ci.map(|(low, high)| format!(" (95% interval {low:.2} to {high:.2})"));
    let text = format!(
        "Something held up {} of {} repetitions of {}; of all repetitions that is {:.1} to {:.1}% (95% interval, if one stall does not \
         bring the next). The worst took {:.1} times as long as the others of its round. The mean time per token is {:+.1}% off the typical one, that of {:.2} tokens/s{}.",
        stalls.n,
        stalls.of,
        name(group),
        stalls.share_ci.0 * 100.0,
        stalls.share_ci.1 * 100.0,
        stalls.worst,
        stalls.cost * 100.0,
        speed,
        interval.unwrap_or_default(),
    );
    Some(Finding { text, established: true })
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

#[cfg(test)]
mod tests {
    use super::super::testing::{case, one};
    use super::super::{analyze, within_run};

    #[test]
    fn a_drift_of_one_case_is_told_and_warned_of() {
        let drifting: Vec<f64> =
            (0..10).map(|i| 10.0 * (1.0 + 0.01 * f64::from(i)) + 0.001 * f64::from(i % 3)).collect();
        let mut all = case("a", "run", &drifting);
        all.extend(case("b", "run", &[10.0; 10]));
        let analysis = analyze(&all);
        let a = &analysis.groups[0];
        assert_eq!((a.warnings.as_slice(), analysis.groups[1].warnings.len()), (&["drift_over_run".to_owned()][..], 0));
        let told =
            analysis.findings.iter().filter(|finding| finding.text.contains("from the first to the last launch"));
        assert_eq!(told.count(), 1, "{:?}", analysis.findings);
        // What is said of the one case alone is no more and no less.
        let of_a = within_run(a);
        assert!(of_a.len() == 1 && analysis.findings.contains(&of_a[0]), "{of_a:?}");
        assert!(within_run(&analysis.groups[1]).is_empty());
    }

    #[test]
    fn what_held_repetitions_up_is_told_with_the_typical_speed() {
        let all: Vec<_> =
            (0..20).map(|i| one("a", "run", i / 4 + 1, i % 4 + 1, &[if i == 9 { 20.0 } else { 10.0 }; 4])).collect();
        let analysis = analyze(&all);
        let told = within_run(&analysis.groups[0]);
        let told = told.iter().find(|finding| finding.text.contains("held up")).unwrap();
        assert!(told.text.contains("1 of 20 repetitions") && told.text.contains("2.0 times as long"), "{}", told.text);
        assert!(told.text.contains("+5.0%") && told.text.contains("100.00 tokens/s"), "{}", told.text);
        assert!(analysis.findings.contains(told));
    }

    #[test]
    fn growth_with_the_context_is_told() {
        let ms: Vec<f64> = (0..40).map(|i| 10.0 + 0.02 * f64::from(i)).collect();
        let all: Vec<_> = (1..=4).map(|launch| one("a", "run", launch, 1, &ms)).collect();
        let analysis = analyze(&all);
        let told = analysis.findings.iter().find(|finding| finding.text.contains("token of context")).unwrap();
        assert!(
            told.established && told.text.contains("20.00 µs more") && told.text.contains("+7.5%"),
            "{}",
            told.text
        );
        let ms: Vec<f64> = (0..40).map(|i| 10.0 - 0.02 * f64::from(i)).collect();
        let all: Vec<_> = (1..=4).map(|launch| one("a", "run", launch, 1, &ms)).collect();
        let analysis = analyze(&all);
        let told = analysis.findings.iter().find(|finding| finding.text.contains("token of context")).unwrap();
        assert!(told.text.contains("20.00 µs less") && !told.text.contains("to -"), "{}", told.text);
    }
}
