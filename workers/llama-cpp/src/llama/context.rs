//! A context: KV cache, threads and the calls that compute.

use super::{Batch, Model, Result, Sampler, failure, log};
use llama_cpp_sys_2 as sys;
use std::ptr::NonNull;
use tokometer_protocol::FailureKind;

/// What a context is made with.
#[derive(Debug, Clone)]
pub struct ContextSettings {
    /// Tokens that the KV cache must hold for each sequence.
    pub ctx_tokens: u32,
    /// Sequences that are computed together, at least one.
    pub sequences: u32,
    /// Threads for prefill and decode.
    pub threads: u32,
    /// Logical batch.
    pub batch: Option<u32>,
    /// Physical batch.
    pub ubatch: Option<u32>,
    /// Flash attention; `None` leaves it to llama.cpp.
    pub flash_attn: Option<bool>,
    /// Type of keys and values.
    pub kv_type: String,
    /// Whether a device computes while the processor goes on: only then is there a moment of handing over.
    pub asynchronous: bool,
}

/// Types of the KV cache by name.
const KV_TYPES: &[(&str, sys::ggml_type)] = &[
    ("f16", sys::GGML_TYPE_F16),
    ("bf16", sys::GGML_TYPE_BF16),
    ("f32", sys::GGML_TYPE_F32),
    ("q8_0", sys::GGML_TYPE_Q8_0),
    ("q5_1", sys::GGML_TYPE_Q5_1),
    ("q5_0", sys::GGML_TYPE_Q5_0),
    ("q4_1", sys::GGML_TYPE_Q4_1),
    ("q4_0", sys::GGML_TYPE_Q4_0),
];

/// How hard idle threads poll for work, as llama-bench has it: 50 of 100.
const POLL: u32 = 50;

/// A context with a threadpool of its own. Without one ggml would start its threads anew for each graph, that is
/// for each token.
pub struct Context {
    raw: NonNull<sys::llama_context>,
    pool: NonNull<sys::ggml_threadpool>,
    /// Flash attention as it is in use, where that is known.
    pub flash_attn: Option<bool>,
    /// Bytes of KV cache per token, where the model's cache has that form.
    pub kv_bytes_per_token: Option<u64>,
    vocab_size: usize,
    /// Whether a device computes while the processor goes on.
    pub asynchronous: bool,
    // Dropped last: the context refers to it.
    model: Model,
}

impl Context {
    /// Makes a context for the model, which it keeps.
    pub fn new(model: Model, settings: &ContextSettings) -> Result<Context> {
        let kv_type = KV_TYPES.iter().find(|(name, _)| name.eq_ignore_ascii_case(&settings.kv_type));
        let Some((_, kv_type)) = kv_type.copied() else {
            let names: Vec<_> = KV_TYPES.iter().map(|(name, _)| *name).collect();
            let message = format!("llama.cpp has no KV cache type {:?}; it has {}", settings.kv_type, names.join(", "));
            return Err(failure(FailureKind::Unsupported, message));
        };
        let n_ctx = all_tokens(settings)?;
        let pool = new_pool(settings.threads)?;
        // SAFETY: default values, then plain fields.
        let mut params = unsafe { sys::llama_context_default_params() };
        params.n_ctx = n_ctx;
        params.n_seq_max = settings.sequences;
        // Every sequence has room in it for a token.
        let least = settings.ctx_tokens.max(32).max(settings.sequences);
        params.n_batch = settings.batch.unwrap_or(params.n_batch).max(settings.sequences).min(least);
        params.n_ubatch = settings.ubatch.unwrap_or(params.n_ubatch).min(params.n_batch);
        params.n_threads = settings.threads as i32;
        params.n_threads_batch = settings.threads as i32;
        params.type_k = kv_type;
        params.type_v = kv_type;
        params.no_perf = true;
        params.flash_attn_type = match settings.flash_attn {
            None => sys::LLAMA_FLASH_ATTN_TYPE_AUTO,
            Some(true) => sys::LLAMA_FLASH_ATTN_TYPE_ENABLED,
            Some(false) => sys::LLAMA_FLASH_ATTN_TYPE_DISABLED,
        };
        log::flash_attn_choice();
        // SAFETY: the model lives at least as long as the context (field order).
        let raw = unsafe { sys::llama_init_from_model(model.raw(), params) };
        let Some(raw) = NonNull::new(raw) else {
            // SAFETY: nobody uses the pool.
            unsafe { sys::ggml_threadpool_free(pool.as_ptr()) };
            return Err(failure(FailureKind::Engine, "llama.cpp could not make a context"));
        };
        // SAFETY: both live until drop, which detaches first.
        unsafe { sys::llama_attach_threadpool(raw.as_ptr(), pool.as_ptr(), std::ptr::null_mut()) };
        let kv_bytes_per_token = model.kv_geometry().map(|(layers, keys, values)| {
            // SAFETY: pure arithmetic on a valid type.
            let row = |n: u64| unsafe { sys::ggml_row_size(kv_type, n as i64) as u64 };
            layers * (row(keys) + row(values))
        });
        let flash_attn = settings.flash_attn.or_else(log::flash_attn_choice);
        let vocab_size = model.vocab_size() as usize;
        let asynchronous = settings.asynchronous;
        Ok(Context { raw, pool, flash_attn, kv_bytes_per_token, vocab_size, asynchronous, model })
    }

    /// The model.
    pub fn model(&self) -> &Model {
        &self.model
    }

    /// Threads that compute: those of the pool, capped as the context was told.
    pub fn threads(&self) -> u32 {
        // SAFETY: the context lives.
        unsafe { sys::llama_n_threads(self.raw.as_ptr()) as u32 }
    }

    /// Tokens that the KV cache holds for each sequence; llama.cpp rounds up.
    pub fn ctx_tokens(&self) -> u32 {
        // SAFETY: the context lives.
        unsafe { sys::llama_n_ctx_seq(self.raw.as_ptr()) }
    }

    /// Sequences that it has room for.
    pub fn sequences(&self) -> u32 {
        // SAFETY: as above.
        unsafe { sys::llama_n_seq_max(self.raw.as_ptr()) }
    }

    /// Logical batch in use.
    pub fn batch(&self) -> u32 {
        // SAFETY: as above.
        unsafe { sys::llama_n_batch(self.raw.as_ptr()) }
    }

    /// Physical batch in use.
    pub fn ubatch(&self) -> u32 {
        // SAFETY: as above.
        unsafe { sys::llama_n_ubatch(self.raw.as_ptr()) }
    }

    /// Forgets all tokens; the memory itself is not touched.
    pub fn clear(&mut self) {
        // SAFETY: the context lives.
        unsafe { sys::llama_memory_clear(sys::llama_get_memory(self.raw.as_ptr()), false) }
    }

    /// Appends tokens to the sequence and hands their work to the device; only the last one's logits are kept.
    /// `tokens` is at most one batch.
    pub fn decode(&mut self, tokens: &mut [i32]) -> Result<()> {
        // SAFETY: the batch refers to `tokens` during the call only.
        let status = unsafe {
            let batch = sys::llama_batch_get_one(tokens.as_mut_ptr(), tokens.len() as i32);
            sys::llama_decode(self.raw.as_ptr(), batch)
        };
        check(status)
    }

    /// Forgets the tokens of one sequence.
    pub fn forget(&mut self, sequence: usize) {
        // SAFETY: the context lives; a whole sequence can always be removed.
        unsafe {
            sys::llama_memory_seq_rm(sys::llama_get_memory(self.raw.as_ptr()), sequence as i32, -1, -1);
        }
    }

    /// Computes a batch, at most one logical batch.
    pub fn decode_batch(&mut self, batch: &Batch) -> Result<()> {
        // SAFETY: every field of its tokens is written; it lives during the call.
        check(unsafe { sys::llama_decode(self.raw.as_ptr(), batch.raw()) })
    }

    /// Wakes the threads, so that the first work of a measurement finds them polling as all later work does.
    pub fn wake(&mut self) {
        // SAFETY: the pool lives.
        unsafe { sys::ggml_threadpool_resume(self.pool.as_ptr()) }
    }

    /// Sends the threads to sleep. Without it they poll for some tenths of a second after the last work, into what the
    /// next engine measures; with it a loaded model costs no processor time.
    pub fn rest(&mut self) {
        // SAFETY: the pool lives; work that comes while it is paused wakes it.
        unsafe { sys::ggml_threadpool_pause(self.pool.as_ptr()) }
    }

    /// Waits until the device is done.
    pub fn synchronize(&mut self) {
        // SAFETY: the context lives.
        unsafe { sys::llama_synchronize(self.raw.as_ptr()) }
    }

    /// Draws a token from the logits of token `index` of the last call (-1: the last one), which were kept. Waits for the device.
    pub fn sample(&mut self, sampler: &mut Sampler, index: i32) -> u32 {
        // SAFETY: both live.
        unsafe { sys::llama_sampler_sample(sampler.raw(), self.raw.as_ptr(), index) as u32 }
    }

    /// Logits of token `index` of the last call (-1: the last one), one per token id. Waits for the device.
    pub fn logits(&mut self, index: i32) -> Result<&[f32]> {
        // SAFETY: the pointer is valid until the next call that computes, which needs `&mut self`.
        unsafe {
            let logits = sys::llama_get_logits_ith(self.raw.as_ptr(), index);
            if logits.is_null() {
                return Err(failure(FailureKind::Engine, "llama.cpp returned no logits"));
            }
            Ok(std::slice::from_raw_parts(logits, self.vocab_size))
        }
    }
}

/// Tokens of all sequences together.
fn all_tokens(settings: &ContextSettings) -> Result<u32> {
    settings.ctx_tokens.checked_mul(settings.sequences).ok_or_else(|| {
        let message = format!(
            "{} sequences of {} tokens are more than llama.cpp counts",
            settings.sequences, settings.ctx_tokens
        );
        failure(FailureKind::Unsupported, message)
    })
}

fn new_pool(threads: u32) -> Result<NonNull<sys::ggml_threadpool>> {
    // SAFETY: the parameters live during the call.
    let pool = unsafe {
        let mut params = sys::ggml_threadpool_params_default(threads as i32);
        params.poll = POLL;
        sys::ggml_threadpool_new(&mut params)
    };
    NonNull::new(pool).ok_or_else(|| failure(FailureKind::Engine, format!("ggml could not start {threads} threads")))
}

fn check(status: i32) -> Result<()> {
    match status {
        0 => Ok(()),
        1 => Err(failure(FailureKind::Engine, "the KV cache has no room for these tokens")),
        other => Err(failure(FailureKind::Engine, format!("llama_decode failed with status {other}"))),
    }
}

impl Drop for Context {
    fn drop(&mut self) {
        // SAFETY: detached before the pool is freed; the model goes after this.
        unsafe {
            sys::llama_detach_threadpool(self.raw.as_ptr());
            sys::llama_free(self.raw.as_ptr());
            sys::ggml_threadpool_free(self.pool.as_ptr());
        }
    }
}
