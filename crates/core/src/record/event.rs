//! The events of Tokometer's own raw log, one JSON object per line after the header.
//!
//! The log of one case: `header` lines, a blank line, events, the closing [`Event::End`]. Everything that was measured
//! is here as it was measured; nothing is derived.

use crate::machine::{Conditions, Energy, Reading};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use tokometer_protocol::{Generated, Hello, Loaded};

/// One line of the body.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event {
    /// The machine and how it was meant to run the case.
    Plan {
        /// The case: engine, model, quantization, workload, settings.
        case: serde_json::Value,
        /// The prepared model's manifest, where there is one.
        #[serde(skip_serializing_if = "Option::is_none")]
        manifest: Option<serde_json::Value>,
        /// The machine: processor, memory, kernel, governor, GPUs.
        machine: serde_json::Value,
        /// The command line that started the run.
        command: Vec<String>,
        /// How often it was to be measured, what ends the run, and which workers may stay loaded.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        schedule: Option<serde_json::Value>,
        /// Prompt token ids, the same for every engine.
        prompt: Vec<u32>,
        /// Token ids put into the KV cache before the clock starts.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        context: Vec<u32>,
    },
    /// A worker was started and introduced itself.
    Launch {
        /// Number of the launch, from 1. A launch is one start of the engine's process.
        launch: u32,
        /// Number of the round that it belongs to, from 1.
        round: u32,
        /// Place of this case in the round's shuffled order, from 1.
        order: u32,
        /// What the worker says of itself.
        hello: Hello,
        /// From starting the process to its first answer.
        start_ns: u64,
    },
    /// A worker that stayed loaded since an earlier round is visited again. What follows for its launch belongs to this
    /// round, up to the next visit.
    Visit {
        /// The launch, begun in an earlier round.
        launch: u32,
        /// The round, from 1.
        round: u32,
        /// Place of this case in the round's shuffled order, from 1.
        order: u32,
    },
    /// The model is loaded.
    Load {
        /// The launch.
        launch: u32,
        /// What was really loaded.
        loaded: Box<Loaded>,
    },
    /// A warm-up pass: never in the figures. After a [`Event::Visit`] it is that of a worker that had stayed loaded.
    Warmup {
        /// The launch.
        launch: u32,
        /// Time from request to reply.
        elapsed_ns: u64,
        /// What the pass measured, as a repetition would.
        generated: Generated,
    },
    /// A measured repetition.
    Repetition {
        /// The launch.
        launch: u32,
        /// The round.
        round: u32,
        /// Number of the repetition inside the launch, from 1; it counts on where a launch spans several rounds.
        repetition: u32,
        /// What was measured.
        generated: Generated,
    },
    /// What the operating system says of the launch, at the end of each round that it takes part in: highest memory since
    /// its start, everything else of that round.
    Resources {
        /// The launch.
        launch: u32,
        /// See [`Resources`].
        #[serde(flatten)]
        resources: Resources,
    },
    /// What memory and arithmetic achieve without an engine: before the first round, between rounds, after the last one.
    /// Every case of a run has the same ones in its log. Its place among the repetitions tells which it stands between.
    /// Where other runs may have been under way, or the last reading was a moment ago, the reading is empty, and the event only
    /// closes the round; a run that comes to its end has one more then, behind its last round.
    Probe {
        /// The round that it follows, 0 before the first.
        round: u32,
        /// See [`Reading`].
        reading: Reading,
    },
    /// What the launch ran under, at its end.
    Conditions {
        /// The launch.
        launch: u32,
        /// See [`Conditions`].
        #[serde(flatten)]
        conditions: Conditions,
    },
    /// Energy of a repetition or of a whole launch, loading and warm-up included.
    Energy {
        /// The launch.
        launch: u32,
        /// The repetition, from 1; absent for the launch.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        repetition: Option<u32>,
        /// See [`Energy`].
        #[serde(flatten)]
        energy: Energy,
    },
    /// Something that a reader of the figures must know.
    Warning {
        /// The launch, if it concerns one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        launch: Option<u32>,
        /// Short name, for columns: `high_load`.
        code: String,
        /// In words.
        message: String,
    },
    /// Something worth knowing that is no reason to doubt the figures.
    Note {
        /// The launch, if it concerns one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        launch: Option<u32>,
        /// Short name: `resident` or `not_resident` (whether the worker stays loaded between rounds), `ended` (why the
        /// run was over), `interrupted` (who stopped it), `cold_start` (kernels had to be compiled first), `resumed` (a run that
        /// was cut off goes on after its last whole round).
        code: String,
        /// In words.
        message: String,
    },
    /// Lines that the engine printed.
    Output {
        /// The launch.
        launch: u32,
        /// The lines, oldest first.
        lines: Vec<String>,
        /// Lines left out before these because there were too many.
        #[serde(default)]
        dropped: u64,
    },
    /// A launch failed; the case may go on with the next one. Without a launch: the case could not even be started.
    Failure {
        /// The launch.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        launch: Option<u32>,
        /// `crash`, `hang`, `garbage`, `out_of_memory`, `unsupported`, `error`; without a launch `not_offered`,
        /// `not_installed`, `not_prepared`, `does_not_fit`.
        kind: String,
        /// What happened, with the exit status or signal.
        reason: String,
    },
    /// The closing line.
    End {
        /// `ok`, `failed` (at least one launch failed), `interrupted`.
        status: String,
        /// Number of events before this one.
        events: u64,
        /// sha256 of every byte of the file before this line, in hex: an edited log is noticed.
        sha256: String,
    },
}

/// Memory and processor use of one launch. Absent where the machine does not tell.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Resources {
    /// Highest resident memory of the worker, mapped files included, bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub peak_rss_bytes: Option<u64>,
    /// Highest anonymous resident memory (what no file backs), bytes, sampled.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub peak_anon_bytes: Option<u64>,
    /// Highest memory used on the device by this process, bytes, sampled.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub peak_device_bytes: Option<u64>,
    /// Processor time of the worker over its part of the round, ns.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpu_ns: Option<u64>,
    /// Wall time of the same, ns.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub wall_ns: Option<u64>,
    /// Load average over one minute before it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub load_before: Option<f64>,
    /// Share of processor time stolen by the hypervisor meanwhile, 0 to 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub steal: Option<f64>,
    /// Share of processor time used by anything but the worker meanwhile, 0 to 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub others: Option<f64>,
    /// Other readings by name with the unit in it (`package_temperature_c`).
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub readings: BTreeMap<String, f64>,
}
