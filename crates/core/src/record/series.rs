//! What every raw log comes down to, whoever wrote it: series of steps, each with the context it was measured in.
//!
//! Readers of the formats produce this; `collate` turns it into rows. A field that a format does not know is `None`.

use serde::{Deserialize, Serialize};

/// All that one raw log holds.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Log {
    /// The series, in the order of the file.
    pub series: Vec<Series>,
}

/// Steps that share a context: one repetition of one launch, or one run of another tool.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Series {
    /// What was measured, where and how.
    pub context: Context,
    /// The samples, in order. Empty for a launch that failed before it measured anything.
    pub steps: Vec<Step>,
}

/// What all steps of a series have in common.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Context {
    /// `llamacpp`, `tinygrad`, `mlc_llm`, ...; names the CSV file.
    pub engine: String,
    /// As the engine names it.
    pub engine_version: Option<String>,
    /// Operating system, as `Linux`.
    pub platform: Option<String>,
    /// Its release, as `6.1.0`.
    pub release: Option<String>,
    /// Device in the seed workflow's sense: `CPU`, `CUDA`, `METAL`.
    pub device: Option<String>,
    /// The device in words: processor or GPU model.
    pub device_description: Option<String>,
    /// Who ran it.
    pub username: Option<String>,
    /// On which machine.
    pub hostname: Option<String>,
    /// Size label of the model, as `1B`.
    pub size: Option<String>,
    /// The quantization asked for (the common label).
    pub quantize: Option<String>,
    /// The seed of the run.
    pub seed: Option<u64>,
    /// Eight hex digits that name the log.
    pub uuid: Option<String>,
    /// What the engine really computed with.
    pub native_quantize: Option<String>,
    /// Bits per weight as measured: 8 x bytes of tensors / parameters.
    pub bits_per_weight: Option<f64>,
    /// Bytes of the weights as stored.
    pub weights_bytes: Option<u64>,
    /// The model's name.
    pub model: Option<String>,
    /// Launch (start of the engine's process), from 1.
    pub launch: Option<u32>,
    /// Round, from 1.
    pub round: Option<u32>,
    /// Repetition inside the launch, from 1.
    pub repetition: Option<u32>,
    /// Prompt tokens of the workload.
    pub prompt_tokens: Option<u32>,
    /// Generated tokens of the workload.
    pub gen_tokens: Option<u32>,
    /// Context depth of the workload: tokens in the KV cache before the prompt.
    pub depth: Option<u32>,
    /// Threads really used.
    pub threads: Option<u32>,
    /// Logical batch.
    pub batch: Option<u32>,
    /// Physical batch.
    pub ubatch: Option<u32>,
    /// Whether flash attention was in use.
    pub flash_attn: Option<bool>,
    /// Type of the KV cache.
    pub kv_type: Option<String>,
    /// Bytes of KV cache allocated.
    pub kv_bytes: Option<u64>,
    /// Who counted the bytes behind `memory_throughput_gb_s`.
    pub throughput_source: Option<ThroughputSource>,
    /// Time to load the model in this launch, ms.
    pub load_ms: Option<f64>,
    /// Time of the warm-up in this launch, ms.
    pub warmup_ms: Option<f64>,
    /// Time to the first token that the launch ever made, in its first warm-up pass, ms.
    pub cold_ttft_ms: Option<f64>,
    /// Highest resident memory of the launch, bytes.
    pub peak_rss_bytes: Option<u64>,
    /// Highest anonymous memory of the launch, bytes.
    pub peak_anon_bytes: Option<u64>,
    /// Highest device memory of the launch, bytes.
    pub peak_device_bytes: Option<u64>,
    /// Time to compile and record the kernels after the load in this launch, ms; cold or warm, as it was.
    pub jit_ms: Option<f64>,
    /// Kernels that the device runs in one decode step, as the engine counts them.
    pub kernels: Option<u64>,
    /// Memory bandwidth that the probes around it measured with as many threads, GB/s; CPU only.
    pub probe_gb_s: Option<f64>,
    /// Arithmetic in float32 that they measured, 10^9 operations/s; CPU only.
    pub probe_gflops: Option<f64>,
    /// Last-level cache within reach of the threads, bytes.
    pub cache_bytes: Option<u64>,
    /// Frequency of the processors at work, MHz.
    pub freq_mhz: Option<f64>,
    /// Highest temperature of the processor in the launch, degrees Celsius.
    pub temperature_c: Option<f64>,
    /// Times that a core was slowed down for its heat in the launch.
    pub throttle_events: Option<u64>,
    /// Processor time that a hypervisor gave to others in the launch, percent.
    pub steal_percent: Option<f64>,
    /// Energy of the repetition beyond idling / generated tokens, J; the prefill is in it.
    pub joules_per_token: Option<f64>,
    /// Who counted the energy, as `rapl+nvml`.
    pub energy_source: Option<String>,
    /// Content hash of the case.
    pub case: Option<String>,
    /// Name of the run that the case belonged to (cases of one run were measured in turn, by rounds).
    pub run: Option<String>,
    /// How it ended.
    pub status: Status,
    /// Why it failed.
    pub reason: Option<String>,
    /// Short names of the warnings that apply.
    pub warnings: Vec<String>,
}

/// One sample: a step, or a whole repetition where the other tool keeps no more.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Step {
    /// Index of the step in its series, from 0; `None` for a repetition.
    pub step: Option<u32>,
    /// What kind of work it was.
    pub phase: Phase,
    /// What the row is.
    pub unit: SampleUnit,
    /// Tokens that were computed in this sample: the prompt for a prefill step, 1 for a decode step.
    pub tokens: Option<u32>,
    /// Tokens in the KV cache before the step.
    pub position: Option<u32>,
    /// Time until the work was handed to the device, ms.
    pub enqueue_ms: Option<f64>,
    /// Wall time of the sample, ms.
    pub total_ms: Option<f64>,
    /// As the other tool printed it. `None`: derive from `total_ms` (decode steps only).
    pub tokens_per_sec: Option<f64>,
    /// Bytes read and written / time, GB/s.
    pub memory_gb_s: Option<f64>,
    /// Bytes of weights / time, GB/s.
    pub param_gb_s: Option<f64>,
    /// The text that the step added. A tool that prints the text so far is read back to this.
    pub text: Option<String>,
}

/// The kind of work in a sample.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Phase {
    /// The prompt up to and including the first token.
    Prefill,
    /// One or more tokens after the first.
    #[default]
    Decode,
    /// Both in one figure, by a tool that does not tell them apart.
    Mixed,
}

/// What a row stands for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SampleUnit {
    /// One step.
    #[default]
    Step,
    /// A whole repetition; never to be mixed with steps.
    Repetition,
}

impl SampleUnit {
    /// The word for it, as in rows.
    pub fn word(self) -> &'static str {
        match self {
            SampleUnit::Step => "step",
            SampleUnit::Repetition => "repetition",
        }
    }
}

/// Who counted the bytes that a step moved.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ThroughputSource {
    /// Weights as stored plus KV cache at that depth.
    Model,
    /// The engine's own count.
    Engine,
}

impl ThroughputSource {
    /// The word for it, as in rows.
    pub fn word(self) -> &'static str {
        match self {
            ThroughputSource::Model => "model",
            ThroughputSource::Engine => "engine",
        }
    }
}

/// How a series ended.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Status {
    /// Measured to the end.
    #[default]
    Ok,
    /// The log has no closing line: the run was cut off, what is there was measured.
    Interrupted,
    /// The launch failed.
    Failed,
}

/// A derived rate with six decimals: it is printed with every row, and the times that it comes from have no more digits.
pub fn to_millionths(value: f64) -> f64 {
    let scaled = (value * 1e6).round();
    // Small rates keep their digits, and what is too large has none behind the point.
    if (1e5..9e15).contains(&scaled) { scaled / 1e6 } else { value }
}
