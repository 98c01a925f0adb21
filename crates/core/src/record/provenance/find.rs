//! Which logs a person means: a file, or the uuid of a log, the hash of a case or the name of a run in the working folder.

use super::super::header;
use super::super::tokometer::KEY;
use super::{Error, Result};
use crate::nearest;
use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

/// Bytes of a log that are read for its header.
const HEAD: u64 = 64 << 10;
/// Characters of a name that may stand for the whole of it.
const BEGINNING: usize = 4;
/// Header keys that name a log.
const NAMES: [&str; 3] = ["uuid", "case", "run"];

/// A log and what it is called.
struct Named {
    path: PathBuf,
    names: Vec<String>,
}

/// The logs that `name` means, in the order of their names: a path, here or in `folder`, or the uuid, case or run of logs in
/// `folder`, for which their first four characters or more are enough.
///
/// # Errors
/// [`Error::Unknown`], [`Error::Ambiguous`], [`Error::Read`] when the folder cannot be read.
pub fn find(folder: &Path, name: &str) -> Result<Vec<PathBuf>> {
    for path in [PathBuf::from(name), folder.join(name)] {
        if path.is_file() {
            return Ok(vec![path]);
        }
    }
    let logs = logs(folder)?;
    let called = |test: &dyn Fn(&str) -> bool| -> Vec<&Named> {
        logs.iter().filter(|log| log.names.iter().any(|own| test(own))).collect()
    };
    let mut found = called(&|own| own == name);
    if found.is_empty() && name.chars().count() >= BEGINNING {
        found = called(&|own| own.starts_with(name));
        let meant = found.iter().flat_map(|log| &log.names).filter(|own| own.starts_with(name));
        let meant: BTreeSet<&String> = meant.collect();
        if meant.len() > 1 {
            return Err(Error::Ambiguous { name: name.to_owned(), found: meant.into_iter().cloned().collect() });
        }
    }
    if found.is_empty() {
        return Err(Error::Unknown { name: name.to_owned(), folder: folder.to_path_buf(), hint: hint(name, &logs) });
    }
    Ok(found.into_iter().map(|log| log.path.clone()).collect())
}

fn hint(name: &str, logs: &[Named]) -> String {
    let known: BTreeSet<&str> = logs.iter().flat_map(|log| &log.names).map(String::as_str).collect();
    let near = nearest::nearest(name, known.iter().copied());
    match (known.is_empty(), near.is_empty()) {
        (true, _) => ": it holds no raw log of Tokometer's own; `tokometer run` makes them".to_owned(),
        (false, true) => "; the uuids stand at the end of the logs' file names".to_owned(),
        (false, false) => format!("; did you mean {}?", near.join(" or ")),
    }
}

/// Our own logs of a folder, sorted; none where there is no folder.
fn logs(folder: &Path) -> Result<Vec<Named>> {
    let failed = |cause| Error::Read { path: folder.to_path_buf(), cause };
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(cause) if cause.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(cause) => return Err(failed(cause)),
    };
    let mut paths = Vec::new();
    for entry in entries {
        let path = entry.map_err(failed)?.path();
        if path.extension().is_some_and(|end| end == "txt" || end == "partial") {
            paths.push(path);
        }
    }
    paths.sort();
    Ok(paths.into_iter().filter_map(named).collect())
}

/// The names in the header of one of our own logs.
fn named(path: PathBuf) -> Option<Named> {
    let mut lines = BufReader::new(File::open(&path).ok()?.take(HEAD)).lines().map_while(std::result::Result::ok);
    lines.next().filter(|line| line.starts_with(KEY))?;
    let mut names = Vec::new();
    for line in lines.take_while(|line| !line.is_empty()) {
        if let Some((_, value)) = header::pair(&line).filter(|(key, _)| NAMES.contains(key)) {
            names.push(value.to_owned());
        }
    }
    Some(Named { path, names })
}

#[cfg(test)]
mod tests {
    use super::super::super::testing::Dir;
    use super::*;

    fn log(dir: &Dir, file: &str, uuid: &str, run: &str) {
        let text = format!("tokometer-log: 1\nuuid: {uuid}\ncase: 0123456789ab\nrun: {run}\n\n{{\"uuid\": 1}}\n");
        fs::write(dir.path().join(file), text).unwrap();
    }

    fn files(dir: &Dir, name: &str) -> Vec<String> {
        let found = find(dir.path(), name).unwrap();
        found.iter().map(|path| path.file_name().unwrap().to_string_lossy().into_owned()).collect()
    }

    #[test]
    fn a_log_has_several_names() {
        let dir = Dir::new();
        log(&dir, "a.txt", "aaaa0001", "77770001");
        log(&dir, "b.txt", "aaaa0002", "77770001");
        log(&dir, "c.txt.partial", "cccc0003", "77770002");
        fs::write(dir.path().join("old.txt"), "seed = 42\n").unwrap();
        assert_eq!(files(&dir, "a.txt"), ["a.txt"]);
        assert_eq!(files(&dir, "aaaa0002"), ["b.txt"]);
        assert_eq!(files(&dir, "77770001"), ["a.txt", "b.txt"]);
        assert_eq!(files(&dir, "0123456789ab").len(), 3);
        assert_eq!(files(&dir, "cccc"), ["c.txt.partial"]);
        let whole = dir.path().join("b.txt");
        assert_eq!(find(Path::new("nowhere"), whole.to_str().unwrap()).unwrap(), [whole]);
    }

    #[test]
    fn what_is_not_there_or_not_clear_is_refused_with_a_way_out() {
        let dir = Dir::new();
        log(&dir, "a.txt", "aaaa0001", "77770001");
        log(&dir, "b.txt", "aaaa0002", "77770001");
        let error = |name: &str| find(dir.path(), name).unwrap_err().to_string();
        assert!(error("aaaa").contains("aaaa0001, aaaa0002"), "{}", error("aaaa"));
        assert!(error("aaab0001").contains("did you mean aaaa0001"), "{}", error("aaab0001"));
        // Three characters are a guess.
        assert!(error("777").contains("no raw log, uuid, case or run"), "{}", error("777"));
        let nothing = find(Path::new("no/folder"), "x").unwrap_err().to_string();
        assert!(nothing.contains("tokometer run"), "{nothing}");
    }
}
