//! Addresses: of the hub, of what it holds, of where it redirects to. No connections are made here.

use ureq::http::Uri;

use super::error::{Error, Result};
use super::name::Repo;

/// Scheme, host and port: what a token may be sent to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Origin {
    scheme: String,
    host: String,
    port: u16,
}

impl Origin {
    /// None for anything but http and https with a host.
    pub(super) fn of(uri: &Uri) -> Option<Self> {
        let scheme = uri.scheme_str()?.to_ascii_lowercase();
        let default = match scheme.as_str() {
            "https" => 443,
            "http" => 80,
            _ => return None,
        };
        let host = uri.host().filter(|h| !h.is_empty())?.to_ascii_lowercase();
        Some(Self { scheme, host, port: uri.port_u16().unwrap_or(default) })
    }

    pub(super) fn is_https(&self) -> bool {
        self.scheme == "https"
    }
}

/// Checks the hub's address and takes its origin.
pub(super) fn check_endpoint(endpoint: &str) -> Result<Origin> {
    let refuse = |why: &str| Error::Setting { setting: "HF_ENDPOINT", why: why.to_owned() };
    if endpoint.contains('@') {
        return Err(refuse("a user name or password in the address is not supported; set HF_TOKEN instead"));
    }
    let bad = || refuse(&format!("{endpoint:?} is not an address such as https://huggingface.co"));
    if endpoint.contains(['?', '#']) || endpoint.ends_with('/') {
        return Err(bad());
    }
    let uri: Uri = endpoint.parse().map_err(|_| bad())?;
    Origin::of(&uri).ok_or_else(bad)
}

/// Where the hub lists a revision with sizes and hashes.
pub(super) fn listing(endpoint: &str, repo: &Repo) -> String {
    format!("{endpoint}/api/models/{}/revision/{}?blobs=true", repo.id(), encode(repo.revision(), false))
}

/// Where the hub has one file of a commit.
pub(super) fn file(endpoint: &str, repo: &Repo, commit: &str, name: &str) -> String {
    format!("{endpoint}/{}/resolve/{commit}/{}", repo.id(), encode(name, true))
}

/// Percent-encodes all but the unreserved characters of RFC 3986, and the slash if it separates.
fn encode(text: &str, slash_separates: bool) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        let plain = byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) || (slash_separates && byte == b'/');
        if plain {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

/// The target of a `Location` header (RFC 3986, section 5.2, without dot segments, which servers do not send).
pub(super) fn join(base: &Uri, location: &str) -> Option<Uri> {
    let location = location.split('#').next().unwrap_or_default().trim();
    let lower = location.get(..8).unwrap_or(location).to_ascii_lowercase();
    if lower.starts_with("http://") || lower.starts_with("https://") {
        return location.parse().ok();
    }
    let (scheme, authority) = (base.scheme_str()?, base.authority()?);
    let joined = if location.starts_with("//") {
        format!("{scheme}:{location}")
    } else if location.starts_with('/') {
        format!("{scheme}://{authority}{location}")
    } else if location.starts_with('?') {
        format!("{scheme}://{authority}{}{location}", base.path())
    } else if location.is_empty() || location.split('/').next().unwrap_or_default().contains(':') {
        return None;
    } else {
        let folder = base.path().rsplit_once('/').map_or("", |(folder, _)| folder);
        format!("{scheme}://{authority}{folder}/{location}")
    };
    joined.parse().ok()
}

/// An address for a message: without user, query and fragment, which may be keys.
pub(super) fn shown(uri: &Uri) -> String {
    let port = uri.port_u16().map(|p| format!(":{p}")).unwrap_or_default();
    format!("{}://{}{port}{}", uri.scheme_str().unwrap_or("?"), uri.host().unwrap_or("?"), uri.path())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn uri(text: &str) -> Uri {
        text.parse().unwrap()
    }

    #[test]
    fn redirects_are_joined() {
        let base = uri("https://hub:8080/a/b/c?x=1");
        let join = |location| join(&base, location).map(|u| u.to_string());
        assert_eq!(join("https://cdn/x?sig=1#f").as_deref(), Some("https://cdn/x?sig=1"));
        assert_eq!(join("//cdn/x").as_deref(), Some("https://cdn/x"));
        assert_eq!(join("/r/s?t").as_deref(), Some("https://hub:8080/r/s?t"));
        assert_eq!(join("d/e").as_deref(), Some("https://hub:8080/a/b/d/e"));
        assert_eq!(join("?y=2").as_deref(), Some("https://hub:8080/a/b/c?y=2"));
        assert_eq!(join("ftp://x/y"), None);
        assert_eq!(join("file:/etc/passwd"), None);
        assert_eq!(join(""), None);
    }

    #[test]
    fn an_origin_is_scheme_host_and_port() {
        let of = |text: &str| Origin::of(&uri(text));
        assert_eq!(of("https://Hub/x"), of("https://hub:443/y"));
        assert_ne!(of("https://hub/"), of("http://hub/"));
        assert_ne!(of("http://hub/"), of("http://hub:81/"));
        assert_ne!(of("https://hub/"), of("https://hub.evil/"));
        assert_ne!(of("https://hub/"), of("https://hub@evil/"));
        assert_eq!(of("ftp://hub/"), None);
    }

    #[test]
    fn endpoints_are_checked_without_showing_passwords() {
        assert!(check_endpoint("https://huggingface.co").is_ok());
        assert!(check_endpoint("http://127.0.0.1:9/mirror").is_ok());
        for bad in ["", "huggingface.co", "ftp://x", "https://", "https://x?y", "https://x/"] {
            let error = check_endpoint(bad).unwrap_err().to_string();
            assert!(error.contains("HF_ENDPOINT"), "{error}");
        }
        let error = check_endpoint("https://user:geheim@hub").unwrap_err().to_string();
        assert!(!error.contains("geheim"), "{error}");
    }

    #[test]
    fn names_are_encoded() {
        let repo = Repo::parse("o/n@refs/pr/1").unwrap();
        assert_eq!(listing("http://h", &repo), "http://h/api/models/o/n/revision/refs%2Fpr%2F1?blobs=true");
        assert_eq!(
            file("http://h", &repo, "c0", "a b/größe?.md"),
            "http://h/o/n/resolve/c0/a%20b/gr%C3%B6%C3%9Fe%3F.md"
        );
        assert_eq!(shown(&uri("https://u:p@cdn:1/x/y?Signature=s")), "https://cdn:1/x/y");
    }
}
