//! What `eval` need not do again, or cannot do: who computes, told before it is started.

use super::Session;
use crate::settings::Found;
use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use tokometer_core::engine::{Timeouts, Worker};
use tokometer_core::machine::Machine;
use tokometer_core::prepare::Manifest;
use tokometer_eval::keep::Computes;
use tokometer_protocol::Hello;

/// What engines tell of themselves when they shake hands. Each is asked once.
#[derive(Default)]
pub struct Told(Mutex<BTreeMap<&'static str, Option<Hello>>>);

impl Told {
    /// What an engine tells; `None` where its worker does not start.
    pub fn of(&self, found: &Found) -> Option<Hello> {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.entry(found.engine.name).or_insert_with(|| ask(found)).clone()
    }

    /// Its version.
    pub fn version(&self, found: &Found) -> Option<String> {
        Some(self.of(found)?.engine_version)
    }
}

fn ask(found: &Found) -> Option<Hello> {
    let discovery = found.worker.as_ref().ok()?;
    let mut worker = Worker::start(discovery, Timeouts::default()).ok()?;
    let hello = std::mem::take(&mut worker.hello);
    worker.shutdown();
    Some(hello)
}

/// Identity of an engine with a prepared model.
pub fn identity(
    session: &Session<'_>,
    manifest: &Manifest,
    quantize: &str,
    device: Option<&str>,
    ctx_tokens: u32,
) -> String {
    let configured = format!("{:?}", session.config.engines.get(&manifest.engine));
    let hostname = &Machine::this().hostname;
    Computes { quantize, manifest, hostname, device, configured: &configured, ctx_tokens }.identity()
}
