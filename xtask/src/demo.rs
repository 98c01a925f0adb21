//! `cargo xtask demo`: from a fresh checkout to plots and a presentation. Builds, evaluates the model that the project
//! trained, then leaves the five steps to `tokometer all`, whose progress and closing table are seen as they come.

use crate::args::Args;
use crate::setup::{self, Engines};
use crate::shell::{Cmd, say};
use crate::{build, paths};
use anyhow::{Context, Result, bail};
use std::path::PathBuf;

/// The model that the project trained: its answers make sense, so that what a quantization costs can be seen.
const MODEL: &str = "training/tasks-2.4M";
/// What it is asked.
const ENVIRONMENTS: &str = "distance,reverse-text,arithmetic";
const EXAMPLES: &str = "100";
const QUANTIZATIONS: &str = "default,float16,int8,nf4";

/// The exit code by which tokometer says that some cases failed and the rest is recorded.
const SOME_FAILED: i32 = 3;

/// The command.
pub fn main(mut args: Args) -> Result<()> {
    let full = args.flag("--full");
    let model = args.value("--model")?.unwrap_or_else(|| paths::root().join(MODEL).display().to_string());
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

    let shown = paths::short(std::path::Path::new(&model));
    say("demo", format!("{shown} on {engines}, quantized as {QUANTIZATIONS}, into {}", paths::short(&dir)));
    let hint = "What was measured is kept; run the demo again to go on. `tokometer doctor` shows what an engine lacks.";
    let tokometer = |command: &str| {
        let cmd = Cmd::new(paths::tokometer()).arg("--dir").arg(&dir).arg(command);
        cmd.hint(hint)
    };
    let what = ["--model", &model, "--engine", &engines, "--quantize", QUANTIZATIONS];
    let mut evaluated = true;
    if !model.starts_with("synthetic:") {
        say("demo", format!("quality first: {ENVIRONMENTS}, {EXAMPLES} examples each"));
        let eval = tokometer("eval").args(what).args(["--env", ENVIRONMENTS, "--num-examples", EXAMPLES]);
        evaluated = eval.run_in_part(SOME_FAILED)?;
        if !evaluated {
            say("demo", "some evaluations failed, see above; the demo goes on with measuring");
        }
    }
    let mut run = tokometer("all").args(what);
    if !full {
        // Five launches: with fewer, what launches differ by is hardly known, and little can be said for sure.
        run = run.args(["--quick", "--launches", "5", "--repetitions", "2"]);
    }
    run.args(passed_on).run()?;
    if !full {
        say(
            "demo",
            "short prompts for a quick look; `cargo xtask demo --full` measures prefill 512 and decode 128, 3 launches of 5 repetitions",
        );
    }
    if !evaluated {
        bail!("all is measured, but some evaluations failed: the presentation says nothing of their quality");
    }
    Ok(())
}
