//! The raw logs of a folder and what each is called, by their headers alone.

use super::super::file_name::FileName;
use super::super::head::pairs;
use super::super::tokometer::KEY;
use super::super::writer::{PARTIAL, finished_name, is_being_written};
use super::super::{file_name, uuid_of};
use super::{Error, Result, label};
use std::collections::BTreeSet;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

/// Header key of a log that was begun by the failure of an engine's start.
pub(crate) const BEGAN: &str = "began";

/// Header keys that name a log.
const NAMES: [&str; 3] = ["uuid", "case", "run"];

/// A log and what it is called.
#[derive(Debug, Clone, Default)]
pub(super) struct Named {
    /// The log.
    pub path: PathBuf,
    /// Its uuid, case and run, as far as it has them; of a log of another tool the uuid.
    pub names: Vec<String>,
    /// The label of its run.
    pub label: Option<String>,
    /// The name of its run.
    pub run: Option<String>,
    /// When it was begun, UTC.
    pub started_utc: Option<String>,
    /// Whether an engine had been started when it was begun: cases that are never started have logs as well.
    pub began: bool,
}

impl Named {
    /// Whether it is called so, in full.
    pub fn is(&self, name: &str) -> bool {
        self.names.iter().any(|own| own == name) || self.label.as_deref() == Some(name)
    }

    /// Whether somebody is writing it.
    pub fn is_open(&self) -> bool {
        file_name(&self.path).ends_with(PARTIAL) && is_being_written(&self.path)
    }
}

/// The logs of a folder, sorted by file name; none where there is no folder.
///
/// # Errors
/// [`Error::Read`].
pub(super) fn logs(folder: &Path) -> Result<Vec<Named>> {
    let failed = |cause| Error::Read { path: folder.to_path_buf(), cause };
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(cause) if cause.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        Err(cause) => return Err(failed(cause)),
    };
    let mut paths = Vec::new();
    for entry in entries {
        let path = entry.map_err(failed)?.path();
        if finished_name(&file_name(&path)).is_some() {
            paths.push(path);
        }
    }
    paths.sort();
    // Copied while it was measured and once more afterwards: the finished log holds it all.
    let names: BTreeSet<String> = paths.iter().map(|path| file_name(path)).collect();
    paths.retain(|path| !file_name(path).strip_suffix(PARTIAL).is_some_and(|base| names.contains(base)));
    Ok(paths.into_iter().filter_map(named).collect())
}

/// What a log is called; `None` for one that cannot be read, which is left to whoever reads it as a whole.
fn named(path: PathBuf) -> Option<Named> {
    let mut pairs = pairs(&path).ok()?;
    if !pairs.contains_key(KEY) {
        let own = pairs.remove("uuid").or_else(|| Some(FileName::parse(&file_name(&path))?.uuid));
        let names = vec![own.unwrap_or_else(|| uuid_of(&path))];
        return Some(Named { path, names, ..Named::default() });
    }
    let names = NAMES.iter().filter_map(|key| pairs.get(*key).cloned()).collect();
    Some(Named {
        names,
        label: pairs.remove(label::KEY),
        run: pairs.remove("run"),
        started_utc: pairs.remove("started_utc"),
        began: pairs.contains_key("engine_version") || pairs.contains_key(BEGAN),
        path,
    })
}
