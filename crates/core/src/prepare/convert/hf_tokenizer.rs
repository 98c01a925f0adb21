//! A `tokenizer.json` as `transformers` would load it: with the tokens that `tokenizer_config.json` and
//! its companions add, and the habits of the tokenizer's class. Version 4.57, which llama.cpp's
//! converter pins.

use std::collections::HashMap;
use std::fmt::Display;
use std::path::{Path, PathBuf};

use serde_json::{Value as Json, json};
use tokenizers::{AddedToken, Tokenizer};

use super::arch::Arch;
use super::error::{Error, Result};
use super::files::{self, Object};
use super::pretokenizer;
use super::special::KINDS;

/// A loaded tokenizer.
pub(super) struct HfTokenizer {
    tokenizer: Tokenizer,
    path: PathBuf,
    /// Texts of the tokens that have a special role (BOS, EOS, ...).
    pub special: Vec<String>,
    /// The ids that its class puts before and after a text, where the class decides.
    around: Option<(Vec<u32>, Vec<u32>)>,
}

/// One entry of the vocabulary.
pub(super) struct Token {
    pub text: String,
    /// The flags of a token that is matched as a whole; `None` for one that BPE makes.
    pub added: Option<AddedToken>,
}

impl HfTokenizer {
    /// Loads `json`, the content of the folder's `tokenizer.json`.
    pub fn load(folder: &Path, json: &Json, arch: Arch, config: &Object) -> Result<HfTokenizer> {
        let path = folder.join("tokenizer.json");
        let settings = files::read_object(&folder.join("tokenizer_config.json"))?.unwrap_or_default();
        let class = class_name(&settings, config, arch);
        let mut tokenizer = parse(json, &settings, &class).map_err(|why| invalid(&path, &why))?;
        let (to_add, special) = added_tokens(folder, json, &settings, &class)?;
        tokenizer.add_tokens(to_add).map_err(|why| invalid(&path, &why))?;
        let around = class_ids(&tokenizer, &settings, &class);
        Ok(HfTokenizer { tokenizer, path, special, around })
    }

    /// Every token by its id.
    pub fn vocabulary(&self) -> HashMap<u32, Token> {
        let added = self.tokenizer.get_added_tokens_decoder();
        let vocab = self.tokenizer.get_vocab(true);
        vocab.into_iter().map(|(text, id)| (id, Token { text, added: added.get(&id).cloned() })).collect()
    }

    /// How many tokens BPE itself knows.
    pub fn base_size(&self) -> u32 {
        u32::try_from(self.tokenizer.get_vocab_size(false)).unwrap_or(u32::MAX)
    }

    /// What the tokenizer makes of a token's text and turns back into text.
    pub fn round_trip(&self, text: &str) -> Result<String> {
        let wrong = |why: tokenizers::Error| invalid(&self.path, &why);
        let encoding = self.tokenizer.encode(text, false).map_err(wrong)?;
        self.tokenizer.decode(encoding.get_ids(), false).map_err(wrong)
    }

    /// What identifies it: see [`pretokenizer::fingerprint`].
    pub fn fingerprint(&self) -> Result<String> {
        let around = self.around.as_ref().map(|(before, after)| (before.as_slice(), after.as_slice()));
        pretokenizer::fingerprint(&self.tokenizer, around).map_err(|why| invalid(&self.path, &why))
    }
}

fn invalid(path: &Path, why: &dyn Display) -> Error {
    Error::Invalid { path: path.to_owned(), what: format!("the tokenizer cannot be used: {why}") }
}

/// The tokenizer's class, without the `Fast` at its end.
fn class_name(settings: &Object, config: &Object, arch: Arch) -> String {
    let named = [settings, config].into_iter().find_map(|o| o.get("tokenizer_class")?.as_str());
    let class = named.unwrap_or(match arch {
        Arch::Llama | Arch::Mistral => "LlamaTokenizer",
        Arch::Qwen2 | Arch::Qwen3 => "Qwen2Tokenizer",
    });
    class.trim_end_matches("Fast").to_owned()
}

fn is_llama_class(class: &str) -> bool {
    matches!(class, "LlamaTokenizer" | "CodeLlamaTokenizer")
}

/// Builds the tokenizer, without the truncation and padding that a file may carry.
fn parse(json: &Json, settings: &Object, class: &str) -> tokenizers::Result<Tokenizer> {
    let mut json = json.clone();
    if let Some(object) = json.as_object_mut() {
        object.insert("truncation".to_owned(), Json::Null);
        object.insert("padding".to_owned(), Json::Null);
    }
    // Most classes have an opinion about the space in front, and it overrules the file's.
    if let Some(step) =
        json.get_mut("pre_tokenizer").filter(|p| !is_llama_class(class) && p.get("type") == Some(&json!("ByteLevel")))
    {
        step["add_prefix_space"] = Json::from(files::truthy(settings.get("add_prefix_space")));
    }
    Tokenizer::from_bytes(serde_json::to_vec(&json)?)
}

/// The special tokens that a class assumes.
fn class_defaults(class: &str) -> &'static [(&'static str, &'static str)] {
    match class {
        "LlamaTokenizer" => &[("bos", "<s>"), ("eos", "</s>"), ("unk", "<unk>")],
        "Qwen2Tokenizer" => &[("eos", "<|endoftext|>"), ("unk", "<|endoftext|>"), ("pad", "<|endoftext|>")],
        "GPT2Tokenizer" => &[("bos", "<|endoftext|>"), ("eos", "<|endoftext|>"), ("unk", "<|endoftext|>")],
        _ => &[],
    }
}

/// The tokens to add to those of the file, and the texts of all special ones.
fn added_tokens(folder: &Path, json: &Json, settings: &Object, class: &str) -> Result<(Vec<AddedToken>, Vec<String>)> {
    let mut settings = settings.clone();
    let mut listed: Vec<(u64, AddedToken)> = Vec::new();
    if let Some(decoder) = settings.get("added_tokens_decoder").and_then(Json::as_object) {
        listed.extend(decoder.iter().filter_map(|(id, token)| Some((id.parse().ok()?, token_of(token, false)?))));
    } else {
        // Older checkpoints keep the same in files of their own.
        settings.extend(files::read_object(&folder.join("special_tokens_map.json"))?.unwrap_or_default());
        for (text, id) in files::read_object(&folder.join("added_tokens.json"))?.unwrap_or_default() {
            listed.extend(id.as_u64().map(|id| (id, AddedToken::from(text, false))));
        }
        for token in json.get("added_tokens").and_then(Json::as_array).into_iter().flatten() {
            let id = token.get("id").and_then(Json::as_u64);
            listed.extend(id.zip(token_of(token, false)));
        }
    }
    listed.sort_by_key(|(id, _)| *id);
    let special = special_tokens(&settings, class);
    let mut tokens: Vec<AddedToken> = listed.into_iter().map(|(_, token)| token).collect();
    for token in &mut tokens {
        token.special |= special.iter().any(|s| s.content == token.content);
    }
    let in_file = |text: &str| {
        let entries = json.get("added_tokens").and_then(Json::as_array);
        entries.into_iter().flatten().any(|t| t.get("content").and_then(Json::as_str) == Some(text))
    };
    let known = |tokens: &[AddedToken], text: &str| tokens.iter().any(|t| t.content == text) || in_file(text);
    for token in &special {
        if !known(&tokens, &token.content) {
            tokens.push(token.clone());
        }
    }
    Ok((tokens, special.into_iter().map(|t| t.content).collect()))
}

/// The tokens with a special role, each once.
fn special_tokens(settings: &Object, class: &str) -> Vec<AddedToken> {
    let mut found: Vec<AddedToken> = Vec::new();
    let mut add = |token: Option<AddedToken>| {
        if let Some(token) = token.filter(|t| !t.content.is_empty() && found.iter().all(|f| f.content != t.content)) {
            found.push(token);
        }
    };
    for kind in KINDS {
        let default =
            class_defaults(class).iter().find(|(k, _)| *k == kind).map(|(_, text)| AddedToken::from(*text, true));
        match settings.get(&format!("{kind}_token")) {
            Some(token) => add(token_of(token, true)),
            None => add(default),
        }
    }
    for token in settings.get("additional_special_tokens").and_then(Json::as_array).into_iter().flatten() {
        add(token_of(token, true));
    }
    found
}

/// A token as a text or as an object with its flags.
fn token_of(token: &Json, special: bool) -> Option<AddedToken> {
    let text = files::token_text(token)?;
    let flag = |name: &str, default: bool| token.get(name).and_then(Json::as_bool).unwrap_or(default);
    let special = special || flag("special", false);
    let plain = AddedToken::from(text, special).normalized(flag("normalized", !special));
    Some(plain.single_word(flag("single_word", false)).lstrip(flag("lstrip", false)).rstrip(flag("rstrip", false)))
}

/// The ids that Llama's class puts around a text, whatever the file's post-processor says.
fn class_ids(tokenizer: &Tokenizer, settings: &Object, class: &str) -> Option<(Vec<u32>, Vec<u32>)> {
    if !is_llama_class(class) {
        return None;
    }
    let id = |kind: &str, default: &str, add: bool| {
        let flag = settings.get(&format!("add_{kind}_token")).and_then(Json::as_bool).unwrap_or(add);
        let text = settings.get(&format!("{kind}_token")).map_or(Some(default), files::token_text);
        let id = text.filter(|_| flag).and_then(|text| tokenizer.token_to_id(text));
        id.into_iter().collect::<Vec<u32>>()
    };
    Some((id("bos", "<s>", true), id("eos", "</s>", false)))
}
