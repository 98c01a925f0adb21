//! Patience: how often a failure is followed by another attempt, and after what wait.

use std::fmt::Display;
use std::time::Duration;

use super::error::{Error, Result};
use super::settings::Retry;

/// Counts failures in a row.
pub(super) struct Patience<'a> {
    retry: &'a Retry,
    failures: u32,
}

impl<'a> Patience<'a> {
    pub(super) fn new(retry: &'a Retry) -> Self {
        Self { retry, failures: 0 }
    }

    /// Something came through: the count begins anew.
    pub(super) fn restored(&mut self) {
        self.failures = 0;
    }

    /// Waits before the next attempt, or gives up on `what`.
    pub(super) fn again(
        &mut self,
        what: &dyn Display,
        why: String,
        asked: Option<Duration>,
        tell: &dyn Fn(&str),
    ) -> Result<()> {
        self.failures = self.failures.saturating_add(1);
        if self.failures >= self.retry.attempts {
            return Err(Error::GaveUp { what: what.to_string(), attempts: self.failures, why, cached: String::new() });
        }
        let wait = self.retry.wait(self.failures, asked);
        tell(&format!(
            "{what}: {why}; trying again in {:.1} s ({} of {})",
            wait.as_secs_f64(),
            self.failures + 1,
            self.retry.attempts
        ));
        std::thread::sleep(wait);
        Ok(())
    }
}
