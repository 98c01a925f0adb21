//! The thread that owns the worker: starts it, gives it as many jobs as it computes at once, in the order in which they came, and
//! starts it again after it died.

use crate::error::ApiError;
use crate::perform::{begin, is_for_one_alone};
use crate::queue::{Event, Job};
use crate::running::Running;
use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, TryRecvError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::sync::oneshot;
use tokometer_core::engine::{Discovery, Failed, Kind, Said, Timeouts, Worker};
use tokometer_protocol::{Answer, Complete, Load, Loaded, Request};

/// How often it is looked whether a client has left, while no token comes.
const LOOK: Duration = Duration::from_millis(50);
/// The same where another job could begin: none should wait for long.
const GLANCE: Duration = Duration::from_millis(5);

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
    /// Requests that are computed at once; others wait.
    pub sequences: u32,
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
pub fn run(launch: &Launch, jobs: &Receiver<Job>, halt: &Halt, ready: oneshot::Sender<Result<Model, Failed>>) {
    let (worker, model) = match start(launch) {
        Ok(started) => started,
        Err(failed) => {
            // Nobody waits for it when the server was stopped meanwhile.
            let _ = ready.send(Err(failed));
            return;
        }
    };
    let _ = ready.send(Ok(model.clone()));
    let mut engine = Engine { launch, halt, model, worker: Some(worker), running: BTreeMap::new(), held: None };
    engine.serve(jobs);
    if let Some(worker) = engine.worker {
        worker.shutdown();
    }
}

/// The worker and what it computes.
struct Engine<'a> {
    launch: &'a Launch,
    halt: &'a Halt,
    model: Model,
    worker: Option<Worker>,
    /// By the number of the worker's call; never more than the model has sequences.
    running: BTreeMap<u64, Running>,
    /// A job that waits until nothing runs, and all others behind it.
    held: Option<Job>,
}

/// What there is to begin.
enum Next {
    Job(Job),
    Nothing,
    /// Nor will there be.
    End,
}

impl Engine<'_> {
    fn serve(&mut self, jobs: &Receiver<Job>) {
        loop {
            while self.running.len() < self.model.sequences as usize {
                match self.next(jobs) {
                    Next::Job(job) => self.begin(job),
                    Next::Nothing => break,
                    Next::End if self.running.is_empty() => return,
                    Next::End => break,
                }
            }
            if let Err(failed) = self.step() {
                self.bury(&failed);
            }
        }
    }

    /// The next job in turn; waits for one where nothing runs.
    fn next(&mut self, jobs: &Receiver<Job>) -> Next {
        let is_idle = self.running.is_empty();
        if let Some(held) = self.held.take() {
            if is_idle {
                return Next::Job(held);
            }
            self.held = Some(held);
            return Next::Nothing;
        }
        let job = match is_idle {
            true => jobs.recv().map_err(|_| TryRecvError::Disconnected),
            false => jobs.try_recv(),
        };
        match job {
            Ok(job) if !is_idle && is_for_one_alone(&job.wanted) => {
                self.held = Some(job);
                Next::Nothing
            }
            Ok(job) => Next::Job(job),
            Err(TryRecvError::Empty) => Next::Nothing,
            Err(TryRecvError::Disconnected) => Next::End,
        }
    }

    /// Begins a job, on a new worker where there is none.
    fn begin(&mut self, job: Job) {
        if job.is_cancelled() {
            return;
        }
        if self.halt.drain.load(Ordering::SeqCst) {
            job.tell(Event::Failed(ApiError::unavailable("stopping", "the server is stopping")));
            return;
        }
        // It may have died while nothing was asked.
        if self.running.is_empty() && !self.worker.as_ref().is_some_and(Worker::is_running) {
            self.worker = None;
        }
        let mut worker = match self.worker.take().map_or_else(|| start(self.launch).map(|(worker, _)| worker), Ok) {
            Ok(worker) => worker,
            Err(failed) => {
                job.tell(Event::Failed(ApiError::engine(&failed)));
                return;
            }
        };
        let begun = begin(&mut worker, &self.model, job);
        // What it printed is nobody's business and must not pile up.
        worker.take_output();
        self.worker = Some(worker);
        match begun {
            Ok(begun) => self.running.extend(begun),
            Err(failed) => self.bury(&failed),
        }
    }

    /// Hears what comes of what runs.
    fn step(&mut self) -> Result<(), Failed> {
        let Some(worker) = self.worker.as_mut().filter(|_| !self.running.is_empty()) else { return Ok(()) };
        for (id, running) in &mut self.running {
            if running.is_to_end(self.halt) {
                worker.cancel(*id)?;
            }
        }
        let has_room = self.running.len() < self.model.sequences as usize;
        match worker.hear(if has_room { GLANCE } else { LOOK })? {
            None => Ok(()),
            Some((id, Said::Token(token))) => {
                let ends = self.running.get_mut(&id).is_some_and(|running| running.take(token));
                if ends { worker.cancel(id) } else { Ok(()) }
            }
            Some((id, Said::Ended(ended))) => {
                worker.take_output();
                match (self.running.remove(&id), ended) {
                    (Some(running), Ok(completed)) => running.end(&completed),
                    (Some(running), Err(failed)) => {
                        running.fail(&failed);
                        return Err(failed);
                    }
                    (None, _) => (),
                }
                Ok(())
            }
        }
    }

    /// Lets a worker go that is of no use after this failure, and tells those whose work was lost with it.
    fn bury(&mut self, failed: &Failed) {
        if !is_dead(failed.kind) {
            return;
        }
        self.worker = None;
        for (_, running) in std::mem::take(&mut self.running) {
            running.fail(failed);
        }
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
        sequences: loaded.sequences.unwrap_or(1).max(1),
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
