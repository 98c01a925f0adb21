//! The architectures that are converted natively, and what `transformers` assumes about each.

use std::path::Path;

use serde_json::{Value as Json, json};

use super::error::{Error, Result};
use super::files::Object;

/// A supported architecture.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Arch {
    /// `LlamaForCausalLM`
    Llama,
    /// `MistralForCausalLM`
    Mistral,
    /// `Qwen2ForCausalLM`
    Qwen2,
    /// `Qwen3ForCausalLM`
    Qwen3,
}

/// Every supported architecture.
pub const ARCHS: &[Arch] = &[Arch::Llama, Arch::Mistral, Arch::Qwen2, Arch::Qwen3];

impl Arch {
    /// The name in `config.json`.
    pub fn hf_name(self) -> &'static str {
        match self {
            Arch::Llama => "LlamaForCausalLM",
            Arch::Mistral => "MistralForCausalLM",
            Arch::Qwen2 => "Qwen2ForCausalLM",
            Arch::Qwen3 => "Qwen3ForCausalLM",
        }
    }

    /// The name in `general.architecture`, which starts the model's own keys too.
    pub fn gguf_name(self) -> &'static str {
        match self {
            Arch::Llama | Arch::Mistral => "llama",
            Arch::Qwen2 => "qwen2",
            Arch::Qwen3 => "qwen3",
        }
    }

    /// Whether llama.cpp treats it as a Llama: interleaved rotary halves, `rope_freqs`, `vocab_size`.
    pub(super) fn is_llama(self) -> bool {
        self.gguf_name() == "llama"
    }

    /// What `config.json` may leave out: the defaults of transformers 4.57's configuration classes,
    /// the version that llama.cpp's converter pins.
    pub(super) fn defaults(self) -> Json {
        let common = json!({
            "hidden_size": 4096, "num_hidden_layers": 32, "num_attention_heads": 32, "rms_norm_eps": 1e-6,
            "rope_theta": 10000.0, "tie_word_embeddings": false,
        });
        let own = match self {
            Arch::Llama => json!({ "vocab_size": 32000, "intermediate_size": 11008, "max_position_embeddings": 2048 }),
            Arch::Mistral => json!({
                "vocab_size": 32000, "intermediate_size": 14336, "max_position_embeddings": 131_072, "num_key_value_heads": 8,
            }),
            Arch::Qwen2 => json!({
                "vocab_size": 151_936, "intermediate_size": 22016, "max_position_embeddings": 32768, "num_key_value_heads": 32,
            }),
            Arch::Qwen3 => json!({
                "vocab_size": 151_936, "intermediate_size": 22016, "max_position_embeddings": 32768, "num_key_value_heads": 32,
                "head_dim": 128,
            }),
        };
        let mut all = common;
        if let (Some(all), Json::Object(own)) = (all.as_object_mut(), own) {
            all.extend(own);
        }
        all
    }

    /// The architecture that a configuration names; `path` stands for it in errors.
    pub(super) fn of(config: &Object, path: &Path) -> Result<Arch> {
        let named = config.get("architectures").and_then(|a| a.get(0)).and_then(Json::as_str);
        let found = match named {
            // An old spelling that llama.cpp's converter takes as well.
            Some("LLaMAForCausalLM") => Some(Arch::Llama),
            Some(name) => ARCHS.iter().copied().find(|a| a.hf_name() == name),
            None => None,
        };
        found.ok_or_else(|| Error::Architecture {
            path: path.to_owned(),
            found: named.unwrap_or("(none named)").to_owned(),
            supported: ARCHS.iter().map(|a| a.hf_name()).collect::<Vec<_>>().join(", "),
        })
    }
}

/// The architecture of a checkpoint, if it can be converted natively as far as `config.json` tells.
///
/// # Errors
/// When there is no `config.json`, or it names something else.
pub fn is_supported(folder: &Path) -> Result<Arch> {
    Ok(super::hparams::Config::load(folder)?.arch)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_error_names_what_was_found_and_what_would_do() {
        let config = json!({ "architectures": ["GemmaForCausalLM"] });
        let error = Arch::of(config.as_object().unwrap(), Path::new("x/config.json")).unwrap_err().to_string();
        for word in ["x/config.json", "GemmaForCausalLM", "Qwen3ForCausalLM", "--converter"] {
            assert!(error.contains(word), "{error}");
        }
        assert!(Arch::of(json!({}).as_object().unwrap(), Path::new("c")).is_err());
    }

    #[test]
    fn every_architecture_is_found_by_its_name_and_has_defaults() {
        for arch in ARCHS {
            let config = json!({ "architectures": [arch.hf_name()] });
            assert_eq!(Arch::of(config.as_object().unwrap(), Path::new("c")).unwrap(), *arch);
            assert!(arch.defaults().get("vocab_size").is_some() && arch.defaults().get("rope_theta").is_some());
        }
    }
}
