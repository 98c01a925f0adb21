//! What became of each case, a line each, synced as it is written. Every process that measures has a file of its own, so that
//! several machines can share a folder.

use super::{Place, Result, io_error};
use serde::{Deserialize, Serialize};
use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::path::PathBuf;

/// A line.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Entry {
    /// A process begins.
    Began {
        /// When.
        at_utc: String,
        /// Where.
        host: String,
        /// The process.
        pid: u32,
    },
    /// A case is measured, has failed, or is skipped.
    Done {
        /// Hash of the case in the plan.
        case: String,
        /// How it ended.
        finish: Finish,
        /// Its raw log's name.
        log: String,
        /// Why it failed.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reason: Option<String>,
        /// Time that measuring it took, its share of the block, s.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        seconds: Option<f64>,
        /// Mean decode speed, tokens/s.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        decode_tok_s: Option<f64>,
    },
}

/// How a case ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Finish {
    /// All launches measured.
    Ok,
    /// At least one launch failed.
    Failed,
    /// It was never started.
    Skipped,
}

/// The file of this process; made with its first line.
#[derive(Debug)]
pub struct Journal {
    folder: PathBuf,
    file: Option<(PathBuf, File)>,
}

impl Journal {
    /// In that place.
    pub fn new(place: &Place) -> Journal {
        Journal { folder: place.journal(), file: None }
    }

    /// Writes lines and brings them to the disk.
    ///
    /// # Errors
    /// The disk or the folder; what was written before stays.
    pub fn append(&mut self, entries: &[Entry]) -> Result<()> {
        let mut text = Vec::new();
        if self.file.is_none() {
            let machine = crate::machine::Machine::this();
            let began = Entry::Began {
                at_utc: crate::clock::now_utc(),
                host: machine.hostname.clone(),
                pid: std::process::id(),
            };
            line(&mut text, &began);
            self.file = Some(self.create(&machine.hostname)?);
        }
        entries.iter().for_each(|entry| line(&mut text, entry));
        let Some((path, file)) = &mut self.file else { unreachable!("made above") };
        file.write_all(&text).and_then(|()| file.sync_data()).map_err(io_error("write", path))
    }

    fn create(&self, host: &str) -> Result<(PathBuf, File)> {
        fs::create_dir_all(&self.folder).map_err(io_error("make the folder", &self.folder))?;
        let time: String = crate::clock::now_utc().chars().filter(char::is_ascii_alphanumeric).collect();
        let path = self.folder.join(format!("{time}-{host}-{}.jsonl", crate::fingerprint::fresh_name()));
        let file = OpenOptions::new().append(true).create_new(true).open(&path);
        Ok((path.clone(), file.map_err(io_error("make", &path))?))
    }

    /// All lines of all files, in the order of their beginnings. A line that was being written when its process was
    /// killed is none.
    ///
    /// # Errors
    /// The folder or a file cannot be read.
    pub fn read(place: &Place) -> Result<Vec<Entry>> {
        let folder = place.journal();
        if !folder.is_dir() {
            return Ok(Vec::new());
        }
        let listing = fs::read_dir(&folder).map_err(io_error("read", &folder))?;
        let mut files: Vec<PathBuf> = listing.flatten().map(|entry| entry.path()).collect();
        files.retain(|path| path.extension().is_some_and(|extension| extension == "jsonl"));
        files.sort();
        let mut entries = Vec::new();
        for path in files {
            let text = fs::read(&path).map_err(io_error("read", &path))?;
            entries.extend(text.split(|byte| *byte == b'\n').filter_map(|line| serde_json::from_slice(line).ok()));
        }
        Ok(entries)
    }
}

fn line(text: &mut Vec<u8>, entry: &Entry) {
    serde_json::to_writer(&mut *text, entry).expect("plain data serializes");
    text.push(b'\n');
}
