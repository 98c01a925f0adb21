//! Each example's result is written down as it comes, so that an evaluation that dies goes on where it was.
//!
//! A journal is a file of lines: the first says what is evaluated, every further one is an example. Its name holds the hash
//! of the first line, so that another model, task set or limit has another journal. A last line that was cut off is taken
//! away. The file is locked while it is written, and removed once the result is there.

use crate::result::{Scored, clean};
use crate::{Error, Result};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use tokometer_core::fingerprint;

/// What defines an evaluation: results are only joined where all of it is equal.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Key {
    /// The engine.
    pub engine: String,
    /// The model, as named.
    pub model: String,
    /// Hash of its files, where they are known.
    pub model_sha256: Option<String>,
    /// The quantization's label.
    pub quantization: String,
    /// The native quantization.
    pub native: Option<String>,
    /// The environment's name.
    pub environment: String,
    /// Hash of the task set, where it is ours.
    pub task_sha256: Option<String>,
    /// Most tokens of a reply.
    pub max_tokens: Option<u32>,
    /// Examples, where another program chooses them; `None` for our own sets, which can be gone on with.
    pub num_examples: Option<usize>,
}

impl Key {
    /// `{engine}_{quantize}_{env}_{8 hex}`: of the journal and of the folder of other programs' files.
    pub fn stem(&self) -> String {
        let hash = fingerprint::of_value(self);
        let (engine, quantization) = (clean(&self.engine), clean(&self.quantization));
        format!("{engine}_{quantization}_{}_{}", clean(&self.environment), &hash[..8])
    }
}

/// A line of the file.
#[derive(Debug, Serialize, Deserialize)]
struct Entry {
    /// Seconds since this evaluation or its resumption began.
    seconds: f64,
    /// The example.
    #[serde(flatten)]
    scored: Scored,
}

/// An open journal.
#[derive(Debug)]
pub struct Journal {
    path: PathBuf,
    file: File,
    done: Vec<Scored>,
    resumed: usize,
    /// Seconds that earlier attempts took.
    earlier: f64,
}

impl Journal {
    /// Opens the journal of an evaluation in a folder, and reads what an earlier attempt left there.
    ///
    /// # Errors
    /// The file cannot be read or written, another process holds it, or it is no journal of this evaluation.
    pub fn open(folder: &Path, key: &Key) -> Result<Journal> {
        std::fs::create_dir_all(folder).map_err(Error::file("make the folder", folder))?;
        let path = folder.join(format!("{}.partial.jsonl", key.stem()));
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path)
            .map_err(Error::file("open", &path))?;
        match file.try_lock() {
            Ok(()) => (),
            Err(TryLockError::WouldBlock) => return Err(Error::Busy(path)),
            Err(TryLockError::Error(error)) => return Err(Error::file("lock", &path)(error)),
        }
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).map_err(Error::file("read", &path))?;
        let whole = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        let (done, earlier) = read(&path, key, &bytes[..whole])?;
        let length = whole as u64;
        file.set_len(length).and_then(|()| file.seek(SeekFrom::Start(length))).map_err(Error::file("write", &path))?;
        let mut journal = Journal { resumed: done.len(), path, file, done, earlier };
        if whole == 0 {
            journal.line(key)?;
        }
        Ok(journal)
    }

    /// Examples that an earlier attempt had done.
    pub fn resumed(&self) -> usize {
        self.resumed
    }

    /// Seconds that earlier attempts took up to their last example.
    pub fn earlier_seconds(&self) -> f64 {
        self.earlier
    }

    /// Whether the example of that id is done.
    pub fn has(&self, id: &str) -> bool {
        self.done.iter().any(|scored| scored.id == id)
    }

    /// Writes an example down, `seconds` after this attempt began. One that is there already is left as it is.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn add(&mut self, scored: Scored, seconds: f64) -> Result<()> {
        if self.has(&scored.id) {
            return Ok(());
        }
        let entry = Entry { seconds, scored };
        self.line(&entry)?;
        self.done.push(entry.scored);
        Ok(())
    }

    /// The examples, in the order in which they were done.
    pub fn examples(&self) -> &[Scored] {
        &self.done
    }

    /// Removes the file: the result is written.
    ///
    /// # Errors
    /// It cannot be removed.
    pub fn finish(self) -> Result<()> {
        std::fs::remove_file(&self.path).map_err(Error::file("remove", &self.path))
    }

    fn line(&mut self, value: &impl Serialize) -> Result<()> {
        let mut line = serde_json::to_vec(value).map_err(|error| Error::Form {
            path: self.path.clone(),
            what: "a journal",
            why: error.to_string(),
        })?;
        line.push(b'\n');
        self.file.write_all(&line).map_err(Error::file("write", &self.path))
    }
}

impl Drop for Journal {
    fn drop(&mut self) {
        // A process that another thread is just starting has the file open for a moment, too, and would keep the lock.
        let _ = self.file.unlock();
    }
}

/// Examples and seconds of the earlier attempts. A later line of the same id is left out.
fn read(path: &Path, key: &Key, bytes: &[u8]) -> Result<(Vec<Scored>, f64)> {
    let wrong = |why: String| Error::Form { path: path.to_owned(), what: "a journal of this evaluation", why };
    let text = std::str::from_utf8(bytes).map_err(|error| wrong(error.to_string()))?;
    let mut lines = text.lines();
    let Some(first) = lines.next() else { return Ok((Vec::new(), 0.0)) };
    let damaged = |error: serde_json::Error| wrong(format!("line 1: {error}; remove it to begin anew"));
    let found: Key = serde_json::from_str(first).map_err(damaged)?;
    if found != *key {
        return Err(wrong("it begins with another evaluation; remove it to begin anew".into()));
    }
    let (mut done, mut ids) = (Vec::new(), BTreeSet::new());
    let (mut earlier, mut last) = (0.0, 0.0);
    for (i, line) in lines.enumerate() {
        let damaged = |error: serde_json::Error| wrong(format!("line {}: {error}; remove it to begin anew", i + 2));
        let entry: Entry = serde_json::from_str(line).map_err(damaged)?;
        // The clock of a resumed attempt begins anew.
        if entry.seconds < last {
            earlier += last;
        }
        last = entry.seconds;
        // What failed is asked again.
        if entry.scored.error.is_none() && ids.insert(entry.scored.id.clone()) {
            done.push(entry.scored);
        }
    }
    Ok((done, earlier + last))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    fn key() -> Key {
        Key {
            engine: "llamacpp".into(),
            model: "m".into(),
            model_sha256: None,
            quantization: "nf4".into(),
            native: Some("Q4_K_M".into()),
            environment: "copy".into(),
            task_sha256: Some("a".into()),
            max_tokens: None,
            num_examples: None,
        }
    }

    fn scored(id: &str) -> Scored {
        Scored {
            id: id.into(),
            score: Some(1.0),
            reply: Some("x\n".into()),
            metrics: BTreeMap::new(),
            milliseconds: None,
            error: None,
        }
    }

    #[test]
    fn what_was_done_is_there_and_nothing_twice() {
        let folder = std::env::temp_dir().join(format!("tokometer-eval-journal-{}", std::process::id()));
        let mut journal = Journal::open(&folder, &key()).unwrap();
        journal.add(scored("a"), 1.0).unwrap();
        journal.add(scored("b"), 2.5).unwrap();
        let path = journal.path.clone();
        // Held by this one.
        assert!(matches!(Journal::open(&folder, &key()), Err(Error::Busy(_))));
        drop(journal);
        // Died in the middle of a line.
        let mut text = std::fs::read_to_string(&path).unwrap();
        text.push_str("{\"seconds\":3.0,\"id\":\"c\",\"sc");
        std::fs::write(&path, text).unwrap();
        let mut journal = Journal::open(&folder, &key()).unwrap();
        assert_eq!((journal.resumed(), journal.has("b"), journal.has("c")), (2, true, false));
        journal.add(scored("b"), 0.5).unwrap();
        journal.add(scored("c"), 0.5).unwrap();
        drop(journal);
        let journal = Journal::open(&folder, &key()).unwrap();
        let ids: Vec<&str> = journal.examples().iter().map(|scored| scored.id.as_str()).collect();
        assert_eq!(ids, ["a", "b", "c"]);
        assert_eq!(journal.earlier_seconds(), 3.0);
        // Another limit is another evaluation.
        let other = Key { max_tokens: Some(3), ..key() };
        assert_ne!(other.stem(), key().stem());
        journal.finish().unwrap();
        assert!(!path.exists());
        // What is damaged is named, with what to do.
        std::fs::write(&path, format!("{}\n?\n", serde_json::to_string(&key()).unwrap())).unwrap();
        let told = Journal::open(&folder, &key()).unwrap_err().to_string();
        assert!(told.contains("line 2") && told.contains("remove it") && told.contains(".partial.jsonl"), "{told}");
        std::fs::remove_dir_all(&folder).unwrap();
    }
}
