//! A repetition as it stands in the log, and the steps that it comes down to.

use super::super::series::{Phase, SampleUnit, Step, ThroughputSource, to_millionths};
use serde::Deserialize;
use std::borrow::Cow;
use std::ops::Range;

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
    step_tokens: Vec<u32>,
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
    /// One step per token, or per group of tokens that came together, and who counted the bytes behind the memory throughput.
    pub fn steps(&self, moved: &Moved) -> Result<(Vec<Step>, Option<ThroughputSource>), String> {
        self.check()?;
        let mut steps = Vec::with_capacity(self.done_ns.len());
        let (mut before, mut decoded) = (0, 0);
        for (i, &done) in self.done_ns.iter().enumerate() {
            let mut step = self.step(i, decoded, before..done, moved)?;
            step.text = self.pieces.get(i).map(|piece| piece.0.clone().into_owned());
            steps.push(step);
            before = done;
            decoded = self.together(i).checked_add(decoded).ok_or("more tokens than can be")?;
        }
        let source = match (self.engine_bytes.is_empty(), moved.read, moved.kv_per_token) {
            (false, ..) => Some(ThroughputSource::Engine),
            (true, Some(_), Some(_)) => Some(ThroughputSource::Model),
            _ => None,
        };
        let counted = steps.iter().any(|step| step.memory_gb_s.is_some());
        Ok((steps, source.filter(|_| counted)))
    }

    /// Tokens that came together at entry `i`.
    fn together(&self, i: usize) -> u32 {
        self.step_tokens.get(i).copied().unwrap_or(1)
    }

    /// The step that took that span of time, after `decoded` tokens of the repetition.
    fn step(&self, i: usize, decoded: u32, span: Range<u64>, moved: &Moved) -> Result<Step, String> {
        let index = u32::try_from(i).map_err(|_| "more steps than can be")?;
        let (phase, tokens, position) = match decoded.checked_sub(1) {
            None => (Phase::Prefill, self.prompt_tokens, Some(self.context_tokens)),
            Some(cached) => {
                let prompted = self.context_tokens.checked_add(self.prompt_tokens);
                (Phase::Decode, self.together(i), prompted.and_then(|n| n.checked_add(cached)))
            }
        };
        let position = position.ok_or("more tokens of context than can be")?;
        let took = span.end - span.start;
        let decode = phase == Phase::Decode;
        let steps = f64::from(tokens);
        let by_model = || {
            let (read, kv) = moved.read.zip(moved.kv_per_token).filter(|_| decode)?;
            // Each token of the step finds one more in the cache than the one before it.
            let cached = f64::from(position) + (steps + 1.0) / 2.0;
            Some(steps * (read as f64 + kv as f64 * cached))
        };
        let bytes = self.engine_bytes.get(i).map(|&bytes| bytes as f64).or_else(by_model);
        let weights = moved.weights.filter(|_| decode).map(|bytes| steps * bytes as f64);
        // An engine that hands over work ahead of time has no such moment inside the step.
        let enqueue = self.enqueued_ns.get(i).and_then(|&at| at.checked_sub(span.start));
        // One token: derived from the time.
        let speed = (decode && tokens > 1 && took > 0).then(|| to_millionths(steps * 1e9 / took as f64));
        Ok(Step {
            step: Some(index),
            phase,
            unit: SampleUnit::Step,
            tokens: Some(tokens),
            position: Some(position),
            enqueue_ms: enqueue.map(|ns| ns as f64 / 1e6),
            total_ms: Some(took as f64 / 1e6),
            tokens_per_sec: speed,
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
            ("step_tokens", self.step_tokens.len()),
            ("tokens", if self.step_tokens.is_empty() { self.tokens.len() } else { 0 }),
            ("enqueued_ns", self.enqueued_ns.len()),
            ("engine_bytes", self.engine_bytes.len()),
            ("pieces", self.pieces.len()),
        ];
        if let Some((name, entries)) = arrays.into_iter().find(|(_, entries)| *entries != 0 && *entries != steps) {
            return Err(format!("`{name}` has {entries} entries, `done_ns` has {steps}"));
        }
        if self.step_tokens.contains(&0) {
            return Err("`step_tokens` has a step without a token".to_owned());
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
