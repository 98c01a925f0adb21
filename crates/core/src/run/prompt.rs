//! The tokens that every engine is fed: drawn from the seed, the same for all.

use crate::plan::Workload;
use crate::random::Random;

/// The tokens of a workload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Prompt {
    /// Put into the KV cache before the clock starts; `depth` of them.
    pub context: Vec<u32>,
    /// The prompt; `prompt_tokens` of them.
    pub prompt: Vec<u32>,
}

/// Draws the tokens from `ids` = `[first, end)`, uniformly, as llama-bench does; the very first is `bos` if the model
/// has one.
pub fn draw(workload: &Workload, seed: u64, ids: (u32, u32), bos: Option<u32>) -> Prompt {
    let mut random = Random::named(seed, "prompt");
    let span = (ids.1 - ids.0).max(1) as usize;
    let n = (workload.depth + workload.prompt_tokens) as usize;
    let mut all: Vec<u32> = (0..n).map(|_| ids.0 + random.below(span) as u32).collect();
    if let (Some(first), Some(bos)) = (all.first_mut(), bos) {
        *first = bos;
    }
    let prompt = all.split_off(workload.depth as usize);
    Prompt { context: all, prompt }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_draws_the_same_tokens_in_range() {
        let workload = Workload { prompt_tokens: 100, gen_tokens: 2, depth: 7 };
        let a = draw(&workload, 42, (10, 20), Some(1));
        assert_eq!(a, draw(&workload, 42, (10, 20), Some(1)));
        assert_ne!(a, draw(&workload, 43, (10, 20), Some(1)));
        assert_eq!((a.context.len(), a.prompt.len(), a.context[0]), (7, 100, 1));
        assert!(a.prompt.iter().all(|id| (10..20).contains(id)));
    }
}
