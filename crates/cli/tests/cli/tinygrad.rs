//! The real tinygrad on the tiny synthetic model, beside llama.cpp. `cargo xtask setup` makes its environment.

use crate::dir::{Dir, Ran, on_tiny};
use serde_json::Value;
use std::fs::{Permissions, set_permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use tokometer_core::engine::set_up_python;

#[test]
fn tinygrad_and_llama_cpp_compute_the_same_model() {
    let dir = Dir::new("same");
    // Over several prefill chunks (64 tokens each) and with llama3 RoPE scaling in force.
    let ran = dir.run(&on_tiny("verify", "llamacpp,tinygrad", &["--quantize", "float16", "--tokens", "400", "--json"]));
    assert_eq!(ran.code, 0, "{}\n{}", ran.out, ran.err);
    let told: Value = serde_json::from_str(&ran.out).unwrap();
    let agreement = &told[0];
    assert_eq!(agreement["positions"], 399);
    assert!(agreement["mean_difference"].as_f64().unwrap() < 0.01, "{agreement}");
    assert!(agreement["same_top"].as_f64().unwrap() > 0.98, "{agreement}");
    assert!(agreement["greedy_equal"].as_u64().unwrap() >= 16, "{agreement}");
}

/// Not a quantized file: llama.cpp rounds activations to 8 bits where weights are quantized, tinygrad does not.
#[test]
fn the_very_same_file_runs_in_both_engines() {
    let dir = Dir::new("same-file");
    let made: Value =
        serde_json::from_str(&dir.ok(&on_tiny("prepare", "llamacpp", &["--quantize", "float16", "--json"])).out)
            .unwrap();
    let path = made[0]["path"].as_str().unwrap();
    let ran = dir.run(&["verify", "--engine", "llamacpp,tinygrad", "--model", path, "--tokens", "100", "--json"]);
    assert_eq!(ran.code, 0, "{}\n{}", ran.out, ran.err);
}

#[test]
fn both_engines_run_side_by_side_with_what_they_really_did_in_the_rows() {
    let dir = Dir::new("both");
    dir.ok(&on_tiny(
        "all",
        "llamacpp,tinygrad",
        &[
            "--quantize",
            "default,float16,int8,nf4",
            "--prompt-tokens",
            "32",
            "--gen-tokens",
            "8",
            "--launches",
            "1",
            "--repetitions",
            "2",
        ],
    ));
    let rows = dir.rows();
    assert_eq!(rows.len(), 2 * 4 * 2 * 8);
    let tinygrad: Vec<_> = rows.iter().filter(|row| row["engine"] == "tinygrad").collect();
    for row in &tinygrad {
        for column in [
            "native_quantize",
            "bits_per_weight",
            "weights_bytes",
            "threads",
            "load_ms",
            "warmup_ms",
            "cold_ttft_ms",
            "jit_ms",
            "kernels",
            "memory_throughput_gb_s",
            "peak_rss_bytes",
        ] {
            assert_ne!(row[column], "", "{column}");
        }
        assert_eq!(row["throughput_source"], "engine");
        assert!(row["engine_version"].contains("kernels="), "{}", row["engine_version"]);
    }
    let bits = |label: &str| {
        tinygrad.iter().find(|row| row["quantize"] == label).unwrap()["bits_per_weight"].parse::<f64>().unwrap()
    };
    assert!(
        bits("float16") > bits("int8") && bits("int8") > bits("nf4"),
        "{} {} {}",
        bits("float16"),
        bits("int8"),
        bits("nf4")
    );
    // Nothing that tinygrad prints reaches the protocol, and both engines are fed the same prompt.
    let prompts: std::collections::BTreeSet<String> = dir
        .logs()
        .iter()
        .map(|name| {
            let text = std::fs::read_to_string(dir.path("benchmark_output").join(name)).unwrap();
            let plan: Value =
                serde_json::from_str(text.lines().find(|line| line.contains("\"event\":\"plan\"")).unwrap()).unwrap();
            plan["prompt"].to_string()
        })
        .collect();
    assert_eq!(prompts.len(), 1);
    assert!(std::fs::read(dir.path("presentation.pdf")).unwrap().starts_with(b"%PDF"));
}

#[test]
fn what_tinygrad_does_not_offer_is_a_failed_case_and_the_rest_goes_on() {
    let dir = Dir::new("refused");
    let ran = dir.run(&on_tiny(
        "run",
        "llamacpp,tinygrad",
        &[
            "--quantize",
            "float16,Q4_K_M",
            "--prompt-tokens",
            "16",
            "--gen-tokens",
            "4",
            "--launches",
            "1",
            "--repetitions",
            "1",
            "--option",
            "no_such_option=1",
        ],
    ));
    ran.fails(3, &["no_such_option", "tinygrad does not offer the quantization \"Q4_K_M\""]);
    dir.ok(&["collate"]);
    assert!(dir.rows().iter().any(|row| row["engine"] == "tinygrad"
        && row["status"] == "failed"
        && row["reason"].starts_with("unsupported")));
}

/// A folder where tinygrad's worker fails at its first load with int8, as `fault` says
/// (`workers/tinygrad/tests/faults/sitecustomize.py`): its interpreter is a script that puts that module on the path.
fn with_fault(name: &str, fault: &str) -> Dir {
    let dir = Dir::new(name);
    let faults = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../workers/tinygrad/tests/faults");
    let faults = faults.canonicalize().unwrap();
    let python = set_up_python("tinygrad").expect("`cargo xtask setup` makes tinygrad's environment");
    let script = dir.path("python-with-a-fault");
    dir.write(
        "python-with-a-fault",
        format!(
            "#!/bin/sh\nexport PYTHONPATH='{}':\"$PYTHONPATH\"\nexec '{}' \"$@\"\n",
            faults.display(),
            python.display()
        ),
    );
    set_permissions(&script, Permissions::from_mode(0o755)).unwrap();
    dir.write(
        "tokometer.toml",
        format!("[engines.tinygrad]\npython = {script:?}\nenv = {{ TINYGRAD_TEST_FAULTS = \"{fault}\" }}\n"),
    );
    dir
}

/// Measures tinygrad, which fails, and the mock engine: 24 tokens twice each.
fn measure_both(dir: &Dir, more: &[&str]) -> Ran {
    let workload = ["--prompt-tokens", "16", "--gen-tokens", "24", "--launches", "1", "--repetitions", "2"];
    dir.run(&on_tiny("run", "tinygrad,mock", &[&workload[..], &["--warmup", "0"], more].concat()))
}

/// The failure is one row with its reason, its last output is in the log, and the mock engine was measured all the same.
/// Returns the log.
fn failed_alone(dir: &Dir, fault: &str, kind: &str) -> String {
    dir.ok(&["collate"]);
    let rows = dir.rows();
    let failed: Vec<_> = rows.iter().filter(|row| row["status"] == "failed").collect();
    assert_eq!(failed.len(), 1, "{failed:?}");
    assert_eq!((failed[0]["engine"].as_str(), failed[0]["quantize"].as_str()), ("tinygrad", "int8"));
    assert!(failed[0]["reason"].starts_with(kind), "{}", failed[0]["reason"]);
    let of_mock = rows.iter().filter(|row| row["engine"] == "mock" && row["quantize"] == "int8");
    assert_eq!(of_mock.filter(|row| row["status"] == "ok").count(), 2 * 24);
    let name = dir.logs().into_iter().find(|name| name.starts_with("tinygrad_") && name.contains("_int8_")).unwrap();
    let log = std::fs::read_to_string(dir.path("benchmark_output").join(name)).unwrap();
    // Without a control group it is Python that runs out of memory, and it says so in its reply.
    assert!(log.contains(&format!("about to fail: {fault}")) || log.contains("limit_without_cgroup"), "{log}");
    log
}

#[test]
fn tinygrad_that_dies_in_load_is_a_failed_case_and_the_rest_goes_on() {
    let dir = with_fault("dies-in-load", "load:abort");
    measure_both(&dir, &["--quantize", "int8"]).fails(3, &["crash", "SIGABRT", "about to fail: load:abort"]);
    failed_alone(&dir, "load:abort", "crash");
}

#[test]
fn tinygrad_that_dies_while_it_compiles_is_a_failed_case_and_the_rest_goes_on() {
    let dir = with_fault("dies-in-jit", "jit:segfault");
    measure_both(&dir, &["--quantize", "int8"]).fails(3, &["crash", "SIGSEGV", "about to fail: jit:segfault"]);
    failed_alone(&dir, "jit:segfault", "crash");
}

/// In the second repetition: the first one is kept, and so is the case of the same engine that has no fault.
#[test]
fn tinygrad_that_dies_in_step_17_keeps_what_was_measured_before() {
    let dir = with_fault("dies-in-step", "step:exit");
    measure_both(&dir, &["--quantize", "int8,float16"]).fails(3, &["crash", "exit code 3", "about to fail: step:exit"]);
    let log = failed_alone(&dir, "step:exit", "crash");
    assert_eq!(log.lines().filter(|line| line.starts_with("{\"event\":\"repetition\"")).count(), 1, "{log}");
    let rows = dir.rows();
    let whole = rows.iter().filter(|row| row["engine"] == "tinygrad" && row["quantize"] == "float16");
    assert_eq!(whole.filter(|row| row["status"] == "ok").count(), 2 * 24);
}

#[test]
fn tinygrad_that_is_killed_for_memory_is_a_failed_case_and_the_rest_goes_on() {
    let dir = with_fault("killed-for-memory", "load:fill");
    measure_both(&dir, &["--quantize", "int8", "--memory-limit", "1G"]).fails(3, &["out_of_memory"]);
    failed_alone(&dir, "load:fill", "out_of_memory");
}
