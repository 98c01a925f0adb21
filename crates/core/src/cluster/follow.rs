//! Keeps track of all tasks until they are over: looks at intervals, asks how those that failed have ended, and submits
//! again what may come further.

use super::state::{Failure, Seen, TaskState};
use super::{Array, Result, Slurm};
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

/// Lines of a task's output that are kept with its failure.
const LINES: usize = 8;
/// Looks in a row that a task must be missing in before it counts as forgotten: the cluster may just be starting anew.
const MISSING: u32 = 2;
/// Looks in a row without an answer after which the caller hears of it.
const SILENT: u32 = 10;
/// How often a stop is looked for while waiting.
const BREATH: Duration = Duration::from_millis(100);

/// A task as it stands.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Task {
    /// Its number.
    pub task: u32,
    /// The node that it was sent to, if it was one.
    #[serde(rename = "sent-to", skip_serializing_if = "Option::is_none")]
    pub node: Option<String>,
    /// Its last job.
    pub job: u64,
    /// Its index in that job's array.
    pub index: u32,
    /// Which try this is, from 1.
    pub attempt: u32,
    /// Where it stands.
    #[serde(flatten)]
    pub state: TaskState,
    /// The last lines that it printed, once it failed.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub output: Vec<String>,
    /// Looks in which the cluster did not know it.
    #[serde(skip)]
    missing: u32,
}

impl Task {
    /// As Slurm calls it, `42_7`.
    pub fn id(&self) -> String {
        format!("{}_{}", self.job, self.index)
    }
}

/// What has happened since the last look.
#[derive(Debug, Clone, PartialEq)]
pub enum Change {
    /// A task stands elsewhere than before.
    Moved(Task),
    /// A task failed and was submitted again.
    TriedAgain {
        /// As it failed.
        failed: Task,
        /// Its new job.
        job: u64,
    },
    /// Tasks failed and could not be submitted again: their failure stands.
    NotTriedAgain {
        /// How many.
        tasks: usize,
        /// Why.
        reason: String,
    },
}

/// Tasks by where they stand.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// Waiting.
    pub pending: usize,
    /// Running.
    pub running: usize,
    /// Ran to their end.
    pub finished: usize,
    /// Did not.
    pub failed: usize,
}

/// All tasks of a sweep on a cluster.
#[derive(Debug, Clone, Default)]
pub struct Follower {
    /// By number and node.
    tasks: BTreeMap<(u32, Option<String>), Task>,
    silent: u32,
}

impl Follower {
    /// For what was submitted, oldest first: of a task that was submitted several times the last one counts.
    pub fn new(arrays: &[Array]) -> Follower {
        let mut follower = Follower::default();
        arrays.iter().for_each(|array| follower.add(array));
        follower
    }

    /// Adds an array that was submitted.
    pub fn add(&mut self, array: &Array) {
        for (task, index) in array.tasks() {
            let one = Task {
                task,
                node: array.node.clone(),
                job: array.job,
                index,
                attempt: array.attempt,
                state: TaskState::Pending { reason: "Submitted".to_owned() },
                output: Vec::new(),
                missing: 0,
            };
            self.tasks.insert((task, array.node.clone()), one);
        }
    }

    /// All tasks, by number.
    pub fn tasks(&self) -> impl Iterator<Item = &Task> {
        self.tasks.values()
    }

    /// How many stand where.
    pub fn counts(&self) -> Counts {
        let mut counts = Counts::default();
        for task in self.tasks() {
            match task.state {
                TaskState::Pending { .. } => counts.pending += 1,
                TaskState::Running { .. } => counts.running += 1,
                TaskState::Finished { .. } => counts.finished += 1,
                TaskState::Failed(_) => counts.failed += 1,
            }
        }
        counts
    }

    /// Whether all tasks are over.
    pub fn is_over(&self) -> bool {
        self.tasks().all(|task| task.state.is_over())
    }

    /// Jobs of which a task is not over.
    pub fn jobs(&self) -> BTreeSet<u64> {
        self.tasks().filter(|task| !task.state.is_over()).map(|task| task.job).collect()
    }

    /// Looks once, and submits again what failed, may come further, and has tries left.
    ///
    /// # Errors
    /// The cluster does not answer. What is known stays; look again later.
    pub fn look(&mut self, slurm: &Slurm<'_>) -> Result<Vec<Change>> {
        let jobs = self.jobs();
        if jobs.is_empty() {
            return Ok(Vec::new());
        }
        let seen = slurm.look(&jobs)?;
        let mut changes = Vec::new();
        let mut unanswered = None;
        let mut again: BTreeMap<(Option<String>, u32), Vec<Task>> = BTreeMap::new();
        for task in self.tasks.values_mut().filter(|task| !task.state.is_over()) {
            let state = match next(task, seen.get(&(task.job, task.index)), slurm) {
                Ok(Some(state)) if state != task.state => state,
                Ok(_) => continue,
                // Asked again at the next look; what is known of the others must not be lost.
                Err(error) => {
                    unanswered.get_or_insert(error);
                    continue;
                }
            };
            task.state = state;
            if let TaskState::Failed(failure) = &task.state {
                task.output = slurm.last_lines(task.job, task.index, LINES);
                if may_again(failure, task.attempt, slurm.options.tries) {
                    again.entry((task.node.clone(), task.attempt)).or_default().push(task.clone());
                    continue;
                }
            }
            changes.push(Change::Moved(task.clone()));
        }
        for ((node, attempt), failed) in again {
            self.try_again(slurm, node.as_deref(), attempt + 1, failed, &mut changes);
        }
        match unanswered {
            Some(error) if changes.is_empty() => Err(error),
            _ => Ok(changes),
        }
    }

    fn try_again(
        &mut self,
        slurm: &Slurm<'_>,
        node: Option<&str>,
        attempt: u32,
        failed: Vec<Task>,
        changes: &mut Vec<Change>,
    ) {
        let numbers: Vec<u32> = failed.iter().map(|task| task.task).collect();
        let tried = slurm.submit_each(&numbers, node, attempt, &mut |array| self.add(&array));
        let mut standing = Vec::new();
        for failed in failed {
            match self.tasks.get(&(failed.task, failed.node.clone())) {
                Some(task) if task.attempt == attempt => changes.push(Change::TriedAgain { job: task.job, failed }),
                _ => standing.push(failed),
            }
        }
        if let Err(error) = tried {
            changes.push(Change::NotTriedAgain { tasks: standing.len(), reason: error.to_string() });
        }
        changes.extend(standing.into_iter().map(Change::Moved));
    }

    /// Looks every so often until all tasks are over or `stop` says so; `heard` is given each look's changes. Whether it
    /// came to the end. A cluster that does not answer for a while is waited for.
    ///
    /// # Errors
    /// The cluster has not answered ten times in a row.
    pub fn follow(
        &mut self,
        slurm: &Slurm<'_>,
        every: Duration,
        stop: &dyn Fn() -> bool,
        heard: &mut dyn FnMut(&Follower, &[Change]),
    ) -> Result<bool> {
        loop {
            match self.look(slurm) {
                Ok(changes) => {
                    self.silent = 0;
                    heard(self, &changes);
                }
                Err(error) => {
                    self.silent += 1;
                    if self.silent >= SILENT {
                        return Err(error);
                    }
                }
            }
            if self.is_over() {
                return Ok(true);
            }
            let next = Instant::now() + every;
            while Instant::now() < next {
                if stop() {
                    return Ok(false);
                }
                std::thread::sleep(BREATH.min(every));
            }
        }
    }
}

/// Where a task stands now; `None` when that cannot be told yet.
fn next(task: &mut Task, seen: Option<&Seen>, slurm: &Slurm<'_>) -> Result<Option<TaskState>> {
    if let Some(seen) = seen {
        task.missing = 0;
        return slurm.state_of(task.job, task.index, seen).map(Some);
    }
    task.missing += 1;
    if task.missing < MISSING {
        return Ok(None);
    }
    slurm.forgotten(task.job, task.index).map(Some)
}

fn may_again(failure: &Failure, attempt: u32, tries: u32) -> bool {
    attempt < tries && failure.kind.is_worth_a_try()
}
