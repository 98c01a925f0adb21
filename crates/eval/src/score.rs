//! Scores of one reply.

use crate::task::{Example, Scorer};
use regex::Regex;

/// The score of a reply, 0 to 1, leading and trailing spaces left out. `None` for `choice`, which is scored by
/// [`chosen`], and for a regular expression that is none.
pub fn score(example: &Example, reply: &str) -> Option<f64> {
    let (reply, answer) = (reply.trim(), example.answer.trim());
    match example.scorer {
        Scorer::Exact => Some(f64::from(u8::from(reply == answer))),
        Scorer::Lcs => Some(lcs_ratio(reply, answer)),
        Scorer::Regex => {
            let pattern = Regex::new(&example.answer).ok()?;
            Some(f64::from(u8::from(pattern.is_match(reply))))
        }
        Scorer::Choice => None,
    }
}

/// The most likely choice: its place, `None` if no log-likelihood is a number. Of equals the first.
pub fn chosen(likelihoods: &[f64]) -> Option<usize> {
    let numbers = likelihoods.iter().enumerate().filter(|(_, value)| !value.is_nan());
    numbers
        .fold(None, |best: Option<(usize, f64)>, (i, value)| match best {
            Some((_, most)) if most >= *value => best,
            _ => Some((i, *value)),
        })
        .map(|(i, _)| i)
}

/// 2 x the longest common subsequence / both lengths, in characters; 1 for two empty texts.
pub fn lcs_ratio(a: &str, b: &str) -> f64 {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    match a.len() + b.len() {
        0 => 1.0,
        both => 2.0 * lcs(&a, &b) as f64 / both as f64,
    }
}

/// Length of the longest common subsequence (D. Hirschberg, "A linear space algorithm for computing maximal common
/// subsequences", Communications of the ACM 18(6), 1975: the row that it keeps).
fn lcs(a: &[char], b: &[char]) -> usize {
    let mut row = vec![0; b.len() + 1];
    for x in a {
        let mut diagonal = 0;
        for (j, y) in b.iter().enumerate() {
            let above = row[j + 1];
            row[j + 1] = if x == y { diagonal + 1 } else { above.max(row[j]) };
            diagonal = above;
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn example(scorer: Scorer, answer: &str) -> Example {
        Example {
            id: "a".into(),
            prompt: String::new(),
            answer: answer.into(),
            scorer,
            choices: Vec::new(),
            max_tokens: None,
        }
    }

    #[test]
    fn exact_leaves_out_spaces_around_and_nothing_else() {
        let example = example(Scorer::Exact, "89");
        assert_eq!(score(&example, " 89\n"), Some(1.0));
        assert_eq!(score(&example, "89."), Some(0.0));
    }

    #[test]
    fn a_regex_is_searched_for() {
        assert_eq!(score(&example(Scorer::Regex, r"^a[,\s]+b\.?$"), "a, b. "), Some(1.0));
        assert_eq!(score(&example(Scorer::Regex, r"^a[,\s]+b\.?$"), "b a"), Some(0.0));
        assert_eq!(score(&example(Scorer::Regex, "("), "("), None);
    }

    #[test]
    fn the_ratio_counts_what_both_have_in_order() {
        // "ABCBDAB" and "BDCABA" have four in common: the textbook example of Cormen et al.
        assert!((lcs_ratio("ABCBDAB", "BDCABA") - 8.0 / 13.0).abs() < 1e-12);
        assert_eq!((lcs_ratio("", ""), lcs_ratio("", "x"), lcs_ratio("ü", "ü")), (1.0, 0.0, 1.0));
        assert_eq!(score(&example(Scorer::Lcs, "abc"), "abd "), Some(2.0 / 3.0));
    }

    /// The tests of `evals/tokometer_scores.py` read the same table.
    #[test]
    fn rust_scores_as_python_does() {
        for line in include_str!("../../../evals/scores.jsonl").lines() {
            let case: serde_json::Value = serde_json::from_str(line).unwrap();
            let text = |name: &str| case[name].as_str().unwrap();
            let scorer = serde_json::from_value(case["scorer"].clone()).unwrap();
            let found = score(&example(scorer, text("answer")), text("reply")).unwrap();
            assert!((found - case["score"].as_f64().unwrap()).abs() < 1e-12, "{found}: {line}");
        }
    }

    #[test]
    fn the_most_likely_choice_is_taken() {
        assert_eq!(chosen(&[-3.0, -1.0, -2.0]), Some(1));
        assert_eq!(chosen(&[f64::NAN, -9.0]), Some(1));
        assert_eq!(chosen(&[-1.0, -1.0]), Some(0));
        assert_eq!((chosen(&[]), score(&example(Scorer::Choice, "a"), "a")), (None, None));
    }
}
