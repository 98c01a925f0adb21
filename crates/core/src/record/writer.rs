//! Writes our own raw log while a case is measured: every event reaches the operating system as soon as it is known, so that
//! whatever happens to this process loses nothing. The file is called `{name}.partial` and locked until it is complete;
//! then it is synced and renamed. Nothing here deletes or overwrites a log.
//!
//! When to sync, and what to measure, is `run`'s business; [`super::FORMATS`] reads the log back.

use super::event::Event;
use super::file_name::FileName;
use super::tokometer::{KEY, VERSION};
use super::{Error, Result};
use crate::disk;
use crate::fingerprint::hex;
use sha2::{Digest, Sha256};
use std::ffi::OsString;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, ErrorKind, Read, Write};
use std::path::{Path, PathBuf};

/// What an unfinished log's name ends in.
pub const PARTIAL: &str = ".partial";

/// What a raw log, ours or another tool's, is called when it is finished, by the name of its file; `None` for a hidden file, or
/// one that is no raw log.
pub(crate) fn finished_name(file: &str) -> Option<&str> {
    let name = file.strip_suffix(PARTIAL).unwrap_or(file);
    (!file.starts_with('.') && (name.ends_with(".txt") || name.ends_with(".jsonl"))).then_some(name)
}

/// A log that is being written.
pub struct LogWriter {
    file: File,
    folder: PathBuf,
    partial: PathBuf,
    finished: PathBuf,
    /// Of every byte so far.
    hash: Sha256,
    bytes: u64,
    events: u64,
    line: Vec<u8>,
}

impl LogWriter {
    /// Begins the log `name` in `folder` (made if need be) with a header: `tokometer-log: 1`, the given pairs, a blank line.
    /// Keys are words of letters, digits, `_` and `-`; a line end in a value is written as `\n`.
    ///
    /// # Errors
    /// [`Error::HeaderKey`], [`Error::Exists`] when a log of that name is there, [`Error::Write`] otherwise.
    pub fn create(folder: &Path, name: &FileName, header: &[(String, String)]) -> Result<LogWriter> {
        let finished = folder.join(name.to_string());
        let text = header_text(&finished, header)?;
        fs::create_dir_all(folder).map_err(|cause| write_error(folder, cause))?;
        let mut partial = OsString::from(&finished);
        partial.push(PARTIAL);
        let partial = PathBuf::from(partial);
        if finished.try_exists().map_err(|cause| write_error(&finished, cause))? {
            return Err(Error::Exists { path: finished });
        }
        let file = match OpenOptions::new().append(true).create_new(true).open(&partial) {
            Ok(file) => file,
            Err(cause) if cause.kind() == ErrorKind::AlreadyExists => return Err(Error::Exists { path: partial }),
            Err(cause) => return Err(write_error(&partial, cause)),
        };
        keep_out(&file);
        let mut log = LogWriter {
            file,
            folder: folder.to_path_buf(),
            partial,
            finished,
            hash: Sha256::new(),
            bytes: 0,
            events: 0,
            line: text.into_bytes(),
        };
        if let Err(error) = log.write_line() {
            // Nothing was measured yet: an empty log would only be in the way.
            let _ = fs::remove_file(&log.partial);
            return Err(error);
        }
        sync_folder(folder).map_err(|cause| write_error(folder, cause))?;
        Ok(log)
    }

    /// Goes on with a log that was cut off, after its first `keep` bytes, which must end with a whole line; what stands
    /// behind them is cut away.
    ///
    /// # Errors
    /// [`Error::Exists`] when it is finished or somebody is writing it, [`Error::Write`] otherwise.
    pub fn reopen(partial: &Path, keep: u64) -> Result<LogWriter> {
        let failed = |cause| write_error(partial, cause);
        let finished = partial.with_extension("");
        if is_being_written(partial) || finished.try_exists().map_err(failed)? {
            return Err(Error::Exists { path: partial.to_path_buf() });
        }
        let mut file = OpenOptions::new().read(true).append(true).open(partial).map_err(failed)?;
        keep_out(&file);
        let mut bytes = Vec::new();
        (&mut file).take(keep).read_to_end(&mut bytes).map_err(failed)?;
        if bytes.len() as u64 != keep || bytes.last() != Some(&b'\n') {
            return Err(failed(io::Error::new(ErrorKind::InvalidData, "it is shorter than it was")));
        }
        file.set_len(keep).map_err(failed)?;
        let body = bytes.windows(2).position(|two| two == b"\n\n").map_or(bytes.len(), |at| at + 2);
        let events = bytes[body..].split(|b| *b == b'\n').filter(|line| !line.is_empty()).count() as u64;
        let folder = partial.parent().unwrap_or(Path::new(".")).to_path_buf();
        let hash = Sha256::new_with_prefix(&bytes);
        Ok(LogWriter {
            file,
            folder,
            partial: partial.to_path_buf(),
            finished,
            hash,
            bytes: keep,
            events,
            line: Vec::new(),
        })
    }

    /// Writes an event. It is with the operating system when this returns; a crash of this process cannot lose it.
    ///
    /// # Errors
    /// [`Error::Write`]; the log then ends with the event before, and writing may be tried again.
    pub fn append(&mut self, event: &Event) -> Result<()> {
        self.line.clear();
        serde_json::to_writer(&mut self.line, event).map_err(|e| write_error(&self.partial, e.into()))?;
        self.line.push(b'\n');
        self.write_line()?;
        self.events += 1;
        Ok(())
    }

    /// Brings everything so far to the disk, where a power cut cannot reach it. Takes milliseconds: not while measuring.
    ///
    /// # Errors
    /// [`Error::Write`].
    pub fn sync(&mut self) -> Result<()> {
        self.file.sync_data().map_err(|cause| write_error(&self.partial, cause))
    }

    /// Closes the log with `status` (`ok`, `failed`, `interrupted`) and gives it its name. Returns the path.
    ///
    /// # Errors
    /// [`Error::Write`]; everything written so far stays in the partial file.
    pub fn finish(mut self, status: &str) -> Result<PathBuf> {
        let sha256 = hex(&self.hash.clone().finalize());
        let events = self.events;
        self.append(&Event::End { status: status.to_owned(), events, sha256 })?;
        self.file.sync_all().map_err(|cause| write_error(&self.partial, cause))?;
        if self.finished.try_exists().map_err(|cause| write_error(&self.finished, cause))? {
            return Err(Error::Exists { path: self.finished });
        }
        fs::rename(&self.partial, &self.finished).map_err(|cause| write_error(&self.finished, cause))?;
        sync_folder(&self.folder).map_err(|cause| write_error(&self.folder, cause))?;
        Ok(self.finished)
    }

    /// Where the log is while it is being written.
    pub fn path(&self) -> &Path {
        &self.partial
    }

    /// Writes `line` as a whole or not at all, as far as the operating system lets us.
    fn write_line(&mut self) -> Result<()> {
        if let Err(cause) = self.file.write_all(&self.line) {
            // A full disk may have taken a part. A later event must not follow half a line; if this fails as well, the half
            // line is the last one, and readers ignore that.
            let _ = self.file.set_len(self.bytes);
            return Err(write_error(&self.partial, cause));
        }
        self.hash.update(&self.line);
        self.bytes += self.line.len() as u64;
        Ok(())
    }
}

/// Whether a log is being written right now, by this process or another. A file that cannot be asked is not.
pub fn is_being_written(partial: &Path) -> bool {
    let Ok(file) = File::open(partial) else { return false };
    matches!(file.try_lock_shared(), Err(TryLockError::WouldBlock))
}

fn header_text(path: &Path, header: &[(String, String)]) -> Result<String> {
    let mut text = format!("{KEY}: {VERSION}\n");
    let mut seen = vec![KEY];
    for (key, value) in header {
        let word = key.starts_with(|c: char| c.is_ascii_alphabetic())
            && key.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-');
        if !word || seen.contains(&key.as_str()) {
            return Err(Error::HeaderKey { path: path.to_path_buf(), key: key.clone() });
        }
        seen.push(key);
        let value = value.trim().replace('\\', "\\\\").replace('\n', "\\n").replace('\r', "\\r");
        text.push_str(key);
        text.push_str(": ");
        text.push_str(&value);
        text.push('\n');
    }
    text.push('\n');
    Ok(text)
}

/// Takes the lock that tells a living writer from a dead one. A file system without locks must not keep anybody from
/// measuring.
fn keep_out(file: &File) {
    let _ = disk::try_lock(file);
}

fn sync_folder(folder: &Path) -> io::Result<()> {
    match File::open(folder)?.sync_all() {
        // Some file systems cannot sync a folder; the rename is done either way.
        Err(error) if matches!(error.raw_os_error(), Some(libc::EINVAL | libc::ENOTSUP)) => Ok(()),
        other => other,
    }
}

pub(crate) fn write_error(path: &Path, cause: io::Error) -> Error {
    let hint = match cause.kind() {
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => {
            "free some space or choose another disk with --dir; what was written before stays"
        }
        ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem => {
            "make the folder writable or choose another one with --dir"
        }
        _ => "check the disk or choose another folder with --dir; what was written before stays",
    };
    Error::Write { path: path.to_path_buf(), cause, hint }
}

#[cfg(test)]
mod tests {
    use super::super::read_log;
    use super::super::series::Status;
    use super::super::testing::{Dir, events, header, name};
    use super::*;

    #[test]
    fn a_finished_log_has_its_name_and_an_unfinished_one_has_not() {
        let dir = Dir::new();
        let mut log = LogWriter::create(dir.path(), &name("host"), &header()).unwrap();
        for event in events() {
            log.append(&event).unwrap();
        }
        log.sync().unwrap();
        let partial = log.path().to_path_buf();
        assert!(is_being_written(&partial));
        let killed = read_log(&fs::read(&partial).unwrap(), &partial).unwrap();
        assert!(killed.series.iter().any(|s| s.context.status == Status::Interrupted && !s.steps.is_empty()));
        let path = log.finish("ok").unwrap();
        assert!(!partial.exists() && path.ends_with(name("host").to_string()));
        let whole = read_log(&fs::read(&path).unwrap(), &path).unwrap();
        assert_eq!(whole.series.len(), killed.series.len());
        assert!(whole.series.iter().all(|s| s.context.warnings.iter().all(|code| code != "edited_log")));
    }

    #[test]
    fn a_dropped_log_stays_and_is_free() {
        let dir = Dir::new();
        let log = LogWriter::create(dir.path(), &name("host"), &header()).unwrap();
        let partial = log.path().to_path_buf();
        drop(log);
        assert!(partial.exists() && !is_being_written(&partial));
        assert!(!is_being_written(&dir.path().join("absent")));
    }

    #[test]
    fn no_log_is_overwritten() {
        let dir = Dir::new();
        let first = LogWriter::create(dir.path(), &name("host"), &header()).unwrap();
        let twice = LogWriter::create(dir.path(), &name("host"), &header());
        assert!(matches!(twice, Err(Error::Exists { .. })));
        first.finish("ok").unwrap();
        let again = LogWriter::create(dir.path(), &name("host"), &header());
        assert!(matches!(again, Err(Error::Exists { .. })));
    }

    #[test]
    fn header_values_survive_line_ends_and_keys_are_checked() {
        let dir = Dir::new();
        let header = [("framework", "mock"), ("release", "a\nb\\n\\c: d")].map(|(k, v)| (k.to_owned(), v.to_owned()));
        let mut log = LogWriter::create(dir.path(), &name("host"), &header).unwrap();
        for event in events() {
            log.append(&event).unwrap();
        }
        let path = log.finish("ok").unwrap();
        let log = read_log(&fs::read(&path).unwrap(), &path).unwrap();
        assert_eq!(log.series[0].context.release.as_deref(), Some("a\nb\\n\\c: d"));
        for key in ["two words", "", "a:b", KEY, "line\nend"] {
            let header = [(key.to_owned(), "x".to_owned())];
            let refused = LogWriter::create(dir.path(), &name("other"), &header);
            assert!(matches!(refused, Err(Error::HeaderKey { .. })), "{key}");
        }
    }

    #[test]
    fn an_unusable_folder_is_named_with_the_way_out() {
        let dir = Dir::new();
        let file = dir.path().join("file");
        fs::write(&file, "").unwrap();
        let Err(error) = LogWriter::create(&file.join("logs"), &name("host"), &header()) else { panic!() };
        assert!(error.to_string().contains("file") && error.to_string().contains("--dir"), "{error}");
    }
}
