//! Cases of one analysis against each other, and who is best where.

use super::sets::by_key;
use super::{DECODE, Group, Judge, Ratio, Verdict};
use crate::parallel::on_all_cores;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Decode speed of one group against another's.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Comparison {
    /// Index of the group.
    pub group: usize,
    /// Index of the group it is compared with.
    pub baseline: usize,
    /// What the baseline is, in words.
    pub against: String,
    /// Ratio of decode speeds: above 1 is faster. Taken by round where both were measured in turn.
    pub ratio: f64,
    /// Its 95% interval.
    pub ci: Option<(f64, f64)>,
    /// The interval that the verdict rests on: see [`Judge`].
    pub interval: Option<(f64, f64)>,
    /// The verdict.
    pub verdict: Verdict,
    /// The rule, with the number of comparisons that are read together.
    pub judge: Judge,
    /// Rounds, or the smaller number of launches where there are no common rounds.
    pub rounds: usize,
    /// The smaller number of launches of the two sides.
    pub launches: usize,
    /// Whether the ratio was taken round by round.
    pub paired: bool,
    /// How many more rounds are enough to tell, where that cannot be told.
    pub more_rounds: Option<u32>,
}

impl Comparison {
    /// The verdict in one or a few words.
    pub fn words(&self) -> String {
        self.judge.words(self.verdict)
    }
}

/// What must be equal before two groups may be compared at all: host, device, model, workload, unit and threads.
fn place(group: &Group) -> impl Ord + '_ {
    let key = &group.key;
    let workload = (key.prompt_tokens, key.gen_tokens, key.depth);
    (&key.host, &key.device, &key.model, workload, key.unit, key.threads)
}

/// These cases in sets that may be compared with each other, in the order of the first of each.
pub fn together(groups: &[Group], cases: impl IntoIterator<Item = usize>) -> Vec<Vec<usize>> {
    by_key(cases, |i| place(&groups[i]))
}

/// The same of all cases that have a decode speed.
pub(super) fn sections(groups: &[Group]) -> Vec<Vec<usize>> {
    together(groups, (0..groups.len()).filter(|i| groups[*i].decode.is_some()))
}

/// Each group against the baseline of its kind.
///
/// With several engines the baseline of a label is the first engine (in the order of tables) that ran the same label;
/// with one engine it is that engine's `float16`, or else its first quantization. Comparisons of groups that may be
/// compared with each other are read together.
pub fn speedups(groups: &[Group]) -> Vec<Comparison> {
    let compared = on_all_cores(sections(groups), |section| {
        let baselines = Baselines::of(groups, &section);
        let pairs: Vec<(usize, usize)> = section.iter().map(|i| (*i, baselines.baseline(*i))).collect();
        let together = pairs.iter().filter(|(i, base)| i != base).count();
        pairs.into_iter().filter_map(|(i, base)| compare_pair(groups, i, base, together)).collect::<Vec<_>>()
    });
    let mut found: Vec<Comparison> = compared.into_iter().flatten().collect();
    found.sort_by_key(|comparison| comparison.group);
    found
}

/// What cases of one section are compared with.
struct Baselines<'a> {
    groups: &'a [Group],
    /// The first case of each label.
    labelled: BTreeMap<&'a str, usize>,
    /// The first case of all.
    first: usize,
    several_engines: bool,
}

impl<'a> Baselines<'a> {
    fn of(groups: &'a [Group], section: &[usize]) -> Baselines<'a> {
        let mut labelled = BTreeMap::new();
        for i in section {
            labelled.entry(groups[*i].key.quantize.as_str()).or_insert(*i);
        }
        let several_engines = section.windows(2).any(|pair| groups[pair[0]].key.engine != groups[pair[1]].key.engine);
        Baselines { groups, labelled, first: section[0], several_engines }
    }

    fn baseline(&self, i: usize) -> usize {
        let (label, otherwise) = match self.several_engines {
            true => (self.groups[i].key.quantize.as_str(), i),
            false => ("float16", self.first),
        };
        self.labelled.get(label).copied().unwrap_or(otherwise)
    }
}

/// Decode speed of group `i` against that of group `j`, read together with that many comparisons in all. `None` where one
/// has no decode speed.
pub fn compare_pair(groups: &[Group], i: usize, j: usize, comparisons: usize) -> Option<Comparison> {
    let (a, b) = (&groups[i], &groups[j]);
    let judge = Judge::of(comparisons);
    let ratio = Ratio::between(DECODE, a, b, &judge)?;
    let itself = i == j;
    Some(Comparison {
        group: i,
        baseline: j,
        against: b.short_label(),
        ratio: ratio.ratio,
        ci: ratio.ci.filter(|_| !itself),
        interval: ratio.interval.filter(|_| !itself),
        verdict: if itself { Verdict::NoInterval } else { ratio.verdict },
        judge,
        rounds: ratio.rounds,
        launches: ratio.launches,
        paired: ratio.paired,
        more_rounds: ratio.more_rounds.filter(|_| !itself),
    })
}

/// For each host, device, model and workload: the group with the highest decode speed.
pub fn best_per_host(groups: &[Group]) -> Vec<usize> {
    sections(groups).iter().filter_map(|section| best(groups, section)).collect()
}

/// The case of a section with the highest decode speed, of equals the first.
pub(super) fn best(groups: &[Group], section: &[usize]) -> Option<usize> {
    let speed = |i: usize| groups[i].decode.as_ref().map_or(0.0, |decode| decode.mean);
    section.iter().copied().reduce(|best, i| if speed(i) > speed(best) { i } else { best })
}

/// A group against every other one of its section that has a decode speed, all read together.
pub fn against_rivals(groups: &[Group], section: &[usize], i: usize) -> Vec<Comparison> {
    let rivals: Vec<usize> = section.iter().copied().filter(|j| *j != i && groups[*j].decode.is_some()).collect();
    rivals.iter().filter_map(|j| compare_pair(groups, i, *j, rivals.len())).collect()
}

#[cfg(test)]
mod tests {
    use super::super::groups;
    use super::super::testing::case;
    use super::*;

    #[test]
    fn comparisons_that_are_read_together_share_the_level() {
        let calm = [1.0, 1.001, 0.999, 1.0, 1.001, 0.999];
        let mut all = case("float16", "run", &calm.map(|ms| ms * 2.0));
        for name in ["a", "b", "c"] {
            all.extend(case(name, "run", &calm));
        }
        let groups = groups(&all);
        let found = speedups(&groups);
        assert_eq!(found.len(), 4);
        let (base, others): (Vec<_>, Vec<_>) = found.iter().partition(|c| c.group == c.baseline);
        assert_eq!((base.len(), base[0].ratio, base[0].ci), (1, 1.0, None));
        for other in others {
            assert_eq!((other.judge.comparisons, other.words().as_str(), other.paired), (3, "faster", true));
            assert!((other.ratio - 2.0).abs() < 1e-9 && other.against == "mock float16", "{other:?}");
        }
        let best = best_per_host(&groups)[0];
        assert_eq!(against_rivals(&groups, &[0, 1, 2, 3], best).len(), 3);
    }
}
