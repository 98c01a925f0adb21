//! Two readers of the same files stay near each other, so that the disk is read once for both even where the files are
//! larger than memory. The leader reads as it likes; the follower waits where it would run far ahead.

use std::io;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

/// Bytes that the follower may be ahead: enough that it reads for the leader, little enough to stay in memory until then.
const AHEAD: u64 = 256 << 20;

/// How far the first of two readers is. It is for one piece of work.
#[derive(Debug, Default)]
pub struct Pace {
    state: Mutex<State>,
    moved: Condvar,
}

#[derive(Debug, Default)]
struct State {
    read: u64,
    given_up: bool,
}

/// Tells the follower how the leader ended, when it ends by a panic too.
struct Leading<'a> {
    pace: &'a Pace,
    done: bool,
}

impl Pace {
    /// The leader's work. When it fails, the follower gives up.
    pub(super) fn lead<T, E>(&self, work: impl FnOnce() -> Result<T, E>) -> Result<T, E> {
        let mut leading = Leading { pace: self, done: false };
        let result = work();
        leading.done = result.is_ok();
        result
    }

    /// The leader has read `bytes` more.
    pub(super) fn advance(&self, bytes: u64) {
        self.change(|state| state.read = state.read.saturating_add(bytes));
    }

    /// The follower need not wait for the leader any more.
    pub(super) fn release(&self) {
        self.change(|state| state.read = u64::MAX);
    }

    /// Returns when the follower may go on from `position`, counted in bytes from the first file's first.
    ///
    /// # Errors
    /// The leader failed: what the follower does is not needed.
    pub(super) fn keep(&self, position: u64) -> io::Result<()> {
        let must_wait = |state: &mut State| !state.given_up && position > state.read.saturating_add(AHEAD);
        let state = self.moved.wait_while(self.state(), must_wait).unwrap_or_else(PoisonError::into_inner);
        match state.given_up {
            true => Err(io::Error::other("given up, because what it was read for failed")),
            false => Ok(()),
        }
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.state());
        self.moved.notify_all();
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Leading<'_> {
    fn drop(&mut self) {
        match self.done {
            true => self.pace.release(),
            false => self.pace.change(|state| state.given_up = true),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::thread;

    #[test]
    fn who_is_far_ahead_waits_for_the_leader() {
        let (pace, is_near) = (Pace::default(), AtomicBool::new(false));
        thread::scope(|scope| {
            scope.spawn(|| {
                pace.keep(AHEAD).unwrap();
                pace.keep(AHEAD + 10).unwrap();
                assert!(is_near.load(Ordering::SeqCst));
            });
            pace.advance(9);
            is_near.store(true, Ordering::SeqCst);
            pace.advance(1);
        });
    }

    #[test]
    fn nobody_waits_for_a_leader_that_is_done_or_has_failed() {
        let pace = Pace::default();
        thread::scope(|scope| {
            let follower = scope.spawn(|| pace.keep(u64::MAX));
            pace.lead(|| Ok::<(), ()>(())).unwrap();
            follower.join().unwrap().unwrap();
        });
        let pace = Pace::default();
        thread::scope(|scope| {
            let follower = scope.spawn(|| pace.keep(u64::MAX));
            pace.lead(|| Err::<(), ()>(())).unwrap_err();
            assert!(follower.join().unwrap().unwrap_err().to_string().contains("given up"));
        });
    }

    #[test]
    fn a_panic_of_the_leader_ends_the_wait() {
        let pace = Pace::default();
        thread::scope(|scope| {
            let follower = scope.spawn(|| pace.keep(u64::MAX));
            let leader = scope.spawn(|| pace.lead(|| -> Result<(), ()> { panic!("on purpose") }));
            assert!(leader.join().is_err());
            follower.join().unwrap().unwrap_err();
        });
    }
}
