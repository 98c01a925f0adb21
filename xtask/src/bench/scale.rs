//! A sweep of ten thousand cases with a lot of raw logs: how long planning it and asking for its status take.

use super::measure::{Measured, measure};
use super::table::{Table, figure, lowest, median, megabytes};
use super::{Bench, Options, Report, tokometer};
use crate::shell::{Cmd, say};
use crate::{paths, python};
use anyhow::{Context, Result, anyhow};
use serde_json::json;
use std::fs;
use std::path::{Path, PathBuf};

pub const BENCH: Bench = Bench { name: "scale", about: "planning and status of a sweep of 10,000 cases", run };

/// Seconds that each should stay below.
const GOAL: f64 = 2.0;

fn run(options: &Options) -> Result<Report> {
    let dir = paths::bench().join("scale");
    let _ = fs::remove_dir_all(&dir);
    fs::create_dir_all(&dir).with_context(|| format!("cannot make {}", dir.display()))?;
    let numbers = |range: std::ops::Range<u32>| range.map(|n| n.to_string()).collect::<Vec<_>>().join(",");
    let (depths, lengths) = (numbers(0..50), numbers(2..27));
    let axes = ["--engine", "mock", "--model", "synthetic:tiny", "--quantize", "all", "--depth", &depths];
    let all = [&["sweep"][..], &axes, &["--gen-tokens", &lengths, "--threads", "1,2"]].concat();
    plan(&dir, &all)?;
    let bytes = logs(options, &dir)?;
    let rounds = options.rounds.unwrap_or(5);
    let mut table = Table::new(&["", "goal s", "median s", "best s", "peak MB"]);
    let mut raw = serde_json::Map::new();
    let dry_run = [&all[..], &["--dry-run", "--json"]].concat();
    for (name, words) in [("sweep --dry-run", &dry_run[..]), ("status", &["status"][..])] {
        let runs = (0..rounds).map(|_| measure(tokometer::command(&dir, words))).collect::<Result<Vec<Measured>>>()?;
        let seconds: Vec<f64> = runs.iter().map(|run| run.seconds).collect();
        let peak = runs.iter().filter_map(|run| run.peak_bytes).max();
        table.row([name.to_owned(), figure(GOAL), figure(median(&seconds)), figure(lowest(&seconds)), megabytes(peak)]);
        raw.insert(name.to_owned(), json!({ "goal_s": GOAL, "seconds": seconds, "peak_bytes": peak }));
    }
    raw.insert("bytes_of_logs".into(), json!(bytes));
    fs::remove_dir_all(&dir).with_context(|| format!("cannot remove {}", dir.display()))?;
    Ok(Report {
        title: format!("10,000 cases, {} GB of raw logs, {rounds} runs", figure(bytes as f64 / 1e9)),
        table,
        notes: vec!["without a journal: the status is told from the headers and ends of all logs".into()],
        raw: raw.into(),
    })
}

/// The plan is written before anything is measured: the sweep is ended as soon as it is there.
fn plan(dir: &Path, words: &[&str]) -> Result<()> {
    say("bench", "planning the sweep");
    let mut command = tokometer::command(dir, words).into_inner();
    let mut child = command.stdin(std::process::Stdio::null()).stderr(std::process::Stdio::null()).spawn()?;
    let path = dir.join("sweep").join("plan.json");
    for _ in 0..600 {
        if path.is_file() {
            break;
        }
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    let _ = child.kill();
    let _ = child.wait();
    match path.is_file() {
        true => Ok(()),
        false => Err(anyhow!("the sweep wrote no {}", path.display())),
    }
}

/// A log for every case, as large as makes the size that was asked for. Returns their bytes.
fn logs(options: &Options, dir: &Path) -> Result<u64> {
    let sample = dir.join("sample");
    let repetitions = (options.bytes / 10_000 / 3_000).clamp(1, 1000).to_string();
    let workload = ["--prompt-tokens", "8", "--gen-tokens", "64", "--launches", "1", "--repetitions", &repetitions];
    let what = ["sweep", "--engine", "mock", "--model", "synthetic:tiny", "--quantize", "nf4", "--measure-only"];
    tokometer::command(&sample, &[&what[..], &workload].concat()).capture()?;
    let folder = sample.join("benchmark_output");
    let entries = fs::read_dir(&folder).with_context(|| format!("cannot read {}", folder.display()))?;
    let log = entries.flatten().map(|entry| entry.path()).find(|path| path.extension().is_some_and(|e| e == "txt"));
    let log: PathBuf = log.ok_or_else(|| anyhow!("no log in {}", folder.display()))?;
    let output = dir.join("benchmark_output");
    say("bench", "writing 10,000 logs");
    let script = paths::root().join("xtask/src/bench/sweep_logs.py");
    let plan = dir.join("sweep").join("plan.json");
    let _ = fs::remove_dir_all(&output);
    let python = python::require("writing the logs")?;
    Cmd::new(python.program).arg(script).arg(&log).arg(&plan).arg(&output).run()?;
    let entries = fs::read_dir(&output).with_context(|| format!("cannot read {}", output.display()))?;
    Ok(entries.flatten().filter_map(|entry| entry.metadata().ok()).map(|meta| meta.len()).sum())
}
