//! Environments of the engines that are driven from Python: one each, from the requirements beside the worker, where every
//! package is pinned by hash.

use super::{apt, needs};
use crate::paths;
use crate::python::{Environment, Packages};
use crate::shell::{Cmd, say};
use anyhow::{Context, Result, anyhow};
use std::path::Path;

/// How badly the environments are wanted.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Engines {
    /// An engine that cannot be set up is left out, with a word.
    Try,
    /// It is an error.
    Require,
}

/// An engine with a Python worker.
struct Engine {
    name: &'static str,
    /// The worker's folder, with `requirements.txt`.
    worker: &'static str,
    /// Whether it calls a `clang` program.
    needs_clang: bool,
}

const ENGINES: &[Engine] = &[Engine { name: "tinygrad", worker: "workers/tinygrad", needs_clang: true }];

/// Programs of others that `tokometer eval` drives: the environment and the folder of its requirements.
const EVALUATORS: &[(&str, &str)] = &[("verifiers", "evals/verifiers"), ("lm_eval", "evals/lm_eval")];

/// PyPI's package with a clang inside, for machines that have none.
const CLANG_PACKAGE: &str = "ziglang==0.15.2";

/// Makes the environments; the names of the engines that are ready. One without requirements is not there yet. With
/// `system` false, no system package is installed.
pub fn engines(wanted: Engines, system: bool) -> Result<Vec<&'static str>> {
    let mut ready = Vec::new();
    for engine in ENGINES {
        let requirements = paths::root().join(engine.worker).join("requirements.txt");
        if !requirements.is_file() {
            continue;
        }
        match engine.set_up(&requirements, system) {
            Ok(()) => {
                say(
                    "setup",
                    format!(
                        "{} ready (Python environment {})",
                        engine.name,
                        paths::short(&paths::environment(engine.name))
                    ),
                );
                ready.push(engine.name);
            }
            Err(error) if wanted == Engines::Try => {
                say("setup", format!("going on without {}: {error:#}", engine.name))
            }
            Err(error) => return Err(error.context(format!("cannot set up {}", engine.name))),
        }
    }
    Ok(ready)
}

/// Makes the environments of vf-eval and lm_eval: tests and `tokometer eval` need them, nothing else does.
pub fn evaluators() -> Result<()> {
    for (name, folder) in EVALUATORS {
        let requirements = paths::root().join(folder).join("requirements.txt");
        let environment = Environment::named(name);
        environment
            .ensure(&Packages::Hashed(&[&requirements]))
            .with_context(|| format!("cannot set up {name} for evaluations"))?;
        say("setup", format!("{name} ready (Python environment {})", paths::short(&paths::environment(name))));
    }
    Ok(())
}

impl Engine {
    fn set_up(&self, requirements: &Path, system: bool) -> Result<()> {
        let environment = Environment::named(self.name);
        environment.ensure(&Packages::Hashed(&[requirements]))?;
        match self.needs_clang {
            true => clang(&environment, system),
            false => Ok(()),
        }
    }
}

/// A clang program: the machine's, the system's package, or a wrapper around the one in PyPI's ziglang, put beside the
/// environment's interpreter, where the worker looks when PATH has none.
fn clang(environment: &Environment, system: bool) -> Result<()> {
    let wrapper = environment.bin().join("clang");
    if (needs::CLANG.find)().is_some() || Cmd::new(&wrapper).arg("--version").ask().is_some() {
        return Ok(());
    }
    if system && apt::install(needs::CLANG.install.debian) && (needs::CLANG.find)().is_some() {
        return Ok(());
    }
    wrap_zig(&wrapper)
        .map_err(|error| anyhow!("{}\n(PyPI's {CLANG_PACKAGE} did not do: {error:#})", needs::advice(&[&needs::CLANG])))
}

fn wrap_zig(wrapper: &Path) -> Result<()> {
    let zig = Environment::named("clang");
    zig.ensure(&Packages::Listed(&[CLANG_PACKAGE.to_owned()]))?;
    let program = zig.site_packages()?.join("ziglang").join("zig");
    let script = format!("#!/bin/sh\nexec '{}' clang \"$@\"\n", program.display());
    std::fs::write(wrapper, script).with_context(|| format!("cannot write {}", wrapper.display()))?;
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        std::fs::set_permissions(wrapper, std::fs::Permissions::from_mode(0o755))?;
    }
    Cmd::new(wrapper).arg("--version").capture()?;
    Ok(())
}
