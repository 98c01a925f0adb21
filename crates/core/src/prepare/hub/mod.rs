//! A small client of the Hugging Face Hub: a repository's name -> a folder with its files, each checked against the hash
//! that the hub promises. It reads and writes the cache of `huggingface_hub`. What is in the files is left to others.
//!
//! Why not the `hf-hub` crate: version 1.0 is asynchronous over `tokio` and `reqwest` and brings `hf-xet` along; its
//! downloads over HTTP begin a broken file anew (`File::create` on the partial file) and rename it into place without
//! hashing it. This one needs `ureq` alone.
//!
//! - `settings`: where, who, how patient. `name`: what may become a path. `address`: what may become a request.
//! - `client`: one request and its redirects; `refusal`: what a status means; `retry`: when to come back.
//! - `listing`: what a revision holds. `download`: one file. `cache`: where it lies. `offline`: what is there already.
//! - `sums`: the hashes. Files in large-file storage are checked by SHA-256, the others by git's own SHA-1 of a blob, on
//!   download; a file that the cache has under that name with the right length is trusted, as every user of that cache does.

mod address;
mod cache;
mod client;
mod download;
mod error;
mod listing;
mod name;
mod offline;
mod refusal;
mod retry;
mod settings;
mod sha1;
mod sums;

use std::path::PathBuf;

pub use error::{Error, Result};
pub use name::{Repo, check_file_name, is_checkpoint_file};
pub use settings::{DEFAULT_ENDPOINT, Retry, Settings, Token};

use crate::progress::Progress;
use cache::{Found, RepoCache};
use client::{Ask, Client, Failure, Subject};
use listing::Listed;
use sums::Promise;

/// A hub, ready to be asked.
pub struct Hub {
    settings: Settings,
}

/// A revision of a repository on this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snapshot {
    /// The folder with the files, or links to them, under their names.
    pub folder: PathBuf,
    /// The commit, 40 hexadecimal digits.
    pub revision: String,
    /// The files that were wanted, by name.
    pub files: Vec<SnapshotFile>,
}

/// A file of a snapshot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SnapshotFile {
    /// Its name inside the repository.
    pub name: String,
    /// Its length.
    pub bytes: u64,
    /// SHA-256 of its content in lower-case hex: as checked on download or told by the hub. None for a file of more than
    /// 64 MiB that was already there and of which the hub tells no SHA-256.
    pub sha256: Option<String>,
}

/// A wanted file with all that is needed to get and check it.
struct Chosen {
    name: String,
    size: u64,
    promise: Promise,
}

impl Hub {
    /// A hub with these settings. Nothing is asked yet.
    ///
    /// # Errors
    /// [`Error::Setting`] for an endpoint that is no address.
    pub fn new(settings: Settings) -> Result<Self> {
        address::check_endpoint(&settings.endpoint)?;
        Ok(Self { settings })
    }

    /// The hub of [`Settings::from_env`].
    ///
    /// # Errors
    /// [`Error::Setting`] names the variable that cannot be used.
    pub fn from_env() -> Result<Self> {
        Self::new(Settings::from_env()?)
    }

    /// The settings in use.
    #[must_use]
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Where the cache has the revision, whole or not; asks nobody.
    #[must_use]
    pub fn cached_folder(&self, repo: &Repo) -> Option<PathBuf> {
        let cache = RepoCache::new(&self.settings.cache, repo);
        let commit = cache.commit(repo.revision()).ok().flatten()?;
        Some(cache.snapshot(&commit)).filter(|folder| folder.is_dir())
    }

    /// Brings the files of `repo` that `wanted` asks for into the cache; those already there are not sent again. Only
    /// safetensors, GGUF, and text, JSON and tokenizer files are ever taken. Offline, or with the hub out of reach, what
    /// the cache holds is used if it is complete.
    ///
    /// # Errors
    /// Any of [`Error`]; what has arrived by then is kept and gone on with next time.
    pub fn snapshot(&self, repo: &Repo, wanted: &dyn Fn(&str) -> bool, progress: &dyn Progress) -> Result<Snapshot> {
        let cache = RepoCache::new(&self.settings.cache, repo);
        if self.settings.offline {
            return offline::snapshot(&cache, repo, wanted);
        }
        let client = Client::new(&self.settings)?;
        let listing = match listing::fetch(&client, repo, &|text| progress.note(text)) {
            Ok(listing) => listing,
            Err(error) if error.is_network() => {
                let snapshot = offline::snapshot(&cache, repo, wanted).map_err(|why| error.with_cache_note(&why))?;
                progress.warn(&format!(
                    "the hub is out of reach; using {repo} from the cache (commit {})",
                    snapshot.revision
                ));
                return Ok(snapshot);
            }
            Err(error) => return Err(error),
        };
        let commit = listing.commit.as_str();
        let count = listing.files.len();
        let chosen = choose(&client, repo, commit, &listing.files, wanted)?;
        if chosen.is_empty() {
            return Err(Error::NothingWanted { repo: repo.id().to_owned(), commit: commit.to_owned(), files: count });
        }
        self.check_space(&cache, commit, &chosen)?;
        let bring = |file| bring(&client, &cache, repo, commit, file, progress);
        let files = chosen.into_iter().map(bring).collect::<Result<_>>()?;
        cache.remember(repo.revision(), commit)?;
        Ok(Snapshot { folder: cache.snapshot(commit), revision: commit.to_owned(), files })
    }

    /// Space for all that is missing, before the first byte is asked for.
    fn check_space(&self, cache: &RepoCache, commit: &str, chosen: &[Chosen]) -> Result<()> {
        let missing = chosen
            .iter()
            .filter(|file| cache.find(commit, &file.name, &file.promise, file.size).is_none())
            .map(|file| file.size.saturating_sub(cache.arrived(&file.promise)))
            .fold(0, u64::saturating_add);
        Ok(crate::disk::require(&self.settings.cache, missing)?)
    }
}

/// The wanted files of harmless kinds; what the listing does not tell of them is asked for one by one.
fn choose(
    client: &Client,
    repo: &Repo,
    commit: &str,
    files: &[Listed],
    wanted: &dyn Fn(&str) -> bool,
) -> Result<Vec<Chosen>> {
    files
        .iter()
        .filter(|file| name::is_harmless_kind(&file.name) && wanted(&file.name))
        .map(|file| match (file.size, &file.promise) {
            (Some(size), Some(promise)) => Ok(Chosen { name: file.name.clone(), size, promise: promise.clone() }),
            _ => ask(client, repo, commit, file),
        })
        .collect()
}

/// Asks for the length and hash of one file.
fn ask(client: &Client, repo: &Repo, commit: &str, file: &Listed) -> Result<Chosen> {
    let subject = Subject { repo, file: Some(&file.name) };
    let url = address::file(&client.endpoint, repo, commit, &file.name);
    let mut patience = retry::Patience::new(&client.retry);
    let reply = loop {
        match client.open(&url, Ask::Facts, subject) {
            Ok(reply) => break reply,
            Err(Failure::Final(error)) => return Err(error),
            Err(Failure::Unreachable(why)) => patience.again(&subject, why, None, &|_| {})?,
            Err(Failure::Again { why, asked }) => patience.again(&subject, why, asked, &|_| {})?,
        }
    };
    let size = file.size.or(reply.facts.size).or(if reply.status == 200 { reply.length() } else { None });
    let promise = file.promise.clone().or_else(|| Promise::from_etag(reply.facts.etag.as_deref()?));
    match (size, promise) {
        (Some(size), Some(promise)) => Ok(Chosen { name: file.name.clone(), size, promise }),
        _ => Err(Error::Listing {
            url: reply.url,
            repo: repo.to_string(),
            why: format!("neither the list nor this address tells the length and the etag of {}", file.name),
        }),
    }
}

/// One file: found in the cache or downloaded, and linked into the snapshot.
fn bring(
    client: &Client,
    cache: &RepoCache,
    repo: &Repo,
    commit: &str,
    file: Chosen,
    progress: &dyn Progress,
) -> Result<SnapshotFile> {
    let Chosen { name, size, promise } = file;
    let find = || cache.find(commit, &name, &promise, size);
    let computed = match find() {
        Some(_) => None,
        None => download::Job { client, cache, repo, commit, file: &name, size, promise: &promise }.run(progress)?,
    };
    let path = match find() {
        Some(Found::Copy(path)) => path,
        Some(Found::Blob(path)) => {
            cache.link(commit, &name, &promise)?;
            path
        }
        None => {
            let missing = format!("{name}, which was there a moment ago,");
            return Err(Error::NotCached { repo: repo.to_string(), folder: cache.folder.clone(), missing });
        }
    };
    let sha256 = match (computed, promise) {
        (Some(sha256), _) | (None, Promise::Sha256(sha256)) => Some(sha256),
        (None, _) => sums::sha256_if_small(&path, size)?,
    };
    Ok(SnapshotFile { name, bytes: size, sha256 })
}
