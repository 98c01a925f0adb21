//! Who watches the machine while engines are measured. The runner says when; what is sampled is the watcher's business.

use crate::machine::Watch;
use crate::record::Event;

/// Watches the machine around what is measured.
pub trait Observer {
    /// Called while nothing runs: before the first round with 0, after each whole round with its number. What it returns
    /// belongs to all cases and goes into the log of each.
    fn between_rounds(&mut self, done: u32) -> Option<Event>;

    /// Called once after [`Observer::between_rounds`] of the last round, for what that left out. What it returns belongs to
    /// all cases, too.
    fn after_last_round(&mut self, _done: u32) -> Option<Event> {
        None
    }

    /// The worker `pid` begins its part of a round: it was started, or had stayed loaded. Loading, warm-up and all
    /// repetitions follow.
    fn launch_started(&mut self, pid: u32);

    /// A repetition is about to begin. The clock of the measurement does not run yet.
    fn repetition_started(&mut self) {}

    /// The repetition is over; what is returned goes into the case's log after it.
    fn repetition_ended(&mut self, _launch: u32, _repetition: u32) -> Option<Event> {
        None
    }

    /// That part is over, well or not. What is returned goes into the case's log, for this launch and round.
    fn launch_ended(&mut self, launch: u32) -> Vec<Event>;

    /// Whether no other run of this program is under way. Where one is, its workers keep processors and GPUs busy, and that
    /// is no news.
    fn is_alone(&self) -> bool {
        true
    }
}

impl Observer for Watch {
    fn between_rounds(&mut self, done: u32) -> Option<Event> {
        Some(Watch::between_rounds(self, done))
    }

    fn after_last_round(&mut self, done: u32) -> Option<Event> {
        Watch::after_last_round(self, done)
    }

    fn launch_started(&mut self, pid: u32) {
        Watch::launch_started(self, pid);
    }

    fn repetition_started(&mut self) {
        Watch::repetition_started(self);
    }

    fn repetition_ended(&mut self, launch: u32, repetition: u32) -> Option<Event> {
        Watch::repetition_ended(self, launch, repetition)
    }

    fn launch_ended(&mut self, launch: u32) -> Vec<Event> {
        Watch::launch_ended(self, launch)
    }
}

/// Watches nothing.
#[derive(Debug, Clone, Copy, Default)]
pub struct Unobserved;

impl Observer for Unobserved {
    fn between_rounds(&mut self, _: u32) -> Option<Event> {
        None
    }

    fn launch_started(&mut self, _: u32) {}

    fn launch_ended(&mut self, _: u32) -> Vec<Event> {
        Vec::new()
    }
}
