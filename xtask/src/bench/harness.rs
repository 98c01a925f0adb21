//! What the harness costs: our llama.cpp worker driven through the protocol against the same loop in a process that nobody
//! drives, in turn; and what the harness itself computes while its worker generates.

use super::asleep::{self, Asleep};
use super::table::{Table, figure, highest, median, range, ratios};
use super::{Bench, Options, Report, tokometer};
use crate::paths;
use crate::shell::{Cmd, say};
use anyhow::{Context, Result, anyhow};
use serde_json::{Value, json};
use std::path::Path;

pub const BENCH: Bench =
    Bench { name: "harness", about: "a worker driven through the protocol against the same loop without it", run };

const PROMPT: u32 = 64;
const GENERATED: u32 = 128;
/// Passes of each side in a round.
const PASSES: u32 = 8;
/// Tokens of the long generations during which the harness is watched, and how many there are.
const LONG: (u32, u32) = (1024, 4);

/// One side: decode tok/s, every pass of every round.
#[derive(Default)]
struct Side(Vec<Vec<f64>>);

impl Side {
    fn medians(&self) -> Vec<f64> {
        self.0.iter().map(|passes| median(passes)).collect()
    }

    fn best(&self) -> f64 {
        highest(&self.0.concat())
    }
}

fn run(options: &Options) -> Result<Report> {
    let dir = paths::bench().join("harness");
    let model = options.model.as_deref().unwrap_or("synthetic:60M");
    let quantize = options.quantize.as_deref().unwrap_or("nf4");
    let rounds = options.rounds.unwrap_or(15);
    let threads = options.threads.to_string();
    let prepared = tokometer::prepare(&dir, model, quantize)?;
    let (mut driven, mut bare) = (Side::default(), Side::default());
    for round in 1..=rounds {
        // Each goes first in turn: a machine that gets warm must not favour one.
        if round % 2 == 1 {
            driven.0.push(ours(&dir, model, quantize, &threads)?);
            bare.0.push(alone(&prepared.path, &threads)?);
        } else {
            bare.0.push(alone(&prepared.path, &threads)?);
            driven.0.push(ours(&dir, model, quantize, &threads)?);
        }
        let last = |side: &Side| figure(side.0.last().map_or(f64::NAN, |passes| median(passes)));
        say("bench", format!("round {round} of {rounds}: driven {}, alone {} tok/s", last(&driven), last(&bare)));
    }
    say("bench", "watching the harness during long generations");
    let asleep = watched(&dir, model, quantize, &threads, options.threads)?;
    let by_round = ratios(&driven.medians(), &bare.medians());
    let mut table = Table::new(&["", "driven", "best", "alone", "best", "ratio by round: median (range)", "of bests"]);
    table.row([
        "decode".to_owned(),
        figure(median(&driven.medians())),
        figure(driven.best()),
        figure(median(&bare.medians())),
        figure(bare.best()),
        range(&by_round),
        format!("{:.4}", driven.best() / bare.best()),
    ]);
    Ok(Report {
        title: format!(
            "{model} as {}, {threads} threads, decode {GENERATED} after {PROMPT}, {rounds} rounds of {PASSES} passes, tok/s",
            prepared.native
        ),
        table,
        notes: vec![
            "one process of the worker for each side and round, one warm-up pass each; medians of the passes".into(),
            "of bests: the fastest pass of each side, which the rest of the machine disturbed least".into(),
            middle_of(&by_round),
            format!(
                "while its worker generated, {} s in all, the harness computed {:.1} us per second, in {} of {} intervals of a tenth of a second",
                figure(asleep.span_ns as f64 / 1e9),
                asleep.us_per_s(),
                asleep.awake,
                asleep.intervals
            ),
        ],
        raw: json!({
            "model": model, "native": prepared.native, "threads": threads, "prompt": PROMPT, "generated": GENERATED,
            "passes": PASSES, "driven_decode_tok_s": driven.0, "alone_decode_tok_s": bare.0, "ratios": by_round,
            "harness_while_its_worker_generates": asleep.raw(),
        }),
    })
}

/// The 95% interval of the median that the order of the ratios gives, whatever their distribution: between the `k`-th from
/// below and from above, with `k` from the binomial distribution of how many lie below the median.
fn middle_of(ratios: &[f64]) -> String {
    let mut sorted = ratios.to_vec();
    sorted.sort_by(f64::total_cmp);
    let n = sorted.len() as u32;
    // Probability that at most `k` of `n` lie below.
    let (mut below, mut chance, mut k) = (0.0, 0.5f64.powi(n as i32), 0);
    while k < n / 2 && below + chance <= 0.025 {
        below += chance;
        chance *= f64::from(n - k) / f64::from(k + 1);
        k += 1;
    }
    match k {
        0 => "too few rounds for an interval of the median ratio".into(),
        k => {
            let (low, high) = (sorted[k as usize - 1], sorted[(n - k) as usize]);
            format!("95% interval of the median ratio, from the order of the rounds: {low:.4} to {high:.4}")
        }
    }
}

fn watched(dir: &Path, model: &str, quantize: &str, threads: &str, count: usize) -> Result<Asleep> {
    let (generated, repetitions) = (LONG.0.to_string(), LONG.1.to_string());
    let what = ["run", "--engine", "llamacpp", "--model", model, "--quantize", quantize, "--threads", threads];
    let how = ["--prompt-tokens", "8", "--gen-tokens", &generated, "--launches", "1", "--repetitions", &repetitions];
    asleep::watch(tokometer::command(dir, &[&what[..], &how].concat()), count)
}

fn ours(dir: &Path, model: &str, quantize: &str, threads: &str) -> Result<Vec<f64>> {
    let (prompt, generated, passes) = (PROMPT.to_string(), GENERATED.to_string(), PASSES.to_string());
    let what = ["--model", model, "--quantize", quantize, "--threads", threads, "--launches", "1"];
    let how = ["--prompt-tokens", &prompt, "--gen-tokens", &generated, "--repetitions", &passes];
    Ok(tokometer::run(dir, &[&what[..], &how].concat())?.decode_tok_s)
}

fn alone(gguf: &Path, threads: &str) -> Result<Vec<f64>> {
    let worker = paths::tokometer().with_file_name("tokometer-worker-llamacpp");
    let (prompt, generated, passes) = (PROMPT.to_string(), GENERATED.to_string(), PASSES.to_string());
    let text = Cmd::new(worker).arg("--bare").arg(gguf).args([threads, &prompt, &generated, &passes]).capture()?;
    let line = text.lines().find(|line| line.starts_with('{')).ok_or_else(|| anyhow!("--bare printed no JSON"))?;
    let value: Value = serde_json::from_str(line).context("--bare printed broken JSON")?;
    let times = value["decode_ns"].as_array().into_iter().flatten().filter_map(Value::as_f64);
    let steps = value["steps"].as_f64().unwrap_or(f64::NAN);
    Ok(times.map(|ns| steps * 1e9 / ns).collect())
}

#[cfg(test)]
mod tests {
    use super::middle_of;

    #[test]
    fn the_interval_of_a_median_is_that_of_the_tables() {
        // For 15 values the fourth from either end: 96.5%; for 6 the first: 96.9%.
        let ratios: Vec<f64> = (1..=15).map(f64::from).collect();
        assert!(middle_of(&ratios).ends_with("4.0000 to 12.0000"), "{}", middle_of(&ratios));
        assert!(middle_of(&ratios[..6]).ends_with("1.0000 to 6.0000"));
        assert!(middle_of(&ratios[..5]).starts_with("too few"));
    }
}
