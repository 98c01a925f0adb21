//! Talk to an engine: which engines there are, where their workers lie, and the worker process itself.
//!
//! To add an engine: one file here that describes it, one line in [`ENGINES`], and its worker under `workers/`.
//! What is measured and when is the business of `run`.

mod child;
mod discover;
mod failure;
mod llamacpp;
mod mlc_llm;
mod mock;
mod output;
mod pipes;
mod process;
mod tinygrad;
mod user_python;

pub use discover::{Discovery, Overrides, find_worker, set_up_python};
pub use failure::{Failed, Kind};
pub use process::{Said, Timeouts, Worker};

use crate::nearest;

/// What the harness must know of an engine before it talks to it.
#[derive(Debug)]
pub struct Engine {
    /// As in `--engine`, file names and columns.
    pub name: &'static str,
    /// As its authors write it.
    pub title: &'static str,
    /// The form in which it takes a model.
    pub format: ModelFormat,
    /// The common quantization labels and the native names that they stand for. `a or b` is `a` on a GPU and `b` on a CPU:
    /// see [`on_device`].
    pub labels: &'static [(&'static str, &'static str)],
    /// Further native names that can be asked for.
    pub natives: &'static [&'static str],
    /// How its worker is started.
    pub program: Program,
    /// Whether it brings an HTTP server of its own through which it can be measured (`--via serve`).
    pub has_server: bool,
    /// Shown to nobody but tests: not part of "all engines".
    pub hidden: bool,
}

/// The form in which an engine takes a model.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ModelFormat {
    /// A GGUF file, quantized beforehand.
    Gguf,
    /// A Hugging Face folder or a GGUF file, quantized while loading.
    Checkpoint,
    /// Converted weights and a library compiled for the machine, both made by the engine's own tools.
    Compiled,
    /// No file at all.
    Nothing,
}

/// How a worker is started.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Program {
    /// A program of this name beside `tokometer`, or on PATH.
    Native(&'static str),
    /// `python -m MODULE` in the environment of this name that the set-up makes.
    Python {
        /// The module.
        module: &'static str,
        /// The environment.
        environment: &'static str,
    },
    /// `python -m MODULE` in an environment of the user's own, because no package index carries the engine.
    UserPython(UserPython),
}

/// An engine that the user installs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UserPython {
    /// The worker's module.
    pub module: &'static str,
    /// The worker's folder under `workers/`.
    pub folder: &'static str,
    /// The package by which the engine is known to be there.
    pub package: &'static str,
    /// A folder that the package must hold: others use its name.
    pub part: &'static str,
    /// The variable that names an interpreter.
    pub variable: &'static str,
    /// Where the engine says how it is installed.
    pub page: &'static str,
    /// How, by platform: `linux`, `linux-nvidia`, `linux-amd`, `macos`.
    pub install: &'static [(&'static str, &'static str)],
}

/// All engines, in the order in which tables show them.
pub const ENGINES: &[&Engine] = &[&llamacpp::ENGINE, &tinygrad::ENGINE, &mlc_llm::ENGINE, &mock::ENGINE];

/// The engine of that name.
///
/// # Errors
/// There is none; the text names the nearest.
pub fn by_name(name: &str) -> Result<&'static Engine, String> {
    ENGINES.iter().find(|engine| engine.name == name).copied().ok_or_else(|| {
        let known = visible().map(|engine| engine.name);
        format!("there is no engine {name:?}{}", nearest::hint(name, known))
    })
}

/// The engines that users see.
pub fn visible() -> impl Iterator<Item = &'static Engine> + Clone {
    ENGINES.iter().copied().filter(|engine| !engine.hidden)
}

/// The common labels, in the order of the seed workflow.
pub const LABELS: &[&str] = &["default", "float16", "int8", "nf4"];

/// The native quantization on a kind of device, where a label stands for two.
pub fn on_device(native: &str, is_cpu: bool) -> &str {
    match native.split_once(" or ") {
        Some((_, on_cpu)) if is_cpu => on_cpu,
        Some((on_gpu, _)) => on_gpu,
        None => native,
    }
}

impl Engine {
    /// The native quantization that a label or native name means for this engine.
    ///
    /// # Errors
    /// The engine does not offer it; the text names what it offers and what is nearest.
    pub fn native(&self, label: &str) -> Result<&'static str, String> {
        let by_label = self.labels.iter().find(|(name, _)| name.eq_ignore_ascii_case(label)).map(|(_, native)| *native);
        let by_native = || self.natives.iter().find(|native| native.eq_ignore_ascii_case(label)).copied();
        by_label.or_else(by_native).ok_or_else(|| {
            let known = self.labels.iter().map(|(name, _)| *name).chain(self.natives.iter().copied());
            format!("{} does not offer the quantization {label:?}{}", self.title, nearest::hint(label, known))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_engine_is_well_formed() {
        for engine in ENGINES {
            assert!(engine.name.chars().all(|c| c.is_ascii_lowercase() || c == '_'), "{}", engine.name);
            assert!(by_name(engine.name).is_ok());
            for (label, native) in engine.labels {
                assert_eq!(engine.native(label).unwrap(), *native);
                assert!(LABELS.contains(label), "{label}");
            }
            for native in engine.natives {
                assert_eq!(engine.native(&native.to_lowercase()).unwrap(), *native);
            }
        }
    }

    #[test]
    fn a_label_may_mean_another_format_on_each_kind_of_device() {
        let nf4 = by_name("mlc_llm").unwrap().native("nf4").unwrap();
        assert_eq!((on_device(nf4, false), on_device(nf4, true)), ("q4f16_1", "q4f32_1"));
        assert_eq!(on_device("q0f16", true), "q0f16");
        let error = by_name("mlc_llm").unwrap().native("int8").unwrap_err();
        assert!(error.starts_with("MLC-LLM does not offer the quantization \"int8\""), "{error}");
        for part in nf4.split(" or ") {
            assert_eq!(by_name("mlc_llm").unwrap().native(part).unwrap(), part);
        }
    }

    #[test]
    fn an_unknown_quantization_names_the_nearest() {
        let error = by_name("llamacpp").unwrap().native("Q4_KM").unwrap_err();
        assert!(error.contains("Q4_K_M"), "{error}");
    }
}
