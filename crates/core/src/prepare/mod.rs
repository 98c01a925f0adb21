//! Step 1: a checkpoint as the user names it -> what each engine loads, in the models folder, with a manifest.
//!
//! `source` finds the checkpoint (hub, folder, GGUF file, synthetic), `identity` knows its bytes, `convert` and the
//! engine's own quantizer make the engine's file (`compiled`: the engine's tools make weights and a library), `store`
//! keeps results by content so that nothing is made twice and nothing unfinished looks finished.

mod compiled;
mod conversion;
pub mod convert;
pub mod gguf;
pub mod hub;
mod identity;
mod manifest;
mod pace;
mod quantize;
mod source;
mod store;
pub mod synthetic;

pub use manifest::{Manifest, SourceFile, SourceInfo};
pub use pace::Pace;
pub use quantize::base_of;
pub use source::{Source, is_to_be_made, resolve};
pub use store::Store;

use crate::engine::{Discovery, Engine, Failed, ModelFormat};
use crate::plan::ModelRef;
use crate::progress::Progress;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Why a model could not be prepared.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// From the hub.
    #[error(transparent)]
    Hub(#[from] hub::Error),
    /// While converting.
    #[error(transparent)]
    Convert(#[from] convert::Error),
    /// A GGUF file.
    #[error(transparent)]
    Gguf(#[from] gguf::Error),
    /// A synthetic checkpoint.
    #[error(transparent)]
    Synthetic(#[from] synthetic::Error),
    /// Too little space.
    #[error(transparent)]
    Disk(#[from] crate::disk::Error),
    /// The engine's own tool failed.
    #[error("{engine} could not {doing}: {failed}")]
    Engine {
        /// The engine.
        engine: String,
        /// What was being done.
        doing: String,
        /// What happened.
        failed: Failed,
    },
    /// A file or folder.
    #[error("cannot {doing} {path}: {source}")]
    Io {
        /// What was being done.
        doing: &'static str,
        /// With what.
        path: PathBuf,
        /// Why it failed.
        source: std::io::Error,
    },
    /// What was asked makes no sense for this model.
    #[error("{0}")]
    Refused(String),
}

/// The result of preparing.
pub type Result<T> = std::result::Result<T, Error>;

/// What to prepare.
#[derive(Debug)]
pub struct Request<'a> {
    /// For which engine.
    pub engine: &'static Engine,
    /// The model.
    pub model: &'a ModelRef,
    /// The native quantization.
    pub native: &'a str,
    /// Whether the user asked for the engine's `default`: a GGUF file is then taken as it is.
    pub as_it_is: bool,
    /// How to start the engine's worker, for quantizers that live in it.
    pub worker: Option<&'a Discovery>,
    /// A llama.cpp converter script to use instead of ours.
    pub converter: Option<&'a Path>,
    /// Threads for the work.
    pub threads: u32,
    /// What the model is prepared for, where that matters.
    pub target: Target<'a>,
}

/// What a library is compiled for; engines that compile nothing do not look at it.
#[derive(Debug, Clone, Copy)]
pub struct Target<'a> {
    /// Device by the engine's name; `None` is the engine's choice.
    pub device: Option<&'a str>,
    /// Tokens that the context must hold.
    pub ctx_tokens: u32,
    /// The largest number of prompt tokens computed at once; `None` is the engine's default.
    pub ubatch: Option<u32>,
    /// Engine-specific settings by name.
    pub options: &'a BTreeMap<String, String>,
}

/// A model that is ready for an engine.
#[derive(Debug, Clone)]
pub struct Prepared {
    /// What the engine's worker is told to load.
    pub path: PathBuf,
    /// What it is.
    pub manifest: Manifest,
    /// Whether it was there already.
    pub reused: bool,
}

/// Prepares one model for one engine and quantization; what is there already is reused.
///
/// # Errors
/// See [`Error`]. Nothing half-made is left under its final name.
pub fn prepare(store: &Store, request: &Request<'_>, progress: &dyn Progress) -> Result<Prepared> {
    if request.engine.format == ModelFormat::Nothing {
        return Ok(Prepared {
            path: PathBuf::from(request.native),
            manifest: Manifest::of_nothing(request),
            reused: true,
        });
    }
    let found = source::find(store, request.model, progress)?;
    let (source, format) = (&found.source, request.engine.format);
    if source.is_converted && format != ModelFormat::Compiled && !source.path.join("config.json").is_file() {
        return Err(Error::Refused(format!(
            "{} holds weights that were converted for MLC-LLM: only --engine mlc_llm takes them",
            source.path.display()
        )));
    }
    match format {
        ModelFormat::Compiled => compiled::prepare(store, &found.identified(progress)?, request, progress),
        ModelFormat::Gguf => quantize::gguf(store, found, request, progress),
        ModelFormat::Checkpoint => quantize::checkpoint(&found.identified(progress)?, request),
        ModelFormat::Nothing => unreachable!("returned above"),
    }
}

/// Shorthand for an [`Error::Io`].
fn io_error(doing: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> Error {
    let path = path.to_owned();
    move |source| Error::Io { doing, path, source }
}
