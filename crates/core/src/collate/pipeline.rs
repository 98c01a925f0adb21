//! Work on all cores whose results are taken in order and in bounded memory.

use std::collections::BTreeMap;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError, mpsc};
use std::thread;

/// Weight that may be under way at once, beside the item that is next in order.
const LIMIT: u64 = 32 << 20;

/// Items that may be under way at once for each thread.
const AHEAD: usize = 16;

/// Calls `produce` for every index below `weights.len()`, on `threads` threads, and `consume` with each result on this
/// thread, in order. `weights` are sizes in memory: no more than [`LIMIT`] of them are under way at once.
///
/// # Errors
/// The first of `consume`; what is not begun then is left.
pub(super) fn in_order<T: Send, E>(
    weights: &[u64],
    threads: usize,
    produce: impl Fn(usize) -> T + Sync,
    mut consume: impl FnMut(usize, T) -> Result<(), E>,
) -> Result<(), E> {
    let threads = threads.clamp(1, weights.len().max(1));
    let gate = Gate::new(weights, threads * AHEAD);
    thread::scope(|scope| {
        let (send, receive) = mpsc::channel();
        for _ in 0..threads {
            let (send, gate, produce) = (send.clone(), &gate, &produce);
            scope.spawn(move || {
                let _guard = StopOnPanic(gate);
                while let Some(i) = gate.take() {
                    if send.send((i, produce(i))).is_err() {
                        break;
                    }
                }
            });
        }
        drop(send);
        let mut early = BTreeMap::new();
        let mut next = 0;
        for (i, made) in receive {
            early.insert(i, made);
            while let Some(made) = early.remove(&next) {
                if let Err(error) = consume(next, made) {
                    gate.stop();
                    return Err(error);
                }
                gate.consumed(next);
                next += 1;
            }
        }
        Ok(())
    })
}

/// Hands out items in order and holds back those that are too far ahead.
struct Gate<'a> {
    weights: &'a [u64],
    ahead: usize,
    state: Mutex<State>,
    moved: Condvar,
}

#[derive(Default)]
struct State {
    /// Next item to hand out.
    next: usize,
    /// Items consumed.
    consumed: usize,
    /// Weight of what is handed out and not consumed.
    under_way: u64,
    stopped: bool,
}

impl<'a> Gate<'a> {
    fn new(weights: &'a [u64], ahead: usize) -> Self {
        Gate { weights, ahead, state: Mutex::default(), moved: Condvar::new() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The next item, when there is room for it. `None` when there are no more.
    fn take(&self) -> Option<usize> {
        let mut state = self.state();
        loop {
            let i = state.next;
            let weight = *self.weights.get(i)?;
            if state.stopped {
                return None;
            }
            let fits = i < state.consumed + self.ahead && state.under_way.saturating_add(weight) <= LIMIT;
            // What is to be consumed next must go on whatever it weighs.
            if fits || i == state.consumed {
                state.next += 1;
                state.under_way = state.under_way.saturating_add(weight);
                return Some(i);
            }
            state = self.moved.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn consumed(&self, i: usize) {
        let mut state = self.state();
        state.consumed = i + 1;
        state.under_way = state.under_way.saturating_sub(self.weights[i]);
        drop(state);
        self.moved.notify_all();
    }

    fn stop(&self) {
        self.state().stopped = true;
        self.moved.notify_all();
    }
}

/// A thread that panics must not leave the others waiting for its result.
struct StopOnPanic<'a, 'b>(&'a Gate<'b>);

impl Drop for StopOnPanic<'_, '_> {
    fn drop(&mut self) {
        if thread::panicking() {
            self.0.stop();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicU64, Ordering};

    #[test]
    fn results_come_in_order_whatever_their_weight() {
        let weights: Vec<u64> = (0..300).map(|i| if i % 7 == 0 { LIMIT * 2 } else { i % 5 * 1000 }).collect();
        for threads in [1, 4] {
            let mut seen = Vec::new();
            let done: Result<(), ()> = in_order(
                &weights,
                threads,
                |i| i * 2,
                |i, made| {
                    seen.push((i, made));
                    Ok(())
                },
            );
            assert_eq!(done, Ok(()));
            assert_eq!(seen, (0..300).map(|i| (i, i * 2)).collect::<Vec<_>>());
        }
        assert_eq!(in_order(&[], 4, |i| i, |_, _| Err(())), Ok(()));
    }

    #[test]
    fn memory_is_bounded() {
        let (now, peak) = (AtomicU64::new(0), AtomicU64::new(0));
        let weights = vec![LIMIT / 4; 100];
        let done: Result<(), ()> = in_order(
            &weights,
            8,
            |i| {
                let level = now.fetch_add(weights[i], Ordering::SeqCst) + weights[i];
                peak.fetch_max(level, Ordering::SeqCst);
            },
            |i, ()| {
                now.fetch_sub(weights[i], Ordering::SeqCst);
                Ok(())
            },
        );
        assert_eq!(done, Ok(()));
        assert!(peak.load(Ordering::SeqCst) <= LIMIT, "{peak:?}");
    }

    #[test]
    fn an_error_ends_the_work() {
        let made = AtomicU64::new(0);
        let weights = vec![LIMIT; 1000];
        let done =
            in_order(&weights, 4, |_| made.fetch_add(1, Ordering::SeqCst), |i, _| if i < 3 { Ok(()) } else { Err(i) });
        assert_eq!(done, Err(3));
        assert!(made.load(Ordering::SeqCst) < 1000);
    }

    #[test]
    #[should_panic(expected = "a scoped thread panicked")]
    fn a_panic_does_not_hang() {
        let _: Result<(), ()> = in_order(&[LIMIT; 50], 2, |i| assert_ne!(i, 5), |_, ()| Ok(()));
    }
}
