//! How long cases will take: from the bytes and operations that they need, corrected by how long the cases that are done
//! really took. A first guess may be off by a factor of several; it is a guess, and is called `about`.

use super::fit::{Footprint, Shape};
use crate::plan::{Case, Ends, Schedule};
use std::collections::BTreeMap;

/// Bytes/s that decoding is taken to read before anything was measured.
const BANDWIDTH: f64 = 10e9;
/// Operations/s and thread that prefill is taken to do.
const PER_THREAD: f64 = 30e9;
/// Bytes/s that loading is taken to read.
const LOADING: f64 = 500e6;
/// Seconds that starting an engine takes.
const START: f64 = 2.0;
/// Rounds that `--until` is taken to need.
const UNTIL: u32 = 13;
/// Tokens of a warm-up pass.
const WARMUP: f64 = 16.0;

/// Seconds that measuring a case is expected to take, before correction.
pub fn seconds(case: &Case, shape: &Shape, memory: &Footprint, schedule: &Schedule, ends: &Ends) -> f64 {
    let workload = &case.workload;
    let threads = f64::from(case.settings.threads.unwrap_or(1).max(1));
    let prefill = |tokens: f64| 2.0 * shape.params as f64 * tokens / (PER_THREAD * threads);
    let step = (memory.weights + memory.kv) as f64 / BANDWIDTH;
    let prompt = prefill(f64::from(workload.prompt_tokens) + f64::from(workload.depth));
    let pass = prompt + step * f64::from(workload.gen_tokens);
    let warmup = f64::from(schedule.warmup) * (prompt + step * WARMUP);
    let rounds = match ends {
        Ends { until: Some(_), rounds, .. } => rounds.unwrap_or(UNTIL),
        Ends { rounds, .. } => rounds.unwrap_or(schedule.launches),
    };
    let launches = f64::from(schedule.launches.min(rounds));
    launches * (START + memory.weights as f64 / LOADING + warmup) + f64::from(rounds * schedule.repetitions) * pass
}

/// Corrects estimates by what was measured.
#[derive(Debug, Clone, Default)]
pub struct Calibration {
    /// Measured / estimated, by engine.
    factors: BTreeMap<String, Vec<f64>>,
}

impl Calibration {
    /// A case of that engine took `measured` seconds where `estimated` were expected.
    pub fn learn(&mut self, engine: &str, estimated: f64, measured: f64) {
        if estimated > 0.0 && measured > 0.0 {
            self.factors.entry(engine.to_owned()).or_default().push(measured / estimated);
        }
    }

    /// The estimate, corrected: by the middle one of the engine's factors, of all factors, or not at all.
    pub fn correct(&self, engine: &str, estimated: f64) -> f64 {
        let own = self.factors.get(engine).cloned();
        let factors = own.unwrap_or_else(|| self.factors.values().flatten().copied().collect());
        estimated * middle(factors).unwrap_or(1.0)
    }

    /// Whether anything was learnt.
    pub fn knows_something(&self) -> bool {
        !self.factors.is_empty()
    }
}

fn middle(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_measured_corrects_what_is_expected() {
        let mut calibration = Calibration::default();
        assert_eq!(calibration.correct("a", 10.0), 10.0);
        for measured in [20.0, 30.0, 1000.0] {
            calibration.learn("a", 10.0, measured);
        }
        assert_eq!((calibration.correct("a", 10.0), calibration.correct("b", 1.0)), (30.0, 3.0));
        calibration.learn("b", 1.0, 0.5);
        assert_eq!(calibration.correct("b", 1.0), 0.5);
    }
}
