//! Preparing a model against llama.cpp's own tools: conversion to F16 and quantization, time and peak memory.
//!
//! The converter needs torch and transformers, gigabytes of packages: only with `--with-python`. `--scratch /dev/shm` has
//! both sides write to memory, which shows what a disk hides.

use super::llama_cpp::{self, LlamaCpp};
use super::measure::{Measured, measure};
use super::table::{Table, figure, median, megabytes, range, ratios};
use super::{Bench, Options, Report, tokometer};
use crate::paths;
use crate::python::{Environment, Packages};
use crate::shell::{Cmd, say};
use anyhow::{Context, Result, anyhow};
use serde_json::json;
use std::fs;
use std::path::{Path, PathBuf};

pub const BENCH: Bench = Bench {
    name: "convert",
    about: "conversion and quantization against llama.cpp's converter and llama-quantize; both write below --scratch DIR, \
            which may be in memory",
    run,
};

/// What is made, in this order: quantizing starts from the F16 file on both sides.
const STEPS: &[&str] = &["F16", "Q8_0", "Q4_K_M"];

/// Both sides of one step, per round.
#[derive(Default)]
struct Step {
    ours: Vec<Measured>,
    theirs: Vec<Measured>,
}

fn run(options: &Options) -> Result<Report> {
    let dir = paths::bench().join("convert");
    let model = options.model.as_deref().unwrap_or("synthetic:1B");
    let rounds = options.rounds.unwrap_or(3);
    let checkpoint = checkpoint(&dir.join("source"), model)?;
    let llama = llama_cpp::tools(&options.toolchain, &["llama-quantize"])?;
    let converter = match options.with_python {
        true => Some(converter(&llama)?),
        false => None,
    };
    let made = options.scratch.as_ref().map_or_else(|| dir.clone(), |scratch| scratch.join("tokometer-bench-convert"));
    let (our_dir, their_dir) = (made.join("ours"), made.join("theirs"));
    let mut steps: Vec<Step> = STEPS.iter().map(|_| Step::default()).collect();
    for round in 1..=rounds {
        empty(&our_dir)?;
        empty(&their_dir)?;
        for (native, step) in STEPS.iter().zip(&mut steps) {
            let run = measure(ours(&our_dir, &checkpoint, native, options.threads)?)?;
            if *native == "F16" && converter.is_none() {
                // What llama-quantize starts from.
                fs::copy(tokometer::prepare(&our_dir, &text(&checkpoint)?, native)?.path, their_dir.join("F16.gguf"))?;
            }
            let reference = match (*native, &converter) {
                ("F16", Some(converter)) => Some(convert(&llama, converter, &checkpoint, &their_dir)),
                ("F16", None) => None,
                _ => Some(quantize(&llama, &their_dir, native, options.threads)),
            };
            let reference = reference.map(measure).transpose()?;
            let seconds = reference.as_ref().map_or(f64::NAN, |run| run.seconds);
            say(
                "bench",
                format!(
                    "round {round}/{rounds}: {native}: tokometer {} s, llama.cpp {} s",
                    figure(run.seconds),
                    figure(seconds)
                ),
            );
            step.ours.push(run);
            step.theirs.extend(reference);
        }
    }
    fs::remove_dir_all(&our_dir)
        .and_then(|()| fs::remove_dir_all(&their_dir))
        .context("cannot remove what was made")?;
    if options.scratch.is_some() {
        fs::remove_dir(&made).with_context(|| format!("cannot remove {}", made.display()))?;
    }
    Ok(report(options, model, &llama, &steps))
}

fn report(options: &Options, model: &str, llama: &LlamaCpp, steps: &[Step]) -> Report {
    let mut table =
        Table::new(&["", "tokometer s", "peak MB", "llama.cpp s", "peak MB", "times as fast: median (range)"]);
    let mut raw = serde_json::Map::new();
    for (native, step) in STEPS.iter().zip(steps) {
        let (ours, theirs) = (seconds(&step.ours), seconds(&step.theirs));
        table.row([
            (*native).to_owned(),
            figure(median(&ours)),
            megabytes(peak(&step.ours)),
            figure(median(&theirs)),
            megabytes(peak(&step.theirs)),
            range(&ratios(&theirs, &ours)),
        ]);
        let side = |runs: &[Measured]| json!({"seconds": seconds(runs), "peak_bytes": peak(runs)});
        raw.insert((*native).to_owned(), json!({"tokometer": side(&step.ours), "llama_cpp": side(&step.theirs)}));
    }
    let mut notes = vec![
        format!("llama.cpp: {}", llama.version),
        "tokometer's time includes hashing the source and the result and bringing the result to the disk; memory is that of the largest process".into(),
    ];
    if let Some(scratch) = &options.scratch {
        notes.push(format!("both wrote below {}", scratch.display()));
    }
    if !options.with_python {
        notes.push(
            "llama.cpp's converter was not run: --with-python installs what it needs (torch, transformers; gigabytes)"
                .into(),
        );
    }
    let title = format!("{model}, {} threads", options.threads);
    Report {
        title,
        table,
        notes,
        raw: json!({"model": model, "threads": options.threads, "llama_cpp": llama.version, "steps": raw}),
    }
}

fn seconds(runs: &[Measured]) -> Vec<f64> {
    runs.iter().map(|run| run.seconds).collect()
}

fn peak(runs: &[Measured]) -> Option<u64> {
    runs.iter().filter_map(|run| run.peak_bytes).max()
}

/// The checkpoint as a Hugging Face folder: given as one, or found where tokometer keeps what it made or fetched.
fn checkpoint(dir: &Path, model: &str) -> Result<PathBuf> {
    if Path::new(model).join("config.json").is_file() {
        return Ok(std::path::absolute(model)?);
    }
    tokometer::prepare(dir, model, "float16")?;
    let models = dir.join("models");
    let folders = fs::read_dir(&models).with_context(|| format!("cannot read {}", models.display()))?.flatten();
    let found = folders.map(|entry| entry.path()).find(|folder| folder.join("config.json").is_file());
    found.ok_or_else(|| anyhow!("no checkpoint lies in {}; name its folder with --model", models.display()))
}

fn ours(dir: &Path, checkpoint: &Path, native: &str, threads: usize) -> Result<Cmd> {
    let (model, threads) = (text(checkpoint)?, threads.to_string());
    Ok(tokometer::command(
        dir,
        &["prepare", "--engine", "llamacpp", "--model", &model, "--quantize", native, "--threads", &threads],
    ))
}

fn quantize(llama: &LlamaCpp, dir: &Path, native: &str, threads: usize) -> Cmd {
    let output = dir.join(format!("{native}.gguf"));
    Cmd::new(llama.program("llama-quantize")).arg(dir.join("F16.gguf")).arg(output).arg(native).arg(threads.to_string())
}

fn convert(llama: &LlamaCpp, converter: &Environment, checkpoint: &Path, dir: &Path) -> Cmd {
    Cmd::new(converter.python())
        .arg(paths::root().join("xtask/src/bench/reference_convert.py"))
        .arg(&llama.source)
        .args(["--outtype", "f16", "--outfile"])
        .arg(dir.join("F16.gguf"))
        .arg(checkpoint)
        .env("HF_HUB_OFFLINE", "1")
}

/// The environment that llama.cpp's converter needs: what its own requirements name, without their package indexes.
fn converter(llama: &LlamaCpp) -> Result<Environment> {
    let folder = llama.source.join("requirements");
    let mut packages = Vec::new();
    for name in ["requirements-convert_legacy_llama.txt", "requirements-convert_hf_to_gguf.txt"] {
        let file = folder.join(name);
        let text = fs::read_to_string(&file).with_context(|| format!("cannot read {}", file.display()))?;
        packages.extend(requirements(&text));
    }
    let environment = Environment::named("convert");
    environment.ensure(&Packages::Listed(&packages))?;
    Ok(environment)
}

/// The packages of a requirements file; gguf comes with the source.
fn requirements(text: &str) -> Vec<String> {
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with(['#', '-']));
    lines
        .filter(|line| !line.starts_with("gguf"))
        .map(|line| line.split(" #").next().unwrap_or(line).trim().to_owned())
        .collect()
}

fn empty(folder: &Path) -> Result<()> {
    if folder.is_dir() {
        fs::remove_dir_all(folder).with_context(|| format!("cannot remove {}", folder.display()))?;
    }
    fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))
}

fn text(path: &Path) -> Result<String> {
    path.to_str().map(str::to_owned).ok_or_else(|| anyhow!("{} is no text", path.display()))
}

#[cfg(test)]
mod tests {
    use super::requirements;

    #[test]
    fn indexes_includes_and_comments_are_left_out() {
        let text = "-r ./other.txt\n--extra-index-url https://example.org\n\n## why\ntorch==2.11.0\ngguf>=0.1.0\nnumpy~=2.2.6  # pinned\n";
        assert_eq!(requirements(text), ["torch==2.11.0", "numpy~=2.2.6"]);
    }
}
