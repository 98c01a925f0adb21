//! Where the hub is, where the cache is, who we are: read once, from the variables that `huggingface_hub` knows or from
//! a plain struct. Nothing here touches the network.
//!
//! The variables and their order are those of `huggingface_hub`'s `constants.py` and `utils/_auth.py`.

use std::ffi::OsString;
use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::error::{Error, Result};

/// The hub, if nothing else is said.
pub const DEFAULT_ENDPOINT: &str = "https://huggingface.co";

/// How to reach the hub and where to keep what it sends.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The hub's address, without a slash at its end.
    pub endpoint: String,
    /// The folder that holds `models--org--name` folders.
    pub cache: PathBuf,
    /// Sent to the endpoint and to nobody else.
    pub token: Option<Token>,
    /// Use the cache as it is, never the network.
    pub offline: bool,
    /// Use the proxy of `HTTPS_PROXY`, `HTTP_PROXY` or `ALL_PROXY`, less what `NO_PROXY` names.
    pub proxy_from_env: bool,
    /// Trust the certificates in this PEM file in place of the built-in ones of Mozilla.
    pub ca_bundle: Option<PathBuf>,
    /// How patient to be.
    pub retry: Retry,
}

/// How often and how soon something that failed is tried again.
#[derive(Debug, Clone)]
pub struct Retry {
    /// Attempts in a row that may fail without a new byte.
    pub attempts: u32,
    /// The wait after the first failure; each further one doubles it.
    pub first_wait: Duration,
    /// The longest wait, also where the hub asks for a longer one.
    pub longest_wait: Duration,
}

impl Default for Retry {
    fn default() -> Self {
        Self { attempts: 6, first_wait: Duration::from_secs(1), longest_wait: Duration::from_secs(60) }
    }
}

impl Retry {
    /// The wait after the `failures`th failure in a row, given what the server asked for.
    pub(super) fn wait(&self, failures: u32, asked: Option<Duration>) -> Duration {
        let doubled = self.first_wait.saturating_mul(1 << failures.saturating_sub(1).min(16));
        asked.unwrap_or(doubled).min(self.longest_wait)
    }
}

impl Settings {
    /// The public hub without a token, and nothing from the environment.
    #[must_use]
    pub fn new(cache: impl Into<PathBuf>) -> Self {
        Self {
            endpoint: DEFAULT_ENDPOINT.to_owned(),
            cache: cache.into(),
            token: None,
            offline: false,
            proxy_from_env: false,
            ca_bundle: None,
            retry: Retry::default(),
        }
    }

    /// From `HF_ENDPOINT`, `HF_HOME`, `HF_HUB_CACHE`, `HUGGINGFACE_HUB_CACHE`, `XDG_CACHE_HOME`, `HF_TOKEN`,
    /// `HUGGING_FACE_HUB_TOKEN`, `HF_TOKEN_PATH`, `HF_HUB_DISABLE_IMPLICIT_TOKEN`, `HF_HUB_OFFLINE`,
    /// `TRANSFORMERS_OFFLINE`, `SSL_CERT_FILE` and the variables for proxies. An empty variable counts as unset.
    ///
    /// # Errors
    /// [`Error::Setting`] names the variable that cannot be used.
    pub fn from_env() -> Result<Self> {
        Ok(Self { proxy_from_env: true, ..Self::from_lookup(&|name| std::env::var_os(name))? })
    }

    fn from_lookup(get: &dyn Fn(&str) -> Option<OsString>) -> Result<Self> {
        let env = Env(get);
        let home = env.hf_home()?;
        let cache = match (env.path("HF_HUB_CACHE"), env.path("HUGGINGFACE_HUB_CACHE")) {
            (Some(path), _) | (None, Some(path)) => path,
            (None, None) => home.join("hub"),
        };
        let mut settings = Self::new(cache);
        if let Some(endpoint) = env.text("HF_ENDPOINT")? {
            settings.endpoint = endpoint.trim_end_matches('/').to_owned();
        }
        settings.offline = env.is_on("HF_HUB_OFFLINE") || env.is_on("TRANSFORMERS_OFFLINE");
        settings.token = env.token(&home)?;
        settings.ca_bundle = env.path("SSL_CERT_FILE");
        Ok(settings)
    }
}

/// A look-up of variables that treats empty ones as unset.
struct Env<'a>(&'a dyn Fn(&str) -> Option<OsString>);

impl Env<'_> {
    fn raw(&self, name: &str) -> Option<OsString> {
        (self.0)(name).filter(|v| !v.is_empty())
    }

    fn text(&self, name: &'static str) -> Result<Option<String>> {
        let Some(value) = self.raw(name) else { return Ok(None) };
        match value.into_string() {
            Ok(text) => Ok(Some(text.trim().to_owned()).filter(|t| !t.is_empty())),
            Err(_) => Err(Error::Setting { setting: name, why: "its value is not UTF-8 text".into() }),
        }
    }

    /// A path, with `~` for the home folder.
    fn path(&self, name: &str) -> Option<PathBuf> {
        let path = PathBuf::from(self.raw(name)?);
        match (path.strip_prefix("~"), self.raw("HOME")) {
            (Ok(rest), Some(home)) => Some(Path::new(&home).join(rest)),
            _ => Some(path),
        }
    }

    fn is_on(&self, name: &str) -> bool {
        let on = |v: &str| ["1", "true", "yes", "on"].iter().any(|word| v.trim().eq_ignore_ascii_case(word));
        self.raw(name).and_then(|v| v.into_string().ok()).is_some_and(|v| on(&v))
    }

    fn hf_home(&self) -> Result<PathBuf> {
        if let Some(path) = self.path("HF_HOME") {
            return Ok(path);
        }
        let cache = self.path("XDG_CACHE_HOME").or_else(|| Some(self.path("HOME")?.join(".cache")));
        match cache {
            Some(cache) => Ok(cache.join("huggingface")),
            None => Err(Error::Setting {
                setting: "HF_HOME",
                why: "it is not set, and neither is HOME; set it to the folder for the model cache".into(),
            }),
        }
    }

    fn token(&self, home: &Path) -> Result<Option<Token>> {
        for name in ["HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"] {
            if let Some(text) = self.text(name)? {
                return Token::new(&text, name).map(Some);
            }
        }
        if self.is_on("HF_HUB_DISABLE_IMPLICIT_TOKEN") {
            return Ok(None);
        }
        let path = self.path("HF_TOKEN_PATH").unwrap_or_else(|| home.join("token"));
        match std::fs::read_to_string(&path) {
            Ok(text) if text.trim().is_empty() => Ok(None),
            Ok(text) => Token::new(&text, &path.display().to_string()).map(Some),
            Err(e) if matches!(e.kind(), std::io::ErrorKind::NotFound | std::io::ErrorKind::NotADirectory) => Ok(None),
            Err(why) => Err(Error::Io { doing: "reading the token in", path, why }),
        }
    }
}

/// An access token. It shows itself to nobody: `Debug` and `Display` say only where it came from.
#[derive(Clone, PartialEq, Eq)]
pub struct Token {
    secret: String,
    from: String,
}

impl Token {
    /// `secret` without the white space around it; `from` says in messages where it came from.
    ///
    /// # Errors
    /// [`Error::Setting`] if it is empty or holds anything that a token cannot hold.
    pub fn new(secret: &str, from: &str) -> Result<Self> {
        let secret = secret.trim();
        if secret.is_empty() || secret.len() > 4096 || !secret.bytes().all(|b| b.is_ascii_graphic()) {
            let why = format!(
                "what {from} holds is not an access token: one word of letters, digits and signs is expected, as in hf_..."
            );
            return Err(Error::Setting { setting: "HF_TOKEN", why });
        }
        Ok(Self { secret: secret.to_owned(), from: from.to_owned() })
    }

    /// Where it came from: a variable or a file.
    #[must_use]
    pub fn origin(&self) -> &str {
        &self.from
    }

    /// The token itself, for the one header that carries it.
    pub(super) fn secret(&self) -> &str {
        &self.secret
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Token(hidden, from {})", self.from)
    }
}

impl fmt::Display for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "(token from {})", self.from)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Dir;

    fn read(pairs: &[(&str, &str)]) -> Result<Settings> {
        let pairs: Vec<(String, String)> = pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        Settings::from_lookup(&|name| pairs.iter().find(|(k, _)| k == name).map(|(_, v)| OsString::from(v)))
    }

    #[test]
    fn the_cache_follows_the_most_special_variable() {
        let cache = |pairs: &[(&str, &str)]| read(pairs).unwrap().cache;
        assert_eq!(cache(&[("HOME", "/h")]), Path::new("/h/.cache/huggingface/hub"));
        assert_eq!(cache(&[("HOME", "/h"), ("XDG_CACHE_HOME", "/x")]), Path::new("/x/huggingface/hub"));
        assert_eq!(cache(&[("HOME", "/h"), ("HF_HOME", "~/hf")]), Path::new("/h/hf/hub"));
        assert_eq!(cache(&[("HF_HOME", "/hf"), ("HUGGINGFACE_HUB_CACHE", "/old")]), Path::new("/old"));
        assert_eq!(
            cache(&[("HF_HOME", "/hf"), ("HUGGINGFACE_HUB_CACHE", "/old"), ("HF_HUB_CACHE", "/new")]),
            Path::new("/new")
        );
        let error = read(&[]).unwrap_err().to_string();
        assert!(error.contains("HF_HOME"), "{error}");
    }

    #[test]
    fn endpoint_and_offline_are_read() {
        let base = ("HF_HOME", "/nowhere/hf");
        let settings = read(&[base, ("HF_ENDPOINT", "http://mirror/hub/ "), ("HF_HUB_OFFLINE", "")]).unwrap();
        assert_eq!(settings.endpoint, "http://mirror/hub");
        assert!(!settings.offline);
        for on in ["1", "true", "YES", "On"] {
            assert!(read(&[base, ("HF_HUB_OFFLINE", on)]).unwrap().offline);
            assert!(read(&[base, ("TRANSFORMERS_OFFLINE", on)]).unwrap().offline);
        }
        assert!(!read(&[base, ("HF_HUB_OFFLINE", "0")]).unwrap().offline);
    }

    #[test]
    fn a_token_comes_from_variable_or_file_and_never_shows() {
        let home = Dir::with(&[("token", "hf_fromfile\n")]);
        let base = ("HF_HOME", home.to_str().unwrap());

        let from_file = read(&[base]).unwrap();
        assert_eq!(from_file.token.as_ref().unwrap().secret(), "hf_fromfile");
        let from_variable = read(&[base, ("HF_TOKEN", " hf_fromenv ")]).unwrap().token.unwrap();
        assert_eq!((from_variable.secret(), from_variable.origin()), ("hf_fromenv", "HF_TOKEN"));
        assert!(read(&[base, ("HF_HUB_DISABLE_IMPLICIT_TOKEN", "1")]).unwrap().token.is_none());
        for shown in [format!("{from_file:?}"), format!("{from_variable}"), format!("{from_variable:?}")] {
            assert!(!shown.contains("hf_"), "{shown}");
        }
        let error = read(&[base, ("HF_TOKEN", "hf_two words")]).unwrap_err().to_string();
        assert!(error.contains("HF_TOKEN") && !error.contains("words"), "{error}");
    }

    #[test]
    fn waits_double_and_are_bounded() {
        let retry = Retry { attempts: 3, first_wait: Duration::from_secs(1), longest_wait: Duration::from_secs(10) };
        let seconds = |n, asked: Option<u64>| retry.wait(n, asked.map(Duration::from_secs)).as_secs();
        assert_eq!([seconds(1, None), seconds(2, None), seconds(3, None), seconds(40, None)], [1, 2, 4, 10]);
        assert_eq!([seconds(1, Some(7)), seconds(1, Some(4000))], [7, 10]);
    }
}
