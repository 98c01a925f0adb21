//! `tokometer collate`: step 3.

use super::{OK, SOME_FAILED, Session, print_json};
use crate::args::Collate;
use anyhow::Result;
use serde_json::json;
use tokometer_core::analyze;
use tokometer_core::collate::{self, Outcome};

/// The command.
pub fn collate(session: &Session<'_>, options: &Collate) -> Result<u8> {
    let outcome = gather(session, options.rebuild)?;
    if options.json {
        let damaged: Vec<_> =
            outcome.damaged.iter().map(|d| json!({"log": d.path, "line": d.line, "reason": d.reason})).collect();
        print_json(
            session.terminal,
            &json!({
                "logs": outcome.logs, "parsed": outcome.parsed, "reused": outcome.reused, "rows": outcome.rows,
                "files": outcome.files, "damaged": damaged,
            }),
        )?;
    } else {
        show(session, &outcome);
    }
    if outcome.written && !options.csv_only {
        keep_analysis(session);
    }
    Ok(if outcome.damaged.is_empty() { OK } else { SOME_FAILED })
}

/// Collates the working folder's logs; damaged ones are named.
pub fn gather(session: &Session<'_>, rebuild: bool) -> Result<Outcome> {
    let options = collate::Options { rebuild, ..collate::Options::default() };
    let outcome = collate::collate(&session.folders.output(), &options, session.terminal.progress())?;
    for damaged in &outcome.damaged {
        let line = damaged.line.map(|line| format!(", line {line}")).unwrap_or_default();
        session.terminal.error(&format!("{}{line}: {}; the log is left out", damaged.path.display(), damaged.reason));
    }
    Ok(outcome)
}

/// Makes the analysis of the new rows, which is kept for the commands to come.
fn keep_analysis(session: &Session<'_>) {
    let table = session.folders.output().join("all.csv");
    if let Err(error) = analyze::of_table(&table, session.terminal.progress()) {
        session.terminal.warn(&format!("the rows cannot be analyzed: {error}"));
    }
}

/// One line of what was done.
pub fn show(session: &Session<'_>, outcome: &Outcome) {
    let folder = session.folders.output();
    session.terminal.line(&format!(
        "{} raw log(s), {} read now, {} unchanged: {} rows in {}",
        outcome.logs,
        outcome.parsed,
        outcome.reused,
        outcome.rows,
        folder.join("all.csv").display()
    ));
}
