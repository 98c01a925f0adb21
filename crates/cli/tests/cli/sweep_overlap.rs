//! Sweeps that measure different GPUs at the same time. On the mock engine, which pretends to have two of them.

use crate::dir::{Dir, Ran, program};
use crate::rounds::{interrupt, logs, of_kind};
use crate::sweep::{Dice, MATRIX, essence, kill};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// Columns that are others in each measurement of the mock engine: names, and what the machine was like.
const PASSING: [&str; 15] = [
    "uuid",
    "run",
    "log",
    "warnings",
    "warmup_ms",
    "peak_rss_bytes",
    "peak_anon_bytes",
    "probe_gb_s",
    "probe_gflops",
    "freq_mhz",
    "temperature_c",
    "throttle_events",
    "steal_percent",
    "joules_per_token",
    "energy_source",
];

/// Four cases in two blocks on each of these devices.
fn matrix<'a>(devices: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    [&MATRIX[..], &["--measure-only", "--device", devices], more].concat()
}

/// The program on a machine with two GPUs.
fn command(dir: &Dir, arguments: &[&str]) -> Command {
    let mut command = dir.command(arguments);
    command.env("TOKOMETER_MOCK_GPUS", "2");
    command
}

/// It must succeed.
fn ok(mut command: Command) -> Ran {
    let ran = Ran::of(command.output().unwrap());
    assert_eq!(ran.code, 0, "{}\n{}", ran.out, ran.err);
    ran
}

/// The device that a log's case names.
fn device(events: &[Value]) -> &str {
    events[0]["case"]["settings"]["device"].as_str().unwrap()
}

/// What a log says of others that were measured at the same time.
fn overlaps(events: &[Value]) -> Vec<&str> {
    let warnings = of_kind(events, "warning").into_iter();
    warnings.filter(|event| event["code"] == "overlapped").filter_map(|event| event["message"].as_str()).collect()
}

/// Whether the machine was probed before the first round of a log and after its last one.
fn is_probed(events: &[Value]) -> bool {
    let probes = of_kind(events, "probe");
    let [first, .., last] = probes.as_slice() else { panic!("a round is not closed: {probes:?}") };
    [first, last].iter().all(|event| event["reading"]["threads"].as_u64().unwrap() > 0)
}

/// The rows without the columns that pass, sorted.
fn lasting(dir: &Dir) -> Vec<String> {
    dir.ok(&["collate"]);
    let mut lines: Vec<String> = Vec::new();
    for row in dir.rows() {
        let cells = row.iter().filter(|(name, _)| !PASSING.contains(&name.as_str()));
        lines.push(cells.map(|(name, cell)| format!("{name}={cell}")).collect::<Vec<_>>().join("|"));
    }
    lines.sort();
    lines
}

/// On the floor a mock fails if its device is in use already or if it shares the machine with the processor; and on a GPU
/// it waits until the other GPU is at work, so that nothing is measured unless both are.
#[test]
fn two_gpus_are_measured_at_the_same_time_and_nothing_beside_the_processor() {
    let dir = Dir::new("overlap");
    std::fs::create_dir(dir.path("floor")).unwrap();
    let mut overlapping = command(&dir, &matrix("CPU,GPU0,GPU1", &["--overlap"]));
    overlapping.env("TOKOMETER_MOCK_FLOOR", dir.path("floor"));
    let ran = ok(overlapping);
    assert!(ran.out.contains("12 case(s): 12 measured"), "{}", ran.out);
    assert!(ran.err.contains("GPU0, GPU1 are measured at the same time"), "{}", ran.err);
    assert!(ran.err.contains("block 2 of 6 on GPU0") && ran.err.contains("GPU1: measure"), "{}", ran.err);
    let all = logs(&dir);
    for (own, other) in [("GPU0", "GPU1"), ("GPU1", "GPU0")] {
        let of_device: Vec<_> = all.iter().filter(|events| device(events) == own).collect();
        assert!(of_device.len() == 4 && of_device.iter().all(|events| !is_probed(events)));
        let told: Vec<&str> = of_device.iter().flat_map(|events| overlaps(events)).collect();
        assert!(!told.is_empty() && told.iter().all(|words| words.starts_with(other)), "{told:?}");
    }
    for events in all.iter().filter(|events| device(events) == "CPU") {
        assert!(overlaps(events).is_empty() && is_probed(events));
    }
    // One at a time the same comes out, but for the warning.
    let calm = Dir::new("overlap-calm");
    ok(command(&calm, &matrix("CPU,GPU0,GPU1", &[])));
    assert!(logs(&calm).iter().all(|events| overlaps(events).is_empty() && is_probed(events)));
    assert_eq!(lasting(&dir), lasting(&calm));
    let warned = |row: &&BTreeMap<String, String>| row["warnings"].contains("overlapped");
    let rows = dir.rows();
    let gpus: BTreeSet<&str> = rows.iter().filter(warned).map(|row| row["device"].as_str()).collect();
    assert_eq!(gpus, BTreeSet::from(["GPU0", "GPU1"]));
    // The two are told apart, and chosen one by one.
    let told = dir.ok(&["analyze"]).out;
    assert!(["GPU0", "GPU1", "CPU"].iter().all(|name| told.contains(name)), "{told}");
    let only: Value = serde_json::from_str(&dir.ok(&["analyze", "--json", "--only", "device=GPU1"]).out).unwrap();
    let groups = only["groups"].as_array().unwrap();
    assert!(groups.len() == 4 && groups.iter().all(|group| group["key"]["device"] == "GPU1"), "{groups:?}");
}

#[test]
fn what_may_be_one_device_is_measured_in_turn() {
    let dir = Dir::new("overlap-doubt");
    let ran = ok(command(&dir, &matrix("CPU,GPU0", &["--overlap"])));
    assert!(ran.err.contains("nothing overlaps"), "{}", ran.err);
    assert!(logs(&dir).iter().all(|events| overlaps(events).is_empty() && is_probed(events)));
    // Whether its numbers are those of other engines, nobody knows.
    let dir = Dir::new("overlap-renumbered");
    dir.write("tokometer.toml", "[engines.mock]\nenv = { CUDA_VISIBLE_DEVICES = \"1,0\" }\n");
    let ran = ok(command(&dir, &matrix("GPU0,GPU1", &["--overlap"])));
    assert!(ran.err.contains("nothing overlaps"), "{}", ran.err);
    dir.run(&["sweep", "--overlap", "--on", "slurm"]).fails(2, &["--overlap", "--on"]);
}

#[test]
fn a_lane_that_fails_stops_nobody() {
    let dir = Dir::new("overlap-fails");
    dir.write(
        "tokometer.toml",
        r#"
        [sweep]
        engine = "mock"
        model = "synthetic:tiny"
        quantize = "default"
        depth = [0, 16]
        prompt-tokens = 8
        gen-tokens = 4
        device = "GPU0"
        overlap = true
        [[sweep.include]]
        device = "GPU1"
        options = { fault = "crash_in_generate" }
        "#,
    );
    let arguments = ["sweep", "--launches", "1", "--repetitions", "1", "--measure-only"];
    let ran = Ran::of(command(&dir, &arguments).output().unwrap());
    ran.fails(3, &["GPU0, GPU1 are measured at the same time", "crash"]);
    assert!(ran.out.contains("4 case(s): 2 measured, 2 failed"), "{}", ran.out);
    dir.ok(&["collate"]);
    let rows = dir.rows();
    let of_status = |status: &str| rows.iter().filter(|row| row["status"] == status).count();
    assert_eq!((of_status("ok"), of_status("failed")), (2 * 4, 2));
    // It goes on in turn where that is asked for.
    let in_turn = ["sweep", "--resume", "--retry-failed", "--no-overlap", "--measure-only"];
    let ran = Ran::of(command(&dir, &in_turn).output().unwrap());
    ran.fails(3, &["2 to do"]);
    assert!(!ran.err.contains("overlaps") && !ran.err.contains("at the same time"), "{}", ran.err);
}

/// The harness is killed at twenty points; what comes out is what an undisturbed sweep makes.
#[test]
fn a_sweep_that_overlaps_and_is_killed_loses_and_doubles_nothing() {
    let first = matrix("GPU0,GPU1", &["--overlap", "--option", "sleep_ms=3"]);
    let calm = Dir::new("overlap-undisturbed");
    ok(command(&calm, &first));
    calm.ok(&["collate"]);
    let wanted = essence(&calm);
    let (mut kills, mut folders, mut dice) = (0, 0, Dice(7));
    while kills < 20 {
        let dir = Dir::new(&format!("overlap-killed-{folders}"));
        folders += 1;
        let mut arguments = first.clone();
        loop {
            let heard = std::fs::File::create(dir.path("heard")).unwrap();
            let mut child = command(&dir, &arguments).stdout(Stdio::null()).stderr(heard).spawn().unwrap();
            std::thread::sleep(Duration::from_millis(dice.below(2500)));
            if child.try_wait().unwrap().is_none() && kills < 20 {
                kills += 1;
                kill(child.id() as i32);
            }
            let code = child.wait().unwrap().code();
            if dir.path("sweep/plan.json").is_file() {
                arguments = vec!["sweep", "--resume", "--measure-only"];
            }
            let heard = std::fs::read_to_string(dir.path("heard")).unwrap();
            assert!(code.is_none_or(|code| code == 0), "{code:?} after {kills} kills: {heard}");
            if code.is_some() {
                break;
            }
        }
        dir.ok(&["collate"]);
        assert_eq!(essence(&dir), wanted, "folder {folders} after {kills} kills");
        assert!(dir.logs().iter().all(|name| name.ends_with(".txt")), "{:?}", dir.logs());
    }
}

#[test]
fn ctrl_c_finishes_the_case_of_every_lane_and_the_sweep_goes_on() {
    let dir = Dir::new("overlap-ctrlc");
    let arguments = matrix("GPU0,GPU1", &["--overlap", "--option", "sleep_ms=300"]);
    let mut child = command(&dir, &arguments).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let deadline = Instant::now() + Duration::from_secs(120);
    while dir.logs().len() < 2 {
        assert!(Instant::now() < deadline);
        std::thread::sleep(Duration::from_millis(20));
    }
    let status = dir.ok(&["status"]);
    assert!(["running", "GPU0", "GPU1"].iter().all(|word| status.out.contains(word)), "{}", status.out);
    interrupt(&child);
    assert_eq!(child.wait().unwrap().code(), Some(130));
    for events in logs(&dir) {
        assert_eq!(of_kind(&events, "repetition").len() % 2, 0, "a case was cut");
        assert!(of_kind(&events, "failure").is_empty());
    }
    // Without being asked again it goes on as it was begun.
    let ran = ok(command(&dir, &["sweep", "--resume", "--measure-only"]));
    assert!(ran.out.contains("8 case(s): 8 measured"), "{}", ran.out);
    assert!(ran.err.contains("are measured at the same time"), "{}", ran.err);
    dir.ok(&["collate"]);
    assert_eq!(dir.rows().len(), 8 * 2 * 2 * 4);
}

#[test]
fn a_record_that_cannot_be_written_stops_all_lanes() {
    let dir = Dir::new("overlap-full");
    // A limit on the size of files fails writes just as a full disk does; one block is 512 bytes.
    let script = format!(
        "trap '' XFSZ; ulimit -f 16; exec '{}' --dir '{}' sweep --engine mock --model synthetic:tiny \
         --quantize default --device GPU0,GPU1 --launches 30 --gen-tokens 64 --overlap --measure-only",
        program(),
        dir.path("").display()
    );
    let output = Command::new("sh")
        .args(["-c", &script])
        .env("TOKOMETER_MOCK_GPUS", "2")
        .env("TOKOMETER_LOCK", dir.lock())
        .output()
        .unwrap();
    Ran::of(output).fails(1, &["cannot write the raw log", "benchmark_output"]);
    assert!(dir.logs().iter().all(|name| name.ends_with(".partial")), "{:?}", dir.logs());
}
