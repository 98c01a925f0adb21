//! `cargo xtask`: sets up, builds, demonstrates, tests and benchmarks Tokometer.
//!
//! Each command is one module; `demo`, `test` and `bench` call `setup` and `build` first. What Tokometer itself can do is
//! not here: these commands run the `tokometer` binary as a person would.

mod args;
mod bench;
mod build;
mod ci;
mod demo;
mod paths;
mod python;
mod setup;
mod shell;
mod test;

use anyhow::Result;
use args::{Args, Usage};
use std::process::ExitCode;

/// A command of `cargo xtask`.
struct Task {
    name: &'static str,
    arguments: &'static str,
    about: &'static str,
    run: fn(Args) -> Result<()>,
}

/// All commands, in the order in which a newcomer meets them.
const TASKS: &[Task] = &[
    Task {
        name: "demo",
        arguments: "[--dir DIR] [--model M] [--full] [-- FLAGS...]",
        about: "build, benchmark a small model in four quantizations, plot, present",
        run: demo::main,
    },
    Task { name: "test", arguments: "", about: "set up what the tests need and run them all", run: test::main },
    Task {
        name: "setup",
        arguments: "[--python-engines] [--eval] [--no-system]",
        about: "check what the machine lacks and install it where possible",
        run: setup::main,
    },
    Task { name: "build", arguments: "", about: "build tokometer and its workers side by side", run: build::main },
    Task {
        name: "bench",
        arguments: "[NAME...] [--rounds N] [--model M] [--quantize Q[,Q]] [--threads N] [--size 1GB] [--until 1%] [--dir DIR] [--log FILE] [--scratch DIR] [--with-python]",
        about: "side-by-side benchmarks of Tokometer itself",
        run: bench::main,
    },
    Task {
        name: "lint",
        arguments: "[fmt|clippy|doc|features...]",
        about: "the checks beside the tests; all without a name",
        run: ci::lint,
    },
    Task { name: "ci", arguments: "", about: "everything that must pass before a change is in", run: ci::main },
];

fn main() -> ExitCode {
    let mut words = std::env::args().skip(1);
    let name = words.next().unwrap_or_else(|| "help".into());
    if matches!(name.as_str(), "help" | "--help" | "-h") {
        shell::line(&help());
        return ExitCode::SUCCESS;
    }
    let Some(task) = TASKS.iter().find(|task| task.name == name) else {
        eprintln!("error: there is no command {name:?}\n\n{}", help());
        return ExitCode::from(2);
    };
    let args = Args::new(words);
    if args.wants_help() {
        shell::line(&format!("{}\n{}", task.about, task.usage()));
        return ExitCode::SUCCESS;
    }
    match (task.run)(args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) if error.is::<Usage>() => {
            eprintln!("error: {error:#}\n{}", task.usage());
            ExitCode::from(2)
        }
        Err(error) => {
            eprintln!("\nerror: {error:#}");
            ExitCode::FAILURE
        }
    }
}

impl Task {
    fn usage(&self) -> String {
        format!("usage: cargo xtask {} {}", self.name, self.arguments).trim_end().to_owned()
    }
}

fn help() -> String {
    let mut text = String::from("cargo xtask COMMAND\n\n");
    for task in TASKS {
        text.push_str(&format!("  {:6} {}\n", task.name, task.about));
        if !task.arguments.is_empty() {
            text.push_str(&format!("         {}\n", task.arguments));
        }
    }
    text.push_str("\nbenchmarks:\n");
    for bench in bench::BENCHES {
        text.push_str(&format!("  {:8} {}\n", bench.name, bench.about));
    }
    text.trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_command_and_benchmark_is_in_the_help() {
        let text = help();
        assert!(TASKS.iter().all(|task| text.contains(task.about)));
        assert!(bench::BENCHES.iter().all(|bench| text.contains(bench.about)));
    }
}
