//! What memory a case needs, before anything is loaded: weights as they will be stored and the KV cache at the workload's
//! length, from the model's shape. An estimate; what was really used is in the record.

use crate::plan::{Case, ModelRef};
use crate::prepare::{gguf::Gguf, hub, synthetic};
use std::path::Path;

/// What an engine needs beside weights and KV cache: program, compute buffers, logits. Bytes.
const OVERHEAD: u64 = 300_000_000;

/// The shape of a model, as far as memory and time depend on it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Shape {
    /// Parameters.
    pub params: u64,
    /// Values of keys and values that one token adds to the KV cache: 2 x layers x KV heads x head size.
    pub kv_values: u64,
}

/// The memory of a case.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize)]
pub struct Footprint {
    /// Weights, bytes.
    pub weights: u64,
    /// KV cache, bytes.
    pub kv: u64,
    /// Everything else, bytes.
    pub overhead: u64,
}

impl Footprint {
    /// Bytes in all.
    pub fn total(&self) -> u64 {
        self.weights.saturating_add(self.kv).saturating_add(self.overhead)
    }
}

/// The shape of a model that lies on this machine or is made up; `None` for one that is still to be downloaded, or whose
/// configuration is of another kind.
pub fn shape(model: &ModelRef) -> Option<Shape> {
    match model {
        ModelRef::Synthetic(name) => {
            let geometry = synthetic::Geometry::find(name).ok()?;
            let kv_values = 2 * geometry.layers * geometry.kv_heads * geometry.head_dim;
            Some(Shape { params: geometry.n_params(), kv_values: kv_values as u64 })
        }
        ModelRef::Folder(path) => of_folder(path),
        ModelRef::Gguf(path) => of_gguf(path),
        ModelRef::Hub(repo) => {
            let hub = hub::Hub::from_env().ok()?;
            of_folder(&hub.cached_folder(&hub::Repo::parse(repo).ok()?)?)
        }
    }
}

fn of_folder(folder: &Path) -> Option<Shape> {
    let text = std::fs::read(folder.join("config.json")).ok()?;
    let config: serde_json::Value = serde_json::from_slice(&text).ok()?;
    let number = |key: &str| config[key].as_u64();
    let (layers, hidden, heads) =
        (number("num_hidden_layers")?, number("hidden_size")?, number("num_attention_heads")?);
    let kv_heads = number("num_key_value_heads").unwrap_or(heads);
    let head = number("head_dim").or_else(|| hidden.checked_div(heads))?;
    let (ffn, vocab) = (number("intermediate_size")?, number("vocab_size")?);
    let attention = hidden.checked_mul(heads.checked_add(kv_heads)?.checked_mul(head)?.checked_mul(2)?)?;
    let per_layer = attention.checked_add(hidden.checked_mul(3)?.checked_mul(ffn)?)?;
    let tied = config["tie_word_embeddings"].as_bool().unwrap_or(false);
    let embedding = vocab.checked_mul(hidden)?.checked_mul(if tied { 1 } else { 2 })?;
    let params = layers.checked_mul(per_layer)?.checked_add(embedding)?;
    Some(Shape { params, kv_values: 2u64.checked_mul(layers)?.checked_mul(kv_heads)?.checked_mul(head)? })
}

fn of_gguf(path: &Path) -> Option<Shape> {
    let file = Gguf::open(path).ok()?;
    let arch = file.metadata.str("general.architecture")?.to_owned();
    let number = |key: &str| file.metadata.u64(&format!("{arch}.{key}"));
    let (layers, hidden, heads) =
        (number("block_count")?, number("embedding_length")?, number("attention.head_count")?);
    let kv_heads = number("attention.head_count_kv").unwrap_or(heads);
    let head = number("attention.key_length").or_else(|| hidden.checked_div(heads))?;
    let kv_values = 2u64.checked_mul(layers)?.checked_mul(kv_heads)?.checked_mul(head)?;
    Some(Shape { params: file.n_params(), kv_values })
}

/// The memory of a case with a model of that shape. `weights` are the bytes of the prepared model, where they are known.
pub fn footprint(case: &Case, shape: &Shape, weights: Option<u64>) -> Footprint {
    let computed = (shape.params as f64 * bits(&case.engine, &case.native) / 8.0) as u64;
    let kv_bits = case.settings.kv_type.as_deref().map_or(16.0, nominal);
    let kv = shape.kv_values.saturating_mul(u64::from(case.workload.ctx_tokens())) as f64 * kv_bits / 8.0;
    Footprint { weights: weights.unwrap_or(computed), kv: kv as u64, overhead: OVERHEAD }
}

/// What a prepared model of unknown shape needs at least; `weights` are its bytes.
pub fn at_least(weights: u64) -> Footprint {
    Footprint { weights, kv: 0, overhead: OVERHEAD }
}

/// Bits per weight that an engine computes with. tinygrad's `default` is float32 on a CPU.
fn bits(engine: &str, native: &str) -> f64 {
    match (engine, native) {
        ("tinygrad", "default") => 32.0,
        ("tinygrad", "nf4") => 4.5,
        _ => nominal(crate::engine::on_device(native, true)),
    }
}

/// Bits per weight that a name tells: `Q4_K_M`, `q4f16_1`, `float16`, `IQ3_XS`. Blocks have scales, and embeddings more
/// bits than the rest: a bit is added to what is quantized.
fn nominal(name: &str) -> f64 {
    let lower = name.to_ascii_lowercase();
    let digits = |text: &str| text.chars().take_while(char::is_ascii_digit).collect::<String>().parse::<f64>().ok();
    if let Some(rest) = lower.strip_prefix("q0") {
        return if rest.contains("32") { 32.0 } else { 16.0 };
    }
    for (prefix, more) in
        [("iq", 1.0), ("tq", 1.0), ("q", 1.0), ("int", 0.5), ("nf", 0.5), ("mxfp", 1.0), ("nvfp", 1.0)]
    {
        if let Some(bits) = lower.strip_prefix(prefix).and_then(digits) {
            return bits + more;
        }
    }
    if lower.contains("32") { 32.0 } else { 16.0 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::{Settings, Workload};

    fn case(engine: &str, native: &str) -> Case {
        Case {
            engine: engine.into(),
            model: "synthetic:1B".into(),
            quantize: "x".into(),
            native: native.into(),
            workload: Workload { prompt_tokens: 512, gen_tokens: 512, depth: 7168 },
            settings: Settings::default(),
            seed: 42,
        }
    }

    #[test]
    fn weights_and_cache_follow_from_the_shape() {
        let shape = shape(&"synthetic:1B".parse().unwrap()).unwrap();
        // Llama-3.2-1B: 16 layers x 8 KV heads x 64, keys and values.
        assert_eq!(shape.kv_values, 16_384);
        let f16 = footprint(&case("llamacpp", "F16"), &shape, None);
        assert_eq!((f16.weights, f16.kv), (shape.params * 2, 16_384 * 8192 * 2));
        assert!(footprint(&case("llamacpp", "Q4_K_M"), &shape, None).weights < f16.weights / 2);
        assert_eq!(footprint(&case("llamacpp", "Q4_K_M"), &shape, Some(7)).weights, 7);
        assert_eq!(footprint(&case("tinygrad", "default"), &shape, None).weights, shape.params * 4);
    }

    #[test]
    fn bits_are_told_by_names() {
        let bits = ["F16", "BF16", "F32", "Q8_0", "Q4_K_M", "IQ3_XS", "q4f16_1", "q0f32", "q0f16", "q8_0"].map(nominal);
        assert_eq!(bits, [16.0, 16.0, 32.0, 9.0, 5.0, 4.0, 5.0, 32.0, 16.0, 9.0]);
    }
}
