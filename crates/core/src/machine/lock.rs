//! One measurement at a time on a machine.

use crate::disk;
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Seek, Write};
use std::path::{Path, PathBuf};

/// What the file of a lock begins with; a process number follows.
const HOLDER: &str = "process ";

/// Held while a measurement runs; released when dropped or when the process dies.
#[derive(Debug)]
pub struct Lock {
    _file: File,
}

/// The lock file cannot be used.
#[derive(Debug, thiserror::Error)]
#[error(
    "cannot use the lock file {path} that keeps measurements apart: {source}; remove it if another user left it there"
)]
pub struct LockError {
    path: PathBuf,
    source: std::io::Error,
}

impl Lock {
    /// The file that all users of this machine share. `TOKOMETER_LOCK` names another one, for those who need not be kept
    /// apart: tests, whose figures nobody reads.
    pub fn default_path() -> PathBuf {
        if let Some(named) = std::env::var_os("TOKOMETER_LOCK").filter(|value| !value.is_empty()) {
            return named.into();
        }
        // Not the temporary folder of the environment: jobs and services are often given one of their own.
        let shared = ["/run/lock", "/tmp"].map(PathBuf::from).into_iter().find(|folder| folder.is_dir());
        shared.unwrap_or_else(std::env::temp_dir).join("tokometer-measuring.lock")
    }

    /// Takes the lock. While somebody else holds it, `waiting` hears once who that is, and this waits.
    ///
    /// # Errors
    /// The file cannot be opened or locked.
    pub fn acquire(path: &Path, waiting: impl FnOnce(&str)) -> Result<Lock, LockError> {
        let wrap = |source| LockError { path: path.to_owned(), source };
        let mut file = open(path).map_err(wrap)?;
        match file.try_lock() {
            Ok(()) => (),
            Err(TryLockError::WouldBlock) => {
                let mut holder = String::new();
                let _ = file.read_to_string(&mut holder);
                waiting(holder.trim());
                file.lock().map_err(wrap)?;
            }
            Err(TryLockError::Error(error)) => return Err(wrap(error)),
        }
        Ok(Lock::on(file))
    }

    /// Takes the lock if nobody has it.
    ///
    /// # Errors
    /// The file cannot be opened or locked.
    pub fn try_acquire(path: &Path) -> Result<Option<Lock>, LockError> {
        let wrap = |source| LockError { path: path.to_owned(), source };
        let file = open(path).map_err(wrap)?;
        match disk::try_lock(&file) {
            Ok(()) => Ok(Some(Lock::on(file))),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(wrap(error)),
        }
    }

    /// On a file that is locked: it names this process.
    fn on(mut file: File) -> Lock {
        // Whoever else's file this is keeps what it holds.
        let mut old = String::new();
        let read = file.rewind().and_then(|()| file.read_to_string(&mut old));
        if read.is_ok() && (old.is_empty() || old.starts_with(HOLDER)) {
            let _ = file
                .set_len(0)
                .and_then(|()| file.rewind())
                .and_then(|()| writeln!(file, "{HOLDER}{}", std::process::id()));
        }
        Lock { _file: file }
    }
}

fn open(path: &Path) -> std::io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt;
        options.mode(0o666);
    }
    match options.open(path) {
        // Another user's file may be readable only; a lock needs no more.
        Err(error) if error.kind() == std::io::ErrorKind::PermissionDenied => File::open(path),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Dir;
    use std::sync::mpsc::channel;

    #[test]
    fn the_second_waits_for_the_first_and_hears_who_it_is() {
        let dir = Dir::new();
        let path = dir.join("lock");
        let first = Lock::acquire(&path, |_| panic!("nobody holds it")).unwrap();
        let (sender, receiver) = channel();
        let other = path.clone();
        let thread = std::thread::spawn(move || {
            let _second = Lock::acquire(&other, |holder| sender.send(holder.to_owned()).unwrap()).unwrap();
        });
        let holder = receiver.recv().unwrap();
        assert_eq!(holder, format!("process {}", std::process::id()));
        assert!(!thread.is_finished());
        drop(first);
        thread.join().unwrap();
    }

    #[test]
    fn who_need_not_wait_does_not() {
        let dir = Dir::new();
        let path = dir.join("lock");
        let first = Lock::try_acquire(&path).unwrap().unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), format!("process {}\n", std::process::id()));
        assert!(Lock::try_acquire(&path).unwrap().is_none());
        drop(first);
        assert!(Lock::try_acquire(&path).unwrap().is_some());
        assert!(Lock::try_acquire(Path::new("/nowhere/lock")).is_err());
    }
}
