//! A working folder of its own for each test, and the program in it.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::Once;
use std::time::Duration;

/// What the names of the folders begin with.
const PREFIX: &str = "tokometer-cli-";

/// How long the folder of a test that failed or was killed can be looked at.
const KEPT: Duration = Duration::from_secs(3600);

/// A fresh folder; removed when dropped, or, if the test fails, by a later run of the tests (see [`KEPT`]).
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
        static SWEPT: Once = Once::new();
        SWEPT.call_once(sweep);
        let path = std::env::temp_dir().join(format!("{PREFIX}{name}-{}", std::process::id()));
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

/// Removes what tests have left that failed or were killed, unless it is young.
fn sweep() {
    for entry in std::fs::read_dir(std::env::temp_dir()).into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let number = name.strip_prefix(PREFIX).and_then(|rest| rest.rsplit_once('-')?.1.parse().ok());
        let age = entry.metadata().and_then(|meta| meta.modified()).ok().and_then(|then| then.elapsed().ok());
        if number.is_some_and(is_over) && age.is_some_and(|age| age > KEPT) {
            let _ = std::fs::remove_dir_all(entry.path());
        }
    }
}

/// Whether there is no such process any more.
fn is_over(number: libc::pid_t) -> bool {
    // SAFETY: a plain call; signal 0 asks whether there is somebody and sends nothing.
    let answer = unsafe { libc::kill(number, 0) };
    answer != 0 && std::io::Error::last_os_error().raw_os_error() == Some(libc::ESRCH)
}

#[test]
fn what_tests_left_is_swept_when_they_are_over_and_it_is_old() {
    let mut over = Command::new("true").spawn().unwrap();
    over.wait().unwrap();
    let own = Dir::new("sweep");
    let others = |name: &str| std::env::temp_dir().join(format!("{PREFIX}sweep-{name}-{}", over.id()));
    let (old, young) = (others("old"), others("young"));
    for folder in [&old, &young] {
        std::fs::create_dir_all(folder.join("models")).unwrap();
    }
    let long_ago = std::time::SystemTime::now() - 2 * KEPT;
    for folder in [&old, &own.0] {
        std::fs::File::open(folder).unwrap().set_modified(long_ago).unwrap();
    }
    sweep();
    let left = [&old, &young, &own.0].map(|folder| folder.exists());
    let _ = std::fs::remove_dir_all(young);
    assert_eq!(left, [false, true, true]);
}

/// Sorted names of a folder's entries.
pub fn names(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let mut names: Vec<String> = entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}
