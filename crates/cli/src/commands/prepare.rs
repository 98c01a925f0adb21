//! `tokometer prepare`: step 1.

use super::{OK, SOME_FAILED, Session, print_json};
use crate::args::{Prepare, Selection};
use crate::settings::{self, Found};
use crate::terminal::{Align, Table};
use anyhow::{Result, bail};
use serde_json::json;
use tokometer_core::engine::{Engine, ModelFormat};
use tokometer_core::machine::Machine;
use tokometer_core::plan::{ModelRef, Workload};
use tokometer_core::prepare::{self, Prepared, Request, Target};

/// A model that is ready, and for what.
pub struct Ready {
    /// The engine.
    pub engine: &'static Engine,
    /// The label.
    pub quantize: String,
    /// The model.
    pub prepared: Prepared,
}

/// The command.
pub fn prepare(session: &Session<'_>, wanted: &Prepare) -> Result<u8> {
    let terminal = session.terminal;
    let selection = &wanted.selection;
    let found = settings::engines(&selection.engine, &session.config, |text| terminal.say(text))?;
    let model = settings::model(selection, &session.config)?;
    let quantizations = settings::quantizations(selection, &session.config);
    let _lock = super::run::exclusive(session)?;
    let (mut ready, mut failed) = (Vec::new(), Vec::new());
    for found in &found {
        // The others can be prepared for in part without their worker.
        if let Some(missing) = found.missing().filter(|_| found.engine.format == ModelFormat::Compiled) {
            failed.push(missing);
            continue;
        }
        let target = Target {
            device: wanted.device.as_deref(),
            ctx_tokens: Workload::default().ctx_tokens(),
            ubatch: None,
            options: &settings::engine_options(found.engine.name, &session.config),
        };
        for quantize in &quantizations {
            let native = match found.engine.native(quantize) {
                Ok(native) => native,
                Err(reason) => {
                    failed.push(reason);
                    continue;
                }
            };
            match one(session, selection, found, &model, (quantize, native), target) {
                Ok(prepared) => ready.push(Ready { engine: found.engine, quantize: quantize.clone(), prepared }),
                Err(error) => failed.push(format!("{} {quantize}: {error:#}", found.engine.name)),
            }
        }
    }
    for reason in &failed {
        terminal.error(reason);
    }
    if ready.is_empty() {
        bail!("nothing could be prepared");
    }
    show(session, &ready, selection.json)?;
    Ok(if failed.is_empty() { OK } else { SOME_FAILED })
}

/// Prepares one model for one engine and one quantization, which is given as label and native name.
pub fn one(
    session: &Session<'_>,
    selection: &Selection,
    found: &Found,
    model: &ModelRef,
    (quantize, native): (&str, &str),
    target: Target<'_>,
) -> Result<Prepared> {
    let request = Request {
        engine: found.engine,
        model,
        native,
        as_it_is: quantize.eq_ignore_ascii_case("default"),
        worker: found.worker.as_ref().ok(),
        converter: selection.converter.as_deref(),
        threads: settings::threads(selection, &session.config, &Machine::this()),
        target,
    };
    Ok(prepare::prepare(&session.folders.store(), &request, session.terminal.progress())?)
}

fn show(session: &Session<'_>, ready: &[Ready], as_json: bool) -> Result<()> {
    if as_json {
        let entries: Vec<_> = ready
            .iter()
            .map(|ready| {
                let manifest = &ready.prepared.manifest;
                json!({
                    "engine": ready.engine.name, "quantize": ready.quantize, "native": manifest.native,
                    "path": ready.prepared.path, "bytes": manifest.weights_bytes, "bits_per_weight": manifest.bits_per_weight,
                    "parameters": manifest.n_params, "reused": ready.prepared.reused,
                })
            })
            .collect();
        return print_json(session.terminal, &entries);
    }
    let mut table = Table::new(&[
        ("engine", Align::Left),
        ("quantize", Align::Left),
        ("native", Align::Left),
        ("GB", Align::Right),
        ("bits/weight", Align::Right),
        ("state", Align::Left),
        ("path", Align::Left),
    ]);
    for ready in ready {
        let manifest = &ready.prepared.manifest;
        table.row(vec![
            ready.engine.name.into(),
            ready.quantize.clone(),
            manifest.native.clone(),
            manifest.weights_bytes.map(|bytes| format!("{:.3}", bytes as f64 / 1e9)).unwrap_or_default(),
            manifest.bits_per_weight.map(|bits| format!("{bits:.2}")).unwrap_or_default(),
            if ready.prepared.reused { "ready before".into() } else { "new".into() },
            ready.prepared.path.display().to_string(),
        ]);
    }
    table.lines(session.terminal.width()).iter().for_each(|line| session.terminal.line(line));
    Ok(())
}
