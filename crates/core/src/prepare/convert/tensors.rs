//! Which tensor of a checkpoint becomes which tensor of the GGUF file, and whether all of them are
//! there in the shape that `config.json` promises.

use std::collections::HashSet;

use super::cast::{Stored, Target};
use super::checkpoint::{Checkpoint, Source};
use super::error::{Error, Result};
use super::hparams::{Config, Geometry};
use super::rope::Rope;
use crate::prepare::gguf::TensorSpec;
use crate::progress::Progress;

/// One tensor to write.
pub(super) struct Job {
    /// What the header says about it.
    pub spec: TensorSpec,
    /// Where its elements come from.
    pub origin: Origin,
    /// How its elements are written.
    pub target: Target,
    /// Rows that can be converted independently, and the elements of one.
    pub rows: usize,
    pub row_elements: usize,
    /// Half the rows of an attention head, where the head's rows change places.
    pub half_head: Option<usize>,
}

/// Where elements come from.
pub(super) enum Origin {
    /// A file.
    Stored { source: Source, stored: Stored },
    /// Computed.
    Computed(Vec<f32>),
}

impl Job {
    /// The row of the checkpoint that becomes row `row` of the output.
    ///
    /// llama.cpp rotates neighbouring elements, Hugging Face's Llama the two halves of a head: so
    /// the rows of q and k alternate between the halves.
    pub fn source_row(&self, row: usize) -> usize {
        match self.half_head {
            None => row,
            Some(half) => {
                let (head, inside) = (row / (2 * half), row % (2 * half));
                head * 2 * half + (inside % 2) * half + inside / 2
            }
        }
    }
}

/// What a name of the checkpoint stands for.
struct Mapped {
    name: String,
    shape: Vec<usize>,
    rotated: bool,
}

/// The jobs in the order of the file.
pub(super) fn plan(
    config: &Config,
    geometry: &Geometry,
    checkpoint: &Checkpoint,
    target: Target,
    progress: &dyn Progress,
) -> Result<Vec<Job>> {
    require_all(config, geometry, checkpoint, progress)?;
    let mut jobs = Vec::with_capacity(checkpoint.tensors.len() + 1);
    if let Some(factors) = Rope::of(config)?.llama3_factors(geometry.head_dim)? {
        jobs.push(Job {
            spec: TensorSpec {
                name: "rope_freqs.weight".to_owned(),
                dims: vec![factors.len() as u64],
                ty: Target::F32.ggml(),
            },
            target: Target::F32,
            rows: 1,
            row_elements: factors.len(),
            half_head: None,
            origin: Origin::Computed(factors),
        });
    }
    for source in &checkpoint.tensors {
        if !is_skipped(&source.name) {
            jobs.push(job(config, geometry, checkpoint, source, target)?);
        }
    }
    Ok(jobs)
}

/// Buffers that old checkpoints carry and nobody needs.
pub(super) fn is_skipped(name: &str) -> bool {
    [".attention.masked_bias", ".attention.bias", ".rotary_emb.inv_freq"].iter().any(|end| name.ends_with(end))
}

fn job(config: &Config, geometry: &Geometry, checkpoint: &Checkpoint, source: &Source, wanted: Target) -> Result<Job> {
    let wrong =
        |what: String| Error::Tensor { file: checkpoint.file(source).to_owned(), tensor: source.name.clone(), what };
    let Some(mapped) = map(config, geometry, &source.name) else {
        return Err(wrong(format!("has no place in a {} of {} layers", config.arch.hf_name(), geometry.layers)));
    };
    if source.shape != mapped.shape {
        return Err(wrong(format!("has the shape {:?}, but config.json makes it {:?}", source.shape, mapped.shape)));
    }
    let Some(stored) = Stored::of(source.dtype) else {
        return Err(wrong(format!("is stored as {}, and only F16, BF16, F32 and F64 are converted", source.dtype)));
    };
    // llama.cpp wants vectors and norms in 32 bits.
    let target = if source.shape.len() <= 1 || mapped.name.ends_with("_norm.weight") { Target::F32 } else { wanted };
    let half_head = mapped.rotated.then_some(geometry.head_dim / 2);
    let (rows, row_elements) = match (source.shape.as_slice(), half_head) {
        ([n], Some(_)) => (*n, 1),
        ([n], None) => (1, *n),
        ([rows, row], _) => (*rows, *row),
        _ => return Err(wrong(format!("has {} dimensions", source.shape.len()))),
    };
    Ok(Job {
        spec: TensorSpec {
            name: mapped.name,
            dims: source.shape.iter().rev().map(|d| *d as u64).collect(),
            ty: target.ggml(),
        },
        origin: Origin::Stored { source: source.clone(), stored },
        target,
        rows,
        row_elements,
        half_head,
    })
}

/// The tensor of the GGUF file for a name of the checkpoint; names from llama.cpp's `tensor_mapping.py`.
fn map(config: &Config, g: &Geometry, name: &str) -> Option<Mapped> {
    let (base, bias) = match (name.strip_suffix(".weight"), name.strip_suffix(".bias")) {
        (Some(base), _) => (base, false),
        (None, Some(base)) => (base, true),
        (None, None) => return None,
    };
    let (q, kv) = (g.heads.checked_mul(g.head_dim)?, g.kv_heads.checked_mul(g.head_dim)?);
    let top = |gguf: &str, shape: Vec<usize>| {
        (!bias).then(|| Mapped { name: format!("{gguf}.weight"), shape, rotated: false })
    };
    match base {
        "model.embed_tokens" => return top("token_embd", vec![g.vocab, g.hidden]),
        "model.norm" => return top("output_norm", vec![g.hidden]),
        "lm_head" => return top("output", vec![g.vocab, g.hidden]),
        _ => {}
    }
    let (layer, part) = base.strip_prefix("model.layers.")?.split_once('.')?;
    let index: usize = layer.parse().ok()?;
    if index >= g.layers || index.to_string() != layer {
        return None;
    }
    let qk_norm = config.arch == super::Arch::Qwen3;
    let (gguf, shape) = match part {
        "input_layernorm" if !bias => ("attn_norm", vec![g.hidden]),
        "post_attention_layernorm" if !bias => ("ffn_norm", vec![g.hidden]),
        "self_attn.q_norm" if qk_norm && !bias => ("attn_q_norm", vec![g.head_dim]),
        "self_attn.k_norm" if qk_norm && !bias => ("attn_k_norm", vec![g.head_dim]),
        "self_attn.q_proj" => ("attn_q", vec![q, g.hidden]),
        "self_attn.k_proj" => ("attn_k", vec![kv, g.hidden]),
        "self_attn.v_proj" => ("attn_v", vec![kv, g.hidden]),
        "self_attn.o_proj" => ("attn_output", vec![g.hidden, q]),
        "mlp.gate_proj" => ("ffn_gate", vec![g.feed_forward, g.hidden]),
        "mlp.up_proj" => ("ffn_up", vec![g.feed_forward, g.hidden]),
        "mlp.down_proj" => ("ffn_down", vec![g.hidden, g.feed_forward]),
        _ => return None,
    };
    Some(Mapped {
        name: format!("blk.{index}.{gguf}.{}", if bias { "bias" } else { "weight" }),
        shape: if bias { shape[..1].to_vec() } else { shape },
        rotated: config.arch.is_llama() && matches!(gguf, "attn_q" | "attn_k"),
    })
}

/// What every layer has.
const LAYER: [&str; 9] = [
    "input_layernorm.weight",
    "post_attention_layernorm.weight",
    "self_attn.q_proj.weight",
    "self_attn.k_proj.weight",
    "self_attn.v_proj.weight",
    "self_attn.o_proj.weight",
    "mlp.gate_proj.weight",
    "mlp.up_proj.weight",
    "mlp.down_proj.weight",
];

fn require_all(config: &Config, geometry: &Geometry, checkpoint: &Checkpoint, progress: &dyn Progress) -> Result<()> {
    let present: HashSet<&str> = checkpoint.tensors.iter().map(|t| t.name.as_str()).collect();
    let folder = config.path.parent().unwrap_or(&config.path);
    let require = |name: String| {
        if present.contains(name.as_str()) {
            return Ok(());
        }
        let what = "is missing from the safetensors files".to_owned();
        Err(Error::Tensor { file: folder.to_owned(), tensor: name, what })
    };
    require("model.embed_tokens.weight".to_owned())?;
    require("model.norm.weight".to_owned())?;
    let own: &[&str] = match config.arch {
        super::Arch::Qwen2 => &["self_attn.q_proj.bias", "self_attn.k_proj.bias", "self_attn.v_proj.bias"],
        super::Arch::Qwen3 => &["self_attn.q_norm.weight", "self_attn.k_norm.weight"],
        super::Arch::Llama | super::Arch::Mistral => &[],
    };
    for layer in 0..geometry.layers {
        for part in LAYER.iter().chain(own) {
            require(format!("model.layers.{layer}.{part}"))?;
        }
    }
    if !present.contains("lm_head.weight") && !config.tied() {
        progress.warn(&format!(
            "{}: there is no lm_head.weight although tie_word_embeddings is false; the embedding will serve as output layer",
            folder.display()
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::prepare::gguf::GgmlType;

    #[test]
    fn rotated_rows_alternate_between_the_halves_of_each_head() {
        let job = Job {
            spec: TensorSpec { name: String::new(), dims: vec![1, 12], ty: GgmlType::F32 },
            origin: Origin::Computed(Vec::new()),
            target: Target::F32,
            rows: 12,
            row_elements: 1,
            half_head: Some(3),
        };
        let rows: Vec<usize> = (0..12).map(|r| job.source_row(r)).collect();
        assert_eq!(rows, [0, 3, 1, 4, 2, 5, 6, 9, 7, 10, 8, 11]);
    }
}
