//! Python: the interpreter of the machine, and private environments under `.tokometer/env`.

use crate::paths;
use crate::shell::{Cmd, say};
use anyhow::{Context, Result, anyhow};
use std::path::{Path, PathBuf};

/// The oldest Python that the workers run on.
pub const OLDEST: (u32, u32) = (3, 11);

/// An interpreter that can make environments.
pub struct Python {
    /// The program.
    pub program: PathBuf,
    /// As `3.11.7`.
    pub version: String,
}

/// The first interpreter that is new enough and has venv and pip's installer.
pub fn find() -> Option<Python> {
    let names = ["python3", "python3.14", "python3.13", "python3.12", "python3.11", "/usr/bin/python3", "python"];
    let script = format!(
        "import sys, venv, ensurepip; assert sys.version_info >= ({}, {}); print('%d.%d.%d' % sys.version_info[:3])",
        OLDEST.0, OLDEST.1
    );
    names.into_iter().find_map(|name| {
        let version = Cmd::new(name).args(["-c", &script]).ask()?;
        Some(Python { program: name.into(), version })
    })
}

/// As [`find`], or an error that says what to install.
pub fn require(why: &str) -> Result<Python> {
    let (major, minor) = OLDEST;
    find().ok_or_else(|| {
        anyhow!(
            "{why} needs Python {major}.{minor} or newer with venv and pip: on Debian or Ubuntu `apt-get install python3 python3-venv`, \
             on Fedora `dnf install python3`, on Arch `pacman -S python`, on macOS `brew install python`"
        )
    })
}

/// What an environment holds.
pub enum Packages<'a> {
    /// By name and version.
    Listed(&'a [String]),
    /// A requirements file in which every package has its hashes.
    Hashed(&'a [&'a Path]),
}

/// A private environment.
pub struct Environment {
    folder: PathBuf,
}

impl Environment {
    /// The environment of this name, whether it exists or not.
    pub fn named(name: &str) -> Environment {
        Environment { folder: paths::environment(name) }
    }

    /// Its interpreter.
    pub fn python(&self) -> PathBuf {
        self.bin().join("python")
    }

    /// Its programs.
    pub fn bin(&self) -> PathBuf {
        self.folder.join("bin")
    }

    /// The folder of its packages.
    pub fn site_packages(&self) -> Result<PathBuf> {
        let script = "import sysconfig; print(sysconfig.get_path('purelib'))";
        let text = Cmd::new(self.python()).args(["-c", script]).capture()?;
        Ok(text.trim().into())
    }

    /// Whether it was made to the end, with just these packages, at this place, and its interpreter still runs.
    pub fn is_ready(&self, packages: &Packages) -> bool {
        let kept = std::fs::read_to_string(self.stamp_file()).unwrap_or_default();
        self.stamp(packages).is_ok_and(|stamp| stamp == kept)
            && Cmd::new(self.python()).args(["-c", ""]).ask().is_some()
    }

    /// Makes it, unless it is ready. The stamp is written last: an interrupted set-up starts anew.
    pub fn ensure(&self, packages: &Packages) -> Result<()> {
        if self.is_ready(packages) {
            return Ok(());
        }
        let name = paths::short(&self.folder);
        let base = require(&format!("the environment {name}"))?;
        say("setup", format!("making {name} with Python {}", base.version));
        Cmd::new(base.program).args(["-m", "venv", "--clear"]).arg(&self.folder).run()?;
        self.install(packages)?;
        std::fs::write(self.stamp_file(), self.stamp(packages)?)
            .with_context(|| format!("cannot write the stamp of {name}"))
    }

    fn install(&self, packages: &Packages) -> Result<()> {
        let pip = Cmd::new(self.python())
            .args(["-m", "pip", "install", "--disable-pip-version-check", "--no-input"])
            .hint("If the package index cannot be reached, connect to a network and run this again.");
        match packages {
            Packages::Listed([]) => Ok(()),
            Packages::Listed(list) => pip.args(*list).run(),
            // Every package is listed: what a package would pull in beside them is not wanted.
            Packages::Hashed(files) => {
                let pip = pip.args(["--no-deps", "--require-hashes"]);
                files.iter().fold(pip, |pip, file| pip.arg("-r").arg(file)).run()
            }
        }
    }

    /// The text that tells whether an environment is still what it should be. Its place belongs to it because scripts in
    /// an environment hold absolute paths.
    fn stamp(&self, packages: &Packages) -> Result<String> {
        let list = match packages {
            Packages::Listed(list) => list.join("\n"),
            Packages::Hashed(files) => {
                let read = |file: &&Path| {
                    std::fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))
                };
                files.iter().map(read).collect::<Result<Vec<_>>>()?.join("\n")
            }
        };
        Ok(format!("{}\n{list}\n", self.folder.display()))
    }

    fn stamp_file(&self) -> PathBuf {
        self.folder.join("tokometer-stamp.txt")
    }
}
