//! The list of a revision's files, as the hub tells it. What comes is not trusted: it may be cut, or a login page, or name
//! files that would land elsewhere.

use serde::Deserialize;

use super::address;
use super::client::{Ask, Client, Failure, Subject};
use super::error::{Error, Result};
use super::name::{self, Repo};
use super::retry::Patience;
use super::sums::Promise;

/// The longest listing that is read.
const LIMIT: u64 = 64 * 1024 * 1024;

/// A revision, resolved.
#[derive(Debug)]
pub(super) struct Listing {
    /// The commit, 40 hexadecimal digits.
    pub(super) commit: String,
    /// Its files by name, each name checked.
    pub(super) files: Vec<Listed>,
}

/// A file of the listing. Older mirrors tell neither length nor hash.
#[derive(Debug, Clone)]
pub(super) struct Listed {
    pub(super) name: String,
    pub(super) size: Option<u64>,
    pub(super) promise: Option<Promise>,
}

#[derive(Deserialize)]
struct Wire {
    sha: Option<String>,
    siblings: Option<Vec<WireFile>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct WireFile {
    rfilename: String,
    size: Option<u64>,
    blob_id: Option<String>,
    lfs: Option<WireLfs>,
}

#[derive(Deserialize)]
struct WireLfs {
    sha256: Option<String>,
    size: Option<u64>,
}

/// Asks the hub. A refused connection is not tried again: nobody waits for a hub that is not there.
pub(super) fn fetch(client: &Client, repo: &Repo, tell: &dyn Fn(&str)) -> Result<Listing> {
    let subject = Subject { repo, file: None };
    let url = address::listing(&client.endpoint, repo);
    let mut patience = Patience::new(&client.retry);
    loop {
        match once(client, &url, subject) {
            Ok(listing) => return Ok(listing),
            Err(Failure::Final(error)) => return Err(error),
            Err(Failure::Unreachable(why)) => {
                return Err(Error::Unreachable {
                    endpoint: client.endpoint.clone(),
                    repo: repo.to_string(),
                    why,
                    cached: String::new(),
                });
            }
            Err(Failure::Again { why, asked }) => patience.again(&subject, why, asked, tell)?,
        }
    }
}

fn once(client: &Client, url: &str, subject: Subject<'_>) -> std::result::Result<Listing, Failure> {
    let reply = client.open(url, Ask::From(0), subject)?;
    let shown = reply.url.clone();
    let refuse =
        |why: String| Failure::Final(Error::Listing { url: shown.clone(), repo: subject.repo.to_string(), why });
    let body =
        client.read_all(reply, LIMIT)?.ok_or_else(|| refuse("the answer is longer than any listing".to_owned()))?;
    let wire = read(&body).map_err(|why| refuse(client.scrub(&why)))?;
    let listing = check(wire, subject.repo).map_err(Failure::Final)?;
    listing.ok_or_else(|| refuse("the answer holds no commit or no list of files".to_owned()))
}

/// JSON, or what else it looks like.
fn read(body: &[u8]) -> std::result::Result<Wire, String> {
    serde_json::from_slice(body).map_err(|error| {
        let start: String = String::from_utf8_lossy(body).trim_start().chars().take(60).collect();
        if start.starts_with('<') {
            return format!("a web page came instead of JSON (it begins with {start:?})");
        }
        let cut = if error.is_eof() { "the answer is cut" } else { "the answer is not the hub's JSON" };
        format!("{cut} ({error}; {} bytes, beginning with {start:?})", body.len())
    })
}

/// Checks every name before anything else is done with any of them. None if the answer lacks what makes a listing.
fn check(wire: Wire, repo: &Repo) -> Result<Option<Listing>> {
    let (Some(commit), Some(siblings)) = (wire.sha.filter(|sha| name::is_commit(sha)), wire.siblings) else {
        return Ok(None);
    };
    for file in &siblings {
        if let Err(why) = name::check_file_name(&file.rfilename) {
            return Err(Error::FileName { repo: repo.to_string(), name: file.rfilename.clone(), why });
        }
    }
    let mut files: Vec<Listed> = siblings.into_iter().map(Listed::from).collect();
    files.sort_by(|a, b| a.name.cmp(&b.name));
    files.dedup_by(|a, b| a.name == b.name);
    Ok(Some(Listing { commit: commit.to_ascii_lowercase(), files }))
}

impl From<WireFile> for Listed {
    fn from(wire: WireFile) -> Self {
        let kind = |text: &str, len| name::is_hex(text, len).then(|| text.to_ascii_lowercase());
        let (promise, size) = match wire.lfs {
            Some(lfs) => (lfs.sha256.and_then(|t| kind(&t, 64)).map(Promise::Sha256), lfs.size.or(wire.size)),
            None => (wire.blob_id.and_then(|t| kind(&t, 40)).map(Promise::GitBlob), wire.size),
        };
        Self { name: wire.rfilename, size, promise }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::testing::Mutator;

    /// As the hub answers, with much that nobody asks for.
    const LISTING: &[u8] = include_bytes!("../../../tests/corpus/listing/model.json");

    const SHA: &str = "0123456789abcdef0123456789abcdef01234567";

    fn listing(json: &str) -> Result<Option<Listing>> {
        check(read(json.as_bytes()).unwrap(), &Repo::parse("o/n").unwrap())
    }

    #[test]
    fn a_listing_is_read_sorted_and_without_doubles() {
        let hash = "ab".repeat(32);
        let json = format!(
            r#"{{"sha":"{SHA}","gated":"manual","siblings":[
                {{"rfilename":"m.safetensors","size":9,"blobId":"{SHA}","lfs":{{"sha256":"{hash}","size":9,"pointerSize":1}}}},
                {{"rfilename":"config.json","size":2,"blobId":"{SHA}"}},
                {{"rfilename":"config.json"}},
                {{"rfilename":"bare.json"}}]}}"#
        );
        let listing = listing(&json).unwrap().unwrap();
        let names: Vec<&str> = listing.files.iter().map(|f| f.name.as_str()).collect();
        assert_eq!((listing.commit.as_str(), names), (SHA, vec!["bare.json", "config.json", "m.safetensors"]));
        assert_eq!(listing.files[0].promise, None);
        assert_eq!(listing.files[1].promise, Some(Promise::GitBlob(SHA.to_owned())));
        assert_eq!((listing.files[2].promise.clone(), listing.files[2].size), (Some(Promise::Sha256(hash)), Some(9)));
    }

    #[test]
    fn what_is_no_listing_says_so() {
        assert!(listing(r#"{"sha":"../../x","siblings":[]}"#).unwrap().is_none());
        assert!(listing(r#"{"error":"no"}"#).unwrap().is_none());
        let why = |body: &str| read(body.as_bytes()).map(|_| ()).unwrap_err();
        assert!(why("<!DOCTYPE html><html>").contains("a web page came"));
        assert!(why(r#"{"sha":"x","sib"#).contains("the answer is cut"));
        assert!(why("hello").contains("not the hub's JSON"));
    }

    #[test]
    fn one_hostile_name_spoils_the_listing() {
        for name in ["../evil.json", "/etc/x.json", r"a\\b", "C:x", "a//b", r"x\u0000y"] {
            let json =
                format!(r#"{{"sha":"{SHA}","siblings":[{{"rfilename":"config.json"}},{{"rfilename":"{name}"}}]}}"#);
            let error = listing(&json).unwrap_err();
            assert!(matches!(error, Error::FileName { .. }), "{name}: {error}");
        }
    }

    #[test]
    fn no_mutation_of_a_listing_makes_it_panic_or_lets_a_name_out() {
        let repo = Repo::parse("o/n").unwrap();
        assert_eq!(check(read(LISTING).unwrap(), &repo).unwrap().unwrap().files.len(), 6);
        let mut mutator = Mutator::new(0x1571);
        for _ in 0..1000 {
            let Ok(wire) = read(&mutator.mutate(LISTING)) else { continue };
            let Ok(Some(listing)) = check(wire, &repo) else { continue };
            assert!(name::is_commit(&listing.commit), "{}", listing.commit);
            for file in &listing.files {
                assert_eq!(name::check_file_name(&file.name), Ok(()), "{:?}", file.name);
            }
        }
    }
}
