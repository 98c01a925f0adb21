//! How long it takes to know a speed, and the ratio of two, to ±1% or another share (`--until 3%`): `tokometer run --until` against
//! llama-bench, called again and again until a 95% interval is that narrow. In turn, on the same files.
//!
//! What each says at the end is kept, too: answers that differ between rounds by more than they claim were not known that well.
//! llama-bench's interval here takes its repetitions for independent, which on a machine that others use they are not; ours takes
//! launches and rounds for what varies, and a ratio round by round.

use super::table::{Table, figure, median, range, ratios};
use super::{Bench, Options, Report, llama_cpp, tokometer};
use crate::args::Usage;
use crate::paths;
use crate::shell::{Cmd, say};
use anyhow::{Context, Result, anyhow};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::time::Instant;

pub const BENCH: Bench = Bench { name: "precision", about: "wall time to ±1%, against llama-bench", run };

const PROMPT: &str = "128";
const GENERATED: &str = "64";
const SHARE: &str = "1%";
/// Seconds after which either side is given up.
const LONGEST: u64 = 150;
/// Repetitions of one call of llama-bench.
const CALL: &str = "5";
/// What the first quantization is held against.
const OTHER: &str = "int8";

/// What is asked.
struct Question<'a> {
    /// One model, or two whose ratio is wanted.
    quantizations: Vec<&'a str>,
    files: Vec<PathBuf>,
    threads: String,
    until: &'a str,
    share: f64,
}

/// What one side said.
struct Said {
    seconds: f64,
    /// Whether it claims to know it that well.
    reached: bool,
    /// Decode speed, tokens/s, or the ratio of two.
    decode: f64,
    detail: Value,
}

fn run(options: &Options) -> Result<Report> {
    let dir = paths::bench().join("precision");
    let model = options.model.as_deref().unwrap_or("synthetic:60M");
    let first = options.quantize.as_deref().unwrap_or("nf4");
    let rounds = options.rounds.unwrap_or(5);
    let until = options.until.as_deref().unwrap_or(SHARE);
    let share = percent(until)?;
    let llama = llama_cpp::tools(&options.toolchain, &["llama-bench"])?;
    let program = llama.program("llama-bench");
    let prepared = [first, OTHER].map(|quantize| tokometer::prepare(&dir, model, quantize));
    let [one, other] = prepared;
    let (one, other) = (one?, other?);
    let threads = options.threads.to_string();
    let questions = [
        Question { quantizations: vec![first], files: vec![one.path.clone()], threads: threads.clone(), until, share },
        Question {
            quantizations: vec![first, OTHER],
            files: vec![one.path.clone(), other.path.clone()],
            threads: threads.clone(),
            until,
            share,
        },
    ];
    let mut said: Vec<[Vec<Said>; 2]> = questions.iter().map(|_| [Vec::new(), Vec::new()]).collect();
    for round in 1..=rounds {
        for (question, said) in questions.iter().zip(&mut said) {
            for turn in 0..2 {
                let side = (round + turn) % 2;
                let answer = match side {
                    0 => llama_bench(&program, question)?,
                    _ => ours(&dir, model, question)?,
                };
                let who = ["llama-bench", "tokometer"][side];
                let known = if answer.reached { "" } else { ", not reached" };
                let what = question.quantizations.join(" / ");
                say("bench", format!("round {round} of {rounds}: {what}: {who} {} s{known}", figure(answer.seconds)));
                said[side].push(answer);
            }
        }
    }
    Ok(Report {
        title: format!(
            "{model}, {first} ({}) and {OTHER} ({}), {threads} threads, prefill {PROMPT}, decode {GENERATED}, {rounds} rounds; \
             {LONGEST} s at most",
            one.native, other.native
        ),
        table: table(&questions, &said),
        notes: vec![
            format!(
                "llama-bench: {}, called with -r {CALL} until prefill and decode are known to {until} (Student's t, all \
                 repetitions as independent)",
                llama.version
            ),
            format!("tokometer: --until {until}, for TPOT, TTFT and E2E; no look before the eighth round; ratios by --ratios"),
            "differ: half the range of what was said of decoding in the rounds, relative to its middle; more than the claim is a \
             claim that did not hold"
                .into(),
        ],
        raw: raw(model, &threads, until, &questions, &said),
    })
}

fn table(questions: &[Question<'_>], said: &[[Vec<Said>; 2]]) -> Table {
    let headings = [
        "",
        "tokometer s",
        "reached",
        "differ",
        "llama-bench s",
        "reached",
        "differ",
        "ratio of times: median (range)",
    ];
    let mut table = Table::new(&headings);
    for (question, [theirs, ours]) in questions.iter().zip(said) {
        let seconds = |all: &[Said]| all.iter().map(|said| said.seconds).collect::<Vec<_>>();
        let side = |all: &[Said]| {
            let reached = all.iter().filter(|said| said.reached).count();
            [figure(median(&seconds(all))), format!("{reached} of {}", all.len()), differ(all)]
        };
        let ([a, b, c], [d, e, f]) = (side(ours), side(theirs));
        let what = format!("{} to ±{}", question.quantizations.join(" / "), question.until);
        table.row([what, a, b, c, d, e, f, range(&ratios(&seconds(ours), &seconds(theirs)))]);
    }
    table
}

/// By how much the answers differ: half their range relative to their middle.
fn differ(all: &[Said]) -> String {
    let (low, high) = all
        .iter()
        .fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), said| (low.min(said.decode), high.max(said.decode)));
    match all.len() {
        0 | 1 => String::new(),
        _ => format!("±{:.1}%", 100.0 * (high - low) / (high + low)),
    }
}

fn raw(model: &str, threads: &str, until: &str, questions: &[Question<'_>], said: &[[Vec<Said>; 2]]) -> Value {
    let side = |all: &[Said]| -> Vec<Value> {
        let told = |said: &Said| json!({ "seconds": said.seconds, "reached": said.reached, "decode": said.decode, "detail": said.detail });
        all.iter().map(told).collect()
    };
    let questions: Vec<Value> = questions
        .iter()
        .zip(said)
        .map(|(question, [theirs, ours])| {
            json!({ "quantizations": question.quantizations, "tokometer": side(ours), "llama_bench": side(theirs) })
        })
        .collect();
    json!({ "until": until, "model": model, "threads": threads, "longest_s": LONGEST, "questions": questions })
}

/// `3%` as 0.03.
fn percent(text: &str) -> Result<f64> {
    let number = text.strip_suffix('%').and_then(|number| number.parse::<f64>().ok());
    let share = number.map(|number| number / 100.0).filter(|share| *share > 0.0 && *share < 1.0);
    share.ok_or_else(|| anyhow!(Usage(format!("--until takes a share such as 3%, not {text:?}"))))
}

fn ours(dir: &Path, model: &str, question: &Question<'_>) -> Result<Said> {
    let (all, budget) = (question.quantizations.join(","), format!("{LONGEST}s"));
    let what = ["run", "--engine", "llamacpp", "--model", model, "--quantize", &all, "--threads", &question.threads];
    let how = ["--prompt-tokens", PROMPT, "--gen-tokens", GENERATED, "--until", question.until, "--budget", &budget];
    let more: &[&str] = if question.quantizations.len() > 1 { &["--ratios", "--json"] } else { &["--json"] };
    let began = Instant::now();
    let text = tokometer::command(dir, &[&what[..], &how, more].concat()).capture_stdout()?;
    let seconds = began.elapsed().as_secs_f64();
    let told: Value = serde_json::from_str(&text).context("`tokometer run --json` printed no JSON")?;
    let means = (0..question.quantizations.len()).map(|case| {
        let samples = told[case]["decode_tok_s"].as_array().cloned().unwrap_or_default();
        let speeds: Vec<f64> = samples.iter().filter_map(Value::as_f64).collect();
        // Work over time, as `analyze` has it.
        speeds.len() as f64 / speeds.iter().map(|speed| 1.0 / speed).sum::<f64>()
    });
    Ok(Said {
        seconds,
        reached: told[0]["ended_by"].as_str().is_some_and(|why| why.contains("as narrow as asked")),
        decode: of_all(&means.collect::<Vec<_>>()),
        detail: json!(
            told.as_array()
                .into_iter()
                .flatten()
                .map(|case| json!({ "rounds": case["rounds"],
            "launches": case["launches"], "decode_tok_s": case["decode_tok_s"], "ttft_ms": case["ttft_ms"] }))
                .collect::<Vec<_>>()
        ),
    })
}

/// The figure, or the first by the second.
fn of_all(figures: &[f64]) -> f64 {
    match figures {
        [one] => *one,
        [one, other, ..] => one / other,
        [] => f64::NAN,
    }
}

fn llama_bench(program: &Path, question: &Question<'_>) -> Result<Said> {
    let test = ["-p", PROMPT, "-n", GENERATED, "-t", &question.threads, "-r", CALL, "-o", "jsonl"];
    // Of each file: prefill, decode.
    let mut samples: Vec<[Vec<f64>; 2]> = question.files.iter().map(|_| [Vec::new(), Vec::new()]).collect();
    let began = Instant::now();
    loop {
        for (file, samples) in question.files.iter().zip(&mut samples) {
            let text = Cmd::new(program).arg("-m").arg(file).args(test).capture()?;
            let lines = text.lines().filter(|line| line.starts_with('{'));
            for (own, line) in samples.iter_mut().zip(lines) {
                let value: Value = serde_json::from_str(line)?;
                let speeds =
                    value["samples_ts"].as_array().ok_or_else(|| anyhow!("llama-bench reported no samples_ts"))?;
                own.extend(speeds.iter().filter_map(Value::as_f64));
            }
        }
        let seconds = began.elapsed().as_secs_f64();
        let width = |phase: usize| samples.iter().map(|own| half_width(&own[phase]).powi(2)).sum::<f64>().sqrt();
        let reached = width(0) <= question.share && width(1) <= question.share;
        if reached || seconds > LONGEST as f64 {
            let means = samples.iter().map(|[_, decode]| decode.iter().sum::<f64>() / decode.len() as f64);
            let detail =
                samples.iter().map(|[prefill, decode]| json!({ "prefill_tok_s": prefill, "decode_tok_s": decode }));
            let decode = of_all(&means.collect::<Vec<_>>());
            return Ok(Said { seconds, reached, decode, detail: detail.collect() });
        }
    }
}

/// Half the width of the 95% interval of the mean, as a share of it; of a ratio the root of the sum of both squares.
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
