//! What Slurm says of a task, in words of ours.
//!
//! States and exit codes are those of `squeue(1)` (JOB STATE CODES) and `scontrol show job`; the forms that are read here
//! were recorded with Slurm 22.05.

use super::{Error, Result};
use serde::Serialize;
use std::collections::BTreeMap;
use std::fmt;

/// Where a task stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "state", rename_all = "kebab-case")]
pub enum TaskState {
    /// It waits.
    Pending {
        /// Slurm's word for why: `Resources`, `Priority`, `JobArrayTaskLimit`, ...
        reason: String,
    },
    /// It runs, or is being cleaned up after.
    Running {
        /// The node.
        node: String,
    },
    /// It ran to its end.
    Finished {
        /// The node.
        node: String,
        /// Whether some of its cases failed (exit code 3): they are recorded, and no reason to run it again.
        some_failed: bool,
    },
    /// It did not.
    Failed(Failure),
}

impl TaskState {
    /// Whether nothing more will come of it by itself.
    pub fn is_over(&self) -> bool {
        matches!(self, TaskState::Finished { .. } | TaskState::Failed(_))
    }
}

/// Why a task did not run to its end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Failure {
    /// What kind of failure.
    #[serde(flatten)]
    pub kind: FailureKind,
    /// The node, where it got one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub node: Option<String>,
    /// Slurm's own word for the reason, where it gave one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// Kinds of failures.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum FailureKind {
    /// It ended with an exit code that is neither 0 nor 3.
    ExitCode {
        /// The code.
        code: i32,
    },
    /// A signal ended it.
    Signal {
        /// The signal.
        signal: i32,
    },
    /// It needed more memory than it was given.
    OutOfMemory,
    /// It needed more time than it was given.
    Timeout,
    /// Its node failed.
    NodeFail,
    /// It made room for another job.
    Preempted,
    /// A person cancelled it.
    Cancelled,
    /// The cluster knows it no longer, and it left no exit code.
    Lost,
}

impl FailureKind {
    /// Whether another try may come further. What a person stopped stays stopped, and what is called wrongly will not be
    /// right the second time; a task that ran out of time goes on where it was.
    pub fn is_worth_a_try(self) -> bool {
        !matches!(self, FailureKind::Cancelled | FailureKind::ExitCode { code: 2 | 126 | 127 })
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.kind {
            FailureKind::ExitCode { code } => write!(f, "exit code {code}")?,
            FailureKind::Signal { signal } => write!(f, "ended by signal {signal}")?,
            FailureKind::OutOfMemory => write!(f, "out of memory")?,
            FailureKind::Timeout => write!(f, "out of time")?,
            FailureKind::NodeFail => write!(f, "the node failed")?,
            FailureKind::Preempted => write!(f, "preempted by another job")?,
            FailureKind::Cancelled => write!(f, "cancelled")?,
            FailureKind::Lost => write!(f, "the cluster no longer knows it, and it left no exit code")?,
        }
        if let Some(node) = &self.node {
            write!(f, " on {node}")?;
        }
        match &self.reason {
            Some(reason) => write!(f, " ({reason})"),
            None => Ok(()),
        }
    }
}

/// A task as squeue shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// Slurm's word, as `NODE_FAIL`.
    pub state: String,
    /// Its node, or nothing.
    pub node: String,
    /// Slurm's reason, or `None`.
    pub reason: String,
}

/// The format that [`queue`] reads, for squeue's `-o`.
pub(super) const QUEUE: &str = "%F|%K|%T|%N|%r";

/// The tasks that squeue shows, by job and index.
///
/// # Errors
/// [`Error::Answer`] with the line.
pub(super) fn queue(text: &str) -> Result<BTreeMap<(u64, u32), Seen>> {
    let mut found = BTreeMap::new();
    for line in text.lines().filter(|line| !line.trim().is_empty()) {
        let odd = || Error::Answer { program: "squeue".to_owned(), answer: line.to_owned() };
        let mut cells = line.splitn(5, '|').map(str::trim);
        let mut cell = || cells.next().ok_or_else(odd);
        let (job, index, state, node, reason) = (cell()?, cell()?, cell()?, cell()?, cell()?);
        let key = (job.parse().map_err(|_| odd())?, index.parse().map_err(|_| odd())?);
        found.insert(key, Seen { state: state.to_owned(), node: node.to_owned(), reason: reason.to_owned() });
    }
    Ok(found)
}

/// Exit code and signal as `scontrol show job` and sacct write them, `3:0`.
pub(super) fn exit_code(text: &str) -> Option<(i32, i32)> {
    let (code, signal) = text.split_once(':')?;
    Some((code.parse().ok()?, signal.parse().ok()?))
}

/// A value of a line of `scontrol -o show job`. What is not set there is missing here.
pub(super) fn field<'a>(line: &'a str, name: &str) -> Option<&'a str> {
    let value = line.split_whitespace().find_map(|word| word.strip_prefix(name)?.strip_prefix('='))?;
    Some(value).filter(|value| !value.is_empty() && *value != "(null)" && *value != "None")
}

/// The state of a task; `exit` is needed once it is over.
pub(super) fn state(seen: &Seen, exit: Option<(i32, i32)>) -> TaskState {
    let said = |text: &str| Some(text.to_owned()).filter(|text| !text.is_empty() && text != "None");
    let node = seen.node.clone();
    // sacct adds who cancelled it: `CANCELLED by 1000`.
    let word = seen.state.split_whitespace().next().unwrap_or_default().trim_end_matches('+');
    let failed = |kind| TaskState::Failed(Failure { kind, node: said(&seen.node), reason: said(&seen.reason) });
    match word {
        "PENDING" | "CONFIGURING" | "REQUEUED" | "REQUEUE_FED" | "REQUEUE_HOLD" | "RESV_DEL_HOLD" | "SPECIAL_EXIT" => {
            TaskState::Pending { reason: seen.reason.clone() }
        }
        "RUNNING" | "COMPLETING" | "SUSPENDED" | "STOPPED" | "SIGNALING" | "STAGE_OUT" | "RESIZING" => {
            TaskState::Running { node }
        }
        "COMPLETED" => TaskState::Finished { node, some_failed: false },
        "OUT_OF_MEMORY" => failed(FailureKind::OutOfMemory),
        "TIMEOUT" | "DEADLINE" => failed(FailureKind::Timeout),
        "NODE_FAIL" | "BOOT_FAIL" => failed(FailureKind::NodeFail),
        "PREEMPTED" => failed(FailureKind::Preempted),
        "CANCELLED" | "REVOKED" => failed(FailureKind::Cancelled),
        // FAILED, and words of other versions: how it ended tells.
        _ => match exit {
            Some(exit) => ended(exit, &seen.node, None),
            None => failed(FailureKind::Lost),
        },
    }
}

/// The state of a task that ended by itself, by its exit code and signal.
pub(super) fn ended((code, signal): (i32, i32), node: &str, reason: Option<String>) -> TaskState {
    let kind = match (code, signal) {
        (0 | 3, 0) => return TaskState::Finished { node: node.to_owned(), some_failed: code == 3 },
        // Stopped as by Ctrl-C.
        (130, _) => FailureKind::Cancelled,
        // Slurm marks a task that ran out of memory by this number in the place of the signal.
        (_, 125) => FailureKind::OutOfMemory,
        (_, 1..) => FailureKind::Signal { signal },
        // Shells report so that what they ran was ended by a signal.
        (129..=192, _) => FailureKind::Signal { signal: code - 128 },
        _ => FailureKind::ExitCode { code },
    };
    TaskState::Failed(Failure { kind, node: Some(node.to_owned()).filter(|node| !node.is_empty()), reason })
}

#[cfg(test)]
mod tests {
    use super::super::testing::{SCONTROL_FAILED, SQUEUE};
    use super::*;

    fn seen(state: &str, reason: &str) -> Seen {
        Seen { state: state.into(), node: "n1".into(), reason: reason.into() }
    }

    fn kind(state: TaskState) -> FailureKind {
        match state {
            TaskState::Failed(failure) => failure.kind,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_recorded_queue_is_read() {
        let tasks = queue(SQUEUE).unwrap();
        let told: Vec<_> = tasks.iter().map(|((job, index), seen)| (*job, *index, state(seen, Some((1, 0))))).collect();
        assert_eq!(told[0], (1, 0, TaskState::Finished { node: "n1".into(), some_failed: false }));
        assert_eq!(kind(told[1].2.clone()), FailureKind::ExitCode { code: 1 });
        assert_eq!(told[2], (1, 4, TaskState::Running { node: "n1".into() }));
        assert_eq!(told[3], (1, 5, TaskState::Pending { reason: "JobArrayTaskLimit".into() }));
        assert_eq!(kind(told[4].2.clone()), FailureKind::NodeFail);
        assert_eq!(kind(told[5].2.clone()), FailureKind::Timeout);
        assert_eq!(queue("").unwrap().len(), 0);
        let error = queue("1|x|RUNNING|n1|None\n").unwrap_err().to_string();
        assert!(error.contains("squeue") && error.contains("1|x|RUNNING"), "{error}");
        assert!(queue("1|2|RUNNING\n").is_err());
    }

    #[test]
    fn a_recorded_job_is_read() {
        assert_eq!(field(SCONTROL_FAILED, "JobState"), Some("FAILED"));
        assert_eq!(field(SCONTROL_FAILED, "NodeList"), Some("n2"));
        assert_eq!(field(SCONTROL_FAILED, "ExitCode").and_then(exit_code), Some((3, 0)));
        // Not set, and part of another name.
        assert_eq!((field(SCONTROL_FAILED, "Account"), field(SCONTROL_FAILED, "JobSt")), (None, None));
        assert_eq!((exit_code("0:9"), exit_code("x"), exit_code("1:")), (Some((0, 9)), None, None));
    }

    #[test]
    fn the_end_of_a_task_is_told_by_its_exit_code() {
        let failed = |exit| state(&seen("FAILED", "NonZeroExitCode"), Some(exit));
        assert_eq!(failed((3, 0)), TaskState::Finished { node: "n1".into(), some_failed: true });
        assert_eq!(kind(failed((1, 0))), FailureKind::ExitCode { code: 1 });
        assert_eq!(kind(failed((0, 9))), FailureKind::Signal { signal: 9 });
        assert_eq!(kind(failed((137, 0))), FailureKind::Signal { signal: 9 });
        assert_eq!(kind(failed((0, 125))), FailureKind::OutOfMemory);
        assert_eq!(kind(failed((130, 0))), FailureKind::Cancelled);
        assert_eq!(kind(state(&seen("FAILED", ""), None)), FailureKind::Lost);
    }

    #[test]
    fn what_slurm_ended_has_its_own_kind_whatever_the_exit_code() {
        let cases = [
            ("OUT_OF_MEMORY", FailureKind::OutOfMemory),
            ("TIMEOUT", FailureKind::Timeout),
            ("NODE_FAIL", FailureKind::NodeFail),
            ("PREEMPTED", FailureKind::Preempted),
            ("CANCELLED", FailureKind::Cancelled),
            ("CANCELLED by 1000", FailureKind::Cancelled),
        ];
        for (word, expected) in cases {
            assert_eq!(kind(state(&seen(word, "None"), Some((0, 15)))), expected, "{word}");
        }
        assert_eq!(state(&seen("COMPLETING", "None"), None), TaskState::Running { node: "n1".into() });
    }

    #[test]
    fn only_what_may_come_further_is_tried_again() {
        for kind in [FailureKind::NodeFail, FailureKind::Timeout, FailureKind::Lost, FailureKind::ExitCode { code: 1 }]
        {
            assert!(kind.is_worth_a_try(), "{kind:?}");
        }
        for kind in [FailureKind::Cancelled, FailureKind::ExitCode { code: 2 }, FailureKind::ExitCode { code: 127 }] {
            assert!(!kind.is_worth_a_try(), "{kind:?}");
        }
    }

    #[test]
    fn failures_read_as_sentences_and_serialize_flat() {
        let failure = Failure { kind: FailureKind::Timeout, node: Some("n1".into()), reason: Some("TimeLimit".into()) };
        assert_eq!(failure.to_string(), "out of time on n1 (TimeLimit)");
        let json = serde_json::to_value(TaskState::Failed(failure)).unwrap();
        assert_eq!(json["state"], "failed");
        assert_eq!((&json["kind"], &json["node"]), (&"timeout".into(), &"n1".into()));
    }
}
