//! How a person stops a run: after the case that is being measured, or now. Who listens for Ctrl-C is the caller's
//! business; it holds a clone of the same [`Stop`].

use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

const AFTER_CASE: u8 = 1;
const NOW: u8 = 2;

/// A request to stop, shared between the runner and whoever may stop it.
#[derive(Debug, Clone, Default)]
pub struct Stop(Arc<State>);

#[derive(Debug, Default)]
struct State {
    level: AtomicU8,
    /// The worker that is being measured; its process leads a group of the same number.
    worker: Mutex<Option<u32>>,
}

impl Stop {
    /// Finish the case that is being measured, then close all logs.
    pub fn after_case(&self) {
        self.0.level.fetch_max(AFTER_CASE, Ordering::SeqCst);
    }

    /// Kill the worker that is being measured, then close all logs. What it had measured stays.
    pub fn now(&self) {
        self.0.level.fetch_max(NOW, Ordering::SeqCst);
        let worker = self.0.worker.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(pid) = *worker {
            kill_group(pid);
        }
    }

    /// Whether stopping was asked for, one way or the other.
    pub fn asked(&self) -> bool {
        self.0.level.load(Ordering::SeqCst) >= AFTER_CASE
    }

    /// Whether it is to stop now.
    pub fn is_now(&self) -> bool {
        self.0.level.load(Ordering::SeqCst) >= NOW
    }

    /// While the result lives, [`Stop::now`] kills the group of this worker.
    pub(super) fn watch(&self, pid: u32) -> Watched<'_> {
        *self.0.worker.lock().unwrap_or_else(PoisonError::into_inner) = Some(pid);
        if self.is_now() {
            kill_group(pid);
        }
        Watched(self)
    }
}

/// See [`Stop::watch`].
pub(super) struct Watched<'a>(&'a Stop);

impl Drop for Watched<'_> {
    fn drop(&mut self) {
        *self.0.0.worker.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }
}

fn kill_group(pid: u32) {
    if let Some(group) = i32::try_from(pid).ok().filter(|group| *group > 1) {
        // SAFETY: a plain system call. The worker leads this group, and is watched only while its process is ours.
        unsafe { libc::kill(-group, libc::SIGKILL) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::process::{CommandExt, ExitStatusExt};
    use std::process::Command;

    #[test]
    fn once_waits_for_the_case_and_twice_does_not() {
        let stop = Stop::default();
        assert!(!stop.asked());
        let other = stop.clone();
        other.after_case();
        assert!(stop.asked() && !stop.is_now());
        other.now();
        other.after_case();
        assert!(stop.is_now());
    }

    #[test]
    fn now_kills_the_group_that_is_watched() {
        let sleeper = || Command::new("sleep").arg("600").process_group(0).spawn().unwrap();
        let (mut watched, mut late) = (sleeper(), sleeper());
        let stop = Stop::default();
        {
            let _watched = stop.watch(watched.id());
            stop.now();
            assert_eq!(watched.wait().unwrap().signal(), Some(libc::SIGKILL));
        }
        // One that is watched too late for the request is killed at once.
        drop(stop.watch(late.id()));
        assert_eq!(late.wait().unwrap().signal(), Some(libc::SIGKILL));
    }
}
