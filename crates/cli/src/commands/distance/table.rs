//! What is printed of distances: a table for each model, original and text.

use super::Session;
use crate::terminal::{Align, Style, Table};
use tokometer_eval::distance::{Record, Value};

/// Prints the tables, in the order in which their first results came.
pub fn show(session: &Session<'_>, records: &[Record]) {
    let terminal = session.terminal;
    let key = |record: &Record| {
        let base = &record.base;
        (record.model.clone(), base.engine.clone(), base.quantize.clone(), record.text.name.clone())
    };
    let mut sections: Vec<Vec<&Record>> = Vec::new();
    for record in records {
        match sections.iter_mut().find(|section| key(section[0]) == key(record)) {
            Some(section) => section.push(record),
            None => sections.push(vec![record]),
        }
    }
    for records in sections {
        terminal.paragraph(Style::Bold, &heading(&records));
        let mut table = Table::new(&[
            ("engine", Align::Left),
            ("quantize", Align::Left),
            ("failed", Align::Left),
            ("bits/w", Align::Right),
            ("KL divergence", Align::Right),
            ("same top", Align::Right),
            ("ln PPL ratio", Align::Right),
            ("PPL", Align::Right),
            ("RMS Δp", Align::Right),
            ("KLD 99%", Align::Right),
            ("KLD max", Align::Right),
        ]);
        for record in records {
            table.row(cells(record));
        }
        table.lines(terminal.width()).iter().for_each(|line| terminal.line(line));
        terminal.line("");
    }
    let meaning = "± is the standard error of the mean over positions, as llama-perplexity prints it; divergences are in nats per token";
    terminal.paragraph(Style::Dim, meaning);
}

/// What the results of a table have in common, and how much was measured for each, if anything was.
fn heading(records: &[&Record]) -> String {
    let measured = records.iter().copied().find(|record| record.reason.is_none());
    let first = measured.unwrap_or(records[0]);
    let original = first.base.native_quantize.as_ref().unwrap_or(&first.base.quantize);
    let what = format!("{} against {} {original}, on {}", first.model, first.base.engine, first.text.name);
    match (measured, first.chunks, first.ctx) {
        (Some(record), Some(chunks), Some(ctx)) => {
            format!("{what}: {} positions in {chunks} chunks of {ctx} tokens", record.num_examples)
        }
        _ => format!("{what}: nothing could be measured"),
    }
}

fn cells(record: &Record) -> Vec<String> {
    let with_error = |name: &str, factor: f64, digits: usize, unit: &str| {
        let text = |Value { avg, std }: Value| {
            let error = std.map(|std| format!(" ±{:.digits$}", std * factor)).unwrap_or_default();
            format!("{:.digits$}{error}{unit}", avg * factor)
        };
        record.value(name).map(text).unwrap_or_default()
    };
    // Without what the engine adds after a comma.
    let native = record.native_quantize.as_deref().and_then(|native| native.split(',').next());
    let quantize = match native.filter(|native| *native != record.quantization) {
        Some(native) => format!("{} ({native})", record.quantization),
        None => record.quantization.clone(),
    };
    vec![
        record.engine.clone(),
        quantize,
        if record.reason.is_some() { "not offered".into() } else { String::new() },
        record.bits_per_weight.map(|bits| format!("{bits:.2}")).unwrap_or_default(),
        with_error("kld_mean", 1.0, 5, ""),
        with_error("same_top", 100.0, 2, "%"),
        with_error("ln_ppl_ratio", 1.0, 5, ""),
        with_error("ppl", 1.0, 3, ""),
        with_error("delta_p_rms", 100.0, 2, "%"),
        with_error("kld_p99", 1.0, 4, ""),
        with_error("kld_max", 1.0, 4, ""),
    ]
}
