//! Threads that do the same work at the same time, pass after pass.

use std::hint::spin_loop;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// Passes that are measured at least, whatever they take.
const FEWEST: usize = 5;
/// Passes that are measured at most.
const MOST: usize = 24;
/// Looks at the gate before a waiting thread offers its processor to others.
const SPINS: u32 = 2000;

/// Runs `work` on `threads` threads at once, again and again for about `budget`, each thread on a state of its own that
/// `prepare` makes. Returns the seconds of each pass, from the first thread's start to the last one's end. A pass that
/// warms up comes first and is not among them. Empty where a thread or its state cannot be had.
pub(super) fn passes<S>(
    threads: usize,
    budget: Duration,
    prepare: impl Fn() -> Option<S> + Sync,
    work: impl Fn(&mut S) + Sync,
) -> Vec<f64> {
    let gate = Gate::new(threads);
    let spans: Vec<Vec<(Instant, Instant)>> = thread::scope(|scope| {
        let (gate, prepare, work) = (&gate, &prepare, &work);
        let member = move |leader: bool| {
            let Some(mut state) = prepare() else {
                gate.close();
                return Vec::new();
            };
            let mut spans = Vec::with_capacity(MOST);
            let begun = Instant::now();
            work(&mut state);
            while gate.wait() {
                let start = Instant::now();
                work(&mut state);
                spans.push((start, Instant::now()));
                let enough = spans.len() >= FEWEST && begun.elapsed() >= budget;
                if leader && (enough || spans.len() >= MOST) {
                    gate.close();
                }
            }
            spans
        };
        let mut team = Vec::with_capacity(threads);
        for number in 0..threads {
            match thread::Builder::new().spawn_scoped(scope, move || member(number == 0)) {
                Ok(thread) => team.push(thread),
                Err(_) => {
                    // Those who wait already would wait for ever.
                    gate.close();
                    break;
                }
            }
        }
        team.into_iter().map(|thread| thread.join().unwrap_or_default()).collect()
    });
    // Whoever saw the gate close early has a pass less.
    let whole = spans.iter().map(Vec::len).min().unwrap_or(0);
    let seconds = |pass: usize| {
        let start = spans.iter().map(|own| own[pass].0).min()?;
        let end = spans.iter().map(|own| own[pass].1).max()?;
        Some(end.duration_since(start).as_secs_f64()).filter(|seconds| *seconds > 0.0)
    };
    (0..whole).filter_map(seconds).collect()
}

/// Where the threads wait for each other before each pass. Spinning lets all start within a microsecond, which waiting
/// in the kernel would not.
struct Gate {
    threads: usize,
    arrived: AtomicUsize,
    opened: AtomicUsize,
    closed: AtomicBool,
}

impl Gate {
    fn new(threads: usize) -> Gate {
        Gate { threads, arrived: AtomicUsize::new(0), opened: AtomicUsize::new(0), closed: AtomicBool::new(false) }
    }

    /// Waits until everybody is here; `false` when the gate is closed for good.
    fn wait(&self) -> bool {
        let opened = self.opened.load(Ordering::Acquire);
        if self.arrived.fetch_add(1, Ordering::AcqRel) + 1 == self.threads {
            self.arrived.store(0, Ordering::Relaxed);
            self.opened.fetch_add(1, Ordering::Release);
        } else {
            let mut looks = 0;
            while self.opened.load(Ordering::Acquire) == opened && !self.closed.load(Ordering::Acquire) {
                if looks < SPINS {
                    looks += 1;
                    spin_loop();
                } else {
                    thread::yield_now();
                }
            }
        }
        !self.closed.load(Ordering::Acquire)
    }

    fn close(&self) {
        self.closed.store(true, Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_threads_make_all_passes() {
        let worked = AtomicUsize::new(0);
        let seconds = passes(
            3,
            Duration::from_millis(1),
            || Some(()),
            |()| {
                worked.fetch_add(1, Ordering::Relaxed);
            },
        );
        assert!((FEWEST - 1..=MOST).contains(&seconds.len()), "{}", seconds.len());
        // The pass that warms up is one more, on each thread.
        assert!(worked.load(Ordering::Relaxed) >= 3 * (seconds.len() + 1));
    }

    #[test]
    fn without_memory_nothing_is_measured_and_nobody_waits() {
        let first = AtomicBool::new(true);
        let prepare = || (!first.swap(false, Ordering::Relaxed)).then_some(());
        assert_eq!(passes(3, Duration::from_millis(1), prepare, |()| ()), Vec::<f64>::new());
    }
}
