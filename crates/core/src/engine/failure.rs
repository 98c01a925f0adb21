//! What can go wrong with a worker, in a form that can be recorded.

use std::fmt;
use tokometer_protocol::{Failure, FailureKind};

/// A worker failed: the kind, for columns and decisions, and what happened, for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failed {
    /// The kind.
    pub kind: Kind,
    /// What happened, with status or signal and the engine's last words.
    pub reason: String,
}

/// Kinds of failure, as the raw log names them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The worker could not be found or started.
    NotInstalled,
    /// The process ended by itself.
    Crash,
    /// No answer within the time allowed.
    Hang,
    /// It said something that is no reply.
    Garbage,
    /// It ran out of memory or was killed for it.
    OutOfMemory,
    /// The engine cannot do what was asked.
    Unsupported,
    /// The engine said that it failed.
    Error,
}

impl Kind {
    /// The name in logs and tables.
    pub fn name(self) -> &'static str {
        match self {
            Kind::NotInstalled => "not_installed",
            Kind::Crash => "crash",
            Kind::Hang => "hang",
            Kind::Garbage => "garbage",
            Kind::OutOfMemory => "out_of_memory",
            Kind::Unsupported => "unsupported",
            Kind::Error => "error",
        }
    }

    /// The kind of that name; one that is not known is an error.
    pub fn by_name(name: &str) -> Kind {
        let all = [Kind::NotInstalled, Kind::Crash, Kind::Hang, Kind::Garbage, Kind::OutOfMemory, Kind::Unsupported];
        all.into_iter().find(|kind| kind.name() == name).unwrap_or(Kind::Error)
    }
}

impl Failed {
    /// A failure of that kind.
    pub fn new(kind: Kind, reason: impl Into<String>) -> Failed {
        Failed { kind, reason: reason.into() }
    }
}

impl From<Failure> for Failed {
    fn from(failure: Failure) -> Failed {
        let kind = match failure.kind {
            FailureKind::Unsupported => Kind::Unsupported,
            FailureKind::OutOfMemory => Kind::OutOfMemory,
            FailureKind::Protocol | FailureKind::Model | FailureKind::Engine => Kind::Error,
        };
        Failed::new(kind, failure.message)
    }
}

impl fmt::Display for Failed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.kind {
            Kind::Error => f.write_str(&self.reason),
            kind => write!(f, "{}: {}", kind.name(), self.reason),
        }
    }
}

impl std::error::Error for Failed {}
