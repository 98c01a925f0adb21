//! Calling the `tokometer` program and reading what it prints with `--json`.

use crate::paths;
use crate::shell::Cmd;
use anyhow::{Context, Result, anyhow};
use serde_json::Value;
use std::path::{Path, PathBuf};

/// `tokometer --dir DIR ARGS...`.
pub fn command(dir: &Path, args: &[&str]) -> Cmd {
    Cmd::new(paths::tokometer()).arg("--dir").arg(dir).args(args)
}

/// A prepared model.
pub struct Prepared {
    /// The file or folder.
    pub path: PathBuf,
    /// The native quantization.
    pub native: String,
    /// Its bytes.
    pub bytes: Option<u64>,
}

/// Prepares a model for llama.cpp, with its progress in sight, and says where it lies.
pub fn prepare(dir: &Path, model: &str, quantize: &str) -> Result<Prepared> {
    let args = ["prepare", "--engine", "llamacpp", "--model", model, "--quantize", quantize, "--json"];
    let first = first(&command(dir, &args).capture_stdout()?)?;
    let path = first["path"].as_str().ok_or_else(|| unexpected("prepare", "path", &first))?;
    Ok(Prepared {
        // Relative paths count from DIR.
        path: dir.join(path),
        native: first["native"].as_str().unwrap_or(quantize).to_owned(),
        bytes: first["bytes"].as_u64(),
    })
}

/// What one `tokometer run` of one case measured.
pub struct Run {
    /// Per repetition.
    pub decode_tok_s: Vec<f64>,
    /// Per repetition.
    pub prefill_tok_s: Vec<f64>,
    /// The raw log.
    pub log: PathBuf,
}

/// Runs one case.
pub fn run(dir: &Path, args: &[&str]) -> Result<Run> {
    let text = command(dir, &[&["run", "--engine", "llamacpp", "--json"], args].concat()).capture()?;
    let first = first(&text)?;
    let numbers = |key: &str| {
        let list: Vec<f64> = first[key].as_array().into_iter().flatten().filter_map(Value::as_f64).collect();
        (!list.is_empty()).then_some(list).ok_or_else(|| unexpected("run", key, &first))
    };
    Ok(Run {
        decode_tok_s: numbers("decode_tok_s")?,
        prefill_tok_s: numbers("prefill_tok_s")?,
        log: dir.join(first["log"].as_str().ok_or_else(|| unexpected("run", "log", &first))?),
    })
}

/// What the worker of a raw log said of itself when it was launched.
pub fn hello(log: &Path) -> Result<Value> {
    let text = std::fs::read_to_string(log).with_context(|| format!("cannot read {}", log.display()))?;
    let events = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let mut launches = events.filter(|event| event["event"] == "launch");
    let launch = launches.next().ok_or_else(|| anyhow!("{} has no launch event", log.display()))?;
    Ok(launch["hello"].clone())
}

fn first(text: &str) -> Result<Value> {
    let all: Value =
        serde_json::from_str(text).with_context(|| format!("tokometer --json printed no JSON: {text:.300}"))?;
    all.get(0).cloned().ok_or_else(|| anyhow!("tokometer --json printed no case: {text:.300}"))
}

fn unexpected(command: &str, key: &str, value: &Value) -> anyhow::Error {
    anyhow!("`tokometer {command} --json` printed no {key}: {value}")
}
