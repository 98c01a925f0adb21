//! What to run: names and configuration -> cases, each with a content hash. Touches nothing but `tokometer.toml`.

mod case;
mod catalog;
mod config;
mod ends;
mod model;
mod slurm;
pub mod sweep;

pub use case::{Case, Schedule, Settings, Workload};
pub use catalog::{SIZES, checkpoint_for};
pub use config::{Config, Defaults, EngineConfig};
pub use ends::{Ends, budget, until};
pub use model::{ModelRef, size_label};
pub use slurm::SlurmOptions;

use std::path::PathBuf;

/// A plan that cannot be made. Every message says what to change.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A name that is not known, a number that makes no sense.
    #[error("{0}")]
    Invalid(String),
    /// The configuration file.
    #[error("{path}: {reason}")]
    Config {
        /// The file.
        path: PathBuf,
        /// Line, reason and way out.
        reason: String,
    },
}

/// The result of planning.
pub type Result<T> = std::result::Result<T, Error>;

/// Makes the cases of engines x quantizations for one model, in that order. A quantization that an engine does not
/// offer is returned beside them, with the reason, so that the rest can go on.
pub fn cases(
    engines: &[&'static crate::engine::Engine],
    model: &ModelRef,
    quantizations: &[String],
    workload: Workload,
    settings: &Settings,
    seed: u64,
) -> Result<(Vec<Case>, Vec<String>)> {
    workload.validate()?;
    let (mut cases, mut refused) = (Vec::new(), Vec::new());
    for engine in engines {
        for quantize in quantizations {
            match engine.native(quantize) {
                Ok(native) => cases.push(Case {
                    engine: engine.name.into(),
                    model: model.to_string(),
                    quantize: label(engine, quantize),
                    native: native.into(),
                    workload,
                    settings: settings.clone(),
                    seed,
                }),
                Err(reason) => refused.push(reason),
            }
        }
    }
    if cases.is_empty() {
        return Err(Error::Invalid(refused.join("; ")));
    }
    Ok((cases, refused))
}

/// The label as it is written in names: common labels in lower case, native names as the engine writes them.
fn label(engine: &crate::engine::Engine, asked: &str) -> String {
    let common = engine.labels.iter().map(|(label, _)| *label).find(|label| label.eq_ignore_ascii_case(asked));
    let native = || engine.natives.iter().copied().find(|native| native.eq_ignore_ascii_case(asked));
    common.or_else(native).unwrap_or(asked).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::by_name;

    #[test]
    fn an_engine_that_lacks_a_label_does_not_stop_the_others() {
        let engines = [by_name("llamacpp").unwrap(), by_name("mock").unwrap()];
        let model: ModelRef = "synthetic:tiny".parse().unwrap();
        let wanted = ["nf4".to_owned(), "q4_k_m".to_owned()];
        let (cases, refused) = cases(&engines, &model, &wanted, Workload::default(), &Settings::default(), 42).unwrap();
        let names: Vec<_> = cases.iter().map(|c| (c.engine.as_str(), c.quantize.as_str(), c.native.as_str())).collect();
        assert_eq!(names, [("llamacpp", "nf4", "Q4_K_M"), ("llamacpp", "Q4_K_M", "Q4_K_M"), ("mock", "nf4", "mock-4")]);
        assert_eq!(refused.len(), 1);
    }
}
