//! `merge`: what was measured in several folders comes into one, once, and machines stay apart.

use crate::dir::Dir;
use serde_json::Value;
use std::collections::BTreeSet;

/// A folder with one measured case.
fn measured(name: &str, quantize: &str) -> Dir {
    let dir = Dir::new(name);
    let ran = dir.mock(&["--quantize", quantize, "--launches", "1", "--repetitions", "2"]);
    assert_eq!(ran.code, 0, "{}", ran.err);
    dir
}

fn word(dir: &Dir) -> String {
    dir.path("").display().to_string().trim_end_matches('/').to_owned()
}

#[test]
fn two_folders_become_one_table() {
    let (here, a) = (measured("merge-here", "nf4"), measured("merge-a", "int8"));
    let dry = here.ok(&["merge", &word(&a), "--dry-run"]);
    assert!(dry.out.contains("1 raw log(s)") && dry.out.contains("would come along"), "{}", dry.out);
    assert_eq!(here.logs().len(), 1);
    here.ok(&["merge", &word(&a)]);
    assert_eq!(here.logs().len(), 2);
    here.ok(&["collate"]);
    let quantize: BTreeSet<String> = here.rows().into_iter().map(|row| row["quantize"].clone()).collect();
    assert_eq!(quantize.into_iter().collect::<Vec<_>>(), ["int8", "nf4"]);
    let rows = here.rows().len();
    let again = here.ok(&["merge", &word(&a), "--json"]);
    let told: Value = serde_json::from_str(&again.out).unwrap();
    let folder = &told["folders"][0];
    assert_eq!((&folder["same"], folder["copied"].as_array().unwrap().len()), (&1.into(), 0));
    here.ok(&["collate"]);
    assert_eq!(here.rows().len(), rows);
}

/// Makes the folder's log as another machine of the same hostname would have written it: another processor in the plan, and
/// the closing hash to it.
fn of_another_machine(dir: &Dir) {
    let log = dir.path("benchmark_output").join(&dir.logs()[0]);
    let text = std::fs::read_to_string(&log).unwrap();
    let (body, end) = text.trim_end().rsplit_once('\n').unwrap();
    let mut lines: Vec<String> = body.lines().map(str::to_owned).collect();
    let plan = lines.iter_mut().find(|line| line.contains("\"event\":\"plan\"")).unwrap();
    let mut event: Value = serde_json::from_str(plan).unwrap();
    event["machine"]["cpu"] = "Another Processor".into();
    event["machine"]["arch"] = "other".into();
    *plan = event.to_string();
    let body = lines.join("\n") + "\n";
    let mut end: Value = serde_json::from_str(end).unwrap();
    end["sha256"] = tokometer_core::fingerprint::of_bytes(body.as_bytes()).into();
    std::fs::write(&log, format!("{body}{end}\n")).unwrap();
}

#[test]
fn two_machines_with_one_hostname_are_never_averaged() {
    let (here, other) = (measured("merge-host", "nf4"), measured("merge-other", "nf4"));
    of_another_machine(&other);
    other.ok(&["show", &other.logs()[0]]);
    let name = word(&other);
    here.run(&["merge", &name]).fails(3, &["another machine is called", "Another Processor", "--host DIR=NAME"]);
    assert_eq!(here.logs().len(), 1);
    here.ok(&["merge", &name, "--host", &format!("{name}=phone")]);
    here.ok(&["collate"]);
    let hosts: BTreeSet<String> = here.rows().into_iter().map(|row| row["hostname"].clone()).collect();
    assert!(hosts.len() == 2 && hosts.contains("phone"), "{hosts:?}");
    // The raw log is as it was written.
    for log in here.logs() {
        here.ok(&["show", &log]);
    }
}

#[test]
fn what_cannot_be_merged_is_refused_and_edited_logs_are_left_out() {
    let (here, a) = (measured("merge-wrong", "nf4"), measured("merge-edited", "int8"));
    here.run(&["merge", "nowhere"]).fails(1, &["nowhere", "not a folder", "nothing was changed"]);
    here.run(&["merge", &word(&here)]).fails(1, &["the working folder itself"]);
    here.run(&["merge", &word(&a), "--host", "x"]).fails(1, &["--host takes DIR=NAME"]);
    here.run(&["merge"]).fails(2, &["DIR"]);
    let log = format!("benchmark_output/{}", a.logs()[0]);
    let text = std::fs::read_to_string(a.path(&log)).unwrap();
    a.write(&log, text.replace("800000,", "700000,"));
    here.run(&["merge", &word(&a)]).fails(3, &["is left out", "not as it was written", "--anyway"]);
    assert_eq!(here.logs().len(), 1);
    here.ok(&["merge", &word(&a), "--anyway"]);
    assert_eq!(here.logs().len(), 2);
}
