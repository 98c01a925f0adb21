//! What an engine computes, not how fast: evaluations, distances, agreement.

use super::Selection;
use clap::Args;
use std::path::PathBuf;
use tokometer_core::plan;

/// `eval`.
#[derive(Debug, Clone, Args)]
pub struct Eval {
    /// What.
    #[command(flatten)]
    pub selection: Selection,
    /// Environments, comma-separated: built-in names, .jsonl files, vf:NAME, lm:TASK
    #[arg(long, value_delimiter = ',', value_name = "NAME", required_unless_present = "import")]
    pub env: Vec<String>,
    /// Most examples of each environment [default: all]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub num_examples: Option<u64>,
    /// Most tokens of a reply [default: what each example says]
    #[arg(long, value_name = "T", value_parser = clap::value_parser!(u32).range(1..))]
    pub max_tokens: Option<u32>,
    /// Differences of the mean score up to this share count as the same
    #[arg(long, value_name = "SHARE", default_value = "2%", value_parser = plan::until)]
    pub within: f64,
    /// Evaluations that run at a time; without --threads the logical processors are divided between them
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    pub jobs: u32,
    /// Evaluate anew what has a finished result; earlier results stay
    #[arg(long)]
    pub again: bool,
    /// Seconds that starting an endpoint, or one request, may take; without a token for so long the engine counts as hung
    #[arg(long, value_name = "S", default_value_t = 900)]
    pub timeout: u64,
    /// Read a result of the older line of vf-eval instead: what it printed, or the folder that it saved
    #[arg(long, value_name = "PATH", conflicts_with_all = ["env", "num_examples", "max_tokens", "again"])]
    pub import: Option<PathBuf>,
    /// What `distance` takes.
    #[command(flatten)]
    pub distance: DistanceFlags,
    /// Device by the engine's name
    #[arg(long, value_name = "D")]
    pub device: Option<String>,
}

/// What `eval --env distance` takes beside what every evaluation takes.
#[derive(Debug, Clone, Args)]
pub struct DistanceFlags {
    /// The text to predict, a UTF-8 file [default: one that comes with the program]
    #[arg(long, value_name = "FILE", help_heading = "Distance")]
    pub text: Option<PathBuf>,
    /// Tokens of a chunk; fewer where the model or the text has less
    #[arg(long, value_name = "N", default_value_t = 512, value_parser = clap::value_parser!(u32).range(8..), help_heading = "Distance")]
    pub ctx: u32,
    /// At most so many chunks [default: the whole text]
    #[arg(long, value_name = "N", help_heading = "Distance")]
    pub chunks: Option<usize>,
    /// The original: a quantization, of each engine by itself, or ENGINE:QUANTIZATION for all
    #[arg(long, value_name = "[E:]Q", default_value = "float16", help_heading = "Distance")]
    pub base: String,
}

/// `verify`.
#[derive(Debug, Clone, Args)]
pub struct Verify {
    /// What.
    #[command(flatten)]
    pub selection: Selection,
    /// Tokens to compare
    #[arg(long, value_name = "N", default_value_t = 300)]
    pub tokens: u32,
    /// Draws the tokens [default: 42]
    #[arg(long, value_name = "N")]
    pub seed: Option<u64>,
    /// Device by the engine's name
    #[arg(long, value_name = "D")]
    pub device: Option<String>,
    /// Largest mean difference of log-probabilities that counts as agreement, in nats
    #[arg(long, value_name = "NATS", default_value_t = 0.02)]
    pub tolerance: f64,
}
