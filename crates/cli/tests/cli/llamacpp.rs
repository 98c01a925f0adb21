//! The real llama.cpp on the tiny synthetic model.

use crate::dir::{Dir, names, on_tiny};
use tokometer_core::engine::{Overrides, Timeouts, Worker, by_name, find_worker};
use tokometer_protocol::Request;

#[test]
fn four_quantizations_from_nothing_to_the_pdf() {
    let dir = Dir::new("llamacpp");
    let ran = dir.ok(&on_tiny(
        "all",
        "llamacpp",
        &[
            "--quantize",
            "default,float16,int8,nf4",
            "--prompt-tokens",
            "32",
            "--gen-tokens",
            "8",
            "--launches",
            "2",
            "--repetitions",
            "2",
        ],
    ));
    assert!(ran.out.contains("nf4 (Q4_K_M)") && ran.out.contains("presentation.pdf"), "{}", ran.out);
    assert!(ran.out.lines().all(|line| line.chars().count() <= 80 || line.contains('/')), "{}", ran.out);
    let rows = dir.rows();
    assert_eq!(rows.len(), 4 * 2 * 2 * 8);
    let bits = |label: &str| {
        rows.iter().find(|row| row["quantize"] == label).unwrap()["bits_per_weight"].parse::<f64>().unwrap()
    };
    assert!(
        bits("float16") > bits("int8")
            && bits("int8") > bits("default")
            && bits("default") > bits("nf4")
            && bits("nf4") > 4.0
    );
    assert!(
        rows.iter().all(|row| !row["threads"].is_empty() && !row["peak_rss_bytes"].is_empty() && row["status"] == "ok")
    );
    assert!(
        rows.iter()
            .filter(|row| row["phase"] == "decode")
            .all(|row| !row["memory_throughput_gb_s"].is_empty() && row["throughput_source"] == "model")
    );
    // What `auto` came to is known, and a processor has no moment of handing work over.
    assert!(rows.iter().all(|row| !row["flash_attn"].is_empty() && row["enqueue_latency_ms"].is_empty()));
    // Interrupted preparations leave nothing behind, finished ones no half-made folders.
    assert!(names(&dir.path("models")).iter().all(|name| !name.starts_with(".partial")));
    // The second time nothing is made again.
    let again: serde_json::Value = serde_json::from_str(
        &dir.ok(&on_tiny("prepare", "llamacpp", &["--quantize", "default,float16,int8,nf4", "--json"])).out,
    )
    .unwrap();
    assert!(again.as_array().unwrap().iter().all(|entry| entry["reused"] == true), "{again}");
}

#[test]
fn the_same_seed_generates_the_same_tokens_and_another_does_not() {
    let dir = Dir::new("seeds");
    let text = |seed: &str| {
        dir.ok(&on_tiny(
            "run",
            "llamacpp",
            &[
                "--quantize",
                "float16",
                "--prompt-tokens",
                "16",
                "--gen-tokens",
                "8",
                "--launches",
                "1",
                "--repetitions",
                "1",
                "--seed",
                seed,
            ],
        ));
        dir.ok(&["collate"]);
        dir.rows()
            .into_iter()
            .filter(|row| row["seed"] == seed)
            .map(|row| row["generated_text"].clone())
            .collect::<Vec<_>>()
    };
    let first = text("1");
    assert_eq!(first.len(), 8);
    assert_ne!(first, text("2"));
    let twice = text("1");
    assert_eq!((twice.len(), &twice[..8], &twice[8..]), (16, &first[..], &first[..]));
}

#[test]
fn depth_is_filled_outside_the_clock_and_recorded() {
    let dir = Dir::new("depth");
    dir.ok(&on_tiny(
        "run",
        "llamacpp",
        &[
            "--quantize",
            "float16",
            "--prompt-tokens",
            "16",
            "--gen-tokens",
            "4",
            "--depth",
            "100",
            "--launches",
            "1",
            "--repetitions",
            "1",
        ],
    ));
    dir.ok(&["collate"]);
    let positions: Vec<_> = dir.rows().iter().map(|row| row["position"].clone()).collect();
    assert_eq!(positions, ["100", "116", "117", "118"]);
}

#[test]
fn a_ready_gguf_runs_as_it_is_and_is_not_quantized_twice() {
    let dir = Dir::new("ready");
    let made: serde_json::Value =
        serde_json::from_str(&dir.ok(&on_tiny("prepare", "llamacpp", &["--quantize", "nf4", "--json"])).out).unwrap();
    let path = made[0]["path"].as_str().unwrap();
    dir.ok(&["run", "--engine", "llamacpp", "--model", path, "--quick"]);
    dir.ok(&["collate"]);
    assert!(dir.rows().iter().all(|row| row["quantize"] == "default" && row["native_quantize"] == "Q4_K_M"));
    dir.run(&["prepare", "--engine", "llamacpp", "--model", path, "--quantize", "int8"]).fails(1, &["Q4_K_M already"]);
}

#[test]
fn a_quantization_tells_how_many_tensors_are_done() {
    let dir = Dir::new("quantizing");
    let made: serde_json::Value =
        serde_json::from_str(&dir.ok(&on_tiny("prepare", "llamacpp", &["--quantize", "float16", "--json"])).out)
            .unwrap();
    let found = find_worker(by_name("llamacpp").unwrap(), &Overrides::default()).unwrap();
    let mut worker = Worker::start(&found, Timeouts::default()).unwrap();
    let mut told = Vec::new();
    for native in ["Q8_0", "Q4_K_M"] {
        let ask = Request::Quantize {
            input: made[0]["path"].as_str().unwrap().into(),
            output: dir.path(native).display().to_string(),
            native: native.into(),
            threads: 2,
        };
        worker.call(ask, |step| told.push((step.stage.clone(), step.done, step.total))).unwrap();
        let total = told.len() as u64;
        assert!(total > 1);
        let expected: Vec<_> = (0..total).map(|done| ("quantizing".to_owned(), done, Some(total))).collect();
        assert_eq!(std::mem::take(&mut told), expected);
    }
    worker.shutdown();
}

#[test]
fn unquantized_and_quantized_models_are_told_apart() {
    let dir = Dir::new("verify");
    let ran = dir.run(&on_tiny("verify", "llamacpp", &["--quantize", "float16,F32,nf4", "--json"]));
    let told: serde_json::Value = serde_json::from_str(&ran.out).unwrap_or_else(|_| panic!("{}", ran.err));
    let difference = |i: usize| told[i]["mean_difference"].as_f64().unwrap();
    assert!(difference(0) < 0.01, "{told}");
    assert!(difference(1) > 3.0 * difference(0), "{told}");
    assert_eq!(told[0]["positions"], 299);
}
