//! Weights in the engine's format: converted from a checkpoint, or converted by somebody before.
//!
//! Such a folder holds `mlc-chat-config.json`, an index of the tensors (`tensor-cache.json`, formerly
//! `ndarray-cache.json`) with the bytes per parameter in its `metadata`, and shards of raw tensors.

use super::super::quantize::manifest;
use super::super::{Error, Manifest, Request, Result, Source, SourceFile, Store, io_error};
use super::{Machine, Tools, stays_inside};
use crate::disk::amount;
use crate::plan::size_label;
use crate::progress::{Progress, Unit};
use serde_json::Value;
use std::path::{Path, PathBuf};
use tokometer_protocol::Request as Ask;

/// The names that the index has had.
const INDEXES: &[&str] = &["tensor-cache.json", "ndarray-cache.json"];
/// The configuration.
const CONFIG: &str = "mlc-chat-config.json";
/// Bytes beside the weights: tokenizer, configuration.
const SMALL_FILES: u64 = 64 << 20;

/// Weights that are ready.
pub struct Weights {
    /// The folder.
    pub path: PathBuf,
    /// What they are.
    pub manifest: Manifest,
    /// Whether they were there already.
    pub reused: bool,
    /// Whether they lie in the store, beside the library.
    pub in_store: bool,
    /// The longest context that the model is made for, where it says so.
    pub longest_context: Option<u32>,
}

/// The index of converted weights in a folder, if there is one.
pub fn index_of(folder: &Path) -> Option<PathBuf> {
    INDEXES.iter().map(|name| folder.join(name)).find(|path| path.is_file())
}

/// Weights that were converted before, as they are, if they are what is wanted.
pub fn taken(source: &Source, request: &Request<'_>, wanted: &str) -> Result<Weights> {
    let config = read(&source.path.join(CONFIG))?;
    let Some(native) = config["quantization"].as_str() else {
        return Err(damaged(&source.path.join(CONFIG), "it names no quantization"));
    };
    // A label that stands for two formats takes either.
    let fits = native == wanted || request.native.split(" or ").any(|part| part == native);
    if !request.as_it_is && !fits {
        return Err(Error::Refused(format!(
            "{} was converted to {native} already: name the original checkpoint for {}, or --quantize default to run it as it is",
            source.path.display(),
            request.native
        )));
    }
    let mut manifest = manifest(source, request, Default::default());
    manifest.native = native.to_owned();
    measure(&source.path, &mut manifest)?;
    Ok(Weights {
        path: source.path.clone(),
        manifest,
        reused: true,
        in_store: false,
        longest_context: longest_context(&config),
    })
}

/// Converts a checkpoint.
pub fn converted(
    store: &Store,
    source: &Source,
    native: &str,
    machine: &Machine,
    tools: &mut Tools<'_>,
) -> Result<Weights> {
    if !source.info.files.iter().any(|file| file.name.ends_with(".safetensors")) {
        return Err(Error::Refused(format!(
            "{} has no safetensors: other formats of weights are not read",
            source.path.display()
        )));
    }
    let (request, progress) = (tools.request, tools.progress);
    let made_by = machine.converter();
    let place = store.place(&format!("{}-{native}-weights", source.name), &(&source.info.files, native, &made_by));
    let (manifest, reused) = store.make(&place, progress, |folder| {
        let bytes: u64 = source.info.files.iter().map(|file| file.bytes).sum();
        crate::disk::require(store.folder(), bytes.saturating_add(SMALL_FILES))?;
        let ask = Ask::Quantize {
            input: source.path.display().to_string(),
            output: folder.display().to_string(),
            native: native.into(),
            threads: request.threads,
        };
        tools.make(&format!("convert {} to {native}", source.name), ask)?;
        let mut manifest = manifest(source, request, made_by.clone());
        manifest.native = native.to_owned();
        measure(folder, &mut manifest)?;
        manifest.files = hashed(folder, &manifest, progress)?;
        Ok(manifest)
    })?;
    let config = read(&place.join(CONFIG))?;
    Ok(Weights { path: place, manifest, reused, in_store: true, longest_context: longest_context(&config) })
}

/// Parameters, bytes and bits per weight as the index tells them, after checking that the shards are there.
fn measure(folder: &Path, manifest: &mut Manifest) -> Result<()> {
    let Some(path) = index_of(folder) else {
        return Err(Error::Refused(format!(
            "{} holds no index of converted weights ({})",
            folder.display(),
            INDEXES.join(" or ")
        )));
    };
    let index = read(&path)?;
    let shards = index["records"].as_array().ok_or_else(|| damaged(&path, "it has no list of shards"))?;
    for shard in shards {
        let name = shard["dataPath"].as_str().filter(|name| stays_inside(name));
        let name = name.ok_or_else(|| damaged(&path, "a shard has no name, or one that leaves the folder"))?;
        let file = folder.join(name);
        let bytes = std::fs::metadata(&file).map_err(io_error("read", &file))?.len();
        if shard["nbytes"].as_u64().is_some_and(|told| told != bytes) {
            return Err(damaged(&file, &format!("it has {bytes} bytes, the index says {}", shard["nbytes"])));
        }
    }
    let told = |name: &str| index["metadata"][name].as_f64().filter(|value| value.is_finite() && *value > 0.0);
    manifest.weights_bytes = told("ParamBytes").map(|bytes| bytes as u64);
    manifest.bits_per_weight = told("BitsPerParam");
    let parameters = manifest.weights_bytes.zip(manifest.bits_per_weight);
    manifest.n_params = parameters.map(|(bytes, bits)| (bytes as f64 * 8.0 / bits).round() as u64);
    manifest.size = size_label(&manifest.name, manifest.n_params.unwrap_or(0));
    Ok(())
}

/// Sizes and hashes of all files of a folder.
fn hashed(folder: &Path, manifest: &Manifest, progress: &dyn Progress) -> Result<Vec<SourceFile>> {
    let entries = std::fs::read_dir(folder).map_err(io_error("read", folder))?;
    let mut names: Vec<String> = entries
        .flatten()
        .filter(|entry| entry.path().is_file())
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    let label = format!("check {} {}", manifest.name, manifest.native);
    let task = progress.task(&label, manifest.weights_bytes, Unit::Bytes);
    let mut files = Vec::new();
    for name in names {
        let path = folder.join(&name);
        let bytes = std::fs::metadata(&path).map_err(io_error("read", &path))?.len();
        let sha256 = crate::fingerprint::of_file(&path, |n| task.advance(n)).map_err(io_error("read", &path))?;
        std::fs::File::open(&path).and_then(|file| file.sync_all()).map_err(io_error("sync", &path))?;
        files.push(SourceFile { name, bytes, sha256 });
    }
    let bytes: u64 = files.iter().map(|file| file.bytes).sum();
    let bits = manifest.bits_per_weight.map(|bits| format!(", {bits:.2} bits per weight")).unwrap_or_default();
    task.finish(&format!("{}{bits}", amount(bytes)));
    Ok(files)
}

fn longest_context(config: &Value) -> Option<u32> {
    config["context_window_size"].as_u64().and_then(|tokens| u32::try_from(tokens).ok()).filter(|tokens| *tokens > 0)
}

fn read(path: &Path) -> Result<Value> {
    let text = std::fs::read(path).map_err(io_error("read", path))?;
    serde_json::from_slice(&text).map_err(|error| damaged(path, &error.to_string()))
}

fn damaged(path: &Path, why: &str) -> Error {
    Error::Refused(format!("{}: damaged: {why}; prepare or download it again", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::prepare::SourceInfo;
    use crate::testing::Dir;

    fn folder(index: &str) -> Dir {
        let folder = Dir::new();
        folder.write("tensor-cache.json", index);
        folder.write("params_shard_0.bin", [0; 12]);
        folder
    }

    fn blank() -> Manifest {
        Manifest {
            manifest: 1,
            name: "m".into(),
            size: "unknown".into(),
            engine: "mlc_llm".into(),
            native: "q4f32_1".into(),
            source: SourceInfo::default(),
            files: Vec::new(),
            tools: Default::default(),
            n_params: None,
            weights_bytes: None,
            bits_per_weight: None,
            prompt_ids: (0, 1),
            bos: None,
        }
    }

    #[test]
    fn the_index_tells_parameters_and_bits() {
        let index = r#"{"metadata":{"ParamSize":1,"ParamBytes":5000000.0,"BitsPerParam":5.0},
                        "records":[{"dataPath":"params_shard_0.bin","nbytes":12}]}"#;
        let mut manifest = blank();
        measure(&folder(index), &mut manifest).unwrap();
        assert_eq!((manifest.n_params, manifest.weights_bytes), (Some(8_000_000), Some(5_000_000)));
        assert_eq!((manifest.bits_per_weight, manifest.size.as_str()), (Some(5.0), "8M"));
    }

    #[test]
    fn shards_that_are_cut_or_lie_elsewhere_are_refused() {
        for (name, record, words) in [
            ("cut", r#"{"dataPath":"params_shard_0.bin","nbytes":13}"#, "12 bytes"),
            ("absent", r#"{"dataPath":"params_shard_1.bin","nbytes":12}"#, "params_shard_1.bin"),
            ("outside", r#"{"dataPath":"../params_shard_0.bin"}"#, "leaves the folder"),
            ("nameless", "{}", "no name"),
        ] {
            let folder = folder(&format!(r#"{{"metadata":{{}},"records":[{record}]}}"#));
            let error = measure(&folder, &mut blank()).unwrap_err().to_string();
            assert!(error.contains(words), "{name}: {error}");
        }
    }
}
