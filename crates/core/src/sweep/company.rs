//! Who is measured beside whom, where several lanes are measured at the same time: each in a thread of its own, so that
//! what they know of each other stands here.

use crate::record::Event;
use crate::run::Observer;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// The warning of a launch that was measured while others were.
const OVERLAPPED: &str = "overlapped";

/// The lanes that are at work.
#[derive(Debug, Default)]
pub struct Company(Mutex<Present>);

#[derive(Debug, Default)]
struct Present {
    /// Devices on which a block is under way.
    at_work: BTreeSet<String>,
    /// For the launch that is under way on a device: the others on which a block was under way meanwhile.
    met: BTreeMap<String, BTreeSet<String>>,
}

impl Company {
    /// A block begins on `device` and lasts as long as the result, through which `inner` watches it.
    pub fn enter<O: Observer>(&self, device: &str, inner: O) -> Beside<'_, O> {
        let mut present = self.present();
        for met in present.met.values_mut() {
            met.insert(device.to_owned());
        }
        present.at_work.insert(device.to_owned());
        Beside { company: self, device: device.to_owned(), inner }
    }

    fn present(&self) -> MutexGuard<'_, Present> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Present {
    fn others(&self, device: &str) -> BTreeSet<String> {
        self.at_work.iter().filter(|other| *other != device).cloned().collect()
    }
}

/// A block of one lane. See [`Company::enter`].
#[derive(Debug)]
pub struct Beside<'a, O> {
    company: &'a Company,
    device: String,
    inner: O,
}

impl<O: Observer> Observer for Beside<'_, O> {
    fn between_rounds(&mut self, done: u32) -> Option<Event> {
        self.inner.between_rounds(done)
    }

    fn after_last_round(&mut self, done: u32) -> Option<Event> {
        self.inner.after_last_round(done)
    }

    fn launch_started(&mut self, pid: u32) {
        let mut present = self.company.present();
        let others = present.others(&self.device);
        present.met.insert(self.device.clone(), others);
        drop(present);
        self.inner.launch_started(pid);
    }

    fn repetition_started(&mut self) {
        self.inner.repetition_started();
    }

    fn repetition_ended(&mut self, launch: u32, repetition: u32) -> Option<Event> {
        self.inner.repetition_ended(launch, repetition)
    }

    fn launch_ended(&mut self, launch: u32) -> Vec<Event> {
        let mut events = self.inner.launch_ended(launch);
        let met = self.company.present().met.remove(&self.device).unwrap_or_default();
        if !met.is_empty() {
            let names: Vec<String> = met.into_iter().collect();
            let message = format!(
                "{} was measured at the same time: processor, memory and power supply were shared",
                names.join(", ")
            );
            events.push(Event::Warning { launch: Some(launch), code: OVERLAPPED.into(), message });
        }
        events
    }

    fn is_alone(&self) -> bool {
        self.company.present().others(&self.device).is_empty()
    }
}

impl<O> Drop for Beside<'_, O> {
    fn drop(&mut self) {
        self.company.present().at_work.remove(&self.device);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::run::Unobserved;

    fn warned(events: &[Event]) -> Option<&str> {
        events.iter().find_map(|event| match event {
            Event::Warning { code, message, .. } if code == OVERLAPPED => Some(message.as_str()),
            _ => None,
        })
    }

    #[test]
    fn a_launch_tells_who_was_at_work_at_any_time_of_it() {
        let company = Company::default();
        let mut first = company.enter("GPU0", Unobserved);
        first.launch_started(1);
        assert!(first.is_alone());
        {
            // Comes and goes in the middle.
            let second = company.enter("GPU1", Unobserved);
            assert!(!first.is_alone() && !second.is_alone());
        }
        let events = first.launch_ended(1);
        assert!(warned(&events).unwrap().starts_with("GPU1 was measured"), "{events:?}");
        first.launch_started(1);
        assert!(first.launch_ended(2).is_empty() && first.is_alone());
    }

    #[test]
    fn who_was_there_before_the_launch_is_told_too() {
        let company = Company::default();
        let _others = (company.enter("GPU1", Unobserved), company.enter("GPU2", Unobserved));
        let mut third = company.enter("GPU0", Unobserved);
        third.launch_started(1);
        assert!(warned(&third.launch_ended(1)).unwrap().starts_with("GPU1, GPU2 was measured"));
    }
}
