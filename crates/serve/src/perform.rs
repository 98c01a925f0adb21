//! What a job needs before anything is generated: its tokens, whether they fit, its prompt told again. What is generated then is told
//! by `running`.
//!
//! A prompt that is to be told with its log-probabilities (`echo` with `logprobs`, from which evaluations take the likelihood
//! of a given text) is answered by the worker's `score`.

use crate::engine::{Model, pieces};
use crate::error::ApiError;
use crate::queue::{Chunk, Event, Job, Only, Prompt, TokenInfo, Wanted};
use crate::running::Running;
use crate::stops::Stops;
use tokometer_core::engine::{Failed, Kind, Worker};
use tokometer_protocol::{Answer, Complete, Finish, Request, Scored};

/// No token is longer: a text of more bytes than this for each token of the context is refused without tokenizing it.
const LONGEST_TOKEN: u64 = 512;

/// Why a job was not done.
enum Trouble {
    /// The request is refused; the worker is as it was.
    Refused(ApiError),
    /// The worker failed.
    Engine(Failed),
}

impl From<ApiError> for Trouble {
    fn from(error: ApiError) -> Trouble {
        Trouble::Refused(error)
    }
}

impl From<Failed> for Trouble {
    fn from(failed: Failed) -> Trouble {
        Trouble::Engine(failed)
    }
}

/// Does what a job needs, and asks for its completion if there is to be one: returns that with its number. A client that is refused has
/// been told.
///
/// # Errors
/// The worker failed; the client has been told.
pub fn begin(worker: &mut Worker, model: &Model, job: Job) -> Result<Option<(u64, Running)>, Failed> {
    let begun = match attempt(worker, model, &job) {
        Ok(None) => return Ok(None),
        Ok(Some(request)) => worker.begin(request),
        Err(Trouble::Refused(error)) => {
            job.tell(Event::Failed(error));
            return Ok(None);
        }
        Err(Trouble::Engine(failed)) => Err(failed),
    };
    match begun {
        Ok(id) => Ok(Some((id, Running::new(job)))),
        Err(failed) => {
            job.tell(Event::Failed(ApiError::engine(&failed)));
            Err(failed)
        }
    }
}

/// Whether a job asks for something that the worker does only while nothing is generated.
pub fn is_for_one_alone(wanted: &Wanted) -> bool {
    wanted.only == Only::Completion && wanted.echo && wanted.top_logprobs.is_some()
}

/// All that is told before something is generated, and what is to be generated.
fn attempt(worker: &mut Worker, model: &Model, job: &Job) -> Result<Option<Complete>, Trouble> {
    let wanted = &job.wanted;
    if wanted.only != Only::Completion {
        job.tell(in_other_form(worker, model, wanted)?);
        return Ok(None);
    }
    let prompt = tokens(worker, model, wanted)?;
    let max_tokens = allowance(model, wanted, prompt.len() as u64)?;
    if is_for_one_alone(wanted) {
        if !model.can_score {
            let message = "this engine tells no log-probabilities of a given text: echo with logprobs is not possible";
            return Err(ApiError::request(400, Some("unsupported"), Some("echo"), message).into());
        }
        // One pass does both where the next token is the most probable one.
        let with_next = max_tokens == 1 && wanted.temperature == 0.0;
        job.tell(Event::Begun { prompt_tokens: prompt.len() as u32 });
        let next = echo_scored(worker, job, &prompt, with_next)?;
        if let Some(next) = next {
            tell_next(worker, model, job, &prompt, next)?;
            return Ok(None);
        }
    } else {
        job.tell(Event::Begun { prompt_tokens: prompt.len() as u32 });
        if wanted.echo {
            let text = match &wanted.prompt {
                Prompt::Text { text, .. } => text.clone(),
                Prompt::Tokens(_) => pieces(worker, prompt.clone())?.concat(),
            };
            job.tell(Event::Chunk(Chunk { text, tokens: Vec::new() }));
        }
    }
    if max_tokens == 0 {
        job.tell(Event::Ended { completion_tokens: 0, finish: Finish::Length });
        return Ok(None);
    }
    Ok(Some(Complete {
        prompt,
        max_tokens,
        temperature: wanted.temperature,
        top_p: wanted.top_p,
        seed: wanted.seed,
        ignore_eos: wanted.ignore_eos,
        top_logprobs: wanted.top_logprobs,
    }))
}

/// The prompt's tokens, or its text.
fn in_other_form(worker: &mut Worker, model: &Model, wanted: &Wanted) -> Result<Event, Trouble> {
    if matches!(&wanted.prompt, Prompt::Text { text, .. } if text.is_empty()) {
        return Ok(Event::Tokens(Vec::new()));
    }
    if matches!(&wanted.prompt, Prompt::Tokens(tokens) if tokens.is_empty()) {
        return Ok(Event::Text(String::new()));
    }
    let tokens = tokens(worker, model, wanted)?;
    Ok(match wanted.only {
        Only::Text => Event::Text(pieces(worker, tokens)?.concat()),
        _ => Event::Tokens(tokens),
    })
}

/// The prompt as tokens that the model has.
fn tokens(worker: &mut Worker, model: &Model, wanted: &Wanted) -> Result<Vec<u32>, Trouble> {
    let tokens = match &wanted.prompt {
        Prompt::Tokens(tokens) => tokens.clone(),
        Prompt::Text { text, add_special } => {
            let certain = text.len() as u64 / LONGEST_TOKEN;
            if certain > u64::from(model.ctx_tokens) {
                return Err(too_long(model, wanted.param, &format!("more than {certain}"), 0).into());
            }
            // A text that begins with the name of BOS has it already.
            let begun = !model.bos_text.is_empty() && text.starts_with(&model.bos_text);
            let add_special = *add_special && !begun;
            let request = Request::Tokenize { text: text.clone(), add_special, parse_special: true };
            match worker.call(request, |_| ())? {
                Answer::Tokens { tokens } => tokens,
                other => {
                    return Err(Failed::new(Kind::Garbage, format!("tokenize was answered by {other:?}")).into());
                }
            }
        }
    };
    if tokens.is_empty() {
        return Err(ApiError::invalid(wanted.param, "the prompt is empty: a model needs a token to start from").into());
    }
    match tokens.iter().find(|token| model.vocab_size > 0 && **token >= model.vocab_size) {
        Some(token) => {
            let message = format!("token {token} is outside of the vocabulary of {}", model.vocab_size);
            Err(ApiError::invalid(wanted.param, message).into())
        }
        None => Ok(tokens),
    }
}

/// How many tokens may be generated, by what was asked for and what the context has room for.
fn allowance(model: &Model, wanted: &Wanted, prompt: u64) -> Result<u32, ApiError> {
    let room = u64::from(model.ctx_tokens).saturating_sub(prompt);
    let asked = wanted.max_tokens.map(u64::from);
    let fits = prompt <= u64::from(model.ctx_tokens) && asked.map_or(room > 0, |asked| asked <= room);
    match fits {
        true => Ok(asked.unwrap_or(room) as u32),
        false => Err(too_long(model, wanted.param, &prompt.to_string(), wanted.max_tokens.unwrap_or(0))),
    }
}

fn too_long(model: &Model, param: &'static str, prompt: &str, completion: u32) -> ApiError {
    let more = match completion {
        0 => String::new(),
        n => format!(" and {n} were to be generated"),
    };
    let message = format!(
        "this model's context is served with {} tokens, the prompt has {prompt}{more}: shorten it, lower max_tokens, or start the server with a larger --ctx-size",
        model.ctx_tokens
    );
    ApiError::too_long(param, message)
}

/// What a single pass over the prompt tells of the token after it: its id, log-probability.
type Next = (u32, f32);

/// Tells the prompt with its log-probabilities; with `with_next` also returns what comes after it.
fn echo_scored(worker: &mut Worker, job: &Job, prompt: &[u32], with_next: bool) -> Result<Option<Next>, Failed> {
    let mut sequence = prompt.to_vec();
    if with_next {
        // Any token makes the worker look at the place after the prompt.
        sequence.push(prompt[0]);
    }
    let mut scored = Scored::default();
    if sequence.len() > 1 {
        let wanted = sequence.len() - 1;
        scored = match worker.call(Request::Score { tokens: sequence, from: 0, full: None }, |_| ())? {
            Answer::Scored(scored) if is_whole(&scored, wanted) => scored,
            other => return Err(Failed::new(Kind::Garbage, format!("score was answered by {other:?}"))),
        };
    }
    let next = with_next.then(|| scored.top_tokens.pop().zip(scored.top_logprobs.pop())).flatten();
    if next.is_some() {
        scored.logprobs.pop();
    }
    let texts = pieces(worker, prompt.to_vec())?;
    let tops = pieces(worker, scored.top_tokens.clone())?;
    let tells_top = job.wanted.top_logprobs.is_some_and(|n| n > 0);
    let mut tokens = vec![TokenInfo { text: texts[0].clone(), logprob: None, top: Vec::new() }];
    for (place, text) in texts.iter().enumerate().skip(1) {
        let (logprob, top) = (scored.logprobs[place - 1], scored.top_tokens[place - 1]);
        let mut all = Vec::new();
        if tells_top {
            all.push((tops[place - 1].clone(), scored.top_logprobs[place - 1]));
        }
        if !tells_top || top != prompt[place] {
            all.push((text.clone(), logprob));
        }
        tokens.push(TokenInfo { text: text.clone(), logprob: Some(logprob), top: all });
    }
    let text = match &job.wanted.prompt {
        Prompt::Text { text, .. } => text.clone(),
        Prompt::Tokens(_) => texts.concat(),
    };
    job.tell(Event::Chunk(Chunk { text, tokens }));
    Ok(next)
}

fn is_whole(scored: &Scored, wanted: usize) -> bool {
    [scored.logprobs.len(), scored.top_tokens.len(), scored.top_logprobs.len()] == [wanted; 3]
}

/// Tells the one token that was found while the prompt was scored.
fn tell_next(
    worker: &mut Worker,
    model: &Model,
    job: &Job,
    prompt: &[u32],
    (token, logprob): Next,
) -> Result<(), Failed> {
    let mut ends = model.eos.contains(&token) && !job.wanted.ignore_eos;
    if !ends {
        // After the last token of the prompt, for spaces that tokenizers drop at the beginning of a text.
        let text = pieces(worker, vec![prompt[prompt.len() - 1], token])?.swap_remove(1);
        let info = TokenInfo { text: text.clone(), logprob: Some(logprob), top: vec![(text.clone(), logprob)] };
        let mut stops = Stops::new(job.wanted.stops.clone());
        let (certain, stopped) = stops.push(&text);
        ends = stopped;
        let text = if stopped { certain } else { certain + &stops.rest() };
        job.tell(Event::Chunk(Chunk { text, tokens: vec![info] }));
    }
    let finish = if ends { Finish::Stop } else { Finish::Length };
    job.tell(Event::Ended { completion_tokens: 1, finish });
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::queue::tests::wanted;

    fn model(ctx_tokens: u32) -> Model {
        Model {
            ctx_tokens,
            ctx_train: None,
            vocab_size: 100,
            eos: vec![99],
            bos_text: String::new(),
            eos_text: String::new(),
            chat_template: None,
            can_score: true,
            sequences: 1,
            native: "mock-8".into(),
            engine_version: "1".into(),
            fingerprint: "mock".into(),
            created: 0,
        }
    }

    #[test]
    fn what_does_not_fit_is_refused_and_what_was_left_open_fills_the_context() {
        let asked = |max_tokens| Wanted { max_tokens, ..wanted("a") };
        assert_eq!(allowance(&model(16), &asked(Some(6)), 10).unwrap(), 6);
        assert_eq!(allowance(&model(16), &asked(None), 10).unwrap(), 6);
        assert_eq!(allowance(&model(16), &asked(Some(0)), 16).unwrap(), 0);
        for (max_tokens, prompt) in [(Some(7), 10), (None, 16), (Some(0), 17)] {
            let error = allowance(&model(16), &asked(max_tokens), prompt).unwrap_err();
            assert_eq!((error.status, error.code), (400, Some("context_length_exceeded")));
        }
    }
}
