//! Decode through `tokometer serve` against the worker's own, and against llama-server where it can be built: same GGUF, same
//! threads, same token ids, in turn.

use super::endpoint::{Endpoint, Streamed};
use super::table::{Table, figure, highest, median, range, ratios};
use super::{Bench, Options, Report, llama_cpp, tokometer};
use crate::paths;
use crate::shell::say;
use anyhow::Result;
use serde_json::{Value, json};
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Command, Stdio};

pub const BENCH: Bench =
    Bench { name: "serve", about: "decode through the endpoint against the worker's own and llama-server", run };

const PROMPT: u32 = 512;
const GENERATED: u32 = 128;
/// Tokens of a request that only warms up.
const WARMUP: u32 = 16;

/// What is measured.
struct Case<'a> {
    dir: PathBuf,
    model: &'a str,
    quantize: &'a str,
    gguf: PathBuf,
    threads: String,
    llama_server: Option<PathBuf>,
}

/// Tokens per second, one figure for each round.
#[derive(Default)]
struct Speeds {
    worker: Vec<f64>,
    server: Vec<f64>,
    llama_server: Vec<f64>,
    runs: Vec<Value>,
}

fn run(options: &Options) -> Result<Report> {
    let dir = paths::bench().join("serve");
    let model = options.model.as_deref().unwrap_or("synthetic:1B");
    let quantize = options.quantize.as_deref().unwrap_or("nf4");
    let rounds = options.rounds.unwrap_or(7);
    let (llama_server, their_version) = match llama_cpp::tools(&options.toolchain, &["llama-server"]) {
        Ok(tools) => (Some(tools.program("llama-server")), tools.version),
        Err(error) => (None, format!("could not be built, so it is not compared: {error:#}")),
    };
    let prepared = tokometer::prepare(&dir, model, quantize)?;
    let threads = options.threads.to_string();
    let case = Case { dir, model, quantize, gguf: prepared.path.clone(), threads, llama_server };
    let mut speeds = Speeds::default();
    for round in 0..rounds {
        // Each goes first in turn: a machine that gets warm must not favour one.
        let mut turns: [fn(&Case, &mut Speeds) -> Result<()>; 3] = [worker_turn, server_turn, llama_server_turn];
        let first = round % turns.len();
        turns.rotate_left(first);
        for turn in turns {
            turn(&case, &mut speeds)?;
        }
        let last = |values: &[f64]| figure(values.last().copied().unwrap_or(f64::NAN));
        let (worker, server, theirs) = (last(&speeds.worker), last(&speeds.server), last(&speeds.llama_server));
        let round = round + 1;
        say(
            "bench",
            format!("round {round}/{rounds}: decode tok/s: worker {worker}, endpoint {server}, llama-server {theirs}"),
        );
    }
    Ok(report(&case, &prepared.native, &their_version, rounds, &speeds))
}

fn worker_turn(case: &Case, speeds: &mut Speeds) -> Result<()> {
    let (prompt, generated) = (PROMPT.to_string(), GENERATED.to_string());
    let what = ["--model", case.model, "--quantize", case.quantize, "--threads", &case.threads];
    let workload = ["--prompt-tokens", &prompt, "--gen-tokens", &generated, "--launches", "1", "--repetitions", "1"];
    let run = tokometer::run(&case.dir, &[&what[..], &workload].concat())?;
    speeds.worker.push(median(&run.decode_tok_s));
    speeds.runs.push(json!({"worker": run.decode_tok_s, "log": paths::short(&run.log)}));
    Ok(())
}

fn server_turn(case: &Case, speeds: &mut Speeds) -> Result<()> {
    let mut command = Command::new(paths::tokometer());
    command.arg("--dir").arg(&case.dir).args(["--quiet", "serve", "--engine", "llamacpp", "--port", "0", "--json"]);
    command.args(["--model", case.model, "--quantize", case.quantize, "--threads", &case.threads]);
    command.args(["--ctx-size", &context()]).stderr(Stdio::null());
    let (endpoint, ready) = Endpoint::announced(command)?;
    let model = ready["model"].clone();
    endpoint.complete(&request(&model, WARMUP))?;
    let streamed = endpoint.complete(&request(&model, GENERATED))?;
    speeds.server.push(speed(streamed));
    speeds.runs.push(raw("endpoint", streamed));
    Ok(())
}

fn llama_server_turn(case: &Case, speeds: &mut Speeds) -> Result<()> {
    let Some(program) = &case.llama_server else { return Ok(()) };
    let port = free_port()?;
    let mut command = Command::new(program);
    command.arg("-m").arg(&case.gguf).args(["-t", &case.threads, "-c", &context(), "-np", "1"]);
    command.args(["--host", "127.0.0.1", "--port", &port.to_string()]);
    let endpoint = Endpoint::on_port(command, port)?;
    let model = json!("any");
    endpoint.complete(&request(&model, WARMUP))?;
    let streamed = endpoint.complete(&request(&model, GENERATED))?;
    speeds.llama_server.push(speed(streamed));
    speeds.runs.push(raw("llama_server", streamed));
    Ok(())
}

fn context() -> String {
    (PROMPT + GENERATED).to_string()
}

/// A greedy completion of exactly this many tokens; `cache_prompt` is llama-server's.
fn request(model: &Value, tokens: u32) -> Value {
    // Plain tokens of every vocabulary that is measured here.
    let prompt: Vec<u32> = (0..PROMPT).map(|i| 300 + (i * 37) % 700).collect();
    json!({
        "model": model, "prompt": prompt, "max_tokens": tokens, "temperature": 0, "ignore_eos": true, "stream": true,
        "cache_prompt": false,
    })
}

/// The first token ends the prefill.
fn speed(streamed: Streamed) -> f64 {
    f64::from(GENERATED - 1) / streamed.rest_s
}

fn raw(who: &str, streamed: Streamed) -> Value {
    json!({
        who: {"first_s": streamed.first_s, "rest_s": streamed.rest_s, "events_with_text": streamed.events},
        "decode_tok_s": speed(streamed),
    })
}

fn free_port() -> Result<u16> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}

fn report(case: &Case, native: &str, their_version: &str, rounds: usize, speeds: &Speeds) -> Report {
    let Case { model, quantize, threads, .. } = case;
    let mut table = Table::new(&["decode", "median", "best", "of the worker, by round: median (range)"]);
    for (name, values) in
        [("worker", &speeds.worker), ("endpoint", &speeds.server), ("llama-server", &speeds.llama_server)]
    {
        table.row([
            name.to_owned(),
            figure(median(values)),
            figure(highest(values)),
            range(&ratios(values, &speeds.worker)),
        ]);
    }
    Report {
        title: format!(
            "{model} as {native}, {threads} threads, decode {GENERATED} after {PROMPT}, {rounds} rounds, tok/s"
        ),
        table,
        notes: vec![
            format!("endpoint against llama-server, by round: {}", range(&ratios(&speeds.server, &speeds.llama_server))),
            format!("llama-server: {their_version}"),
            "worker: stamped in the worker; the servers: from the first text to the end at a client on the same machine".into(),
            "greedy, the same token ids, no prompt cache, a warm-up request first".into(),
        ],
        raw: json!({
            "model": model, "quantize": quantize, "native": native, "threads": threads,
            "decode_tok_s": {"worker": speeds.worker, "endpoint": speeds.server, "llama_server": speeds.llama_server},
            "llama_server": their_version, "runs": speeds.runs,
        }),
    }
}
