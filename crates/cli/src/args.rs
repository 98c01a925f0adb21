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
  tokometer run --engine llamacpp,tinygrad --size 1B --until 1% --ratios
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
workflow's MLC logs. New logs are added, unchanged ones are not read again. A damaged log is named and left out (exit code 3).
The analysis of the rows is then made and kept, so that analyze, plot, present and recommend answer at once.")]
    Collate(Collate),
    /// Step 4: statistics in the terminal
    #[command(after_help = "\
Examples:
  tokometer analyze
  tokometer analyze --only depth=0 --only engine=llamacpp,tinygrad
  tokometer analyze --json > analysis.json

--only chooses cases by engine, model, size, quantize (label or native name), host, device, prompt_tokens, gen_tokens, depth,
threads, batch: all of the keys count, of the values of one key any does. Of very many cases the first sections are
printed, and how many are left out. What the rows come down to is kept in benchmark_output/.analysis until they change.")]
    Analyze(Analyze),
    /// Step 4: the plots, as PNG (300 dpi) and SVG in plots/
    #[command(after_help = "\
Examples:
  tokometer plot
  tokometer plot --only backend_comparison,latency_distribution
  tokometer plot --only threads=4 --only quantize=int8,nf4

--only with KEY=VALUE chooses cases, see `tokometer analyze --help`. Of very many cases a plot shows whole panels, those with
the most cases first, and says below how many it leaves out.")]
    Plot(Plot),
    /// Step 5: the presentation, presentation.typ and presentation.pdf
    #[command(after_help = "\
Examples:
  tokometer present
  tokometer plot --only depth=0 && tokometer present --only depth=0

--only KEY=VALUE chooses cases, see `tokometer analyze --help`; the plots are those that lie there.
presentation.typ is written once and is yours to edit; the figures come from docs/presentation.json, which is
written anew each time.")]
    Present(Present),
    /// Steps 1 to 5 in turn
    #[command(after_help = "\
Examples:
  tokometer all --model synthetic:60M --quick
  tokometer --dir results all --engine llamacpp --size 1B --quantize default,float16,int8,nf4")]
    All(Run),
    /// The whole matrix of engines, models, quantizations, contexts, threads; resumable
    #[command(after_help = "\
Examples:
  tokometer sweep --size 1B --quantize all
  tokometer sweep --model synthetic:60M --quantize all --depth 0,512,2048 --threads 1,2 --dry-run
  tokometer sweep                    the matrix of [sweep] in tokometer.toml
  tokometer sweep --resume           go on after Ctrl-C, a crash, a full disk or a reboot
  tokometer sweep --resume --retry-failed
  tokometer sweep --size 8B --quantize all --on slurm

Every combination is a case. Cases that are compared (the same model, workload and threads) are measured together, in
rounds. A finished case is never measured again unless asked (--again). What an engine does not offer, what does not fit into
memory and what fails is a row with its reason, and the rest goes on. At the end the raw logs are collated, analyzed, plotted
and presented. Ctrl-C once finishes the case that is being measured, twice stops now.")]
    Sweep(Box<Sweep>),
    /// How far the sweep in this folder is, from any terminal
    #[command(after_help = "\
Examples:
  tokometer status
  tokometer --dir results status --json")]
    Status(Json),
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
    /// Results of other machines into the working folder: raw logs, verifiers' results, sweeps' journals
    #[command(after_help = "\
Examples:
  tokometer --dir all merge results/laptop results/desk
  tokometer merge phone-a phone-b --host phone-b=pixel
  tokometer merge /media/stick/results --dry-run

Every DIR is a working folder or its benchmark_output. Nothing is replaced, and merging again adds nothing. Logs that were
edited are left out, and so are those of a machine that has the hostname of another one: their figures would be averaged;
--host gives it a name of its own, kept in benchmark_output/hosts.toml. Exit code 3: some logs were left out.")]
    Merge(Merge),
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
    /// An OpenAI-compatible endpoint over one engine
    #[command(after_help = "\
Examples:
  tokometer serve --engine llamacpp --model model.gguf --quantize default --port 8000
  tokometer serve --engine tinygrad --size 1B --quantize int8 --ctx-size 8192
  tokometer serve --engine llamacpp --model synthetic:tiny --quantize nf4 --port 0 --json

Answers /v1/chat/completions, /v1/completions, /v1/models and /health, streaming and not. One request is computed at a
time, from scratch; the others wait. With --json one line tells when the model answers, and where. Ctrl-C (or SIGTERM)
finishes what is being computed and refuses the rest; a second one gives it up.")]
    Serve(Serve),
    /// What a quantization costs in accuracy: task sets put to each engine and quantization
    #[command(after_help = "\
Examples:
  tokometer eval --env reverse-text,arithmetic --model ./checkpoint --quantize float16,int8,nf4
  tokometer eval --env mine.jsonl --num-examples 50 --engine llamacpp,tinygrad --size 1B
  tokometer eval --env vf:reverse-text,lm:choice --num-examples 20 --max-tokens 32 --model ./checkpoint
  tokometer eval --env distance --size 1B --quantize default,nf4 --text wiki.test.raw
  tokometer eval --env distance --engine llamacpp,tinygrad --base llamacpp:float16 --model ./checkpoint --quantize nf4
  tokometer eval --import outputs/evals/gsm8k--m/1a2b3c4d --size 1B --engine llamacpp --quantize nf4

Environments: reverse-text, arithmetic, copy, sort, choice; a .jsonl file whose lines hold id, prompt, answer, scorer (exact,
regex, lcs, choice), choices and max_tokens; vf:NAME for an environment of verifiers' vf-eval; lm:TASK for a task of lm_eval.
Each engine and quantization is served, asked and stopped. Results go to verifiers_results/, one JSON file each, and all.csv.
An evaluation that died goes on where it was when the same command is given again. Better, worse or the same within --within
are said of the mean score only where that is established for all differences together; otherwise it says how many examples
would tell. A case that failed is a recorded result, and the exit code is 3.

distance (or perplexity) needs no task: perplexity, KL divergence, same most probable token and change of probabilities of each
quantization against the original on a text, as llama-perplexity defines them. Every position is in the CSV beside its result.
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

/// `sweep`. What is a list here is an axis.
#[derive(Debug, Clone, Default, ClapArgs)]
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
    /// Launches of each case, spread evenly over the rounds [default: 3]
    #[arg(long, value_name = "N")]
    pub launches: Option<u32>,
    /// Rounds of each block; at most so many with --until or --budget [default: one for each launch]
    #[arg(long, value_name = "N")]
    pub rounds: Option<u32>,
    /// Add rounds to a block until the 95% interval of every figure is within this share on either side, as 1%
    #[arg(long, value_name = "P%", value_parser = plan::until)]
    pub until: Option<f64>,
    /// With --until: of the ratio of every case to the first one of its block
    #[arg(long)]
    pub ratios: bool,
    /// Time that the rounds of one block may take, as 90s, 10m or 1h
    #[arg(long, value_name = "TIME", value_parser = plan::budget)]
    pub budget: Option<u64>,
    /// Keep engines loaded between rounds: auto (where memory allows), always, never
    #[arg(long, value_name = "WHEN", default_value = "auto", value_parser = residency)]
    pub resident: Residency,
    /// Repetitions of each case in a round [default: 5]
    #[arg(long, value_name = "N")]
    pub repetitions: Option<u32>,
    /// Warm-up passes after a start, never in the figures
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub warmup: u32,
    /// For a look: 1 launch, 2 repetitions, 128 prompt and 32 generated tokens, unless given
    #[arg(long)]
    pub quick: bool,
    /// Memory that each worker may use, as 6G [default: what is free, where control groups can be made]
    #[arg(long, value_name = "SIZE")]
    pub memory_limit: Option<String>,
    /// Seconds without an answer after which a worker counts as hung
    #[arg(long, value_name = "S", default_value_t = 900)]
    pub timeout: u64,
    /// A llama.cpp convert_hf_to_gguf.py for architectures that Tokometer does not convert itself
    #[arg(long, value_name = "PATH")]
    pub converter: Option<PathBuf>,
    /// List the cases with estimated time, memory and disk, and do nothing
    #[arg(long)]
    pub dry_run: bool,
    /// Go on with the sweep of this folder, with the options that it was begun with
    #[arg(long, conflicts_with_all = ["engine", "model", "size", "quantize", "prompt_tokens", "gen_tokens", "depth", "threads",
        "batch", "ubatch", "kv_type", "flash_attn", "device", "seed", "options", "launches", "rounds", "until", "budget",
        "repetitions", "quick", "again"])]
    pub resume: bool,
    /// Measure cases again that failed or were skipped; their old logs are kept in benchmark_output/superseded/
    #[arg(long)]
    pub retry_failed: bool,
    /// Measure finished cases again as well; their logs stay and count too
    #[arg(long)]
    pub again: bool,
    /// Models that are prepared at a time
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub jobs: u32,
    /// Hand the blocks to a cluster, a whole node for each; [sweep.slurm] in tokometer.toml says what is asked for
    #[arg(long, value_name = "CLUSTER", value_parser = ["slurm"])]
    pub on: Option<String>,
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
    /// Leave the analysis to the first command that asks for it
    #[arg(long)]
    pub csv_only: bool,
    /// Print the result as JSON
    #[arg(long)]
    pub json: bool,
}

/// `analyze`.
#[derive(Debug, Clone, ClapArgs)]
pub struct Analyze {
    /// These cases only: KEY=VALUE[,VALUE], as depth=0; may be repeated
    #[arg(long, value_name = "KEY=VALUE")]
    pub only: Vec<String>,
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

/// `merge`.
#[derive(Debug, Clone, ClapArgs)]
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

/// `plot`.
#[derive(Debug, Clone, ClapArgs)]
pub struct Plot {
    /// These plots only, comma-separated; or these cases only, KEY=VALUE[,VALUE], as depth=0; may be repeated
    #[arg(long, value_name = "NAME|KEY=VALUE")]
    pub only: Vec<String>,
}

/// `present`.
#[derive(Debug, Clone, ClapArgs)]
pub struct Present {
    /// These cases only: KEY=VALUE[,VALUE], as depth=0; may be repeated
    #[arg(long, value_name = "KEY=VALUE")]
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

/// `serve`.
#[derive(Debug, Clone, ClapArgs)]
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
    /// Requests that may wait for their turn; more are refused with 503
    #[arg(long, value_name = "N", default_value_t = 256)]
    pub parallel_queue: usize,
    /// Seconds without a token after which the engine counts as hung
    #[arg(long, value_name = "S", default_value_t = 900)]
    pub timeout: u64,
}

/// `eval`.
#[derive(Debug, Clone, ClapArgs)]
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
    /// Seconds that starting an endpoint, or one request, may take
    #[arg(long, value_name = "S", default_value_t = 900)]
    pub timeout: u64,
    /// Read a result of the older line of vf-eval instead: what it printed, or the folder that it saved
    #[arg(long, value_name = "PATH", conflicts_with_all = ["env", "num_examples", "max_tokens"])]
    pub import: Option<PathBuf>,
    /// What `distance` takes.
    #[command(flatten)]
    pub distance: DistanceFlags,
    /// Device by the engine's name
    #[arg(long, value_name = "D")]
    pub device: Option<String>,
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
