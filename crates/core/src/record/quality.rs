//! Results of evaluations: the JSON files in `verifiers_results/`, ours and those of the earlier workflow, as plain data.
//!
//! What every evaluation has is read by its name there (`quantization`, `size`, `environment`, `num_examples`, `metrics`,
//! `backend`, ...); what is missing stays missing. What the figures mean for a choice is `analyze`'s business.

use super::file_name::canonical_engine;
use serde::Serialize;
use serde_json::{Map, Value};
use std::path::Path;

/// The environment whose metrics are a distance from the unquantized model and whose `std` is a standard error.
pub const DISTANCE: &str = "distance";

/// One result.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Quality {
    /// Name of the file.
    pub file: String,
    /// What was evaluated: the name of a task set, or [`DISTANCE`].
    pub environment: String,
    /// The engine.
    pub engine: String,
    /// The machine; quality does not depend on it.
    pub hostname: Option<String>,
    /// The model's name, where it is told.
    pub model: Option<String>,
    /// The model as the user named it, where it is told.
    pub source: Option<String>,
    /// Size label of the model.
    pub size: Option<String>,
    /// The label that was asked for.
    pub quantize: String,
    /// What the engine computed with.
    pub native_quantize: Option<String>,
    /// Measured bits per weight.
    pub bits_per_weight: Option<f64>,
    /// Bytes of the weights as stored.
    pub weights_bytes: Option<u64>,
    /// Examples, or positions of a text.
    pub num_examples: Option<u64>,
    /// What it must share with another result before the two may be compared: of a distance base, text and chunks, of a task
    /// the most tokens of an answer.
    pub setting: String,
    /// The figures, in the order of the file; none of a distance that could not be measured.
    pub metrics: Vec<Metric>,
    /// Why there are no figures, where that is told.
    pub reason: Option<String>,
    /// When it was done.
    pub timestamp: Option<String>,
}

/// A figure of a result.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Metric {
    /// Its name.
    pub name: String,
    /// The mean.
    pub avg: f64,
    /// Of a distance its standard error; of a task the standard deviation of single examples.
    pub std: Option<f64>,
}

impl Quality {
    /// A figure by its name.
    pub fn metric(&self, name: &str) -> Option<&Metric> {
        self.metrics.iter().find(|metric| metric.name == name)
    }

    /// From the content of a file.
    ///
    /// # Errors
    /// It is no such JSON, or tells of a failed evaluation; in words. A distance that tells why it has no figures is a
    /// result without figures: its engine does not offer it, which no other attempt will mend.
    pub fn parse(name: &str, bytes: &[u8]) -> Result<Quality, String> {
        let value: Value = serde_json::from_slice(bytes).map_err(|error| format!("it is no JSON: {error}"))?;
        let Value::Object(fields) = value else { return Err("it is no JSON object".into()) };
        let text =
            |key: &str| fields.get(key).and_then(Value::as_str).filter(|text| !text.is_empty()).map(str::to_owned);
        let failed = fields.get("returncode").and_then(Value::as_i64).filter(|code| *code != 0);
        let engine = text("engine").or_else(|| text("backend")).map(|engine| canonical_engine(&engine));
        let environment = text("environment").ok_or("it names no environment")?;
        let reason = failed.and_then(|_| text("reason"));
        match (failed, &reason) {
            (Some(_), Some(_)) if environment == DISTANCE => (),
            (Some(code), Some(reason)) => return Err(format!("its evaluation failed with code {code}: {reason}")),
            (Some(code), None) => return Err(format!("its evaluation failed with code {code}")),
            (None, _) => (),
        }
        Ok(Quality {
            file: name.to_owned(),
            engine: engine.ok_or("it names no engine (`backend`)")?,
            hostname: text("hostname"),
            model: text("model"),
            source: text("source"),
            size: text("size"),
            quantize: text("quantization").ok_or("it names no quantization")?,
            native_quantize: text("native_quantize"),
            bits_per_weight: fields.get("bits_per_weight").and_then(Value::as_f64),
            weights_bytes: fields.get("weights_bytes").and_then(Value::as_u64),
            num_examples: fields.get("num_examples").and_then(Value::as_u64),
            setting: setting(&environment, &fields),
            metrics: if failed.is_some() { Vec::new() } else { metrics(fields.get("metrics")) },
            reason,
            timestamp: text("timestamp"),
            environment,
        })
    }
}

fn setting(environment: &str, fields: &Map<String, Value>) -> String {
    let show = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let of = |value: Option<&Value>| value.map(show).unwrap_or_default();
    if environment != DISTANCE {
        return fields
            .get("max_tokens")
            .filter(|n| !n.is_null())
            .map(|n| format!("at most {} tokens", show(n)))
            .unwrap_or_default();
    }
    let (base, text) = (fields.get("base"), fields.get("text"));
    let inside = |table: Option<&Value>, key: &str| of(table.and_then(|table| table.get(key)));
    let hash: String = inside(text, "sha256").chars().take(8).collect();
    format!(
        "from {} {}, on {} ({hash}), {} chunks of {} tokens",
        inside(base, "engine"),
        inside(base, "native_quantize"),
        inside(text, "name"),
        of(fields.get("chunks")),
        of(fields.get("ctx")),
    )
}

/// `{"accuracy": {"avg": 0.5, "std": 0.5}}`; a bare number is a mean without more.
fn metrics(value: Option<&Value>) -> Vec<Metric> {
    let entries = value.and_then(Value::as_object).into_iter().flatten();
    let metric = |(name, value): (&String, &Value)| {
        let avg = value.get("avg").unwrap_or(value).as_f64().filter(|avg| avg.is_finite())?;
        let std = value.get("std").and_then(Value::as_f64).filter(|std| std.is_finite() && *std >= 0.0);
        Some(Metric { name: name.clone(), avg, std })
    };
    entries.filter_map(metric).collect()
}

/// All results in a folder, in the order of their names, and what could not be read with the reason. A folder that is not
/// there holds none.
pub fn read_folder(folder: &Path) -> (Vec<Quality>, Vec<String>) {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    let mut paths: Vec<_> =
        entries.filter(|path| path.is_file() && path.extension().is_some_and(|e| e == "json")).collect();
    paths.sort();
    let (mut found, mut problems) = (Vec::new(), Vec::new());
    for path in paths {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let read = std::fs::read(&path).map_err(|why| why.to_string()).and_then(|bytes| Quality::parse(&name, &bytes));
        match read {
            Ok(quality) => found.push(quality),
            Err(why) => problems.push(format!("{}: {why}; it is left out", path.display())),
        }
    }
    (found, problems)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Dir;

    #[test]
    fn a_result_of_the_earlier_workflow_is_read() {
        let text = r#"{"quantization":"nf4","size":"1B","environment":"gsm8k","num_examples":50,"max_tokens":512,
            "metrics":{"reward":{"avg":0.42,"std":0.49},"length":12.5,"odd":"x"},"elapsed_seconds":12.5,"returncode":0,
            "timestamp":"2025-11-01T10:00:00","backend":"llama.cpp"}"#;
        let quality = Quality::parse("a.json", text.as_bytes()).unwrap();
        assert_eq!(
            (quality.engine.as_str(), quality.quantize.as_str(), quality.num_examples),
            ("llamacpp", "nf4", Some(50))
        );
        assert_eq!(quality.metric("reward").unwrap().std, Some(0.49));
        assert_eq!((quality.metrics.len(), quality.metric("length").unwrap().avg), (2, 12.5));
        assert_eq!((quality.native_quantize, quality.setting.as_str()), (None, "at most 512 tokens"));
    }

    #[test]
    fn a_distance_tells_what_it_was_held_against() {
        let text = r#"{"quantization":"nf4","size":"tiny","environment":"distance","backend":"llamacpp","native_quantize":"Q4_K_M",
            "base":{"engine":"llamacpp","native_quantize":"F16"},"text":{"name":"t.txt","sha256":"0123456789abcdef"},
            "ctx":512,"chunks":3,"metrics":{"kld_mean":{"avg":0.1,"std":null}}}"#;
        let quality = Quality::parse("a.json", text.as_bytes()).unwrap();
        assert_eq!(quality.setting, "from llamacpp F16, on t.txt (01234567), 3 chunks of 512 tokens");
        assert_eq!(quality.metric("kld_mean").unwrap().std, None);
    }

    #[test]
    fn a_distance_that_is_not_offered_has_a_reason_and_no_figures() {
        let text = |environment: &str, reason: &str| {
            format!(
                r#"{{"quantization":"nf4","environment":"{environment}","backend":"mlc_llm","returncode":1,{reason}"metrics":{{"x":1}}}}"#
            )
        };
        let parse = |text: String| Quality::parse("a.json", text.as_bytes());
        let found = parse(text(DISTANCE, r#""reason":"it cannot","#)).unwrap();
        assert_eq!((found.reason.as_deref(), found.metrics.len(), found.num_examples), (Some("it cannot"), 0, None));
        assert!(parse(text(DISTANCE, "")).unwrap_err().ends_with("with code 1"));
        assert!(parse(text("copy", r#""reason":"it cannot","#)).unwrap_err().ends_with("with code 1: it cannot"));
    }

    #[test]
    fn failed_and_foreign_files_are_named_and_the_rest_is_read() {
        let folder = Dir::new();
        let write = |name: &str, text: &str| folder.write(name, text);
        write("a.json", r#"{"quantization":"nf4","environment":"x","backend":"tinygrad","metrics":{"acc":{"avg":1}}}"#);
        write("b.json", "{");
        write("c.json", r#"{"quantization":"nf4","environment":"x","backend":"tinygrad","returncode":1}"#);
        write("d.csv", "x");
        let (found, problems) = read_folder(&folder);
        assert_eq!((found.len(), problems.len()), (1, 2), "{problems:?}");
        assert!(problems[1].contains("c.json") && problems[1].contains("code 1"), "{problems:?}");
        assert_eq!(read_folder(&folder.join("absent")), (Vec::new(), Vec::new()));
    }
}
