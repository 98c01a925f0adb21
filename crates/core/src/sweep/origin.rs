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
    /// The machine's hostname, where the log tells it.
    pub host: Option<String>,
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
        let mut head = head(log).ok()??;
        let (host, version) = (head.remove("hostname"), head.remove("engine_version"));
        let lines = BufReader::new(File::open(log).ok()?).split(b'\n');
        // The first event stands behind the blank line.
        let mut body = lines.skip_while(|line| line.as_ref().is_ok_and(|line| !line.is_empty()));
        let plan: Plan = serde_json::from_slice(&body.nth(1)?.ok()?).ok()?;
        let files = plan.manifest.map(|made| made.source.files).unwrap_or_default();
        Some(Origin { host, version, files })
    }

    /// Whether another machine than the one of that name measured.
    pub fn is_of_another_machine(&self, hostname: &str) -> bool {
        self.host.as_deref().is_some_and(|host| host != hostname)
    }

    /// The version that measured, if the engine of the case says another of itself `now`.
    pub fn other_version(&self, now: &str, case: &Case) -> Option<&str> {
        let then = self.version.as_deref()?;
        let same = now.is_empty() || then == versioned(now, &case.settings.options).trim();
        (!same).then_some(then)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::testing::Dir;

    #[test]
    fn a_log_tells_machine_version_and_files() {
        let dir = Dir::new();
        let place = Place::new(dir.path());
        std::fs::create_dir_all(place.output()).unwrap();
        let head = "tokometer-log: 1\nhostname: n1\nengine_version: b1\n\n";
        let plan =
            r#"{"event":"plan","manifest":{"source":{"model":"m","files":[{"name":"a","bytes":3,"sha256":"ab"}]}}}"#;
        std::fs::write(place.output().join("whole.txt"), format!("{head}{plan}\n{{}}\n")).unwrap();
        std::fs::write(place.output().join("cut.txt"), head).unwrap();
        let mut origins = Origin::of_logs(&place, &["whole.txt", "cut.txt", "gone.txt"]);
        assert!(origins[1..].iter().all(Option::is_none));
        let origin = origins.remove(0).unwrap();
        let file = SourceFile { name: "a".into(), bytes: 3, sha256: "ab".into() };
        assert_eq!((origin.version.as_deref(), origin.files.as_slice()), (Some("b1"), &[file][..]));
        assert!(origin.is_of_another_machine("n2") && !origin.is_of_another_machine("n1"));
    }
}
