//! `all.csv`: one row per result, made anew from the results' files each time.

use crate::{Error, EvalResult, Result};
use std::path::{Path, PathBuf};
use tokometer_core::disk;

/// The columns: the earlier workflow's first.
const COLUMNS: &[&str] = &[
    "quantization",
    "size",
    "environment",
    "num_examples",
    "max_tokens",
    "metric",
    "avg",
    "std",
    "elapsed_seconds",
    "returncode",
    "timestamp",
    "backend",
    "engine",
    "engine_version",
    "native_quantize",
    "bits_per_weight",
    "weights_bytes",
    "model",
    "revision",
    "model_sha256",
    "hostname",
    "uuid",
    "kind",
    "evaluator",
    "task_sha256",
    "prompt_form",
    "low_95",
    "high_95",
    "scored_examples",
    "reason",
    "jobs",
];

/// The table as bytes: one row per result and metric, one row without a metric for a result that has none. Results are
/// ordered by time and name, so that the same files give the same bytes.
///
/// # Errors
/// None that is known: the writer writes to memory.
pub fn csv(results: &[EvalResult]) -> std::result::Result<Vec<u8>, csv::Error> {
    let mut ordered: Vec<&EvalResult> = results.iter().collect();
    ordered.sort_by(|a, b| (&a.timestamp, a.file_name()).cmp(&(&b.timestamp, b.file_name())));
    let mut writer = csv::Writer::from_writer(Vec::new());
    writer.write_record(COLUMNS)?;
    for result in ordered {
        match result.metrics.is_empty() {
            true => writer.write_record(row(result, None))?,
            false => {
                for name in result.metrics.keys() {
                    writer.write_record(row(result, Some(name)))?;
                }
            }
        }
    }
    writer.into_inner().map_err(|error| error.into_error().into())
}

/// Writes `all.csv` into the folder.
///
/// # Errors
/// It cannot be written.
pub fn write(folder: &Path, results: &[EvalResult]) -> Result<PathBuf> {
    let path = folder.join("all.csv");
    let bytes =
        csv(results).map_err(|error| Error::Form { path: path.clone(), what: "a table", why: error.to_string() })?;
    disk::write_whole(&path, &bytes).map_err(Error::file("write", &path))?;
    Ok(path)
}

fn row(result: &EvalResult, metric: Option<&String>) -> Vec<String> {
    fn text<T: ToString>(value: Option<T>) -> String {
        value.map(|value| value.to_string()).unwrap_or_default()
    }
    let moments = metric.map(|name| result.metrics[name]);
    // The interval is that of the score.
    let interval = result.interval_95.filter(|_| metric.is_some_and(|name| name == "reward"));
    let scored = result.examples.iter().filter(|example| example.score.is_some()).count();
    vec![
        result.quantization.clone(),
        result.size.clone(),
        result.environment.clone(),
        result.num_examples.to_string(),
        text(result.max_tokens),
        text(metric),
        text(moments.map(|m| m.avg)),
        text(moments.and_then(|m| m.std)),
        result.elapsed_seconds.to_string(),
        result.returncode.to_string(),
        result.timestamp.clone(),
        result.backend.clone(),
        result.engine.clone(),
        text(result.engine_version.as_ref()),
        text(result.native_quantize.as_ref()),
        text(result.bits_per_weight),
        text(result.weights_bytes),
        result.model.clone(),
        text(result.revision.as_ref()),
        text(result.model_sha256.as_ref()),
        result.hostname.clone(),
        result.uuid.clone(),
        result.kind.clone(),
        text(result.evaluator.as_ref()),
        text(result.task_sha256.as_ref()),
        text(result.prompt_form.as_ref()),
        text(interval.map(|(low, _)| low)),
        text(interval.map(|(_, high)| high)),
        if result.examples.is_empty() { String::new() } else { scored.to_string() },
        text(result.reason.as_ref()),
        text(result.jobs),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::result::testing::result;

    #[test]
    fn every_metric_has_a_row_and_a_failure_has_one_too() {
        let mut failed = result("llamacpp", "int8", 8.5, &[]);
        (failed.returncode, failed.reason) = (1, Some("no such file".into()));
        let bytes = csv(&[result("llamacpp", "nf4", 4.8, &[1.0, 0.0]), failed]).unwrap();
        let mut reader = csv::Reader::from_reader(bytes.as_slice());
        let rows: Vec<csv::StringRecord> = reader.records().map(|row| row.unwrap()).collect();
        assert!(rows.iter().all(|row| row.len() == COLUMNS.len()));
        let cell = |row: usize, name: &str| {
            let column = COLUMNS.iter().position(|column| *column == name).unwrap();
            rows[row][column].to_owned()
        };
        assert_eq!(rows.len(), 3);
        assert_eq!(
            (cell(0, "quantization"), cell(0, "metric"), cell(0, "reason")),
            ("int8".into(), "".into(), "no such file".into())
        );
        assert_eq!(
            (cell(1, "metric"), cell(2, "metric"), cell(2, "avg")),
            ("exact".into(), "reward".into(), "0.5".into())
        );
        assert!(cell(1, "low_95").is_empty() && !cell(2, "low_95").is_empty());
    }
}
