//! Reads calls in a thread of its own, so that a `cancel` is heard while a completion runs.
//!
//! The thread sleeps until a line comes: while something is measured it costs nothing.

use std::collections::BTreeSet;
use std::io::{self, BufRead};
use std::sync::mpsc::{Receiver, TryRecvError, channel};
use std::sync::{Arc, Mutex, PoisonError};
use tokometer_protocol::{Call, Request, VERSION};

/// A line of the input: a call, or in words why it is none; the outer error is the input's.
pub type Line = io::Result<Result<Call, String>>;

/// The calls as they come.
pub struct Calls {
    calls: Receiver<Line>,
    cancelled: Cancelled,
}

/// What there is without waiting.
pub enum Now {
    /// A line.
    Line(Line),
    /// Nothing yet.
    Nothing,
    /// Nothing any more.
    End,
}

/// The numbers of calls that were cancelled; clones share them.
#[derive(Clone, Default)]
pub struct Cancelled(Arc<Mutex<BTreeSet<u64>>>);

impl Cancelled {
    /// Cancelled calls that are remembered: more than ever run at once, for one that is over already is never asked about.
    const MOST: usize = 1024;

    /// Whether this call is one.
    pub fn has(&self, id: u64) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).contains(&id)
    }

    fn add(&self, id: u64) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.insert(id);
        if all.len() > Cancelled::MOST {
            all.pop_first();
        }
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
                    heard.add(call);
                } else if sender.send(call).is_err() {
                    return;
                }
            }
        });
        Calls { calls, cancelled }
    }

    /// The next line if there is one.
    pub fn now(&self) -> Now {
        match self.calls.try_recv() {
            Ok(line) => Now::Line(line),
            Err(TryRecvError::Empty) => Now::Nothing,
            Err(TryRecvError::Disconnected) => Now::End,
        }
    }

    /// What was cancelled.
    pub fn cancelled(&self) -> Cancelled {
        self.cancelled.clone()
    }
}

impl Iterator for Calls {
    type Item = Line;

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
        assert!(cancelled.has(1) && !cancelled.has(2));
    }

    #[test]
    fn only_the_latest_cancelled_calls_are_remembered() {
        let cancelled = Cancelled::default();
        (1..=Cancelled::MOST as u64 + 1).for_each(|id| cancelled.add(id));
        assert!(!cancelled.has(1) && cancelled.has(2) && cancelled.has(Cancelled::MOST as u64 + 1));
    }
}
