//! The raw logs of a sweep's cases: each says in its header which case it is of.

use super::{Finish, Place, Result, io_error};
use crate::parallel::on_all_cores;
use crate::record::writer::{PARTIAL, is_being_written};
use crate::record::{Event, head};
use crate::run::{ASIDE, NEVER_STARTED};
use std::collections::{BTreeMap, HashSet};
use std::fs::{self, File};
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

/// The header's key for the hash of the case in the plan.
pub const CASE_KEY: &str = "sweep_case";
/// The header's key for the hash of its block.
pub const BLOCK_KEY: &str = "sweep_block";

/// Bytes at the end of a log in which its last lines stand.
const TAIL: u64 = 16 << 10;

/// What a finished log says of its case.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Found {
    pub name: String,
    pub case: String,
    pub finish: Finish,
    pub reason: Option<String>,
}

/// Names of all finished logs in the folder.
pub(super) fn names(output: &Path) -> Result<HashSet<String>> {
    Ok(list(output)?.into_iter().filter(|name| name.ends_with(".txt")).collect())
}

/// Finished logs of sweep cases that are not among `known`.
pub(super) fn unknown(output: &Path, names: &HashSet<String>, known: &HashSet<&str>) -> Result<Vec<Found>> {
    let mut unknown: Vec<&String> = names.iter().filter(|name| !known.contains(name.as_str())).collect();
    unknown.sort();
    let found = on_all_cores(unknown, |name| {
        let path = output.join(name);
        // One that has gone in the meantime, or cannot be read, is none.
        let case = head(&path).ok().flatten().and_then(|mut head| head.remove(CASE_KEY))?;
        let (finish, reason) = ending(&path);
        Some(Found { name: name.clone(), case, finish, reason })
    });
    Ok(found.into_iter().flatten().collect())
}

/// How a finished log ended, and the reason of a failure near its end.
fn ending(path: &Path) -> (Finish, Option<String>) {
    let tail = tail(path).unwrap_or_default();
    let (mut finish, mut reason) = (Finish::Ok, None);
    // Repetitions are long, and say nothing here.
    let telling = |line: &&[u8]| line.starts_with(br#"{"event":"failure""#) || line.starts_with(br#"{"event":"end""#);
    for line in tail.split(|byte| *byte == b'\n').filter(telling) {
        match serde_json::from_slice::<Event>(line) {
            Ok(Event::Failure { kind, reason: why, .. }) => {
                finish = if NEVER_STARTED.contains(&kind.as_str()) { Finish::Skipped } else { Finish::Failed };
                reason = Some(format!("{kind}: {why}"));
            }
            Ok(Event::End { status, .. }) if status == "failed" && finish == Finish::Ok => finish = Finish::Failed,
            _ => (),
        }
    }
    (finish, reason)
}

fn tail(path: &Path) -> std::io::Result<Vec<u8>> {
    let mut file = File::open(path)?;
    let length = file.metadata()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(TAIL)))?;
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Logs that were cut off, by the case that they are of. Those that are being written are left out.
///
/// # Errors
/// The folder cannot be read.
pub fn left_open(place: &Place) -> Result<BTreeMap<String, Vec<PathBuf>>> {
    let output = place.output();
    let mut found: BTreeMap<String, Vec<PathBuf>> = BTreeMap::new();
    for name in list(&output)?.into_iter().filter(|name| name.ends_with(PARTIAL)) {
        let path = output.join(&name);
        if is_being_written(&path) {
            continue;
        }
        if let Some(case) = head(&path).ok().flatten().and_then(|mut head| head.remove(CASE_KEY)) {
            found.entry(case).or_default().push(path);
        }
    }
    Ok(found)
}

/// Gives a log its name that was closed but not renamed when its process was killed. Returns whether it was.
pub fn settle(partial: &Path) -> bool {
    let closed = tail(partial).is_ok_and(|tail| {
        let last = tail.strip_suffix(b"\n").and_then(|text| text.split(|byte| *byte == b'\n').next_back());
        last.is_some_and(|line| matches!(serde_json::from_slice(line), Ok(Event::End { .. })))
    });
    closed && fs::rename(partial, partial.with_extension("")).is_ok()
}

/// Moves logs out of what is collated; they are kept.
///
/// # Errors
/// A log cannot be moved.
pub fn put_aside(place: &Place, logs: &[PathBuf]) -> Result<()> {
    if logs.is_empty() {
        return Ok(());
    }
    let aside = place.output().join(ASIDE);
    fs::create_dir_all(&aside).map_err(io_error("make the folder", &aside))?;
    for log in logs {
        let name = log.file_name().unwrap_or_default();
        fs::rename(log, aside.join(name)).map_err(io_error("put aside", log))?;
    }
    Ok(())
}

/// Names of the files in the folder; none if there is no folder.
fn list(output: &Path) -> Result<Vec<String>> {
    if !output.is_dir() {
        return Ok(Vec::new());
    }
    let listing = fs::read_dir(output).map_err(io_error("read", output))?;
    Ok(listing.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned()).collect())
}
