//! Asks the workers: the base over all chunks, then a quantization chunk by chunk.

use super::rows::{Rows, VALUE};
use super::sums::Position;
use super::text::{Chunks, Text};
use super::{Error, Result, SCORE, compare, io_error};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use tokometer_core::disk;
use tokometer_core::engine::{Discovery, Engine, Failed, Kind, ModelFormat, Timeouts, Worker};
use tokometer_core::prepare::Manifest;
use tokometer_core::progress::{Progress, Task, Unit};
use tokometer_protocol::{Answer, Hello, Load, Loaded, Request, Scored};

/// A model in one engine and quantization, ready to be loaded.
#[derive(Debug, Clone)]
pub struct Subject {
    /// The engine.
    pub engine: &'static Engine,
    /// The label that was asked for.
    pub quantize: String,
    /// How to start the worker.
    pub discovery: Discovery,
    /// What the worker loads.
    pub model_path: PathBuf,
    /// What that is.
    pub manifest: Manifest,
    /// Threads.
    pub threads: u32,
    /// Device by the engine's name.
    pub device: Option<String>,
    /// Engine-specific settings.
    pub options: BTreeMap<String, String>,
}

impl Subject {
    /// `llamacpp nf4 (Q4_K_M)`.
    pub fn name(&self) -> String {
        match self.quantize == self.manifest.native {
            true => format!("{} {}", self.engine.name, self.quantize),
            false => format!("{} {} ({})", self.engine.name, self.quantize, self.manifest.native),
        }
    }

    fn failed(&self, doing: &'static str) -> impl Fn(Failed) -> Error {
        let engine = self.name();
        move |failed| Error::Engine { engine: engine.clone(), doing, failed }
    }
}

/// How it is done.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Tokens of a chunk.
    pub ctx: u32,
    /// At most so many chunks; `None` is the whole text.
    pub chunks: Option<usize>,
    /// A folder for distributions, which is made and removed again.
    pub scratch: PathBuf,
    /// Threads that compare.
    pub threads: usize,
    /// When a worker counts as hung.
    pub timeouts: Timeouts,
}

/// What was measured of a quantization.
#[derive(Debug, Clone)]
pub struct Measured {
    /// What was really loaded.
    pub loaded: Loaded,
    /// The engine's version as it names itself.
    pub engine_version: String,
    /// The positions of each chunk.
    pub chunks: Vec<Vec<Position>>,
    /// From starting the worker to the last figure.
    pub elapsed: Duration,
}

/// The unquantized model's distributions over a text. Dropping it removes their files.
pub struct Base {
    /// Engine and quantization, in words.
    pub name: String,
    /// What was really loaded.
    pub loaded: Loaded,
    /// The engine's version as it names itself.
    pub engine_version: String,
    /// The chunks.
    pub chunks: Chunks,
    settings: Settings,
    scratch: Scratch,
}

impl Base {
    /// Makes the text tokens and keeps the base's distributions at every scored position.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn measure(subject: &Subject, text: &Text, settings: &Settings, progress: &dyn Progress) -> Result<Base> {
        let mut running = Running::start(subject, settings)?;
        let tokens = running.tokenize(text)?;
        let bos = running.loaded.bos.filter(|bos| tokens.first() == Some(bos));
        let chunks = Chunks::cut(text, &tokens, bos, running.ctx(settings), settings.chunks)?;
        let scratch = Scratch::create(&settings.scratch)?;
        let base = Base {
            name: subject.name(),
            loaded: running.loaded.clone(),
            engine_version: running.worker.hello.engine_version.clone(),
            chunks,
            settings: settings.clone(),
            scratch,
        };
        base.require_space()?;
        let task =
            progress.task(&format!("{}: the base", base.name), Some(base.chunks.chunks.len() as u64), Unit::Count);
        for (i, chunk) in base.chunks.chunks.iter().enumerate() {
            let path = base.scratch.file(i);
            running.score(&base.chunks, chunk, &path)?;
            base.rows(&path, &base.name)?;
            task.advance(1);
        }
        running.worker.shutdown();
        task.finish(&format!("{} positions", base.chunks.chunks.len() * base.chunks.positions()));
        Ok(base)
    }

    /// Holds a quantization against the base.
    ///
    /// # Errors
    /// See [`Error`]; the base can be used further.
    pub fn distance(&self, subject: &Subject, progress: &dyn Progress) -> Result<Measured> {
        let begun = Instant::now();
        let mut running = Running::start(subject, &self.settings)?;
        let (own, theirs) = (self.loaded.vocab_size, running.loaded.vocab_size);
        if own != theirs {
            return Err(Error::Vocabulary { base: self.name.clone(), own, other: running.name, theirs });
        }
        let task = progress.task(&running.name, Some(self.chunks.chunks.len() as u64), Unit::Count);
        let chunks = self.against(&mut running, &*task)?;
        let Running { worker, loaded, .. } = running;
        let engine_version = worker.hello.engine_version.clone();
        worker.shutdown();
        let measured = Measured { loaded, engine_version, chunks, elapsed: begun.elapsed() };
        task.finish(&format!("{} positions", self.chunks.chunks.len() * self.chunks.positions()));
        Ok(measured)
    }

    fn against(&self, running: &mut Running, task: &dyn Task) -> Result<Vec<Vec<Position>>> {
        let path = self.scratch.path.join("other.f32");
        let mut all = Vec::with_capacity(self.chunks.chunks.len());
        for (i, chunk) in self.chunks.chunks.iter().enumerate() {
            running.score(&self.chunks, chunk, &path)?;
            let (base, other) = (self.rows(&self.scratch.file(i), &self.name)?, self.rows(&path, &running.name)?);
            let next = self.chunks.next(chunk);
            all.push(compare::chunk(&base, &other, next, self.settings.threads, &running.name, i)?);
            task.advance(1);
        }
        Ok(all)
    }

    fn rows(&self, path: &Path, who: &str) -> Result<Rows> {
        Rows::open(path, self.chunks.positions(), self.loaded.vocab_size, who)
    }

    /// All chunks of the base and one of another model.
    fn require_space(&self) -> Result<()> {
        let chunks = self.chunks.chunks.len();
        let chunk = self.chunks.positions() as u64 * u64::from(self.loaded.vocab_size) * VALUE;
        disk::require(&self.scratch.path, chunk * (chunks as u64 + 1)).map_err(|why| Error::Space { chunks, why })
    }
}

/// Why there can be no distance of an engine, by what its worker says of itself; `None` if there can be.
pub fn tells_nothing(hello: &Hello) -> Option<String> {
    let can_score = hello.methods.iter().any(|method| method == "score");
    (!can_score).then(|| {
        format!(
            "{} tells no log-probabilities of a given text; what its quantizations cost on tasks can be evaluated, as \
             with --env reverse-text",
            hello.engine
        )
    })
}

/// A worker with its model loaded.
struct Running {
    name: String,
    worker: Worker,
    loaded: Loaded,
}

impl Running {
    fn start(subject: &Subject, settings: &Settings) -> Result<Running> {
        let mut worker =
            Worker::start(&subject.discovery, settings.timeouts).map_err(subject.failed("start its worker"))?;
        if let Some(why) = tells_nothing(&worker.hello) {
            return Err(subject.failed(SCORE)(Failed::new(Kind::Unsupported, why)));
        }
        let load = Load {
            model: subject.model_path.display().to_string(),
            ctx_tokens: settings.ctx,
            threads: Some(subject.threads),
            device: subject.device.clone(),
            quantize: (subject.engine.format != ModelFormat::Gguf).then(|| subject.manifest.native.clone()),
            options: subject.options.clone(),
            ..Load::default()
        };
        let answer = worker.call(Request::Load(load), |_| ()).map_err(subject.failed("load the model"))?;
        let name = subject.name();
        match answer {
            Answer::Loaded(loaded) => Ok(Running { name, worker, loaded: *loaded }),
            other => Err(shape(&name, &other, "a loaded model")),
        }
    }

    /// Tokens of a chunk: as asked, and no more than the model was trained with.
    fn ctx(&self, settings: &Settings) -> usize {
        settings.ctx.min(self.loaded.ctx_train.unwrap_or(u32::MAX)) as usize
    }

    fn tokenize(&mut self, text: &Text) -> Result<Vec<u32>> {
        let request = Request::Tokenize { text: text.content.clone(), add_special: true, parse_special: false };
        match self.ask(request, "make the text tokens")? {
            Answer::Tokens { tokens } => Ok(tokens),
            other => Err(shape(&self.name, &other, "tokens")),
        }
    }

    /// Writes the distributions at the scored positions of a chunk to `path`.
    fn score(&mut self, chunks: &Chunks, chunk: &[u32], path: &Path) -> Result<Scored> {
        let full = Some(path.display().to_string());
        let request = Request::Score { tokens: chunk.to_vec(), from: chunks.first as u32, full };
        let wanted = chunks.positions();
        match self.ask(request, "score a chunk")? {
            Answer::Scored(scored) if scored.logprobs.len() == wanted => Ok(scored),
            Answer::Scored(scored) => Err(Error::Shape {
                engine: self.name.clone(),
                found: format!("{} scores", scored.logprobs.len()),
                wanted: wanted.to_string(),
            }),
            other => Err(shape(&self.name, &other, "scores")),
        }
    }

    fn ask(&mut self, request: Request, doing: &'static str) -> Result<Answer> {
        self.worker.call(request, |_| ()).map_err(|failed| Error::Engine { engine: self.name.clone(), doing, failed })
    }
}

fn shape(engine: &str, found: &Answer, wanted: &str) -> Error {
    let found: String = format!("{found:?}").chars().take(60).collect();
    Error::Shape { engine: engine.to_owned(), found, wanted: wanted.to_owned() }
}

/// A folder that is empty at first and gone in the end.
struct Scratch {
    path: PathBuf,
}

impl Scratch {
    /// What an earlier run left there when it was killed is removed.
    fn create(path: &Path) -> Result<Scratch> {
        if path.exists() {
            std::fs::remove_dir_all(path).map_err(io_error("empty", path))?;
        }
        std::fs::create_dir_all(path).map_err(io_error("make the folder", path))?;
        // Workers may run in another folder.
        let path = path.canonicalize().map_err(io_error("find", path))?;
        Ok(Scratch { path })
    }

    /// The file of the base's chunk `i`.
    fn file(&self, i: usize) -> PathBuf {
        self.path.join(format!("base-{i}.f32"))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // The next run empties it; nothing can be done about it here.
        let _ = std::fs::remove_dir_all(&self.path);
    }
}

#[cfg(test)]
mod tests {
    use super::Scratch;

    #[test]
    fn what_a_killed_run_left_is_removed_and_nothing_stays() {
        let path = std::env::temp_dir().join(format!("tokometer-scratch-{}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        std::fs::write(path.join("base-7.f32"), "left").unwrap();
        let scratch = Scratch::create(&path).unwrap();
        assert_eq!(std::fs::read_dir(&path).unwrap().count(), 0);
        std::fs::write(scratch.file(0), "x").unwrap();
        drop(scratch);
        assert!(!path.exists());
    }
}
