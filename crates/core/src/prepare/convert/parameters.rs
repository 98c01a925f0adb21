//! The keys that describe the model itself, in the order of llama.cpp's converter
//! (`TextModel.set_gguf_parameters` and what Llama adds to it).

use super::error::Result;
use super::hparams::{Config, Geometry};
use super::rope::Rope;
use crate::prepare::gguf::Metadata;
use crate::progress::Progress;

/// Adds them.
pub(super) fn describe(
    config: &Config,
    geometry: &Geometry,
    file_type: u32,
    metadata: &mut Metadata,
    progress: &dyn Progress,
) -> Result<()> {
    let arch = config.arch.gguf_name();
    let counts: [(&str, &[&str]); 6] = [
        ("block_count", &["n_layers", "num_hidden_layers", "n_layer", "num_layers"]),
        (
            "context_length",
            &[
                "max_position_embeddings",
                "n_ctx",
                "n_positions",
                "max_length",
                "max_sequence_length",
                "model_max_length",
            ],
        ),
        ("embedding_length", &["hidden_size", "n_embd", "dim"]),
        ("feed_forward_length", &["intermediate_size", "n_inner", "hidden_dim"]),
        ("attention.head_count", &["num_attention_heads", "n_head", "n_heads"]),
        ("attention.head_count_kv", &["num_key_value_heads", "n_kv_heads"]),
    ];
    for (key, names) in counts {
        if let Some(count) = config.uint(names)? {
            metadata.set(format!("{arch}.{key}"), count);
        }
    }
    if config.find(&["is_causal"]).and_then(serde_json::Value::as_bool) == Some(false) {
        metadata.set(format!("{arch}.attention.causal"), false);
    }
    Rope::of(config)?.describe(metadata, progress)?;
    if let Some(epsilon) = config.float(&["rms_norm_eps", "norm_eps"])? {
        metadata.set(format!("{arch}.attention.layer_norm_rms_epsilon"), epsilon as f32);
    }
    if let Some(epsilon) = config.float(&["layer_norm_eps", "layer_norm_epsilon", "norm_epsilon"])? {
        metadata.set(format!("{arch}.attention.layer_norm_epsilon"), epsilon as f32);
    }
    if let Some(head_dim) = config.uint(&["head_dim"])? {
        metadata.set(format!("{arch}.attention.key_length"), head_dim);
        metadata.set(format!("{arch}.attention.value_length"), head_dim);
    }
    metadata.set("general.file_type", file_type);
    if config.arch.is_llama() {
        // Both fit: they came out of 32-bit numbers.
        metadata.set(format!("{arch}.vocab_size"), geometry.vocab as u32);
        metadata.set(format!("{arch}.rope.dimension_count"), geometry.head_dim as u32);
    }
    metadata.set("general.quantization_version", QUANTIZATION_VERSION);
    Ok(())
}

/// `GGML_QNT_VERSION` of llama.cpp's `ggml.h`.
const QUANTIZATION_VERSION: u32 = 2;
