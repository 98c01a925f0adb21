//! Figures for people: rounded text beside the raw value, so that the template never has to format.

use crate::analyze::Estimate;
use serde_json::{Value, json};

/// A figure with as many decimals as its size deserves.
pub fn number(value: f64) -> String {
    format!("{value:.*}", decimals(value))
}

/// `51.90–52.80`, with the decimals of the mean that it belongs to.
pub fn interval(mean: f64, (low, high): (f64, f64)) -> String {
    let n = decimals(mean);
    format!("{low:.n$}–{high:.n$}")
}

fn decimals(value: f64) -> usize {
    match value.abs() {
        v if v >= 1000.0 => 0,
        v if v >= 100.0 => 1,
        v if v >= 1.0 => 2,
        v if v >= 0.1 => 3,
        0.0 => 0,
        _ => 4,
    }
}

/// An estimate as the template reads it, its unit multiplied by `factor`; null where there is none.
pub fn estimate(estimate: Option<&Estimate>, factor: f64) -> Value {
    let Some(e) = estimate else { return Value::Null };
    let mean = e.mean * factor;
    let ci = e.ci.map(|(low, high)| (low * factor, high * factor));
    json!({
        "text": number(mean),
        "interval": ci.map(|ci| interval(mean, ci)),
        "mean": mean,
        "low": ci.map(|ci| ci.0),
        "high": ci.map(|ci| ci.1),
        "median": e.median * factor,
        "std_dev": e.std_dev.map(|s| s * factor),
        "min": e.min * factor,
        "max": e.max * factor,
        "n": e.n,
        "launches": e.launches,
    })
}

/// A single value with its text; null where there is none.
pub fn value(value: Option<f64>) -> Value {
    value.map_or(Value::Null, |value| json!({"text": number(value), "interval": null, "mean": value}))
}

/// Bytes in GB (10^9); null where they are not known.
pub fn gigabytes(bytes: Option<u64>) -> Value {
    bytes.map_or(Value::Null, |bytes| {
        let gb = bytes as f64 / 1e9;
        json!({"text": number(gb), "interval": null, "mean": gb, "bytes": bytes})
    })
}

/// `52.34 tokens/s (95% interval 51.90–52.80)`.
pub fn in_words(e: &Estimate, unit: &str) -> String {
    let interval = e.ci.map(|ci| format!(" (95% interval {})", interval(e.mean, ci))).unwrap_or_default();
    format!("{} {unit}{interval}", number(e.mean))
}

/// `1 launch`, `2 launches`.
pub fn count(n: usize, one: &str, many: &str) -> String {
    format!("{n} {}", if n == 1 { one } else { many })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decimals_follow_the_size() {
        let texts = [12_345.6, 123.456, 52.34, 0.1234, 0.01234, 0.0].map(number);
        assert_eq!(texts, ["12346", "123.5", "52.34", "0.123", "0.0123", "0"]);
        assert_eq!(interval(100.2, (99.123, 101.0)), "99.1–101.0");
    }

    #[test]
    fn a_missing_estimate_is_null_and_a_unit_can_change() {
        assert_eq!(estimate(None, 1.0), Value::Null);
        let e = Estimate::new(&[vec![1000.0, 3000.0]], "x").unwrap();
        let shown = estimate(Some(&e), 1e-3);
        assert_eq!(
            (shown["text"].as_str(), shown["mean"].as_f64(), shown["n"].as_u64()),
            (Some("2.00"), Some(2.0), Some(2))
        );
        let single = Estimate::new(&[vec![5.0]], "x").unwrap();
        assert_eq!(estimate(Some(&single), 1.0)["interval"], Value::Null);
    }
}
