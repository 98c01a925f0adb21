//! The figures that cases are compared by: one entry each.

use super::{Estimate, Group, Repetition};

/// A figure of a case.
#[derive(Debug)]
pub struct Metric {
    /// Short name, as typed and printed.
    pub name: &'static str,
    /// Unit of the value.
    pub unit: &'static str,
    /// Whether it is a speed: more of it is faster. Else it is a time.
    pub speed: bool,
    /// The value of one repetition.
    pub of: fn(&Repetition) -> Option<f64>,
    /// The estimate of a group.
    pub estimate: fn(&Group) -> Option<&Estimate>,
}

/// Every figure that can be compared, the default ones first.
pub const METRICS: &[Metric] = &[
    Metric {
        name: "decode",
        unit: "tok/s",
        speed: true,
        of: |repetition| repetition.decode_tok_s,
        estimate: |group| group.decode.as_ref(),
    },
    Metric {
        name: "prefill",
        unit: "tok/s",
        speed: true,
        of: |repetition| repetition.prefill_tok_s,
        estimate: |group| group.prefill.as_ref(),
    },
    Metric {
        name: "ttft",
        unit: "ms",
        speed: false,
        of: |repetition| repetition.ttft_ms,
        estimate: |group| group.ttft.as_ref(),
    },
    Metric {
        name: "tpot",
        unit: "ms",
        speed: false,
        of: |repetition| repetition.tpot_ms,
        estimate: |group| group.tpot.as_ref(),
    },
    Metric {
        name: "e2e",
        unit: "ms",
        speed: false,
        of: |repetition| repetition.e2e_ms,
        estimate: |group| group.e2e.as_ref(),
    },
];

/// Decode speed.
pub const DECODE: &Metric = &METRICS[0];
/// Prefill speed.
pub const PREFILL: &Metric = &METRICS[1];

impl Metric {
    /// The metric of that name.
    ///
    /// # Errors
    /// There is none: the text names those that there are.
    pub fn named(name: &str) -> Result<&'static Metric, String> {
        METRICS.iter().find(|metric| metric.name == name).ok_or_else(|| {
            let known: Vec<&str> = METRICS.iter().map(|metric| metric.name).collect();
            format!("there is no metric `{name}`: there are {}", known.join(", "))
        })
    }

    /// The mean of values: of speeds work over time, of times the arithmetic one. `None` for none, or for a value that is
    /// not positive.
    pub(super) fn mean(&self, values: &[f64]) -> Option<f64> {
        if values.is_empty() || values.iter().any(|value| !(value.is_finite() && *value > 0.0)) {
            return None;
        }
        let n = values.len() as f64;
        Some(match self.speed {
            true => n / values.iter().map(|value| 1.0 / value).sum::<f64>(),
            false => values.iter().sum::<f64>() / n,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_found_and_others_refused() {
        for metric in METRICS {
            assert_eq!(Metric::named(metric.name).unwrap().name, metric.name);
        }
        assert_eq!((DECODE.name, PREFILL.name), ("decode", "prefill"));
        assert!(Metric::named("speed").unwrap_err().contains("decode"));
    }

    #[test]
    fn speeds_average_by_time() {
        assert!((DECODE.mean(&[10.0, 30.0]).unwrap() - 15.0).abs() < 1e-12);
        assert_eq!(METRICS[2].mean(&[10.0, 30.0]), Some(20.0));
        assert_eq!(DECODE.mean(&[]), None);
        assert_eq!(DECODE.mean(&[0.0]), None);
    }
}
