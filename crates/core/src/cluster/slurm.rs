//! Asking the cluster: submit, look, cancel, list nodes.

use super::array::{Array, remember};
use super::script::{sbatch, script};
use super::state::{self, Failure, FailureKind, QUEUE, Seen, TaskState};
use super::{Error, Result, Said, Shell};
use crate::disk;
use crate::plan::SlurmOptions;
use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::{Read, Seek, SeekFrom};
use std::path::PathBuf;

/// Bytes of a task's output that are read for its last lines.
const TAIL: u64 = 8 << 10;

/// A cluster, and what is wanted of it.
pub struct Slurm<'a> {
    /// Runs its commands.
    pub shell: &'a dyn Shell,
    /// What each task asks for.
    pub options: &'a SlurmOptions,
    /// The folder of outputs, exit codes and the list of arrays. Absolute, and on a disk that every node sees.
    pub folder: PathBuf,
    /// The command line of a task, for the shell, with `$TOKOMETER_TASK`.
    pub command: String,
}

/// A node of the cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    /// Its name.
    pub name: String,
    /// What sinfo says of it: `idle`, `allocated`, `down*`.
    pub state: String,
    /// What it can do, for `constraint`.
    pub features: Vec<String>,
}

impl Node {
    /// Whether it takes jobs, now or later. A star, tilde and the like behind the state tell of power and of answers.
    pub fn is_usable(&self) -> bool {
        let word = self.state.trim_end_matches(|c: char| !c.is_ascii_alphanumeric());
        !self.state.contains('*')
            && matches!(
                word,
                "idle" | "mixed" | "allocated" | "completing" | "planned" | "reserved" | "powered_down" | "powering_up"
            )
    }
}

impl Slurm<'_> {
    /// The most tasks that an array may have, and the index that it must stay below.
    ///
    /// # Errors
    /// The cluster does not answer, or has no job arrays.
    pub fn array_size(&self) -> Result<u32> {
        let said = self.need("say how it is set up", "scontrol", &["show", "config"])?;
        let value = |name: &str| {
            said.out.lines().find_map(|line| Some(line.strip_prefix(name)?.trim_start().strip_prefix('=')?.trim()))
        };
        let size: u32 = value("MaxArraySize").and_then(|text| text.parse().ok()).unwrap_or(1001);
        let parameters = value("SchedulerParameters").unwrap_or_default();
        let limit = parameters.split(',').find_map(|word| word.trim().strip_prefix("max_array_tasks=")?.parse().ok());
        match size.min(limit.unwrap_or(size)) {
            0 => Err(Error::Refused {
                what: "take job arrays".to_owned(),
                said: "MaxArraySize is 0".to_owned(),
                hint: "its administrator can allow them",
            }),
            size => Ok(size),
        }
    }

    /// The nodes that the partition has, each once, in the order of their names.
    ///
    /// # Errors
    /// The cluster does not answer.
    pub fn nodes(&self) -> Result<Vec<Node>> {
        let mut words = vec!["-h".to_owned(), "-N".to_owned(), "-o".to_owned(), "%N|%T|%f".to_owned()];
        words.extend(self.options.partition.iter().map(|partition| format!("--partition={partition}")));
        let said = self.ask("list its nodes", "sinfo", &words)?;
        let mut nodes: BTreeMap<&str, Node> = BTreeMap::new();
        for line in said.out.lines().filter(|line| !line.trim().is_empty()) {
            let odd = || Error::Answer { program: "sinfo".to_owned(), answer: line.to_owned() };
            let mut cells = line.splitn(3, '|').map(str::trim);
            let mut cell = || cells.next().ok_or_else(odd);
            let (name, state, features) = (cell()?, cell()?, cell()?);
            let features = features.split(',').filter(|word| !word.is_empty() && *word != "(null)");
            let features = features.map(str::to_owned).collect();
            nodes.entry(name).or_insert_with(|| Node { name: name.to_owned(), state: state.to_owned(), features });
        }
        Ok(nodes.into_values().collect())
    }

    /// The nodes that are wanted by name: lists as `n[1-4]` written out.
    ///
    /// # Errors
    /// The cluster does not answer.
    pub fn wanted(&self) -> Result<Vec<String>> {
        let mut names = Vec::new();
        for list in &self.options.nodes {
            if list.contains(['[', ',']) {
                let said = self.need("write out a list of nodes", "scontrol", &["show", "hostnames", list])?;
                names.extend(said.out.lines().map(|line| line.trim().to_owned()).filter(|name| !name.is_empty()));
            } else {
                names.push(list.trim().to_owned());
            }
        }
        let mut seen = BTreeSet::new();
        names.retain(|name| seen.insert(name.clone()));
        Ok(names)
    }

    /// The nodes that a comparison of nodes covers: those that are wanted, else all that the partition has and that have the
    /// feature that is asked for. Second, those that are left out because they take no jobs.
    ///
    /// # Errors
    /// The cluster does not answer, or there is none.
    pub fn every_node(&self) -> Result<(Vec<String>, Vec<Node>)> {
        let (wanted, all) = (self.wanted()?, self.nodes()?);
        if let Some(name) = wanted.iter().find(|name| all.iter().all(|node| node.name != **name)) {
            return Err(Error::NoNodes { why: format!("there is none called {name:?}") });
        }
        // An expression of several features is for the cluster to judge.
        let plain = |word: &&String| word.chars().all(|c| c.is_ascii_alphanumeric() || "-_.:".contains(c));
        let feature = self.options.constraint.as_ref().filter(plain);
        let fits = |node: &Node| match wanted.is_empty() {
            true => feature.is_none_or(|feature| node.features.contains(feature)),
            false => wanted.contains(&node.name),
        };
        let (usable, rest): (Vec<Node>, Vec<Node>) = all.into_iter().filter(fits).partition(Node::is_usable);
        if usable.is_empty() {
            let states = rest.iter().map(|node| format!("{} is {}", node.name, node.state)).collect::<Vec<_>>();
            let why = if states.is_empty() { "none fits".to_owned() } else { states.join(", ") };
            return Err(Error::NoNodes { why });
        }
        Ok((usable.into_iter().map(|node| node.name).collect(), rest))
    }

    /// Submits tasks by their numbers, as many arrays as the cluster's limit asks for, to one node or to any that is
    /// wanted. Each array is remembered in the folder before the next is submitted.
    ///
    /// # Errors
    /// The cluster refuses, or a file cannot be written. Arrays that were submitted before run: [`super::remembered`].
    pub fn submit(&self, tasks: &[u32], node: Option<&str>, attempt: u32) -> Result<Vec<Array>> {
        let mut arrays = Vec::new();
        self.submit_each(tasks, node, attempt, &mut |array| arrays.push(array))?;
        Ok(arrays)
    }

    /// The same; `submitted` is given each array as soon as it is.
    pub(super) fn submit_each(
        &self,
        tasks: &[u32],
        node: Option<&str>,
        attempt: u32,
        submitted: &mut dyn FnMut(Array),
    ) -> Result<()> {
        let path = self.write_script()?;
        let exclude = if node.is_none() { self.unwanted()? } else { Vec::new() };
        for (offset, indices) in blocks(tasks, self.array_size()?) {
            let mut array = Array { job: 0, offset, indices, node: node.map(str::to_owned), attempt };
            let words = sbatch(self.options, &array, &exclude, &self.folder, &path);
            let said = self.ask("take the tasks", "sbatch", &words)?;
            // `42` or `42;cluster`.
            let id = said.out.trim().split(';').next().and_then(|text| text.trim().parse().ok());
            array.job = id.ok_or_else(|| Error::Answer { program: "sbatch".to_owned(), answer: said.out.clone() })?;
            let remembered = remember(&self.folder, &array);
            submitted(array);
            remembered?;
        }
        Ok(())
    }

    fn write_script(&self) -> Result<PathBuf> {
        let path = self.folder.join("task.sh");
        let failed = |cause| Error::File { what: "write", path: path.clone(), cause };
        let text = script(&self.folder, &self.options.setup, &self.command);
        disk::write_whole(&path, text.as_bytes()).map_err(failed)?;
        Ok(path)
    }

    /// The nodes to keep away from. Naming the wanted ones instead would ask for all of them at once.
    fn unwanted(&self) -> Result<Vec<String>> {
        let wanted = self.wanted()?;
        if wanted.is_empty() {
            return Ok(Vec::new());
        }
        let all = self.nodes()?;
        if let Some(name) = wanted.iter().find(|name| all.iter().all(|node| node.name != **name)) {
            return Err(Error::NoNodes { why: format!("there is none called {name:?}") });
        }
        Ok(all.into_iter().map(|node| node.name).filter(|name| !wanted.contains(name)).collect())
    }

    /// The tasks of these jobs that the cluster still knows.
    ///
    /// # Errors
    /// The cluster does not answer.
    pub fn look(&self, jobs: &BTreeSet<u64>) -> Result<BTreeMap<(u64, u32), Seen>> {
        let list = jobs.iter().map(u64::to_string).collect::<Vec<_>>().join(",");
        let words = ["-h", "-r", "-t", "all", "-o", QUEUE, "-j", &list].map(str::to_owned);
        let said = self.shell.ask("squeue", &words)?;
        // When it knows none of them any more, that is an error to squeue.
        if !said.ok() && said.err.contains("Invalid job id") {
            return Ok(BTreeMap::new());
        }
        state::queue(&checked("show its queue", said)?.out)
    }

    /// The state of a task that squeue shows. How a task that failed has ended is asked for.
    ///
    /// # Errors
    /// The cluster does not answer.
    pub fn state_of(&self, job: u64, index: u32, seen: &Seen) -> Result<TaskState> {
        if seen.state != "FAILED" {
            return Ok(state::state(seen, None));
        }
        let task = format!("{job}_{index}");
        let said = self.shell.ask("scontrol", &["-o", "show", "job", &task].map(str::to_owned))?;
        let line = if said.ok() { said.out.as_str() } else { "" };
        match state::field(line, "ExitCode").and_then(state::exit_code) {
            Some(exit) => Ok(state::state(seen, Some(exit))),
            // Forgotten in between.
            None => self.forgotten(job, index),
        }
    }

    /// The state of a task that the cluster has forgotten: what it left, else what the accounting knows.
    ///
    /// # Errors
    /// sacct cannot be started.
    pub fn forgotten(&self, job: u64, index: u32) -> Result<TaskState> {
        let task = format!("{job}_{index}");
        let left = fs::read_to_string(self.folder.join(format!("{task}.exit"))).ok();
        if let Some(code) = left.and_then(|text| text.trim().parse().ok()) {
            return Ok(state::ended((code, 0), "", None));
        }
        let lost = TaskState::Failed(Failure { kind: FailureKind::Lost, node: None, reason: None });
        let words = ["-n", "-P", "-X", "-j", &task, "-o", "State,ExitCode,NodeList"].map(str::to_owned);
        let said = match self.shell.ask("sacct", &words) {
            Ok(said) if said.ok() => said,
            // Many clusters keep no accounts.
            Ok(_) | Err(Error::Missing { .. }) => return Ok(lost),
            Err(error) => return Err(error),
        };
        let cells: Vec<&str> = said.out.lines().next().unwrap_or_default().split('|').map(str::trim).collect();
        let [word, exit, node] = cells.as_slice() else { return Ok(lost) };
        let seen = Seen { state: (*word).to_owned(), node: (*node).to_owned(), reason: String::new() };
        let state = state::state(&seen, state::exit_code(exit));
        // What the accounts call running while the queue does not know it is not.
        Ok(if state.is_over() { state } else { lost })
    }

    /// The last lines that a task printed, without empty ones; none if there is no output.
    pub fn last_lines(&self, job: u64, index: u32, count: usize) -> Vec<String> {
        let path = self.folder.join(format!("{job}_{index}.out"));
        let Ok(mut file) = File::open(path) else { return Vec::new() };
        let size = file.metadata().map(|metadata| metadata.len()).unwrap_or_default();
        let mut bytes = Vec::new();
        if file.seek(SeekFrom::Start(size.saturating_sub(TAIL))).is_err() || file.read_to_end(&mut bytes).is_err() {
            return Vec::new();
        }
        let text = String::from_utf8_lossy(&bytes);
        let lines: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty()).collect();
        lines[lines.len().saturating_sub(count)..].iter().map(|line| (*line).to_owned()).collect()
    }

    /// Cancels all that is left of these jobs.
    ///
    /// # Errors
    /// The cluster refuses.
    pub fn cancel(&self, jobs: &BTreeSet<u64>) -> Result<()> {
        if jobs.is_empty() {
            return Ok(());
        }
        let words: Vec<String> = jobs.iter().map(u64::to_string).collect();
        self.ask("cancel the tasks", "scancel", &words)?;
        Ok(())
    }

    fn need(&self, what: &str, program: &str, words: &[&str]) -> Result<Said> {
        let words: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
        self.ask(what, program, &words)
    }

    fn ask(&self, what: &str, program: &str, words: &[String]) -> Result<Said> {
        checked(what, self.shell.ask(program, words)?)
    }
}

/// The answer of a command that worked.
fn checked(what: &str, said: Said) -> Result<Said> {
    if said.ok() {
        return Ok(said);
    }
    let complaint = said.complaint();
    let any = |words: &[&str]| words.iter().any(|word| complaint.contains(word));
    let hint = if any(&["Unable to contact", "Connection refused", "configuration source", "timed out"]) {
        "is this a login node, and is the cluster up? `sinfo` tells"
    } else if any(&["QOS policy", "temporarily unable to accept"]) {
        "the account's limits are smaller than this; max-running in [sweep.slurm], or a smaller sweep, helps"
    } else {
        "partition, constraint, gres, time, account, qos and nodes are set in [sweep.slurm]; `sinfo` shows what there is"
    };
    Err(Error::Refused { what: what.to_owned(), said: complaint, hint })
}

/// Tasks in blocks of that many numbers: the first number of each block, and the tasks as distances from it, rising.
fn blocks(tasks: &[u32], size: u32) -> BTreeMap<u32, Vec<u32>> {
    let sorted: BTreeSet<u32> = tasks.iter().copied().collect();
    let mut blocks: BTreeMap<u32, Vec<u32>> = BTreeMap::new();
    for task in sorted {
        let offset = task / size * size;
        blocks.entry(offset).or_default().push(task - offset);
    }
    blocks
}
