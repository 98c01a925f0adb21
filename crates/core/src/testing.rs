//! What unit tests of every stage need: a folder of their own. What the tests of one stage share lies in that stage.

use std::fs;
use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

/// An empty folder that nobody else uses. It goes with the value, and so when its test fails, too.
pub struct Dir(PathBuf);

impl Dir {
    /// Another one.
    pub fn new() -> Dir {
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("tokometer-test-{}-{number}", std::process::id()));
        // Of a process that was killed and had this number.
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(&path).unwrap();
        Dir(path)
    }

    /// Another one with these files in it: path inside, content.
    pub fn with(files: &[(&str, &str)]) -> Dir {
        let dir = Dir::new();
        for (inside, content) in files {
            dir.write(inside, content);
        }
        dir
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// Writes a file inside, and the folders that lead to it.
    pub fn write(&self, inside: &str, content: impl AsRef<[u8]>) {
        let path = self.0.join(inside);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }
}

impl Deref for Dir {
    type Target = Path;

    fn deref(&self) -> &Path {
        &self.0
    }
}

impl Drop for Dir {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[test]
fn a_folder_goes_when_its_test_fails() {
    let (sender, receiver) = std::sync::mpsc::channel();
    let test = std::thread::spawn(move || {
        let dir = Dir::with(&[("a/b", "c")]);
        sender.send(dir.to_path_buf()).unwrap();
        assert!(!dir.join("a/b").exists(), "fails on purpose");
    });
    assert!(test.join().is_err());
    assert!(!receiver.recv().unwrap().exists());
}

/// A folder that a test makes by itself stays when the test fails or its end is forgotten.
#[test]
fn no_test_makes_a_folder_without_this() {
    fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            match path.is_dir() {
                true => sources(&path, found),
                false => found.push(path),
            }
        }
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut found = Vec::new();
    sources(&root, &mut found);
    assert!(found.len() > 100);
    let asks = |path: &PathBuf| fs::read_to_string(path).is_ok_and(|text| text.contains("temp_dir()"));
    let mut asking: Vec<_> = found.iter().filter(|path| asks(path)).map(|p| p.strip_prefix(&root).unwrap()).collect();
    asking.sort();
    // How much space is free there is asked, too.
    assert_eq!(asking, [Path::new("disk.rs"), Path::new("testing.rs")]);
}
