//! One request to the hub and the redirects behind it: who gets the token, which answer is worth another try. What the
//! bytes mean is left to `listing` and `download`.

use std::fmt;
use std::io::Read;
use std::path::Path;
use std::time::Duration;

use ureq::http::{HeaderMap, HeaderValue, Uri, header};
use ureq::tls::{PemItem, RootCerts, TlsConfig, parse_pem};

use super::address::{self, Origin};
use super::error::{Error, Result};
use super::name::Repo;
use super::refusal;
use super::settings::{Retry, Settings, Token};

/// How many redirects are followed for one file.
const MAX_REDIRECTS: usize = 10;
/// No connection, or no byte on one, for this long is a failure.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(20);
const SILENCE_TIMEOUT: Duration = Duration::from_secs(60);

/// A connection to one hub with one token.
pub(super) struct Client {
    agent: ureq::Agent,
    /// The hub's address without a slash at its end.
    pub(super) endpoint: String,
    origin: Origin,
    bearer: Option<HeaderValue>,
    /// For messages and to keep it out of them.
    pub(super) token: Option<Token>,
    pub(super) retry: Retry,
}

/// What is asked for, as messages name it.
#[derive(Clone, Copy)]
pub(super) struct Subject<'a> {
    pub(super) repo: &'a Repo,
    pub(super) file: Option<&'a str>,
}

impl fmt::Display for Subject<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.file {
            Some(file) => write!(f, "{file} of {}", self.repo),
            None => write!(f, "the list of files of {}", self.repo),
        }
    }
}

/// Why one attempt brought nothing.
pub(super) enum Failure {
    /// No connection could be made.
    Unreachable(String),
    /// The connection broke, or the server is busy; it may say for how long.
    Again { why: String, asked: Option<Duration> },
    /// Another attempt would end the same way.
    Final(Error),
}

/// What the hub itself says about a file, beside the content.
#[derive(Debug, Default, Clone)]
pub(super) struct Facts {
    /// `X-Repo-Commit`.
    pub(super) commit: Option<String>,
    /// `X-Linked-Etag`, else `ETag`, as sent.
    pub(super) etag: Option<String>,
    /// `X-Linked-Size`.
    pub(super) size: Option<u64>,
    linked: bool,
}

impl Facts {
    /// Adds what one answer of the hub says; the first that speaks of the file behind a link wins.
    fn learn(&mut self, headers: &HeaderMap) {
        self.commit = self.commit.take().or_else(|| text(headers, "x-repo-commit"));
        self.size = self.size.or_else(|| text(headers, "x-linked-size")?.parse().ok());
        if self.linked {
            return;
        }
        match text(headers, "x-linked-etag") {
            Some(etag) => (self.etag, self.linked) = (Some(etag), true),
            None => self.etag = text(headers, "etag").or(self.etag.take()),
        }
    }
}

/// The last answer of a chain of redirects.
pub(super) struct Reply {
    pub(super) status: u16,
    pub(super) headers: HeaderMap,
    pub(super) facts: Facts,
    /// The address that answered, as messages show it.
    pub(super) url: String,
    pub(super) body: ureq::Body,
}

impl Reply {
    /// A header's text, if it is text.
    pub(super) fn header(&self, name: &str) -> Option<String> {
        text(&self.headers, name)
    }

    /// `Content-Length`.
    pub(super) fn length(&self) -> Option<u64> {
        self.header("content-length")?.parse().ok()
    }
}

fn text(headers: &HeaderMap, name: &str) -> Option<String> {
    Some(headers.get(name)?.to_str().ok()?.trim().to_owned())
}

/// What to do with the content.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ask {
    /// Send it, from this byte on.
    From(u64),
    /// Only say what it would be; a link to another host is not followed.
    Facts,
}

impl Client {
    pub(super) fn new(settings: &Settings) -> Result<Self> {
        let origin = address::check_endpoint(&settings.endpoint)?;
        let mut config = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .user_agent(concat!("tokometer/", env!("CARGO_PKG_VERSION")))
            .proxy(settings.proxy_from_env.then(ureq::Proxy::try_from_env).flatten())
            .timeout_connect(Some(CONNECT_TIMEOUT))
            .timeout_recv_response(Some(SILENCE_TIMEOUT))
            .timeout_per_read(Some(SILENCE_TIMEOUT));
        if let Some(path) = &settings.ca_bundle {
            config = config.tls_config(TlsConfig::builder().root_certs(certificates(path)?).build());
        }
        let bearer = settings.token.as_ref().map(bearer).transpose()?;
        Ok(Self {
            agent: config.build().into(),
            endpoint: settings.endpoint.clone(),
            origin,
            bearer,
            token: settings.token.clone(),
            retry: settings.retry.clone(),
        })
    }

    /// One attempt: asks, follows redirects, and sorts what comes of it.
    pub(super) fn open(&self, url: &str, ask: Ask, subject: Subject<'_>) -> std::result::Result<Reply, Failure> {
        let redirect =
            |uri: &Uri, why: &str| Failure::Final(Error::Redirect { url: address::shown(uri), why: why.to_owned() });
        let mut uri: Uri = url.parse().map_err(|_| {
            Failure::Final(Error::Setting {
                setting: "HF_ENDPOINT",
                why: "it does not form an address with the names of this repository".into(),
            })
        })?;
        let mut facts = Facts::default();
        for _ in 0..=MAX_REDIRECTS {
            let origin = Origin::of(&uri).ok_or_else(|| redirect(&uri, "it is no http or https address"))?;
            if self.origin.is_https() && !origin.is_https() {
                return Err(redirect(&uri, "the hub speaks https, and this address does not"));
            }
            let home = origin == self.origin;
            if !home && ask == Ask::Facts {
                return Err(redirect(&uri, "the hub says nothing of this file before it links elsewhere"));
            }
            let response = self.send(&uri, home, ask).map_err(|e| self.sort(&e, &uri))?;
            let (parts, body) = response.into_parts();
            if home {
                facts.learn(&parts.headers);
            }
            let status = parts.status.as_u16();
            if !matches!(status, 301 | 302 | 303 | 307 | 308) {
                let reply = Reply { status, headers: parts.headers, facts, url: address::shown(&uri), body };
                return refusal::sort(self, reply, home, subject);
            }
            let location = text(&parts.headers, "location").ok_or_else(|| redirect(&uri, "it names no location"))?;
            let next = address::join(&uri, &location).ok_or_else(|| redirect(&uri, "its location is no address"))?;
            if ask == Ask::Facts && facts.linked && Origin::of(&next).as_ref() != Some(&self.origin) {
                return Ok(Reply { status, headers: parts.headers, facts, url: address::shown(&uri), body });
            }
            uri = next;
        }
        Err(redirect(&uri, "there are more than ten redirects"))
    }

    /// One request. The token goes to the hub's own origin and nowhere else.
    fn send(
        &self,
        uri: &Uri,
        home: bool,
        ask: Ask,
    ) -> std::result::Result<ureq::http::Response<ureq::Body>, ureq::Error> {
        let mut request = match ask {
            Ask::From(_) => self.agent.get(uri.clone()),
            Ask::Facts => self.agent.head(uri.clone()),
        };
        request = request.header(header::ACCEPT_ENCODING, "identity");
        if let Ask::From(first) = ask
            && first > 0
        {
            request = request.header(header::RANGE, format!("bytes={first}-"));
        }
        if let Some(bearer) = self.bearer.as_ref().filter(|_| home) {
            request = request.header(header::AUTHORIZATION, bearer.clone());
        }
        request.call()
    }

    /// Whether a failure of the network is worth another try.
    fn sort(&self, error: &ureq::Error, uri: &Uri) -> Failure {
        use std::io::ErrorKind as Kind;
        use ureq::{Error as E, Timeout};
        let why = self.scrub(&format!("{}: {error}", address::shown(uri)));
        match error {
            E::Rustls(_) | E::Tls(_) | E::Pem(_) => Failure::Unreachable(tls_hint(&why)),
            E::Io(e) if e.kind() == Kind::InvalidData => Failure::Unreachable(tls_hint(&why)),
            E::HostNotFound | E::ConnectionFailed | E::ConnectProxyFailed(_) | E::InvalidProxyUrl => {
                Failure::Unreachable(why)
            }
            E::Timeout(Timeout::Connect | Timeout::Resolve) => Failure::Unreachable(why),
            E::Io(e)
                if matches!(e.kind(), Kind::ConnectionRefused | Kind::NetworkUnreachable | Kind::HostUnreachable) =>
            {
                Failure::Unreachable(why)
            }
            // The system's resolver has no kind of its own for a name it cannot look up.
            E::Io(e) if e.to_string().contains("lookup") => Failure::Unreachable(why),
            _ => Failure::Again { why, asked: None },
        }
    }

    /// Text from elsewhere, fit for a message: one short line, and never the token.
    pub(super) fn scrub(&self, text: &str) -> String {
        let text = match &self.token {
            Some(token) => text.replace(token.secret(), "(hidden)"),
            None => text.to_owned(),
        };
        let line: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(200).collect();
        line.trim().to_owned()
    }

    /// The whole body, if it is at most `limit` bytes long; None if it is longer.
    pub(super) fn read_all(&self, reply: Reply, limit: u64) -> std::result::Result<Option<Vec<u8>>, Failure> {
        let mut body = Vec::new();
        let read = reply.body.into_reader().take(limit.saturating_add(1)).read_to_end(&mut body);
        read.map_err(|e| Failure::Again { why: self.scrub(&format!("{}: {e}", reply.url)), asked: None })?;
        Ok((body.len() as u64 <= limit).then_some(body))
    }
}

fn tls_hint(why: &str) -> String {
    format!("{why} (if your network inspects TLS, set SSL_CERT_FILE to its certificates)")
}

/// The header that carries the token, marked so that no log shows it.
fn bearer(token: &Token) -> Result<HeaderValue> {
    let bad = |_| Error::Setting {
        setting: "HF_TOKEN",
        why: format!("what {} holds does not fit into a header", token.origin()),
    };
    let mut value = HeaderValue::try_from(format!("Bearer {}", token.secret())).map_err(bad)?;
    value.set_sensitive(true);
    Ok(value)
}

/// The certificates of a PEM file.
fn certificates(path: &Path) -> Result<RootCerts> {
    let bytes = std::fs::read(path).map_err(Error::io("reading the certificates (SSL_CERT_FILE) in", path))?;
    let found: Vec<_> = parse_pem(&bytes)
        .filter_map(|item| match item {
            Ok(PemItem::Certificate(certificate)) => Some(certificate),
            _ => None,
        })
        .collect();
    if found.is_empty() {
        return Err(Error::Setting {
            setting: "SSL_CERT_FILE",
            why: format!("{} holds no certificate in PEM form", path.display()),
        });
    }
    Ok(RootCerts::new_with_certs(&found))
}
