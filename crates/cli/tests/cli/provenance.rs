//! `show` and `rerun`: a stranger can tell how a figure came about, and measure it again.

use crate::dir::{Dir, Ran, on_tiny};
use serde_json::Value;

/// A folder with one measured case, the name of its log and the log's uuid.
fn measured(name: &str) -> (Dir, String, String) {
    let dir = Dir::new(name);
    let ran = dir.mock(&["--quantize", "nf4", "--seed", "7", "--launches", "1", "--repetitions", "2"]);
    assert_eq!(ran.code, 0, "{}", ran.err);
    let log = dir.logs().remove(0);
    let uuid = uuid(&log);
    (dir, log, uuid)
}

fn uuid(log: &str) -> String {
    log.split_once("uuid").unwrap().1[..8].to_owned()
}

fn shown(dir: &Dir, run: &str) -> Value {
    serde_json::from_str(&dir.ok(&["show", run, "--json"]).out).unwrap()
}

#[test]
fn show_tells_what_a_stranger_needs() {
    let (dir, log, uuid) = measured("show");
    let ran = dir.ok(&["show", &uuid]);
    for text in [
        log.as_str(),
        "whole: its bytes have the sha256",
        "mock 1, worker",
        "nf4 as mock-4",
        "prompt tokens 8, gen tokens 4, depth 0, seed 7",
        "8 token ids, sha256",
        "1 launch(es), 2 repetitions",
        "--quantize nf4 --seed 7 --launches 1 --repetitions 2",
    ] {
        let flowing = ran.out.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(flowing.contains(text) || ran.out.replace(['\n', ' '], "").contains(text), "{text:?}:\n{}", ran.out);
    }
    // Only a single word, such as a path, and the command line may be longer: they are to be copied.
    for line in ran.out.lines().filter(|line| line.chars().count() > 80) {
        assert!(line.starts_with("tokometer ") || line.split_whitespace().count() <= 2, "{line}");
    }
}

#[test]
fn show_has_it_all_as_json_by_every_name() {
    let (dir, log, uuid) = measured("show-json");
    let all = shown(&dir, &uuid);
    let one = &all[0];
    assert_eq!((&one["case"]["engine"], &one["case"]["seed"]), (&"mock".into(), &7.into()));
    assert_eq!((&one["check"]["status"], one["check"]["problems"].as_array().unwrap().len()), (&"ok".into(), 0));
    assert_eq!((&one["manifest"]["native"], &one["prompt"]["count"]), (&"mock-4".into(), &8.into()));
    let (case, run) = (one["header"]["case"].as_str().unwrap(), one["header"]["run"].as_str().unwrap());
    let path = dir.path("benchmark_output").join(&log);
    for name in [case, run, &uuid[..6], &log, path.to_str().unwrap()] {
        assert_eq!(shown(&dir, name)[0]["header"]["uuid"], uuid.as_str(), "{name}");
    }
}

#[test]
fn an_edited_log_is_shown_with_what_is_wrong_and_not_run_again() {
    let (dir, log, uuid) = measured("show-edited");
    let path = format!("benchmark_output/{log}");
    let text = std::fs::read_to_string(dir.path(&path)).unwrap();
    let edited = text.replace("800000,", "700000,");
    assert_ne!(edited, text);
    dir.write(&path, edited);
    dir.run(&["show", &uuid]).fails(3, &[&log, "not as it was written", "sha256"]);
    dir.run(&["rerun", &uuid]).fails(3, &["its command line is not run", "--engine mock"]);
    assert_eq!(dir.logs().len(), 1);
}

#[test]
fn rerun_measures_the_same_case_again() {
    let (dir, _, uuid) = measured("rerun");
    let printed = dir.ok(&["rerun", &uuid, "--dry-run"]).out;
    assert!(printed.contains("run --engine mock") && printed.contains("--seed 7"), "{printed}");
    assert_eq!(dir.logs().len(), 1);
    dir.ok(&["rerun", &uuid]);
    let logs = dir.logs();
    assert_eq!(logs.len(), 2);
    let both: Vec<Value> = logs.iter().map(|log| shown(&dir, log)[0].clone()).collect();
    for key in ["command", "case", "prompt", "repetitions"] {
        assert_eq!(both[0][key], both[1][key], "{key}");
    }
    assert_eq!(both[0]["header"]["case"], both[1]["header"]["case"]);
    assert_ne!(both[0]["header"]["run"], both[1]["header"]["run"]);
}

/// The sweep itself would find the case finished.
#[test]
fn rerun_measures_the_case_of_a_sweep_by_itself() {
    let dir = Dir::new("rerun-sweep");
    let small = ["--quantize", "default,nf4", "--prompt-tokens", "8", "--gen-tokens", "4", "--seed", "7"];
    let often = ["--launches", "1", "--repetitions", "2", "--timeout", "600", "--measure-only"];
    dir.ok(&on_tiny("sweep", "mock", &[&small[..], &often].concat()));
    let logs = dir.logs();
    let uuid = uuid(&logs[0]);
    let line = dir.ok(&["rerun", &uuid, "--dry-run"]).out;
    for text in [" run --engine mock", "--seed 7", "--launches 1 --repetitions 2", "--timeout 600"] {
        assert!(line.contains(text), "{text:?}: {line}");
    }
    let told = dir.ok(&["show", &uuid]).out;
    assert!(told.contains(" sweep --engine mock") && told.contains("\ntokometer run --engine mock"), "{told}");
    dir.ok(&["rerun", &uuid]);
    let new: Vec<String> = dir.logs().into_iter().filter(|log| !logs.contains(log)).collect();
    assert_eq!(new.len(), 1);
    let (before, after) = (shown(&dir, &logs[0])[0].clone(), shown(&dir, &new[0])[0].clone());
    for key in ["case", "prompt", "repetitions", "schedule"] {
        assert_eq!(before[key], after[key], "{key}");
    }
    assert_eq!(before["header"]["case"], after["header"]["case"]);
}

#[test]
fn rerun_works_in_the_folder_of_now() {
    let (dir, log, _) = measured("rerun-here");
    let other = Dir::new("rerun-there");
    let path = dir.path("benchmark_output").join(log);
    other.ok(&["rerun", path.to_str().unwrap()]);
    assert_eq!((dir.logs().len(), other.logs().len()), (1, 1));
}

#[test]
fn what_is_not_there_is_refused_with_a_way_out() {
    let (dir, _, uuid) = measured("show-none");
    let wrong = format!("{}x", &uuid[..7]);
    for command in ["show", "rerun"] {
        let ran: Ran = dir.run(&[command, &wrong]);
        ran.fails(1, &["there is no raw log, uuid, case, run or label", &format!("did you mean {uuid}")]);
    }
    dir.write("benchmark_output/old.txt", "seed = 42\n");
    dir.run(&["show", "old.txt"]).fails(1, &["not a raw log of Tokometer's own"]);
}
