//! Finds a checkpoint: on the hub, in a folder, as a GGUF file, or made up. Which bytes it has is `identity`'s business.

use super::identity::Identity;
use super::{Error, Result, SourceFile, SourceInfo, Store, gguf, hub, io_error, synthetic};
use crate::plan::ModelRef;
use crate::progress::Progress;
use serde_json::Value;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// The seed of every synthetic checkpoint: one name is one model.
const SYNTHETIC_SEED: u64 = 20_240_923;

/// The configuration beside weights that were converted for MLC-LLM.
const CONVERTED: &str = "mlc-chat-config.json";

/// A checkpoint on this machine.
#[derive(Debug, Clone)]
pub struct Source {
    /// The folder or the GGUF file.
    pub path: PathBuf,
    /// Whether `path` is a GGUF file.
    pub is_gguf: bool,
    /// Whether the folder holds weights that were converted for MLC-LLM.
    pub is_converted: bool,
    /// Name for people and folders.
    pub name: String,
    /// The name to write into the model, where the folder's own name is none (a hash, say).
    pub name_hint: Option<String>,
    /// Identity.
    pub info: SourceInfo,
    /// Token ids that prompts are drawn from.
    pub prompt_ids: (u32, u32),
    /// The id that begins a text.
    pub bos: Option<u32>,
}

/// A checkpoint that was found, whose large files need not be hashed yet.
#[derive(Debug)]
pub struct Found {
    /// The checkpoint, still without its files.
    pub source: Source,
    /// Its files.
    pub identity: Identity,
}

impl Found {
    /// Computes the hashes that lack.
    ///
    /// # Errors
    /// A file cannot be read or has changed.
    pub fn identified(self, progress: &dyn Progress) -> Result<Source> {
        let files = self.identity.complete(None, progress)?;
        Ok(self.with(files))
    }

    /// The checkpoint with its files as somebody has identified them.
    pub fn with(self, files: Vec<SourceFile>) -> Source {
        let mut source = self.source;
        source.info.files = files;
        source
    }
}

impl Source {
    /// The longest context that the model is made for, tokens, as its configuration tells; `None` for GGUF files and where it
    /// does not tell.
    pub fn longest_context(&self) -> Option<u32> {
        let told = |file: &str, key: &str| -> Option<u32> {
            let config: Value = serde_json::from_slice(&fs::read(self.path.join(file)).ok()?).ok()?;
            config[key].as_u64().and_then(|tokens| u32::try_from(tokens).ok()).filter(|tokens| *tokens > 0)
        };
        match (self.is_gguf, self.is_converted) {
            (true, _) => None,
            (false, true) => told(CONVERTED, "context_window_size"),
            (false, false) => told("config.json", "max_position_embeddings"),
        }
    }
}

/// Finds the checkpoint, downloading or making it where needed, and identifies it by its files' hashes.
///
/// # Errors
/// It is not there, cannot be had or read, or holds no tokenizer.
pub fn resolve(store: &Store, model: &ModelRef, progress: &dyn Progress) -> Result<Source> {
    find(store, model, progress)?.identified(progress)
}

/// Finds the checkpoint, downloading or making it where needed.
///
/// # Errors
/// It is not there, cannot be had or read, or holds no tokenizer.
pub fn find(store: &Store, model: &ModelRef, progress: &dyn Progress) -> Result<Found> {
    let (path, revision, known) = match model {
        ModelRef::Hub(repo) => {
            let snapshot =
                hub::Hub::from_env()?.snapshot(&hub::Repo::parse(repo)?, &hub::is_checkpoint_file, progress)?;
            let known =
                snapshot.files.iter().filter_map(|file| Some((file.name.clone(), file.sha256.clone()?))).collect();
            (snapshot.folder, Some(snapshot.revision), known)
        }
        ModelRef::Synthetic(name) => {
            (synthetic_folder(store, name, progress)?, Some(format!("seed {SYNTHETIC_SEED}")), BTreeMap::new())
        }
        ModelRef::Folder(path) | ModelRef::Gguf(path) => (path.clone(), None, BTreeMap::new()),
    };
    let path = path.canonicalize().map_err(io_error("find the model", &path))?;
    let is_gguf = matches!(model, ModelRef::Gguf(_));
    let names = if is_gguf { vec![] } else { checkpoint_files(&path)? };
    // Before anything is read: a change from here on is noticed.
    let identity = Identity::of(store, &path, &names, &known)?;
    let (prompt_ids, bos) = if is_gguf { vocabulary_of_gguf(&path)? } else { vocabulary_of_folder(&path)? };
    let source = Source {
        is_gguf,
        is_converted: names.iter().any(|name| name == CONVERTED),
        name: model.short_name(),
        name_hint: (!matches!(model, ModelRef::Folder(_))).then(|| model.short_name()),
        info: SourceInfo { model: model.to_string(), revision, files: Vec::new() },
        path,
        prompt_ids,
        bos,
    };
    Ok(Found { source, identity })
}

/// Whether a checkpoint is made up and is still to be written.
pub fn is_to_be_made(store: &Store, model: &ModelRef) -> bool {
    let ModelRef::Synthetic(name) = model else { return false };
    let is_there = |geometry| synthetic_place(store, geometry).join("config.json").is_file();
    synthetic::Geometry::find(name).is_ok_and(|geometry| !is_there(geometry))
}

fn synthetic_place(store: &Store, geometry: &synthetic::Geometry) -> PathBuf {
    store.place(&format!("synthetic-{}", geometry.name), &(synthetic::VERSION, geometry.name, SYNTHETIC_SEED))
}

fn synthetic_folder(store: &Store, name: &str, progress: &dyn Progress) -> Result<PathBuf> {
    let geometry = synthetic::Geometry::find(name)?;
    let place = synthetic_place(store, geometry);
    let config = place.join("config.json");
    store.make_raw(&place, progress, &|| config.is_file(), |folder| {
        synthetic::generate(geometry, SYNTHETIC_SEED, folder, progress)?;
        Ok(())
    })?;
    Ok(place)
}

/// The files of a checkpoint folder that make it what it is, sorted.
fn checkpoint_files(folder: &Path) -> Result<Vec<String>> {
    let entries = fs::read_dir(folder).map_err(io_error("read the model folder", folder))?;
    let mut names: Vec<String> = entries
        .flatten()
        .filter(|entry| entry.path().is_file())
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .filter(|name| hub::is_checkpoint_file(name) && !name.ends_with(".gguf"))
        .collect();
    names.sort();
    if !names.iter().any(|name| name == "config.json" || name == CONVERTED) {
        return Err(Error::Refused(format!(
            "{} is no Hugging Face checkpoint: it has no config.json; name the folder that holds it, or a .gguf file",
            folder.display()
        )));
    }
    Ok(names)
}

/// The longest run of plain tokens in a GGUF file's vocabulary, and the id that begins a text.
fn vocabulary_of_gguf(path: &Path) -> Result<((u32, u32), Option<u32>)> {
    const NORMAL: i32 = 1;
    let file = gguf::Gguf::open(path)?;
    let bos = file.metadata.u64("tokenizer.ggml.bos_token_id").and_then(|id| u32::try_from(id).ok());
    let tokens = match file.metadata.get("tokenizer.ggml.tokens") {
        Some(gguf::Value::Array(tokens)) => tokens.len(),
        _ => return Err(Error::Refused(format!("{} holds no tokenizer: it cannot be run", path.display()))),
    };
    let plain: Vec<bool> = match file.metadata.get("tokenizer.ggml.token_type") {
        Some(gguf::Value::Array(gguf::Array::I32(types))) => types.iter().map(|kind| *kind == NORMAL).collect(),
        _ => vec![true; tokens],
    };
    let longest = longest_run(&plain);
    if longest.0 == longest.1 {
        return Err(Error::Refused(format!("{} has no plain tokens in its vocabulary", path.display())));
    }
    Ok((longest, bos))
}

fn longest_run(plain: &[bool]) -> (u32, u32) {
    let (mut best, mut start) = ((0, 0), None);
    for (i, is_plain) in plain.iter().copied().chain([false]).enumerate() {
        match (is_plain, start) {
            (true, None) => start = Some(i),
            (false, Some(from)) => {
                if i - from > best.1 - best.0 {
                    best = (from, i);
                }
                start = None;
            }
            _ => (),
        }
    }
    (best.0 as u32, best.1 as u32)
}

/// The same for a checkpoint folder, from its tokenizer.json and configuration.
fn vocabulary_of_folder(folder: &Path) -> Result<((u32, u32), Option<u32>)> {
    let read = |name: &str| -> Result<Option<Value>> {
        let path = folder.join(name);
        match fs::read(&path) {
            Ok(text) => serde_json::from_slice(&text)
                .map(Some)
                .map_err(|error| Error::Refused(format!("{}: damaged: {error}", path.display()))),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(io_error("read", &path)(error)),
        }
    };
    let config = match read("config.json")? {
        Some(config) => config,
        None => read(CONVERTED)?.unwrap_or_default(),
    };
    let bos = match &config["bos_token_id"] {
        Value::Array(ids) => ids.first().and_then(Value::as_u64),
        id => id.as_u64(),
    };
    let limit = config["vocab_size"].as_u64().unwrap_or(u64::from(u32::MAX)) as usize;
    let Some(tokenizer) = read("tokenizer.json")? else {
        if folder.join("tokenizer.model").is_file() {
            // SentencePiece: unknown, control and 256 byte tokens come first.
            return Ok(((259, limit.max(260) as u32), bos.and_then(|id| u32::try_from(id).ok())));
        }
        return Err(Error::Refused(format!(
            "{} has no tokenizer: neither tokenizer.json nor tokenizer.model; copy it from the original checkpoint",
            folder.display()
        )));
    };
    let mut plain = Vec::new();
    let mut mark = |id: Option<u64>, value: bool| {
        let Some(id) = id.and_then(|id| usize::try_from(id).ok()).filter(|id| *id < limit.min(10_000_000)) else {
            return;
        };
        if plain.len() <= id {
            plain.resize(id + 1, false);
        }
        plain[id] = value;
    };
    match &tokenizer["model"]["vocab"] {
        Value::Object(vocab) => vocab.values().for_each(|id| mark(id.as_u64(), true)),
        Value::Array(pieces) => (0..pieces.len()).for_each(|id| mark(Some(id as u64), true)),
        _ => return Err(Error::Refused(format!("{}: tokenizer.json has no vocabulary", folder.display()))),
    }
    tokenizer["added_tokens"].as_array().into_iter().flatten().for_each(|token| mark(token["id"].as_u64(), false));
    let longest = longest_run(&plain);
    if longest.0 == longest.1 {
        return Err(Error::Refused(format!("{}: tokenizer.json has no plain tokens", folder.display())));
    }
    Ok((longest, bos.and_then(|id| u32::try_from(id).ok())))
}

#[cfg(test)]
mod tests {
    use super::longest_run;

    #[test]
    fn the_longest_run_of_plain_tokens() {
        assert_eq!(longest_run(&[false, true, false, true, true, true, false]), (3, 6));
        assert_eq!(longest_run(&[true, true]), (0, 2));
        assert_eq!(longest_run(&[false]), (0, 0));
    }
}
