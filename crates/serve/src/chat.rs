//! `/v1/chat/completions`: messages through the model's chat template.

use crate::engine::Model;
use crate::error::ApiError;
use crate::queue::{Prompt, Wanted};
use crate::request::{Asked, Logprobs, Shared};
use crate::template::{self, Names};
use serde_json::{Value, json};

/// The prompt of a chat and how it is continued.
///
/// # Errors
/// The request is wrong, or the model has no chat template.
pub fn wanted(asked: &Asked, model: &Model) -> Result<Vec<Wanted>, ApiError> {
    asked.check_supported()?;
    let top_logprobs = match (&asked.logprobs, asked.top_logprobs) {
        (Some(Logprobs::Whether(true)), top) => Some(top.unwrap_or(0)),
        (Some(Logprobs::Number(_)), _) => {
            return Err(ApiError::invalid(
                "logprobs",
                "in chats logprobs is true or false; top_logprobs says how many",
            ));
        }
        (_, Some(n)) if n > 0 => {
            return Err(ApiError::invalid("top_logprobs", "top_logprobs needs logprobs to be true"));
        }
        _ => None,
    };
    let max_tokens = asked.max_completion_tokens.or(asked.max_tokens);
    if max_tokens == Some(0) {
        return Err(ApiError::invalid("max_tokens", "max_tokens must be at least 1"));
    }
    let shared = Shared { echo: false, ..Shared::of(asked, max_tokens, top_logprobs)? };
    // The template has put all special tokens where they belong.
    let text = prompt(asked, model)?;
    Ok(vec![asked.wanted(&shared, Prompt::Text { text, add_special: false }, "messages")])
}

/// The messages as the model's chat template makes them a prompt.
///
/// # Errors
/// The messages are wrong, or the model has no chat template.
pub fn prompt(asked: &Asked, model: &Model) -> Result<String, ApiError> {
    let messages = asked.messages.as_deref().unwrap_or_default();
    if messages.is_empty() {
        return Err(ApiError::invalid("messages", "messages must be an array with at least one message"));
    }
    let messages = messages.iter().map(plain).collect::<Result<Vec<Value>, _>>()?;
    let Some(template) = &model.chat_template else {
        let message = "this model has no chat template, so messages cannot be made a prompt: use /v1/completions";
        return Err(ApiError::request(400, Some("no_chat_template"), Some("messages"), message));
    };
    let names = Names { template, bos: &model.bos_text, eos: &model.eos_text };
    let more = asked.chat_template_kwargs.clone().unwrap_or_default();
    template::render(names, &messages, &more)
}

/// A message whose content is text: parts are joined, as templates for text expect it.
fn plain(message: &Value) -> Result<Value, ApiError> {
    let wrong = |what: &str| Err(ApiError::invalid("messages", what));
    let Some(fields) = message.as_object() else { return wrong("each message must be an object") };
    if !fields.get("role").is_some_and(Value::is_string) {
        return wrong("each message must have a role");
    }
    let content = match fields.get("content") {
        None | Some(Value::Null) => String::new(),
        Some(Value::String(_)) => return Ok(message.clone()),
        Some(Value::Array(parts)) => {
            let texts = parts.iter().map(|part| match part["type"].as_str() {
                Some("text") => part["text"].as_str().ok_or("a text part must have a text"),
                _ => Err("only text is understood: no images, audio or files"),
            });
            match texts.collect::<Result<Vec<_>, _>>() {
                Ok(texts) => texts.concat(),
                Err(what) => return wrong(what),
            }
        }
        Some(_) => return wrong("content must be a string or an array of parts"),
    };
    let mut fields = fields.clone();
    fields.insert("content".into(), json!(content));
    Ok(Value::Object(fields))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn model(template: Option<&str>) -> Model {
        Model {
            ctx_tokens: 100,
            ctx_train: None,
            vocab_size: 100,
            eos: vec![2],
            bos_text: "<s>".into(),
            eos_text: "</s>".into(),
            chat_template: template.map(str::to_owned),
            can_score: true,
            sequences: 1,
            native: "x".into(),
            engine_version: "1".into(),
            fingerprint: "x".into(),
            created: 0,
        }
    }

    fn wanted_of(value: Value) -> Result<Wanted, ApiError> {
        let template = "{{ bos_token }}{% for m in messages %}[{{ m.role }}]{{ m.content }}{% endfor %}";
        let asked = Asked::read(value.to_string().as_bytes())?;
        wanted(&asked, &model(Some(template))).map(|mut all| all.remove(0))
    }

    #[test]
    fn messages_become_a_prompt() {
        let parts = json!([{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]);
        let chat = json!({
            "messages": [{"role": "system", "content": "s"}, {"role": "user", "content": parts}], "max_tokens": 5,
            "max_completion_tokens": 7, "logprobs": true, "top_logprobs": 3
        });
        let wanted = wanted_of(chat).unwrap();
        assert_eq!(wanted.prompt, Prompt::Text { text: "<s>[system]s[user]ab".into(), add_special: false });
        assert_eq!((wanted.max_tokens, wanted.top_logprobs), (Some(7), Some(3)));
    }

    #[test]
    fn what_is_no_chat_is_refused() {
        let image = json!([{"type": "image_url", "image_url": {"url": "x"}}]);
        for bad in [
            json!({}),
            json!({"messages": []}),
            json!({"messages": ["hi"]}),
            json!({"messages": [{"content": "hi"}]}),
            json!({"messages": [{"role": "user", "content": image}]}),
            json!({"messages": [{"role": "user", "content": 5}]}),
            json!({"messages": [{"role": "user", "content": "x"}], "max_tokens": 0}),
            json!({"messages": [{"role": "user", "content": "x"}], "top_logprobs": 2}),
        ] {
            let error = wanted_of(bad.clone()).unwrap_err();
            assert_eq!(error.status, 400, "{bad}");
        }
    }

    #[test]
    fn a_model_without_template_says_what_to_use() {
        let asked = Asked::read(br#"{"messages": [{"role": "user", "content": "x"}]}"#).unwrap();
        let error = wanted(&asked, &model(None)).unwrap_err();
        assert!(error.message.contains("/v1/completions"), "{}", error.message);
    }
}
