//! The random values: which scale each tensor has and why, and the generator, which makes any stretch of any tensor
//! on its own. Which tensors there are is the business of `geometry`, files that of `shards`.
//!
//! # Scales
//! With all weights alike and small, a random transformer says every token is as likely as any other, or repeats its
//! input, or, when attention averages a lot, converges to one token whatever it reads. The scales below avoid that.
//! `hidden` is the width of the residual stream, `n` the inputs of a matrix; every matrix begins with 1/sqrt(n),
//! which keeps the size of its input, times a gain:
//!
//! - **Embedding and head**: 3/sqrt(`hidden`), which gives logits with a standard deviation of 3, since the final state
//!   has an RMS of 1. Rows that no token of the tokenizer uses, and those of the special tokens, have a quarter of it:
//!   they cannot win against thousands of full ones, so that generated ids can be read and no end comes by chance.
//! - **q, k**: gain sqrt(2) each, so that scores (q.k/sqrt(head_dim)) have a standard deviation of 2, and a query
//!   looks at the equivalent of some 20 of 400 positions.
//! - **v, gate, up**: gain 1. With unit inputs, silu(gate)*up has an RMS of about 0.6, which the gain of `down` makes
//!   up for.
//! - **The first layer** rewrites the token. Its attention adds little beside the embedding (`o`: 1.2 times the
//!   embedding's scale), so that the token itself counts, but its feed-forward network adds an RMS of 12, far above
//!   the embedding. Without that, a tied head would raise the logit of the input token by up to 3*sqrt(`hidden`); so
//!   it is raised by 9/13.4 = 0.7, a quarter of a standard deviation.
//! - **The later layers** together add about a quarter of the first one's energy, however many there are: with s =
//!   6/sqrt(layers - 1), each network adds an RMS of 0.8 s, and each attention 1.5 s before it averages over
//!   positions. A larger part makes deep models chaotic: rounding errors grow from layer to layer, and 8-bit weights
//!   would already choose other tokens. Like this the effect of a quantization hardly depends on depth.
//! - **Norms**: 1 with a standard deviation of 0.05.
//!
//! Seen with a float32 model in numpy, which read the files of tiny and 60M (seed 42): the logits' standard deviation
//! is 3.0 over the tokenizer's tokens. Of 64 greedy continuations of 64 tokens each (random prompts), none of tiny
//! and one of 60M ended in a constant token; on average 61 to 62 of the 64 were different. Weights rounded to float16 chose
//! the same token in 400 of 400 places, 8-bit ones (blocks of 32) in 95 to 97%, 4-bit ones in 48%: random weights
//! have no redundancy, so quantization costs them more than a trained model. Leaving out the RoPE scaling shows (KL
//! divergence 0.4 and 0.05).

use super::geometry::{Geometry, Role, Tensor};

/// Gain of embedding and head, and so the standard deviation of the logits.
pub(super) const EMBEDDING_GAIN: f64 = 3.0;
/// What unused rows of embedding and head have of the others' scale.
const QUIET: f64 = 0.25;
/// Gain of q and of k; its square is the standard deviation of attention scores.
const SCORE_GAIN: f64 = std::f64::consts::SQRT_2;
/// RMS of what the first feed-forward network adds.
const FIRST: f64 = 12.0;
/// RMS that the later layers share, before their gains.
const LATER: f64 = 6.0;
/// RMS of silu(a)*b for standard normal a and b.
const SILU: f64 = 0.6;
/// Standard deviation of the norms around 1.
const NORM: f64 = 0.05;
/// Standard deviation of the sum of four uniform 16-bit numbers: sqrt(4 * (2^32 - 1) / 12).
const SUM_STD: f64 = 37_837.227_246;
/// Mean of that sum.
const SUM_MEAN: i32 = 131_070;

/// How one tensor is filled.
#[derive(Debug, Clone, Copy)]
pub(super) struct Recipe {
    key: u64,
    mean: f32,
    /// Standard deviation over that of the raw sum.
    step: f32,
    /// The same from value `quiet_from` on.
    quiet_step: f32,
    quiet_from: u64,
}

impl Recipe {
    /// The recipe of a tensor; `used_rows` of embedding and head are at full scale.
    pub fn new(seed: u64, tensor: &Tensor, geometry: &Geometry, used_rows: usize) -> Self {
        let std = standard_deviation(tensor, geometry);
        let vocabulary = matches!(tensor.role, Role::Embedding | Role::Head);
        Self {
            key: mix(seed ^ name_hash(&tensor.name)),
            mean: if tensor.role == Role::Norm { 1.0 } else { 0.0 },
            step: (std / SUM_STD) as f32,
            quiet_step: (std * QUIET / SUM_STD) as f32,
            quiet_from: if vocabulary { (used_rows * geometry.hidden) as u64 } else { u64::MAX },
        }
    }

    /// Writes the values from number `first` on as little-endian bfloat16, two bytes each, until `out` is full.
    pub fn fill(&self, first: u64, out: &mut [u8]) {
        let loud = self.quiet_from.saturating_sub(first).min(out.len() as u64 / 2);
        let (head, tail) = out.split_at_mut(loud as usize * 2);
        self.stretch(first, self.step, head);
        self.stretch(first + loud, self.quiet_step, tail);
    }

    /// Values of one scale. The counter makes each value independent of where a stretch begins.
    fn stretch(&self, first: u64, step: f32, out: &mut [u8]) {
        let mut state = self.key.wrapping_add(first.wrapping_mul(GOLDEN));
        for two in out.chunks_exact_mut(2) {
            state = state.wrapping_add(GOLDEN);
            let value = self.mean + sum_of_four(mix(state)) as f32 * step;
            two.copy_from_slice(&bfloat16(value).to_le_bytes());
        }
    }
}

/// The scale of a tensor's values, as the head of this file explains.
fn standard_deviation(tensor: &Tensor, geometry: &Geometry) -> f64 {
    let inputs = *tensor.shape.last().unwrap_or(&1) as f64;
    let embedding = EMBEDDING_GAIN / (geometry.hidden as f64).sqrt();
    let share = LATER / (geometry.layers.saturating_sub(1).max(1) as f64).sqrt();
    let gain = match tensor.role {
        Role::Norm => return NORM,
        Role::Embedding | Role::Head => return embedding,
        Role::Query | Role::Key => SCORE_GAIN,
        Role::Value | Role::Gate | Role::Up => 1.0,
        Role::Output(0) => 1.2 * embedding,
        Role::Output(_) => 1.5 * share,
        Role::Down(0) => FIRST / SILU,
        Role::Down(_) => 0.8 * share / SILU,
    };
    gain / inputs.sqrt()
}

/// 2^64 over the golden ratio, splitmix64's step.
const GOLDEN: u64 = 0x9E37_79B9_7F4A_7C15;

/// The output function of splitmix64 (Steele, Lea and Flood, "Fast splittable pseudorandom number generators", 2014).
fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

/// FNV-1a over the bytes of a tensor's name.
fn name_hash(name: &str) -> u64 {
    name.bytes().fold(0xCBF2_9CE4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01B3))
}

/// The sum of the four 16-bit parts of `bits`, less its mean: near enough to normal, and never beyond 3.5 standard
/// deviations.
fn sum_of_four(bits: u64) -> i32 {
    const EVEN: u64 = 0x0000_FFFF_0000_FFFF;
    let pairs = (bits & EVEN).wrapping_add((bits >> 16) & EVEN);
    (pairs as u32).wrapping_add((pairs >> 32) as u32) as i32 - SUM_MEAN
}

/// Rounds to bfloat16, to the nearest and ties to even. The value must be finite.
fn bfloat16(value: f32) -> u16 {
    let bits = value.to_bits();
    (bits.wrapping_add(0x7FFF).wrapping_add((bits >> 16) & 1) >> 16) as u16
}

#[cfg(test)]
mod tests {
    use super::*;

    fn recipe(name: &str, seed: u64) -> (Recipe, Tensor) {
        let geometry = Geometry::find("tiny").unwrap();
        let tensor = geometry.tensors().into_iter().find(|t| t.name == name).unwrap();
        (Recipe::new(seed, &tensor, geometry, 2000), tensor)
    }

    fn values(recipe: &Recipe, first: u64, n: usize) -> Vec<f64> {
        let mut bytes = vec![0; 2 * n];
        recipe.fill(first, &mut bytes);
        bytes.chunks_exact(2).map(|b| f64::from(half::bf16::from_le_bytes([b[0], b[1]]).to_f32())).collect()
    }

    fn mean_and_std(values: &[f64]) -> (f64, f64) {
        let n = values.len() as f64;
        let mean = values.iter().sum::<f64>() / n;
        (mean, (values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / n).sqrt())
    }

    #[test]
    fn rounding_is_that_of_the_half_crate() {
        for bits in (0..0x7F00_0000u32).step_by(7919).chain([0x3F80_8000, 0x3F81_8000, 0x3F80_8001]) {
            for value in [f32::from_bits(bits), -f32::from_bits(bits)] {
                assert_eq!(bfloat16(value), half::bf16::from_f32(value).to_bits(), "{value:e}");
            }
        }
    }

    #[test]
    fn values_have_the_intended_mean_and_scale() {
        let (query, _) = recipe("model.layers.1.self_attn.q_proj.weight", 1);
        let (mean, std) = mean_and_std(&values(&query, 0, 65_536));
        let expected = SCORE_GAIN / 16.0;
        assert!(mean.abs() < expected / 60.0 && (std / expected - 1.0).abs() < 0.02, "{mean} {std}");
        let (norm, _) = recipe("model.norm.weight", 1);
        let (mean, std) = mean_and_std(&values(&norm, 0, 256));
        assert!((mean - 1.0).abs() < 0.02 && (std / NORM - 1.0).abs() < 0.3, "{mean} {std}");
    }

    #[test]
    fn rows_without_a_token_are_quiet() {
        let (head, _) = recipe("lm_head.weight", 1);
        let border = values(&head, 1990 * 256, 20 * 256);
        let (loud, quiet) = border.split_at(10 * 256);
        let ratio = mean_and_std(quiet).1 / mean_and_std(loud).1;
        assert!((ratio / QUIET - 1.0).abs() < 0.1, "{ratio}");
    }

    #[test]
    fn any_stretch_equals_the_same_part_of_the_whole() {
        let (head, tensor) = recipe("lm_head.weight", 7);
        let whole = values(&head, 0, tensor.count() as usize);
        for (first, n) in [(0, 3), (511_990, 100), (524_287, 1)] {
            assert_eq!(values(&head, first as u64, n), whole[first..first + n]);
        }
    }

    #[test]
    fn seeds_and_names_give_other_values() {
        let one = values(&recipe("lm_head.weight", 1).0, 0, 64);
        assert_ne!(one, values(&recipe("lm_head.weight", 2).0, 0, 64));
        assert_ne!(one, values(&recipe("model.embed_tokens.weight", 1).0, 0, 64));
    }
}
