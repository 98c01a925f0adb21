//! `[sweep.slurm]` of `tokometer.toml`: what a Slurm cluster is asked for. How it is asked is `cluster`'s business.

use super::{Error, Result};
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// What every task of a sweep asks of the cluster. What is not set is left to the cluster's defaults. Whole nodes are
/// always asked for: two measurements on one machine disturb each other.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct SlurmOptions {
    /// Partition, as sbatch's `--partition`.
    pub partition: Option<String>,
    /// Features that a node must have, as sbatch's `--constraint`.
    pub constraint: Option<String>,
    /// Generic resources, as sbatch's `--gres`: `gpu:1`.
    pub gres: Option<String>,
    /// Longest time of a task, as sbatch's `--time`: `2:00:00`.
    pub time: Option<String>,
    /// Who pays, as sbatch's `--account`.
    pub account: Option<String>,
    /// Quality of service, as sbatch's `--qos`.
    pub qos: Option<String>,
    /// The nodes to use, as names or Slurm's lists (`node[1-4]`). Empty: all that the other options allow.
    pub nodes: Vec<String>,
    /// Every node measures the whole matrix, so that nodes can be compared; otherwise they share it.
    pub every_node: bool,
    /// Tasks of one job array that may run at once. `None`: as many as the cluster gives.
    pub max_running: Option<u32>,
    /// How often a task is submitted at most before its failure stands.
    pub tries: u32,
    /// A folder on each node's own disk in which tasks prepare the models that they need. `None`: `models/` in the folder
    /// that all share.
    pub node_models: Option<PathBuf>,
    /// Shell lines that run before each task, as `module load cuda`. The first that fails fails the task.
    pub setup: String,
    /// Further arguments of sbatch, as they are.
    pub extra: Vec<String>,
}

impl Default for SlurmOptions {
    fn default() -> SlurmOptions {
        SlurmOptions {
            partition: None,
            constraint: None,
            gres: None,
            time: None,
            account: None,
            qos: None,
            nodes: Vec::new(),
            every_node: false,
            max_running: None,
            tries: 2,
            node_models: None,
            setup: String::new(),
            extra: Vec::new(),
        }
    }
}

/// Arguments of sbatch by which Tokometer finds its tasks again.
const OURS: [&str; 6] = ["--array", "--output", "--error", "--parsable", "--wrap", "--open-mode"];

impl SlurmOptions {
    /// The options that sbatch takes as one value each, by its names.
    pub fn values(&self) -> Vec<(&'static str, &str)> {
        let all = [
            ("partition", &self.partition),
            ("constraint", &self.constraint),
            ("gres", &self.gres),
            ("time", &self.time),
            ("account", &self.account),
            ("qos", &self.qos),
        ];
        all.into_iter().filter_map(|(name, value)| Some((name, value.as_deref()?))).collect()
    }

    /// Checks what can be checked without the cluster.
    ///
    /// # Errors
    /// What makes no sense, and what to write instead.
    pub fn validate(&self) -> Result<()> {
        let refuse = |text: String| Err(Error::Invalid(format!("[sweep.slurm]: {text}")));
        if self.tries == 0 {
            return refuse("tries is 0, and nothing would ever run; 1 submits each task once".to_owned());
        }
        if self.max_running == Some(0) {
            return refuse("max-running is 0, and nothing would ever run; leave it out for no limit".to_owned());
        }
        if let Some((name, _)) = self.values().into_iter().find(|(_, value)| value.trim().is_empty()) {
            return refuse(format!("{name} is empty; leave it out for the cluster's default"));
        }
        if self.nodes.iter().any(|node| node.trim().is_empty()) {
            return refuse("a name in nodes is empty".to_owned());
        }
        if let Some(folder) = self.node_models.as_ref().filter(|folder| !folder.is_absolute()) {
            return refuse(format!(
                "node-models (--node-models) is {:?}, which would lie in the folder that all nodes share; name a folder on \
                 their own disks from the root on, as /scratch/models",
                folder.display().to_string()
            ));
        }
        for word in &self.extra {
            let name = word.split('=').next().unwrap_or(word);
            if OURS.contains(&name) || word.starts_with("-a") || word.starts_with("-o") || word.starts_with("-e") {
                return refuse(format!("extra holds {word:?}, which Tokometer sets itself"));
            }
            if !word.starts_with('-') {
                return refuse(format!(
                    "extra holds {word:?}: write options of sbatch in one word each, as --name=value"
                ));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_keys_are_those_of_the_command_line() {
        let text = "partition = \"gpu\"\nevery-node = true\nmax-running = 4\nnodes = [\"n[1-2]\"]\nextra = [\"--nice=5\"]\n\
                    node-models = \"/scratch/models\"\n";
        let options: SlurmOptions = toml::from_str(text).unwrap();
        assert_eq!((options.every_node, options.max_running, options.tries), (true, Some(4), 2));
        assert_eq!(options.values(), [("partition", "gpu")]);
        assert_eq!(options.node_models, Some("/scratch/models".into()));
        options.validate().unwrap();
        let error = toml::from_str::<SlurmOptions>("every_node = true\n").unwrap_err().to_string();
        assert!(error.contains("every-node"), "{error}");
    }

    #[test]
    fn what_makes_no_sense_is_refused_with_its_name() {
        let wrong = [
            ("tries = 0", "tries is 0"),
            ("max-running = 0", "max-running is 0"),
            ("time = \"\"", "time is empty"),
            ("nodes = [\" \"]", "a name in nodes is empty"),
            ("node-models = \"models\"", "which would lie in the folder that all nodes share"),
            ("extra = [\"--array=1\"]", "\"--array=1\""),
            ("extra = [\"-o/tmp/x\"]", "\"-o/tmp/x\""),
            ("extra = [\"--nice\", \"5\"]", "one word each"),
        ];
        for (text, words) in wrong {
            let options: SlurmOptions = toml::from_str(text).unwrap();
            let error = options.validate().unwrap_err().to_string();
            assert!(error.contains(words) && error.contains("[sweep.slurm]"), "{text}: {error}");
        }
    }
}
