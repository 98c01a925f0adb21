//! What can go wrong between here and the hub. No variant ever holds a token or the query of an address, which on a
//! storage server is a key of its own.

use std::path::PathBuf;

/// What this module returns.
pub type Result<T> = std::result::Result<T, Error>;

/// Why a model could not be had from the hub.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The model's name is not one.
    #[error(
        "the model name {name:?} cannot be used: {why}; write org/name or org/name@revision, as on its page on the hub"
    )]
    RepoName {
        /// What was given.
        name: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// A setting, mostly an environment variable, has no usable value.
    #[error("{setting} cannot be used: {why}")]
    Setting {
        /// The variable or field.
        setting: &'static str,
        /// What is wrong with it, and what it should be. Never the value of a secret.
        why: String,
    },
    /// The hub lists a name that would leave the model's folder, or is no name at all.
    #[error(
        "{repo} lists a file named {name:?}, which {why}: nothing was downloaded; do not use this repository, or tell its owner"
    )]
    FileName {
        /// The repository.
        repo: String,
        /// The name, as it came.
        name: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// No connection could be made.
    #[error(
        "cannot reach the hub at {endpoint} for {repo}: {why}{cached}; check the network, point HF_ENDPOINT at a mirror, or set HF_HUB_OFFLINE=1 to use only what is cached"
    )]
    Unreachable {
        /// The hub's address.
        endpoint: String,
        /// The repository.
        repo: String,
        /// What the system said.
        why: String,
        /// Why the cache could not stand in, or nothing.
        cached: String,
    },
    /// The hub answered, but not usefully, and went on like that.
    #[error(
        "gave up on {what} after {attempts} attempts without progress: {why}{cached}; what has arrived is kept, so run the same command again to go on"
    )]
    GaveUp {
        /// File or listing, and repository.
        what: String,
        /// How many attempts in a row failed.
        attempts: u32,
        /// What the last of them said.
        why: String,
        /// Why the cache could not stand in, or nothing.
        cached: String,
    },
    /// Access refused, and no token was sent.
    #[error(
        "{repo} is gated or private (or does not exist), and no token was sent (HTTP {status}{says}): accept the licence at {page}, create a token in the settings of your account there, and set HF_TOKEN"
    )]
    NoToken {
        /// The repository.
        repo: String,
        /// Its page.
        page: String,
        /// The HTTP status.
        status: u16,
        /// What the hub said about it.
        says: String,
    },
    /// The hub does not know the token that was sent.
    #[error(
        "the hub did not accept the token from {token_from} for {repo} (HTTP {status}{says}): it is mistyped, expired or revoked; create a new one and set HF_TOKEN, or remove it if {repo} is public (a gated one also needs its licence accepted at {page})"
    )]
    BadToken {
        /// The repository.
        repo: String,
        /// Its page.
        page: String,
        /// Where the token came from; never the token.
        token_from: String,
        /// The HTTP status, and what the hub said about it.
        status: u16,
        /// What the hub said about it.
        says: String,
    },
    /// The token is good, but not for this repository.
    #[error(
        "the token from {token_from} has no access to {repo}, which is gated or private (HTTP {status}{says}): accept the licence at {page} with the account of that token (a fine-grained token also needs the right to read gated repositories), or set HF_TOKEN to another token"
    )]
    NotGranted {
        /// The repository.
        repo: String,
        /// Its page.
        page: String,
        /// Where the token came from; never the token.
        token_from: String,
        /// The HTTP status.
        status: u16,
        /// What the hub said about it.
        says: String,
    },
    /// There is no such thing.
    #[error(
        "the hub at {endpoint} has no {what} (HTTP 404{says}); check the spelling, and if it is private, that HF_TOKEN is set"
    )]
    NotFound {
        /// The hub's address.
        endpoint: String,
        /// Repository, revision or file.
        what: String,
        /// What the hub said about it.
        says: String,
    },
    /// Any other status.
    #[error(
        "{url} answered with HTTP {status}{says} when asked for {what}; if HF_ENDPOINT is set, check that it is a hub"
    )]
    Status {
        /// The address, without its query.
        url: String,
        /// What was asked for.
        what: String,
        /// The HTTP status.
        status: u16,
        /// What the server said about it.
        says: String,
    },
    /// A redirect that is not followed.
    #[error("{url} redirects in a way that is not followed: {why}")]
    Redirect {
        /// The address that redirects, without its query.
        url: String,
        /// What is wrong with it.
        why: String,
    },
    /// Something that is not a hub answered, or its answer is cut.
    #[error(
        "{url} should list the files of {repo}, but {why}; a login page of the network or a wrong HF_ENDPOINT does this"
    )]
    Listing {
        /// The address, without its query.
        url: String,
        /// The repository.
        repo: String,
        /// What came instead.
        why: String,
    },
    /// The listing has nothing that the caller wants.
    #[error(
        "{repo} at commit {commit} holds no file that can be used: no safetensors, GGUF or tokenizer among its {files} files; choose another repository"
    )]
    NothingWanted {
        /// The repository.
        repo: String,
        /// The commit.
        commit: String,
        /// How many files the repository has.
        files: usize,
    },
    /// The server announces another length than the listing.
    #[error(
        "{file} of {repo} should have {expected} bytes, but the server sends {got}; a login page or a proxy may stand between: check the network, then try again"
    )]
    WrongSize {
        /// The file.
        file: String,
        /// The repository.
        repo: String,
        /// Bytes in the listing.
        expected: u64,
        /// Bytes, and their kind, in the answer.
        got: String,
    },
    /// The content is not what the hub promised, twice.
    #[error(
        "{file} of {repo} is damaged: expected {expected}, got {got}; the partial file was deleted, so try again, or from another network or mirror (HF_ENDPOINT)"
    )]
    WrongHash {
        /// The file.
        file: String,
        /// The repository.
        repo: String,
        /// The promised hash, with its kind.
        expected: String,
        /// The hash of what came.
        got: String,
    },
    /// The cache lacks something, and the network may not be used.
    #[error(
        "{repo} is not complete in the cache at {folder}: {missing} is missing; download it once without HF_HUB_OFFLINE, or point HF_HUB_CACHE at a cache that has it"
    )]
    NotCached {
        /// The repository.
        repo: String,
        /// The folder looked into.
        folder: PathBuf,
        /// The first thing that is missing.
        missing: String,
    },
    /// The cache's folder does not do what it should.
    #[error("{doing} {path}: {why}; check the permissions and the disk, or choose another cache with HF_HOME")]
    Io {
        /// What was being done, as in "writing".
        doing: &'static str,
        /// To which file.
        path: PathBuf,
        /// What the system said.
        why: std::io::Error,
    },
    /// Not enough disk space.
    #[error(transparent)]
    Disk(#[from] crate::disk::Error),
}

impl Error {
    /// True where a complete copy in the cache can stand in for the hub.
    pub(super) fn is_network(&self) -> bool {
        matches!(self, Self::Unreachable { .. } | Self::GaveUp { .. })
    }

    /// The same error with a word on why the cache cannot stand in.
    pub(super) fn with_cache_note(mut self, note: &Error) -> Self {
        if let (Self::Unreachable { cached, .. } | Self::GaveUp { cached, .. }, Self::NotCached { missing, .. }) =
            (&mut self, note)
        {
            *cached = format!(" (and the cache cannot stand in: {missing} is missing)");
        }
        self
    }

    /// For `map_err` on the file system's errors.
    pub(super) fn io(doing: &'static str, path: &std::path::Path) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.to_path_buf();
        move |why| Self::Io { doing, path, why }
    }
}
