//! The first reading of our own log: everything but the repetitions, of which only the places are noted.

use super::super::json_reason;
use super::super::lines::{Line, Lines};
use super::super::series::Status;
use super::super::{Input, Result};
use super::surroundings::Surroundings;
use crate::fingerprint;
use serde::Deserialize;
use serde::de::IgnoredAny;
use std::borrow::Cow;
use std::collections::BTreeMap;
use tokometer_protocol::Loaded;

/// The warning on the rows of a log whose bytes are not the ones that were written.
const EDITED: &str = "edited_log";

/// What the first reading finds.
#[derive(Debug, Default)]
pub(super) struct Scan<'a> {
    /// By number.
    pub launches: BTreeMap<u32, Launch>,
    /// Codes that concern every launch.
    pub warnings: Vec<String>,
    /// What becomes a series, in the order of the file.
    pub items: Vec<Item<'a>>,
    /// What the machine was like.
    pub surroundings: Surroundings,
    /// How the log ended.
    pub status: Status,
    /// Who stopped it, where it says so.
    pub interrupted: Option<String>,
    /// Whether it has its closing line.
    pub closed: bool,
    events: u64,
}

/// What becomes a series.
#[derive(Debug)]
pub(super) enum Item<'a> {
    /// A repetition, still as a line.
    Repetition(Line<'a>),
    /// A launch that failed.
    Failure {
        /// Its number; none where the case could not even be started.
        launch: Option<u32>,
        /// The round in which it failed.
        round: Option<u32>,
        /// Kind and reason.
        reason: String,
    },
}

/// What is known of a launch.
#[derive(Debug, Default)]
pub(super) struct Launch {
    /// The round in which it was begun.
    pub round: Option<u32>,
    /// The round of the events that are being read.
    visit: Option<u32>,
    pub engine_version: Option<String>,
    pub loaded: Option<Loaded>,
    pub warmup_ns: Option<u64>,
    /// Of the first warm-up pass.
    pub cold_ttft_ns: Option<u64>,
    pub resources: ResourcesEvent,
    /// Codes with the round that they belong to; without one where they stand before all rounds.
    warnings: Vec<(Option<u32>, String)>,
}

impl Launch {
    /// Codes of the warnings that concern a round of this launch.
    pub fn warnings_of(&self, round: Option<u32>) -> Vec<String> {
        let mut codes = Vec::new();
        for (at, code) in &self.warnings {
            if at.is_none() || round.is_none() || *at == round {
                add(&mut codes, code);
            }
        }
        codes
    }
}

#[derive(Deserialize)]
struct Tag<'a> {
    #[serde(borrow)]
    event: Cow<'a, str>,
}

#[derive(Deserialize)]
struct LaunchEvent {
    launch: u32,
    round: u32,
    hello: Hello,
}

#[derive(Deserialize)]
struct Hello {
    #[serde(default)]
    engine_version: String,
}

#[derive(Deserialize)]
struct LoadEvent {
    launch: u32,
    loaded: Loaded,
}

#[derive(Deserialize)]
struct VisitEvent {
    launch: u32,
    round: u32,
}

#[derive(Deserialize)]
struct NoteEvent {
    code: String,
    message: String,
}

#[derive(Deserialize)]
struct WarmupEvent {
    launch: u32,
    elapsed_ns: u64,
    #[serde(default)]
    generated: Pass,
}

/// The part of a warm-up pass that has a column.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Pass {
    done_ns: Vec<u64>,
}

/// The part of a `resources` event that has columns.
#[derive(Debug, Default, Deserialize)]
pub(super) struct ResourcesEvent {
    launch: u32,
    pub peak_rss_bytes: Option<u64>,
    pub peak_anon_bytes: Option<u64>,
    pub peak_device_bytes: Option<u64>,
}

#[derive(Deserialize)]
struct WarningEvent {
    launch: Option<u32>,
    code: String,
}

#[derive(Deserialize)]
struct FailureEvent {
    launch: Option<u32>,
    kind: String,
    reason: String,
}

#[derive(Deserialize)]
struct EndEvent {
    status: String,
    events: u64,
    sha256: String,
}

impl<'a> Scan<'a> {
    /// Reads all lines after the header.
    pub fn read(input: &Input<'a>, body: Lines<'a>) -> Result<Self> {
        let mut scan = Scan { status: Status::Interrupted, ..Scan::default() };
        for line in body {
            if line.bytes.is_empty() {
                continue;
            }
            if scan.closed {
                scan.warn(EDITED);
            }
            match scan.event(input.bytes, line) {
                Ok(()) => scan.events += 1,
                // The run was killed while it wrote this line.
                Err(_) if !line.terminated && !scan.closed => {}
                Err(reason) => return Err(input.damaged(line.number, reason)),
            }
        }
        Ok(scan)
    }

    fn event(&mut self, bytes: &[u8], line: Line<'a>) -> std::result::Result<(), String> {
        match &*tag(line.bytes)? {
            "repetition" => self.items.push(Item::Repetition(line)),
            "launch" => {
                let event: LaunchEvent = parse(line)?;
                let launch = self.launch(event.launch);
                launch.round = Some(event.round);
                launch.visit = launch.round;
                launch.engine_version = Some(event.hello.engine_version).filter(|text| !text.is_empty());
            }
            "visit" => {
                let event: VisitEvent = parse(line)?;
                self.launch(event.launch).visit = Some(event.round);
            }
            "load" => {
                let event: LoadEvent = parse(line)?;
                self.launch(event.launch).loaded = Some(event.loaded);
            }
            "warmup" => {
                let event: WarmupEvent = parse(line)?;
                let launch = self.launch(event.launch);
                if launch.visit != launch.round {
                    // Of a worker that had stayed loaded: no part of what a start costs.
                    return Ok(());
                }
                if launch.warmup_ns.is_none() {
                    launch.cold_ttft_ns = event.generated.done_ns.first().copied();
                }
                let sum = launch.warmup_ns.unwrap_or(0).checked_add(event.elapsed_ns);
                launch.warmup_ns = Some(sum.ok_or("the warm-up lasts longer than can be")?);
            }
            "resources" => {
                let event: ResourcesEvent = parse(line)?;
                let launch = event.launch;
                self.launch(launch).resources = event;
            }
            "warning" => {
                let event: WarningEvent = parse(line)?;
                match event.launch {
                    Some(launch) => {
                        let launch = self.launch(launch);
                        launch.warnings.push((launch.visit, event.code));
                    }
                    None => self.warn(&event.code),
                }
            }
            "failure" => {
                let event: FailureEvent = parse(line)?;
                let reason = format!("{}: {}", event.kind, event.reason);
                let round = event.launch.and_then(|launch| self.launch(launch).visit);
                self.items.push(Item::Failure { launch: event.launch, round, reason });
            }
            "note" => {
                let event: NoteEvent = parse(line)?;
                if event.code == "interrupted" {
                    self.interrupted = Some(event.message);
                }
            }
            "end" => {
                let event: EndEvent = parse(line)?;
                self.end(&event, &bytes[..line.offset]);
            }
            kind @ ("probe" | "conditions" | "energy") => self.surroundings.take(kind, line, self.items.len())?,
            // Of no use here, or of a later version; broken JSON is damage all the same.
            _ => {
                parse::<IgnoredAny>(line)?;
            }
        }
        Ok(())
    }

    fn launch(&mut self, number: u32) -> &mut Launch {
        self.launches.entry(number).or_default()
    }

    fn warn(&mut self, code: &str) {
        add(&mut self.warnings, code);
    }

    fn end(&mut self, end: &EndEvent, before: &[u8]) {
        self.closed = true;
        self.status = if end.status == "interrupted" { Status::Interrupted } else { Status::Ok };
        if end.events != self.events || end.sha256 != fingerprint::of_bytes(before) {
            self.warn(EDITED);
        }
    }
}

/// Adds a code that is not there yet.
fn add(codes: &mut Vec<String>, code: &str) {
    if !code.is_empty() && !codes.iter().any(|known| known == code) {
        codes.push(code.to_owned());
    }
}

pub(super) fn parse<'a, T: Deserialize<'a>>(line: Line<'a>) -> std::result::Result<T, String> {
    serde_json::from_slice(line.bytes).map_err(|e| json_reason(&e))
}

/// The kind of event: at a glance where we wrote the line ourselves, by the JSON parser otherwise.
fn tag(line: &[u8]) -> std::result::Result<Cow<'_, str>, String> {
    if let Some(rest) = line.strip_prefix(b"{\"event\":\"") {
        let length = rest.iter().take(32).position(|b| !b.is_ascii_lowercase());
        if let Some(word) = length.filter(|&n| rest[n] == b'"').and_then(|n| std::str::from_utf8(&rest[..n]).ok()) {
            return Ok(Cow::Borrowed(word));
        }
    }
    let tag: Tag<'_> = serde_json::from_slice(line).map_err(|e| json_reason(&e))?;
    Ok(tag.event)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_is_found_wherever_it_stands() {
        assert_eq!(tag(br#"{"event":"load","launch":1}"#).unwrap(), "load");
        assert_eq!(tag(br#"{ "launch": 1, "event": "load" }"#).unwrap(), "load");
        assert_eq!(tag(br#"{"event":"l\u006fad"}"#).unwrap(), "load");
        assert!(tag(br#"{"event":"load"#).is_err());
        assert!(tag(b"[]").is_err());
    }
}
