//! llama.cpp's own tools (llama-bench, llama-server, llama-quantize, the converter), built for comparison from the complete source inside
//! PyPI's llama-cpp-python, on the very library source that the worker was built of and with the same settings: the crate that
//! the worker links leaves the tools out, and the package carries another version of the library.

use crate::paths;
use crate::python::{Environment, Packages};
use crate::setup::Toolchain;
use crate::shell::{Cmd, say};
use anyhow::{Context, Result, anyhow};
use std::fs;
use std::path::{Path, PathBuf};

const REQUIREMENT: &str = "xtask/src/bench/llama-cpp-python.txt";

/// llama.cpp's source and its tools.
pub struct LlamaCpp {
    /// The source tree.
    pub source: PathBuf,
    /// As `tools of llama-cpp-python-0.3.36 (llama.cpp 0c1e57098) on the worker's library, ggml 0.26.0`.
    pub version: String,
    programs: PathBuf,
}

impl LlamaCpp {
    /// A tool that was built.
    pub fn program(&self, name: &str) -> PathBuf {
        self.programs.join(name)
    }
}

/// Fetches the source, once, and builds these tools; cmake sees to it that nothing is built twice.
pub fn tools(toolchain: &Toolchain, targets: &[&str]) -> Result<LlamaCpp> {
    let archive = archive()?;
    let package = stem(&archive)?;
    let complete = paths::bench().join(&package).join("vendor").join("llama.cpp");
    let commit = commit(&archive, &package);
    unpack(&archive, &package, &complete)?;
    let cache = worker_cache()?;
    let settings = settings_of(&cache);
    let (source, ggml) = overlay(&complete, &library_of(&cache)?)?;

    let build = paths::bench().join(format!("{package}-ggml-{ggml}-build"));
    say("bench", format!("building {} (minutes the first time)", targets.join(" and ")));
    let hint = format!("If it does not end well, remove {} and try again.", paths::short(&build));
    Cmd::new("cmake")
        .arg("-S")
        .arg(&source)
        .arg("-B")
        .arg(&build)
        .args(&settings)
        .args(OWN_SETTINGS)
        .args([format!("-DLLAMA_BUILD_COMMIT={commit}"), "-DLLAMA_BUILD_NUMBER=0".to_owned()])
        .envs(&toolchain.env)
        // The source lies inside this checkout: its version must not be taken for llama.cpp's.
        .env("GIT_CEILING_DIRECTORIES", paths::bench())
        .hint(&hint)
        .capture()?;
    let jobs = std::thread::available_parallelism().map_or(1, usize::from).to_string();
    let make = Cmd::new("cmake").arg("--build").arg(&build).args(["--parallel", &jobs, "--target"]).args(targets);
    make.envs(&toolchain.env).hint(&hint).run()?;
    Ok(LlamaCpp {
        source,
        version: format!(
            "tools of {} (llama.cpp {commit}) on the worker's library, ggml {ggml}",
            package.replace('_', "-")
        ),
        programs: build.join("bin"),
    })
}

/// What the worker's library leaves out and the tools need, and what would otherwise be downloaded.
const OWN_SETTINGS: &[&str] = &[
    "-DLLAMA_BUILD_COMMON=ON",
    "-DLLAMA_BUILD_TOOLS=ON",
    "-DLLAMA_BUILD_SERVER=ON",
    "-DLLAMA_BUILD_APP=OFF",
    "-DLLAMA_BUILD_TESTS=OFF",
    "-DLLAMA_BUILD_EXAMPLES=OFF",
    "-DLLAMA_BUILD_UI=OFF",
    "-DLLAMA_USE_PREBUILT_UI=OFF",
    "-DLLAMA_OPENSSL=OFF",
    "-DLLAMA_CURL=OFF",
];

/// The source archive, downloaded once and checked by its hash.
fn archive() -> Result<PathBuf> {
    let folder = paths::bench();
    let find = || {
        let entries = fs::read_dir(&folder).into_iter().flatten().flatten().map(|entry| entry.path());
        entries.into_iter().find(|path| {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            name.starts_with("llama_cpp_python-") && name.ends_with(".tar.gz")
        })
    };
    let environment = Environment::named("bench");
    environment.ensure(&Packages::Listed(&[]))?;
    if let Some(archive) = find() {
        return Ok(archive);
    }
    say("bench", "fetching llama.cpp's source (PyPI's llama-cpp-python, about 75 MB)");
    Cmd::new(environment.python())
        .args([
            "-m",
            "pip",
            "download",
            "--disable-pip-version-check",
            "--no-deps",
            "--no-binary",
            ":all:",
            "--require-hashes",
            "--dest",
        ])
        .arg(&folder)
        .arg("-r")
        .arg(paths::root().join(REQUIREMENT))
        .hint("The package index must be reachable for this benchmark.")
        .run()?;
    find().ok_or_else(|| anyhow!("pip has downloaded, but no llama_cpp_python archive is in {}", folder.display()))
}

/// `llama_cpp_python-0.3.36` of the archive's name.
fn stem(archive: &Path) -> Result<String> {
    let name = archive.file_name().unwrap_or_default().to_string_lossy();
    name.strip_suffix(".tar.gz").map(str::to_owned).ok_or_else(|| anyhow!("{name} is not a .tar.gz"))
}

/// The commit of llama.cpp that the archive says it holds: the archive carries its git metadata.
fn commit(archive: &Path, package: &str) -> String {
    let head = format!("{package}/.git/modules/vendor/llama.cpp/HEAD");
    let text = Cmd::new("tar").arg("-xzOf").arg(archive).arg(&head).ask().unwrap_or_default();
    match text.len() == 40 && text.chars().all(|c| c.is_ascii_hexdigit()) {
        true => text[..9].to_owned(),
        false => format!("as-in-{package}"),
    }
}

/// Unpacks aside and renames, so that half a source tree is never taken for a whole one.
fn unpack(archive: &Path, package: &str, source: &Path) -> Result<()> {
    if source.is_dir() {
        return Ok(());
    }
    let aside = paths::bench().join("unpacking");
    let _ = fs::remove_dir_all(&aside);
    fs::create_dir_all(&aside).with_context(|| format!("cannot make {}", aside.display()))?;
    Cmd::new("tar").arg("-xzf").arg(archive).arg("-C").arg(&aside).args(["--exclude", ".git"]).run()?;
    let place = paths::bench().join(package);
    fs::rename(aside.join(package), &place)
        .with_context(|| format!("cannot move the source to {}", place.display()))?;
    let _ = fs::remove_dir(aside);
    Ok(())
}

/// What the library consists of. The tools keep their own `common`: they are written against it, and it against the library's
/// public header, which changes seldom.
const LIBRARY: &[&str] = &["ggml", "src", "include", "cmake"];

/// A source tree with the tools of one llama.cpp and the library of another. Returns it and the library's version of ggml.
fn overlay(complete: &Path, library: &Path) -> Result<(PathBuf, String)> {
    let cmake = library.join("ggml").join("CMakeLists.txt");
    let text = fs::read_to_string(&cmake).with_context(|| format!("cannot read {}", cmake.display()))?;
    let ggml = ggml_version(&text).ok_or_else(|| anyhow!("{} names no version of ggml", cmake.display()))?;
    let place = paths::bench().join(format!("llama.cpp-ggml-{ggml}"));
    if place.is_dir() {
        return Ok((place, ggml));
    }
    let aside = paths::bench().join("overlaying");
    let _ = fs::remove_dir_all(&aside);
    Cmd::new("cp").arg("-R").arg(complete).arg(&aside).run()?;
    for part in LIBRARY {
        let _ = fs::remove_dir_all(aside.join(part));
        Cmd::new("cp").arg("-R").arg(library.join(part)).arg(aside.join(part)).run()?;
    }
    fs::rename(&aside, &place).with_context(|| format!("cannot move the source to {}", place.display()))?;
    Ok((place, ggml))
}

fn ggml_version(cmake: &str) -> Option<String> {
    let number = |name: &str| {
        let line = cmake.lines().find_map(|line| line.strip_prefix(&format!("set(GGML_VERSION_{name} ")))?;
        line.strip_suffix(')').filter(|digits| digits.bytes().all(|b| b.is_ascii_digit()))
    };
    Some(format!("{}.{}.{}", number("MAJOR")?, number("MINOR")?, number("PATCH")?))
}

/// The source that the worker's library was built of.
fn library_of(cache: &str) -> Result<PathBuf> {
    let line = cache.lines().find_map(|line| line.strip_prefix("CMAKE_HOME_DIRECTORY:INTERNAL="));
    line.map(PathBuf::from).ok_or_else(|| anyhow!("the worker's CMakeCache.txt does not name its source"))
}

/// The cache that the build of the worker's library left: source, compilers, flags, all of ggml's options.
fn worker_cache() -> Result<String> {
    let build = paths::release().join("build");
    let entries = fs::read_dir(&build).with_context(|| format!("cannot read {}", build.display()))?.flatten();
    let ours = entries.filter(|entry| entry.file_name().to_string_lossy().starts_with("llama-cpp-sys-2-"));
    let caches = ours.map(|entry| entry.path().join("out").join("build").join("CMakeCache.txt"));
    let newest = caches
        .filter(|cache| cache.is_file())
        .max_by_key(|cache| cache.metadata().and_then(|data| data.modified()).ok());
    let newest = newest.ok_or_else(|| anyhow!("{} holds no build of llama.cpp", build.display()))?;
    fs::read_to_string(&newest).with_context(|| format!("cannot read {}", newest.display()))
}

fn settings_of(cache: &str) -> Vec<String> {
    let chosen = |name: &str| {
        let tools = [
            "CMAKE_BUILD_TYPE",
            "CMAKE_C_COMPILER",
            "CMAKE_CXX_COMPILER",
            "CMAKE_C_FLAGS",
            "CMAKE_CXX_FLAGS",
            "BUILD_SHARED_LIBS",
        ];
        tools.contains(&name) || name.starts_with("GGML_")
    };
    let entries = cache.lines().filter_map(|line| line.split_once('=')).filter_map(|(key, value)| {
        let (name, kind) = key.split_once(':')?;
        (chosen(name) && matches!(kind, "BOOL" | "STRING" | "FILEPATH")).then(|| format!("-D{name}:{kind}={value}"))
    });
    entries.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn version_and_source_of_the_library_are_found() {
        let cmake = "set(GGML_VERSION_MAJOR 0)\nset(GGML_VERSION_MINOR 26)\nset(GGML_VERSION_PATCH 0)\nset(GGML_VERSION_BASE \"x\")\n";
        assert_eq!(ggml_version(cmake).as_deref(), Some("0.26.0"));
        assert_eq!(ggml_version("set(GGML_VERSION_MAJOR 0)\n"), None);
        let cache = "A:BOOL=ON\nCMAKE_HOME_DIRECTORY:INTERNAL=/src/llama.cpp\n";
        assert_eq!(library_of(cache).unwrap(), Path::new("/src/llama.cpp"));
        assert!(library_of("A:BOOL=ON\n").is_err());
    }

    #[test]
    fn compilers_flags_and_options_are_taken_over() {
        let cache = "# comment\n//help\nCMAKE_BUILD_TYPE:STRING=Release\nCMAKE_C_FLAGS:STRING= -fPIC -m64\nCMAKE_C_FLAGS_DEBUG:STRING=-g\n\
                     GGML_NATIVE:BOOL=ON\nGGML_OPENMP:BOOL=OFF\nGGML_OPENMP_ENABLED:INTERNAL=OFF\nLLAMA_BUILD_TOOLS:BOOL=OFF\n";
        let expected = [
            "-DCMAKE_BUILD_TYPE:STRING=Release",
            "-DCMAKE_C_FLAGS:STRING= -fPIC -m64",
            "-DGGML_NATIVE:BOOL=ON",
            "-DGGML_OPENMP:BOOL=OFF",
        ];
        assert_eq!(settings_of(cache), expected);
    }
}
