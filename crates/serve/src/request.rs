//! What clients send, and what of it is taken, refused or filled in. Fields that nobody here knows are ignored.

use crate::error::ApiError;
use crate::queue::{Only, Prompt, Wanted};
use serde::Deserialize;
use serde_json::{Map, Value};
use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};

/// The most log-probabilities per token that are told.
const MOST_LOGPROBS: u32 = 20;
/// The most stop strings.
const MOST_STOPS: usize = 64;

/// The body of both endpoints.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Asked {
    pub model: Option<String>,
    pub messages: Option<Vec<Value>>,
    pub prompt: Option<Prompts>,
    pub stream: Option<bool>,
    pub stream_options: Option<StreamOptions>,
    pub max_tokens: Option<u32>,
    pub max_completion_tokens: Option<u32>,
    pub temperature: Option<f32>,
    pub top_p: Option<f32>,
    pub seed: Option<i64>,
    pub stop: Option<OneOrMany>,
    pub logprobs: Option<Logprobs>,
    pub top_logprobs: Option<u32>,
    pub echo: Option<bool>,
    /// An extension, as in other servers of open models.
    pub ignore_eos: Option<bool>,
    /// Further variables for the chat template, as in other servers of open models.
    pub chat_template_kwargs: Option<Map<String, Value>>,
    pub n: Option<u32>,
    pub best_of: Option<u32>,
    pub presence_penalty: Option<f32>,
    pub frequency_penalty: Option<f32>,
    pub logit_bias: Option<Value>,
    pub suffix: Option<Value>,
    pub tools: Option<Value>,
    pub functions: Option<Value>,
    pub response_format: Option<Value>,
}

/// `prompt`.
#[derive(Debug, Deserialize)]
#[serde(
    untagged,
    expecting = "prompt must be a string, an array of strings, an array of token ids, or an array of such arrays"
)]
pub enum Prompts {
    Text(String),
    Tokens(Vec<u32>),
    Texts(Vec<String>),
    Lists(Vec<Vec<u32>>),
}

/// `stop`.
#[derive(Debug, Deserialize)]
#[serde(untagged, expecting = "stop must be a string or an array of strings")]
pub enum OneOrMany {
    One(String),
    Many(Vec<String>),
}

/// `logprobs`: whether in chats, how many in completions.
#[derive(Debug, Deserialize)]
#[serde(untagged, expecting = "logprobs must be true or false in chats and a whole number in completions")]
pub enum Logprobs {
    Whether(bool),
    Number(u32),
}

/// `stream_options`.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct StreamOptions {
    /// Whether the last chunk tells the usage.
    pub include_usage: bool,
}

impl Asked {
    /// Reads a body.
    ///
    /// # Errors
    /// It is no JSON, or a field is not what it should be.
    pub fn read(body: &[u8]) -> Result<Asked, ApiError> {
        serde_json::from_slice(body).map_err(|error| ApiError::body(format!("the body is no such request: {error}")))
    }

    /// Whether this model is meant.
    pub fn check_model(&self, served: &str) -> Result<(), ApiError> {
        match self.model.as_deref() {
            Some(model) if model == served => Ok(()),
            Some(model) => {
                let message = format!("the model {model:?} is not served here; {served:?} is");
                Err(ApiError::request(404, Some("model_not_found"), Some("model"), message))
            }
            None => Err(ApiError::invalid("model", format!("which model? {served:?} is served here"))),
        }
    }

    /// What is refused rather than ignored: the answer would not be what was asked for.
    pub fn check_supported(&self) -> Result<(), ApiError> {
        let given = |value: &Option<Value>| match value {
            None | Some(Value::Null | Value::Bool(false)) => false,
            Some(Value::Array(list)) => !list.is_empty(),
            Some(Value::Object(map)) => !map.is_empty(),
            Some(Value::String(text)) => !text.is_empty(),
            Some(_) => true,
        };
        let is_text = |format: &Value| format.get("type").is_none_or(|kind| kind == "text");
        let refused = [
            ("n", self.n.is_some_and(|n| n != 1), "only one choice is generated: n must be 1"),
            ("best_of", self.best_of.is_some_and(|n| n != 1), "only one choice is generated: best_of must be 1"),
            ("presence_penalty", self.presence_penalty.is_some_and(|x| x != 0.0), "penalties are not offered"),
            ("frequency_penalty", self.frequency_penalty.is_some_and(|x| x != 0.0), "penalties are not offered"),
            ("logit_bias", given(&self.logit_bias), "logit_bias is not offered"),
            ("suffix", given(&self.suffix), "suffix is not offered: a prompt is continued at its end"),
            ("tools", given(&self.tools), "tools are not offered"),
            ("functions", given(&self.functions), "functions are not offered"),
            (
                "response_format",
                self.response_format.as_ref().is_some_and(|format| format.is_object() && !is_text(format)),
                "only response_format text is offered",
            ),
        ];
        match refused.into_iter().find(|(_, is_refused, _)| *is_refused) {
            Some((param, _, why)) => Err(ApiError::request(400, Some("unsupported_parameter"), Some(param), why)),
            None => Ok(()),
        }
    }

    /// Whether the answer is streamed, and whether its usage then comes last.
    pub fn streams(&self) -> Option<bool> {
        let usage = self.stream_options.as_ref().is_some_and(|options| options.include_usage);
        self.stream.unwrap_or(false).then_some(usage)
    }

    /// One prompt with the settings that all of the request's prompts share.
    pub fn wanted(&self, shared: &Shared, prompt: Prompt, param: &'static str) -> Wanted {
        Wanted {
            only: Only::Completion,
            prompt,
            param,
            max_tokens: shared.max_tokens,
            temperature: shared.temperature,
            top_p: shared.top_p,
            seed: shared.seed,
            ignore_eos: self.ignore_eos.unwrap_or(false),
            top_logprobs: shared.top_logprobs,
            stops: shared.stops.clone(),
            echo: shared.echo,
        }
    }
}

/// Settings, checked.
#[derive(Debug, Clone, PartialEq)]
pub struct Shared {
    /// At most so many tokens; `None`: until the context is full.
    pub max_tokens: Option<u32>,
    /// 0 is greedy.
    pub temperature: f32,
    /// Above 0, at most 1.
    pub top_p: f32,
    /// The client's, or one of chance.
    pub seed: u64,
    /// `None`: no log-probabilities.
    pub top_logprobs: Option<u32>,
    /// Without empty ones.
    pub stops: Vec<String>,
    /// Whether the prompt is told.
    pub echo: bool,
}

impl Shared {
    /// Checks the settings of a request.
    pub fn of(asked: &Asked, max_tokens: Option<u32>, top_logprobs: Option<u32>) -> Result<Shared, ApiError> {
        let temperature = asked.temperature.unwrap_or(1.0);
        if !(0.0..=2.0).contains(&temperature) {
            return Err(ApiError::invalid("temperature", format!("temperature is from 0 to 2, not {temperature}")));
        }
        let top_p = asked.top_p.unwrap_or(1.0);
        if !(top_p > 0.0 && top_p <= 1.0) {
            return Err(ApiError::invalid("top_p", format!("top_p is above 0 and at most 1, not {top_p}")));
        }
        if top_logprobs.is_some_and(|n| n > MOST_LOGPROBS) {
            let message = format!("at most {MOST_LOGPROBS} log-probabilities per token are told");
            return Err(ApiError::invalid("top_logprobs", message));
        }
        let stops = match &asked.stop {
            None => Vec::new(),
            Some(OneOrMany::One(stop)) => vec![stop.clone()],
            Some(OneOrMany::Many(stops)) => stops.clone(),
        };
        if stops.len() > MOST_STOPS {
            return Err(ApiError::invalid("stop", format!("at most {MOST_STOPS} stop strings are taken")));
        }
        Ok(Shared {
            max_tokens,
            temperature,
            top_p,
            seed: asked.seed.map_or_else(chance, |seed| seed as u64),
            top_logprobs,
            stops,
            echo: asked.echo.unwrap_or(false),
        })
    }
}

/// A number that nobody knows beforehand: the standard library seeds its hash maps with such.
pub fn chance() -> u64 {
    RandomState::new().build_hasher().finish()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn asked(value: Value) -> Asked {
        Asked::read(value.to_string().as_bytes()).unwrap()
    }

    #[test]
    fn prompts_come_in_four_forms() {
        let prompt = |value| asked(json!({ "prompt": value })).prompt.unwrap();
        assert!(matches!(prompt(json!("a")), Prompts::Text(text) if text == "a"));
        assert!(matches!(prompt(json!([1, 2])), Prompts::Tokens(ids) if ids == [1, 2]));
        assert!(matches!(prompt(json!(["a", "b"])), Prompts::Texts(texts) if texts.len() == 2));
        assert!(matches!(prompt(json!([[1], [2, 3]])), Prompts::Lists(lists) if lists[1] == [2, 3]));
        let error = Asked::read(br#"{"prompt": {"a": 1}}"#).unwrap_err();
        assert!(error.status == 400 && error.message.contains("array of token ids"), "{}", error.message);
    }

    #[test]
    fn what_is_no_json_says_where() {
        let error = Asked::read(b"{\"model\": ").unwrap_err();
        assert!(error.status == 400 && error.message.contains("line 1"), "{}", error.message);
    }

    #[test]
    fn an_unknown_model_is_not_found() {
        let error = asked(json!({"model": "b"})).check_model("a").unwrap_err();
        assert_eq!((error.status, error.code), (404, Some("model_not_found")));
        assert!(asked(json!({"model": "a"})).check_model("a").is_ok());
        assert_eq!(asked(json!({})).check_model("a").unwrap_err().status, 400);
    }

    #[test]
    fn what_would_change_the_answer_is_refused_and_defaults_are_not() {
        let fine = json!({
            "n": 1, "logit_bias": {}, "tools": [], "suffix": null, "presence_penalty": 0, "response_format": {"type": "text"},
            "user": "somebody", "tool_choice": "none"
        });
        assert_eq!(asked(fine).check_supported(), Ok(()));
        for (param, value) in [
            ("n", json!(2)),
            ("best_of", json!(3)),
            ("tools", json!([{"type": "function"}])),
            ("logit_bias", json!({"5": 1})),
            ("frequency_penalty", json!(0.5)),
            ("response_format", json!({"type": "json_object"})),
        ] {
            let error = asked(json!({ param: value })).check_supported().unwrap_err();
            assert_eq!((error.status, error.param), (400, Some(param)));
        }
    }

    #[test]
    fn settings_out_of_range_are_refused() {
        let shared = |value| Shared::of(&asked(value), None, None);
        assert_eq!(shared(json!({"temperature": 0, "seed": 5, "stop": "x"})).unwrap().stops, ["x"]);
        assert_eq!(shared(json!({"seed": -1})).unwrap().seed, u64::MAX);
        for bad in [json!({"temperature": 3}), json!({"temperature": -0.1}), json!({"top_p": 0}), json!({"top_p": 1.5})]
        {
            assert_eq!(shared(bad).unwrap_err().status, 400);
        }
        assert_eq!(Shared::of(&asked(json!({})), None, Some(21)).unwrap_err().param, Some("top_logprobs"));
    }

    #[test]
    fn streams_say_whether_usage_is_wanted() {
        assert_eq!(asked(json!({"stream_options": {"include_usage": true}})).streams(), None);
        assert_eq!(asked(json!({"stream": true})).streams(), Some(false));
        assert_eq!(asked(json!({"stream": true, "stream_options": {"include_usage": true}})).streams(), Some(true));
    }
}
