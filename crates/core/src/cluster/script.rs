//! What the cluster runs, and the command line that submits it. Text only: nothing is run or written here.

use super::Array;
use super::array::ranges;
use crate::plan::SlurmOptions;
use crate::shell::quoted;
use std::path::Path;

/// The shell variable that holds the number of the task in its command line.
pub const TASK: &str = "TOKOMETER_TASK";

/// The batch script of every task. Its only argument is the array's offset. When the task is over, its exit code stands in
/// `{job}_{index}.exit` in `folder`: clusters forget finished jobs after some minutes.
///
/// `command` is a line for the shell; `$TOKOMETER_TASK` in it is the number of the task. `folder` must be absolute.
pub fn script(folder: &Path, setup: &str, command: &str) -> String {
    let folder = quoted(&folder.to_string_lossy());
    let setup = match setup.trim() {
        "" => String::new(),
        lines => format!("set -e\n{lines}\nset +e\n"),
    };
    format!(
        "#!/bin/bash\n\
         # A task of a sweep, written by Tokometer with each submission: sbatch --array=FIRST-LAST task.sh OFFSET\n\
         export {TASK}=$((SLURM_ARRAY_TASK_ID + ${{1:-0}}))\n\
         left={folder}/${{SLURM_ARRAY_JOB_ID}}_${{SLURM_ARRAY_TASK_ID}}.exit\n\
         rm -f \"$left\"\n\
         trap 'exit 143' TERM\n\
         trap 'code=$?; echo \"$code\" > \"$left.new\" && mv \"$left.new\" \"$left\"; exit \"$code\"' EXIT\n\
         echo \"task ${TASK} on $(uname -n), start $((${{SLURM_RESTART_COUNT:-0}} + 1))\"\n\
         {setup}{command}\n"
    )
}

/// The arguments of sbatch for an array (whose `job` is not known yet): one whole node for each task, one file of output
/// each, and a new start when a node fails. `exclude` are nodes that are not to be used. `folder` must be absolute.
pub fn sbatch(options: &SlurmOptions, array: &Array, exclude: &[String], folder: &Path, script: &Path) -> Vec<String> {
    let limit = options.max_running.map(|n| format!("%{n}")).unwrap_or_default();
    // Slurm replaces what follows a percent sign in names of output files.
    let output = folder.to_string_lossy().replace('%', "%%");
    let mut words: Vec<String> = vec![
        "--parsable".into(),
        "--job-name=tokometer".into(),
        format!("--array={}{limit}", ranges(&array.indices)),
        "--nodes=1".into(),
        "--exclusive".into(),
        // All of the node's memory: of an exclusive node, too, a job is given no more than it asks for.
        "--mem=0".into(),
        "--requeue".into(),
        "--open-mode=append".into(),
        format!("--output={output}/%A_%a.out"),
    ];
    words.extend(options.values().into_iter().map(|(name, value)| format!("--{name}={value}")));
    words.extend(array.node.iter().map(|node| format!("--nodelist={node}")));
    if !exclude.is_empty() {
        words.push(format!("--exclude={}", exclude.join(",")));
    }
    words.extend(options.extra.iter().cloned());
    words.push(script.to_string_lossy().into_owned());
    words.push(array.offset.to_string());
    words
}

#[cfg(test)]
mod tests {
    use super::super::testing::Dir;
    use super::*;
    use std::fs;
    use std::process::Command;

    fn array() -> Array {
        Array { job: 0, offset: 1000, indices: vec![0, 1, 2, 6], node: None, attempt: 1 }
    }

    #[test]
    fn the_command_line_asks_for_whole_nodes_and_passes_options_on() {
        let options = SlurmOptions {
            partition: Some("gpu".into()),
            constraint: Some("a100&ib".into()),
            gres: Some("gpu:1".into()),
            time: Some("2:00:00".into()),
            account: Some("p1".into()),
            qos: Some("long".into()),
            max_running: Some(4),
            extra: vec!["--nice=100".into()],
            ..SlurmOptions::default()
        };
        let words = sbatch(&options, &array(), &["n7".into(), "n9".into()], Path::new("/a b/100%"), Path::new("/t.sh"));
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        assert_eq!(
            words,
            [
                "--parsable",
                "--job-name=tokometer",
                "--array=0-2,6%4",
                "--nodes=1",
                "--exclusive",
                "--mem=0",
                "--requeue",
                "--open-mode=append",
                "--output=/a b/100%%/%A_%a.out",
                "--partition=gpu",
                "--constraint=a100&ib",
                "--gres=gpu:1",
                "--time=2:00:00",
                "--account=p1",
                "--qos=long",
                "--exclude=n7,n9",
                "--nice=100",
                "/t.sh",
                "1000"
            ]
        );
    }

    #[test]
    fn an_array_for_one_node_names_it() {
        let array = Array { node: Some("n1".into()), ..array() };
        let words = sbatch(&SlurmOptions::default(), &array, &[], Path::new("/f"), Path::new("/f/task.sh"));
        assert!(
            words.contains(&"--nodelist=n1".to_owned()) && words.contains(&"--array=0-2,6".to_owned()),
            "{words:?}"
        );
    }

    /// Runs the script as the cluster would, without one. What it printed, and what it left.
    fn run(setup: &str, command: &str) -> (Option<i32>, String, Option<String>) {
        let dir = Dir::new();
        let folder = dir.path().join("it's here");
        fs::create_dir(&folder).unwrap();
        fs::write(folder.join("task.sh"), script(&folder, setup, command)).unwrap();
        let output = Command::new("bash")
            .arg(folder.join("task.sh"))
            .arg("1000")
            .env("SLURM_ARRAY_JOB_ID", "7")
            .env("SLURM_ARRAY_TASK_ID", "3")
            .env_remove("SLURM_RESTART_COUNT")
            .output()
            .unwrap();
        let left = fs::read_to_string(folder.join("7_3.exit")).ok().map(|text| text.trim().to_owned());
        (output.status.code(), String::from_utf8_lossy(&output.stdout).into_owned(), left)
    }

    #[test]
    fn a_task_knows_its_number_and_leaves_its_exit_code() {
        let (code, said, left) = run("", "echo \"this is $TOKOMETER_TASK\"");
        assert!(said.contains("task 1003 on ") && said.contains(", start 1\nthis is 1003\n"), "{said}");
        assert_eq!((code, left.as_deref()), (Some(0), Some("0")));
        let (code, _, left) = run("", "(exit 3)");
        assert_eq!((code, left.as_deref()), (Some(3), Some("3")));
    }

    #[test]
    fn a_setup_line_that_fails_fails_the_task() {
        let (code, said, left) = run("echo one\n(exit 9)\necho two", "echo measured");
        assert!(said.contains("one") && !said.contains("two") && !said.contains("measured"), "{said}");
        assert_eq!((code, left.as_deref()), (Some(9), Some("9")));
        let (code, said, _) = run("export WORD=set", "false; echo $WORD");
        assert!(said.ends_with("set\n"), "{said}");
        assert_eq!(code, Some(0));
    }

    #[test]
    fn a_task_that_is_ended_from_outside_is_no_success() {
        let (code, _, left) = run("", "kill -TERM $$; sleep 0.1");
        assert_eq!((code, left.as_deref()), (Some(143), Some("143")));
    }
}
