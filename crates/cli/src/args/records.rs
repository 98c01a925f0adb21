//! Everything after measuring: records and what is made of them.

use clap::Args;
use std::path::PathBuf;
use tokometer_core::plan;
use tokometer_core::record::provenance::label;

/// `show`.
#[derive(Debug, Clone, Args)]
pub struct Show {
    /// A raw log; or in the working folder the uuid of a log, the hash of a case, the name or label of a run; or latest,
    /// latest~1, ... for the newest run, the one before it
    #[arg(value_name = "RUN")]
    pub run: String,
    /// Print the result as JSON
    #[arg(long)]
    pub json: bool,
}

/// `rerun`.
#[derive(Debug, Clone, Args)]
pub struct Rerun {
    /// A raw log; or in the working folder the uuid of a log, the hash of a case, the name or label of a run; or latest,
    /// latest~1, ... for the newest run, the one before it
    #[arg(value_name = "RUN")]
    pub run: String,
    /// What to call the new run; the label of the earlier one stays with that
    #[arg(long, value_name = "NAME", value_parser = label::parse)]
    pub label: Option<String>,
    /// Print the command line and leave it at that
    #[arg(long)]
    pub dry_run: bool,
}

/// `collate`.
#[derive(Debug, Clone, Args)]
pub struct Collate {
    /// Read every log again
    #[arg(long)]
    pub rebuild: bool,
    /// Leave the analysis to the first command that asks for it
    #[arg(long)]
    pub csv_only: bool,
    /// Print the result as JSON
    #[arg(long)]
    pub json: bool,
}

/// `merge`.
#[derive(Debug, Clone, Args)]
pub struct Merge {
    /// Working folders of other machines
    #[arg(required = true, value_name = "DIR")]
    pub dirs: Vec<PathBuf>,
    /// Another name for the machine of a folder, DIR=NAME; may be repeated
    #[arg(long, value_name = "DIR=NAME")]
    pub host: Vec<String>,
    /// Say what would be done and leave it at that
    #[arg(long)]
    pub dry_run: bool,
    /// Take edited logs, and machines that differ under one hostname, too
    #[arg(long)]
    pub anyway: bool,
    /// Print the result as JSON
    #[arg(long)]
    pub json: bool,
}

/// `analyze`.
#[derive(Debug, Clone, Args)]
pub struct Analyze {
    /// These cases only: KEY=VALUE, several values with commas, as depth=0,512; may be repeated
    #[arg(long, value_name = "KEY=VALUE")]
    pub only: Vec<String>,
    /// Print the whole analysis as JSON
    #[arg(long)]
    pub json: bool,
}

/// `compare`.
#[derive(Debug, Clone, Args)]
pub struct Compare {
    /// The first set, what is compared with: a folder, a file, a run by name or label, latest~1, ...
    pub a: String,
    /// The second set
    pub b: String,
    /// Figures to compare: decode, prefill (tokens/s), ttft, tpot, e2e (ms); comma-separated [default: decode,prefill]
    #[arg(long, value_delimiter = ',', value_name = "FIGURE")]
    pub metric: Vec<String>,
    /// Differences up to this share count as the same
    #[arg(long, value_name = "SHARE", default_value = "2%", value_parser = plan::until)]
    pub within: f64,
    /// Exit with 4 when a case is established to be slower by more than this share or does not work any more
    #[arg(long, value_name = "SHARE", value_parser = plan::until)]
    pub fail_above: Option<f64>,
    /// Show ratios of what is not the same machine, model, workload or bit width, too, and judge runs of which one was
    /// disturbed
    #[arg(long)]
    pub anyway: bool,
    /// Print the result as JSON
    #[arg(long)]
    pub json: bool,
}

/// `plot`.
#[derive(Debug, Clone, Args)]
pub struct Plot {
    /// These plots only, comma-separated; or these cases only, KEY=VALUE, several values with commas, as depth=0,512; may be repeated
    #[arg(long, value_name = "NAME|KEY=VALUE")]
    pub only: Vec<String>,
}

/// `present`.
#[derive(Debug, Clone, Args)]
pub struct Present {
    /// These cases only: KEY=VALUE, several values with commas, as depth=0,512; may be repeated
    #[arg(long, value_name = "KEY=VALUE")]
    pub only: Vec<String>,
}

/// `recommend`.
#[derive(Debug, Clone, Args)]
pub struct Recommend {
    /// Decode speed, tokens/s, at least
    #[arg(long, value_name = "TOKENS/S")]
    pub min_speed: Option<f64>,
    /// Peak memory at most, as 2G or 500M: resident memory on a processor, else the device's
    #[arg(long, value_name = "SIZE", value_parser = memory)]
    pub max_memory: Option<u64>,
    /// Mean KL divergence from the unquantized model at most, nats per token
    #[arg(long, value_name = "NATS")]
    pub max_kl: Option<f64>,
    /// Accuracy on a task at least, as 0.8
    #[arg(long, value_name = "SHARE")]
    pub min_accuracy: Option<f64>,
    /// The task that accuracy is of [default: the one that most cases were evaluated on]
    #[arg(long, value_name = "NAME")]
    pub env: Option<String>,
    /// Print the result as JSON
    #[arg(long)]
    pub json: bool,
}

fn memory(text: &str) -> Result<u64, &'static str> {
    crate::settings::amount(text).ok_or("an amount with its unit, as 2G or 500M")
}

/// Commands with nothing but `--json`.
#[derive(Debug, Clone, Args)]
pub struct Json {
    /// Print the result as JSON
    #[arg(long)]
    pub json: bool,
}
