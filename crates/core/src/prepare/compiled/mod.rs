//! A checkpoint -> what an engine runs that compiles its models: weights in its own format, and a library for this machine.
//!
//! Both are made by the engine's tools, which its worker drives, and kept apart: `weights` are the same everywhere, a
//! `library` belongs to a device, a processor and a version (`target`). Weights that were converted before are taken as
//! they are.

mod library;
mod target;
mod weights;

use super::{Error, Prepared, Request, Result, Source, Store, hub};
use crate::disk::amount;
use crate::engine::{Failed, Timeouts, Worker, on_device};
use crate::progress::{Progress, Task, Unit};
use target::Machine;
use tokometer_protocol::{Answer, Progress as Step, Quantized, Request as Ask};

/// Weights and library; what is there already is reused. The result's path is the library's folder, which names the
/// weights.
pub fn prepare(store: &Store, source: &Source, request: &Request<'_>, progress: &dyn Progress) -> Result<Prepared> {
    let engine = request.engine;
    if source.is_gguf {
        return Err(Error::Refused(format!(
            "{} does not run GGUF files: name the Hugging Face checkpoint that {} was made from, or weights that were converted for it",
            engine.title,
            source.path.display()
        )));
    }
    let Some(discovery) = request.worker else {
        return Err(Error::Refused(format!(
            "preparing a model for {} needs it installed; `tokometer doctor` says how",
            engine.title
        )));
    };
    let starting = |failed| failure(request, "start", failed);
    let mut tools =
        Tools { worker: Worker::start(discovery, Timeouts::default()).map_err(starting)?, request, progress };
    let machine = Machine::choose(&tools.worker.hello, request.target.device).map_err(Error::Refused)?;
    let wanted = on_device(request.native, machine.is_cpu());
    let weights = match source.is_converted && weights::index_of(&source.path).is_some() {
        true => weights::taken(source, request, wanted)?,
        false => weights::converted(store, source, wanted, &machine, &mut tools)?,
    };
    let prepared = library::compiled(store, source, &weights, &machine, &mut tools)?;
    tools.worker.shutdown();
    Ok(prepared)
}

/// The engine's worker at work.
struct Tools<'a> {
    worker: Worker,
    request: &'a Request<'a>,
    progress: &'a dyn Progress,
}

impl Tools<'_> {
    /// Has the worker make something. What it says before it begins is told; then a bar counts the seconds of what it
    /// expects.
    fn make(&mut self, doing: &str, ask: Ask) -> Result<Quantized> {
        let mut shown = Shown { progress: self.progress, label: format!("{doing} (seconds)"), task: None, done: 0 };
        let answer = self.worker.call(ask, |step| shown.hear(step));
        let made = match answer {
            Ok(Answer::Quantized(made)) => made,
            Ok(other) => {
                return Err(Error::Refused(format!(
                    "{}'s worker was to {doing} and answered {other:?}",
                    self.request.engine.title
                )));
            }
            Err(failed) => return Err(failure(self.request, doing, failed)),
        };
        if let Some(task) = shown.task {
            task.finish(&format!("{} in {:.0} s", amount(made.bytes), made.elapsed_ns as f64 / 1e9));
        }
        Ok(made)
    }
}

/// What a worker says on the way: a step without a total is a sentence, one with a total counts.
struct Shown<'a> {
    progress: &'a dyn Progress,
    label: String,
    task: Option<Box<dyn Task>>,
    done: u64,
}

impl Shown<'_> {
    fn hear(&mut self, step: &Step) {
        let Some(total) = step.total else { return self.progress.note(&step.stage) };
        let task = self.task.get_or_insert_with(|| self.progress.task(&self.label, Some(total), Unit::Count));
        task.detail(&step.stage);
        task.advance(step.done.min(total).saturating_sub(self.done));
        self.done = self.done.max(step.done.min(total));
    }
}

fn failure(request: &Request<'_>, doing: &str, failed: Failed) -> Error {
    Error::Engine { engine: request.engine.title.into(), doing: doing.into(), failed }
}

/// Whether a name from somebody's file stays inside the folder that it is used in.
fn stays_inside(name: &str) -> bool {
    hub::check_file_name(name).is_ok() && !name.contains('/')
}
