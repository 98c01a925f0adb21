//! Results of the older line of `vf-eval` (before its version 1): what it printed, or the folder that it saved.

use crate::result::Scored;
use crate::stats::Moments;
use crate::{Error, Result};
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::Path;

/// What such a run tells.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Imported {
    /// The environment.
    pub environment: String,
    /// The model's name in requests.
    pub model: String,
    /// Examples, each with as many rollouts.
    pub num_examples: usize,
    /// Most tokens of a reply.
    pub max_tokens: Option<u32>,
    /// Wall time, seconds, if it is told.
    pub elapsed_seconds: Option<f64>,
    /// When, if it is told.
    pub timestamp: Option<String>,
    /// Metrics as printed; empty where there are scores by example.
    pub metrics: BTreeMap<String, Moments>,
    /// Scores by example, where they were saved.
    pub examples: Vec<Scored>,
}

/// Reads a folder with `metadata.json` and `results.jsonl`, a file of either name, or a text file with what was printed.
///
/// # Errors
/// It cannot be read or is none of these.
pub fn import(path: &Path) -> Result<Imported> {
    let read = |path: &Path| std::fs::read_to_string(path).map_err(Error::file("read", path));
    let folder = match path.file_name().and_then(|name| name.to_str()) {
        Some("metadata.json" | "results.jsonl") => path.parent().unwrap_or(Path::new(".")),
        _ if path.is_dir() => path,
        _ => {
            let wrong = || Error::Form {
                path: path.to_owned(),
                what: "what vf-eval prints",
                why: "no line as `reward: avg - 0.500, std - 0.500`".into(),
            };
            return printed(&read(path)?).ok_or_else(wrong);
        }
    };
    let (metadata, results) = (folder.join("metadata.json"), folder.join("results.jsonl"));
    saved(&read(&metadata)?, &read(&results)?).map_err(|why| Error::Form {
        path: folder.to_owned(),
        what: "a folder that vf-eval saved",
        why,
    })
}

/// From what was printed; `None` without a metric.
pub fn printed(text: &str) -> Option<Imported> {
    // Of no examples it prints `nan`, which is no figure.
    let number = |text: &str| text.trim().parse::<f64>().ok().filter(|number| number.is_finite());
    let mut found = Imported::default();
    for line in text.lines().map(str::trim) {
        if let Some((name, rest)) = line.split_once(": avg - ") {
            let Some((avg, std)) = rest.split_once(", std - ") else { continue };
            if let (Some(avg), Some(std)) = (number(avg), number(std)) {
                found.metrics.insert(name.to_owned(), Moments { avg, std: Some(std) });
            }
        } else if let Some(value) = line.strip_prefix("Environment: ") {
            found.environment = value.to_owned();
        } else if let Some(value) = line.strip_prefix("Model: ") {
            found.model = value.to_owned();
        } else if let Some(value) = line.strip_prefix("Examples: ") {
            found.num_examples = value.parse().unwrap_or_default();
        } else if let Some(value) = line.split("Evaluation completed in ").nth(1) {
            found.elapsed_seconds = value.split(' ').next().and_then(number);
        }
    }
    (!found.metrics.is_empty()).then_some(found)
}

/// From `metadata.json` and `results.jsonl`. Rollouts of one example are told apart by their number.
fn saved(metadata: &str, results: &str) -> std::result::Result<Imported, String> {
    let metadata: Value = serde_json::from_str(metadata).map_err(|error| format!("metadata.json: {error}"))?;
    let text = |names: [&str; 2]| names.iter().find_map(|name| metadata[*name].as_str()).unwrap_or_default().to_owned();
    let mut examples = Vec::new();
    let mut rollouts: BTreeMap<String, usize> = BTreeMap::new();
    for (i, line) in results.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
        let row: Value =
            serde_json::from_str(line).map_err(|error| format!("results.jsonl, line {}: {error}", i + 1))?;
        let id = ["example_id", "id"].iter().find_map(|name| row.get(*name)).map_or_else(|| i.to_string(), plain);
        let rollout = rollouts.entry(id.clone()).or_default();
        *rollout += 1;
        let id = if *rollout == 1 { id } else { format!("{id}/{rollout}") };
        examples.push(row_of(id, &row));
    }
    Ok(Imported {
        environment: text(["env_id", "env"]),
        model: text(["model", "model_name"]),
        num_examples: metadata["num_examples"].as_u64().unwrap_or_default() as usize,
        max_tokens: metadata["sampling_args"]["max_tokens"].as_u64().and_then(|n| u32::try_from(n).ok()),
        elapsed_seconds: metadata["time_ms"].as_f64().map(|ms| ms / 1000.0),
        timestamp: metadata["date"].as_str().map(str::to_owned),
        metrics: BTreeMap::new(),
        examples,
    })
}

fn row_of(id: String, row: &Value) -> Scored {
    const TIMES: [&str; 3] = ["generation_ms", "scoring_ms", "total_ms"];
    const OTHERS: [&str; 3] = ["id", "example_id", "reward"];
    let columns = row.as_object().into_iter().flatten();
    let metrics = columns
        .filter(|(name, _)| !TIMES.contains(&name.as_str()) && !OTHERS.contains(&name.as_str()))
        .filter_map(|(name, value)| Some((name.clone(), value.as_f64()?)))
        .collect();
    let last = row["completion"].as_array().and_then(|messages| messages.last());
    Scored {
        id,
        score: row["reward"].as_f64(),
        reply: last.map_or(&row["completion"], |message| &message["content"]).as_str().map(str::to_owned),
        metrics,
        milliseconds: row["generation_ms"].as_f64(),
        error: row["reward"].as_f64().is_none().then(|| "no reward was saved".to_owned()),
    }
}

fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_it_prints_is_read() {
        let text = "2025-11-01 - INFO - Evaluation completed in 12.34 seconds\n--- Evaluation ---\nEnvironment: gsm8k\nModel: m\n\
                    Examples: 5\n--- All ---\nRewards:\nreward: avg - 0.400, std - 0.490\nr1: [0.0, 1.0]\nformat: avg - 1.000, std - 0.000\n";
        let found = printed(text).unwrap();
        assert_eq!((found.environment.as_str(), found.num_examples, found.elapsed_seconds), ("gsm8k", 5, Some(12.34)));
        assert_eq!(found.metrics["reward"], Moments { avg: 0.4, std: Some(0.49) });
        assert_eq!(found.metrics.len(), 2);
        assert_eq!(printed("nothing"), None);
        assert_eq!(printed("reward: avg - nan, std - nan\n"), None);
        let text = "Evaluation completed in inf seconds\nreward: avg - 0.5, std - 0.1\nother: avg - nan, std - nan\n";
        let found = printed(text).unwrap();
        assert_eq!((found.metrics.len(), found.elapsed_seconds), (1, None));
    }

    #[test]
    fn what_it_saves_is_read() {
        let metadata = r#"{"env":"gsm8k","model":"m","num_examples":1,"rollouts_per_example":2,"sampling_args":{"max_tokens":64},"time_ms":2000.0,"date":"2025-11-01 10:00:00","avg_reward":0.5}"#;
        let row = |reward: f64| {
            format!(
                r#"{{"id":0,"prompt":[],"completion":[{{"role":"assistant","content":"7"}}],"task":"d","generation_ms":3.0,"reward":{reward},"correct":{reward}}}"#
            )
        };
        let found = saved(metadata, &format!("{}\n{}\n", row(1.0), row(0.0))).unwrap();
        let ids: Vec<&str> = found.examples.iter().map(|scored| scored.id.as_str()).collect();
        assert_eq!((ids, found.max_tokens, found.elapsed_seconds), (vec!["0", "0/2"], Some(64), Some(2.0)));
        assert_eq!((found.examples[0].reply.as_deref(), found.examples[0].metrics["correct"]), (Some("7"), 1.0));
        assert_eq!(found.examples[0].metrics.len(), 1);
    }
}
