//! Combinations that are left out.

use super::Many;
use crate::plan::Case;
use serde::{Deserialize, Serialize};

/// Leaves out every case that agrees with all that is named here; a list agrees where one of its values does.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Rule {
    /// Engines.
    pub engine: Many<String>,
    /// Models, as they are named.
    pub model: Many<String>,
    /// Quantizations: label or native name.
    pub quantize: Many<String>,
    /// Prompt tokens.
    pub prompt_tokens: Many<u32>,
    /// Generated tokens.
    pub gen_tokens: Many<u32>,
    /// Depths.
    pub depth: Many<u32>,
    /// Threads.
    pub threads: Many<u32>,
    /// Logical batches.
    pub batch: Many<u32>,
    /// Physical batches.
    pub ubatch: Many<u32>,
    /// KV cache types.
    pub kv_type: Many<String>,
    /// Devices.
    pub device: Many<String>,
}

impl Rule {
    /// Whether it names anything at all.
    pub fn says_something(&self) -> bool {
        *self != Rule::default()
    }

    /// Whether the case agrees with all that is named.
    pub fn matches(&self, case: &Case) -> bool {
        let text = |many: &Many<String>, value: &str| {
            many.is_empty() || many.values().iter().any(|one| one.eq_ignore_ascii_case(value))
        };
        let optional = |many: &Many<String>, value: &Option<String>| text(many, value.as_deref().unwrap_or_default());
        let number = |many: &Many<u32>, value: Option<u32>| {
            many.is_empty() || value.is_some_and(|value| many.values().contains(&value))
        };
        let (workload, settings) = (&case.workload, &case.settings);
        text(&self.engine, &case.engine)
            && text(&self.model, &case.model)
            && (text(&self.quantize, &case.quantize) || text(&self.quantize, &case.native))
            && number(&self.prompt_tokens, Some(workload.prompt_tokens))
            && number(&self.gen_tokens, Some(workload.gen_tokens))
            && number(&self.depth, Some(workload.depth))
            && number(&self.threads, settings.threads)
            && number(&self.batch, settings.batch)
            && number(&self.ubatch, settings.ubatch)
            && optional(&self.kv_type, &settings.kv_type)
            && optional(&self.device, &settings.device)
    }
}
