//! The thread that owns the worker: starts it, takes one job after the other, and starts it again after it died.

use crate::error::ApiError;
use crate::perform::perform;
use crate::queue::{Event, Job};
use std::ops::ControlFlow;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::Receiver;
use std::time::{SystemTime, UNIX_EPOCH};
use tokio::sync::oneshot;
use tokometer_core::engine::{Discovery, Failed, Kind, Timeouts, Worker};
use tokometer_protocol::{Answer, Complete, Load, Loaded, Request};

/// How a worker is started and what it loads.
#[derive(Debug, Clone)]
pub struct Launch {
    /// The worker.
    pub discovery: Discovery,
    /// When it counts as hung.
    pub timeouts: Timeouts,
    /// The model.
    pub load: Load,
}

/// What is served, as the HTTP side must know it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Model {
    /// Tokens that prompt and generated text may have together.
    pub ctx_tokens: u32,
    /// Tokens of context that the model was trained for, where that is known.
    pub ctx_train: Option<u32>,
    /// Ids are below it; 0 where that is not known.
    pub vocab_size: u32,
    /// The ids that end a text.
    pub eos: Vec<u32>,
    /// The name of the token that begins a text; empty without one.
    pub bos_text: String,
    /// The name of the first token that ends one; empty without one.
    pub eos_text: String,
    /// The chat template.
    pub chat_template: Option<String>,
    /// Whether log-probabilities of given tokens are told.
    pub can_score: bool,
    /// The quantization that is computed with.
    pub native: String,
    /// The engine's version as it names itself.
    pub engine_version: String,
    /// Engine, its version and the quantization, for `system_fingerprint`.
    pub fingerprint: String,
    /// When it was loaded, seconds since 1970.
    pub created: u64,
}

/// How the server is stopped, as far as this thread must know it.
#[derive(Debug, Default)]
pub struct Halt {
    /// What still waits is refused.
    pub drain: AtomicBool,
    /// What is being computed is given up.
    pub cut: AtomicBool,
}

/// Starts the worker and serves jobs until there are no more; `ready` hears of the first start.
pub fn run(launch: &Launch, jobs: Receiver<Job>, halt: &Halt, ready: oneshot::Sender<Result<Model, Failed>>) {
    let (worker, model) = match start(launch) {
        Ok(started) => started,
        Err(failed) => {
            // Nobody waits for it when the server was stopped meanwhile.
            let _ = ready.send(Err(failed));
            return;
        }
    };
    let mut live = Some(worker);
    let _ = ready.send(Ok(model.clone()));
    for job in jobs {
        if job.is_cancelled() {
            continue;
        }
        if halt.drain.load(Ordering::SeqCst) {
            job.tell(Event::Failed(ApiError::unavailable("stopping", "the server is stopping")));
            continue;
        }
        // It may have died while nothing was asked.
        let mut worker = match live.take().filter(Worker::is_running) {
            Some(worker) => worker,
            None => match start(launch) {
                Ok((worker, _)) => worker,
                Err(failed) => {
                    job.tell(Event::Failed(ApiError::engine(&failed)));
                    continue;
                }
            },
        };
        match perform(&mut worker, &model, &job, halt) {
            Err(failed) if is_dead(failed.kind) => drop(worker),
            // What it printed is nobody's business and must not pile up.
            _ => {
                worker.take_output();
                live = Some(worker);
            }
        }
    }
    if let Some(worker) = live {
        worker.shutdown();
    }
}

/// Whether a worker is of no use after such a failure.
fn is_dead(kind: Kind) -> bool {
    match kind {
        Kind::Crash | Kind::Hang | Kind::Garbage | Kind::OutOfMemory | Kind::NotInstalled => true,
        Kind::Unsupported | Kind::Error => false,
    }
}

/// A worker that has loaded the model and generated a token.
fn start(launch: &Launch) -> Result<(Worker, Model), Failed> {
    let mut worker = Worker::start(&launch.discovery, launch.timeouts)?;
    if !worker.hello.methods.iter().any(|method| method == "complete") {
        let reason = format!("the worker of {} cannot serve: it offers no completions", worker.hello.engine);
        return Err(Failed::new(Kind::Unsupported, reason));
    }
    let loaded = match worker.call(Request::Load(launch.load.clone()), |_| ())? {
        Answer::Loaded(loaded) => *loaded,
        other => return Err(Failed::new(Kind::Garbage, format!("load was answered by {other:?}"))),
    };
    let first = loaded.bos.or(loaded.eos.first().copied()).unwrap_or(0);
    let once = Complete { prompt: vec![first], ignore_eos: true, ..Complete::default() };
    worker.complete(once, |_| ControlFlow::Continue(()))?;
    let model = describe(&mut worker, loaded)?;
    Ok((worker, model))
}

fn describe(worker: &mut Worker, loaded: Loaded) -> Result<Model, Failed> {
    let hello = worker.hello.clone();
    let offers = |method: &str| hello.methods.iter().any(|offered| offered == method);
    let names = offers("detokenize") && loaded.chat_template.is_some();
    let mut name = |token: Option<u32>| match token.filter(|_| names) {
        Some(token) => pieces(worker, vec![token]).map(|pieces| pieces.concat()),
        None => Ok(String::new()),
    };
    let (bos_text, eos_text) = (name(loaded.bos)?, name(loaded.eos.first().copied())?);
    Ok(Model {
        ctx_tokens: loaded.ctx_tokens,
        ctx_train: loaded.ctx_train,
        vocab_size: loaded.vocab_size,
        bos_text,
        eos_text,
        can_score: offers("score"),
        fingerprint: format!("{} {} {}", hello.engine, hello.engine_version, loaded.native_quantize),
        engine_version: hello.engine_version,
        native: loaded.native_quantize,
        eos: loaded.eos,
        chat_template: loaded.chat_template,
        created: SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs()),
    })
}

/// The text of each token.
pub fn pieces(worker: &mut Worker, tokens: Vec<u32>) -> Result<Vec<String>, Failed> {
    let wanted = tokens.len();
    match worker.call(Request::Detokenize { tokens }, |_| ())? {
        Answer::Pieces { pieces } if pieces.len() == wanted => Ok(pieces),
        other => Err(Failed::new(Kind::Garbage, format!("detokenize was answered by {other:?}"))),
    }
}
