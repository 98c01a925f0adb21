//! Special tokens, merges, the flags that add BOS and EOS, and chat templates: what llama.cpp's
//! converter reads with `SpecialVocab` in `gguf-py/gguf/vocab.py`.

use std::fs;
use std::path::Path;

use serde_json::Value as Json;

use super::error::{Error, Result};
use super::files::{self, Object};
use super::post_processor;
use crate::prepare::gguf::{Array, Metadata};

/// What was found. Lists keep the order in which llama.cpp's converter would have found it.
#[derive(Debug, Default)]
pub(super) struct Special {
    merges: Vec<String>,
    ids: Vec<(String, u64)>,
    /// Whether BOS, EOS or SEP are added around a text.
    pub(super) add: Vec<(String, bool)>,
    templates: Option<Json>,
    lowercase: Option<bool>,
    strip_accents: Option<bool>,
}

/// The kinds of special tokens that are looked for.
pub(super) const KINDS: [&str; 7] = ["bos", "eos", "unk", "sep", "pad", "cls", "mask"];

/// Which files to read, and how.
pub(super) struct Lookup<'a> {
    pub folder: &'a Path,
    /// `config.json`.
    pub config: &'a Object,
    /// `tokenizer.json`, where there is one.
    pub tokenizer: Option<&'a Json>,
    /// Whether merges belong into the file.
    pub merges: bool,
    /// Ids at or above it are none.
    pub vocab_size: Option<u64>,
}

impl Special {
    /// Gathers everything.
    pub fn load(lookup: &Lookup<'_>) -> Result<Special> {
        let path = lookup.folder.join("tokenizer_config.json");
        let mut settings = files::read_object(&path)?.filter(|s| !s.is_empty());
        let mut special = Special::default();
        let mut kinds: Vec<String> = KINDS.iter().map(|k| (*k).to_owned()).collect();
        if let Some(tokenizer) = lookup.tokenizer {
            if lookup.merges {
                special.merges = merges(tokenizer)
                    .map_err(|what| Error::Invalid { path: lookup.folder.join("tokenizer.json"), what })?;
            }
            special.read_normalizer(tokenizer.get("normalizer"));
            post_processor::read(tokenizer.get("post_processor"), &mut settings, &mut kinds, &mut special);
        }
        if let Some(settings) = &settings {
            special.templates = templates(lookup.folder, settings)?;
            special.read_settings(lookup, settings, &kinds)?;
        }
        special.read_config(lookup, &kinds)?;
        if lookup.merges && special.merges.is_empty() {
            special.merges = merges_file(&lookup.folder.join("merges.txt"))?;
        }
        Ok(special)
    }

    /// Whether a kind of token is added around a text; a later answer replaces an earlier one.
    pub(super) fn set_add(&mut self, kind: &str, value: bool) {
        match self.add.iter_mut().find(|(k, _)| k == kind) {
            Some((_, old)) => *old = value,
            None => self.add.push((kind.to_owned(), value)),
        }
    }

    /// The same where nobody has answered yet.
    pub(super) fn set_add_default(&mut self, kind: &str, value: bool) {
        if self.add.iter().all(|(k, _)| k != kind) {
            self.add.push((kind.to_owned(), value));
        }
    }

    fn read_normalizer(&mut self, normalizer: Option<&Json>) {
        let Some(normalizer) = normalizer.filter(|n| n.is_object()) else { return };
        match normalizer.get("type").and_then(Json::as_str) {
            Some("Lowercase") => self.lowercase = Some(true),
            Some("StripAccents") => self.strip_accents = Some(true),
            Some("BertNormalizer") => {
                self.lowercase = normalizer.get("lowercase").and_then(Json::as_bool).or(self.lowercase);
                self.strip_accents = normalizer.get("strip_accents").and_then(Json::as_bool).or(self.strip_accents);
            }
            Some("Sequence") => {
                for step in normalizer.get("normalizers").and_then(Json::as_array).into_iter().flatten() {
                    self.read_normalizer(Some(step));
                }
            }
            _ => {}
        }
    }

    /// The tokens that `tokenizer_config.json` names, by their ids in `tokenizer.json`.
    fn read_settings(&mut self, lookup: &Lookup<'_>, settings: &Object, kinds: &[String]) -> Result<()> {
        let added = lookup.tokenizer.and_then(|t| t.get("added_tokens")).and_then(Json::as_array);
        for kind in kinds {
            if let Some(add) = settings.get(&format!("add_{kind}_token")).and_then(Json::as_bool) {
                self.set_add_default(kind, add);
            }
            let Some(text) = settings.get(&format!("{kind}_token")).and_then(files::token_text) else { continue };
            let entry = added.into_iter().flatten().find(|t| t.get("content").and_then(Json::as_str) == Some(text));
            self.set_id(lookup, kind, entry.and_then(|t| t.get("id")))?;
        }
        Ok(())
    }

    fn read_config(&mut self, lookup: &Lookup<'_>, kinds: &[String]) -> Result<()> {
        for kind in kinds {
            self.set_id(lookup, kind, lookup.config.get(&format!("{kind}_token_id")))?;
        }
        Ok(())
    }

    /// Keeps the first id of a kind; anything but a whole number (a list, null) is passed over.
    fn set_id(&mut self, lookup: &Lookup<'_>, kind: &str, id: Option<&Json>) -> Result<()> {
        let Some(id) = id else { return Ok(()) };
        if id.as_i64().is_some_and(|id| id < 0) {
            return Err(Error::Invalid {
                path: lookup.folder.join("config.json"),
                what: format!("{kind}_token_id is {id}"),
            });
        }
        let Some(id) = id.as_u64() else { return Ok(()) };
        let in_range = lookup.vocab_size.is_none_or(|size| id < size);
        if in_range && self.ids.iter().all(|(k, _)| k != kind) {
            self.ids.push((kind.to_owned(), id));
        }
        Ok(())
    }

    /// Gives a kind an id where none was found.
    pub(super) fn set_id_default(&mut self, kind: &str, id: u64) {
        if self.ids.iter().all(|(k, _)| k != kind) {
            self.ids.push((kind.to_owned(), id));
        }
    }

    /// Adds the keys.
    pub fn describe(self, metadata: &mut Metadata) {
        if !self.merges.is_empty() {
            metadata.set("tokenizer.ggml.merges", Array::String(self.merges));
        }
        for (kind, id) in self.ids {
            if let (Some(key), Ok(id)) = (id_key(&kind), u32::try_from(id)) {
                metadata.set(format!("tokenizer.ggml.{key}_token_id"), id);
            }
        }
        for (kind, add) in self.add {
            if matches!(kind.as_str(), "bos" | "eos" | "sep") {
                metadata.set(format!("tokenizer.ggml.add_{kind}_token"), add);
            }
        }
        if let Some(templates) = &self.templates {
            describe_templates(templates, metadata);
        }
        if let Some(lowercase) = self.lowercase {
            metadata.set("tokenizer.ggml.normalizer.lowercase", lowercase);
        }
        if let Some(strip) = self.strip_accents {
            metadata.set("tokenizer.ggml.normalizer.strip_accents", strip);
        }
    }
}

/// The key of a kind of token; kinds without one are dropped.
fn id_key(kind: &str) -> Option<&str> {
    Some(match kind {
        "unk" => "unknown",
        "sep" => "seperator",
        "pad" => "padding",
        "bos" | "eos" | "eot" | "eom" | "mask" => kind,
        _ => return None,
    })
}

/// The merges of a `tokenizer.json`: texts with a space, or pairs.
fn merges(tokenizer: &Json) -> std::result::Result<Vec<String>, String> {
    let Some(merges) = tokenizer.get("model").and_then(|m| m.get("merges")).and_then(Json::as_array) else {
        return Ok(Vec::new());
    };
    // GPT-2's bytes have no space; where a merge has one all the same, it becomes that alphabet's.
    let escape = |part: &str| part.replace(' ', "Ġ");
    let one = |merge: &Json| match merge {
        Json::String(merge) => Some(merge.clone()),
        Json::Array(pair) => match pair.as_slice() {
            [Json::String(a), Json::String(b)] => Some(format!("{} {}", escape(a), escape(b))),
            _ => None,
        },
        _ => None,
    };
    let found: Option<Vec<String>> = merges.iter().map(one).collect();
    found.ok_or_else(|| "model.merges holds something that is neither a text nor a pair of texts".to_owned())
}

/// The merges of a `merges.txt`; none when there is no such file.
fn merges_file(path: &Path) -> Result<Vec<String>> {
    if !path.is_file() {
        return Ok(Vec::new());
    }
    let text = files::read_text(path)?;
    let lines = text.lines().enumerate().filter(|(i, line)| *i > 0 || !line.starts_with('#'));
    let pair = |line: &str| {
        let mut parts = line.split_whitespace();
        match (parts.next(), parts.next(), parts.next()) {
            (Some(a), Some(b), None) => Some(format!("{a} {b}")),
            _ => None,
        }
    };
    Ok(lines.filter_map(|(_, line)| pair(line)).collect())
}

/// The chat template or templates: of `tokenizer_config.json`, or of files of their own.
fn templates(folder: &Path, settings: &Object) -> Result<Option<Json>> {
    let found = match settings.get("chat_template") {
        Some(template) => Some(template.clone()),
        None => template_files(folder)?,
    };
    Ok(found.filter(|t| t.is_string() || t.is_array()))
}

fn template_files(folder: &Path) -> Result<Option<Json>> {
    let jinja = folder.join("chat_template.jinja");
    if !jinja.is_file() {
        let file = files::read_object(&folder.join("chat_template.json"))?;
        return Ok(file.and_then(|f| f.get("chat_template").cloned()));
    }
    let default = files::read_text(&jinja)?;
    let mut more = Vec::new();
    for entry in fs::read_dir(folder.join("additional_chat_templates")).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.extension().is_some_and(|e| e == "jinja") {
            let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
            more.push((name, files::read_text(&path)?));
        }
    }
    if more.is_empty() {
        return Ok(Some(Json::String(default)));
    }
    more.sort();
    more.insert(0, ("default".to_owned(), default));
    let list = more.into_iter().map(|(name, template)| serde_json::json!({ "name": name, "template": template }));
    Ok(Some(Json::Array(list.collect())))
}

fn describe_templates(templates: &Json, metadata: &mut Metadata) {
    let mut default = templates.as_str();
    let mut names: Vec<String> = Vec::new();
    for choice in templates.as_array().into_iter().flatten() {
        let field = |name: &str| choice.get(name).and_then(Json::as_str);
        let (Some(name), Some(template)) = (field("name"), field("template")) else { continue };
        let name: String = name.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect();
        if name == "default" {
            default = Some(template);
        } else if !name.is_empty() {
            if !template.is_empty() {
                metadata.set(format!("tokenizer.chat_template.{name}"), template);
            }
            if !names.contains(&name) {
                names.push(name);
            }
        }
    }
    if !names.is_empty() {
        metadata.set("tokenizer.chat_templates", Array::String(names));
    }
    if let Some(default) = default.filter(|t| !t.is_empty()) {
        metadata.set("tokenizer.chat_template", default);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn merges_come_as_texts_or_pairs() {
        let of = |merges: Json| super::merges(&json!({ "model": { "merges": merges } }));
        assert_eq!(of(json!(["a b", "c d"])).unwrap(), ["a b", "c d"]);
        assert_eq!(of(json!([["a", "b"], ["c d", "e"]])).unwrap(), ["a b", "cĠd e"]);
        assert!(of(json!([["a", "b", "c"]])).is_err());
        assert!(super::merges(&json!({})).unwrap().is_empty());
    }

    #[test]
    fn several_templates_get_keys_of_their_own() {
        let mut m = Metadata::new();
        describe_templates(
            &json!([{ "name": "default", "template": "D" }, { "name": "tool use", "template": "T" }, { "name": 1 }]),
            &mut m,
        );
        assert_eq!(m.str("tokenizer.chat_template"), Some("D"));
        assert_eq!(m.str("tokenizer.chat_template.tool_use"), Some("T"));
        assert_eq!(m.get("tokenizer.chat_templates"), Some(&Array::String(vec!["tool_use".to_owned()]).into()));
    }
}
