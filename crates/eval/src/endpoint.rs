//! The server that is evaluated: started, waited for, stopped. It dies with this program.

use crate::{Error, Result};
use serde::Deserialize;
use std::ffi::OsString;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::{Duration, Instant};

/// How long a server may take to stop when asked to.
const GRACE: Duration = Duration::from_secs(15);
/// Between two looks at whether it has ended.
const LOOK: Duration = Duration::from_millis(20);
/// Lines of its log that an error shows.
const SHOWN: usize = 3;
/// The variable that makes a server ask for a key, which nobody who evaluates sends.
const KEY: &str = "TOKOMETER_API_KEY";

/// How a server is started.
#[derive(Debug, Clone)]
pub struct Launch {
    /// The program.
    pub program: PathBuf,
    /// Its arguments.
    pub arguments: Vec<OsString>,
    /// Where its stderr goes.
    pub log: PathBuf,
    /// How long loading the model may take.
    pub patience: Duration,
}

/// What the server says of itself once the model answers.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Ready {
    /// Whether it is ready.
    pub ready: bool,
    /// The base of its addresses, as `http://127.0.0.1:8080/v1`.
    pub url: String,
    /// The model's name in requests.
    pub model: String,
    /// The native quantization.
    #[serde(default)]
    pub native: Option<String>,
    /// The engine's version.
    #[serde(default)]
    pub engine_version: Option<String>,
    /// Requests that it computes at once.
    #[serde(default)]
    pub slots: Option<u32>,
}

/// A running server. Dropped, it is stopped.
#[derive(Debug)]
pub struct Endpoint {
    child: Child,
    log: PathBuf,
    /// What it said of itself.
    pub ready: Ready,
}

impl Endpoint {
    /// Starts a server and waits until it is ready. Its stdout is read to the end, so that it never blocks on it.
    ///
    /// # Errors
    /// It does not start, ends, says something else or takes too long: the text holds the last lines of its log.
    pub fn start(launch: &Launch) -> Result<Endpoint> {
        let log = &launch.log;
        if let Some(folder) = log.parent() {
            std::fs::create_dir_all(folder).map_err(Error::file("make the folder", folder))?;
        }
        let stderr = File::create(log).map_err(Error::file("write", log))?;
        let mut command = Command::new(&launch.program);
        command.args(&launch.arguments).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(stderr);
        command.env_remove(KEY);
        die_with_us(&mut command);
        let mut child = command
            .spawn()
            .map_err(|error| Error::Endpoint(format!("{} could not be started: {error}", launch.program.display())))?;
        let (sender, lines) = mpsc::channel();
        if let Some(stdout) = child.stdout.take() {
            std::thread::spawn(move || {
                for line in BufReader::new(stdout).lines().map_while(std::io::Result::ok) {
                    // Nobody listens any more once it is ready.
                    let _ = sender.send(line);
                }
            });
        }
        let ready = wait(&lines, launch.patience);
        let mut started = Endpoint {
            child,
            log: log.clone(),
            ready: Ready {
                ready: false,
                url: String::new(),
                model: String::new(),
                native: None,
                engine_version: None,
                slots: None,
            },
        };
        match ready {
            Ok(ready) => started.ready = ready,
            Err(why) => {
                let code = started.end();
                let why = code.map(|code| format!("{why} (exit code {code})")).unwrap_or(why);
                return Err(Error::Endpoint(format!("the endpoint did not become ready: {why}{}", tail(log))));
            }
        }
        Ok(started)
    }

    /// Whether it has ended by itself, and how.
    pub fn ended(&mut self) -> Option<String> {
        let status = self.child.try_wait().ok().flatten()?;
        Some(format!("the endpoint ended ({status}){}", tail(&self.log)))
    }

    /// Asks it to stop, and ends it if it does not; its exit code, if it ended by itself.
    pub fn stop(mut self) -> Option<i32> {
        self.end()
    }

    fn end(&mut self) -> Option<i32> {
        if let Ok(Some(status)) = self.child.try_wait() {
            return status.code();
        }
        // SAFETY: the process is a child of ours that has not been reaped, so the number is its own.
        unsafe {
            libc::kill(self.child.id() as libc::pid_t, libc::SIGTERM);
        }
        let asked = Instant::now();
        while asked.elapsed() < GRACE {
            match self.child.try_wait() {
                Ok(Some(status)) => return status.code(),
                Ok(None) => std::thread::sleep(LOOK),
                Err(_) => break,
            }
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
        None
    }
}

impl Drop for Endpoint {
    fn drop(&mut self) {
        self.end();
    }
}

/// The first line that says ready; other lines are passed over.
fn wait(lines: &mpsc::Receiver<String>, patience: Duration) -> std::result::Result<Ready, String> {
    let began = Instant::now();
    loop {
        let left = patience.saturating_sub(began.elapsed());
        match lines.recv_timeout(left) {
            Ok(line) => {
                if let Ok(ready) = serde_json::from_str::<Ready>(&line)
                    && ready.ready
                {
                    return Ok(ready);
                }
            }
            Err(RecvTimeoutError::Timeout) => {
                return Err(format!(
                    "nothing was heard of it for {} s; --timeout lets it take longer",
                    patience.as_secs()
                ));
            }
            Err(RecvTimeoutError::Disconnected) => return Err("it ended before".into()),
        }
    }
}

/// `; its last words: ...`, with the log's path.
fn tail(log: &Path) -> String {
    let bytes = std::fs::read(log).unwrap_or_default();
    let text = String::from_utf8_lossy(&bytes);
    let lines: Vec<&str> = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    match lines.len() {
        0 => String::new(),
        n => format!(
            "; its last words: {} (all of them: {})",
            lines[n.saturating_sub(SHOWN)..].join(" | "),
            log.display()
        ),
    }
}

/// The kernel ends the process when this one ends, however that comes about.
pub(crate) fn die_with_us(command: &mut Command) {
    #[cfg(target_os = "linux")]
    {
        use std::os::unix::process::CommandExt;
        let set = || {
            // SAFETY: the call takes integers and is allowed between fork and exec.
            match unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGTERM) } {
                0 => Ok(()),
                _ => Err(std::io::Error::last_os_error()),
            }
        };
        // SAFETY: the closure calls nothing but prctl and allocates nothing.
        unsafe {
            command.pre_exec(set);
        }
    }
    #[cfg(not(target_os = "linux"))]
    let _ = command;
}

#[cfg(test)]
mod tests {
    use super::*;

    fn launch(name: &str, script: &str) -> Launch {
        let log = std::env::temp_dir().join(format!("tokometer-eval-{name}-{}.log", std::process::id()));
        Launch {
            program: "/bin/sh".into(),
            arguments: vec!["-c".into(), script.into()],
            log,
            patience: Duration::from_secs(20),
        }
    }

    #[test]
    fn the_ready_line_is_waited_for_and_the_server_is_stopped() {
        let script = r#"echo loading; echo '{"ready":true,"url":"http://127.0.0.1:1/v1","model":"m","native":"Q4_K_M"}'
            trap 'exit 7' TERM; while :; do sleep 0.05; done"#;
        let launch = launch("ready", script);
        let mut endpoint = Endpoint::start(&launch).unwrap();
        assert_eq!((endpoint.ready.model.as_str(), endpoint.ready.native.as_deref()), ("m", Some("Q4_K_M")));
        assert_eq!(endpoint.ended(), None);
        // The trap may be set a moment after the line.
        assert!(matches!(endpoint.stop(), Some(7) | None));
        std::fs::remove_file(&launch.log).unwrap();
    }

    #[test]
    fn one_that_takes_too_long_says_what_lets_it() {
        let launch = Launch { patience: Duration::ZERO, ..launch("slow", "exec sleep 60") };
        let error = Endpoint::start(&launch).unwrap_err().to_string();
        assert!(error.contains("nothing was heard") && error.contains("--timeout"), "{error}");
        std::fs::remove_file(&launch.log).unwrap();
    }

    #[test]
    fn one_that_fails_says_why() {
        let launch = launch("fails", "echo 'error: no such model' >&2; exit 1");
        let error = Endpoint::start(&launch).unwrap_err().to_string();
        assert!(error.contains("it ended before (exit code 1)") && error.contains("no such model"), "{error}");
        std::fs::remove_file(&launch.log).unwrap();
    }
}
