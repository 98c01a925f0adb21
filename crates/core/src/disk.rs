//! The disk: space asked for before something large is written, and files that are written whole or not at all.

use std::ffi::CString;
use std::fs;
use std::io::{self, Write};
use std::mem::MaybeUninit;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::thread;
use std::time::Duration;

/// Why there is no space, or none that can be promised.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file system is too full.
    #[error(
        "not enough disk space at {path}: {} needed, {} free; free some space, or choose another disk with --dir (for the nodes of a cluster: --node-models, for the hub's cache: HF_HOME)",
        amount(*.needed),
        amount(*.available)
    )]
    Space {
        /// Where the bytes were to go.
        path: PathBuf,
        /// Bytes that are needed.
        needed: u64,
        /// Bytes that this user may still write there.
        available: u64,
    },
    /// The file system did not answer.
    #[error("cannot ask for the free disk space at {path}: {why}; check that the path exists and is readable")]
    Unknown {
        /// The path asked about.
        path: PathBuf,
        /// What the system said.
        why: io::Error,
    },
}

/// What this module returns.
pub type Result<T> = std::result::Result<T, Error>;

/// Checks that `bytes` more bytes fit on the file system of `path`, which need not exist yet.
///
/// # Errors
/// [`Error::Space`] when they do not fit, [`Error::Unknown`] when the file system cannot be asked.
pub fn require(path: &Path, bytes: u64) -> Result<()> {
    if bytes == 0 {
        return Ok(());
    }
    let available = free(path)?;
    if available < bytes {
        return Err(Error::Space { path: path.to_path_buf(), needed: bytes, available });
    }
    Ok(())
}

/// Bytes that this user may still write on the file system of `path`, or of its nearest ancestor that exists.
///
/// # Errors
/// [`Error::Unknown`] when the file system cannot be asked.
pub fn free(path: &Path) -> Result<u64> {
    let unknown = |why| Error::Unknown { path: path.to_path_buf(), why };
    let place = nearest_existing(path);
    let name = CString::new(place.as_os_str().as_bytes()).map_err(|e| unknown(e.into()))?;
    let mut answer = MaybeUninit::<libc::statvfs>::zeroed();
    // SAFETY: `name` is a string that ends in NUL, and `answer` has room for one statvfs.
    let status = unsafe { libc::statvfs(name.as_ptr(), answer.as_mut_ptr()) };
    if status != 0 {
        return Err(unknown(io::Error::last_os_error()));
    }
    // SAFETY: the struct is plain integers, zeroed above and filled by a call that succeeded.
    let answer = unsafe { answer.assume_init() };
    #[allow(clippy::unnecessary_cast, reason = "the fields are narrower on other systems")]
    let (blocks, size) = (answer.f_bavail as u64, answer.f_frsize as u64);
    Ok(blocks.saturating_mul(size))
}

/// `path`, or the first of its ancestors that exists; the current folder for a relative path of which nothing exists.
fn nearest_existing(path: &Path) -> &Path {
    path.ancestors().filter(|p| !p.as_os_str().is_empty()).find(|p| p.exists()).unwrap_or(Path::new("."))
}

/// A number of bytes for a person, in units of 1000.
pub fn amount(bytes: u64) -> String {
    if bytes < 1_000_000_000 {
        return format!("{:.1} MB", bytes as f64 / 1e6);
    }
    format!("{:.1} GB", bytes as f64 / 1e9)
}

/// Writes a file whole or not at all: beside the target, synced, renamed. Readers see the old file or the new one.
///
/// # Errors
/// What the system said; the target is then as it was.
pub fn write_whole(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    std::fs::create_dir_all(folder)?;
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let aside = folder.join(format!(".{name}.{}.tmp", std::process::id()));
    let written = std::fs::File::create(&aside)
        .and_then(|mut file| file.write_all(bytes).and_then(|()| file.sync_all()))
        .and_then(|()| std::fs::rename(&aside, path));
    if written.is_err() {
        // The error at hand counts more than one while cleaning up.
        let _ = std::fs::remove_file(&aside);
    }
    written
}

/// Takes a file's lock, and is patient for an instant (half a second) with whoever has it: somebody who only asks whether it
/// is taken, or a killed program's child that has not yet become the program that it was made for and still holds its
/// parent's files. On a busy machine that lasts some milliseconds.
///
/// # Errors
/// Somebody keeps it, or the file system has no locks.
pub fn try_lock(file: &fs::File) -> std::result::Result<(), fs::TryLockError> {
    for _ in 0..50 {
        match file.try_lock() {
            Err(fs::TryLockError::WouldBlock) => std::thread::sleep(Duration::from_millis(10)),
            other => return other,
        }
    }
    file.try_lock()
}

/// A file whose bytes are on their way to the disk while more are written: bringing it there at the end takes less time.
#[derive(Debug)]
pub struct Steady {
    file: fs::File,
    written: u64,
    begun: u64,
}

impl Steady {
    /// Bytes that are handed to the disk at a time.
    const PORTION: u64 = 32 << 20;

    /// An empty file.
    ///
    /// # Errors
    /// It cannot be made.
    pub fn create(path: &Path) -> io::Result<Steady> {
        Ok(Steady { file: fs::File::create(path)?, written: 0, begun: 0 })
    }

    /// Has the system begin to write what it holds.
    fn begin(&mut self) {
        begin_writing(&self.file, self.begun, self.written - self.begun);
        self.begun = self.written;
    }
}

/// Has the system begin to write a part of a file to the disk; no length is all of the rest. Only a matter of speed: that
/// it does not help is no error.
#[cfg(target_os = "linux")]
fn begin_writing(file: &fs::File, from: u64, length: u64) {
    use std::os::fd::AsRawFd;
    let (from, length) = (from as libc::off64_t, length as libc::off64_t);
    // SAFETY: a call on a file that is open; it touches no memory of ours.
    unsafe { libc::sync_file_range(file.as_raw_fd(), from, length, libc::SYNC_FILE_RANGE_WRITE) };
}

/// There is no such call here.
#[cfg(not(target_os = "linux"))]
fn begin_writing(_: &fs::File, _: u64, _: u64) {}

/// Between two looks at a file that somebody else writes.
const LOOK: Duration = Duration::from_millis(200);

/// Does `work`, in which somebody else writes the file at `path`, perhaps another program. Its bytes are on their way to the
/// disk while more are written, as with [`Steady`].
pub fn steadily<T>(path: &Path, work: impl FnOnce() -> T) -> T {
    let (working, over) = channel::<()>();
    thread::scope(|scope| {
        scope.spawn(move || {
            while over.recv_timeout(LOOK) == Err(RecvTimeoutError::Timeout) {
                // It comes into being when the work has begun.
                if let Ok(file) = fs::File::open(path) {
                    begin_writing(&file, 0, 0);
                }
            }
        });
        let result = work();
        drop(working);
        result
    })
}

impl Write for Steady {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let n = self.file.write(bytes)?;
        self.written += n as u64;
        if self.written - self.begun >= Steady::PORTION {
            self.begin();
        }
        Ok(n)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Dir;

    #[test]
    fn a_path_that_does_not_exist_yet_counts_as_its_ancestor() {
        let here = std::env::temp_dir();
        let deep = here.join("tokometer-nowhere").join("a").join("b");
        assert_eq!(nearest_existing(&deep), here.as_path());
        assert!(free(&deep).unwrap() > 0);
        assert_eq!(nearest_existing(Path::new("tokometer-nowhere/a")), Path::new("."));
    }

    #[test]
    fn more_than_any_disk_holds_is_refused_with_both_figures() {
        let path = std::env::temp_dir();
        require(&path, 0).unwrap();
        require(&path, 1).unwrap();
        let error = require(&path, u64::MAX).unwrap_err();
        assert!(matches!(error, Error::Space { needed: u64::MAX, .. }));
        let text = error.to_string();
        assert!(text.contains("18446744073.7 GB needed"), "{text}");
        assert!(text.contains(&path.display().to_string()) && text.contains("--dir"), "{text}");
    }

    /// A lock is often held for an instant by somebody who only asks.
    #[test]
    fn a_lock_that_is_soon_free_is_taken_and_one_that_is_kept_is_not() {
        let dir = Dir::new();
        let path = dir.join("lock");
        let other = fs::File::create(&path).unwrap();
        let ours = fs::File::open(&path).unwrap();
        other.lock().unwrap();
        assert!(matches!(try_lock(&ours), Err(fs::TryLockError::WouldBlock)));
        std::thread::scope(|scope| {
            scope.spawn(|| {
                std::thread::sleep(Duration::from_millis(50));
                drop(other);
            });
            try_lock(&ours).unwrap();
        });
    }

    #[test]
    fn what_is_written_steadily_is_what_was_written() {
        let dir = Dir::new();
        let path = dir.join("steady");
        let bytes: Vec<u8> = (0..Steady::PORTION + 5).map(|i| (i % 251) as u8).collect();
        let written = steadily(&path, || {
            let mut file = Steady::create(&path)?;
            bytes.chunks(10 << 20).try_for_each(|chunk| file.write_all(chunk))?;
            file.flush()?;
            io::Result::Ok(file.begun)
        });
        assert!(written.unwrap() >= Steady::PORTION);
        assert!(fs::read(&path).unwrap() == bytes);
    }

    /// Nobody waits for work that is over, however it ended.
    #[test]
    fn steady_work_may_fail_and_write_nothing() {
        let dir = Dir::new();
        let path = dir.join("nothing");
        assert_eq!(steadily(&path, || Err::<(), _>("refused")), Err("refused"));
        let panicked = std::panic::catch_unwind(|| steadily::<()>(&path, || panic!("on purpose")));
        assert!(panicked.is_err() && !path.exists());
    }

    #[test]
    fn amounts_read_well() {
        assert_eq!(amount(1_500_000), "1.5 MB");
        assert_eq!(amount(2_480_000_000), "2.5 GB");
    }
}
