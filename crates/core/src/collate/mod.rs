//! Step 3: all raw logs of a folder to one row per step, in `{engine}.csv` and `all.csv`.
//!
//! The result depends on nothing but the logs: they are taken in the order of their names, engines in the order of theirs,
//! and numbers are printed exactly, so the files are the same bytes however often, in whatever order and on whatever machine
//! they are made. Logs that did not change since the last time are not read again (`index`); the others are read on all
//! cores in bounded memory (`pipeline`); the files are replaced together at the end or not at all (`output`).
//!
//! What the formats mean is `record`'s business, what the rows mean is `analyze`'s. [`read`] brings a CSV file back.

mod cell;
pub mod columns;
pub mod hosts;
mod index;
pub mod merge;
mod output;
mod pipeline;
pub mod read;
pub mod rows;
mod sources;
mod spool;
#[cfg(test)]
mod tests;

pub(crate) use index::TICK_NS;
pub(crate) use sources::Stamp;

use crate::fingerprint;
use crate::progress::{Progress, Unit};
use crate::record::{self, Input};
use hosts::Hosts;
use index::{Damage, Entry, Index, Part, Previous};
use output::Output;
use sources::Source;
use spool::Spool;
use std::collections::BTreeMap;
use std::fs::{self, File, TryLockError};
use std::io;
use std::num::NonZero;
use std::path::{Path, PathBuf};

/// The file that holds the rows of all engines, without `.csv`. No engine can have this name.
const ALL: &str = "all";

/// How to collate.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// Read every log again, also those that did not change.
    pub rebuild: bool,
    /// Threads; `None`: as many as the machine has.
    pub threads: Option<usize>,
}

/// What a collation came to.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Outcome {
    /// Raw logs in the folder, damaged ones included.
    pub logs: usize,
    /// Logs that were read this time.
    pub parsed: usize,
    /// Logs whose rows were taken over from the last time.
    pub reused: usize,
    /// Rows in `all.csv`.
    pub rows: u64,
    /// What each engine contributed, by name.
    pub engines: BTreeMap<String, Count>,
    /// Logs that were left out, in the order of their names.
    pub damaged: Vec<Damaged>,
    /// The CSV files, `all.csv` among them.
    pub files: Vec<PathBuf>,
    /// Whether the files had to be written; `false` when they were up to date.
    pub written: bool,
}

/// What an engine contributed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Count {
    /// Logs with rows.
    pub logs: usize,
    /// Rows.
    pub rows: u64,
}

/// A log that was left out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Damaged {
    /// The log.
    pub path: PathBuf,
    /// Its line, from 1, where it is one line's fault.
    pub line: Option<usize>,
    /// What is wrong.
    pub reason: String,
}

/// Collates the raw logs of `dir` (`benchmark_output`).
///
/// # Errors
/// When there are no logs, or a file cannot be written: the old CSV files are then as they were. A damaged log is no error:
/// it is named in the outcome, and the others are collated.
pub fn collate(dir: &Path, options: &Options, progress: &dyn Progress) -> Result<Outcome> {
    let Some(_alone) = lock(dir, progress)? else { return Err(Error::NoLogs { dir: dir.to_path_buf() }) };
    let sources = sources::list(dir)?;
    if sources.is_empty() {
        return Err(Error::NoLogs { dir: dir.to_path_buf() });
    }
    let hosts = Hosts::read(dir)?;
    let previous = if options.rebuild { None } else { Previous::load(dir, hosts.fingerprint().as_deref()) };
    let plan = previous.as_ref().map_or_else(|| vec![None; sources.len()], |previous| previous.reuse(&sources));
    if previous.as_ref().is_some_and(|previous| previous.is_current(&plan)) {
        let entries: Vec<Entry> = plan.into_iter().flatten().collect();
        return Ok(Outcome { reused: entries.len(), ..outcome(dir, &entries) });
    }
    let parsed = plan.iter().filter(|entry| entry.is_none()).count();
    let mut output = Output::create(dir)?;
    let entries = build(&sources, &plan, previous.as_ref(), &hosts, &mut output, options, progress)?;
    let (stamps, synced) = output.finish()?;
    // Files of engines that have no log any more; one that somebody has changed since is left alone.
    let stale = previous.iter().flat_map(Previous::intact).filter(|name| !stamps.contains_key(*name));
    for name in stale {
        fs::remove_file(dir.join(name)).map_err(|cause| Error::Write { path: dir.join(name), cause })?;
    }
    let done = outcome(dir, &entries);
    Index::new(stamps, entries, synced, hosts.fingerprint()).save(dir)?;
    Ok(Outcome { parsed, reused: sources.len() - parsed, written: true, ..done })
}

/// Keeps other collations out of the folder until the file is dropped. `None` when there is no such folder.
fn lock(dir: &Path, progress: &dyn Progress) -> Result<Option<File>> {
    let file = match File::open(dir) {
        Ok(file) => file,
        Err(cause) if cause.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(cause) => return Err(Error::Folder { dir: dir.to_path_buf(), cause }),
    };
    if matches!(file.try_lock(), Err(TryLockError::WouldBlock)) {
        progress.note(&format!("waiting for another collation in {}", dir.display()));
        // On a file system without locks there is none to wait for.
        let _ = file.lock();
    }
    Ok(Some(file))
}

/// Reads or takes over every log and writes its rows.
fn build(
    sources: &[Source],
    plan: &[Option<Entry>],
    previous: Option<&Previous>,
    hosts: &Hosts,
    output: &mut Output,
    options: &Options,
    progress: &dyn Progress,
) -> Result<Vec<Entry>> {
    let read = |i: usize| if plan[i].is_none() { sources[i].stamp.size } else { 0 };
    let weights: Vec<u64> = (0..sources.len()).map(read).collect();
    let task = progress.task("reading raw logs", Some(weights.iter().sum()), Unit::Bytes);
    let threads = options.threads.or_else(|| std::thread::available_parallelism().ok().map(NonZero::get)).unwrap_or(1);
    let started_ns = output.started_ns();
    let mut entries = Vec::with_capacity(sources.len());
    pipeline::in_order(
        &weights,
        threads,
        |i| plan[i].is_none().then(|| parse(&sources[i], hosts, started_ns)),
        |i, made| -> Result<()> {
            // Finished under another name, or removed, since the folder was listed: left to the next collation, no damage.
            if plan[i].is_none() && !sources[i].path.exists() {
                return Ok(());
            }
            let entry = match (made, &plan[i]) {
                (Some(made), _) => made?.write(output)?,
                (None, Some(entry)) => carry(entry, previous, output)?,
                (None, None) => return Ok(()),
            };
            entries.push(entry);
            task.advance(weights[i]);
            Ok(())
        },
    )?;
    let rows: u64 = entries.iter().flat_map(|entry| &entry.parts).map(|part| part.rows).sum();
    task.finish(&format!("{rows} rows from {} logs", sources.len()));
    Ok(entries)
}

/// Copies the rows of an unchanged log.
fn carry(entry: &Entry, previous: Option<&Previous>, output: &mut Output) -> Result<Entry> {
    let mut parts = Vec::with_capacity(entry.parts.len());
    for part in &entry.parts {
        if let Some(old) = previous.and_then(|previous| previous.file(&part.engine)) {
            parts.push(output.copy(old, part)?);
        }
    }
    Ok(Entry { parts, ..entry.clone() })
}

/// A log that was read, its rows still in memory.
struct Parsed {
    entry: Entry,
    /// Its rows by engine.
    texts: BTreeMap<String, Spool>,
}

impl Parsed {
    fn write(self, output: &mut Output) -> Result<Entry> {
        let mut entry = self.entry;
        for (engine, rows) in self.texts {
            entry.parts.push(output.append(&engine, rows)?);
        }
        Ok(entry)
    }
}

/// Reads a log. What is wrong with it becomes part of the result.
fn parse(source: &Source, hosts: &Hosts, started_ns: u64) -> Result<Parsed> {
    let mut entry = Entry { name: source.name.clone(), stamp: None, sha256: None, parts: Vec::new(), damage: None };
    let mut texts = BTreeMap::new();
    let bytes = match fs::read(&source.path) {
        Ok(bytes) => bytes,
        Err(cause) => {
            entry.damage = Some(Damage { line: None, reason: format!("cannot read it: {cause}") });
            return Ok(Parsed { entry, texts });
        }
    };
    match to_rows(&bytes, source, hosts) {
        Ok(made) => texts = made,
        Err(Trouble::Log(damage)) => entry.damage = Some(damage),
        Err(Trouble::Write(cause)) => return Err(Error::Write { path: source.path.with_extension("csv"), cause }),
    }
    let now = fs::metadata(&source.path).ok().map(|metadata| Stamp::of(&metadata));
    if now == Some(source.stamp) && bytes.len() as u64 == source.stamp.size {
        entry.stamp = now;
        let recent = source.stamp.mtime_ns.saturating_add(index::TICK_NS) >= started_ns;
        entry.sha256 = recent.then(|| fingerprint::of_bytes(&bytes));
    }
    Ok(Parsed { entry, texts })
}

/// Why a log has no rows.
enum Trouble {
    /// The log's own fault.
    Log(Damage),
    /// There is no place for its rows.
    Write(io::Error),
}

/// The rows of a log, by engine.
fn to_rows(bytes: &[u8], source: &Source, hosts: &Hosts) -> std::result::Result<BTreeMap<String, Spool>, Trouble> {
    let mut texts: BTreeMap<String, Spool> = BTreeMap::new();
    let dir = source.path.parent().unwrap_or(Path::new("."));
    let mut nameless = None;
    let mut full = None;
    let read = record::read_each(&Input::new(bytes, &source.path), &mut |mut series| {
        hosts.rename(&mut series.context);
        let engine = &series.context.engine;
        if !names_a_file(engine) {
            nameless = Some(engine.clone());
            return;
        }
        let rows = texts.entry(engine.clone()).or_default();
        if full.is_none() {
            rows.rows += rows::write_series(rows.text(), &series, &source.name);
            full = rows.settle(dir).err();
        }
    });
    if let Some(cause) = full {
        return Err(Trouble::Write(cause));
    }
    read.map_err(|error| Trouble::Log(Damage { line: error.line(), reason: error.reason() }))?;
    if let Some(engine) = nameless {
        let reason = format!("its engine is called `{engine}`, which cannot name a CSV file: correct `framework:`");
        return Err(Trouble::Log(Damage { line: None, reason }));
    }
    texts.retain(|_, rows| rows.rows > 0);
    Ok(texts)
}

/// Whether `{engine}.csv` is a file of its own inside the folder.
fn names_a_file(engine: &str) -> bool {
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-');
    !engine.is_empty() && engine.len() <= 100 && engine != ALL && !engine.starts_with('.') && engine.bytes().all(plain)
}

/// Counts what the entries hold.
fn outcome(dir: &Path, entries: &[Entry]) -> Outcome {
    let mut outcome = Outcome { logs: entries.len(), ..Outcome::default() };
    for entry in entries {
        for Part { engine, rows, .. } in &entry.parts {
            let count = outcome.engines.entry(engine.clone()).or_default();
            count.logs += 1;
            count.rows += rows;
            outcome.rows += rows;
        }
        if let Some(Damage { line, reason }) = &entry.damage {
            outcome.damaged.push(Damaged { path: dir.join(&entry.name), line: *line, reason: reason.clone() });
        }
    }
    let names = outcome.engines.keys().map(String::as_str).chain([ALL]);
    outcome.files = names.map(|name| dir.join(format!("{name}.csv"))).collect();
    outcome
}

/// Why the logs could not be collated, or a CSV file not be read.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is nothing to collate.
    #[error("no raw logs in {dir}: run `tokometer run` first, or name the folder above it with --dir")]
    NoLogs {
        /// The folder.
        dir: PathBuf,
    },
    /// The folder cannot be listed.
    #[error("cannot look for raw logs in {dir}: {cause}; check that it is a folder that you may read")]
    Folder {
        /// The folder.
        dir: PathBuf,
        /// What the system said.
        cause: io::Error,
    },
    /// A file cannot be written.
    #[error(
        "cannot write {path} while collating: {cause}; no raw log was touched: free some space or make the folder writable, then collate again"
    )]
    Write {
        /// The file.
        path: PathBuf,
        /// What the system said.
        cause: io::Error,
    },
    /// The file with other names for machines.
    #[error("cannot take the hostnames from {path}: {reason}; mend the file, or remove it to have those in the logs")]
    Hosts {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// A folder whose results cannot be merged.
    #[error("cannot merge {dir}: {reason}; nothing was changed")]
    Merge {
        /// The folder.
        dir: PathBuf,
        /// Why.
        reason: String,
    },
    /// A file of a folder that is merged cannot be read.
    #[error("cannot read {path}: {cause}; see that it may be read, then merge again: what came along stays")]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        cause: io::Error,
    },
    /// A CSV file cannot be opened or read.
    #[error("cannot read {path}: {cause}; run `tokometer collate` to make it anew")]
    Open {
        /// The file.
        path: PathBuf,
        /// What the system said.
        cause: io::Error,
    },
    /// A CSV file holds something that makes no sense.
    #[error("{path}, line {line}{}: {reason}; run `tokometer collate` to make it anew", in_column(.column.as_deref()))]
    Table {
        /// The file.
        path: PathBuf,
        /// The line that the row begins in, from 1.
        line: u64,
        /// The column, where it is one cell's fault.
        column: Option<String>,
        /// What is wrong.
        reason: String,
    },
}

fn in_column(column: Option<&str>) -> String {
    column.map_or_else(String::new, |name| format!(", column `{name}`"))
}

/// What this module returns.
pub type Result<T> = std::result::Result<T, Error>;
