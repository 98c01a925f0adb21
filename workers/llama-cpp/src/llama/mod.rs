//! The thin layer over llama.cpp's C API: ownership, strings and error texts, no policy.

mod backend;
mod batch;
mod context;
mod log;
mod model;
mod pieces;
mod quantize;
mod sampler;

pub use backend::{build_info, devices, init, version};
pub use batch::Batch;
pub use context::{Context, ContextSettings};
pub use model::Model;
pub use pieces::Pieces;
pub use quantize::{QUANTIZATIONS, quantize};
pub use sampler::Sampler;

use tokometer_protocol::{Failure, FailureKind};

/// The result of anything that llama.cpp can refuse.
pub type Result<T> = std::result::Result<T, Failure>;

/// A failure of `kind`, with what llama.cpp last complained about.
pub fn failure(kind: FailureKind, message: impl Into<String>) -> Failure {
    let mut message = message.into();
    if let Some(said) = log::last_error() {
        message.push_str(": ");
        message.push_str(&said);
    }
    let out_of_memory = ["failed to allocate", "out of memory", "unable to allocate"];
    let kind = if out_of_memory.iter().any(|w| message.contains(w)) { FailureKind::OutOfMemory } else { kind };
    Failure { kind, message }
}

/// Copies a C string; null is empty.
///
/// # Safety
/// `text` is null or points to a NUL-terminated string that lives during the call.
unsafe fn text(text: *const std::ffi::c_char) -> String {
    if text.is_null() {
        return String::new();
    }
    // SAFETY: the caller's promise.
    unsafe { std::ffi::CStr::from_ptr(text) }.to_string_lossy().into_owned()
}
