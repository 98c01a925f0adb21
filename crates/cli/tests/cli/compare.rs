//! `tokometer compare` on what the mock engine, whose times are exact, was measured to do. What else the machine does
//! meanwhile cannot disturb it: hence `--anyway`.

use crate::dir::{Dir, Ran, on_tiny};

/// A working folder in which decode takes that long.
fn measured(name: &str, decode_us: u32, prompt_tokens: &str) -> Dir {
    let dir = Dir::new(name);
    let decode = format!("decode_us={decode_us}");
    let workload = ["--prompt-tokens", prompt_tokens, "--gen-tokens", "8"];
    let six = ["--launches", "6", "--repetitions", "1", "--option", &decode];
    dir.ok(&on_tiny("run", "mock", &[&workload[..], &six].concat()));
    dir.ok(&["collate"]);
    dir
}

/// Where it is.
fn place(dir: &Dir) -> String {
    dir.path("").display().to_string()
}

#[test]
fn a_regression_that_is_established_fails_and_nothing_else_does() {
    let (old, new) = (measured("compare-old", 1000, "8"), measured("compare-new", 1100, "8"));
    let (a, b) = (place(&old), place(&new));
    let told = old.ok(&["compare", &a, &b, "--metric", "decode", "--anyway"]).out;
    assert!(told.contains("0.909x") && told.contains("slower"), "{told}");
    let same = old.ok(&["compare", &a, &a, "--fail-above", "3%", "--anyway"]).out;
    assert!(same.contains("same within 2%") && same.contains("no case is established"), "{same}");
    old.run(&["compare", &a, &b, "--fail-above", "3%", "--anyway"]).fails(4, &["decode is slower by more than 3%"]);
    old.ok(&["compare", &a, &b, "--fail-above", "15%", "--anyway"]);
    old.ok(&["compare", &b, &a, "--fail-above", "3%", "--anyway"]);
}

/// A working folder in which `default` is measured, and then `int8` with these options, unless it is left out.
fn with_int8(name: &str, int8: Option<&[&str]>) -> Dir {
    let dir = Dir::new(name);
    let few = ["--prompt-tokens", "8", "--gen-tokens", "4", "--launches", "2", "--repetitions", "1", "--quantize"];
    dir.ok(&on_tiny("run", "mock", &[&few[..], &["default"]].concat()));
    if let Some(more) = int8 {
        dir.run(&on_tiny("run", "mock", &[&few[..], &["int8"], more].concat()));
    }
    dir.ok(&["collate"]);
    dir
}

#[test]
fn a_case_that_does_not_work_any_more_is_no_success() {
    let works = with_int8("compare-works", Some(&[]));
    let fails = with_int8("compare-fails", Some(&["--option", "fault=crash_in_load"]));
    let without = with_int8("compare-without", None);
    let gate = |b: &Dir, more: &[&str]| {
        let (a, b) = (place(&works), place(b));
        works.run(&[&["compare", a.as_str(), b.as_str(), "--anyway"][..], more].concat())
    };
    gate(&fails, &["--fail-above", "3%"]).fails(4, &["int8", "measured in the first set, failed in the second: "]);
    let told = gate(&fails, &["--fail-above", "3%", "--json"]);
    assert_eq!(told.code, 4, "{}", told.err);
    let told: serde_json::Value = serde_json::from_str(&told.out).unwrap();
    assert_eq!(told["failed"].as_array().map(Vec::len), Some(1), "{told}");
    gate(&without, &["--fail-above", "3%"]).fails(0, &["int8", "measured in the first set and not in the second"]);
    // Who asks for no exit code gets the ratios of what is there.
    assert_eq!(gate(&fails, &[]).code, 0);
}

#[test]
fn what_is_not_the_same_is_named_and_refused() {
    let (old, new) = (measured("compare-short", 1000, "8"), measured("compare-long", 1000, "64"));
    let (a, b) = (place(&old), place(&new));
    old.run(&["compare", &a, &b]).fails(1, &["workload", "--anyway"]);
    assert!(old.ok(&["compare", &a, &b, "--anyway"]).out.contains("same within 2%"));
    old.run(&["compare", &a, "nothing-here"]).fails(1, &["nothing-here"]);
    old.run(&["compare", &a, &a, "--metric", "sped"]).fails(1, &["decode, prefill, ttft, tpot"]);
}

/// Words with single spaces, however the terminal broke the lines.
fn flowing(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[test]
fn it_says_first_what_can_be_believed_and_then_the_figures_with_their_units() {
    let (old, new) = (measured("compare-told-old", 1000, "8"), measured("compare-told-new", 1100, "8"));
    let (a, b) = (place(&old), place(&new));
    let metrics = ["compare", &a, &b, "--metric", "decode,e2e", "--anyway"];
    let told = Ran::of(old.command(&metrics).env("COLUMNS", "200").output().unwrap());
    assert_eq!(told.code, 0, "{}", told.err);
    let (out, grades) = (flowing(&told.out), ["valid", "degraded", "invalid"]);
    for set in [&a, &b] {
        let at = grades.iter().filter_map(|grade| out.find(&format!("{set}: {grade}"))).min();
        assert!(at.is_some_and(|at| at < out.find("95% interval").unwrap()), "{out}");
    }
    // 8 prompt tokens at 0.1 ms and 7 steps.
    for text in ["1000.00 tok/s", "909.09 tok/s", "7.80 ms", "8.50 ms", "e2e"] {
        assert!(out.contains(text), "{text}: {out}");
    }
    let told = old.ok(&["compare", &a, &b, "--anyway", "--json"]).out;
    let told: serde_json::Value = serde_json::from_str(&told).unwrap();
    let runs = |set: &str| told["validity"][set].as_array().map(Vec::len);
    assert_eq!((runs("a"), runs("b")), (Some(1), Some(1)), "{told}");
}

#[test]
fn where_one_launch_tells_nothing_it_says_what_would() {
    let dir = Dir::new("compare-one-launch");
    for decode in ["decode_us=1000", "decode_us=1100"] {
        assert_eq!(dir.mock(&["--launches", "1", "--repetitions", "3", "--option", decode]).code, 0);
    }
    let told = flowing(&dir.ok(&["compare", "latest~1", "latest", "--anyway"]).out);
    assert!(
        told.contains("cannot tell (one launch)") && told.contains("measure with `--launches 2` or more"),
        "{told}"
    );
}
