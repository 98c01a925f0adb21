//! What came of a sweep: how many cases, the fastest, and every failure with its reason.

use super::measure::best;
use crate::commands::{Session, print_json};
use crate::settings;
use crate::terminal::{Align, Style, Table};
use anyhow::Result;
use serde_json::json;
use tokometer_core::plan::sweep::Planned;
use tokometer_core::sweep::{Finish, Standing, State, Stored, Tally};

/// Failures that are listed; more are counted.
const MOST: usize = 40;

/// Prints it.
pub fn show(session: &Session<'_>, stored: &Stored, state: &State, as_json: bool) -> Result<()> {
    let terminal = session.terminal;
    let cases = || stored.blocks.iter().flat_map(|block| &block.cases);
    if as_json {
        let entries: Vec<_> = cases().map(|planned| json_of(planned, state.of(&planned.hash))).collect();
        return print_json(terminal, &json!({ "tally": state.tally(stored), "cases": entries }));
    }
    let Tally { total, ok, failed, skipped, open } = state.tally(stored);
    terminal.line(&format!("sweep: {total} case(s): {ok} measured, {failed} failed, {skipped} skipped, {open} to do"));
    if let Some(best) = best(stored, state) {
        terminal.line(&format!("fastest decode: {:.1} tok/s, {}", best.decode_tok_s, best.title));
    }
    let bad: Vec<(&Planned, &Standing)> = cases()
        .filter_map(|planned| Some((planned, state.of(&planned.hash)?)))
        .filter(|(_, standing)| standing.finish != Finish::Ok)
        .collect();
    if bad.is_empty() {
        return Ok(());
    }
    let mut table = Table::new(&[
        ("engine", Align::Left),
        ("quantize", Align::Left),
        ("model", Align::Left),
        ("depth", Align::Right),
        ("thr", Align::Right),
        ("", Align::Left),
    ]);
    for (planned, standing) in bad.iter().take(MOST) {
        let case = &planned.case;
        table.row(vec![
            case.engine.clone(),
            case.quantize.clone(),
            settings::short(&case.model, 16),
            case.workload.depth.to_string(),
            case.settings.threads.map(|n| n.to_string()).unwrap_or_default(),
            if standing.finish == Finish::Skipped { "skipped".into() } else { "failed".into() },
        ]);
    }
    let lines = table.lines(terminal.width());
    let (header, rows) = lines.split_at(lines.len().min(1));
    header.iter().for_each(|line| terminal.line(&terminal.paint(Style::Bold, line)));
    let mut said = "";
    for (line, (_, standing)) in rows.iter().zip(&bad) {
        terminal.line(line);
        // The same reason once, however many cases it stopped.
        let reason = standing.reason.as_deref().unwrap_or_default();
        if reason != said {
            terminal.paragraph(Style::Dim, &format!("  {reason}"));
            said = reason;
        }
    }
    if bad.len() > MOST {
        terminal.line(&format!("... and {} more; --json lists all", bad.len() - MOST));
    }
    terminal.say("`tokometer sweep --resume --retry-failed` tries these again");
    Ok(())
}

fn json_of(planned: &Planned, standing: Option<&Standing>) -> serde_json::Value {
    let finish = standing.map(|standing| standing.finish);
    json!({
        "hash": planned.hash, "case": planned.case, "finish": finish,
        "log": standing.map(|standing| &standing.log),
        "reason": standing.and_then(|standing| standing.reason.as_ref()),
        "decode_tok_s": standing.and_then(|standing| standing.decode_tok_s),
        "seconds": standing.and_then(|standing| standing.seconds),
    })
}
