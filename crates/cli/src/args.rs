//! What can be typed. Nothing is checked here but form; see `settings`.

use clap::{Args as ClapArgs, Parser, Subcommand};
use std::path::PathBuf;
use tokometer_core::plan;
use tokometer_core::run::Residency;

/// A speedometer for LLM inference engines.
#[derive(Debug, Parser)]
#[command(name = "tokometer", version, max_term_width = 100, after_help = EXAMPLES)]
pub struct Args {
    /// Options of every command.
    #[command(flatten)]
    pub global: Global,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

const EXAMPLES: &str = "\
Examples:
  tokometer all --model synthetic:60M --quick
      Prepare, measure, analyze, plot and present a made-up model: a first look.
  tokometer run --engine llamacpp --size 1B --quantize nf4 --seed 42
      Measure Llama-3.2-1B-Instruct in llama.cpp's Q4_K_M.
  tokometer collate && tokometer analyze
      Raw logs to CSV, CSV to a table.

The five steps are prepare, run, collate, analyze and plot, present; `all` does them in turn.
Exit codes: 0 all worked, 1 an error, 2 wrong usage, 3 some cases failed, 130 stopped by Ctrl-C.";

/// Options of every command.
#[derive(Debug, Clone, ClapArgs)]
pub struct Global {
    /// The working folder: models/, benchmark_output/, plots/ and the presentation lie in it
    #[arg(long, global = true, default_value = ".", value_name = "DIR")]
    pub dir: PathBuf,
    /// Configuration file [default: DIR/tokometer.toml]
    #[arg(long, global = true, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// A Python interpreter that has MLC-LLM [default: the active environment's]
    #[arg(long, global = true, value_name = "PATH")]
    pub python: Option<PathBuf>,
    /// Say less: no progress, results only
    #[arg(short, long, global = true)]
    pub quiet: bool,
    /// Say more: build flags in doctor
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    pub verbose: u8,
    /// Never colour
    #[arg(long, global = true, conflicts_with = "color")]
    pub no_color: bool,
    /// Always colour
    #[arg(long, global = true)]
    pub color: bool,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Step 1: bring a model into each engine's own format
    #[command(after_help = "\
Examples:
  tokometer prepare --engine llamacpp --model hf:meta-llama/Llama-3.2-1B-Instruct --quantize nf4,int8
  tokometer prepare --model ./my-checkpoint --quantize Q5_K_M
  tokometer prepare --engine mlc_llm --model hf:mlc-ai/Llama-3.2-1B-Instruct-q4f16_1-MLC
  tokometer prepare --model synthetic:tiny --quantize default,float16,int8,nf4")]
    Prepare(Prepare),
    /// Step 2: measure; every token is recorded in benchmark_output/
    #[command(after_help = "\
Examples:
  tokometer run --engine llamacpp --size 1B --quantize nf4 --seed 42
  tokometer run --model model.gguf --quantize default --prompt-tokens 1024 --gen-tokens 256
  tokometer run --model synthetic:tiny --quantize float16,int8 --quick --threads 2
  tokometer run --size 1B --quantize int8,nf4 --until 1% --budget 10m
  tokometer run --engine mlc_llm --via serve --model synthetic:tiny --quantize nf4

A run is a series of rounds: each round measures every case once, in an order shuffled from the seed. Without --rounds,
--until or --budget there is one round for each launch, that is a fresh process of the engine in every round; with them the
launches are spread evenly over the rounds, and between rounds engines stay loaded where memory allows.
Ctrl-C once finishes the case that is being measured and closes the logs; twice stops now. What was measured stays.")]
    Run(Run),
    /// Step 3: raw logs to benchmark_output/{engine}.csv and all.csv
    #[command(after_help = "\
Examples:
  tokometer collate
  tokometer --dir results collate --rebuild

Reads Tokometer's own logs, logs of tinygrad's llama3 example, llama-bench JSONL (`-o jsonl`) and the seed
workflow's MLC logs. New logs are added, unchanged ones are not read again. A damaged log is named and left out (exit code 3).")]
    Collate(Collate),
    /// Step 4: statistics in the terminal
    #[command(after_help = "\
Examples:
  tokometer analyze
  tokometer analyze --json > analysis.json")]
    Analyze(Analyze),
    /// Step 4: the plots, as PNG (300 dpi) and SVG in plots/
    #[command(after_help = "\
Examples:
  tokometer plot
  tokometer plot --only backend_comparison,latency_distribution")]
    Plot(Plot),
    /// Step 5: the presentation, presentation.typ and presentation.pdf
    #[command(after_help = "\
Examples:
  tokometer present

presentation.typ is written once and is yours to edit; the figures come from docs/presentation.json, which is
written anew each time.")]
    Present,
    /// Steps 1 to 5 in turn
    #[command(after_help = "\
Examples:
  tokometer all --model synthetic:60M --quick
  tokometer --dir results all --engine llamacpp --size 1B --quantize default,float16,int8,nf4")]
    All(Run),
    /// All that a stranger needs to repeat a measurement, and whether its raw log is as it was written
    #[command(after_help = "\
Examples:
  tokometer show 1a2b3c4d
  tokometer show benchmark_output/llamacpp_host_1B_nf4_seed42_uuid1a2b3c4d.txt --json

Exit code 3: a log was changed after it was written.")]
    Show(Show),
    /// Run the command line of an earlier measurement again
    #[command(after_help = "\
Examples:
  tokometer rerun 1a2b3c4d
  tokometer --dir elsewhere rerun results/benchmark_output/llamacpp_host_1B_nf4_seed42_uuid1a2b3c4d.txt

The options are those of the recorded command line; the working folder and tokometer.toml are those of now.")]
    Rerun(Rerun),
    /// Engines, devices, versions, and what is missing
    #[command(after_help = "\
Examples:
  tokometer doctor
  tokometer doctor --python ~/mlc/bin/python
  tokometer doctor --json")]
    Doctor(Json),
    /// Earlier measurements against later ones: a ratio and a word for each case
    #[command(after_help = "\
Examples:
  tokometer compare results/monday results/tuesday
  tokometer compare baseline.csv benchmark_output/all.csv --fail-above 3%
  tokometer compare 1a2b3c4d 5e6f7a8b --metric decode,ttft --within 1%

A and B are working folders, folders of raw logs, CSV files, raw logs, or runs, cases or uuids of the working folder
(four characters do). The ratio is B over A. Faster, slower or the same within --within are said only where an
interval of 99.7% for all ratios together leaves nothing else; otherwise it says how many more rounds would tell.
Different machines, models, token counts or bits per weight are named and refused without --anyway.
What was measured in different runs, once on a quiet machine and once beside other programs, is never told apart.
With --fail-above the exit code is 4 when a case is established to be slower by more than that.")]
    Compare(Compare),
    /// Whether engines compute the same: greedy tokens and log-probabilities side by side
    #[command(after_help = "\
Examples:
  tokometer verify --model synthetic:tiny --engine llamacpp,tinygrad --quantize float16
  tokometer verify --model synthetic:tiny --engine llamacpp --quantize float16,nf4")]
    Verify(Verify),
    /// What quantization costs in quality: each quantization against the unquantized model, on a text
    #[command(after_help = "\
Examples:
  tokometer eval --env distance --model synthetic:tiny --quantize float16,int8,nf4
  tokometer eval --env distance --size 1B --quantize default,nf4 --text wiki.test.raw --ctx 512
  tokometer eval --env distance --engine llamacpp,tinygrad --base llamacpp:float16 --model ./checkpoint --quantize nf4

Perplexity, KL divergence, same most probable token and change of probabilities (Δp), as llama-perplexity defines them: the
second half of each chunk of the text is scored. Results lie in verifiers_results/, every position in the CSV beside each.
The log-probabilities of the original take 4 bytes x vocabulary for each position on the disk while it runs.")]
    Eval(Eval),
    /// The fastest case that does all that you need, what it costs, and how sure that is
    #[command(after_help = "\
Examples:
  tokometer recommend --min-speed 20 --max-memory 2G --max-kl 0.05
  tokometer recommend --min-accuracy 0.8 --env gsm8k --json

Every wish is judged by the end of a 95% interval that speaks against a case. Where evidence is missing, the command
that brings it is named. Exit code 3: no case is known to do it.")]
    Recommend(Recommend),
    /// Shell completions
    #[command(after_help = "\
Examples:
  tokometer completions bash > /etc/bash_completion.d/tokometer")]
    Completions {
        /// The shell.
        shell: clap_complete::Shell,
    },
    /// The manual page, as roff
    #[command(after_help = "\
Examples:
  tokometer man > tokometer.1 && man ./tokometer.1")]
    Man,
}

/// Which models for which engines.
#[derive(Debug, Clone, ClapArgs)]
pub struct Selection {
    /// Engines, comma-separated [default: all that are installed]
    #[arg(long, value_delimiter = ',', value_name = "E")]
    pub engine: Vec<String>,
    /// The model.
    #[arg(
        long,
        value_name = "M",
        conflicts_with = "size",
        help = "hf:org/name[@revision], a folder, a .gguf file, or synthetic:tiny|60M|1B|3B|8B"
    )]
    pub model: Option<String>,
    /// A built-in checkpoint: 1B, 3B, 8B, 70B, 405B (Llama 3 Instruct)
    #[arg(long, value_name = "SIZE")]
    pub size: Option<String>,
    /// default, float16, int8, nf4, or an engine's native name such as Q5_K_M; comma-separated [default: default]
    #[arg(long, value_delimiter = ',', value_name = "Q")]
    pub quantize: Vec<String>,
    /// A llama.cpp convert_hf_to_gguf.py for architectures that Tokometer does not convert itself
    #[arg(long, value_name = "PATH")]
    pub converter: Option<PathBuf>,
    /// Threads [default: one per physical core]
    #[arg(long, value_name = "N")]
    pub threads: Option<u32>,
    /// Print the result as JSON
    #[arg(long)]
    pub json: bool,
}

/// `prepare`.
#[derive(Debug, Clone, ClapArgs)]
pub struct Prepare {
    /// What.
    #[command(flatten)]
    pub selection: Selection,
    /// Device that a library is compiled for, by the engine's name [default: the engine's choice]
    #[arg(long, value_name = "D")]
    pub device: Option<String>,
}

/// `run` and `all`.
#[derive(Debug, Clone, ClapArgs)]
pub struct Run {
    /// What.
    #[command(flatten)]
    pub selection: Selection,
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
    /// Begin no round that would end later than this after the first began, as 90s, 10m or 1h
    #[arg(long, value_name = "TIME", value_parser = plan::budget)]
    pub budget: Option<u64>,
    /// Keep engines loaded between rounds: auto (where memory allows), always, never
    #[arg(long, value_name = "WHEN", default_value = "auto", value_parser = residency)]
    pub resident: Residency,
    /// Repetitions of each case in a round [default: 5]
    #[arg(long, value_name = "N")]
    pub repetitions: Option<u32>,
    /// Warm-up passes after a start, never in the figures; an engine that stayed loaded gets one at most
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub warmup: u32,
    /// For a look: 1 launch, 2 repetitions, 128 prompt and 32 generated tokens, unless given
    #[arg(long)]
    pub quick: bool,
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

/// `show`.
#[derive(Debug, Clone, ClapArgs)]
pub struct Show {
    /// A raw log, or the uuid of a log, the hash of a case or the name of a run in the working folder; four characters do
    #[arg(value_name = "RUN")]
    pub run: String,
    /// Print the result as JSON
    #[arg(long)]
    pub json: bool,
}

/// `rerun`.
#[derive(Debug, Clone, ClapArgs)]
pub struct Rerun {
    /// A raw log, or the uuid of a log, the hash of a case or the name of a run in the working folder; four characters do
    #[arg(value_name = "RUN")]
    pub run: String,
    /// Print the command line and leave it at that
    #[arg(long)]
    pub dry_run: bool,
}

/// `collate`.
#[derive(Debug, Clone, ClapArgs)]
pub struct Collate {
    /// Read every log again
    #[arg(long)]
    pub rebuild: bool,
    /// Print the result as JSON
    #[arg(long)]
    pub json: bool,
}

/// `analyze`.
#[derive(Debug, Clone, ClapArgs)]
pub struct Analyze {
    /// Print the whole analysis as JSON
    #[arg(long)]
    pub json: bool,
}

/// `compare`.
#[derive(Debug, Clone, ClapArgs)]
pub struct Compare {
    /// The first set: what is compared with
    pub a: String,
    /// The second set
    pub b: String,
    /// Figures to compare: decode, prefill, ttft, tpot; comma-separated [default: decode,prefill]
    #[arg(long, value_delimiter = ',', value_name = "FIGURE")]
    pub metric: Vec<String>,
    /// Differences up to this share count as the same
    #[arg(long, value_name = "SHARE", default_value = "2%", value_parser = plan::until)]
    pub within: f64,
    /// Exit with 4 when a case is established to be slower by more than this share
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
#[derive(Debug, Clone, ClapArgs)]
pub struct Plot {
    /// These plots only, comma-separated
    #[arg(long, value_delimiter = ',', value_name = "NAME")]
    pub only: Vec<String>,
}

/// Commands with nothing but `--json`.
#[derive(Debug, Clone, ClapArgs)]
pub struct Json {
    /// Print the result as JSON
    #[arg(long)]
    pub json: bool,
}

/// `verify`.
#[derive(Debug, Clone, ClapArgs)]
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

/// `eval`.
#[derive(Debug, Clone, ClapArgs)]
pub struct Eval {
    /// What.
    #[command(flatten)]
    pub selection: Selection,
    /// The evaluation: distance (also called perplexity)
    #[arg(long, value_name = "NAME")]
    pub env: String,
    /// What `distance` takes.
    #[command(flatten)]
    pub distance: DistanceFlags,
    /// Device by the engine's name
    #[arg(long, value_name = "D")]
    pub device: Option<String>,
    /// Seconds without an answer after which a worker counts as hung
    #[arg(long, value_name = "S", default_value_t = 900)]
    pub timeout: u64,
}

/// What `eval --env distance` takes beside what every evaluation takes.
#[derive(Debug, Clone, ClapArgs)]
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

/// `recommend`.
#[derive(Debug, Clone, ClapArgs)]
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

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn every_command_teaches_by_example() {
        Args::command().debug_assert();
        for command in Args::command().get_subcommands() {
            let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
            assert!(
                help.contains(&format!("tokometer {}", command.get_name()))
                    || help.contains(&format!(" {} ", command.get_name())),
                "{}",
                command.get_name()
            );
        }
    }
}
