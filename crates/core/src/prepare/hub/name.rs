//! Names: of repositories, of revisions, of the files in them. Everything that the hub or a user spells passes here
//! before it becomes part of a path or an address.

use std::fmt;

use super::error::{Error, Result};

/// A model on the hub: `org/name@revision`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Repo {
    id: String,
    revision: String,
}

impl Repo {
    /// Reads `org/name`, `name` or either with `@revision`; the revision is `main` if none is given.
    ///
    /// # Errors
    /// [`Error::RepoName`] for anything that the hub does not allow or that could leave the cache's folder.
    pub fn parse(text: &str) -> Result<Self> {
        let (id, revision) = text.split_once('@').unwrap_or((text, "main"));
        let refuse = |why| Error::RepoName { name: text.to_owned(), why };
        let parts: Vec<&str> = id.split('/').collect();
        if parts.len() > 2 {
            return Err(refuse("it has more than one slash"));
        }
        for part in &parts {
            check_id_part(part).map_err(refuse)?;
        }
        if id.len() > 192 {
            return Err(refuse("it is longer than 192 characters"));
        }
        check_revision(revision).map_err(refuse)?;
        Ok(Self { id: id.to_owned(), revision: revision.to_owned() })
    }

    /// `org/name`, or `name` alone.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The branch, tag or commit.
    #[must_use]
    pub fn revision(&self) -> &str {
        &self.revision
    }

    /// The folder of this repository in the cache: `models--org--name`.
    #[must_use]
    pub fn folder_name(&self) -> String {
        format!("models--{}", self.id.replace('/', "--"))
    }
}

impl fmt::Display for Repo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.id, self.revision)
    }
}

/// The hub's own rules for a name (`huggingface_hub`, `validate_repo_id`).
fn check_id_part(part: &str) -> std::result::Result<(), &'static str> {
    let edge = |c: char| c == '.' || c == '-';
    if part.is_empty() {
        return Err("a part of it is empty");
    }
    if part.starts_with(edge) || part.ends_with(edge) {
        return Err("a part of it begins or ends with a dot or a dash");
    }
    if part.contains("..") || part.contains("--") {
        return Err("it contains two dots or two dashes in a row");
    }
    if !part.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_')) {
        return Err("only letters, digits, dots, dashes and underscores are allowed");
    }
    Ok(())
}

/// What git allows in the name of a branch, less everything that means something in a path or an address.
fn check_revision(revision: &str) -> std::result::Result<(), &'static str> {
    if revision.is_empty() {
        return Err("the revision after @ is empty");
    }
    if revision.len() > 200 {
        return Err("the revision is longer than 200 characters");
    }
    if !revision.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | '/' | '+')) {
        return Err("the revision may hold only letters, digits, and . - _ / +");
    }
    for part in revision.split('/') {
        if part.is_empty() || part.starts_with(['.', '-']) || part.ends_with('.') || part.contains("..") {
            return Err("a part of the revision is empty, begins with a dot or a dash, or contains two dots");
        }
    }
    Ok(())
}

/// True for a full commit hash, which needs no look-up.
pub(super) fn is_commit(text: &str) -> bool {
    is_hex(text, 40)
}

/// True for exactly `len` hexadecimal digits.
pub(super) fn is_hex(text: &str, len: usize) -> bool {
    text.len() == len && text.bytes().all(|b| b.is_ascii_hexdigit())
}

/// Says what is wrong with a file name that came from outside, if it could leave the folder it is put into or
/// is no name that a model's file has.
///
/// # Errors
/// The reason, to stand after "a file named ..., which".
pub fn check_file_name(name: &str) -> std::result::Result<(), &'static str> {
    if name.is_empty() {
        return Err("is empty");
    }
    if name.len() > 1024 {
        return Err("is longer than 1024 bytes");
    }
    if name.chars().any(char::is_control) {
        return Err("contains a control character");
    }
    if name.contains('\\') {
        return Err("contains a backslash");
    }
    if name.starts_with('/') {
        return Err("is an absolute path");
    }
    let bytes = name.as_bytes();
    if bytes.len() > 1 && bytes[0].is_ascii_alphabetic() && bytes[1] == b':' {
        return Err("begins with a drive letter");
    }
    for part in name.split('/') {
        match part {
            "" => return Err("has an empty part in its path"),
            "." | ".." => return Err("walks through the folders with dots"),
            _ if part.len() > 255 => return Err("has a part longer than 255 bytes"),
            _ => {}
        }
    }
    Ok(())
}

/// The files that make up a checkpoint in Hugging Face's layout: configuration, tokenizer, chat template, model card,
/// and safetensors at the top of the repository; or weights that were converted for MLC-LLM. Not in it: pickles (`.bin`, `.pt`, `.pth`), the `consolidated.*`
/// duplicates, anything in a subfolder.
#[must_use]
pub fn is_checkpoint_file(name: &str) -> bool {
    const NAMES: &[&str] = &[
        "README.md",
        "added_tokens.json",
        "chat_template.jinja",
        "chat_template.json",
        "config.json",
        "generation_config.json",
        "merges.txt",
        "mlc-chat-config.json",
        "model.safetensors.index.json",
        "ndarray-cache.json",
        "special_tokens_map.json",
        "tensor-cache.json",
        "tokenizer.json",
        "tokenizer.model",
        "tokenizer_config.json",
        "vocab.json",
    ];
    if check_file_name(name).is_err() || name.contains('/') {
        return false;
    }
    NAMES.contains(&name)
        || is_mlc_shard(name)
        || (name.ends_with(".safetensors") && !name.starts_with("consolidated."))
}

/// A file of raw tensors that MLC-LLM wrote: `params_shard_12.bin`. No pickle, in spite of its ending.
fn is_mlc_shard(name: &str) -> bool {
    let number = name.strip_prefix("params_shard_").and_then(|rest| rest.strip_suffix(".bin"));
    number.is_some_and(|digits| !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit()))
}

/// The kinds that are downloaded at all, whatever a caller asks for: none of them can carry code that runs when it is read.
pub(super) fn is_harmless_kind(name: &str) -> bool {
    const ENDINGS: &[&str] = &[".safetensors", ".gguf", ".json", ".jinja", ".md", ".txt"];
    let file = name.rsplit('/').next().unwrap_or(name);
    file == "tokenizer.model" || is_mlc_shard(name) || ENDINGS.iter().any(|e| file.len() > e.len() && file.ends_with(e))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repositories_are_read_with_and_without_their_parts() {
        let repo = Repo::parse("meta-llama/Llama-3.2-1B@refs/pr/7").unwrap();
        assert_eq!((repo.id(), repo.revision()), ("meta-llama/Llama-3.2-1B", "refs/pr/7"));
        assert_eq!(repo.folder_name(), "models--meta-llama--Llama-3.2-1B");
        let repo = Repo::parse("gpt2").unwrap();
        assert_eq!((repo.id(), repo.revision()), ("gpt2", "main"));
        assert_eq!(repo.folder_name(), "models--gpt2");
        assert_eq!(repo.to_string(), "gpt2@main");
    }

    #[test]
    fn names_that_could_leave_the_cache_are_refused() {
        for bad in [
            "",
            "/",
            "a/",
            "/a",
            "a/b/c",
            "../a",
            "a/..",
            ".a/b",
            "a/.b",
            "a--b/c",
            "a/b c",
            "a/b%2f",
            "a\\b",
            "a:b",
            "-a/b",
            "a/b@",
            "a/b@..",
            "a/b@/x",
            "a/b@x/../y",
            "a/b@x//y",
            "a/b@.x",
            "a/b@-x",
            "a/b@x y",
            "a/b@x@y",
            "ä/b",
            "a/b@x\0",
            "a/b@x?y",
        ] {
            let error = Repo::parse(bad).unwrap_err();
            assert!(matches!(error, Error::RepoName { .. }), "{bad:?} gave {error}");
        }
    }

    #[test]
    fn hostile_file_names_are_refused() {
        for bad in [
            "",
            "/etc/passwd",
            "..",
            "../x",
            "a/../b",
            "a/./b",
            "a//b",
            "a/",
            "a\\b",
            "C:x",
            "c:/x",
            "a\0b",
            "a\nb",
            "a\u{7f}b",
            "./a",
        ] {
            assert!(check_file_name(bad).is_err(), "{bad:?} passed");
            assert!(!is_checkpoint_file(bad), "{bad:?} passed");
        }
        assert!(check_file_name(&"x".repeat(256)).is_err());
        for good in ["config.json", "a/b/c.gguf", "model-00001-of-00002.safetensors", "..hidden", "größe.txt"] {
            assert_eq!(check_file_name(good), Ok(()), "{good:?}");
        }
    }

    #[test]
    fn checkpoints_hold_no_pickles_duplicates_or_subfolders() {
        for yes in [
            "config.json",
            "tokenizer.model",
            "model.safetensors",
            "model-00001-of-00004.safetensors",
            "chat_template.jinja",
            "mlc-chat-config.json",
            "params_shard_0.bin",
        ] {
            assert!(is_checkpoint_file(yes), "{yes}");
        }
        for no in [
            "pytorch_model.bin",
            "params_shard_.bin",
            "params_shard_0x.bin",
            "sub/params_shard_0.bin",
            "model.pt",
            "consolidated.00.pth",
            "consolidated.safetensors",
            "original/params.json",
            "original/model.safetensors",
            "training_args.bin",
            ".gitattributes",
            "model.gguf",
        ] {
            assert!(!is_checkpoint_file(no), "{no}");
        }
    }

    #[test]
    fn only_harmless_kinds_are_downloaded() {
        for yes in ["q/model-Q4_K_M.gguf", "model.safetensors", "config.json", "LICENSE.txt", "tokenizer.model"] {
            assert!(is_harmless_kind(yes), "{yes}");
        }
        for no in [
            "pytorch_model.bin",
            "x.pt",
            "x.pth",
            "x.pkl",
            "x.ckpt",
            "modeling.py",
            ".json",
            "a/.gguf",
            "x.msgpack",
            "x.model",
        ] {
            assert!(!is_harmless_kind(no), "{no}");
        }
    }
}
