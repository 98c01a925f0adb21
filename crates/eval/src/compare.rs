//! What differs between quantizations on the same examples, in a word.
//!
//! Results are compared where environment, task set and limits are the same. Within an engine each quantization is held
//! against the one with the most bits per weight; across engines the ones with the most bits of each are held against the
//! first engine's. All differences of a table are read together: p values are adjusted by Holm's method, intervals for "the
//! same" by Bonferroni's.

use crate::EvalResult;
use crate::stats::{self, Paired, examples_to_tell, holm, paired};
use serde::Serialize;
use std::collections::BTreeMap;
use tokometer_core::analyze::LEVEL;

/// Differences of the mean score up to this count as none, unless told otherwise: two points of a hundred.
pub const WITHIN: f64 = 0.02;

/// What is said of a result against its baseline.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Word {
    /// Better, established.
    Better,
    /// Worse, established.
    Worse,
    /// The same within the limit, established.
    Same,
    /// Too few examples.
    CannotTell,
}

impl Word {
    /// For people.
    pub fn text(self, within: f64) -> String {
        match self {
            Word::Better => "better".into(),
            Word::Worse => "worse".into(),
            Word::Same => format!("same within {within:.3}").trim_end_matches('0').trim_end_matches('.').to_owned(),
            Word::CannotTell => "cannot tell".into(),
        }
    }
}

/// One result against another on the same examples.
#[derive(Debug, Clone, Serialize)]
pub struct Difference {
    /// Place of the result in the list given.
    pub result: usize,
    /// Place of what it is held against.
    pub baseline: usize,
    /// What the pairs say; the second is the result.
    pub paired: Paired,
    /// 95% interval of the difference.
    pub interval: (f64, f64),
    /// P value adjusted for all differences of the table.
    pub adjusted_p: f64,
    /// The word.
    pub word: Word,
    /// How many examples would probably tell, where these do not.
    pub examples_to_tell: Option<usize>,
}

/// The differences in a list of results, in its order. Results that failed or hold no scores by example are left out.
pub fn differences(results: &[EvalResult], within: f64) -> Vec<Difference> {
    let pairs = pairs(results);
    let found: Vec<(usize, usize, Paired)> = pairs
        .into_iter()
        .filter_map(|(result, baseline)| {
            let (a, b) = joined(&results[baseline], &results[result]);
            let name = format!("{} {}", results[baseline].uuid, results[result].uuid);
            Some((result, baseline, paired(&a, &b, &name)?))
        })
        .collect();
    let adjusted = holm(&found.iter().map(|(_, _, paired)| paired.p_value).collect::<Vec<_>>());
    let level = 1.0 - (1.0 - LEVEL) / found.len().max(1) as f64;
    let judged = found.into_iter().zip(adjusted).map(|((result, baseline, paired), adjusted_p)| {
        let word = word(&paired, adjusted_p, within, level);
        Difference {
            result,
            baseline,
            paired,
            interval: paired.interval(0.95),
            adjusted_p,
            word,
            examples_to_tell: (word == Word::CannotTell).then(|| examples_to_tell(&paired, within, level)).flatten(),
        }
    });
    judged.collect()
}

fn word(paired: &Paired, adjusted_p: f64, within: f64, level: f64) -> Word {
    let (low, high) = paired.interval(level);
    if within > 0.0 && low >= -within && high <= within {
        Word::Same
    } else if adjusted_p <= 1.0 - LEVEL {
        if paired.difference > 0.0 { Word::Better } else { Word::Worse }
    } else {
        Word::CannotTell
    }
}

/// Result and baseline by place.
fn pairs(results: &[EvalResult]) -> Vec<(usize, usize)> {
    let mut tables: BTreeMap<_, Vec<usize>> = BTreeMap::new();
    for (i, result) in
        results.iter().enumerate().filter(|(_, result)| result.returncode == 0 && !result.examples.is_empty())
    {
        let key = (&result.environment, &result.kind, &result.task_sha256, result.max_tokens, &result.model);
        tables.entry(key).or_default().push(i);
    }
    let mut pairs = Vec::new();
    for members in tables.values() {
        let mut first: Option<usize> = None;
        let mut engines: Vec<&str> = Vec::new();
        for engine in members.iter().map(|i| results[*i].engine.as_str()) {
            if !engines.contains(&engine) {
                engines.push(engine);
            }
        }
        for engine in engines {
            let own: Vec<usize> = members.iter().copied().filter(|i| results[*i].engine == engine).collect();
            let Some(baseline) = widest(results, &own) else { continue };
            pairs.extend(first.map(|first| (baseline, first)));
            first = first.or(Some(baseline));
            pairs.extend(own.into_iter().filter(|i| *i != baseline).map(|i| (i, baseline)));
        }
    }
    pairs.sort_unstable();
    pairs
}

/// The one with the most bits per weight; the first of those that do not tell.
fn widest(results: &[EvalResult], places: &[usize]) -> Option<usize> {
    let bits = |i: usize| results[i].bits_per_weight.unwrap_or(0.0);
    places.iter().copied().reduce(|best, i| if bits(i) > bits(best) { i } else { best })
}

/// Scores of the examples that both have, in the order of the first.
fn joined(first: &EvalResult, second: &EvalResult) -> (Vec<f64>, Vec<f64>) {
    let by_id: BTreeMap<&str, f64> =
        second.examples.iter().filter_map(|example| Some((example.id.as_str(), example.score?))).collect();
    let both = first.examples.iter().filter_map(|example| Some((example.score?, *by_id.get(example.id.as_str())?)));
    both.unzip()
}

/// Mean score of a result with its 95% interval; `None` without scores.
pub fn mean_score(result: &EvalResult) -> Option<(f64, Option<(f64, f64)>)> {
    let scores: Vec<f64> = result.examples.iter().filter_map(|example| example.score).collect();
    let moments = stats::Moments::of(&scores)?;
    Some((moments.avg, stats::interval(&scores, 0.95, &result.uuid)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::result::testing::result;

    #[test]
    fn quantizations_are_held_against_the_widest_and_engines_against_the_first() {
        let right = |n: usize| (0..400).map(|i| f64::from(u8::from(i < n))).collect::<Vec<_>>();
        let results = [
            result("llamacpp", "nf4", 4.8, &right(200)),
            result("llamacpp", "float16", 16.0, &right(380)),
            result("tinygrad", "float16", 16.0, &right(380)),
            result("tinygrad", "int8", 8.0, &right(379)),
        ];
        let found = differences(&results, 0.05);
        let places: Vec<_> = found.iter().map(|d| (d.result, d.baseline)).collect();
        assert_eq!(places, [(0, 1), (2, 1), (3, 2)]);
        assert_eq!(found.iter().map(|d| d.word).collect::<Vec<_>>(), [Word::Worse, Word::Same, Word::Same]);
        assert!((found[0].paired.difference + 0.45).abs() < 1e-9);
    }

    #[test]
    fn a_few_examples_cannot_tell_and_say_how_many_would() {
        let results = [
            result("llamacpp", "float16", 16.0, &[1.0, 1.0, 1.0, 1.0, 0.0]),
            result("llamacpp", "nf4", 4.8, &[1.0, 1.0, 0.0, 0.0, 0.0]),
        ];
        let found = differences(&results, WITHIN);
        assert_eq!(found[0].word, Word::CannotTell);
        assert!(found[0].examples_to_tell.unwrap() > 10, "{:?}", found[0].examples_to_tell);
    }

    #[test]
    fn other_limits_and_failures_are_not_compared() {
        let mut other = result("llamacpp", "nf4", 4.8, &[1.0, 0.0]);
        other.max_tokens = Some(7);
        let failed = result("llamacpp", "int8", 8.5, &[]);
        assert!(differences(&[result("llamacpp", "float16", 16.0, &[1.0, 0.0]), other, failed], WITHIN).is_empty());
    }

    #[test]
    fn words_name_their_limit() {
        assert_eq!(Word::Same.text(0.02), "same within 0.02");
        assert_eq!(Word::CannotTell.text(0.02), "cannot tell");
    }
}
