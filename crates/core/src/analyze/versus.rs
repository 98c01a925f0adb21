//! Two sets of measurements against each other: which case of the one belongs to which of the other, and what is so
//! different between them that a ratio would mislead.

use super::{Group, Judge, Metric, Ratio, Verdict, warning_meaning};
use serde::Serialize;

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
/// differs least; two sets of one case each belong together whatever they are.
pub fn pairs(a: &[Group], b: &[Group]) -> Vec<Pair> {
    let measured = |group: &Group| !group.repetitions.is_empty();
    let pair = |i: usize, j: usize| Pair {
        a: i,
        b: j,
        obstacles: obstacles(&a[i], &b[j]),
        differences: differences(&a[i], &b[j]),
    };
    let (left, right): (Vec<usize>, Vec<usize>) =
        ((0..a.len()).filter(|i| measured(&a[*i])).collect(), (0..b.len()).filter(|j| measured(&b[*j])).collect());
    if let ([i], [j]) = (left.as_slice(), right.as_slice()) {
        return vec![pair(*i, *j)];
    }
    let mut free = right;
    let mut found = Vec::new();
    for i in left {
        let same = |j: &&usize| a[i].key.engine == b[**j].key.engine && a[i].key.quantize == b[**j].key.quantize;
        let candidates = free.iter().filter(same).map(|j| pair(i, *j));
        let nearest = candidates.min_by_key(|pair| (pair.obstacles.len(), pair.differences.len()));
        if let Some(nearest) = nearest {
            free.retain(|j| *j != nearest.b);
            found.push(nearest);
        }
    }
    found
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

fn obstacles(a: &Group, b: &Group) -> Vec<String> {
    let (x, y) = (&a.key, &b.key);
    let mut found = Vec::new();
    let mut differ = |what: &str, a: String, b: String| {
        if a != b {
            found.push(format!("{what}: {a} and {b}"));
        }
    };
    differ("machine", x.host.clone(), y.host.clone());
    differ("device", x.device.clone(), y.device.clone());
    differ("model", x.model.clone(), y.model.clone());
    differ("workload", a.workload_label(), b.workload_label());
    differ("unit", x.unit.to_owned(), y.unit.to_owned());
    if let (Some(p), Some(q)) = (x.bits_per_weight, y.bits_per_weight)
        && (p - q).abs() > BITS * p.max(q)
    {
        found.push(format!("bits per weight: {p:.2} and {q:.2}"));
    }
    found
}

fn differences(a: &Group, b: &Group) -> Vec<String> {
    let (x, y) = (&a.key, &b.key);
    let mut found = Vec::new();
    let mut differ = |what: &str, a: Option<String>, b: Option<String>| {
        let shown = |value: &Option<String>| value.clone().unwrap_or_else(|| "unknown".into());
        if a != b {
            found.push(format!("{what}: {} and {}", shown(&a), shown(&b)));
        }
    };
    differ("engine", Some(x.engine.clone()), Some(y.engine.clone()));
    differ("version", x.engine_version.clone(), y.engine_version.clone());
    differ("quantization", x.native_quantize.clone(), y.native_quantize.clone());
    differ("threads", x.threads.map(|n| n.to_string()), y.threads.map(|n| n.to_string()));
    differ("batch", x.batch.map(|n| n.to_string()), y.batch.map(|n| n.to_string()));
    differ("flash attention", x.flash_attn.map(|on| on.to_string()), y.flash_attn.map(|on| on.to_string()));
    differ("KV cache", x.kv_type.clone(), y.kv_type.clone());
    let told = |group: &Group| match conditions(group).as_slice() {
        [] => Some("nothing".to_owned()),
        words => Some(words.join(", ")),
    };
    differ("what disturbed it", told(a), told(b));
    found
}

#[cfg(test)]
mod tests {
    use super::super::testing::case;
    use super::super::{DECODE, Verdict, groups};
    use super::*;

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
