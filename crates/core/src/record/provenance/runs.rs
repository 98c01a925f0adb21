//! The runs of a folder in the order of time: `latest`, `latest~1`, ... When a run began is what the headers of its logs say;
//! files are copied, and their dates tell nothing.

use super::label::LATEST;
use super::named::Named;
use std::collections::BTreeMap;

/// Runs that are listed for somebody who looks for one.
const LISTED: usize = 5;

/// A run as the headers of its logs tell it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Run {
    /// Its name.
    pub name: String,
    /// When the first of its logs was begun, UTC.
    pub started_utc: String,
    /// What a person called it.
    pub label: Option<String>,
    /// Its logs.
    pub logs: usize,
    /// Whether one of its logs is being written.
    open: bool,
    /// Whether an engine was started.
    began: bool,
}

/// All runs that say when they began, the newest first; of equal times the order is that of their names.
pub(super) fn runs(logs: &[Named]) -> Vec<Run> {
    let mut found: BTreeMap<&str, Run> = BTreeMap::new();
    for log in logs {
        let (Some(name), Some(started)) = (&log.run, &log.started_utc) else { continue };
        let run = found.entry(name.as_str()).or_insert_with(|| Run {
            name: name.clone(),
            started_utc: started.clone(),
            label: None,
            logs: 0,
            open: false,
            began: false,
        });
        if instant(started) < instant(&run.started_utc) {
            run.started_utc.clone_from(started);
        }
        run.label = run.label.take().or_else(|| log.label.clone());
        run.logs += 1;
        run.open |= log.is_open();
        run.began |= log.began;
    }
    let mut found: Vec<Run> = found.into_values().collect();
    found.sort_by(|a, b| (instant(&b.started_utc), &b.name).cmp(&(instant(&a.started_utc), &a.name)));
    found
}

/// The runs that `latest~N` counts: those that are over and for which an engine was started, the newest first.
pub(super) fn over(logs: &[Named]) -> Vec<Run> {
    let mut runs = runs(logs);
    runs.retain(|run| run.began && !run.open);
    runs
}

/// A time as it sorts: with fractions of seconds or without.
fn instant(utc: &str) -> &str {
    utc.trim_end_matches('Z')
}

/// How far back from the newest run a name is: `latest` 0, `latest~` 1, `latest~N` N. `None` for other names.
pub(super) fn back(name: &str) -> Option<usize> {
    match name.strip_prefix(LATEST)? {
        "" => Some(0),
        "~" => Some(1),
        rest => {
            let digits = rest.strip_prefix('~')?;
            if digits.bytes().all(|byte| byte.is_ascii_digit()) { digits.parse().ok() } else { None }
        }
    }
}

/// The newest of these runs, one in a line, as they can be called.
pub(super) fn listed(runs: &[Run]) -> String {
    let line = |(n, run): (usize, &Run)| {
        let name = if n == 0 { LATEST.to_owned() } else { format!("{LATEST}~{n}") };
        let label = run.label.as_ref().map(|label| format!(", {label}")).unwrap_or_default();
        let logs = if run.logs == 1 { "log" } else { "logs" };
        format!("\n  {name:<9}  run {} of {}, {} {logs}{label}", run.name, run.started_utc, run.logs)
    };
    let mut text: String = runs.iter().take(LISTED).enumerate().map(line).collect();
    if let Some(more) = runs.len().checked_sub(LISTED).filter(|more| *more > 0) {
        text.push_str(&format!("\n  and {more} older"));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn log(run: &str, started: &str) -> Named {
        let (run, started_utc) = (Some(run.to_owned()), Some(started.to_owned()));
        Named { run, started_utc, began: true, ..Named::default() }
    }

    fn names(runs: &[Run]) -> Vec<&str> {
        runs.iter().map(|run| run.name.as_str()).collect()
    }

    #[test]
    fn a_run_began_with_its_first_log() {
        let logs = [
            log("b", "2026-11-24T01:00:05Z"),
            log("a", "2026-11-24T01:00:09Z"),
            log("a", "2026-11-24T01:00:01Z"),
            // Before fractions were written, and with them.
            log("c", "2026-11-24T01:00:05.250Z"),
            log("d", "2026-11-23T23:59:59.999Z"),
        ];
        let found = over(&logs);
        assert_eq!(names(&found), ["c", "b", "a", "d"]);
        assert_eq!((found[2].logs, found[2].started_utc.as_str()), (2, "2026-11-24T01:00:01Z"));
    }

    #[test]
    fn what_never_started_an_engine_or_does_not_say_when_is_no_run_to_go_back_to() {
        let never = Named { began: false, ..log("never", "2026-11-24T09:00:00Z") };
        let undated = Named { started_utc: None, ..log("undated", "") };
        let logs = [log("a", "2026-11-24T01:00:00Z"), never, undated, Named::default()];
        assert_eq!(names(&over(&logs)), ["a"]);
        assert_eq!(names(&runs(&logs)), ["never", "a"]);
        // One case of a run that was skipped does not hide the others.
        let skipped = Named { began: false, ..log("a", "2026-11-24T01:00:00Z") };
        assert_eq!(over(&[skipped, logs[0].clone()])[0].logs, 2);
    }

    #[test]
    fn latest_counts_backwards() {
        for (name, n) in [("latest", 0), ("latest~", 1), ("latest~1", 1), ("latest~12", 12), ("latest~0", 0)] {
            assert_eq!(back(name), Some(n), "{name}");
        }
        for name in ["Latest", "latest1", "latest~x", "latest~-1", "latest~+1", "latest~~", "latest^", "before~1", ""] {
            assert_eq!(back(name), None, "{name}");
        }
    }

    #[test]
    fn the_newest_runs_are_listed_as_they_can_be_called() {
        let labelled = Named { label: Some("before".into()), ..log("1a2b3c4d", "2026-11-24T01:00:00Z") };
        assert_eq!(listed(&runs(&[labelled])), "\n  latest     run 1a2b3c4d of 2026-11-24T01:00:00Z, 1 log, before");
        let many: Vec<Named> = (0..8).map(|i| log(&format!("r{i}"), &format!("2026-11-24T01:00:0{i}Z"))).collect();
        let text = listed(&runs(&many));
        assert!(text.contains("\n  latest~4   run r3 of") && text.ends_with("\n  and 3 older"), "{text}");
    }
}
