//! Flags and `[sweep]` of `tokometer.toml` -> the plan.

use super::run::command_line;
use crate::args::{Run, Selection, Sweep};
use crate::commands::Session;
use crate::settings;
use anyhow::{Result, bail};
use std::collections::BTreeMap;
use tokometer_core::clock;
use tokometer_core::engine::{self, Engine};
use tokometer_core::machine::Machine;
use tokometer_core::plan::sweep::{Axes, Many, SweepConfig, blocks, expand};
use tokometer_core::sweep::Stored;

/// The plan of this command line.
pub fn stored(session: &Session<'_>, options: &Sweep) -> Result<Stored> {
    let config = &session.config;
    let base = settings::base(&as_run(options), config, &Machine::this())?;
    let mut sweep = SweepConfig { axes: axes(options)?.over(&config.sweep.axes), ..config.sweep.clone() };
    if sweep.axes.quantize.is_empty() {
        sweep.axes.quantize = Many::One("all".into());
    }
    name_model(&mut sweep.axes, config.defaults.model.as_deref());
    let engines = installed(session, &sweep)?;
    let matrix = expand(&sweep, &engines, config, &base)?;
    Ok(Stored {
        plan: Stored::VERSION,
        planned_utc: clock::now_utc(),
        command: command_line(),
        schedule: base.schedule,
        ends: base.ends,
        resident: options.often.resident,
        overlap: options.overlap || (config.sweep.overlap && !options.no_overlap),
        timeout_s: options.limits.timeout,
        memory_limit: base.settings.memory_limit,
        converter: options.converter.clone(),
        hosts: match options.on {
            Some(_) => super::cluster::hosts(session, &super::cluster::asked(session, options, None))?,
            None => Vec::new(),
        },
        node_models: options.node_models.clone(),
        excluded: matrix.excluded,
        blocks: blocks(matrix.cases),
    })
}

/// The model of the seed workflow, where nobody names another.
fn name_model(axes: &mut Axes, default: Option<&str>) {
    if axes.model.is_empty() && axes.size.is_empty() {
        match default {
            Some(model) => axes.model = Many::One(model.to_owned()),
            None => axes.size = Many::One("1B".into()),
        }
    }
}

/// The engines that are installed; those that are named are not asked for, for a name that is not installed is a result.
fn installed(session: &Session<'_>, sweep: &SweepConfig) -> Result<Vec<&'static Engine>> {
    if !sweep.axes.engine.is_empty() {
        return Ok(engine::visible().collect());
    }
    let found = settings::engines(&[], &session.config, |text| session.terminal.say(text))?;
    Ok(found.iter().map(|found| found.engine).collect())
}

/// The axes on the command line.
fn axes(options: &Sweep) -> Result<Axes> {
    if !options.model.is_empty() && !options.size.is_empty() {
        bail!("--model and --size both name models: use one of them");
    }
    let mut own: BTreeMap<String, Many<String>> = BTreeMap::new();
    for text in &options.options {
        let (name, value) = settings::option(text)?;
        let mut values = own.remove(&name).map(|many| many.values().to_vec()).unwrap_or_default();
        values.push(value);
        own.insert(name, Many::List(values));
    }
    Ok(Axes {
        engine: options.engine.clone().into(),
        model: options.model.clone().into(),
        size: options.size.clone().into(),
        quantize: options.quantize.clone().into(),
        prompt_tokens: options.prompt_tokens.clone().into(),
        gen_tokens: options.gen_tokens.clone().into(),
        depth: options.depth.clone().into(),
        threads: options.threads.clone().into(),
        batch: options.batch.clone().into(),
        ubatch: options.ubatch.clone().into(),
        flash_attn: options.flash_attn.clone().into(),
        kv_type: options.kv_type.clone().into(),
        device: options.device.clone().into(),
        seed: options.seed.clone().into(),
        options: own,
    })
}

/// What is no axis, as `run` takes it: both check it in one place.
fn as_run(options: &Sweep) -> Run {
    Run {
        selection: Selection::default(),
        label: None,
        seed: None,
        prompt_tokens: None,
        gen_tokens: None,
        depth: 0,
        often: options.often.clone(),
        flash_attn: "auto".into(),
        kv_type: None,
        device: None,
        batch: None,
        ubatch: None,
        via: None,
        options: Vec::new(),
        limits: options.limits.clone(),
    }
}
