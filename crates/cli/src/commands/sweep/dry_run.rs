//! `sweep --dry-run`: every case with estimated time, memory and disk, what will be skipped and why, and which finished cases
//! are outdated.

use super::outdated::Outdated;
use super::prepare::Shelf;
use super::reopen::Beginning;
use super::{Foresight, cluster, standing};
use crate::args::Sweep;
use crate::commands::{Session, print_json};
use crate::settings;
use crate::terminal::{Align, Style, Table, duration};
use anyhow::Result;
use serde_json::json;
use std::collections::{BTreeMap, HashMap};
use tokometer_core::engine::{self, ModelFormat};
use tokometer_core::plan::ModelRef;
use tokometer_core::plan::sweep::{Planned, shape};
use tokometer_core::prepare::{Store, base_of, is_to_be_made};
use tokometer_core::sweep::{Finish, Place, State, Stored};

/// Rows that are listed; more are counted.
const MOST: usize = 200;

/// What will become of a case.
struct Row<'a> {
    planned: &'a Planned,
    seconds: Option<f64>,
    memory: Option<u64>,
    /// What preparing it writes, as far as sizes are known.
    disk: Vec<Written<'a>>,
    /// What is another now than when it was measured.
    outdated: &'a [String],
    note: String,
}

/// A model that preparing writes.
struct Written<'a> {
    /// For which engine; nothing for a checkpoint, which all share.
    engine: &'a str,
    /// Its native type; nothing for a checkpoint.
    native: &'a str,
    bytes: u64,
}

/// Lists the plan.
pub fn show(session: &Session<'_>, stored: &Stored, options: &Sweep) -> Result<()> {
    let place = Place::new(&session.folders.root);
    let before = standing(&place)?;
    let foresight = Foresight::new(stored);
    let calibration = foresight.calibration(stored, &before);
    let Beginning { state, mut shelf, look, .. } = Beginning::foretold(session, &place, stored, &before, options)?;
    let outdated: HashMap<&str, &Outdated> = look.outdated.iter().map(|one| (one.key.as_str(), one)).collect();
    let missing = look_for_engines(session, stored, &state, &mut shelf);
    let on_nodes = options.on.as_ref().and_then(|_| cluster::asked(session, options, Some(stored)).node_models);
    let mut ready = if on_nodes.is_some() { Ready::unseen() } else { Ready::new(session) };
    let mut rows = Vec::new();
    for planned in stored.blocks.iter().flat_map(|block| &block.cases) {
        let memory = foresight.memory(planned, None);
        let free = shelf.memory_for(planned).map(|(free, _)| free);
        let outdated = outdated.get(planned.hash.as_str()).map(|one| one.reasons.as_slice()).unwrap_or_default();
        let note = match fate(planned, &state, &missing, outdated) {
            Some(note) => note,
            None if memory.zip(free).is_some_and(|(memory, free)| memory.total() > free) => "will not fit".into(),
            None if ready.is(planned) => "model ready".into(),
            None => String::new(),
        };
        let open = state.of(&planned.hash).is_none() && !missing.contains_key(planned.case.engine.as_str());
        let weights = memory.filter(|_| open).map(|memory| memory.weights);
        let half = foresight.half_precision(&planned.case.model);
        let disk = weights.map(|weights| written(planned, weights, half, &mut ready)).unwrap_or_default();
        let seconds = foresight.seconds(planned, &calibration).filter(|_| open);
        rows.push(Row { planned, seconds, memory: memory.map(|memory| memory.total()), disk, outdated, note });
    }
    if options.json {
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
    let disk = disk_in_all(&rows) as f64 / 1e9;
    let disk = match on_nodes {
        Some(folder) => {
            let folder = folder.display();
            format!(
                "up to {disk:.2} GB of disk for models in {folder} of each node; what is ready there is not seen from here"
            )
        }
        None => format!("about {disk:.2} GB of disk for models that are not ready yet"),
    };
    terminal.paragraph(Style::Plain, &disk);
    missing.values().chain(&look.lines(options)).for_each(|text| terminal.paragraph(Style::Yellow, text));
    Ok(())
}

/// Bytes for models, each counted once.
fn disk_in_all(rows: &[Row<'_>]) -> u64 {
    let mut models: BTreeMap<(&str, &str, &str), u64> = BTreeMap::new();
    for row in rows {
        for one in &row.disk {
            let bytes = models.entry((one.engine, row.planned.case.model.as_str(), one.native)).or_insert(0);
            *bytes = (*bytes).max(one.bytes);
        }
    }
    models.values().sum()
}

/// What preparing a case writes: the checkpoint, if it is made up, the file that the model is quantized from, and the model.
/// `half` are the bytes of the weights with 16 bits for each.
fn written<'a>(planned: &'a Planned, weights: u64, half: Option<u64>, ready: &mut Ready) -> Vec<Written<'a>> {
    let case = &planned.case;
    let Ok(engine) = engine::by_name(&case.engine) else { return Vec::new() };
    let mut all = Vec::new();
    if let Some(bytes) = half.filter(|_| engine.format != ModelFormat::Nothing && !ready.has_checkpoint(&case.model)) {
        all.push(Written { engine: "", native: "", bytes });
    }
    if !is_written(planned) || ready.is(planned) {
        return all;
    }
    let base = base_of(&case.native).filter(|base| engine.format == ModelFormat::Gguf && !ready.has(planned, base));
    if let Some((native, bytes)) = base.zip(half) {
        all.push(Written { engine: &case.engine, native, bytes });
    }
    all.push(Written { engine: &case.engine, native: &case.native, bytes: weights });
    all
}

/// What is known of it already.
fn fate(planned: &Planned, state: &State, missing: &BTreeMap<&str, String>, outdated: &[String]) -> Option<String> {
    if let Some(standing) = state.of(&planned.hash) {
        return Some(match standing.finish {
            Finish::Ok if !outdated.is_empty() => "outdated".into(),
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

/// The engines of open cases with their devices, and in words what is missing of those that are not installed.
fn look_for_engines<'a>(
    session: &Session<'_>,
    stored: &'a Stored,
    state: &State,
    shelf: &mut Shelf,
) -> BTreeMap<&'a str, String> {
    let mut missing = BTreeMap::new();
    let cases = stored.blocks.iter().flat_map(|block| &block.cases);
    for planned in cases.filter(|planned| planned.refused.is_none() && state.of(&planned.hash).is_none()) {
        let name = planned.case.engine.as_str();
        if !missing.contains_key(name)
            && let Some(text) = shelf.look_for(session, name)
        {
            missing.insert(name, text);
        }
    }
    missing
}

/// Whether preparing the case writes a model of its own.
fn is_written(planned: &Planned) -> bool {
    let format = engine::by_name(&planned.case.engine).map(|engine| engine.format);
    matches!(format, Ok(ModelFormat::Gguf | ModelFormat::Compiled)) && !planned.case.model.ends_with(".gguf")
}

/// Which models lie in the store: by the manifests there, for nothing is to be downloaded or hashed here.
struct Ready {
    /// `None` for that of a node, which cannot be seen from here.
    store: Option<Store>,
    /// Engine, model and native type.
    models: Vec<(String, String, String)>,
    /// Whether a model has its checkpoint, as far as that has been asked.
    checkpoints: HashMap<String, bool>,
}

impl Ready {
    fn new(session: &Session<'_>) -> Ready {
        let (store, mut models) = (session.folders.store(), Vec::new());
        for entry in std::fs::read_dir(store.folder()).into_iter().flatten().flatten() {
            if let Some(manifest) = store.finished(&entry.path()) {
                models.push((manifest.engine, manifest.source.model, manifest.native));
            }
        }
        Ready { store: Some(store), models, checkpoints: HashMap::new() }
    }

    /// On nodes that prepare models on their own disks: nothing is taken to be there.
    fn unseen() -> Ready {
        Ready { store: None, models: Vec::new(), checkpoints: HashMap::new() }
    }

    fn is(&self, planned: &Planned) -> bool {
        self.has(planned, engine::on_device(&planned.case.native, true))
    }

    /// Whether the model of a case lies there in another native type.
    fn has(&self, planned: &Planned, native: &str) -> bool {
        let case = &planned.case;
        self.models.iter().any(|(engine, model, made)| *engine == case.engine && *model == case.model && made == native)
    }

    /// Whether a model's checkpoint is there, or is none that is made here.
    fn has_checkpoint(&mut self, model: &str) -> bool {
        if let Some(known) = self.checkpoints.get(model) {
            return *known;
        }
        let is_there = match (&self.store, model.parse::<ModelRef>()) {
            (Some(store), Ok(model)) => !is_to_be_made(store, &model),
            (None, Ok(model)) => !matches!(model, ModelRef::Synthetic(_)),
            (_, Err(_)) => true,
        };
        self.checkpoints.insert(model.to_owned(), is_there);
        is_there
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
            let disk = (!row.disk.is_empty()).then(|| row.disk.iter().map(|one| one.bytes).sum::<u64>());
            json!({
                "hash": row.planned.hash, "case": row.planned.case, "refused": row.planned.refused, "state": row.note,
                "seconds": row.seconds, "memory_bytes": row.memory, "disk_bytes": disk,
                "outdated": row.outdated,
            })
        })
        .collect();
    print_json(session.terminal, &json!({ "blocks": stored.blocks.len(), "excluded": stored.excluded, "cases": cases }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokometer_core::plan::{Case, Settings, Workload};

    fn planned(native: &str) -> Planned {
        let case = Case {
            engine: "llamacpp".into(),
            model: "synthetic:1B".into(),
            quantize: native.into(),
            native: native.into(),
            workload: Workload::default(),
            settings: Settings::default(),
            seed: 42,
        };
        Planned { hash: case.hash(), case, refused: None }
    }

    fn ready(natives: &[&str]) -> Ready {
        let model = |native: &&str| ("llamacpp".to_owned(), "synthetic:1B".to_owned(), (*native).to_owned());
        let store = Store::new("/nowhere/models".into());
        Ready { store: Some(store), models: natives.iter().map(model).collect(), checkpoints: HashMap::new() }
    }

    fn row<'a>(planned: &'a Planned, disk: Vec<Written<'a>>) -> Row<'a> {
        Row { planned, seconds: None, memory: None, disk, outdated: &[], note: String::new() }
    }

    #[test]
    fn the_checkpoint_and_the_file_that_is_quantized_take_room_once() {
        let (q4, q8, f16) = (planned("Q4_K_M"), planned("Q8_0"), planned("F16"));
        let disk = |planned, weights, natives: &[&str]| written(planned, weights, Some(16), &mut ready(natives));
        let rows = [row(&q4, disk(&q4, 5, &[])), row(&q8, disk(&q8, 9, &[])), row(&f16, disk(&f16, 16, &[]))];
        assert_eq!(disk_in_all(&rows[..1]), 16 + 16 + 5);
        assert_eq!(disk_in_all(&rows), 16 + 16 + 5 + 9);
        // What lies there takes no more room, and a case that is done hides none that is not.
        let rows = [row(&q8, disk(&q8, 9, &["F16"])), row(&q8, Vec::new())];
        assert_eq!(disk_in_all(&rows), 16 + 9);
        assert_eq!(disk_in_all(&[row(&q8, disk(&q8, 9, &["Q8_0"]))]), 16);
        // What cannot be seen is taken to be missing.
        assert_eq!(disk_in_all(&[row(&q8, written(&q8, 9, Some(16), &mut Ready::unseen()))]), 16 + 16 + 9);
    }
}
