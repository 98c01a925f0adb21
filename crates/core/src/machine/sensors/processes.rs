//! Who uses the processors: the worker, this program, or somebody else.

use super::super::root::{self, Root};
use std::collections::BTreeMap;

/// A process as /proc shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Process {
    /// Its name, cut by the kernel to 15 characters.
    pub name: String,
    /// The process that started it.
    pub parent: u32,
    /// Its group. A worker leads one of its own.
    pub group: u32,
    /// Processor time so far, in clock ticks.
    pub ticks: u64,
    /// That of its children that have ended, in clock ticks.
    pub reaped: u64,
}

/// All processes by number.
pub(super) type Processes = BTreeMap<u32, Process>;

/// Reads all processes (`man 5 proc_pid_stat`).
pub(super) fn processes(root: &Root) -> Processes {
    let folders = root.entries("proc");
    let numbered = folders.iter().filter_map(|path| Some((path, root::name(path).parse::<u32>().ok()?)));
    numbered.filter_map(|(path, pid)| Some((pid, parse(&root::text(&path.join("stat"))?)?))).collect()
}

/// `12 (a name) S ppid pgrp ...`: the name may hold anything, brackets included.
fn parse(line: &str) -> Option<Process> {
    let (before, after) = line.rsplit_once(')')?;
    let name = before.split_once('(')?.1.to_owned();
    let fields: Vec<&str> = after.split_whitespace().collect();
    let number = |i: usize| fields.get(i)?.parse::<u64>().ok();
    let small = |i: usize| fields.get(i)?.parse::<u32>().ok();
    let ticks = number(11)?.checked_add(number(12)?)?;
    let reaped = number(13).unwrap_or(0).checked_add(number(14).unwrap_or(0))?;
    Some(Process { name, parent: small(1)?, group: small(2)?, ticks, reaped })
}

/// What was used between two looks.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Used {
    /// Ticks of the worker and of what it started; `None` when it is gone.
    pub worker: Option<u64>,
    /// Ticks of this program.
    pub own: u64,
    /// Ticks of its other workers and of what those started.
    pub siblings: u64,
    /// The busiest other process, and its ticks.
    pub busiest: Option<(String, u64)>,
}

/// The difference of two looks, seen from the worker `pid` and from this program.
pub(super) fn used(before: &Processes, after: &Processes, pid: u32, own: u32) -> Used {
    let mut used = Used { worker: after.contains_key(&pid).then_some(0), ..Used::default() };
    let is_sibling = |process: &Process| {
        process.parent == own || after.get(&process.group).is_some_and(|leader| leader.parent == own)
    };
    for (number, process) in after {
        // A number may have been given to another process meanwhile.
        let earlier = before.get(number).filter(|old| old.name == process.name).map_or(0, |old| old.ticks);
        let ticks = process.ticks.saturating_sub(earlier);
        // Of children that came and went: nobody else has their ticks any more.
        let known = before.get(number).filter(|old| old.name == process.name);
        let reaped = process.reaped.saturating_sub(known.map_or(0, |old| old.reaped));
        let all = ticks.saturating_add(reaped);
        if *number == pid || process.group == pid {
            used.worker = used.worker.map(|sum| sum.saturating_add(all));
        } else if *number == own {
            used.own = all;
        } else if is_sibling(process) {
            used.siblings = used.siblings.saturating_add(all);
        } else if ticks > used.busiest.as_ref().map_or(0, |(_, most)| *most) {
            used.busiest = Some((process.name.clone(), ticks));
        }
    }
    // A worker that has ended leaves all its ticks to this program, those from before the first look as well.
    let ended = before.iter().filter(|(number, process)| process.parent == own && !after.contains_key(*number));
    let earlier = ended.map(|(_, process)| process.ticks.saturating_add(process.reaped)).fold(0, u64::saturating_add);
    used.own = used.own.saturating_sub(earlier);
    used
}

#[cfg(test)]
mod tests {
    use super::super::super::root::Tree;
    use super::*;

    fn stat(pid: u32, name: &str, parent: u32, group: u32, ticks: u64) -> (String, String) {
        let line = format!("{pid} ({name}) S {parent} {group} 1 0 -1 4194560 1 0 0 0 {ticks} 1 0 0 20 0 1 0 5 1 1\n");
        (format!("proc/{pid}/stat"), line)
    }

    fn tree(all: &[(String, String)]) -> Tree {
        let files: Vec<(&str, &str)> = all.iter().map(|(path, text)| (path.as_str(), text.as_str())).collect();
        Tree::new(&files)
    }

    #[test]
    fn worker_harness_and_others_are_told_apart() {
        let before =
            tree(&[stat(10, "tokometer", 1, 10, 5), stat(20, "worker", 10, 20, 0), stat(30, "web) (x", 1, 30, 100)]);
        let after = tree(&[
            stat(10, "tokometer", 1, 10, 6),
            stat(20, "worker", 10, 20, 500),
            stat(21, "clang", 20, 20, 40),
            stat(22, "other worker", 10, 22, 70),
            stat(30, "web) (x", 1, 30, 160),
        ]);
        let (before, after) = (processes(&before.root()), processes(&after.root()));
        assert_eq!(after[&30].name, "web) (x");
        let used = used(&before, &after, 20, 10);
        // The compiler that the worker started began with the launch: its first tick counts too.
        assert_eq!((used.worker, used.own, used.siblings), (Some(541), 1, 71));
        assert_eq!(used.busiest, Some(("web) (x".to_owned(), 60)));
    }

    #[test]
    fn of_a_sibling_that_ended_only_what_it_used_meanwhile_counts() {
        let own = |reaped: u64| {
            let line = format!("10 (tokometer) S 1 10 1 0 -1 4194560 1 0 0 0 5 1 {reaped} 0 20 0 1 0 5 1 1\n");
            ("proc/10/stat".to_owned(), line)
        };
        let before = tree(&[own(0), stat(20, "worker", 10, 20, 0), stat(22, "other worker", 10, 22, 300)]);
        let after = tree(&[own(351), stat(20, "worker", 10, 20, 500)]);
        let used = used(&processes(&before.root()), &processes(&after.root()), 20, 10);
        assert_eq!((used.worker, used.own, used.siblings), (Some(500), 50, 0));
    }

    #[test]
    fn a_worker_that_is_gone_is_not_a_worker_that_did_nothing() {
        let tree = tree(&[stat(10, "tokometer", 1, 10, 5)]);
        let all = processes(&tree.root());
        assert_eq!(used(&all, &all, 20, 10), Used::default());
        assert_eq!(parse("12 no brackets"), None);
    }
}
