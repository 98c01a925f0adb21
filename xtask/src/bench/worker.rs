//! Our llama.cpp worker against llama-bench: same GGUF, same threads, in turn.

use super::table::{Table, figure, highest, median, range, ratios};
use super::tokometer::Prepared;
use super::{Bench, Options, Report, llama_cpp, tokometer};
use crate::paths;
use crate::shell::{Cmd, say};
use anyhow::{Result, anyhow};
use serde_json::{Value, json};
use std::path::Path;

pub const BENCH: Bench =
    Bench { name: "worker", about: "prefill and decode of our llama.cpp worker against llama-bench", run };

const PROMPT: u32 = 512;
const GENERATED: u32 = 128;

/// One side: tok/s per round.
#[derive(Default)]
struct Side {
    prefill: Vec<f64>,
    decode: Vec<f64>,
}

/// What is measured, as both programs want it told.
struct Case<'a> {
    model: &'a str,
    quantize: &'a str,
    threads: String,
    rounds: usize,
}

/// What was measured.
#[derive(Default)]
struct Outcome {
    ours: Side,
    theirs: Side,
    /// What our worker says of itself.
    hello: Value,
    runs: Vec<Value>,
}

fn run(options: &Options) -> Result<Report> {
    let dir = paths::bench().join("worker");
    let case = Case {
        model: options.model.as_deref().unwrap_or("synthetic:1B"),
        quantize: options.quantize.as_deref().unwrap_or("nf4"),
        threads: options.threads.to_string(),
        rounds: options.rounds.unwrap_or(7),
    };
    let llama = llama_cpp::tools(&options.toolchain, &["llama-bench"])?;
    let prepared = tokometer::prepare(&dir, case.model, case.quantize)?;
    let outcome = measure(&case, &dir, &llama.program("llama-bench"), &prepared.path)?;
    Ok(report(&case, &llama.version, &prepared, outcome))
}

/// Both in turn, round by round. Each goes first in turn: a machine that gets warm must not favour one.
fn measure(case: &Case, dir: &Path, llama_bench: &Path, gguf: &Path) -> Result<Outcome> {
    let mut outcome = Outcome::default();
    for round in 1..=case.rounds {
        if round % 2 == 1 {
            our_turn(case, dir, &mut outcome)?;
            their_turn(case, llama_bench, gguf, &mut outcome)?;
        } else {
            their_turn(case, llama_bench, gguf, &mut outcome)?;
            our_turn(case, dir, &mut outcome)?;
        }
        let last = |values: &[f64]| figure(values.last().copied().unwrap_or(f64::NAN));
        let both = |side: &Side| format!("{} / {}", last(&side.prefill), last(&side.decode));
        let (ours, theirs) = (both(&outcome.ours), both(&outcome.theirs));
        say(
            "bench",
            format!("round {round}/{}: prefill / decode tok/s: tokometer {ours}, llama-bench {theirs}", case.rounds),
        );
    }
    Ok(outcome)
}

fn our_turn(case: &Case, dir: &Path, outcome: &mut Outcome) -> Result<()> {
    let (prompt, generated) = (PROMPT.to_string(), GENERATED.to_string());
    let what = ["--model", case.model, "--quantize", case.quantize, "--threads", &case.threads];
    let workload = ["--prompt-tokens", &prompt, "--gen-tokens", &generated, "--launches", "1", "--repetitions", "1"];
    let run = tokometer::run(dir, &[&what[..], &workload].concat())?;
    outcome.ours.prefill.push(median(&run.prefill_tok_s));
    outcome.ours.decode.push(median(&run.decode_tok_s));
    outcome.hello = tokometer::hello(&run.log)?;
    let log = paths::short(&run.log);
    outcome.runs.push(json!({"log": log, "prefill_tok_s": run.prefill_tok_s, "decode_tok_s": run.decode_tok_s}));
    Ok(())
}

fn their_turn(case: &Case, program: &Path, gguf: &Path, outcome: &mut Outcome) -> Result<()> {
    let (prompt, generated) = (PROMPT.to_string(), GENERATED.to_string());
    let prefill = llama_bench(program, gguf, &case.threads, &["-p", &prompt, "-n", "0"])?;
    let decode = llama_bench(program, gguf, &case.threads, &["-p", "0", "-n", &generated, "-d", &prompt])?;
    outcome.theirs.prefill.push(speed(&prefill)?);
    outcome.theirs.decode.push(speed(&decode)?);
    outcome.runs.push(json!({"llama_bench": [prefill, decode]}));
    Ok(())
}

fn report(case: &Case, their_version: &str, prepared: &Prepared, outcome: Outcome) -> Report {
    let Outcome { ours, theirs, hello, runs } = outcome;
    let build = |key: &str| hello["build"][key].as_str().unwrap_or("unknown").to_owned();
    let version = format!("{}, ggml {}", hello["engine_version"].as_str().unwrap_or("unknown"), build("ggml"));
    let Case { model, quantize, threads, rounds } = case;
    let native = &prepared.native;
    Report {
        title: format!(
            "{model} as {native}, {threads} threads, prefill {PROMPT}, decode {GENERATED} after {PROMPT}, {rounds} rounds, tok/s"
        ),
        table: table(&ours, &theirs),
        notes: vec![
            format!("tokometer's worker: {version}"),
            format!("llama-bench: {their_version}"),
            "same compilers, flags and ggml options (read from the worker's own build)".into(),
            "batch, flash attention and polling: the defaults of both, which are the same".into(),
            format!(
                "decode: tokometer times {} steps (the first token ends the prefill), llama-bench {GENERATED}",
                GENERATED - 1
            ),
        ],
        raw: json!({
            "model": model, "quantize": quantize, "native": native, "gguf_bytes": prepared.bytes, "threads": threads,
            "tokometer": {
                "version": version, "system_info": build("system_info"), "prefill_tok_s": ours.prefill, "decode_tok_s": ours.decode,
            },
            "llama_bench": {"version": their_version, "prefill_tok_s": theirs.prefill, "decode_tok_s": theirs.decode},
            "runs": runs,
        }),
    }
}

fn table(ours: &Side, theirs: &Side) -> Table {
    let mut table =
        Table::new(&["", "tokometer", "best", "llama-bench", "best", "ratio by round: median (range)", "of bests"]);
    for (name, ours, theirs) in [("prefill", &ours.prefill, &theirs.prefill), ("decode", &ours.decode, &theirs.decode)]
    {
        table.row([
            name.to_owned(),
            figure(median(ours)),
            figure(highest(ours)),
            figure(median(theirs)),
            figure(highest(theirs)),
            range(&ratios(ours, theirs)),
            format!("{:.3}", highest(ours) / highest(theirs)),
        ]);
    }
    table
}

/// One test of llama-bench, one repetition after its own warm-up.
fn llama_bench(program: &Path, model: &Path, threads: &str, test: &[&str]) -> Result<Value> {
    let cmd = Cmd::new(program).arg("-m").arg(model).args(["-t", threads, "-r", "1", "-o", "jsonl"]).args(test);
    let shown = cmd.shown();
    let text = cmd.capture()?;
    let line = text.lines().find(|line| line.starts_with('{')).ok_or_else(|| anyhow!("`{shown}` printed no JSON"))?;
    Ok(serde_json::from_str(line)?)
}

fn speed(line: &Value) -> Result<f64> {
    line["avg_ts"].as_f64().ok_or_else(|| anyhow!("llama-bench reported no avg_ts: {line}"))
}
