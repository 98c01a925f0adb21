//! The two pipes of a worker, each in a thread that sleeps until there is something: a worker that stops reading or
//! writing blocks its thread and never the harness.

use std::io::{BufRead, BufReader, Read, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Sender, SyncSender, channel};
use tokometer_protocol::Reply;

/// The longest line that a worker may send.
const LONGEST_LINE: u64 = 1 << 30;

/// What comes from a worker.
pub(super) enum Heard {
    /// A reply.
    Reply(Box<Reply>),
    /// Something that is none, in words.
    Garbage(String),
    /// It closed its output or its input.
    Closed,
}

/// Requests on their way to a worker. Closed when dropped.
pub(super) struct Requests {
    sender: Sender<Vec<u8>>,
    /// Lines that were sent and not yet taken.
    waiting: Arc<AtomicUsize>,
}

impl Requests {
    /// Writes to `stdin` from now on; `heard` is told when that is no longer possible.
    pub fn new(mut stdin: impl Write + Send + 'static, heard: SyncSender<Heard>) -> Requests {
        let (sender, lines) = channel::<Vec<u8>>();
        let waiting = Arc::new(AtomicUsize::new(0));
        let written = Arc::clone(&waiting);
        std::thread::spawn(move || {
            outlive_broken_pipes();
            for line in lines {
                if stdin.write_all(&line).and_then(|()| stdin.flush()).is_err() {
                    let _ = heard.send(Heard::Closed);
                    return;
                }
                written.fetch_sub(1, Ordering::AcqRel);
            }
        });
        Requests { sender, waiting }
    }

    /// Hands on a line and returns at once; `false` when there is nobody to write to.
    pub fn send(&self, line: Vec<u8>) -> bool {
        self.waiting.fetch_add(1, Ordering::AcqRel);
        self.sender.send(line).is_ok()
    }

    /// Whether the worker has not taken all of the latest line, as far as it does not fit into the pipe.
    pub fn is_waiting(&self) -> bool {
        self.waiting.load(Ordering::Acquire) > 0
    }
}

/// A worker that dies while it is written to must be an error of this thread. Where a program lets SIGPIPE end it (as one
/// that prints into a pipe should), the signal would end the program.
fn outlive_broken_pipes() {
    // SAFETY: the set is initialized before it is used, and only this thread's mask is changed.
    unsafe {
        let mut set: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&raw mut set);
        libc::sigaddset(&raw mut set, libc::SIGPIPE);
        libc::pthread_sigmask(libc::SIG_BLOCK, &raw const set, std::ptr::null_mut());
    }
}

/// Reads replies until the end of the stream.
pub(super) fn follow(stdout: impl Read + Send + 'static, heard: SyncSender<Heard>) {
    std::thread::spawn(move || {
        let mut reader = BufReader::new(stdout);
        let mut line = Vec::new();
        loop {
            line.clear();
            let next = match (&mut reader).take(LONGEST_LINE).read_until(b'\n', &mut line) {
                Ok(0) | Err(_) => Heard::Closed,
                Ok(_) => parse(&line),
            };
            let closed = matches!(next, Heard::Closed);
            if heard.send(next).is_err() || closed {
                return;
            }
        }
    });
}

fn parse(line: &[u8]) -> Heard {
    match serde_json::from_slice(line) {
        Ok(reply) => Heard::Reply(Box::new(reply)),
        Err(error) => {
            let start: String = String::from_utf8_lossy(line).chars().take(200).collect();
            Heard::Garbage(format!("it wrote something that is no reply ({error}): {}", start.trim_end()))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io;
    use std::sync::mpsc::{Receiver, sync_channel};

    /// A pipe that takes a line only when it is told to.
    struct Deaf(Receiver<()>);

    impl Write for Deaf {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            match self.0.recv() {
                Ok(()) => Ok(bytes.len()),
                Err(_) => Err(io::ErrorKind::BrokenPipe.into()),
            }
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_worker_that_does_not_read_is_noticed_and_blocks_nobody() {
        let (listen, pipe) = channel();
        let (heard, hear) = sync_channel(8);
        let requests = Requests::new(Deaf(pipe), heard);
        assert!(!requests.is_waiting());
        assert!(requests.send(b"a\n".to_vec()));
        assert!(requests.is_waiting());
        listen.send(()).unwrap();
        while requests.is_waiting() {
            std::thread::yield_now();
        }
        assert!(requests.send(b"b\n".to_vec()));
        // It is gone.
        drop(listen);
        assert!(matches!(hear.recv().unwrap(), Heard::Closed));
        assert!(requests.is_waiting());
    }

    #[test]
    fn replies_garbage_and_the_end_are_told_apart() {
        let (heard, hear) = sync_channel(8);
        follow(io::Cursor::new(&b"{\"id\":1,\"result\":{\"kind\":\"done\"}}\noops\n"[..]), heard);
        let all: Vec<Heard> = hear.iter().collect();
        assert_eq!(all.len(), 3);
        assert!(matches!(&all[0], Heard::Reply(reply) if reply.id == 1));
        assert!(matches!(&all[1], Heard::Garbage(text) if text.contains("oops")));
        assert!(matches!(all[2], Heard::Closed));
    }
}
