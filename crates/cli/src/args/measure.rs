//! Measuring one model: how often, within which limits, with which workload and settings.

use super::Selection;
use clap::Args;
use tokometer_core::plan;
use tokometer_core::record::provenance::label;
use tokometer_core::run::Residency;

/// `run` and `all`.
#[derive(Debug, Clone, Args)]
pub struct Run {
    /// What.
    #[command(flatten)]
    pub selection: Selection,
    /// What to call this run: `compare`, `show` and `rerun` find it by this name
    #[arg(long, value_name = "NAME", value_parser = label::parse)]
    pub label: Option<String>,
    /// Draws the prompt and the order of the rounds [default: 42]
    #[arg(long, value_name = "N")]
    pub seed: Option<u64>,
    /// Prompt tokens: the prefill [default: 512]
    #[arg(long, value_name = "N")]
    pub prompt_tokens: Option<u32>,
    /// Generated tokens: the first ends the prefill, the others are decode steps [default: 128]
    #[arg(long, value_name = "N")]
    pub gen_tokens: Option<u32>,
    /// Tokens in the KV cache before the prompt
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub depth: u32,
    /// How often.
    #[command(flatten)]
    pub often: Often,
    /// Flash attention: on, off, or auto as the engine likes
    #[arg(long, value_name = "WHEN", default_value = "auto", value_parser = ["auto", "on", "off"])]
    pub flash_attn: String,
    /// Type of the KV cache, as f16 or q8_0 [default: the engine's]
    #[arg(long, value_name = "TYPE")]
    pub kv_type: Option<String>,
    /// Device by the engine's name, as CPU or CUDA0 (see `tokometer doctor`) [default: the engine's choice]
    #[arg(long, value_name = "D")]
    pub device: Option<String>,
    /// Logical batch: prompt tokens submitted at once [default: the engine's]
    #[arg(long, value_name = "N")]
    pub batch: Option<u32>,
    /// Physical batch: tokens computed at once [default: the engine's]
    #[arg(long, value_name = "N")]
    pub ubatch: Option<u32>,
    /// How the engine is driven: in the worker's own process, or through the HTTP server that it brings (mlc_llm)
    #[arg(long, value_name = "WAY", value_parser = ["engine", "serve"])]
    pub via: Option<String>,
    /// An engine's own setting, NAME=VALUE; may be repeated
    #[arg(long = "option", value_name = "NAME=VALUE")]
    pub options: Vec<String>,
    /// What a worker may take.
    #[command(flatten)]
    pub limits: Limits,
}

/// How often each case is measured, what ends that, and who stays loaded meanwhile.
#[derive(Debug, Clone, Args)]
pub struct Often {
    /// Launches (starts of the engine's process) of each case, spread evenly over the rounds [default: 3]
    #[arg(long, value_name = "N")]
    pub launches: Option<u32>,
    /// Rounds; at most so many with --until or --budget [default: one for each launch]
    #[arg(long, value_name = "N")]
    pub rounds: Option<u32>,
    /// Add rounds until the 95% interval of every figure is within this share on either side, as 1%: looked at
    /// after 8, 10, 13, 17, ... rounds, and it ends at the second such look in a row
    #[arg(long, value_name = "P%", value_parser = plan::until)]
    pub until: Option<f64>,
    /// With --until: of the ratio of every case to the first one, taken round by round, instead of every figure
    #[arg(long)]
    pub ratios: bool,
    /// Begin no round that would end later than this after the first began, as 90s, 10m or 1h
    #[arg(long, value_name = "TIME", value_parser = plan::budget)]
    pub budget: Option<u64>,
    /// Keep engines loaded between rounds: auto (where memory allows), always, never
    #[arg(long, value_name = "WHEN", default_value = "auto", value_parser = residency)]
    pub resident: Residency,
    /// Repetitions of each case in a round [default: 5]
    #[arg(long, value_name = "N")]
    pub repetitions: Option<u32>,
    /// Warm-up passes after a start, never in the figures; an engine that stayed loaded gets one at most, and none where nothing else
    /// computed meanwhile
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub warmup: u32,
    /// For a look: 1 launch, 2 repetitions, 128 prompt and 32 generated tokens, unless given
    #[arg(long)]
    pub quick: bool,
}

/// What a worker may take.
#[derive(Debug, Clone, Args)]
pub struct Limits {
    /// Memory that each worker may use, as 6G or 500M; one that needs more is recorded as out of memory [default: no limit]
    #[arg(long, value_name = "SIZE")]
    pub memory_limit: Option<String>,
    /// Seconds without an answer after which a worker counts as hung
    #[arg(long, value_name = "S", default_value_t = 900)]
    pub timeout: u64,
}

fn residency(text: &str) -> Result<Residency, &'static str> {
    match text {
        "auto" => Ok(Residency::Auto),
        "always" => Ok(Residency::Always),
        "never" => Ok(Residency::Never),
        _ => Err("auto, always or never"),
    }
}
