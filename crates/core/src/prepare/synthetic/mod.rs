//! Makes checkpoints of random weights in the geometry of Llama 3 models, as a Hugging Face folder: something to
//! measure that needs no download and no licence. Converting and quantizing them, caching and manifests are left to
//! the rest of `prepare`.
//!
//! - `geometry`: which shapes there are;
//! - `weights`: the random values and their scales;
//! - `shards`: safetensors files;
//! - `tokenizer` and `bpe`: a byte-level BPE trained on the text in `data/prose.txt`;
//! - `files`: `config.json` and its companions.
//!
//! Every byte depends on geometry and seed alone, not on the machine, the number of threads or the order of a hash
//! map. To change a byte is to make another checkpoint: raise [`VERSION`] with it.

mod bpe;
mod files;
mod geometry;
mod shards;
mod tokenizer;
mod weights;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::thread;

use serde_json::Value;

pub use geometry::{GEOMETRIES, Geometry, RMS_EPS, ROPE_THETA, RopeScaling};

use crate::progress::{Progress, Unit};
use shards::Job;

/// Which bytes a geometry and a seed give; part of what names a checkpoint.
pub const VERSION: u32 = 1;

/// Room for the small files when the disk is asked, in bytes; the largest, `tokenizer.json`, has less than 1 MB.
const SMALL_FILES: u64 = 4_000_000;

/// Why a synthetic checkpoint could not be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// There is no geometry of that name.
    #[error("there is no synthetic model named {name:?}; the names are {known}, as in synthetic:tiny")]
    UnknownGeometry {
        /// What was asked for.
        name: String,
        /// The names there are, with commas.
        known: String,
    },
    /// The tokenizers crate refused what it was given.
    #[error("making the tokenizer of a synthetic model failed: {why}; this is an error in Tokometer, please report it")]
    Tokenizer {
        /// What the crate said.
        why: Box<dyn std::error::Error + Send + Sync>,
    },
    /// A file could not be written.
    #[error("{doing} {path}: {why}; check the disk and the permissions, or choose another place with --dir")]
    Io {
        /// What was being done, as in "writing".
        doing: &'static str,
        /// To which file or folder.
        path: PathBuf,
        /// What the system said.
        why: io::Error,
    },
    /// Not enough disk space.
    #[error(transparent)]
    Disk(#[from] crate::disk::Error),
}

/// What this module returns.
pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    /// For `map_err` on the file system's errors.
    fn io(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self + use<> {
        let path = path.to_path_buf();
        move |why| Self::Io { doing, path, why }
    }
}

/// What was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Written {
    /// Bytes of all files together.
    pub bytes: u64,
    /// Parameters; a tied embedding counts once.
    pub n_params: u64,
}

/// Writes a checkpoint of random bfloat16 weights into `folder`, which is made where it is missing and should
/// otherwise be empty: files of the same names are replaced, others stay. `config.json` comes last, so a folder
/// without it is an interrupted one; files under way end in `.part`. Nothing is forced to the disk (fsync).
///
/// # Errors
/// [`Error::Disk`] before anything is written when the space is not there; [`Error::Io`] when the folder or a file
/// cannot be written.
pub fn generate(geometry: &Geometry, seed: u64, folder: &Path, progress: &dyn Progress) -> Result<Written> {
    let cores = thread::available_parallelism().map_or(2, |n| n.get());
    // The memory of more than eight threads would not be faster filled, and disks are slower still.
    generate_with(geometry, seed, folder, progress, cores.clamp(2, 8))
}

/// As [`generate`], with a number of threads.
fn generate_with(
    geometry: &Geometry,
    seed: u64,
    folder: &Path,
    progress: &dyn Progress,
    threads: usize,
) -> Result<Written> {
    let tokenizer = tokenizer::build(geometry.vocab)?;
    let n_params = geometry.n_params();
    let values = n_params * 2;
    crate::disk::require(folder, values + SMALL_FILES)?;
    fs::create_dir_all(folder).map_err(Error::io("making the folder", folder))?;

    let shards = shards::plan(geometry.tensors(), shards::LIMIT);
    let task = Mutex::new(progress.task(
        &format!("random weights for synthetic:{}", geometry.name),
        Some(values),
        Unit::Bytes,
    ));
    let job = Job { geometry, seed, used_rows: tokenizer.learnt, threads };
    let mut bytes = 0;
    for shard in &shards {
        bytes += shard.write(folder, &job, &task)?;
    }
    let texts = [
        ("model.safetensors.index.json", pretty(&shards::index(&shards))),
        ("tokenizer.json", tokenizer.json()?),
        ("tokenizer_config.json", pretty(&files::tokenizer_config(geometry, &tokenizer))),
        ("special_tokens_map.json", pretty(&files::special_tokens_map())),
        ("generation_config.json", pretty(&files::generation_config(&tokenizer))),
        ("README.md", files::readme(geometry, seed)),
        ("config.json", pretty(&files::config(geometry, &tokenizer))),
    ];
    for (name, text) in &texts {
        bytes += write_text(folder, name, text)?;
    }
    let task = task.into_inner().unwrap_or_else(PoisonError::into_inner);
    task.finish(&format!("{n_params} parameters in {} file{}", shards.len(), if shards.len() == 1 { "" } else { "s" }));
    Ok(Written { bytes, n_params })
}

/// JSON as people like to read it, with a newline at the end.
fn pretty(value: &Value) -> String {
    format!("{value:#}\n")
}

/// Writes a small file under another name, then gives it its own. Returns its size in bytes.
fn write_text(folder: &Path, name: &str, text: &str) -> Result<u64> {
    let (path, part) = (folder.join(name), folder.join(format!("{name}.part")));
    fs::write(&part, text).map_err(Error::io("writing", &part))?;
    fs::rename(&part, &path).map_err(Error::io("renaming to its final name", &part))?;
    Ok(text.len() as u64)
}

#[cfg(test)]
mod tests;
