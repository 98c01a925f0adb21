//! Serving a model over HTTP.

use super::Selection;
use clap::Args;

/// `serve`.
#[derive(Debug, Clone, Args)]
pub struct Serve {
    /// What: one engine, one quantization.
    #[command(flatten)]
    pub selection: Selection,
    /// Port to listen on; 0 takes any that is free
    #[arg(long, value_name = "P", default_value_t = 8000)]
    pub port: u16,
    /// Address to listen on; only programs on this machine reach the default
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1")]
    pub host: String,
    /// Key that clients must send [default: TOKOMETER_API_KEY, which other users of the machine cannot see]
    #[arg(long, value_name = "KEY")]
    pub api_key: Option<String>,
    /// Tokens that prompt and answer may have together
    #[arg(long, value_name = "N", default_value_t = 4096)]
    pub ctx_size: u32,
    /// Device by the engine's name, as CPU or CUDA0 (see `tokometer doctor`) [default: the engine's choice]
    #[arg(long, value_name = "D")]
    pub device: Option<String>,
    /// An engine's own setting, NAME=VALUE; may be repeated
    #[arg(long = "option", value_name = "NAME=VALUE")]
    pub options: Vec<String>,
    /// Requests that are computed at once, where the engine can (llamacpp); each has a context of --ctx-size in memory. Faster for many
    /// clients; but what runs beside a request may change the last digits of its logits, and so its tokens
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=64))]
    pub parallel: u32,
    /// Prompts that may wait for their turn; more are refused with 503, and with 400 if one request alone has more
    #[arg(long, value_name = "N", default_value_t = 256)]
    pub parallel_queue: usize,
    /// Seconds without a token after which the engine counts as hung
    #[arg(long, value_name = "S", default_value_t = 900)]
    pub timeout: u64,
    /// Seconds in which a client takes nothing of its answer, or sends no whole request head, after which it counts as gone
    #[arg(long, value_name = "S", default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..))]
    pub client_timeout: u64,
}
