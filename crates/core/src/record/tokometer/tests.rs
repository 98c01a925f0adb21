use super::super::read_log;
use super::super::series::{Phase, Step, ThroughputSource};
use super::super::testing::own_log;
use super::*;
use std::path::Path;

fn read(bytes: &[u8]) -> super::super::Result<Vec<Series>> {
    read_log(bytes, Path::new("x.txt")).map(|log| log.series)
}

/// A log with one repetition whose `generated` is given, without a closing line.
fn repetition(generated: &str) -> String {
    let event = format!(r#"{{"event":"repetition","launch":1,"round":1,"repetition":1,"generated":{generated}}}"#);
    format!("tokometer-log: 1\nframework: mock\nweights_bytes: 1000\n\n{event}\n")
}

#[test]
fn a_repetition_is_a_prefill_step_and_decode_steps() {
    let all = read(&own_log()).unwrap();
    let steps = &all[0].steps;
    let prefill = Step {
        step: Some(0),
        phase: Phase::Prefill,
        tokens: Some(8),
        position: Some(16),
        enqueue_ms: Some(1.0),
        total_ms: Some(10.0),
        text: Some("a".into()),
        ..Step::default()
    };
    assert_eq!(steps[0], prefill);
    // 3 MB of weights and 1 kB for each of 25 tokens in 4 ms; 4 MB of stored weights.
    let decode = Step {
        step: Some(1),
        phase: Phase::Decode,
        tokens: Some(1),
        position: Some(24),
        enqueue_ms: Some(0.5),
        total_ms: Some(4.0),
        memory_gb_s: Some(3_025_000.0 / 4e6),
        param_gb_s: Some(1.0),
        text: Some(", \"b\"".into()),
        ..Step::default()
    };
    assert_eq!(steps[1], decode);
    // Handed over before the step began: no such moment inside it.
    assert_eq!((steps[2].enqueue_ms, steps[2].position), (None, Some(25)));
    assert_eq!(steps[2].text.as_deref(), Some("\nc"));
    assert_eq!(all[0].context.throughput_source, Some(ThroughputSource::Model));
}

#[test]
fn a_launch_tells_its_series_what_it_loaded_and_used() {
    let all = read(&own_log()).unwrap();
    let seen: Vec<_> = all.iter().map(|s| (s.context.launch, s.context.repetition, s.context.status)).collect();
    let expected = [(Some(1), Some(1), Status::Ok), (Some(1), Some(2), Status::Ok), (Some(2), None, Status::Failed)];
    assert_eq!(seen, expected);
    let c = &all[0].context;
    assert_eq!((c.native_quantize.as_deref(), c.threads, c.weights_bytes), (Some("Q4"), Some(2), Some(4_000_000)));
    // The header's bits per weight stay.
    assert_eq!((c.bits_per_weight, c.load_ms, c.warmup_ms), (Some(4.5), Some(2.0), Some(7.0)));
    assert_eq!((c.cold_ttft_ms, c.jit_ms, c.kernels), (Some(12.0), Some(2.5), Some(31)));
    assert_eq!((c.peak_rss_bytes, c.peak_anon_bytes), (Some(1 << 20), None));
    assert_eq!((c.prompt_tokens, c.gen_tokens, c.depth), (Some(8), Some(3), Some(16)));
    assert_eq!((c.engine_version.as_deref(), c.warnings.join(" ")), (Some("1.2"), "high_load battery".to_owned()));
    let failed = &all[2].context;
    assert_eq!((failed.reason.as_deref(), failed.round), (Some("crash: signal 9"), Some(2)));
    // Its launch had neither load nor warm-up.
    assert_eq!((failed.cold_ttft_ms, failed.jit_ms, failed.kernels), (None, None, None));
    assert_eq!((failed.warnings.join(" "), all[2].steps.len()), ("battery".to_owned(), 0));
}

#[test]
fn a_device_keeps_the_number_that_was_asked_for() {
    for (planned, loaded, told) in [
        (Some("CUDA1"), "CUDA1", Some("CUDA1")),
        (Some("CUDA1"), "cuda:1", Some("CUDA1")),
        (Some("CUDA1"), "CPU", Some("CPU")),
        (Some("CUDA1"), "", Some("CUDA1")),
        (Some("CUDA"), "CUDA0", Some("CUDA")),
        (Some("CPU:LLVM"), "CPU:LLVM", Some("CPU")),
        (None, "CUDA0", Some("CUDA")),
        (None, "", None),
    ] {
        assert_eq!(device_of(loaded, planned.map(str::to_owned)).as_deref(), told, "{planned:?} {loaded}");
    }
}

/// A worker that stays loaded over two rounds and fails in the third.
const RESIDENT: &str = concat!(
    "tokometer-log: 1\nframework: mock\n\n",
    r#"{"event":"launch","launch":1,"round":1,"order":1,"hello":{},"start_ns":1}"#,
    "\n",
    r#"{"event":"warmup","launch":1,"elapsed_ns":3000000,"generated":{}}"#,
    "\n",
    r#"{"event":"repetition","launch":1,"round":1,"repetition":1,"generated":{"done_ns":[5]}}"#,
    "\n",
    r#"{"event":"resources","launch":1,"peak_rss_bytes":10}"#,
    "\n",
    r#"{"event":"note","launch":1,"code":"resident","message":"stays"}"#,
    "\n",
    r#"{"event":"visit","launch":1,"round":2,"order":1}"#,
    "\n",
    r#"{"event":"warning","launch":1,"code":"other_load","message":"words"}"#,
    "\n",
    r#"{"event":"warmup","launch":1,"elapsed_ns":1000000,"generated":{}}"#,
    "\n",
    r#"{"event":"repetition","launch":1,"round":2,"repetition":2,"generated":{"done_ns":[6]}}"#,
    "\n",
    r#"{"event":"resources","launch":1,"peak_rss_bytes":20}"#,
    "\n",
    r#"{"event":"visit","launch":1,"round":3,"order":1}"#,
    "\n",
    r#"{"event":"failure","launch":1,"kind":"crash","reason":"signal 9"}"#,
    "\n",
);

#[test]
fn a_launch_that_spans_rounds_keeps_them_apart() {
    let all = read(RESIDENT.as_bytes()).unwrap();
    let places: Vec<_> = all.iter().map(|s| (s.context.launch, s.context.round, s.context.repetition)).collect();
    assert_eq!(places, [(Some(1), Some(1), Some(1)), (Some(1), Some(2), Some(2)), (Some(1), Some(3), None)]);
    let warnings: Vec<_> = all.iter().map(|s| s.context.warnings.join(" ")).collect();
    assert_eq!(warnings, ["", "other_load", ""]);
    // What a start costs is the first warm-up alone; memory only grows.
    assert!(all.iter().all(|s| s.context.warmup_ms == Some(3.0) && s.context.peak_rss_bytes == Some(20)));
}

#[test]
fn a_repetition_without_a_round_is_of_the_round_of_its_launch() {
    let all = read(RESIDENT.replace(r#""round":1,"repetition":1"#, r#""repetition":1"#).as_bytes()).unwrap();
    assert_eq!(all[0].context.round, Some(1));
}

#[test]
fn a_run_that_was_stopped_says_by_whom() {
    let stopped = format!(
        "{RESIDENT}{}\n{}\n",
        r#"{"event":"note","code":"interrupted","message":"by the user"}"#,
        r#"{"event":"end","status":"interrupted","events":13,"sha256":""}"#
    );
    let all = read(stopped.as_bytes()).unwrap();
    assert_eq!((all[0].context.status, all[0].context.reason.as_deref()), (Status::Interrupted, Some("by the user")));
    assert_eq!(all[2].context.reason.as_deref(), Some("crash: signal 9"));
    assert!(read(RESIDENT.as_bytes()).unwrap()[0].context.reason.is_none());
}

#[test]
fn an_edited_log_keeps_its_rows_and_says_so() {
    let log = String::from_utf8(own_log()).unwrap();
    for edited in [
        log.replace("14000000", "13000000"),
        log.replace("hostname: host", "hostname: other"),
        log.replace("\"events\":12", "\"events\":11"),
        format!("{log}{{\"event\":\"later\"}}\n"),
    ] {
        assert_ne!(edited, log);
        let all = read(edited.as_bytes()).unwrap();
        assert_eq!(all.len(), 3);
        assert!(all.iter().all(|s| s.context.warnings.contains(&"edited_log".to_owned())));
    }
    assert!(read(log.as_bytes()).unwrap().iter().all(|s| !s.context.warnings.contains(&"edited_log".to_owned())));
}

#[test]
fn a_killed_run_keeps_all_whole_lines_wherever_it_was_cut() {
    let log = own_log();
    let ends: Vec<usize> = (0..log.len()).filter(|&i| log[i] == b'\n').collect();
    let mut series = 0;
    for cut in 17..log.len() - 1 {
        let all = read(&log[..cut]).unwrap_or_else(|e| panic!("cut at {cut}: {e}"));
        assert!(all.len() >= series, "cut at {cut}");
        assert!(all.iter().all(|s| s.context.status != Status::Ok), "cut at {cut}");
        series = all.len();
    }
    assert_eq!((series, ends.len()), (3, 20));
}

#[test]
fn damage_is_named_with_its_line() {
    let log = String::from_utf8(own_log()).unwrap();
    for (good, bad, line) in [
        ("\"done_ns\":[", "\"done_ns\":[x", 10),
        ("{\"event\":\"load\"", "{\"event\":\"load", 9),
        ("{\"event\":\"repetition\"", "{\"event\":\"repetition\",", 12),
    ] {
        let error = read(log.replacen(good, bad, 1).as_bytes()).unwrap_err();
        assert_eq!(error.line(), Some(line), "{error}");
    }
    for (generated, words) in [
        (r#"{"done_ns":[2,1]}"#, "backwards at entry 1"),
        (r#"{"done_ns":[]}"#, "without a single step"),
        (r#"{"done_ns":[1,2],"pieces":["a"]}"#, "`pieces` has 1 entries"),
        (r#"{"done_ns":[1,2],"prompt_tokens":4294967295,"context_tokens":4294967295}"#, "more tokens of context"),
        (r#"{"done_ns":[-1]}"#, "invalid value"),
    ] {
        let error = read(repetition(generated).as_bytes()).unwrap_err();
        assert_eq!(error.line(), Some(5));
        assert!(error.reason().contains(words), "{error}");
    }
}

#[test]
fn what_is_not_known_is_missing() {
    let all = read(repetition(r#"{"done_ns":[5,5,7],"prompt_tokens":1}"#).as_bytes()).unwrap();
    let steps = &all[0].steps;
    // No time passed: no rate. No size of the KV cache: no memory throughput.
    assert_eq!((steps[1].total_ms, steps[1].param_gb_s, steps[2].param_gb_s), (Some(0.0), None, Some(500.0)));
    assert!(steps.iter().all(|s| s.memory_gb_s.is_none() && s.enqueue_ms.is_none() && s.text.is_none()));
    assert_eq!(all[0].context.throughput_source, None);
    let counted = read(repetition(r#"{"done_ns":[5,6],"engine_bytes":[10,20]}"#).as_bytes()).unwrap();
    assert_eq!((counted[0].steps[0].memory_gb_s, counted[0].steps[1].memory_gb_s), (Some(2.0), Some(20.0)));
    assert_eq!(counted[0].context.throughput_source, Some(ThroughputSource::Engine));
}

#[test]
fn chunks_of_several_tokens_are_steps_with_their_tokens() {
    let text = r#"{"prompt_tokens":8,"done_ns":[5,9,17],"step_tokens":[1,1,2],"pieces":["a","b","cd"]}"#;
    let steps = read(repetition(text).as_bytes()).unwrap()[0].steps.clone();
    let seen: Vec<_> = steps.iter().map(|s| (s.tokens, s.position, s.tokens_per_sec)).collect();
    // Two tokens in 8 ns; each reads the weights of 1000 bytes once.
    assert_eq!(seen, [(Some(8), Some(0), None), (Some(1), Some(8), None), (Some(2), Some(9), Some(2.5e8))]);
    assert_eq!((steps[1].param_gb_s, steps[2].param_gb_s), (Some(250.0), Some(250.0)));
    for (generated, words) in [
        (r#"{"done_ns":[1,2],"step_tokens":[1]}"#, "`step_tokens` has 1 entries"),
        (r#"{"done_ns":[1,2],"step_tokens":[1,0]}"#, "without a token"),
    ] {
        let error = read(repetition(generated).as_bytes()).unwrap_err();
        assert!(error.reason().contains(words), "{error}");
    }
}

#[test]
fn another_version_or_an_open_header_is_refused() {
    let error = read(b"tokometer-log: 2\n\n").unwrap_err();
    assert!(error.reason().contains("version `2`"), "{error}");
    let error = read(b"tokometer-log: 1\nframework: mock\n{\"event\":\"end\"}\n").unwrap_err();
    assert_eq!(error.line(), Some(3));
}
