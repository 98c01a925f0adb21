//! The evaluations of a command, as many at a time as were asked for. Each job has an endpoint of its own: it starts one,
//! asks on it what is left for that engine and quantization, and stops it before it starts the next. What has a finished
//! result is kept and needs no endpoint.

use super::room::{Room, Share};
use super::start::{self, Known};
use crate::args::Eval;
use crate::commands::Session;
use crate::commands::keep::Told;
use crate::settings::Found;
use anyhow::Result;
use std::collections::VecDeque;
use std::panic::resume_unwind;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use tokometer_core::disk::amount;
use tokometer_core::machine::available_memory;
use tokometer_core::plan::ModelRef;
use tokometer_eval::case::{self, Subject, Wish};
use tokometer_eval::endpoint::Endpoint;
use tokometer_eval::{Environment, EvalResult, keep, result};

/// What all evaluations of a command share.
#[derive(Clone, Copy)]
pub struct Common<'a> {
    /// What every command is given.
    pub session: &'a Session<'a>,
    /// The options.
    pub options: &'a Eval,
    /// The model.
    pub model: &'a ModelRef,
    /// How much is asked.
    pub wish: &'a Wish,
}

/// One evaluation.
#[derive(Clone, Copy)]
struct Evaluation<'a> {
    /// Its place among the results.
    place: usize,
    found: &'a Found,
    quantize: &'a str,
    environment: &'a Environment,
    /// Identity of what is asked, where it is known.
    asking: Option<&'a str>,
}

impl Evaluation<'_> {
    /// Whether an endpoint of the other one serves this one, too.
    fn shares_endpoint(&self, other: &Evaluation<'_>) -> bool {
        self.found.engine.name == other.found.engine.name && self.quantize == other.quantize
    }

    /// Its identity, where it is known.
    fn identity(&self, subject: &Subject) -> Option<String> {
        Some(keep::evaluation(subject.identity.as_deref()?, self.asking?))
    }
}

/// Results with their places.
type Done = Vec<(usize, EvalResult)>;

/// Evaluates every engine and quantization in every environment. The results come in the order in which these are given,
/// whatever was done first. Each is written as soon as it is there, a failure too; what has a finished result is not
/// evaluated again unless asked.
///
/// # Errors
/// A result cannot be written.
pub fn evaluate<'a>(
    common: Common<'a>,
    found: &'a [Found],
    quantizations: &'a [String],
    environments: &'a [Environment],
) -> Result<Vec<EvalResult>> {
    let asking: Vec<Option<String>> =
        environments.iter().map(|environment| keep::asking(environment, common.wish)).collect();
    let waiting = evaluations(found, quantizations, environments, &asking);
    let at_a_time = u32::try_from(waiting.len()).unwrap_or(u32::MAX).min(common.options.jobs).max(1);
    let room = Room::new(available_memory(Path::new("/")));
    let folder = common.session.folders.verifiers_results();
    let earlier = if common.options.again { Vec::new() } else { result::read_all(&folder, |_| ())? };
    let told = Told::default();
    let jobs = &Jobs { common, at_a_time, folder, earlier, told, waiting: Mutex::new(waiting), room };
    let done: Vec<Done> = thread::scope(|scope| {
        let threads: Vec<_> = (1..=at_a_time).map(|number| scope.spawn(move || jobs.work(number))).collect();
        let ended = threads.into_iter().map(|thread| thread.join().unwrap_or_else(|panic| resume_unwind(panic)));
        ended.collect::<Result<_>>()
    })?;
    let mut done: Done = done.into_iter().flatten().collect();
    done.sort_by_key(|(place, _)| *place);
    Ok(done.into_iter().map(|(_, result)| result).collect())
}

/// All of them in order. One that is named twice is done once: two at a time would write into one journal.
fn evaluations<'a>(
    found: &'a [Found],
    quantizations: &'a [String],
    environments: &'a [Environment],
    asking: &'a [Option<String>],
) -> VecDeque<Evaluation<'a>> {
    let mut all: VecDeque<Evaluation<'a>> = VecDeque::new();
    for found in found {
        for quantize in quantizations {
            for (environment, asking) in environments.iter().zip(asking) {
                let asking = asking.as_deref();
                let one = Evaluation { place: all.len(), found, quantize, environment, asking };
                if !all.iter().any(|other| one.shares_endpoint(other) && other.environment == environment) {
                    all.push_back(one);
                }
            }
        }
    }
    all
}

/// What is to be done and what it is done with.
struct Jobs<'a> {
    common: Common<'a>,
    /// Evaluations at a time.
    at_a_time: u32,
    /// Where results and journals lie.
    folder: PathBuf,
    /// Results that there were before; none where all is evaluated again.
    earlier: Vec<EvalResult>,
    told: Told,
    /// What nobody has begun.
    waiting: Mutex<VecDeque<Evaluation<'a>>>,
    room: Room,
}

impl<'a> Jobs<'a> {
    /// One job: does evaluations until none is left.
    fn work(&self, number: u32) -> Result<Done> {
        let mut done = Vec::new();
        while let Some(first) = self.next(|_| true) {
            // A result that cannot be written ends all jobs after what they are doing.
            done.extend(self.serve(number, first).inspect_err(|_| self.waiting().clear())?);
        }
        Ok(done)
    }

    /// Does an evaluation, and what nobody else begins of the same engine and quantization: on one endpoint, but for what is
    /// kept.
    fn serve(&self, number: u32, first: Evaluation<'a>) -> Result<Done> {
        let mut subject = start::unknown(&self.common, first.found, first.quantize);
        let mut done = Vec::new();
        let known = match start::known(&self.common, first.found, &mut subject) {
            Ok(known) => known,
            Err(error) => {
                self.fail(first, &subject, &format!("{error:#}"), &mut done)?;
                return Ok(done);
            }
        };
        let Some(first) = self.keep(first, &subject, &mut done) else { return Ok(done) };
        match self.start(number, &first, &mut subject, known) {
            Ok((_share, endpoint)) => self.ask(first, &subject, endpoint, &mut done)?,
            Err(error) => self.fail(first, &subject, &format!("{error:#}"), &mut done)?,
        }
        Ok(done)
    }

    /// Waits for memory and starts an endpoint. `subject` learns what is known by then.
    fn start(
        &self,
        number: u32,
        one: &Evaluation<'_>,
        subject: &mut Subject,
        known: Known,
    ) -> Result<(Share<'_>, Endpoint)> {
        let title = subject.title();
        let share = self.room.take(known.bytes, |left| {
            let needs = known.bytes.map_or_else(|| "an unknown amount of memory".into(), amount);
            let text = format!("{title} needs {needs}, and {} are left: it waits for the others", amount(left));
            self.common.session.terminal.say(&text);
        });
        let launch = start::launch(&self.common, one.found, one.quantize, known.context, (number, self.at_a_time))?;
        let endpoint = Endpoint::start(&launch)?;
        subject.native = endpoint.ready.native.clone().or(subject.native.take());
        subject.engine_version.clone_from(&endpoint.ready.engine_version);
        Ok((share, endpoint))
    }

    /// Asks on an endpoint until nothing is left for it. What is left where one has ended by itself is begun on another.
    fn ask(&self, first: Evaluation<'a>, subject: &Subject, mut endpoint: Endpoint, done: &mut Done) -> Result<()> {
        let Common { session, wish, .. } = self.common;
        let mut next = Some(first);
        while let Some(one) = next {
            let progress = session.terminal.progress();
            let mut result = case::evaluate(subject, one.environment, wish, &mut endpoint, &self.folder, progress);
            result.identity = one.identity(subject);
            let result = self.write(result)?;
            if result.returncode == 0 {
                case::forget(subject, one.environment, wish, &self.folder)?;
            }
            done.push((one.place, result));
            next = if endpoint.ended().is_none() { self.next_to_do(&first, subject, done) } else { None };
        }
        endpoint.stop();
        Ok(())
    }

    /// What cannot be served fails in all environments that nobody has begun.
    fn fail(&self, first: Evaluation<'a>, subject: &Subject, reason: &str, done: &mut Done) -> Result<()> {
        let mut next = Some(first);
        while let Some(one) = next {
            let result = case::failed(subject, one.environment, self.common.wish, reason);
            done.push((one.place, self.write(result)?));
            next = self.next_to_do(&first, subject, done);
        }
        Ok(())
    }

    /// Takes over the finished result of an evaluation, and of those after it that an endpoint of this one would serve;
    /// the first without one comes back.
    fn keep(&self, first: Evaluation<'a>, subject: &Subject, done: &mut Done) -> Option<Evaluation<'a>> {
        let mut next = Some(first);
        while let Some(one) = next {
            let Some(result) = self.finished(&one, subject) else { return Some(one) };
            let (title, environment) = (subject.title(), &result.environment);
            let text = format!("kept: {title} {environment}, evaluated {} (--again evaluates anew)", result.timestamp);
            self.common.session.terminal.say(&text);
            done.push((one.place, result.clone()));
            next = self.next_like(&first);
        }
        None
    }

    /// The result that an evaluation had earlier.
    fn finished(&self, one: &Evaluation<'_>, subject: &Subject) -> Option<&EvalResult> {
        keep::find(&self.earlier, &one.identity(subject)?, || Some(vec![self.told.version(one.found)?]))
    }

    /// Takes the next evaluation that an endpoint of this one serves, too, and that has no finished result.
    fn next_to_do(&self, one: &Evaluation<'_>, subject: &Subject, done: &mut Done) -> Option<Evaluation<'a>> {
        self.keep(self.next_like(one)?, subject, done)
    }

    /// Writes a result down, with how many evaluations ran at a time.
    fn write(&self, mut result: EvalResult) -> Result<EvalResult> {
        result.jobs = (self.at_a_time > 1).then_some(self.at_a_time);
        result.write(&self.folder)?;
        Ok(result)
    }

    /// Takes the next evaluation that an endpoint of this one serves, too.
    fn next_like(&self, one: &Evaluation<'_>) -> Option<Evaluation<'a>> {
        self.next(|other| other.shares_endpoint(one))
    }

    /// Takes the next evaluation that nobody has begun, of those that are wanted.
    fn next(&self, wanted: impl Fn(&Evaluation<'a>) -> bool) -> Option<Evaluation<'a>> {
        let mut waiting = self.waiting();
        let at = waiting.iter().position(wanted)?;
        waiting.remove(at)
    }

    fn waiting(&self) -> MutexGuard<'_, VecDeque<Evaluation<'a>>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
