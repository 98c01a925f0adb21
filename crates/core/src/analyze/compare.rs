//! Ratios between groups, and who is best where.

use super::{Group, ratio_interval};
use serde::Serialize;

/// Decode speed of one group against another's.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Comparison {
    /// Index of the group.
    pub group: usize,
    /// Index of the group it is compared with.
    pub baseline: usize,
    /// What the baseline is, in words.
    pub against: String,
    /// Ratio of mean decode speeds: above 1 is faster.
    pub ratio: f64,
    /// Its 95% interval by bootstrap.
    pub ci: Option<(f64, f64)>,
    /// The smaller number of launches of the two sides.
    pub launches: usize,
}

impl Comparison {
    /// One or a few words. What launches differ by is only seen with two of them, so one launch establishes nothing.
    pub fn verdict(&self) -> &'static str {
        match self.ci {
            None => "no interval",
            Some(_) if self.launches < 2 => "cannot tell (one launch)",
            Some((low, _)) if low > 1.0 => "faster",
            Some((_, high)) if high < 1.0 => "slower",
            Some(_) => "cannot tell",
        }
    }
}

/// Whether two groups may be compared at all: same host, device, model, workload and unit.
pub(super) fn comparable(a: &Group, b: &Group) -> bool {
    let (a, b) = (&a.key, &b.key);
    (&a.host, &a.device, &a.model, a.prompt_tokens, a.gen_tokens, a.depth, a.unit, a.threads)
        == (&b.host, &b.device, &b.model, b.prompt_tokens, b.gen_tokens, b.depth, b.unit, b.threads)
}

/// Each group against the baseline of its kind.
///
/// With several engines the baseline of a label is the first engine (in the order of tables) that ran the same label;
/// with one engine it is that engine's `float16`, or else its first quantization.
pub fn speedups(groups: &[Group]) -> Vec<Comparison> {
    let mut found = Vec::new();
    for (i, group) in groups.iter().enumerate().filter(|(_, group)| group.decode.is_some()) {
        let peers: Vec<usize> =
            (0..groups.len()).filter(|j| groups[*j].decode.is_some() && comparable(group, &groups[*j])).collect();
        let engines = peers.iter().any(|j| groups[*j].key.engine != group.key.engine);
        let baseline = if engines {
            peers.iter().copied().find(|j| groups[*j].key.quantize == group.key.quantize)
        } else {
            let own = |label: &str| peers.iter().copied().find(|j| groups[*j].key.quantize == label);
            own("float16").or_else(|| peers.first().copied())
        };
        if let Some(comparison) = baseline.and_then(|j| compare(groups, i, j)) {
            found.push(comparison);
        }
    }
    found
}

fn compare(groups: &[Group], i: usize, j: usize) -> Option<Comparison> {
    let (a, b) = (&groups[i], &groups[j]);
    let ratio = a.decode.as_ref()?.mean / b.decode.as_ref()?.mean;
    let samples = |group: &Group| group.by_launch(|repetition| repetition.decode_tok_s);
    let ci = if i == j { None } else { ratio_interval(&samples(a), &samples(b), &format!("{i} {j}")) };
    let against = format!("{} {}", b.engine_label(), b.short_quantize_label());
    let launches = a.decode.as_ref()?.launches.min(b.decode.as_ref()?.launches);
    Some(Comparison { group: i, baseline: j, against, ratio, ci, launches })
}

/// For each host, device, model and workload: the group with the highest decode speed.
pub fn best_per_host(groups: &[Group]) -> Vec<usize> {
    let mut best: Vec<usize> = Vec::new();
    let speed = |i: usize| groups[i].decode.as_ref().map(|decode| decode.mean);
    for i in (0..groups.len()).filter(|i| speed(*i).is_some()) {
        match best.iter_mut().find(|j| comparable(&groups[i], &groups[**j])) {
            Some(j) if speed(i) > speed(*j) => *j = i,
            Some(_) => (),
            None => best.push(i),
        }
    }
    best
}
