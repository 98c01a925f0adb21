//! A worker process: start it, ask it, and end it for certain.
//!
//! The worker leads a process group of its own, so that whatever it starts dies with it, and it dies when the harness
//! dies. Reading happens in threads that sleep until there is something: while a generation is being measured the
//! harness costs no processor time.

use super::output::Output;
use super::{Discovery, Failed, Kind};
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};
use tokometer_protocol::{Answer, Body, Call, Hello, Progress, Reply, Request, VERSION};

/// The longest line that a worker may send.
const LONGEST_LINE: u64 = 1 << 30;

/// How long the harness waits before it calls a worker hung.
#[derive(Debug, Clone, Copy)]
pub struct Timeouts {
    /// For the handshake.
    pub start: Duration,
    /// For a request without any sign of progress.
    pub request: Duration,
    /// For leaving after `shutdown`.
    pub leave: Duration,
}

impl Default for Timeouts {
    fn default() -> Timeouts {
        Timeouts { start: Duration::from_secs(60), request: Duration::from_secs(900), leave: Duration::from_secs(5) }
    }
}

/// A running worker. Dropping it kills its process group.
pub struct Worker {
    child: Child,
    stdin: Option<ChildStdin>,
    lines: Receiver<Result<Reply, String>>,
    output: Output,
    timeouts: Timeouts,
    next_id: u64,
    oom_kills_before: u64,
    /// What the worker said of itself.
    pub hello: Hello,
    /// From starting the process to its first answer.
    pub start_time: Duration,
}

impl Worker {
    /// Starts a worker and shakes hands.
    ///
    /// # Errors
    /// It cannot be started, speaks another version, or does not answer.
    pub fn start(discovery: &Discovery, timeouts: Timeouts) -> Result<Worker, Failed> {
        let began = Instant::now();
        let mut child = command(discovery).spawn().map_err(|error| {
            Failed::new(Kind::NotInstalled, format!("{} could not be started: {error}", discovery.program.display()))
        })?;
        let output = Output::default();
        let stderr = child.stderr.take().expect("stderr is piped");
        let stdout = child.stdout.take().expect("stdout is piped");
        output.follow(stderr);
        let stdin = child.stdin.take();
        let lines = read_replies(stdout);
        let mut worker = Worker {
            child,
            stdin,
            lines,
            output,
            timeouts,
            next_id: 1,
            oom_kills_before: oom_kills(),
            hello: Hello::default(),
            start_time: Duration::ZERO,
        };
        let answer = worker.ask(Request::Hello { protocol: VERSION }, timeouts.start, |_| ())?;
        let Answer::Hello(hello) = answer else { return Err(worker.confused("hello", &answer)) };
        if hello.protocol != VERSION {
            let reason =
                format!("the worker speaks protocol {}, this tokometer {VERSION}: build both together", hello.protocol);
            return Err(Failed::new(Kind::Unsupported, reason));
        }
        worker.hello = hello;
        worker.start_time = began.elapsed();
        Ok(worker)
    }

    /// The process id, which is also the id of its group.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Takes what the engine has printed since the last call.
    pub fn take_output(&self) -> (Vec<String>, u64) {
        self.output.take()
    }

    /// Sends a request and waits for its answer; `progress` hears what comes before it.
    ///
    /// # Errors
    /// See [`Kind`]. After anything but an error that the worker itself reported, the worker is dead.
    pub fn call(&mut self, request: Request, progress: impl FnMut(&Progress)) -> Result<Answer, Failed> {
        self.ask(request, self.timeouts.request, progress)
    }

    fn ask(
        &mut self,
        request: Request,
        timeout: Duration,
        mut progress: impl FnMut(&Progress),
    ) -> Result<Answer, Failed> {
        let id = self.next_id;
        self.next_id += 1;
        let mut line =
            serde_json::to_vec(&Call { id, request }).map_err(|e| Failed::new(Kind::Error, e.to_string()))?;
        line.push(b'\n');
        let sent = self.stdin.as_mut().map(|stdin| stdin.write_all(&line).and_then(|()| stdin.flush()));
        if !matches!(sent, Some(Ok(()))) {
            return Err(self.gone());
        }
        loop {
            match self.lines.recv_timeout(timeout) {
                Ok(Ok(Reply { id: answered, body })) if answered == id || answered == 0 => match body {
                    Body::Progress(step) => progress(&step),
                    Body::Token(_) => (),
                    Body::Result(answer) => return Ok(answer),
                    Body::Error(failure) => return Err(failure.into()),
                },
                Ok(Ok(reply)) => {
                    self.kill();
                    return Err(Failed::new(
                        Kind::Garbage,
                        format!("it answered call {} while {id} was asked", reply.id),
                    ));
                }
                Ok(Err(garbage)) => {
                    self.kill();
                    return Err(Failed::new(Kind::Garbage, garbage));
                }
                Err(RecvTimeoutError::Timeout) => {
                    self.kill();
                    return Err(self.with_last_words(
                        Kind::Hang,
                        format!("no answer for {} s (--timeout allows more)", timeout.as_secs()),
                    ));
                }
                Err(RecvTimeoutError::Disconnected) => return Err(self.gone()),
            }
        }
    }

    /// The worker closed its end: finds out how it ended.
    fn gone(&mut self) -> Failed {
        let deadline = Instant::now() + Duration::from_secs(2);
        let status = loop {
            match self.child.try_wait() {
                Ok(Some(status)) => break Some(status),
                Ok(None) if Instant::now() < deadline => std::thread::sleep(Duration::from_millis(10)),
                _ => break None,
            }
        };
        self.kill();
        // What it printed last is still on its way through the pipe.
        std::thread::sleep(Duration::from_millis(20));
        match status {
            Some(status) => {
                let memory_ran_out = oom_kills() > self.oom_kills_before;
                let (kind, how) = describe(status, memory_ran_out);
                self.with_last_words(kind, how)
            }
            None => self.with_last_words(Kind::Crash, "it closed its output but did not end".into()),
        }
    }

    fn with_last_words(&self, kind: Kind, how: String) -> Failed {
        match self.output.last_words() {
            Some(words) => Failed::new(kind, format!("{how}; its last words: {words}")),
            None => Failed::new(kind, how),
        }
    }

    fn confused(&mut self, asked: &str, answer: &Answer) -> Failed {
        self.kill();
        Failed::new(Kind::Garbage, format!("{asked} was answered by {answer:?}"))
    }

    fn kill(&mut self) {
        // SAFETY: the group was made by us and its leader has not been reaped, or its id is not yet reused.
        unsafe { libc::kill(-(self.child.id() as i32), libc::SIGKILL) };
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Asks the worker to leave, and kills it if it does not.
    pub fn shutdown(mut self) {
        let leave = self.timeouts.leave;
        if self.ask(Request::Shutdown, leave, |_| ()).is_err() {
            return;
        }
        self.stdin = None;
        let deadline = Instant::now() + leave;
        while Instant::now() < deadline && matches!(self.child.try_wait(), Ok(None)) {
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.kill();
    }
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

fn read_replies(stdout: impl Read + Send + 'static) -> Receiver<Result<Reply, String>> {
    let (sender, receiver) = channel();
    std::thread::spawn(move || {
        let mut reader = BufReader::new(stdout);
        let mut line = Vec::new();
        loop {
            line.clear();
            match (&mut reader).take(LONGEST_LINE).read_until(b'\n', &mut line) {
                Ok(0) | Err(_) => return,
                Ok(_) => {
                    let reply = serde_json::from_slice(&line).map_err(|error| {
                        let start: String = String::from_utf8_lossy(&line).chars().take(200).collect();
                        format!("it wrote something that is no reply ({error}): {}", start.trim_end())
                    });
                    if sender.send(reply).is_err() {
                        return;
                    }
                }
            }
        }
    });
    receiver
}

fn describe(status: ExitStatus, memory_ran_out: bool) -> (Kind, String) {
    match (status.code(), status.signal()) {
        (_, Some(libc::SIGKILL)) if memory_ran_out => {
            (Kind::OutOfMemory, "the system killed it because memory ran out".into())
        }
        (_, Some(libc::SIGKILL)) => (Kind::Crash, "killed by signal 9 (SIGKILL) from outside".into()),
        (_, Some(signal)) => (Kind::Crash, format!("ended by signal {signal}{}", signal_name(signal))),
        (Some(code), None) => (Kind::Crash, format!("left with exit code {code}")),
        (None, None) => (Kind::Crash, "ended for no known reason".into()),
    }
}

/// Processes that the kernel has killed for memory so far: machine-wide, and in the control group of this process.
fn oom_kills() -> u64 {
    let count = |path: &str| -> Option<u64> {
        let text = std::fs::read_to_string(path).ok()?;
        text.lines().find_map(|line| line.strip_prefix("oom_kill ")?.trim().parse().ok())
    };
    let own_group = std::fs::read_to_string("/proc/self/cgroup").ok().and_then(|text| {
        let path = text.lines().find_map(|line| line.strip_prefix("0::"))?.to_owned();
        count(&format!("/sys/fs/cgroup{path}/memory.events"))
    });
    count("/proc/vmstat").unwrap_or(0) + own_group.unwrap_or(0)
}

fn signal_name(signal: i32) -> &'static str {
    match signal {
        libc::SIGSEGV => " (SIGSEGV)",
        libc::SIGABRT => " (SIGABRT)",
        libc::SIGBUS => " (SIGBUS)",
        libc::SIGILL => " (SIGILL: an instruction that this processor lacks)",
        libc::SIGFPE => " (SIGFPE)",
        libc::SIGTERM => " (SIGTERM)",
        _ => "",
    }
}
