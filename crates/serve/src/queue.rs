//! The queue between the HTTP side and the thread that owns the worker: what is asked goes in, events come out.
//!
//! A client that leaves drops its [`Ticket`], which cancels its work, whether it is computed already or still waits. What a
//! client has not taken yet is kept for it up to a bound; then the worker waits for it.

use crate::error::ApiError;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::mpsc;
use tokometer_protocol::Finish;

/// Events that are kept for a client where it may hold up the worker: an answer that fills the default context.
pub const KEPT: usize = 4096;

/// What is to be continued.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Prompt {
    /// A text. The names of special tokens in it are those tokens.
    Text {
        /// The text.
        text: String,
        /// Whether the model's BOS is put before it.
        add_special: bool,
    },
    /// Token ids, as they are.
    Tokens(Vec<u32>),
}

/// What is wanted of a prompt.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Only {
    /// That it is continued.
    #[default]
    Completion,
    /// Its tokens.
    Tokens,
    /// Its text.
    Text,
}

/// One prompt and how it is to be continued.
#[derive(Debug, Clone, PartialEq)]
pub struct Wanted {
    /// Whether it is continued at all.
    pub only: Only,
    /// The prompt.
    pub prompt: Prompt,
    /// The request's name for it, for errors.
    pub param: &'static str,
    /// At most so many tokens; `None`: until the context is full.
    pub max_tokens: Option<u32>,
    /// 0 is greedy.
    pub temperature: f32,
    /// Share of probability that is drawn from.
    pub top_p: f32,
    /// Draws the tokens.
    pub seed: u64,
    /// Whether tokens that end a text are tokens like any other.
    pub ignore_eos: bool,
    /// How many of the most probable tokens are told; `None`: no log-probabilities at all.
    pub top_logprobs: Option<u32>,
    /// The text ends before the first of these.
    pub stops: Vec<String>,
    /// Whether the prompt is told, too.
    pub echo: bool,
}

impl Wanted {
    /// Nothing but the prompt in another form.
    pub fn only(only: Only, prompt: Prompt, param: &'static str) -> Wanted {
        Wanted {
            only,
            prompt,
            param,
            max_tokens: Some(0),
            temperature: 0.0,
            top_p: 1.0,
            seed: 0,
            ignore_eos: false,
            top_logprobs: None,
            stops: Vec::new(),
            echo: false,
        }
    }
}

/// A token with its log-probabilities, nats.
#[derive(Debug, Clone, PartialEq)]
pub struct TokenInfo {
    /// Its text.
    pub text: String,
    /// Its own; the first token of a prompt has none.
    pub logprob: Option<f32>,
    /// Of the most probable ones.
    pub top: Vec<(String, f32)>,
}

/// Text that is certain, with its tokens where log-probabilities were asked for.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Chunk {
    /// The text.
    pub text: String,
    /// Its tokens.
    pub tokens: Vec<TokenInfo>,
}

/// What comes of a prompt.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// It was accepted and is about to be computed.
    Begun {
        /// Its tokens.
        prompt_tokens: u32,
    },
    /// Text.
    Chunk(Chunk),
    /// The end.
    Ended {
        /// Tokens that were generated.
        completion_tokens: u32,
        /// Why it ended.
        finish: Finish,
    },
    /// The prompt's tokens, where these alone were asked for.
    Tokens(Vec<u32>),
    /// The prompt's text, where that alone was asked for.
    Text(String),
    /// An end of another kind.
    Failed(ApiError),
}

/// A prompt on its way to the worker.
pub struct Job {
    /// What is wanted.
    pub wanted: Wanted,
    events: mpsc::Sender<Event>,
    cancelled: Arc<AtomicBool>,
    _active: Active,
}

impl Job {
    /// Tells the client; `false` when it has left. Where as much is kept for it as may be, this waits until it takes some
    /// or is given up.
    pub fn tell(&self, event: Event) -> bool {
        self.events.blocking_send(event).is_ok()
    }

    /// Whether the client has left.
    pub fn is_cancelled(&self) -> bool {
        self.cancelled.load(Ordering::Relaxed)
    }
}

/// The client's end of a job. Dropped, it cancels the job.
#[derive(Debug)]
pub struct Ticket {
    /// What comes of it.
    pub events: mpsc::Receiver<Event>,
    cancelled: Arc<AtomicBool>,
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.cancelled.store(true, Ordering::Relaxed);
    }
}

/// Counts a job as long as it lives.
struct Active(Arc<AtomicUsize>);

impl Drop for Active {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

/// The entrance.
pub struct Queue {
    sender: Mutex<Option<SyncSender<Job>>>,
    active: Arc<AtomicUsize>,
    kept: usize,
}

impl Queue {
    /// A queue in which `size` jobs may wait, and its exit; `kept` events wait for each client before the worker waits for it.
    pub fn new(size: usize, kept: usize) -> (Queue, Receiver<Job>) {
        let (sender, jobs) = sync_channel(size);
        (Queue { sender: Mutex::new(Some(sender)), active: Arc::default(), kept }, jobs)
    }

    /// Puts a job in.
    ///
    /// # Errors
    /// There is no room, or the queue is closed.
    pub fn put(&self, wanted: Wanted) -> Result<Ticket, ApiError> {
        let (events, told) = mpsc::channel(self.kept);
        let cancelled = Arc::new(AtomicBool::new(false));
        self.active.fetch_add(1, Ordering::SeqCst);
        let active = Active(Arc::clone(&self.active));
        let job = Job { wanted, events, cancelled: Arc::clone(&cancelled), _active: active };
        let sender = self.sender.lock().unwrap_or_else(PoisonError::into_inner);
        let stopping = || Err(ApiError::unavailable("stopping", "the server is stopping"));
        let Some(sender) = sender.as_ref() else { return stopping() };
        match sender.try_send(job) {
            Ok(()) => Ok(Ticket { events: told, cancelled }),
            Err(TrySendError::Full(_)) => {
                Err(ApiError::unavailable("queue_full", "too many requests are waiting: try again later"))
            }
            Err(TrySendError::Disconnected(_)) => stopping(),
        }
    }

    /// Jobs that wait or are computed.
    pub fn active(&self) -> usize {
        self.active.load(Ordering::SeqCst)
    }

    /// Lets nothing in any more; the exit ends after what is inside.
    pub fn close(&self) {
        self.sender.lock().unwrap_or_else(PoisonError::into_inner).take();
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A greedy request for this text.
    pub fn wanted(text: &str) -> Wanted {
        Wanted {
            only: Only::Completion,
            prompt: Prompt::Text { text: text.into(), add_special: true },
            param: "prompt",
            max_tokens: Some(4),
            temperature: 0.0,
            top_p: 1.0,
            seed: 0,
            ignore_eos: false,
            top_logprobs: None,
            stops: Vec::new(),
            echo: false,
        }
    }

    #[test]
    fn a_client_that_leaves_cancels_its_job() {
        let (queue, jobs) = Queue::new(2, KEPT);
        let ticket = queue.put(wanted("a")).unwrap();
        let job = jobs.recv().unwrap();
        assert!(!job.is_cancelled() && job.tell(Event::Begun { prompt_tokens: 1 }));
        drop(ticket);
        assert!(job.is_cancelled() && !job.tell(Event::Begun { prompt_tokens: 1 }));
        assert_eq!(queue.active(), 1);
        drop(job);
        assert_eq!(queue.active(), 0);
    }

    #[test]
    fn what_a_client_does_not_take_is_kept_up_to_a_bound() {
        let (queue, jobs) = Queue::new(1, KEPT);
        let mut ticket = queue.put(wanted("a")).unwrap();
        let job = jobs.recv().unwrap();
        let begun = Event::Begun { prompt_tokens: 1 };
        assert!((0..KEPT).all(|_| job.tell(begun.clone())));
        let one_more = |job: Job| {
            let event = begun.clone();
            std::thread::spawn(move || (job.tell(event), job))
        };
        // There is room when some of it is taken, and no need for it when nobody takes anything any more.
        let waits = one_more(job);
        assert_eq!(ticket.events.blocking_recv(), Some(begun.clone()));
        let (told, job) = waits.join().unwrap();
        assert!(told);
        let waits = one_more(job);
        drop(ticket);
        assert!(!waits.join().unwrap().0);
    }

    #[test]
    fn a_full_queue_and_a_closed_one_say_so() {
        let (queue, jobs) = Queue::new(1, KEPT);
        let _first = queue.put(wanted("a")).unwrap();
        let full = queue.put(wanted("b")).unwrap_err();
        assert_eq!((full.status, full.code), (503, Some("queue_full")));
        assert_eq!(queue.active(), 1);
        queue.close();
        assert_eq!(queue.put(wanted("c")).unwrap_err().code, Some("stopping"));
        assert_eq!(jobs.iter().count(), 1);
    }
}
