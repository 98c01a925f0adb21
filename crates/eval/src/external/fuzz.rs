//! What others wrote never makes a reader panic, and errors name the file: the seeds of `tests/corpus/`, damaged at random, and
//! bytes of any kind.

#[path = "../../../core/tests/edits/mod.rs"]
mod edits;

use super::{LM_EVAL, Order, VERIFIERS, import, last_words, lm_eval, verifiers};
use crate::{EvalResult, Result, TaskSet};
use edits::{changed, corpus, fresh};
use proptest::prelude::*;
use serde_json::Value;
use std::path::{Path, PathBuf};
use tokometer_core::record::quality;

/// The configuration that `vf-eval` goes on with.
const CONFIG: &str = "run/configs/resolved/eval.json";

/// Where an endpoint is now.
const URL: &str = "http://127.0.0.1:9/v1";

/// A folder that goes with the value.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Folder {
        let path = fresh("eval");
        std::fs::create_dir(&path).unwrap();
        Folder(path)
    }

    /// Writes a file inside.
    fn write(&self, inside: &str, content: &[u8]) -> PathBuf {
        let path = self.0.join(inside);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, content).unwrap();
        path
    }

    /// What was read; why it could not be must name the file, by its path or by folder and name.
    fn told<T>(&self, inside: &str, read: Result<T>) -> Option<T> {
        let why = match read {
            Ok(read) => return Some(read),
            Err(error) => error.to_string(),
        };
        let name = inside.rsplit('/').next().unwrap_or(inside);
        assert!(why.contains(&self.0.display().to_string()) && why.contains(name), "{why}");
        None
    }

    /// The words for `vf-eval`, which has begun here.
    fn go_on(&self) -> Result<usize> {
        let order = Order {
            name: "gsm8k",
            url: URL,
            model: "m",
            num_examples: None,
            max_tokens: None,
            folder: &self.0,
            offers_tokenizer: false,
        };
        (VERIFIERS.arguments)(&order).map(|words| words.len())
    }

    /// Where the configuration says that the endpoint is.
    fn address(&self) -> Option<String> {
        let config: Value = serde_json::from_slice(&std::fs::read(self.0.join(CONFIG)).unwrap()).unwrap();
        config["client"]["base_url"].as_str().map(str::to_owned)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// A seed of a kind after some changes, or bytes of any kind in its place.
fn content(kind: &'static str) -> impl Strategy<Value = (PathBuf, Vec<u8>)> {
    let any_bytes = (prop::sample::select(corpus(kind)), prop::collection::vec(any::<u8>(), 0..256));
    prop_oneof![3 => changed(kind), 1 => any_bytes.prop_map(|((path, _), bytes)| (path, bytes))]
}

/// The name of a seed's file.
fn name(seed: &Path) -> &str {
    seed.file_name().and_then(|name| name.to_str()).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn traces_of_vf_eval((_, bytes) in content("traces")) {
        let _ = verifiers::parse(&String::from_utf8_lossy(&bytes));
    }

    #[test]
    fn samples_of_lm_eval((_, bytes) in content("samples")) {
        let _ = lm_eval::parse(&String::from_utf8_lossy(&bytes));
    }

    #[test]
    fn what_older_verifiers_printed((_, bytes) in content("printed")) {
        let found = import::printed(&String::from_utf8_lossy(&bytes)).unwrap_or_default();
        let numbers = found.metrics.values().flat_map(|moments| [Some(moments.avg), moments.std]);
        // What is not finite cannot be written down.
        assert!(numbers.chain([found.elapsed_seconds]).flatten().all(f64::is_finite), "{found:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn files_of_vf_eval((_, bytes) in content("traces")) {
        let folder = Folder::new();
        folder.write("run/traces.jsonl", &bytes);
        let examples = folder.told("run/traces.jsonl", (VERIFIERS.read)(&folder.0));
        assert!(examples.is_none_or(|examples| Some(examples.len()) == (VERIFIERS.count)(&folder.0)));
        let _ = last_words(&folder.write("output.txt", &bytes));
    }

    #[test]
    fn configurations_that_vf_eval_saved((_, bytes) in content("config")) {
        let folder = Folder::new();
        folder.write("run/traces.jsonl", b"{}\n");
        folder.write(CONFIG, &bytes);
        if folder.told(CONFIG, folder.go_on()).is_some() {
            assert_eq!(folder.address().as_deref(), Some(URL));
        }
    }

    #[test]
    fn files_of_lm_eval((seed, bytes) in content("samples")) {
        let folder = Folder::new();
        let inside = format!("out/m/{}", name(&seed));
        folder.write(&inside, &bytes);
        folder.told(&inside, (LM_EVAL.read)(&folder.0));
    }

    #[test]
    fn files_of_what_older_verifiers_printed((seed, bytes) in content("printed")) {
        let folder = Folder::new();
        folder.told(name(&seed), import::import(&folder.write(name(&seed), &bytes)));
    }

    /// One of the two files is damaged.
    #[test]
    fn folders_that_older_verifiers_saved((damaged, bytes) in content("saved")) {
        let folder = Folder::new();
        for (seed, whole) in corpus("saved") {
            folder.write(name(&seed), if seed == damaged { &bytes } else { &whole });
        }
        folder.told(name(&damaged), import::import(&folder.0));
    }

    /// Those of the earlier workflow and ours, for the comparison and for the plots.
    #[test]
    fn results((seed, bytes) in content("result")) {
        let folder = Folder::new();
        let path = folder.write(name(&seed), &bytes);
        if let Some(result) = folder.told(name(&seed), EvalResult::read(&path)) {
            assert!(!result.file_name().contains('/'), "{}", result.file_name());
        }
        let (found, problems) = quality::read_folder(&folder.0);
        assert_eq!(found.len() + problems.len(), 1);
        assert!(problems.iter().all(|told| told.contains(&path.display().to_string())), "{problems:?}");
    }

    #[test]
    fn task_sets((seed, bytes) in content("tasks")) {
        let folder = Folder::new();
        folder.told(name(&seed), TaskSet::read(&folder.write(name(&seed), &bytes)));
    }
}

/// Otherwise their damaged copies would be turned away at the door.
#[test]
fn seeds_are_read_as_they_are() {
    let texts = |kind: &str| corpus(kind).into_iter().map(|(_, bytes)| String::from_utf8(bytes).unwrap());
    assert!(texts("traces").all(|text| verifiers::parse(&text).unwrap().len() == 3));
    let is_scored = |text: String| lm_eval::parse(&text).unwrap().iter().all(|scored| scored.score.is_some());
    assert!(texts("samples").all(is_scored));
    assert!(texts("printed").all(|text| import::printed(&text).is_some()));
    let seeds = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corpus");
    assert_eq!(import::import(&seeds.join("saved")).unwrap().examples.len(), 3);
    for (path, _) in corpus("result") {
        EvalResult::read(&path).unwrap();
    }
    let (found, problems) = quality::read_folder(&seeds.join("result"));
    assert_eq!((found.len(), problems), (corpus("result").len(), Vec::new()));
    assert!(corpus("tasks").iter().all(|(path, _)| TaskSet::read(path).unwrap().examples.len() == 4));
    let folder = Folder::new();
    for (_, config) in corpus("config") {
        folder.write("run/traces.jsonl", b"{}\n");
        folder.write(CONFIG, &config);
        assert_eq!((folder.go_on().unwrap(), folder.address().as_deref()), (5, Some(URL)));
    }
}

/// It would ask whom it asks by itself.
#[test]
fn a_configuration_without_an_address_is_not_gone_on_with() {
    let folder = Folder::new();
    folder.write("run/traces.jsonl", b"{}\n");
    for without in ["{\"client\": null}", "{\"client\": {}}", "[]", "{"] {
        folder.write(CONFIG, without.as_bytes());
        let why = folder.go_on().unwrap_err().to_string();
        assert!(why.contains("eval.json") && why.contains("to begin anew"), "{why}");
    }
}
