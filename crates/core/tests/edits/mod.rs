//! What fuzz tests share: seeds from the folder `tests/corpus/` of the crate that is tested, and accidents that happen to them.

use proptest::prelude::*;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

/// A change to a file.
#[derive(Debug, Clone)]
pub enum Edit {
    Set(prop::sample::Index, u8),
    Insert(prop::sample::Index, Vec<u8>),
    Remove(prop::sample::Index, u8),
    Cut(prop::sample::Index),
    Number(prop::sample::Index, u64),
    Repeat(prop::sample::Index, prop::sample::Index),
}

/// Any change.
pub fn edit() -> impl Strategy<Value = Edit> {
    let at = any::<prop::sample::Index>;
    prop_oneof![
        (at(), any::<u8>()).prop_map(|(i, b)| Edit::Set(i, b)),
        (at(), prop::collection::vec(any::<u8>(), 1..9)).prop_map(|(i, b)| Edit::Insert(i, b)),
        (at(), any::<u8>()).prop_map(|(i, n)| Edit::Remove(i, n)),
        at().prop_map(Edit::Cut),
        // Lengths and counts that lie.
        (at(), prop_oneof![Just(u64::MAX), Just(u64::MAX / 8), Just(1 << 40), Just(0), any::<u64>()])
            .prop_map(|(i, n)| Edit::Number(i, n)),
        (at(), at()).prop_map(|(a, b)| Edit::Repeat(a, b)),
    ]
}

/// The bytes after these changes.
pub fn apply(mut bytes: Vec<u8>, edits: &[Edit]) -> Vec<u8> {
    for edit in edits {
        if bytes.is_empty() {
            break;
        }
        let n = bytes.len();
        match edit {
            Edit::Set(i, b) => bytes[i.index(n)] = *b,
            Edit::Insert(i, b) => drop(bytes.splice(i.index(n)..i.index(n), b.iter().copied())),
            Edit::Remove(i, count) => {
                let from = i.index(n);
                bytes.drain(from..n.min(from + usize::from(*count)));
            }
            Edit::Cut(i) => bytes.truncate(i.index(n)),
            Edit::Number(i, number) => {
                let from = i.index(n);
                bytes[from..].iter_mut().zip(number.to_le_bytes()).for_each(|(b, v)| *b = v);
            }
            Edit::Repeat(a, b) => {
                let (a, b) = (a.index(n).min(b.index(n)), a.index(n).max(b.index(n)));
                let part = bytes[a..b.min(a + 4096)].to_vec();
                bytes.extend(part);
            }
        }
    }
    bytes
}

/// The seeds of a kind: path and content.
pub fn corpus(kind: &str) -> Vec<(PathBuf, Vec<u8>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corpus").join(kind);
    let mut files: Vec<_> = std::fs::read_dir(&folder)
        .unwrap_or_else(|error| panic!("{}: {error}", folder.display()))
        .flatten()
        .map(|entry| entry.path())
        .collect();
    files.sort();
    assert!(!files.is_empty(), "{kind} has no seeds");
    files.into_iter().map(|path| (path.clone(), std::fs::read(path).unwrap())).collect()
}

/// A seed of a kind after up to five changes.
pub fn changed(kind: &'static str) -> impl Strategy<Value = (PathBuf, Vec<u8>)> {
    let seeds = corpus(kind);
    (prop::sample::select(seeds), prop::collection::vec(edit(), 0..6))
        .prop_map(|((path, bytes), edits)| (path, apply(bytes, &edits)))
}

/// A path that nobody else uses.
pub fn fresh(name: &str) -> PathBuf {
    static N: AtomicU32 = AtomicU32::new(0);
    std::env::temp_dir().join(format!(
        "tokometer-fuzz-{name}-{}-{}",
        std::process::id(),
        N.fetch_add(1, Ordering::Relaxed)
    ))
}
