//! `cargo xtask demo`: from a fresh checkout to plots and a presentation. Builds, then leaves the five steps to
//! `tokometer all`, whose progress and closing table are seen as they come.

use crate::args::Args;
use crate::setup::{self, Engines};
use crate::shell::{Cmd, say};
use crate::{build, paths};
use anyhow::{Context, Result};
use std::path::PathBuf;

/// Small enough for any machine, large enough that quantizations differ in speed.
const MODEL: &str = "synthetic:60M";
const QUANTIZATIONS: &str = "default,float16,int8,nf4";

/// The command.
pub fn main(mut args: Args) -> Result<()> {
    let full = args.flag("--full");
    let model = args.value("--model")?.unwrap_or_else(|| MODEL.to_owned());
    let dir = match args.value::<PathBuf>("--dir")? {
        Some(dir) => std::path::absolute(&dir).with_context(|| format!("cannot use the folder {}", dir.display()))?,
        None => paths::root().join("demo"),
    };
    let passed_on = args.passed_on();
    args.end()?;

    let toolchain = setup::toolchain(true)?;
    build::build(&toolchain)?;
    let mut engines = vec!["llamacpp"];
    engines.extend(setup::engines(Engines::Try, true)?);
    let engines = engines.join(",");

    say("demo", format!("{model} on {engines}, quantized as {QUANTIZATIONS}, into {}", paths::short(&dir)));
    let mut run = Cmd::new(paths::tokometer()).arg("--dir").arg(&dir).arg("all");
    run = run.args(["--model", &model, "--engine", &engines, "--quantize", QUANTIZATIONS]);
    if !full {
        // Five launches: with fewer, what launches differ by is hardly known, and little can be said for sure.
        run = run.args(["--quick", "--launches", "5", "--repetitions", "2"]);
    }
    run.args(passed_on)
        .hint("What was measured is kept; run the demo again to go on. `tokometer doctor` shows what an engine lacks.")
        .run()?;
    if !full {
        say(
            "demo",
            "short prompts for a quick look; `cargo xtask demo --full` measures prefill 512 and decode 128, 3 launches of 5 repetitions",
        );
    }
    Ok(())
}
