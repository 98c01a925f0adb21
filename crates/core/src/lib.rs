//! Tokometer's pipeline, one module per stage. Data flows one way: a stage imports only what stands above it here.
//!
//! Nothing in this crate prints or exits; long work reports through [`progress::Progress`].

pub mod clock;
pub mod disk;
pub mod fingerprint;
pub mod machine;
pub mod nearest;
mod parallel;
pub mod progress;
pub mod random;
pub mod shell;
#[cfg(test)]
mod testing;

pub mod engine;
pub mod plan;

pub mod prepare;
pub mod record;
pub mod run;
pub mod sweep;

pub mod cluster;

pub mod collate;

pub mod analyze;
pub mod plot;

pub mod report;
