use super::state::FailureKind;
use super::testing::{CONFIG, Dir, Recorded, SCONTROL_FAILED};
use super::*;
use crate::plan::SlurmOptions;
use std::collections::BTreeSet;
use std::fs;
use std::time::Duration;

fn slurm<'a>(shell: &'a Recorded, options: &'a SlurmOptions, dir: &Dir) -> Slurm<'a> {
    Slurm { shell, options, folder: dir.path().to_path_buf(), command: "true $TOKOMETER_TASK".into() }
}

fn kind(task: &Task) -> FailureKind {
    match &task.state {
        TaskState::Failed(failure) => failure.kind,
        other => panic!("{other:?}"),
    }
}

#[test]
fn tasks_are_submitted_in_arrays_that_the_cluster_takes_and_remembered() {
    let (dir, shell, options) = (Dir::new(), Recorded::default(), SlurmOptions::default());
    shell.says("scontrol show config", CONFIG).says("sbatch", "41\n").says("sbatch", "42;cluster\n");
    let arrays = slurm(&shell, &options, &dir).submit(&[0, 1, 499, 500, 502], None, 1).unwrap();
    let told: Vec<_> = arrays.iter().map(|array| (array.job, array.offset, ranges(&array.indices))).collect();
    assert_eq!(told, [(41, 0, "0-1,499".to_owned()), (42, 500, "0,2".to_owned())]);
    assert_eq!(remembered(dir.path()).unwrap(), arrays);
    let asked = shell.asked("sbatch");
    assert!(asked[0].contains("--array=0-1,499 ") && asked[0].ends_with("task.sh 0"), "{asked:?}");
    assert!(asked[1].ends_with("task.sh 500") && !asked[1].contains("--exclude"), "{asked:?}");
    assert!(fs::read_to_string(dir.path().join("task.sh")).unwrap().ends_with("\ntrue $TOKOMETER_TASK\n"));
}

#[test]
fn what_the_cluster_refuses_is_told_in_its_words_and_what_was_submitted_before_is_remembered() {
    let (dir, shell, options) = (Dir::new(), Recorded::default(), SlurmOptions::default());
    let refusal = "sbatch: error: Batch job submission failed: Invalid partition name specified\n";
    shell.says("scontrol show config", CONFIG).says("sbatch", "41\n").fails("sbatch", refusal);
    let error = slurm(&shell, &options, &dir).submit(&[0, 500], None, 1).unwrap_err().to_string();
    assert!(error.contains("refused to take the tasks: Batch job submission failed: Invalid partition"), "{error}");
    assert!(error.contains("[sweep.slurm]"), "{error}");
    assert_eq!(remembered(dir.path()).unwrap().len(), 1);
}

#[test]
fn wanted_nodes_are_written_out_and_the_others_excluded() {
    let (dir, shell) = (Dir::new(), Recorded::default());
    let options = SlurmOptions { nodes: vec!["n[1-2]".into(), "n2".into()], ..SlurmOptions::default() };
    let sinfo = "n1|idle|fast\nn2|mixed|(null)\nn3|idle|(null)\nn3|idle|(null)\n";
    for _ in 0..2 {
        shell.says("scontrol show hostnames n[1-2]", "n1\nn2\n").says("sinfo", sinfo);
    }
    shell.says("scontrol show config", CONFIG).says("sbatch", "41\n");
    let slurm = slurm(&shell, &options, &dir);
    slurm.submit(&[0], None, 1).unwrap();
    assert!(shell.asked("sbatch")[0].contains("--exclude=n3"), "{:?}", shell.asked("sbatch"));
    assert_eq!(slurm.every_node().unwrap().0, ["n1", "n2"]);
}

#[test]
fn every_node_means_those_that_take_jobs_and_have_the_feature() {
    let (dir, shell) = (Dir::new(), Recorded::default());
    let options =
        SlurmOptions { partition: Some("p".into()), constraint: Some("fast".into()), ..SlurmOptions::default() };
    let sinfo = "n1|idle|fast,big\nn2|allocated|fast\nn3|down*|fast\nn4|idle|(null)\nn5|drained|fast\nn6|idle*|fast\n";
    shell.says("sinfo -h -N -o %N|%T|%f --partition=p", sinfo).says("sinfo", "n3|down|fast\n").says("sinfo", "");
    let slurm = slurm(&shell, &options, &dir);
    let (usable, rest) = slurm.every_node().unwrap();
    assert_eq!(usable, ["n1", "n2"]);
    assert_eq!(rest.iter().map(|node| node.name.as_str()).collect::<Vec<_>>(), ["n3", "n5", "n6"]);
    assert!(slurm.every_node().unwrap_err().to_string().contains("n3 is down"));
    assert!(slurm.every_node().unwrap_err().to_string().contains("none fits"));
}

/// Two tasks, submitted as job 1.
fn two() -> Follower {
    Follower::new(&[Array { job: 1, offset: 0, indices: vec![0, 1], node: None, attempt: 1 }])
}

#[test]
fn a_task_that_failed_is_submitted_again_until_its_tries_are_spent() {
    let (dir, shell, options) = (Dir::new(), Recorded::default(), SlurmOptions::default());
    fs::write(dir.path().join("1_1.out"), "task 1 on n2\n\nerror: no luck\n").unwrap();
    let slurm = slurm(&shell, &options, &dir);
    let mut follower = two();
    shell.says("squeue", "1|0|RUNNING|n1|None\n1|1|PENDING||Resources\n");
    assert_eq!(follower.look(&slurm).unwrap().len(), 2);
    assert_eq!(follower.counts(), Counts { pending: 1, running: 1, ..Counts::default() });
    shell.says("squeue", "1|0|COMPLETED|n1|None\n1|1|FAILED|n2|NonZeroExitCode\n");
    shell.says("scontrol -o show job 1_1", &SCONTROL_FAILED.replace("ExitCode=3:0", "ExitCode=1:0"));
    shell.says("scontrol show config", CONFIG).says("sbatch", "2\n");
    let changes = follower.look(&slurm).unwrap();
    let [Change::Moved(first), Change::TriedAgain { failed, job: 2 }] = changes.as_slice() else {
        panic!("{changes:?}");
    };
    assert_eq!((first.task, &first.state), (0, &TaskState::Finished { node: "n1".into(), some_failed: false }));
    assert_eq!((kind(failed), failed.id().as_str()), (FailureKind::ExitCode { code: 1 }, "1_1"));
    assert_eq!(failed.output, ["task 1 on n2", "error: no luck"]);
    assert!(!follower.is_over());
    // The second try is the last.
    shell.says("squeue", "2|1|NODE_FAIL|n2|NodeDown\n");
    let changes = follower.look(&slurm).unwrap();
    assert!(matches!(changes.as_slice(), [Change::Moved(task)] if kind(task) == FailureKind::NodeFail), "{changes:?}");
    assert!(follower.is_over());
    assert_eq!(follower.counts(), Counts { finished: 1, failed: 1, ..Counts::default() });
    assert_eq!(shell.asked("squeue")[2], "squeue -h -r -t all -o %F|%K|%T|%N|%r -j 2");
    // What was remembered leads to the same tasks.
    assert_eq!(Follower::new(&remembered(dir.path()).unwrap()).tasks().next().unwrap().attempt, 2);
}

#[test]
fn failed_cases_and_what_a_person_stopped_are_no_reason_to_try_again() {
    let (dir, shell, options) = (Dir::new(), Recorded::default(), SlurmOptions::default());
    let mut follower = two();
    shell.says("squeue", "1|0|FAILED|n1|NonZeroExitCode\n1|1|CANCELLED|n1|None\n");
    shell.says("scontrol -o show job 1_0", SCONTROL_FAILED);
    follower.look(&slurm(&shell, &options, &dir)).unwrap();
    let states: Vec<_> = follower.tasks().map(|task| task.state.clone()).collect();
    assert_eq!(states[0], TaskState::Finished { node: "n1".into(), some_failed: true });
    assert_eq!(kind(follower.tasks().nth(1).unwrap()), FailureKind::Cancelled);
    assert!(shell.asked("sbatch").is_empty());
}

#[test]
fn a_failure_stands_when_the_cluster_takes_no_more() {
    let (dir, shell, options) = (Dir::new(), Recorded::default(), SlurmOptions::default());
    let mut follower = two();
    shell.says("squeue", "1|0|COMPLETED|n1|None\n1|1|TIMEOUT|n1|TimeLimit\n").says("scontrol show config", CONFIG);
    shell.fails("sbatch", "sbatch: error: Job violates accounting/QOS policy\n");
    let changes = follower.look(&slurm(&shell, &options, &dir)).unwrap();
    assert!(
        changes.iter().any(
            |change| matches!(change, Change::NotTriedAgain { tasks: 1, reason } if reason.contains("max-running"))
        ),
        "{changes:?}"
    );
    assert!(follower.is_over());
}

#[test]
fn of_tasks_that_fail_together_those_that_the_cluster_takes_run_again() {
    let (dir, shell, options) = (Dir::new(), Recorded::default(), SlurmOptions::default());
    let first = Array { job: 1, offset: 0, indices: vec![0], node: None, attempt: 1 };
    let second = Array { job: 2, offset: 500, ..first.clone() };
    let mut follower = Follower::new(&[first, second]);
    shell.says("squeue", "1|0|TIMEOUT|n1|TimeLimit\n2|0|NODE_FAIL|n1|NodeDown\n").says("scontrol show config", CONFIG);
    shell.says("sbatch", "3\n").fails("sbatch", "sbatch: error: Job violates accounting/QOS policy\n");
    let changes = follower.look(&slurm(&shell, &options, &dir)).unwrap();
    let again = |change: &Change| matches!(change, Change::TriedAgain { failed, job: 3 } if failed.task == 0);
    let stands = |change: &Change| matches!(change, Change::Moved(task) if task.task == 500);
    assert!(changes.len() == 3 && again(&changes[0]) && stands(&changes[2]), "{changes:?}");
    assert_eq!(follower.counts(), Counts { pending: 1, failed: 1, ..Counts::default() });
}

#[test]
fn a_task_that_the_cluster_forgot_is_told_by_what_it_left() {
    let (dir, shell) = (Dir::new(), Recorded::default());
    let options = SlurmOptions { tries: 1, ..SlurmOptions::default() };
    let slurm = slurm(&shell, &options, &dir);
    fs::write(dir.path().join("1_0.exit"), "3\n").unwrap();
    let mut follower = two();
    for _ in 0..2 {
        shell.fails("squeue", "slurm_load_jobs error: Invalid job id specified\n");
    }
    shell.fails("sacct", "Slurm accounting storage is disabled\n");
    // Once may be a controller that is just starting.
    assert!(follower.look(&slurm).unwrap().is_empty());
    follower.look(&slurm).unwrap();
    let tasks: Vec<&Task> = follower.tasks().collect();
    assert_eq!(tasks[0].state, TaskState::Finished { node: String::new(), some_failed: true });
    assert_eq!(kind(tasks[1]), FailureKind::Lost);
}

#[test]
fn the_accounts_know_what_the_queue_forgot() {
    let (dir, shell, options) = (Dir::new(), Recorded::default(), SlurmOptions::default());
    let slurm = slurm(&shell, &options, &dir);
    shell
        .says("sacct", "OUT_OF_MEMORY|0:125|n2\n")
        .says("sacct", "COMPLETED|0:0|n1\n")
        .says("sacct", "RUNNING|0:0|n1\n");
    let one = |index| slurm.forgotten(1, index).unwrap();
    assert!(matches!(one(0), TaskState::Failed(failure) if failure.kind == FailureKind::OutOfMemory));
    assert_eq!(one(1), TaskState::Finished { node: "n1".into(), some_failed: false });
    assert!(matches!(one(2), TaskState::Failed(failure) if failure.kind == FailureKind::Lost));
}

#[test]
fn a_silent_cluster_is_waited_for_and_then_told() {
    let (dir, shell, options) = (Dir::new(), Recorded::default(), SlurmOptions::default());
    let slurm = slurm(&shell, &options, &dir);
    let mut follower = two();
    for _ in 0..3 {
        shell.fails("squeue", "slurm_load_jobs error: Unable to contact slurm controller (connect failure)\n");
    }
    shell.says("squeue", "1|0|COMPLETED|n1|None\n1|1|COMPLETED|n1|None\n");
    let mut looks = 0;
    let over = follower.follow(&slurm, Duration::from_millis(1), &|| false, &mut |_, _| looks += 1).unwrap();
    assert!(over && looks == 1);
    let mut follower = two();
    for _ in 0..10 {
        shell.fails("squeue", "slurm_load_jobs error: Unable to contact slurm controller (connect failure)\n");
    }
    let error = follower.follow(&slurm, Duration::from_millis(1), &|| false, &mut |_, _| ()).unwrap_err().to_string();
    assert!(error.contains("is the cluster up?"), "{error}");
}

#[test]
fn whoever_stops_following_leaves_the_tasks_alone_unless_they_are_cancelled() {
    let (dir, shell, options) = (Dir::new(), Recorded::default(), SlurmOptions::default());
    let slurm = slurm(&shell, &options, &dir);
    let mut follower = two();
    shell.says("squeue", "1|0|RUNNING|n1|None\n1|1|RUNNING|n2|None\n").says("scancel", "");
    let over = follower.follow(&slurm, Duration::from_secs(600), &|| true, &mut |_, _| ()).unwrap();
    assert!(!over && shell.asked("scancel").is_empty());
    slurm.cancel(&follower.jobs()).unwrap();
    assert_eq!(shell.asked("scancel"), ["scancel 1"]);
    slurm.cancel(&BTreeSet::new()).unwrap();
}
