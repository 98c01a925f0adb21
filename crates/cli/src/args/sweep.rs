//! Sweeps: the axes, and what becomes of them.

use super::measure::{Limits, Often};
use clap::{Arg, Args};
use std::path::PathBuf;

/// `sweep`. What is a list here is an axis.
#[derive(Debug, Clone, Args)]
#[command(mut_args = of_blocks)]
pub struct Sweep {
    /// Engines, comma-separated [default: all that are installed]
    #[arg(long, value_delimiter = ',', value_name = "E", help_heading = "Axes")]
    pub engine: Vec<String>,
    /// The models.
    #[arg(
        long,
        value_delimiter = ',',
        value_name = "M",
        help_heading = "Axes",
        help = "Models: hf:org/name[@revision], folders, .gguf files, synthetic:tiny|60M|1B|3B|8B"
    )]
    pub model: Vec<String>,
    /// Built-in checkpoints: 1B, 3B, 8B, 70B, 405B (Llama 3 Instruct)
    #[arg(long, value_delimiter = ',', value_name = "SIZE", help_heading = "Axes")]
    pub size: Vec<String>,
    /// all (the four common labels), labels, or native names of an engine [default: all]
    #[arg(long, value_delimiter = ',', value_name = "Q", help_heading = "Axes")]
    pub quantize: Vec<String>,
    /// Prompt tokens [default: 512]
    #[arg(long, value_delimiter = ',', value_name = "N", help_heading = "Axes")]
    pub prompt_tokens: Vec<u32>,
    /// Generated tokens [default: 128]
    #[arg(long, value_delimiter = ',', value_name = "N", help_heading = "Axes")]
    pub gen_tokens: Vec<u32>,
    /// Tokens in the KV cache before the prompt [default: 0]
    #[arg(long, value_delimiter = ',', value_name = "N", help_heading = "Axes")]
    pub depth: Vec<u32>,
    /// Threads [default: one per physical core]
    #[arg(long, value_delimiter = ',', value_name = "N", help_heading = "Axes")]
    pub threads: Vec<u32>,
    /// Logical batches [default: the engine's]
    #[arg(long, value_delimiter = ',', value_name = "N", help_heading = "Axes")]
    pub batch: Vec<u32>,
    /// Physical batches [default: the engine's]
    #[arg(long, value_delimiter = ',', value_name = "N", help_heading = "Axes")]
    pub ubatch: Vec<u32>,
    /// Types of the KV cache [default: the engine's]
    #[arg(long, value_delimiter = ',', value_name = "TYPE", help_heading = "Axes")]
    pub kv_type: Vec<String>,
    /// Flash attention: on, off, auto
    #[arg(long, value_delimiter = ',', value_name = "WHEN", value_parser = ["auto", "on", "off"], help_heading = "Axes")]
    pub flash_attn: Vec<String>,
    /// Devices by the engine's name
    #[arg(long, value_delimiter = ',', value_name = "D", help_heading = "Axes")]
    pub device: Vec<String>,
    /// Seeds [default: 42]
    #[arg(long, value_delimiter = ',', value_name = "N", help_heading = "Axes")]
    pub seed: Vec<u64>,
    /// An engine's own setting, NAME=VALUE; a name that comes twice is an axis
    #[arg(long = "option", value_name = "NAME=VALUE", help_heading = "Axes")]
    pub options: Vec<String>,
    /// How often.
    #[command(flatten)]
    pub often: Often,
    /// What a worker may take.
    #[command(flatten)]
    pub limits: Limits,
    /// A llama.cpp convert_hf_to_gguf.py for architectures that Tokometer does not convert itself
    #[arg(long, value_name = "PATH")]
    pub converter: Option<PathBuf>,
    /// List the cases with estimated time, memory and disk, and do nothing
    #[arg(long)]
    pub dry_run: bool,
    /// Go on with the sweep of this folder, with the options that it was begun with
    #[arg(long, conflicts_with_all = ["engine", "model", "size", "quantize", "prompt_tokens", "gen_tokens", "depth", "threads",
        "batch", "ubatch", "kv_type", "flash_attn", "device", "seed", "options", "launches", "rounds", "until", "budget",
        "ratios", "repetitions", "warmup", "quick", "resident", "memory_limit", "timeout", "converter", "again"])]
    pub resume: bool,
    /// Measure cases again that failed or were skipped; their old logs are kept in benchmark_output/superseded/
    #[arg(long)]
    pub retry_failed: bool,
    /// Measure finished cases again whose engine has another version now, or whose local model has other files; their old
    /// logs are kept in benchmark_output/superseded/
    #[arg(long)]
    pub retry_outdated: bool,
    /// Measure finished cases again as well; their logs stay and count too
    #[arg(long)]
    pub again: bool,
    /// Models that are prepared at a time
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub jobs: u32,
    /// Measure different GPUs at the same time, as --device names them; all else alone. Off by default, for even two GPUs
    /// share a processor and a power supply: rows that were measured so carry the warning `overlapped`
    #[arg(long, conflicts_with = "on")]
    pub overlap: bool,
    /// One after the other, though the sweep was begun with --overlap or tokometer.toml asks for it
    #[arg(long, conflicts_with = "overlap")]
    pub no_overlap: bool,
    /// Hand the blocks to a cluster, a whole node for each; [sweep.slurm] in tokometer.toml says what is asked for
    #[arg(long, value_name = "CLUSTER", value_parser = ["slurm"])]
    pub on: Option<String>,
    /// With --on: a folder on each node's own disk in which tasks prepare the models that they need, in place of models/ in
    /// the folder that all share
    #[arg(long, value_name = "DIR", requires = "on")]
    pub node_models: Option<PathBuf>,
    /// The block of a task, from 0: what a cluster runs
    #[arg(long, value_name = "N", hide = true)]
    pub task: Option<usize>,
    /// Measure only: no CSV, plots and presentation at the end
    #[arg(long)]
    pub measure_only: bool,
    /// Print the result as JSON
    #[arg(long)]
    pub json: bool,
}

/// What `sweep` says of flags that `run` has as well, where its words are others: flag, help.
const OF_BLOCKS: &[(&str, &str)] = &[
    ("rounds", "Rounds of each block; at most so many with --until or --budget [default: one for each launch]"),
    (
        "until",
        "Add rounds to a block until the 95% interval of every figure is within this share on either side, as 1%",
    ),
    ("ratios", "With --until: of the ratio of every case to the first one of its block"),
    ("budget", "Time that the rounds of one block may take, as 90s, 10m or 1h"),
    (
        "memory_limit",
        "Memory that each worker may use, as 6G [default: what is free, where control groups can be made]",
    ),
];

fn of_blocks(arg: Arg) -> Arg {
    match OF_BLOCKS.iter().find(|(flag, _)| arg.get_id().as_str() == *flag) {
        Some((_, help)) => arg.help(*help),
        None => arg,
    }
}

#[cfg(test)]
mod tests {
    use super::OF_BLOCKS;
    use crate::args::Args;
    use clap::error::ErrorKind;
    use clap::{CommandFactory, Parser};

    #[test]
    fn a_sweep_that_goes_on_takes_no_options_that_the_plan_has() {
        let refused = |more: &[&str]| {
            let words = ["tokometer", "sweep", "--resume"].iter().chain(more);
            Args::try_parse_from(words).err().map(|error| error.kind())
        };
        for given in [
            &["--engine", "mock"][..],
            &["--memory-limit", "4G"],
            &["--timeout", "5"],
            &["--warmup", "2"],
            &["--ratios"],
            &["--resident", "never"],
            &["--converter", "convert.py"],
        ] {
            assert_eq!(refused(given), Some(ErrorKind::ArgumentConflict), "{given:?}");
        }
        // How it is done may be another way each time.
        assert_eq!(refused(&["--jobs", "2", "--retry-failed", "--retry-outdated", "--no-overlap", "--json"]), None);
    }

    #[test]
    fn models_on_nodes_need_a_cluster_and_may_be_named_anew() {
        let parse = |words: &[&str]| {
            let words = ["tokometer", "sweep", "--node-models", "/scratch"].iter().chain(words);
            Args::try_parse_from(words).map(drop).map_err(|error| error.kind())
        };
        assert_eq!(parse(&[]), Err(ErrorKind::MissingRequiredArgument));
        assert_eq!(parse(&["--resume", "--on", "slurm"]), Ok(()));
        assert_eq!(parse(&["--on", "slurm", "--task", "3"]), Ok(()));
    }

    #[test]
    fn a_sweep_speaks_of_its_blocks() {
        let args = Args::command();
        let sweep = args.find_subcommand("sweep").unwrap();
        for (flag, help) in OF_BLOCKS {
            let found = sweep.get_arguments().find(|arg| arg.get_id().as_str() == *flag);
            let told = found.and_then(|arg| arg.get_help()).map(ToString::to_string);
            assert_eq!(told.as_deref(), Some(*help), "{flag}");
        }
    }
}
