//! Continues a prompt for a user: prefill, sample, say each token at once, end where the model ends it.
//!
//! Speed is measured in `measure`, which writes nothing meanwhile. How tokens are drawn is llama.cpp's own sampling.

use crate::llama::{Context, Pieces, Result, Sampler, failure};
use crate::measure::{argmax, ids, known};
use crate::score::log_sum_exp;
use tokometer_protocol::{Complete, Completed, FailureKind, Finish, Streamed};

/// Generates until the model ends the text, enough tokens are there, or `cancelled` says so.
pub fn complete(
    context: &mut Context,
    request: &Complete,
    cancelled: impl Fn() -> bool,
    mut on_token: impl FnMut(Streamed),
) -> Result<Completed> {
    let mut generation = Generation::new(context, request)?;
    context.clear();
    let mut prompt = ids(&request.prompt);
    let batch = context.batch() as usize;
    for chunk in prompt.chunks_mut(batch) {
        if cancelled() {
            return Ok(generation.end(Finish::Cancelled));
        }
        context.decode(chunk)?;
    }
    loop {
        let next = generation.take(context, -1, &mut on_token)?;
        match next {
            Next::Ended(completed) => return Ok(completed),
            Next::Feed(_) if cancelled() => return Ok(generation.end(Finish::Cancelled)),
            Next::Feed(token) => context.decode(&mut [token])?,
        }
    }
}

/// A completion on its way: what was taken from the model so far.
pub struct Generation {
    request: Complete,
    sampler: Option<Sampler>,
    pieces: Pieces,
    /// Tokens that were taken.
    count: u32,
}

/// What comes after a token was taken.
pub enum Next {
    /// This token is to be computed.
    Feed(i32),
    /// Nothing: the completion has ended.
    Ended(Completed),
}

impl Generation {
    /// Begins; everything that can be refused is refused here, before anything is computed.
    pub fn new(context: &Context, request: &Complete) -> Result<Generation> {
        validate(context, request)?;
        let sampler = sampler(request)?;
        Ok(Generation { request: request.clone(), sampler, pieces: Pieces::default(), count: 0 })
    }

    /// The prompt.
    pub fn prompt(&self) -> &[u32] {
        &self.request.prompt
    }

    /// The position of the token that was taken last.
    pub fn position(&self) -> usize {
        (self.request.prompt.len() + self.count as usize).saturating_sub(1)
    }

    /// Takes the next token from the logits at a place of the last call and tells it.
    pub fn take(&mut self, context: &mut Context, place: i32, on_token: &mut impl FnMut(Streamed)) -> Result<Next> {
        let token = match &mut self.sampler {
            Some(sampler) => context.sample(sampler, place),
            None => argmax(context.logits(place)?),
        };
        let index = self.count;
        self.count += 1;
        if !self.request.ignore_eos && context.model().ends(token) {
            return Ok(Next::Ended(self.end(Finish::Stop)));
        }
        let (logprob, top) = match self.request.top_logprobs {
            Some(n) => log_probabilities(context, place, token, n as usize)?,
            None => (None, Vec::new()),
        };
        let piece = self.pieces.push(context.model(), token);
        on_token(Streamed { index, token, piece, logprob, top });
        Ok(match self.count < self.request.max_tokens {
            true => Next::Feed(token as i32),
            false => Next::Ended(self.end(Finish::Length)),
        })
    }

    /// What there is to say at the end.
    pub fn end(&mut self, finish: Finish) -> Completed {
        Completed {
            prompt_tokens: self.request.prompt.len() as u32,
            completion_tokens: self.count,
            finish,
            rest: self.pieces.rest(),
        }
    }
}

/// `None` is greedy. An upper half that a seed of 32 bits has no room for is folded in.
fn sampler(request: &Complete) -> Result<Option<Sampler>> {
    if request.temperature == 0.0 {
        return Ok(None);
    }
    let seed = (request.seed ^ (request.seed >> 32)) as u32;
    Sampler::new(request.temperature, request.top_p, seed).map(Some)
}

fn validate(context: &Context, request: &Complete) -> Result<()> {
    let refuse = |message: String| Err(failure(FailureKind::Protocol, message));
    if request.prompt.is_empty() || request.max_tokens == 0 {
        return refuse("a completion needs at least one prompt token and one token to generate".into());
    }
    if !(request.temperature >= 0.0 && request.temperature.is_finite() && request.top_p > 0.0) {
        return refuse(format!(
            "temperature must be 0 or more and top_p above 0, not {} and {}",
            request.temperature, request.top_p
        ));
    }
    let needed = request.prompt.len() as u64 + u64::from(request.max_tokens);
    if needed > u64::from(context.ctx_tokens()) + 1 {
        return refuse(format!("{needed} tokens do not fit into a context of {}", context.ctx_tokens()));
    }
    known(context, &request.prompt)
}

type Logprobs = (Option<f32>, Vec<(u32, String, f32)>);

/// Of the token and of the `n` most probable ones, by the logits that it was chosen from.
fn log_probabilities(context: &mut Context, place: i32, token: u32, n: usize) -> Result<Logprobs> {
    let logits = context.logits(place)?;
    let norm = log_sum_exp(logits);
    let logprob = |token: u32| (f64::from(logits[token as usize]) - norm) as f32;
    let own = logprob(token);
    let best: Vec<(u32, f32)> = largest(logits, n).into_iter().map(|token| (token, logprob(token))).collect();
    let model = context.model();
    let top = best.into_iter().map(|(token, logprob)| (token, model.pieces(&[token]).concat(), logprob)).collect();
    Ok((Some(own), top))
}

/// The places of the `n` largest values, largest first; of equals the first.
fn largest(values: &[f32], n: usize) -> Vec<u32> {
    let mut best: Vec<u32> = Vec::with_capacity(n + 1);
    if n == 0 {
        return best;
    }
    for (place, value) in values.iter().enumerate() {
        let full = best.len() == n;
        if full && best.last().is_some_and(|last| *value <= values[*last as usize]) {
            continue;
        }
        let at = best.partition_point(|other| values[*other as usize] >= *value);
        best.insert(at, place as u32);
        best.truncate(n);
    }
    best
}

#[cfg(test)]
mod tests {
    use super::largest;

    #[test]
    fn the_largest_come_first_and_of_equals_the_first() {
        let values = [1.0f32, 5.0, 3.0, 5.0, -2.0, 4.0];
        assert_eq!(largest(&values, 3), [1, 3, 5]);
        assert_eq!(largest(&values, 1), [1]);
        assert_eq!(largest(&values, 0), [0u32; 0]);
        assert_eq!(largest(&values[..2], 5), [1, 0]);
    }
}
