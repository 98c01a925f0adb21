//! A working folder of its own for each test, and the program in it.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// A fresh folder; removed when dropped, unless the test failed.
pub struct Dir(PathBuf);

/// What the program did.
pub struct Ran {
    /// Exit code.
    pub code: i32,
    /// What it printed.
    pub out: String,
    /// What it complained about.
    pub err: String,
}

impl Dir {
    /// A folder for the test of that name.
    pub fn new(name: &str) -> Dir {
        let path = std::env::temp_dir().join(format!("tokometer-cli-{name}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&path);
        std::fs::create_dir_all(&path).unwrap();
        Dir(path)
    }

    /// A path inside.
    pub fn path(&self, inside: &str) -> PathBuf {
        self.0.join(inside)
    }

    /// The lock of whoever measures in this folder; it holds the number of the process.
    pub fn lock(&self) -> PathBuf {
        self.path("measuring.lock")
    }

    /// Writes a file inside.
    pub fn write(&self, inside: &str, content: impl AsRef<[u8]>) {
        let path = self.path(inside);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, content).unwrap();
    }

    /// The program, in this folder. It waits for others in this folder and for nobody else.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(program());
        command
            .arg("--dir")
            .arg(&self.0)
            .args(arguments)
            .current_dir(&self.0)
            .env("TOKOMETER_LOCK", self.lock())
            .env("NO_COLOR", "1")
            .env("COLUMNS", "80");
        command
    }

    /// Runs the program.
    pub fn run(&self, arguments: &[&str]) -> Ran {
        Ran::of(self.command(arguments).output().unwrap())
    }

    /// Runs the program, which must succeed.
    pub fn ok(&self, arguments: &[&str]) -> Ran {
        let ran = self.run(arguments);
        assert_eq!(ran.code, 0, "{arguments:?}\n{}\n{}", ran.out, ran.err);
        ran
    }

    /// Measures one mock case with these further arguments.
    pub fn mock(&self, more: &[&str]) -> Ran {
        let workload = &["--prompt-tokens", "8", "--gen-tokens", "4"][..];
        self.run(&on_tiny("run", "mock", &[workload, more].concat()))
    }

    /// Names of raw logs.
    pub fn logs(&self) -> Vec<String> {
        names(&self.path("benchmark_output"))
            .into_iter()
            .filter(|name| name.ends_with(".txt") || name.ends_with(".partial"))
            .collect()
    }

    /// all.csv as rows of named cells.
    pub fn rows(&self) -> Vec<std::collections::BTreeMap<String, String>> {
        let mut reader = csv::Reader::from_path(self.path("benchmark_output/all.csv")).unwrap();
        reader.deserialize().map(|row| row.unwrap()).collect()
    }
}

impl Drop for Dir {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            let _ = std::fs::remove_dir_all(&self.0);
        }
    }
}

impl Ran {
    /// From a finished process.
    pub fn of(output: Output) -> Ran {
        Ran {
            code: output.status.code().unwrap_or(-1),
            out: String::from_utf8_lossy(&output.stdout).into_owned(),
            err: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    /// Asserts the exit code and that stderr holds every one of these texts.
    pub fn fails(&self, code: i32, texts: &[&str]) {
        assert_eq!(self.code, code, "{}\n{}", self.out, self.err);
        for text in texts {
            assert!(self.err.contains(text), "stderr lacks {text:?}:\n{}", self.err);
        }
        assert!(!self.err.contains("panicked"), "{}", self.err);
    }
}

/// Arguments of a command that works on the tiny model, with these further ones.
pub fn on_tiny<'a>(command: &'a str, engine: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    [&[command, "--engine", engine, "--model", "synthetic:tiny"][..], more].concat()
}

/// The program under test.
pub fn program() -> &'static str {
    env!("CARGO_BIN_EXE_tokometer")
}

/// Sorted names of a folder's entries.
pub fn names(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let mut names: Vec<String> = entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}
