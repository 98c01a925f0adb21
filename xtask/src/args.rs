//! The little that these commands need of a command line: `--flag`, `--name VALUE`, names, and what follows `--`.

use anyhow::{Result, anyhow};
use std::fmt;
use std::str::FromStr;

/// A mistake in the command line, as opposed to a failure of the work.
#[derive(Debug)]
pub struct Usage(pub String);

impl fmt::Display for Usage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Usage {}

/// The words after the command; each accessor takes out what it knows, [`Args::names`] refuses what is left.
pub struct Args {
    words: Vec<String>,
    passed_on: Vec<String>,
}

impl Args {
    /// Keeps what follows `--` apart.
    pub fn new(words: impl Iterator<Item = String>) -> Args {
        let mut words: Vec<String> = words.collect();
        let passed_on = match words.iter().position(|word| word == "--") {
            Some(at) => {
                let rest = words.split_off(at);
                rest.into_iter().skip(1).collect()
            }
            None => Vec::new(),
        };
        Args { words, passed_on }
    }

    /// Whether `--help` stands anywhere.
    pub fn wants_help(&self) -> bool {
        self.words.iter().any(|word| word == "--help" || word == "-h")
    }

    /// Takes out `--flag`.
    pub fn flag(&mut self, name: &str) -> bool {
        let before = self.words.len();
        self.words.retain(|word| word != name);
        self.words.len() != before
    }

    /// Takes out `--name VALUE` or `--name=VALUE`.
    pub fn value<T: FromStr>(&mut self, name: &str) -> Result<Option<T>> {
        let prefix = format!("{name}=");
        let Some(at) = self.words.iter().position(|word| word == name || word.starts_with(&prefix)) else {
            return Ok(None);
        };
        let word = self.words.remove(at);
        let text = match word.strip_prefix(&prefix) {
            Some(text) => text.to_owned(),
            None if at < self.words.len() => self.words.remove(at),
            None => return Err(anyhow!(Usage(format!("{name} needs a value")))),
        };
        match text.parse() {
            Ok(value) => Ok(Some(value)),
            Err(_) => Err(anyhow!(Usage(format!("{name} cannot be {text:?}")))),
        }
    }

    /// What followed `--`.
    pub fn passed_on(&mut self) -> Vec<String> {
        std::mem::take(&mut self.passed_on)
    }

    /// The names that are left; a flag that nobody took out is an error.
    pub fn names(self) -> Result<Vec<String>> {
        if let Some(word) = self.words.iter().find(|word| word.starts_with('-')) {
            return Err(anyhow!(Usage(format!("this command has no flag {word}"))));
        }
        if let Some(word) = self.passed_on.first() {
            return Err(anyhow!(Usage(format!("this command passes nothing on ({word} after --)"))));
        }
        Ok(self.words)
    }

    /// That nothing is left.
    pub fn end(self) -> Result<()> {
        match self.names()?.first() {
            Some(word) => Err(anyhow!(Usage(format!("this command takes no {word:?}")))),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn args(line: &str) -> Args {
        Args::new(line.split_whitespace().map(str::to_owned))
    }

    #[test]
    fn flags_values_and_names_are_told_apart() {
        let mut args = args("worker --rounds 3 --full --dir=out plots -- --seed 7");
        assert!(args.flag("--full"));
        assert!(!args.flag("--full"));
        assert_eq!(args.value::<usize>("--rounds").unwrap(), Some(3));
        assert_eq!(args.value::<String>("--dir").unwrap().as_deref(), Some("out"));
        assert_eq!(args.passed_on(), ["--seed", "7"]);
        assert_eq!(args.names().unwrap(), ["worker", "plots"]);
    }

    #[test]
    fn mistakes_are_usage_errors() {
        assert!(args("--rounds").value::<usize>("--rounds").unwrap_err().is::<Usage>());
        assert!(args("--rounds x").value::<usize>("--rounds").unwrap_err().is::<Usage>());
        assert!(args("--typo").names().unwrap_err().is::<Usage>());
        assert!(args("name").end().unwrap_err().is::<Usage>());
        assert!(args("-- --seed").end().unwrap_err().is::<Usage>());
    }
}
