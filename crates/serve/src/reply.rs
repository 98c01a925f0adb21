//! What clients are sent: whole answers and chunks, in the two shapes of OpenAI's API.

use crate::queue::{Chunk, TokenInfo};
use crate::request::chance;
use serde_json::{Map, Value, json};
use std::time::{SystemTime, UNIX_EPOCH};
use tokometer_protocol::Finish;

/// Which of the two endpoints answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// `/v1/chat/completions`.
    Chat,
    /// `/v1/completions`.
    Text,
}

/// What all parts of one answer repeat.
#[derive(Debug, Clone)]
pub struct Head {
    shape: Shape,
    id: String,
    created: u64,
    model: String,
    fingerprint: String,
    tells_logprobs: bool,
}

/// Tokens of an answer.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Usage {
    /// Of the prompts.
    pub prompt: u64,
    /// Generated.
    pub completion: u64,
}

impl Usage {
    fn object(self) -> Value {
        json!({
            "prompt_tokens": self.prompt, "completion_tokens": self.completion,
            "total_tokens": self.prompt + self.completion,
        })
    }
}

impl Head {
    /// Of a new answer.
    pub fn new(shape: Shape, model: &str, fingerprint: &str, tells_logprobs: bool) -> Head {
        let prefix = match shape {
            Shape::Chat => "chatcmpl",
            Shape::Text => "cmpl",
        };
        Head {
            shape,
            id: format!("{prefix}-{:016x}", chance()),
            created: SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs()),
            model: model.to_owned(),
            fingerprint: fingerprint.to_owned(),
            tells_logprobs,
        }
    }

    /// The whole answer at once.
    pub fn whole(&self, choices: Vec<Value>, usage: Usage) -> Value {
        let object = match self.shape {
            Shape::Chat => "chat.completion",
            Shape::Text => "text_completion",
        };
        let mut value = self.around(object, choices);
        value["usage"] = usage.object();
        value
    }

    /// A choice of a whole answer.
    pub fn choice(&self, index: usize, all: &Chunk, finish: Finish) -> Value {
        let (logprobs, finish) = (self.logprobs(all, 0), reason(finish));
        match self.shape {
            Shape::Chat => json!({
                "index": index, "message": {"role": "assistant", "content": all.text, "refusal": null},
                "logprobs": logprobs, "finish_reason": finish,
            }),
            Shape::Text => json!({"index": index, "text": all.text, "logprobs": logprobs, "finish_reason": finish}),
        }
    }

    /// A chunk of a streamed answer. With `usage` there is a field for it, which is null until the last chunk.
    pub fn chunk(&self, choices: Vec<Value>, usage: Option<Option<Usage>>) -> Value {
        let object = match self.shape {
            Shape::Chat => "chat.completion.chunk",
            Shape::Text => "text_completion",
        };
        let mut value = self.around(object, choices);
        if let Some(usage) = usage {
            value["usage"] = usage.map_or(Value::Null, Usage::object);
        }
        value
    }

    /// A choice of a chunk: what is new of it. `offset` characters of its text came before; the first has the role.
    pub fn delta(&self, index: usize, new: &Chunk, offset: Option<usize>, finish: Option<Finish>) -> Value {
        let logprobs = match new.tokens.is_empty() {
            true => Value::Null,
            false => self.logprobs(new, offset.unwrap_or(0)),
        };
        let finish = finish.map_or(Value::Null, |finish| json!(reason(finish)));
        match self.shape {
            Shape::Chat => {
                let mut delta = Map::new();
                if offset.is_none() {
                    delta.insert("role".into(), json!("assistant"));
                }
                if offset.is_none() || !new.text.is_empty() {
                    delta.insert("content".into(), json!(new.text));
                }
                json!({"index": index, "delta": delta, "logprobs": logprobs, "finish_reason": finish})
            }
            Shape::Text => json!({"index": index, "text": new.text, "logprobs": logprobs, "finish_reason": finish}),
        }
    }

    fn around(&self, object: &str, choices: Vec<Value>) -> Value {
        json!({
            "id": self.id, "object": object, "created": self.created, "model": self.model,
            "system_fingerprint": self.fingerprint, "choices": choices,
        })
    }

    fn logprobs(&self, chunk: &Chunk, offset: usize) -> Value {
        match self.shape {
            _ if !self.tells_logprobs => Value::Null,
            Shape::Chat => json!({"content": chunk.tokens.iter().map(of_chat).collect::<Vec<_>>(), "refusal": null}),
            Shape::Text => of_text(&chunk.tokens, offset),
        }
    }
}

/// As the API names it. Nobody is told of a generation that was cancelled.
fn reason(finish: Finish) -> &'static str {
    match finish {
        Finish::Stop => "stop",
        Finish::Length | Finish::Cancelled => "length",
    }
}

fn of_chat(token: &TokenInfo) -> Value {
    let entry = |text: &str, logprob: Option<f32>| json!({"token": text, "logprob": logprob, "bytes": text.as_bytes()});
    let mut value = entry(&token.text, token.logprob);
    value["top_logprobs"] = token.top.iter().map(|(text, logprob)| entry(text, Some(*logprob))).collect();
    value
}

/// Four lists with an entry for each token. Two tokens of the same text are one in `top_logprobs`: the more probable one.
fn of_text(tokens: &[TokenInfo], offset: usize) -> Value {
    let (mut offsets, mut at) = (Vec::with_capacity(tokens.len()), offset);
    for token in tokens {
        offsets.push(at);
        at += token.text.chars().count();
    }
    let tops = tokens.iter().map(|token| {
        if token.logprob.is_none() {
            return Value::Null;
        }
        let mut top: Map<String, Value> = Map::new();
        let mut sorted: Vec<_> = token.top.iter().collect();
        sorted.sort_by(|a, b| b.1.total_cmp(&a.1));
        for (text, logprob) in sorted {
            top.entry(text.clone()).or_insert_with(|| json!(logprob));
        }
        Value::Object(top)
    });
    json!({
        "tokens": tokens.iter().map(|token| token.text.as_str()).collect::<Vec<_>>(),
        "token_logprobs": tokens.iter().map(|token| token.logprob).collect::<Vec<_>>(),
        "top_logprobs": tops.collect::<Vec<_>>(),
        "text_offset": offsets,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chunk() -> Chunk {
        let token = |text: &str, logprob| TokenInfo {
            text: text.into(),
            logprob,
            top: vec![("x".into(), -0.25), (text.into(), -0.5), ("x".into(), -3.0)],
        };
        Chunk { text: "é b".into(), tokens: vec![token("é", None), token(" b", Some(-0.5))] }
    }

    #[test]
    fn completions_tell_lists_and_chats_tell_objects() {
        let text = Head::new(Shape::Text, "m", "f", true).choice(0, &chunk(), Finish::Length);
        let wanted = json!({
            "tokens": ["é", " b"], "token_logprobs": [null, -0.5], "text_offset": [0, 1],
            "top_logprobs": [null, {"x": -0.25, " b": -0.5}],
        });
        assert_eq!(text["logprobs"], wanted);
        assert_eq!(text["finish_reason"], "length");
        let chat = Head::new(Shape::Chat, "m", "f", true).choice(0, &chunk(), Finish::Stop);
        assert_eq!(chat["message"]["content"], "é b");
        assert_eq!(chat["logprobs"]["content"][0]["bytes"], json!([195, 169]));
        assert_eq!(chat["logprobs"]["content"][1]["top_logprobs"][0]["token"], "x");
        let silent = Head::new(Shape::Chat, "m", "f", false).choice(0, &chunk(), Finish::Stop);
        assert_eq!(silent["logprobs"], Value::Null);
    }

    #[test]
    fn the_role_comes_first_and_usage_last() {
        let head = Head::new(Shape::Chat, "m", "f", false);
        let new = Chunk { text: "a".into(), tokens: vec![] };
        assert_eq!(head.delta(0, &new, None, None)["delta"], json!({"role": "assistant", "content": "a"}));
        assert_eq!(head.delta(0, &new, Some(1), None)["delta"], json!({"content": "a"}));
        let end = head.delta(0, &Chunk::default(), Some(1), Some(Finish::Stop));
        assert_eq!((&end["delta"], &end["finish_reason"]), (&json!({}), &json!("stop")));
        let chunk = head.chunk(vec![], Some(Some(Usage { prompt: 2, completion: 3 })));
        assert_eq!(chunk["usage"], json!({"prompt_tokens": 2, "completion_tokens": 3, "total_tokens": 5}));
        assert_eq!(head.chunk(vec![], Some(None))["usage"], Value::Null);
        assert!(head.chunk(vec![], None).get("usage").is_none());
        let whole = head.whole(vec![], Usage::default());
        assert_eq!(whole["object"], "chat.completion");
        assert!(whole["id"].as_str().unwrap().starts_with("chatcmpl-"));
    }
}
