//! The vocabulary of a SentencePiece model with what the files beside it add, filled up to the size in
//! `config.json` (`_create_vocab_sentencepiece` of llama.cpp's converter).

use std::fs;
use std::path::Path;

use serde_json::Value as Json;

use super::error::{Error, Result};
use super::files;
use super::sentencepiece;
use super::tokenizer::{Vocabulary, kind, looks_special};
use crate::progress::Progress;

/// Tokens that no file names.
const PADDING_SCORE: f32 = -10_000.0;
/// Tokens that were added to the model.
const ADDED_SCORE: f32 = -1000.0;

/// Reads `model` (the `tokenizer.model` of `folder`).
pub(super) fn load(folder: &Path, model: &Path, size: usize, progress: &dyn Progress) -> Result<Vocabulary> {
    let bytes = fs::read(model).map_err(|why| Error::Read { path: model.to_owned(), why })?;
    let pieces = sentencepiece::pieces(&bytes).map_err(|what| Error::Invalid { path: model.to_owned(), what })?;
    if pieces.len() > size {
        progress.warn(&format!(
            "{}: {} tokens are beyond vocab_size ({size}) and left out",
            model.display(),
            pieces.len() - size
        ));
    }
    let mut out = Vocabulary::default();
    for piece in pieces.into_iter().take(size) {
        let kind = match piece.kind {
            2 => kind::UNKNOWN,
            3 => kind::CONTROL,
            5 => kind::UNUSED,
            6 => kind::BYTE,
            _ => kind::NORMAL,
        };
        out.push(piece.text, piece.score, kind);
    }
    for id in out.tokens.len()..size {
        out.push(format!("[PAD{id}]"), PADDING_SCORE, kind::UNUSED);
    }
    add_from_files(folder, &mut out)?;
    Ok(out)
}

fn add_from_files(folder: &Path, vocabulary: &mut Vocabulary) -> Result<()> {
    for (text, id) in files::read_object(&folder.join("added_tokens.json"))?.unwrap_or_default() {
        replace(vocabulary, id.as_u64(), text, kind::USER_DEFINED);
    }
    let settings = files::read_object(&folder.join("tokenizer_config.json"))?.unwrap_or_default();
    for (id, token) in settings.get("added_tokens_decoder").and_then(Json::as_object).into_iter().flatten() {
        let Some(text) = token.get("content").and_then(Json::as_str) else { continue };
        if files::truthy(token.get("special")) || looks_special(text) {
            replace(vocabulary, id.parse().ok(), text.to_owned(), kind::CONTROL);
        } else {
            replace(vocabulary, id.parse().ok(), text.replace('\u{2581}', " "), kind::USER_DEFINED);
        }
    }
    Ok(())
}

/// Gives an id another token; ids beyond the vocabulary are passed over.
fn replace(vocabulary: &mut Vocabulary, id: Option<u64>, text: String, kind: i32) {
    let Some(id) = id.and_then(|id| usize::try_from(id).ok()).filter(|id| *id < vocabulary.tokens.len()) else {
        return;
    };
    vocabulary.tokens[id] = text;
    vocabulary.scores[id] = ADDED_SCORE;
    vocabulary.kinds[id] = kind;
}
