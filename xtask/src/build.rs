//! `cargo xtask build`: tokometer and its workers, side by side in the folder of released programs.
//!
//! Always the whole workspace: building one package alone would choose other features for what the packages share, and
//! llama.cpp, minutes of work, would be compiled once more. Only this program is left out: it is running.

use crate::args::Args;
use crate::shell::{Cmd, line, say};
use crate::{paths, setup};
use anyhow::{Result, bail};
use std::time::Instant;

/// What every build of the workspace is called with, so that nothing is compiled twice.
pub const SCOPE: &[&str] = &["--release", "--workspace"];

/// The command.
pub fn main(args: Args) -> Result<()> {
    args.end()?;
    let toolchain = setup::toolchain(true)?;
    build(&toolchain)?;
    say("build", "made");
    for name in programs() {
        line(&format!("      {}", paths::short(&paths::release().join(name))));
    }
    let shown = paths::short(&paths::tokometer());
    say("build", format!("next: `cargo xtask demo`, or `{shown} doctor`"));
    Ok(())
}

/// Builds with the toolchain that the set-up found.
pub fn build(toolchain: &setup::Toolchain) -> Result<()> {
    let start = Instant::now();
    say("build", "tokometer and its workers (llama.cpp takes some minutes the first time)");
    let hint = "The reason stands above. If it is a missing tool or header, `cargo xtask setup` says what to install.";
    Cmd::cargo()
        .arg("build")
        .args(SCOPE)
        .args(["--exclude", "xtask", "--bins"])
        .envs(&toolchain.env)
        .hint(hint)
        .run()?;
    if !paths::tokometer().is_file() {
        bail!(
            "cargo has built, but {} is not there; is a target folder configured for one command only?",
            paths::tokometer().display()
        );
    }
    say("build", format!("done in {:.0} s", start.elapsed().as_secs_f64()));
    Ok(())
}

/// `tokometer` and the workers that lie beside it.
fn programs() -> Vec<String> {
    let entries = std::fs::read_dir(paths::release()).into_iter().flatten().flatten();
    let names = entries.filter_map(|entry| entry.file_name().into_string().ok());
    let mut programs: Vec<String> = names.filter(|name| is_program(name)).collect();
    programs.sort();
    programs
}

fn is_program(name: &str) -> bool {
    let Some(stem) = name.strip_suffix(std::env::consts::EXE_SUFFIX) else { return false };
    stem == "tokometer" || (stem.starts_with("tokometer-worker-") && !stem.contains('.'))
}

#[cfg(all(test, unix))]
mod tests {
    use super::is_program;

    #[test]
    fn dependency_files_are_no_programs() {
        assert!(is_program("tokometer") && is_program("tokometer-worker-llamacpp"));
        assert!(
            !is_program("tokometer.d")
                && !is_program("tokometer-worker-llamacpp.d")
                && !is_program("libtokometer.rlib")
        );
    }
}
