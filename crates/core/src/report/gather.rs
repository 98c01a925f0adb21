//! Reads from raw logs what the presentation tells beside the figures: machines, commands, versions, dates, sources.

use super::{ModelSource, ReportContext, RunInfo};
use crate::collate::hosts::Hosts;
use crate::machine::Machine;
use crate::parallel::on_all_cores;
use crate::record::Event;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

/// Bytes of a log that are read: header, plan and the first launch stand at its beginning.
const HEAD: u64 = 4 << 20;

/// Logs whose beginnings are in memory at once.
const AT_ONCE: usize = 512;

/// How the lines of events begin that tell something: of the run and of what was measured, and of this case alone.
const OF_THE_RUN: [&str; 2] = [r#"{"event":"plan""#, r#"{"event":"launch""#];
const WARNING: &str = r#"{"event":"warning""#;

/// What the logs of a run have in common whose plans and launches tell the same: the first of them is asked.
const ALIKE: [&str; 8] =
    ["run", "hostname", "framework", "engine_version", "device", "model", "quantize", "native_quantize"];

/// What the raw logs of a folder tell. Logs of other tools tell nothing; one that cannot be read is left to `collate`.
pub fn gather(folder: &Path) -> ReportContext {
    let mut context = ReportContext::default();
    let mut runs: BTreeMap<String, RunInfo> = BTreeMap::new();
    // That the file makes no sense is told where the logs are collated.
    let hosts = Hosts::read(folder).unwrap_or_default();
    let mut asked = BTreeSet::new();
    for paths in logs(folder).chunks(AT_ONCE) {
        for mut head in on_all_cores(paths.to_vec(), |path| Head::read(&path)).into_iter().flatten() {
            if !asked.insert(ALIKE.map(|key| head.header.get(key).cloned())) {
                head.lines.retain(|line| line.starts_with(WARNING));
            }
            head.tell(&mut context, &mut runs, &hosts);
        }
    }
    context.runs = runs.into_values().collect();
    context
}

fn logs(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let mut paths: Vec<_> = entries
        .map(|entry| entry.path())
        .filter(|path| path.extension().is_some_and(|e| e == "txt" || e == "partial"))
        .collect();
    paths.sort();
    paths
}

/// The beginning of one of our own logs.
struct Head {
    header: BTreeMap<String, String>,
    /// Lines of events that tell something.
    lines: Vec<String>,
}

impl Head {
    fn read(path: &Path) -> Option<Head> {
        let mut lines = BufReader::new(File::open(path).ok()?.take(HEAD)).lines().map_while(Result::ok);
        let first = lines.next().filter(|line| line.starts_with("tokometer-log:"))?;
        let mut header = BTreeMap::new();
        let pair = |line: &str| line.split_once(": ").map(|(key, value)| (key.to_owned(), value.to_owned()));
        header.extend(pair(&first));
        for line in lines.by_ref().take_while(|line| !line.is_empty()) {
            header.extend(pair(&line));
        }
        // Plan and launch; warnings may stand behind them.
        let telling = |line: &String| [WARNING].iter().chain(&OF_THE_RUN).any(|begin| line.starts_with(begin));
        Some(Head { header, lines: lines.take(8).filter(telling).collect() })
    }

    fn tell(self, context: &mut ReportContext, runs: &mut BTreeMap<String, RunInfo>, hosts: &Hosts) {
        let get = |key: &str| self.header.get(key).cloned();
        let run = runs.entry(get("run").unwrap_or_default()).or_default();
        let given = self.header.get("uuid").and_then(|uuid| hosts.name(uuid));
        run.host = given.map(str::to_owned).or_else(|| get("hostname"));
        run.measured_on =
            get("started_utc").and_then(|time| time.get(..10).map(str::to_owned)).or(run.measured_on.take());
        for event in self.lines.iter().filter_map(|line| serde_json::from_str(line).ok()) {
            match &event {
                Event::Plan { manifest, machine, command, .. } => {
                    run.command.clone_from(command);
                    if let Ok(machine) = serde_json::from_value::<Machine>(machine.clone()) {
                        run.machine = vec![machine.line()];
                    }
                    context
                        .sources
                        .extend(manifest.as_ref().and_then(source).filter(|new| !context.sources.contains(new)));
                }
                Event::Launch { hello, .. } => {
                    let version = (hello.engine.clone(), hello.engine_version.clone());
                    let flags =
                        hello.build.get("system_info").map(|info| (format!("{} build", hello.engine), info.clone()));
                    for entry in [Some(version), flags].into_iter().flatten() {
                        if !run.versions.contains(&entry) {
                            run.versions.push(entry);
                        }
                    }
                }
                Event::Warning { code, message, .. } => {
                    context.warning_texts.entry(code.clone()).or_insert_with(|| message.clone());
                }
                _ => (),
            }
        }
        run.versions.sort();
    }
}

fn source(manifest: &Value) -> Option<ModelSource> {
    let text = |value: &Value| value.as_str().map(str::to_owned);
    Some(ModelSource {
        model: text(&manifest["name"])?,
        quantize: None,
        source: text(&manifest["source"]["model"])?,
        revision: text(&manifest["source"]["revision"]),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Dir;

    #[test]
    fn our_log_tells_and_others_do_not() {
        let folder = Dir::new();
        std::fs::write(folder.join("old.txt"), "seed = 42\n").unwrap();
        let plan = r#"{"event":"plan","case":{},"manifest":{"name":"m","source":{"model":"hf:a/m","revision":"r"}},"machine":{"hostname":"h","cpu":"C","physical_cores":2},"command":["tokometer","run"],"prompt":[1]}"#;
        std::fs::write(
            folder.join("ours.txt"),
            format!("tokometer-log: 1\nhostname: h\nrun: 7\nstarted_utc: 2026-11-24T01:02:03Z\n\n{plan}\n"),
        )
        .unwrap();
        let context = gather(&folder);
        assert_eq!(context.runs.len(), 1);
        let run = &context.runs[0];
        assert_eq!(
            (run.host.as_deref(), run.measured_on.as_deref(), run.command.len()),
            (Some("h"), Some("2026-11-24"), 2)
        );
        assert!(run.machine[0].starts_with("C, 2 cores"));
        assert_eq!(context.sources[0].source, "hf:a/m");
        // Another quantization of the run may have another source, and each case its own warnings.
        for (name, quantize, source, code) in [("a", "nf4", "b.gguf", "x"), ("b", "nf4", "not asked", "y")] {
            let plan = plan.replace("hf:a/m", source);
            let warning = format!(r#"{{"event":"warning","code":"{code}","message":"of {name}"}}"#);
            let header = format!("tokometer-log: 1\nhostname: h\nrun: 7\nquantize: {quantize}\n");
            std::fs::write(folder.join(format!("{name}.txt")), format!("{header}\n{plan}\n{warning}\n")).unwrap();
        }
        let context = gather(&folder);
        let mut sources: Vec<_> = context.sources.iter().map(|source| source.source.as_str()).collect();
        sources.sort();
        assert_eq!(sources, ["b.gguf", "hf:a/m"]);
        assert_eq!((context.runs.len(), context.warning_texts.len()), (1, 2));
    }
}
