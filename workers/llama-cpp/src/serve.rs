//! Does calls, writes replies. One at a time, in order; where the model was loaded for several sequences, completions run
//! together and whatever needs the whole context waits for their end.

use crate::about;
use crate::calls::{Calls, Cancelled, Line, Now};
use crate::llama::{self, Context, ContextSettings, Model, Result, failure};
use crate::together::{Said, Together};
use crate::{complete, measure, score};
use std::collections::VecDeque;
use std::io::{self, Write};
use std::time::Instant;
use tokometer_protocol::{
    Answer, Body, Call, Complete, Completed, Failure, FailureKind, Load, Progress, Quantized, Reply, Request,
};

/// Serves until the input ends or `shutdown` comes.
pub fn serve(mut calls: Calls, output: impl Write) -> io::Result<()> {
    let cancelled = calls.cancelled();
    let mut worker = Worker { output, cancelled, context: None, together: None, held: VecDeque::new(), error: None };
    llama::init();
    while let Some(line) = calls.next() {
        if worker.take(line)? || (worker.is_busy() && worker.together(&calls)?) {
            break;
        }
    }
    Ok(())
}

struct Worker<W> {
    output: W,
    cancelled: Cancelled,
    context: Option<Context>,
    // Where several completions may run at once.
    together: Option<Together>,
    // Calls that wait until nobody is there.
    held: VecDeque<Call>,
    // A reply that could not be written from inside a callback.
    error: Option<io::Error>,
}

impl<W: Write> Worker<W> {
    fn send(&mut self, id: u64, body: Body) -> io::Result<()> {
        let mut line = serde_json::to_vec(&Reply { id, body })?;
        line.push(b'\n');
        self.output.write_all(&line)?;
        self.output.flush()
    }

    /// Sends from where no error can be returned; the error comes out of the next `answer`.
    fn send_later(&mut self, id: u64, body: Body) {
        if let Err(error) = self.send(id, body) {
            self.error.get_or_insert(error);
        }
    }

    /// Does what a line asks for, or begins it; true after `shutdown`.
    fn take(&mut self, line: Line) -> io::Result<bool> {
        match line? {
            Ok(call) if self.must_wait(&call.request) => {
                self.held.push_back(call);
                Ok(false)
            }
            Ok(call) => self.answer_or_begin(call),
            Err(message) => {
                self.send(0, Body::Error(Failure { kind: FailureKind::Protocol, message }))?;
                Ok(false)
            }
        }
    }

    /// Whether completions run together just now.
    fn is_busy(&self) -> bool {
        self.together.as_ref().is_some_and(|together| !together.is_empty())
    }

    fn has_room(&self) -> bool {
        self.together.as_ref().is_some_and(Together::has_room)
    }

    /// Whether this would disturb what runs, or go before what waits already.
    fn must_wait(&self, request: &Request) -> bool {
        match request {
            Request::Tokenize { .. } | Request::Detokenize { .. } | Request::Cancel { .. } => false,
            Request::Complete(_) if self.held.is_empty() => self.is_busy() && !self.has_room(),
            _ => self.is_busy() || !self.held.is_empty(),
        }
    }

    /// Computes for all that are there, and takes what comes meanwhile, until nobody is there; true after `shutdown`.
    fn together(&mut self, calls: &Calls) -> io::Result<bool> {
        let mut ended = false;
        loop {
            while !ended {
                match calls.now() {
                    Now::Line(line) => {
                        // `shutdown` waits while somebody is here.
                        self.take(line)?;
                    }
                    Now::Nothing => break,
                    Now::End => ended = true,
                }
            }
            self.step()?;
            while let Some(call) = self.held.pop_front() {
                let is_completion = matches!(call.request, Request::Complete(_));
                if self.is_busy() && !(is_completion && self.has_room()) {
                    self.held.push_front(call);
                    break;
                }
                if self.answer_or_begin(call)? {
                    return Ok(true);
                }
            }
            if !self.is_busy() {
                if let Some(context) = &mut self.context {
                    context.rest();
                }
                return Ok(ended);
            }
        }
    }

    /// One step of all completions.
    fn step(&mut self) -> io::Result<()> {
        let (Some(mut together), Some(mut context)) = (self.together.take(), self.context.take()) else {
            return Ok(());
        };
        let cancelled = self.cancelled.clone();
        together.step(
            &mut context,
            |id| cancelled.has(id),
            |id, said| {
                let body = match said {
                    Said::Token(token) => Body::Token(token),
                    Said::Ended(Ok(completed)) => Body::Result(Answer::Completed(completed)),
                    Said::Ended(Err(failure)) => Body::Error(failure),
                };
                self.send_later(id, body);
            },
        );
        (self.together, self.context) = (Some(together), Some(context));
        self.error.take().map_or(Ok(()), Err)
    }

    /// Begins a completion where several may run, does any other call; true after `shutdown`.
    fn answer_or_begin(&mut self, call: Call) -> io::Result<bool> {
        let (Request::Complete(request), Some(together), Some(context)) =
            (&call.request, &mut self.together, &mut self.context)
        else {
            return self.answer(call);
        };
        if together.is_empty() {
            context.wake();
        }
        if let Err(failure) = together.begin(context, call.id, request) {
            if together.is_empty() {
                context.rest();
            }
            self.send(call.id, Body::Error(failure))?;
        }
        Ok(false)
    }

    /// Does one call; true after `shutdown`.
    fn answer(&mut self, call: Call) -> io::Result<bool> {
        let last = call.request == Request::Shutdown;
        let body = match self.perform(call.id, call.request) {
            Ok(answer) => Body::Result(answer),
            Err(failure) => Body::Error(failure),
        };
        self.send(call.id, body)?;
        match self.error.take() {
            Some(error) => Err(error),
            None => Ok(last),
        }
    }

    fn perform(&mut self, id: u64, request: Request) -> Result<Answer> {
        match request {
            Request::Hello { protocol } => about::hello(protocol),
            Request::Load(load) => self.load(id, &load),
            Request::Generate(request) => {
                let mut context = self.take_context()?;
                context.wake();
                let generated = measure::generate(&mut context, &request);
                context.rest();
                self.context = Some(context);
                generated.map(Answer::Generated)
            }
            Request::Complete(request) => self.complete(id, &request).map(Answer::Completed),
            // Taken by whoever reads the calls; nothing comes of one that is late.
            Request::Cancel { .. } => Ok(Answer::Done),
            Request::Score { tokens, from, full } => {
                score::score(self.context()?, &tokens, from as usize, full.as_deref()).map(Answer::Scored)
            }
            Request::Tokenize { text, add_special, parse_special } => {
                let tokens = self.context()?.model().tokenize(&text, add_special, parse_special)?;
                Ok(Answer::Tokens { tokens })
            }
            Request::Detokenize { tokens } => Ok(Answer::Pieces { pieces: self.context()?.model().pieces(&tokens) }),
            Request::Quantize { input, output, native, threads } => {
                let start = Instant::now();
                llama::quantize(&input, &output, &native, threads, |at, total| {
                    // At the last one it is not done yet.
                    let progress =
                        Progress { stage: "quantizing".into(), done: at.saturating_sub(1), total: Some(total) };
                    self.send_later(id, Body::Progress(progress));
                })?;
                let bytes = std::fs::metadata(&output)
                    .map_err(|error| failure(FailureKind::Model, format!("{output}: {error}")))?
                    .len();
                Ok(Answer::Quantized(Quantized { bytes, elapsed_ns: start.elapsed().as_nanos() as u64 }))
            }
            Request::Compile(_) => {
                Err(failure(FailureKind::Unsupported, "llama.cpp runs GGUF files: nothing is compiled"))
            }
            Request::Unload => {
                (self.context, self.together) = (None, None);
                Ok(Answer::Done)
            }
            Request::Shutdown => Ok(Answer::Done),
        }
    }

    fn complete(&mut self, id: u64, request: &Complete) -> Result<Completed> {
        let mut context = self.take_context()?;
        let cancelled = self.cancelled.clone();
        context.wake();
        let completed = complete::complete(
            &mut context,
            request,
            || cancelled.has(id),
            |token| {
                self.send_later(id, Body::Token(token));
            },
        );
        context.rest();
        self.context = Some(context);
        completed
    }

    fn context(&mut self) -> Result<&mut Context> {
        self.context.as_mut().ok_or_else(no_model)
    }

    fn take_context(&mut self) -> Result<Context> {
        self.context.take().ok_or_else(no_model)
    }

    fn load(&mut self, id: u64, load: &Load) -> Result<Answer> {
        (self.context, self.together) = (None, None);
        let gpu_layers = about::options(load)?;
        let start = Instant::now();
        let mut shown = 0;
        let model = Model::load(&load.model, load.device.as_deref(), gpu_layers, &mut |fraction| {
            let percent = (fraction * 100.0) as u64;
            if percent >= shown + 10 {
                shown = percent;
                let progress = Progress { stage: "loading".into(), done: percent, total: Some(100) };
                self.send_later(id, Body::Progress(progress));
            }
        })?;
        let settings = ContextSettings {
            ctx_tokens: load.ctx_tokens,
            sequences: load.sequences.unwrap_or(1).max(1),
            threads: load.threads.unwrap_or_else(about::default_threads),
            batch: load.batch,
            ubatch: load.ubatch,
            flash_attn: load.flash_attn,
            kv_type: load.kv_type.clone().unwrap_or_else(|| "f16".into()),
            asynchronous: about::device_in_use(load, gpu_layers).is_some_and(|device| device.kind == "gpu"),
        };
        let context = Context::new(model, &settings)?;
        let load_ns = start.elapsed().as_nanos() as u64;
        let loaded = about::describe(&context, about::device_in_use(load, gpu_layers), &settings, load_ns);
        self.together = (context.sequences() > 1).then(|| Together::new(&context));
        self.context = Some(context);
        Ok(Answer::Loaded(Box::new(loaded)))
    }
}

fn no_model() -> Failure {
    failure(FailureKind::Protocol, "no model is loaded")
}
