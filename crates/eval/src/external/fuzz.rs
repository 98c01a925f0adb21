//! What other programs wrote never makes a reader panic: the seeds of `tests/corpus/`, damaged at random.

#[path = "../../../core/tests/edits/mod.rs"]
mod edits;

use super::{import, lm_eval, verifiers};
use edits::{changed, corpus, fresh};
use proptest::prelude::*;
use std::path::Path;

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn traces_of_vf_eval((_, bytes) in changed("traces")) {
        let _ = verifiers::parse(&String::from_utf8_lossy(&bytes));
    }

    #[test]
    fn samples_of_lm_eval((_, bytes) in changed("samples")) {
        let _ = lm_eval::parse(&String::from_utf8_lossy(&bytes));
    }

    #[test]
    fn what_older_verifiers_printed((_, bytes) in changed("printed")) {
        let _ = import::printed(&String::from_utf8_lossy(&bytes));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: 64, ..ProptestConfig::default() })]

    /// One of the two files is damaged.
    #[test]
    fn folders_that_older_verifiers_saved((damaged, bytes) in changed("saved")) {
        let folder = fresh("saved");
        std::fs::create_dir(&folder).unwrap();
        for (seed, whole) in corpus("saved") {
            let content = if seed == damaged { &bytes } else { &whole };
            std::fs::write(folder.join(seed.file_name().unwrap()), content).unwrap();
        }
        let _ = import::import(&folder);
        std::fs::remove_dir_all(folder).unwrap();
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
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corpus/saved");
    assert_eq!(import::import(&folder).unwrap().examples.len(), 3);
}
