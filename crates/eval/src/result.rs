//! The file that stays of an evaluation: one per engine, quantization and environment.
//!
//! Its first fields are those of the earlier workflow, in its order; everything that it did not know comes after them. What
//! is missing is `null`, never 0.

use crate::stats::{Moments, interval};
use crate::{Error, Result};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use tokometer_core::disk;

/// One example with its score.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Scored {
    /// The example's id.
    pub id: String,
    /// 0 to 1; `None` where the request failed.
    pub score: Option<f64>,
    /// What the model wrote, or the choice that it found the most likely.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reply: Option<String>,
    /// Further metrics of this example by name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub metrics: BTreeMap<String, f64>,
    /// Wall time of the request or requests, milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub milliseconds: Option<f64>,
    /// Why there is no score.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// Everything that is known of one evaluation.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EvalResult {
    /// The quantization's label, as asked for.
    pub quantization: String,
    /// Size label of the model, as `1B`.
    pub size: String,
    /// The environment's name.
    pub environment: String,
    /// Examples that were evaluated.
    pub num_examples: usize,
    /// Most tokens of a reply; `None` is what each example says.
    pub max_tokens: Option<u32>,
    /// Mean and standard deviation of each metric; `reward` is the score.
    pub metrics: BTreeMap<String, Moments>,
    /// Wall time from the first request on, without starting the endpoint, seconds; of a resumed evaluation the sum.
    pub elapsed_seconds: f64,
    /// 0, or the exit code of what failed.
    pub returncode: i32,
    /// When it ended, UTC.
    pub timestamp: String,
    /// The engine, as the earlier workflow calls it.
    pub backend: String,
    /// The engine.
    #[serde(default)]
    pub engine: String,
    /// Version of the engine, as it tells it.
    #[serde(default)]
    pub engine_version: Option<String>,
    /// The native quantization.
    #[serde(default)]
    pub native_quantize: Option<String>,
    /// 8 x bytes of the tensors / parameters.
    #[serde(default)]
    pub bits_per_weight: Option<f64>,
    /// Bytes of the tensors as stored.
    #[serde(default)]
    pub weights_bytes: Option<u64>,
    /// The model as it was named.
    #[serde(default)]
    pub model: String,
    /// Commit, or seed and geometry.
    #[serde(default)]
    pub revision: Option<String>,
    /// sha256 over the names and hashes of the model's source files.
    #[serde(default)]
    pub model_sha256: Option<String>,
    /// The machine's name.
    #[serde(default)]
    pub hostname: String,
    /// Eight hex digits of its own.
    #[serde(default)]
    pub uuid: String,
    /// Who asked: `native`, `verifiers`, `lm_eval`.
    #[serde(default)]
    pub kind: String,
    /// Name and version of that program.
    #[serde(default)]
    pub evaluator: Option<String>,
    /// sha256 of the task set, where it is ours.
    #[serde(default)]
    pub task_sha256: Option<String>,
    /// `chat`: the model's chat template was applied; `raw`: the prompt went in as it is.
    #[serde(default)]
    pub prompt_form: Option<String>,
    /// 95% interval of the mean score.
    #[serde(default)]
    pub interval_95: Option<(f64, f64)>,
    /// Examples that an earlier, interrupted evaluation had done.
    #[serde(default)]
    pub resumed_examples: usize,
    /// Evaluations that ran at a time, where it was more than one: `elapsed_seconds` is longer then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub jobs: Option<u32>,
    /// Why it failed.
    #[serde(default)]
    pub reason: Option<String>,
    /// Hash of all that went in but the engine's version: what has the same need not be evaluated again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub identity: Option<String>,
    /// The command line.
    #[serde(default)]
    pub command: Vec<String>,
    /// The examples.
    #[serde(default)]
    pub examples: Vec<Scored>,
}

impl EvalResult {
    /// Takes the examples in and computes what follows from them: number, metrics, interval. Examples without a score are
    /// in no mean.
    pub fn set_examples(&mut self, examples: Vec<Scored>) {
        let scores: Vec<f64> = examples.iter().filter_map(|example| example.score).collect();
        let mut metrics: BTreeMap<&str, Vec<f64>> = BTreeMap::new();
        for (name, value) in examples.iter().flat_map(|example| &example.metrics) {
            metrics.entry(name).or_default().push(*value);
        }
        self.metrics = metrics
            .into_iter()
            .filter_map(|(name, values)| Some((name.to_owned(), Moments::of(&values)?)))
            .chain(Moments::of(&scores).map(|moments| ("reward".to_owned(), moments)))
            .collect();
        self.interval_95 = interval(&scores, 0.95, &self.uuid);
        self.num_examples = examples.len();
        self.examples = examples;
    }

    /// `{engine}_{hostname}_{size}_{quantize}_{env}_uuid{8 hex}.json`; what no file name should hold is replaced by `-`.
    pub fn file_name(&self) -> String {
        let size = clean(&self.size).replace('_', "-");
        format!(
            "{}_{}_{size}_{}_{}_uuid{}.json",
            clean(&self.engine),
            clean(&self.hostname),
            clean(&self.quantization),
            clean(&self.environment),
            clean(&self.uuid)
        )
    }

    /// Writes it into the folder, whole or not at all.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn write(&self, folder: &Path) -> Result<PathBuf> {
        let path = folder.join(self.file_name());
        let mut text = serde_json::to_string_pretty(self).map_err(|error| Error::Form {
            path: path.clone(),
            what: "a result",
            why: error.to_string(),
        })?;
        text.push('\n');
        disk::write_whole(&path, text.as_bytes()).map_err(Error::file("write", &path))?;
        Ok(path)
    }

    /// Reads a result: ours, or one that has only the fields of the earlier workflow.
    ///
    /// # Errors
    /// The file cannot be read or is no result.
    pub fn read(path: &Path) -> Result<EvalResult> {
        let text = std::fs::read_to_string(path).map_err(Error::file("read", path))?;
        let wrong = |why: String| Error::Form { path: path.to_owned(), what: "a result of an evaluation", why };
        let value: Map<String, Value> = serde_json::from_str(&text).map_err(|error| wrong(error.to_string()))?;
        let mut result: EvalResult = serde_json::from_value(Value::Object(value)).map_err(|e| wrong(e.to_string()))?;
        if result.engine.is_empty() {
            result.engine = tokometer_core::record::canonical_engine(&result.backend);
        }
        Ok(result)
    }
}

/// All results of a folder by file name. Files that are no results are told by `damaged`.
///
/// # Errors
/// The folder cannot be listed; one that is not there is empty.
pub fn read_all(folder: &Path, mut damaged: impl FnMut(Error)) -> Result<Vec<EvalResult>> {
    let entries = match std::fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(Error::file("list", folder)(error)),
    };
    let mut paths: Vec<PathBuf> = entries
        .filter_map(|entry| entry.ok().map(|entry| entry.path()))
        .filter(|path| path.extension().is_some_and(|extension| extension == "json"))
        .collect();
    paths.sort();
    let mut results = Vec::new();
    for path in paths {
        match EvalResult::read(&path) {
            Ok(result) => results.push(result),
            Err(error) => damaged(error),
        }
    }
    Ok(results)
}

/// Letters, digits, `.`, `-`, `_`; anything else becomes `-`.
pub(crate) fn clean(text: &str) -> String {
    let keep = |c: char| if c.is_ascii_alphanumeric() || "._-".contains(c) { c } else { '-' };
    text.chars().map(keep).collect()
}

#[cfg(test)]
pub(crate) mod testing {
    use super::*;

    /// A result with these scores, made up.
    pub fn result(engine: &str, quantization: &str, bits: f64, scores: &[f64]) -> EvalResult {
        let mut result = EvalResult {
            quantization: quantization.into(),
            size: "tiny".into(),
            environment: "copy".into(),
            num_examples: 0,
            max_tokens: None,
            metrics: BTreeMap::new(),
            elapsed_seconds: 1.0,
            returncode: 0,
            timestamp: "2026-11-24T01:02:03Z".into(),
            backend: engine.into(),
            engine: engine.into(),
            engine_version: None,
            native_quantize: None,
            bits_per_weight: Some(bits),
            weights_bytes: None,
            model: "synthetic:tiny".into(),
            revision: None,
            model_sha256: None,
            hostname: "host".into(),
            uuid: format!("{engine}{quantization}"),
            kind: "native".into(),
            evaluator: None,
            task_sha256: Some("abc".into()),
            prompt_form: None,
            interval_95: None,
            resumed_examples: 0,
            jobs: None,
            reason: None,
            identity: None,
            command: Vec::new(),
            examples: Vec::new(),
        };
        let scored = |(i, score): (usize, &f64)| Scored {
            id: format!("e-{i}"),
            score: Some(*score),
            reply: None,
            metrics: BTreeMap::from([("exact".to_owned(), *score)]),
            milliseconds: None,
            error: None,
        };
        result.set_examples(scores.iter().enumerate().map(scored).collect());
        result
    }
}

#[cfg(test)]
mod tests {
    use super::testing::result;
    use super::*;

    #[test]
    fn the_earlier_workflows_fields_come_first_in_its_order() {
        let text = serde_json::to_string(&result("llamacpp", "nf4", 4.8, &[1.0, 0.0])).unwrap();
        let value: Map<String, Value> = serde_json::from_str(&text).unwrap();
        let keys: Vec<&str> = value.keys().map(String::as_str).take(10).collect();
        let expected = [
            "quantization",
            "size",
            "environment",
            "num_examples",
            "max_tokens",
            "metrics",
            "elapsed_seconds",
            "returncode",
            "timestamp",
            "backend",
        ];
        assert_eq!(keys, expected);
        assert_eq!(value["metrics"]["reward"], serde_json::json!({"avg": 0.5, "std": 0.5}));
        assert_eq!(value["max_tokens"], Value::Null);
        // Only what ran beside others says so.
        assert!(!value.contains_key("jobs"));
        let beside = EvalResult { jobs: Some(3), ..result("llamacpp", "nf4", 4.8, &[1.0]) };
        assert_eq!(serde_json::to_value(&beside).unwrap()["jobs"], 3);
    }

    #[test]
    fn names_hold_nothing_that_a_file_name_should_not() {
        let mut odd = result("llamacpp", "nf4", 4.8, &[]);
        odd.environment = "vf:a/b".into();
        odd.uuid = "0123abcd".into();
        assert_eq!(odd.file_name(), "llamacpp_host_tiny_nf4_vf-a-b_uuid0123abcd.json");
    }

    #[test]
    fn what_is_written_is_read_and_an_older_file_too() {
        let folder = std::env::temp_dir().join(format!("tokometer-eval-result-{}", std::process::id()));
        let own = result("llamacpp", "nf4", 4.8, &[1.0, 0.25]);
        let path = own.write(&folder).unwrap();
        assert_eq!(EvalResult::read(&path).unwrap(), own);
        let older = r#"{"quantization": "q4f16_1", "size": "1B", "environment": "gsm8k", "num_examples": 5, "max_tokens": 512,
            "metrics": {"reward": {"avg": 0.4, "std": 0.49}}, "elapsed_seconds": 12.5, "returncode": 0,
            "timestamp": "2025-11-01T10:00:00", "backend": "mlc"}"#;
        std::fs::write(folder.join("older.json"), older).unwrap();
        std::fs::write(folder.join("other.json"), "[]").unwrap();
        let mut damaged = 0;
        let all = read_all(&folder, |_| damaged += 1).unwrap();
        assert_eq!((all.len(), damaged), (2, 1));
        let read = all.iter().find(|result| result.size == "1B").unwrap();
        assert_eq!((read.engine.as_str(), read.metrics["reward"].avg, read.examples.len()), ("mlc_llm", 0.4, 0));
        std::fs::remove_dir_all(&folder).unwrap();
    }
}
