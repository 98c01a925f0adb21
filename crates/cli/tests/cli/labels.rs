//! What runs are called: `latest`, `latest~1`, and the names that people give. `compare`, `show` and `rerun` mean the same.

use crate::dir::{Dir, Ran, on_tiny};
use serde_json::Value;

/// Measures a case whose decode takes that long, under that label.
fn measure(dir: &Dir, decode_us: u32, more: &[&str]) -> Ran {
    let decode = format!("decode_us={decode_us}");
    let often = ["--launches", "6", "--repetitions", "1", "--option", &decode];
    dir.run(&on_tiny("run", "mock", &[&["--prompt-tokens", "8", "--gen-tokens", "8"][..], &often, more].concat()))
}

/// A folder with two runs: the first is `before`, the second decodes more slowly and has no label.
fn two_runs(name: &str) -> Dir {
    let dir = Dir::new(name);
    for (decode_us, label) in [(1000, &["--label", "before"][..]), (1100, &[][..])] {
        let ran = measure(&dir, decode_us, label);
        assert_eq!(ran.code, 0, "{}", ran.err);
    }
    dir
}

/// The label, and the decode time that was asked for, of what `show` shows.
fn shown(dir: &Dir, run: &str) -> Vec<(Option<String>, String)> {
    let all: Vec<Value> = serde_json::from_str(&dir.ok(&["show", run, "--json"]).out).unwrap();
    let of = |one: &Value| {
        let label = one["header"]["label"].as_str().map(str::to_owned);
        (label, one["case"]["settings"]["options"]["decode_us"].as_str().unwrap().to_owned())
    };
    all.iter().map(of).collect()
}

#[test]
fn the_latest_run_is_compared_with_the_one_before_it_and_with_a_label() {
    let dir = two_runs("labels-compare");
    // Not collated: the raw logs themselves are compared.
    assert!(!dir.path("benchmark_output/all.csv").exists());
    for a in ["before", "latest~1", "latest~"] {
        let told = dir.ok(&["compare", a, "latest", "--metric", "decode", "--anyway"]).out;
        assert!(told.contains("0.909x") && told.contains("slower"), "{a}: {told}");
    }
    let back = dir.ok(&["compare", "latest", "before", "--metric", "decode", "--anyway"]).out;
    assert!(back.contains("1.100x") && back.contains("faster"), "{back}");
    dir.run(&["compare", "before", "latest", "--fail-above", "3%", "--anyway"]).fails(4, &["decode is slower"]);
}

#[test]
fn show_and_rerun_mean_the_same_runs() {
    let dir = two_runs("labels-show");
    let (before, latest) = ((Some("before".to_owned()), "1000".to_owned()), (None::<String>, "1100".to_owned()));
    assert_eq!(shown(&dir, "before"), std::slice::from_ref(&before));
    assert_eq!(shown(&dir, "latest~1"), [before]);
    assert_eq!(shown(&dir, "latest"), [latest]);
    assert!(dir.ok(&["show", "before"]).out.contains(", label before"));
    let line = |words: &[&str]| dir.ok(&[&["rerun"][..], words, &["--dry-run"]].concat()).out;
    // The label belongs to the run that was measured.
    assert!(line(&["before"]).contains("decode_us=1000") && !line(&["before"]).contains("--label"));
    assert!(line(&["latest"]).contains("decode_us=1100"));
    assert!(line(&["before", "--label", "after"]).trim_end().ends_with("--label after"));
    dir.ok(&["rerun", "before", "--label", "after"]);
    assert_eq!(shown(&dir, "after"), shown(&dir, "latest"));
    assert_eq!(shown(&dir, "latest"), [(Some("after".to_owned()), "1000".to_owned())]);
}

#[test]
fn an_unknown_label_is_answered_with_the_nearest_and_the_newest_runs() {
    let dir = two_runs("labels-unknown");
    for words in [&["show", "befor"][..], &["rerun", "befor"], &["compare", "befor", "latest"]] {
        dir.run(words).fails(1, &["did you mean before?", "The newest runs:", "latest~1", ", before"]);
    }
    dir.run(&["show", "latest~2"]).fails(1, &["2 run(s)", "latest~1"]);
}

#[test]
fn a_label_names_one_run_and_looks_like_nothing_else() {
    let dir = two_runs("labels-taken");
    measure(&dir, 1000, &["--label", "before"]).fails(1, &["--label before is taken", "choose another name"]);
    for (label, words) in [("latest", "newest run"), ("a/b", "letters, digits"), ("1a2b3c4d", "run-1a2b3c4d")] {
        measure(&dir, 1000, &["--label", label]).fails(2, &["--label", words]);
    }
    assert_eq!(dir.logs().len(), 2);
}
