//! libclang, which bindgen loads while it makes the bindings to llama.cpp. Besides the library it needs the compiler's own
//! headers (`stddef.h` and kin), which some packages leave out; the C compiler's do as well.

use super::needs::Found;
use crate::python::Environment;
use crate::shell::Cmd;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

/// Looks where bindgen's loader looks, and in some more places; for these `LIBCLANG_PATH` tells it.
pub fn find() -> Option<Found> {
    if let Some(set) = std::env::var_os("LIBCLANG_PATH") {
        let set = PathBuf::from(set);
        let folder = if set.is_file() { set.parent()?.to_path_buf() } else { set };
        return library_in(&folder).map(|library| found(&library, false));
    }
    let mut folders = Vec::new();
    if let Some(text) = Cmd::new("llvm-config").arg("--libdir").ask() {
        folders.push((PathBuf::from(text), false));
    }
    folders.extend(from_linker_cache().map(|folder| {
        let usual =
            ["/usr/lib", "/usr/lib64", "/usr/local", "/lib", "/lib64"].iter().any(|root| folder.starts_with(root));
        (folder, !usual)
    }));
    folders.extend(llvm_folders().map(|folder| (folder, false)));
    folders.extend(["/usr/lib64", "/usr/lib", "/usr/local/lib"].map(|folder| (folder.into(), false)));
    folders.extend(["/Library/Developer/CommandLineTools/usr/lib"].map(|folder| (folder.into(), false)));
    folders.extend(["/opt/homebrew/opt/llvm/lib", "/usr/local/opt/llvm/lib"].map(|folder| (folder.into(), true)));
    folders.into_iter().find_map(|(folder, tell)| library_in(&folder).map(|library| found(&library, tell)))
}

/// PyPI's package holds the library alone.
pub fn from_pypi(environment: &Environment) -> Option<Found> {
    let folder = environment.site_packages().ok()?.join("clang").join("native");
    let mut found = found(&library_in(&folder)?, true);
    found.detail = format!("PyPI's, {}", found.detail);
    Some(found)
}

fn found(library: &Path, tell: bool) -> Found {
    let folder = library.parent().unwrap_or(library);
    let mut env: Vec<(OsString, OsString)> = Vec::new();
    if tell {
        env.push(("LIBCLANG_PATH".into(), folder.into()));
    }
    if !has_headers(library) && std::env::var_os("BINDGEN_EXTRA_CLANG_ARGS").is_none() {
        env.extend(
            compiler_headers()
                .map(|headers| ("BINDGEN_EXTRA_CLANG_ARGS".into(), format!("-I{}", headers.display()).into())),
        );
    }
    Found { detail: crate::paths::short(library), env, path: None }
}

/// `libclang.so`, `libclang-14.so.1`, `libclang.dylib`: the library itself, not `libclang-cpp` or `libclang_rt`.
fn library_in(folder: &Path) -> Option<PathBuf> {
    let names = std::fs::read_dir(folder).ok()?.flatten().filter_map(|entry| entry.file_name().into_string().ok());
    let mut names: Vec<String> = names.filter(|name| is_library(name)).collect();
    names.sort();
    // A dangling link is no library.
    names.into_iter().map(|name| folder.join(name)).find(|path| path.is_file())
}

fn is_library(name: &str) -> bool {
    let Some(rest) = name.strip_prefix("libclang") else { return false };
    let version = rest.strip_prefix('-').unwrap_or(rest).trim_start_matches(|c: char| c.is_ascii_digit() || c == '.');
    match version {
        // What is left of `-14.so.1` and `.so.13`; the dots before it are eaten with the digits.
        "dylib" | "so" => true,
        _ => version.strip_prefix("so.").is_some_and(|tail| tail.chars().all(|c| c.is_ascii_digit() || c == '.')),
    }
}

/// Whether clang's own headers lie where this library looks for them: `<lib>/clang/<version>/include`, seen from the
/// library's real place, or the one place for all versions that distributions have.
fn has_headers(library: &Path) -> bool {
    let real = library.canonicalize().unwrap_or_else(|_| library.to_path_buf());
    let Some(folder) = real.parent() else { return false };
    let mut roots = vec![folder.join("clang")];
    if !folder.starts_with(crate::paths::root()) {
        roots.extend(["/usr/lib/clang", "/usr/lib64/clang"].map(PathBuf::from));
    }
    roots.iter().flat_map(|root| subfolders(root)).any(|version| version.join("include").join("stddef.h").is_file())
}

/// The C compiler's own headers, where it says that it has some.
fn compiler_headers() -> Option<PathBuf> {
    let text = Cmd::new("cc").arg("-print-file-name=include").ask()?;
    Some(PathBuf::from(text)).filter(|folder| folder.join("stddef.h").is_file())
}

/// Folders of which the dynamic linker knows that they hold libclang.
fn from_linker_cache() -> impl Iterator<Item = PathBuf> {
    let text =
        ["ldconfig", "/sbin/ldconfig"].into_iter().find_map(|name| Cmd::new(name).arg("-p").ask()).unwrap_or_default();
    let lines = text.lines().filter_map(|line| line.split_once(" => "));
    let folders = lines.filter(|(name, _)| name.split_whitespace().next().is_some_and(is_library));
    folders.filter_map(|(_, path)| Some(Path::new(path.trim()).parent()?.to_path_buf())).collect::<Vec<_>>().into_iter()
}

/// `/usr/lib/llvm-*/lib`, the highest name first.
fn llvm_folders() -> impl Iterator<Item = PathBuf> {
    let mut folders = subfolders(Path::new("/usr/lib"));
    folders.retain(|folder| folder.file_name().is_some_and(|name| name.to_string_lossy().starts_with("llvm-")));
    folders.sort();
    folders.into_iter().rev().map(|folder| folder.join("lib"))
}

fn subfolders(root: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(root).into_iter().flatten().flatten();
    entries.map(|entry| entry.path()).filter(|path| path.is_dir()).collect()
}

#[cfg(test)]
mod tests {
    use super::is_library;

    #[test]
    fn the_library_is_told_from_its_namesakes() {
        for name in [
            "libclang.so",
            "libclang.so.1",
            "libclang-14.so",
            "libclang-14.so.13.0.1",
            "libclang.dylib",
            "libclang-3.9.so",
        ] {
            assert!(is_library(name), "{name}");
        }
        for name in
            ["libclang-cpp.so.14", "libclang_rt.asan.so", "libclangAST.a", "libclang.a", "clang.so", "libclang.so.py"]
        {
            assert!(!is_library(name), "{name}");
        }
    }
}
