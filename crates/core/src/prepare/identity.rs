//! What makes a checkpoint what it is: its files with their sizes and sha256.
//!
//! Hashes that the hub told are taken from there; others are computed once and remembered by path, size and time of
//! change. A file that changes while it is read is noticed, by size, times and inode: what was made of it would be kept
//! under a wrong name.

use super::pace::Pace;
use super::{Error, Result, SourceFile, Store, io_error};
use crate::fingerprint;
use crate::progress::{Progress, Unit};
use serde::Serialize;
use serde_json::Value;
use std::collections::BTreeMap;
use std::fs::{self, Metadata};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

/// More bytes than these take a while to hash.
const LARGE: u64 = 100 << 20;

/// The files of a checkpoint as they were when it was found.
#[derive(Debug)]
pub struct Identity {
    files: Vec<File>,
    memory: PathBuf,
}

#[derive(Debug)]
struct File {
    /// As the manifest names it.
    name: String,
    path: PathBuf,
    stamp: Stamp,
    /// What it is remembered by.
    key: String,
    /// `None` while nobody has computed it.
    sha256: Option<String>,
}

/// What changes with a file's content.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Stamp {
    device: u64,
    inode: u64,
    bytes: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Stamp {
    fn of(meta: &Metadata) -> Stamp {
        Stamp {
            device: meta.dev(),
            inode: meta.ino(),
            bytes: meta.len(),
            modified: (meta.mtime(), meta.mtime_nsec()),
            changed: (meta.ctime(), meta.ctime_nsec()),
        }
    }
}

impl Identity {
    /// Looks at the files `names` of the folder `path`, or at `path` itself when there are no names. `known` are hashes
    /// that somebody trustworthy told.
    ///
    /// # Errors
    /// A file is not there.
    pub fn of(store: &Store, path: &Path, names: &[String], known: &BTreeMap<String, String>) -> Result<Identity> {
        let memory = store.folder().join(".hashes.json");
        let remembered = read(&memory);
        let look = |name: &str, path: PathBuf| -> Result<File> {
            let meta = fs::metadata(&path).map_err(io_error("read", &path))?;
            let key = key(&path, &meta);
            let sha256 = known.get(name).cloned().or_else(|| lookup(&remembered, &key));
            Ok(File { name: name.to_owned(), stamp: Stamp::of(&meta), path, key, sha256 })
        };
        let files = match names.is_empty() {
            true => {
                let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
                vec![look(&name, path.to_owned())?]
            }
            false => names.iter().map(|name| look(name, path.join(name))).collect::<Result<_>>()?,
        };
        Ok(Identity { files, memory })
    }

    /// Whether it takes a while to compute what is not known.
    pub fn takes_long(&self) -> bool {
        let unknown = self.files.iter().filter(|file| file.sha256.is_none());
        unknown.map(|file| file.stamp.bytes).sum::<u64>() > LARGE
    }

    /// Bytes of the files whose names end so.
    pub fn bytes_of(&self, end: &str) -> u64 {
        self.files.iter().filter(|file| file.name.ends_with(end)).map(|file| file.stamp.bytes).sum()
    }

    /// What stands for the content until the hashes are there.
    pub fn stamps(&self) -> Vec<(String, Stamp)> {
        self.files.iter().map(|file| (file.path.display().to_string(), file.stamp)).collect()
    }

    /// The files with their hashes; those that lack are computed and remembered, beside the reader that sets the pace.
    ///
    /// # Errors
    /// A file cannot be read, has changed since it was found, or who sets the pace has failed.
    pub fn complete(&self, pace: Option<&Pace>, progress: &dyn Progress) -> Result<Vec<SourceFile>> {
        let mut computed = BTreeMap::new();
        let mut files = Vec::with_capacity(self.files.len());
        let mut before = 0;
        for file in &self.files {
            let sha256 = match &file.sha256 {
                Some(sha256) => sha256.clone(),
                None => {
                    let sha256 = file.hash(before, pace, progress)?;
                    file.refuse_change()?;
                    computed.insert(file.key.clone(), Value::String(sha256.clone()));
                    sha256
                }
            };
            before += file.stamp.bytes;
            files.push(file.with(sha256));
        }
        if !computed.is_empty() {
            let mut memory = read(&self.memory);
            memory.append(&mut computed);
            // Only saves work next time: a failure is no error.
            let _ = serde_json::to_vec(&memory).map(|text| crate::disk::write_whole(&self.memory, &text));
        }
        Ok(files)
    }

    /// The files, if somebody has computed and remembered all that lacked.
    pub fn recall(&self) -> Option<Vec<SourceFile>> {
        let memory = read(&self.memory);
        let recall = |file: &File| Some(file.with(file.sha256.clone().or_else(|| lookup(&memory, &file.key))?));
        self.files.iter().map(recall).collect()
    }

    /// That all files are still what they were when they were found.
    ///
    /// # Errors
    /// One is not, or is gone.
    pub fn refuse_change(&self) -> Result<()> {
        self.files.iter().try_for_each(File::refuse_change)
    }
}

impl File {
    fn with(&self, sha256: String) -> SourceFile {
        SourceFile { name: self.name.clone(), bytes: self.stamp.bytes, sha256 }
    }

    /// `before`: bytes of the files before this one.
    fn hash(&self, before: u64, pace: Option<&Pace>, progress: &dyn Progress) -> Result<String> {
        let bytes = self.stamp.bytes;
        let task = (bytes > LARGE).then(|| progress.task(&format!("hash {}", self.name), Some(bytes), Unit::Bytes));
        let mut position = before;
        let sha256 = fingerprint::of_file_while(&self.path, |n| {
            position += n;
            if let Some(task) = &task {
                task.advance(n);
            }
            pace.map_or(Ok(()), |pace| pace.keep(position))
        })
        .map_err(io_error("read", &self.path))?;
        if let Some(task) = task {
            task.finish(&sha256[..12]);
        }
        Ok(sha256)
    }

    fn refuse_change(&self) -> Result<()> {
        let meta = fs::metadata(&self.path).map_err(io_error("read", &self.path))?;
        if Stamp::of(&meta) == self.stamp {
            return Ok(());
        }
        Err(Error::Refused(format!(
            "{} changed while it was read, so nothing was made of it; prepare it again when it is complete",
            self.path.display()
        )))
    }
}

fn key(path: &Path, meta: &Metadata) -> String {
    let changed = meta.modified().ok().and_then(|t| t.duration_since(UNIX_EPOCH).ok()).map_or(0, |d| d.as_nanos());
    format!("{} {} {changed}", path.display(), meta.len())
}

fn read(memory: &Path) -> BTreeMap<String, Value> {
    fs::read(memory).ok().and_then(|text| serde_json::from_slice(&text).ok()).unwrap_or_default()
}

fn lookup(memory: &BTreeMap<String, Value>, key: &str) -> Option<String> {
    memory.get(key).and_then(Value::as_str).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::progress::Silent;
    use crate::testing::Dir;

    fn folder() -> Dir {
        Dir::with(&[("config.json", "abc"), ("tokenizer.json", "abd")])
    }

    fn look(folder: &Path, known: &[(&str, &str)]) -> Identity {
        let names = ["config.json".to_owned(), "tokenizer.json".to_owned()];
        let known = known.iter().map(|(name, hash)| ((*name).to_owned(), (*hash).to_owned())).collect();
        Identity::of(&Store::new(folder.join("models")), folder, &names, &known).unwrap()
    }

    #[test]
    fn hashes_are_computed_once_and_those_that_were_told_are_taken() {
        let folder = folder();
        let identity = look(&folder, &[("config.json", "told")]);
        assert!(!identity.takes_long() && identity.recall().is_none());
        assert_eq!(identity.bytes_of("tokenizer.json"), 3);
        let files = identity.complete(None, &Silent).unwrap();
        assert_eq!((files[0].name.as_str(), files[0].sha256.as_str(), files[0].bytes), ("config.json", "told", 3));
        assert_eq!(files[1].sha256, fingerprint::of_bytes(b"abd"));
        // Who looked before and who looks now both find it.
        assert_eq!(identity.recall().unwrap(), files);
        assert_eq!(look(&folder, &[("config.json", "told")]).files[1].sha256.as_ref(), Some(&files[1].sha256));
    }

    #[test]
    fn what_changes_while_it_is_read_is_named_and_not_remembered() {
        let folder = folder();
        let identity = look(&folder, &[]);
        identity.refuse_change().unwrap();
        fs::write(folder.join("tokenizer.json"), "longer").unwrap();
        for error in [identity.complete(None, &Silent).unwrap_err(), identity.refuse_change().unwrap_err()] {
            let text = error.to_string();
            assert!(text.contains("tokenizer.json changed while it was read"), "{text}");
        }
        assert!(read(&identity.memory).is_empty());
    }

    #[test]
    fn a_file_alone_is_known_by_its_own_name() {
        let folder = folder();
        let store = Store::new(folder.join("models"));
        let identity = Identity::of(&store, &folder.join("config.json"), &[], &BTreeMap::new()).unwrap();
        let files = identity.complete(None, &Silent).unwrap();
        assert_eq!((files.len(), files[0].name.as_str()), (1, "config.json"));
        assert_eq!(files[0].sha256, fingerprint::of_bytes(b"abc"));
    }

    #[test]
    fn a_reading_that_is_not_needed_any_more_ends() {
        let folder = folder();
        let identity = look(&folder, &[]);
        let pace = Pace::default();
        pace.lead(|| Err::<(), ()>(())).unwrap_err();
        let error = identity.complete(Some(&pace), &Silent).unwrap_err();
        assert!(matches!(&error, Error::Io { path, .. } if path.ends_with("config.json")), "{error}");
    }
}
