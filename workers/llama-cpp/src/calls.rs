//! Reads calls in a thread of its own, so that a `cancel` is heard while a completion runs.
//!
//! The thread sleeps until a line comes: while something is measured it costs nothing.

use std::io::{self, BufRead};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, channel};
use tokometer_protocol::{Call, Request, VERSION};

/// The calls as they come. A line that is none is its error in words; the outer error is the input's.
pub struct Calls {
    calls: Receiver<io::Result<Result<Call, String>>>,
    cancelled: Cancelled,
}

/// The number of the call that was cancelled last; clones share it.
#[derive(Clone, Default)]
pub struct Cancelled(Arc<AtomicU64>);

impl Cancelled {
    /// Whether it is this call.
    pub fn is(&self, id: u64) -> bool {
        self.0.load(Ordering::Relaxed) == id
    }
}

impl Calls {
    /// Reads from now on until the input ends.
    pub fn follow(input: impl BufRead + Send + 'static) -> Calls {
        let (sender, calls) = channel();
        let cancelled = Cancelled::default();
        let heard = cancelled.clone();
        std::thread::spawn(move || {
            for line in input.lines() {
                let call = match line {
                    Ok(line) if line.trim().is_empty() => continue,
                    Ok(line) => Ok(serde_json::from_str(&line)
                        .map_err(|error| format!("not a call of protocol {VERSION}: {error}"))),
                    Err(error) => Err(error),
                };
                if let Ok(Ok(Call { request: Request::Cancel { call }, .. })) = call {
                    heard.0.store(call, Ordering::Relaxed);
                } else if sender.send(call).is_err() {
                    return;
                }
            }
        });
        Calls { calls, cancelled }
    }

    /// What was cancelled.
    pub fn cancelled(&self) -> Cancelled {
        self.cancelled.clone()
    }
}

impl Iterator for Calls {
    type Item = io::Result<Result<Call, String>>;

    fn next(&mut self) -> Option<Self::Item> {
        self.calls.recv().ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cancel_is_heard_apart_from_the_calls() {
        let lines = "{\"id\":1,\"method\":\"unload\"}\n\n{\"id\":2,\"method\":\"cancel\",\"call\":1}\noops\n";
        let calls = Calls::follow(io::Cursor::new(lines));
        let cancelled = calls.cancelled();
        let all: Vec<_> = calls.map(|call| call.unwrap()).collect();
        assert_eq!(all.len(), 2);
        assert_eq!(all[0], Ok(Call { id: 1, request: Request::Unload }));
        assert!(all[1].as_ref().is_err_and(|message| message.contains("protocol")));
        assert!(cancelled.is(1) && !cancelled.is(2));
    }
}
