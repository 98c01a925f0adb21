//! A repetition as it stands in the log, and the steps that it comes down to.

use super::super::series::{Phase, SampleUnit, Step, ThroughputSource, to_millionths};
use serde::Deserialize;
use std::borrow::Cow;

/// The line of a repetition.
#[derive(Deserialize)]
pub(super) struct Repetition<'a> {
    pub launch: u32,
    /// Absent: the round in which the launch was begun.
    pub round: Option<u32>,
    pub repetition: u32,
    #[serde(borrow)]
    pub generated: Pass<'a>,
}

/// [`tokometer_protocol::Generated`] without what has no columns, borrowed.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct Pass<'a> {
    pub prompt_tokens: u32,
    pub context_tokens: u32,
    tokens: Vec<u32>,
    done_ns: Vec<u64>,
    enqueued_ns: Vec<u64>,
    engine_bytes: Vec<u64>,
    #[serde(borrow)]
    pieces: Vec<Piece<'a>>,
}

/// The text of a token; a type of its own because serde borrows only in a field.
#[derive(Deserialize)]
struct Piece<'a>(#[serde(borrow)] Cow<'a, str>);

/// What a launch is known to move through memory.
pub(super) struct Moved {
    /// Bytes of all weights as stored.
    pub weights: Option<u64>,
    /// Bytes of weights that a decode step reads.
    pub read: Option<u64>,
    /// Bytes of KV cache per token of context.
    pub kv_per_token: Option<u64>,
}

impl Pass<'_> {
    /// One step per token, and who counted the bytes behind the memory throughput.
    pub fn steps(&self, moved: &Moved) -> Result<(Vec<Step>, Option<ThroughputSource>), String> {
        self.check()?;
        let mut steps = Vec::with_capacity(self.done_ns.len());
        let mut before = 0;
        for (i, &done) in self.done_ns.iter().enumerate() {
            let mut step = self.step(i, before, done, moved)?;
            step.text = self.pieces.get(i).map(|piece| piece.0.clone().into_owned());
            steps.push(step);
            before = done;
        }
        let source = match (self.engine_bytes.is_empty(), moved.read, moved.kv_per_token) {
            (false, ..) => Some(ThroughputSource::Engine),
            (true, Some(_), Some(_)) => Some(ThroughputSource::Model),
            _ => None,
        };
        let counted = steps.iter().any(|step| step.memory_gb_s.is_some());
        Ok((steps, source.filter(|_| counted)))
    }

    /// The step that ends at `done` and began when the one before it was done.
    fn step(&self, i: usize, before: u64, done: u64, moved: &Moved) -> Result<Step, String> {
        let index = u32::try_from(i).map_err(|_| "more steps than can be")?;
        let (phase, tokens, position) = match index.checked_sub(1) {
            None => (Phase::Prefill, self.prompt_tokens, Some(self.context_tokens)),
            Some(decoded) => {
                let prompted = self.context_tokens.checked_add(self.prompt_tokens);
                (Phase::Decode, 1, prompted.and_then(|n| n.checked_add(decoded)))
            }
        };
        let position = position.ok_or("more tokens of context than can be")?;
        let took = done - before;
        let decode = phase == Phase::Decode;
        let by_model = || {
            let (read, kv) = moved.read.zip(moved.kv_per_token).filter(|_| decode)?;
            Some(read as f64 + kv as f64 * (f64::from(position) + 1.0))
        };
        let bytes = self.engine_bytes.get(i).map(|&bytes| bytes as f64).or_else(by_model);
        let weights = moved.weights.filter(|_| decode).map(|bytes| bytes as f64);
        // An engine that hands over work ahead of time has no such moment inside the step.
        let enqueue = self.enqueued_ns.get(i).and_then(|&at| at.checked_sub(before));
        Ok(Step {
            step: Some(index),
            phase,
            unit: SampleUnit::Step,
            tokens: Some(tokens),
            position: Some(position),
            enqueue_ms: enqueue.map(|ns| ns as f64 / 1e6),
            total_ms: Some(took as f64 / 1e6),
            tokens_per_sec: None,
            memory_gb_s: bytes.and_then(|bytes| gb_per_s(bytes, took)),
            param_gb_s: weights.and_then(|bytes| gb_per_s(bytes, took)),
            text: None,
        })
    }

    /// Arrays that are there have an entry per step, and time does not run backwards.
    fn check(&self) -> Result<(), String> {
        let steps = self.done_ns.len();
        if steps == 0 {
            return Err("a repetition without a single step (`done_ns`)".to_owned());
        }
        let arrays = [
            ("tokens", self.tokens.len()),
            ("enqueued_ns", self.enqueued_ns.len()),
            ("engine_bytes", self.engine_bytes.len()),
            ("pieces", self.pieces.len()),
        ];
        if let Some((name, entries)) = arrays.into_iter().find(|(_, entries)| *entries != 0 && *entries != steps) {
            return Err(format!("`{name}` has {entries} entries, `done_ns` has {steps}"));
        }
        match self.done_ns.windows(2).position(|pair| pair[1] < pair[0]) {
            Some(i) => Err(format!("`done_ns` runs backwards at entry {}", i + 1)),
            None => Ok(()),
        }
    }
}

/// Bytes per nanosecond are GB/s. Nothing counted, or no time passed: no figure.
fn gb_per_s(bytes: f64, ns: u64) -> Option<f64> {
    (bytes > 0.0 && ns > 0).then(|| to_millionths(bytes / ns as f64))
}
