//! What `--env` means: a set of our own by name or file, `vf:NAME` for `vf-eval`, `lm:TASK` for `lm_eval`.

use crate::task::{BUILT_IN, TaskSet};
use crate::{Error, Result};
use std::path::Path;
use tokometer_core::nearest;

/// A task set and who puts it to the model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Environment {
    /// Ours.
    Native(TaskSet),
    /// An environment of PyPI's `verifiers`.
    Verifiers(String),
    /// A task of PyPI's `lm-eval`.
    LmEval(String),
}

impl Environment {
    /// Reads one word of `--env`.
    ///
    /// # Errors
    /// It is no name and no file; the text names the nearest.
    pub fn open(word: &str) -> Result<Environment> {
        let named = |name: &str| match name {
            "" => Err(Error::Unknown(format!("{word:?} lacks the name after the colon, as vf:reverse-text"))),
            name => Ok(name.to_owned()),
        };
        if let Some(name) = word.strip_prefix("vf:") {
            return Ok(Environment::Verifiers(named(name)?));
        }
        if let Some(name) = word.strip_prefix("lm:") {
            return Ok(Environment::LmEval(named(name)?));
        }
        if let Some(set) = TaskSet::built_in(word) {
            return Ok(Environment::Native(set?));
        }
        let path = Path::new(word);
        if path.extension().is_some_and(|extension| extension == "jsonl") {
            return Ok(Environment::Native(TaskSet::read(path)?));
        }
        let known = BUILT_IN.iter().map(|(name, _)| *name);
        Err(Error::Unknown(format!(
            "there is no environment {word:?}{}; others are distance (without a task), a .jsonl file, vf:NAME (vf-eval) and lm:TASK (lm_eval)",
            nearest::hint(word, known)
        )))
    }

    /// As it was typed, a file by its stem: `reverse-text`, `vf:reverse-text`, `lm:gsm8k`.
    pub fn name(&self) -> String {
        match self {
            Environment::Native(set) => set.name.clone(),
            Environment::Verifiers(name) => format!("vf:{name}"),
            Environment::LmEval(name) => format!("lm:{name}"),
        }
    }

    /// Who asks: `native`, `verifiers`, `lm_eval`.
    pub fn kind(&self) -> &'static str {
        match self {
            Environment::Native(_) => "native",
            Environment::Verifiers(_) => "verifiers",
            Environment::LmEval(_) => "lm_eval",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_told_apart() {
        let open = |word: &str| Environment::open(word).unwrap();
        assert_eq!((open("copy").name().as_str(), open("copy").kind()), ("copy", "native"));
        assert_eq!((open("vf:a-b").name().as_str(), open("vf:a-b").kind()), ("vf:a-b", "verifiers"));
        assert_eq!((open("lm:gsm8k").name().as_str(), open("lm:gsm8k").kind()), ("lm:gsm8k", "lm_eval"));
        let told = |word: &str| Environment::open(word).unwrap_err().to_string();
        assert!(told("arithmetics").contains("arithmetic") && told("lm:").contains("lacks the name"));
        assert!(told("no/such.jsonl").contains("no/such.jsonl"));
    }
}
