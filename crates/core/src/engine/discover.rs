//! Where workers lie: configuration, beside `tokometer`, the set-up's environments, PATH. Environments that the user made
//! are found by `user_python`.

use super::{Engine, Failed, Kind, Program, user_python};
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

/// How to start a worker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Discovery {
    /// The program.
    pub program: PathBuf,
    /// Its arguments.
    pub arguments: Vec<OsString>,
    /// Variables to set for it.
    pub environment: Vec<(String, OsString)>,
    /// Bytes of memory that it may use.
    pub memory_limit: Option<u64>,
}

/// What `tokometer.toml` says about an engine's worker.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Overrides {
    /// A worker program to use instead of ours.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub worker: Option<PathBuf>,
    /// A Python interpreter that has the engine, for engines driven from Python.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub python: Option<PathBuf>,
    /// Environment variables for the worker.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub env: BTreeMap<String, String>,
}

/// Finds the worker of an engine.
///
/// # Errors
/// It is not there: the text says where it was looked for and which command brings it.
pub fn find_worker(engine: &Engine, overrides: &Overrides) -> Result<Discovery, Failed> {
    let environment = overrides.env.iter().map(|(k, v)| (k.clone(), OsString::from(v))).collect();
    if let Some(program) = &overrides.worker {
        return match program.is_file() {
            true => Ok(Discovery { program: program.clone(), arguments: Vec::new(), environment, memory_limit: None }),
            false => Err(missing(
                engine,
                format!("tokometer.toml names the worker {}, which is not a file", program.display()),
            )),
        };
    }
    match engine.program {
        Program::Native(name) => native(engine, name).map(|program| Discovery {
            program,
            arguments: Vec::new(),
            environment,
            memory_limit: None,
        }),
        Program::Python { module, environment: name } => python(engine, module, name, overrides, environment),
        Program::UserPython(wanted) => user_python::find(engine, &wanted, overrides, environment),
    }
}

pub(super) fn missing(engine: &Engine, why: String) -> Failed {
    Failed::new(Kind::NotInstalled, format!("{}: {why}; `cargo xtask build` brings it", engine.title))
}

fn beside() -> Option<PathBuf> {
    let exe = std::env::current_exe().ok()?;
    let folder = exe.canonicalize().unwrap_or(exe).parent()?.to_path_buf();
    // Test programs lie one folder deeper.
    match folder.file_name().is_some_and(|name| name == "deps") {
        true => folder.parent().map(Path::to_path_buf),
        false => Some(folder),
    }
}

fn native(engine: &Engine, name: &str) -> Result<PathBuf, Failed> {
    let file = format!("{name}{}", std::env::consts::EXE_SUFFIX);
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut places: Vec<PathBuf> = beside().into_iter().collect();
    places.extend(std::env::split_paths(&path));
    let found = places.iter().map(|place| place.join(&file)).find(|candidate| candidate.is_file());
    found.ok_or_else(|| {
        let where_to = places.first().map(|place| place.display().to_string()).unwrap_or_default();
        missing(engine, format!("its worker {file} is neither in {where_to} nor on PATH"))
    })
}

/// Python workers are folders: `workers/` beside the program, or in the source tree above it.
fn python(
    engine: &Engine,
    module: &str,
    name: &str,
    overrides: &Overrides,
    mut environment: Vec<(String, OsString)>,
) -> Result<Discovery, Failed> {
    let workers = workers_with(engine, name)?;
    let program = match &overrides.python {
        Some(python) => python.clone(),
        None => set_up_python(name)
            .ok_or_else(|| missing(engine, format!("its Python environment {name} has not been set up")))?,
    };
    let paths = [workers.join(name), workers.join("python-protocol")];
    let joined = std::env::join_paths(&paths).map_err(|error| missing(engine, error.to_string()))?;
    environment.push(("PYTHONPATH".into(), joined));
    environment.push(("PYTHONDONTWRITEBYTECODE".into(), "1".into()));
    Ok(Discovery { program, arguments: vec!["-m".into(), module.into()], environment, memory_limit: None })
}

/// The interpreter of an environment that the set-up made, if it is there.
pub fn set_up_python(name: &str) -> Option<PathBuf> {
    let place = |above: PathBuf| above.join(".tokometer").join("env").join(name).join("bin").join("python");
    above().into_iter().map(place).find(|candidate| candidate.is_file())
}

/// The program's folder and three above it.
fn above() -> Vec<PathBuf> {
    beside().iter().flat_map(|folder| folder.ancestors().take(4)).map(Path::to_path_buf).collect()
}

/// The folder that holds the workers, with the one of that name in it.
pub(super) fn workers_with(engine: &Engine, name: &str) -> Result<PathBuf, Failed> {
    let found = above().into_iter().map(|place| place.join("workers")).find(|place| place.join(name).is_dir());
    found.ok_or_else(|| missing(engine, format!("the folder workers/{name} is not beside the program")))
}
