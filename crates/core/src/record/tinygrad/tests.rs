use super::super::read_log;
use super::super::testing::{TINYGRAD, TINYGRAD_EMPTY};
use super::*;
use std::path::Path;

const NAME: &str = "softmacs_1B_int8_seed42_uuid864c4aef.txt";

fn read(text: &str) -> Vec<Series> {
    read_log(text.as_bytes(), Path::new(NAME)).unwrap().series
}

fn step(i: u32, text: &str) -> String {
    format!("enqueue in   1.{i:02} ms\ntotal  2{i}.00 ms, 40.00 tok/s, 100.00 GB/s, param 50.00 GB/s\n{text}\n")
}

fn texts(series: &Series) -> Vec<&str> {
    series.steps.iter().map(|step| step.text.as_deref().unwrap()).collect()
}

#[test]
fn the_real_log_is_read_to_the_last_line() {
    let all = read(TINYGRAD);
    let [run] = all.as_slice() else { panic!("{} runs", all.len()) };
    assert_eq!(run.steps.len(), 20);
    let first = &run.steps[0];
    assert_eq!((first.enqueue_ms, first.total_ms, first.tokens_per_sec), (Some(21.9), Some(44.77), Some(22.34)));
    assert_eq!((first.memory_gb_s, first.param_gb_s, first.text.as_deref()), (Some(80.11), Some(33.6), Some("Hello")));
    let last = run.steps.last().unwrap();
    let text = "Hello! How can I help you today?assistant\n\nI can provide information and entertainment";
    assert_eq!((last.step, last.total_ms, last.text.as_deref()), (Some(19), Some(24.29), Some(" entertainment")));
    assert_eq!(texts(run).concat(), text);
    let c = &run.context;
    assert_eq!((c.engine.as_str(), c.hostname.as_deref(), c.seed), ("tinygrad", Some("softmacs"), Some(42)));
    assert_eq!((c.load_ms, c.launch, c.status), (Some(3.81), Some(1), Status::Ok));
    assert_eq!(c.throughput_source, Some(ThroughputSource::Engine));
}

#[test]
fn a_run_that_left_only_its_seed_is_no_error_and_no_row() {
    assert_eq!(read(TINYGRAD_EMPTY).len(), 0);
    assert_eq!(read("platform: Darwin\nhostname: box\n").len(), 0);
}

#[test]
fn several_runs_and_headers_are_told_apart() {
    let loaded = "loaded weights in 10.00 ms, 4.94 GB loaded at 1.07 GB/s\n";
    let text = format!(
        "framework: tinygrad\nhostname: a\nseed: 1\n\nseed = 1\nsome noise\n{loaded}{}seed = 2\nseed = 3\n{loaded}{}{loaded}{}\
         \nplatform: Linux\nhostname: b\n\nseed = 4\n{loaded}{}seed = 5\n",
        step(1, "a"),
        step(2, "b"),
        step(3, "c"),
        step(4, "d"),
    );
    let runs = read(&text);
    let seen: Vec<_> =
        runs.iter().map(|r| (r.context.hostname.as_deref(), r.context.seed, r.context.launch, texts(r))).collect();
    assert_eq!(
        seen,
        [
            (Some("a"), Some(1), Some(1), vec!["a"]),
            (Some("a"), Some(3), Some(3), vec!["b"]),
            (Some("a"), Some(1), Some(4), vec!["c\n"]),
            (Some("b"), Some(4), Some(5), vec!["d"]),
        ]
    );
}

#[test]
fn text_that_looks_like_a_log_stays_text() {
    let first = "x\nseed = 42\nplatform: a\n\ntotal 1.00 ms, 2.00 tok/s\nenqueue in  1.00 ms\nAnswer: 42\n\n";
    let log = format!("seed = 7\n{}{}", step(1, first), step(2, "y"));
    let runs = read(&log);
    assert_eq!(runs.len(), 1);
    assert_eq!((texts(&runs[0]), runs[0].context.seed), (vec![first, "y"], Some(7)));
}

#[test]
fn a_seed_begins_a_run_unless_the_next_text_repeats_it() {
    let two = format!("seed = 7\n{}seed = 8\n{}", step(1, "x"), step(2, "y"));
    let runs = read(&two);
    assert_eq!(
        runs.iter().map(|r| (r.context.seed, texts(r))).collect::<Vec<_>>(),
        [(Some(7), vec!["x"]), (Some(8), vec!["y"])]
    );
    let code = format!("seed = 7\n{}{}", step(1, "x\nseed = 8"), step(2, "x\nseed = 81"));
    let runs = read(&code);
    assert_eq!((runs.len(), texts(&runs[0])), (1, vec!["x\nseed = 8", "1"]));
}

#[test]
fn a_line_of_the_tool_that_looks_like_a_header_adds_to_it() {
    let log = format!("hostname: a\nplatform: P\n\nseed = 7\ndevice: METAL\nuser name: b\n{}", step(1, "x"));
    let runs = read(&log);
    let c = &runs[0].context;
    assert_eq!((runs.len(), c.seed, c.device.as_deref()), (1, Some(7), Some("METAL")));
    assert_eq!((c.hostname.as_deref(), c.platform.as_deref(), c.launch), (Some("a"), Some("P"), Some(1)));
}

#[test]
fn a_log_that_ends_inside_a_step_is_interrupted_and_keeps_the_rest() {
    let whole = format!("seed = 7\n{}", step(1, "x"));
    for tail in
        ["enq", "enqueue in  1.00 ms\n", "enqueue in  1.00 ms\nto", "enqueue in  1.00 ms\ntotal  24.07 ms, 41.5"]
    {
        let runs = read(&format!("{whole}{tail}"));
        assert_eq!((runs[0].context.status, texts(&runs[0])), (Status::Interrupted, vec!["x"]), "{tail}");
    }
    assert_eq!(read(&whole)[0].context.status, Status::Ok);
}

#[test]
fn windows_line_ends_and_broken_characters_are_read() {
    let log = format!("seed = 7\n{}", step(1, "x")).replace('\n', "\r\n");
    assert_eq!(texts(&read(&log)[0]), ["x"]);
    let mut bytes = step(1, "x").into_bytes();
    bytes.insert(bytes.len() - 1, 0xff);
    let log = read_log(&bytes, Path::new(NAME)).unwrap();
    assert_eq!(texts(&log.series[0]), ["x\u{fffd}"]);
}

#[test]
fn old_versions_without_enqueue_are_read() {
    let total = "total  20.00 ms, 50.00 tok/s, 100.00 GB/s, param 50.00 GB/s\n";
    let runs = read(&format!("seed = 7\n{total}a\n{total}ab\n"));
    assert_eq!(texts(&runs[0]), ["a", "b"]);
    assert!(runs[0].steps.iter().all(|s| s.enqueue_ms.is_none()));
}
