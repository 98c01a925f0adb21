//! A job array as it was submitted, and the file that remembers all of them, so that a sweep that was stopped can follow
//! what still runs.

use super::{Error, Result};
use serde::{Deserialize, Serialize};
use std::fs::{self, OpenOptions};
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

/// The file in the folder of the sweep's Slurm files.
const FILE: &str = "arrays.jsonl";

/// A job array. The task that the caller knows by number `n` has the index `n - offset` in it: clusters limit the indices.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Array {
    /// Slurm's job id.
    pub job: u64,
    /// The task of index 0.
    pub offset: u32,
    /// Indices, rising.
    pub indices: Vec<u32>,
    /// The node that all of it was sent to, if it was one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node: Option<String>,
    /// Which try this is of its tasks, from 1.
    pub attempt: u32,
}

impl Array {
    /// The tasks by the caller's numbers, each with its index.
    pub fn tasks(&self) -> impl Iterator<Item = (u32, u32)> {
        self.indices.iter().map(move |index| (self.offset + index, *index))
    }
}

/// Indices as sbatch takes them: `0-3,7`. They must rise.
pub fn ranges(indices: &[u32]) -> String {
    let mut runs: Vec<(u32, u32)> = Vec::new();
    for index in indices {
        match runs.last_mut() {
            Some((_, last)) if last.checked_add(1) == Some(*index) => *last = *index,
            _ => runs.push((*index, *index)),
        }
    }
    let words = runs.iter().map(|(first, last)| match first == last {
        true => first.to_string(),
        false => format!("{first}-{last}"),
    });
    words.collect::<Vec<_>>().join(",")
}

/// Adds an array to the file in `folder`, and brings it to the disk: a job of which nobody knows is measured in vain.
///
/// # Errors
/// [`Error::File`].
pub fn remember(folder: &Path, array: &Array) -> Result<()> {
    let path = folder.join(FILE);
    let failed = |cause| Error::File { what: "write", path: path.clone(), cause };
    let mut line = serde_json::to_vec(array).map_err(|error| failed(error.into()))?;
    line.push(b'\n');
    let mut file = OpenOptions::new().create(true).append(true).open(&path).map_err(failed)?;
    file.write_all(&line).and_then(|()| file.sync_all()).map_err(failed)
}

/// All arrays that were submitted from `folder`, oldest first. Half a line, written when the disk was full or the machine
/// went down, is left out.
///
/// # Errors
/// [`Error::File`].
pub fn remembered(folder: &Path) -> Result<Vec<Array>> {
    let path: PathBuf = folder.join(FILE);
    match fs::read_to_string(&path) {
        Ok(text) => Ok(text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()),
        Err(cause) if cause.kind() == ErrorKind::NotFound => Ok(Vec::new()),
        Err(cause) => Err(Error::File { what: "read", path, cause }),
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::Dir;
    use super::*;

    #[test]
    fn indices_are_written_as_ranges() {
        assert_eq!(ranges(&[0, 1, 2, 5, 7, 8]), "0-2,5,7-8");
        assert_eq!((ranges(&[3]), ranges(&[])), ("3".to_owned(), String::new()));
        assert_eq!(ranges(&[u32::MAX]), u32::MAX.to_string());
    }

    #[test]
    fn what_was_submitted_is_remembered() {
        let dir = Dir::new();
        assert_eq!(remembered(dir.path()).unwrap(), []);
        let first = Array { job: 7, offset: 1000, indices: vec![0, 2], node: None, attempt: 1 };
        let second = Array { job: 8, node: Some("n1".into()), attempt: 2, ..first.clone() };
        remember(dir.path(), &first).unwrap();
        remember(dir.path(), &second).unwrap();
        fs::OpenOptions::new().append(true).open(dir.path().join(FILE)).unwrap().write_all(b"{\"job\":9,").unwrap();
        assert_eq!(remembered(dir.path()).unwrap(), [first.clone(), second]);
        assert_eq!(first.tasks().collect::<Vec<_>>(), [(1000, 0), (1002, 2)]);
    }

    #[test]
    fn a_folder_that_is_not_there_is_named() {
        let array = Array { job: 7, offset: 0, indices: vec![0], node: None, attempt: 1 };
        let error = remember(Path::new("no/such/folder"), &array).unwrap_err().to_string();
        assert!(error.contains("no/such/folder/arrays.jsonl") && error.contains("all nodes see"), "{error}");
    }
}
