//! What became of the cases: where each stands, the journal, and the logs that earlier attempts left open. All lanes write
//! into the same books; nobody holds them while something is measured.

use anyhow::Result;
use std::collections::BTreeMap;
use std::path::PathBuf;
use tokometer_core::plan::sweep::Planned;
use tokometer_core::sweep::{self, Entry, Journal, Place, Standing, State};

/// The books of a sweep.
pub struct Books<'a> {
    /// Where every case stands.
    pub state: &'a mut State,
    journal: Journal,
    /// Logs that were cut off, by the case that they are of.
    left_open: BTreeMap<String, Vec<PathBuf>>,
}

impl<'a> Books<'a> {
    /// Opens them for a process that measures.
    pub fn open(place: &Place, state: &'a mut State) -> Result<Books<'a>> {
        Ok(Books { state, journal: Journal::new(place), left_open: sweep::left_open(place)? })
    }

    /// Hands out the logs of a case that were cut off.
    pub fn cut_off(&mut self, planned: &Planned) -> Vec<PathBuf> {
        self.left_open.remove(&self.state.key(&planned.hash)).unwrap_or_default()
    }

    /// Notes that a case has ended and makes the journal's line.
    pub fn end(&mut self, planned: &Planned, standing: Standing) -> Entry {
        self.state.end(&planned.hash, standing.clone());
        let Standing { finish, log, reason, seconds, decode_tok_s } = standing;
        Entry::Done { case: self.state.key(&planned.hash), finish, log, reason, seconds, decode_tok_s }
    }

    /// Writes lines into the journal.
    pub fn write(&mut self, entries: &[Entry]) -> Result<()> {
        if !entries.is_empty() {
            self.journal.append(entries)?;
        }
        Ok(())
    }
}
