//! What the raw logs of a folder say of themselves: which machine measured, and what it was.

use super::super::hosts::Hosts;
use super::super::sources::{self, Source};
use super::super::{Error, Result};
use crate::machine::Machine;
use crate::record;
use serde::Deserialize;
use std::fs::{self, File};
use std::io::{BufRead, BufReader, ErrorKind, Read};
use std::path::{Path, PathBuf};

/// Bytes of a log that are read for its header and its plan.
const HEAD: u64 = 64 << 20;
/// Share by which the memory of one machine may differ between two looks: kernels keep more or less to themselves.
const MEMORY: f64 = 0.05;

/// A raw log.
#[derive(Debug, Clone)]
pub(super) struct Found {
    /// The file.
    pub source: Source,
    /// Its uuid, written in it or made of its name.
    pub uuid: Option<String>,
    /// The machine's name, as the folder shows it.
    pub host: Option<String>,
    /// Whether that is another name than the log itself says.
    pub renamed: bool,
    /// The machine, which only our own logs describe.
    pub machine: Option<Machine>,
    /// Why it is no log that could be collated.
    pub trouble: Option<String>,
}

/// Where the raw logs of a folder lie: in `benchmark_output`, or in itself.
pub(super) fn logs_of(dir: &Path) -> PathBuf {
    let inner = dir.join("benchmark_output");
    if inner.is_dir() { inner } else { dir.to_path_buf() }
}

/// The raw logs of a folder that nobody is writing, by name, with the names that `hosts` gives their machines. None where
/// there is no folder.
pub(super) fn survey(logs: &Path, hosts: &Hosts) -> Result<Vec<Found>> {
    let sources = match sources::list(logs) {
        Ok(sources) => sources,
        Err(Error::Folder { cause, .. }) if cause.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    Ok(sources.into_iter().map(|source| look(source, hosts)).collect())
}

fn look(source: Source, hosts: &Hosts) -> Found {
    let mut found = Found { uuid: None, host: None, renamed: false, machine: None, trouble: None, source };
    match own(&found.source.path) {
        Ok(Some(head)) => {
            found.uuid = head.uuid;
            found.host = head.host;
            found.machine = head.machine;
        }
        Ok(None) => other_tool(&mut found),
        Err(cause) => found.trouble = Some(format!("cannot read it: {cause}")),
    }
    let given = found.uuid.as_deref().and_then(|uuid| hosts.name(uuid));
    if let Some(name) = given {
        found.host = Some(name.to_owned());
        found.renamed = true;
    }
    found
}

/// What stands at the beginning of one of our own logs.
#[derive(Default)]
struct Head {
    uuid: Option<String>,
    host: Option<String>,
    machine: Option<Machine>,
}

/// The part of a plan that matters here.
#[derive(Deserialize)]
struct Plan {
    event: String,
    #[serde(default)]
    machine: Machine,
}

/// `None` for logs of other tools.
fn own(path: &Path) -> std::io::Result<Option<Head>> {
    let mut reader = BufReader::new(File::open(path)?.take(HEAD));
    let mut line = Vec::new();
    let mut next = |line: &mut Vec<u8>| -> std::io::Result<bool> {
        line.clear();
        Ok(reader.read_until(b'\n', line)? > 0)
    };
    if !next(&mut line)? || !line.starts_with(b"tokometer-log:") {
        return Ok(None);
    }
    let mut head = Head::default();
    while next(&mut line)? && !line.trim_ascii().is_empty() {
        let text = String::from_utf8_lossy(&line);
        match text.split_once(':').map(|(key, value)| (key, value.trim().to_owned())) {
            Some(("uuid", value)) => head.uuid = Some(value),
            Some(("hostname", value)) => head.host = Some(value),
            _ => (),
        }
    }
    if next(&mut line)? {
        let plan = serde_json::from_slice::<Plan>(&line).ok().filter(|plan| plan.event == "plan");
        head.machine = plan.map(|plan| plan.machine).filter(|machine| !machine.hostname.is_empty());
    }
    Ok(Some(head))
}

/// Logs of other tools are small, and say the little that they say anywhere.
fn other_tool(found: &mut Found) {
    let path = &found.source.path;
    let read = fs::read(path).map_err(|cause| format!("cannot read it: {cause}"));
    match read.and_then(|bytes| record::read_log(&bytes, path).map_err(|error| error.reason())) {
        Ok(log) => {
            let context = log.series.first().map(|series| &series.context);
            found.uuid = context.and_then(|context| context.uuid.clone());
            found.host = context.and_then(|context| context.hostname.clone());
        }
        Err(reason) => found.trouble = Some(reason),
    }
}

/// What tells two machines apart: processor, architecture, memory. Not the cores: a measurement may be confined to some of
/// them. `None`: as far as can be told they are one.
pub(super) fn difference(a: &Machine, b: &Machine) -> Option<String> {
    if let (Some(one), Some(other)) = (&a.cpu, &b.cpu)
        && one != other
    {
        return Some(format!("{one} and {other}"));
    }
    if !a.arch.is_empty() && !b.arch.is_empty() && a.arch != b.arch {
        return Some(format!("{} and {}", a.arch, b.arch));
    }
    let (one, other) = (a.memory_bytes? as f64, b.memory_bytes? as f64);
    ((one - other).abs() > MEMORY * one.max(other))
        .then(|| format!("{:.1} GB and {:.1} GB of memory", one / 1e9, other / 1e9))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn machine(cpu: &str, arch: &str, gb: f64) -> Machine {
        Machine {
            hostname: "localhost".into(),
            cpu: (!cpu.is_empty()).then(|| cpu.into()),
            arch: arch.into(),
            memory_bytes: (gb > 0.0).then_some((gb * 1e9) as u64),
            ..Machine::default()
        }
    }

    #[test]
    fn machines_differ_in_what_they_are_and_not_in_what_a_run_may_use_of_them() {
        let one = machine("A", "x86_64", 8.0);
        let confined = Machine { physical_cores: 1, logical_cpus: 1, cpu_quota: Some(1.0), ..one.clone() };
        assert_eq!(difference(&one, &confined), None);
        assert_eq!(difference(&one, &machine("A", "x86_64", 7.9)), None);
        assert_eq!(difference(&one, &machine("", "", 0.0)), None);
        assert_eq!(difference(&one, &machine("B", "x86_64", 8.0)).as_deref(), Some("A and B"));
        assert_eq!(
            difference(&machine("", "x86_64", 8.0), &machine("", "aarch64", 8.0)).as_deref(),
            Some("x86_64 and aarch64")
        );
        assert_eq!(difference(&one, &machine("A", "x86_64", 16.0)).as_deref(), Some("8.0 GB and 16.0 GB of memory"));
    }
}
