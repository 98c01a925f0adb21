//! Nothing measured is lost: workers that crash, hang, talk nonsense or are killed; the harness killed; full and
//! unwritable disks.

use crate::dir::{Dir, Ran, names, on_tiny, program};
use crate::rounds::under_way;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// A fault in the second of three launches: the others are measured, the failure is a row.
fn one_bad_launch(name: &str, fault: &str, kind: &str, measured_after: bool) {
    let dir = Dir::new(name);
    let counter = format!("fault_counter={}", dir.path("count").display());
    let fault = format!("fault={fault}");
    let ran = dir.mock(&[
        "--launches",
        "3",
        "--repetitions",
        "2",
        "--timeout",
        "2",
        "--option",
        &fault,
        "--option",
        "fault_launch=2",
        "--option",
        &counter,
    ]);
    ran.fails(3, &["launch 2", kind]);
    assert_eq!(dir.logs().len(), 1, "{:?}", dir.logs());
    dir.ok(&["collate"]);
    let rows = dir.rows();
    let failed: Vec<_> = rows.iter().filter(|row| row["status"] == "failed").collect();
    assert_eq!(failed.len(), 1);
    assert!(failed[0]["reason"].starts_with(kind), "{}", failed[0]["reason"]);
    assert_eq!(failed[0]["total_latency_ms"], "");
    let measured = rows.iter().filter(|row| row["status"] == "ok").count();
    // 4 steps x 2 repetitions in each good launch.
    assert_eq!(measured, if measured_after { 16 } else { 8 });
    assert!(dir.ok(&["analyze"]).out.contains("failed"));
}

#[test]
fn a_crash_is_recorded_and_the_rest_is_measured() {
    one_bad_launch("crash", "crash_in_generate", "crash", true);
}

#[test]
fn a_crash_while_loading_is_recorded_too() {
    one_bad_launch("crash-load", "crash_in_load", "crash", true);
}

#[test]
fn a_worker_killed_from_outside_is_recorded() {
    one_bad_launch("killed", "killed", "crash", true);
}

#[test]
fn a_hang_is_ended_and_the_case_given_up() {
    one_bad_launch("hang", "hang", "hang", false);
}

#[test]
fn garbage_is_recorded() {
    one_bad_launch("garbage", "garbage", "garbage", true);
}

#[test]
fn too_few_tokens_are_no_measurement() {
    one_bad_launch("short", "short", "garbage", true);
}

#[test]
fn a_prefix_cache_is_no_measurement() {
    one_bad_launch("cached", "cached", "garbage", true);
}

#[test]
fn out_of_memory_is_recorded() {
    one_bad_launch("memory", "out_of_memory", "out_of_memory", false);
}

/// More than a pipe holds (64 KiB), so that writing it waits for a reader.
#[test]
fn a_worker_that_stops_reading_is_a_hang() {
    let dir = Dir::new("deaf");
    let big = ["--prompt-tokens", "60000", "--gen-tokens", "4", "--launches", "1", "--timeout", "2"];
    let ran = dir.run(&on_tiny("run", "mock", &[&big[..], &["--option", "fault=deaf"]].concat()));
    ran.fails(3, &["hang", "does not read its input"]);
    dir.ok(&["collate"]);
    let rows = dir.rows();
    assert!(rows.len() == 1 && rows[0]["reason"].starts_with("hang"), "{rows:?}");
}

/// The highest memory of a launch that failed is known, whether it ended by itself or was ended.
#[test]
fn the_memory_of_a_worker_that_failed_is_in_its_row() {
    for fault in ["crash_in_generate", "hang", "killed"] {
        let dir = Dir::new(&format!("peak-{fault}"));
        let fault = format!("fault={fault}");
        let options = ["--option", "allocate_mb=300", "--option", &fault];
        dir.mock(&[&["--launches", "1", "--timeout", "2"][..], &options].concat()).fails(3, &[]);
        dir.ok(&["collate"]);
        let rows = dir.rows();
        let peak: u64 = rows[0]["peak_rss_bytes"].parse().unwrap();
        assert!((300_000_000..400_000_000).contains(&peak), "{fault}: {peak}");
    }
}

/// Where this user may make control groups in version 1: the folder of the tests' own group.
fn own_memory_group() -> Option<PathBuf> {
    let groups = std::fs::read_to_string("/proc/self/cgroup").ok()?;
    let path = groups.lines().find_map(|line| line.split_once(":memory:").map(|(_, path)| path.to_owned()))?;
    let folder = PathBuf::from(format!("/sys/fs/cgroup/memory{path}"));
    let probe = folder.join(format!("probe-{}", std::process::id()));
    std::fs::create_dir(&probe).ok()?;
    std::fs::remove_dir(&probe).unwrap();
    Some(folder)
}

#[test]
fn a_worker_that_needs_more_than_its_memory_limit_is_out_of_memory() {
    let dir = Dir::new("limit");
    let limited = ["--launches", "2", "--memory-limit", "64M"];
    let arguments = on_tiny("run", "mock", &[&limited[..], &["--option", "allocate_mb=300"]].concat());
    let child = dir.command(&arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let pid = child.id();
    let ran = Ran::of(child.wait_with_output().unwrap());
    ran.fails(3, &["out_of_memory", "0.064 GB"]);
    let log = std::fs::read_to_string(dir.path("benchmark_output").join(&dir.logs()[0])).unwrap();
    assert!(log.contains("\"memory_limit\":64000000"), "{log}");
    dir.ok(&["collate"]);
    let rows = dir.rows();
    // What does not fit once does not fit twice.
    assert_eq!(rows.len(), 1);
    let by_rlimit = log.contains("limit_without_cgroup");
    let expected = if by_rlimit { "cannot allocate 300 MB" } else { "more than its memory limit of 64.0 MB" };
    assert!(rows[0]["reason"].starts_with("out_of_memory") && rows[0]["reason"].contains(expected), "{rows:?}");
    assert_eq!(rows[0]["warnings"].contains("limit_without_cgroup"), by_rlimit);
    if let Some(folder) = own_memory_group() {
        assert!(!by_rlimit, "{}", ran.err);
        let made = format!("tokometer-{pid}-");
        assert!(names(&folder).iter().all(|name| !name.starts_with(&made)), "{:?}", names(&folder));
    }
}

#[test]
fn a_memory_limit_that_suffices_changes_nothing_and_nonsense_is_refused() {
    let dir = Dir::new("within");
    let ran = dir.mock(&["--launches", "1", "--memory-limit", "500M", "--option", "allocate_mb=50"]);
    assert_eq!(ran.code, 0, "{}", ran.err);
    dir.ok(&["collate"]);
    assert!(dir.rows().iter().all(|row| row["status"] == "ok"));
    dir.mock(&["--memory-limit", "6"]).fails(1, &["--memory-limit", "6G"]);
}

#[test]
fn what_a_crashed_engine_said_last_is_in_the_record() {
    let dir = Dir::new("words");
    dir.mock(&["--launches", "1", "--option", "fault=crash_in_generate"]).fails(3, &["about to crash"]);
    let log = std::fs::read_to_string(dir.path("benchmark_output").join(&dir.logs()[0])).unwrap();
    assert!(log.contains("SIGABRT") && log.contains("mock: about to crash"), "{log}");
}

#[test]
fn a_flood_of_output_neither_blocks_nor_fills_the_log() {
    let dir = Dir::new("flood");
    let ran = dir.mock(&["--launches", "1", "--option", "fault=flood"]);
    assert_eq!(ran.code, 0, "{}", ran.err);
    let log = std::fs::read(dir.path("benchmark_output").join(&dir.logs()[0])).unwrap();
    assert!(log.len() < 200_000, "{}", log.len());
}

/// kill -9 of the harness at several moments: what was measured before is collated, and no worker stays behind.
#[test]
fn a_killed_harness_loses_nothing_that_was_measured() {
    let slow = ["--launches", "50", "--repetitions", "4", "--warmup", "0", "--option", "sleep_ms=20"];
    for (i, wait) in [0, 60, 150, 240].into_iter().enumerate() {
        let dir = Dir::new(&format!("kill{i}"));
        let mut child = under_way(&dir, "repetition", &slow);
        std::thread::sleep(Duration::from_millis(wait));
        child.kill().unwrap();
        child.wait().unwrap();
        let logs = dir.logs();
        let partial = &logs[0];
        assert!(partial.ends_with(".partial"), "{logs:?}");
        let text = std::fs::read_to_string(dir.path("benchmark_output").join(partial)).unwrap();
        let repetitions =
            text.lines().filter(|line| line.starts_with("{\"event\":\"repetition\"") && line.ends_with('}')).count();
        assert!(repetitions > 0, "{text}");
        dir.ok(&["collate"]);
        let rows = dir.rows();
        assert_eq!(
            rows.iter().filter(|row| row["status"] == "interrupted" && !row["step"].is_empty()).count(),
            repetitions * 4
        );
    }
}

#[test]
fn a_worker_dies_with_the_harness() {
    let dir = Dir::new("orphan");
    let marker = format!("sleep_ms=600{}", std::process::id() % 1000 + 1000);
    let mut child = dir.command(&on_tiny("run", "mock", &["--option", &marker])).stderr(Stdio::null()).spawn().unwrap();
    let workers = || -> Vec<String> {
        let out = Command::new("ps").args(["-o", "pid=", "--ppid", &child.id().to_string()]).output().unwrap().stdout;
        String::from_utf8_lossy(&out).split_whitespace().map(str::to_owned).collect()
    };
    let deadline = Instant::now() + Duration::from_secs(300);
    let pids = loop {
        let pids = workers();
        if !pids.is_empty() || Instant::now() > deadline {
            break pids;
        }
        std::thread::sleep(Duration::from_millis(20));
    };
    assert_eq!(pids.len(), 1);
    child.kill().unwrap();
    child.wait().unwrap();
    let gone = || !std::path::Path::new(&format!("/proc/{}", pids[0])).exists();
    while !gone() && Instant::now() < deadline {
        std::thread::sleep(Duration::from_millis(20));
    }
    assert!(gone(), "the worker lives on");
}

#[test]
fn a_full_disk_is_an_error_that_keeps_what_was_written() {
    let dir = Dir::new("full");
    // A limit on the size of files fails writes just as a full disk does; one block is 512 bytes.
    let script = format!(
        "trap '' XFSZ; ulimit -f 16; exec '{}' --dir '{}' run --engine mock --model synthetic:tiny --launches 30 --gen-tokens 64",
        program(),
        dir.path("").display()
    );
    let ran = Ran::of(Command::new("sh").args(["-c", &script]).env("TOKOMETER_LOCK", dir.lock()).output().unwrap());
    ran.fails(1, &["cannot write the raw log", "benchmark_output"]);
    assert!(dir.logs()[0].ends_with(".partial"));
    dir.ok(&["collate"]);
    assert!(!dir.rows().is_empty());
}

#[test]
fn an_unwritable_folder_is_named_before_anything_is_measured() {
    let dir = Dir::new("unwritable");
    // A file where the folder should be stops root as well, which permissions do not.
    dir.write("benchmark_output", "in the way");
    dir.mock(&[]).fails(1, &["benchmark_output"]);
}

/// kill -9 while a model is being prepared: nothing half-made looks finished, and the next attempt succeeds.
#[test]
fn an_interrupted_preparation_leaves_nothing_that_looks_finished() {
    let dir = Dir::new("prepare");
    let arguments = on_tiny("prepare", "llamacpp", &["--quantize", "float16,nf4,int8,default"]);
    for wait in [10, 40, 80, 120, 200] {
        let mut child = dir.command(&arguments).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        std::thread::sleep(Duration::from_millis(wait));
        child.kill().unwrap();
        child.wait().unwrap();
        for name in names(&dir.path("models")).iter().filter(|name| !name.starts_with('.')) {
            let made = dir.path("models").join(name);
            // A checkpoint has its configuration, a prepared model its manifest and a file of the size it tells.
            match std::fs::read_to_string(made.join("manifest.json")) {
                Ok(text) => {
                    let manifest: serde_json::Value = serde_json::from_str(&text).unwrap();
                    let bytes = std::fs::metadata(made.join("model.gguf")).unwrap().len();
                    assert_eq!(manifest["files"][0]["bytes"], bytes);
                }
                Err(_) => assert!(made.join("config.json").is_file(), "{name}"),
            }
        }
    }
    dir.ok(&arguments);
    assert!(names(&dir.path("models")).iter().all(|name| !name.starts_with(".partial") && !name.starts_with(".lock")));
}
