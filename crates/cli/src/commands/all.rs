//! `tokometer all`: steps 1 to 5 in turn.

use super::{INTERRUPTED, SOME_FAILED, Session, analyze, collate, plot, present, print_json, run};
use crate::args::Run;
use anyhow::Result;

/// The command.
pub fn all(session: &Session<'_>, options: &Run) -> Result<u8> {
    let terminal = session.terminal;
    let (outcome, mut code) = run::measure(session, options)?;
    if outcome.interrupted {
        terminal.say("`tokometer collate`, `analyze`, `plot` and `present` take it from here");
        return Ok(INTERRUPTED);
    }
    let collated = collate::gather(session, false)?;
    if !collated.damaged.is_empty() {
        code = SOME_FAILED;
    }
    let analysis = analyze::read(session)?;
    let plots = plot::draw(session, &analysis, &[])?;
    let presented = present::make(session, &analysis, &plots)?;
    if options.selection.json {
        print_json(terminal, &analysis)?;
        return Ok(code);
    }
    analyze::show(session, &analysis);
    terminal.line("");
    terminal.line("Made:");
    terminal.line(&format!("  {} raw log(s) in {}", outcome.cases.len(), session.folders.output().display()));
    collate::show(session, &collated);
    terminal.line(&format!("  {} plots in {}", plots.len(), session.folders.plots().display()));
    for path in presented {
        terminal.line(&format!("  {}", path.display()));
    }
    Ok(code)
}
