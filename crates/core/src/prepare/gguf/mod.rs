//! GGUF files: read their header with every claim checked, and write them in one pass.
//!
//! Knows the container only: what the keys mean to a model is `convert`'s business, and how
//! weights are quantized is llama.cpp's. The format is described in ggml's `docs/gguf.md`.

mod cursor;
mod error;
mod file_type;
mod read;
mod stats;
mod types;
mod value;
mod write;

#[cfg(test)]
mod tests;

pub use error::{Error, Result};
pub use file_type::{FILE_TYPES, FileType, file_type_id, file_type_name};
pub use read::{Gguf, TensorInfo};
pub use stats::TypeShare;
pub use types::{GgmlType, TYPES};
pub use value::{Array, Metadata, Value};
pub use write::{GgufWriter, TensorSpec, Written};

/// The four bytes every GGUF file starts with.
pub const MAGIC: [u8; 4] = *b"GGUF";
/// The version that [`GgufWriter`] writes; [`Gguf`] reads 2 and 3.
pub const VERSION: u32 = 3;
/// Alignment of tensor data when `general.alignment` does not say otherwise, in bytes.
pub const DEFAULT_ALIGNMENT: u64 = 32;

/// `at` rounded up to a multiple of `alignment` (not 0); `None` when that overflows.
fn align_up(at: u64, alignment: u64) -> Option<u64> {
    at.div_ceil(alignment).checked_mul(alignment)
}
