//! A group: all repetitions of one case on one host, with its figures and its labels. `gather` makes it.

use super::drift::{Change, Growth};
use super::{Estimate, Repetition, StepTimes, Surroundings, Typical};
use crate::record::{SampleUnit, ThroughputSource};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// What makes a case on a host: everything that must be equal before two samples may be averaged.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct GroupKey {
    /// The machine.
    pub host: String,
    /// `CPU`, `CUDA`, ...
    pub device: String,
    /// The model's name, or its size label.
    pub model: String,
    /// Size label.
    pub size: String,
    /// The engine.
    pub engine: String,
    /// Its version, where known.
    pub engine_version: Option<String>,
    /// The label asked for.
    pub quantize: String,
    /// What the engine computed with, where known.
    pub native_quantize: Option<String>,
    /// Measured bits per weight, where known.
    pub bits_per_weight: Option<f64>,
    /// Bytes of weights as stored, where known.
    pub weights_bytes: Option<u64>,
    /// Prompt tokens of the workload.
    pub prompt_tokens: Option<u32>,
    /// Generated tokens of the workload.
    pub gen_tokens: Option<u32>,
    /// Whether these were counted, because the log does not tell its workload: logs of other lengths stay apart.
    pub gen_tokens_counted: bool,
    /// Context depth of the workload.
    pub depth: Option<u32>,
    /// Threads really used.
    pub threads: Option<u32>,
    /// Logical batch.
    pub batch: Option<u32>,
    /// Physical batch.
    pub ubatch: Option<u32>,
    /// Flash attention.
    pub flash_attn: Option<bool>,
    /// KV cache type.
    pub kv_type: Option<String>,
    /// `step`, or `repetition` for tools that keep no more.
    pub unit: SampleUnit,
    /// Who counted the bytes of the memory throughput.
    pub throughput_source: Option<ThroughputSource>,
    /// Hash of the case, its worker and its environment, where the log has one: whatever else may differ.
    pub case: Option<String>,
}

/// One case on one host.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Group {
    /// What it is.
    pub key: GroupKey,
    /// The device in words, where known.
    pub device_description: Option<String>,
    /// Decode speed, tokens/s.
    pub decode: Option<Estimate>,
    /// Time per output token, ms.
    pub tpot: Option<Estimate>,
    /// The decode step when nothing out of the ordinary happens.
    pub typical: Option<Typical>,
    /// Time to first token, ms.
    pub ttft: Option<Estimate>,
    /// Prefill speed, tokens/s.
    pub prefill: Option<Estimate>,
    /// End-to-end latency, ms.
    pub e2e: Option<Estimate>,
    /// Memory throughput in decode, GB/s.
    pub memory: Option<Estimate>,
    /// Parameter throughput in decode, GB/s.
    pub param: Option<Estimate>,
    /// Speed where prefill and decode cannot be told apart, tokens/s.
    pub mixed: Option<Estimate>,
    /// Load time per launch, ms.
    pub load: Option<Estimate>,
    /// Warm-up time per launch, ms.
    pub warmup: Option<Estimate>,
    /// What the first token of a cold engine costs more than a warm one's, per launch, ms: TTFT of the first warm-up pass
    /// minus the mean TTFT of the launch.
    pub first_token_penalty: Option<Estimate>,
    /// Latencies of single decode steps: percentiles.
    pub steps: Option<StepTimes>,
    /// How the time per token changed during the run.
    pub changes: Vec<Change>,
    /// How it grows with the context.
    pub growth: Option<Growth>,
    /// Highest resident memory over all launches, bytes.
    pub peak_rss_bytes: Option<u64>,
    /// Highest anonymous memory over all launches, bytes.
    pub peak_anon_bytes: Option<u64>,
    /// Highest device memory over all launches, bytes.
    pub peak_device_bytes: Option<u64>,
    /// KV cache, bytes.
    pub kv_bytes: Option<u64>,
    /// What the machine was like.
    pub surroundings: Surroundings,
    /// Latencies of decode steps in ascending order, ms: the shape of their distribution. Of very many steps some hundreds
    /// that lie evenly among them, the shortest and the longest included.
    #[serde(skip)]
    pub step_order: Vec<f64>,
    /// Hash of all that the figures come from.
    #[serde(skip)]
    pub(super) inputs: String,
    /// The repetitions.
    pub repetitions: Vec<Repetition>,
    /// Names of the raw logs' uuids.
    pub uuids: Vec<String>,
    /// Reasons of launches that failed.
    pub failures: Vec<String>,
    /// Short names of warnings.
    pub warnings: Vec<String>,
    /// Whether a log of the group was cut off.
    pub interrupted: bool,
}

impl Group {
    /// `llamacpp`, or with a mark where another tool measured whole repetitions.
    pub fn engine_label(&self) -> String {
        match self.key.unit {
            SampleUnit::Repetition => format!("{} (per run)", self.key.engine),
            SampleUnit::Step => self.key.engine.clone(),
        }
    }

    /// The quantization with what it really was: `nf4 (Q4_K_M)`.
    pub fn quantize_label(&self) -> String {
        match &self.key.native_quantize {
            Some(native) if *native != self.key.quantize => format!("{} ({native})", self.key.quantize),
            _ => self.key.quantize.clone(),
        }
    }

    /// The same in few words, for narrow tables: what the engine adds after a comma is left to wider places.
    pub fn short_quantize_label(&self) -> String {
        let native = self.key.native_quantize.as_deref().and_then(|native| native.split(',').next());
        match native {
            Some(native) if native != self.key.quantize => format!("{} ({native})", self.key.quantize),
            _ => self.key.quantize.clone(),
        }
    }

    /// The case in a few words: `llamacpp nf4 (Q4_K_M)`.
    pub fn short_label(&self) -> String {
        format!("{} {}", self.engine_label(), self.short_quantize_label())
    }

    /// `prefill 512, decode 128`, with the depth where there is one; `decode 20 (counted)` of a log that does not tell.
    pub fn workload_label(&self) -> String {
        let mut parts = Vec::new();
        parts.extend(self.key.prompt_tokens.filter(|n| *n > 0).map(|n| format!("prefill {n}")));
        let counted = if self.key.gen_tokens_counted { " (counted)" } else { "" };
        parts.extend(self.key.gen_tokens.filter(|n| *n > 0).map(|n| format!("decode {n}{counted}")));
        parts.extend(self.key.depth.filter(|n| *n > 0).map(|n| format!("depth {n}")));
        parts.join(", ")
    }

    /// A figure's samples grouped by launch.
    pub fn by_launch(&self, figure: impl Fn(&Repetition) -> Option<f64>) -> Vec<Vec<f64>> {
        by_launch(&self.repetitions, figure)
    }
}

pub(super) fn by_launch(repetitions: &[Repetition], figure: impl Fn(&Repetition) -> Option<f64>) -> Vec<Vec<f64>> {
    let mut launches: BTreeMap<usize, Vec<f64>> = BTreeMap::new();
    for repetition in repetitions {
        if let Some(value) = figure(repetition) {
            launches.entry(repetition.launch).or_default().push(value);
        }
    }
    launches.into_values().collect()
}
