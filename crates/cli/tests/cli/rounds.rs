//! Rounds: their order, who stays loaded, what ends them, and Ctrl-C. On the mock engine.

use crate::dir::{Dir, Ran};
use serde_json::Value;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

/// Four cases of the mock engine.
const CASES: [&str; 2] = ["--quantize", "default,float16,int8,nf4"];

/// As few as have an order.
const TWO_CASES: [&str; 2] = ["--quantize", "default,nf4"];

fn run(dir: &Dir, more: &[&str]) -> Ran {
    run_cases(dir, &CASES, more)
}

fn run_cases(dir: &Dir, cases: &[&str], more: &[&str]) -> Ran {
    let ran = dir.mock(&[cases, more].concat());
    assert_eq!(ran.code, 0, "{}\n{}", ran.out, ran.err);
    ran
}

/// The events of every raw log.
pub fn logs(dir: &Dir) -> Vec<Vec<Value>> {
    let read = |name: String| -> Vec<Value> {
        let text = std::fs::read_to_string(dir.path("benchmark_output").join(name)).unwrap();
        text.lines().filter(|line| line.starts_with('{')).map(|line| serde_json::from_str(line).unwrap()).collect()
    };
    dir.logs().into_iter().map(read).collect()
}

/// The events of that kind.
pub fn of_kind<'a>(events: &'a [Value], kind: &str) -> Vec<&'a Value> {
    events.iter().filter(|event| event["event"] == kind).collect()
}

/// For each round, the cases in the order in which they were measured.
fn orders(dir: &Dir) -> Vec<Vec<String>> {
    let mut places = Vec::new();
    for events in logs(dir) {
        let case = events[0]["case"]["quantize"].as_str().unwrap().to_owned();
        for event in events.iter().filter(|event| event["event"] == "launch" || event["event"] == "visit") {
            places.push((event["round"].as_u64().unwrap(), event["order"].as_u64().unwrap(), case.clone()));
        }
    }
    places.sort();
    let rounds = places.last().unwrap().0;
    (1..=rounds)
        .map(|round| places.iter().filter(|place| place.0 == round).map(|place| place.2.clone()).collect())
        .collect()
}

fn note(events: &[Value], code: &str) -> Option<String> {
    let notes = of_kind(events, "note");
    notes.iter().find(|note| note["code"] == code).map(|note| note["message"].as_str().unwrap().to_owned())
}

#[test]
fn each_round_has_its_order_and_the_seed_repeats_it() {
    let (first, again, other) = (Dir::new("order1"), Dir::new("order2"), Dir::new("order3"));
    for (dir, seed) in [(&first, "7"), (&again, "7"), (&other, "8")] {
        run(dir, &["--seed", seed, "--rounds", "4", "--launches", "1", "--repetitions", "1", "--resident", "always"]);
    }
    let drawn = orders(&first);
    assert_eq!(drawn.len(), 4);
    for order in &drawn {
        let mut cases = order.clone();
        cases.sort();
        assert_eq!(cases, ["default", "float16", "int8", "nf4"]);
    }
    assert!(drawn.iter().any(|order| *order != drawn[0]), "{drawn:?}");
    assert_eq!(drawn, orders(&again));
    assert_ne!(drawn, orders(&other));
}

#[test]
fn without_further_words_every_round_starts_a_fresh_process() {
    let dir = Dir::new("fresh");
    run(&dir, &["--launches", "2", "--repetitions", "1"]);
    for events in logs(&dir) {
        assert_eq!((of_kind(&events, "launch").len(), of_kind(&events, "visit").len()), (2, 0));
        assert_eq!(note(&events, "resident"), None);
    }
}

#[test]
fn a_resident_worker_loads_once_and_is_warmed_up_at_each_visit() {
    let dir = Dir::new("resident");
    let ran =
        run(&dir, &["--rounds", "3", "--launches", "1", "--repetitions", "2", "--warmup", "3", "--resident", "always"]);
    assert!(ran.err.contains("stays loaded between rounds"), "{}", ran.err);
    assert!(ran.out.contains("stayed loaded between rounds"), "{}", ran.out);
    let all = logs(&dir);
    assert_eq!(all.len(), 4);
    for events in &all {
        assert_eq!((of_kind(events, "load").len(), of_kind(events, "visit").len()), (1, 2));
        assert_eq!(of_kind(events, "warmup").len(), 3 + 1 + 1);
        let numbers: Vec<_> = of_kind(events, "repetition")
            .iter()
            .map(|event| (event["launch"].as_u64(), event["round"].as_u64(), event["repetition"].as_u64()))
            .collect();
        let expected: Vec<_> = (0..6u64).map(|i| (Some(1), Some(i / 2 + 1), Some(i + 1))).collect();
        assert_eq!(numbers, expected);
        assert!(note(events, "resident").is_some() && note(events, "ended").is_some());
        assert_eq!(events[0]["schedule"]["resident"], "always");
    }
    dir.ok(&["collate"]);
    let rows = dir.rows();
    // 4 cases x 3 rounds x 2 repetitions x 4 steps.
    assert_eq!(rows.len(), 96);
    assert!(rows.iter().all(|row| row["launch"] == "1" && row["status"] == "ok"));
    for round in ["1", "2", "3"] {
        assert_eq!(rows.iter().filter(|row| row["round"] == round).count(), 32);
    }
}

/// Five probes come whatever the rounds take, four of them behind a round; then only now and then.
#[test]
fn a_case_that_computed_last_is_not_warmed_up_again() {
    let dir = Dir::new("warm");
    run_cases(
        &dir,
        &["--quantize", "nf4"],
        &["--rounds", "8", "--launches", "1", "--repetitions", "1", "--resident", "always"],
    );
    let all = logs(&dir);
    let readings = of_kind(&all[0], "probe").into_iter().map(|event| event["reading"]["threads"] != 0);
    assert_eq!(readings.collect::<Vec<_>>(), [true, true, true, true, true, false, false, false, false, true]);
    let kinds = all[0].iter().filter_map(|event| event["event"].as_str());
    let computed: Vec<&str> = kinds.filter(|kind| ["warmup", "repetition"].contains(kind)).collect();
    let (cold, warm) = (["warmup", "repetition"].repeat(5), ["repetition"; 3]);
    assert_eq!(computed, [&cold[..], &warm].concat());
}

#[test]
fn launches_are_spread_over_the_rounds() {
    let dir = Dir::new("spread");
    let schedule = ["--rounds", "4", "--launches", "2", "--repetitions", "1", "--resident", "always"];
    run_cases(&dir, &TWO_CASES, &schedule);
    for events in logs(&dir) {
        let rounds = |kind| -> Vec<_> {
            of_kind(&events, kind).iter().map(|event| (event["launch"].as_u64(), event["round"].as_u64())).collect()
        };
        assert_eq!(rounds("launch"), [(Some(1), Some(1)), (Some(2), Some(3))]);
        assert_eq!(rounds("visit"), [(Some(1), Some(2)), (Some(2), Some(4))]);
        assert_eq!(of_kind(&events, "load").len(), 2);
    }
}

#[test]
fn nobody_stays_who_is_not_to() {
    let dir = Dir::new("never");
    let schedule = ["--rounds", "3", "--launches", "1", "--repetitions", "1", "--resident", "never"];
    run_cases(&dir, &TWO_CASES, &schedule);
    for events in logs(&dir) {
        assert_eq!((of_kind(&events, "load").len(), of_kind(&events, "visit").len()), (3, 0));
        assert!(note(&events, "not_resident").unwrap().contains("as asked"));
    }
}

/// A crash costs the rest of its round; the next round starts the worker anew, and it stays.
#[test]
fn a_worker_that_crashes_is_started_again_and_stays() {
    let dir = Dir::new("crash-resident");
    let counter = format!("fault_counter={}", dir.path("count").display());
    let fault = ["--option", "fault=crash_in_generate", "--option", "fault_launch=1", "--option", counter.as_str()];
    let schedule = ["--rounds", "3", "--launches", "1", "--repetitions", "1", "--resident", "always"];
    dir.mock(&[&fault[..], &schedule[..]].concat()).fails(3, &["launch 1", "crash"]);
    let events = logs(&dir).remove(0);
    assert_eq!((of_kind(&events, "launch").len(), of_kind(&events, "visit").len()), (2, 1));
    assert_eq!(of_kind(&events, "repetition").len(), 2);
}

#[test]
fn a_budget_ends_the_run_early_with_whole_rounds_and_says_so() {
    let dir = Dir::new("budget");
    let ran = run(&dir, &["--rounds", "10000", "--budget", "3s", "--repetitions", "2", "--resident", "always"]);
    assert!(ran.out.contains("the budget:"), "{}", ran.out);
    let all = logs(&dir);
    let repetitions: Vec<_> = all.iter().map(|events| of_kind(events, "repetition").len()).collect();
    assert!(repetitions[0] >= 2 && repetitions.iter().all(|n| *n == repetitions[0]), "{repetitions:?}");
    assert!(repetitions[0] < 20_000);
    for events in &all {
        assert!(note(events, "ended").unwrap().contains("budget"));
        assert_eq!(events.last().unwrap()["status"], "ok");
        assert_eq!(events[0]["schedule"]["ends"]["budget_s"], 3);
    }
    dir.ok(&["collate"]);
    assert_eq!(dir.rows().len(), 4 * repetitions[0] * 4);
}

/// The mock engine's times are exact: its intervals have no width.
#[test]
fn narrow_intervals_end_the_run() {
    let dir = Dir::new("until");
    let ends = ["--until", "1%", "--rounds", "50", "--repetitions", "2", "--resident", "always"];
    let ran = run_cases(&dir, &TWO_CASES, &ends);
    assert!(ran.out.contains('±'), "{}", ran.out);
    let all = logs(&dir);
    assert!(all.iter().all(|events| of_kind(events, "repetition").len() < 100));
    assert_eq!(all[0][0]["schedule"]["ends"]["until"], 0.01);
}

#[test]
fn narrow_ratios_end_the_run() {
    let dir = Dir::new("until-ratios");
    let ends = ["--until", "1%", "--ratios", "--rounds", "50", "--repetitions", "2", "--resident", "always"];
    let ran = run_cases(&dir, &TWO_CASES, &ends);
    assert!(ran.out.contains("interval of a ratio ±"), "{}", ran.out);
    assert_eq!(logs(&dir)[0][0]["schedule"]["ends"]["ratios"], true);
    dir.mock(&["--ratios"]).fails(1, &["--until 1% --ratios"]);
}

#[test]
fn ends_that_make_no_sense_are_refused() {
    let dir = Dir::new("ends");
    dir.mock(&["--budget", "soon"]).fails(2, &["10m"]);
    dir.mock(&["--until", "200%"]).fails(2, &["1%"]);
    dir.mock(&["--rounds", "0"]).fails(1, &["--rounds"]);
    dir.mock(&["--rounds", "2", "--launches", "3"]).fails(1, &["--rounds", "--launches"]);
    dir.mock(&["--resident", "perhaps"]).fails(2, &["always"]);
}

/// A run that is under way: an event of that kind is in a log.
pub fn under_way(dir: &Dir, kind: &str, more: &[&str]) -> Child {
    let fixed = ["run", "--engine", "mock", "--model", "synthetic:tiny", "--prompt-tokens", "8", "--gen-tokens", "4"];
    let mut command = dir.command(&[&fixed[..], more].concat());
    let child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let sign = format!("{{\"event\":\"{kind}\"");
    let measured = || {
        let names = dir.logs();
        let texts =
            names.iter().filter_map(|name| std::fs::read_to_string(dir.path("benchmark_output").join(name)).ok());
        texts.into_iter().any(|text| text.contains(&sign))
    };
    let deadline = Instant::now() + Duration::from_secs(300);
    while !measured() {
        assert!(Instant::now() < deadline, "there is no {kind}");
        std::thread::sleep(Duration::from_millis(10));
    }
    child
}

/// Ctrl-C.
pub fn interrupt(child: &Child) {
    // SAFETY: a signal to a process of our own that nobody has waited for.
    assert_eq!(unsafe { libc::kill(child.id() as i32, libc::SIGINT) }, 0);
}

#[test]
fn one_ctrl_c_finishes_the_case_and_closes_the_logs() {
    let dir = Dir::new("ctrlc1");
    let schedule = ["--launches", "500", "--repetitions", "3", "--option", "sleep_ms=30"];
    let child = under_way(&dir, "repetition", &[&CASES[..], &schedule[..]].concat());
    interrupt(&child);
    let ran = Ran::of(child.wait_with_output().unwrap());
    ran.fails(130, &["Ctrl-C again", "what was measured is kept"]);
    let all = logs(&dir);
    assert!(dir.logs().iter().all(|name| name.ends_with(".txt")), "{:?}", dir.logs());
    for events in &all {
        assert_eq!(of_kind(events, "repetition").len() % 3, 0, "a case was cut");
        assert!(of_kind(events, "failure").is_empty());
        assert!(note(events, "interrupted").is_some());
        assert_eq!(events.last().unwrap()["status"], "interrupted");
    }
    dir.ok(&["collate"]);
    let rows = dir.rows();
    assert!(!rows.is_empty());
    assert!(rows.iter().all(|row| row["status"] == "interrupted" && row["reason"].contains("Ctrl-C")));
}

#[test]
fn two_ctrl_c_stop_now_and_what_was_measured_stays() {
    let dir = Dir::new("ctrlc2");
    // After the first repetition the second takes longer than anybody waits.
    let schedule = ["--launches", "1", "--repetitions", "2", "--warmup", "0", "--option", "sleep_ms=20"];
    let child = under_way(&dir, "repetition", &[&schedule[..], &["--option", "slow_after=1"][..]].concat());
    interrupt(&child);
    std::thread::sleep(Duration::from_millis(200));
    interrupt(&child);
    let ran = Ran::of(child.wait_with_output().unwrap());
    ran.fails(130, &["stopping now"]);
    let events = logs(&dir).remove(0);
    assert_eq!(of_kind(&events, "repetition").len(), 1);
    assert!(of_kind(&events, "failure").is_empty(), "the engine did not fail by itself");
    assert_eq!(events.last().unwrap()["status"], "interrupted");
    dir.ok(&["collate"]);
    assert_eq!(dir.rows().len(), 4);
}

#[test]
fn a_killed_harness_keeps_what_resident_workers_measured() {
    let dir = Dir::new("kill-resident");
    let schedule = ["--rounds", "500", "--launches", "1", "--repetitions", "2", "--resident", "always"];
    let mut child = under_way(&dir, "visit", &[&schedule[..], &["--option", "sleep_ms=20"][..]].concat());
    std::thread::sleep(Duration::from_millis(300));
    child.kill().unwrap();
    child.wait().unwrap();
    let name = dir.logs().remove(0);
    let text = std::fs::read_to_string(dir.path("benchmark_output").join(name)).unwrap();
    let whole = |line: &&str| line.starts_with("{\"event\":\"repetition\"") && line.ends_with('}');
    let repetitions = text.lines().filter(whole).count();
    dir.ok(&["collate"]);
    let rows = dir.rows();
    let measured = rows.iter().filter(|row| row["status"] == "interrupted" && !row["step"].is_empty());
    assert_eq!(measured.count(), repetitions * 4);
    assert!(rows.iter().all(|row| row["launch"] == "1") && rows.iter().any(|row| row["round"] == "2"));
}
