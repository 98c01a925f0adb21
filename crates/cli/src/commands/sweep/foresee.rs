//! What the cases will take: memory and time, as far as that can be told before they are measured.

use std::collections::HashMap;
use tokometer_core::plan::ModelRef;
use tokometer_core::plan::sweep::{Block, Planned};
use tokometer_core::sweep::estimate::{self, Calibration};
use tokometer_core::sweep::fit::{self, Footprint, Shape};
use tokometer_core::sweep::{State, Stored};

/// Shapes of the models and the estimates that follow from them.
pub struct Foresight {
    shapes: HashMap<String, Shape>,
    /// Seconds of each case by hash, before correction.
    seconds: HashMap<String, f64>,
}

impl Foresight {
    /// Of all cases in the plan.
    pub fn new(stored: &Stored) -> Foresight {
        let mut foresight = Foresight { shapes: HashMap::new(), seconds: HashMap::new() };
        let mut unknown: Vec<&str> = Vec::new();
        for planned in stored.blocks.iter().flat_map(|block| &block.cases) {
            let name = planned.case.model.as_str();
            if !foresight.shapes.contains_key(name) && !unknown.contains(&name) {
                match name.parse::<ModelRef>().ok().and_then(|model| fit::shape(&model)) {
                    Some(shape) => drop(foresight.shapes.insert(name.to_owned(), shape)),
                    None => unknown.push(name),
                }
            }
            if let (Some(shape), Some(memory)) = (foresight.shapes.get(name), foresight.memory(planned, None)) {
                let seconds = estimate::seconds(&planned.case, shape, &memory, &stored.schedule, &stored.ends);
                foresight.seconds.insert(planned.hash.clone(), seconds);
            }
        }
        foresight
    }

    /// Memory of a case; `weights` are the bytes of its prepared model, which is all that is known of some.
    pub fn memory(&self, planned: &Planned, weights: Option<u64>) -> Option<Footprint> {
        if planned.refused.is_some() {
            return None;
        }
        match self.shapes.get(&planned.case.model) {
            Some(shape) => Some(fit::footprint(&planned.case, shape, weights)),
            None => weights.map(fit::at_least),
        }
    }

    /// Bytes of a model's weights with 16 bits for each, where its shape is known.
    pub fn half_precision(&self, model: &str) -> Option<u64> {
        Some(self.shapes.get(model)?.params.saturating_mul(2))
    }

    /// Seconds of a case, corrected by what was measured.
    pub fn seconds(&self, planned: &Planned, calibration: &Calibration) -> Option<f64> {
        let raw = self.seconds.get(&planned.hash).filter(|_| planned.refused.is_none())?;
        Some(calibration.correct(&planned.case.engine, *raw))
    }

    /// What the cases that are done teach.
    pub fn calibration(&self, stored: &Stored, state: &State) -> Calibration {
        let mut calibration = Calibration::default();
        for planned in stored.blocks.iter().flat_map(|block| &block.cases) {
            let measured = state.of(&planned.hash).and_then(|standing| standing.seconds);
            if let (Some(raw), Some(measured)) = (self.seconds.get(&planned.hash), measured) {
                calibration.learn(&planned.case.engine, *raw, measured);
            }
        }
        calibration
    }

    /// Seconds that the open cases of these blocks will take together; `None` if nothing is known of any.
    pub fn left<'b>(
        &self,
        blocks: impl IntoIterator<Item = &'b Block>,
        state: &State,
        calibration: &Calibration,
    ) -> Option<f64> {
        let open =
            blocks.into_iter().flat_map(|block| &block.cases).filter(|planned| state.of(&planned.hash).is_none());
        let seconds: Vec<f64> = open.filter_map(|planned| self.seconds(planned, calibration)).collect();
        (!seconds.is_empty()).then(|| seconds.iter().sum())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokometer_core::plan::{Case, Settings, Workload};

    #[test]
    fn a_model_of_unknown_shape_needs_at_least_its_weights() {
        let case = Case {
            engine: "llamacpp".into(),
            model: "hf:nobody/has-this".into(),
            quantize: "nf4".into(),
            native: "Q4_K_M".into(),
            workload: Workload::default(),
            settings: Settings::default(),
            seed: 42,
        };
        let planned = Planned { hash: case.hash(), case, refused: None };
        let foresight = Foresight { shapes: HashMap::new(), seconds: HashMap::new() };
        assert_eq!(foresight.memory(&planned, None), None);
        let need = foresight.memory(&planned, Some(40_000_000_000)).unwrap();
        assert!((need.weights, need.kv) == (40_000_000_000, 0) && need.total() > need.weights);
    }
}
