//! What the two cases of a pair take beside time on the machine: memory, a start, energy. No verdict rests on them: a peak is
//! one number, and most of them are the same in every run.

use super::versus::Pair;
use super::{Estimate, Group};
use serde::Serialize;

/// A figure of both cases of a pair.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Resource {
    /// Index of the pair.
    pub pair: usize,
    /// What it is, as `peak RSS`.
    pub figure: &'static str,
    /// Its unit.
    pub unit: &'static str,
    /// Whether it is a mean of what was measured several times, and not a size or a peak.
    pub is_mean: bool,
    /// Of the first case.
    pub a: Amount,
    /// Of the second case.
    pub b: Amount,
    /// The second one's over the first one's.
    pub ratio: f64,
}

/// How much.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Amount {
    /// The mean, or the highest of all launches.
    pub value: f64,
    /// 95% interval of a mean.
    pub ci: Option<(f64, f64)>,
}

impl Amount {
    fn bytes(bytes: Option<u64>) -> Option<Amount> {
        Some(Amount { value: bytes? as f64 / 1e9, ci: None })
    }

    fn mean(estimate: Option<&Estimate>) -> Option<Amount> {
        estimate.map(|estimate| Amount { value: estimate.mean, ci: estimate.ci })
    }
}

/// Name, unit, whether it is a mean, and where it stands in a group.
type Figure = (&'static str, &'static str, bool, fn(&Group) -> Option<Amount>);

const FIGURES: &[Figure] = &[
    ("bits per weight", "", false, |group| Some(Amount { value: group.key.bits_per_weight?, ci: None })),
    ("weights", "GB", false, |group| Amount::bytes(group.key.weights_bytes)),
    ("KV cache", "GB", false, |group| Amount::bytes(group.kv_bytes)),
    ("peak RSS", "GB", false, |group| Amount::bytes(group.peak_rss_bytes)),
    ("peak anonymous", "GB", false, |group| Amount::bytes(group.peak_anon_bytes)),
    ("peak on device", "GB", false, |group| Amount::bytes(group.peak_device_bytes)),
    ("load", "ms", true, |group| Amount::mean(group.load.as_ref())),
    ("first-token penalty", "ms", true, |group| Amount::mean(group.first_token_penalty.as_ref())),
    ("energy", "J/token", true, |group| Amount::mean(group.surroundings.joules_per_token.as_ref())),
];

/// Every figure that both cases of a pair have, pair by pair; without those that are not above 0, as a penalty that there is none
/// of: they have no ratio.
pub fn resources(a: &[Group], b: &[Group], pairs: &[Pair]) -> Vec<Resource> {
    let of_pair = |(pair, two): (usize, &Pair)| -> Vec<Resource> {
        let both = |(figure, unit, is_mean, of): &Figure| {
            let (a, b) = (of(&a[two.a])?, of(&b[two.b])?);
            let ratio = (a.value > 0.0 && b.value > 0.0).then(|| b.value / a.value)?;
            Some(Resource { pair, figure, unit, is_mean: *is_mean, a, b, ratio })
        };
        FIGURES.iter().filter_map(both).collect()
    };
    pairs.iter().enumerate().flat_map(of_pair).collect()
}

#[cfg(test)]
mod tests {
    use super::super::testing::{case, group};
    use super::super::versus::pairs;
    use super::*;

    #[test]
    fn what_both_know_is_told_with_its_ratio() {
        let mut a = group(&case("q", "monday", &[1.0; 3]));
        let mut b = group(&case("q", "friday", &[1.0; 3]));
        (a.peak_rss_bytes, b.peak_rss_bytes) = (Some(2_000_000_000), Some(3_000_000_000));
        (a.kv_bytes, b.kv_bytes) = (Some(0), Some(7));
        a.peak_anon_bytes = Some(1);
        a.load = Estimate::new(&[vec![100.0], vec![110.0]], "x");
        b.load = Estimate::new(&[vec![84.0]], "x");
        a.first_token_penalty = Estimate::new(&[vec![-0.3]], "x");
        b.first_token_penalty = Estimate::new(&[vec![0.5]], "x");
        let (a, b) = ([a], [b]);
        let found = resources(&a, &b, &pairs(&a, &b));
        let told: Vec<_> = found.iter().map(|one| (one.figure, one.a.value, one.b.value, one.ratio)).collect();
        assert_eq!(told, [("bits per weight", 4.5, 4.5, 1.0), ("peak RSS", 2.0, 3.0, 1.5), ("load", 105.0, 84.0, 0.8)]);
        assert!(found[2].a.ci.is_some() && found[2].b.ci.is_none());
    }
}
