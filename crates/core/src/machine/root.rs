//! The folder below which the system's own files are read: `/` on a real machine, a recorded tree in tests.

use std::fs;
use std::path::{Path, PathBuf};
use std::str::FromStr;

/// Where /proc and /sys are looked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Root(PathBuf);

impl Default for Root {
    fn default() -> Root {
        Root::new("/")
    }
}

impl Root {
    /// A tree below `path`.
    pub fn new(path: impl Into<PathBuf>) -> Root {
        Root(path.into())
    }

    /// Whether this is the machine itself: only then programs and libraries are asked beside files.
    pub fn is_real(&self) -> bool {
        self.0 == Path::new("/")
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// A path inside, given without its leading slash.
    pub fn join(&self, inside: &str) -> PathBuf {
        self.0.join(inside)
    }

    /// The content of a file, trimmed; `None` where there is none or it may not be read.
    pub fn text(&self, inside: &str) -> Option<String> {
        text(&self.join(inside))
    }

    /// The number that a file holds.
    pub fn number<T: FromStr>(&self, inside: &str) -> Option<T> {
        number(&self.join(inside))
    }

    /// The entries of a folder, sorted by name; none where there is no such folder.
    pub fn entries(&self, inside: &str) -> Vec<PathBuf> {
        entries(&self.join(inside))
    }
}

/// The content of a file, trimmed.
pub(super) fn text(path: &Path) -> Option<String> {
    Some(fs::read_to_string(path).ok()?.trim().to_owned())
}

/// The number that a file holds.
pub(super) fn number<T: FromStr>(path: &Path) -> Option<T> {
    text(path)?.parse().ok()
}

/// The entries of a folder, sorted by name.
pub(super) fn entries(folder: &Path) -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> = fs::read_dir(folder).into_iter().flatten().flatten().map(|e| e.path()).collect();
    found.sort();
    found
}

/// The last part of a path.
pub(super) fn name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

/// A recorded tree for tests; removed with the value.
#[cfg(test)]
pub(crate) struct Tree(crate::testing::Dir);

#[cfg(test)]
impl Tree {
    /// A tree with these files: path below the root, content.
    pub(crate) fn new(files: &[(&str, &str)]) -> Tree {
        Tree(crate::testing::Dir::with(files))
    }

    /// Adds or replaces files.
    pub(crate) fn write(&self, files: &[(&str, &str)]) {
        for (path, content) in files {
            self.0.write(path, content);
        }
    }

    /// Its root.
    pub(crate) fn root(&self) -> Root {
        Root::new(self.0.path())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_there_is_none() {
        let tree = Tree::new(&[("sys/a/value", "42\n"), ("sys/a/word", "x\n")]);
        let root = tree.root();
        assert_eq!((root.number::<u64>("sys/a/value"), root.number::<u64>("sys/a/word")), (Some(42), None));
        assert_eq!((root.text("sys/a/none"), root.entries("sys/none").len()), (None, 0));
        assert!(!root.is_real() && Root::default().is_real());
        let names: Vec<String> = root.entries("sys/a").iter().map(|path| name(path)).collect();
        assert_eq!(names, ["value", "word"]);
    }
}
