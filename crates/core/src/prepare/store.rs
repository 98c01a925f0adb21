//! The models folder: results under names that hold the hash of all that went in, made aside and renamed when whole.

use super::{Error, Manifest, Result, io_error};
use crate::fingerprint;
use crate::progress::Progress;
use serde::Serialize;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// Name of the manifest in a model's folder.
const MANIFEST: &str = "manifest.json";

/// Digits of a recipe's hash in a folder's name.
const DIGITS: usize = 12;

/// A folder of prepared models.
#[derive(Debug, Clone)]
pub struct Store {
    folder: PathBuf,
}

impl Store {
    /// The store in that folder, which is made when something is put there.
    pub fn new(folder: PathBuf) -> Store {
        Store { folder }
    }

    /// The folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The folder of a recipe: a readable name and twelve digits of the recipe's hash.
    pub fn place(&self, name: &str, recipe: &impl Serialize) -> PathBuf {
        self.folder.join(format!("{}-{}", safe(name), &fingerprint::of_value(recipe)[..DIGITS]))
    }

    /// Whether something with that name is there, whatever its recipe.
    pub(super) fn holds(&self, name: &str) -> bool {
        let start = format!("{}-", safe(name));
        let is_one =
            |name: &str| name.strip_prefix(&start).is_some_and(|digits| digits.len() == DIGITS && is_hex(digits));
        let mut entries = fs::read_dir(&self.folder).into_iter().flatten().flatten();
        entries.any(|entry| entry.file_name().to_str().is_some_and(is_one))
    }

    /// What is finished at that place: its manifest, if every file that it names is there with its size.
    pub fn finished(&self, place: &Path) -> Option<Manifest> {
        let text = fs::read(place.join(MANIFEST)).ok()?;
        let manifest: Manifest = serde_json::from_slice(&text).ok()?;
        let whole =
            manifest.files.iter().all(|file| fs::metadata(place.join(&file.name)).is_ok_and(|m| m.len() == file.bytes));
        whole.then_some(manifest)
    }

    /// Makes a model at `place` unless it is finished: `make` fills the folder that it is given and returns the
    /// manifest; only then does the place come into being. Two processes do not make the same thing twice: one waits for
    /// the other, and `progress` hears for whom. Returns the manifest and whether it was there already.
    ///
    /// # Errors
    /// Those of `make`, and of the file system.
    pub fn make(
        &self,
        place: &Path,
        progress: &dyn Progress,
        make: impl FnOnce(&Path) -> Result<Manifest>,
    ) -> Result<(Manifest, bool)> {
        let mut made = None;
        let reused = self.make_raw(place, progress, &|| self.finished(place).is_some(), |partial| {
            let manifest = make(partial)?;
            write_manifest(partial, &manifest)?;
            made = Some(manifest);
            Ok(())
        })?;
        match made.or_else(|| self.finished(place)) {
            Some(manifest) => Ok((manifest, reused)),
            None => Err(Error::Refused(format!("{} vanished while it was being used", place.display()))),
        }
    }

    /// The same where the place is known only when the model is made: `make` returns it with the manifest. Meanwhile the
    /// work is known as `provisional`, a place that two processes at the same work have in common. `known` tells the place
    /// if somebody has found it out. What was made in vain, because it is there already, is discarded.
    ///
    /// # Errors
    /// Those of `make`, and of the file system.
    pub(super) fn make_unplaced(
        &self,
        provisional: &Path,
        progress: &dyn Progress,
        known: &dyn Fn() -> Option<PathBuf>,
        make: impl FnOnce(&Path) -> Result<(PathBuf, Manifest)>,
    ) -> Result<(PathBuf, Manifest, bool)> {
        let (name, _held) = self.lock(provisional, progress)?;
        // Whoever had the lock may have made it.
        if let Some(place) = known()
            && let Some(manifest) = self.finished(&place)
        {
            return Ok((place, manifest, true));
        }
        let (partial, (place, manifest)) = self.fill(&name, |partial| {
            let (place, manifest) = make(partial)?;
            write_manifest(partial, &manifest)?;
            Ok((place, manifest))
        })?;
        let put = self.lock(&place, progress).and_then(|(_, _held)| match self.finished(&place) {
            Some(there) => remove(&partial).map(|()| (there, true)),
            None => self.put(&partial, &place).map(|()| (manifest, false)),
        });
        if put.is_err() {
            let _ = fs::remove_dir_all(&partial);
        }
        put.map(|(manifest, reused)| (place, manifest, reused))
    }

    /// The same for a folder without manifest; `finished` tells whether it is there. Returns whether it was.
    pub(super) fn make_raw(
        &self,
        place: &Path,
        progress: &dyn Progress,
        finished: &dyn Fn() -> bool,
        make: impl FnOnce(&Path) -> Result<()>,
    ) -> Result<bool> {
        if finished() {
            return Ok(true);
        }
        let (name, _held) = self.lock(place, progress)?;
        if finished() {
            return Ok(true);
        }
        let (partial, ()) = self.fill(&name, make)?;
        self.put(&partial, place)?;
        Ok(false)
    }

    /// The name of a place, and the lock on it.
    fn lock(&self, place: &Path, progress: &dyn Progress) -> Result<(String, Held)> {
        fs::create_dir_all(&self.folder).map_err(io_error("make the models folder", &self.folder))?;
        let name = place.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let lock_path = self.lock_path(&name);
        let held = Held::take(&lock_path, &name, progress).map_err(io_error("lock", &lock_path))?;
        Ok((name, held))
    }

    /// A folder that is filled by `make`, under a name that nobody takes for a model; none when it fails. Who calls this
    /// has the lock on the name.
    fn fill<T>(&self, name: &str, make: impl FnOnce(&Path) -> Result<T>) -> Result<(PathBuf, T)> {
        self.sweep();
        let partial = self.folder.join(format!(".partial-{name}"));
        remove(&partial)?;
        fs::create_dir(&partial).map_err(io_error("make the folder", &partial))?;
        let made = make(&partial);
        if made.is_err() {
            let _ = fs::remove_dir_all(&partial);
        }
        Ok((partial, made?))
    }

    /// Moves what is whole to its place.
    fn put(&self, partial: &Path, place: &Path) -> Result<()> {
        // What stands there under the final name is damaged, or it would have been found to be finished.
        remove(place)?;
        fs::rename(partial, place).map_err(io_error("move into place", place))?;
        sync_folder(&self.folder);
        Ok(())
    }

    fn lock_path(&self, name: &str) -> PathBuf {
        self.folder.join(format!(".lock-{name}"))
    }

    /// Removes what dead processes left half-made.
    fn sweep(&self) {
        for entry in fs::read_dir(&self.folder).into_iter().flatten().flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            let Some(key) = name.strip_prefix(".partial-").or(name.strip_prefix(".lock-")) else { continue };
            if let Ok(Some(_held)) = Held::try_take(&self.lock_path(key)) {
                let _ = fs::remove_dir_all(self.folder.join(format!(".partial-{key}")));
            }
        }
    }
}

/// The lock on one name. Its file goes before the lock does: whoever gets a lock on a file that is gone begins again.
#[derive(Debug)]
struct Held {
    file: File,
    path: PathBuf,
}

impl Held {
    /// Takes the lock; while another process has it, `progress` hears once which one, and this waits.
    fn take(path: &Path, name: &str, progress: &dyn Progress) -> io::Result<Held> {
        let mut told = false;
        loop {
            let mut file = open(path)?;
            match file.try_lock() {
                Ok(()) => (),
                Err(TryLockError::WouldBlock) => {
                    let mut holder = String::new();
                    let _ = file.read_to_string(&mut holder);
                    let holder = if holder.is_empty() { "another process" } else { holder.trim() };
                    if !told {
                        progress.note(&format!("waiting for {holder}, which prepares {name}"));
                        told = true;
                    }
                    file.lock()?;
                }
                Err(TryLockError::Error(error)) => return Err(error),
            }
            if let Some(held) = Held::if_current(file, path) {
                return Ok(held);
            }
        }
    }

    /// Takes the lock if nobody has it.
    fn try_take(path: &Path) -> io::Result<Option<Held>> {
        let file = open(path)?;
        match file.try_lock() {
            Ok(()) => Ok(Held::if_current(file, path)),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }

    /// A locked file counts only while it is the one that others find at the path.
    fn if_current(mut file: File, path: &Path) -> Option<Held> {
        let id = |meta: fs::Metadata| (meta.dev(), meta.ino());
        let own = file.metadata().map(id).ok()?;
        if fs::metadata(path).map(id).ok() != Some(own) {
            return None;
        }
        // Only for the message of those who wait.
        let _ =
            file.set_len(0).and_then(|()| file.rewind()).and_then(|()| write!(file, "process {}", std::process::id()));
        Some(Held { file, path: path.to_owned() })
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
        let _ = self.file.unlock();
    }
}

fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)
}

/// A name as a folder can have it.
fn safe(name: &str) -> String {
    let safe: String =
        name.chars().map(|c| if c.is_ascii_alphanumeric() || "-._".contains(c) { c } else { '-' }).collect();
    safe.trim_matches('.').to_owned()
}

fn is_hex(digits: &str) -> bool {
    digits.bytes().all(|digit| digit.is_ascii_hexdigit())
}

fn remove(folder: &Path) -> Result<()> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(io_error("remove", folder)(error)),
        _ => Ok(()),
    }
}

fn write_manifest(folder: &Path, manifest: &Manifest) -> Result<()> {
    let path = folder.join(MANIFEST);
    let text = serde_json::to_vec_pretty(manifest).expect("a manifest serializes");
    fs::write(&path, text).and_then(|()| File::open(&path)?.sync_all()).map_err(io_error("write", &path))
}

fn sync_folder(folder: &Path) {
    // Not every file system can sync a folder; the rename is done either way.
    let _ = File::open(folder).and_then(|folder| folder.sync_all());
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::prepare::SourceInfo;
    use crate::progress::{Silent, Task, Unit};
    use crate::testing::Dir;
    use std::sync::Mutex;
    use std::sync::mpsc::{Sender, channel};

    /// Passes notes on.
    struct Heard(Mutex<Sender<String>>);

    impl Progress for Heard {
        fn task(&self, _: &str, _: Option<u64>, _: Unit) -> Box<dyn Task> {
            Box::new(Silent)
        }
        fn note(&self, text: &str) {
            self.0.lock().unwrap().send(text.to_owned()).unwrap();
        }
        fn warn(&self, _: &str) {}
    }

    /// A store, and the folder that it goes with.
    fn store() -> (Dir, Store) {
        let dir = Dir::new();
        let store = Store::new(dir.join("models"));
        (dir, store)
    }

    fn manifest() -> Manifest {
        Manifest {
            manifest: 1,
            name: "m".into(),
            size: "1B".into(),
            engine: "llamacpp".into(),
            native: "F16".into(),
            source: SourceInfo::default(),
            files: vec![super::super::SourceFile { name: "model.gguf".into(), bytes: 3, sha256: String::new() }],
            tools: Default::default(),
            n_params: None,
            weights_bytes: None,
            bits_per_weight: None,
            prompt_ids: (0, 1),
            bos: None,
        }
    }

    #[test]
    fn what_fails_leaves_nothing_that_looks_finished() {
        let (_dir, store) = store();
        let place = store.place("m", &1);
        let result = store.make(&place, &Silent, |folder| {
            fs::write(folder.join("model.gguf"), "abc").unwrap();
            Err(Error::Refused("interrupted".into()))
        });
        assert!(result.is_err());
        assert!(!place.exists());
        assert!(store.finished(&place).is_none());
    }

    #[test]
    fn what_is_made_is_reused_until_it_is_damaged() {
        let (_dir, store) = store();
        let place = store.place("m", &2);
        let make = |folder: &Path| {
            fs::write(folder.join("model.gguf"), "abc").unwrap();
            Ok(manifest())
        };
        assert!(!store.make(&place, &Silent, make).unwrap().1);
        assert!(store.make(&place, &Silent, |_| panic!("made twice")).unwrap().1);
        fs::write(place.join("model.gguf"), "ab").unwrap();
        assert!(!store.make(&place, &Silent, make).unwrap().1);
    }

    #[test]
    fn what_finds_its_place_last_is_made_once_and_nothing_is_left_of_what_was_made_in_vain() {
        let (_dir, store) = store();
        let (provisional, place) = (store.place("m", &"stamp"), store.place("m", &"hash"));
        let make = |folder: &Path| {
            fs::write(folder.join("model.gguf"), "abc").unwrap();
            Ok((place.clone(), manifest()))
        };
        assert!(!store.holds("m"));
        let made = store.make_unplaced(&provisional, &Silent, &|| None, make).unwrap();
        assert_eq!(made, (place.clone(), manifest(), false));
        assert!(store.holds("m") && !store.holds("other") && !provisional.exists());
        // Nobody knows the hash: made, and found to be there.
        let again = store.make_unplaced(&provisional, &Silent, &|| None, make).unwrap();
        assert_eq!(again, (place.clone(), manifest(), true));
        // Somebody knows it.
        let known = || Some(place.clone());
        let known = store.make_unplaced(&provisional, &Silent, &known, |_| panic!("made twice")).unwrap();
        assert!(known.2);
        let failed = store.make_unplaced(&provisional, &Silent, &|| None, |_| Err(Error::Refused("cut".into())));
        assert!(failed.is_err());
        let left: Vec<_> = fs::read_dir(store.folder()).unwrap().map(|entry| entry.unwrap().path()).collect();
        assert_eq!(left, [place]);
    }

    #[test]
    fn the_rest_of_a_dead_process_is_swept() {
        let (_dir, store) = store();
        let old = store.folder().join(".partial-old-0123");
        fs::create_dir_all(&old).unwrap();
        fs::write(old.join("big"), "x").unwrap();
        fs::write(store.lock_path("killed-4567"), "process 1").unwrap();
        store
            .make(&store.place("m", &3), &Silent, |folder| {
                fs::write(folder.join("model.gguf"), "abc").unwrap();
                Ok(manifest())
            })
            .unwrap();
        assert!(!old.exists() && !store.lock_path("killed-4567").exists());
    }

    #[test]
    fn who_waits_hears_for_whom_and_never_holds_a_lock_that_others_do_not_see() {
        let (_dir, store) = store();
        fs::create_dir_all(store.folder()).unwrap();
        let path = store.lock_path("m");
        let first = Held::take(&path, "m", &Silent).unwrap();
        assert!(Held::try_take(&path).unwrap().is_none());
        let (sender, notes) = channel();
        let other = path.clone();
        let waiting = std::thread::spawn(move || Held::take(&other, "m", &Heard(Mutex::new(sender))).unwrap());
        assert_eq!(notes.recv().unwrap(), format!("waiting for process {}, which prepares m", std::process::id()));
        // Its file goes with it; the one who waited for that file must not be content with it.
        drop(first);
        let second = waiting.join().unwrap();
        assert_eq!(second.file.metadata().unwrap().ino(), fs::metadata(&path).unwrap().ino());
        assert!(Held::try_take(&path).unwrap().is_none());
        drop(second);
        assert!(!path.exists());
    }

    #[test]
    fn two_at_once_make_it_once() {
        let (_dir, store) = store();
        let place = store.place("m", &4);
        let (sender, notes) = channel();
        std::thread::scope(|scope| {
            let (store, place) = (&store, &place);
            let made = store.make(place, &Silent, |folder| {
                let progress = Heard(Mutex::new(sender));
                scope.spawn(move || {
                    let (_, reused) = store.make(place, &progress, |_| panic!("made twice")).unwrap();
                    assert!(reused);
                });
                notes.recv().unwrap();
                fs::write(folder.join("model.gguf"), "abc").unwrap();
                Ok(manifest())
            });
            assert!(!made.unwrap().1);
        });
        assert!(store.finished(&place).is_some());
        assert_eq!(fs::read_dir(store.folder()).unwrap().count(), 1);
    }
}
