//! Which cases that have ended are measured again: those that failed or were skipped (`--retry-failed`), those that are
//! outdated (`--retry-outdated`), or all (`--again`). Logs that make room are put aside and kept.

use super::outdated::Look;
use super::prepare::Shelf;
use crate::args::Sweep;
use crate::commands::{Session, run};
use anyhow::Result;
use std::path::PathBuf;
use tokometer_core::machine::Lock;
use tokometer_core::sweep::{self, Finish, Place, State, Stored, Tally};

/// What a sweep begins with.
pub struct Beginning {
    /// Where the cases stand.
    pub state: State,
    /// The engines that have been looked for.
    pub shelf: Shelf,
    /// What was found out of finished cases.
    pub look: Look,
    /// The machine's lock. To look at engines and models disturbs a measurement as well; who need not wait for the lock goes
    /// on without it and has not looked.
    pub lock: Option<Lock>,
    /// Names of the logs that make room.
    aside: Vec<String>,
}

impl Beginning {
    /// Opens cases again as the options ask for it; moves nothing.
    ///
    /// # Errors
    /// The machine's lock cannot be used, where something is to be measured here or was asked for.
    pub fn foretold(
        session: &Session<'_>,
        place: &Place,
        stored: &Stored,
        before: &State,
        options: &Sweep,
    ) -> Result<Beginning> {
        let mut state = before.clone();
        let mut aside = asked(stored, &mut state, options);
        let measures = options.on.is_none() && stored.tally(&state).open > 0;
        let lock = match !options.dry_run && (measures || options.retry_outdated) {
            true => Some(run::exclusive(session)?),
            false => run::exclusive_if_idle(),
        };
        let mut shelf = Shelf::empty();
        let look = match &lock {
            Some(_) => Look::at(session, (place, stored, before), &mut shelf, options.on.is_some()),
            None => Look::kept_off(stored, before),
        };
        if options.retry_outdated {
            aside.extend(renew(&mut state, &look));
        }
        Ok(Beginning { state, shelf, look, lock, aside })
    }

    /// The same for a sweep that now begins: puts aside what makes room, and says what there is to do.
    ///
    /// # Errors
    /// As above, and a log cannot be moved.
    pub fn new(
        session: &Session<'_>,
        place: &Place,
        stored: &Stored,
        before: &State,
        options: &Sweep,
    ) -> Result<Beginning> {
        let beginning = Beginning::foretold(session, place, stored, before, options)?;
        let aside: Vec<PathBuf> = beginning.aside.iter().map(|log| place.output().join(log)).collect();
        sweep::put_aside(place, &aside)?;
        let terminal = session.terminal;
        beginning.look.lines(options).iter().for_each(|line| terminal.warn(line));
        let Tally { total, ok, failed, skipped, open } = stored.tally(&beginning.state);
        terminal.say(&format!(
            "sweep: {total} case(s) in {} block(s); {ok} measured, {failed} failed, {skipped} skipped before, {open} to do",
            stored.blocks.len()
        ));
        Ok(beginning)
    }
}

/// Opens cases again that failed or were skipped, or all. Returns the names of the logs that make room.
fn asked(stored: &Stored, state: &mut State, options: &Sweep) -> Vec<String> {
    let mut aside = Vec::new();
    for host in stored.machines() {
        *state = state.on_host(host);
        for planned in stored.blocks.iter().flat_map(|block| &block.cases) {
            let Some(standing) = state.of(&planned.hash) else { continue };
            let failed = standing.finish != Finish::Ok;
            if failed && (options.retry_failed || options.again) {
                aside.push(standing.log.clone());
                state.reopen(&planned.hash);
            } else if options.again {
                state.reopen(&planned.hash);
            }
        }
    }
    *state = state.on_host(None);
    aside
}

/// Opens the cases again that are outdated. All of their logs that are make room, or the case would be finished by an older
/// one.
fn renew(state: &mut State, look: &Look) -> Vec<String> {
    let mut aside = Vec::new();
    for one in &look.outdated {
        state.reopen(&one.key);
        aside.extend(one.logs.iter().cloned());
    }
    aside
}
