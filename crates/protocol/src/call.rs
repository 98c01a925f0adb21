//! Harness to worker.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// One line from the harness: a request and the number that its replies carry.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Call {
    /// Chosen by the harness, repeated in every reply to this call.
    pub id: u64,
    /// What is asked.
    #[serde(flatten)]
    pub request: Request,
}

/// What the harness can ask of a worker.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "method", rename_all = "snake_case")]
pub enum Request {
    /// The handshake, always first. Answered by [`crate::Hello`].
    Hello {
        /// [`crate::VERSION`] of the harness.
        protocol: u32,
    },
    /// Load a model and make it ready to generate. Answered by [`crate::Loaded`].
    Load(Load),
    /// Prefill a prompt and generate exactly N tokens. Answered by [`crate::Generated`].
    Generate(Generate),
    /// Continue a prompt for a user, token by token, until the model ends it. Sends a `token` reply for each token;
    /// answered by [`crate::Completed`].
    Complete(Complete),
    /// Ends a `complete` that is running after its current token; gets no reply of its own. A worker reads it while it
    /// computes. Of a call that is over or unknown it is ignored.
    Cancel {
        /// The number of the call to end.
        call: u64,
    },
    /// Log-probabilities of given tokens. Answered by [`crate::Scored`].
    Score {
        /// The sequence, at least two tokens; token 0 is context only.
        tokens: Vec<u32>,
        /// Index of the first token whose prediction of the next one is wanted: the answer begins with the
        /// log-probability of token `from + 1`. 0 wants all; what lies before is context only.
        #[serde(default, skip_serializing_if = "is_zero")]
        from: u32,
        /// A file to write the log-probabilities of the whole vocabulary to, for every position of the answer: natural
        /// logarithms as little-endian f32, a row of [`crate::Loaded::vocab_size`] values for each position, nothing else.
        /// The harness makes the folder and removes the file; the worker need not sync it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        full: Option<String>,
    },
    /// Text to token ids with the model's tokenizer. Answered by `tokens`.
    Tokenize {
        /// The text.
        text: String,
        /// Whether the model's own BOS/EOS are added as its tokenizer is configured.
        add_special: bool,
        /// Whether the names of special tokens inside the text (`<|eot_id|>`) become those tokens, as chat templates need
        /// it; otherwise they are text like any other, where the engine's tokenizer can tell the two apart.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        parse_special: bool,
    },
    /// Token ids to the text of each token. Answered by `pieces`.
    Detokenize {
        /// The ids.
        tokens: Vec<u32>,
    },
    /// Quantize a model file (no model needs to be loaded). Answered by [`crate::Quantized`].
    Quantize {
        /// The file to read.
        input: String,
        /// The file to write; the caller renames it into place.
        output: String,
        /// The engine's name of the type, as `Q4_K_M`.
        native: String,
        /// Threads to use.
        threads: u32,
    },
    /// Compile a prepared model for a target, for engines that run compiled libraries (no model needs to be loaded).
    /// Answered by [`crate::Quantized`].
    Compile(Compile),
    /// Free the model. Answered by `done`.
    Unload,
    /// Leave. Answered by `done`, then the process ends.
    Shutdown,
}

// serde hands over a reference.
fn is_zero(n: &u32) -> bool {
    *n == 0
}

/// How a model is to be loaded. A setting that an engine does not know and that is not at its default is an error
/// of kind `unsupported`, never silently ignored.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Load {
    /// File or folder, in the engine's own format.
    pub model: String,
    /// Tokens that the KV cache must hold for each sequence: depth + prompt + generated.
    pub ctx_tokens: u32,
    /// Sequences that are computed together, each with room of its own in the KV cache; `None`: one. An engine that can do
    /// only one at a time says so by [`crate::Loaded::sequences`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sequences: Option<u32>,
    /// Threads for decode and prefill; `None` leaves it to the engine.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub threads: Option<u32>,
    /// The largest number of prompt tokens that are submitted at once (logical batch).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub batch: Option<u32>,
    /// The largest number of tokens computed at once (physical batch).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ubatch: Option<u32>,
    /// Flash attention: on, off, or the engine's own choice.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub flash_attn: Option<bool>,
    /// Type of the KV cache (`f16`, `q8_0`, ...); `None` is the engine's default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kv_type: Option<String>,
    /// Device by the engine's name (`CPU`, `CUDA0`); `None` is the engine's choice.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub device: Option<String>,
    /// For engines that quantize while loading: the native name of the quantization.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub quantize: Option<String>,
    /// Engine-specific settings by name.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub options: BTreeMap<String, String>,
}

/// What a library is compiled for.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Compile {
    /// The folder with the converted weights.
    pub model: String,
    /// The file to write; the caller renames its folder into place.
    pub output: String,
    /// Device by the engine's name.
    pub device: String,
    /// Tokens of context that the library must be able to hold.
    pub ctx_tokens: u32,
    /// The largest number of prompt tokens computed at once.
    pub prefill_chunk: u32,
    /// Threads to use.
    pub threads: u32,
    /// Engine-specific settings by name.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub options: BTreeMap<String, String>,
}

/// One pass of the workload. EOS is ignored, sampling is greedy, the prefix cache is off or defeated.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Generate {
    /// Token ids of the prompt, at least one.
    pub prompt: Vec<u32>,
    /// Exactly this many tokens are generated, at least one.
    pub gen_tokens: u32,
    /// Tokens put into the KV cache before the clock starts: the context depth.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub context: Vec<u32>,
    /// Tokens that replace the sampled ones as the input of the next step (teacher forcing), so that every engine
    /// computes the same sequence. Empty: the engine's own greedy tokens.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub forced: Vec<u32>,
}

/// One request of a user. Every request is computed from scratch: nothing is kept from the one before. Up to
/// [`crate::Loaded::sequences`] of them may be asked for before the first is answered.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Complete {
    /// Token ids of the prompt, at least one.
    pub prompt: Vec<u32>,
    /// At most this many tokens are generated, at least one. Prompt and generated tokens must fit into the context.
    pub max_tokens: u32,
    /// Logits are divided by it before sampling; 0 always takes the most probable token.
    pub temperature: f32,
    /// Only the most probable tokens are drawn from, as few as reach this probability together at that temperature; 1: all.
    pub top_p: f32,
    /// Draws the tokens. The same worker on the same machine draws the same tokens again.
    pub seed: u64,
    /// Go on after tokens that end a generation; they are tokens like any other then.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub ignore_eos: bool,
    /// Tell the log-probability of each token and of this many of the most probable ones (0: of the token alone), all of the
    /// model's own distribution, before temperature and top_p. `None`: tell none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub top_logprobs: Option<u32>,
}

impl Default for Complete {
    fn default() -> Complete {
        Complete {
            prompt: Vec::new(),
            max_tokens: 1,
            temperature: 0.0,
            top_p: 1.0,
            seed: 0,
            ignore_eos: false,
            top_logprobs: None,
        }
    }
}
