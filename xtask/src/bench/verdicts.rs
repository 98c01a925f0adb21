//! A case against itself, again and again, on the machine as it is and beside a competing load: how often does anybody say
//! that it is faster or slower? llama-bench's mean and standard deviation on the same schedule stand beside it.

use super::table::{Table, median};
use super::{Bench, Options, Report, llama_cpp, tokometer};
use crate::paths;
use crate::shell::{Cmd, say};
use anyhow::{Context, Result, anyhow};
use serde_json::{Value, json};
use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};

pub const BENCH: Bench =
    Bench { name: "verdicts", about: "the same case against itself: false verdicts, with and without other load", run };

const PROMPT: u32 = 64;
const GENERATED: u32 = 64;
const LAUNCHES: u32 = 5;
const REPETITIONS: u32 = 2;

/// What one comparison said.
struct Said {
    loaded: bool,
    /// The word for decode, as `compare` has it.
    word: String,
    ratio: f64,
    /// Whether llama-bench's two intervals of mean and standard deviation lie apart.
    apart: bool,
    raw: Value,
}

fn run(options: &Options) -> Result<Report> {
    let dir = paths::bench().join("verdicts");
    let model = options.model.as_deref().unwrap_or("synthetic:60M");
    let quantize = options.quantize.as_deref().unwrap_or("nf4");
    let times = options.rounds.unwrap_or(50);
    let threads = options.threads.to_string();
    let llama = llama_cpp::tools(&options.toolchain, &["llama-bench"])?;
    let prepared = tokometer::prepare(&dir, model, quantize)?;
    let mut all = Vec::new();
    for time in 0..times {
        let load = (time % 2 == 1).then(Load::begin).transpose()?;
        let mut said = ours(&dir, time, model, quantize, &threads)?;
        said.loaded = load.is_some();
        let program = llama.program("llama-bench");
        let (a, b) = (theirs(&program, &prepared.path, &threads)?, theirs(&program, &prepared.path, &threads)?);
        said.apart = (a.0 - b.0).abs() > a.1 + b.1;
        said.raw["llama_bench"] = json!([{ "mean": a.0, "stddev": a.1 }, { "mean": b.0, "stddev": b.1 }]);
        drop(load);
        let beside = if said.loaded { "with load" } else { "alone" };
        say("bench", format!("{} of {times}, {beside}: {:.3}x, {}", time + 1, said.ratio, said.word));
        all.push(said);
    }
    Ok(report(&all, model, &prepared.native, &threads, &llama.version))
}

/// Two cases that compute the same, measured in one run, round by round: on a processor `gpu_layers` changes nothing.
fn ours(dir: &Path, time: usize, model: &str, quantize: &str, threads: &str) -> Result<Said> {
    let folder = dir.join(format!("time-{time}"));
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(&folder)?;
    std::os::unix::fs::symlink(dir.join("models"), folder.join("models"))?;
    let numbers = [PROMPT, GENERATED, LAUNCHES, REPETITIONS].map(|n| n.to_string());
    let [prompt, generated, launches, repetitions] = numbers.each_ref().map(String::as_str);
    let seed = (42 + time).to_string();
    let what = ["sweep", "--engine", "llamacpp", "--model", model, "--quantize", quantize, "--threads", threads];
    let twice = ["--option", "gpu_layers=0", "--option", "gpu_layers=1", "--seed", &seed, "--measure-only", "--json"];
    let how =
        ["--prompt-tokens", prompt, "--gen-tokens", generated, "--launches", launches, "--repetitions", repetitions];
    let text = tokometer::command(&folder, &[&what[..], &twice, &how].concat()).capture_stdout()?;
    let swept: Value = serde_json::from_str(&text).context("`tokometer sweep --json` printed no JSON")?;
    let log = |i: usize| -> Result<String> {
        let name =
            swept["cases"][i]["log"].as_str().ok_or_else(|| anyhow!("the sweep measured no case {i}: {text:.300}"))?;
        Ok(folder.join("benchmark_output").join(name).display().to_string())
    };
    let (a, b) = (log(0)?, log(1)?);
    let text = tokometer::command(&folder, &["compare", &a, &b, "--metric", "decode", "--json"]).capture_stdout()?;
    let compared: Value = serde_json::from_str(&text).context("`tokometer compare --json` printed no JSON")?;
    let ratio = &compared["ratios"][0]["ratio"];
    let word = ratio["verdict"].as_str().map_or_else(|| ratio["verdict"].to_string(), str::to_owned);
    let value = ratio["ratio"].as_f64().ok_or_else(|| anyhow!("compare gave no ratio: {text:.300}"))?;
    let speeds: Vec<&Value> = (0..2).map(|i| &swept["cases"][i]["decode_tok_s"]).collect();
    let raw = json!({ "time": time, "ratio": ratio, "decode_tok_s": speeds });
    Ok(Said { loaded: false, word, ratio: value, apart: false, raw })
}

/// Mean and standard deviation of llama-bench, with as many repetitions.
fn theirs(program: &Path, gguf: &Path, threads: &str) -> Result<(f64, f64)> {
    let numbers = [GENERATED, PROMPT, LAUNCHES * REPETITIONS].map(|n| n.to_string());
    let [generated, depth, repetitions] = numbers.each_ref().map(String::as_str);
    let test = ["-p", "0", "-n", generated, "-d", depth, "-t", threads, "-r", repetitions, "-o", "jsonl"];
    let text = Cmd::new(program).arg("-m").arg(gguf).args(test).capture()?;
    let line = text.lines().find(|line| line.starts_with('{')).ok_or_else(|| anyhow!("llama-bench printed no JSON"))?;
    let value: Value = serde_json::from_str(line)?;
    let number = |key: &str| value[key].as_f64().ok_or_else(|| anyhow!("llama-bench reported no {key}"));
    Ok((number("avg_ts")?, number("stddev_ts")?))
}

/// A program that keeps about a third of a processor busy.
struct Load(Child);

impl Load {
    fn begin() -> Result<Load> {
        let script = "import time\nwhile True:\n    end = time.monotonic() + 0.1\n    while time.monotonic() < end: pass\n    time.sleep(0.2)";
        let child = Command::new("python3").args(["-c", script]).stdin(Stdio::null()).spawn();
        Ok(Load(child.context("cannot start python3 for the competing load")?))
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn report(all: &[Said], model: &str, native: &str, threads: &str, version: &str) -> Report {
    let mut table = Table::new(&[
        "",
        "times",
        "faster or slower",
        "same",
        "cannot tell",
        "|ratio - 1|, median",
        "llama-bench apart",
    ]);
    for (name, loaded) in [("alone", false), ("with a competing load", true)] {
        let own: Vec<&Said> = all.iter().filter(|said| said.loaded == loaded).collect();
        let count = |word: &dyn Fn(&str) -> bool| own.iter().filter(|said| word(&said.word)).count();
        let told = count(&|word| word == "faster" || word == "slower");
        let same = count(&|word| word == "same");
        let off: Vec<f64> = own.iter().map(|said| (said.ratio - 1.0).abs()).collect();
        table.row([
            name.to_owned(),
            own.len().to_string(),
            told.to_string(),
            same.to_string(),
            (own.len() - told - same).to_string(),
            format!("{:.2}%", 100.0 * median(&off)),
            own.iter().filter(|said| said.apart).count().to_string(),
        ]);
    }
    Report {
        title: format!(
            "{model} as {native}, {threads} threads, decode {GENERATED} after {PROMPT}, {LAUNCHES} rounds of {REPETITIONS}, against itself"
        ),
        table,
        notes: vec![
            format!("llama-bench: {version}; apart: the intervals mean ± standard deviation of two calls do not meet"),
            "the load: one process that computes a third of the time".into(),
        ],
        raw: json!({
            "model": model, "native": native, "threads": threads,
            "times": all.iter().map(|said| json!({
                "loaded": said.loaded, "word": said.word, "ratio": said.ratio, "llama_bench_apart": said.apart, "raw": said.raw,
            })).collect::<Vec<_>>(),
        }),
    }
}
