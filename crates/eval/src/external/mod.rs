//! Programs of others that put a task to the endpoint: `vf-eval` and `lm_eval`, each in its Python environment.
//!
//! What they need of us (task sets, a harness, task descriptions) is built into this crate and written into a folder of the
//! evaluation's own. That folder stays until the evaluation is done, so that one that died goes on where it was.

#[cfg(test)]
mod fuzz;
pub mod import;
mod lm_eval;
mod verifiers;

pub use lm_eval::LM_EVAL;
pub use verifiers::VERIFIERS;

use crate::endpoint::die_with_us;
use crate::result::Scored;
use crate::{Client, Error, Result, TaskSet};
use std::ffi::OsString;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;
use tokometer_core::engine::set_up_python;
use tokometer_core::fingerprint;
use tokometer_core::progress::Task;

/// What to do about an evaluation that ended too early.
pub(crate) const GOES_ON: &str = "; the same command goes on from there";

/// Between two looks at what a program has written.
const LOOK: Duration = Duration::from_millis(200);

/// The scorers, in Python.
const SCORES: &str = include_str!("../../../../evals/tokometer_scores.py");

/// A program of others.
#[derive(Debug)]
pub struct Tool {
    /// As users know it.
    pub title: &'static str,
    /// The environment that the set-up makes.
    pub environment: &'static str,
    /// The variable that names another interpreter.
    pub variable: &'static str,
    /// Its package, for the version.
    pub package: &'static str,
    /// Files of ours that it needs: path in the folder, content.
    files: &'static [(&'static str, &'static str)],
    /// The words after the interpreter.
    arguments: fn(&Order<'_>) -> Result<Vec<OsString>>,
    /// How many examples are done by what lies in the folder; `None` where nothing tells.
    count: fn(&Path) -> Option<usize>,
    /// What it wrote.
    read: fn(&Path) -> Result<Vec<Scored>>,
}

/// What a tool is to do.
#[derive(Debug)]
pub struct Order<'a> {
    /// The environment or task, without `vf:` or `lm:`.
    pub name: &'a str,
    /// The base address, as `http://127.0.0.1:8080/v1`.
    pub url: &'a str,
    /// The model's name in requests.
    pub model: &'a str,
    /// Most examples; `None` is all.
    pub num_examples: Option<usize>,
    /// Most tokens of a reply.
    pub max_tokens: Option<u32>,
    /// The evaluation's own folder.
    pub folder: &'a Path,
    /// Whether the endpoint offers its tokenizer.
    pub offers_tokenizer: bool,
}

/// What came of it.
#[derive(Debug, Clone, PartialEq)]
pub struct Done {
    /// The examples.
    pub examples: Vec<Scored>,
    /// The tool's exit code.
    pub returncode: i32,
    /// Examples that an earlier attempt had done.
    pub resumed: usize,
    /// Name and version of the tool.
    pub evaluator: String,
    /// Why it failed.
    pub reason: Option<String>,
}

impl Tool {
    /// Its interpreter: the one that the variable names, else the set-up's.
    ///
    /// # Errors
    /// There is none; the text says which command makes it.
    pub fn python(&self) -> Result<PathBuf> {
        if let Some(named) = std::env::var_os(self.variable).filter(|value| !value.is_empty()) {
            let path = PathBuf::from(named);
            return match path.is_file() {
                true => Ok(path),
                false => Err(Error::Tool(format!(
                    "{} names {}, which is not a file: it must be a Python that has {}",
                    self.variable,
                    path.display(),
                    self.package
                ))),
            };
        }
        set_up_python(self.environment).ok_or_else(|| {
            Error::Tool(format!(
                "{} is not installed; `cargo xtask setup --eval` makes its environment, or {} names a Python that has it",
                self.title, self.variable
            ))
        })
    }

    /// Runs it to its end. `task` hears of examples as they are written down.
    ///
    /// # Errors
    /// It is not installed, cannot be started, or its files cannot be read. That it failed is in the result.
    pub fn run(&self, order: &Order<'_>, set: Option<&TaskSet>, client: &Client, task: &dyn Task) -> Result<Done> {
        let python = self.python()?;
        self.write_files(order, set, client)?;
        let count = || (self.count)(order.folder).unwrap_or(0);
        let resumed = count();
        let arguments = (self.arguments)(order)?;
        let log = order.folder.join("output.txt");
        let file = File::create(&log).map_err(Error::file("write", &log))?;
        let other = file.try_clone().map_err(Error::file("write", &log))?;
        let mut command = Command::new(&python);
        command.args(&arguments).current_dir(order.folder).stdin(Stdio::null()).stdout(file).stderr(other);
        for (name, value) in environment(order.folder) {
            command.env(name, value);
        }
        die_with_us(&mut command);
        let before = client.answered();
        let mut child = command.spawn().map_err(|error| Error::Tool(self.not_started(&python, &error)))?;
        let mut seen = 0;
        let status = loop {
            let now = count();
            task.advance(now.saturating_sub(seen) as u64);
            seen = seen.max(now);
            match child.try_wait().map_err(Error::file("wait for", &python))? {
                Some(status) => break status,
                None => std::thread::sleep(LOOK),
            }
        };
        let examples = (self.read)(order.folder)?;
        let returncode = status.code().unwrap_or(1);
        let reason = match (status.success(), examples.is_empty()) {
            (true, false) => None,
            (true, true) => Some(format!("{} wrote no examples{}", self.title, last_words(&log))),
            (false, _) => {
                let total = set.map(|set| set.first(order.num_examples).len());
                let done = (self.count)(order.folder);
                let far = how_far(done, total, answered(before, client));
                let next = if done > Some(0) { GOES_ON } else { "" };
                Some(format!("{} failed ({status}){far}{}{next}", self.title, last_words(&log)))
            }
        };
        let returncode = if returncode == 0 && reason.is_some() { 1 } else { returncode };
        Ok(Done { examples, returncode, resumed, evaluator: self.evaluator(&python), reason })
    }

    /// Its version and our files for it; `None` where it is not installed or does not tell its version.
    pub fn identity(&self) -> Option<String> {
        let version = self.version(&self.python().ok()?)?;
        Some(format!("{} {version} {}", self.package, fingerprint::of_value(&self.files)))
    }

    fn not_started(&self, python: &Path, error: &std::io::Error) -> String {
        let (title, python) = (self.title, python.display());
        format!("{title} could not be started with {python}: {error}; {} names another Python", self.variable)
    }

    /// `lm-eval 0.4.13`; without the number where it does not tell.
    fn evaluator(&self, python: &Path) -> String {
        self.version(python).map_or_else(|| self.package.to_owned(), |version| format!("{} {version}", self.package))
    }

    fn version(&self, python: &Path) -> Option<String> {
        let script = format!("import importlib.metadata as m; print(m.version('{}'))", self.package);
        let output =
            Command::new(python).args(["-c", &script]).output().ok().filter(|output| output.status.success())?;
        Some(String::from_utf8_lossy(&output.stdout).trim().to_owned())
    }

    fn write_files(&self, order: &Order<'_>, set: Option<&TaskSet>, client: &Client) -> Result<()> {
        let write = |name: &str, text: &str| {
            let path = order.folder.join(name);
            tokometer_core::disk::write_whole(&path, text.as_bytes()).map_err(Error::file("write", &path))
        };
        for (name, text) in self.files {
            write(name, text)?;
        }
        let Some(set) = set else { return Ok(()) };
        // `lm_eval` sends prompts as they are; `vf-eval` sends messages, which the endpoint puts into the template itself.
        let raw = self.environment == LM_EVAL.environment;
        let mut text = String::new();
        for example in &set.examples {
            let mut example = example.clone();
            if raw && let Some(prompt) = client.templated(&example.prompt)? {
                example.prompt = prompt;
            }
            let line = serde_json::to_string(&example)
                .map_err(|error| Error::Task { name: set.name.clone(), why: error.to_string() })?;
            text.push_str(&line);
            text.push('\n');
        }
        write("tasks.jsonl", &text)
    }
}

/// Nothing is asked of the network, nothing is told to anybody, caches stay in the folder.
fn environment(folder: &Path) -> Vec<(&'static str, OsString)> {
    let inside = |name: &str| folder.join(name).into_os_string();
    vec![
        ("PYTHONPATH", inside("modules")),
        ("PYTHONDONTWRITEBYTECODE", "1".into()),
        ("PYTHONUNBUFFERED", "1".into()),
        ("TOKOMETER_API_KEY", "none".into()),
        ("OPENAI_API_KEY", "none".into()),
        ("HF_DATASETS_CACHE", inside("datasets")),
        ("HF_HUB_DISABLE_TELEMETRY", "1".into()),
        ("DO_NOT_TRACK", "1".into()),
        ("NO_PROXY", "127.0.0.1,localhost".into()),
        ("no_proxy", "127.0.0.1,localhost".into()),
    ]
}

/// Requests of this attempt that the server has answered, where it still tells.
fn answered(before: Option<u64>, client: &Client) -> Option<u64> {
    before.zip(client.answered()).map(|(before, now)| now.saturating_sub(before))
}

/// ` after 7 of 40 examples, 22 of its requests were answered`: how far a program came. Examples are those of earlier attempts,
/// too. They are not told where nothing counts them, for a request is no example.
fn how_far(examples: Option<usize>, total: Option<usize>, answered: Option<u64>) -> String {
    let of = total.map(|total| format!(" of {total}")).unwrap_or_default();
    match (examples, answered) {
        (Some(done), Some(answered)) => format!(" after {done}{of} examples, {answered} of its requests were answered"),
        (Some(done), None) => format!(" after {done}{of} examples"),
        (None, Some(answered)) => format!(" after {answered} of its requests were answered"),
        (None, None) => String::new(),
    }
}

/// The last line of what it printed, with the log's path.
fn last_words(log: &Path) -> String {
    let bytes = std::fs::read(log).unwrap_or_default();
    let text = String::from_utf8_lossy(&bytes);
    let last = text.lines().rev().map(str::trim).find(|line| !line.is_empty());
    last.map(|line| {
        let line: String = line.chars().take(300).collect();
        format!("; its last words: {line} (all of them: {})", log.display())
    })
    .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::how_far;

    #[test]
    fn examples_are_told_before_requests() {
        assert_eq!(how_far(Some(7), Some(40), None), " after 7 of 40 examples");
        assert_eq!(how_far(Some(0), Some(40), Some(2)), " after 0 of 40 examples, 2 of its requests were answered");
        // Of others' tasks nobody knows how many there are; a program that does not count tells of requests alone.
        assert_eq!(how_far(Some(7), None, None), " after 7 examples");
        assert_eq!(how_far(None, Some(40), Some(3)), " after 3 of its requests were answered");
        assert_eq!(how_far(None, Some(40), None), "");
    }
}
