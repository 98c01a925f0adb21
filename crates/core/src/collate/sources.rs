//! Which files of the folder are raw logs.

use super::{Error, Result};
use crate::record::writer::{PARTIAL, finished_name, is_being_written};
use std::collections::HashSet;
use std::fs::{self, Metadata};
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

/// A raw log as the folder shows it.
#[derive(Debug, Clone)]
pub(super) struct Source {
    /// Its file name; what is no UTF-8 in it is replaced.
    pub name: String,
    pub path: PathBuf,
    pub stamp: Stamp,
}

/// Size and time of a file's last change: enough to see that it was touched.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(crate) struct Stamp {
    pub size: u64,
    /// Nanoseconds since 1970.
    pub mtime_ns: u64,
}

impl Stamp {
    /// The stamp of a file. One that the system cannot date never equals another.
    pub fn of(metadata: &Metadata) -> Stamp {
        let age = metadata.modified().ok().and_then(|time| time.duration_since(UNIX_EPOCH).ok());
        Stamp { size: metadata.len(), mtime_ns: age.and_then(|age| u64::try_from(age.as_nanos()).ok()).unwrap_or(0) }
    }
}

/// All raw logs, sorted by name: `.txt`, `.jsonl`, and what a run that was killed left as `.partial`. A partial log that
/// somebody is writing, that has since been finished or whose writer died before its first line, is none. Hidden files and
/// other names are somebody else's.
pub(super) fn list(dir: &Path) -> Result<Vec<Source>> {
    let failed = |cause| Error::Folder { dir: dir.to_path_buf(), cause };
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if finished_name(&name).is_none() {
            continue;
        }
        // A link that leads nowhere, or a file that has gone in the meantime, is no log.
        let Ok(metadata) = fs::metadata(entry.path()) else { continue };
        if metadata.is_file() {
            found.push(Source { name, path: entry.path(), stamp: Stamp::of(&metadata) });
        }
    }
    let finished: HashSet<String> = found.iter().map(|source| source.name.clone()).collect();
    let mut found: Vec<Source> = found
        .into_iter()
        .filter_map(|source| match source.name.strip_suffix(PARTIAL) {
            Some(base) if finished.contains(base) || is_being_written(&source.path) => None,
            Some(_) => settled(source).filter(|source| source.stamp.size > 0 || !source.name.ends_with(PARTIAL)),
            None => Some(source),
        })
        .collect();
    found.sort_by(|a, b| a.name.as_bytes().cmp(b.name.as_bytes()));
    Ok(found)
}

/// A partial log that is no longer there has been finished since it was listed: then the log under its final name.
fn settled(source: Source) -> Option<Source> {
    if source.path.exists() {
        return Some(source);
    }
    let name = source.name.strip_suffix(PARTIAL)?.to_owned();
    let path = source.path.with_file_name(&name);
    let metadata = fs::metadata(&path).ok().filter(Metadata::is_file)?;
    Some(Source { name, path, stamp: Stamp::of(&metadata) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::LogWriter;
    use crate::record::testing::{Dir, header, name};

    #[test]
    fn only_raw_logs_are_listed_in_the_order_of_their_names() {
        let dir = Dir::new();
        let names =
            ["b.txt", "a.jsonl", "B.txt", "c.txt.partial", "b.txt.partial", "all.csv", ".x.txt", "m.gguf.partial"];
        for name in names {
            fs::write(dir.path().join(name), "x").unwrap();
        }
        fs::create_dir(dir.path().join("d.txt")).unwrap();
        // The run was killed before it wrote the first line.
        fs::write(dir.path().join("e.txt.partial"), "").unwrap();
        let listed: Vec<_> = list(dir.path()).unwrap().into_iter().map(|source| source.name).collect();
        assert_eq!(listed, ["B.txt", "a.jsonl", "b.txt", "c.txt.partial"]);
    }

    #[test]
    fn a_log_that_is_being_written_is_left_alone() {
        let dir = Dir::new();
        let log = LogWriter::create(dir.path(), &name("host"), &header()).unwrap();
        assert_eq!(list(dir.path()).unwrap().len(), 0);
        drop(log);
        assert_eq!(list(dir.path()).unwrap().len(), 1);
    }

    #[test]
    fn a_log_that_is_finished_while_the_folder_is_listed_is_taken_under_its_final_name() {
        let dir = Dir::new();
        let path = dir.path().join("a.txt.partial");
        fs::write(&path, "x").unwrap();
        let source =
            || Source { name: "a.txt.partial".into(), path: path.clone(), stamp: Stamp { size: 1, mtime_ns: 1 } };
        assert_eq!(settled(source()).unwrap().name, "a.txt.partial");
        fs::rename(&path, dir.path().join("a.txt")).unwrap();
        let taken = settled(source()).unwrap();
        assert_eq!((taken.name.as_str(), taken.path), ("a.txt", dir.path().join("a.txt")));
        fs::remove_file(dir.path().join("a.txt")).unwrap();
        assert!(settled(source()).is_none());
    }
}
