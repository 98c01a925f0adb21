//! What a sweep can vary, and how it is written.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// One value or a list of them; an empty list says nothing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Many<T> {
    /// `depth = 512`.
    One(T),
    /// `depth = [0, 512]`.
    List(Vec<T>),
}

impl<T> Default for Many<T> {
    fn default() -> Many<T> {
        Many::List(Vec::new())
    }
}

impl<T> Many<T> {
    /// The values.
    pub fn values(&self) -> &[T] {
        match self {
            Many::One(value) => std::slice::from_ref(value),
            Many::List(values) => values,
        }
    }

    /// Whether nothing is said.
    pub fn is_empty(&self) -> bool {
        self.values().is_empty()
    }
}

impl<T> From<Vec<T>> for Many<T> {
    fn from(values: Vec<T>) -> Many<T> {
        Many::List(values)
    }
}

/// The axes. One that is empty is not varied: the default of `run` holds.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Axes {
    /// Engines.
    #[serde(skip_serializing_if = "Many::is_empty")]
    pub engine: Many<String>,
    /// Models, as `--model` takes them.
    #[serde(skip_serializing_if = "Many::is_empty")]
    pub model: Many<String>,
    /// Built-in checkpoints, as `--size` takes them.
    #[serde(skip_serializing_if = "Many::is_empty")]
    pub size: Many<String>,
    /// Quantizations; `all` stands for the common labels that an engine offers.
    #[serde(skip_serializing_if = "Many::is_empty")]
    pub quantize: Many<String>,
    /// Prompt tokens.
    #[serde(skip_serializing_if = "Many::is_empty")]
    pub prompt_tokens: Many<u32>,
    /// Generated tokens.
    #[serde(skip_serializing_if = "Many::is_empty")]
    pub gen_tokens: Many<u32>,
    /// Tokens in the KV cache before the prompt.
    #[serde(skip_serializing_if = "Many::is_empty")]
    pub depth: Many<u32>,
    /// Threads.
    #[serde(skip_serializing_if = "Many::is_empty")]
    pub threads: Many<u32>,
    /// Logical batch.
    #[serde(skip_serializing_if = "Many::is_empty")]
    pub batch: Many<u32>,
    /// Physical batch.
    #[serde(skip_serializing_if = "Many::is_empty")]
    pub ubatch: Many<u32>,
    /// Flash attention: `on`, `off`, `auto`.
    #[serde(skip_serializing_if = "Many::is_empty")]
    pub flash_attn: Many<String>,
    /// Types of the KV cache.
    #[serde(skip_serializing_if = "Many::is_empty")]
    pub kv_type: Many<String>,
    /// Devices by the engine's name.
    #[serde(skip_serializing_if = "Many::is_empty")]
    pub device: Many<String>,
    /// Seeds.
    #[serde(skip_serializing_if = "Many::is_empty")]
    pub seed: Many<u64>,
    /// An engine's own settings.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub options: BTreeMap<String, Many<String>>,
}

impl Axes {
    /// These axes; where one is empty, that of `below`. A model is named one way: `model` replaces `size` and the reverse.
    pub fn over(&self, below: &Axes) -> Axes {
        fn pick<T: Clone>(own: &Many<T>, below: &Many<T>) -> Many<T> {
            if own.is_empty() { below.clone() } else { own.clone() }
        }
        let names_model = !self.model.is_empty() || !self.size.is_empty();
        let (model, size) = if names_model { (&self.model, &self.size) } else { (&below.model, &below.size) };
        let mut options = below.options.clone();
        options.extend(self.options.iter().map(|(name, values)| (name.clone(), values.clone())));
        Axes {
            engine: pick(&self.engine, &below.engine),
            model: model.clone(),
            size: size.clone(),
            quantize: pick(&self.quantize, &below.quantize),
            prompt_tokens: pick(&self.prompt_tokens, &below.prompt_tokens),
            gen_tokens: pick(&self.gen_tokens, &below.gen_tokens),
            depth: pick(&self.depth, &below.depth),
            threads: pick(&self.threads, &below.threads),
            batch: pick(&self.batch, &below.batch),
            ubatch: pick(&self.ubatch, &below.ubatch),
            flash_attn: pick(&self.flash_attn, &below.flash_attn),
            kv_type: pick(&self.kv_type, &below.kv_type),
            device: pick(&self.device, &below.device),
            seed: pick(&self.seed, &below.seed),
            options,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_value_and_a_list_are_both_read() {
        let axes: Axes = toml::from_str("depth = 512\nthreads = [1, 2]\nflash-attn = \"on\"").unwrap();
        assert_eq!((axes.depth.values(), axes.threads.values()), (&[512][..], &[1, 2][..]));
        assert!(axes.model.is_empty());
    }

    #[test]
    fn what_an_engine_says_replaces_the_axis_and_nothing_else() {
        let below: Axes = toml::from_str("depth = [0, 512]\nsize = \"1B\"\nthreads = 2").unwrap();
        let own: Axes = toml::from_str("depth = 0\nmodel = \"synthetic:tiny\"").unwrap();
        let both = own.over(&below);
        assert_eq!((both.depth.values(), both.threads.values()), (&[0][..], &[2][..]));
        assert!(both.size.is_empty() && both.model.values() == ["synthetic:tiny"]);
    }
}
