//! Why a checkpoint could not be converted.

use std::io;
use std::path::PathBuf;

use crate::prepare::gguf;

/// What the conversion returns.
pub type Result<T> = std::result::Result<T, Error>;

/// Why a checkpoint could not be converted, and what to do about it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file could not be opened, read or mapped.
    #[error("cannot read {path}: {why}; check that the folder is a complete Hugging Face checkpoint and readable")]
    Read {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        why: io::Error,
    },
    /// The output could not be created or moved into place.
    #[error("cannot write {path}: {why}; check the free space and the permissions of its folder")]
    Write {
        /// The file.
        path: PathBuf,
        /// What the system said.
        why: io::Error,
    },
    /// A JSON file is none.
    #[error("{path} is not valid JSON: {why}; download it again")]
    Json {
        /// The file.
        path: PathBuf,
        /// Where and why.
        why: serde_json::Error,
    },
    /// A file says something that cannot be.
    #[error("{path}: {what}; correct the file or download it again")]
    Invalid {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        what: String,
    },
    /// The folder has no file of the kind that is needed.
    #[error("{folder}: {what}")]
    Missing {
        /// The folder.
        folder: PathBuf,
        /// What is missing and how to get it.
        what: String,
    },
    /// An architecture that is not converted natively.
    #[error("{path}: the architecture {found} is not converted natively (supported: {supported}); {}", WAY_OUT)]
    Architecture {
        /// The configuration.
        path: PathBuf,
        /// What it names.
        found: String,
        /// What could be converted.
        supported: String,
    },
    /// A supported architecture with a feature that is not.
    #[error("{path}: {what}; {}", WAY_OUT)]
    Unsupported {
        /// The file.
        path: PathBuf,
        /// The feature.
        what: String,
    },
    /// A safetensors file is damaged or lies.
    #[error(
        "{path} is not a usable safetensors file: {why}; it is cut or damaged, download it again and compare its size and sha256"
    )]
    Safetensors {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// A tensor does not fit the configuration.
    #[error(
        "{file}: the tensor {tensor} {what}; check that config.json and the weights belong together, or {}",
        WAY_OUT
    )]
    Tensor {
        /// Where the tensor is, or should be.
        file: PathBuf,
        /// Its name.
        tensor: String,
        /// What is wrong with it.
        what: String,
    },
    /// llama.cpp needs a name for the way text is split before BPE, and this one has none.
    #[error(
        "{path}: its pre-tokenizer (fingerprint {fingerprint}) is not one that llama.cpp knows by name; {}",
        WAY_OUT
    )]
    PreTokenizer {
        /// The tokenizer.
        path: PathBuf,
        /// SHA-256 that identifies the tokenizer in llama.cpp's converter.
        fingerprint: String,
    },
    /// The output could not be written as GGUF.
    #[error(transparent)]
    Gguf(#[from] gguf::Error),
}

/// The two roads that are always open.
const WAY_OUT: &str = "use a ready .gguf file, or `--converter PATH` to run llama.cpp's convert_hf_to_gguf.py";
