//! What `eval` need not do again: who computes, told before it is started.

use super::Session;
use crate::settings::Found;
use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use tokometer_core::engine::{Timeouts, Worker};
use tokometer_core::machine::Machine;
use tokometer_core::prepare::Manifest;
use tokometer_eval::keep::Computes;
use tokometer_protocol::Hello;

/// What engines say of themselves. Each is asked once.
#[derive(Default)]
pub struct Introductions(Mutex<BTreeMap<&'static str, Option<Hello>>>);

impl Introductions {
    /// The version of an engine; `None` where its worker does not start.
    pub fn version(&self, found: &Found) -> Option<String> {
        self.of(found, |hello| hello.engine_version.clone())
    }

    /// Whether an engine answers such a request; `None` where its worker does not start.
    pub fn offers(&self, found: &Found, method: &str) -> Option<bool> {
        self.of(found, |hello| hello.methods.iter().any(|offered| offered == method))
    }

    fn of<T>(&self, found: &Found, what: impl FnOnce(&Hello) -> T) -> Option<T> {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.entry(found.engine.name).or_insert_with(|| told(found)).as_ref().map(what)
    }
}

fn told(found: &Found) -> Option<Hello> {
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
