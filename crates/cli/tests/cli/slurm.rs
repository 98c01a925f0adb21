//! A real Slurm with three nodes: what is submitted runs, and what becomes of it is told.

use crate::dir::{Dir, Ran, names, program};
use crate::rounds::logs;
use crate::slurm_cluster::{Cluster, NODES};
use crate::sweep::MATRIX;
use std::collections::BTreeSet;
use std::fs;
use std::time::Duration;
use tokometer_core::cluster::{Change, Counts, FailureKind, Follower, Slurm, System, Task, TaskState, remembered};
use tokometer_core::plan::SlurmOptions;

const LOOK: Duration = Duration::from_millis(200);

/// A way to submit `command` to the cluster, with its files in `dir`.
fn slurm<'a>(shell: &'a System, options: &'a SlurmOptions, dir: &Dir, command: &str) -> Slurm<'a> {
    let folder = dir.path("sweep/slurm");
    fs::create_dir_all(&folder).unwrap();
    Slurm { shell, options, folder, command: command.to_owned() }
}

/// Follows until all is over; everything that changed.
fn follow(follower: &mut Follower, slurm: &Slurm<'_>) -> Vec<Change> {
    let mut changes = Vec::new();
    let over = follower.follow(slurm, LOOK, &|| false, &mut |_, new| changes.extend_from_slice(new)).unwrap();
    assert!(over);
    changes
}

fn failure(task: &Task) -> FailureKind {
    match &task.state {
        TaskState::Failed(failure) => failure.kind,
        other => panic!("task {}: {other:?}", task.task),
    }
}

#[test]
fn tasks_share_the_nodes_one_at_a_time_and_how_each_ended_is_told() {
    let Some(cluster) = Cluster::start("share") else { return };
    let dir = Dir::new("slurm-share");
    let options = SlurmOptions { setup: "export WORD=ready".into(), ..SlurmOptions::default() };
    let times = dir.path("times");
    let once = dir.path("once");
    let command = format!(
        "echo \"$TOKOMETER_TASK $SLURMD_NODENAME $WORD $(date +%s%N)\" >> {0}\nsleep 0.3\n\
         echo \"$TOKOMETER_TASK $SLURMD_NODENAME $WORD $(date +%s%N)\" >> {0}\n\
         case $TOKOMETER_TASK in\n\
         1) exit 3 ;;\n\
         2) echo no luck; exit 1 ;;\n\
         3) kill -KILL $$ ;;\n\
         4) [ -e {1} ] || {{ touch {1}; exit 1; }} ;;\n\
         5) exit 2 ;;\n\
         esac",
        times.display(),
        once.display()
    );
    let shell = cluster.shell();
    let slurm = slurm(&shell, &options, &dir, &command);
    let arrays = slurm.submit(&[0, 1, 2, 3, 4, 5], None, 1).unwrap();
    let mut follower = Follower::new(&arrays);
    let changes = follow(&mut follower, &slurm);
    let tasks: Vec<&Task> = follower.tasks().collect();
    let finished = |task: &Task| matches!(&task.state, TaskState::Finished { some_failed, .. } if *some_failed == (task.task == 1));
    assert!(finished(tasks[0]) && finished(tasks[1]) && finished(tasks[4]), "{tasks:?}");
    assert_eq!((failure(tasks[2]), tasks[2].attempt), (FailureKind::ExitCode { code: 1 }, 2));
    assert_eq!(tasks[2].output.last().map(String::as_str), Some("no luck"));
    assert_eq!((failure(tasks[3]), tasks[3].attempt), (FailureKind::Signal { signal: 9 }, 2));
    assert_eq!((tasks[1].attempt, tasks[4].attempt), (1, 2));
    // What is called wrongly is not tried again.
    assert_eq!((failure(tasks[5]), tasks[5].attempt), (FailureKind::ExitCode { code: 2 }, 1));
    let again = changes.iter().filter(|change| matches!(change, Change::TriedAgain { .. })).count();
    assert_eq!(again, 3);
    assert_eq!(follower.counts(), Counts { pending: 0, running: 0, finished: 3, failed: 3 });
    never_two_at_once(&fs::read_to_string(times).unwrap());
    // A second follower, as after a restart of ours, comes to the same from the file alone.
    let mut second = Follower::new(&remembered(&slurm.folder).unwrap());
    follow(&mut second, &slurm);
    assert_eq!(second.counts(), follower.counts());
}

/// Of the lines `task node word time`, begin and end of each task: on one node they never overlap.
fn never_two_at_once(times: &str) {
    let mut nodes = BTreeSet::new();
    let lines: Vec<Vec<&str>> = times.lines().map(|line| line.split(' ').collect()).collect();
    assert_eq!(lines.len(), 2 * 9, "{times}");
    assert!(lines.iter().all(|line| line[2] == "ready"), "{times}");
    for node in NODES {
        let mut of_node: Vec<(u128, &str)> =
            lines.iter().filter(|line| line[1] == node).map(|line| (line[3].parse().unwrap(), line[0])).collect();
        of_node.sort_unstable();
        for pair in of_node.chunks(2) {
            nodes.insert(node);
            assert_eq!(pair[0].1, pair[1].1, "two tasks at once on {node}: {times}");
        }
    }
    assert!(nodes.len() > 1, "the nodes did not share: {times}");
}

#[test]
fn a_node_that_fails_is_replaced_and_what_is_cancelled_stays_so() {
    let Some(cluster) = Cluster::start("node") else { return };
    let dir = Dir::new("slurm-node");
    let options = SlurmOptions { extra: vec!["--no-requeue".into()], ..SlurmOptions::default() };
    let shell = cluster.shell();
    let started = dir.path("started");
    let command = format!("[ -e {0} ] && exit 0; touch {0}; sleep 60", started.display());
    let slurm = slurm(&shell, &options, &dir, &command);
    let arrays = slurm.submit(&[7], Some("n1"), 1).unwrap();
    let mut follower = Follower::new(&arrays);
    cluster.wait("a running task", |_| started.exists());
    cluster.fail("n1");
    let changes = follow(&mut follower, &slurm);
    let failed = changes.iter().find_map(|change| match change {
        Change::TriedAgain { failed, .. } => Some(failed),
        _ => None,
    });
    assert_eq!(failed.map(failure), Some(FailureKind::NodeFail), "{changes:?}");
    let task = follower.tasks().next().unwrap();
    assert!(matches!(&task.state, TaskState::Finished { node, .. } if node == "n1"), "{task:?}");
    assert_eq!((task.task, task.attempt), (7, 2));
    // Cancelled: no other try.
    fs::remove_file(&started).unwrap();
    let mut follower = Follower::new(&slurm.submit(&[0, 1, 2, 3], None, 1).unwrap());
    cluster.wait("a running task", |_| started.exists());
    slurm.cancel(&follower.jobs()).unwrap();
    follow(&mut follower, &slurm);
    assert!(follower.tasks().all(|task| task.attempt == 1));
    assert!(follower.tasks().any(|task| failure_or_none(task) == Some(FailureKind::Cancelled)), "{follower:?}");
}

fn failure_or_none(task: &Task) -> Option<FailureKind> {
    match &task.state {
        TaskState::Failed(failure) => Some(failure.kind),
        _ => None,
    }
}

#[test]
fn every_node_measures_the_same_and_the_rows_tell_them_apart() {
    let Some(cluster) = Cluster::start("every") else { return };
    let dir = Dir::new("slurm-every");
    let options = SlurmOptions { every_node: true, ..SlurmOptions::default() };
    let shell = cluster.shell();
    let command = format!(
        "{} --dir {} run --engine mock --model synthetic:tiny --quantize nf4 --prompt-tokens 8 --gen-tokens 4 \
         --launches 1 --repetitions 2",
        program(),
        dir.path("").display()
    );
    let slurm = slurm(&shell, &options, &dir, &command);
    let (nodes, rest) = slurm.every_node().unwrap();
    assert_eq!((nodes.as_slice(), rest.len()), (&NODES.map(str::to_owned)[..], 0));
    let mut follower = Follower::default();
    for node in &nodes {
        slurm.submit(&[0], Some(node.as_str()), 1).unwrap().iter().for_each(|array| follower.add(array));
    }
    follow(&mut follower, &slurm);
    assert_eq!(follower.counts().finished, 3, "{follower:?}");
    assert_eq!(dir.logs().len(), 3);
    dir.ok(&["collate"]);
    let hosts: BTreeSet<String> = dir.rows().into_iter().map(|row| row["hostname"].clone()).collect();
    match cluster.own_hostnames {
        true => assert_eq!(hosts.into_iter().collect::<Vec<_>>(), NODES),
        false => assert_eq!(hosts.len(), 1),
    }
}

#[test]
fn what_the_cluster_cannot_give_is_told_before_anything_waits() {
    let Some(cluster) = Cluster::start("refused") else { return };
    let dir = Dir::new("slurm-refused");
    let shell = cluster.shell();
    let error =
        |options: SlurmOptions| slurm(&shell, &options, &dir, "true").submit(&[0], None, 1).unwrap_err().to_string();
    let partition = SlurmOptions { partition: Some("nope".into()), ..SlurmOptions::default() };
    assert!(error(partition).contains("Invalid partition name specified"));
    let constraint = SlurmOptions { constraint: Some("golden".into()), ..SlurmOptions::default() };
    assert!(error(constraint).contains("Invalid feature specification"));
    let nodes = SlurmOptions { nodes: vec!["n9".into()], ..SlurmOptions::default() };
    assert!(error(nodes).contains("there is none called \"n9\""));
    assert!(remembered(&dir.path("sweep/slurm")).unwrap().is_empty());
    // Two of three nodes by name, and the one that has a feature.
    let options = SlurmOptions { nodes: vec!["n[2-3]".into()], ..SlurmOptions::default() };
    let two = slurm(&shell, &options, &dir, "true");
    let mut follower = Follower::new(&two.submit(&[0, 1, 2, 3, 4, 5], None, 1).unwrap());
    follow(&mut follower, &two);
    let on_first = |task: &Task| matches!(&task.state, TaskState::Finished { node, .. } if node == "n1");
    assert!(follower.counts().finished == 6 && !follower.tasks().any(on_first), "{follower:?}");
    let options = SlurmOptions { constraint: Some("fast".into()), ..SlurmOptions::default() };
    assert_eq!(slurm(&shell, &options, &dir, "true").every_node().unwrap().0, ["n1"]);
}

#[test]
fn a_sweep_is_measured_by_the_cluster() {
    let Some(cluster) = Cluster::start("sweep") else { return };
    let dir = Dir::new("slurm-sweep");
    let of_version = |version: &str, arguments: &[&str]| {
        let mut command = dir.command(arguments);
        Ran::of(command.envs([cluster.env()]).env("TOKOMETER_MOCK_VERSION", version).output().unwrap())
    };
    let run = |arguments: &[&str]| of_version("1", arguments);
    let ran = run(&[&MATRIX[..], &["--on", "slurm"]].concat());
    assert_eq!(ran.code, 0, "{}\n{}", ran.out, ran.err);
    assert!(ran.err.contains("2 task(s) submitted") && ran.err.contains("is done on n"), "{}", ran.err);
    assert!(ran.out.contains("4 case(s): 4 measured, 0 failed, 0 skipped, 0 to do"), "{}", ran.out);
    assert_eq!(dir.rows().len(), 4 * 2 * 2 * 4);
    assert!(dir.path("presentation.pdf").is_file());
    // Nothing is submitted twice.
    let again = run(&["sweep", "--resume", "--on", "slurm", "--measure-only"]);
    assert!(again.code == 0 && !again.err.contains("submitted"), "{}", again.err);
    assert_eq!(dir.logs().len(), 4);
    // What another version measured is told, as far as this machine knows, and measured anew by the nodes.
    let told = of_version("2", &["sweep", "--resume", "--on", "slurm", "--measure-only"]);
    assert!(told.err.contains("nodes may have other versions): mock 1 (now 2)"), "{}", told.err);
    let retried = of_version("2", &["sweep", "--resume", "--on", "slurm", "--retry-outdated", "--measure-only"]);
    assert_eq!(retried.code, 0, "{}\n{}", retried.out, retried.err);
    assert!(retried.err.contains("2 task(s) submitted"), "{}", retried.err);
    assert_eq!((dir.logs().len(), names(&dir.path("benchmark_output/superseded")).len()), (4, 4));
    for log in dir.logs() {
        let text = fs::read_to_string(dir.path("benchmark_output").join(&log)).unwrap();
        assert!(text.contains("\nengine_version: 2\n"), "{log}");
    }
    nodes_prepare_models_on_their_own_disks(&cluster);
}

/// Two blocks of one case whose model is to be prepared.
const PREPARED: &str = "sweep --engine llamacpp --model synthetic:tiny --quantize nf4 --depth 0,16 --prompt-tokens 8 \
    --gen-tokens 4 --launches 1 --repetitions 1 --threads 1 --measure-only";

/// What is printed while the model of [`PREPARED`] is made.
const MAKES: &str = "quantize synthetic-tiny to Q4_K_M";

/// The nodes of the test share one disk: what one has made the others find.
fn nodes_prepare_models_on_their_own_disks(cluster: &Cluster) {
    let dir = Dir::new("slurm-models");
    let disk = dir.path("disk/models");
    let run = |words: &[&str]| Ran::of(dir.command(words).envs([cluster.env()]).output().unwrap());
    let on_nodes = ["--on", "slurm", "--node-models", disk.to_str().unwrap()];
    let words: Vec<&str> = PREPARED.split_whitespace().chain(on_nodes).collect();
    let foretold = run(&[&words[..], &["--dry-run"]].concat()).out.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(foretold.contains("of each node; what is ready there is not seen from here"), "{foretold}");
    let ran = run(&words);
    assert_eq!(ran.code, 0, "{}\n{}", ran.out, ran.err);
    assert!(ran.out.contains("2 case(s): 2 measured"), "{}", ran.out);
    // The checkpoint, what it was converted to, and what that was quantized to: made once, and none of it in the shared folder.
    assert_eq!(names(&disk).iter().filter(|name| !name.starts_with('.')).count(), 3, "{:?}", names(&disk));
    let outputs = || names(&dir.path("sweep/slurm")).into_iter().filter(|name| name.ends_with(".out"));
    let makes = |name: &String| fs::read_to_string(dir.path("sweep/slurm").join(name)).unwrap().contains(MAKES);
    assert_eq!((outputs().count(), outputs().filter(makes).count()), (2, 1));
    for events in logs(&dir) {
        let manifest = &events[0]["manifest"];
        for files in [&manifest["files"], &manifest["source"]["files"]] {
            assert_eq!(files[0]["sha256"].as_str().map(str::len), Some(64), "{manifest}");
        }
    }
    // It goes on with the folder that it was begun with.
    fs::remove_file(dir.path("benchmark_output").join(dir.logs().remove(0))).unwrap();
    let ran = run(&["sweep", "--resume", "--on", "slurm", "--measure-only"]);
    assert!(ran.code == 0 && ran.err.contains("1 task(s) submitted"), "{}\n{}", ran.out, ran.err);
    assert!(!dir.path("models").exists(), "models were prepared in the shared folder");
}

#[test]
fn a_task_prepares_models_where_it_is_told_and_the_next_one_finds_them() {
    let dir = Dir::new("slurm-task-models");
    dir.ok(&PREPARED.split_whitespace().collect::<Vec<_>>());
    // Only the plan is left.
    ["benchmark_output", "models"].iter().for_each(|name| fs::remove_dir_all(dir.path(name)).unwrap());
    let disk = dir.path("disk/models");
    let task = |number: &str| {
        dir.ok(&["sweep", "--on", "slurm", "--task", number, "--node-models", disk.to_str().unwrap()]).err
    };
    let (first, second) = (task("0"), task("1"));
    assert!(first.contains(MAKES) && !second.contains(MAKES), "{first}\n{second}");
    assert!(!dir.path("models").exists());
    assert_eq!(dir.logs().len(), 2);
}

#[test]
fn every_node_of_a_cluster_can_measure_the_whole_sweep() {
    let Some(cluster) = Cluster::start("sweep-every") else { return };
    let dir = Dir::new("slurm-sweep-every");
    dir.write("tokometer.toml", "[sweep.slurm]\nevery-node = true\nnodes = [\"n[1-2]\"]\n");
    let output = dir.command(&[&MATRIX[..], &["--on", "slurm"]].concat()).envs([cluster.env()]).output().unwrap();
    let ran = Ran::of(output);
    if !cluster.own_hostnames {
        return;
    }
    assert_eq!(ran.code, 0, "{}\n{}", ran.out, ran.err);
    assert!(ran.out.contains("8 case(s) on 2 machines: 8 measured"), "{}", ran.out);
    let rows = dir.rows();
    let hosts: BTreeSet<&str> = rows.iter().map(|row| row["hostname"].as_str()).collect();
    assert_eq!((rows.len(), hosts.into_iter().collect::<Vec<_>>()), (2 * 4 * 2 * 2 * 4, vec!["n1", "n2"]));
}
