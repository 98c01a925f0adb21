//! `/v1/completions`: texts or token ids, continued as they are.

use crate::error::ApiError;
use crate::queue::{Prompt, Wanted};
use crate::request::{Asked, Logprobs, Prompts, Shared};

/// Tokens without `max_tokens`, as in OpenAI's API.
const DEFAULT_TOKENS: u32 = 16;

/// The prompts of a request and how they are continued.
///
/// # Errors
/// The request is wrong.
pub fn wanted(asked: &Asked) -> Result<Vec<Wanted>, ApiError> {
    asked.check_supported()?;
    let top_logprobs = match asked.logprobs {
        None | Some(Logprobs::Whether(false)) => None,
        Some(Logprobs::Whether(true)) => Some(0),
        Some(Logprobs::Number(n)) => Some(n),
    };
    let max_tokens = asked.max_tokens.or(asked.max_completion_tokens).unwrap_or(DEFAULT_TOKENS);
    let shared = Shared::of(asked, Some(max_tokens), top_logprobs)?;
    if max_tokens == 0 && !shared.echo {
        return Err(ApiError::invalid("max_tokens", "max_tokens must be at least 1 where the prompt is not echoed"));
    }
    let text = |text: &String| Prompt::Text { text: text.clone(), add_special: true };
    let prompts: Vec<Prompt> = match &asked.prompt {
        None => return Err(ApiError::invalid("prompt", "prompt is missing")),
        Some(Prompts::Text(one)) => vec![text(one)],
        Some(Prompts::Tokens(tokens)) => vec![Prompt::Tokens(tokens.clone())],
        Some(Prompts::Texts(texts)) => texts.iter().map(text).collect(),
        Some(Prompts::Lists(lists)) => lists.iter().cloned().map(Prompt::Tokens).collect(),
    };
    if prompts.is_empty() || prompts.iter().any(|prompt| matches!(prompt, Prompt::Tokens(ids) if ids.is_empty())) {
        return Err(ApiError::invalid("prompt", "the prompt is empty: a model needs a token to start from"));
    }
    Ok(prompts.into_iter().map(|prompt| asked.wanted(&shared, prompt, "prompt")).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn wanted_of(value: Value) -> Result<Vec<Wanted>, ApiError> {
        wanted(&Asked::read(value.to_string().as_bytes())?)
    }

    #[test]
    fn every_prompt_is_a_choice() {
        let two = wanted_of(json!({"prompt": ["a", "b"], "logprobs": 2})).unwrap();
        assert_eq!(two.len(), 2);
        assert_eq!((two[1].max_tokens, two[1].top_logprobs), (Some(16), Some(2)));
        let ids = wanted_of(json!({"prompt": [[1], [2, 3]]})).unwrap();
        assert_eq!(ids[1].prompt, Prompt::Tokens(vec![2, 3]));
        assert_eq!(wanted_of(json!({"prompt": [4, 5]})).unwrap()[0].prompt, Prompt::Tokens(vec![4, 5]));
    }

    #[test]
    fn nothing_is_generated_only_where_the_prompt_is_told() {
        let echo = wanted_of(json!({"prompt": "a", "echo": true, "max_tokens": 0, "logprobs": 1})).unwrap();
        assert!(echo[0].echo && echo[0].max_tokens == Some(0));
        for bad in [json!({"prompt": "a", "max_tokens": 0}), json!({}), json!({"prompt": []})] {
            assert_eq!(wanted_of(bad).unwrap_err().status, 400);
        }
    }
}
