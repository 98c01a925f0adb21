//! How a user names a model.

use super::{Error, Result};
use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

/// A model as named on the command line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ModelRef {
    /// `hf:org/name[@revision]`.
    Hub(String),
    /// A Hugging Face folder.
    Folder(PathBuf),
    /// A GGUF file.
    Gguf(PathBuf),
    /// `synthetic:NAME`.
    Synthetic(String),
}

impl FromStr for ModelRef {
    type Err = Error;

    fn from_str(text: &str) -> Result<ModelRef> {
        // The second is how MLC-LLM writes it.
        if let Some(repo) = text.strip_prefix("hf:").or_else(|| text.strip_prefix("HF://")) {
            return Ok(ModelRef::Hub(repo.to_owned()));
        }
        if let Some(name) = text.strip_prefix("synthetic:") {
            return Ok(ModelRef::Synthetic(name.to_owned()));
        }
        let path = PathBuf::from(text);
        if path.is_dir() {
            return Ok(ModelRef::Folder(path));
        }
        if path.extension().is_some_and(|e| e.eq_ignore_ascii_case("gguf")) {
            return Ok(ModelRef::Gguf(path));
        }
        let why =
            if path.exists() { "is a file, but not a .gguf" } else { "is neither a folder nor a .gguf file here" };
        Err(Error::Invalid(format!(
            "{text:?} {why}; a model is a folder, a .gguf file, hf:org/name[@revision] or synthetic:tiny|60M|1B|3B|8B"
        )))
    }
}

impl fmt::Display for ModelRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ModelRef::Hub(repo) => write!(f, "hf:{repo}"),
            ModelRef::Synthetic(name) => write!(f, "synthetic:{name}"),
            ModelRef::Folder(path) | ModelRef::Gguf(path) => write!(f, "{}", path.display()),
        }
    }
}

impl ModelRef {
    /// A short name for folders and tables: the last part, without revision or extension.
    pub fn short_name(&self) -> String {
        let last = |path: &Path| path.file_name().map_or_else(|| "model".into(), |n| n.to_string_lossy().into_owned());
        match self {
            ModelRef::Hub(repo) => {
                let repo = repo.split('@').next().unwrap_or(repo);
                repo.rsplit('/').next().unwrap_or(repo).to_owned()
            }
            ModelRef::Synthetic(name) => format!("synthetic-{name}"),
            ModelRef::Folder(path) => last(&path.canonicalize().unwrap_or_else(|_| path.clone())),
            ModelRef::Gguf(path) => last(&path.with_extension("")),
        }
    }
}

/// The size label of a model: from its name (`Llama-3.2-1B-Instruct` -> `1B`), else from its number of parameters.
pub fn size_label(name: &str, n_params: u64) -> String {
    let from_name = name.split(['-', '_', ' ', '.', ':']).rfind(|part| is_size(part));
    // A decimal size was split at its point: `Qwen2.5-0.5B` has `0` and `5B`.
    let decimal = name.split(['-', '_', ' ', ':']).rfind(|part| is_size(part));
    if let Some(part) = decimal.or(from_name) {
        return part.to_uppercase();
    }
    if name.split(['-', ':']).next_back() == Some("tiny") {
        return "tiny".into();
    }
    match n_params {
        0 => "unknown".into(),
        n if n >= 950_000_000 => format!("{}B", short(n as f64 / 1e9)),
        n => format!("{}M", short(n as f64 / 1e6)),
    }
}

/// Two significant digits at most, without a trailing `.0`.
fn short(value: f64) -> String {
    let text = if value < 10.0 { format!("{value:.1}") } else { format!("{value:.0}") };
    text.strip_suffix(".0").map_or(text.clone(), str::to_owned)
}

fn is_size(part: &str) -> bool {
    let digits = part.strip_suffix(['B', 'b', 'M', 'm']).unwrap_or("");
    !digits.is_empty()
        && digits.chars().all(|c| c.is_ascii_digit() || c == '.')
        && digits.starts_with(|c: char| c.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_told_apart() {
        let parse = |text: &str| text.parse::<ModelRef>();
        assert_eq!(parse("hf:a/b@main").unwrap(), ModelRef::Hub("a/b@main".into()));
        assert_eq!(parse("HF://mlc-ai/x-q4f16_1-MLC").unwrap(), ModelRef::Hub("mlc-ai/x-q4f16_1-MLC".into()));
        assert_eq!(parse("synthetic:1B").unwrap(), ModelRef::Synthetic("1B".into()));
        assert_eq!(parse("x/y.gguf").unwrap(), ModelRef::Gguf("x/y.gguf".into()));
        assert!(parse("no/such/folder").unwrap_err().to_string().contains("neither"));
    }

    #[test]
    fn sizes_come_from_names_first() {
        assert_eq!(size_label("Llama-3.2-1B-Instruct", 1_235_814_400), "1B");
        assert_eq!(size_label("Qwen2.5-0.5B", 0), "0.5B");
        assert_eq!(size_label("synthetic-60M", 0), "60M");
        assert_eq!(size_label("synthetic-tiny", 4_000_000), "tiny");
        assert_eq!(size_label("mystery", 1_235_814_400), "1.2B");
        assert_eq!(size_label("mystery", 60_000_000), "60M");
    }
}
