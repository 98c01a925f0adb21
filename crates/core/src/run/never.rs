//! A case that could not even be started: it has a raw log all the same, with the reason, so that it is a row and no gap.

use super::log::open;
use super::{Job, Options, Prompt};
use crate::record::{Event, Result};
use std::path::PathBuf;

/// Why a case was not started, as its failure event says it: the engine does not offer it, is not installed, could not be
/// given its model; or the memory does not hold it.
pub const NEVER_STARTED: [&str; 4] = ["not_offered", "not_installed", "not_prepared", "does_not_fit"];

/// Writes the raw log of a case that is not started. `kind` is one of [`NEVER_STARTED`], `reason` is for people.
///
/// # Errors
/// The record's.
pub fn never_started(job: &Job, options: &Options, run: &str, kind: &str, reason: &str) -> Result<PathBuf> {
    debug_assert!(NEVER_STARTED.contains(&kind), "{kind}");
    let prompt = Prompt { context: Vec::new(), prompt: Vec::new() };
    let failure = Event::Failure { launch: None, kind: kind.to_owned(), reason: reason.to_owned() };
    let mut writer = open(job, &prompt, options, run, &failure)?;
    writer.append(&failure)?;
    writer.finish("failed")
}
