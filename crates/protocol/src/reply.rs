//! Worker to harness.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// One line from a worker.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Reply {
    /// The call that this answers.
    pub id: u64,
    /// What is said.
    #[serde(flatten)]
    pub body: Body,
}

/// What a reply carries. On the wire: `{"id":1,"result":{...}}`, `{"id":1,"error":{...}}`, ...
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Body {
    /// Work goes on; more replies follow.
    Progress(Progress),
    /// One token of a `complete`; more replies follow.
    Token(Streamed),
    /// The answer, last.
    Result(Answer),
    /// The failure, last. The worker stays usable unless it says otherwise by leaving.
    Error(Failure),
}

/// The answer to a request, by its kind.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Answer {
    /// To `hello`.
    Hello(Hello),
    /// To `load`.
    Loaded(Box<Loaded>),
    /// To `generate`.
    Generated(Generated),
    /// To `complete`, after its last token.
    Completed(Completed),
    /// To `score`.
    Scored(Scored),
    /// To `tokenize`.
    Tokens {
        /// The ids.
        tokens: Vec<u32>,
    },
    /// To `detokenize`.
    Pieces {
        /// Text of each token; bytes that are no UTF-8 on their own are given as they stand in the sequence, so that
        /// joining all pieces yields the whole text (an unfinished character is carried to the piece that ends it).
        pieces: Vec<String>,
    },
    /// To `quantize` and `compile`.
    Quantized(Quantized),
    /// To `unload` and `shutdown`.
    Done,
}

/// How far long work has come.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Progress {
    /// What is being done, a few words.
    pub stage: String,
    /// Units done.
    pub done: u64,
    /// Units in all, when known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub total: Option<u64>,
}

/// A token as it is streamed.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Streamed {
    /// Index of the token in this generation, from 0.
    pub index: u32,
    /// Its id.
    pub token: u32,
    /// The text that it adds; special tokens add none.
    pub piece: String,
    /// Its log-probability, nats, where it was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub logprob: Option<f32>,
    /// The most probable tokens at its place, the first of them first: id, text, log-probability.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub top: Vec<(u32, String, f32)>,
}

/// How a `complete` ended.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Completed {
    /// Tokens of the prompt.
    pub prompt_tokens: u32,
    /// Tokens that were generated: those that were streamed, and the one that ended the text, if one did.
    pub completion_tokens: u32,
    /// Why it ended.
    pub finish: Finish,
    /// Text that was held back as an unfinished character and never ended.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub rest: String,
}

/// Why a generation ended.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Finish {
    /// The model ended it.
    Stop,
    /// As many tokens as were allowed.
    #[default]
    Length,
    /// It was cancelled.
    Cancelled,
}

/// Who the worker is.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Hello {
    /// [`crate::VERSION`] of the worker.
    pub protocol: u32,
    /// `llamacpp`, `tinygrad`, ...
    pub engine: String,
    /// The engine's version as it names itself.
    pub engine_version: String,
    /// The worker's own version.
    pub worker_version: String,
    /// How the engine was built: compiler flags, features, commit; runtime and package versions.
    pub build: BTreeMap<String, String>,
    /// Devices that the engine can use here, best first.
    pub devices: Vec<Device>,
    /// Requests that this worker answers beside `hello` and `shutdown`, by method name.
    pub methods: Vec<String>,
    /// Native quantizations that the engine offers.
    pub quantizations: Vec<String>,
}

/// A device of the engine.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Device {
    /// The name that `device` takes.
    pub name: String,
    /// In words, as `NVIDIA H100 80GB HBM3`.
    pub description: String,
    /// `cpu`, `gpu`, `accel`.
    pub kind: String,
    /// Bytes of memory, where the engine tells.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory_bytes: Option<u64>,
}

/// What was really loaded.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Loaded {
    /// From the request to a model that can generate, without warm-up.
    pub load_ns: u64,
    /// The device in use, by the engine's name.
    pub device: String,
    /// The device in words.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub device_description: Option<String>,
    /// What the engine calls the quantization that it computes with.
    pub native_quantize: String,
    /// Bytes of all weights as stored for computing.
    pub weights_bytes: u64,
    /// Bytes of weights that one decode step must read: all but the rows of the token embedding that it does not touch.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub weights_read_bytes: Option<u64>,
    /// Number of parameters.
    pub n_params: u64,
    /// Bytes of KV cache allocated.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kv_bytes: Option<u64>,
    /// Bytes of KV cache per token of context.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kv_bytes_per_token: Option<u64>,
    /// Type of the KV cache.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kv_type: Option<String>,
    /// Tokens that the context holds, for each sequence.
    pub ctx_tokens: u32,
    /// Completions that may run at once; `None`: one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sequences: Option<u32>,
    /// Threads that really compute.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub threads: Option<u32>,
    /// Logical batch in use.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub batch: Option<u32>,
    /// Physical batch in use.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ubatch: Option<u32>,
    /// Whether flash attention is in use.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub flash_attn: Option<bool>,
    /// The process that computes, where that is another one than the worker (a server that it drives): memory and processor
    /// time are read there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pid: Option<u32>,
    /// Size of the vocabulary: ids are below it.
    pub vocab_size: u32,
    /// The id that begins a text, if the model has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bos: Option<u32>,
    /// The ids that end a generation, the model's principal one first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub eos: Vec<u32>,
    /// The model's chat template (Jinja), if it has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub chat_template: Option<String>,
    /// Tokens of context that the model was trained for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ctx_train: Option<u32>,
    /// Anything else worth keeping, by name.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub details: BTreeMap<String, String>,
}

/// One measured generation of N tokens. All arrays that are present have N entries, unless `step_tokens` is there.
///
/// Entry 0 is the first token: its work is the prefill of the prompt, so `done_ns[0]` is the time to first token
/// (TTFT). The entries after it are decode steps. Times are nanoseconds since the request's work began.
///
/// An engine that hands over several tokens at once, or an endpoint whose chunks are not tokens, fills `step_tokens`: then
/// all arrays but `tokens` have as many entries as `step_tokens`, whose sum is N.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Generated {
    /// Prompt tokens that were really computed inside the timed region.
    pub prompt_tokens: u32,
    /// Tokens in the KV cache before the clock started.
    pub context_tokens: u32,
    /// The greedy token of each step, N in all; none where an endpoint tells the text alone.
    pub tokens: Vec<u32>,
    /// Tokens that arrived together at each entry of `done_ns`; empty: one each.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub step_tokens: Vec<u32>,
    /// When the result of each step was there.
    pub done_ns: Vec<u64>,
    /// When the work of each step had been handed to the device; absent where the engine has no such moment.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub enqueued_ns: Vec<u64>,
    /// Bytes that the engine itself counted for each step (its own estimate of memory traffic).
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub engine_bytes: Vec<u64>,
    /// Text that each token adds, as in `pieces`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub pieces: Vec<String>,
    /// Figures that the engine reports of itself, by name with the unit in it (`decode_tokens_per_s`).
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub engine_figures: BTreeMap<String, f64>,
    /// What a reader of the figures must know, by short name (`estimated_chunks`), in words.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub warnings: BTreeMap<String, String>,
}

impl Generated {
    /// Tokens generated: one per step, unless the steps say otherwise.
    pub fn count(&self) -> u64 {
        match self.step_tokens.is_empty() {
            true => self.done_ns.len() as u64,
            false => self.step_tokens.iter().map(|&n| u64::from(n)).sum(),
        }
    }

    /// Tokens after the first step, and the time that they took, ns: the decode speed is their ratio.
    pub fn decode(&self) -> (u64, u64) {
        let first = self.step_tokens.first().copied().unwrap_or(1);
        let time = match (self.done_ns.first(), self.done_ns.last()) {
            (Some(first), Some(last)) => last.saturating_sub(*first),
            _ => 0,
        };
        (self.count().saturating_sub(u64::from(first)), time)
    }
}

/// Log-probabilities of given tokens; every array has one entry per token after the first, or after `from` where the
/// request names one.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Scored {
    /// Natural logarithm of the probability of token from+i+1 after tokens 0..=from+i.
    pub logprobs: Vec<f32>,
    /// The most probable token at that place.
    pub top_tokens: Vec<u32>,
    /// Its log-probability.
    pub top_logprobs: Vec<f32>,
}

/// What a quantization or a compilation made.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Quantized {
    /// Bytes of the files written.
    pub bytes: u64,
    /// Time that it took.
    pub elapsed_ns: u64,
}

/// Why a request failed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Failure {
    /// The kind, for decisions.
    pub kind: FailureKind,
    /// The engine's or worker's words, for people.
    pub message: String,
}

/// Kinds of failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FailureKind {
    /// The harness sent something that makes no sense (a bug or a version mismatch).
    Protocol,
    /// The request is not possible with this engine (setting, quantization, device).
    Unsupported,
    /// The model cannot be read or does not fit the engine.
    Model,
    /// Not enough memory.
    OutOfMemory,
    /// Anything that went wrong inside the engine.
    Engine,
}
