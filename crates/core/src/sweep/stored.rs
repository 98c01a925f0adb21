//! The plan as it is kept: `sweep/plan.json`, so that a sweep goes on without its options being typed again.

use super::{Error, Place, Result, State, Tally, io_error};
use crate::plan::sweep::Block;
use crate::plan::{Ends, Schedule};
use crate::run::Residency;
use serde::{Deserialize, Serialize};
use std::io::ErrorKind;

/// A sweep as it was planned.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Stored {
    /// Version of this form.
    pub plan: u32,
    /// When it was made.
    pub planned_utc: String,
    /// The command line that made it.
    pub command: Vec<String>,
    /// How often each case is measured.
    pub schedule: Schedule,
    /// What ends a block.
    pub ends: Ends,
    /// Whether workers stay loaded between rounds.
    pub resident: Residency,
    /// Whether different GPUs are measured at the same time.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub overlap: bool,
    /// Seconds without an answer after which a worker counts as hung.
    pub timeout_s: u64,
    /// Bytes that each worker may use, where that was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory_limit: Option<u64>,
    /// A converter script for architectures that are not converted here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub converter: Option<std::path::PathBuf>,
    /// The machines that each measure all of it; empty where the cases are measured once.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub hosts: Vec<String>,
    /// `--node-models`, where it was given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node_models: Option<std::path::PathBuf>,
    /// Cases that rules left out.
    pub excluded: usize,
    /// The cases, in blocks.
    pub blocks: Vec<Block>,
}

impl Stored {
    /// The version that is written.
    pub const VERSION: u32 = 1;

    /// Cases in all.
    pub fn cases(&self) -> usize {
        self.blocks.iter().map(|block| block.cases.len()).sum()
    }

    /// The machines that each measure all of it; a single `None` where the cases are measured once.
    pub fn machines(&self) -> Vec<Option<&str>> {
        match self.hosts.is_empty() {
            true => vec![None],
            false => self.hosts.iter().map(|host| Some(host.as_str())).collect(),
        }
    }

    /// The cases as they stand, over all machines.
    pub fn tally(&self, state: &State) -> Tally {
        let mut all = Tally::default();
        self.machines().into_iter().for_each(|machine| all += state.on_host(machine).tally(self));
        all
    }

    /// Writes it whole or not at all.
    ///
    /// # Errors
    /// The disk or the folder.
    pub fn write(&self, place: &Place) -> Result<()> {
        let text = serde_json::to_vec(self).expect("plain data serializes");
        crate::disk::write_whole(&place.plan(), &text).map_err(io_error("write", &place.plan()))
    }

    /// The plan of the sweep in this folder.
    ///
    /// # Errors
    /// There is none, or it cannot be read.
    pub fn read(place: &Place) -> Result<Stored> {
        let path = place.plan();
        let text = match std::fs::read(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == ErrorKind::NotFound => {
                return Err(Error::None { folder: place.root.clone() });
            }
            Err(error) => return Err(io_error("read", &path)(error)),
        };
        let stored: Stored = serde_json::from_slice(&text)
            .map_err(|error| Error::Damaged { path: path.clone(), reason: error.to_string() })?;
        match stored.plan {
            Stored::VERSION => Ok(stored),
            other => Err(Error::Damaged { path, reason: format!("it has version {other}, not {}", Stored::VERSION) }),
        }
    }
}
