//! What the last collation made of which log, so that unchanged logs need not be read again: their rows are copied out of
//! the old CSV files. The index is a cache: whatever is odd about it, the logs are read instead.

use super::sources::{Source, Stamp};
use super::{Error, Result};
use super::{output, rows};
use crate::fingerprint;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, HashMap};
use std::fs::{self, File};
use std::io::Write;
use std::path::Path;

/// Its name in the folder.
pub(super) const FILE: &str = ".collate.json";

/// To be raised when the same log comes to give other rows.
const REVISION: u32 = 6;

/// File systems date changes in steps of up to 10 ms: a log changed so shortly before it was read may change once more
/// without a new date.
pub(crate) const TICK_NS: u64 = 20_000_000;

/// The whole index.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Index {
    /// Who made it.
    made_by: String,
    /// The header line of the CSV files.
    columns: String,
    /// The start of the system that the files were made in, where they were not forced to the disk.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    boot: Option<String>,
    /// Of the names that machines were given, if any were.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    hosts: Option<String>,
    /// Every CSV file by name.
    pub csvs: BTreeMap<String, Stamp>,
    /// Every log, in the order of the CSV files.
    pub logs: Vec<Entry>,
}

/// What became of one log.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Entry {
    pub name: String,
    /// `None` when the file changed while it was read: the next collation reads it again.
    pub stamp: Option<Stamp>,
    /// Of the log, where its stamp alone does not prove that it is unchanged.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sha256: Option<String>,
    /// Its rows. A log that holds nothing has none.
    pub parts: Vec<Part>,
    /// Why it was left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub damage: Option<Damage>,
}

/// The rows of one log in the CSV file of one engine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Part {
    pub engine: String,
    /// First byte.
    pub start: u64,
    /// Byte after the last one.
    pub end: u64,
    pub rows: u64,
}

/// What is wrong with a log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Damage {
    pub line: Option<usize>,
    pub reason: String,
}

impl Index {
    /// An index made by this program.
    pub fn new(csvs: BTreeMap<String, Stamp>, logs: Vec<Entry>, synced: bool, hosts: Option<String>) -> Index {
        let boot = if synced { None } else { output::boot() };
        Index { made_by: made_by(), columns: rows::header(), boot, hosts, csvs, logs }
    }

    /// Writes it into the folder, whole or not at all.
    pub fn save(&self, dir: &Path) -> Result<()> {
        let path = dir.join(FILE);
        let temporary = dir.join(format!("{FILE}.tmp"));
        let failed = |cause| Error::Write { path: path.clone(), cause };
        let text = serde_json::to_vec(self).map_err(|e| failed(e.into()))?;
        let mut file = File::create(&temporary).map_err(failed)?;
        file.write_all(&text).and_then(|()| file.sync_all()).map_err(failed)?;
        fs::rename(&temporary, &path).map_err(failed)
    }

    /// Whether the rows of `engine` fill its file from the header to the end, log by log.
    fn tiles(&self, engine: &str, size: u64) -> bool {
        let mut at = self.columns.len() as u64;
        for part in self.logs.iter().flat_map(|log| &log.parts).filter(|part| part.engine == engine) {
            if part.start != at || part.end < part.start {
                return false;
            }
            at = part.end;
        }
        at == size
    }
}

/// The last index together with the CSV files that are still as it says.
pub(super) struct Previous {
    index: Index,
    /// By engine.
    files: HashMap<String, File>,
    /// Names of the CSV files that are unchanged.
    intact: Vec<String>,
}

impl Previous {
    /// What the last collation left in the folder; `None` when there is nothing that can be used. `hosts` is the fingerprint
    /// of the names that machines have now.
    pub fn load(dir: &Path, hosts: Option<&str>) -> Option<Previous> {
        let index: Index = serde_json::from_slice(&fs::read(dir.join(FILE)).ok()?).ok()?;
        if index.made_by != made_by() || index.columns != rows::header() || index.hosts.as_deref() != hosts {
            return None;
        }
        // A power cut may have taken what was never forced to the disk, and left files of the right size.
        if index.boot.is_some() && index.boot != output::boot() {
            return None;
        }
        let mut files = HashMap::new();
        let mut intact = Vec::new();
        for (name, stamp) in &index.csvs {
            let Ok(file) = File::open(dir.join(name)) else { continue };
            let Some(engine) = name.strip_suffix(".csv") else { continue };
            if file.metadata().ok().map(|metadata| Stamp::of(&metadata)) != Some(*stamp) {
                continue;
            }
            if engine == super::ALL {
                intact.push(name.clone());
            } else if index.tiles(engine, stamp.size) {
                intact.push(name.clone());
                files.insert(engine.to_owned(), file);
            }
        }
        Some(Previous { index, files, intact })
    }

    /// For each log: its entry, if log and rows are unchanged.
    pub fn reuse(&self, sources: &[Source]) -> Vec<Option<Entry>> {
        let known: HashMap<&str, &Entry> = self.index.logs.iter().map(|entry| (entry.name.as_str(), entry)).collect();
        let unchanged = |source: &Source| {
            let entry = *known.get(source.name.as_str())?;
            let there = entry.parts.iter().all(|part| self.files.contains_key(&part.engine));
            if entry.stamp != Some(source.stamp) || !there {
                return None;
            }
            match &entry.sha256 {
                Some(hash) if fingerprint::of_bytes(&fs::read(&source.path).ok()?) != *hash => None,
                // The stamp proves it from now on.
                _ => Some(Entry { sha256: None, ..entry.clone() }),
            }
        };
        sources.iter().map(unchanged).collect()
    }

    /// Whether the CSV files in the folder are what a new collation would write.
    pub fn is_current(&self, plan: &[Option<Entry>]) -> bool {
        plan.iter().all(Option::is_some)
            && plan.len() == self.index.logs.len()
            && self.intact.len() == self.index.csvs.len()
    }

    /// The CSV file of an engine, open for reading.
    pub fn file(&self, engine: &str) -> Option<&File> {
        self.files.get(engine)
    }

    /// Names of all CSV files that are as they were left.
    pub fn intact(&self) -> &[String] {
        &self.intact
    }
}

fn made_by() -> String {
    format!("tokometer {} reader {REVISION}", env!("CARGO_PKG_VERSION"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::testing::Dir;

    fn entry(name: &str, engine: &str, start: u64, end: u64) -> Entry {
        let parts = vec![Part { engine: engine.into(), start, end, rows: 1 }];
        Entry { name: name.into(), stamp: None, sha256: None, parts, damage: None }
    }

    #[test]
    fn files_that_were_not_forced_to_the_disk_are_believed_until_the_next_start() {
        let dir = Dir::new();
        let load = |boot: Option<&str>| {
            let index = Index::new(BTreeMap::new(), vec![], true, None);
            Index { boot: boot.map(str::to_owned), ..index }.save(dir.path()).unwrap();
            Previous::load(dir.path(), None).is_some()
        };
        assert!(load(None) && load(output::boot().as_deref()));
        assert!(!load(Some("another")));
    }

    #[test]
    fn ranges_must_fill_the_file() {
        let h = rows::header().len() as u64;
        let index = Index::new(
            BTreeMap::new(),
            vec![entry("1", "a", h, h + 5), entry("2", "b", h, h + 7), entry("3", "a", h + 5, h + 9)],
            true,
            None,
        );
        assert!(index.tiles("a", h + 9) && index.tiles("b", h + 7) && index.tiles("c", h));
        assert!(!index.tiles("a", h + 10) && !index.tiles("b", h));
        let gap = Index::new(BTreeMap::new(), vec![entry("1", "a", h + 1, h + 5)], true, None);
        assert!(!gap.tiles("a", h + 5));
    }
}
