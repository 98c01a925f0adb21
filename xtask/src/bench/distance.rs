//! Our distance from the original against llama-perplexity's: same GGUF files, same text, same chunks. Nothing is timed; what
//! counts is whether the figures agree within the errors that llama-perplexity prints.

use super::table::Table;
use super::{Bench, Options, Report, llama_cpp, tokometer};
use crate::paths;
use crate::shell::{Cmd, say};
use anyhow::{Context, Result, anyhow};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::Path;

pub const BENCH: Bench =
    Bench { name: "distance", about: "perplexity and divergence of a quantization against llama-perplexity's", run };

/// Our name of a figure, llama-perplexity's line with single spaces, and what its number is divided by.
const FIGURES: &[(&str, &str, f64)] = &[
    ("ppl", "Mean PPL(Q)", 1.0),
    ("ppl_base", "Mean PPL(base)", 1.0),
    ("ln_ppl_ratio", "Mean ln(PPL(Q)/PPL(base))", 1.0),
    ("kld_mean", "Mean KLD", 1.0),
    ("kld_median", "Median KLD", 1.0),
    ("kld_p90", "90.0% KLD", 1.0),
    ("kld_p99", "99.0% KLD", 1.0),
    ("kld_max", "Maximum KLD", 1.0),
    ("delta_p_mean", "Mean \u{394}p", 100.0),
    ("delta_p_rms", "RMS \u{394}p", 100.0),
    ("same_top", "Same top p", 100.0),
];

/// Tokens of a chunk: the default of both.
const CTX: &str = "512";

/// A figure with its error, where one is printed.
type Figure = (f64, Option<f64>);

fn run(options: &Options) -> Result<Report> {
    let dir = paths::bench().join("distance");
    let model = options.model.as_deref().unwrap_or("synthetic:tiny");
    let quantize = options.quantize.as_deref().unwrap_or("nf4");
    let text = paths::root().join("crates").join("core").join("data").join("prose.txt");
    let llama = llama_cpp::tools(&options.toolchain, &["llama-perplexity"])?;
    let base = tokometer::prepare(&dir, model, "float16")?;
    let other = tokometer::prepare(&dir, model, quantize)?;
    let threads = options.threads.to_string();
    say("bench", "tokometer eval --env distance");
    let ours = ours(&dir, model, quantize, &text, &threads)?;
    say("bench", "llama-perplexity --kl-divergence");
    let perplexity = llama.program("llama-perplexity");
    let (theirs, printed) = theirs(&dir, &perplexity, (&base.path, &other.path), &text, &threads)?;
    let (table, agree) = table(&ours, &theirs)?;
    Ok(Report {
        title: format!(
            "{model} as {} against {}, on {}, chunks of {CTX} tokens",
            other.native,
            base.native,
            paths::short(&text)
        ),
        table,
        notes: vec![
            format!("llama-perplexity: {}", llama.version),
            format!("{agree} of the figures that have an error agree within it"),
            "llama-perplexity keeps the original's log-probabilities in 16 bits over 16 nats, tokometer in f32".into(),
        ],
        raw: json!({"model": model, "quantize": quantize, "tokometer": ours, "llama_perplexity": printed}),
    })
}

/// The result of `tokometer eval`.
fn ours(dir: &Path, model: &str, quantize: &str, text: &Path, threads: &str) -> Result<Value> {
    let text = text.display().to_string();
    let what = ["eval", "--env", "distance", "--engine", "llamacpp", "--model", model, "--quantize", quantize];
    let how = ["--text", &text, "--ctx", CTX, "--threads", threads, "--again", "--json"];
    let printed = tokometer::command(dir, &[&what[..], &how].concat()).capture_stdout()?;
    let all: Value = serde_json::from_str(&printed).with_context(|| format!("no JSON was printed: {printed:.300}"))?;
    all.get(0).cloned().ok_or_else(|| anyhow!("no result was printed: {printed:.300}"))
}

/// What llama-perplexity prints, as figures and as it is: first it keeps the original's distributions, then it compares.
fn theirs(
    dir: &Path,
    program: &Path,
    (base, other): (&Path, &Path),
    text: &Path,
    threads: &str,
) -> Result<(BTreeMap<String, Figure>, String)> {
    let kept = dir.join("base.logits");
    let command = |model: &Path| {
        let cmd = Cmd::new(program).arg("-m").arg(model).arg("-f").arg(text).args(["-c", CTX, "-t", threads]);
        cmd.arg("--kl-divergence-base").arg(&kept)
    };
    command(base).capture()?;
    let printed = command(other).arg("--kl-divergence").capture()?;
    std::fs::remove_file(&kept).with_context(|| format!("cannot remove {}", kept.display()))?;
    Ok((parse(&printed), printed))
}

/// Lines as `Mean    KLD:   0.012345 \u{b1}   0.000678`, by their name with single spaces.
fn parse(printed: &str) -> BTreeMap<String, Figure> {
    let mut figures = BTreeMap::new();
    for line in printed.lines() {
        let Some((name, values)) = line.rsplit_once(':') else { continue };
        let mut numbers =
            values.split('\u{b1}').map(|text| text.trim().trim_end_matches('%').trim().parse::<f64>().ok());
        if let Some(Some(value)) = numbers.next() {
            let name = name.split_whitespace().collect::<Vec<_>>().join(" ");
            figures.insert(name, (value, numbers.next().flatten()));
        }
    }
    figures
}

/// Both side by side, and how many of those with an error agree within it.
fn table(ours: &Value, theirs: &BTreeMap<String, Figure>) -> Result<(Table, String)> {
    let mut table = Table::new(&["", "tokometer", "\u{b1}", "llama-perplexity", "\u{b1}", "difference / error"]);
    let (mut agree, mut with_error) = (0, 0);
    for (name, line, unit) in FIGURES {
        let metric = &ours["metrics"][name];
        let own = metric["avg"].as_f64().ok_or_else(|| anyhow!("tokometer told no {name}"))?;
        let (value, error) = theirs.get(*line).ok_or_else(|| anyhow!("llama-perplexity printed no line {line:?}"))?;
        let (value, error) = (value / unit, error.map(|error| error / unit));
        let show = |value: Option<f64>| value.map_or_else(|| "-".to_owned(), |value| format!("{value:.6}"));
        let share = error.filter(|error| *error > 0.0).map(|error| (own - value).abs() / error);
        if let Some(share) = share {
            with_error += 1;
            agree += usize::from(share <= 1.0);
        }
        table.row([
            (*name).to_owned(),
            show(Some(own)),
            show(metric["std"].as_f64()),
            show(Some(value)),
            show(error),
            share.map_or_else(|| "-".to_owned(), |share| format!("{share:.3}")),
        ]);
    }
    Ok((table, format!("{agree} of {with_error}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_llama_perplexity_prints_is_read() {
        let printed = "====== Perplexity statistics ======\nMean PPL(Q)                   :  12.345678 \u{b1}   0.100000\n\
                       Mean ln(PPL(Q)/PPL(base))     :   0.010000 \u{b1}   0.002000\nMedian  KLD:   0.004000\n\
                       Mean    \u{394}p: -0.123 \u{b1} 0.045 %\nSame top p: 93.100 \u{b1} 0.500 %\n";
        let found = parse(printed);
        assert_eq!(found["Mean PPL(Q)"], (12.345678, Some(0.1)));
        assert_eq!(found["Mean ln(PPL(Q)/PPL(base))"], (0.01, Some(0.002)));
        assert_eq!(found["Median KLD"], (0.004, None));
        assert_eq!(found["Mean \u{394}p"], (-0.123, Some(0.045)));
        assert_eq!(found["Same top p"], (93.1, Some(0.5)));
    }
}
