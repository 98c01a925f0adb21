//! What an HTTP status means here, and the words for those that refuse. The codes in `X-Error-Code` are the hub's own
//! (`huggingface_hub`, `utils/_http.py`).

use std::time::Duration;

use super::client::{Client, Failure, Reply, Subject};
use super::error::Error;

/// Passes on a usable answer; says of any other whether to come back, or why not.
pub(super) fn sort(client: &Client, reply: Reply, home: bool, subject: Subject<'_>) -> Result<Reply, Failure> {
    let status = reply.status;
    match status {
        200 | 206 | 416 => return Ok(reply),
        408 | 425 | 429 | 500..=599 => {}
        // A storage server that refuses saw a link that ran out; the hub makes a new one.
        _ if !home => {}
        _ => return Err(Failure::Final(refused(client, &reply, subject))),
    }
    let asked = reply.header("retry-after").and_then(|s| s.parse().ok()).map(Duration::from_secs);
    let why = format!("{} answered with HTTP {status}{}", reply.url, says(client, &reply));
    Err(Failure::Again { why, asked })
}

/// `: what the server says`, or nothing.
fn says(client: &Client, reply: &Reply) -> String {
    let text = reply.header("x-error-message").map(|t| client.scrub(&t)).unwrap_or_default();
    if text.is_empty() { text } else { format!(": {text}") }
}

fn refused(client: &Client, reply: &Reply, subject: Subject<'_>) -> Error {
    let (status, says) = (reply.status, says(client, reply));
    let repo = subject.repo.id().to_owned();
    let page = format!("{}/{repo}", client.endpoint);
    let code = reply.header("x-error-code").unwrap_or_default();
    match (status, &client.token) {
        (401 | 403, None) => Error::NoToken { repo, page, status, says },
        (401, Some(token)) if code != "GatedRepo" => {
            Error::BadToken { repo, page, token_from: token.origin().to_owned(), status, says }
        }
        (401 | 403, Some(token)) => {
            Error::NotGranted { repo, page, token_from: token.origin().to_owned(), status, says }
        }
        (404, _) => Error::NotFound { endpoint: client.endpoint.clone(), what: missing(&code, subject), says },
        _ => Error::Status { url: reply.url.clone(), what: subject.to_string(), status, says },
    }
}

/// What a 404 says does not exist.
fn missing(code: &str, subject: Subject<'_>) -> String {
    let (id, revision) = (subject.repo.id(), subject.repo.revision());
    match (code, subject.file) {
        ("RepoNotFound", _) => format!("repository {id}"),
        ("RevisionNotFound", _) => format!("revision {revision} of {id}"),
        (_, Some(file)) => format!("file {file} in {id}@{revision}"),
        (_, None) => format!("repository {id} with a revision {revision}"),
    }
}
