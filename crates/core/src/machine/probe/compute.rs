//! Peak arithmetic in float32: independent chains of fused multiply-adds in registers, no memory.
//!
//! As many chains as hide the latency of the operation (two units x four cycles on the processors of the last ten years);
//! each instruction counts as two operations per lane, as everybody counts. The widest vectors that the processor has are
//! chosen when the program runs. Engines that compute in narrower numbers (int8 dot products, bfloat16) can be above this
//! peak.

use super::team::passes;
use std::hint::black_box;
use std::time::Duration;

/// Rounds of all chains in one pass: one to a few milliseconds.
const STEPS: u32 = 400_000;

/// What the passes came to.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Measured {
    /// 10^9 operations per second, of each pass.
    pub gflops: Vec<f64>,
    /// The instructions that were used.
    pub kernel: &'static str,
}

/// A way to compute.
struct Kernel {
    name: &'static str,
    /// Operations of one step.
    flop: f64,
    run: fn(u32) -> f32,
}

/// Computes on `threads` threads for about `budget`.
pub(super) fn peak(threads: usize, budget: Duration) -> Measured {
    let kernel = best();
    let seconds = passes(
        threads,
        budget,
        || Some(()),
        |()| {
            black_box((kernel.run)(black_box(STEPS)));
        },
    );
    let flop = kernel.flop * f64::from(STEPS) * threads as f64;
    Measured { gflops: seconds.into_iter().map(|seconds| flop / seconds / 1e9).collect(), kernel: kernel.name }
}

/// The widest that this processor has.
#[allow(unreachable_code, unused_unsafe, reason = "on some targets the first kernel is there for certain")]
fn best() -> Kernel {
    #[cfg(target_arch = "x86_64")]
    {
        if is_x86_feature_detected!("avx512f") {
            // SAFETY: the processor has it, as was just asked.
            return Kernel { name: "avx512f", flop: 12.0 * 16.0 * 2.0, run: |steps| unsafe { x86::avx512(steps) } };
        }
        if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
            // SAFETY: as above.
            return Kernel { name: "avx2+fma", flop: 12.0 * 8.0 * 2.0, run: |steps| unsafe { x86::fma(steps) } };
        }
    }
    #[cfg(target_arch = "aarch64")]
    {
        // SAFETY: every processor of this architecture has it.
        return Kernel { name: "neon", flop: 20.0 * 4.0 * 2.0, run: |steps| unsafe { arm::neon(steps) } };
    }
    Kernel { name: "portable", flop: 48.0 * 2.0, run: portable }
}

/// A kernel of `$n` vectors that stay in registers.
macro_rules! chains {
    (
        $name:ident, $features:literal, $n:literal, $set:ident,
        |$a:ident, $b:ident, $c:ident| $fused:expr, |$v:ident| $sum:expr
    ) => {
        #[target_feature(enable = $features)]
        pub(super) fn $name(steps: u32) -> f32 {
            // Hidden from the compiler, or it would see that the chains are alike and compute one.
            let mut chains = black_box([$set(1.0); $n]);
            let ($b, $c) = (black_box($set(0.999_999)), black_box($set(1e-6)));
            for _ in 0..steps {
                for chain in &mut chains {
                    let $a = *chain;
                    *chain = $fused;
                }
            }
            let mut total = 0.0;
            for $v in chains {
                total += $sum;
            }
            total
        }
    };
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use std::arch::x86_64::{
        _mm256_cvtss_f32, _mm256_fmadd_ps, _mm256_set1_ps, _mm512_fmadd_ps, _mm512_reduce_add_ps, _mm512_set1_ps,
    };
    use std::hint::black_box;

    chains!(avx512, "avx512f,fma", 12, _mm512_set1_ps, |a, b, c| _mm512_fmadd_ps(a, b, c), |v| _mm512_reduce_add_ps(v));
    // All lanes hold the same: one of them, times their number.
    chains!(fma, "avx2,fma", 12, _mm256_set1_ps, |a, b, c| _mm256_fmadd_ps(a, b, c), |v| 8.0 * _mm256_cvtss_f32(v));
}

#[cfg(target_arch = "aarch64")]
mod arm {
    use std::arch::aarch64::{vaddvq_f32, vdupq_n_f32, vfmaq_f32};
    use std::hint::black_box;

    chains!(neon, "neon", 20, vdupq_n_f32, |a, b, c| vfmaq_f32(c, a, b), |v| vaddvq_f32(v));
}

/// Forty-eight chains that the compiler makes vectors of as it can, without fused operations: where the target has none,
/// they would be calls of a function.
fn portable(steps: u32) -> f32 {
    let mut chains = black_box([1.0f32; 48]);
    let (factor, summand) = (black_box(0.999_999f32), black_box(1e-6f32));
    for _ in 0..steps {
        for chain in &mut chains {
            *chain = *chain * factor + summand;
        }
    }
    chains.iter().sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chains_compute_what_they_say() {
        // 1 * 0.999999 + 0.000001 stays at 1.
        assert!((portable(1000) - 48.0).abs() < 0.01);
        let kernel = best();
        let lanes = kernel.flop / 2.0;
        assert!((f64::from((kernel.run)(1000)) - lanes).abs() < 0.01 * lanes);
    }

    #[test]
    fn computing_takes_time_and_has_a_rate() {
        let measured = peak(2, Duration::from_millis(1));
        assert!(!measured.kernel.is_empty() && measured.gflops.len() >= 2);
        assert!(measured.gflops.iter().all(|rate| *rate > 0.01 && *rate < 1e6), "{measured:?}");
    }
}
