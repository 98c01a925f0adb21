//! One job on the worker: tokenize, check, complete, and tell what comes of it.
//!
//! A prompt that is to be told with its log-probabilities (`echo` with `logprobs`, from which evaluations take the likelihood
//! of a given text) is answered by the worker's `score`.

use crate::engine::{Halt, Model, pieces};
use crate::error::ApiError;
use crate::queue::{Chunk, Event, Job, Only, Prompt, TokenInfo, Wanted};
use crate::stops::Stops;
use std::ops::ControlFlow;
use std::sync::atomic::Ordering;
use tokometer_core::engine::{Failed, Kind, Worker};
use tokometer_protocol::{Answer, Complete, Finish, Request, Scored, Streamed};

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

/// Does a job and tells its client.
///
/// # Errors
/// The worker failed; the client has been told.
pub fn perform(worker: &mut Worker, model: &Model, job: &Job, halt: &Halt) -> Result<(), Failed> {
    match attempt(worker, model, job, halt) {
        Ok(()) => Ok(()),
        Err(Trouble::Refused(error)) => {
            job.tell(Event::Failed(error));
            Ok(())
        }
        Err(Trouble::Engine(failed)) => {
            job.tell(Event::Failed(ApiError::engine(&failed)));
            Err(failed)
        }
    }
}

fn attempt(worker: &mut Worker, model: &Model, job: &Job, halt: &Halt) -> Result<(), Trouble> {
    let wanted = &job.wanted;
    if wanted.only != Only::Completion {
        job.tell(in_other_form(worker, model, wanted)?);
        return Ok(());
    }
    let prompt = tokens(worker, model, wanted)?;
    let max_tokens = allowance(model, wanted, prompt.len() as u64)?;
    if wanted.echo && wanted.top_logprobs.is_some() {
        if !model.can_score {
            let message = "this engine tells no log-probabilities of a given text: echo with logprobs is not possible";
            return Err(ApiError::request(400, Some("unsupported"), Some("echo"), message).into());
        }
        // One pass does both where the next token is the most probable one.
        let with_next = max_tokens == 1 && wanted.temperature == 0.0;
        job.tell(Event::Begun { prompt_tokens: prompt.len() as u32 });
        let next = echo_scored(worker, job, &prompt, with_next)?;
        if let Some(next) = next {
            return Ok(tell_next(worker, model, job, &prompt, next)?);
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
        return Ok(());
    }
    generate(worker, job, halt, prompt, max_tokens)
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

/// Has the worker continue the prompt and tells the text as far as it is certain.
fn generate(worker: &mut Worker, job: &Job, halt: &Halt, prompt: Vec<u32>, max_tokens: u32) -> Result<(), Trouble> {
    let wanted = &job.wanted;
    let request = Complete {
        prompt,
        max_tokens,
        temperature: wanted.temperature,
        top_p: wanted.top_p,
        seed: wanted.seed,
        ignore_eos: wanted.ignore_eos,
        top_logprobs: wanted.top_logprobs,
    };
    let mut text = Text::new(wanted.stops.clone(), wanted.top_logprobs.is_some());
    let completed = worker.complete(request, |token| {
        if job.is_cancelled() || halt.cut.load(Ordering::SeqCst) {
            return ControlFlow::Break(());
        }
        let Some(chunk) = token.and_then(|token| text.push(token)) else { return text.flow() };
        match job.tell(Event::Chunk(chunk)) {
            true => text.flow(),
            false => ControlFlow::Break(()),
        }
    })?;
    if text.stopped {
        job.tell(Event::Ended { completion_tokens: text.count, finish: Finish::Stop });
        return Ok(());
    }
    if completed.finish == Finish::Cancelled {
        return Err(ApiError::unavailable("stopping", "the server is stopping: this request was given up").into());
    }
    let (chunk, stopped) = text.end(&completed.rest);
    if let Some(chunk) = chunk {
        job.tell(Event::Chunk(chunk));
    }
    let finish = if stopped { Finish::Stop } else { completed.finish };
    job.tell(Event::Ended { completion_tokens: completed.completion_tokens, finish });
    Ok(())
}

/// The text of a generation, up to a stop string.
struct Text {
    stops: Stops,
    tells_tokens: bool,
    /// Tokens whose text is held back.
    held: Vec<TokenInfo>,
    /// Tokens that came before the text was stopped.
    count: u32,
    stopped: bool,
}

impl Text {
    fn new(stops: Vec<String>, tells_tokens: bool) -> Text {
        Text { stops: Stops::new(stops), tells_tokens, held: Vec::new(), count: 0, stopped: false }
    }

    fn flow(&self) -> ControlFlow<()> {
        match self.stopped {
            true => ControlFlow::Break(()),
            false => ControlFlow::Continue(()),
        }
    }

    /// Takes a token; what of the text is certain by now.
    fn push(&mut self, token: Streamed) -> Option<Chunk> {
        self.count += 1;
        let (text, stopped) = self.stops.push(&token.piece);
        self.stopped = stopped;
        if self.tells_tokens {
            self.held.push(info(token));
        }
        self.chunk(text)
    }

    /// The end: text that the worker held back, and what was held back here. And whether that was stopped.
    fn end(&mut self, rest: &str) -> (Option<Chunk>, bool) {
        let (mut text, stopped) = self.stops.push(rest);
        if !stopped {
            text.push_str(&self.stops.rest());
        }
        let tokens = std::mem::take(&mut self.held);
        let is_some = !text.is_empty() || !tokens.is_empty();
        (is_some.then_some(Chunk { text, tokens }), stopped)
    }

    fn chunk(&mut self, text: String) -> Option<Chunk> {
        if text.is_empty() {
            return None;
        }
        Some(Chunk { text, tokens: std::mem::take(&mut self.held) })
    }
}

/// What is told of a generated token: itself is always among the most probable ones that are told.
fn info(token: Streamed) -> TokenInfo {
    let mut top: Vec<(String, f32)> = Vec::with_capacity(token.top.len() + 1);
    let mut has_own = false;
    for (id, text, logprob) in token.top {
        has_own |= id == token.token;
        top.push((text, logprob));
    }
    if let Some(logprob) = token.logprob.filter(|_| !has_own) {
        top.push((token.piece.clone(), logprob));
    }
    TokenInfo { text: token.piece, logprob: token.logprob, top }
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

    #[test]
    fn tokens_are_told_with_the_text_that_they_belong_to() {
        let token = |index, piece: &str| Streamed {
            index,
            token: index,
            piece: piece.into(),
            logprob: Some(-1.0),
            top: vec![(7, "x".into(), -0.1)],
        };
        let mut text = Text::new(vec!["END".into()], true);
        let first = text.push(token(0, "a")).unwrap();
        assert_eq!((first.text.as_str(), first.tokens.len()), ("a", 1));
        assert_eq!(first.tokens[0].top, [("x".into(), -0.1), ("a".into(), -1.0)]);
        assert_eq!(text.push(token(1, "EN")), None);
        let both = text.push(token(2, "b")).unwrap();
        assert_eq!((both.text.as_str(), both.tokens.len()), ("ENb", 2));
        assert!(text.push(token(3, "END")).is_none() && text.stopped && text.count == 4);
    }

    #[test]
    fn what_was_held_back_comes_at_the_end() {
        let mut text = Text::new(vec!["END".into()], false);
        assert_eq!(text.push(Streamed { piece: "E".into(), ..Streamed::default() }), None);
        let (chunk, stopped) = text.end("\u{fffd}");
        assert_eq!((chunk.unwrap().text.as_str(), stopped), ("E\u{fffd}", false));
    }
}
