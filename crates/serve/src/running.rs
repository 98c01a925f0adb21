//! A completion that runs: what its client is told of it, token by token, up to a stop string.

use crate::engine::Halt;
use crate::error::ApiError;
use crate::queue::{Chunk, Event, Job, TokenInfo};
use crate::stops::Stops;
use std::sync::atomic::Ordering;
use tokometer_core::engine::Failed;
use tokometer_protocol::{Completed, Finish, Streamed};

/// A job whose completion was asked for.
pub struct Running {
    job: Job,
    text: Text,
    /// Whether the worker was told to end it.
    is_over: bool,
}

impl Running {
    /// Nothing of it has come yet.
    pub fn new(job: Job) -> Running {
        let text = Text::new(job.wanted.stops.clone(), job.wanted.top_logprobs.is_some());
        Running { job, text, is_over: false }
    }

    /// Whether the worker is to end it now, because its client has left or the server gives it up; says so once.
    pub fn is_to_end(&mut self, halt: &Halt) -> bool {
        let ends = !self.is_over && (self.job.is_cancelled() || halt.cut.load(Ordering::SeqCst));
        self.is_over |= ends;
        ends
    }

    /// Takes a token and tells what of the text is certain by now. Whether the worker is to end it, because the text was stopped
    /// or its client has left; says so once.
    pub fn take(&mut self, token: Streamed) -> bool {
        if self.is_over {
            return false;
        }
        let told = self.text.push(token).is_none_or(|chunk| self.job.tell(Event::Chunk(chunk)));
        self.is_over = self.text.stopped || !told;
        self.is_over
    }

    /// Tells the end.
    pub fn end(mut self, completed: &Completed) {
        if self.text.stopped {
            self.job.tell(Event::Ended { completion_tokens: self.text.count, finish: Finish::Stop });
            return;
        }
        if completed.finish == Finish::Cancelled {
            let given_up = ApiError::unavailable("stopping", "the server is stopping: this request was given up");
            self.job.tell(Event::Failed(given_up));
            return;
        }
        let (chunk, stopped) = self.text.end(&completed.rest);
        if let Some(chunk) = chunk {
            self.job.tell(Event::Chunk(chunk));
        }
        let finish = if stopped { Finish::Stop } else { completed.finish };
        self.job.tell(Event::Ended { completion_tokens: completed.completion_tokens, finish });
    }

    /// Tells that the engine failed.
    pub fn fail(self, failed: &Failed) {
        self.job.tell(Event::Failed(ApiError::engine(failed)));
    }
}

/// The text of a generation, up to a stop string.
struct Text {
    stops: Stops,
    tells_tokens: bool,
    /// Tokens whose text is held back.
    held: Vec<TokenInfo>,
    /// Tokens that came before the text was stopped.
    count: u32,
    stopped: bool,
}

impl Text {
    fn new(stops: Vec<String>, tells_tokens: bool) -> Text {
        Text { stops: Stops::new(stops), tells_tokens, held: Vec::new(), count: 0, stopped: false }
    }

    /// Takes a token; what of the text is certain by now.
    fn push(&mut self, token: Streamed) -> Option<Chunk> {
        self.count += 1;
        let (text, stopped) = self.stops.push(&token.piece);
        self.stopped = stopped;
        if self.tells_tokens {
            self.held.push(info(token));
        }
        self.chunk(text)
    }

    /// The end: text that the worker held back, and what was held back here. And whether that was stopped.
    fn end(&mut self, rest: &str) -> (Option<Chunk>, bool) {
        let (mut text, stopped) = self.stops.push(rest);
        if !stopped {
            text.push_str(&self.stops.rest());
        }
        let tokens = std::mem::take(&mut self.held);
        let is_some = !text.is_empty() || !tokens.is_empty();
        (is_some.then_some(Chunk { text, tokens }), stopped)
    }

    fn chunk(&mut self, text: String) -> Option<Chunk> {
        if text.is_empty() {
            return None;
        }
        Some(Chunk { text, tokens: std::mem::take(&mut self.held) })
    }
}

/// What is told of a generated token: itself is always among the most probable ones that are told.
fn info(token: Streamed) -> TokenInfo {
    let mut top: Vec<(String, f32)> = Vec::with_capacity(token.top.len() + 1);
    let mut has_own = false;
    for (id, text, logprob) in token.top {
        has_own |= id == token.token;
        top.push((text, logprob));
    }
    if let Some(logprob) = token.logprob.filter(|_| !has_own) {
        top.push((token.piece.clone(), logprob));
    }
    TokenInfo { text: token.piece, logprob: token.logprob, top }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_told_with_the_text_that_they_belong_to() {
        let token = |index, piece: &str| Streamed {
            index,
            token: index,
            piece: piece.into(),
            logprob: Some(-1.0),
            top: vec![(7, "x".into(), -0.1)],
        };
        let mut text = Text::new(vec!["END".into()], true);
        let first = text.push(token(0, "a")).unwrap();
        assert_eq!((first.text.as_str(), first.tokens.len()), ("a", 1));
        assert_eq!(first.tokens[0].top, [("x".into(), -0.1), ("a".into(), -1.0)]);
        assert_eq!(text.push(token(1, "EN")), None);
        let both = text.push(token(2, "b")).unwrap();
        assert_eq!((both.text.as_str(), both.tokens.len()), ("ENb", 2));
        assert!(text.push(token(3, "END")).is_none() && text.stopped && text.count == 4);
    }

    #[test]
    fn what_was_held_back_comes_at_the_end() {
        let mut text = Text::new(vec!["END".into()], false);
        assert_eq!(text.push(Streamed { piece: "E".into(), ..Streamed::default() }), None);
        let (chunk, stopped) = text.end("\u{fffd}");
        assert_eq!((chunk.unwrap().text.as_str(), stopped), ("E\u{fffd}", false));
    }
}
