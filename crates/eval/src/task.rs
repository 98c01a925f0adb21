//! Task sets of our own: one JSON object per line with a prompt, the answer and how it is scored.
//!
//! What an environment's name means is `environment`'s business, how an answer is scored `score`'s.

use crate::{Error, Result};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::path::Path;
use tokometer_core::fingerprint;

/// How an answer is scored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Scorer {
    /// 1 if the reply is the answer, spaces around both left out.
    Exact,
    /// 1 if the answer, a regular expression, matches somewhere in the reply; spaces around the reply are left out.
    Regex,
    /// 2 x the longest common subsequence of characters / both lengths.
    Lcs,
    /// 1 if the answer is the choice that the model finds the most likely.
    Choice,
}

impl Scorer {
    /// Its name as a metric.
    pub fn metric(self) -> &'static str {
        match self {
            Scorer::Exact => "exact",
            Scorer::Regex => "regex",
            Scorer::Lcs => "lcs_ratio",
            Scorer::Choice => "choice",
        }
    }

    /// Whether every score is 0 or 1.
    pub fn is_binary(self) -> bool {
        self != Scorer::Lcs
    }
}

/// One question.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Example {
    /// Unique in its set; results are paired by it.
    pub id: String,
    /// What the model is asked.
    pub prompt: String,
    /// What is right, in the scorer's sense.
    pub answer: String,
    /// How the reply is scored.
    pub scorer: Scorer,
    /// What can be chosen from (`choice` only).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub choices: Vec<String>,
    /// Most tokens of the reply; `None` leaves it to the caller.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_tokens: Option<u32>,
}

/// A set of questions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TaskSet {
    /// Its name, fit for a file name.
    pub name: String,
    /// The questions, in the file's order.
    pub examples: Vec<Example>,
    /// sha256 of the file.
    pub sha256: String,
}

/// The sets that Tokometer brings: name, content.
pub const BUILT_IN: &[(&str, &str)] = &[
    ("reverse-text", include_str!("../data/reverse-text.jsonl")),
    ("arithmetic", include_str!("../data/arithmetic.jsonl")),
    ("copy", include_str!("../data/copy.jsonl")),
    ("sort", include_str!("../data/sort.jsonl")),
    ("choice", include_str!("../data/choice.jsonl")),
];

impl TaskSet {
    /// The built-in set of that name, if there is one.
    ///
    /// # Errors
    /// Its data are damaged, which a test rules out.
    pub fn built_in(name: &str) -> Option<Result<TaskSet>> {
        BUILT_IN.iter().find(|(known, _)| *known == name).map(|(name, text)| TaskSet::parse(name, text))
    }

    /// Reads a set from a file; its name is the file's without the extension.
    ///
    /// # Errors
    /// The file cannot be read or a line of it is no example.
    pub fn read(path: &Path) -> Result<TaskSet> {
        let text = std::fs::read_to_string(path).map_err(Error::file("read", path))?;
        let name = path.file_stem().map_or_else(|| "tasks".into(), |stem| stem.to_string_lossy().into_owned());
        TaskSet::parse(&name, &text).map_err(|error| match error {
            Error::Task { why, .. } => Error::Task { name: path.display().to_string(), why },
            other => other,
        })
    }

    /// Reads a set from its text.
    ///
    /// # Errors
    /// A line is no example, an id comes twice, or there is nothing in it.
    pub fn parse(name: &str, text: &str) -> Result<TaskSet> {
        let wrong = |why: String| Error::Task { name: name.to_owned(), why };
        let (mut examples, mut ids) = (Vec::new(), BTreeSet::new());
        for (i, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
            let at = |why: String| wrong(format!("line {}: {why}", i + 1));
            let example: Example = serde_json::from_str(line).map_err(|error| at(error.to_string()))?;
            example.check().map_err(at)?;
            if !ids.insert(example.id.clone()) {
                return Err(at(format!("the id {:?} comes twice", example.id)));
            }
            examples.push(example);
        }
        if examples.is_empty() {
            return Err(wrong("it holds no example".into()));
        }
        Ok(TaskSet { name: name.to_owned(), examples, sha256: fingerprint::of_bytes(text.as_bytes()) })
    }

    /// The first `n` examples; all of them without a number.
    pub fn first(&self, n: Option<usize>) -> &[Example] {
        &self.examples[..n.unwrap_or(usize::MAX).min(self.examples.len())]
    }

    /// Whether every score of the set is 0 or 1.
    pub fn is_binary(&self) -> bool {
        self.examples.iter().all(|example| example.scorer.is_binary())
    }
}

impl Example {
    fn check(&self) -> std::result::Result<(), String> {
        if self.id.is_empty() {
            return Err("the id is empty".into());
        }
        match self.scorer {
            Scorer::Choice if !self.choices.contains(&self.answer) => {
                Err(format!("the answer {:?} is none of the choices", self.answer))
            }
            Scorer::Choice if self.choices.len() < 2 => Err("a choice needs two choices or more".into()),
            Scorer::Regex => regex::Regex::new(&self.answer).map(drop).map_err(|error| error.to_string()),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_built_in_set_is_well_formed() {
        for (name, _) in BUILT_IN {
            let set = TaskSet::built_in(name).unwrap().unwrap();
            assert!(set.examples.len() >= 5, "{name}");
            assert!(set.examples.iter().all(|example| example.max_tokens.is_some()), "{name}");
        }
        assert!(TaskSet::built_in("reverse").is_none());
        assert!(!TaskSet::built_in("reverse-text").unwrap().unwrap().is_binary());
    }

    #[test]
    fn a_bad_line_is_named() {
        let line = r#"{"id":"a","prompt":"p","answer":"x","scorer":"exact"}"#;
        let told = |text: &str| TaskSet::parse("t", text).unwrap_err().to_string();
        assert!(told(&format!("{line}\n\n{line}\n")).contains("line 3: the id \"a\" comes twice"));
        assert!(
            told(r#"{"id":"a","prompt":"p","answer":"x","scorer":"choice","choices":["y","z"]}"#).contains("none of")
        );
        assert!(told(r#"{"id":"a","prompt":"p","answer":"(","scorer":"regex"}"#).contains("line 1"));
        assert!(told("{}").contains("line 1") && told("\n").contains("no example"));
        let set = TaskSet::parse("t", line).unwrap();
        assert_eq!((set.first(Some(7)).len(), set.first(Some(0)).len(), set.first(None).len()), (1, 0, 1));
    }
}
