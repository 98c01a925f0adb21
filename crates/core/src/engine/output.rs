//! What an engine prints: kept up to a limit, oldest and newest lines first in line.

use std::collections::VecDeque;
use std::io::{BufRead, BufReader, Read};
use std::sync::{Arc, Mutex};

/// Lines kept from the beginning.
const HEAD: usize = 200;
/// Lines kept from the end.
const TAIL: usize = 400;
/// Bytes of a line that are kept.
const WIDTH: usize = 2000;

/// Collects lines; clones share them.
#[derive(Debug, Clone, Default)]
pub struct Output(Arc<Mutex<Lines>>);

#[derive(Debug, Default)]
struct Lines {
    head: Vec<String>,
    tail: VecDeque<String>,
    dropped: u64,
}

impl Output {
    /// Reads lines until the end of the stream, in a thread of its own.
    pub fn follow(&self, stream: impl Read + Send + 'static) -> std::thread::JoinHandle<()> {
        let output = self.clone();
        std::thread::spawn(move || {
            let mut reader = BufReader::new(stream);
            let mut line = Vec::new();
            loop {
                line.clear();
                // A line without end must not eat the memory.
                match (&mut reader).take(1 << 20).read_until(b'\n', &mut line) {
                    Ok(0) | Err(_) => return,
                    Ok(_) => output.push(&line),
                }
            }
        })
    }

    fn push(&self, line: &[u8]) {
        let cut = &line[..line.len().min(WIDTH)];
        let text = String::from_utf8_lossy(cut).trim_end().to_owned();
        let Ok(mut lines) = self.0.lock() else { return };
        if lines.head.len() < HEAD {
            lines.head.push(text);
            return;
        }
        lines.tail.push_back(text);
        if lines.tail.len() > TAIL {
            lines.tail.pop_front();
            lines.dropped += 1;
        }
    }

    /// Takes what has been collected: the lines, and how many were dropped between the oldest and the newest.
    pub fn take(&self) -> (Vec<String>, u64) {
        let Ok(mut lines) = self.0.lock() else { return Default::default() };
        let taken = std::mem::take(&mut *lines);
        (taken.head.into_iter().chain(taken.tail).collect(), taken.dropped)
    }

    /// The last few lines that are not empty, joined: an engine's last words.
    pub fn last_words(&self) -> Option<String> {
        let lines = self.0.lock().ok()?;
        let all: Vec<&str> =
            lines.head.iter().chain(&lines.tail).map(String::as_str).filter(|l| !l.is_empty()).collect();
        let last = &all[all.len().saturating_sub(3)..];
        (!last.is_empty()).then(|| last.join(" | "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn beginning_and_end_survive_a_flood() {
        let text: String = (0..10_000).map(|i| format!("line {i}\n")).collect();
        let output = Output::default();
        output.follow(std::io::Cursor::new(text)).join().unwrap();
        assert_eq!(output.last_words().unwrap(), "line 9997 | line 9998 | line 9999");
        let (lines, dropped) = output.take();
        assert_eq!(lines.len(), HEAD + TAIL);
        assert_eq!(lines[0], "line 0");
        assert_eq!(dropped as usize, 10_000 - HEAD - TAIL);
    }
}
