//! The real tinygrad on the tiny synthetic model, beside llama.cpp. `cargo xtask setup` makes its environment.

use crate::dir::{Dir, on_tiny};
use serde_json::Value;

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
