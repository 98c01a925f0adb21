//! The shapes of the synthetic checkpoints: which there are, what tensors they hold, how many parameters.
//! What is in the tensors is the business of `weights`, how they lie in files that of `shards`.

use super::{Error, Result};

/// How the rotary frequencies are stretched for long contexts, the `llama3` kind of `rope_scaling`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RopeScaling {
    /// What the frequencies of long waves are divided by.
    pub factor: f64,
    /// Waves longer than `original_max_position / low_freq_factor` are stretched in full.
    pub low_freq_factor: f64,
    /// Waves shorter than `original_max_position / high_freq_factor` stay as they are.
    pub high_freq_factor: f64,
    /// Positions of the unscaled model.
    pub original_max_position: usize,
}

/// The shape of a Llama 3 model.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Geometry {
    /// What a user calls it, as in `synthetic:NAME`.
    pub name: &'static str,
    /// Width of the residual stream.
    pub hidden: usize,
    /// Transformer blocks.
    pub layers: usize,
    /// Query heads.
    pub heads: usize,
    /// Key and value heads.
    pub kv_heads: usize,
    /// Values per head.
    pub head_dim: usize,
    /// Width of the feed-forward network.
    pub ffn: usize,
    /// Rows of the embedding; the tokenizer may know fewer tokens.
    pub vocab: usize,
    /// Whether the embedding is the output matrix too.
    pub tied: bool,
    /// Positions that the model claims to manage.
    pub max_position: usize,
    /// How rotary frequencies are stretched.
    pub rope: RopeScaling,
}

/// Base of the rotary frequencies, the same in all Llama 3 models.
pub const ROPE_THETA: f64 = 500_000.0;
/// The epsilon under the root of each RMS normalization.
pub const RMS_EPS: f64 = 1e-5;

/// Llama 3's scaling, which differs between models in its factor and its original length only.
const fn llama3(factor: f64, original_max_position: usize) -> RopeScaling {
    RopeScaling { factor, low_freq_factor: 1.0, high_freq_factor: 4.0, original_max_position }
}

/// All of them. `1B`, `3B` and `8B` have the shapes in the `config.json` of Llama-3.2-1B, Llama-3.2-3B and
/// Llama-3.1-8B. In the two small ones the scaling begins at a short length, so that a short test has it in force;
/// their widths are multiples of 256, the block of the K-quants.
pub const GEOMETRIES: &[Geometry] = &[
    Geometry {
        name: "tiny",
        hidden: 256,
        layers: 4,
        heads: 8,
        kv_heads: 4,
        head_dim: 32,
        ffn: 768,
        vocab: 2048,
        tied: false,
        max_position: 4096,
        rope: llama3(8.0, 512),
    },
    Geometry {
        name: "60M",
        hidden: 512,
        layers: 12,
        heads: 8,
        kv_heads: 4,
        head_dim: 64,
        ffn: 1792,
        vocab: 32_768,
        tied: true,
        max_position: 16_384,
        rope: llama3(8.0, 2048),
    },
    Geometry {
        name: "1B",
        hidden: 2048,
        layers: 16,
        heads: 32,
        kv_heads: 8,
        head_dim: 64,
        ffn: 8192,
        vocab: 128_256,
        tied: true,
        max_position: 131_072,
        rope: llama3(32.0, 8192),
    },
    Geometry {
        name: "3B",
        hidden: 3072,
        layers: 28,
        heads: 24,
        kv_heads: 8,
        head_dim: 128,
        ffn: 8192,
        vocab: 128_256,
        tied: true,
        max_position: 131_072,
        rope: llama3(32.0, 8192),
    },
    Geometry {
        name: "8B",
        hidden: 4096,
        layers: 32,
        heads: 32,
        kv_heads: 8,
        head_dim: 128,
        ffn: 14_336,
        vocab: 128_256,
        tied: false,
        max_position: 131_072,
        rope: llama3(8.0, 8192),
    },
];

/// What a tensor does; its scale depends on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    Embedding,
    Head,
    Norm,
    Query,
    Key,
    Value,
    /// Attention's way back to the residual stream, of this layer.
    Output(usize),
    Gate,
    Up,
    /// The feed-forward network's way back to the residual stream, of this layer.
    Down(usize),
}

/// A tensor by its Hugging Face name.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Tensor {
    pub name: String,
    /// Rows (outputs) first, then columns (inputs); one number for a vector.
    pub shape: Vec<usize>,
    pub role: Role,
}

impl Tensor {
    /// Number of values.
    pub fn count(&self) -> u64 {
        self.shape.iter().map(|&n| n as u64).product()
    }
}

impl Geometry {
    /// The geometry that is called `name`, in small or capital letters.
    ///
    /// # Errors
    /// [`Error::UnknownGeometry`], which lists the names there are.
    pub fn find(name: &str) -> Result<&'static Self> {
        GEOMETRIES.iter().find(|g| g.name.eq_ignore_ascii_case(name)).ok_or_else(|| Error::UnknownGeometry {
            name: name.to_owned(),
            known: GEOMETRIES.iter().map(|g| g.name).collect::<Vec<_>>().join(", "),
        })
    }

    /// Number of parameters; a tied embedding counts once.
    pub fn n_params(&self) -> u64 {
        self.tensors().iter().map(Tensor::count).sum()
    }

    /// Every tensor, in the order in which they are written.
    pub(super) fn tensors(&self) -> Vec<Tensor> {
        let mut all = vec![tensor("model.embed_tokens.weight".into(), &[self.vocab, self.hidden], Role::Embedding)];
        for layer in 0..self.layers {
            all.extend(self.block(layer));
        }
        all.push(tensor("model.norm.weight".into(), &[self.hidden], Role::Norm));
        if !self.tied {
            all.push(tensor("lm_head.weight".into(), &[self.vocab, self.hidden], Role::Head));
        }
        all
    }

    /// The tensors of one transformer block.
    fn block(&self, layer: usize) -> [Tensor; 9] {
        let (hidden, ffn) = (self.hidden, self.ffn);
        let (queries, keys) = (self.heads * self.head_dim, self.kv_heads * self.head_dim);
        let named =
            |part: &str, shape: &[usize], role| tensor(format!("model.layers.{layer}.{part}.weight"), shape, role);
        [
            named("input_layernorm", &[hidden], Role::Norm),
            named("self_attn.q_proj", &[queries, hidden], Role::Query),
            named("self_attn.k_proj", &[keys, hidden], Role::Key),
            named("self_attn.v_proj", &[keys, hidden], Role::Value),
            named("self_attn.o_proj", &[hidden, queries], Role::Output(layer)),
            named("post_attention_layernorm", &[hidden], Role::Norm),
            named("mlp.gate_proj", &[ffn, hidden], Role::Gate),
            named("mlp.up_proj", &[ffn, hidden], Role::Up),
            named("mlp.down_proj", &[hidden, ffn], Role::Down(layer)),
        ]
    }
}

fn tensor(name: String, shape: &[usize], role: Role) -> Tensor {
    Tensor { name, shape: shape.to_vec(), role }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameter_counts_are_those_of_the_models_imitated() {
        for (name, expected) in [("1B", 1.236e9), ("3B", 3.213e9), ("8B", 8.030e9), ("60M", 60e6)] {
            let n = Geometry::find(name).unwrap().n_params() as f64;
            let tolerance = if name == "60M" { 0.03 } else { 0.01 };
            assert!((n / expected - 1.0).abs() < tolerance, "{name}: {n}");
        }
    }

    #[test]
    fn rows_fit_the_blocks_of_k_quants_and_heads_divide_evenly() {
        for g in GEOMETRIES {
            assert_eq!((g.hidden % 256, g.ffn % 256, g.heads % g.kv_heads), (0, 0, 0), "{}", g.name);
            assert_eq!(g.heads * g.head_dim, g.hidden, "{}", g.name);
        }
    }

    #[test]
    fn names_are_found_in_any_case_and_a_wrong_one_lists_them() {
        assert_eq!(Geometry::find("60m").unwrap().name, "60M");
        let text = Geometry::find("70B").unwrap_err().to_string();
        assert!(text.contains("70B") && text.contains("tiny, 60M, 1B, 3B, 8B"), "{text}");
    }

    #[test]
    fn only_untied_models_have_a_head() {
        for g in GEOMETRIES {
            let heads = g.tensors().iter().filter(|t| t.role == Role::Head).count();
            assert_eq!(heads, usize::from(!g.tied), "{}", g.name);
        }
    }
}
