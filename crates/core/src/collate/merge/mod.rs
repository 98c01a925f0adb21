//! Joins the results of machines that share nothing: raw logs, results of verifiers and journals of sweeps from other
//! working folders come into this one. Nothing here is ever replaced, and doing it again adds nothing.
//!
//! Machines are told apart by hostname everywhere after this. Two that differ under one name would be averaged, so the logs
//! of the second are refused until it is given another name ([`Hosts`]).

mod copy;
mod survey;

use super::hosts::Hosts;
use super::{Error, Result};
use crate::machine::Machine;
use crate::progress::{Progress, Unit};
use crate::record::provenance;
use crate::record::writer::PARTIAL;
use crate::{disk, fingerprint};
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use survey::Found;

/// Files beside the raw logs that are brought along, by folder and how their names end.
const OTHERS: [(&str, &str); 2] = [("verifiers_results", ".json"), ("sweep/journal", ".jsonl")];

/// How to merge.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// Only say what would be done.
    pub dry_run: bool,
    /// Take edited logs, and machines that differ under one name, too.
    pub anyway: bool,
    /// Other names for the machines of folders, by the folder.
    pub names: BTreeMap<PathBuf, String>,
}

/// What came of one folder.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Merged {
    /// The folder.
    pub dir: PathBuf,
    /// Names of its machines, as they are shown here.
    pub hosts: BTreeSet<String>,
    /// Raw logs that were brought along.
    pub copied: Vec<String>,
    /// Raw logs that were here already.
    pub same: usize,
    /// Further files that were brought along, as paths in the working folder.
    pub others: Vec<PathBuf>,
    /// Raw logs that were left out.
    pub refused: Vec<Refused>,
}

/// A raw log that was left out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Refused {
    /// The log.
    pub log: PathBuf,
    /// Why, and what to do.
    pub reason: String,
}

/// A machine that has a name.
struct Known {
    machine: Machine,
    /// Where it was measured, for messages.
    place: PathBuf,
}

/// What is here, and what came in so far.
struct Here {
    /// The working folder.
    root: PathBuf,
    /// Its raw logs.
    logs: PathBuf,
    /// Their paths, by uuid.
    uuids: BTreeMap<String, PathBuf>,
    /// Their names, and those of logs that a dry run would have brought along.
    names: BTreeSet<String>,
    /// Machines by name.
    machines: BTreeMap<String, Vec<Known>>,
}

/// Brings the results of `dirs` into the working folder `root`, one folder after another.
///
/// # Errors
/// Before anything is touched: a folder without results, or one that is this one, or a name for several machines. Later: a
/// file cannot be written; then what came before it is here, whole, and merging again goes on.
pub fn merge(root: &Path, dirs: &[PathBuf], options: &Options, progress: &dyn Progress) -> Result<Vec<Merged>> {
    let logs = root.join("benchmark_output");
    let folders = check(&logs, dirs, options)?;
    if !options.dry_run {
        fs::create_dir_all(&logs).map_err(|cause| Error::Write { path: logs.clone(), cause })?;
    }
    let _alone = super::lock(&logs, progress)?;
    let hosts = name_hosts(&logs, &folders, options)?;
    let mut here = Here::read(root, logs, &hosts)?;
    let count = folders.iter().map(|(_, found)| found.len() as u64).sum();
    let task = progress.task("merging raw logs", Some(count), Unit::Count);
    let mut all = Vec::new();
    for (dir, found) in folders {
        let name = options.names.get(&dir).map(String::as_str);
        let mut merged = Merged { dir: dir.clone(), ..Merged::default() };
        for log in &found {
            here.take(log, name, options, &mut merged)?;
            task.advance(1);
        }
        here.others(&dir, options, &mut merged)?;
        all.push(merged);
    }
    task.finish(&format!("{} folder(s)", all.len()));
    Ok(all)
}

/// The raw logs of each folder, once everything about the request makes sense.
fn check(logs: &Path, dirs: &[PathBuf], options: &Options) -> Result<Vec<(PathBuf, Vec<Found>)>> {
    let refuse = |dir: &Path, reason: String| Err(Error::Merge { dir: dir.to_path_buf(), reason });
    if let Some((dir, _)) = options.names.iter().find(|(_, name)| name.trim().is_empty()) {
        return refuse(dir, "the name for its machine is empty".to_owned());
    }
    if let Some((dir, _)) = options.names.iter().find(|(dir, _)| !dirs.contains(dir)) {
        return refuse(dir, "a name is given for its machine, but it is not among the folders to merge".to_owned());
    }
    let whole = |path: &Path| fs::canonicalize(path).unwrap_or_else(|_| path.to_path_buf());
    let mut folders: Vec<(PathBuf, Vec<Found>)> = Vec::new();
    for dir in dirs {
        if !dir.is_dir() {
            return refuse(dir, "it is not a folder".to_owned());
        }
        let inner = survey::logs_of(dir);
        if whole(&inner) == whole(logs) {
            return refuse(dir, "it is the working folder itself".to_owned());
        }
        if folders.iter().any(|(other, _)| whole(other) == whole(dir)) {
            return refuse(dir, "it is named twice".to_owned());
        }
        let found = survey::survey(&inner, &Hosts::read(&inner)?)?;
        if found.is_empty() && OTHERS.iter().all(|(folder, end)| files(&dir.join(folder), end).is_empty()) {
            return refuse(dir, "it holds no raw logs, neither itself nor in benchmark_output".to_owned());
        }
        let hosts: BTreeSet<&str> = found.iter().filter_map(|log| log.host.as_deref()).collect();
        if options.names.contains_key(dir) && hosts.len() > 1 {
            let hosts = hosts.into_iter().collect::<Vec<_>>().join(", ");
            return refuse(dir, format!("one name is given for its machines, which are several: {hosts}"));
        }
        folders.push((dir.clone(), found));
    }
    Ok(folders)
}

/// Writes down the names of the folders' machines, before their logs come: a name without a log harms nobody. Names that
/// were given here count more than those that a folder brings along.
fn name_hosts(logs: &Path, folders: &[(PathBuf, Vec<Found>)], options: &Options) -> Result<Hosts> {
    let before = Hosts::read(logs)?;
    let mut hosts = before.clone();
    for (dir, found) in folders {
        let name = options.names.get(dir);
        for log in found {
            let Some(uuid) = &log.uuid else { continue };
            match (name, &log.host) {
                (Some(name), _) => hosts.set(uuid, name),
                (None, Some(host)) if log.renamed && hosts.name(uuid).is_none() => hosts.set(uuid, host),
                _ => (),
            }
        }
    }
    if hosts != before && !options.dry_run {
        hosts.write(logs)?;
    }
    Ok(hosts)
}

impl Here {
    fn read(root: &Path, logs: PathBuf, hosts: &Hosts) -> Result<Here> {
        let found = survey::survey(&logs, hosts)?;
        let mut here = Here {
            root: root.to_path_buf(),
            logs,
            uuids: BTreeMap::new(),
            names: BTreeSet::new(),
            machines: BTreeMap::new(),
        };
        for log in &found {
            here.learn(log, log.host.as_deref());
        }
        Ok(here)
    }

    /// Remembers a log that is here, or would be.
    fn learn(&mut self, log: &Found, host: Option<&str>) {
        self.names.insert(log.source.name.clone());
        if let Some(uuid) = &log.uuid {
            self.uuids.entry(uuid.clone()).or_insert_with(|| log.source.path.clone());
        }
        if let (Some(host), Some(machine)) = (host, &log.machine) {
            let known = self.machines.entry(host.to_owned()).or_default();
            if !known.iter().any(|one| one.machine == *machine) {
                known.push(Known { machine: machine.clone(), place: log.source.path.clone() });
            }
        }
    }

    /// Brings a log along, or says why not.
    fn take(&mut self, log: &Found, name: Option<&str>, options: &Options, merged: &mut Merged) -> Result<()> {
        let host = name.or(log.host.as_deref());
        let target = self.logs.join(&log.source.name);
        if self.is_here(log, &target)? {
            merged.hosts.extend(host.map(str::to_owned));
            merged.same += 1;
            return Ok(());
        }
        if let Some(reason) = self.obstacle(log, host, &target, options) {
            merged.refused.push(Refused { log: log.source.path.clone(), reason });
            return Ok(());
        }
        if !options.dry_run {
            let failed = |cause| Error::Write { path: target.clone(), cause };
            disk::require(&self.logs, log.source.stamp.size).map_err(|error| failed(std::io::Error::other(error)))?;
            copy::whole(&log.source.path, &target).map_err(failed)?;
        }
        merged.hosts.extend(host.map(str::to_owned));
        merged.copied.push(log.source.name.clone());
        self.learn(log, host);
        Ok(())
    }

    /// Whether the very same log is here, under its name or another one, or has since been finished here.
    fn is_here(&self, log: &Found, target: &Path) -> Result<bool> {
        if log.source.name.strip_suffix(PARTIAL).is_some_and(|finished| self.names.contains(finished)) {
            return Ok(true);
        }
        let other = log.uuid.as_ref().and_then(|uuid| self.uuids.get(uuid)).map(PathBuf::as_path);
        for path in [Some(target), other].into_iter().flatten() {
            if path.is_file() {
                let same = copy::same(&log.source.path, path);
                if same.map_err(|cause| Error::Read { path: log.source.path.clone(), cause })? {
                    return Ok(true);
                }
            }
        }
        Ok(false)
    }

    /// Why a log cannot be taken.
    fn obstacle(&self, log: &Found, host: Option<&str>, target: &Path, options: &Options) -> Option<String> {
        if let Some(trouble) = &log.trouble {
            return Some(format!("{trouble}; move it out of its folder"));
        }
        if self.names.contains(&log.source.name) || target.exists() {
            return Some(format!(
                "{} is another log of the same name; no log is ever replaced: give this file another name if both count",
                target.display()
            ));
        }
        if options.anyway {
            return None;
        }
        if let Ok(one) = provenance::read(&log.source.path)
            && one.check.is_edited()
        {
            let problems = one.check.problems.join("; ");
            return Some(format!("it is not as it was written: {problems}; --anyway takes it all the same"));
        }
        self.stranger(log, host?)
    }

    /// Whether another machine than this log's has its name.
    fn stranger(&self, log: &Found, host: &str) -> Option<String> {
        let machine = log.machine.as_ref()?;
        let known = self.machines.get(host)?;
        // A machine that was given more memory is known here in both forms.
        if known.iter().any(|one| survey::difference(&one.machine, machine).is_none()) {
            return None;
        }
        let (one, difference) = known.iter().find_map(|one| Some((one, survey::difference(&one.machine, machine)?)))?;
        Some(format!(
            "another machine is called {host} too ({difference}; {}), and their figures would be averaged: give this one \
             a name with --host DIR=NAME, or say --anyway if it is the same",
            one.place.display()
        ))
    }

    /// Brings the other results along. Of files of one name with other content both stay, the second with its hash.
    fn others(&mut self, dir: &Path, options: &Options, merged: &mut Merged) -> Result<()> {
        for (folder, end) in OTHERS {
            for from in files(&dir.join(folder), end) {
                let failed = |cause| Error::Read { path: from.clone(), cause };
                let name = from.file_name().unwrap_or_default().to_string_lossy().into_owned();
                let hash = fingerprint::of_file(&from, |_| ()).map_err(failed)?;
                let stem = name.strip_suffix(end).unwrap_or(&name);
                let names = [name.clone(), format!("{stem}-{}{end}", &hash[..8])];
                let mut free = None;
                for inner in names.iter().map(|name| Path::new(folder).join(name)) {
                    let to = self.root.join(&inner);
                    if !to.exists() {
                        free.get_or_insert(inner);
                    } else if copy::same(&from, &to).map_err(failed)? {
                        free = None;
                        break;
                    }
                }
                let Some(inner) = free else { continue };
                if !options.dry_run {
                    let to = self.root.join(&inner);
                    copy::whole(&from, &to).map_err(|cause| Error::Write { path: to.clone(), cause })?;
                }
                merged.others.push(inner);
            }
        }
        Ok(())
    }
}

/// The files of a folder whose names end so, sorted; none where there is no folder.
fn files(folder: &Path, end: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let shown = |name: &str| name.ends_with(end) && !name.starts_with('.');
    let mut paths: Vec<PathBuf> = entries
        .filter(|entry| shown(&entry.file_name().to_string_lossy()))
        .map(|entry| entry.path())
        .filter(|path| path.is_file())
        .collect();
    paths.sort();
    paths
}

#[cfg(test)]
mod tests;
