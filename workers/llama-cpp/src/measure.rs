//! The timed loop: prefill a prompt, decode token by token, stamp a clock. Nothing else happens inside it.

use crate::llama::{Context, Result, failure};
use std::time::Instant;
use tokometer_protocol::{FailureKind, Generate, Generated};

/// Runs one pass of the workload.
pub fn generate(context: &mut Context, request: &Generate) -> Result<Generated> {
    let n = request.gen_tokens as usize;
    // llama.cpp's CPU backend computes inside of the call: there is no moment of handing over.
    let asynchronous = context.asynchronous;
    validate(context, request)?;
    let mut prompt = ids(&request.prompt);
    let mut before = ids(&request.context);
    let mut tokens = Vec::with_capacity(n);
    let mut done_ns = Vec::with_capacity(n);
    let mut enqueued_ns = Vec::with_capacity(n);

    context.clear();
    prefill(context, &mut before)?;
    context.synchronize();

    let start = Instant::now();
    prefill(context, &mut prompt)?;
    if asynchronous {
        enqueued_ns.push(elapsed(start));
    }
    tokens.push(argmax(context.logits(-1)?));
    done_ns.push(elapsed(start));
    for i in 1..n {
        let mut next = [request.forced.get(i - 1).copied().unwrap_or(tokens[i - 1]) as i32];
        context.decode(&mut next)?;
        if asynchronous {
            enqueued_ns.push(elapsed(start));
        }
        tokens.push(argmax(context.logits(-1)?));
        done_ns.push(elapsed(start));
    }

    check_finite(context)?;
    let pieces = context.model().pieces(&tokens);
    Ok(Generated {
        prompt_tokens: prompt.len() as u32,
        context_tokens: before.len() as u32,
        tokens,
        done_ns,
        enqueued_ns,
        pieces,
        ..Generated::default()
    })
}

/// Everything that can be refused is refused before the clock starts.
fn validate(context: &Context, request: &Generate) -> Result<()> {
    let refuse = |message: String| Err(failure(FailureKind::Protocol, message));
    if request.prompt.is_empty() || request.gen_tokens == 0 {
        return refuse("a generation needs at least one prompt token and one generated token".into());
    }
    let needed = request.context.len() + request.prompt.len() + request.gen_tokens as usize - 1;
    if needed > context.ctx_tokens() as usize {
        return refuse(format!("{needed} tokens do not fit into a context of {}", context.ctx_tokens()));
    }
    known(context, request.context.iter().chain(&request.prompt).chain(&request.forced))
}

/// Refuses ids that the model does not have.
pub fn known<'a>(context: &Context, tokens: impl IntoIterator<Item = &'a u32>) -> Result<()> {
    let vocab = context.model().vocab_size();
    match tokens.into_iter().find(|token| **token >= vocab) {
        Some(token) => {
            let message = format!("token {token} is outside of the vocabulary of {vocab}");
            Err(failure(FailureKind::Protocol, message))
        }
        None => Ok(()),
    }
}

/// Ids as llama.cpp takes them.
pub fn ids(tokens: &[u32]) -> Vec<i32> {
    tokens.iter().map(|token| *token as i32).collect()
}

/// Appends the tokens in logical batches.
fn prefill(context: &mut Context, tokens: &mut [i32]) -> Result<()> {
    let batch = context.batch() as usize;
    tokens.chunks_mut(batch).try_for_each(|chunk| context.decode(chunk))
}

fn elapsed(start: Instant) -> u64 {
    start.elapsed().as_nanos() as u64
}

/// The greedy token: the first of the largest logits.
pub fn argmax(logits: &[f32]) -> u32 {
    const LANES: usize = 16;
    let mut best = [f32::NEG_INFINITY; LANES];
    let chunks = logits.chunks_exact(LANES);
    let tail = chunks.remainder().iter().copied().fold(f32::NEG_INFINITY, f32::max);
    for chunk in chunks {
        for (lane, value) in best.iter_mut().zip(chunk) {
            *lane = if *value > *lane { *value } else { *lane };
        }
    }
    let max = best.into_iter().fold(tail, f32::max);
    logits.iter().position(|value| *value == max).unwrap_or(0) as u32
}

/// Logits that are no numbers mean that the engine computed garbage; checked after the clock has stopped.
fn check_finite(context: &mut Context) -> Result<()> {
    if context.logits(-1)?.iter().all(|value| value.is_finite()) {
        return Ok(());
    }
    Err(failure(FailureKind::Engine, "the logits of the last token are not finite: the engine computed garbage"))
}

#[cfg(test)]
mod tests {
    use super::argmax;

    #[test]
    fn the_first_of_the_largest_wins() {
        let mut logits = vec![0.0f32; 37];
        logits[36] = 2.0;
        assert_eq!(argmax(&logits), 36);
        logits[5] = 2.0;
        assert_eq!(argmax(&logits), 5);
        logits[20] = 3.0;
        assert_eq!(argmax(&logits), 20);
    }

    #[test]
    fn negative_logits_only() {
        assert_eq!(argmax(&[-3.0, -1.0, -2.0]), 1);
    }
}
