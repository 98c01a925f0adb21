//! Single wishes: what is asked, what was found, and whether that is enough.

use super::{Estimate, Group, Score, Unscored};
use serde::Serialize;

/// A wish and what a case has to say to it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Condition {
    /// What is wished, in words.
    pub wish: String,
    /// What was found; why it is not known.
    pub found: String,
    /// Whether it is met; `None`: not known.
    pub met: Option<bool>,
}

/// The memory that a case needed where it computes, bytes: of the device, or resident memory on a processor.
pub(crate) fn peak_memory(group: &Group) -> Option<u64> {
    match group.key.device.to_ascii_uppercase().starts_with("CPU") {
        true => group.peak_rss_bytes,
        false => group.peak_device_bytes,
    }
}

/// Three digits or so.
pub(super) fn figure(value: f64) -> String {
    match value.abs() {
        v if v >= 100.0 => format!("{value:.0}"),
        v if v >= 1.0 => format!("{value:.2}"),
        v if v >= 0.001 || v == 0.0 => format!("{value:.4}"),
        _ => format!("{value:.1e}"),
    }
}

/// Decode speed, tokens/s, at least: by the lower end of its interval.
pub(super) fn speed(speed: &Estimate, least: f64) -> Condition {
    let wish = format!("decode at least {least} tokens/s");
    match speed.ci {
        Some((low, high)) => Condition {
            wish,
            found: format!("{:.2} tokens/s, 95% interval {low:.2} to {high:.2}", speed.mean),
            met: Some(low >= least),
        },
        None => Condition { wish, found: format!("{:.2} tokens/s, a single sample", speed.mean), met: None },
    }
}

/// Peak memory, bytes, at most.
pub(super) fn memory(group: &Group, most: u64) -> Condition {
    let gb = |bytes: u64| format!("{:.3} GB", bytes as f64 / 1e9);
    let wish = format!("memory at most {}", gb(most));
    match peak_memory(group) {
        Some(peak) => Condition { wish, found: format!("{} at its peak", gb(peak)), met: Some(peak <= most) },
        None => Condition { wish, found: "not measured".to_owned(), met: None },
    }
}

/// Mean divergence, nats per token, at most: by the upper end of its interval. Without a score `unscored` says why there
/// can be none.
pub(super) fn divergence(score: Option<&Score>, unscored: Option<&Unscored>, most: f64) -> Condition {
    let wish = format!("divergence at most {most} nats per token");
    let Some(score) = score else {
        let found = unscored.map_or_else(|| "not measured".to_owned(), |unscored| unscored.reason.clone());
        return Condition { wish, found, met: None };
    };
    match score.interval {
        Some((low, high)) => Condition {
            wish,
            found: format!("{}, 95% interval {} to {}", figure(score.value), figure(low.max(0.0)), figure(high)),
            met: Some(high <= most),
        },
        None => Condition { wish, found: format!("{}, from too few positions", figure(score.value)), met: None },
    }
}

/// Accuracy on a task, a share, at least: by the lower end of its interval.
pub(super) fn accuracy(score: Option<&Score>, task: Option<&str>, least: f64) -> Condition {
    let wish = format!("accuracy at least {:.1}% on {}", least * 100.0, task.unwrap_or("a task"));
    let Some(score) = score else { return Condition { wish, found: "not measured".to_owned(), met: None } };
    let percent = |share: f64| format!("{:.1}%", share * 100.0);
    match score.interval {
        Some((low, high)) => Condition {
            wish,
            found: format!("{}, 95% interval {} to {}", percent(score.value), percent(low), percent(high)),
            met: Some(low >= least),
        },
        None => Condition { wish, found: format!("{}, of unknown precision", percent(score.value)), met: None },
    }
}
