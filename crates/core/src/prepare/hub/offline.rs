//! A snapshot out of the cache alone. Without the hub's listing, what must be there is told by the files themselves: the
//! links, the index of the shards, the configuration.

use std::collections::BTreeMap;
use std::fs;
use std::io::Read;
use std::path::Path;

use serde::Deserialize;

use super::cache::RepoCache;
use super::error::{Error, Result};
use super::name::{self, Repo};
use super::sums::{Promise, sha256_if_small};
use super::{Snapshot, SnapshotFile};

const INDEX: &str = "model.safetensors.index.json";
/// The longest index that is read.
const INDEX_LIMIT: u64 = 64 * 1024 * 1024;
/// How deep folders may lie in a snapshot.
const MAX_DEPTH: usize = 8;

/// The snapshot of `repo` as it lies in the cache.
pub(super) fn snapshot(cache: &RepoCache, repo: &Repo, wanted: &dyn Fn(&str) -> bool) -> Result<Snapshot> {
    let missing =
        |what: String| Error::NotCached { repo: repo.to_string(), folder: cache.folder.clone(), missing: what };
    let commit = cache.commit(repo.revision())?.ok_or_else(|| missing(format!("refs/{}", repo.revision())))?;
    let folder = cache.snapshot(&commit);
    if !folder.is_dir() {
        return Err(missing(format!("snapshots/{commit}")));
    }
    let mut names = Vec::new();
    walk(&folder, "", 0, &mut names)?;
    names.retain(|name| name::check_file_name(name).is_ok() && name::is_harmless_kind(name) && wanted(name));
    names.sort();
    if let Some(what) = first_missing(&folder, &names, wanted)? {
        return Err(missing(what));
    }
    let files = names.into_iter().map(|name| describe(&folder, name)).collect::<Result<_>>()?;
    Ok(Snapshot { folder, revision: commit, files })
}

/// Collects the names of all files below, with slashes.
fn walk(folder: &Path, prefix: &str, depth: usize, names: &mut Vec<String>) -> Result<()> {
    for entry in fs::read_dir(folder).map_err(Error::io("reading the folder", folder))? {
        let entry = entry.map_err(Error::io("reading the folder", folder))?;
        let Ok(name) = entry.file_name().into_string() else { continue };
        let name = format!("{prefix}{name}");
        let kind = entry.file_type().map_err(Error::io("reading", &entry.path()))?;
        if !kind.is_dir() {
            names.push(name);
        } else if depth < MAX_DEPTH {
            walk(&entry.path(), &format!("{name}/"), depth + 1, names)?;
        }
    }
    Ok(())
}

/// The first thing that a checkpoint needs and `names` lacks.
fn first_missing(folder: &Path, names: &[String], wanted: &dyn Fn(&str) -> bool) -> Result<Option<String>> {
    if let Some(broken) = names.iter().find(|name| !folder.join(name).is_file()) {
        return Ok(Some(format!("{broken} (its link leads nowhere)")));
    }
    let has = |name: &str| names.iter().any(|n| n == name);
    if has(INDEX) {
        let Some(shards) = shards(&folder.join(INDEX))? else {
            return Ok(Some(format!("a readable {INDEX}")));
        };
        if let Some(shard) = shards.into_iter().find(|shard| wanted(shard) && !has(shard)) {
            return Ok(Some(shard));
        }
    }
    let has_ending = |ending: &str| names.iter().any(|n| n.ends_with(ending));
    if wanted("model.safetensors") && !has_ending(".safetensors") && !has_ending(".gguf") {
        return Ok(Some("model.safetensors (or any other weights)".to_owned()));
    }
    if wanted("config.json") && has_ending(".safetensors") && !has("config.json") {
        return Ok(Some("config.json".to_owned()));
    }
    Ok(None)
}

#[derive(Deserialize)]
struct Index {
    weight_map: BTreeMap<String, String>,
}

/// The files that an index names, without doubles; None if it cannot be read as one.
fn shards(path: &Path) -> Result<Option<Vec<String>>> {
    let mut text = Vec::new();
    let file = fs::File::open(path).map_err(Error::io("opening", path))?;
    file.take(INDEX_LIMIT).read_to_end(&mut text).map_err(Error::io("reading", path))?;
    let Ok(index) = serde_json::from_slice::<Index>(&text) else { return Ok(None) };
    let mut shards: Vec<String> = index.weight_map.into_values().collect();
    shards.sort();
    shards.dedup();
    Ok(Some(shards))
}

/// Length and hash of a file. The name of the blob behind the link is the hash, where it is one.
fn describe(folder: &Path, name: String) -> Result<SnapshotFile> {
    let path = folder.join(&name);
    let bytes = fs::metadata(&path).map_err(Error::io("reading", &path))?.len();
    let blob = fs::read_link(&path).ok();
    let etag = blob.as_deref().and_then(Path::file_name).and_then(|n| n.to_str());
    let sha256 = match etag.and_then(Promise::from_etag) {
        Some(Promise::Sha256(hash)) => Some(hash),
        _ => sha256_if_small(&path, bytes)?,
    };
    Ok(SnapshotFile { name, bytes, sha256 })
}
