//! Log-probabilities of given tokens, and of the whole vocabulary into a file.

use crate::llama::{Batch, Context, Result, failure};
use crate::measure::{argmax, ids, known};
use std::fs::File;
use std::io::{self, BufWriter, Write};
use tokometer_protocol::{FailureKind, Scored};

/// Scores every token after token `from`; `full` is the file that gets the log-probabilities of the whole vocabulary at each of
/// these positions. The sequence must fit into the context.
pub fn score(context: &mut Context, tokens: &[u32], from: usize, full: Option<&str>) -> Result<Scored> {
    check(context, tokens, from)?;
    let ids = ids(tokens);
    let mut rows = full.map(Rows::create).transpose()?;
    let mut scored = Scored::default();
    context.clear();
    let size = context.batch() as usize;
    let mut batch = Batch::new(size.min(ids.len()));
    for (chunk_index, chunk) in ids[..ids.len() - 1].chunks(size).enumerate() {
        let begin = chunk_index * size;
        batch.clear();
        for (i, token) in chunk.iter().enumerate() {
            batch.push(*token, begin + i, 0, begin + i >= from)?;
        }
        context.decode_batch(&batch)?;
        for i in from.saturating_sub(begin)..chunk.len() {
            let logits = context.logits(i as i32)?;
            let norm = log_sum_exp(logits);
            let top = argmax(logits);
            let logprob = |token: u32| (f64::from(logits[token as usize]) - norm) as f32;
            scored.logprobs.push(logprob(tokens[begin + i + 1]));
            scored.top_tokens.push(top);
            scored.top_logprobs.push(logprob(top));
            if let Some(rows) = &mut rows {
                rows.write(logits, norm)?;
            }
        }
    }
    if let Some(rows) = rows {
        rows.finish()?;
    }
    Ok(scored)
}

fn check(context: &mut Context, tokens: &[u32], from: usize) -> Result<()> {
    let wrong = |message: String| Err(failure(FailureKind::Protocol, message));
    if tokens.len() < 2 {
        return wrong("scoring needs at least two tokens".into());
    }
    if from > tokens.len() - 2 {
        return wrong(format!("nothing follows token {from} of {}: nothing could be scored", tokens.len()));
    }
    if tokens.len() > context.ctx_tokens() as usize {
        return wrong(format!("{} tokens do not fit into a context of {}", tokens.len(), context.ctx_tokens()));
    }
    known(context, tokens)
}

/// The file of whole log-probabilities.
struct Rows<'a> {
    path: &'a str,
    file: BufWriter<File>,
}

impl<'a> Rows<'a> {
    fn create(path: &'a str) -> Result<Rows<'a>> {
        match File::create(path) {
            Ok(file) => Ok(Rows { path, file: BufWriter::with_capacity(1 << 20, file) }),
            Err(why) => Err(Rows::failed(path, &why)),
        }
    }

    fn failed(path: &str, why: &io::Error) -> tokometer_protocol::Failure {
        failure(FailureKind::Engine, format!("cannot write the log-probabilities to {path}: {why}"))
    }

    fn write(&mut self, logits: &[f32], norm: f64) -> Result<()> {
        let mut write = || {
            logits.iter().try_for_each(|logit| self.file.write_all(&((f64::from(*logit) - norm) as f32).to_le_bytes()))
        };
        write().map_err(|why| Rows::failed(self.path, &why))
    }

    fn finish(mut self) -> Result<()> {
        self.file.flush().map_err(|why| Rows::failed(self.path, &why))
    }
}

/// The logarithm of the sum that makes probabilities of logits.
pub fn log_sum_exp(logits: &[f32]) -> f64 {
    let max = f64::from(logits.iter().copied().fold(f32::NEG_INFINITY, f32::max));
    max + logits.iter().map(|value| (f64::from(*value) - max).exp()).sum::<f64>().ln()
}

#[cfg(test)]
mod tests {
    use super::{Rows, log_sum_exp};

    #[test]
    fn probabilities_sum_to_one() {
        let logits = [1.0f32, 2.0, 3.0, 100.0];
        let norm = log_sum_exp(&logits);
        let sum: f64 = logits.iter().map(|value| (f64::from(*value) - norm).exp()).sum();
        assert!((sum - 1.0).abs() < 1e-12);
    }

    #[test]
    fn a_row_of_the_file_is_a_distribution() {
        let path = std::env::temp_dir().join(format!("tokometer-rows-{}", std::process::id()));
        let text = path.display().to_string();
        let logits = [1.0f32, 2.0, 3.0];
        let mut rows = Rows::create(&text).unwrap();
        rows.write(&logits, log_sum_exp(&logits)).unwrap();
        rows.finish().unwrap();
        let bytes = std::fs::read(&path).unwrap();
        std::fs::remove_file(&path).unwrap();
        let values: Vec<f32> = bytes.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect();
        assert_eq!(values.len(), 3);
        assert!((values.iter().map(|value| value.exp()).sum::<f32>() - 1.0).abs() < 1e-6, "{values:?}");
        assert!(Rows::create("/no/such/folder/rows").is_err());
    }
}
