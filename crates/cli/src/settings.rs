//! Flags and `tokometer.toml` joined and checked, before anything is touched.

use crate::args::{Global, Often, Run, Selection};
use anyhow::{Result, anyhow, bail};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;
use tokometer_core::engine::{self, Discovery, Engine, Program, Timeouts};
use tokometer_core::machine::{Machine, threads_for};
use tokometer_core::plan::sweep::Base;
use tokometer_core::plan::{self, Case, Config, Ends, ModelRef, Schedule, Settings, Workload};
use tokometer_core::prepare::Store;

/// The folders of a working folder.
#[derive(Debug, Clone)]
pub struct Folders {
    /// The working folder itself.
    pub root: PathBuf,
    /// Prepared models.
    pub models: PathBuf,
    /// The configuration file that was named, for programs that are started in turn.
    pub config: Option<PathBuf>,
    /// The interpreter that was named, likewise.
    pub python: Option<PathBuf>,
}

impl Folders {
    /// Below that working folder.
    pub fn new(global: &Global) -> Folders {
        Folders {
            root: global.dir.clone(),
            models: global.dir.join("models"),
            config: global.config.clone(),
            python: global.python.clone(),
        }
    }

    /// Prepared models.
    pub fn store(&self) -> Store {
        Store::new(self.models.clone())
    }

    /// Raw logs and CSV.
    pub fn output(&self) -> PathBuf {
        self.root.join("benchmark_output")
    }

    /// Results of evaluations.
    pub fn verifiers_results(&self) -> PathBuf {
        self.root.join("verifiers_results")
    }

    /// Plots.
    pub fn plots(&self) -> PathBuf {
        self.root.join("plots")
    }
}

/// Reads the configuration that applies.
pub fn config(global: &Global) -> Result<Config> {
    let mut config = match &global.config {
        Some(path) if !path.is_file() => bail!("{} (from --config) is not a file", path.display()),
        Some(path) => Config::read(path)?,
        None => Config::read(&global.dir.join("tokometer.toml"))?,
    };
    if let Some(python) = &global.python {
        for engine in engine::visible().filter(|engine| matches!(engine.program, Program::UserPython(_))) {
            config.engines.entry(engine.name.to_owned()).or_default().python = Some(python.clone());
        }
    }
    Ok(config)
}

/// An engine with its worker, where that is installed.
#[derive(Debug, Clone)]
pub struct Found {
    /// The engine.
    pub engine: &'static Engine,
    /// Its worker, or why there is none.
    pub worker: Result<Discovery, engine::Failed>,
}

impl Found {
    /// That it is not installed and what mends it, if so.
    pub fn missing(&self) -> Option<String> {
        self.worker.as_ref().err().map(|failed| format!("{}: not installed; {}", self.engine.name, failed.reason))
    }
}

/// The engines that were asked for, or all that are installed. `missing` hears of those that are not.
pub fn engines(asked: &[String], config: &Config, mut missing: impl FnMut(&str)) -> Result<Vec<Found>> {
    let names = if asked.is_empty() { config.defaults.engine.clone().unwrap_or_default() } else { asked.to_vec() };
    let chosen: Vec<&'static Engine> = match names.is_empty() {
        true => engine::visible().collect(),
        false => names.iter().map(|name| engine::by_name(name).map_err(|e| anyhow!(e))).collect::<Result<_>>()?,
    };
    let mut found = Vec::new();
    for engine in chosen {
        let one = Found { engine, worker: engine::find_worker(engine, &config.overrides(engine.name)) };
        match one.missing() {
            Some(text) if names.is_empty() => missing(&text),
            _ => found.push(one),
        }
    }
    if found.is_empty() {
        bail!(
            "no engine is installed; `cargo xtask build` builds the workers, `tokometer doctor` shows what is missing"
        );
    }
    Ok(found)
}

/// The model that was asked for.
pub fn model(selection: &Selection, config: &Config) -> Result<ModelRef> {
    if let Some(size) = &selection.size {
        return Ok(plan::checkpoint_for(size, config)?);
    }
    match selection.model.as_ref().or(config.defaults.model.as_ref()) {
        Some(model) => Ok(model.parse()?),
        None => bail!("which model? --model hf:org/name, a folder, a .gguf file or synthetic:tiny, or --size 1B"),
    }
}

/// The quantizations that were asked for.
pub fn quantizations(selection: &Selection, config: &Config) -> Vec<String> {
    let asked =
        if selection.quantize.is_empty() { config.defaults.quantize.clone() } else { Some(selection.quantize.clone()) };
    let mut asked = asked.unwrap_or_else(|| vec!["default".into()]);
    let mut seen = std::collections::BTreeSet::new();
    asked.retain(|name| seen.insert(name.to_lowercase()));
    asked
}

/// Threads: what was asked for, else what tokometer.toml says, else one per physical core that this process may use.
pub fn threads(selection: &Selection, config: &Config, machine: &Machine) -> u32 {
    threads_for(selection.threads.or(config.defaults.threads), machine)
}

/// What tokometer.toml says of an engine's own settings.
pub fn engine_options(engine: &str, config: &Config) -> BTreeMap<String, String> {
    config.engines.get(engine).map(|own| own.options.clone()).unwrap_or_default()
}

/// Everything that `run` needs, checked.
#[derive(Debug)]
pub struct RunSettings {
    /// Engines with their workers.
    pub found: Vec<Found>,
    /// The model.
    pub model: ModelRef,
    /// The cases.
    pub cases: Vec<Case>,
    /// What engines do not offer, in words.
    pub refused: Vec<String>,
    /// How often.
    pub schedule: Schedule,
    /// What ends the run.
    pub ends: Ends,
    /// When a worker counts as hung.
    pub timeouts: Timeouts,
    /// Seed.
    pub seed: u64,
    /// The machine.
    pub machine: Machine,
}

/// What the options of `run` say for every case: workload, settings, seed, how often.
pub fn base(args: &Run, config: &Config, machine: &Machine) -> Result<Base> {
    let (defaults, asked) = (&config.defaults, &args.often);
    let quick = asked.quick;
    let pick = |flag: Option<u32>, own: Option<u32>, quick_value: u32, value: u32| {
        flag.or(if quick { Some(quick_value) } else { own }).unwrap_or(value)
    };
    let workload = Workload {
        prompt_tokens: pick(args.prompt_tokens, defaults.prompt_tokens, 128, 512),
        gen_tokens: pick(args.gen_tokens, defaults.gen_tokens, 32, 128),
        depth: args.depth,
    };
    let often = if quick { Schedule::quick() } else { Schedule::default() };
    let launches = pick(asked.launches, defaults.launches, often.launches, often.launches);
    let schedule = Schedule {
        launches: launches_in(launches, asked)?,
        repetitions: pick(asked.repetitions, defaults.repetitions, often.repetitions, often.repetitions),
        warmup: asked.warmup,
    };
    schedule.validate()?;
    let ends = Ends { rounds: asked.rounds, until: asked.until, ratios: asked.ratios, budget_s: asked.budget };
    let ends = ends.or_one_round_per_launch(schedule.launches)?;
    workload.validate()?;
    let settings = Settings {
        threads: Some(threads(&args.selection, config, machine)),
        batch: args.batch,
        ubatch: args.ubatch,
        flash_attn: match args.flash_attn.as_str() {
            "on" => Some(true),
            "off" => Some(false),
            _ => None,
        },
        kv_type: args.kv_type.clone(),
        device: args.device.clone(),
        options: options(args)?,
        memory_limit: args.limits.memory_limit.as_deref().map(memory_limit).transpose()?,
    };
    Ok(Base { workload, settings, seed: args.seed.or(defaults.seed).unwrap_or(42), schedule, ends })
}

/// Joins and checks the options of `run`.
pub fn run(args: &Run, config: &Config, missing: impl FnMut(&str)) -> Result<RunSettings> {
    let machine = Machine::this();
    let Base { workload, settings, seed, schedule, ends } = base(args, config, &machine)?;
    let found = engines(&args.selection.engine, config, missing)?;
    let model = model(&args.selection, config)?;
    let wanted: Vec<_> = found.iter().map(|found| found.engine).collect();
    let quantizations = quantizations(&args.selection, config);
    let (mut cases, refused) = plan::cases(&wanted, &model, &quantizations, workload, &settings, seed)?;
    let (served, plain): (Vec<&Engine>, Vec<&Engine>) = wanted.iter().partition(|engine| engine.has_server);
    if args.via.as_deref() == Some("serve") && served.is_empty() {
        let names: Vec<_> = plain.iter().map(|engine| engine.name).collect();
        bail!("--via serve is for engines that bring a server (mlc_llm), not for {}: leave it out", names.join(", "));
    }
    for case in &mut cases {
        // The others are measured in their own process beside it.
        if plain.iter().any(|engine| engine.name == case.engine) {
            case.settings.options.remove("via");
        }
        // What tokometer.toml says for the engine, where the command line does not say otherwise.
        for (key, value) in engine_options(&case.engine, config) {
            case.settings.options.entry(key).or_insert(value);
        }
    }
    let timeouts = timeouts(args.limits.timeout);
    Ok(RunSettings { found, model, cases, refused, schedule, ends, timeouts, seed, machine })
}

/// A worker counts as hung after so many seconds without an answer.
pub fn timeouts(seconds: u64) -> Timeouts {
    Timeouts { request: Duration::from_secs(seconds.max(1)), ..Timeouts::default() }
}

/// Launches that fit into the rounds: a round starts an engine once at most.
fn launches_in(launches: u32, often: &Often) -> Result<u32> {
    match (often.rounds, often.launches) {
        // Refused with the other numbers that make no sense.
        (Some(0), _) => Ok(launches),
        (Some(rounds), Some(asked)) if asked > rounds => {
            bail!("{asked} launches need {asked} rounds or more, not {rounds}: raise --rounds or lower --launches")
        }
        (Some(rounds), _) => Ok(launches.min(rounds)),
        (None, _) => Ok(launches),
    }
}

/// Engine-specific settings. `--via engine` is what happens anyway, and no setting.
fn options(args: &Run) -> Result<BTreeMap<String, String>> {
    let mut options: BTreeMap<_, _> = args.options.iter().map(|text| option(text)).collect::<Result<_>>()?;
    if args.via.as_deref() == Some("serve") {
        options.insert("via".into(), "serve".into());
    }
    Ok(options)
}

/// One engine-specific setting, `NAME=VALUE`.
pub fn option(text: &str) -> Result<(String, String)> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => bail!("--option takes NAME=VALUE, not {text:?}"),
    }
}

/// `--memory-limit`: at least what an engine starts in.
pub fn memory_limit(text: &str) -> Result<u64> {
    match amount(text) {
        Some(bytes) => Ok(bytes),
        None => bail!("--memory-limit takes an amount with its unit, as 6G or 500M, and at least 1M; not {text:?}"),
    }
}

/// `6G`, `500MB`, `1.5GiB`: bytes, in decimal units unless they are binary ones; `None` for what is none, or less than a
/// megabyte.
pub fn amount(text: &str) -> Option<u64> {
    const UNITS: [(&str, f64); 6] =
        [("GiB", (1u64 << 30) as f64), ("MiB", (1u64 << 20) as f64), ("GB", 1e9), ("MB", 1e6), ("G", 1e9), ("M", 1e6)];
    let parse = |(suffix, unit): &(&str, f64)| {
        let number: f64 = text.trim().strip_suffix(suffix)?.trim().parse().ok()?;
        Some(number * unit)
    };
    // No engine starts in less; more than 2^53 bytes is no limit.
    UNITS.iter().find_map(parse).filter(|bytes| (1e6..9e15).contains(bytes)).map(|bytes| bytes as u64)
}

/// The end of a long name, which tells names apart better than its beginning.
pub fn short(name: &str, most: usize) -> String {
    let letters: Vec<char> = name.chars().collect();
    match letters.len() > most {
        true => format!("…{}", letters[letters.len() + 1 - most..].iter().collect::<String>()),
        false => name.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn threads_are_those_of_the_command_line_else_of_the_configuration() {
        let mut selection = Selection::default();
        let (mut config, machine) = (Config::default(), Machine::this());
        assert_eq!(threads(&selection, &config, &machine), machine.physical_cores.max(1));
        config.defaults.threads = Some(3);
        assert_eq!(threads(&selection, &config, &machine), 3);
        selection.threads = Some(5);
        assert_eq!(threads(&selection, &config, &machine), 5);
    }

    #[test]
    fn memory_limits_have_units() {
        assert_eq!(memory_limit("64M").unwrap(), 64_000_000);
        assert_eq!(memory_limit("1.5 GB").unwrap(), 1_500_000_000);
        assert_eq!(memory_limit("6GiB").unwrap(), 6 << 30);
        for text in ["6", "", "G", "-1G", "0.1M", "nanG", "infG", "6g"] {
            assert!(memory_limit(text).is_err(), "{text}");
        }
    }
}
