//! Sweeps: the matrix, what is skipped, going on after whatever happened. On the mock engine, whose times are computed, so
//! that a sweep that was killed can be held against one that was not.

use crate::dir::{Dir, Ran, program};
use std::collections::BTreeMap;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// Two depths, two quantizations: two blocks of two cases.
pub const MATRIX: [&str; 17] = [
    "sweep",
    "--engine",
    "mock",
    "--model",
    "synthetic:tiny",
    "--quantize",
    "default,nf4",
    "--depth",
    "0,16",
    "--prompt-tokens",
    "8",
    "--gen-tokens",
    "4",
    "--launches",
    "2",
    "--repetitions",
    "2",
];

fn matrix<'a>(more: &[&'a str]) -> Vec<&'a str> {
    [&MATRIX[..], more].concat()
}

/// What must be equal however often the sweep was cut off: everything but names and what the machine was like. The times
/// of the mock engine are computed, so they are part of it.
pub fn essence(dir: &Dir) -> Vec<String> {
    let keys = [
        "engine",
        "quantize",
        "native_quantize",
        "model",
        "depth",
        "threads",
        "prompt_tokens",
        "gen_tokens",
        "launch",
        "round",
        "repetition",
        "step",
        "phase",
        "tokens",
        "position",
        "total_latency_ms",
        "generated_text",
        "status",
        "reason",
        "case",
    ];
    let line = |row: &BTreeMap<String, String>| keys.map(|key| row[key].as_str()).join("|");
    let mut lines: Vec<String> = dir.rows().iter().map(line).collect();
    lines.sort();
    lines
}

fn undisturbed(name: &str, arguments: &[&str]) -> Vec<String> {
    let dir = Dir::new(name);
    dir.ok(arguments);
    dir.ok(&["collate"]);
    essence(&dir)
}

#[test]
fn a_sweep_goes_from_nothing_to_the_presentation() {
    let dir = Dir::new("sweep-all");
    let ran = dir.ok(&matrix(&[]));
    assert!(ran.out.contains("4 case(s): 4 measured, 0 failed, 0 skipped, 0 to do"), "{}", ran.out);
    assert!(ran.err.contains("block 2 of 2"), "{}", ran.err);
    assert_eq!(dir.logs().len(), 4);
    // Steps x repetitions x launches x cases.
    assert_eq!(dir.rows().len(), 4 * 2 * 2 * 4);
    for made in ["presentation.pdf", "plots/backend_comparison.png", "plots/context_scaling.svg", "sweep/plan.json"] {
        assert!(dir.path(made).is_file(), "{made}");
    }
    // Again: nothing is measured, and the logs are the same.
    let logs = dir.logs();
    let ran = dir.ok(&matrix(&["--measure-only"]));
    assert!(ran.err.contains("4 measured, 0 failed, 0 skipped before, 0 to do"), "{}", ran.err);
    assert_eq!(dir.logs(), logs);
    let status = dir.ok(&["status", "--json"]);
    let status: serde_json::Value = serde_json::from_str(&status.out).unwrap();
    assert_eq!((&status["running"], &status["tally"]["ok"]), (&false.into(), &4.into()));
    assert!(!ran.err.contains("(now "), "{}", ran.err);
    // One that another version of the engine measured is told, and stays.
    let log = dir.path("benchmark_output").join(&logs[0]);
    let text = std::fs::read_to_string(&log).unwrap();
    std::fs::write(&log, text.replacen("engine_version: 1\n", "engine_version: 0.9\n", 1)).unwrap();
    let ran = dir.ok(&["sweep", "--resume", "--measure-only"]);
    ran.fails(0, &["mock 0.9 (now 1): mock ", "--resume --retry-outdated", " 0 to do"]);
    assert_eq!(dir.logs(), logs);
    // Asked for again, new logs come beside the old ones.
    dir.ok(&matrix(&["--measure-only", "--again"]));
    assert_eq!(dir.logs().len(), 8);
}

#[test]
fn the_configuration_says_what_is_swept() {
    let dir = Dir::new("sweep-toml");
    dir.write(
        "tokometer.toml",
        r#"
        [sweep]
        engine = "mock"
        model = "synthetic:tiny"
        quantize = ["default", "nf4", "float16"]
        depth = [0, 8, 16]
        threads = [1, 2]
        [sweep.engines.mock]
        threads = 1
        [[sweep.exclude]]
        quantize = "float16"
        depth = [8, 16]
        [[sweep.include]]
        quantize = "float16"
        depth = 32
        "#,
    );
    let ran = dir.ok(&["sweep", "--dry-run", "--json"]);
    let plan: serde_json::Value = serde_json::from_str(&ran.out).unwrap();
    assert_eq!(plan["cases"].as_array().unwrap().len(), 3 * 3 - 2 + 1);
    assert_eq!((&plan["excluded"], &plan["blocks"]), (&2.into(), &4.into()));
    assert!(!dir.path("sweep").exists(), "a dry run leaves nothing behind");
    dir.write("tokometer.toml", "[sweep]\ndept = [0, 8]\n");
    dir.run(&["sweep", "--dry-run"]).fails(1, &["tokometer.toml", "dept", "did you mean `depth`?"]);
    dir.write("tokometer.toml", "[sweep]\nmodel = \"synthetic:tiny\"\nquantize = \"Q4_KM\"\n");
    dir.run(&["sweep", "--dry-run"]).fails(1, &["Q4_KM", "Q4_K_M"]);
    dir.run(&["sweep", "--resume"]).fails(1, &["there is no sweep"]);
}

#[test]
fn a_dry_run_fits_the_terminal_and_says_what_is_ready() {
    let dir = Dir::new("sweep-dry");
    let wide =
        ["sweep", "--engine", "mock,llamacpp", "--model", "synthetic:tiny", "--quantize", "all,Q5_K_M", "--dry-run"];
    let ran = dir.ok(&wide);
    assert!(ran.out.lines().all(|line| line.chars().count() <= 80), "{}", ran.out);
    assert!(ran.out.contains("9 case(s) in 1 block(s)") && ran.out.contains("a first guess"), "{}", ran.out);
}

#[test]
fn a_dry_run_knows_the_memory_limit() {
    let dir = Dir::new("sweep-dry-limit");
    let wide = ["sweep", "--engine", "mock", "--model", "synthetic:1B", "--quantize", "int8", "--depth", "0,100000"];
    let ran = dir.ok(&[&wide[..], &["--memory-limit", "4G", "--dry-run", "--json"]].concat());
    let plan: serde_json::Value = serde_json::from_str(&ran.out).unwrap();
    let states: Vec<_> = plan["cases"].as_array().unwrap().iter().map(|case| case["state"].clone()).collect();
    assert_eq!(states, ["", "will not fit"]);
}

/// What an engine does not offer, what does not fit and what is not installed are rows, and the rest is measured.
#[test]
fn what_cannot_be_measured_is_a_row_with_its_reason() {
    let dir = Dir::new("sweep-skips");
    dir.write("tokometer.toml", "[engines.llamacpp]\nworker = \"/nowhere/worker\"\n");
    let ran = dir.run(&[
        "sweep",
        "--engine",
        "mock,mlc_llm,llamacpp",
        "--model",
        "synthetic:1B",
        "--quantize",
        "int8",
        "--depth",
        "0,100000",
        "--memory-limit",
        "4G",
        "--prompt-tokens",
        "8",
        "--gen-tokens",
        "4",
        "--launches",
        "1",
        "--repetitions",
        "1",
    ]);
    ran.fails(3, &["not_offered", "not_installed", "does_not_fit"]);
    let rows = dir.rows();
    let reasons: Vec<_> =
        rows.iter().filter(|row| row["status"] == "failed").map(|row| row["reason"].as_str()).collect();
    assert_eq!(reasons.iter().filter(|reason| reason.starts_with("not_offered")).count(), 2, "{reasons:?}");
    assert_eq!(reasons.iter().filter(|reason| reason.starts_with("not_installed")).count(), 2, "{reasons:?}");
    assert_eq!(reasons.iter().filter(|reason| reason.starts_with("does_not_fit")).count(), 1, "{reasons:?}");
    assert_eq!(rows.iter().filter(|row| row["status"] == "ok").count(), 4);
    assert!(rows.iter().filter(|row| row["status"] == "failed").all(|row| row["launch"].is_empty()));
    // Nothing is tried again until that is asked for.
    let again = dir.run(&["sweep", "--resume", "--measure-only"]);
    assert!(again.code == 3 && again.err.contains("5 skipped before, 0 to do"), "{}", again.err);
    // Then the old rows make room.
    dir.run(&["sweep", "--resume", "--retry-failed"]).fails(3, &["5 to do"]);
    assert_eq!(dir.rows().len(), rows.len());
}

#[test]
fn a_failing_engine_is_a_failed_case_and_is_tried_again_on_request() {
    let dir = Dir::new("sweep-retry");
    let counter = format!("fault_counter={}", dir.path("count").display());
    let fault = ["--option", "fault=crash_in_load", "--option", "fault_launch=2", "--option", &counter];
    let ran = dir.run(&matrix(&[&["--measure-only"][..], &fault].concat()));
    ran.fails(3, &["crash"]);
    assert!(ran.out.contains("3 measured, 1 failed"), "{}", ran.out);
    let ran = dir.ok(&["sweep", "--resume", "--retry-failed", "--measure-only"]);
    assert!(ran.out.contains("4 measured, 0 failed"), "{}", ran.out);
    assert_eq!(dir.logs().len(), 4);
    // Whoever went on with it, the recorded command line is the one that began it.
    for log in dir.logs() {
        let text = std::fs::read_to_string(dir.path("benchmark_output").join(&log)).unwrap();
        assert!(text.contains("fault_launch=2") && !text.contains("--resume"), "{log}");
    }
    dir.ok(&["collate"]);
    assert!(dir.rows().iter().all(|row| row["status"] == "ok"));
}

/// A sweep under way.
fn started(dir: &Dir, arguments: &[&str]) -> Child {
    dir.command(arguments).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
}

/// The processes that a process has started, from /proc.
fn children(pid: u32) -> Vec<i32> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
    text.split_whitespace().filter_map(|word| word.parse().ok()).collect()
}

/// kill -9.
pub fn kill(pid: i32) {
    // SAFETY: a signal to a process that this test has started.
    unsafe { libc::kill(pid, libc::SIGKILL) };
}

/// Numbers that look random and are the same in every run.
pub struct Dice(pub u64);

impl Dice {
    /// The next one below `n`.
    pub fn below(&mut self, n: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % n
    }

    /// Mostly short, for a sweep that goes on has less to do each time; now and then longer than a whole one takes.
    fn pause(&mut self) -> Duration {
        let longest = self.below(2500) + 1;
        Duration::from_millis(self.below(longest))
    }
}

/// Folders in which sweeps are killed at the same time.
const LANES: u64 = 4;
/// Kills in each lane.
const KILLS: u32 = 25;

/// Harness, worker, or both are killed at a hundred points; what comes out is what an undisturbed sweep makes.
#[test]
fn a_sweep_that_is_killed_a_hundred_times_loses_and_doubles_nothing() {
    let first = matrix(&["--measure-only", "--threads", "1", "--option", "sleep_ms=3"]);
    let wanted = undisturbed("sweep-calm", &first);
    // A sweep of the mock engine waits most of the time: others have room beside it.
    std::thread::scope(|scope| {
        for lane in 0..LANES {
            let (first, wanted) = (&first, &wanted);
            scope.spawn(move || {
                let (mut kills, mut folders, mut dice) = (0, 0, Dice(42 + lane));
                while kills < KILLS {
                    folders += 1;
                    let dir = Dir::new(&format!("sweep-killed-{lane}-{folders}"));
                    kills += measured_under_fire(&dir, first, KILLS - kills, &mut dice);
                    dir.ok(&["collate"]);
                    assert_eq!(essence(&dir), *wanted, "folder {folders} of lane {lane} after {kills} kills");
                    assert!(dir.logs().iter().all(|name| name.ends_with(".txt")), "{:?}", dir.logs());
                }
            });
        }
    });
}

/// Starts a sweep again and again until it is complete, and kills what runs at random points, `most` times at most. Returns
/// the number of kills.
fn measured_under_fire(dir: &Dir, first: &[&str], most: u32, dice: &mut Dice) -> u32 {
    let (mut kills, mut arguments) = (0, first.to_vec());
    loop {
        let mut child = started(dir, &arguments);
        while kills < most {
            std::thread::sleep(dice.pause());
            if child.try_wait().unwrap().is_some() {
                break;
            }
            let workers = children(child.id());
            let (harness, worker) = [(true, false), (false, true), (true, true)][dice.below(3) as usize];
            if !harness && workers.is_empty() {
                continue;
            }
            kills += 1;
            if worker {
                workers.iter().for_each(|pid| kill(*pid));
            }
            if harness {
                kill(child.id() as i32);
                break;
            }
        }
        let status = child.wait().unwrap();
        if dir.path("sweep/plan.json").is_file() {
            arguments = vec!["sweep", "--resume", "--retry-failed", "--measure-only"];
        }
        if status.code() == Some(0) {
            return kills;
        }
    }
}

/// The same with a worker that fails at random, in every way that it can.
#[test]
fn a_sweep_with_a_worker_that_fails_at_random_is_complete_in_the_end() {
    // Where there are no dice in the working folder, nothing fails.
    let first = matrix(&["--measure-only", "--timeout", "2", "--option", "fail_random=dice"]);
    let wanted = undisturbed("sweep-steady", &first);
    let dir = Dir::new("sweep-unsteady");
    dir.write("dice", "15 6");
    let mut ran = dir.run(&first);
    assert_eq!(ran.code, 3, "nothing failed: {}\n{}", ran.out, ran.err);
    for tries in 1.. {
        ran = dir.run(&["sweep", "--resume", "--retry-failed", "--measure-only"]);
        if ran.code != 3 {
            break;
        }
        assert!(ran.out.contains("4 case(s)") && ran.out.contains(" 0 skipped, 0 to do"), "{}", ran.out);
        assert!(tries < 30, "{}\n{}", ran.out, ran.err);
    }
    assert_eq!(ran.code, 0, "{}\n{}", ran.out, ran.err);
    assert!(ran.out.contains("4 case(s): 4 measured, 0 failed, 0 skipped, 0 to do"), "{}", ran.out);
    dir.ok(&["collate"]);
    assert_eq!(essence(&dir), wanted);
    assert_eq!(dir.logs().len(), 4);
}

/// A real full disk, where one can be made; the sweep goes on when there is room again.
#[test]
fn a_disk_that_fills_stops_the_sweep_and_loses_nothing() {
    let dir = Dir::new("sweep-full");
    let small = dir.path("small");
    std::fs::create_dir_all(&small).unwrap();
    let Some(_mounted) = Tmpfs::mount(&small, "600k") else {
        eprintln!("skipped: this user may not mount a file system");
        return;
    };
    let here = |arguments: &[&str]| {
        let mut command = Command::new(program());
        command.arg("--dir").arg(&small).args(arguments).env("NO_COLOR", "1").env("TOKOMETER_LOCK", dir.lock());
        Ran::of(command.output().unwrap())
    };
    std::fs::write(small.join("ballast"), vec![0u8; 480 << 10]).unwrap();
    let many = ["--launches", "6", "--repetitions", "40", "--gen-tokens", "12", "--measure-only"];
    let base =
        ["sweep", "--engine", "mock", "--model", "synthetic:tiny", "--quantize", "default,nf4", "--prompt-tokens", "8"];
    let ran = here(&[&base[..], &many].concat());
    ran.fails(1, &["No space left", "--dir"]);
    // What was measured is there; with room again it goes on.
    Tmpfs::grow(&small, "20m");
    let ran = here(&["sweep", "--resume", "--measure-only"]);
    assert_eq!(ran.code, 0, "{}\n{}", ran.out, ran.err);
    let ran = here(&["collate"]);
    assert_eq!(ran.code, 0, "{}", ran.err);
    let mut reader = csv::Reader::from_path(small.join("benchmark_output/all.csv")).unwrap();
    let rows: Vec<BTreeMap<String, String>> = reader.deserialize().map(|row| row.unwrap()).collect();
    assert_eq!(rows.len(), 2 * 6 * 40 * 12);
    assert!(rows.iter().all(|row| row["status"] == "ok"));
}

/// A small file system of its own; unmounted when dropped.
struct Tmpfs(std::path::PathBuf);

impl Tmpfs {
    fn mount(at: &std::path::Path, size: &str) -> Option<Tmpfs> {
        let option = format!("size={size}");
        let run = Command::new("mount").args(["-t", "tmpfs", "-o", &option, "tmpfs"]).arg(at).output();
        run.is_ok_and(|run| run.status.success()).then(|| Tmpfs(at.to_owned()))
    }

    fn grow(at: &std::path::Path, size: &str) {
        let option = format!("remount,size={size}");
        assert!(Command::new("mount").args(["-o", &option]).arg(at).status().unwrap().success());
    }
}

impl Drop for Tmpfs {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

#[test]
fn ctrl_c_leaves_a_sweep_that_goes_on() {
    let dir = Dir::new("sweep-ctrlc");
    let mut child = started(&dir, &matrix(&["--measure-only", "--option", "sleep_ms=100"]));
    let deadline = std::time::Instant::now() + Duration::from_secs(120);
    while dir.logs().is_empty() {
        assert!(std::time::Instant::now() < deadline);
        std::thread::sleep(Duration::from_millis(20));
    }
    let status = dir.ok(&["status"]);
    assert!(status.out.contains("running"), "{}", status.out);
    // SAFETY: a signal to a process of our own that nobody has waited for.
    assert_eq!(unsafe { libc::kill(child.id() as i32, libc::SIGINT) }, 0);
    assert_eq!(child.wait().unwrap().code(), Some(130));
    let ran = dir.ok(&["sweep", "--resume", "--measure-only"]);
    assert!(ran.out.contains("4 measured"), "{}", ran.out);
    assert!(dir.ok(&["status"]).out.contains("complete"));
    dir.ok(&["collate"]);
    assert_eq!(dir.rows().len(), 4 * 2 * 2 * 4);
}
