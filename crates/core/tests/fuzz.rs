//! Foreign files never make a parser panic: property tests that edit the files in `tests/corpus/` at random.
//!
//! Each parser has a folder of seeds there. An input that once broke something is added to its folder and stays.
//! More cases: `PROPTEST_CASES=100000 cargo test --release --workspace --test fuzz`.

use proptest::prelude::*;
use std::path::{Path, PathBuf};
use tokometer_core::prepare::{convert, gguf};
use tokometer_core::record;

/// A change to a file.
#[derive(Debug, Clone)]
enum Edit {
    Set(prop::sample::Index, u8),
    Insert(prop::sample::Index, Vec<u8>),
    Remove(prop::sample::Index, u8),
    Cut(prop::sample::Index),
    Number(prop::sample::Index, u64),
    Repeat(prop::sample::Index, prop::sample::Index),
}

fn edit() -> impl Strategy<Value = Edit> {
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

fn apply(mut bytes: Vec<u8>, edits: &[Edit]) -> Vec<u8> {
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

fn corpus(kind: &str) -> Vec<(PathBuf, Vec<u8>)> {
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

fn changed(kind: &'static str) -> impl Strategy<Value = (PathBuf, Vec<u8>)> {
    let seeds = corpus(kind);
    (prop::sample::select(seeds), prop::collection::vec(edit(), 0..6))
        .prop_map(|((path, bytes), edits)| (path, apply(bytes, &edits)))
}

fn fresh(name: &str) -> PathBuf {
    use std::sync::atomic::{AtomicU32, Ordering};
    static N: AtomicU32 = AtomicU32::new(0);
    std::env::temp_dir().join(format!(
        "tokometer-fuzz-{name}-{}-{}",
        std::process::id(),
        N.fetch_add(1, Ordering::Relaxed)
    ))
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn gguf_headers((_, bytes) in changed("gguf")) {
        if let Ok(file) = gguf::Gguf::parse(&bytes, "fuzzed") {
            let _ = (file.tensor_bytes(), file.n_params(), file.bits_per_weight(), file.by_type());
        }
    }

    #[test]
    fn raw_logs((path, bytes) in changed("log")) {
        let _ = record::read_log(&bytes, &path);
    }

    #[test]
    fn file_names(name in "[a-zA-Z0-9_.-]{0,60}") {
        let _ = record::FileName::parse(&name);
        let _ = record::FileName::parse(&format!("{name}_1B_nf4_seed42_uuid0123abcd.txt"));
    }

    #[test]
    fn configuration(text in "(\\[[a-z.]{0,12}\\]\n|[a-z-]{1,12} = [\"0-9a-z\\[\\]{}]{0,12}\n){0,6}") {
        let path = fresh("toml");
        std::fs::write(&path, text).unwrap();
        let _ = tokometer_core::plan::Config::read(&path);
        std::fs::remove_file(path).unwrap();
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: 64, ..ProptestConfig::default() })]

    /// One file of a tiny checkpoint is damaged; the conversion answers with a result or an error.
    #[test]
    fn checkpoints(which in any::<prop::sample::Index>(), edits in prop::collection::vec(edit(), 1..4)) {
        let seeds = corpus("checkpoint");
        let folder = fresh("checkpoint");
        std::fs::create_dir(&folder).unwrap();
        let damaged = which.index(seeds.len());
        for (i, (path, bytes)) in seeds.into_iter().enumerate() {
            let bytes = if i == damaged { apply(bytes, &edits) } else { bytes };
            std::fs::write(folder.join(path.file_name().unwrap()), bytes).unwrap();
        }
        let output = folder.join("out.gguf");
        let job = convert::Conversion { folder: &folder, output: &output, dtype: convert::Dtype::F16, name_hint: None };
        let _ = convert::convert(&job, &tokometer_core::progress::Silent);
        std::fs::remove_dir_all(folder).unwrap();
    }
}
