//! The hash that the hub promises for a file, and the hashes of what came.

use std::fmt::Write as _;
use std::path::Path;

use sha2::{Digest as _, Sha256};

use super::error::{Error, Result};
use super::name::is_hex;
use super::sha1::Sha1;

/// What the hub promises about the content. Its text is also the file's name among the cache's blobs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Promise {
    /// SHA-256 of the content: files in large-file storage.
    Sha256(String),
    /// SHA-1 of `blob {length}\0` and the content: files that git itself stores.
    GitBlob(String),
    /// An etag of another kind: only the length can be checked.
    Opaque(String),
}

impl Promise {
    /// From an `ETag` header: quotes and the mark of a weak one are taken off. None if it cannot name a file.
    pub(super) fn from_etag(etag: &str) -> Option<Self> {
        let etag = etag.trim();
        let etag = etag.strip_prefix("W/").unwrap_or(etag).trim_matches('"');
        let lower = || etag.to_ascii_lowercase();
        if is_hex(etag, 64) {
            return Some(Self::Sha256(lower()));
        }
        if is_hex(etag, 40) {
            return Some(Self::GitBlob(lower()));
        }
        let safe = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        let usable = (1..=128).contains(&etag.len()) && etag.chars().all(safe) && !etag.starts_with('.');
        (usable && !etag.ends_with(".incomplete")).then(|| Self::Opaque(etag.to_owned()))
    }

    /// The etag without quotes.
    pub(super) fn etag(&self) -> &str {
        match self {
            Self::Sha256(text) | Self::GitBlob(text) | Self::Opaque(text) => text,
        }
    }

    /// For an error: the kind and the hash.
    pub(super) fn describe(&self) -> String {
        match self {
            Self::Sha256(text) => format!("sha256 {text}"),
            Self::GitBlob(text) => format!("git blob sha1 {text}"),
            Self::Opaque(text) => format!("etag {text}"),
        }
    }
}

/// The running hashes of a file's content.
pub(super) struct Sums {
    sha256: Sha256,
    git: Option<Sha1>,
}

/// The hashes of a whole file.
pub(super) struct Sum {
    /// SHA-256 in lower-case hex.
    pub(super) sha256: String,
    /// Git's name for the content, where it was asked for.
    git: Option<String>,
}

impl Sums {
    /// For a file of `size` bytes, of which `promise` is known.
    pub(super) fn new(promise: &Promise, size: u64) -> Self {
        let git = matches!(promise, Promise::GitBlob(_)).then(|| {
            let mut git = Sha1::new();
            git.update(format!("blob {size}\0").as_bytes());
            git
        });
        Self { sha256: Sha256::new(), git }
    }

    pub(super) fn update(&mut self, data: &[u8]) {
        self.sha256.update(data);
        if let Some(git) = &mut self.git {
            git.update(data);
        }
    }

    pub(super) fn finish(self) -> Sum {
        Sum { sha256: hex(self.sha256.finalize().as_slice()), git: self.git.map(|g| hex(&g.finish())) }
    }
}

impl Sum {
    /// None if `promise` is kept, else the hash that came instead, with its kind.
    pub(super) fn breaks(&self, promise: &Promise) -> Option<String> {
        let (wanted, kind, got) = match promise {
            Promise::Sha256(wanted) => (wanted, "sha256", &self.sha256),
            Promise::GitBlob(wanted) => (wanted, "git blob sha1", self.git.as_ref()?),
            Promise::Opaque(_) => return None,
        };
        (wanted != got).then(|| format!("{kind} {got}"))
    }
}

/// Files up to this length are hashed where the hub tells no SHA-256; longer ones are left to whoever needs it.
const SMALL: u64 = 64 * 1024 * 1024;

/// SHA-256 of a file of `bytes` bytes, in lower-case hex, if that takes no time to speak of.
pub(super) fn sha256_if_small(path: &Path, bytes: u64) -> Result<Option<String>> {
    if bytes > SMALL {
        return Ok(None);
    }
    let content = std::fs::read(path).map_err(Error::io("reading", path))?;
    Ok(Some(hex(Sha256::digest(&content).as_slice())))
}

/// Lower-case hexadecimal.
pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const HELLO_SHA256: &str = "5891b5b522d5df086d0ff0b110fbd9d21bb4fc7163af34d08286a2e846f6be03";
    const HELLO_GIT: &str = "ce013625030ba8dba906f756967f9e9ca394464a";

    #[test]
    fn both_kinds_of_promise_are_checked() {
        let content = b"hello\n";
        for etag in [HELLO_SHA256, HELLO_GIT] {
            let promise = Promise::from_etag(&format!("\"{}\"", etag.to_uppercase())).unwrap();
            let mut sums = Sums::new(&promise, content.len() as u64);
            sums.update(&content[..2]);
            sums.update(&content[2..]);
            let sum = sums.finish();
            assert_eq!(sum.sha256, HELLO_SHA256);
            assert_eq!(sum.breaks(&promise), None);

            let mut wrong = Sums::new(&promise, content.len() as u64);
            wrong.update(b"hellO\n");
            assert!(wrong.finish().breaks(&promise).is_some());
        }
    }

    #[test]
    fn an_etag_must_be_able_to_name_a_file() {
        assert_eq!(Promise::from_etag("W/\"abc-1\""), Some(Promise::Opaque("abc-1".into())));
        for bad in ["", "\"\"", "../x", "a/b", ".x", "a b", "x.incomplete", "ä"] {
            assert_eq!(Promise::from_etag(bad), None, "{bad:?}");
        }
    }
}
