//! A started worker as a process: its group, its memory limit, how it ended and how much memory it had.
//!
//! It is reaped only after its whole group was killed, so its number stays its own until then. What is said to it is
//! `process`'s business.

use super::{Discovery, Failed, Kind};
use crate::machine::{self, MemoryGroup, Warning, process_memory};
use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::Path;
use std::process::{ChildStderr, ChildStdin, ChildStdout, Command, ExitStatus, Stdio};

/// Bytes in the unit of `ru_maxrss` (`man 2 getrusage`).
const MAXRSS_UNIT: u64 = if cfg!(target_os = "macos") { 1 } else { 1024 };
/// What the harness may grow between looking at its own memory and forking.
const SLACK: u64 = 16 << 20;

/// A process of ours. Dropped, it is ended.
pub(super) struct Child {
    process: std::process::Child,
    group: Option<MemoryGroup>,
    limit: Option<u64>,
    oom_kills_before: u64,
    /// Resident memory of the harness when it forked.
    own_rss: u64,
    ended: Option<Ended>,
}

/// Its three streams.
pub(super) struct Streams {
    pub stdin: ChildStdin,
    pub stdout: ChildStdout,
    pub stderr: ChildStderr,
}

/// How a process ended.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ended {
    /// `None` if the system did not tell.
    pub status: Option<ExitStatus>,
    /// Whether the kernel killed it for memory.
    pub for_memory: bool,
    /// Highest resident memory, bytes, where it could still be read.
    pub peak_rss: Option<u64>,
}

/// What keeps a process below its memory limit.
enum Bound {
    Nothing,
    Group(MemoryGroup, File),
    Rlimit(u64),
}

impl Child {
    /// Starts a worker inside of its memory limit. The warnings say where the limit is not kept as it should be.
    ///
    /// # Errors
    /// It cannot be started.
    pub fn start(discovery: &Discovery) -> Result<(Child, Streams, Vec<Warning>), Failed> {
        let failed = |error: io::Error| {
            Failed::new(Kind::NotInstalled, format!("{} could not be started: {error}", discovery.program.display()))
        };
        let Some(limit) = discovery.memory_limit else {
            let (child, streams) = Child::bounded(discovery, Bound::Nothing).map_err(failed)?;
            return Ok((child, streams, Vec::new()));
        };
        let group = MemoryGroup::create(Path::new("/"), limit).and_then(|group| Ok((group.entrance()?, group)));
        let why = match group {
            Ok((entrance, group)) => match Child::bounded(discovery, Bound::Group(group, entrance)) {
                Ok((child, streams)) => return Ok((child, streams, Vec::new())),
                Err(error) => error.to_string(),
            },
            Err(error) => error.to_string(),
        };
        let (child, streams) = Child::bounded(discovery, Bound::Rlimit(limit)).map_err(failed)?;
        let message = format!(
            "the memory limit is kept by RLIMIT_DATA, which counts what is reserved and not what is used: no control group could be made ({why})"
        );
        Ok((child, streams, vec![Warning { code: "limit_without_cgroup", message }]))
    }

    fn bounded(discovery: &Discovery, bound: Bound) -> io::Result<(Child, Streams)> {
        let root = Path::new("/");
        let own_rss = process_memory(root, std::process::id()).rss.unwrap_or(u64::MAX);
        let (mut command, mut group) = (command(discovery), None);
        match bound {
            Bound::Nothing => (),
            Bound::Group(made, entrance) => {
                group = Some(made);
                enter(&mut command, entrance);
            }
            Bound::Rlimit(limit) => limit_data(&mut command, limit),
        }
        let oom_kills_before = machine::cgroup::oom_kills(root, group.as_ref());
        let mut process = command.spawn()?;
        let streams = Streams {
            stdin: process.stdin.take().expect("stdin is piped"),
            stdout: process.stdout.take().expect("stdout is piped"),
            stderr: process.stderr.take().expect("stderr is piped"),
        };
        let limit = discovery.memory_limit;
        Ok((Child { process, group, limit, oom_kills_before, own_rss, ended: None }, streams))
    }

    /// The process id, which is also the id of its group.
    pub fn pid(&self) -> u32 {
        self.process.id()
    }

    /// The memory limit that it was started with, bytes.
    pub fn limit(&self) -> Option<u64> {
        self.limit
    }

    /// Whether it has ended by itself or by somebody else's signal.
    pub fn has_ended(&self) -> bool {
        if self.ended.is_some() {
            return true;
        }
        let flags = libc::WEXITED | libc::WNOHANG | libc::WNOWAIT;
        // SAFETY: the structure is plain data that the call fills; WNOWAIT leaves the process to be reaped.
        unsafe {
            let mut info: libc::siginfo_t = std::mem::zeroed();
            libc::waitid(libc::P_PID, self.pid(), &raw mut info, flags) == 0 && info.si_signo != 0
        }
    }

    /// Kills what is left of it and of its group, reaps it, and tells how it ended: the first time by all that can be
    /// known, later the same again.
    pub fn end(&mut self) -> Ended {
        if let Some(ended) = self.ended {
            return ended;
        }
        let pid = self.pid() as libc::pid_t;
        // Of a process that still runs the kernel tells the exact figure; one that has ended has no memory any more.
        let peak = process_memory(Path::new("/"), self.pid()).peak_rss;
        // SAFETY: the group was made by us, and its leader has not been reaped: the ids are not used again.
        unsafe {
            libc::kill(-pid, libc::SIGKILL);
            libc::kill(pid, libc::SIGKILL);
        }
        let (status, maxrss) = reap(pid);
        let for_memory = machine::cgroup::oom_kills(Path::new("/"), self.group.as_ref()) > self.oom_kills_before;
        self.group = None;
        let ended = Ended { status, for_memory, peak_rss: peak.or_else(|| plausible(maxrss?, self.own_rss)) };
        self.ended = Some(ended);
        ended
    }

    /// Highest resident memory of a process that has been ended, bytes.
    pub fn peak_rss(&self) -> Option<u64> {
        self.ended?.peak_rss
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        self.end();
    }
}

/// `ru_maxrss` of a child begins with the pages that it shared with the forking harness before it became the worker: a
/// figure that is not clearly above the harness's own memory says nothing about the worker.
fn plausible(maxrss: u64, own_rss: u64) -> Option<u64> {
    (maxrss > own_rss.saturating_add(SLACK)).then_some(maxrss)
}

/// Waits for the process: its status, and the highest resident memory of it or a child of its own, bytes.
fn reap(pid: libc::pid_t) -> (Option<ExitStatus>, Option<u64>) {
    let mut status = 0;
    // SAFETY: both are plain data that the call fills; the process is a child of ours that nobody else waits for.
    let (reaped, usage) = unsafe {
        let mut usage: libc::rusage = std::mem::zeroed();
        let reaped = loop {
            let reaped = libc::wait4(pid, &raw mut status, 0, &raw mut usage);
            if reaped != -1 || io::Error::last_os_error().kind() != io::ErrorKind::Interrupted {
                break reaped;
            }
        };
        (reaped, usage)
    };
    if reaped != pid {
        return (None, None);
    }
    let maxrss = u64::try_from(usage.ru_maxrss).ok().and_then(|units| units.checked_mul(MAXRSS_UNIT));
    (Some(ExitStatus::from_raw(status)), maxrss.filter(|bytes| *bytes > 0))
}

fn command(discovery: &Discovery) -> Command {
    let mut command = Command::new(&discovery.program);
    command.args(&discovery.arguments).envs(discovery.environment.iter().map(|(k, v)| (k, v)));
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0);
    #[cfg(target_os = "linux")]
    // SAFETY: prctl is async-signal-safe.
    unsafe {
        command.pre_exec(|| {
            libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL);
            Ok(())
        });
    }
    command
}

/// The process enters the control group before it becomes the worker: all of its memory counts there.
fn enter(command: &mut Command, entrance: File) {
    // SAFETY: write is async-signal-safe, and the file is open as long as the command lives.
    unsafe {
        command.pre_exec(move || match libc::write(entrance.as_raw_fd(), c"0".as_ptr().cast(), 1) {
            1 => Ok(()),
            _ => Err(io::Error::last_os_error()),
        });
    }
}

/// Bounds private memory that can be written (`man 2 getrlimit`); mapped model files do not count.
fn limit_data(command: &mut Command, limit: u64) {
    #[allow(clippy::unnecessary_cast, reason = "the type is another one on other systems")]
    let limit = limit as libc::rlim_t;
    let limit = libc::rlimit { rlim_cur: limit, rlim_max: limit };
    // SAFETY: setrlimit is async-signal-safe.
    unsafe {
        command.pre_exec(move || match libc::setrlimit(libc::RLIMIT_DATA, &raw const limit) {
            0 => Ok(()),
            _ => Err(io::Error::last_os_error()),
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;

    fn shell(script: &str) -> Discovery {
        Discovery {
            program: "/bin/sh".into(),
            arguments: vec!["-c".into(), script.into()],
            environment: Vec::new(),
            memory_limit: None,
        }
    }

    #[test]
    fn the_end_of_a_process_is_told_however_often_it_is_asked_for() {
        let (mut child, mut streams, _) = Child::start(&shell("exit 3")).unwrap();
        // End of file: it is about to end.
        assert_eq!(streams.stdout.read(&mut [0]).unwrap(), 0);
        while !child.has_ended() {
            std::thread::yield_now();
        }
        assert_eq!(child.end().status.unwrap().code(), Some(3));
        assert_eq!(child.end().status.unwrap().code(), Some(3));
        assert!(child.has_ended());
    }

    #[test]
    fn a_process_that_runs_is_killed_with_its_group_and_its_memory_is_known() {
        let (mut child, mut streams, _) = Child::start(&shell("sleep 600 & echo x; wait")).unwrap();
        assert_eq!(streams.stdout.read(&mut [0; 2]).unwrap(), 2);
        assert!(!child.has_ended());
        let ended = child.end();
        assert_eq!(ended.status.unwrap().signal(), Some(libc::SIGKILL));
        assert!(!ended.for_memory && ended.peak_rss.unwrap() > 0);
        assert_eq!(child.peak_rss(), ended.peak_rss);
        // `sleep` held the pipe, too.
        assert_eq!(streams.stdout.read(&mut [0]).unwrap(), 0);
    }

    #[test]
    fn without_a_control_group_the_limit_is_one_of_the_process() {
        let (_child, mut streams) = Child::bounded(&shell("ulimit -d"), Bound::Rlimit(64 << 20)).unwrap();
        let mut said = String::new();
        streams.stdout.read_to_string(&mut said).unwrap();
        // Kilobytes.
        assert_eq!(said.trim(), "65536");
    }

    #[test]
    fn what_may_be_the_memory_of_the_harness_is_no_figure() {
        assert_eq!(plausible(50 << 20, 40 << 20), None);
        assert_eq!(plausible(200 << 20, 40 << 20), Some(200 << 20));
        assert_eq!(plausible(u64::MAX, u64::MAX), None);
    }
}
