//! `cargo xtask test`: sets up, builds and runs every test there is: Rust, documentation examples, Python workers.

use crate::args::Args;
use crate::build::{self, SCOPE};
use crate::paths;
use crate::python::{self, Environment, Packages};
use crate::setup::{self, Engines};
use crate::shell::{Cmd, on_path, say};
use anyhow::{Result, bail};
use std::ffi::OsString;
use std::fmt;
use std::io::IsTerminal;
use std::ops::AddAssign;
use std::panic::resume_unwind;
use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

/// Python code with tests: its folder, and the name of the environment that they need (of the folder's `requirements.txt`). Two
/// run at a time; the one that takes longest comes first.
const PYTHON: &[(&str, Option<&str>)] = &[
    ("workers/tinygrad", Some("tinygrad")),
    ("workers/python-protocol", None),
    ("workers/mlc-llm", None),
    ("crates/serve", Some("openai")),
    ("evals", None),
    ("training", Some("training")),
];

/// What ran.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
struct Counts {
    passed: u64,
    skipped: u64,
}

impl AddAssign for Counts {
    fn add_assign(&mut self, other: Counts) {
        self.passed += other.passed;
        self.skipped += other.skipped;
    }
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.passed)?;
        match self.skipped {
            0 => Ok(()),
            n => write!(f, " ({n} skipped)"),
        }
    }
}

/// The command.
pub fn main(args: Args) -> Result<()> {
    args.end()?;
    let start = Instant::now();
    let toolchain = setup::toolchain(true)?;
    setup::engines(Engines::Require, true)?;
    setup::for_tests();
    setup::evaluators()?;
    build::build(&toolchain)?;
    let rust = rust(&toolchain.env)?;
    say("test", "examples in the documentation");
    let examples = counts(&cargo(&toolchain.env).arg("test").args(SCOPE).arg("--doc").tee()?);
    let python = all_python()?;
    let seconds = start.elapsed().as_secs_f64();
    say(
        "test",
        format!(
            "passed: {rust} Rust tests, {examples} documentation examples, {python} Python tests, in {seconds:.0} s"
        ),
    );
    Ok(())
}

/// Unit and integration tests, by nextest where it is installed. Compiled in the open first, then run and counted.
fn rust(env: &[(OsString, OsString)]) -> Result<Counts> {
    let nextest = on_path(&format!("cargo-nextest{}", std::env::consts::EXE_SUFFIX)).is_some();
    let (verb, targets): (&[&str], &[&str]) = match nextest {
        true => (&["nextest", "run"], &[]),
        false => (&["test"], &["--lib", "--bins", "--tests"]),
    };
    say("test", format!("Rust tests by {}", if nextest { "cargo-nextest" } else { "cargo test" }));
    Cmd::cargo().args(verb).args(SCOPE).args(targets).arg("--no-run").envs(env).run()?;
    // Most tests wait most of the time: for an engine that sleeps, a timeout, a process that ends.
    let more = std::thread::available_parallelism().map_or(0, usize::from) + 2;
    let mut run = cargo(env).args(verb).args(SCOPE).args(targets);
    if nextest {
        run = run.args(["--test-threads", &more.to_string()]);
    }
    let text = run.hint("The failing tests stand above.").tee()?;
    let counts = counts(&text);
    if counts.passed == 0 {
        bail!("not a single Rust test ran, or the runner reports in an unknown form");
    }
    Ok(counts)
}

/// Cargo for a run whose output passes through us: colours as the terminal would have them.
fn cargo(env: &[(OsString, OsString)]) -> Cmd {
    let cmd = Cmd::cargo().envs(env);
    match std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none() {
        true => cmd.env("CARGO_TERM_COLOR", "always"),
        false => cmd,
    }
}

/// The tests of all Python folders.
fn all_python() -> Result<Counts> {
    let queue = Mutex::new(PYTHON.iter());
    let next = || queue.lock().unwrap_or_else(PoisonError::into_inner).next();
    let one = || -> Result<Counts> {
        let mut passed = Counts::default();
        while let Some((folder, engine)) = next() {
            passed += python_tests(&paths::root().join(folder), *engine)?;
        }
        Ok(passed)
    };
    std::thread::scope(|scope| {
        let both = [(); 2].map(|()| scope.spawn(one));
        let mut all = Counts::default();
        for counted in both.map(|thread| thread.join().unwrap_or_else(|panic| resume_unwind(panic))) {
            all += counted?;
        }
        Ok(all)
    })
}

/// The tests of a Python folder, if it has any.
fn python_tests(folder: &Path, engine: Option<&str>) -> Result<Counts> {
    let shown = paths::short(folder);
    let tests = folder.join("tests");
    let files = std::fs::read_dir(&tests).into_iter().flatten().flatten();
    let has_tests =
        files.map(|file| file.file_name().to_string_lossy().into_owned()).any(|name| name.starts_with("test_"));
    if !has_tests {
        return Ok(Counts::default());
    }
    let program = match engine {
        None => python::require(&format!("testing {shown}"))?.program,
        Some(name) => test_environment(folder, name)?.python(),
    };
    say("test", format!("Python tests in {shown}"));
    let path = std::env::join_paths([folder, &paths::root().join("workers").join("python-protocol")])?;
    let text = Cmd::new(program)
        .args(["-m", "unittest", "discover", "-s", "tests"])
        .dir(folder)
        .env("PYTHONPATH", path)
        .env("TOKOMETER", paths::tokometer())
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .hint("The failing tests stand above.")
        .tee()?;
    let counts = python_counts(&text);
    say("test", format!("Python tests in {shown}: {counts} passed"));
    Ok(counts)
}

/// An environment of what the tests of a folder need. An engine's tests do not share the one that measures.
fn test_environment(folder: &Path, engine: &str) -> Result<Environment> {
    let environment = Environment::named(&format!("{engine}-test"));
    environment.ensure(&Packages::Hashed(&[&folder.join("requirements.txt")]))?;
    Ok(environment)
}

/// Adds up the summaries of `cargo test` (`test result: ok. 3 passed; ...`) and nextest (`Summary [ 1.2s] 3 tests run: 3 passed, ...`).
fn counts(text: &str) -> Counts {
    let mut all = Counts::default();
    for line in text.lines().map(without_colour) {
        let summary = line.trim_start();
        if !summary.starts_with("test result:") && !summary.starts_with("Summary [") {
            continue;
        }
        let words: Vec<&str> = summary.split_whitespace().map(|word| word.trim_end_matches([',', ';', '.'])).collect();
        for pair in words.windows(2) {
            let Ok(n) = pair[0].parse::<u64>() else { continue };
            match pair[1] {
                "passed" => all.passed += n,
                "skipped" | "ignored" => all.skipped += n,
                _ => {}
            }
        }
    }
    all
}

/// Reads `Ran 12 tests in 0.5s` and `OK (skipped=1)`.
fn python_counts(text: &str) -> Counts {
    let number = |text: &str| text.chars().take_while(char::is_ascii_digit).collect::<String>().parse().unwrap_or(0);
    let ran = text.lines().filter_map(|line| line.strip_prefix("Ran ")).map(number).sum::<u64>();
    let skipped = text.lines().filter(|line| line.starts_with("OK ")).filter_map(|line| line.split_once("skipped="));
    let skipped = skipped.map(|(_, rest)| number(rest)).sum::<u64>();
    Counts { passed: ran.saturating_sub(skipped), skipped }
}

fn without_colour(line: &str) -> String {
    let mut plain = String::with_capacity(line.len());
    let mut letters = line.chars();
    while let Some(letter) = letters.next() {
        match letter {
            '\u{1b}' => while letters.next().is_some_and(|code| !code.is_ascii_alphabetic()) {},
            _ => plain.push(letter),
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn summaries_of_both_runners_are_added_up() {
        let cargo = "running 2 tests\ntest result: ok. 12 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.00s\n\
                     test result: ok. 3 passed; 0 failed; 0 ignored; 0 measured; 7 filtered out; finished in 0.00s\n";
        assert_eq!(counts(cargo), Counts { passed: 15, skipped: 1 });
        let nextest = "\u{1b}[32;1m     Summary\u{1b}[0m [   3.421s] \u{1b}[1m312\u{1b}[0m tests run: \u{1b}[1m312\u{1b}[0m \u{1b}[32;1mpassed\u{1b}[0m (2 slow), \u{1b}[1m4\u{1b}[0m skipped\n";
        assert_eq!(counts(nextest), Counts { passed: 312, skipped: 4 });
    }

    #[test]
    fn python_summaries_are_read() {
        assert_eq!(python_counts("..s\nRan 12 tests in 0.5s\n\nOK (skipped=1)\n"), Counts { passed: 11, skipped: 1 });
        assert_eq!(python_counts("Ran 1 test in 0.5s\n\nOK\n"), Counts { passed: 1, skipped: 0 });
    }
}
