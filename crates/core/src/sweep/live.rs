//! How far a running sweep is, for other terminals: `sweep/live.json`, replaced between repetitions.

use super::Place;
use serde::{Deserialize, Serialize};

/// The fastest case so far.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Best {
    /// Which.
    pub title: String,
    /// Its decode speed, tokens/s.
    pub decode_tok_s: f64,
}

/// How far one of several lanes is that are measured at the same time.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct LiveLane {
    /// The GPU.
    pub device: String,
    /// The block, from 1, and how many there are in all lanes and outside of them.
    pub block: (usize, usize),
    /// Repetitions of the block that are measured, and all of them.
    pub repetitions: (u64, u64),
    /// In a few words: round, case, its present speed.
    pub doing: String,
}

/// How far it is.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Live {
    /// The process.
    pub pid: u32,
    /// The machine.
    pub host: String,
    /// When this was written.
    pub updated_utc: String,
    /// What is being done: `prepare`, `measure`, `report`.
    pub stage: String,
    /// In a few words: round, case, its present speed.
    pub doing: String,
    /// The block, from 1, and how many there are; zeros while there are lanes.
    pub block: (usize, usize),
    /// Repetitions of the block that are measured, and all of them.
    pub repetitions: (u64, u64),
    /// The lanes that are measured at the same time.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub lanes: Vec<LiveLane>,
    /// The fastest so far.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub best: Option<Best>,
    /// Seconds that are left, as far as can be told.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub eta_s: Option<f64>,
}

impl Live {
    /// Replaces the file. It is not synced, for the disk must have nothing to do while engines are measured; and that it
    /// cannot be written is no reason to stop.
    pub fn write(&self, place: &Place) {
        let (path, aside) = (place.live(), place.folder().join(".live.tmp"));
        let text = serde_json::to_vec(self).expect("plain data serializes");
        let _ = std::fs::write(&aside, text).and_then(|()| std::fs::rename(&aside, path));
    }

    /// What a sweep wrote last.
    pub fn read(place: &Place) -> Option<Live> {
        serde_json::from_slice(&std::fs::read(place.live()).ok()?).ok()
    }
}
