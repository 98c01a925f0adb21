//! `sweep --on slurm`: the blocks become tasks of a Slurm cluster, each on a whole node; this process follows them. Each task
//! is `tokometer sweep --task N` in the same folder, which must be on a disk that all nodes see.

use super::Follow;
use crate::args::{Global, Sweep};
use crate::commands::Session;
use anyhow::{Context, Result};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokometer_core::cluster::{Change, Follower, Slurm, System, TASK, Task, TaskState, remembered};
use tokometer_core::plan::SlurmOptions;
use tokometer_core::run::Stop;
use tokometer_core::sweep::{Place, State, Stored};

/// Between two looks at the cluster.
const LOOK: Duration = Duration::from_secs(2);

/// What is needed to hand a sweep to a cluster.
pub struct OnSlurm<'a> {
    /// The command's session.
    pub session: &'a Session<'a>,
    /// Where.
    pub place: &'a Place,
    /// Who stops it.
    pub stop: &'a Stop,
    /// Who tells how far it is.
    pub follow: &'a Follow,
}

/// What the cluster is asked for: `[sweep.slurm]` as it is now. Where models are prepared is said by the flag, by the one that
/// the sweep was begun with, or there.
pub fn asked(session: &Session<'_>, options: &Sweep, begun: Option<&Stored>) -> SlurmOptions {
    let flag = options.node_models.clone().or_else(|| begun?.node_models.clone());
    let configured = &session.config.sweep.slurm;
    SlurmOptions { node_models: flag.or_else(|| configured.node_models.clone()), ..configured.clone() }
}

/// The nodes that each measure all, if the options ask for that.
pub fn hosts(session: &Session<'_>, options: &SlurmOptions) -> Result<Vec<String>> {
    options.validate()?;
    if !options.every_node {
        return Ok(Vec::new());
    }
    let shell = System::default();
    let slurm = Slurm { shell: &shell, options, folder: PathBuf::new(), command: String::new() };
    let (nodes, left_out) = slurm.every_node()?;
    for node in left_out {
        session.terminal.warn(&format!("node {} is left out: it is {}", node.name, node.state));
    }
    Ok(nodes)
}

impl OnSlurm<'_> {
    /// Submits the blocks that have open cases and are not under way, and follows all until they are over. Returns whether
    /// they are; a person who stops it leaves the tasks running, or cancels them the second time.
    pub fn all(&self, stored: &Stored, state: &State, options: &SlurmOptions) -> Result<bool> {
        options.validate()?;
        let folder = self.place.folder().join("slurm");
        std::fs::create_dir_all(&folder).with_context(|| format!("cannot make the folder {}", folder.display()))?;
        let folder = folder.canonicalize().with_context(|| format!("cannot find {}", folder.display()))?;
        let shell = System::default();
        let slurm = Slurm { shell: &shell, options, command: self.command(&folder, options)?, folder };
        let mut follower = Follower::new(&remembered(&slurm.folder)?);
        // What was submitted before may still run.
        follower.look(&slurm)?;
        let mut submitted = 0;
        for host in stored.machines() {
            let under_way: BTreeSet<u32> = follower
                .tasks()
                .filter(|task| task.node.as_deref() == host && !task.state.is_over())
                .map(|task| task.task)
                .collect();
            let here = state.on_host(host);
            let open: Vec<u32> = (0u32..)
                .zip(&stored.blocks)
                .filter(|(at, _)| !under_way.contains(at))
                .filter(|(_, block)| block.cases.iter().any(|planned| here.of(&planned.hash).is_none()))
                .map(|(at, _)| at)
                .collect();
            if !open.is_empty() {
                let arrays = slurm.submit(&open, host, 1)?;
                submitted += open.len();
                arrays.iter().for_each(|array| follower.add(array));
            }
        }
        let counts = follower.counts();
        self.session.terminal.say(&format!(
            "{submitted} task(s) submitted, {} under way; Ctrl-C once leaves them running (`tokometer sweep --resume --on slurm` \
             follows them again), twice cancels them",
            counts.pending + counts.running
        ));
        self.wait(&mut follower, &slurm)
    }

    fn wait(&self, follower: &mut Follower, slurm: &Slurm<'_>) -> Result<bool> {
        let total = follower.tasks().count() as u64;
        let over = |follower: &Follower| follower.tasks().filter(|task| task.state.is_over()).count() as u64;
        let bar = self.session.terminal.progress().task("tasks", Some(total), tokometer_core::progress::Unit::Count);
        let mut known = over(follower);
        bar.advance(known);
        let ended = follower.follow(slurm, LOOK, &|| self.stop.asked(), &mut |follower, changes| {
            changes.iter().for_each(|change| self.tell(change));
            let now = over(follower);
            bar.advance(now.saturating_sub(known));
            known = now;
            let doing = doing(follower);
            bar.detail(&doing);
            self.follow.doing(&doing);
        })?;
        if !ended && self.stop.is_now() {
            slurm.cancel(&follower.jobs())?;
            self.session.terminal.warn("the tasks are cancelled");
        }
        let counts = follower.counts();
        bar.finish(&format!("{} ran to their end, {} failed", counts.finished, counts.failed));
        Ok(ended)
    }

    fn tell(&self, change: &Change) {
        let terminal = self.session.terminal;
        match change {
            Change::Moved(task) => match &task.state {
                TaskState::Failed(failure) => {
                    terminal.error(&format!("{}: {failure}{}", name(task), output(task)));
                }
                TaskState::Finished { node, some_failed } => {
                    let some = if *some_failed { ", some cases failed" } else { "" };
                    terminal.say(&format!("{} is done on {node}{some}", name(task)));
                }
                TaskState::Running { node } => terminal.say(&format!("{} runs on {node}", name(task))),
                TaskState::Pending { .. } => (),
            },
            Change::TriedAgain { failed, job } => {
                let why = match &failed.state {
                    TaskState::Failed(failure) => failure.to_string(),
                    other => format!("{other:?}"),
                };
                terminal.warn(&format!("{}: {why}{}; submitted again as job {job}", name(failed), output(failed)));
            }
            Change::NotTriedAgain { tasks, reason } => {
                terminal.error(&format!("{tasks} failed task(s) could not be submitted again: {reason}"));
            }
        }
    }

    /// The command line of a task.
    fn command(&self, folder: &Path, options: &SlurmOptions) -> Result<String> {
        let program = std::env::current_exe().context("cannot find the program itself")?;
        let root = folder.parent().and_then(Path::parent).context("the working folder has no path")?;
        let mut words = vec![
            tokometer_core::shell::quoted(&program.to_string_lossy()),
            "--dir".into(),
            tokometer_core::shell::quoted(&root.to_string_lossy()),
        ];
        for (flag, path) in self.session.paths() {
            let path = std::path::absolute(path).with_context(|| format!("cannot use {}", path.display()))?;
            words.extend([flag.to_owned(), tokometer_core::shell::quoted(&path.to_string_lossy())]);
        }
        words.extend(task(options.node_models.as_deref()));
        Ok(words.join(" "))
    }
}

/// What is measured by a task, with the folder on its node in which it prepares models.
fn task(models: Option<&Path>) -> Vec<String> {
    let mut words = vec!["sweep".into(), "--on".into(), "slurm".into(), "--task".into(), format!("\"${TASK}\"")];
    if let Some(models) = models {
        words.extend(["--node-models".into(), tokometer_core::shell::quoted(&models.to_string_lossy())]);
    }
    words
}

fn name(task: &Task) -> String {
    let node = task.node.as_ref().map(|node| format!(" for {node}")).unwrap_or_default();
    format!("block {}{node} (job {})", task.task + 1, task.id())
}

fn output(task: &Task) -> String {
    match task.output.is_empty() {
        true => String::new(),
        false => format!("; its last lines: {}", task.output.join(" | ")),
    }
}

/// `2 running on n1, n2; 5 waiting`.
fn doing(follower: &Follower) -> String {
    let counts = follower.counts();
    let nodes: BTreeSet<&str> = follower
        .tasks()
        .filter_map(|task| match &task.state {
            TaskState::Running { node } => Some(node.as_str()),
            _ => None,
        })
        .collect();
    let on = if nodes.is_empty() {
        String::new()
    } else {
        format!(" on {}", nodes.into_iter().collect::<Vec<_>>().join(", "))
    };
    format!("{} running{on}; {} waiting", counts.running, counts.pending)
}

/// Flags of this process that its tasks need as well.
impl Session<'_> {
    fn paths(&self) -> Vec<(&'static str, &Path)> {
        let Global { config, python, .. } = &self.global;
        let both = [("--config", config.as_deref()), ("--python", python.as_deref())];
        both.into_iter().filter_map(|(flag, path)| Some((flag, path?))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_task_is_told_where_its_node_keeps_models() {
        assert_eq!(task(None).join(" "), "sweep --on slurm --task \"$TOKOMETER_TASK\"");
        let words = task(Some(Path::new("/my disk/models"))).join(" ");
        assert_eq!(words, "sweep --on slurm --task \"$TOKOMETER_TASK\" --node-models '/my disk/models'");
    }
}
