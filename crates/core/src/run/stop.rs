//! How a person stops a run: after the case that is being measured, or now. Who listens for Ctrl-C is the caller's
//! business; it holds a clone of the same [`Stop`]. Runs that are under way at the same time share one.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

const AFTER_CASE: u8 = 1;
const NOW: u8 = 2;

/// A request to stop, shared between the runner and whoever may stop it.
#[derive(Debug, Clone, Default)]
pub struct Stop(Arc<State>);

#[derive(Debug, Default)]
struct State {
    level: AtomicU8,
    /// The workers that are being measured, one of each run; its process leads a group of the same number.
    workers: Mutex<BTreeSet<u32>>,
}

impl Stop {
    /// Finish the case that is being measured, then close all logs.
    pub fn after_case(&self) {
        self.0.level.fetch_max(AFTER_CASE, Ordering::SeqCst);
    }

    /// Kill what is being measured, then close all logs. What was measured stays.
    pub fn now(&self) {
        self.0.level.fetch_max(NOW, Ordering::SeqCst);
        self.workers().iter().for_each(|pid| kill_group(*pid));
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
        self.workers().insert(pid);
        if self.is_now() {
            kill_group(pid);
        }
        Watched { stop: self, pid }
    }

    fn workers(&self) -> MutexGuard<'_, BTreeSet<u32>> {
        self.0.workers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// See [`Stop::watch`].
pub(super) struct Watched<'a> {
    stop: &'a Stop,
    pid: u32,
}

impl Drop for Watched<'_> {
    fn drop(&mut self) {
        self.stop.workers().remove(&self.pid);
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
    fn now_kills_the_groups_that_are_watched_and_no_other() {
        let sleeper = || Command::new("sleep").arg("600").process_group(0).spawn().unwrap();
        let (mut watched, mut beside, mut before, mut late) = (sleeper(), sleeper(), sleeper(), sleeper());
        let stop = Stop::default();
        drop(stop.watch(before.id()));
        {
            let _both = (stop.watch(watched.id()), stop.watch(beside.id()));
            stop.now();
            assert_eq!(watched.wait().unwrap().signal(), Some(libc::SIGKILL));
            assert_eq!(beside.wait().unwrap().signal(), Some(libc::SIGKILL));
        }
        assert_eq!(before.try_wait().unwrap(), None);
        before.kill().unwrap();
        before.wait().unwrap();
        // One that is watched too late for the request is killed at once.
        drop(stop.watch(late.id()));
        assert_eq!(late.wait().unwrap().signal(), Some(libc::SIGKILL));
    }
}
