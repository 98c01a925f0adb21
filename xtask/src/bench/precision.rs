//! How long it takes to know a speed to ±1%: `tokometer run --until 1%` against llama-bench, called until the 95% interval of
//! the mean of all its repetitions is that narrow, for prefill and decode. In turn, on the same file.

use super::table::{Table, figure, median, range, ratios};
use super::{Bench, Options, Report, llama_cpp, tokometer};
use crate::paths;
use crate::shell::{Cmd, say};
use anyhow::{Context, Result, anyhow};
use serde_json::{Value, json};
use std::path::Path;
use std::time::Instant;

pub const BENCH: Bench = Bench { name: "precision", about: "wall time to ±1%, against llama-bench", run };

const PROMPT: u32 = 128;
const GENERATED: u32 = 64;
const SHARE: f64 = 0.01;
/// Seconds after which either side is given up.
const LONGEST: u64 = 180;
/// Repetitions of one call of llama-bench.
const CALL: usize = 5;

fn run(options: &Options) -> Result<Report> {
    let dir = paths::bench().join("precision");
    let model = options.model.as_deref().unwrap_or("synthetic:60M");
    let quantize = options.quantize.as_deref().unwrap_or("nf4");
    let rounds = options.rounds.unwrap_or(5);
    let threads = options.threads.to_string();
    let llama = llama_cpp::tools(&options.toolchain, &["llama-bench"])?;
    let prepared = tokometer::prepare(&dir, model, quantize)?;
    let program = llama.program("llama-bench");
    let (mut ours, mut theirs, mut raw) = (Vec::new(), Vec::new(), Vec::new());
    for round in 1..=rounds {
        let mut turn = |us: bool| -> Result<()> {
            let (seconds, what) = match us {
                true => tokometer_until(&dir, model, quantize, &threads)?,
                false => llama_bench_until(&program, &prepared.path, &threads)?,
            };
            if us {
                ours.push(seconds)
            } else {
                theirs.push(seconds)
            }
            raw.push(json!({ "tokometer": us, "seconds": seconds, "detail": what }));
            Ok(())
        };
        turn(round % 2 == 1)?;
        turn(round % 2 == 0)?;
        let last = |all: &[f64]| figure(all.last().copied().unwrap_or(f64::NAN));
        say(
            "bench",
            format!("round {round} of {rounds}: tokometer {} s, llama-bench {} s", last(&ours), last(&theirs)),
        );
    }
    let mut table = Table::new(&["", "tokometer s", "llama-bench s", "ratio by round: median (range)"]);
    let by_round = ratios(&ours, &theirs);
    table.row(["to ±1%".to_owned(), figure(median(&ours)), figure(median(&theirs)), range(&by_round)]);
    Ok(Report {
        title: format!(
            "{model} as {}, {threads} threads, prefill {PROMPT}, decode {GENERATED}, {rounds} rounds; {LONGEST} s at most",
            prepared.native
        ),
        table,
        notes: vec![
            format!(
                "llama-bench: {}, called with -r {CALL} until both means are known to 1% (Student's t)",
                llama.version
            ),
            "tokometer: --until 1%, for TPOT, TTFT and E2E; several launches, and no look before the eighth round"
                .into(),
        ],
        raw: json!({ "model": model, "native": prepared.native, "threads": threads, "runs": raw, "ratios": by_round }),
    })
}

fn tokometer_until(dir: &Path, model: &str, quantize: &str, threads: &str) -> Result<(f64, Value)> {
    let numbers = [PROMPT.to_string(), GENERATED.to_string(), format!("{LONGEST}s")];
    let [prompt, generated, budget] = numbers.each_ref().map(String::as_str);
    let what = ["run", "--engine", "llamacpp", "--model", model, "--quantize", quantize, "--threads", threads];
    let how = [
        "--prompt-tokens",
        prompt,
        "--gen-tokens",
        generated,
        "--repetitions",
        "1",
        "--until",
        "1%",
        "--budget",
        budget,
    ];
    let began = Instant::now();
    let text = tokometer::command(dir, &[&what[..], &how, &["--json"]].concat()).capture_stdout()?;
    let seconds = began.elapsed().as_secs_f64();
    let all: Value = serde_json::from_str(&text).context("`tokometer run --json` printed no JSON")?;
    Ok((
        seconds,
        json!({ "rounds": all[0]["rounds"], "launches": all[0]["launches"], "decode_tok_s": all[0]["decode_tok_s"] }),
    ))
}

fn llama_bench_until(program: &Path, gguf: &Path, threads: &str) -> Result<(f64, Value)> {
    let numbers = [PROMPT.to_string(), GENERATED.to_string(), CALL.to_string()];
    let [prompt, generated, repetitions] = numbers.each_ref().map(String::as_str);
    let test = ["-p", prompt, "-n", generated, "-t", threads, "-r", repetitions, "-o", "jsonl"];
    let mut samples: [Vec<f64>; 2] = [Vec::new(), Vec::new()];
    let began = Instant::now();
    loop {
        let text = Cmd::new(program).arg("-m").arg(gguf).args(test).capture()?;
        let lines = text.lines().filter(|line| line.starts_with('{'));
        for (own, line) in samples.iter_mut().zip(lines) {
            let value: Value = serde_json::from_str(line)?;
            let speeds = value["samples_ts"].as_array().ok_or_else(|| anyhow!("llama-bench reported no samples_ts"))?;
            own.extend(speeds.iter().filter_map(Value::as_f64));
        }
        let seconds = began.elapsed().as_secs_f64();
        if samples.iter().all(|own| half_width(own) <= SHARE) || seconds > LONGEST as f64 {
            let [prefill, decode] = samples;
            return Ok((seconds, json!({ "prefill_tok_s": prefill, "decode_tok_s": decode })));
        }
    }
}

/// Half the width of the 95% interval of the mean, as a share of it.
fn half_width(samples: &[f64]) -> f64 {
    let n = samples.len() as f64;
    if n < 2.0 {
        return f64::INFINITY;
    }
    let mean = samples.iter().sum::<f64>() / n;
    let variance = samples.iter().map(|sample| (sample - mean).powi(2)).sum::<f64>() / (n - 1.0);
    // Student's t at 97.5%, within 1% from 4 degrees of freedom on: E. Cornish and R. Fisher's expansion, 1938.
    let (z, df) = (1.959_964_f64, n - 1.0);
    let t = z + (z.powi(3) + z) / (4.0 * df) + (5.0 * z.powi(5) + 16.0 * z.powi(3) + 3.0 * z) / (96.0 * df * df);
    t * (variance / n).sqrt() / mean
}

#[cfg(test)]
mod tests {
    use super::half_width;

    #[test]
    fn the_interval_is_students() {
        // t at 97.5% with 4 degrees of freedom is 2.776.
        let samples = [98.0, 99.0, 100.0, 101.0, 102.0];
        let expected = 2.776 * (2.5f64 / 5.0).sqrt() / 100.0;
        assert!((half_width(&samples) / expected - 1.0).abs() < 0.02);
        assert_eq!(half_width(&[1.0]), f64::INFINITY);
    }
}
