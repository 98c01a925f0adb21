//! Finished cases of a sweep whose engine or model has become another since: they are told once nobody else measures, and
//! measured anew where that is asked for.

use crate::dir::{Dir, Ran, names};
use serde_json::Value;
use std::io::{BufRead, BufReader, Read};
use std::process::{Child, ChildStderr, Command, Stdio};
use tokometer_core::machine::Lock;

/// What a sweep says that waits for the machine.
const WAITS: &str = "another measurement runs here";

/// Two cases at each of these depths, which are a block.
fn matrix(depths: &str) -> Vec<&str> {
    let fixed = "sweep --engine mock --model synthetic:tiny --quantize default,nf4 --prompt-tokens 8 --gen-tokens 4 \
                 --launches 2 --repetitions 2 --measure-only --depth";
    fixed.split_whitespace().chain([depths]).collect()
}

/// The program with a mock engine of that version.
fn of_version(dir: &Dir, version: &str, arguments: &[&str]) -> Command {
    let mut command = dir.command(arguments);
    command.env("TOKOMETER_MOCK_VERSION", version);
    command
}

/// It must succeed.
fn ok(mut command: Command) -> Ran {
    let ran = Ran::of(command.output().unwrap());
    assert_eq!(ran.code, 0, "{}\n{}", ran.out, ran.err);
    ran
}

/// Starts it; what it says until it waits for the machine or ends.
fn until_it_waits(dir: &Dir, arguments: &[&str]) -> (Child, BufReader<ChildStderr>, Vec<String>) {
    let mut child = dir.command(arguments).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let mut said = BufReader::new(child.stderr.take().unwrap());
    let mut lines = Vec::new();
    let mut goes_on = true;
    while goes_on {
        let mut line = String::new();
        goes_on = said.read_line(&mut line).unwrap() > 0 && !line.contains(WAITS);
        lines.push(line);
    }
    (child, said, lines)
}

#[test]
fn engines_are_asked_for_their_versions_once_nobody_measures() {
    let dir = Dir::new("outdated-lock");
    ok(of_version(&dir, "0.9", &matrix("0")));
    let held = Lock::acquire(&dir.lock(), |_| ()).unwrap();
    let (mut child, mut said, before) = until_it_waits(&dir, &matrix("0,16"));
    assert!(before.last().unwrap().contains(WAITS), "it did not wait: {before:?}");
    assert!(!before.iter().any(|line| line.contains("(now 1)")), "told while somebody measured: {before:?}");
    drop(held);
    let mut after = String::new();
    said.read_to_string(&mut after).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(0), "{after}");
    assert!(after.contains("mock 0.9 (now 1): mock "), "{after}");
    assert_eq!(dir.logs().len(), 4);
}

#[test]
fn a_sweep_that_measures_nothing_does_not_wait_for_who_does() {
    let dir = Dir::new("outdated-idle");
    ok(of_version(&dir, "0.9", &matrix("0")));
    let held = Lock::acquire(&dir.lock(), |_| ()).unwrap();
    let (mut child, _said, lines) = until_it_waits(&dir, &["sweep", "--resume", "--measure-only"]);
    let waits = lines.iter().any(|line| line.contains(WAITS));
    drop(held);
    assert_eq!(child.wait().unwrap().code(), Some(0), "{lines:?}");
    assert!(!waits && !lines.iter().any(|line| line.contains("(now 1)")), "{lines:?}");
    assert!(lines.iter().any(|line| line.contains("is not looked at")), "{lines:?}");
}

/// Names of the raw logs that were put aside.
fn aside(dir: &Dir) -> Vec<String> {
    names(&dir.path("benchmark_output/superseded"))
}

#[test]
fn outdated_cases_are_measured_anew_and_their_old_logs_are_kept() {
    let dir = Dir::new("outdated-retry");
    // Two cases by the old version, each twice; two by the new one.
    ok(of_version(&dir, "0.9", &matrix("0")));
    ok(of_version(&dir, "0.9", &[&matrix("0")[..], &["--again"]].concat()));
    let old = dir.logs();
    dir.ok(&matrix("0,16"));
    let mut new: Vec<String> = dir.logs().into_iter().filter(|log| !old.contains(log)).collect();
    assert_eq!((old.len(), new.len()), (4, 2));
    // Foretold, and nothing is moved.
    let plan = dir.ok(&["sweep", "--resume", "--dry-run"]).out.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(plan.contains("outdated") && plan.contains("mock 0.9 (now 1)") && plan.contains("0 to do"), "{plan}");
    let states = |more: &[&str]| {
        let told = dir.ok(&[&["sweep", "--resume", "--dry-run", "--json"][..], more].concat()).out;
        let told: Value = serde_json::from_str(&told).unwrap();
        let cases = told["cases"].as_array().unwrap().clone();
        cases.iter().map(|case| format!("{} {}", case["state"], case["outdated"])).collect::<Vec<_>>()
    };
    let reason = r#"["mock 0.9 (now 1)"]"#;
    let outdated = format!("\"outdated\" {reason}");
    assert_eq!(states(&[]), [outdated.as_str(), outdated.as_str(), "\"measured\" []", "\"measured\" []"]);
    let open = states(&["--retry-outdated"]);
    assert!(open.iter().take(2).all(|case| case.ends_with(reason) && !case.starts_with("\"outdated")), "{open:?}");
    assert_eq!(dir.logs().len(), 6);
    // Measured anew, and those that another version did not measure stay as they are.
    let ran = dir.ok(&["sweep", "--resume", "--retry-outdated", "--measure-only"]);
    assert!(ran.err.contains("2 measured, 0 failed, 0 skipped before, 2 to do"), "{}", ran.err);
    assert!(ran.err.contains("measured anew") && ran.out.contains("4 measured"), "{}\n{}", ran.out, ran.err);
    assert_eq!(aside(&dir), old);
    assert!(dir.logs().len() == 4 && new.iter().all(|log| dir.logs().contains(log)), "{:?}", dir.logs());
    // Figures come from the new measurement alone.
    dir.ok(&["collate"]);
    let rows = dir.rows();
    assert_eq!(rows.len(), 4 * 2 * 2 * 4);
    assert!(rows.iter().all(|row| row["engine_version"] == "1" && row["status"] == "ok"));
    // Once.
    new = dir.logs();
    let ran = dir.ok(&["sweep", "--resume", "--retry-outdated", "--measure-only"]);
    assert!(ran.err.contains("4 measured, 0 failed, 0 skipped before, 0 to do"), "{}", ran.err);
    assert!(!ran.err.contains("(now ") && dir.logs() == new, "{}", ran.err);
}

#[test]
fn nothing_is_put_aside_before_somebody_has_looked() {
    let dir = Dir::new("outdated-cut");
    ok(of_version(&dir, "0.9", &matrix("0")));
    let old = dir.logs();
    let held = Lock::acquire(&dir.lock(), |_| ()).unwrap();
    let (mut child, said, lines) = until_it_waits(&dir, &["sweep", "--resume", "--retry-outdated", "--measure-only"]);
    child.kill().unwrap();
    child.wait().unwrap();
    drop((held, said));
    assert!(lines.last().unwrap().contains(WAITS), "{lines:?}");
    assert_eq!((dir.logs(), aside(&dir).len()), (old, 0));
    let ran = dir.ok(&["sweep", "--resume", "--measure-only"]);
    assert!(ran.err.contains("2 measured, 0 failed, 0 skipped before, 0 to do"), "{}", ran.err);
}

#[test]
fn what_another_machine_measured_is_not_outdated_here() {
    let dir = Dir::new("outdated-host");
    ok(of_version(&dir, "0.9", &matrix("0")));
    let foreign = dir.logs().remove(0);
    let path = dir.path("benchmark_output").join(&foreign);
    let text = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, text.replacen("\nhostname: ", "\nhostname: not-", 1)).unwrap();
    let ran = dir.ok(&["sweep", "--resume", "--retry-outdated", "--measure-only"]);
    assert!(ran.err.contains("1 measured, 0 failed, 0 skipped before, 1 to do"), "{}", ran.err);
    assert!(dir.logs().contains(&foreign) && aside(&dir).len() == 1, "{:?}", aside(&dir));
}

/// A checkpoint folder is another model once its files change.
#[test]
fn a_model_whose_files_changed_is_measured_anew() {
    let dir = Dir::new("outdated-model");
    dir.ok(&crate::dir::on_tiny("prepare", "llamacpp", &["--quantize", "float16"]));
    let made = names(&dir.path("models")).into_iter().map(|name| dir.path("models").join(name));
    let made = made.filter(|folder| folder.join("config.json").is_file()).collect::<Vec<_>>();
    let checkpoint = dir.path("checkpoint");
    std::fs::rename(&made[0], &checkpoint).unwrap();
    let model = checkpoint.to_str().unwrap();
    let fixed = "--quantize nf4 --prompt-tokens 8 --gen-tokens 4 --launches 1 --repetitions 1 --measure-only";
    let words = ["sweep", "--engine", "llamacpp", "--model", model].into_iter().chain(fixed.split_whitespace());
    dir.ok(&words.collect::<Vec<_>>());
    let old = dir.logs();
    let config = std::fs::read_to_string(checkpoint.join("config.json")).unwrap();
    std::fs::write(checkpoint.join("config.json"), format!("{config}\n")).unwrap();
    let ran = dir.ok(&["sweep", "--resume", "--measure-only"]);
    assert!(ran.err.contains("before its files changed: llamacpp nf4") && dir.logs() == old, "{}", ran.err);
    let ran = dir.ok(&["sweep", "--resume", "--retry-outdated", "--measure-only"]);
    assert!(ran.err.contains("1 to do"), "{}", ran.err);
    assert_eq!((aside(&dir), dir.logs().len()), (old, 1));
    let ran = dir.ok(&["sweep", "--resume", "--measure-only"]);
    assert!(!ran.err.contains("changed"), "{}", ran.err);
}
