//! `cargo xtask lint`: what must hold beside the tests. `cargo xtask ci` runs `.ci/run`, which holds the order of all.

use crate::args::{Args, Usage};
use crate::build::SCOPE;
use crate::shell::{Cmd, say};
use crate::{paths, setup};
use anyhow::{Result, anyhow};
use std::time::Instant;

/// A lint: one cargo command.
struct Lint {
    name: &'static str,
    /// Whether it needs a C++ toolchain, because build scripts run.
    builds: bool,
    command: fn() -> Cmd,
    hint: &'static str,
}

const LINTS: &[Lint] = &[
    Lint {
        name: "fmt",
        builds: false,
        command: || Cmd::cargo().args(["fmt", "--all", "--check"]),
        hint: "`cargo fmt --all` mends it",
    },
    Lint {
        name: "clippy",
        builds: true,
        command: || Cmd::cargo().arg("clippy").args(SCOPE).args(["--all-targets", "--", "-D", "warnings"]),
        hint: "each warning above is an error here",
    },
    Lint {
        name: "doc",
        builds: true,
        command: || {
            Cmd::cargo()
                .arg("doc")
                .args(SCOPE)
                .args(["--no-deps", "--document-private-items"])
                .env("RUSTDOCFLAGS", "-D warnings")
        },
        hint: "each warning above is an error here",
    },
    // Only a package with few dependencies: another set of features for what all share would build llama.cpp again.
    Lint {
        name: "features",
        builds: false,
        command: || {
            let package = ["--release", "--package", "tokometer-typst", "--no-default-features", "--all-targets"];
            Cmd::cargo().arg("clippy").args(package).args(["--", "-D", "warnings"])
        },
        hint: "the twin of the optional feature must have the same signatures",
    },
];

/// The command `lint`.
pub fn lint(args: Args) -> Result<()> {
    let names = args.names()?;
    if let Some(name) = names.iter().find(|name| LINTS.iter().all(|lint| lint.name != **name)) {
        return Err(anyhow!(Usage(format!("there is no lint {name:?}"))));
    }
    let chosen: Vec<&Lint> =
        LINTS.iter().filter(|lint| names.is_empty() || names.iter().any(|name| name == lint.name)).collect();
    let env = match chosen.iter().any(|lint| lint.builds) {
        true => setup::toolchain(true)?.env,
        false => Vec::new(),
    };
    for lint in chosen {
        let start = Instant::now();
        let command = (lint.command)().envs(&env).hint(lint.hint);
        say("lint", command.shown());
        command.run()?;
        say("lint", format!("{} holds ({:.0} s)", lint.name, start.elapsed().as_secs_f64()));
    }
    Ok(())
}

/// The command `ci`.
pub fn main(args: Args) -> Result<()> {
    args.end()?;
    Cmd::new("bash").arg(paths::root().join(".ci").join("run")).run()
}
