//! Running the cluster's commands.

use super::{Error, Result};
use std::io::ErrorKind;
use std::process::{Command, Stdio};

/// What a command answered.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Said {
    /// Exit code; `None` when a signal ended it.
    pub code: Option<i32>,
    /// What it printed.
    pub out: String,
    /// What it complained about.
    pub err: String,
}

impl Said {
    /// Whether it worked.
    pub fn ok(&self) -> bool {
        self.code == Some(0)
    }

    /// Its complaint in one line: Slurm's own prefixes are left out.
    pub fn complaint(&self) -> String {
        let text = if self.err.trim().is_empty() { &self.out } else { &self.err };
        let mut lines: Vec<&str> = Vec::new();
        for line in text.lines().map(str::trim).filter(|line| !line.is_empty()) {
            let line = line.split_once(" error: ").map_or(line, |(_, rest)| rest);
            if !lines.contains(&line) {
                lines.push(line);
            }
        }
        match (lines.is_empty(), self.code) {
            (false, _) => lines.join(", "),
            (true, Some(code)) => format!("exit code {code} without a word"),
            (true, None) => "it was ended by a signal".to_owned(),
        }
    }
}

/// Whoever runs commands.
pub trait Shell {
    /// Runs a program and waits for it.
    ///
    /// # Errors
    /// [`Error::Missing`] and [`Error::Start`]. A command that runs and fails is no error.
    fn ask(&self, program: &str, arguments: &[String]) -> Result<Said>;
}

/// The programs on PATH.
#[derive(Debug, Clone, Default)]
pub struct System {
    /// Further variables for them, as `SLURM_CONF`.
    pub env: Vec<(String, String)>,
}

/// A user's own formats and filters would change the answers.
const FORMATS: [&str; 3] = ["SQUEUE_", "SINFO_", "SACCT_"];

impl Shell for System {
    fn ask(&self, program: &str, arguments: &[String]) -> Result<Said> {
        let mut command = Command::new(program);
        for (name, _) in std::env::vars_os() {
            if FORMATS.iter().any(|prefix| name.to_string_lossy().starts_with(prefix)) {
                command.env_remove(&name);
            }
        }
        command.args(arguments).env("LC_ALL", "C").stdin(Stdio::null());
        command.envs(self.env.iter().map(|(name, value)| (name, value)));
        let output = command.output().map_err(|cause| match cause.kind() {
            ErrorKind::NotFound => Error::Missing { program: program.to_owned() },
            _ => Error::Start { program: program.to_owned(), cause },
        })?;
        Ok(Said {
            code: output.status.code(),
            out: String::from_utf8_lossy(&output.stdout).into_owned(),
            err: String::from_utf8_lossy(&output.stderr).into_owned(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_that_is_not_there_is_named_with_the_way_out() {
        let error = System::default().ask("no-such-sbatch", &[]).unwrap_err().to_string();
        assert!(error.contains("`no-such-sbatch` is not on PATH") && error.contains("login node"), "{error}");
    }

    #[test]
    fn complaints_lose_their_prefixes_and_repetitions() {
        let said = |err: &str| Said { code: Some(1), err: err.to_owned(), ..Said::default() };
        let text = "sbatch: error: invalid partition specified: nope\nsbatch: error: Batch job submission failed: Invalid partition name specified\n";
        assert_eq!(
            said(text).complaint(),
            "invalid partition specified: nope, Batch job submission failed: Invalid partition name specified"
        );
        let twice =
            "slurm_load_jobs error: Invalid job id specified\nslurm_load_jobs error: Invalid job id specified\n";
        assert_eq!(said(twice).complaint(), "Invalid job id specified");
        assert_eq!(said("").complaint(), "exit code 1 without a word");
    }

    #[test]
    fn variables_and_answers_pass() {
        let system = System { env: vec![("WORD".into(), "yes".into())] };
        let said = system.ask("sh", &["-c".into(), "echo $WORD; echo no >&2; exit 3".into()]).unwrap();
        assert_eq!(said, Said { code: Some(3), out: "yes\n".into(), err: "no\n".into() });
        assert!(!said.ok());
    }
}
