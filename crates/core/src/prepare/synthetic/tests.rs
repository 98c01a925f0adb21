//! Whole folders, made and read again.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};

use super::*;
use crate::progress::{Silent, Task};
use crate::testing::Dir;

fn tiny() -> &'static Geometry {
    Geometry::find("tiny").unwrap()
}

/// Every file of a tiny checkpoint by name.
fn made(seed: u64, threads: usize) -> BTreeMap<String, Vec<u8>> {
    let dir = Dir::new();
    let folder = dir.join("model");
    let written = generate_with(tiny(), seed, &folder, &Silent, threads).unwrap();
    let files: BTreeMap<_, _> = fs::read_dir(&folder)
        .unwrap()
        .map(|entry| entry.unwrap())
        .map(|entry| (entry.file_name().into_string().unwrap(), fs::read(entry.path()).unwrap()))
        .collect();
    assert_eq!(written.bytes, files.values().map(|f| f.len() as u64).sum::<u64>());
    assert_eq!(written.n_params, tiny().n_params());
    files
}

#[test]
fn bytes_do_not_depend_on_threads_but_on_the_seed() {
    let one = made(42, 1);
    assert_eq!(one, made(42, 3));
    let other = made(43, 3);
    let differing: Vec<_> = one.keys().filter(|name| one[*name] != other[*name]).collect();
    assert_eq!(differing, ["README.md", "model.safetensors"]);
}

#[test]
fn the_folder_is_complete_and_its_json_is_valid() {
    let files = made(1, 2);
    let expected = [
        "README.md",
        "config.json",
        "generation_config.json",
        "model.safetensors",
        "model.safetensors.index.json",
        "special_tokens_map.json",
        "tokenizer.json",
        "tokenizer_config.json",
    ];
    assert_eq!(files.keys().collect::<Vec<_>>(), expected);
    for (name, bytes) in files.iter().filter(|(name, _)| name.ends_with(".json")) {
        serde_json::from_slice::<Value>(bytes).unwrap_or_else(|why| panic!("{name}: {why}"));
    }
}

#[test]
fn the_weights_are_a_safetensors_file_with_every_tensor() {
    let files = made(1, 2);
    let tensors = safetensors::SafeTensors::deserialize(&files["model.safetensors"]).unwrap();
    assert_eq!(tensors.len(), tiny().tensors().len());
    for expected in tiny().tensors() {
        let found = tensors.tensor(&expected.name).unwrap();
        assert_eq!(
            (found.shape(), found.dtype()),
            (&expected.shape[..], safetensors::Dtype::BF16),
            "{}",
            expected.name
        );
        assert_eq!(found.data().len() as u64, expected.count() * 2);
        assert!(found.data().iter().any(|&b| b != 0), "{} was not written", expected.name);
    }
}

#[test]
fn progress_counts_every_byte_of_the_weights() {
    #[derive(Default)]
    struct Seen(std::sync::Arc<AtomicU64>);
    impl Progress for Seen {
        fn task(&self, _: &str, total: Option<u64>, unit: Unit) -> Box<dyn Task> {
            assert_eq!((total, unit), (Some(tiny().n_params() * 2), Unit::Bytes));
            Box::new(Seen(self.0.clone()))
        }
        fn note(&self, _: &str) {}
        fn warn(&self, _: &str) {}
    }
    impl Task for Seen {
        fn advance(&self, n: u64) {
            self.0.fetch_add(n, Ordering::Relaxed);
        }
        fn finish(self: Box<Self>, _: &str) {
            assert_eq!(self.0.load(Ordering::Relaxed), tiny().n_params() * 2);
        }
    }
    let (dir, seen) = (Dir::new(), Seen::default());
    generate(tiny(), 5, &dir.join("model"), &seen).unwrap();
    assert_eq!(seen.0.load(Ordering::Relaxed), tiny().n_params() * 2);
}

#[test]
fn a_folder_that_cannot_be_made_is_named() {
    let dir = Dir::with(&[("way", "a file in the way")]);
    let error = generate(tiny(), 1, &dir.join("way/model"), &Silent).unwrap_err().to_string();
    assert!(error.contains("making the folder") && error.contains("model"), "{error}");
}
