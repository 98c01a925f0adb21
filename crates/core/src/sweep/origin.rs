//! What a finished case was measured with, as its log says, to be held against what there is now: a case is known by the
//! names of its engine and model, and these may have become others since.

use super::Place;
use crate::parallel::on_all_cores;
use crate::plan::Case;
use crate::prepare::{SourceFile, SourceInfo};
use crate::record::head;
use crate::run::versioned;
use serde::Deserialize;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;

/// The engine and the model of a finished log.
#[derive(Debug, Clone, PartialEq)]
pub struct Origin {
    /// The engine's version with the settings of its own, where it told one.
    pub version: Option<String>,
    /// The files that the model was made from; none where the engine loads no model.
    pub files: Vec<SourceFile>,
}

/// The part of a log's plan that is needed.
#[derive(Deserialize)]
struct Plan {
    manifest: Option<Made>,
}

/// The part of a manifest that is needed.
#[derive(Deserialize)]
struct Made {
    source: SourceInfo,
}

impl Origin {
    /// Those of the logs with these names; `None` for what cannot be read.
    pub fn of_logs(place: &Place, names: &[&str]) -> Vec<Option<Origin>> {
        let output = place.output();
        on_all_cores(names.to_vec(), |name| Origin::of_log(&output.join(name)))
    }

    fn of_log(log: &Path) -> Option<Origin> {
        let version = head(log).ok()??.remove("engine_version");
        let lines = BufReader::new(File::open(log).ok()?).split(b'\n');
        // The first event stands behind the blank line.
        let mut body = lines.skip_while(|line| line.as_ref().is_ok_and(|line| !line.is_empty()));
        let plan: Plan = serde_json::from_slice(&body.nth(1)?.ok()?).ok()?;
        let files = plan.manifest.map(|made| made.source.files).unwrap_or_default();
        Some(Origin { version, files })
    }

    /// The version that measured, if the engine of the case says another of itself `now`.
    pub fn other_version(&self, now: &str, case: &Case) -> Option<&str> {
        let then = self.version.as_deref()?;
        let same = now.is_empty() || then == versioned(now, &case.settings.options).trim();
        (!same).then_some(then)
    }
}
