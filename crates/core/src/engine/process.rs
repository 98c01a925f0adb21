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
use std::collections::{BTreeSet, VecDeque};
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

/// What comes of a completion.
#[derive(Debug)]
pub enum Said {
    /// A token.
    Token(Streamed),
    /// Its end, or the error that the worker reported for it.
    Ended(Result<Completed, Failed>),
}

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
    /// Completions that run.
    running: BTreeSet<u64>,
    /// What came of them while something else was asked.
    aside: VecDeque<Reply>,
    /// When it last gave a sign of life, or was not yet to give one.
    silent_since: Instant,
    /// Whether the last look for what came of completions found something.
    heard_something: bool,
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
        let mut worker = Worker {
            child,
            requests,
            heard,
            output,
            timeouts,
            next_id: 1,
            running: BTreeSet::new(),
            aside: VecDeque::new(),
            silent_since: Instant::now(),
            heard_something: false,
            hello: Hello::default(),
            start_time: Duration::ZERO,
            warnings,
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

    /// Has a prompt continued, alone. `hear` is given each token as it comes and, some times a second while none comes, `None`;
    /// when it breaks, the generation is cancelled and ends after its current token.
    ///
    /// # Errors
    /// As [`Worker::call`].
    pub fn complete(
        &mut self,
        request: Complete,
        mut hear: impl FnMut(Option<Streamed>) -> ControlFlow<()>,
    ) -> Result<Completed, Failed> {
        let id = self.begin(request)?;
        let mut cancelled = false;
        loop {
            let heard = match self.hear(LOOK)? {
                Some((_, Said::Ended(ended))) => return ended,
                Some((_, Said::Token(token))) => Some(token),
                None => None,
            };
            if !cancelled && hear(heard).is_break() {
                cancelled = true;
                self.cancel(id)?;
            }
        }
    }

    /// Asks for the continuation of a prompt and returns at once; [`Worker::hear`] tells what comes of it, by this number. No
    /// more than [`tokometer_protocol::Loaded::sequences`] may run at once.
    ///
    /// # Errors
    /// The worker is dead.
    pub fn begin(&mut self, request: Complete) -> Result<u64, Failed> {
        let id = self.send(Request::Complete(request))?;
        if self.running.is_empty() {
            self.silent_since = Instant::now();
        }
        self.running.insert(id);
        Ok(id)
    }

    /// Ends a completion after its current token; its end is still told.
    ///
    /// # Errors
    /// The worker is dead.
    pub fn cancel(&mut self, id: u64) -> Result<(), Failed> {
        self.send(Request::Cancel { call: id }).map(|_| ())
    }

    /// What came next of the completions that run, and of which; `None` if nothing came for `wait`. The time until the next call of
    /// this is not the worker's silence if something came.
    ///
    /// # Errors
    /// As [`Worker::call`], but for errors that the worker itself reports: these are the end of one completion.
    pub fn hear(&mut self, wait: Duration) -> Result<Option<(u64, Said)>, Failed> {
        if self.heard_something {
            self.silent_since = Instant::now();
        }
        self.heard_something = false;
        let reply = match self.aside.pop_front() {
            Some(reply) => reply,
            None => match self.heard.recv_timeout(wait) {
                Ok(Heard::Reply(reply)) => *reply,
                Ok(other) => return Err(self.broken(other)),
                Err(RecvTimeoutError::Disconnected) => return Err(self.gone()),
                Err(RecvTimeoutError::Timeout) if self.silent_since.elapsed() > self.timeouts.request => {
                    return Err(self.hung(self.timeouts.request));
                }
                Err(RecvTimeoutError::Timeout) => return Ok(None),
            },
        };
        self.heard_something = true;
        // A worker that could not read the number answers 0, which is told apart as long as one alone runs.
        let id = match self.running.first() {
            Some(only) if reply.id == 0 && self.running.len() == 1 => *only,
            _ => reply.id,
        };
        if !self.running.contains(&id) {
            return Err(self.out_of_turn(id, "completions were asked"));
        }
        let said = match reply.body {
            Body::Token(token) => Said::Token(token),
            Body::Progress(_) => return Ok(None),
            Body::Result(Answer::Completed(completed)) => Said::Ended(Ok(completed)),
            Body::Result(other) => return Err(self.confused("complete", &other)),
            Body::Error(failure) => Said::Ended(Err(failure.into())),
        };
        if matches!(said, Said::Ended(_)) {
            self.running.remove(&id);
        }
        Ok(Some((id, said)))
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
                Ok(Heard::Reply(reply)) if self.running.contains(&reply.id) => self.aside.push_back(*reply),
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
        match reply.id == id || reply.id == 0 {
            true => Ok(reply.body),
            false => Err(self.out_of_turn(reply.id, &format!("{id} was asked"))),
        }
    }

    fn out_of_turn(&mut self, id: u64, asked: &str) -> Failed {
        self.child.end();
        Failed::new(Kind::Garbage, format!("it answered call {id} while {asked}"))
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
