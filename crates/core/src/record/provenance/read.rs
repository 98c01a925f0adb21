//! One log, read for what it says of its origin. Damaged lines are problems, not errors: what can be told is told.

use super::super::header;
use super::super::json_reason;
use super::super::lines::{Line, Lines, lines};
use super::super::tokometer::{KEY, unescape};
use super::super::writer::PARTIAL;
use super::{Error, Provenance, Result, Tokens};
use crate::fingerprint;
use crate::machine::Conditions;
use serde_json::Value;
use std::path::Path;

/// Lines that are named one by one when they are damaged.
const NAMED: usize = 3;

/// Reads a log.
///
/// # Errors
/// [`Error::Read`], and [`Error::Foreign`] for logs of other tools.
pub fn read(path: &Path) -> Result<Provenance> {
    let bytes = std::fs::read(path).map_err(|cause| Error::Read { path: path.to_path_buf(), cause })?;
    if !bytes.strip_prefix(KEY.as_bytes()).is_some_and(|rest| rest.starts_with(b":")) {
        return Err(Error::Foreign { path: path.to_path_buf() });
    }
    let mut reading = Reading::new(path);
    let mut body = lines(&bytes);
    reading.header(&mut body);
    for line in body.filter(|line| !line.bytes.is_empty()) {
        reading.line(&bytes, line);
    }
    Ok(reading.finish(path))
}

/// What has been read so far.
struct Reading {
    found: Provenance,
    /// Events so far.
    events: u64,
    /// Lines after the closing one.
    behind: u64,
    /// Lines that are no JSON.
    damaged: Vec<String>,
    closed: bool,
}

impl Reading {
    fn new(path: &Path) -> Reading {
        let found = Provenance { log: path.to_path_buf(), ..Provenance::default() };
        Reading { found, events: 0, behind: 0, damaged: Vec::new(), closed: false }
    }

    fn header(&mut self, body: &mut Lines<'_>) {
        for line in body.by_ref().take_while(|line| !line.bytes.is_empty()) {
            let text = String::from_utf8_lossy(line.bytes);
            if let Some((key, value)) = header::pair(&text) {
                self.found.header.insert(key.to_owned(), unescape(value).into());
            }
        }
    }

    fn line(&mut self, bytes: &[u8], line: Line<'_>) {
        if self.closed {
            self.behind += 1;
            return;
        }
        // The many long lines are only counted: the hash vouches for them.
        let begins = |kind: &str| line.bytes.starts_with(format!("{{\"event\":\"{kind}\"").as_bytes());
        if begins("repetition") || begins("warmup") {
            self.found.repetitions += u64::from(begins("repetition") && line.terminated);
            self.events += 1;
            return;
        }
        match serde_json::from_slice::<Value>(line.bytes) {
            Ok(event) => self.event(&event, &bytes[..line.offset]),
            // The run was killed while it wrote this line.
            Err(_) if !line.terminated => {}
            Err(error) => self.damaged.push(format!("line {} is damaged: {}", line.number, json_reason(&error))),
        }
    }

    fn event(&mut self, event: &Value, before: &[u8]) {
        let found = &mut self.found;
        let text = |key: &str| event[key].as_str().unwrap_or_default().to_owned();
        match event["event"].as_str().unwrap_or_default() {
            "plan" => {
                found.case = event["case"].clone();
                found.manifest = event["manifest"].clone();
                found.machine = event["machine"].clone();
                found.schedule = event["schedule"].clone();
                let words = event["command"].as_array().into_iter().flatten();
                found.command = words.filter_map(|word| word.as_str().map(str::to_owned)).collect();
                found.prompt = tokens(&event["prompt"]);
                found.context = tokens(&event["context"]);
            }
            "launch" => {
                found.launches += 1;
                if !found.workers.contains(&event["hello"]) {
                    found.workers.push(event["hello"].clone());
                }
            }
            "load" if found.loaded.is_null() => found.loaded = event["loaded"].clone(),
            "failure" => found.failures.push(format!("{}: {}", text("kind"), text("reason"))),
            "warning" => {
                found.warnings.entry(text("code")).or_insert_with(|| text("message"));
            }
            "probe" => {
                let reading = serde_json::from_value::<crate::machine::Reading>(event["reading"].clone());
                // Without threads nothing was probed: the event only closes a round.
                found.probes.extend(reading.ok().filter(|reading| reading.threads > 0));
            }
            "conditions" => found.conditions.extend(serde_json::from_value::<Conditions>(event.clone()).ok()),
            "end" => {
                self.end(event, before);
                return;
            }
            _ => (),
        }
        self.events += 1;
    }

    fn end(&mut self, event: &Value, before: &[u8]) {
        self.closed = true;
        let check = &mut self.found.check;
        let sha256 = fingerprint::of_bytes(before);
        check.status = Some(event["status"].as_str().unwrap_or_default().to_owned());
        let said = event["sha256"].as_str().unwrap_or_default();
        if said != sha256 {
            check.problems.push(format!(
                "the sha256 of all before its closing line is {}, the closing line says {}: something was changed after it was written",
                short(&sha256),
                short(said)
            ));
        }
        if event["events"].as_u64() != Some(self.events) {
            let said = event["events"].as_u64().map_or_else(|| "none".to_owned(), |n| n.to_string());
            check.problems.push(format!("its closing line counts {said} events, there are {}", self.events));
        }
        check.sha256 = Some(sha256);
    }

    fn finish(mut self, path: &Path) -> Provenance {
        let more = self.damaged.len().saturating_sub(NAMED);
        let problems = &mut self.found.check.problems;
        problems.extend(self.damaged.into_iter().take(NAMED));
        if more > 0 {
            problems.push(format!("{more} more lines are damaged"));
        }
        if self.behind > 0 {
            problems.push(format!("{} line(s) stand behind its closing line", self.behind));
        }
        // Only a log with its closing line is ever given its final name.
        if !self.closed && !path.to_string_lossy().ends_with(PARTIAL) {
            problems.push("its closing line is missing".to_owned());
        }
        self.found
    }
}

fn tokens(ids: &Value) -> Option<Tokens> {
    let ids: Vec<String> = ids.as_array()?.iter().map(Value::to_string).collect();
    (!ids.is_empty()).then(|| Tokens { count: ids.len(), sha256: fingerprint::of_bytes(ids.join(" ").as_bytes()) })
}

/// The beginning of a hash.
fn short(sha256: &str) -> String {
    match sha256.get(..12) {
        Some(begin) => format!("{begin}..."),
        None => format!("{sha256:?}"),
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::testing::{Dir, write_own_log};
    use super::*;
    use std::fs;

    fn problems(name: &str, bytes: &[u8]) -> Vec<String> {
        let dir = Dir::new();
        let path = dir.path().join(name);
        fs::write(&path, bytes).unwrap();
        read(&path).unwrap().check.problems
    }

    #[test]
    fn a_whole_log_says_where_it_came_from() {
        let dir = Dir::new();
        let path = write_own_log(dir.path(), "host");
        let found = read(&path).unwrap();
        assert_eq!((found.check.status.as_deref(), found.check.is_edited()), (Some("failed"), false));
        assert!(found.check.words().starts_with("whole"));
        assert_eq!((found.launches, found.repetitions, found.header("framework")), (2, 2, Some("mock")));
        assert_eq!(found.failures, ["crash: signal 9"]);
        assert_eq!((found.workers.len(), &found.workers[0]["engine_version"]), (1, &Value::from("1.2")));
        assert_eq!(found.loaded["native_quantize"], "Q4");
        assert_eq!(found.warnings.keys().collect::<Vec<_>>(), ["battery", "high_load"]);
    }

    #[test]
    fn every_edit_is_named() {
        let dir = Dir::new();
        let text = fs::read_to_string(write_own_log(dir.path(), "host")).unwrap();
        let edits = [
            (text.replace("14000000", "13000000"), "something was changed"),
            (text.replace("hostname: host", "hostname: other"), "something was changed"),
            (text.replace("\"events\":12", "\"events\":11"), "counts 11 events, there are 12"),
            (format!("{text}{{\"event\":\"later\"}}\n"), "1 line(s) stand behind"),
            (text.replace("{\"event\":\"load\"", "{\"event\":\"load"), "line 9 is damaged"),
            (text[..text.rfind("{\"event\":\"end\"").unwrap()].to_owned(), "closing line is missing"),
        ];
        for (edited, words) in edits {
            assert_ne!(edited, text);
            let found = problems("x.txt", edited.as_bytes());
            assert!(found.iter().any(|problem| problem.contains(words)), "{words}: {found:?}");
        }
        assert_eq!(problems("x.txt", text.as_bytes()), Vec::<String>::new());
    }

    #[test]
    fn a_run_that_was_cut_off_is_unfinished_and_not_edited() {
        let dir = Dir::new();
        let text = fs::read_to_string(write_own_log(dir.path(), "host")).unwrap();
        for cut in [text.len() / 3, text.len() / 2, text.len() - 20] {
            assert_eq!(problems("x.txt.partial", &text.as_bytes()[..cut]), Vec::<String>::new(), "{cut}");
        }
    }

    #[test]
    fn a_log_of_another_tool_is_refused() {
        let dir = Dir::new();
        fs::write(dir.path().join("old.txt"), "seed = 42\n").unwrap();
        assert!(matches!(read(&dir.path().join("old.txt")), Err(Error::Foreign { .. })));
        assert!(matches!(read(&dir.path().join("none.txt")), Err(Error::Read { .. })));
    }
}
