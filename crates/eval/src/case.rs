//! One engine and quantization on one environment: whatever comes of it is a result, a failure too.

use crate::client::Client;
use crate::endpoint::Endpoint;
use crate::external::{Done, GOES_ON, LM_EVAL, Order, Tool, VERIFIERS};
use crate::journal::{Journal, Key};
use crate::native::{self, Limits};
use crate::result::Scored;
use crate::{Environment, Error, EvalResult, Result, TaskSet};
use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};
use tokometer_core::progress::{Progress, Unit};
use tokometer_core::{clock, fingerprint};

/// What is evaluated, as far as it is known.
#[derive(Debug, Clone, Default)]
pub struct Subject {
    /// The engine.
    pub engine: String,
    /// Its version.
    pub engine_version: Option<String>,
    /// The quantization's label.
    pub quantization: String,
    /// The native quantization.
    pub native: Option<String>,
    /// 8 x bytes of the tensors / parameters.
    pub bits_per_weight: Option<f64>,
    /// Bytes of the tensors as stored.
    pub weights_bytes: Option<u64>,
    /// Size label of the model.
    pub size: String,
    /// The model, as named.
    pub model: String,
    /// Commit, or seed and geometry.
    pub revision: Option<String>,
    /// sha256 over the names and hashes of the model's source files.
    pub model_sha256: Option<String>,
    /// The machine's name.
    pub hostname: String,
    /// The command line.
    pub command: Vec<String>,
    /// Identity of what computes ([`crate::keep::Computes`]), where it is known before that is started.
    pub identity: Option<String>,
}

/// How much is evaluated.
#[derive(Debug, Clone, Copy)]
pub struct Wish {
    /// Most examples; `None` is all.
    pub num_examples: Option<usize>,
    /// Most tokens of a reply; `None` is what each example says.
    pub max_tokens: Option<u32>,
    /// How long one request may take.
    pub patience: Duration,
}

/// What asking came to, before it is a result.
struct Outcome {
    examples: Vec<Scored>,
    seconds: f64,
    returncode: i32,
    resumed: usize,
    evaluator: String,
    prompt_form: Option<String>,
    reason: Option<String>,
}

impl Subject {
    /// `llamacpp nf4 (Q4_K_M)`.
    pub fn title(&self) -> String {
        match &self.native {
            Some(native) if *native != self.quantization => format!("{} {} ({native})", self.engine, self.quantization),
            _ => format!("{} {}", self.engine, self.quantization),
        }
    }

    fn key(&self, environment: &Environment, wish: &Wish) -> Key {
        let (task_sha256, num_examples) = match environment {
            Environment::Native(set) => (Some(set.sha256.clone()), None),
            Environment::Verifiers(name) | Environment::LmEval(name) => {
                (built_in(name).map(|set| set.sha256), wish.num_examples)
            }
        };
        Key {
            engine: self.engine.clone(),
            model: self.model.clone(),
            model_sha256: self.model_sha256.clone(),
            quantization: self.quantization.clone(),
            native: self.native.clone(),
            environment: environment.name(),
            task_sha256,
            max_tokens: wish.max_tokens,
            num_examples,
        }
    }
}

/// Evaluates, and writes what it needs on the way into `folder`; the result itself is the caller's to write, and then
/// [`forget`] what was needed.
pub fn evaluate(
    subject: &Subject,
    environment: &Environment,
    wish: &Wish,
    endpoint: &mut Endpoint,
    folder: &Path,
    progress: &dyn Progress,
) -> EvalResult {
    let began = Instant::now();
    let client = Client::new(&endpoint.ready.url, &endpoint.ready.model, wish.patience);
    let key = subject.key(environment, wish);
    let label = format!("{} {}", subject.title(), environment.name());
    let outcome = match environment {
        Environment::Native(set) => ask(&client, set, wish, &key, folder, (label.as_str(), progress)),
        Environment::Verifiers(name) => {
            run(&VERIFIERS, name, endpoint, &client, wish, &key, folder, (label.as_str(), progress))
        }
        Environment::LmEval(name) => {
            run(&LM_EVAL, name, endpoint, &client, wish, &key, folder, (label.as_str(), progress))
        }
    };
    let mut result = empty(subject, environment, wish);
    result.task_sha256 = key.task_sha256;
    result.elapsed_seconds = began.elapsed().as_secs_f64();
    match outcome {
        Ok(outcome) => {
            result.set_examples(outcome.examples);
            result.elapsed_seconds = outcome.seconds;
            result.returncode = outcome.returncode;
            result.resumed_examples = outcome.resumed;
            result.evaluator = Some(outcome.evaluator);
            result.prompt_form = outcome.prompt_form;
            result.reason = outcome.reason;
        }
        Err(error) => (result.returncode, result.reason) = (1, Some(error.to_string())),
    }
    // An endpoint that ended explains more than the request that met nobody, which only says how far it came.
    if result.returncode != 0
        && let Some(why) = endpoint.ended()
    {
        result.reason = Some(match result.reason.take() {
            Some(far) => format!("{why}; {far}"),
            None => why,
        });
    }
    result.timestamp = clock::now_utc();
    result
}

/// The result of an evaluation that could not begin.
pub fn failed(subject: &Subject, environment: &Environment, wish: &Wish, reason: &str) -> EvalResult {
    EvalResult { returncode: 1, reason: Some(reason.to_owned()), ..empty(subject, environment, wish) }
}

/// Removes journal and working folder of an evaluation whose result is written.
///
/// # Errors
/// They cannot be removed.
pub fn forget(subject: &Subject, environment: &Environment, wish: &Wish, folder: &Path) -> Result<()> {
    let key = subject.key(environment, wish);
    match environment {
        Environment::Native(_) => Journal::open(folder, &key)?.finish(),
        _ => {
            let own = folder.join(".work").join(key.stem());
            match own.is_dir() {
                true => std::fs::remove_dir_all(&own).map_err(Error::file("remove", &own)),
                false => Ok(()),
            }
        }
    }
}

fn empty(subject: &Subject, environment: &Environment, wish: &Wish) -> EvalResult {
    EvalResult {
        quantization: subject.quantization.clone(),
        size: subject.size.clone(),
        environment: environment.name(),
        num_examples: 0,
        max_tokens: wish.max_tokens,
        metrics: BTreeMap::new(),
        elapsed_seconds: 0.0,
        returncode: 0,
        timestamp: clock::now_utc(),
        backend: subject.engine.clone(),
        engine: subject.engine.clone(),
        engine_version: subject.engine_version.clone(),
        native_quantize: subject.native.clone(),
        bits_per_weight: subject.bits_per_weight,
        weights_bytes: subject.weights_bytes,
        model: subject.model.clone(),
        revision: subject.revision.clone(),
        model_sha256: subject.model_sha256.clone(),
        hostname: subject.hostname.clone(),
        uuid: fingerprint::fresh_name(),
        kind: environment.kind().to_owned(),
        evaluator: None,
        task_sha256: None,
        prompt_form: None,
        interval_95: None,
        resumed_examples: 0,
        jobs: None,
        reason: None,
        identity: None,
        command: subject.command.clone(),
        examples: Vec::new(),
    }
}

fn ask(
    client: &Client,
    set: &TaskSet,
    wish: &Wish,
    key: &Key,
    folder: &Path,
    (label, progress): (&str, &dyn Progress),
) -> Result<Outcome> {
    let mut journal = Journal::open(folder, key)?;
    let examples = set.first(wish.num_examples);
    let resumed = examples.iter().filter(|example| journal.has(&example.id)).count();
    let task = progress.task(label, Some(examples.len() as u64), Unit::Count);
    tell_resumed(progress, label, resumed, Some(examples.len()));
    task.advance(resumed as u64);
    let (began, earlier) = (Instant::now(), journal.earlier_seconds());
    let asked = native::ask(client, examples, Limits { max_tokens: wish.max_tokens }, &mut journal, &*task)?;
    let seconds = earlier + began.elapsed().as_secs_f64();
    let done = native::in_order(examples, journal.examples());
    let reason = match &asked.broken {
        Some(why) => Some(format!("after {} of {} examples: {why}{GOES_ON}", done.len(), examples.len())),
        None => native::unscored(&done),
    };
    if reason.is_none() {
        task.finish(&format!("{} examples", done.len()));
    }
    Ok(Outcome {
        returncode: i32::from(reason.is_some()),
        examples: done,
        seconds,
        resumed,
        evaluator: format!("tokometer {}", env!("CARGO_PKG_VERSION")),
        prompt_form: Some(asked.prompt_form.to_owned()),
        reason,
    })
}

#[allow(clippy::too_many_arguments, reason = "each is another thing, and there is one caller")]
fn run(
    tool: &Tool,
    name: &str,
    endpoint: &Endpoint,
    client: &Client,
    wish: &Wish,
    key: &Key,
    folder: &Path,
    (label, progress): (&str, &dyn Progress),
) -> Result<Outcome> {
    // Absolute: the tool runs inside of it.
    std::fs::create_dir_all(folder).map_err(Error::file("make the folder", folder))?;
    let folder = folder.canonicalize().map_err(Error::file("find", folder))?;
    let own = folder.join(".work").join(key.stem());
    std::fs::create_dir_all(&own).map_err(Error::file("make the folder", &own))?;
    let set = built_in(name);
    let max_tokens = wish.max_tokens.or_else(|| set.as_ref().and_then(longest));
    let order = Order {
        name,
        url: &endpoint.ready.url,
        model: &endpoint.ready.model,
        num_examples: wish.num_examples,
        max_tokens,
        folder: &own,
        offers_tokenizer: client.offers_tokenizer(),
    };
    let began = Instant::now();
    let total = set.as_ref().map(|set| set.first(wish.num_examples).len());
    let task = progress.task(label, total.or(wish.num_examples).map(|n| n as u64), Unit::Count);
    let Done { examples, returncode, resumed, evaluator, reason } = tool.run(&order, set.as_ref(), client, &*task)?;
    tell_resumed(progress, label, resumed, total);
    let reason = reason.or_else(|| native::unscored(&examples));
    if reason.is_none() {
        task.finish(&format!("{} examples", examples.len()));
    }
    Ok(Outcome {
        returncode: if reason.is_some() { returncode.max(1) } else { returncode },
        examples,
        seconds: began.elapsed().as_secs_f64(),
        resumed,
        evaluator,
        prompt_form: None,
        reason,
    })
}

/// Our set of that name; other names are the tool's own.
pub(crate) fn built_in(name: &str) -> Option<TaskSet> {
    TaskSet::built_in(name)?.ok()
}

fn longest(set: &TaskSet) -> Option<u32> {
    set.examples.iter().filter_map(|example| example.max_tokens).max()
}

fn tell_resumed(progress: &dyn Progress, label: &str, resumed: usize, total: Option<usize>) {
    if resumed > 0 {
        let of = total.map(|total| format!(" of {total}")).unwrap_or_default();
        progress.note(&format!("{label}: {resumed}{of} examples were done by an earlier attempt"));
    }
}
