//! `tokometer.toml`: what a user wants to be otherwise than built in.

use super::{Error, Result};
use crate::engine::Overrides;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::Path;

/// The file as a whole. Every field is optional; an unknown one is an error.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Defaults of the command line.
    pub defaults: Defaults,
    /// `--size` names and the models that they stand for.
    pub sizes: BTreeMap<String, String>,
    /// Where engines' workers lie and what they are given.
    pub engines: BTreeMap<String, EngineConfig>,
    /// What `tokometer sweep` runs.
    pub sweep: super::sweep::SweepConfig,
}

/// Defaults of the command line, by the flags' names.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Defaults {
    /// `--model`.
    pub model: Option<String>,
    /// `--engine`.
    pub engine: Option<Vec<String>>,
    /// `--quantize`.
    pub quantize: Option<Vec<String>>,
    /// `--seed`.
    pub seed: Option<u64>,
    /// `--threads`.
    pub threads: Option<u32>,
    /// `--prompt-tokens`.
    pub prompt_tokens: Option<u32>,
    /// `--gen-tokens`.
    pub gen_tokens: Option<u32>,
    /// `--launches`.
    pub launches: Option<u32>,
    /// `--repetitions`.
    pub repetitions: Option<u32>,
}

/// One engine.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct EngineConfig {
    /// A worker program to use instead of ours.
    pub worker: Option<std::path::PathBuf>,
    /// A Python interpreter that has the engine.
    pub python: Option<std::path::PathBuf>,
    /// Environment variables for the worker.
    pub env: BTreeMap<String, String>,
    /// Settings passed with every load, by the engine's names.
    pub options: BTreeMap<String, String>,
}

impl Config {
    /// Reads the file; one that is not there is an empty configuration.
    ///
    /// # Errors
    /// It cannot be read, or says something that is not known: the text names line and nearest key.
    pub fn read(path: &Path) -> Result<Config> {
        let text = match std::fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Config::default()),
            Err(error) => return Err(Error::Config { path: path.to_owned(), reason: error.to_string() }),
        };
        Config::parse(&text).map_err(|reason| Error::Config { path: path.to_owned(), reason })
    }

    fn parse(text: &str) -> std::result::Result<Config, String> {
        let config: Config = toml::from_str(text).map_err(|error| explain(text, &error))?;
        for name in config.engines.keys() {
            crate::engine::by_name(name).map_err(|reason| format!("[engines.{name}]: {reason}"))?;
        }
        Ok(config)
    }

    /// What the file says about an engine's worker.
    pub fn overrides(&self, engine: &str) -> Overrides {
        let engine = self.engines.get(engine).cloned().unwrap_or_default();
        Overrides { worker: engine.worker, python: engine.python, env: engine.env }
    }
}

/// Line and reason, with the nearest of the keys that toml lists.
fn explain(text: &str, error: &toml::de::Error) -> String {
    let line = error.span().map(|span| text[..span.start.min(text.len())].matches('\n').count() + 1);
    let place = line.map(|n| format!("line {n}: ")).unwrap_or_default();
    let message = error.message();
    // "unknown field `x`, expected one of `a`, `b`": every second piece between backquotes is a name.
    let names: Vec<&str> = message.split('`').skip(1).step_by(2).collect();
    let hint = match names.split_first() {
        Some((unknown, known)) if message.starts_with("unknown field") => {
            crate::nearest::nearest(unknown, known.iter().copied())
        }
        _ => Vec::new(),
    };
    let hint = hint.first().map(|name| format!("; did you mean `{name}`?")).unwrap_or_default();
    format!("{place}{message}{hint}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_key_is_named_with_its_line() {
        let error = Config::parse("[defaults]\nthreads = 2\nthread = 3\n").unwrap_err();
        assert!(error.contains("line 3") && error.contains("did you mean `threads`?"), "{error}");
    }

    #[test]
    fn an_unknown_engine_is_named_with_the_nearest() {
        let error = Config::parse("[engines.lamacpp]\nworker = \"x\"\n").unwrap_err();
        assert!(error.contains("llamacpp"), "{error}");
    }

    #[test]
    fn what_is_said_is_used() {
        let config =
            Config::parse("[sizes]\n1B = \"synthetic:1B\"\n[engines.llamacpp]\nenv = { A = \"b\" }\n").unwrap();
        assert_eq!(super::super::checkpoint_for("1b", &config).unwrap().to_string(), "synthetic:1B");
        assert_eq!(config.overrides("llamacpp").env["A"], "b");
        assert!(super::super::checkpoint_for("2B", &config).is_err());
    }
}
