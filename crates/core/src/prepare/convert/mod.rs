//! A Hugging Face checkpoint into a GGUF file, natively: same tensors, same metadata and same order as
//! llama.cpp's `convert_hf_to_gguf.py` (the version in PyPI's `llama-cpp-python` 0.3.36, with
//! transformers 4.57), without Python, in memory bounded by the largest tensor.
//!
//! Covers dense Llama, Mistral, Qwen2 and Qwen3 models with float weights in safetensors. Everything else
//! gets an error that names the way out. Quantizing is llama.cpp's own job, done elsewhere; so is
//! the question of whether there is space on the disk ([`tensor_bytes`] helps to ask it).

mod arch;
mod cast;
mod checkpoint;
mod error;
mod files;
mod front_matter;
mod hf_tokenizer;
mod hparams;
mod metadata;
mod model_id;
mod parameters;
mod post_processor;
mod pretokenizer;
mod pretokenizer_table;
mod rope;
mod sentencepiece;
mod special;
mod spm_vocab;
mod stream;
mod tensors;
mod tokenizer;

#[cfg(test)]
mod reference;
#[cfg(test)]
mod tests;

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

pub use arch::{ARCHS, Arch, is_supported};
pub use error::{Error, Result};

use self::cast::{Stored, Target};
use self::checkpoint::Checkpoint;
use self::hparams::{Config, Geometry};
use self::stream::Reading;
use self::tensors::Job;
use crate::disk::Steady;
use crate::prepare::Pace;
use crate::prepare::gguf::{Metadata, Written};
use crate::progress::{Progress, Silent, Unit};

/// How weights are stored in the output. Vectors and norms are always 32-bit floats.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dtype {
    /// 16-bit IEEE floats.
    F16,
    /// The upper halves of 32-bit floats.
    Bf16,
    /// 32-bit floats.
    F32,
    /// The 16-bit type of the first matrix that has one, F16 where none has.
    Auto,
}

/// What to convert.
#[derive(Debug, Clone, Copy)]
pub struct Conversion<'a> {
    /// The checkpoint: `config.json`, `*.safetensors`, tokenizer.
    pub folder: &'a Path,
    /// The file to write. It appears under this name when it is complete, and not before.
    pub output: &'a Path,
    /// How weights are stored.
    pub dtype: Dtype,
    /// The model's name, if it should not be taken from the model card or the folder.
    pub name_hint: Option<&'a str>,
    /// Hears how many bytes of the checkpoint were read, for somebody else who reads them too.
    pub pace: Option<&'a Pace>,
}

/// What came out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Converted {
    /// Size of the file.
    pub bytes: u64,
    /// SHA-256 of the file, in lower-case hexadecimal digits.
    pub sha256: String,
    /// Elements of all tensors.
    pub n_params: u64,
    /// How many tensors there are.
    pub tensors: usize,
}

/// Converts a checkpoint. All of it is checked before the first byte is written; the file is not
/// flushed to the disk (`fsync`), which is for the caller to do where it matters.
///
/// # Errors
/// When the checkpoint is incomplete, damaged, contradicts itself or is of a kind that is not covered,
/// or when the output cannot be written. The partial output is removed then.
pub fn convert(conversion: &Conversion<'_>, progress: &dyn Progress) -> Result<Converted> {
    let plan = Plan::new(conversion.folder, conversion.dtype, progress)?;
    let metadata = plan.metadata(conversion, progress)?;
    let partial = partial_name(conversion.output);
    let written = plan.write(&metadata, &partial, conversion.pace, progress).and_then(|written| {
        let put = fs::rename(&partial, conversion.output);
        put.map(|()| written).map_err(|why| Error::Write { path: conversion.output.to_owned(), why })
    });
    if written.is_err() {
        // Best effort: the error that brought us here is the one to report.
        let _ = fs::remove_file(&partial);
    }
    let written = written?;
    Ok(Converted { bytes: written.bytes, sha256: written.sha256, n_params: plan.n_params(), tensors: plan.jobs.len() })
}

/// Bytes of tensor data that the conversion of a folder will write; the header (mostly the vocabulary)
/// comes on top, some megabytes. Checks everything but the tokenizer.
///
/// # Errors
/// As [`convert`].
pub fn tensor_bytes(folder: &Path, dtype: Dtype) -> Result<u64> {
    Ok(Plan::new(folder, dtype, &Silent)?.tensor_bytes())
}

/// Everything that is known before the first byte is written.
struct Plan {
    config: Config,
    geometry: Geometry,
    checkpoint: Checkpoint,
    target: Target,
    jobs: Vec<Job>,
}

impl Plan {
    fn new(folder: &Path, dtype: Dtype, progress: &dyn Progress) -> Result<Plan> {
        let config = Config::load(folder)?;
        let geometry = config.geometry()?;
        let checkpoint = Checkpoint::open(folder)?;
        let target = match dtype {
            Dtype::F16 => Target::F16,
            Dtype::Bf16 => Target::Bf16,
            Dtype::F32 => Target::F32,
            Dtype::Auto => guess(&checkpoint),
        };
        let jobs = tensors::plan(&config, &geometry, &checkpoint, target, progress)?;
        Ok(Plan { config, geometry, checkpoint, target, jobs })
    }

    fn n_params(&self) -> u64 {
        self.jobs.iter().filter_map(|job| job.spec.elements()).sum()
    }

    fn tensor_bytes(&self) -> u64 {
        self.jobs.iter().filter_map(|job| job.spec.bytes()).sum()
    }

    /// The header's keys, in order.
    fn metadata(&self, conversion: &Conversion<'_>, progress: &dyn Progress) -> Result<Metadata> {
        let mut out = Metadata::new();
        out.set("general.architecture", self.config.arch.gguf_name());
        metadata::describe(conversion.folder, &self.config.raw, conversion.name_hint, self.n_params(), &mut out)?;
        let file_type = match self.target {
            Target::F32 => 0,
            Target::F16 => 1,
            Target::Bf16 => 32,
        };
        parameters::describe(&self.config, &self.geometry, file_type, &mut out, progress)?;
        tokenizer::describe(conversion.folder, &self.config, &self.geometry, &mut out, progress)?;
        Ok(out)
    }

    fn write(&self, metadata: &Metadata, path: &Path, pace: Option<&Pace>, progress: &dyn Progress) -> Result<Written> {
        let file = Steady::create(path).map_err(|why| Error::Write { path: path.to_owned(), why })?;
        let task = progress.task("converting", Some(self.tensor_bytes()), Unit::Bytes);
        let reading = Reading { checkpoint: &self.checkpoint, pace };
        let written = stream::write(&self.jobs, reading, metadata, file, task.as_ref())?;
        task.finish(&format!("{} tensors as {}", self.jobs.len(), self.target.ggml()));
        Ok(written)
    }
}

/// The type that a checkpoint's matrices have.
fn guess(checkpoint: &Checkpoint) -> Target {
    let matrices = checkpoint.tensors.iter().filter(|t| t.shape.len() >= 2);
    let half = matrices.filter_map(|t| Stored::of(t.dtype)).find(|stored| matches!(stored, Stored::F16 | Stored::Bf16));
    if half == Some(Stored::Bf16) { Target::Bf16 } else { Target::F16 }
}

/// Where the output lies while it is being written: beside its final place, under a name that nobody
/// takes for a model.
fn partial_name(output: &Path) -> PathBuf {
    let mut name = output.file_name().map_or_else(OsString::new, OsString::from);
    name.push(".partial");
    output.with_file_name(name)
}
