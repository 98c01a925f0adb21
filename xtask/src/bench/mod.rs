//! `cargo xtask bench`: how fast Tokometer itself is, always beside something else that was measured in the same run.
//!
//! A benchmark is one file and one line in [`BENCHES`]. It returns a table for people and its raw figures, which are
//! written to `.tokometer/bench/results/NAME.json` together with the command, the machine and the versions.

mod asleep;
mod collate;
mod convert;
mod distance;
mod endpoint;
mod harness;
mod llama_cpp;
mod machine;
mod measure;
mod plots;
mod precision;
mod scale;
mod serve;
mod table;
mod tokometer;
mod verdicts;
mod worker;

use crate::args::{Args, Usage};
use crate::setup::{self, Toolchain};
use crate::shell::{line, say};
use crate::{build, paths};
use anyhow::{Context, Result, anyhow};
use serde_json::{Value, json};
use std::path::PathBuf;
use table::Table;

/// A benchmark.
pub struct Bench {
    /// Its name on the command line and of its results.
    pub name: &'static str,
    /// What is compared.
    pub about: &'static str,
    run: fn(&Options) -> Result<Report>,
}

/// All benchmarks, in the order in which they run.
pub const BENCHES: &[Bench] = &[
    worker::BENCH,
    harness::BENCH,
    serve::BENCH,
    precision::BENCH,
    verdicts::BENCH,
    plots::BENCH,
    collate::BENCH,
    convert::BENCH,
    scale::BENCH,
    distance::BENCH,
];

/// What the command line chose; what it left open is each benchmark's own choice.
struct Options {
    rounds: Option<usize>,
    model: Option<String>,
    quantize: Option<String>,
    threads: usize,
    bytes: u64,
    until: Option<String>,
    dir: PathBuf,
    log: Option<PathBuf>,
    /// Where `convert` makes its files; a folder in memory shows what a disk hides.
    scratch: Option<PathBuf>,
    with_python: bool,
    toolchain: Toolchain,
}

/// What a benchmark found.
struct Report {
    title: String,
    table: Table,
    /// What a reader must know to read the figures right.
    notes: Vec<String>,
    raw: Value,
}

/// The command.
pub fn main(mut args: Args) -> Result<()> {
    let rounds = args.value("--rounds")?;
    let model = args.value("--model")?;
    let quantize = args.value("--quantize")?;
    let threads = args.value("--threads")?.unwrap_or_else(machine::cores);
    let size: Option<String> = args.value("--size")?;
    let until = args.value("--until")?;
    let dir = absolute(args.value("--dir")?)?.unwrap_or_else(|| paths::root().join("demo"));
    let log = absolute(args.value("--log")?)?;
    let scratch = absolute(args.value("--scratch")?)?;
    let with_python = args.flag("--with-python");
    let chosen = chosen(&args.names()?)?;
    let bytes = bytes(size.as_deref().unwrap_or("1GB"))?;
    if rounds == Some(0) || threads == 0 {
        return Err(anyhow!(Usage("--rounds and --threads must be at least 1".into())));
    }

    let toolchain = setup::toolchain(true)?;
    build::build(&toolchain)?;
    let options = Options { rounds, model, quantize, threads, bytes, until, dir, log, scratch, with_python, toolchain };
    for bench in chosen {
        say("bench", format!("{}: {}", bench.name, bench.about));
        // Before, not after: a long benchmark outlives commits.
        let (before, versions) = (machine::describe(), machine::versions());
        let report = (bench.run)(&options).with_context(|| format!("the benchmark {} failed", bench.name))?;
        print(&report);
        save(bench.name, &report, before, versions)?;
    }
    Ok(())
}

/// A path as it was typed, wherever the programs run that are given it.
fn absolute(path: Option<PathBuf>) -> Result<Option<PathBuf>> {
    let absolute =
        path.map(|path| std::path::absolute(&path).with_context(|| format!("cannot use {}", path.display())));
    absolute.transpose()
}

fn chosen(names: &[String]) -> Result<Vec<&'static Bench>> {
    if names.is_empty() {
        return Ok(BENCHES.iter().collect());
    }
    let find = |name: &String| {
        let known = || BENCHES.iter().map(|bench| bench.name).collect::<Vec<_>>().join(", ");
        let found = BENCHES.iter().find(|bench| bench.name == name);
        found.ok_or_else(|| anyhow!(Usage(format!("there is no benchmark {name:?}; there are {}", known()))))
    };
    names.iter().map(find).collect()
}

fn print(report: &Report) {
    line(&format!("\n{}\n{}", report.title, report.table));
    for note in &report.notes {
        line(&format!("  {note}"));
    }
    line("");
}

fn save(name: &str, report: &Report, machine: Value, versions: Value) -> Result<()> {
    let folder = paths::bench().join("results");
    let file = folder.join(format!("{name}.json"));
    let command: Vec<String> = std::env::args().skip(1).collect();
    let all = json!({
        "benchmark": name,
        "command": format!("cargo xtask {}", command.join(" ")),
        "machine": machine,
        "versions": versions,
        "title": report.title,
        "notes": report.notes,
        "raw": report.raw,
    });
    // Files of the repository are named from its root: results are shown to people who have it elsewhere.
    let text = format!("{all:#}\n").replace(&format!("{}/", paths::root().display()), "");
    std::fs::create_dir_all(&folder)
        .and_then(|()| std::fs::write(&file, text))
        .with_context(|| format!("cannot write {}", file.display()))?;
    say("bench", format!("raw figures: {}", paths::short(&file)));
    Ok(())
}

/// The least that `--size` can be: a smaller number has lost its unit.
const SMALLEST: u64 = 1_000_000;

/// `1GB`, `50MB`, `1000000`: decimal units.
fn bytes(text: &str) -> Result<u64> {
    let units = [("GB", 1_000_000_000), ("G", 1_000_000_000), ("MB", 1_000_000), ("M", 1_000_000), ("", 1)];
    let parse = |(suffix, unit): &(&str, u64)| {
        let number: f64 = text.strip_suffix(suffix)?.trim().parse().ok()?;
        (number.is_finite() && number > 0.0).then_some((number * *unit as f64) as u64)
    };
    let found = units.iter().find_map(parse).filter(|bytes| *bytes >= SMALLEST);
    found.ok_or_else(|| {
        anyhow!(Usage(format!(
            "--size cannot be {text:?}: give 1 MB or more with its unit, as --size 300MB or --size 1GB"
        )))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_decimal() {
        assert_eq!(bytes("1GB").unwrap(), 1_000_000_000);
        assert_eq!(bytes("0.5G").unwrap(), 500_000_000);
        assert_eq!(bytes("50MB").unwrap(), 50_000_000);
        assert_eq!(bytes("1234567").unwrap(), 1_234_567);
        assert!(bytes("-1GB").is_err() && bytes("big").is_err() && bytes("0").is_err());
        for lost in ["0.3", "300", "0.3MB"] {
            let error = bytes(lost).unwrap_err();
            assert!(error.is::<Usage>() && error.to_string().contains("--size 300MB"), "{error}");
        }
    }

    #[test]
    fn no_names_means_all_and_an_unknown_one_is_refused() {
        assert_eq!(chosen(&[]).unwrap().len(), BENCHES.len());
        assert_eq!(chosen(&["plots".into()]).unwrap()[0].name, "plots");
        assert!(chosen(&["plot".into()]).is_err());
    }
}
