//! llama.cpp's own quantizer: a GGUF file in, a GGUF file out.

use super::{Result, failure, log};
use llama_cpp_sys_2 as sys;
use std::ffi::CString;
use tokometer_protocol::FailureKind;

/// The quantizations that the library can write without an importance matrix, by their usual names
/// (enum `llama_ftype` of llama.h).
pub const QUANTIZATIONS: &[(&str, sys::llama_ftype)] = &[
    ("F32", sys::LLAMA_FTYPE_ALL_F32),
    ("F16", sys::LLAMA_FTYPE_MOSTLY_F16),
    ("BF16", sys::LLAMA_FTYPE_MOSTLY_BF16),
    ("Q8_0", sys::LLAMA_FTYPE_MOSTLY_Q8_0),
    ("Q6_K", sys::LLAMA_FTYPE_MOSTLY_Q6_K),
    ("Q5_K_M", sys::LLAMA_FTYPE_MOSTLY_Q5_K_M),
    ("Q5_K_S", sys::LLAMA_FTYPE_MOSTLY_Q5_K_S),
    ("Q5_1", sys::LLAMA_FTYPE_MOSTLY_Q5_1),
    ("Q5_0", sys::LLAMA_FTYPE_MOSTLY_Q5_0),
    ("Q4_K_M", sys::LLAMA_FTYPE_MOSTLY_Q4_K_M),
    ("Q4_K_S", sys::LLAMA_FTYPE_MOSTLY_Q4_K_S),
    ("Q4_1", sys::LLAMA_FTYPE_MOSTLY_Q4_1),
    ("Q4_0", sys::LLAMA_FTYPE_MOSTLY_Q4_0),
    ("IQ4_NL", sys::LLAMA_FTYPE_MOSTLY_IQ4_NL),
    ("IQ4_XS", sys::LLAMA_FTYPE_MOSTLY_IQ4_XS),
    ("Q3_K_L", sys::LLAMA_FTYPE_MOSTLY_Q3_K_L),
    ("Q3_K_M", sys::LLAMA_FTYPE_MOSTLY_Q3_K_M),
    ("Q3_K_S", sys::LLAMA_FTYPE_MOSTLY_Q3_K_S),
    ("IQ3_M", sys::LLAMA_FTYPE_MOSTLY_IQ3_M),
    ("IQ3_S", sys::LLAMA_FTYPE_MOSTLY_IQ3_S),
    ("Q2_K", sys::LLAMA_FTYPE_MOSTLY_Q2_K),
    ("TQ2_0", sys::LLAMA_FTYPE_MOSTLY_TQ2_0),
    ("TQ1_0", sys::LLAMA_FTYPE_MOSTLY_TQ1_0),
];

/// Quantizes `input` into `output` as `native` says (an entry of [`QUANTIZATIONS`], any case); `tell` hears at which tensor of how
/// many it is.
pub fn quantize(input: &str, output: &str, native: &str, threads: u32, mut tell: impl FnMut(u64, u64)) -> Result<()> {
    let Some((_, ftype)) = QUANTIZATIONS.iter().find(|(name, _)| name.eq_ignore_ascii_case(native)) else {
        let names: Vec<_> = QUANTIZATIONS.iter().map(|(name, _)| *name).collect();
        return Err(failure(
            FailureKind::Unsupported,
            format!("llama.cpp has no quantization {native:?}; it has {}", names.join(", ")),
        ));
    };
    let path = |p: &str| CString::new(p).map_err(|_| failure(FailureKind::Model, "the path holds a NUL byte"));
    let (c_input, c_output) = (path(input)?, path(output)?);
    let tensors = log::tensors();
    let status = std::thread::scope(|scope| {
        let call = scope.spawn(|| {
            // SAFETY: paths and parameters live during the call.
            let status = unsafe {
                let mut params = sys::llama_model_quantize_default_params();
                params.nthread = threads as i32;
                params.ftype = *ftype;
                sys::llama_model_quantize(c_input.as_ptr(), c_output.as_ptr(), &params)
            };
            log::no_more_tensors();
            status
        });
        tensors.iter().for_each(|(at, total)| tell(at, total));
        call.join()
    });
    if !matches!(status, Ok(0)) {
        return Err(failure(FailureKind::Model, format!("llama.cpp could not quantize {input} to {native}")));
    }
    Ok(())
}
