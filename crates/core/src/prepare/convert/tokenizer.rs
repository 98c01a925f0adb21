//! The vocabulary: which of the three roads a checkpoint takes into GGUF, and the keys it ends with.

use std::path::Path;

use serde_json::Value as Json;

use super::arch::Arch;
use super::error::{Error, Result};
use super::files;
use super::hf_tokenizer::HfTokenizer;
use super::hparams::{Config, Geometry};
use super::pretokenizer;
use super::special::{Lookup, Special};
use crate::prepare::gguf::{Array, Metadata};
use crate::progress::Progress;

/// Kinds of tokens: llama.cpp's `llama_token_type`.
pub(super) mod kind {
    pub const NORMAL: i32 = 1;
    pub const UNKNOWN: i32 = 2;
    pub const CONTROL: i32 = 3;
    pub const USER_DEFINED: i32 = 4;
    pub const UNUSED: i32 = 5;
    pub const BYTE: i32 = 6;
}

/// Tokens with their kinds, and scores where the model has any.
#[derive(Debug, Default)]
pub(super) struct Vocabulary {
    pub tokens: Vec<String>,
    pub scores: Vec<f32>,
    pub kinds: Vec<i32>,
}

impl Vocabulary {
    pub fn push(&mut self, text: String, score: f32, kind: i32) {
        self.tokens.push(text);
        self.scores.push(score);
        self.kinds.push(kind);
    }
}

/// Adds all keys of the tokenizer.
pub(super) fn describe(
    folder: &Path,
    config: &Config,
    geometry: &Geometry,
    metadata: &mut Metadata,
    progress: &dyn Progress,
) -> Result<()> {
    let tokenizer = files::read_optional(&folder.join("tokenizer.json"))?;
    if config.arch.is_llama() {
        refuse_tekken(folder, tokenizer.as_ref())?;
        describe_prefix(folder, metadata)?;
    }
    let mut lookup =
        Lookup { folder, config: &config.raw, tokenizer: tokenizer.as_ref(), merges: false, vocab_size: None };
    let model = folder.join("tokenizer.model");
    if model.is_file() {
        let vocabulary = super::spm_vocab::load(folder, &model, geometry.vocab, progress)?;
        describe_llama(vocabulary, &mut lookup, metadata)?;
    } else {
        let Some(json) = tokenizer.as_ref() else {
            return Err(Error::Missing {
                folder: folder.to_owned(),
                what: "there is neither tokenizer.json nor tokenizer.model; download the complete repository, or save the tokenizer into the folder".to_owned(),
            });
        };
        let loaded = HfTokenizer::load(folder, json, config.arch, &config.raw)?;
        if config.arch.is_llama() && is_byte_fallback(json) {
            describe_llama(byte_fallback_vocabulary(folder, &loaded)?, &mut lookup, metadata)?;
        } else {
            let name = pre_tokenizer(folder, json, &loaded, progress)?;
            let vocabulary = bpe_vocabulary(folder, &loaded, geometry.vocab)?;
            metadata.set("tokenizer.ggml.model", "gpt2");
            metadata.set("tokenizer.ggml.pre", name);
            metadata.set("tokenizer.ggml.tokens", Array::String(vocabulary.tokens));
            metadata.set("tokenizer.ggml.token_type", Array::I32(vocabulary.kinds));
            lookup.merges = true;
            Special::load(&lookup)?.describe(metadata);
        }
    }
    describe_oddities(&lookup, config.arch, geometry.vocab, metadata)
}

/// The keys of a vocabulary with scores.
fn describe_llama(vocabulary: Vocabulary, lookup: &mut Lookup<'_>, metadata: &mut Metadata) -> Result<()> {
    lookup.vocab_size = Some(vocabulary.tokens.len() as u64);
    metadata.set("tokenizer.ggml.model", "llama");
    metadata.set("tokenizer.ggml.pre", "default");
    metadata.set("tokenizer.ggml.tokens", Array::String(vocabulary.tokens));
    metadata.set("tokenizer.ggml.scores", Array::F32(vocabulary.scores));
    metadata.set("tokenizer.ggml.token_type", Array::I32(vocabulary.kinds));
    Special::load(lookup)?.describe(metadata);
    lookup.vocab_size = None;
    Ok(())
}

fn refuse_tekken(folder: &Path, tokenizer: Option<&Json>) -> Result<()> {
    let path = folder.join("tekken.json");
    if tokenizer.is_none() && path.is_file() {
        return Err(Error::Unsupported { path, what: "the tokenizer exists only in Mistral's own format".to_owned() });
    }
    Ok(())
}

fn describe_prefix(folder: &Path, metadata: &mut Metadata) -> Result<()> {
    let path = folder.join("tokenizer_config.json");
    let Some(settings) = files::read_object(&path)? else { return Ok(()) };
    match settings.get("add_prefix_space") {
        None | Some(Json::Null) => Ok(()),
        Some(Json::Bool(add)) => {
            metadata.set("tokenizer.ggml.add_space_prefix", *add);
            Ok(())
        }
        Some(other) => {
            Err(Error::Invalid { path, what: format!("add_prefix_space is {other}, neither true nor false") })
        }
    }
}

/// Whether a `tokenizer.json` is a SentencePiece model in disguise, as old Llamas and Mistrals have it.
fn is_byte_fallback(json: &Json) -> bool {
    let model = |key: &str| json.get("model").and_then(|m| m.get(key));
    model("type").and_then(Json::as_str) == Some("BPE")
        && files::truthy(model("byte_fallback"))
        && json.get("decoder").and_then(|d| d.get("type")).and_then(Json::as_str) == Some("Sequence")
}

/// The name of the rule that splits text.
fn pre_tokenizer(folder: &Path, json: &Json, tokenizer: &HfTokenizer, progress: &dyn Progress) -> Result<&'static str> {
    let fingerprint = tokenizer.fingerprint()?;
    if let Some(name) = pretokenizer::by_fingerprint(&fingerprint) {
        return Ok(name);
    }
    let path = folder.join("tokenizer.json");
    match pretokenizer::by_structure(json.get("pre_tokenizer").unwrap_or(&Json::Null)) {
        Some(name) => {
            progress.note(&format!("{}: an unknown vocabulary with the pre-tokenizer of {name}", path.display()));
            Ok(name)
        }
        None => Err(Error::PreTokenizer { path, fingerprint }),
    }
}

/// A byte-level BPE vocabulary, filled up to `size`.
fn bpe_vocabulary(folder: &Path, tokenizer: &HfTokenizer, size: usize) -> Result<Vocabulary> {
    let mut known = tokenizer.vocabulary();
    if let Some(id) = known.keys().copied().max().filter(|id| *id as usize >= size) {
        return Err(Error::Invalid {
            path: folder.join("tokenizer.json"),
            what: format!("it has a token with the id {id}, but vocab_size in config.json is {size}"),
        });
    }
    let mut out = Vocabulary::default();
    for id in 0..size {
        let token = u32::try_from(id).ok().and_then(|id| known.remove(&id));
        let Some(token) = token else {
            out.push(format!("[PAD{id}]"), 0.0, kind::UNUSED);
            continue;
        };
        let Some(added) = token.added else {
            out.push(token.text, 0.0, kind::NORMAL);
            continue;
        };
        let text = if added.normalized { token.text } else { tokenizer.round_trip(&token.text)? };
        if added.special || looks_special(&text) {
            out.push(text, 0.0, kind::CONTROL);
        } else {
            out.push(text.replace('\u{2581}', " "), 0.0, kind::USER_DEFINED);
        }
    }
    Ok(out)
}

/// The vocabulary of a `tokenizer.json` that stands for a SentencePiece model; it has no scores, so all
/// are alike.
fn byte_fallback_vocabulary(folder: &Path, tokenizer: &HfTokenizer) -> Result<Vocabulary> {
    const SCORE: f32 = -1000.0;
    let mut known = tokenizer.vocabulary();
    let base = tokenizer.base_size();
    let is_special = |text: &str| tokenizer.special.iter().any(|s| s == text);
    let mut out = Vocabulary::default();
    for id in 0..base {
        let Some(token) = known.remove(&id) else {
            return Err(Error::Invalid {
                path: folder.join("tokenizer.json"),
                what: format!("the id {id} has no token"),
            });
        };
        let kind = match token.text.as_str() {
            text if is_byte(text) => kind::BYTE,
            text if is_special(text) => kind::CONTROL,
            _ => kind::NORMAL,
        };
        out.push(token.text, SCORE, kind);
    }
    let mut more: Vec<_> = known.into_iter().filter(|(_, token)| token.added.is_some()).collect();
    more.sort_by_key(|(id, _)| *id);
    for (_, token) in more {
        let kind = if is_special(&token.text) { kind::CONTROL } else { kind::USER_DEFINED };
        out.push(token.text, SCORE, kind);
    }
    Ok(out)
}

/// `<0x0A>`
fn is_byte(text: &str) -> bool {
    let digits = text.strip_prefix("<0x").and_then(|t| t.strip_suffix('>'));
    digits.is_some_and(|d| d.len() == 2 && d.bytes().all(|b| b.is_ascii_hexdigit()))
}

/// Whether a token is a control token although its flags do not say so.
pub(super) fn looks_special(text: &str) -> bool {
    matches!(text, "<pad>" | "<mask>" | "<2mass>" | "[@BOS@]")
        || [("<|", "|>"), ("<｜", "｜>"), ("<unused", ">")]
            .iter()
            .any(|(start, end)| text.starts_with(start) && text.ends_with(end))
}

/// Models that llama.cpp's converter knows by the size of their vocabulary.
fn describe_oddities(lookup: &Lookup<'_>, arch: Arch, vocab: usize, metadata: &mut Metadata) -> Result<()> {
    match vocab {
        // Code Llama: an end-of-turn token that its files do not name.
        32016 if arch.is_llama() => {
            let mut special = Special::load(lookup)?;
            special.set_id_default("eot", 32010);
            special.describe(metadata);
        }
        // Granite's small models.
        49152 if arch.is_llama() => metadata.set("tokenizer.ggml.add_bos_token", false),
        _ => {}
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn tokens_that_look_special_are() {
        for text in ["<|im_start|>", "<pad>", "<unused7>", "<｜end｜>"] {
            assert!(looks_special(text), "{text}");
        }
        for text in ["<tool_call>", "<|", "|>", "pad", ""] {
            assert!(!looks_special(text), "{text}");
        }
        assert!(is_byte("<0x0A>") && !is_byte("<0x0>") && !is_byte("<0xZZ>"));
    }

    #[test]
    fn the_roads_are_told_apart() {
        let old = json!({ "model": { "type": "BPE", "byte_fallback": true }, "decoder": { "type": "Sequence" } });
        let new = json!({ "model": { "type": "BPE", "byte_fallback": false, "ignore_merges": true }, "decoder": { "type": "ByteLevel" } });
        assert!(is_byte_fallback(&old) && !is_byte_fallback(&new) && !is_byte_fallback(&json!({})));
    }
}
