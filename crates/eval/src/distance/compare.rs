//! Two distributions at one position, and all positions of a chunk on several threads.

use super::rows::Rows;
use super::sums::Position;
use super::{Error, Result};
use std::panic::resume_unwind;
use std::thread;

/// What a position says: `base` and `other` are natural logarithms of probabilities over the same vocabulary, `token` is what
/// really follows. `None` if a log-probability is infinite or no number, or if there is no such token.
///
/// The divergence is the sum over the vocabulary of p_base (ln p_base - ln p), the most probable token the first of equals.
pub fn position(base: &[f32], other: &[f32], token: u32) -> Option<Position> {
    let (mut kld, mut finite) = (0.0, true);
    let (mut top_base, mut top) = (0, 0);
    for (i, (p, q)) in base.iter().zip(other).enumerate() {
        let (lp, lq) = (f64::from(*p), f64::from(*q));
        finite &= lp.is_finite() && lq.is_finite();
        kld += lp.exp() * (lp - lq);
        if *p > base[top_base] {
            top_base = i;
        }
        if *q > other[top] {
            top = i;
        }
    }
    let (lp, lq) = (f64::from(*base.get(token as usize)?), f64::from(*other.get(token as usize)?));
    let found =
        Position { token, nll: -lq, nll_base: -lp, kld, delta_p: lq.exp() - lp.exp(), same_top: top == top_base };
    (finite && base.len() == other.len()).then_some(found)
}

/// All positions of a chunk: row i of both files is the prediction of `next[i]`. `who` is engine and quantization, `number`
/// the chunk's, for messages.
pub(super) fn chunk(
    base: &Rows,
    other: &Rows,
    next: &[u32],
    threads: usize,
    who: &str,
    number: usize,
) -> Result<Vec<Position>> {
    let share = next.len().div_ceil(threads.max(1)).max(1);
    let part = |first: usize, next: &[u32]| -> Result<Vec<Position>> {
        let (mut bytes, mut p, mut q) = (Vec::new(), Vec::new(), Vec::new());
        let mut found = Vec::with_capacity(next.len());
        for (i, token) in next.iter().enumerate() {
            base.read(first + i, &mut bytes, &mut p)?;
            other.read(first + i, &mut bytes, &mut q)?;
            let wrong = || Error::NotFinite { engine: who.to_owned(), chunk: number, position: first + i };
            found.push(position(&p, &q, *token).ok_or_else(wrong)?);
        }
        Ok(found)
    };
    let part = &part;
    let parts: Vec<Result<Vec<Position>>> = thread::scope(|scope| {
        let threads: Vec<_> =
            next.chunks(share).enumerate().map(|(i, next)| scope.spawn(move || part(i * share, next))).collect();
        threads.into_iter().map(|thread| thread.join().unwrap_or_else(|panic| resume_unwind(panic))).collect()
    });
    let mut all = Vec::with_capacity(next.len());
    for part in parts {
        all.extend(part?);
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn logs(p: &[f64]) -> Vec<f32> {
        p.iter().map(|p| p.ln() as f32).collect()
    }

    fn close(a: f64, b: f64) {
        assert!((a - b).abs() < 1e-6, "{a} is not {b}");
    }

    #[test]
    fn the_divergence_of_two_known_distributions() {
        let (base, other) = (logs(&[0.5, 0.25, 0.25]), logs(&[0.25, 0.5, 0.25]));
        let found = position(&base, &other, 1).unwrap();
        // 0.5 ln 2 - 0.25 ln 2.
        close(found.kld, 0.25 * 2f64.ln());
        close(found.nll, 2f64.ln());
        close(found.nll_base, 4f64.ln());
        close(found.delta_p, 0.25);
        assert!(!found.same_top);
    }

    #[test]
    fn a_distribution_is_at_no_distance_from_itself() {
        let base = logs(&[0.1, 0.2, 0.7]);
        let found = position(&base, &base, 2).unwrap();
        assert_eq!((found.kld, found.delta_p, found.same_top), (0.0, 0.0, true));
    }

    #[test]
    fn what_is_no_distribution_is_refused() {
        let good = logs(&[0.5, 0.5]);
        assert_eq!(position(&good, &[f32::NEG_INFINITY, 0.0], 0), None);
        assert_eq!(position(&good, &[f32::NAN, 0.0], 1), None);
        assert_eq!(position(&good, &good[..1], 0), None);
        assert_eq!(position(&good, &good, 2), None);
    }

    #[test]
    fn threads_do_not_change_order_or_figures() {
        let folder = std::env::temp_dir().join(format!("tokometer-compare-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let write = |name: &str, shift: usize| {
            let row =
                |i: usize| logs(&[0.1 + 0.01 * ((i + shift) % 7) as f64, 0.3, 0.6 - 0.01 * ((i + shift) % 7) as f64]);
            let bytes: Vec<u8> = (0..10).flat_map(row).flat_map(f32::to_le_bytes).collect();
            let path = folder.join(name);
            std::fs::write(&path, bytes).unwrap();
            path
        };
        let (base, other) = (write("base", 0), write("other", 3));
        let base = Rows::open(&base, 10, 3, "base").unwrap();
        assert!(matches!(Rows::open(&other, 9, 3, "other"), Err(Error::Shape { .. })));
        let other = Rows::open(&other, 10, 3, "other").unwrap();
        let next: Vec<u32> = (0..10).map(|i| i % 3).collect();
        let one = chunk(&base, &other, &next, 1, "x", 0).unwrap();
        for threads in [2, 3, 16] {
            assert_eq!(chunk(&base, &other, &next, threads, "x", 0).unwrap(), one);
        }
        assert!(one.iter().map(|p| p.token).eq(next.iter().copied()));
        assert!(one.iter().all(|p| p.kld >= 0.0) && one.iter().any(|p| p.kld > 1e-4));
        std::fs::remove_dir_all(folder).unwrap();
    }
}
