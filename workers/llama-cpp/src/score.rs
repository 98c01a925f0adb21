//! Log-probabilities of given tokens.

use crate::llama::{Context, Result, failure};
use crate::measure::{argmax, ids, known};
use tokometer_protocol::{FailureKind, Scored};

/// Scores every token after the first. The sequence must fit into the context.
pub fn score(context: &mut Context, tokens: &[u32]) -> Result<Scored> {
    if tokens.len() < 2 {
        return Err(failure(FailureKind::Protocol, "scoring needs at least two tokens"));
    }
    if tokens.len() > context.ctx_tokens() as usize {
        let message = format!("{} tokens do not fit into a context of {}", tokens.len(), context.ctx_tokens());
        return Err(failure(FailureKind::Protocol, message));
    }
    known(context, tokens)?;
    let ids = ids(tokens);
    let mut scored = Scored::default();
    context.clear();
    let size = context.batch() as usize;
    for (chunk_index, chunk) in ids[..ids.len() - 1].chunks(size).enumerate() {
        let from = chunk_index * size;
        context.decode_all_logits(chunk, from)?;
        for i in 0..chunk.len() {
            let logits = context.logits(i as i32)?;
            let norm = log_sum_exp(logits);
            let top = argmax(logits);
            let logprob = |token: u32| (f64::from(logits[token as usize]) - norm) as f32;
            scored.logprobs.push(logprob(tokens[from + i + 1]));
            scored.top_tokens.push(top);
            scored.top_logprobs.push(logprob(top));
        }
    }
    Ok(scored)
}

/// The logarithm of the sum that makes probabilities of logits.
pub fn log_sum_exp(logits: &[f32]) -> f64 {
    let max = f64::from(logits.iter().copied().fold(f32::NEG_INFINITY, f32::max));
    max + logits.iter().map(|value| (f64::from(*value) - max).exp()).sum::<f64>().ln()
}

#[cfg(test)]
mod tests {
    use super::log_sum_exp;

    #[test]
    fn probabilities_sum_to_one() {
        let logits = [1.0f32, 2.0, 3.0, 100.0];
        let norm = log_sum_exp(&logits);
        let sum: f64 = logits.iter().map(|value| (f64::from(*value) - norm).exp()).sum();
        assert!((sum - 1.0).abs() < 1e-12);
    }
}
