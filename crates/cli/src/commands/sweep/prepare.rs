//! Models of a sweep, made ready before anything is measured: several at a time where asked, each once.

use super::super::prepare;
use crate::args::Selection;
use crate::commands::Session;
use crate::settings::Found;
use anyhow::Result;
use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::path::Path;
use std::sync::{Mutex, PoisonError};
use tokometer_core::engine::{self, Kind, ModelFormat, Timeouts, Worker};
use tokometer_core::machine::{MemoryGroup, available_memory};
use tokometer_core::plan::sweep::Planned;
use tokometer_core::plan::{Case, ModelRef};
use tokometer_core::prepare::{Prepared, Target};
use tokometer_core::run::Stop;
use tokometer_core::sweep::{Gpu, State, Stored};
use tokometer_protocol::Hello;

/// Share of the free memory that a worker may use where nothing else is asked for.
const MAY_USE: f64 = 0.95;
/// Parts of the names of variables that give GPUs other numbers: `CUDA_VISIBLE_DEVICES`, `ZE_AFFINITY_MASK`.
const RENUMBERING: [&str; 2] = ["DEVICE", "AFFINITY"];

/// Why a case cannot be started: the kind, as in the record, and the reason.
pub type Refusal = (&'static str, String);

/// Everything that cases need before they are measured.
pub struct Shelf {
    engines: BTreeMap<String, Engine>,
    models: HashMap<String, std::result::Result<Prepared, String>>,
    /// Bytes that were free before anything was loaded.
    pub available: Option<u64>,
    /// Bytes that a worker may use where nothing else is asked for and a control group can keep it.
    pub guard: Option<u64>,
}

/// An engine with what its worker says of itself and of the machine.
struct Engine {
    found: Found,
    hello: Hello,
}

impl Shelf {
    /// With no engine looked for and no model.
    pub fn empty() -> Shelf {
        let available = available_memory(Path::new("/"));
        Shelf { engines: BTreeMap::new(), models: HashMap::new(), available, guard: None }
    }

    /// Prepares the models of all open cases of these blocks, `jobs` at a time.
    ///
    /// # Errors
    /// None but a poisoned program: what cannot be prepared is a refusal of its cases.
    pub fn fill(
        &mut self,
        session: &Session<'_>,
        jobs: u32,
        (stored, blocks): (&Stored, &[usize]),
        state: &State,
        stop: &Stop,
    ) -> Result<()> {
        let limit = self.available.map(|bytes| (bytes as f64 * MAY_USE) as u64);
        self.guard = limit.filter(|limit| MemoryGroup::create(Path::new("/"), *limit).is_ok());
        let cases = || blocks.iter().filter_map(|at| stored.blocks.get(*at)).flat_map(|block| &block.cases);
        let open: Vec<&Planned> =
            cases().filter(|planned| planned.refused.is_none() && state.of(&planned.hash).is_none()).collect();
        let mut told = BTreeSet::new();
        for planned in &open {
            let name = planned.case.engine.as_str();
            if told.insert(name)
                && let Some(missing) = self.look_for(session, name)
            {
                session.terminal.say(&missing);
            }
        }
        let shelf = &*self;
        let mut queue: VecDeque<(String, &Planned)> = VecDeque::new();
        for planned in open.iter().filter(|planned| shelf.refusal_of_engine(&planned.case.engine).is_none()) {
            let key = key(planned);
            if !queue.iter().any(|(known, _)| *known == key) {
                queue.push_back((key, planned));
            }
        }
        let task = session.terminal.progress().task(
            "prepare models",
            Some(queue.len() as u64),
            tokometer_core::progress::Unit::Count,
        );
        let total = queue.len();
        let (queue, made, task) = (Mutex::new(queue), Mutex::new(HashMap::new()), Mutex::new(task));
        std::thread::scope(|scope| {
            for _ in 0..jobs.max(1).min(total.max(1) as u32) {
                scope.spawn(|| {
                    while let Some((key, planned)) = next(&queue, stop) {
                        let result = shelf.one(session, stored, planned);
                        made.lock().unwrap_or_else(PoisonError::into_inner).insert(key, result);
                        task.lock().unwrap_or_else(PoisonError::into_inner).advance(1);
                    }
                });
            }
        });
        let made: HashMap<_, _> = made.into_inner().unwrap_or_else(PoisonError::into_inner);
        let failed = made.values().filter(|result| result.is_err()).count();
        let task = task.into_inner().unwrap_or_else(PoisonError::into_inner);
        task.finish(&format!(
            "{} ready{}",
            made.len() - failed,
            if failed > 0 { format!(", {failed} failed") } else { String::new() }
        ));
        self.models = made;
        Ok(())
    }

    /// Finds the worker of an engine and asks it who it is, once however often this is called. Returns that it is not
    /// installed and what mends it, if so.
    pub fn look_for(&mut self, session: &Session<'_>, name: &str) -> Option<String> {
        if let Some(known) = self.engines.get(name) {
            return known.found.missing();
        }
        let engine = engine::by_name(name).ok()?;
        let found = Found { engine, worker: engine::find_worker(engine, &session.config.overrides(name)) };
        let hello = match &found.worker {
            Ok(discovery) => Worker::start(discovery, Timeouts::default()).map(|worker| {
                let hello = worker.hello.clone();
                worker.shutdown();
                hello
            }),
            Err(failed) => Err(failed.clone()),
        };
        let found = match &hello {
            // The program is there and what it needs is not: the same to the user.
            Err(failed) if failed.kind == Kind::NotInstalled => Found { engine, worker: Err(failed.clone()) },
            _ => found,
        };
        let missing = found.missing();
        self.engines.insert(name.to_owned(), Engine { found, hello: hello.unwrap_or_default() });
        missing
    }

    /// The version that an engine says of itself, if it was looked for; empty where it says none.
    pub fn version(&self, name: &str) -> &str {
        self.engines.get(name).map_or("", |engine| engine.hello.engine_version.as_str())
    }

    fn refusal_of_engine(&self, name: &str) -> Option<Refusal> {
        let engine = self.engines.get(name)?;
        engine.found.worker.as_ref().err().map(|failed| ("not_installed", failed.reason.clone()))
    }

    fn one(&self, session: &Session<'_>, stored: &Stored, planned: &Planned) -> std::result::Result<Prepared, String> {
        let case = &planned.case;
        let engine = self.engines.get(&case.engine).ok_or("its engine was not looked for")?;
        let model: ModelRef = case.model.parse().map_err(|error: tokometer_core::plan::Error| error.to_string())?;
        let selection = Selection {
            engine: Vec::new(),
            model: None,
            size: None,
            quantize: Vec::new(),
            converter: stored.converter.clone(),
            threads: None,
            json: false,
        };
        let target = Target {
            device: case.settings.device.as_deref(),
            ctx_tokens: case.workload.ctx_tokens(),
            ubatch: case.settings.ubatch,
            options: &case.settings.options,
        };
        let names = (case.quantize.as_str(), case.native.as_str());
        prepare::one(session, &selection, &engine.found, &model, names, target).map_err(|error| format!("{error:#}"))
    }

    /// The engine and the prepared model of a case, or why it cannot be started.
    pub fn take(&self, planned: &Planned) -> std::result::Result<(&Found, &Prepared), Refusal> {
        if let Some(reason) = &planned.refused {
            return Err(("not_offered", reason.clone()));
        }
        if let Some(refusal) = self.refusal_of_engine(&planned.case.engine) {
            return Err(refusal);
        }
        let engine = self.engines.get(&planned.case.engine);
        match (engine, self.models.get(&key(planned))) {
            (Some(engine), Some(Ok(prepared))) => Ok((&engine.found, prepared)),
            (_, Some(Err(reason))) => Err(("not_prepared", reason.clone())),
            _ => Err(("not_prepared", "its model was not prepared".into())),
        }
    }

    /// Whether the device that a case names is a GPU of its engine's, and the one that other engines mean by its number: an
    /// engine whose GPUs `tokometer.toml` hides or reorders may mean another one.
    pub fn has_gpu(&self, case: &Case) -> bool {
        let Some(engine) = self.engines.get(&case.engine) else { return false };
        let Some(asked) = case.settings.device.as_deref().and_then(Gpu::named) else { return false };
        let Ok(discovery) = &engine.found.worker else { return false };
        let renumbers = |name: &str| RENUMBERING.iter().any(|part| name.to_ascii_uppercase().contains(part));
        if discovery.environment.iter().any(|(name, _)| renumbers(name)) {
            return false;
        }
        let mut devices = engine.hello.devices.iter();
        devices.any(|device| device.kind == "gpu" && Gpu::named(&device.name).as_ref() == Some(&asked))
    }

    /// The memory that a case may take: what is free where it computes, or its limit, and which. `None` where nobody tells.
    pub fn memory_for(&self, planned: &Planned) -> Option<(u64, String)> {
        let (free, place) = self.memory_of_device(planned)?;
        match planned.case.settings.memory_limit {
            Some(limit) if limit < free => Some((limit, "allowed by --memory-limit".into())),
            _ => Some((free, place)),
        }
    }

    fn memory_of_device(&self, planned: &Planned) -> Option<(u64, String)> {
        let devices =
            self.engines.get(&planned.case.engine).map(|engine| engine.hello.devices.as_slice()).unwrap_or_default();
        let device = match &planned.case.settings.device {
            Some(name) => devices.iter().find(|device| device.name.eq_ignore_ascii_case(name)),
            None => devices.first(),
        };
        match device {
            Some(device) if device.kind != "cpu" => Some((device.memory_bytes?, format!("on {}", device.name))),
            _ => Some((self.available?, "free on this machine".into())),
        }
    }
}

fn next<'p>(queue: &Mutex<VecDeque<(String, &'p Planned)>>, stop: &Stop) -> Option<(String, &'p Planned)> {
    if stop.asked() {
        return None;
    }
    queue.lock().unwrap_or_else(PoisonError::into_inner).pop_front()
}

/// Cases with the same key share a prepared model. A library is compiled for a length and a device.
fn key(planned: &Planned) -> String {
    let case = &planned.case;
    let compiled = engine::by_name(&case.engine).is_ok_and(|engine| engine.format == ModelFormat::Compiled);
    let target = compiled.then(|| {
        let settings = &case.settings;
        format!("{} {:?} {:?} {:?}", case.workload.ctx_tokens(), settings.device, settings.ubatch, settings.options)
    });
    // `default` of a GGUF file is the file as it is.
    format!("{}\0{}\0{}\0{}\0{}", case.engine, case.model, case.quantize, case.native, target.unwrap_or_default())
}
