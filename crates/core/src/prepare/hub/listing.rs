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
        let failure = match client.open(&url, Ask::From(0), subject).and_then(|reply| {
            let shown = reply.url.clone();
            Ok((shown, client.read_all(reply, LIMIT)?))
        }) {
            Ok((shown, body)) => {
                let refuse = |why| Error::Listing { url: shown, repo: repo.to_string(), why };
                let body = body.ok_or_else(|| refuse("the answer is longer than any listing".to_owned()));
                return body.and_then(|body| parse(&body, repo, |text| client.scrub(text)).map_err(|e| e.at(repo, &url_of(client, repo))));
            }
            Err(failure) => failure,
        };
        match failure {
            Failure::Final(error) => return Err(error),
            Failure::Unreachable(why) => {
                return Err(Error::Unreachable { endpoint: client.endpoint.clone(), repo: repo.to_string(), why, cached: String::new() });
            }
            Failure::Again { why, asked } => patience.again(&subject, why, asked, tell)?,
        }
    }
}
