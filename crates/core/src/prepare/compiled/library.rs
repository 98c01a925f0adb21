//! The library that computes a model on one kind of machine. It is compiled again where device, processor or versions are
//! others, and the reason is told.

use super::super::{Error, Manifest, Prepared, Result, Source, SourceFile, Store, io_error};
use super::weights::Weights;
use super::{Machine, Tools};
use serde_json::json;
use std::collections::BTreeMap;
use std::path::Path;
use tokometer_protocol::{Compile, Request as Ask};

/// Prompt tokens computed at once, unless asked otherwise.
const PREFILL_CHUNK: u32 = 512;
/// The shortest context that a library is compiled for, so that ordinary workloads share one.
const SHORTEST_WINDOW: u32 = 4096;
/// The file that joins library and weights; the worker reads it.
const INDEX: &str = "compiled.json";
/// The library.
const FILE: &str = if cfg!(target_os = "macos") { "lib.dylib" } else { "lib.so" };

/// Compiles the library, unless it is there.
pub fn compiled(
    store: &Store,
    source: &Source,
    weights: &Weights,
    machine: &Machine,
    tools: &mut Tools<'_>,
) -> Result<Prepared> {
    let request = tools.request;
    let window = window(request.target.ctx_tokens, weights.longest_context).map_err(Error::Refused)?;
    let chunk = request.target.ubatch.unwrap_or(PREFILL_CHUNK).clamp(1, window);
    let mut made_for = machine.compiler();
    made_for.insert("context".into(), window.to_string());
    made_for.insert("prefill chunk".into(), chunk.to_string());
    made_for.extend(options(request.target.options));
    let native = weights.manifest.native.clone();
    let recipe = (&source.info.files, &native, &weights.manifest.tools, &made_for);
    let name = format!("{}-{native}-library", source.name);
    let place = store.place(&name, &recipe);
    let (manifest, reused) = store.make(&place, tools.progress, |folder| {
        if let Some(reason) = reason(store, &place, &weights.manifest, &made_for) {
            tools.progress.note(&format!("{} {native}: {reason}", source.name));
        }
        let library = folder.join(FILE);
        let ask = Compile {
            model: weights.path.display().to_string(),
            output: library.display().to_string(),
            device: machine.device.name.clone(),
            ctx_tokens: window,
            prefill_chunk: chunk,
            threads: request.threads,
            options: options(request.target.options).collect(),
        };
        let doing = format!("compile {} {native} for {}", source.name, machine.device.name);
        let made = tools.make(&doing, Ask::Compile(ask))?;
        // Beside the library, a relative path survives that the models folder is moved.
        let lying = match weights.path.file_name().filter(|_| weights.in_store) {
            Some(name) => Path::new("..").join(name),
            None => weights.path.clone(),
        };
        let index = json!({
            "weights": lying.display().to_string(),
            "library": FILE,
            "compile_ns": made.elapsed_ns,
            "made_for": made_for,
        });
        let text = serde_json::to_vec_pretty(&index).expect("plain data serializes");
        let path = folder.join(INDEX);
        std::fs::write(&path, text).map_err(io_error("write", &path))?;
        let mut manifest = weights.manifest.clone();
        manifest.files = vec![of_file(folder, FILE)?, of_file(folder, INDEX)?];
        manifest.tools.extend(made_for.clone());
        Ok(manifest)
    })?;
    Ok(Prepared { path: place, manifest, reused: reused && weights.reused })
}

/// Settings that change a library: the others belong to a launch.
fn options(all: &BTreeMap<String, String>) -> impl Iterator<Item = (String, String)> + '_ {
    all.iter().filter(|(name, _)| name.as_str() == "opt").map(|(name, value)| (name.clone(), value.clone()))
}

/// The context that a library is compiled for: the next power of two above what is needed, if the model goes so far. One
/// token more than needed, because the engine ends a sequence that fills its context.
fn window(needed: u32, longest: Option<u32>) -> std::result::Result<u32, String> {
    let least = needed.saturating_add(1);
    let longest = longest.unwrap_or(u32::MAX);
    if least > longest {
        return Err(format!("{needed} tokens do not fit into the model's context of {longest}"));
    }
    Ok(least.max(SHORTEST_WINDOW).checked_next_power_of_two().unwrap_or(longest).min(longest))
}

/// Why a library is made although one is there: in what the nearest of them differs.
fn reason(store: &Store, place: &Path, weights: &Manifest, made_for: &BTreeMap<String, String>) -> Option<String> {
    if place.exists() {
        return Some("the library in the models folder is damaged, it is compiled again".into());
    }
    let own = place.file_name()?.to_string_lossy().into_owned();
    let prefix = &own[..own.len().checked_sub(12)?];
    let entries = std::fs::read_dir(store.folder()).ok()?;
    let others = entries.flatten().filter(|entry| entry.file_name().to_string_lossy().starts_with(prefix));
    let differing = others.filter_map(|entry| {
        let other = store.finished(&entry.path())?;
        let same = other.native == weights.native && other.source.files == weights.source.files;
        let differ = |(name, value): (&String, &String)| {
            let before = other.tools.get(name).filter(|before| *before != value)?;
            Some(format!("{name} is {value}, it was {before}"))
        };
        same.then(|| made_for.iter().filter_map(differ).collect::<Vec<_>>())
    });
    let nearest =
        differing.filter(|reasons| !reasons.is_empty()).min_by_key(|reasons| (reasons.len(), reasons.join("")))?;
    Some(format!("a library that was compiled before does not fit ({}), another one is compiled", nearest.join("; ")))
}

fn of_file(folder: &Path, name: &str) -> Result<SourceFile> {
    let path = folder.join(name);
    let bytes = std::fs::metadata(&path).map_err(io_error("read", &path))?.len();
    let sha256 = crate::fingerprint::of_file(&path, |_| ()).map_err(io_error("read", &path))?;
    std::fs::File::open(&path).and_then(|file| file.sync_all()).map_err(io_error("sync", &path))?;
    Ok(SourceFile { name: name.into(), bytes, sha256 })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::prepare::SourceInfo;
    use crate::testing::Dir;

    #[test]
    fn the_window_is_shared_by_ordinary_workloads() {
        assert_eq!(window(640, None), Ok(4096));
        assert_eq!(window(640, Some(2048)), Ok(2048));
        assert_eq!(window(4096, None), Ok(8192));
        assert_eq!(window(2047, Some(2048)), Ok(2048));
        assert!(window(2048, Some(2048)).unwrap_err().contains("2048"));
        assert_eq!(window(u32::MAX - 1, None), Ok(u32::MAX));
    }

    #[test]
    fn a_library_for_another_processor_is_the_reason() {
        let dir = Dir::new();
        let store = Store::new(dir.join("models"));
        let tools = |processor: &str| -> BTreeMap<String, String> {
            [("processor", processor), ("tvm", "0.26")].map(|(k, v)| (k.to_owned(), v.to_owned())).into()
        };
        let manifest = |tools| Manifest {
            manifest: 1,
            name: "m".into(),
            size: "1B".into(),
            engine: "mlc_llm".into(),
            native: "q0f32".into(),
            source: SourceInfo::default(),
            files: Vec::new(),
            tools,
            n_params: None,
            weights_bytes: None,
            bits_per_weight: None,
            prompt_ids: (0, 1),
            bos: None,
        };
        let old = store.place("m-q0f32-library", &"old");
        store.make(&old, &crate::progress::Silent, |_| Ok(manifest(tools("A")))).unwrap();
        let new = store.place("m-q0f32-library", &"new");
        let wanted = manifest(tools("A"));
        let told = reason(&store, &new, &wanted, &tools("B")).unwrap();
        assert!(told.contains("processor is B, it was A") && !told.contains("tvm"), "{told}");
        assert!(reason(&store, &old, &wanted, &tools("A")).unwrap().contains("damaged"));
        let other = store.place("n-q0f32-library", &"new");
        assert!(reason(&store, &other, &wanted, &tools("B")).is_none());
    }
}
