//! A worker process: start it, ask it, and end it for certain.
//!
//! The worker leads a process group of its own, so that whatever it starts dies with it, and it dies when the harness
//! dies (`child`). Reading and writing happen in threads that sleep until there is something (`pipes`): while a
//! generation is being measured the harness costs no processor time, and nothing waits longer than it is allowed to.

use super::child::{Child, Ended};
use super::output::Output;
use super::pipes::{self, Heard, Requests};
use super::{Discovery, Failed, Kind};
use crate::disk::amount;
use crate::machine::Warning;
use std::ops::ControlFlow;
use std::os::unix::process::ExitStatusExt;
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::time::{Duration, Instant};
use tokometer_protocol::{Answer, Body, Call, Complete, Completed, Hello, Progress, Reply, Request, Streamed, VERSION};

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

/// Replies that are read ahead. A worker that has more to say waits in its pipe until they are heard.
const AHEAD: usize = 256;

/// How often a caller of [`Worker::complete`] is asked whether it goes on while no token comes.
const LOOK: Duration = Duration::from_millis(50);

impl Default for Timeouts {
    fn default() -> Timeouts {
        Timeouts { start: Duration::from_secs(60), request: Duration::from_secs(900), leave: Duration::from_secs(5) }
    }
}

/// A running worker. Dropping it kills its process group.
pub struct Worker {
    child: Child,
    requests: Option<Requests>,
    heard: Receiver<Heard>,
    output: Output,
    timeouts: Timeouts,
    next_id: u64,
    /// What the worker said of itself.
    pub hello: Hello,
    /// From starting the process to its first answer.
    pub start_time: Duration,
    /// What could not be set up as it was asked for.
    pub warnings: Vec<Warning>,
}

impl Worker {
    /// Starts a worker and shakes hands.
    ///
    /// # Errors
    /// It cannot be started, speaks another version, or does not answer.
    pub fn start(discovery: &Discovery, timeouts: Timeouts) -> Result<Worker, Failed> {
        let began = Instant::now();
        let (child, streams, warnings) = Child::start(discovery)?;
        let output = Output::default();
        output.follow(streams.stderr);
        let (hear, heard) = sync_channel(AHEAD);
        pipes::follow(streams.stdout, hear.clone());
        let requests = Some(Requests::new(streams.stdin, hear));
        let (hello, start_time) = (Hello::default(), Duration::ZERO);
        let mut worker = Worker { child, requests, heard, output, timeouts, next_id: 1, hello, start_time, warnings };
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
        self.child.pid()
    }

    /// Highest resident memory of a worker that is dead, bytes, where it could still be read: /proc tells that of one
    /// that runs.
    pub fn peak_rss(&self) -> Option<u64> {
        self.child.peak_rss()
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

    /// Has a prompt continued. `hear` is given each token as it comes and, some times a second while none comes, `None`;
    /// when it breaks, the generation is cancelled and ends after its current token.
    ///
    /// # Errors
    /// As [`Worker::call`].
    pub fn complete(
        &mut self,
        request: Complete,
        mut hear: impl FnMut(Option<Streamed>) -> ControlFlow<()>,
    ) -> Result<Completed, Failed> {
        let id = self.send(Request::Complete(request))?;
        let mut cancelled = false;
        let mut silent_since = Instant::now();
        loop {
            let heard = match self.heard.recv_timeout(LOOK) {
                Ok(Heard::Reply(reply)) => match self.belongs(*reply, id)? {
                    Body::Token(token) => Some(token),
                    Body::Progress(_) => None,
                    Body::Result(Answer::Completed(completed)) => return Ok(completed),
                    Body::Result(other) => return Err(self.confused("complete", &other)),
                    Body::Error(failure) => return Err(failure.into()),
                },
                Ok(other) => return Err(self.broken(other)),
                Err(RecvTimeoutError::Disconnected) => return Err(self.gone()),
                Err(RecvTimeoutError::Timeout) if silent_since.elapsed() > self.timeouts.request => {
                    return Err(self.hung(self.timeouts.request));
                }
                Err(RecvTimeoutError::Timeout) => {
                    if !cancelled && hear(None).is_break() {
                        cancelled = true;
                        self.send(Request::Cancel { call: id })?;
                    }
                    continue;
                }
            };
            if !cancelled && hear(heard).is_break() {
                cancelled = true;
                self.send(Request::Cancel { call: id })?;
            }
            // Whoever heard it may have taken its time, which is not the worker's silence.
            silent_since = Instant::now();
        }
    }

    /// Whether its process has not ended.
    pub fn is_running(&self) -> bool {
        !self.child.has_ended()
    }

    /// Hands a call on and returns its number.
    fn send(&mut self, request: Request) -> Result<u64, Failed> {
        let id = self.next_id;
        self.next_id += 1;
        let mut line =
            serde_json::to_vec(&Call { id, request }).map_err(|e| Failed::new(Kind::Error, e.to_string()))?;
        line.push(b'\n');
        match self.requests.as_ref().is_some_and(|requests| requests.send(line)) {
            true => Ok(id),
            false => Err(self.gone()),
        }
    }

    fn ask(
        &mut self,
        request: Request,
        timeout: Duration,
        mut progress: impl FnMut(&Progress),
    ) -> Result<Answer, Failed> {
        let id = self.send(request)?;
        loop {
            match self.heard.recv_timeout(timeout) {
                Ok(Heard::Reply(reply)) => match self.belongs(*reply, id)? {
                    Body::Progress(step) => progress(&step),
                    Body::Token(_) => (),
                    Body::Result(answer) => return Ok(answer),
                    Body::Error(failure) => return Err(failure.into()),
                },
                Ok(other) => return Err(self.broken(other)),
                Err(RecvTimeoutError::Timeout) => return Err(self.hung(timeout)),
                Err(RecvTimeoutError::Disconnected) => return Err(self.gone()),
            }
        }
    }

    /// What a reply carries, if it is one to this call.
    fn belongs(&mut self, reply: Reply, id: u64) -> Result<Body, Failed> {
        if reply.id == id || reply.id == 0 {
            return Ok(reply.body);
        }
        self.child.end();
        let reason = format!("it answered call {} while {id} was asked", reply.id);
        Err(Failed::new(Kind::Garbage, reason))
    }

    /// It said something else than a reply.
    fn broken(&mut self, heard: Heard) -> Failed {
        match heard {
            Heard::Garbage(garbage) => {
                self.child.end();
                Failed::new(Kind::Garbage, garbage)
            }
            Heard::Closed | Heard::Reply(_) => self.gone(),
        }
    }

    /// The worker has not answered in time.
    fn hung(&mut self, timeout: Duration) -> Failed {
        let waiting = self.requests.as_ref().is_some_and(Requests::is_waiting);
        self.child.end();
        let what = if waiting { "it does not read its input: no answer" } else { "no answer" };
        self.with_last_words(Kind::Hang, format!("{what} for {} s (--timeout allows more)", timeout.as_secs()))
    }

    /// The worker closed its end: finds out how it ended.
    fn gone(&mut self) -> Failed {
        let deadline = Instant::now() + Duration::from_secs(2);
        while !self.child.has_ended() && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(10));
        }
        let by_itself = self.child.has_ended();
        let ended = self.child.end();
        // What it printed last is still on its way through the pipe.
        std::thread::sleep(Duration::from_millis(20));
        if !by_itself {
            return self.with_last_words(Kind::Crash, "it closed its input or output but did not end".into());
        }
        let (kind, how) = describe(ended, self.child.limit());
        self.with_last_words(kind, how)
    }

    fn with_last_words(&self, kind: Kind, how: String) -> Failed {
        match self.output.last_words() {
            Some(words) => Failed::new(kind, format!("{how}; its last words: {words}")),
            None => Failed::new(kind, how),
        }
    }

    fn confused(&mut self, asked: &str, answer: &Answer) -> Failed {
        self.child.end();
        Failed::new(Kind::Garbage, format!("{asked} was answered by {answer:?}"))
    }

    /// Asks the worker to leave, and kills it if it does not.
    pub fn shutdown(mut self) {
        let leave = self.timeouts.leave;
        if self.ask(Request::Shutdown, leave, |_| ()).is_err() {
            return;
        }
        self.requests = None;
        let deadline = Instant::now() + leave;
        while Instant::now() < deadline && !self.child.has_ended() {
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

fn describe(ended: Ended, limit: Option<u64>) -> (Kind, String) {
    let Some(status) = ended.status else { return (Kind::Crash, "ended for no known reason".into()) };
    match (status.code(), status.signal()) {
        (_, Some(libc::SIGKILL)) if ended.for_memory => (Kind::OutOfMemory, killed_for_memory(limit)),
        (_, Some(libc::SIGKILL)) => (Kind::Crash, "killed by signal 9 (SIGKILL) from outside".into()),
        (_, Some(signal)) => (Kind::Crash, format!("ended by signal {signal}{}", signal_name(signal))),
        (Some(code), None) => (Kind::Crash, format!("left with exit code {code}")),
        (None, None) => (Kind::Crash, "ended for no known reason".into()),
    }
}

fn killed_for_memory(limit: Option<u64>) -> String {
    match limit {
        Some(limit) => {
            format!("the system killed it because it needed more than its memory limit of {}", amount(limit))
        }
        None => "the system killed it because memory ran out".into(),
    }
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

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::ExitStatus;

    #[test]
    fn only_a_kill_by_the_kernel_for_memory_is_a_lack_of_memory() {
        let ended = |raw, for_memory| Ended { status: Some(ExitStatus::from_raw(raw)), for_memory, peak_rss: None };
        let (kind, how) = describe(ended(libc::SIGKILL, true), Some(64_000_000));
        assert_eq!(kind, Kind::OutOfMemory);
        assert!(how.contains("memory limit of 64.0 MB"), "{how}");
        assert_eq!(describe(ended(libc::SIGKILL, true), None).0, Kind::OutOfMemory);
        assert_eq!(describe(ended(libc::SIGKILL, false), Some(1)).0, Kind::Crash);
        // Something else in the group was killed; this one aborted.
        assert_eq!(describe(ended(libc::SIGABRT, true), Some(1)).0, Kind::Crash);
    }
}
