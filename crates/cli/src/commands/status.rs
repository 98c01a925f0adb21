//! `tokometer status`: how far the sweep of a folder is, read from another terminal.

use super::sweep::Foresight;
use super::{OK, Session, print_json};
use crate::args::Json;
use crate::terminal::duration;
use anyhow::Result;
use serde_json::json;
use tokometer_core::sweep::{Live, Place, State, Stored};

/// The command.
pub fn status(session: &Session<'_>, options: &Json) -> Result<u8> {
    let place = Place::new(&session.folders.root);
    let stored = Stored::read(&place)?;
    let state = State::read(&place)?;
    let tally = stored.tally(&state);
    let running = place.is_running();
    let live = Live::read(&place).filter(|_| running);
    let left = match &live {
        Some(live) => live.eta_s,
        None => {
            let foresight = Foresight::new(&stored);
            foresight.left(&stored.blocks, &state, &foresight.calibration(&stored, &state))
        }
    };
    if options.json {
        print_json(
            session.terminal,
            &json!({ "running": running, "tally": tally, "live": live, "seconds_left": left }),
        )?;
        return Ok(OK);
    }
    let terminal = session.terminal;
    let word = match (running, tally.open) {
        (true, _) => "running",
        (false, 0) => "complete",
        (false, _) => "stopped; `tokometer sweep --resume` goes on",
    };
    terminal.field("sweep", word);
    let counts = format!(
        "{} of {}: {} measured, {} failed, {} skipped",
        tally.total - tally.open,
        tally.total,
        tally.ok,
        tally.failed,
        tally.skipped
    );
    terminal.field("cases", &counts);
    if let Some(live) = &live {
        terminal.field("stage", &live.stage);
        if live.block.1 > 0 {
            let (done, all) = live.repetitions;
            terminal.field("block", &format!("{} of {}, repetition {done} of {all}", live.block.0, live.block.1));
        }
        terminal.field("now", &live.doing);
        for lane in &live.lanes {
            let ((number, of), (done, all)) = (lane.block, lane.repetitions);
            let text = format!("block {number} of {of}, repetition {done} of {all} · {}", lane.doing);
            terminal.field(&lane.device, text.trim_end_matches(" · "));
        }
        terminal.field("process", &format!("{} on {}, last heard of {}", live.pid, live.host, live.updated_utc));
    }
    if let Some(best) = super::sweep::best(&stored, &state) {
        terminal.field("best", &format!("{:.1} tok/s, {}", best.decode_tok_s, best.title));
    }
    if let Some(left) = left.filter(|_| tally.open > 0) {
        terminal.field("left", &format!("about {}", duration(left)));
    }
    Ok(OK)
}
