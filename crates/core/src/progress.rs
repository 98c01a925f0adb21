//! How long work tells the caller how far it is. The stages report here; only the `tokometer` binary prints.

/// Receives what a person who waits wants to know.
pub trait Progress: Send + Sync {
    /// Begins a piece of work of `total` units, if that is known.
    fn task(&self, label: &str, total: Option<u64>, unit: Unit) -> Box<dyn Task>;
    /// A line worth reading that is no warning.
    fn note(&self, text: &str);
    /// Something that the reader should act on or keep in mind.
    fn warn(&self, text: &str);
}

/// A piece of work under way. Dropped without `finish`, it counts as given up.
pub trait Task: Send {
    /// `n` more units are done.
    fn advance(&self, n: u64);
    /// The work is `total` units in all, as is known now.
    fn expect(&self, _total: u64) {}
    /// What is going on right now, a few words behind the bar.
    fn detail(&self, _text: &str) {}
    /// The work is done; `summary` says what came of it.
    fn finish(self: Box<Self>, summary: &str);
}

/// What a task counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// Bytes.
    Bytes,
    /// Things.
    Count,
}

/// Says nothing.
#[derive(Debug, Clone, Copy, Default)]
pub struct Silent;

impl Progress for Silent {
    fn task(&self, _: &str, _: Option<u64>, _: Unit) -> Box<dyn Task> {
        Box::new(Silent)
    }
    fn note(&self, _: &str) {}
    fn warn(&self, _: &str) {}
}

impl Task for Silent {
    fn advance(&self, _: u64) {}
    fn finish(self: Box<Self>, _: &str) {}
}
