//! Memory bandwidth: threads add up buffers far larger than the caches.
//!
//! Only reading is measured, as decoding does little else (weights are read once per token). Stores would bring lines
//! in before they overwrite them unless they bypass the caches, and every program does that differently; a read moves
//! what it reads. Each pass goes through the buffer in the same direction: what is left of it in the caches is then the
//! end, which is evicted before it is reached again.

use super::cache::LastLevel;
use super::team::passes;
use std::hint::black_box;
use std::time::Duration;

/// Buffers together are this many times what the threads find in caches.
const BEYOND: u64 = 4;
/// Buffers together, where the caches are small or unknown.
const SMALLEST: u64 = 64 << 20;
const UNKNOWN: u64 = 256 << 20;
/// And at most.
const LARGEST: u64 = 4 << 30;

/// What the passes came to.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Measured {
    /// GB/s of each pass.
    pub gb_s: Vec<f64>,
    /// Bytes of all buffers.
    pub bytes: u64,
}

/// Reads buffers on `threads` threads for about `budget`. Empty where there is not enough memory to get past the caches:
/// a figure of the caches would be a wrong one. `available` is the memory that is free, bytes.
pub(super) fn bandwidth(
    threads: usize,
    cache: Option<LastLevel>,
    available: Option<u64>,
    budget: Duration,
) -> Measured {
    let Some(total) = total_bytes(threads as u64, cache, available) else { return Measured::default() };
    let words = (total / threads as u64 / 8) as usize;
    let bytes = (words * 8 * threads) as u64;
    let seconds = passes(
        threads,
        budget,
        || buffer(words),
        |buffer| {
            black_box(sum(black_box(buffer)));
        },
    );
    Measured { gb_s: seconds.into_iter().map(|seconds| bytes as f64 / seconds / 1e9).collect(), bytes }
}

fn total_bytes(threads: u64, cache: Option<LastLevel>, available: Option<u64>) -> Option<u64> {
    let reach = cache.map(|cache| cache.reach(threads));
    let wanted = reach.map_or(UNKNOWN, |bytes| bytes.saturating_mul(BEYOND).max(SMALLEST)).min(LARGEST);
    let allowed = available.map_or(wanted, |free| wanted.min(free / 8));
    let least = reach.map_or(SMALLEST / 2, |bytes| bytes.saturating_mul(2)).max(SMALLEST / 2);
    (allowed >= least).then_some(allowed)
}

/// A buffer that its thread has touched, so that it lies near the thread, in large pages where the system has them.
fn buffer(words: usize) -> Option<Vec<u64>> {
    let mut buffer: Vec<u64> = Vec::new();
    buffer.try_reserve_exact(words).ok()?;
    ask_for_large_pages(buffer.as_ptr(), words * 8);
    buffer.resize(words, 0x0101_0101_0101_0101);
    Some(buffer)
}

/// Large pages take the look-up of addresses out of the measurement. Advice only: what the system does with it is its own.
/// The range is `bytes` from `start`, inside one allocation.
#[cfg(target_os = "linux")]
fn ask_for_large_pages(start: *const u64, bytes: usize) {
    const PAGE: usize = 2 << 20;
    let first = (start as usize).next_multiple_of(PAGE);
    let end = (start as usize + bytes) / PAGE * PAGE;
    if end > first {
        // SAFETY: the range lies inside an allocation of ours; the advice changes no content.
        unsafe { libc::madvise(first as *mut libc::c_void, end - first, libc::MADV_HUGEPAGE) };
    }
}

#[cfg(not(target_os = "linux"))]
fn ask_for_large_pages(_: *const u64, _: usize) {}

/// Independent sums: the compiler makes vectors of them.
fn sum(words: &[u64]) -> u64 {
    words.iter().fold(0, |sum, word| sum.wrapping_add(*word))
}

#[cfg(test)]
mod tests {
    use super::*;

    const CACHE: LastLevel = LastLevel { bytes: 32 << 20, instances: 2 };

    #[test]
    fn the_buffer_is_well_beyond_the_caches_or_nothing_is_measured() {
        assert_eq!(total_bytes(1, Some(CACHE), None), Some(128 << 20));
        assert_eq!(total_bytes(8, Some(CACHE), None), Some(256 << 20));
        assert_eq!(total_bytes(2, None, None), Some(UNKNOWN));
        // An eighth of what is free still gets past the caches, or does not.
        assert_eq!(total_bytes(1, Some(CACHE), Some(800 << 20)), Some(100 << 20));
        assert_eq!(total_bytes(1, Some(CACHE), Some(400 << 20)), None);
        assert_eq!(bandwidth(1, Some(CACHE), Some(0), Duration::ZERO), Measured::default());
    }

    #[test]
    fn reading_takes_time_and_has_a_rate() {
        let small = LastLevel { bytes: 1 << 20, instances: 1 };
        let measured = bandwidth(2, Some(small), None, Duration::from_millis(1));
        assert!(measured.bytes >= SMALLEST / 2 && measured.gb_s.len() >= 2, "{measured:?}");
        assert!(measured.gb_s.iter().all(|rate| *rate > 0.01 && *rate < 100_000.0), "{measured:?}");
    }

    #[test]
    fn a_sum_is_a_sum() {
        assert_eq!(sum(&[1, 2, u64::MAX]), 2);
    }
}
