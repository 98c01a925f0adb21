//! Where things lie in the checkout. Nothing here depends on the current folder.

use std::path::{Path, PathBuf};

/// The root of the checkout.
pub fn root() -> &'static Path {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().unwrap_or(here)
}

/// A private Python environment, made by the set-up.
pub fn environment(name: &str) -> PathBuf {
    root().join(".tokometer").join("env").join(name)
}

/// Sources, builds and results of `cargo xtask bench`.
pub fn bench() -> PathBuf {
    root().join(".tokometer").join("bench")
}

/// The folder of released programs: where this one lies itself, so that a configured target folder is respected.
pub fn release() -> PathBuf {
    let fallback = root().join("target").join("release");
    let Ok(exe) = std::env::current_exe() else { return fallback };
    match exe.parent() {
        Some(folder) if folder.ends_with("deps") => folder.parent().map(Path::to_path_buf).unwrap_or(fallback),
        Some(folder) => folder.to_path_buf(),
        None => fallback,
    }
}

/// The `tokometer` program.
pub fn tokometer() -> PathBuf {
    release().join(format!("tokometer{}", std::env::consts::EXE_SUFFIX))
}

/// A path as a person at the root of the checkout would write it.
pub fn short(path: &Path) -> String {
    path.strip_prefix(root()).unwrap_or(path).display().to_string()
}
