//! Foreign files never make a parser panic: property tests that edit the files in `tests/corpus/` at random.
//!
//! Each parser has a folder of seeds there. An input that once broke something is added to its folder and stays.
//! More cases: `PROPTEST_CASES=100000 cargo test --release --workspace --test fuzz`.

mod edits;

use edits::{apply, changed, corpus, edit, fresh};
use proptest::prelude::*;
use std::path::{Component, Path, PathBuf};
use tokometer_core::collate::read;
use tokometer_core::prepare::{convert, gguf, hub};
use tokometer_core::progress::Silent;
use tokometer_core::record;

/// What a number of a JSON file may turn into.
const ODD: &[&str] =
    &["0", "-1", "1", "4294967295", "18446744073709551615", "99999999999999999999999", "0.5", "null", "[]"];

/// The text of a JSON file with one of its numbers replaced.
fn with_another_number(text: &str, which: prop::sample::Index, number: &str) -> String {
    let digits = text.as_bytes();
    let begins = |at: usize| digits[at].is_ascii_digit() && (at == 0 || !digits[at - 1].is_ascii_digit());
    let starts: Vec<usize> = (0..digits.len()).filter(|at| begins(*at)).collect();
    let from = starts[which.index(starts.len())];
    let to = digits[from..].iter().position(|byte| !byte.is_ascii_digit()).map_or(digits.len(), |n| from + n);
    format!("{}{number}{}", &text[..from], &text[to..])
}

/// A safetensors file as its header and what follows.
fn parts(whole: &[u8]) -> (String, Vec<u8>) {
    let (length, rest) = whole.split_at(8);
    let length = u64::from_le_bytes(length.try_into().unwrap()) as usize;
    let (header, data) = rest.split_at(length);
    (String::from_utf8(header.to_vec()).unwrap(), data.to_vec())
}

/// A safetensors file that tells the true length of this header.
fn joined(header: &[u8], data: &[u8]) -> Vec<u8> {
    let length = (header.len() as u64).to_le_bytes();
    [&length[..], header, data].concat()
}

/// A seed of the checkpoint by its name.
fn seed(name: &str) -> Vec<u8> {
    let found = corpus("checkpoint").into_iter().find(|(path, _)| path.file_name().is_some_and(|file| file == name));
    found.unwrap_or_else(|| panic!("there is no seed {name}")).1
}

/// A folder with the tiny checkpoint, but without these files.
fn checkpoint_without(names: &[&str]) -> PathBuf {
    let folder = fresh("checkpoint");
    std::fs::create_dir(&folder).unwrap();
    for (path, bytes) in corpus("checkpoint") {
        let name = path.file_name().unwrap();
        if names.iter().all(|left_out| name != *left_out) {
            std::fs::write(folder.join(name), bytes).unwrap();
        }
    }
    folder
}

/// Converts a folder, to whatever end, and removes it. Whether it was converted.
fn convert_and_remove(folder: &Path) -> bool {
    let output = folder.join("out.gguf");
    let job = convert::Conversion { folder, output: &output, dtype: convert::Dtype::F16, name_hint: None, pace: None };
    let result = convert::convert(&job, &Silent);
    std::fs::remove_dir_all(folder).unwrap();
    result.is_ok()
}

/// The tiny checkpoint with another `tokenizer.model` in place of its `tokenizer.json`, converted; whether that worked.
fn convert_with_pieces(model: &[u8]) -> bool {
    let folder = checkpoint_without(&["tokenizer.json"]);
    std::fs::write(folder.join("tokenizer.model"), model).unwrap();
    convert_and_remove(&folder)
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

    /// Written by us or by the seed workflow's scripts, then opened in somebody's editor.
    #[test]
    fn tables((path, bytes) in changed("table")) {
        let folder = fresh("table");
        std::fs::create_dir(&folder).unwrap();
        // A table that does not tell the engine is named after it.
        let table = folder.join(path.file_name().unwrap());
        std::fs::write(&table, bytes).unwrap();
        let _ = read::read_with(&table, true);
        let _ = read::read_each(&table, &Silent, |_| ());
        std::fs::remove_dir_all(folder).unwrap();
    }

    /// What a hub names stays in the folder that it is put into.
    #[test]
    fn names_from_a_hub(name in "[a-zA-Z0-9./:~@ \\\\_-]{0,24}") {
        let _ = hub::is_checkpoint_file(&name);
        if hub::check_file_name(&name).is_ok() {
            let stays = Path::new(&name).components().all(|part| matches!(part, Component::Normal(_)));
            prop_assert!(stays, "{name:?} leaves the folder");
        }
        if let Ok(repo) = hub::Repo::parse(&name) {
            prop_assert!(!repo.folder_name().contains('/'), "{name:?} is more than one folder");
        }
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
        let (path, bytes) = &seeds[which.index(seeds.len())];
        let folder = checkpoint_without(&[]);
        std::fs::write(folder.join(path.file_name().unwrap()), apply(bytes.clone(), &edits)).unwrap();
        let _ = convert_and_remove(&folder);
    }

    /// The header of the weights is damaged, and its length is told right all the same.
    #[test]
    fn safetensors_headers(edits in prop::collection::vec(edit(), 1..4)) {
        let (header, data) = parts(&seed("model.safetensors"));
        let folder = checkpoint_without(&[]);
        let damaged = apply(header.into_bytes(), &edits);
        std::fs::write(folder.join("model.safetensors"), joined(&damaged, &data)).unwrap();
        let _ = convert::tensor_bytes(&folder, convert::Dtype::F16);
        let _ = convert_and_remove(&folder);
    }

    /// Shapes and places of tensors that lie.
    #[test]
    fn safetensors_numbers(which in any::<prop::sample::Index>(), number in prop::sample::select(ODD)) {
        let (header, data) = parts(&seed("model.safetensors"));
        let folder = checkpoint_without(&[]);
        let lying = with_another_number(&header, which, number);
        std::fs::write(folder.join("model.safetensors"), joined(lying.as_bytes(), &data)).unwrap();
        let _ = convert_and_remove(&folder);
    }

    /// A model's configuration with sizes that are none.
    #[test]
    fn configurations_of_models(which in any::<prop::sample::Index>(), number in prop::sample::select(ODD)) {
        let config = String::from_utf8(seed("config.json")).unwrap();
        let folder = checkpoint_without(&[]);
        std::fs::write(folder.join("config.json"), with_another_number(&config, which, number)).unwrap();
        let _ = convert::tensor_bytes(&folder, convert::Dtype::Auto);
        let _ = convert_and_remove(&folder);
    }

    #[test]
    fn sentencepiece_models((_, bytes) in changed("sentencepiece")) {
        let _ = convert_with_pieces(&bytes);
    }

    #[test]
    fn bytes_that_are_no_sentencepiece_model(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
        let _ = convert_with_pieces(&bytes);
    }
}

/// Otherwise their damaged copies would be turned away at the door.
#[test]
fn seeds_are_read_as_they_are() {
    for (path, bytes) in corpus("table") {
        assert!(!read::read(&path).unwrap().is_empty(), "{}, {} bytes", path.display(), bytes.len());
    }
    for (path, bytes) in corpus("sentencepiece") {
        assert!(convert_with_pieces(&bytes), "{}", path.display());
    }
    assert!(convert_and_remove(&checkpoint_without(&[])));
}
