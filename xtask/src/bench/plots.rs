//! How long the figures and the presentation take.

use super::measure::{Measured, measure};
use super::table::{Table, figure, lowest, median, megabytes};
use super::{Bench, Options, Report, tokometer};
use anyhow::{Result, bail};
use serde_json::json;

pub const BENCH: Bench = Bench { name: "plots", about: "the plots and the presentation, from the demo's results", run };

/// Command, and the seconds that it should stay below.
const COMMANDS: &[(&str, f64)] = &[("plot", 1.0), ("present", 2.0)];

fn run(options: &Options) -> Result<Report> {
    let dir = &options.dir;
    if !dir.join("benchmark_output").join("all.csv").is_file() {
        bail!("{} holds no results: run `cargo xtask demo` first, or name a folder with --dir", dir.display());
    }
    let rounds = options.rounds.unwrap_or(5);
    let mut table = Table::new(&["", "goal s", "first s", "median s", "best s", "peak MB"]);
    let mut raw = serde_json::Map::new();
    for (name, goal) in COMMANDS {
        let first = measure(tokometer::command(dir, &[name]))?;
        let runs = (0..rounds).map(|_| measure(tokometer::command(dir, &[name]))).collect::<Result<Vec<Measured>>>()?;
        let seconds: Vec<f64> = runs.iter().map(|run| run.seconds).collect();
        let peak = runs.iter().filter_map(|run| run.peak_bytes).max();
        table.row([
            (*name).to_owned(),
            figure(*goal),
            figure(first.seconds),
            figure(median(&seconds)),
            figure(lowest(&seconds)),
            megabytes(peak),
        ]);
        raw.insert(
            (*name).to_owned(),
            json!({"goal_s": goal, "first_s": first.seconds, "seconds": seconds, "peak_bytes": peak}),
        );
    }
    Ok(Report {
        title: format!("{}, {rounds} runs after a first one", dir.display()),
        table,
        notes: vec!["wall time of the whole program, start and files included".into()],
        raw: raw.into(),
    })
}
