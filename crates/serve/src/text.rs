//! The model's own text: its chat template and its tokenizer, as other servers of open models offer them, so that evaluations
//! ask for exactly what the model will see. `/apply-template` is llama-server's, `/tokenizer_info`, `/tokenize` and
//! `/detokenize` are vLLM's.

use crate::chat;
use crate::engine::Model;
use crate::error::ApiError;
use crate::queue::{Event, Only, Prompt, Queue, Wanted};
use crate::request::Asked;
use serde::Deserialize;
use serde_json::{Value, json};

/// The body of `/tokenize`.
#[derive(Debug, Deserialize)]
struct Tokenize {
    /// The text; llama-server calls it `content`.
    #[serde(alias = "content")]
    prompt: String,
    /// Whether the model's BOS is put before it.
    #[serde(default = "yes", alias = "add_special")]
    add_special_tokens: bool,
}

/// The body of `/detokenize`.
#[derive(Debug, Deserialize)]
struct Detokenize {
    tokens: Vec<u32>,
}

fn yes() -> bool {
    true
}

/// The prompt that messages become.
///
/// # Errors
/// The messages are wrong, or the model has no chat template.
pub fn apply_template(body: &[u8], model: &Model) -> Result<Value, ApiError> {
    let asked = Asked::read(body)?;
    Ok(json!({ "prompt": chat::prompt(&asked, model)? }))
}

/// The names of the special tokens, and the template.
pub fn tokenizer_info(model: &Model) -> Value {
    json!({
        "bos_token": model.bos_text, "eos_token": model.eos_text, "chat_template": model.chat_template,
        "model_max_length": model.ctx_tokens, "vocab_size": model.vocab_size,
    })
}

/// A text as tokens; the names of special tokens in it are those tokens.
///
/// # Errors
/// The request is wrong, or the worker failed.
pub async fn tokenize(body: &[u8], model: &Model, queue: &Queue) -> Result<Value, ApiError> {
    let asked: Tokenize = read(body)?;
    let prompt = Prompt::Text { text: asked.prompt, add_special: asked.add_special_tokens };
    match answer(queue, Wanted::only(Only::Tokens, prompt, "prompt")).await? {
        Event::Tokens(tokens) => {
            Ok(json!({ "count": tokens.len(), "max_model_len": model.ctx_tokens, "tokens": tokens }))
        }
        _ => Err(lost()),
    }
}

/// Tokens as a text.
///
/// # Errors
/// The request is wrong, or the worker failed.
pub async fn detokenize(body: &[u8], queue: &Queue) -> Result<Value, ApiError> {
    let asked: Detokenize = read(body)?;
    match answer(queue, Wanted::only(Only::Text, Prompt::Tokens(asked.tokens), "tokens")).await? {
        Event::Text(text) => Ok(json!({ "prompt": text })),
        _ => Err(lost()),
    }
}

fn read<'a, T: Deserialize<'a>>(body: &'a [u8]) -> Result<T, ApiError> {
    serde_json::from_slice(body).map_err(|error| ApiError::body(format!("the body is no such request: {error}")))
}

async fn answer(queue: &Queue, wanted: Wanted) -> Result<Event, ApiError> {
    match queue.put(wanted)?.events.recv().await {
        Some(Event::Failed(error)) => Err(error),
        Some(event) => Ok(event),
        None => Err(lost()),
    }
}

fn lost() -> ApiError {
    ApiError::unavailable("stopping", "the server stopped before it answered")
}
