//! Requests to an OpenAI-compatible endpoint: an answer, or the log-likelihood of a text.

use crate::Error;
use serde_json::{Value, json};
use std::time::Duration;

/// What a model answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    /// The text.
    pub text: String,
    /// Why it ended: `stop`, `length`.
    pub finish_reason: Option<String>,
}

/// Why a request has no answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// The server answered with an error: this request is wrong, others may do.
    Request(String),
    /// No answer came: the server is gone.
    Gone(String),
}

/// A client of one endpoint.
#[derive(Debug)]
pub struct Client {
    agent: ureq::Agent,
    url: String,
    model: String,
}

impl Client {
    /// For an endpoint with this base address and this name of its model. A request may take as long as `patience`.
    pub fn new(url: &str, model: &str, patience: Duration) -> Client {
        let config = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .proxy(None)
            .timeout_global(Some(patience))
            .build();
        Client { agent: config.into(), url: url.trim_end_matches('/').to_owned(), model: model.to_owned() }
    }

    /// A greedy answer to one message, of at most so many tokens.
    ///
    /// # Errors
    /// See [`Refusal`].
    pub fn chat(&self, prompt: &str, max_tokens: u32) -> std::result::Result<Reply, Refusal> {
        let body = json!({
            "model": self.model, "messages": [{"role": "user", "content": prompt}],
            "temperature": 0, "max_tokens": max_tokens,
        });
        let answer = self.post(&format!("{}/chat/completions", self.url), &body)?;
        let choice = &answer["choices"][0];
        let text = choice["message"]["content"].as_str();
        let text = text.ok_or_else(|| Refusal::Request(format!("an answer without a text: {}", short(&answer))))?;
        Ok(Reply { text: text.to_owned(), finish_reason: choice["finish_reason"].as_str().map(str::to_owned) })
    }

    /// The log-likelihood of a text, nats: the sum over its tokens but the first, of which a model says nothing.
    ///
    /// # Errors
    /// See [`Refusal`].
    pub fn log_likelihood(&self, text: &str) -> std::result::Result<f64, Refusal> {
        let body = json!({
            "model": self.model, "prompt": text, "max_tokens": 0, "echo": true, "logprobs": 1, "temperature": 0,
        });
        let answer = self.post(&format!("{}/completions", self.url), &body)?;
        let values = answer["choices"][0]["logprobs"]["token_logprobs"].as_array();
        let values = values
            .ok_or_else(|| Refusal::Request(format!("an answer without log-probabilities: {}", short(&answer))))?;
        Ok(values.iter().filter_map(Value::as_f64).sum())
    }

    /// A message as the model's chat template makes it a prompt; `None` where the server does not offer that
    /// (`/apply-template`, as llama.cpp's server has it).
    ///
    /// # Errors
    /// The server is gone.
    pub fn templated(&self, prompt: &str) -> std::result::Result<Option<String>, Refusal> {
        let root = self.url.strip_suffix("/v1").unwrap_or(&self.url);
        let body = json!({"messages": [{"role": "user", "content": prompt}]});
        match self.post(&format!("{root}/apply-template"), &body) {
            Ok(answer) => Ok(answer["prompt"].as_str().map(str::to_owned)),
            Err(Refusal::Request(_)) => Ok(None),
            Err(gone) => Err(gone),
        }
    }

    /// Whether the server offers its tokenizer (`/tokenizer_info`, as vLLM's has it).
    pub fn offers_tokenizer(&self) -> bool {
        let root = self.url.strip_suffix("/v1").unwrap_or(&self.url);
        let answer = self.agent.get(format!("{root}/tokenizer_info")).call();
        answer.is_ok_and(|answer| answer.status().is_success())
    }

    /// How many requests for completions the server has answered, where it tells (`/health`, as Tokometer's has it).
    pub fn answered(&self) -> Option<u64> {
        let root = self.url.strip_suffix("/v1").unwrap_or(&self.url);
        let mut answer = self.agent.get(format!("{root}/health")).call().ok()?;
        let text = answer.body_mut().read_to_string().ok()?;
        let told: Value = serde_json::from_str(&text).ok()?;
        told["answered"].as_u64()
    }

    fn post(&self, url: &str, body: &Value) -> std::result::Result<Value, Refusal> {
        let gone = |error: ureq::Error| Refusal::Gone(format!("{url}: {error}"));
        let text = body.to_string();
        let mut response = self.agent.post(url).content_type("application/json").send(text.as_str()).map_err(gone)?;
        let status = response.status();
        let text = response.body_mut().read_to_string().map_err(gone)?;
        let answer: Value = serde_json::from_str(&text).unwrap_or(Value::Null);
        if status.is_success() && !answer.is_null() {
            return Ok(answer);
        }
        let message =
            answer["error"]["message"].as_str().map_or_else(|| text.chars().take(200).collect(), str::to_owned);
        match status.as_u16() {
            // A server that lost its engine says so in words of its own.
            502..=504 => Err(Refusal::Gone(format!("{status}: {message}"))),
            _ => Err(Refusal::Request(format!("{status}: {message}"))),
        }
    }
}

impl From<Refusal> for Error {
    fn from(refusal: Refusal) -> Error {
        match refusal {
            Refusal::Request(why) => Error::Endpoint(format!("the endpoint refused a request: {why}")),
            Refusal::Gone(why) => Error::Endpoint(format!("the endpoint is gone: {why}")),
        }
    }
}

fn short(value: &Value) -> String {
    value.to_string().chars().take(200).collect()
}
