//! Where a figure came from: all that a stranger needs to measure it again, out of one of our own raw logs, and whether the
//! log is as it was written.
//!
//! The check compares the log with the hash in its closing line. It notices edits and accidents; it is no signature, as
//! whoever can edit the log can write a new closing line as well.

mod find;
pub mod label;
mod named;
mod read;
mod runs;

pub use find::{find, labelled};
pub(crate) use named::BEGAN;
pub use read::read;
pub use runs::Run;

use crate::machine::{Conditions, Reading};
use serde::Serialize;
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;

/// What a raw log says of how it came about. What it does not say is missing or empty.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Provenance {
    /// The log.
    pub log: PathBuf,
    /// Whether it is as it was written.
    pub check: Check,
    /// Its header, in order.
    pub header: Map<String, Value>,
    /// The command line that started the run, program first.
    pub command: Vec<String>,
    /// Engine, model, quantization, workload, settings and seed, as they were resolved.
    pub case: Value,
    /// The prepared model with the hashes of its files and of their sources.
    pub manifest: Value,
    /// The machine.
    pub machine: Value,
    /// How often it was to be measured.
    pub schedule: Value,
    /// Number of prompt tokens, and the sha256 of their ids (in decimal, separated by spaces).
    pub prompt: Option<Tokens>,
    /// The same of the tokens that were in the KV cache before.
    pub context: Option<Tokens>,
    /// What the workers said of themselves, each once: engine, versions, build flags, devices.
    pub workers: Vec<Value>,
    /// What was really loaded, by the first launch that loaded.
    pub loaded: Value,
    /// Launches that began.
    pub launches: u64,
    /// Repetitions that were measured.
    pub repetitions: u64,
    /// Launches that failed: kind and reason.
    pub failures: Vec<String>,
    /// Warnings in words, by their short names.
    pub warnings: BTreeMap<String, String>,
    /// The probes between rounds.
    pub probes: Vec<Reading>,
    /// What the launches ran under, in each round.
    pub conditions: Vec<Conditions>,
}

/// Tokens, by number and hash.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Tokens {
    /// How many.
    pub count: usize,
    /// sha256 of the ids in decimal, separated by spaces.
    pub sha256: String,
}

/// Whether a log is as it was written.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Check {
    /// The status in its closing line; missing where it was cut off.
    pub status: Option<String>,
    /// sha256 of all before the closing line, as found.
    pub sha256: Option<String>,
    /// What is wrong with it. Empty: nothing, as far as can be told.
    pub problems: Vec<String>,
}

impl Check {
    /// Whether it was changed after it was written.
    pub fn is_edited(&self) -> bool {
        !self.problems.is_empty()
    }

    /// In words.
    pub fn words(&self) -> String {
        match (&self.status, self.is_edited()) {
            (_, true) => format!("edited: {}", self.problems.join("; ")),
            (Some(_), false) => "whole: its bytes have the sha256 that its closing line says".to_owned(),
            (None, false) => "unfinished: the run was cut off, so there is no hash to compare with".to_owned(),
        }
    }
}

impl Provenance {
    /// A value of the header.
    pub fn header(&self, key: &str) -> Option<&str> {
        self.header.get(key)?.as_str()
    }
}

/// Why a log cannot be shown.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The system refused.
    #[error("cannot read {}: {cause}; check that it exists and is readable", .path.display())]
    Read {
        /// The log or its folder.
        path: PathBuf,
        /// What the system said.
        cause: io::Error,
    },
    /// A log of another tool, or no log at all.
    #[error("{} is not a raw log of Tokometer's own: those of other tools do not say how they came about", .path.display())]
    Foreign {
        /// The file.
        path: PathBuf,
    },
    /// Nothing of that name.
    #[error("there is no raw log, uuid, case, run or label {name:?} in {}{hint}", .folder.display())]
    Unknown {
        /// What was asked for.
        name: String,
        /// Where it was looked for.
        folder: PathBuf,
        /// What there is.
        hint: String,
    },
    /// The beginning of several names.
    #[error("{name:?} is the beginning of several names: {}; give more of it", .found.join(", "))]
    Ambiguous {
        /// What was asked for.
        name: String,
        /// What it may mean.
        found: Vec<String>,
    },
}

/// What this module returns.
pub type Result<T> = std::result::Result<T, Error>;
