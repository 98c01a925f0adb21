//! A case: engine x model x quantization x workload x settings.

use super::{Error, Result};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// What is computed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Workload {
    /// Prompt tokens: the prefill.
    pub prompt_tokens: u32,
    /// Generated tokens; the first one ends the prefill, the others are decode steps.
    pub gen_tokens: u32,
    /// Tokens in the KV cache before the prompt.
    pub depth: u32,
}

impl Default for Workload {
    fn default() -> Workload {
        Workload { prompt_tokens: 512, gen_tokens: 128, depth: 0 }
    }
}

impl Workload {
    /// Tokens that the KV cache must hold. Saturates; [`Workload::validate`] bounds it.
    pub fn ctx_tokens(&self) -> u32 {
        self.depth.saturating_add(self.prompt_tokens).saturating_add(self.gen_tokens)
    }

    /// Checks that it can be measured.
    pub fn validate(&self) -> Result<()> {
        if self.prompt_tokens == 0 {
            return Err(Error::Invalid(
                "--prompt-tokens must be at least 1: an engine needs something to start from".into(),
            ));
        }
        if self.gen_tokens < 2 {
            return Err(Error::Invalid("--gen-tokens must be at least 2: the first token ends the prefill, the second is the first decode step".into()));
        }
        if self.ctx_tokens() > 16_000_000 {
            return Err(Error::Invalid(format!(
                "depth + prompt + generated are {} tokens; the limit is 16,000,000",
                self.ctx_tokens()
            )));
        }
        Ok(())
    }
}

/// How the engine is set up. `None` is the engine's own default.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Settings {
    /// Threads; resolved before the case is hashed, so `None` only in plans.
    pub threads: Option<u32>,
    /// Logical batch.
    pub batch: Option<u32>,
    /// Physical batch.
    pub ubatch: Option<u32>,
    /// Flash attention.
    pub flash_attn: Option<bool>,
    /// KV cache type.
    pub kv_type: Option<String>,
    /// Device by the engine's name.
    pub device: Option<String>,
    /// Engine-specific settings.
    pub options: BTreeMap<String, String>,
    /// Bytes of memory that the worker may use. Left out without a limit: hashes stay as they were.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory_limit: Option<u64>,
}

/// How often things are measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Schedule {
    /// Launches (starts of the engine's process) of each case, spread evenly over the rounds.
    pub launches: u32,
    /// Repetitions in each round.
    pub repetitions: u32,
    /// Warm-up passes after a start; a worker that stayed loaded gets one at most, and none where nothing else computed meanwhile.
    pub warmup: u32,
}

impl Default for Schedule {
    fn default() -> Schedule {
        Schedule { launches: 3, repetitions: 5, warmup: 1 }
    }
}

impl Schedule {
    /// For a look: one launch, two repetitions.
    pub fn quick() -> Schedule {
        Schedule { launches: 1, repetitions: 2, warmup: 1 }
    }

    /// Checks that it measures something.
    pub fn validate(&self) -> Result<()> {
        if self.launches == 0 || self.repetitions == 0 {
            return Err(Error::Invalid("--launches and --repetitions must be at least 1".into()));
        }
        if self.launches.max(self.repetitions).max(self.warmup) > 1_000_000 {
            return Err(Error::Invalid("--launches, --repetitions and --warmup must be at most 1,000,000".into()));
        }
        Ok(())
    }
}

/// One case.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Case {
    /// The engine.
    pub engine: String,
    /// The model as it was named, canonical.
    pub model: String,
    /// The quantization's label.
    pub quantize: String,
    /// The native quantization that it stands for.
    pub native: String,
    /// The workload.
    pub workload: Workload,
    /// The settings.
    pub settings: Settings,
    /// Draws the prompt and the order of the rounds.
    pub seed: u64,
}

impl Case {
    /// Twelve hex digits of the sha256 of everything that defines the case.
    pub fn hash(&self) -> String {
        crate::fingerprint::of_value(self)[..12].to_owned()
    }

    /// `llamacpp nf4 (Q4_K_M)`.
    pub fn title(&self) -> String {
        match self.quantize == self.native || self.native.is_empty() {
            true => format!("{} {}", self.engine, self.quantize),
            false => format!("{} {} ({})", self.engine, self.quantize, self.native),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_knows_every_field() {
        let case = Case {
            engine: "llamacpp".into(),
            model: "synthetic:tiny".into(),
            quantize: "nf4".into(),
            native: "Q4_K_M".into(),
            workload: Workload::default(),
            settings: Settings::default(),
            seed: 42,
        };
        let mut other = case.clone();
        other.settings.threads = Some(2);
        assert_ne!(case.hash(), other.hash());
        assert_eq!(case.hash(), case.clone().hash());
        assert_eq!(case.hash().len(), 12);
        let mut limited = case.clone();
        limited.settings.memory_limit = Some(64_000_000);
        assert_ne!(case.hash(), limited.hash());
        assert!(!serde_json::to_string(&case).unwrap().contains("memory_limit"));
    }

    #[test]
    fn a_workload_without_a_decode_step_is_refused() {
        let one = Workload { gen_tokens: 1, ..Workload::default() };
        assert!(one.validate().unwrap_err().to_string().contains("--gen-tokens"));
        let huge = Workload { depth: u32::MAX, ..Workload::default() };
        assert!(huge.validate().is_err());
    }
}
