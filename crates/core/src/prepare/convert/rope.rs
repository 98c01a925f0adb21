//! Rotary position embeddings: the scaling's keys, and the factors of Llama 3.

use serde_json::Value as Json;

use super::error::{Error, Result};
use super::files::Object;
use super::hparams::Config;
use crate::prepare::gguf::Metadata;
use crate::progress::Progress;

/// The rotary parameters of a configuration, wherever it keeps them.
pub(super) struct Rope<'a> {
    config: &'a Config,
    params: Object,
}

/// Where the base of the frequencies may stand.
const THETA: [&str; 5] =
    ["global_rope_theta", "rope_global_theta", "rope_theta_global", "rope_theta", "rotary_emb_base"];

impl<'a> Rope<'a> {
    /// Gathers them: `rope_parameters` (new) or `rope_scaling` (old), completed from the top level.
    pub fn of(config: &'a Config) -> Result<Rope<'a>> {
        let params = match config.find(&["rope_parameters", "rope_scaling"]) {
            None => Object::new(),
            Some(Json::Object(params)) => params.clone(),
            Some(other) => return Err(config.invalid(format!("rope_scaling is {other}, not an object"))),
        };
        let mut params = match params.get("full_attention") {
            Some(Json::Object(full)) => full.clone(),
            _ => params,
        };
        let mut complete = |key: &str, value: Option<&Json>| {
            if let (false, Some(value)) = (params.contains_key(key), value) {
                params.insert(key.to_owned(), value.clone());
            }
        };
        complete("rope_theta", config.find(&THETA));
        complete("original_max_position_embeddings", config.find(&["original_max_position_embeddings"]));
        if let Some(old) = params.get("type").filter(|t| !t.is_null()).cloned() {
            params.insert("rope_type".to_owned(), old);
        }
        if params.contains_key("mrope_section") {
            return Err(Error::Unsupported {
                path: config.path.clone(),
                what: "it uses multimodal RoPE (mrope_section)".to_owned(),
            });
        }
        Ok(Rope { config, params })
    }

    fn rope_type(&self) -> Result<Option<String>> {
        match self.params.get("rope_type") {
            None | Some(Json::Null) => Ok(None),
            Some(Json::String(name)) => Ok(Some(name.to_lowercase())),
            Some(other) => Err(self.config.invalid(format!("rope_type is {other}, not a name"))),
        }
    }

    /// A number; `None` when it is missing or null.
    fn number(&self, key: &str) -> Result<Option<f64>> {
        match self.params.get(key) {
            None | Some(Json::Null) => Ok(None),
            Some(value) => match value.as_f64() {
                Some(n) => Ok(Some(n)),
                None => Err(self.config.invalid(format!("{key} of the RoPE scaling is {value}, not a number"))),
            },
        }
    }

    /// Adds the scaling's keys and the base frequency.
    pub fn describe(&self, metadata: &mut Metadata, progress: &dyn Progress) -> Result<()> {
        let arch = self.config.arch.gguf_name();
        let factor = self.number("factor")?;
        match (self.rope_type()?.as_deref(), factor) {
            (None | Some("default" | "llama3"), _) => {}
            (Some(kind @ ("linear" | "yarn")), Some(factor)) => {
                metadata.set(format!("{arch}.rope.scaling.type"), kind);
                metadata.set(format!("{arch}.rope.scaling.factor"), factor as f32);
                if kind == "yarn" {
                    self.describe_yarn(metadata)?;
                }
            }
            (Some(kind @ ("su" | "longrope")), _) => {
                return Err(Error::Unsupported { path: self.config.path.clone(), what: format!("RoPE scaling \"{kind}\" needs tensors that only some architectures have") });
            }
            (Some(kind), _) => progress.warn(&format!(
                "{}: RoPE scaling \"{kind}\" has no counterpart in GGUF: the model is converted without it and will differ beyond its original context",
                self.config.path.display()
            )),
        }
        if let Some(theta) = self.number("rope_theta")? {
            metadata.set(format!("{arch}.rope.freq_base"), theta as f32);
        }
        Ok(())
    }

    fn describe_yarn(&self, metadata: &mut Metadata) -> Result<()> {
        let arch = self.config.arch.gguf_name();
        let original = self.params.get("original_max_position_embeddings").and_then(Json::as_u64);
        let Some(original) = original.and_then(|n| u32::try_from(n).ok()) else {
            return Err(self
                .config
                .invalid("YaRN scaling needs original_max_position_embeddings, a whole number".to_owned()));
        };
        metadata.set(format!("{arch}.rope.scaling.original_context_length"), original);
        let attention = if self.params.contains_key("attention_factor") { "attention_factor" } else { "attn_factor" };
        for (key, from) in [
            ("ext_factor", "extrapolation_factor"),
            ("attn_factor", attention),
            ("beta_fast", "beta_fast"),
            ("beta_slow", "beta_slow"),
        ] {
            if let Some(value) = self.number(from)? {
                metadata.set(format!("{arch}.rope.scaling.yarn_{key}"), value as f32);
            }
        }
        Ok(())
    }

    /// The divisors of Llama 3's frequencies, one per pair of rotated elements, for the tensor
    /// `rope_freqs`; `None` for other scalings.
    ///
    /// Computed in 32 bits in the order of llama.cpp's converter (`LlamaModel.generate_extra_tensors`),
    /// so that the result is the same to the bit.
    pub fn llama3_factors(&self, head_dim: usize) -> Result<Option<Vec<f32>>> {
        if !self.config.arch.is_llama() || self.rope_type()?.as_deref() != Some("llama3") {
            return Ok(None);
        }
        let base = self.number("rope_theta")?.unwrap_or(10_000.0) as f32;
        let factor = self.number("factor")?.unwrap_or(8.0) as f32;
        let low = self.number("low_freq_factor")?.unwrap_or(1.0);
        let high = self.number("high_freq_factor")?.unwrap_or(4.0);
        let old = self.number("original_max_position_embeddings")?.unwrap_or(8192.0);
        let (longest, shortest) = ((old / low) as f32, (old / high) as f32);
        let one = |i: usize| -> f32 {
            let exponent = i as f32 / head_dim as f32;
            let power = f64::from(base).powf(f64::from(exponent)) as f32;
            let frequency = 1.0 / power;
            let wavelength = (1.0 / frequency) * std::f64::consts::TAU as f32;
            if wavelength < shortest {
                1.0
            } else if wavelength > longest {
                factor
            } else {
                let smooth = ((1.0 / wavelength) * old as f32 - low as f32) / (high - low) as f32;
                1.0 / ((1.0 - smooth) / factor + smooth)
            }
        };
        Ok(Some((0..head_dim).step_by(2).map(one).collect()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::prepare::convert::tests::tiny_config;
    use crate::progress::Silent;
    use crate::testing::Dir;
    use serde_json::json;

    fn config(change: &Json) -> Config {
        let folder = Dir::new();
        let mut config = tiny_config("LlamaForCausalLM");
        config.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
        folder.write("config.json", config.to_string());
        Config::load(folder.path()).unwrap()
    }

    #[test]
    fn llama3_factors_go_from_one_to_the_factor() {
        let config = config(&json!({ "rope_theta": 500000.0, "rope_scaling": {
            "rope_type": "llama3", "factor": 32.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0, "original_max_position_embeddings": 8192 } }));
        let factors = Rope::of(&config).unwrap().llama3_factors(64).unwrap().unwrap();
        assert_eq!(factors.len(), 32);
        assert_eq!((factors[0], factors[31]), (1.0, 32.0));
        assert!(factors.windows(2).all(|w| w[0] <= w[1]));
        // From torch 2.15, by llama.cpp's converter, for the geometry of Llama 3.2 1B.
        assert_eq!(factors[14..20], EXPECTED);
    }

    /// Factors 14 to 19.
    const EXPECTED: [f32; 6] = [1.0, 1.6513293, 3.2922628, 9.666731, 32.0, 32.0];

    #[test]
    fn yarn_and_linear_have_keys_and_the_unknown_a_warning() {
        let yarn = config(
            &json!({ "rope_scaling": { "type": "yarn", "factor": 4, "original_max_position_embeddings": 4096, "beta_fast": 16.0 } }),
        );
        let mut m = Metadata::new();
        Rope::of(&yarn).unwrap().describe(&mut m, &Silent).unwrap();
        assert_eq!(m.str("llama.rope.scaling.type"), Some("yarn"));
        assert_eq!(m.u64("llama.rope.scaling.original_context_length"), Some(4096));
        assert_eq!(m.get("llama.rope.scaling.factor"), Some(&4.0f32.into()));
        assert_eq!(m.get("llama.rope.scaling.yarn_beta_fast"), Some(&16.0f32.into()));
        assert_eq!(m.get("llama.rope.scaling.yarn_beta_slow"), None);

        let incomplete = config(&json!({ "rope_scaling": { "type": "yarn", "factor": 4 } }));
        assert!(Rope::of(&incomplete).unwrap().describe(&mut Metadata::new(), &Silent).is_err());

        let dynamic = config(&json!({ "rope_scaling": { "type": "dynamic", "factor": 4 } }));
        let mut m = Metadata::new();
        Rope::of(&dynamic).unwrap().describe(&mut m, &Silent).unwrap();
        assert_eq!(m.len(), 1, "only the base frequency");
    }
}
