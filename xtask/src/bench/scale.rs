//! A sweep of ten thousand cases with a lot of raw logs: how long planning it, asking for its status, collating it and looking
//! at its results take.

use super::measure::{Measured, measure};
use super::table::{Table, figure, lowest, median, megabytes};
use super::{Bench, Options, Report, collate, tokometer};
use crate::shell::{Cmd, say};
use crate::{paths, python};
use anyhow::{Context, Result, anyhow};
use serde_json::{Map, Value, json};
use std::fs;
use std::path::{Path, PathBuf};

pub const BENCH: Bench =
    Bench { name: "scale", about: "planning, status, collating, analysis and plots of a sweep of 10,000 cases", run };

/// Seconds that each should stay below, but for collating.
const GOAL: f64 = 2.0;

/// Bytes of each of the two CSV files per byte of log, with some to spare.
const GROWTH: f64 = 10.0;

/// What is asked for once the logs are collated.
const QUESTIONS: &[&[&str]] = &[&["analyze"], &["plot"], &["present"], &["recommend", "--min-speed", "1"]];

fn run(options: &Options) -> Result<Report> {
    let dir = paths::bench().join("scale");
    let _ = fs::remove_dir_all(&dir);
    fs::create_dir_all(&dir).with_context(|| format!("cannot make {}", dir.display()))?;
    let numbers = |range: std::ops::Range<u32>| range.map(|n| n.to_string()).collect::<Vec<_>>().join(",");
    let (depths, prompts) = (numbers(0..50), numbers(8..33));
    let axes = ["--engine", "mock", "--model", "synthetic:tiny", "--quantize", "all", "--depth", &depths];
    let all =
        [&["sweep"][..], &axes, &["--prompt-tokens", &prompts, "--gen-tokens", "64", "--threads", "1,2"]].concat();
    plan(&dir, &all)?;
    let bytes = logs(collate::fitting(options.bytes, GROWTH, &dir)?, &dir)?;
    let rounds = options.rounds.unwrap_or(5);
    let mut found = Found { table: Table::new(HEADINGS), raw: Map::new() };
    let dry_run = [&all[..], &["--dry-run", "--json"]].concat();
    for (name, words) in [("sweep --dry-run", &dry_run[..]), ("status", &["status"][..])] {
        found.tell(name, Some(GOAL), &times(rounds, &dir, words)?, None);
    }
    say("bench", "collating");
    found.tell("collate --csv-only", None, &times(1, &dir, &["collate", "--csv-only"])?, None);
    let output = dir.join("benchmark_output");
    for words in QUESTIONS {
        say("bench", words[0]);
        let _ = fs::remove_file(output.join(".analysis"));
        let anew = measure(tokometer::command(&dir, words))?;
        found.tell(words[0], Some(GOAL), &times(rounds, &dir, words)?, Some(&anew));
    }
    let kept = fs::metadata(output.join(".analysis")).map_or(0, |metadata| metadata.len());
    let csv = collate::csv_bytes(&output);
    found.raw.insert("bytes_of_logs".into(), json!(bytes));
    found.raw.insert("bytes_of_csv".into(), json!(csv));
    found.raw.insert("bytes_of_analysis".into(), json!(kept));
    fs::remove_dir_all(&dir).with_context(|| format!("cannot remove {}", dir.display()))?;
    let gigabytes = |bytes: u64| figure(bytes as f64 / 1e9);
    Ok(Report {
        title: format!("10,000 cases, {} GB of raw logs, {rounds} runs", gigabytes(bytes)),
        table: found.table,
        notes: vec![
            "without a journal: the status is told from the headers and ends of all logs".into(),
            format!("{} GB of CSV; the analysis that is kept has {} GB", gigabytes(csv), gigabytes(kept)),
            "anew: one run that reads all rows because no analysis is kept".into(),
        ],
        raw: found.raw.into(),
    })
}

const HEADINGS: &[&str] = &["", "goal s", "median s", "best s", "peak MB", "anew s", "anew peak MB"];

/// The figures so far.
struct Found {
    table: Table,
    raw: Map<String, Value>,
}

impl Found {
    /// Adds what a command took, and what it took without a kept analysis where it asks for one.
    fn tell(&mut self, name: &str, goal: Option<f64>, runs: &[Measured], anew: Option<&Measured>) {
        let seconds: Vec<f64> = runs.iter().map(|run| run.seconds).collect();
        let peak = runs.iter().filter_map(|run| run.peak_bytes).max();
        let known = |value: Option<f64>| value.map_or_else(|| "-".to_owned(), figure);
        self.table.row([
            name.to_owned(),
            known(goal),
            figure(median(&seconds)),
            figure(lowest(&seconds)),
            megabytes(peak),
            known(anew.map(|run| run.seconds)),
            megabytes(anew.and_then(|run| run.peak_bytes)),
        ]);
        let raw = json!({
            "goal_s": goal, "seconds": seconds, "peak_bytes": peak,
            "anew_s": anew.map(|run| run.seconds), "anew_peak_bytes": anew.and_then(|run| run.peak_bytes),
        });
        self.raw.insert(name.to_owned(), raw);
    }
}

/// Some runs of a command.
fn times(rounds: usize, dir: &Path, words: &[&str]) -> Result<Vec<Measured>> {
    (0..rounds).map(|_| measure(tokometer::command(dir, words))).collect()
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
fn logs(bytes: u64, dir: &Path) -> Result<u64> {
    let sample = dir.join("sample");
    let repetitions = (bytes / 10_000 / 3_000).clamp(1, 1000).to_string();
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
