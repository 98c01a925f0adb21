//! `config.json` with the defaults filled in, and the geometry that follows from it.

use std::path::{Path, PathBuf};

use serde_json::Value as Json;

use super::arch::Arch;
use super::error::{Error, Result};
use super::files::{self, Object};

/// A checked configuration.
#[derive(Debug)]
pub(super) struct Config {
    /// The file, for errors.
    pub path: PathBuf,
    /// The architecture that it names.
    pub arch: Arch,
    /// The file as it is.
    pub raw: Object,
    /// The file over the architecture's defaults.
    values: Object,
}

/// A head has no more elements, far beyond any model: what is made for each element before the tensors' shapes are looked at stays
/// small.
const MOST_HEAD_DIM: usize = 1 << 16;

/// The sizes that decide every tensor's shape. None is 0.
#[derive(Debug, Clone, Copy)]
pub(super) struct Geometry {
    pub layers: usize,
    pub hidden: usize,
    pub feed_forward: usize,
    pub heads: usize,
    pub kv_heads: usize,
    pub head_dim: usize,
    pub vocab: usize,
}

impl Config {
    /// Reads `config.json` and refuses what the conversion does not cover.
    pub fn load(folder: &Path) -> Result<Config> {
        let path = folder.join("config.json");
        let Some(raw) = files::read_object(&path)? else {
            return Err(Error::Missing {
                folder: folder.to_owned(),
                what: "there is no config.json: give the folder of a Hugging Face checkpoint, or a .gguf file"
                    .to_owned(),
            });
        };
        let arch = Arch::of(&raw, &path)?;
        let mut values = match arch.defaults() {
            Json::Object(defaults) => defaults,
            _ => Object::new(),
        };
        values.extend(raw.clone());
        fill_derived(&mut values, arch);
        let config = Config { path, arch, raw, values };
        config.refuse_unsupported(folder)?;
        Ok(config)
    }

    /// The value of the first of these keys that is present; JSON's null counts as present, but is `None`.
    pub fn find(&self, keys: &[&str]) -> Option<&Json> {
        let value = keys.iter().find_map(|key| self.values.get(*key))?;
        (!value.is_null()).then_some(value)
    }

    /// The same as a whole number that fits GGUF's 32 bits.
    pub fn uint(&self, keys: &[&str]) -> Result<Option<u32>> {
        match self.find(keys) {
            None => Ok(None),
            Some(value) => match value.as_u64().and_then(|n| u32::try_from(n).ok()) {
                Some(n) => Ok(Some(n)),
                None => Err(self.invalid(format!("{} is {value}, not a whole number below 2^32", keys[0]))),
            },
        }
    }

    /// The same as a number.
    pub fn float(&self, keys: &[&str]) -> Result<Option<f64>> {
        match self.find(keys) {
            None => Ok(None),
            Some(value) => match value.as_f64() {
                Some(n) => Ok(Some(n)),
                None => Err(self.invalid(format!("{} is {value}, not a number", keys[0]))),
            },
        }
    }

    /// An error about this file.
    pub fn invalid(&self, what: String) -> Error {
        Error::Invalid { path: self.path.clone(), what }
    }

    /// Whether the output layer is the embedding.
    pub fn tied(&self) -> bool {
        files::truthy(self.find(&["tie_word_embeddings"]))
    }

    /// The sizes; all present and positive.
    pub fn geometry(&self) -> Result<Geometry> {
        let size = |key: &str| -> Result<usize> {
            match self.uint(&[key])? {
                Some(n) if n > 0 => Ok(n as usize),
                Some(_) => Err(self.invalid(format!("{key} is 0"))),
                None => Err(self.invalid(format!("{key} is missing"))),
            }
        };
        let (hidden, heads) = (size("hidden_size")?, size("num_attention_heads")?);
        let head_dim = match self.find(&["head_dim"]) {
            Some(_) => size("head_dim")?,
            None => hidden / heads,
        };
        if head_dim == 0 || (self.arch.is_llama() && head_dim % 2 == 1) {
            return Err(self.invalid(format!("{heads} heads of {head_dim} elements cannot be rotated")));
        }
        if head_dim > MOST_HEAD_DIM {
            let message = format!(
                "head_dim is {head_dim}, where models have some hundreds and {MOST_HEAD_DIM} at most: the file is damaged or not \
                 this model's"
            );
            return Err(self.invalid(message));
        }
        Ok(Geometry {
            layers: size("num_hidden_layers")?,
            hidden,
            feed_forward: size("intermediate_size")?,
            heads,
            kv_heads: size("num_key_value_heads")?,
            head_dim,
            vocab: size("vocab_size")?,
        })
    }

    fn refuse_unsupported(&self, folder: &Path) -> Result<()> {
        let refuse = |what: String| Err(Error::Unsupported { path: self.path.clone(), what });
        for key in [
            "num_local_experts",
            "num_experts",
            "n_routed_experts",
            "draft_vocab_size",
            "text_config",
            "transformer_layer_config",
        ] {
            if self.find(&[key]).is_some() {
                return refuse(format!("it has {key}, so it is no dense language model"));
            }
        }
        if let Some(method) =
            self.find(&["quantization_config"]).and_then(|q| q.get("quant_method")).filter(|m| !m.is_null())
        {
            return refuse(format!("the weights are quantized already ({method})"));
        }
        if folder.join("hf_quant_config.json").exists() {
            return refuse("hf_quant_config.json says that the weights are quantized already".to_owned());
        }
        if folder.join("modules.json").exists() || self.find(&["classifier_pooling"]).is_some() {
            return refuse("it is an embedding or ranking model".to_owned());
        }
        Ok(())
    }
}

/// What the configuration classes compute from other fields.
fn fill_derived(values: &mut Object, arch: Arch) {
    let missing = |values: &Object, key: &str| values.get(key).is_none_or(Json::is_null);
    if missing(values, "num_key_value_heads") {
        let heads = values.get("num_attention_heads").cloned().unwrap_or(Json::Null);
        values.insert("num_key_value_heads".to_owned(), heads);
    }
    // Llama alone stores the derived head size in its configuration, so it alone gets the keys for it.
    if arch == Arch::Llama && missing(values, "head_dim") {
        let hidden = values.get("hidden_size").and_then(Json::as_u64);
        let heads = values.get("num_attention_heads").and_then(Json::as_u64);
        if let (Some(hidden), Some(heads @ 1..)) = (hidden, heads) {
            values.insert("head_dim".to_owned(), Json::from(hidden / heads));
        }
    }
}
