//! `tokometer eval`: accuracy of each engine and quantization on task sets.
//!
//! `jobs` does the evaluations, several at a time where asked; `start` says how the endpoint of each is started, `room` when
//! there is memory for it.

mod jobs;
mod room;
mod start;

use super::distance::Distance;
use super::{OK, SOME_FAILED, Session, print_json};
use crate::args::Eval;
use crate::settings;
use crate::terminal::{Align, Style, Table, duration};
use anyhow::{Result, bail};
use jobs::Common;
use serde_json::json;
use std::path::Path;
use std::time::Duration;
use tokometer_core::machine::Machine;
use tokometer_core::plan::size_label;
use tokometer_eval::case::{self, Subject, Wish};
use tokometer_eval::compare::{Difference, Word, differences, mean_score};
use tokometer_eval::external::import;
use tokometer_eval::{Environment, EvalResult, result, table};

/// The command.
pub fn eval(session: &Session<'_>, options: &Eval) -> Result<u8> {
    if let Some(path) = &options.import {
        return import_older(session, options, path);
    }
    let (distance, tasks): (Vec<_>, Vec<_>) =
        options.env.iter().partition(|name| super::distance::NAMES.contains(&name.as_str()));
    if distance.is_empty() {
        return of_tasks(session, options, &tasks);
    }
    if options.selection.json && !tasks.is_empty() {
        bail!("--json prints one kind of result: ask for {} and for the tasks one after the other", distance[0]);
    }
    let own = Distance {
        selection: &options.selection,
        flags: &options.distance,
        device: options.device.as_deref(),
        again: options.again,
        timeout: options.timeout,
    };
    let code = super::distance::distance(session, &own)?;
    if tasks.is_empty() {
        return Ok(code);
    }
    Ok(code.max(of_tasks(session, options, &tasks)?))
}

/// Evaluations that put tasks to an endpoint.
fn of_tasks(session: &Session<'_>, options: &Eval, names: &[&String]) -> Result<u8> {
    let terminal = session.terminal;
    let environments = names.iter().map(|word| Environment::open(word)).collect::<Result<Vec<_>, _>>()?;
    let found = settings::engines(&options.selection.engine, &session.config, |text| terminal.say(text))?;
    let model = settings::model(&options.selection, &session.config)?;
    let wish = Wish {
        num_examples: options.num_examples.and_then(|n| usize::try_from(n).ok()),
        max_tokens: options.max_tokens,
        patience: Duration::from_secs(options.timeout.max(1)),
    };
    let quantizations = settings::quantizations(&options.selection, &session.config);
    let common = Common { session, options, model: &model, wish: &wish };
    let results = jobs::evaluate(common, &found, &quantizations, &environments)?;
    for failed in results.iter().filter(|result| result.returncode != 0) {
        let reason = failed.reason.as_deref().unwrap_or("no reason was told");
        terminal.error(&format!("{} {} {}: {reason}", failed.engine, failed.quantization, failed.environment));
    }
    write_table(session, &session.folders.verifiers_results())?;
    show(session, options, &results)?;
    Ok(if results.iter().all(|result| result.returncode == 0) { OK } else { SOME_FAILED })
}

/// `all.csv` from all results of the folder.
pub(super) fn write_table(session: &Session<'_>, folder: &Path) -> Result<()> {
    let all = result::read_all(folder, |error| session.terminal.warn(&format!("{error}; it is left out of all.csv")))?;
    table::write(folder, &all)?;
    Ok(())
}

fn show(session: &Session<'_>, options: &Eval, results: &[EvalResult]) -> Result<()> {
    let found = differences(results, options.within);
    if options.selection.json {
        let differences: Vec<_> = found.iter().map(|difference| entry(results, difference, options.within)).collect();
        return print_json(session.terminal, &json!({"results": results, "differences": differences}));
    }
    let terminal = session.terminal;
    scores(results).lines(terminal.width()).iter().for_each(|line| terminal.line(line));
    if !found.is_empty() {
        terminal.line("");
        words(results, &found, options.within).lines(terminal.width()).iter().for_each(|line| terminal.line(line));
        let text = format!(
            "Differences of the mean score, by example, against the quantization with the most bits per weight. The words \
             hold for all {} together (exact tests, Holm's method); \"needs\" is how many examples would tell.",
            found.len()
        );
        terminal.paragraph(Style::Dim, &text);
    }
    terminal.line(&format!("{} result(s) in {}", results.len(), session.folders.verifiers_results().display()));
    Ok(())
}

fn entry(results: &[EvalResult], difference: &Difference, within: f64) -> serde_json::Value {
    let (result, baseline) = (&results[difference.result], &results[difference.baseline]);
    json!({
        "environment": result.environment, "uuid": result.uuid, "result": name(result),
        "baseline_uuid": baseline.uuid, "baseline": name(baseline),
        "n": difference.paired.n, "difference": difference.paired.difference,
        "better_examples": difference.paired.second_better, "worse_examples": difference.paired.first_better,
        "interval_95": difference.interval, "p_value": difference.paired.p_value, "adjusted_p": difference.adjusted_p,
        "word": difference.word, "within": within, "examples_to_tell": difference.examples_to_tell,
    })
}

fn scores(results: &[EvalResult]) -> Table {
    let mut table = Table::new(&[
        ("case", Align::Left),
        ("environment", Align::Left),
        ("score", Align::Right),
        ("95% interval", Align::Right),
        ("examples", Align::Right),
        ("took", Align::Right),
        ("bits/weight", Align::Right),
        ("failed", Align::Left),
    ]);
    for result in results {
        let score = mean_score(result);
        let interval = score.and_then(|(_, interval)| interval);
        table.row(vec![
            name(result),
            result.environment.clone(),
            score.map(|(mean, _)| format!("{mean:.3}")).unwrap_or_default(),
            interval.map(|(low, high)| format!("{low:.3} to {high:.3}")).unwrap_or_default(),
            result.num_examples.to_string(),
            duration(result.elapsed_seconds),
            result.bits_per_weight.map(|bits| format!("{bits:.2}")).unwrap_or_default(),
            if result.returncode == 0 { String::new() } else { "failed".into() },
        ]);
    }
    table
}

fn words(results: &[EvalResult], found: &[Difference], within: f64) -> Table {
    let mut table = Table::new(&[
        ("case", Align::Left),
        ("environment", Align::Left),
        ("difference", Align::Right),
        ("verdict", Align::Left),
        ("needs", Align::Right),
        ("95% interval", Align::Right),
        ("against", Align::Left),
    ]);
    for difference in found {
        let (low, high) = difference.interval;
        let needs = difference.examples_to_tell.map(|n| n.to_string());
        table.row(vec![
            name(&results[difference.result]),
            results[difference.result].environment.clone(),
            format!("{:+.3}", difference.paired.difference),
            difference.word.text(within),
            needs.unwrap_or_else(|| if difference.word == Word::CannotTell { "many".into() } else { String::new() }),
            format!("{low:+.3} to {high:+.3}"),
            name(&results[difference.baseline]),
        ]);
    }
    table
}

/// `llamacpp nf4`; a native name in brackets where it is another, without what the engine adds after a comma.
fn name(result: &EvalResult) -> String {
    match result.native_quantize.as_deref().and_then(|native| native.split(',').next()) {
        Some(native) if native != result.quantization => {
            format!("{} {} ({native})", result.engine, result.quantization)
        }
        _ => format!("{} {}", result.engine, result.quantization),
    }
}

/// Makes a result of ours of what the older line of vf-eval left. Which engine and quantization that was only the user knows.
fn import_older(session: &Session<'_>, options: &Eval, path: &Path) -> Result<u8> {
    let selection = &options.selection;
    let ([engine], [quantize]) = (selection.engine.as_slice(), selection.quantize.as_slice()) else {
        bail!("--import needs to know what was evaluated: one --engine and one --quantize");
    };
    let engine = tokometer_core::engine::by_name(engine).map_err(anyhow::Error::msg)?;
    let found = import::import(path)?;
    let model = selection.model.clone().unwrap_or_else(|| found.model.clone());
    let subject = Subject {
        engine: engine.name.to_owned(),
        quantization: quantize.clone(),
        native: engine.native(quantize).ok().map(str::to_owned),
        size: selection.size.clone().unwrap_or_else(|| size_label(&model, 0)),
        model,
        hostname: Machine::this().hostname,
        ..Subject::default()
    };
    let environment = Environment::Verifiers(found.environment.clone());
    let wish = Wish { num_examples: None, max_tokens: found.max_tokens, patience: Duration::ZERO };
    let mut result = case::failed(&subject, &environment, &wish, "");
    (result.returncode, result.reason) = (0, None);
    result.evaluator = Some("verifiers, older line".into());
    result.elapsed_seconds = found.elapsed_seconds.unwrap_or_default();
    result.timestamp = found.timestamp.unwrap_or(result.timestamp);
    match found.examples.is_empty() {
        true => (result.metrics, result.num_examples) = (found.metrics, found.num_examples),
        false => result.set_examples(found.examples),
    }
    let folder = session.folders.verifiers_results();
    let written = result.write(&folder)?;
    write_table(session, &folder)?;
    session.terminal.say(&format!("{} is now {}", path.display(), written.display()));
    show(session, options, &[result])?;
    Ok(OK)
}
