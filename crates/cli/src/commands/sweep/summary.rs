//! What came of a sweep: how many cases, the fastest, and every failure with its reason.

use super::measure::best;
use crate::commands::{Session, print_json};
use crate::terminal::Style;
use anyhow::Result;
use serde_json::json;
use tokometer_core::plan::sweep::Planned;
use tokometer_core::sweep::{Finish, Standing, State, Stored, Tally};

/// Cases that are named with a reason; more are counted.
const MOST: usize = 8;

/// Prints it.
pub fn show(session: &Session<'_>, stored: &Stored, state: &State, as_json: bool) -> Result<()> {
    let terminal = session.terminal;
    let cases = || stored.blocks.iter().flat_map(|block| &block.cases);
    if as_json {
        let entries: Vec<_> = cases().map(|planned| json_of(planned, state.of(&planned.hash))).collect();
        return print_json(terminal, &json!({ "tally": stored.tally(state), "cases": entries }));
    }
    let Tally { total, ok, failed, skipped, open } = stored.tally(state);
    let nodes = if stored.hosts.is_empty() { String::new() } else { format!(" on {} machines", stored.hosts.len()) };
    terminal.line(&format!(
        "sweep: {total} case(s){nodes}: {ok} measured, {failed} failed, {skipped} skipped, {open} to do"
    ));
    if let Some(best) = best(stored, state) {
        terminal.line(&format!("fastest decode: {:.1} tok/s, {}", best.decode_tok_s, best.title));
    }
    for (reason, members) in failures(stored, state) {
        let word = if members[0].1 == Finish::Skipped { "skipped" } else { "failed" };
        let mut titles: Vec<String> = members.iter().map(|(planned, _)| planned.case.title()).collect();
        titles.dedup();
        titles.sort();
        titles.dedup();
        let more = titles.len().saturating_sub(MOST);
        titles.truncate(MOST);
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        let line = format!("{} case(s) {word}: {}{more}", members.len(), titles.join(", "));
        terminal.paragraph(Style::Bold, &line);
        terminal.paragraph(Style::Dim, &format!("  {reason}"));
    }
    if failed + skipped > 0 {
        terminal.say("`tokometer sweep --resume --retry-failed` tries these again");
    }
    Ok(())
}

type Bad<'a> = (&'a Planned, Finish);

/// What failed or was skipped, by reason, in the order of the plan.
fn failures<'a>(stored: &'a Stored, state: &State) -> Vec<(String, Vec<Bad<'a>>)> {
    let mut found: Vec<(String, Vec<Bad<'a>>)> = Vec::new();
    for state in stored.machines().into_iter().map(|host| state.on_host(host)) {
        for planned in stored.blocks.iter().flat_map(|block| &block.cases) {
            let Some(standing) = state.of(&planned.hash).filter(|standing| standing.finish != Finish::Ok) else {
                continue;
            };
            let reason = standing.reason.clone().unwrap_or_else(|| "the log tells the reason".into());
            let bad = (planned, standing.finish);
            match found.iter_mut().find(|(known, _)| *known == reason) {
                Some((_, members)) => members.push(bad),
                None => found.push((reason, vec![bad])),
            }
        }
    }
    found
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
