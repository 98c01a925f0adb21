//! Finds the Python environment in which the user installed an engine that no package index carries.
//!
//! The order: `--python` or `tokometer.toml`, the engine's variable, then the active environment. An interpreter that is named
//! must have the engine; of those that are merely around, the first that has it is taken.

use super::discover::{missing, workers_with};
use super::{Discovery, Engine, Failed, Kind, Overrides, UserPython};
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// How to start the engine's worker in the user's environment.
///
/// # Errors
/// There is none, or the one that is named does not have the engine: the text says how it is installed.
pub fn find(
    engine: &Engine,
    wanted: &UserPython,
    overrides: &Overrides,
    mut environment: Vec<(String, OsString)>,
) -> Result<Discovery, Failed> {
    let workers = workers_with(engine, wanted.folder)?;
    // The engine itself may be found through the user's own PYTHONPATH.
    let own = environment.iter().find(|(name, _)| name == "PYTHONPATH").map(|(_, value)| value.clone());
    let own = own.or_else(|| std::env::var_os("PYTHONPATH")).unwrap_or_default();
    let program = interpreter(wanted, overrides, &own)?;
    let ours = [workers.join(wanted.folder), workers.join("python-protocol")];
    let theirs = std::env::split_paths(&own).filter(|path| !path.as_os_str().is_empty());
    let joined =
        std::env::join_paths(ours.into_iter().chain(theirs)).map_err(|error| missing(engine, error.to_string()))?;
    environment.retain(|(name, _)| name != "PYTHONPATH");
    environment.push(("PYTHONPATH".into(), joined));
    environment.push(("PYTHONDONTWRITEBYTECODE".into(), "1".into()));
    Ok(Discovery { program, arguments: vec!["-m".into(), wanted.module.into()], environment, memory_limit: None })
}

fn interpreter(wanted: &UserPython, overrides: &Overrides, paths: &OsStr) -> Result<PathBuf, Failed> {
    let variable = std::env::var_os(wanted.variable).filter(|value| !value.is_empty()).map(PathBuf::from);
    let named = [
        overrides.python.clone().map(|path| (path, "--python or tokometer.toml")),
        variable.map(|path| (path, wanted.variable)),
    ];
    if let Some((program, by)) = named.into_iter().flatten().next() {
        return match ask(&program, wanted, paths) {
            Answer::Yes => Ok(program),
            Answer::No => {
                Err(absent(wanted, format!("{} (named by {by}) has no package {}", program.display(), wanted.package)))
            }
            Answer::Silent(why) => Err(Failed::new(
                Kind::NotInstalled,
                format!("{} (named by {by}) is no Python that runs: {why}", program.display()),
            )),
        };
    }
    let inside = |name: &str| std::env::var_os(name).map(|folder| Path::new(&folder).join("bin").join("python"));
    let around = [inside("VIRTUAL_ENV"), inside("CONDA_PREFIX"), Some("python3".into())];
    let found = around.into_iter().flatten().find(|program| matches!(ask(program, wanted, paths), Answer::Yes));
    found.ok_or_else(|| {
        absent(wanted, format!("neither the active Python environment nor python3 has the package {}", wanted.package))
    })
}

/// Whether an interpreter has the engine.
enum Answer {
    Yes,
    No,
    /// It could not be asked.
    Silent(String),
}

/// Asks without importing the engine, which takes seconds.
fn ask(program: &Path, wanted: &UserPython, paths: &OsStr) -> Answer {
    let script = format!(
        "import importlib.util, os, sys\n\
         spec = importlib.util.find_spec({:?})\n\
         places = (spec and spec.submodule_search_locations) or []\n\
         sys.exit(0 if any(os.path.isdir(os.path.join(place, {:?})) for place in places) else 3)",
        wanted.package, wanted.part
    );
    let asked = Command::new(program).arg("-c").arg(script).env("PYTHONPATH", paths).stdin(Stdio::null()).output();
    match asked {
        Ok(output) if output.status.success() => Answer::Yes,
        Ok(output) if output.status.code() == Some(3) => Answer::No,
        Ok(output) => {
            let said = String::from_utf8_lossy(&output.stderr);
            let last = said.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or("it said nothing");
            Answer::Silent(format!("{}; {last}", output.status))
        }
        Err(error) => Answer::Silent(error.to_string()),
    }
}

/// Not installed, with what its authors say for this platform.
fn absent(wanted: &UserPython, why: String) -> Failed {
    let platform = platform(Path::new("/"));
    let command = wanted.install.iter().find(|(name, _)| *name == platform).or(wanted.install.first());
    let command = command.map(|(_, command)| format!(" `{command}`")).unwrap_or_default();
    Failed::new(
        Kind::NotInstalled,
        format!(
            "{why}. Its authors install it here by{command} (see {page}); then activate that environment, or name its \
             interpreter with --python, {variable}, or `python` in tokometer.toml",
            page = wanted.page,
            variable = wanted.variable
        ),
    )
}

/// The platform as [`UserPython::install`] names it.
fn platform(root: &Path) -> &'static str {
    match std::env::consts::OS {
        "macos" => "macos",
        _ if root.join("proc/driver/nvidia").is_dir() || root.join("dev/nvidia0").exists() => "linux-nvidia",
        _ if root.join("dev/kfd").exists() => "linux-amd",
        _ => "linux",
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Program, by_name};
    use super::*;

    fn wanted() -> UserPython {
        match by_name("mlc_llm").unwrap().program {
            Program::UserPython(wanted) => wanted,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn an_interpreter_that_is_named_must_be_one() {
        let overrides = Overrides { python: Some("/nowhere/python".into()), ..Overrides::default() };
        let failed = interpreter(&wanted(), &overrides, OsStr::new("")).unwrap_err();
        assert_eq!(failed.kind, Kind::NotInstalled);
        assert!(failed.reason.contains("/nowhere/python") && failed.reason.contains("--python"), "{}", failed.reason);
    }

    #[test]
    fn a_program_that_is_no_python_says_so() {
        let overrides = Overrides { python: Some("false".into()), ..Overrides::default() };
        let failed = interpreter(&wanted(), &overrides, OsStr::new("")).unwrap_err();
        assert!(failed.reason.contains("is no Python that runs"), "{}", failed.reason);
    }

    #[test]
    fn what_is_absent_comes_with_the_command_and_the_page() {
        let failed = absent(&wanted(), "nothing has it".into());
        for part in ["nothing has it", "pip install", "https://llm.mlc.ai/docs/install", "TOKOMETER_MLC_PYTHON"] {
            assert!(failed.reason.contains(part), "{}", failed.reason);
        }
        for (platform, _) in wanted().install {
            assert!(["linux", "linux-nvidia", "linux-amd", "macos"].contains(platform));
        }
    }
}
