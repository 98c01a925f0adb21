//! Collating a lot of raw logs, beside what the machine can do at best with the same bytes: read them, and parse them as JSON
//! on all cores.

use super::measure::{Measured, measure};
use super::table::{Table, figure, median, megabytes};
use super::{Bench, Options, Report, tokometer};
use crate::shell::{Cmd, say};
use crate::{paths, python};
use anyhow::{Context, Result, anyhow};
use serde_json::{Value, json};
use std::fs::{self, File};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

pub const BENCH: Bench =
    Bench { name: "collate", about: "1 GB of raw logs to CSV, beside reading and JSON-parsing the same bytes", run };

/// Bytes of the sample from which the size of the CSV is foretold.
const PILOT: u64 = 8_000_000;

fn run(options: &Options) -> Result<Report> {
    let dir = paths::bench().join("collate");
    let source = match &options.log {
        Some(log) => log.clone(),
        None => real_log(options, &dir)?,
    };
    let work = dir.join("work");
    let logs = work.join("benchmark_output");
    let growth = pilot(&source, &work, &logs)?;
    let bytes = fitting(options.bytes, growth, &work)?;

    say("bench", format!("writing {} GB of logs like {}", figure(bytes as f64 / 1e9), paths::short(&source)));
    let files = replicate(&source, &logs, bytes)?;
    let bytes = size_of(&files);
    let figures = figures(options, &files, &work, &logs)?;
    fs::remove_dir_all(&work).with_context(|| format!("cannot remove {}", work.display()))?;
    Ok(report(&source, files.len(), bytes, &figures))
}

/// What was measured.
struct Figures {
    full: Vec<Measured>,
    again: Measured,
    csv_bytes: u64,
    cores: usize,
    read_one: f64,
    read_all: f64,
    parse_all: f64,
    write_csv: f64,
}

fn figures(options: &Options, files: &[PathBuf], work: &Path, logs: &Path) -> Result<Figures> {
    let rounds = options.rounds.unwrap_or(3);
    let mut full = Vec::new();
    for round in 1..=rounds {
        clean(work, logs)?;
        let run = measure(tokometer::command(work, &["collate", "--csv-only"]))?;
        say("bench", format!("round {round}/{rounds}: {} s", figure(run.seconds)));
        full.push(run);
    }
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let again = measure(tokometer::command(work, &["collate", "--csv-only"]))?;
    let csv_bytes = csv_bytes(logs);
    clean(work, logs)?;
    Ok(Figures {
        full,
        again,
        csv_bytes,
        write_csv: written(&work.join("zeros"), csv_bytes)?,
        cores,
        read_one: timed(files, 1, read)?,
        read_all: timed(files, cores, read)?,
        parse_all: timed(files, cores, parse)?,
    })
}

fn report(source: &Path, files: usize, bytes: u64, figures: &Figures) -> Report {
    let seconds: Vec<f64> = figures.full.iter().map(|run| run.seconds).collect();
    let peak = figures.full.iter().filter_map(|run| run.peak_bytes).max();
    let rows = [
        ("collate, all new", median(&seconds), peak),
        ("collate, nothing new", figures.again.seconds, figures.again.peak_bytes),
        ("read, 1 core", figures.read_one, None),
        ("read, all cores", figures.read_all, None),
        ("read and parse JSON, all cores", figures.parse_all, None),
        ("write as many bytes as the CSV", figures.write_csv, None),
    ];
    Report {
        title: format!(
            "{files} logs, {} GB, {} rounds, {} cores",
            figure(bytes as f64 / 1e9),
            seconds.len(),
            figures.cores
        ),
        table: table(&rows, bytes, figures.parse_all),
        notes: vec![
            format!(
                "collate also wrote {} GB of CSV; the files were in the page cache",
                figure(figures.csv_bytes as f64 / 1e9)
            ),
            "parsing builds a serde_json value of every line and drops it".into(),
        ],
        raw: json!({
            "log": paths::short(source), "files": files, "bytes": bytes, "csv_bytes": figures.csv_bytes, "cores": figures.cores,
            "collate_s": seconds, "collate_peak_bytes": peak, "collate_again_s": figures.again.seconds,
            "read_one_core_s": figures.read_one, "read_all_cores_s": figures.read_all, "parse_all_cores_s": figures.parse_all,
            "write_csv_bytes_s": figures.write_csv,
        }),
    }
}

fn table(rows: &[(&str, f64, Option<u64>)], bytes: u64, reference: f64) -> Table {
    let mut table = Table::new(&["", "s", "GB/s", "speed against parsing", "peak MB"]);
    for (name, seconds, peak) in rows {
        let rate = bytes as f64 / 1e9 / seconds;
        table.row([
            (*name).to_owned(),
            figure(*seconds),
            figure(rate),
            format!("{:.2}x", reference / seconds),
            megabytes(*peak),
        ]);
    }
    table
}

/// A log of the demo, or one that is measured for this on a tiny model.
fn real_log(options: &Options, dir: &Path) -> Result<PathBuf> {
    let mut logs = text_files(&options.dir.join("benchmark_output"));
    logs.retain(|path| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("llamacpp_")));
    if let Some(log) = logs.into_iter().next() {
        return Ok(log);
    }
    say("bench", "measuring a tiny model to have a real log");
    Ok(tokometer::run(&dir.join("source"), &["--model", "synthetic:tiny", "--quantize", "float16"])?.log)
}

/// Bytes of CSV per byte of log.
fn pilot(source: &Path, work: &Path, logs: &Path) -> Result<f64> {
    let _ = fs::remove_dir_all(work);
    let files = replicate(source, logs, PILOT)?;
    measure(tokometer::command(work, &["collate", "--csv-only"]))?;
    let growth = csv_bytes(logs) as f64 / size_of(&files).max(1) as f64;
    fs::remove_dir_all(work).with_context(|| format!("cannot remove {}", work.display()))?;
    Ok(growth)
}

/// As many bytes of logs as were asked for, or as fit on the disk with their CSV and room to spare.
pub(super) fn fitting(asked: u64, growth: f64, folder: &Path) -> Result<u64> {
    let parent = folder.parent().unwrap_or(folder);
    let Some(free) = Cmd::new("df").arg("-Pk").arg(parent).ask().as_deref().and_then(free_bytes) else {
        return Ok(asked);
    };
    // The CSV may stand there twice while it is replaced.
    let per_byte = 1.0 + 2.0 * growth;
    let room = (free as f64 * 0.8 / per_byte) as u64;
    if room < PILOT {
        return Err(anyhow!(
            "{} has too little space for this benchmark: {} GB are free",
            parent.display(),
            figure(free as f64 / 1e9)
        ));
    }
    if room < asked {
        say(
            "bench",
            format!("the disk has room for {} GB of logs and their CSV, not for more", figure(room as f64 / 1e9)),
        );
    }
    Ok(asked.min(room))
}

/// The fourth column of the last line of `df -Pk`, in kB there.
fn free_bytes(df: &str) -> Option<u64> {
    let kilobytes: u64 = df.lines().last()?.split_whitespace().nth(3)?.parse().ok()?;
    kilobytes.checked_mul(1024)
}

/// Writes copies of a log, each with an identity and a valid closing line of its own.
fn replicate(source: &Path, folder: &Path, bytes: u64) -> Result<Vec<PathBuf>> {
    let python = python::require("writing the logs")?;
    let script = paths::root().join("xtask/src/bench/replicate_logs.py");
    Cmd::new(python.program).arg(script).arg(source).arg(folder).arg(bytes.to_string()).capture()?;
    Ok(text_files(folder))
}

fn text_files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    let mut files: Vec<PathBuf> =
        entries.filter(|path| path.extension().is_some_and(|extension| extension == "txt")).collect();
    files.sort();
    files
}

fn size_of(files: &[PathBuf]) -> u64 {
    files.iter().filter_map(|file| file.metadata().ok()).map(|data| data.len()).sum()
}

pub(super) fn csv_bytes(folder: &Path) -> u64 {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    size_of(&entries.filter(|path| path.extension().is_some_and(|extension| extension == "csv")).collect::<Vec<_>>())
}

/// Seconds that it takes to write so many bytes to a file, as little as any program that writes the CSV needs.
fn written(path: &Path, bytes: u64) -> Result<f64> {
    let failed = || format!("cannot write {}", path.display());
    let block = vec![b'0'; 1 << 20];
    let start = Instant::now();
    let mut file = File::create(path).with_context(failed)?;
    let mut left = bytes;
    while left > 0 {
        let now = left.min(block.len() as u64);
        file.write_all(&block[..now as usize]).with_context(failed)?;
        left -= now;
    }
    let seconds = start.elapsed().as_secs_f64();
    fs::remove_file(path).with_context(failed)?;
    Ok(seconds)
}

/// Removes all but the logs, so that nothing is remembered.
fn clean(work: &Path, logs: &Path) -> Result<()> {
    let all = [work, logs].into_iter().flat_map(|folder| fs::read_dir(folder).into_iter().flatten().flatten());
    for path in all.map(|entry| entry.path()) {
        let is_log = path.extension().is_some_and(|extension| extension == "txt");
        if path == logs || is_log {
            continue;
        }
        let removed = if path.is_dir() { fs::remove_dir_all(&path) } else { fs::remove_file(&path) };
        removed.with_context(|| format!("cannot remove {}", path.display()))?;
    }
    Ok(())
}

/// Seconds that this many threads need to do something with every file.
fn timed(files: &[PathBuf], threads: usize, work: fn(&[u8]) -> usize) -> Result<f64> {
    let next = AtomicUsize::new(0);
    let start = Instant::now();
    std::thread::scope(|scope| {
        let one = || -> Result<usize> {
            let (mut buffer, mut sum) = (Vec::new(), 0);
            while let Some(file) = files.get(next.fetch_add(1, Ordering::Relaxed)) {
                buffer.clear();
                let read = File::open(file).and_then(|mut file| file.read_to_end(&mut buffer));
                read.with_context(|| format!("cannot read {}", file.display()))?;
                sum += work(&buffer);
            }
            Ok(sum)
        };
        let all: Vec<_> = (0..threads).map(|_| scope.spawn(one)).collect();
        for thread in all {
            let sum = thread.join().map_err(|_| anyhow!("a reading thread panicked"))??;
            std::hint::black_box(sum);
        }
        Ok(start.elapsed().as_secs_f64())
    })
}

fn read(bytes: &[u8]) -> usize {
    bytes.len()
}

fn parse(bytes: &[u8]) -> usize {
    let lines = bytes.split(|byte| *byte == b'\n').filter(|line| line.first() == Some(&b'{'));
    lines.filter_map(|line| serde_json::from_slice::<Value>(line).ok()).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn free_space_is_read_from_df() {
        let text =
            "Filesystem 1024-blocks Used Available Capacity Mounted on\n/dev/vda 263000000 20000000 74000000 23% /\n";
        assert_eq!(free_bytes(text), Some(74_000_000 * 1024));
        assert_eq!(free_bytes("df: no such file"), None);
    }

    #[test]
    fn the_baseline_counts_json_lines_only() {
        assert_eq!(parse(b"engine: llamacpp\n\n{\"event\":\"a\"}\n{\"event\":\"b\"}\n{broken\n"), 2);
    }
}
