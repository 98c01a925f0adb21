//! Finished cases of a sweep whose engine or model has become another since: they are told once nobody else measures.

use crate::dir::{Dir, Ran};
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
    loop {
        let mut line = String::new();
        let end = said.read_line(&mut line).unwrap() == 0;
        let waits = line.contains(WAITS);
        lines.push(line);
        if end || waits {
            return (child, said, lines);
        }
    }
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
