//! Completions of the mock engine: a text that is known beforehand.
//!
//! Greedy text counts: ` 0 1 2`; drawn text carries the seed: ` 7.0 7.1` of seed 7. Options of `load`: `serve_us` real
//! microseconds per token, `serve_stop_after=N` (the model ends its text after N tokens, unless EOS is ignored),
//! `serve_crash_at=N` (the process dies at token N of every completion of more than one token; with `fault_counter` in
//! the launch that `fault_launch` names only), `serve_together=N` (no completion of more than one token says its first before N of them run at once: a test that several
//! are asked for together, whatever their speed), `serve_meet=FOLDER` and `serve_meet_count=N` (no completion of more than one
//! token begins before N processes have come to that folder: a test that several are at work, whatever their speed).

use crate::send;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokometer_protocol::{Body, Complete, Completed, Failure, FailureKind, Finish, Reply, Streamed};

/// Begins a text.
pub const BOS: u32 = 998;
/// Ends a text.
pub const EOS: u32 = 999;
/// Shows every message with its role.
pub const CHAT_TEMPLATE: &str = "{{ bos_token }}{% for message in messages %}[{{ message['role'] }}]{{ message['content'] | trim }}{% endfor %}\
{% if add_generation_prompt %}[assistant]{% endif %}";

/// How long the others are waited for where several are to meet.
const MEETING: Duration = Duration::from_secs(120);

/// The numbers of calls that were cancelled; clones share them.
#[derive(Clone, Default)]
pub struct Cancelled(Arc<Mutex<BTreeSet<u64>>>);

impl Cancelled {
    /// Cancels a call.
    pub fn add(&self, call: u64) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(call);
    }

    fn has(&self, call: u64) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).contains(&call)
    }
}

/// How many completions run, and how many ever ran at once.
#[derive(Default)]
struct Crowd {
    now: AtomicU64,
    most: AtomicU64,
}

/// Says completions; clones are for several at once.
#[derive(Clone, Default)]
pub struct Speaker {
    options: BTreeMap<String, String>,
    cancelled: Cancelled,
    crowd: Arc<Crowd>,
}

/// The text of a token: of a byte the character of that number, else its name.
pub fn text(token: u32) -> String {
    match token {
        0..=255 => char::from(token as u8).to_string(),
        BOS => "<bos>".into(),
        EOS => "<eos>".into(),
        _ => format!("<{token}>"),
    }
}

impl Speaker {
    /// By the options of `load`; ends what is cancelled.
    pub fn new(options: BTreeMap<String, String>, cancelled: Cancelled) -> Speaker {
        Speaker { options, cancelled, crowd: Arc::default() }
    }

    fn number(&self, name: &str, default: u64) -> u64 {
        self.options.get(name).and_then(|text| text.parse().ok()).unwrap_or(default)
    }

    /// Says token after token until there are enough, the model stops or the call is cancelled.
    pub fn complete(&self, id: u64, request: &Complete) -> Result<Completed, Failure> {
        let now = self.crowd.now.fetch_add(1, Ordering::SeqCst) + 1;
        self.crowd.most.fetch_max(now, Ordering::SeqCst);
        let completed = self.say(id, request);
        self.crowd.now.fetch_sub(1, Ordering::SeqCst);
        completed
    }

    fn say(&self, id: u64, request: &Complete) -> Result<Completed, Failure> {
        if request.prompt.is_empty() || request.max_tokens == 0 {
            let message = "a completion needs at least one prompt token and one token to generate".into();
            return Err(Failure { kind: FailureKind::Protocol, message });
        }
        if self.options.get("fault").is_some_and(|fault| fault == "error") && request.max_tokens > 1 {
            return Err(Failure { kind: FailureKind::Engine, message: "the engine is out of order".into() });
        }
        if request.max_tokens > 1 {
            self.meet()?;
            self.gather()?;
        }
        let pause = Duration::from_micros(self.number("serve_us", 0));
        let (stop_after, crash_at) =
            (self.number("serve_stop_after", u64::MAX), self.number("serve_crash_at", u64::MAX));
        let mut completed = Completed { prompt_tokens: request.prompt.len() as u32, ..Completed::default() };
        for index in 0..request.max_tokens {
            std::thread::sleep(pause);
            if request.max_tokens > 1 && u64::from(index) == crash_at {
                eprintln!("mock: about to crash");
                std::process::abort();
            }
            completed.completion_tokens += 1;
            if u64::from(index) >= stop_after && !request.ignore_eos {
                completed.finish = Finish::Stop;
                break;
            }
            // Nobody listens any more: the next call finds out.
            let _ = send(&Reply { id, body: Body::Token(streamed(request, index)) });
            if self.cancelled.has(id) {
                completed.finish = Finish::Cancelled;
                break;
            }
        }
        Ok(completed)
    }

    /// Waits until as many completions as are to run at once do, where that is asked for.
    fn gather(&self) -> Result<(), Failure> {
        let (began, wanted) = (Instant::now(), self.number("serve_together", 1));
        while self.crowd.most.load(Ordering::SeqCst) < wanted {
            if began.elapsed() > MEETING {
                let message = format!("{wanted} completions never ran at once");
                return Err(Failure { kind: FailureKind::Engine, message });
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        Ok(())
    }

    /// Waits until as many processes as are to meet have left a file in the folder, where they are to meet at all.
    fn meet(&self) -> Result<(), Failure> {
        let Some(folder) = self.options.get("serve_meet").map(Path::new) else { return Ok(()) };
        let failed = |message: String| Failure { kind: FailureKind::Engine, message };
        let in_folder = |error: std::io::Error| failed(format!("{}: {error}", folder.display()));
        std::fs::create_dir_all(folder).map_err(in_folder)?;
        std::fs::write(folder.join(std::process::id().to_string()), "").map_err(in_folder)?;
        let (began, wanted) = (Instant::now(), self.number("serve_meet_count", 1));
        loop {
            let here = std::fs::read_dir(folder).map_err(in_folder)?.count() as u64;
            if here >= wanted {
                return Ok(());
            }
            if began.elapsed() > MEETING {
                return Err(failed(format!("{here} of {wanted} processes came to {}", folder.display())));
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

fn streamed(request: &Complete, index: u32) -> Streamed {
    let piece = match request.temperature == 0.0 {
        true => format!(" {index}"),
        false => format!(" {}.{index}", request.seed),
    };
    let mut streamed = Streamed { index, token: index % 900, piece, ..Streamed::default() };
    if let Some(n) = request.top_logprobs {
        streamed.logprob = Some(-0.5);
        let others = (1..n).map(|place| (place, format!("other {place}"), -1.0 - place as f32));
        let own = (n > 0).then(|| (streamed.token, streamed.piece.clone(), -0.5));
        streamed.top = own.into_iter().chain(others).collect();
    }
    streamed
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_is_known_beforehand() {
        let greedy = Complete { prompt: vec![1], max_tokens: 3, top_logprobs: Some(2), ..Complete::default() };
        let token = streamed(&greedy, 1);
        assert_eq!((token.piece.as_str(), token.logprob, token.top.len()), (" 1", Some(-0.5), 2));
        let drawn = Complete { temperature: 1.0, seed: 7, ..greedy };
        assert_eq!(streamed(&drawn, 1).piece, " 7.1");
    }
}
