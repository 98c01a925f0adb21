//! How long it takes to know a speed, and the ratio of two, to ±1% or another share (`--until 3%`): `tokometer run --until` against
//! llama-bench, called again and again. In turn, on the same files, and by one rule: what is independent is a call or a round of
//! five repetitions, not the repetition; the 95% interval of their mean, whose spread (of a speed) is taken around a straight line, is looked at
//! after 8, 10, 13, 17, ... of them, and is believed when it is narrow enough twice in a row. A ratio is taken round by round
//! where a tool has rounds; of two calls of llama-bench, which knows none, it is that of two independent means. Both decode after
//! the prompt: llama-bench computes it once more for that. Two rounds of ours share a start of the engine; each call of
//! llama-bench is one.
//!
//! Beside it stands what people read off llama-bench: when the interval was narrow if every repetition is taken as
//! independent. What each says at the end is kept, too: answers that differ between rounds by more than they claim
//! were not known that well.

use super::table::{Table, figure, highest, lowest, median, range, ratios};
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
const LONGEST: u64 = 300;
/// Repetitions of one call of llama-bench.
const CALL: &str = "5";
/// Whose speed is asked for, and what it is held against.
const QUANTIZATIONS: &str = "nf4,int8";

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
    /// When repetitions that are taken as independent first claimed it, and the decode speed or ratio then.
    early: Option<(f64, f64)>,
    detail: Value,
}

fn run(options: &Options) -> Result<Report> {
    let dir = paths::bench().join("precision");
    let model = options.model.as_deref().unwrap_or("synthetic:60M");
    let asked = options.quantize.as_deref().unwrap_or(QUANTIZATIONS);
    let rounds = options.rounds.unwrap_or(5);
    let until = options.until.as_deref().unwrap_or(SHARE);
    let share = percent(until)?;
    let llama = llama_cpp::tools(&options.toolchain, &["llama-bench"])?;
    let program = llama.program("llama-bench");
    let quantizations: Vec<&str> = asked.split(',').collect();
    if quantizations.len() > 2 {
        return Err(anyhow!(Usage(format!("--quantize takes one or two for this benchmark, not {asked:?}"))));
    }
    let prepared = quantizations.iter().map(|quantize| tokometer::prepare(&dir, model, quantize));
    let prepared = prepared.collect::<Result<Vec<_>>>()?;
    let threads = options.threads.to_string();
    // A speed, and where two are named their ratio.
    let question = |n: usize| Question {
        quantizations: quantizations[..n].to_vec(),
        files: prepared[..n].iter().map(|one| one.path.clone()).collect(),
        threads: threads.clone(),
        until,
        share,
    };
    let questions: Vec<Question<'_>> = (1..=quantizations.len()).map(question).collect();
    let names: Vec<String> =
        quantizations.iter().zip(&prepared).map(|(name, one)| format!("{name} ({})", one.native)).collect();
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
            "{model}, {}, {threads} threads, prefill {PROMPT}, decode {GENERATED}, {rounds} rounds; {LONGEST} s at most",
            names.join(" and ")
        ),
        table: table(&questions, &said),
        notes: vec![
            format!("llama-bench: {}, called with -r {CALL}; tokometer: --until {until}, ratios by --ratios", llama.version),
            "both: prefill and decode (ours E2E, too) to within that share, by the calls or rounds; see the head of this benchmark's \
             file"
                .into(),
            "early: when llama-bench's repetitions, taken as independent (Student's t), first claimed as much".into(),
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
        "early s",
        "differ",
    ];
    let mut table = Table::new(&headings);
    for (question, [theirs, ours]) in questions.iter().zip(said) {
        let seconds = |all: &[Said]| all.iter().map(|said| said.seconds).collect::<Vec<_>>();
        let side = |all: &[Said]| {
            let reached = all.iter().filter(|said| said.reached).count();
            let decode: Vec<f64> = all.iter().map(|said| said.decode).collect();
            [figure(median(&seconds(all))), format!("{reached} of {}", all.len()), differ(&decode)]
        };
        let ([a, b, c], [d, e, f]) = (side(ours), side(theirs));
        let (when, what): (Vec<f64>, Vec<f64>) = theirs.iter().filter_map(|said| said.early).unzip();
        let asked = format!("{} to ±{}", question.quantizations.join(" / "), question.until);
        let times = range(&ratios(&seconds(ours), &seconds(theirs)));
        table.row([asked, a, b, c, d, e, f, times, figure(median(&when)), differ(&what)]);
    }
    table
}

/// By how much answers differ: half their range relative to their middle.
fn differ(all: &[f64]) -> String {
    match all.len() {
        0 | 1 => String::new(),
        _ => format!("±{:.1}%", 100.0 * (highest(all) - lowest(all)) / (highest(all) + lowest(all))),
    }
}

fn raw(model: &str, threads: &str, until: &str, questions: &[Question<'_>], said: &[[Vec<Said>; 2]]) -> Value {
    let side = |all: &[Said]| -> Vec<Value> {
        let told = |said: &Said| {
            json!({ "seconds": said.seconds, "reached": said.reached, "decode": said.decode,
            "early_s": said.early.map(|(seconds, _)| seconds), "early_decode": said.early.map(|(_, decode)| decode), "detail": said.detail })
        };
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
        early: None,
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
    // Decoding after the prompt, as ours is; it can do that only in a test of its own.
    let common = ["-t", &question.threads, "-r", CALL, "-o", "jsonl"];
    let tests = [["-p", PROMPT, "-n", "0", "-d", "0"], ["-p", "0", "-n", GENERATED, "-d", PROMPT]];
    let mut files: Vec<Calls> = question.files.iter().map(|_| Calls::default()).collect();
    let (mut early, mut narrow, mut looks) = (None, false, looks());
    let mut next = looks.next();
    let began = Instant::now();
    for calls in 1.. {
        for (file, calls) in question.files.iter().zip(&mut files) {
            for (own, test) in calls.0.iter_mut().zip(tests) {
                own.push(speeds(&Cmd::new(program).arg("-m").arg(file).args(test).args(common).capture()?)?);
            }
        }
        let seconds = began.elapsed().as_secs_f64();
        let decode = of_all(&files.iter().map(|calls| mean(&calls.flat(1))).collect::<Vec<_>>());
        if early.is_none() && half_widths(&files, Calls::flat, half_width).iter().all(|width| *width <= question.share)
        {
            early = Some((seconds, decode));
        }
        let mut reached = false;
        if next == Some(calls) {
            // As ours: a drift is taken out of a speed; of a ratio it is none.
            let width = if files.len() > 1 { half_width } else { around_line };
            let now = half_widths(&files, Calls::means, width).iter().all(|width| *width <= question.share);
            reached = narrow && now;
            (narrow, next) = (now, looks.next());
        }
        if reached || seconds > LONGEST as f64 {
            let detail =
                files.iter().map(|calls| json!({ "prefill_tok_s": calls.flat(0), "decode_tok_s": calls.flat(1) }));
            return Ok(Said { seconds, reached, decode, early, detail: detail.collect() });
        }
    }
    unreachable!("calls have no end")
}

/// When intervals are looked at: after so many calls, each time a quarter more, as `tokometer run --until` does.
fn looks() -> impl Iterator<Item = usize> {
    std::iter::successors(Some(8usize), |n| Some(n + n.div_ceil(4)))
}

/// Speeds of one file, tokens/s: of prefill and decode, the repetitions of every call.
#[derive(Default)]
struct Calls([Vec<Vec<f64>>; 2]);

/// The speed of every repetition that one call printed.
fn speeds(text: &str) -> Result<Vec<f64>> {
    let line = text.lines().find(|line| line.starts_with('{')).unwrap_or_default();
    let value: Value = serde_json::from_str(line).context("llama-bench printed no JSON")?;
    let speeds = value["samples_ts"].as_array().ok_or_else(|| anyhow!("llama-bench reported no samples_ts"))?;
    Ok(speeds.iter().filter_map(Value::as_f64).collect())
}

impl Calls {
    fn flat(&self, phase: usize) -> Vec<f64> {
        self.0[phase].concat()
    }

    /// One value per call.
    fn means(&self, phase: usize) -> Vec<f64> {
        self.0[phase].iter().map(|call| mean(call)).collect()
    }
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

/// Of prefill and decode: half the width of the interval; of two files that of their ratio, the root of the sum of both squares.
fn half_widths(
    files: &[Calls],
    samples: impl Fn(&Calls, usize) -> Vec<f64>,
    width: impl Fn(&[f64]) -> f64,
) -> [f64; 2] {
    [0, 1].map(|phase| files.iter().map(|file| width(&samples(file, phase)).powi(2)).sum::<f64>().sqrt())
}

/// Half the width of the 95% interval of the mean, as a share of it.
fn half_width(samples: &[f64]) -> f64 {
    let n = samples.len() as f64;
    if n < 2.0 {
        return f64::INFINITY;
    }
    let mean = mean(samples);
    let squares: f64 = samples.iter().map(|sample| (sample - mean).powi(2)).sum();
    of_spread(squares, n - 1.0, n) / mean
}

/// The same with the spread around a straight line through the samples: a steady drift moves their mean and does not widen it.
fn around_line(samples: &[f64]) -> f64 {
    let n = samples.len() as f64;
    if n < 3.0 {
        return f64::INFINITY;
    }
    let mean = mean(samples);
    let place = |i: usize| i as f64 - (n - 1.0) / 2.0;
    let product: f64 = samples.iter().enumerate().map(|(i, sample)| place(i) * (sample - mean)).sum();
    let slope = product / (0..samples.len()).map(|i| place(i).powi(2)).sum::<f64>();
    let off = |(i, sample): (usize, &f64)| (sample - mean - slope * place(i)).powi(2);
    of_spread(samples.iter().enumerate().map(off).sum(), n - 2.0, n) / mean
}

/// Half the width of the 95% interval of the mean of `n` samples whose squares sum up to so much, with `df` degrees of freedom.
fn of_spread(squares: f64, df: f64, n: f64) -> f64 {
    // Student's t at 97.5%, within 1% from 4 degrees of freedom on: E. Cornish and R. Fisher's expansion, 1938.
    let z = 1.959_964_f64;
    let t = z + (z.powi(3) + z) / (4.0 * df) + (5.0 * z.powi(5) + 16.0 * z.powi(3) + 3.0 * z) / (96.0 * df * df);
    t * (squares / df / n).sqrt()
}

#[cfg(test)]
mod tests {
    use super::{Calls, around_line, half_width, half_widths, looks, speeds};

    #[test]
    fn the_interval_is_students() {
        // t at 97.5% with 4 degrees of freedom is 2.776.
        let samples = [98.0, 99.0, 100.0, 101.0, 102.0];
        let expected = 2.776 * (2.5f64 / 5.0).sqrt() / 100.0;
        assert!((half_width(&samples) / expected - 1.0).abs() < 0.02);
        assert_eq!(half_width(&[1.0]), f64::INFINITY);
    }

    #[test]
    fn repetitions_of_one_call_are_one_look() {
        assert_eq!(looks().take(5).collect::<Vec<_>>(), [8, 10, 13, 17, 22]);
        let line = |speed: f64| format!("log line\n{{\"samples_ts\":[{speed},{speed}]}}\n");
        let mut calls = Calls::default();
        for speed in [100.0, 110.0] {
            calls.0[0].push(speeds(&line(speed)).unwrap());
            calls.0[1].push(speeds(&line(2.0 * speed)).unwrap());
        }
        assert!(speeds("nothing").is_err());
        assert_eq!((calls.means(0), calls.means(1)), (vec![100.0, 110.0], vec![200.0, 220.0]));
        let one = std::slice::from_ref(&calls);
        let [by_calls, by_repetitions] = [Calls::means, Calls::flat].map(|of| half_widths(one, of, half_width)[1]);
        assert!(by_calls > 3.0 * by_repetitions);
    }

    #[test]
    fn a_steady_drift_does_not_widen_the_interval() {
        let drifting: Vec<f64> = (0..10).map(|i| 100.0 + f64::from(i) + 0.1 * f64::from(i % 2)).collect();
        assert!(around_line(&drifting) < 0.002 && half_width(&drifting) > 0.02);
    }
}
