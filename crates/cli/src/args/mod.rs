//! What can be typed. Nothing is checked here but form; see `settings`.
//!
//! Here are the commands and the options of all of them; the options of each command lie in a file by subject.

mod flow;
mod measure;
mod models;
mod quality;
mod records;
mod serve;
mod sweep;

pub use flow::command;
pub use measure::{Often, Run};
pub use models::{Prepare, Selection};
pub use quality::{DistanceFlags, Eval, Verify};
pub use records::{Analyze, Collate, Compare, Json, Merge, Plot, Present, Recommend, Rerun, Show};
pub use serve::Serve;
pub use sweep::Sweep;

use clap::{Args as ClapArgs, Parser, Subcommand};
use std::path::PathBuf;

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
Exit codes: 0 all worked, 1 an error, 2 wrong usage, 3 some cases failed or were skipped, 4 a regression is established
(`compare --fail-above`), 130 stopped by Ctrl-C.";

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
  tokometer run --size 1B --quantize nf4 --label before-upgrade

A run is a series of rounds: each round measures every case once, in an order shuffled from the seed. Without --rounds,
--until or --budget there is one round for each launch, that is a fresh process of the engine in every round; with them the
launches are spread evenly over the rounds, and between rounds engines stay loaded where memory allows.
Ctrl-C once finishes the case that is being measured and closes the logs; twice stops now. What was measured stays.
A --label names one run of the folder: `tokometer compare before-upgrade latest`.")]
    Run(Run),
    /// Step 3: raw logs to benchmark_output/{engine}.csv and all.csv
    #[command(after_help = "\
Examples:
  tokometer collate
  tokometer --dir results collate --rebuild

Reads Tokometer's own logs, logs of tinygrad's llama3 example, llama-bench JSONL (`-o jsonl`) and the seed
workflow's MLC logs. New logs are added, unchanged ones are not read again. A damaged log is named and left out (exit code 3).
The analysis of the rows is then made and kept, so that analyze, plot, present and recommend need not read them again.")]
    Collate(Collate),
    /// Step 4: statistics in the terminal
    #[command(after_help = "\
Examples:
  tokometer analyze
  tokometer analyze --only depth=0 --only engine=llamacpp,tinygrad
  tokometer analyze --json > analysis.json

First stands whether the runs can be believed: valid, degraded, invalid, with reasons. Then for each machine, model and workload:
speeds with 95% intervals; latency (TTFT, TPOT and its percentiles over the steps, end to end, and in a wide terminal the
typical step: what decode does when nothing holds it up); memory (weights, KV cache, peak
resident, anonymous and device memory) and start (load, warm-up, what the first token of a cold engine costs more). Then
ratios with a verdict, the share of memory bandwidth and arithmetic that each case uses with J/token where somebody counts
energy, what changed during the run, and repetitions that something held up.

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

--only with KEY=VALUE chooses cases, see `tokometer analyze --help`. Of very many cases a plot shows some panels, those with
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
  tokometer --dir results all --engine llamacpp --size 1B --quantize default,float16,int8,nf4

--json prints the analysis, as `tokometer analyze --json` does.")]
    All(Run),
    /// The whole matrix of engines, models, quantizations, contexts, threads; resumable
    #[command(after_help = "\
Examples:
  tokometer sweep --size 1B --quantize all
  tokometer sweep --model synthetic:60M --quantize all --depth 0,512,2048 --threads 1,2 --dry-run
  tokometer sweep                    the matrix of [sweep] in tokometer.toml
  tokometer sweep --resume           go on after Ctrl-C, a crash, a full disk or a reboot
  tokometer sweep --resume --retry-failed
  tokometer sweep --resume --retry-outdated    after an engine's update
  tokometer sweep --size 8B --device CUDA0,CUDA1 --depth 0,2048 --overlap
  tokometer sweep --size 8B --quantize all --on slurm
  tokometer sweep --size 8B --quantize all --on slurm --node-models /scratch/models

Every combination is a case. Cases that are compared (the same model, workload and threads) are measured together, in
rounds. A finished case is never measured again unless asked: --again measures all and keeps the old figures beside the new
ones, --retry-outdated measures those in whose place there is another engine version or model now, and puts the old ones
aside. What an engine does not offer, what does not fit into memory and what fails is a row with its reason
(--retry-failed tries it again), and the rest goes on. At the end the raw logs are collated, analyzed, plotted and presented.
Ctrl-C once finishes the case that is being measured, twice stops now.")]
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
  tokometer show latest
  tokometer show before-upgrade
  tokometer show benchmark_output/llamacpp_host_1B_nf4_seed42_uuid1a2b3c4d.txt --json

Four characters of a uuid, a case or a run's name do; a label (`tokometer run --label`) is written out. latest is the run that
began last by what its logs say, without one that is still being measured; latest~1 is the one before it. Each block of a
sweep is a run. Exit code 3: a log was changed after it was written.")]
    Show(Show),
    /// Measure again what was measured earlier, by the recorded command line
    #[command(after_help = "\
Examples:
  tokometer rerun 1a2b3c4d
  tokometer rerun before-upgrade --label after-upgrade
  tokometer rerun latest --dry-run
  tokometer --dir elsewhere rerun results/benchmark_output/llamacpp_host_1B_nf4_seed42_uuid1a2b3c4d.txt

The options are those of the recorded command line; the working folder and tokometer.toml are those of now. Of a sweep the
case of the log is measured, alone: the sweep itself would find it finished.")]
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
  tokometer compare before-upgrade latest
  tokometer compare latest~1 latest --metric decode,ttft --within 1%
  tokometer compare 1a2b3c4d 5e6f7a8b

A and B are working folders, folders of raw logs, CSV files, raw logs, or measurements of the working folder: a run by its
label (`tokometer run --label before-upgrade`) or as latest, latest~1, ...; a run, case or log by its name (four characters
do). A file or folder of that name comes first. First stands whether each can be believed. The ratio is B over A; memory,
start and energy of both stand below. Faster, slower or the same within --within are said only where an
interval of 99.7% for all ratios together leaves nothing else; otherwise it says how many more rounds would tell.
Different machines, models, token counts or bits per weight are named and refused without --anyway.
What was measured in different runs, once on a quiet machine and once beside other programs, is never told apart.
With --fail-above the exit code is 4 when a case is established to be slower by more than that, or when it was measured in
the first set and failed entirely in the second. A case that the second set does not hold at all is a warning.")]
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
  tokometer serve --engine llamacpp --size 1B --quantize int8 --parallel 4
  tokometer serve --engine llamacpp --model synthetic:tiny --quantize nf4 --port 0 --json

Answers /v1/chat/completions, /v1/completions, /v1/models and /health, streaming and not. One request is computed at a
time, from scratch; the others wait. With --json one line tells when the model answers, and where. A client that is slow is
served at its own pace; one that takes nothing of its answer for --client-timeout seconds counts as gone: its work is
cancelled, its connection closed. Ctrl-C (or SIGTERM) finishes what is being computed and refuses the rest; a second one
gives it up.")]
    Serve(Serve),
    /// What a quantization costs in accuracy: task sets put to each engine and quantization
    #[command(after_help = "\
Examples:
  tokometer eval --env reverse-text,arithmetic --model ./checkpoint --quantize float16,int8,nf4
  tokometer eval --env mine.jsonl --num-examples 50 --engine llamacpp,tinygrad --size 1B
  tokometer eval --env vf:reverse-text,lm:choice --num-examples 20 --max-tokens 32 --model ./checkpoint
  tokometer eval --env arithmetic,sort --size 1B --quantize float16,int8,nf4 --jobs 3
  tokometer eval --env distance --size 1B --quantize default,nf4 --text wiki.test.raw
  tokometer eval --env distance --engine llamacpp,tinygrad --base llamacpp:float16 --model ./checkpoint --quantize nf4
  tokometer eval --import outputs/evals/gsm8k--m/1a2b3c4d --size 1B --engine llamacpp --quantize nf4

Environments: reverse-text, arithmetic, copy, sort, choice; a .jsonl file whose lines hold id, prompt, answer, scorer (exact,
regex, lcs, choice), choices and max_tokens; vf:NAME for an environment of verifiers' vf-eval; lm:TASK for a task of lm_eval.
Each engine and quantization is served, asked and stopped. Results go to verifiers_results/, one JSON file each, and all.csv.
An evaluation that died goes on where it was when the same command is given again. One that has a finished result is kept
and not evaluated again unless asked (--again): the same files of the model, quantization, engine version, settings, device,
machine, examples and limits. vf-eval's own environments are always evaluated: nothing tells before the start whether they
are the same. Better, worse or the same within --within are said of the mean score only where that is
established for all differences together; otherwise it says how many examples would tell. A case that failed is a recorded
result, and the exit code is 3.

With --jobs N so many evaluations run at a time, each with an endpoint of its own, as far as the endpoints fit into free memory
together by what weights and cache take (a GPU's own memory is not reckoned). Nothing is compared by its time here; the times
are longer, and each result says how many might run at a time. Distances are measured one after the other. Ctrl-C ends all
endpoints and keeps what was answered.

distance (or perplexity) needs no task: perplexity, KL divergence, same most probable token and change of probabilities of each
quantization against the original on a text, as llama-perplexity defines them. Every position is in the CSV beside its result.
A finished one is kept like any evaluation where original, text, --ctx and --chunks are the same, too. Of an engine that
tells no log-probabilities there is a result without figures that says so (exit code 3).
The log-probabilities of the original take 4 bytes x vocabulary for each position on the disk while it runs.")]
    Eval(Eval),
    /// The fastest case that does all that you need, what it costs, and how sure that is
    #[command(after_help = "\
Examples:
  tokometer recommend --min-speed 20 --max-memory 2G --max-kl 0.05
  tokometer recommend --min-accuracy 0.8 --env gsm8k --json

Every wish is judged by the end of a 95% interval that speaks against a case. Where evidence is missing, the command
that brings it is named, or why none can. Exit code 3: no case is known to do it.")]
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
