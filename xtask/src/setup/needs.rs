//! What a build needs of the machine: how each thing is found, which packages bring it. One entry per need.

use super::libclang;
use crate::python::{self, Environment};
use crate::shell::Cmd;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

/// Something that a machine may lack.
pub struct Need {
    /// What it is called in messages.
    pub name: &'static str,
    /// What it is for.
    pub used_for: &'static str,
    /// Whether the build cannot do without.
    pub required: bool,
    /// Looks for it on the machine.
    pub find: fn() -> Option<Found>,
    /// PyPI's package, where there is one.
    pub private: Option<&'static Private>,
    /// The packages that bring it.
    pub install: Install,
}

/// What was found.
#[derive(Default)]
pub struct Found {
    /// Version or place, for people.
    pub detail: String,
    /// Variables that the build must see to find it too.
    pub env: Vec<(OsString, OsString)>,
    /// A folder that must be on PATH.
    pub path: Option<PathBuf>,
}

/// A package of the private environment.
pub struct Private {
    /// Name and version.
    pub package: &'static str,
    /// What it brings once it is installed.
    pub found: fn(&Environment) -> Option<Found>,
}

/// Package names per system; empty where the system always has it.
pub struct Install {
    pub debian: &'static [&'static str],
    pub fedora: &'static [&'static str],
    pub arch: &'static [&'static str],
    pub brew: &'static [&'static str],
}

/// The oldest cmake that llama.cpp's build is used with.
const OLDEST_CMAKE: (u32, u32) = (3, 18);

/// What the build of llama.cpp and its bindings needs.
pub const BUILD: &[Need] = &[
    Need {
        name: "C compiler",
        used_for: "llama.cpp",
        required: true,
        find: || compiler("CC", "cc"),
        private: None,
        install: Install { debian: &["gcc", "libc6-dev"], fedora: &["gcc"], arch: &["gcc"], brew: &[] },
    },
    Need {
        name: "C++ compiler",
        used_for: "llama.cpp",
        required: true,
        find: || compiler("CXX", "c++"),
        private: None,
        install: Install { debian: &["g++"], fedora: &["gcc-c++"], arch: &["gcc"], brew: &[] },
    },
    Need {
        name: "make or ninja",
        used_for: "llama.cpp's build",
        required: true,
        find: make,
        private: Some(&Private {
            package: "ninja==1.13.0",
            found: |environment| {
                Some(Found { env: vec![("CMAKE_GENERATOR".into(), "Ninja".into())], ..program(environment, "ninja")? })
            },
        }),
        install: Install { debian: &["make"], fedora: &["make"], arch: &["make"], brew: &[] },
    },
    Need {
        name: "cmake",
        used_for: "llama.cpp's build",
        required: true,
        find: || cmake("cmake").map(|version| Found { detail: version, ..Found::default() }),
        private: Some(&Private { package: "cmake==3.31.10", found: |environment| program(environment, "cmake") }),
        install: Install { debian: &["cmake"], fedora: &["cmake"], arch: &["cmake"], brew: &["cmake"] },
    },
    Need {
        name: "libclang",
        used_for: "the bindings to llama.cpp",
        required: true,
        find: libclang::find,
        private: Some(&Private { package: "libclang==18.1.1", found: libclang::from_pypi }),
        install: Install { debian: &["libclang-dev"], fedora: &["clang-devel"], arch: &["clang"], brew: &["llvm"] },
    },
    Need {
        name: "Python 3.11+ with venv and pip",
        used_for: "engines driven from Python, and for tools that the system cannot install",
        required: false,
        find: || python::find().map(|python| Found { detail: python.version, ..Found::default() }),
        private: None,
        install: Install {
            debian: &["python3", "python3-venv"],
            fedora: &["python3"],
            arch: &["python"],
            brew: &["python"],
        },
    },
];

/// The compiler that tinygrad calls when it runs on the CPU.
pub const CLANG: Need = Need {
    name: "clang",
    used_for: "tinygrad on the CPU",
    required: false,
    find: || version_line("clang"),
    private: None,
    install: Install { debian: &["clang"], fedora: &["clang"], arch: &["clang"], brew: &[] },
};

/// A cluster that the tests of sweeps on many machines start on this one.
pub const SLURM: Need = Need {
    name: "Slurm",
    used_for: "tests of sweeps on a cluster",
    required: false,
    find: slurm,
    private: None,
    install: Install {
        debian: &["slurm-wlm", "munge"],
        fedora: &["slurm", "slurm-slurmctld", "slurm-slurmd", "munge"],
        arch: &["munge"],
        brew: &[],
    },
};

/// An OpenCL device that every machine can have: on it the tests run what tinygrad computes on GPUs.
pub const OPENCL: Need = Need {
    name: "PoCL",
    used_for: "a test of tinygrad on a device that is not the CPU",
    required: false,
    find: pocl,
    private: None,
    install: Install {
        debian: &["pocl-opencl-icd", "ocl-icd-libopencl1"],
        fedora: &["pocl", "ocl-icd"],
        arch: &["pocl", "ocl-icd"],
        brew: &[],
    },
};

/// What a person has to type on each system.
pub fn advice(missing: &[&Need]) -> String {
    let names: Vec<&str> = missing.iter().map(|need| need.name).collect();
    let packages = |of: fn(&Install) -> &'static [&'static str]| {
        let mut all: Vec<&str> = missing.iter().flat_map(|need| of(&need.install)).copied().collect();
        all.sort_unstable();
        all.dedup();
        all.join(" ")
    };
    let brew = packages(|install| install.brew);
    let brew = if brew.is_empty() { String::new() } else { format!(" && brew install {brew}") };
    format!(
        "this machine lacks {}; install it and run this again:\n  \
         Debian, Ubuntu   sudo apt-get install {}\n  \
         Fedora           sudo dnf install {}\n  \
         Arch             sudo pacman -S --needed {}\n  \
         macOS            xcode-select --install{brew}",
        names.join(", "),
        packages(|install| install.debian),
        packages(|install| install.fedora),
        packages(|install| install.arch),
    )
}

/// A compiler: what the variable names, or the usual name.
fn compiler(variable: &str, usual: &str) -> Option<Found> {
    let chosen = std::env::var(variable).ok().filter(|value| !value.trim().is_empty());
    // The variable may hold a launcher before the compiler, as `ccache gcc`.
    let words = chosen.unwrap_or_else(|| usual.to_owned());
    let mut words = words.split_whitespace();
    let text = Cmd::new(words.next()?).args(words).arg("--version").ask()?;
    Some(Found { detail: text.lines().next()?.to_owned(), ..Found::default() })
}

/// A program by the first line that it says of its version.
fn version_line(name: &str) -> Option<Found> {
    let text = Cmd::new(name).arg("--version").ask()?;
    Some(Found { detail: text.lines().next()?.to_owned(), ..Found::default() })
}

/// Make; ninja alone does when cmake is told to use it.
fn make() -> Option<Found> {
    version_line("make").or_else(|| {
        let ninja = version_line("ninja")?;
        let env = vec![("CMAKE_GENERATOR".into(), "Ninja".into())];
        Some(Found { detail: format!("ninja {}", ninja.detail), env, ..ninja })
    })
}

/// The version of a cmake that is new enough.
fn cmake(program: impl AsRef<std::ffi::OsStr>) -> Option<String> {
    let text = Cmd::new(program).arg("--version").ask()?;
    let version = text.lines().next()?.strip_prefix("cmake version ")?.trim().to_owned();
    (release(&version)? >= OLDEST_CMAKE).then_some(version)
}

/// Slurm with its daemons, which are not on everybody's PATH, and what proves who is who among them.
fn slurm() -> Option<Found> {
    let version =
        |name: &str| ["", "/usr/sbin/"].iter().find_map(|folder| Cmd::new(format!("{folder}{name}")).arg("-V").ask());
    let (_, _, slurm) = (version("munged")?, version("slurmctld")?, version("slurmd")?);
    Some(Found { detail: slurm.lines().next()?.to_owned(), ..Found::default() })
}

/// PoCL as OpenCL's loader finds it: a file that names the library, which outlives the library where a package was removed.
fn pocl() -> Option<Found> {
    let vendors = std::fs::read_dir("/etc/OpenCL/vendors").ok()?;
    let named = vendors.flatten().filter(|entry| entry.file_name().to_string_lossy().starts_with("pocl"));
    let mut libraries = named.filter_map(|entry| Some(std::fs::read_to_string(entry.path()).ok()?.trim().to_owned()));
    // It is a path, or a name whose beginning the system's loader knows: `libpocl.so.2.10.0`, `libpocl.so.2`.
    let known = Cmd::new("/sbin/ldconfig").arg("-p").ask().unwrap_or_default();
    let is_there = |library: &String| match Path::new(library).is_absolute() {
        true => Path::new(library).exists(),
        false => known.lines().any(|line| line.split_whitespace().next().is_some_and(|name| library.starts_with(name))),
    };
    let detail = libraries.find(is_there)?;
    Some(Found { detail, ..Found::default() })
}

/// Major and minor number.
fn release(version: &str) -> Option<(u32, u32)> {
    let mut numbers = version.split(|c: char| !c.is_ascii_digit()).map(str::parse);
    Some((numbers.next()?.ok()?, numbers.next()?.ok()?))
}

/// A program in the private environment.
fn program(environment: &Environment, name: &str) -> Option<Found> {
    let text = Cmd::new(environment.bin().join(name)).arg("--version").ask()?;
    let detail = format!("PyPI's, {}", text.lines().next()?);
    Some(Found { detail, path: Some(environment.bin()), env: Vec::new() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_compare_as_numbers() {
        assert_eq!(release("3.25.1"), Some((3, 25)));
        assert_eq!(release("4.0-rc1"), Some((4, 0)));
        assert!(release("3.9.6").unwrap() < OLDEST_CMAKE);
        assert_eq!(release("unknown"), None);
    }

    #[test]
    fn advice_names_each_package_once_and_every_system() {
        let missing: Vec<&Need> = BUILD.iter().filter(|need| need.name != "make or ninja").collect();
        let text = advice(&missing);
        assert!(text.contains("apt-get install cmake g++ gcc libc6-dev libclang-dev python3 python3-venv"), "{text}");
        assert!(text.contains("pacman -S --needed clang cmake gcc python"), "{text}");
        assert!(text.contains("xcode-select --install && brew install cmake llvm python"), "{text}");
        assert!(advice(&[&CLANG]).ends_with("xcode-select --install"));
    }

    #[test]
    fn every_need_says_what_it_is_for_and_where_it_comes_from() {
        for need in BUILD.iter().chain([&CLANG, &SLURM, &OPENCL]) {
            assert!(!need.used_for.is_empty() && !need.install.debian.is_empty(), "{}", need.name);
            assert!(need.private.is_none_or(|private| private.package.contains("==")), "{}", need.name);
        }
    }
}
