//! `sweep --dry-run`: every case with estimated time, memory and disk, and what will be skipped and why.

use super::{Foresight, standing};
use crate::commands::{Session, print_json};
use crate::settings::{self, Found};
use crate::terminal::{Align, Style, Table, duration};
use anyhow::Result;
use serde_json::json;
use std::collections::BTreeMap;
use std::path::Path;
use tokometer_core::engine::{self, ModelFormat};
use tokometer_core::machine;
use tokometer_core::plan::sweep::{Planned, shape};
use tokometer_core::sweep::{Finish, Place, State, Stored};

/// Rows that are listed; more are counted.
const MOST: usize = 200;

/// What will become of a case.
struct Row<'a> {
    planned: &'a Planned,
    seconds: Option<f64>,
    memory: Option<u64>,
    disk: Option<u64>,
    note: String,
}

/// Lists the plan.
pub fn show(session: &Session<'_>, stored: &Stored, as_json: bool) -> Result<()> {
    let place = Place::new(&session.folders.root);
    let state = standing(&place)?;
    let foresight = Foresight::new(stored);
    let calibration = foresight.calibration(stored, &state);
    let available = machine::available_memory(Path::new("/"));
    let missing = missing_engines(session, stored);
    let mut ready = Ready::new(session);
    let mut rows = Vec::new();
    for planned in stored.blocks.iter().flat_map(|block| &block.cases) {
        let memory = foresight.memory(planned, None);
        let note = match fate(planned, &state, &missing) {
            Some(note) => note,
            None if memory.zip(available).is_some_and(|(memory, free)| memory.total() > free) => "will not fit".into(),
            None if ready.is(planned) => "model ready".into(),
            None => String::new(),
        };
        let open = state.of(&planned.hash).is_none() && !missing.contains_key(planned.case.engine.as_str());
        let disk = memory.filter(|_| open && is_written(planned) && !ready.is(planned)).map(|memory| memory.weights);
        let seconds = foresight.seconds(planned, &calibration).filter(|_| open);
        rows.push(Row { planned, seconds, memory: memory.map(|memory| memory.total()), disk, note });
    }
    if as_json {
        return json_of(session, stored, &rows);
    }
    table(session, &rows);
    let terminal = session.terminal;
    let open = rows.iter().filter(|row| state.of(&row.planned.hash).is_none()).count();
    let axes: Vec<String> = shape(&rows.iter().map(|row| row.planned.clone()).collect::<Vec<_>>())
        .into_iter()
        .map(|(name, n)| format!("{n} {name}"))
        .collect();
    let counts = format!(
        "{} case(s) in {} block(s){}; {open} to do, {} left out by rules",
        rows.len(),
        stored.blocks.len(),
        if axes.is_empty() { String::new() } else { format!(" ({})", axes.join(", ")) },
        stored.excluded
    );
    terminal.paragraph(Style::Plain, &counts);
    let seconds: f64 = rows.iter().filter_map(|row| row.seconds).sum();
    let trust = if calibration.knows_something() { "by what was measured here" } else { "a first guess" };
    terminal.line(&format!("about {} of measuring ({trust}), preparing not counted", duration(seconds)));
    let disk = disk_in_all(&rows);
    terminal.line(&format!("about {:.2} GB of disk for models that are not ready yet", disk as f64 / 1e9));
    missing.values().for_each(|text| terminal.paragraph(Style::Yellow, text));
    Ok(())
}

/// Bytes for models, each counted once.
fn disk_in_all(rows: &[Row<'_>]) -> u64 {
    let mut models = BTreeMap::new();
    for row in rows {
        let case = &row.planned.case;
        models.insert((&case.engine, &case.model, &case.native), row.disk.unwrap_or(0));
    }
    models.values().sum()
}

/// What is known of it already.
fn fate(planned: &Planned, state: &State, missing: &BTreeMap<&str, String>) -> Option<String> {
    if let Some(standing) = state.of(&planned.hash) {
        return Some(match standing.finish {
            Finish::Ok => "measured".into(),
            Finish::Failed => "failed before".into(),
            Finish::Skipped => "skipped before".into(),
        });
    }
    if planned.refused.is_some() {
        return Some("not offered".into());
    }
    missing.contains_key(planned.case.engine.as_str()).then(|| "not installed".into())
}

fn missing_engines(session: &Session<'_>, stored: &Stored) -> BTreeMap<&'static str, String> {
    let cases = stored.blocks.iter().flat_map(|block| &block.cases);
    let mut missing = BTreeMap::new();
    for engine in cases.filter_map(|planned| engine::by_name(&planned.case.engine).ok()) {
        if !missing.contains_key(engine.name) {
            let found = Found { engine, worker: engine::find_worker(engine, &session.config.overrides(engine.name)) };
            missing.insert(engine.name, found.missing());
        }
    }
    missing.into_iter().filter_map(|(name, text)| Some((name, text?))).collect()
}

/// Whether preparing the case writes a model of its own.
fn is_written(planned: &Planned) -> bool {
    let format = engine::by_name(&planned.case.engine).map(|engine| engine.format);
    matches!(format, Ok(ModelFormat::Gguf | ModelFormat::Compiled)) && !planned.case.model.ends_with(".gguf")
}

/// Which models lie in the store: by the manifests there, for nothing is to be downloaded or hashed here.
struct Ready {
    models: Vec<(String, String, String)>,
}

impl Ready {
    fn new(session: &Session<'_>) -> Ready {
        let mut models = Vec::new();
        for entry in std::fs::read_dir(session.folders.store().folder()).into_iter().flatten().flatten() {
            if let Some(manifest) = session.folders.store().finished(&entry.path()) {
                models.push((manifest.engine, manifest.source.model, manifest.native));
            }
        }
        Ready { models }
    }

    fn is(&mut self, planned: &Planned) -> bool {
        let case = &planned.case;
        let native = engine::on_device(&case.native, true);
        self.models.iter().any(|(engine, model, made)| *engine == case.engine && *model == case.model && made == native)
    }
}

fn table(session: &Session<'_>, rows: &[Row<'_>]) {
    let mut table = Table::new(&[
        ("engine", Align::Left),
        ("quantize", Align::Left),
        ("model", Align::Left),
        ("depth", Align::Right),
        ("thr", Align::Right),
        ("time", Align::Right),
        ("GB", Align::Right),
        ("state", Align::Left),
        ("prompt", Align::Right),
        ("gen", Align::Right),
    ]);
    for row in rows.iter().take(MOST) {
        let case = &row.planned.case;
        table.row(vec![
            case.engine.clone(),
            case.quantize.clone(),
            settings::short(&case.model, 16),
            case.workload.depth.to_string(),
            case.settings.threads.map(|n| n.to_string()).unwrap_or_default(),
            row.seconds.map(duration).unwrap_or_default(),
            row.memory.map(|bytes| format!("{:.2}", bytes as f64 / 1e9)).unwrap_or_default(),
            row.note.clone(),
            case.workload.prompt_tokens.to_string(),
            case.workload.gen_tokens.to_string(),
        ]);
    }
    let terminal = session.terminal;
    table.lines(terminal.width()).iter().for_each(|line| terminal.line(line));
    if rows.len() > MOST {
        terminal.line(&format!("... and {} more; --json lists all", rows.len() - MOST));
    }
}

fn json_of(session: &Session<'_>, stored: &Stored, rows: &[Row<'_>]) -> Result<()> {
    let cases: Vec<_> = rows
        .iter()
        .map(|row| {
            json!({
                "hash": row.planned.hash, "case": row.planned.case, "refused": row.planned.refused, "state": row.note,
                "seconds": row.seconds, "memory_bytes": row.memory, "disk_bytes": row.disk,
            })
        })
        .collect();
    print_json(session.terminal, &json!({ "blocks": stored.blocks.len(), "excluded": stored.excluded, "cases": cases }))
}
