//! One repository's folder in the cache, laid out as `huggingface_hub` does, so that every tool finds what another has
//! downloaded (<https://huggingface.co/docs/hub/local-cache>):
//!
//! ```text
//! {cache}/.locks/models--org--name/{etag}.lock     held while that blob is written
//! {cache}/models--org--name/blobs/{etag}           the content
//! {cache}/models--org--name/blobs/{etag}.incomplete
//! {cache}/models--org--name/refs/{revision}        the commit, as text
//! {cache}/models--org--name/snapshots/{commit}/{file} -> ../../blobs/{etag}
//! ```
//!
//! Where the content comes from is left to `download`.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use super::error::{Error, Result};
use super::name::{self, Repo};
use super::sums::Promise;

/// The folders of one repository.
#[derive(Debug, Clone)]
pub(super) struct RepoCache {
    /// `{cache}/models--org--name`.
    pub(super) folder: PathBuf,
    locks: PathBuf,
}

impl RepoCache {
    pub(super) fn new(cache: &Path, repo: &Repo) -> Self {
        let name = repo.folder_name();
        Self { folder: cache.join(&name), locks: cache.join(".locks").join(name) }
    }

    pub(super) fn blob(&self, promise: &Promise) -> PathBuf {
        self.folder.join("blobs").join(promise.etag())
    }

    /// What has arrived of a blob so far.
    pub(super) fn partial(&self, promise: &Promise) -> PathBuf {
        self.folder.join("blobs").join(format!("{}.incomplete", promise.etag()))
    }

    pub(super) fn snapshot(&self, commit: &str) -> PathBuf {
        self.folder.join("snapshots").join(commit)
    }

    /// Where the cache has this file with this length, as a blob or, in a cache without links, in the snapshot itself.
    pub(super) fn find(&self, commit: &str, file: &str, promise: &Promise, size: u64) -> Option<Found> {
        let is_whole =
            |path: &Path, meta: fs::Metadata| (meta.is_file() && meta.len() == size).then(|| path.to_path_buf());
        let blob = self.blob(promise);
        if let Some(path) = fs::metadata(&blob).ok().and_then(|meta| is_whole(&blob, meta)) {
            return Some(Found::Blob(path));
        }
        let copy = self.snapshot(commit).join(file);
        let meta = fs::symlink_metadata(&copy).ok()?;
        is_whole(&copy, meta).map(Found::Copy)
    }

    /// Bytes of a blob that have arrived.
    pub(super) fn arrived(&self, promise: &Promise) -> u64 {
        fs::metadata(self.partial(promise)).map_or(0, |meta| meta.len())
    }

    /// Waits until nobody else writes this blob, then keeps them out until the lock is dropped.
    pub(super) fn lock(&self, promise: &Promise, tell: &dyn Fn(&str)) -> Result<Lock> {
        make_folder(&self.locks)?;
        let path = self.locks.join(format!("{}.lock", promise.etag()));
        let file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path)
            .map_err(Error::io("opening", &path))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                tell(&format!("waiting for another download of the same file to end ({})", path.display()));
                file.lock().map_err(Error::io("locking", &path))?;
            }
            // Some network file systems know no locks; the rename at the end still keeps the blob whole.
            Err(TryLockError::Error(e)) if e.kind() == ErrorKind::Unsupported => {}
            Err(TryLockError::Error(e)) => return Err(Error::io("locking", &path)(e)),
        }
        Ok(Lock { _file: file })
    }

    /// The partial file, opened for more.
    pub(super) fn open_partial(&self, promise: &Promise) -> Result<File> {
        let path = self.partial(promise);
        make_folder(&self.folder.join("blobs"))?;
        OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path)
            .map_err(Error::io("opening", &path))
    }

    /// Makes a partial file the blob: on the disk first, then under its name.
    pub(super) fn publish(&self, promise: &Promise, partial: &File) -> Result<PathBuf> {
        let (from, to) = (self.partial(promise), self.blob(promise));
        partial.sync_all().map_err(Error::io("writing", &from))?;
        fs::rename(&from, &to).map_err(Error::io("renaming into place", &to))?;
        sync_folder(&self.folder.join("blobs"));
        Ok(to)
    }

    /// Puts a blob under the file's name into the snapshot.
    pub(super) fn link(&self, commit: &str, file: &str, promise: &Promise) -> Result<()> {
        let link = self.snapshot(commit).join(file);
        let depth = file.matches('/').count() + 2;
        let target: PathBuf = std::iter::repeat_n("..", depth).chain(["blobs", promise.etag()]).collect();
        if fs::read_link(&link).is_ok_and(|old| old == target) {
            return Ok(());
        }
        let parent = link.parent().unwrap_or(&self.folder);
        make_folder(parent)?;
        let fresh = fresh_name(parent);
        let _ = fs::remove_file(&fresh);
        std::os::unix::fs::symlink(&target, &fresh).map_err(Error::io("linking", &fresh))?;
        fs::rename(&fresh, &link).map_err(Error::io("linking", &link))
    }

    /// The commit that a revision meant when it was last looked up, or the revision itself if it is a commit.
    pub(super) fn commit(&self, revision: &str) -> Result<Option<String>> {
        if name::is_commit(revision) {
            return Ok(Some(revision.to_ascii_lowercase()));
        }
        let path = self.folder.join("refs").join(revision);
        match fs::read_to_string(&path) {
            Ok(text) => Ok(Some(text.trim().to_owned()).filter(|commit| name::is_commit(commit))),
            Err(e) if matches!(e.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory | ErrorKind::IsADirectory) => {
                Ok(None)
            }
            Err(e) => Err(Error::io("reading", &path)(e)),
        }
    }

    /// Remembers what commit a revision means.
    pub(super) fn remember(&self, revision: &str, commit: &str) -> Result<()> {
        if name::is_commit(revision) || self.commit(revision)?.as_deref() == Some(commit) {
            return Ok(());
        }
        let path = self.folder.join("refs").join(revision);
        let parent = path.parent().unwrap_or(&self.folder);
        make_folder(parent)?;
        let fresh = fresh_name(parent);
        let write = || {
            let mut file = File::create(&fresh)?;
            file.write_all(commit.as_bytes())?;
            file.sync_all()?;
            fs::rename(&fresh, &path)
        };
        write().map_err(Error::io("writing", &path))
    }
}

/// Where a whole file lies.
#[derive(Debug)]
pub(super) enum Found {
    /// Among the blobs.
    Blob(PathBuf),
    /// In the snapshot, not as a link.
    Copy(PathBuf),
}

/// Keeps others from writing a blob. Dropping it lets them.
#[derive(Debug)]
pub(super) struct Lock {
    _file: File,
}

fn make_folder(path: &Path) -> Result<()> {
    fs::create_dir_all(path).map_err(Error::io("making the folder", path))
}

/// A name that nobody else in this folder uses, to be renamed into place.
fn fresh_name(folder: &Path) -> PathBuf {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    folder.join(format!(".tokometer-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed)))
}

/// Makes a rename last. Where folders cannot be synced there is nothing to do about it.
fn sync_folder(path: &Path) {
    if let Ok(folder) = File::open(path) {
        let _ = folder.sync_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Dir;

    const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";

    fn cache() -> (Dir, RepoCache) {
        let root = Dir::new();
        let cache = RepoCache::new(&root, &Repo::parse("o/n").unwrap());
        (root, cache)
    }

    #[test]
    fn a_published_blob_is_reached_through_its_link() {
        let (_root, cache) = cache();
        let promise = Promise::Opaque("e1".into());
        let mut partial = cache.open_partial(&promise).unwrap();
        partial.write_all(b"hello").unwrap();
        assert_eq!(cache.arrived(&promise), 5);
        assert!(cache.find(COMMIT, "a/b.json", &promise, 5).is_none());
        cache.publish(&promise, &partial).unwrap();
        for _ in 0..2 {
            cache.link(COMMIT, "a/b.json", &promise).unwrap();
        }
        let link = cache.snapshot(COMMIT).join("a/b.json");
        assert_eq!(fs::read_link(&link).unwrap(), Path::new("../../../blobs/e1"));
        assert_eq!(fs::read(&link).unwrap(), b"hello");
        assert!(matches!(cache.find(COMMIT, "a/b.json", &promise, 5), Some(Found::Blob(_))));
        assert!(cache.find(COMMIT, "a/b.json", &promise, 6).is_none(), "a cut blob must not count");
        assert_eq!(fs::read_dir(link.parent().unwrap()).unwrap().count(), 1, "nothing but the link is left");
    }

    #[test]
    fn a_revision_is_remembered_as_plain_text() {
        let (_root, cache) = cache();
        assert_eq!(cache.commit("main").unwrap(), None);
        cache.remember("refs/pr/1", COMMIT).unwrap();
        assert_eq!(cache.commit("refs/pr/1").unwrap().as_deref(), Some(COMMIT));
        assert_eq!(fs::read_to_string(cache.folder.join("refs/refs/pr/1")).unwrap(), COMMIT);
        fs::write(cache.folder.join("refs/main"), "../../../etc").unwrap();
        assert_eq!(cache.commit("main").unwrap(), None, "a ref that is no commit must not become a path");
        assert_eq!(cache.commit(COMMIT).unwrap().as_deref(), Some(COMMIT));
    }

    #[test]
    fn a_lock_keeps_others_out_until_it_is_dropped() {
        let (root, cache) = cache();
        let promise = Promise::Opaque("e1".into());
        let lock = cache.lock(&promise, &|_| panic!("nobody else holds it")).unwrap();
        let path = root.join(".locks/models--o--n/e1.lock");
        let other = File::open(path).unwrap();
        assert!(matches!(other.try_lock(), Err(TryLockError::WouldBlock)));
        drop(lock);
        other.try_lock().unwrap();
    }
}
