//! The `key: value` lines that stand before the body of most logs, and what they say about the context.

use super::file_name::{FileName, canonical_engine};
use super::series::Context;
use std::str::FromStr;

/// Keys that somebody's header really uses: a line with another key can just as well be text.
const KNOWN: &[&str] = &[
    "framework",
    "engine",
    "engine_version",
    "platform",
    "release",
    "device",
    "username",
    "hostname",
    "size",
    "quantize",
    "native_quantize",
    "bits_per_weight",
    "weights_bytes",
    "model",
    "seed",
    "uuid",
    "case",
    "run",
    "prompt_tokens",
    "gen_tokens",
    "depth",
];

/// The pairs of a header, in order.
#[derive(Debug, Clone, Default)]
pub(super) struct Header {
    pairs: Vec<(String, String)>,
}

impl Header {
    /// Adds a line. Of a key that comes twice the first counts.
    pub fn push(&mut self, key: &str, value: &str) {
        self.pairs.push((key.to_ascii_lowercase(), value.to_owned()));
    }

    /// Adds the lines of another header after these.
    pub fn extend(&mut self, further: Header) {
        self.pairs.extend(further.pairs);
    }

    /// Whether it names an engine or at least two things that a context has: then it is a header and no accident.
    pub fn is_plausible(&self) -> bool {
        self.engine().is_some() || self.pairs.iter().filter(|(key, _)| is_known(key)).count() >= 2
    }

    /// A value that says something.
    pub fn get(&self, key: &str) -> Option<&str> {
        let (_, value) = self.pairs.iter().find(|(k, _)| k == key)?;
        Some(value.as_str()).filter(|text| !text.is_empty() && *text != "None")
    }

    /// A value as a number; one that is none counts as missing.
    pub fn number<T: FromStr>(&self, key: &str) -> Option<T> {
        self.get(key)?.parse().ok()
    }

    /// The engine, by its one name.
    pub fn engine(&self) -> Option<String> {
        self.get("framework").or_else(|| self.get("engine")).map(canonical_engine)
    }

    /// The context as header and file name tell it; where both do, the header is right.
    pub fn context(&self, name: Option<&FileName>, default_engine: &str) -> Context {
        let text = |key: &str| self.get(key).map(str::to_owned);
        let engine = self.engine().or_else(|| name?.engine.clone());
        Context {
            engine: engine.unwrap_or_else(|| default_engine.to_owned()),
            engine_version: text("engine_version"),
            platform: text("platform"),
            release: text("release"),
            device: text("device"),
            username: text("username"),
            hostname: text("hostname").or_else(|| Some(name?.hostname.clone())),
            size: text("size").or_else(|| Some(name?.size.clone())),
            quantize: text("quantize").or_else(|| Some(name?.quantize.clone())),
            seed: self.number("seed").or_else(|| Some(name?.seed)),
            uuid: text("uuid").or_else(|| Some(name?.uuid.clone())),
            native_quantize: text("native_quantize"),
            bits_per_weight: self.number("bits_per_weight").filter(|bits: &f64| bits.is_finite() && *bits > 0.0),
            weights_bytes: self.number::<u64>("weights_bytes").filter(|bytes| *bytes > 0),
            model: text("model"),
            prompt_tokens: self.number("prompt_tokens"),
            gen_tokens: self.number("gen_tokens"),
            depth: self.number("depth"),
            case: text("case"),
            run: text("run"),
            ..Context::default()
        }
    }
}

/// Takes a `key: value` line apart. Keys are words of letters, digits, `_` and `-`.
pub(super) fn pair(line: &str) -> Option<(&str, &str)> {
    let (key, value) = line.split_once(':')?;
    let mut letters = key.bytes();
    let word =
        letters.next()?.is_ascii_alphabetic() && letters.all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-');
    let value = value.strip_prefix([' ', '\t']).or(value.is_empty().then_some(value))?;
    word.then_some((key, value.trim()))
}

/// Whether a header is known to use this key.
pub(super) fn is_known(key: &str) -> bool {
    KNOWN.iter().any(|known| known.eq_ignore_ascii_case(key))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_are_words_and_values() {
        assert_eq!(pair("platform: Linux"), Some(("platform", "Linux")));
        assert_eq!(pair("device:"), Some(("device", "")));
        assert_eq!(pair("release:  6.1: a "), Some(("release", "6.1: a")));
        for text in ["http://x", "two words: 1", ": x", "{\"a\": 1}", "seed = 42", "", "7up: 1"] {
            assert_eq!(pair(text), None, "{text}");
        }
    }

    #[test]
    fn the_header_is_right_where_the_file_name_says_otherwise() {
        let name = FileName::parse("llamacpp_old_1B_nf4_seed1_uuid00000000.txt").unwrap();
        let mut header = Header::default();
        for (key, value) in [("hostname", "new"), ("Device", "CUDA"), ("username", "None"), ("weights_bytes", "0")] {
            header.push(key, value);
        }
        let context = header.context(Some(&name), "tinygrad");
        assert_eq!((context.engine.as_str(), context.hostname.as_deref()), ("llamacpp", Some("new")));
        assert_eq!((context.device.as_deref(), context.username, context.weights_bytes), (Some("CUDA"), None, None));
        assert_eq!((context.seed, context.size.as_deref()), (Some(1), Some("1B")));
        assert_eq!(header.context(None, "tinygrad").engine, "tinygrad");
    }
}
