//! `cargo xtask setup`: checks what the machine lacks and installs it where it can.
//!
//! First what the machine has; then the system's packages (as root on Debian and its kin); then PyPI's cmake, ninja and
//! libclang in a private environment; then an error that says what to install. What was found is handed to the builds as
//! variables: none where the system has everything, so that a plain `cargo build` sees the same and rebuilds nothing.

mod apt;
mod engines;
mod libclang;
mod needs;
mod private;

pub use engines::{Engines, engines, evaluators};

use crate::args::Args;
use crate::shell::say;
use anyhow::{Result, bail};
use needs::{Found, Need};
use std::ffi::OsString;

/// What builds need to be told.
pub struct Toolchain {
    /// Variables for cargo and cmake.
    pub env: Vec<(OsString, OsString)>,
}

/// The command.
pub fn main(mut args: Args) -> Result<()> {
    let python_engines = args.flag("--python-engines");
    let evaluation = args.flag("--eval");
    let system = !args.flag("--no-system");
    args.end()?;
    toolchain(system)?;
    if evaluation {
        evaluators()?;
    }
    match python_engines {
        true => drop(engines(Engines::Require, system)?),
        false => say(
            "setup",
            "ready to build; `cargo xtask setup --python-engines` also makes the Python engines' environments, --eval those of vf-eval and lm_eval",
        ),
    }
    Ok(())
}

/// Checks and installs what the build needs. With `system` false, no system package is installed.
pub fn toolchain(system: bool) -> Result<Toolchain> {
    let mut state = probe();
    let packages: Vec<&str> = absent(&state).flat_map(|need| need.install.debian).copied().collect();
    if !packages.is_empty() && system && !private::has(absent(&state)) && apt::install(&packages) {
        state = probe();
    }
    fill_privately(&mut state);
    report(&state);
    let missing: Vec<&Need> = absent(&state).filter(|need| need.required).collect();
    if !missing.is_empty() {
        bail!(needs::advice(&missing));
    }
    Ok(Toolchain { env: variables(&state) })
}

/// Installs what tests use and may lack: those that need it say that they are skipped where it cannot be had.
pub fn for_tests() {
    for need in [&needs::SLURM, &needs::OPENCL] {
        let mut found = (need.find)();
        if found.is_none() && apt::install(need.install.debian) {
            found = (need.find)();
        }
        report(&[(need, found)]);
    }
}

type State = Vec<(&'static Need, Option<Found>)>;

fn probe() -> State {
    needs::BUILD.iter().map(|need| (need, (need.find)())).collect()
}

fn absent(state: &State) -> impl Iterator<Item = &'static Need> {
    state.iter().filter(|(_, found)| found.is_none()).map(|(need, _)| *need)
}

/// Fills the gaps that PyPI can fill. A failure is told and leaves the gap.
fn fill_privately(state: &mut State) {
    let gaps: Vec<&Need> = absent(state).filter(|need| need.private.is_some()).collect();
    if gaps.is_empty() {
        return;
    }
    match private::ensure(&gaps) {
        Ok(environment) => {
            for (need, found) in state.iter_mut().filter(|(_, found)| found.is_none()) {
                *found = need.private.and_then(|private| (private.found)(&environment));
            }
        }
        Err(error) => say("setup", format!("the private environment could not be made: {error:#}")),
    }
}

fn report(state: &[(&'static Need, Option<Found>)]) {
    for (need, found) in state {
        match found {
            Some(found) => say("setup", format!("{} found ({})", need.name, found.detail)),
            None => say("setup", format!("{} not found; it is for {}", need.name, need.used_for)),
        }
    }
}

/// Joins the variables of all that was found; several folders for PATH become one value before the old one.
fn variables(state: &State) -> Vec<(OsString, OsString)> {
    let found = || state.iter().filter_map(|(_, found)| found.as_ref());
    let mut env: Vec<_> = found().flat_map(|found| found.env.iter().cloned()).collect();
    let mut folders: Vec<_> = found().filter_map(|found| found.path.clone()).collect();
    folders.dedup();
    if !folders.is_empty() {
        let old = std::env::var_os("PATH").unwrap_or_default();
        let all = folders.into_iter().chain(std::env::split_paths(&old));
        if let Ok(path) = std::env::join_paths(all) {
            env.push(("PATH".into(), path));
        }
    }
    env
}
