//! Two sets of measurements against each other: which case of the one belongs to which of the other, and what is so
//! different between them that a ratio would mislead.

use super::{Group, GroupKey, Judge, Metric, Ratio, Verdict, warning_meaning};
use serde::Serialize;
use std::collections::BTreeMap;

/// Bits per weight that differ by more than this share are different quantizations.
const BITS: f64 = 0.005;

/// A case of each set, by index.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Pair {
    /// In the first set.
    pub a: usize,
    /// In the second set.
    pub b: usize,
    /// What makes a ratio of the two misleading, in words: another machine, model, token count or bit width.
    pub obstacles: Vec<String>,
    /// What else differs.
    pub differences: Vec<String>,
}

/// One figure of a pair: the second set's relative to the first one's.
#[derive(Debug, Clone, Serialize)]
pub struct Versus {
    /// Index of the pair.
    pub pair: usize,
    /// Name of the metric.
    pub metric: &'static str,
    /// The second case's figure over the first one's.
    pub ratio: Ratio,
}

/// The pairs of two sets, in the order of the first. A case belongs to the one of the same engine and quantization that
/// differs least, unless its own counterpart failed; two sets of one case each belong together whatever they are.
pub fn pairs(a: &[Group], b: &[Group]) -> Vec<Pair> {
    let measured = |group: &Group| !group.repetitions.is_empty();
    let (own, others): (Vec<Traits>, Vec<Traits>) =
        (a.iter().map(Traits::of).collect(), b.iter().map(Traits::of).collect());
    let pair = |i: usize, j: usize| Pair {
        a: i,
        b: j,
        obstacles: own[i].obstacles(&others[j]),
        differences: own[i].differences(&others[j]),
    };
    let (mut left, right): (Vec<usize>, Vec<usize>) =
        ((0..a.len()).filter(|i| measured(&a[*i])).collect(), (0..b.len()).filter(|j| measured(&b[*j])).collect());
    if let ([i], [j]) = (left.as_slice(), right.as_slice())
        && (kind(&a[*i].key) == kind(&b[*j].key) || failed_in(b, &a[*i]).is_none())
    {
        return vec![pair(*i, *j)];
    }
    let mut free: BTreeMap<(&str, &str), Vec<usize>> = BTreeMap::new();
    for j in right {
        free.entry(kind(&b[j].key)).or_default().push(j);
    }
    let mut found: Vec<Pair> = Vec::new();
    // Those of the same settings first, so that a case whose counterpart is missing does not take another's.
    for same in [true, false] {
        left.retain(|i| {
            let candidates = free.get_mut(&kind(&a[*i].key));
            let Some(candidates) = candidates.filter(|_| same || failed_in(b, &a[*i]).is_none()) else { return true };
            let apart = |at: &usize| own[*i].apart(&others[candidates[*at]]);
            let fits = |at: &usize| !same || own[*i].is_set_like(&others[candidates[*at]]);
            // Two sets of the same cases have a twin for each, early in the list.
            let twin = (0..candidates.len()).find(|at| apart(at) == (0, 0));
            let Some(at) = twin.or_else(|| (0..candidates.len()).filter(fits).min_by_key(apart)) else { return true };
            found.push(pair(*i, candidates.remove(at)));
            false
        });
    }
    found.sort_by_key(|pair| pair.a);
    found
}

/// The case of a set that was asked for and failed entirely where `case` of another set was measured, if there is one.
pub fn failed_in<'b>(set: &'b [Group], case: &Group) -> Option<&'b Group> {
    let failed = |group: &&Group| group.repetitions.is_empty() && !group.failures.is_empty();
    set.iter().filter(failed).find(|group| may_be(&group.key, &case.key))
}

/// Whether a case that failed may be the same as one that was measured. One that was never loaded does not know its threads,
/// and its device is a guess.
fn may_be(failed: &GroupKey, case: &GroupKey) -> bool {
    let workload = |key: &GroupKey| (key.prompt_tokens, key.gen_tokens, key.depth);
    let unknown_or_same = |own: Option<u32>, other: Option<u32>| own.is_none() || own == other;
    kind(failed) == kind(case)
        && failed.model == case.model
        && workload(failed) == workload(case)
        && (failed.threads.is_none() || failed.device == case.device)
        && unknown_or_same(failed.threads, case.threads)
        && unknown_or_same(failed.batch, case.batch)
}

/// What the two cases of a pair have in common.
fn kind(key: &GroupKey) -> (&str, &str) {
    (key.engine.as_str(), key.quantize.as_str())
}

/// The ratios of every pair. They are read together, so their verdicts share the level of `judge`.
/// `anyway`: also of runs while the machine was not as quiet for the one as for the other.
pub fn versus(
    a: &[Group],
    b: &[Group],
    pairs: &[Pair],
    metrics: &[&'static Metric],
    judge: &Judge,
    anyway: bool,
) -> Vec<Versus> {
    let of = |judge: &Judge| -> Vec<Versus> {
        let each = |(i, pair): (usize, &Pair), metric: &'static Metric| {
            let mut ratio = Ratio::between(metric, &b[pair.b], &a[pair.a], judge)?;
            if !anyway && !ratio.paired && conditions(&a[pair.a]) != conditions(&b[pair.b]) {
                (ratio.verdict, ratio.more_rounds) = (Verdict::OtherConditions, None);
            }
            Some(Versus { pair: i, metric: metric.name, ratio })
        };
        pairs.iter().enumerate().flat_map(|pair| metrics.iter().filter_map(move |metric| each(pair, metric))).collect()
    };
    let comparisons = of(judge).len();
    of(&Judge { comparisons, ..*judge })
}

/// What of the machine disturbed a case, in words. Drifts inside of a run are in its intervals.
fn conditions(group: &Group) -> Vec<&'static str> {
    let inside = ["memory_drift", "compute_drift", "unsteady_machine"];
    let from_outside = group.warnings.iter().filter(|code| !inside.contains(&code.as_str()));
    let mut words: Vec<&str> = from_outside.filter_map(|code| warning_meaning(code)).collect();
    words.sort_unstable();
    words
}

/// What makes a ratio misleading where it differs.
const OBSTACLES: [&str; 5] = ["machine", "device", "model", "workload", "unit"];

/// What else is worth telling where it differs.
const DIFFERENCES: [&str; 8] =
    ["engine", "version", "quantization", "threads", "batch", "flash attention", "KV cache", "what disturbed it"];

/// What a case is held against another by.
struct Traits {
    /// Of [`OBSTACLES`].
    grave: [String; 5],
    bits: Option<f64>,
    /// Of [`DIFFERENCES`].
    other: [Option<String>; 8],
}

impl Traits {
    fn of(group: &Group) -> Traits {
        let key = &group.key;
        let disturbed = conditions(group);
        Traits {
            grave: [
                key.host.clone(),
                key.device.clone(),
                key.model.clone(),
                group.workload_label(),
                key.unit.word().to_owned(),
            ],
            bits: key.bits_per_weight,
            other: [
                Some(key.engine.clone()),
                key.engine_version.clone(),
                key.native_quantize.clone(),
                key.threads.map(|n| n.to_string()),
                key.batch.map(|n| n.to_string()),
                key.flash_attn.map(|on| on.to_string()),
                key.kv_type.clone(),
                Some(if disturbed.is_empty() { "nothing".to_owned() } else { disturbed.join(", ") }),
            ],
        }
    }

    /// Bits per weight, if both are known and differ.
    fn other_bits(&self, other: &Traits) -> Option<(f64, f64)> {
        self.bits.zip(other.bits).filter(|(p, q)| (p - q).abs() > BITS * p.max(*q))
    }

    /// Whether nothing differs that somebody set: only versions and what disturbed the two.
    fn is_set_like(&self, other: &Traits) -> bool {
        const SET: std::ops::Range<usize> = 3..7;
        self.grave == other.grave && self.other[SET] == other.other[SET]
    }

    /// How many obstacles and differences there are.
    fn apart(&self, other: &Traits) -> (usize, usize) {
        let grave = self.grave.iter().zip(&other.grave).filter(|(a, b)| a != b).count();
        let others = self.other.iter().zip(&other.other).filter(|(a, b)| a != b).count();
        (grave + usize::from(self.other_bits(other).is_some()), others)
    }

    fn obstacles(&self, other: &Traits) -> Vec<String> {
        let pairs = OBSTACLES.iter().zip(self.grave.iter().zip(&other.grave));
        let differ = pairs.filter(|(_, (a, b))| a != b).map(|(what, (a, b))| format!("{what}: {a} and {b}"));
        let bits = self.other_bits(other).map(|(p, q)| format!("bits per weight: {p:.2} and {q:.2}"));
        differ.chain(bits).collect()
    }

    fn differences(&self, other: &Traits) -> Vec<String> {
        let shown = |value: &Option<String>| value.clone().unwrap_or_else(|| "unknown".into());
        let pairs = DIFFERENCES.iter().zip(self.other.iter().zip(&other.other));
        let differ = pairs.filter(|(_, (a, b))| a != b);
        differ.map(|(what, (a, b))| format!("{what}: {} and {}", shown(a), shown(b))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::case;
    use super::super::{DECODE, Verdict, groups};
    use super::*;
    use crate::record::{Series, Status};

    const CALM: [f64; 6] = [1.0, 1.001, 0.999, 1.0, 1.001, 0.999];

    #[test]
    fn cases_of_the_same_name_belong_together_and_share_the_level() {
        let mut one = case("float16", "r1", &CALM);
        one.extend(case("int8", "r1", &CALM));
        let mut two = case("int8", "r2", &CALM.map(|ms| ms * 1.5));
        two.extend(case("float16", "r2", &CALM));
        two.extend(case("nf4", "r2", &CALM));
        let (a, b) = (groups(&one), groups(&two));
        let pairs = pairs(&a, &b);
        assert_eq!(pairs.len(), 2);
        let found = versus(&a, &b, &pairs, &[DECODE], &Judge::default(), false);
        let verdict = |name: &str| {
            let of = |v: &&Versus| a[pairs[v.pair].a].key.quantize == name;
            found.iter().find(of).map(|v| (v.ratio.verdict, v.ratio.paired))
        };
        assert_eq!(verdict("int8"), Some((Verdict::Slower, false)));
        assert_eq!(verdict("float16"), Some((Verdict::Same, false)));
    }

    /// What is left of a case when its launches fail before the model is loaded.
    fn lost(quantize: &str) -> Series {
        let mut lost = case(quantize, "r2", &CALM).remove(0);
        lost.steps.clear();
        lost.context.threads = None;
        lost.context.status = Status::Failed;
        lost.context.reason = Some("crash: signal 9".into());
        lost
    }

    #[test]
    fn a_case_that_failed_is_known_and_no_other_one_takes_its_place() {
        let mut one = case("float16", "r1", &CALM);
        one.extend(case("int8", "r1", &CALM));
        let mut two = case("int8", "r2", &CALM);
        two.push(lost("float16"));
        let (a, b) = (groups(&one), groups(&two));
        let alone = |a: &[Group], b: &[Group]| -> Vec<String> {
            let found = pairs(a, b);
            let free = (0..a.len()).filter(|i| found.iter().all(|pair| pair.a != *i));
            free.filter(|i| failed_in(b, &a[*i]).is_some()).map(|i| a[i].key.quantize.clone()).collect()
        };
        assert_eq!(alone(&a, &b), ["float16"]);
        // A single case on either side, and these are not the same.
        assert_eq!(alone(&groups(&case("float16", "r1", &CALM)), &b), ["float16"]);
        assert!(alone(&a, &groups(&case("int8", "r2", &CALM))).is_empty());
    }

    #[test]
    fn a_case_that_is_missing_does_not_take_anothers_counterpart() {
        let with_threads = |run: &str, threads: u32| {
            let mut all = case("float16", run, &CALM);
            all.iter_mut().for_each(|series| series.context.threads = Some(threads));
            all
        };
        let mut two = with_threads("r2", 4);
        two.iter_mut().for_each(|series| series.context.engine_version = Some("2.0".into()));
        let (a, b) = (groups(&[with_threads("r1", 2), with_threads("r1", 4)].concat()), groups(&two));
        let found = pairs(&a, &b);
        assert_eq!(found.iter().map(|pair| a[pair.a].key.threads).collect::<Vec<_>>(), [Some(4)]);
    }

    #[test]
    fn runs_of_a_quiet_and_of_a_busy_machine_tell_nothing() {
        let one = case("float16", "r1", &CALM);
        let mut two = case("float16", "r2", &CALM.map(|ms| ms * 1.5));
        two[2].context.warnings.push("other_load".into());
        let (a, b) = (groups(&one), groups(&two));
        let pairs = pairs(&a, &b);
        let found = versus(&a, &b, &pairs, &[DECODE], &Judge::default(), false);
        assert_eq!(found[0].ratio.verdict, Verdict::OtherConditions);
        assert!(pairs[0].differences.iter().any(|text| text.contains("other programs")), "{pairs:?}");
    }

    #[test]
    fn another_machine_is_an_obstacle_and_another_thread_count_a_difference() {
        let one = case("float16", "r1", &CALM);
        let mut two = case("float16", "r2", &CALM);
        for series in &mut two {
            series.context.hostname = Some("elsewhere".into());
            series.context.threads = Some(77);
        }
        let (a, b) = (groups(&one), groups(&two));
        let pairs = pairs(&a, &b);
        assert!(pairs[0].obstacles.iter().any(|text| text.contains("elsewhere")), "{pairs:?}");
        assert!(pairs[0].differences.iter().any(|text| text.contains("77")), "{pairs:?}");
    }
}
