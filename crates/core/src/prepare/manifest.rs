//! What is known of a prepared model, beside it as `manifest.json`.

use super::Request;
use crate::engine::Engine;
use crate::plan::ModelRef;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// A prepared model.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    /// Version of this form.
    pub manifest: u32,
    /// Name for people: `Llama-3.2-1B-Instruct`.
    pub name: String,
    /// Size label: `1B`.
    pub size: String,
    /// Engine that it was made for.
    pub engine: String,
    /// Native quantization.
    pub native: String,
    /// Where it came from.
    pub source: SourceInfo,
    /// File name and bytes, sha256 of what was made; empty where the source is used as it is.
    #[serde(default)]
    pub files: Vec<SourceFile>,
    /// Programs that made it, with their versions.
    pub tools: BTreeMap<String, String>,
    /// Number of parameters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub n_params: Option<u64>,
    /// Bytes of the tensors as stored.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub weights_bytes: Option<u64>,
    /// 8 x bytes of the tensors / parameters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bits_per_weight: Option<f64>,
    /// Token ids that prompts are drawn from: `[first, end)`, plain tokens without control tokens and padding.
    pub prompt_ids: (u32, u32),
    /// The id that begins a text, if the model has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bos: Option<u32>,
}

/// Where a model came from.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct SourceInfo {
    /// As the user named it.
    pub model: String,
    /// Commit of the hub, or seed and geometry of a synthetic model.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revision: Option<String>,
    /// The files that were read.
    pub files: Vec<SourceFile>,
}

/// A file of a model.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourceFile {
    /// Its name inside the model.
    pub name: String,
    /// Its size.
    pub bytes: u64,
    /// sha256 in hex.
    pub sha256: String,
}

impl Manifest {
    /// For an engine that loads no model.
    pub(super) fn of_nothing(request: &Request<'_>) -> Manifest {
        Manifest::unprepared(request.model, request.engine, request.native)
    }

    /// What can be said of a model that was not prepared: its name.
    pub fn unprepared(model: &ModelRef, engine: &Engine, native: &str) -> Manifest {
        Manifest {
            manifest: 1,
            name: model.short_name(),
            size: crate::plan::size_label(&model.short_name(), 0),
            engine: engine.name.into(),
            native: native.into(),
            source: SourceInfo { model: model.to_string(), ..SourceInfo::default() },
            files: Vec::new(),
            tools: BTreeMap::new(),
            n_params: None,
            weights_bytes: None,
            bits_per_weight: None,
            prompt_ids: (0, 1000),
            bos: None,
        }
    }
}
