//! What quantization costs: a table for each model and evaluation, a row for each engine and quantization.

use super::method::distinct;
use super::number::{gigabytes, interval, number, value};
use crate::analyze::Score;
use serde_json::{Value, json};

/// The tables; none where nothing was evaluated.
pub fn quality(scores: &[Score]) -> Vec<Value> {
    let key = |score: &Score| {
        let setting = if score.is_distance() { String::new() } else { format!("{} {}", score.metric, score.setting) };
        format!("{}\0{}\0{setting}", score.model, score.environment)
    };
    let kinds = distinct(scores.iter().map(key));
    kinds.iter().map(|kind| table(&scores.iter().filter(|score| key(score) == *kind).collect::<Vec<_>>())).collect()
}

fn table(scores: &[&Score]) -> Value {
    let first = scores[0];
    let settings = distinct(scores.iter().map(|score| score.setting.clone()).filter(|setting| !setting.is_empty()));
    if !first.is_distance() {
        return json!({
            "title": format!("{}: {}", first.model, first.environment),
            "setting": settings.join("; "),
            "header": ["Engine and quantization", "Bits per weight", "GB", first.metric, "Examples"],
            "rows": scores.iter().map(|score| task_row(score)).collect::<Vec<_>>(),
        });
    }
    json!({
        "title": format!("{}: distance from the unquantized model", first.model),
        "setting": settings.join("; "),
        "header": [
            "Engine and quantization", "Bits per weight", "GB", "KLD, nats", "Same top token, %", "ln PPL ratio", "PPL",
            "RMS Δp, %",
        ],
        "rows": scores.iter().map(|score| distance_row(score)).collect::<Vec<_>>(),
    })
}

/// The cells that every row begins with.
fn begin(score: &Score) -> Vec<Value> {
    let case = format!("{} {}", score.engine, score.quantize_label());
    vec![json!(case), value(score.bits_per_weight), gigabytes(score.weights_bytes)]
}

fn task_row(score: &Score) -> Vec<Value> {
    let mut row = begin(score);
    row.push(judged(score));
    row.push(score.examples.map_or(Value::Null, |n| json!(n.to_string())));
    row
}

fn distance_row(score: &Score) -> Vec<Value> {
    let mut row = begin(score);
    row.push(judged(score));
    for (name, factor) in [("same_top", 100.0), ("ln_ppl_ratio", 1.0), ("ppl", 1.0), ("delta_p_rms", 100.0)] {
        row.push(value(score.other(name).map(|metric| metric.avg * factor)));
    }
    row
}

/// The figure by which it is judged, with its interval.
fn judged(score: &Score) -> Value {
    json!({
        "text": number(score.value),
        "interval": score.interval.map(|ci| interval(score.value, ci)),
        "mean": score.value,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::analyze::scores;
    use crate::record::Quality;
    use crate::record::quality::{DISTANCE, Metric};

    #[test]
    fn distances_and_tasks_have_tables_of_their_own() {
        let one = |environment: &str, name: &str, setting: &str| Quality {
            environment: environment.into(),
            engine: "llamacpp".into(),
            model: Some("m".into()),
            quantize: "nf4".into(),
            native_quantize: Some("Q4_K_M".into()),
            num_examples: Some(100),
            setting: setting.into(),
            metrics: vec![Metric { name: name.into(), avg: 0.25, std: Some(0.01) }],
            ..Quality::default()
        };
        let found = quality(&scores(&[one(DISTANCE, "kld_mean", "from F16"), one("gsm8k", "accuracy", "")], &[]));
        assert_eq!(found.len(), 2);
        for table in &found {
            let width = table["header"].as_array().unwrap().len();
            assert!(
                table["rows"].as_array().unwrap().iter().all(|row| row.as_array().unwrap().len() == width),
                "{table}"
            );
            assert_eq!(table["rows"][0][0], "llamacpp nf4 (Q4_K_M)");
        }
        assert_eq!(
            (found[0]["setting"].as_str(), found[0]["rows"][0][3]["text"].as_str()),
            (Some("from F16"), Some("0.250"))
        );
        assert!(quality(&[]).is_empty());
    }
}
