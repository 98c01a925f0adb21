//! Running other programs: what they print is shown, kept or both; a failure names the command line, the exit status
//! and what to do next. Measuring a program's time and memory is `bench::measure`'s.

use crate::paths;
use anyhow::{Context, Result, bail};
use std::ffi::{OsStr, OsString};
use std::fmt::Display;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Prints a line of progress: `==> setup: cmake found (3.25.1)`.
pub fn say(stage: &str, text: impl Display) {
    line(&format!("==> {stage}: {text}"));
}

/// Prints a line; a reader that has gone away is no error.
pub fn line(text: &str) {
    let mut out = std::io::stdout().lock();
    let _ = writeln!(out, "{text}").and_then(|()| out.flush());
}

/// A command that is about to run.
pub struct Cmd {
    inner: Command,
    hint: Option<String>,
}

impl Cmd {
    /// A program by path, or by name on PATH.
    pub fn new(program: impl AsRef<OsStr>) -> Cmd {
        Cmd { inner: Command::new(program), hint: None }
    }

    /// Cargo, in the root of the checkout. What the outer `cargo run` has set for this program is taken away: some build
    /// scripts watch these variables and would run again.
    pub fn cargo() -> Cmd {
        let mut cmd = Cmd::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into())).dir(paths::root());
        for (name, _) in std::env::vars_os() {
            let text = name.to_string_lossy();
            if text.starts_with("CARGO_PKG_") || text.starts_with("CARGO_MANIFEST_") {
                cmd.inner.env_remove(&name);
            }
        }
        cmd
    }

    /// Adds an argument.
    pub fn arg(mut self, arg: impl AsRef<OsStr>) -> Cmd {
        self.inner.arg(arg);
        self
    }

    /// Adds arguments.
    pub fn args(mut self, args: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Cmd {
        self.inner.args(args);
        self
    }

    /// Sets a variable.
    pub fn env(mut self, name: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> Cmd {
        self.inner.env(name, value);
        self
    }

    /// Sets variables.
    pub fn envs(mut self, pairs: &[(OsString, OsString)]) -> Cmd {
        self.inner.envs(pairs.iter().map(|(name, value)| (name, value)));
        self
    }

    /// Sets the working folder.
    pub fn dir(mut self, dir: &Path) -> Cmd {
        self.inner.current_dir(dir);
        self
    }

    /// What a person should do if this fails.
    pub fn hint(mut self, hint: impl Into<String>) -> Cmd {
        self.hint = Some(hint.into());
        self
    }

    /// Runs it in the terminal.
    pub fn run(mut self) -> Result<()> {
        let status = self.inner.status().with_context(|| self.cannot_start())?;
        self.check(status.success(), status, "")
    }

    /// Runs it in the terminal. `false`: it ended with the exit code `part`, by which it says that some of its work failed
    /// and the rest is done.
    pub fn run_in_part(mut self, part: i32) -> Result<bool> {
        let status = self.inner.status().with_context(|| self.cannot_start())?;
        let whole = status.code() != Some(part);
        self.check(status.success() || !whole, status, "")?;
        Ok(whole)
    }

    /// Runs it unseen and returns what it printed to stdout.
    pub fn capture(mut self) -> Result<String> {
        let output = self.inner.stdin(Stdio::null()).output().with_context(|| self.cannot_start())?;
        let stderr = String::from_utf8_lossy(&output.stderr);
        self.check(output.status.success(), output.status, &stderr)?;
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// Runs it with its stderr (progress) in the terminal and returns what it printed to stdout.
    pub fn capture_stdout(mut self) -> Result<String> {
        let output = self.inner.stderr(Stdio::inherit()).output().with_context(|| self.cannot_start())?;
        self.check(output.status.success(), output.status, "")?;
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// Asks a program that may not exist: all that it printed, or `None` when it is absent or fails.
    pub fn ask(mut self) -> Option<String> {
        let output = self.inner.stdin(Stdio::null()).output().ok().filter(|output| output.status.success())?;
        let text = [output.stdout, output.stderr].concat();
        Some(String::from_utf8_lossy(&text).trim().to_owned())
    }

    /// Runs it in sight and also returns all that it printed, stdout first.
    pub fn tee(mut self) -> Result<String> {
        self.inner.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = self.inner.spawn().with_context(|| self.cannot_start())?;
        let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
        let text = std::thread::scope(|scope| {
            let copy = scope.spawn(|| stderr.map(|pipe| pass_on(pipe, std::io::stderr())).unwrap_or_default());
            let mut text = stdout.map(|pipe| pass_on(pipe, std::io::stdout())).unwrap_or_default();
            text.extend(copy.join().unwrap_or_default());
            text
        });
        let status = child.wait().with_context(|| self.cannot_start())?;
        self.check(status.success(), status, "")?;
        Ok(String::from_utf8_lossy(&text).into_owned())
    }

    /// The command itself, for `bench::measure`.
    pub fn into_inner(self) -> Command {
        self.inner
    }

    /// The command line as one could type it.
    pub fn shown(&self) -> String {
        show(&self.inner)
    }

    fn cannot_start(&self) -> String {
        format!("cannot start `{}`", self.shown())
    }

    fn check(&self, success: bool, status: impl Display, stderr: &str) -> Result<()> {
        if success {
            return Ok(());
        }
        let mut message = format!("`{}` failed ({status})", self.shown());
        let last: Vec<&str> = stderr.trim().lines().rev().take(20).collect();
        for line in last.iter().rev() {
            message.push_str(&format!("\n    {line}"));
        }
        if let Some(hint) = &self.hint {
            message.push_str(&format!("\n{hint}"));
        }
        bail!(message)
    }
}

/// A command line as one could type it.
pub fn show(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words.map(|word| quote(&word.to_string_lossy())).collect::<Vec<_>>().join(" ")
}

/// The first program of this name on PATH.
pub fn on_path(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|folder| folder.join(name)).find(|file| file.is_file())
}

fn quote(word: &str) -> String {
    let plain = |c: char| c.is_alphanumeric() || "-_./=:,+@%".contains(c);
    match !word.is_empty() && word.chars().all(plain) {
        true => word.to_owned(),
        false => format!("'{}'", word.replace('\'', r"'\''")),
    }
}

/// Copies a pipe to a stream of ours as it comes, and keeps it.
fn pass_on(mut pipe: impl Read, mut to: impl Write) -> Vec<u8> {
    let mut kept = Vec::new();
    let mut buffer = [0; 8192];
    while let Ok(n @ 1..) = pipe.read(&mut buffer) {
        kept.extend_from_slice(&buffer[..n]);
        let _ = to.write_all(&buffer[..n]).and_then(|()| to.flush());
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_names_command_status_words_and_hint() {
        let error = Cmd::new("sh").args(["-c", "echo no luck >&2; exit 3"]).hint("try again").capture().unwrap_err();
        let text = format!("{error:#}");
        assert!(text.contains("`sh -c 'echo no luck >&2; exit 3'` failed (exit status: 3)"), "{text}");
        assert!(text.contains("no luck") && text.ends_with("try again"), "{text}");
    }

    #[test]
    fn work_that_is_done_in_part_is_no_error_and_other_exit_codes_are() {
        let ends_with = |code: &str| Cmd::new("sh").args(["-c", &format!("exit {code}")]).run_in_part(3);
        assert!(ends_with("0").unwrap() && !ends_with("3").unwrap());
        assert!(ends_with("1").is_err());
    }

    #[test]
    fn a_missing_program_is_an_error_that_names_it_but_no_answer_when_asked() {
        let error = Cmd::new("no-such-program").arg("x").run().unwrap_err();
        assert!(format!("{error:#}").starts_with("cannot start `no-such-program x`"));
        assert_eq!(Cmd::new("no-such-program").ask(), None);
    }

    #[test]
    fn words_are_quoted_only_where_needed() {
        assert_eq!(quote("--dir=/a/b"), "--dir=/a/b");
        assert_eq!(quote("it's"), r"'it'\''s'");
        assert_eq!(quote(""), "''");
    }
}
