//! The whole pipeline on the mock engine, whose timings are known to the nanosecond.

use crate::dir::{Dir, Ran, names, on_tiny};

fn measured(name: &str) -> Dir {
    let dir = Dir::new(name);
    let ran =
        dir.mock(&["--quantize", "default,nf4", "--launches", "2", "--repetitions", "3", "--option", "decode_us=2000"]);
    assert_eq!(ran.code, 0, "{}", ran.err);
    dir
}

#[test]
fn figures_are_exactly_those_of_the_engine() {
    let dir = measured("exact");
    dir.ok(&["collate"]);
    let rows = dir.rows();
    // 2 cases x 2 launches x 3 repetitions x 4 steps.
    assert_eq!(rows.len(), 48);
    for row in &rows {
        let prefill = row["phase"] == "prefill";
        assert_eq!(row["step"] == "0", prefill);
        // 8 prompt tokens at 0.1 ms; decode steps of 2 ms.
        assert_eq!(row["total_latency_ms"], if prefill { "0.8" } else { "2" });
        assert_eq!(row["tokens_per_sec"], if prefill { "" } else { "500" });
        assert_eq!(row["cold_ttft_ms"], "0.8");
        assert_eq!(row["engine"], "mock");
        assert_eq!(row["param_throughput_gb_s"].is_empty(), prefill);
    }
    let nf4: Vec<_> = rows.iter().filter(|row| row["quantize"] == "nf4" && row["phase"] == "decode").collect();
    // 4 bits of 10^9 parameters in 2 ms.
    assert!(nf4.iter().all(|row| row["param_throughput_gb_s"] == "250" && row["native_quantize"] == "mock-4"));
    let analysis: serde_json::Value = serde_json::from_str(&dir.ok(&["analyze", "--json"]).out).unwrap();
    let group = &analysis["groups"][0];
    assert_eq!(group["decode"]["mean"], 500.0);
    assert_eq!(group["prefill"]["mean"], 10_000.0);
    assert_eq!(group["decode"]["launches"], 2);
    assert_eq!(group["decode"]["n"], 6);
    // The prompt and three steps.
    assert!((group["e2e"]["mean"].as_f64().unwrap() - 6.8).abs() < 1e-9, "{group}");
    let wide = Ran::of(dir.command(&["analyze"]).env("COLUMNS", "200").output().unwrap()).out;
    assert!(["E2E ms", "first token + ms", "  6.80 ±0.00"].iter().all(|words| wide.contains(words)), "{wide}");
}

#[test]
fn a_run_says_first_whether_it_can_be_believed() {
    let dir = Dir::new("believed");
    let told = dir.mock(&["--launches", "2", "--repetitions", "1"]);
    assert_eq!(told.code, 0, "{}", told.err);
    let first = told.out.split([':', ' ']).next().unwrap();
    assert!(["valid", "degraded", "invalid"].contains(&first), "{}", told.out);
    // Nothing was measured of a case that crashes.
    let lost = dir.mock(&["--launches", "1", "--option", "fault=crash_in_load"]);
    assert!(lost.out.starts_with("invalid: ") && lost.out.contains("no launch measured"), "{}", lost.out);
}

#[test]
fn latency_memory_and_what_changed_are_printed_in_a_narrow_terminal() {
    let dir = Dir::new("details");
    let often = ["--launches", "4", "--repetitions", "2", "--option", "growth_ns=20000"];
    let workload = ["--prompt-tokens", "8", "--gen-tokens", "41", "--quantize", "nf4"];
    dir.ok(&on_tiny("run", "mock", &[&often[..], &workload].concat()));
    dir.ok(&["collate"]);
    let told = dir.ok(&["analyze"]).out;
    let at = |text: &str| told.find(text).unwrap_or_else(|| panic!("no {text:?} in:\n{told}"));
    // In each table, what stands in it in 80 columns.
    for (title, columns) in [
        ("\nLatency\n", ["TTFT ms", "TPOT ms", "step p50", "p95", "p99"]),
        ("\nMemory and start\n", ["weights GB", "RSS GB", "anon GB", "load ms", "case"]),
    ] {
        let header = told[at(title) + title.len()..].lines().next().unwrap();
        columns.iter().for_each(|column| assert!(header.contains(column), "{column}: {header}"));
    }
    let during = told[at("\nDuring the run\n")..].split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(during.contains("takes 20.00 µs more with each token of context"), "{told}");
    assert!(at("\nLatency\n") > at("decode tok/s"), "{told}");
}

#[test]
fn collating_again_changes_no_byte_and_parses_nothing() {
    let dir = measured("again");
    dir.ok(&["collate"]);
    let first = std::fs::read(dir.path("benchmark_output/all.csv")).unwrap();
    let again = dir.ok(&["collate", "--json"]);
    let told: serde_json::Value = serde_json::from_str(&again.out).unwrap();
    assert_eq!((&told["parsed"], &told["reused"]), (&0.into(), &2.into()), "{}", again.out);
    assert_eq!(std::fs::read(dir.path("benchmark_output/all.csv")).unwrap(), first);
    dir.ok(&["collate", "--rebuild"]);
    assert_eq!(std::fs::read(dir.path("benchmark_output/all.csv")).unwrap(), first);
}

#[test]
fn the_analysis_is_kept_until_the_rows_change() {
    let dir = measured("kept");
    let kept = dir.path("benchmark_output/.analysis");
    dir.ok(&["collate", "--csv-only"]);
    assert!(!kept.exists());
    let fresh = dir.ok(&["analyze", "--json"]).out;
    let bytes = std::fs::read(&kept).unwrap();
    assert_eq!(dir.ok(&["analyze", "--json"]).out, fresh);
    // Damaged, it is made anew.
    dir.write("benchmark_output/.analysis", &bytes[..bytes.len() - 1]);
    assert_eq!(dir.ok(&["analyze", "--json"]).out, fresh);
    assert_eq!(std::fs::read(&kept).unwrap(), bytes);
    // An edit is seen, though the size stays.
    let table = dir.path("benchmark_output/all.csv");
    let edited = std::fs::read_to_string(&table).unwrap().replace(",2,500,", ",4,250,");
    dir.write("benchmark_output/all.csv", &edited);
    let analysis: serde_json::Value = serde_json::from_str(&dir.ok(&["analyze", "--json"]).out).unwrap();
    assert_eq!(analysis["groups"][0]["decode"]["mean"], 250.0);
    std::fs::remove_file(&kept).unwrap();
    dir.ok(&["collate", "--rebuild"]);
    assert!(kept.exists());
    assert_eq!(dir.ok(&["analyze", "--json"]).out, fresh);
}

#[test]
fn some_cases_are_chosen_and_others_left_out() {
    let dir = measured("only");
    dir.ok(&["collate"]);
    let analysis: serde_json::Value =
        serde_json::from_str(&dir.ok(&["analyze", "--json", "--only", "quantize=nf4", "--only", "depth=0"]).out)
            .unwrap();
    let groups = analysis["groups"].as_array().unwrap();
    assert!(groups.len() == 1 && groups[0]["key"]["quantize"] == "nf4", "{groups:?}");
    let table = dir.ok(&["analyze", "--only", "quantize=nf4"]).out;
    assert!(table.contains("mock-4") && !table.contains("mock-8"), "{table}");
    dir.run(&["analyze", "--only", "quantise=nf4"]).fails(1, &["did you mean quantize"]);
    dir.run(&["analyze", "--only", "depth=7"]).fails(1, &["no case has depth 7; there are 0"]);
    dir.run(&["plot", "--only", "nf4"]).fails(1, &["there is no plot"]);
    dir.ok(&["plot", "--only", "summary_stats,memory", "--only", "quantize=nf4"]);
    assert_eq!(names(&dir.path("plots")), ["memory.png", "memory.svg", "summary_stats.png", "summary_stats.svg"]);
    dir.ok(&["present", "--only", "quantize=nf4"]);
    let data = std::fs::read_to_string(dir.path("docs/presentation.json")).unwrap();
    let data: serde_json::Value = serde_json::from_str(&data).unwrap();
    assert_eq!(data["counts"]["cases"], 1);
}

#[test]
fn the_header_is_the_seed_workflows_first() {
    let dir = measured("header");
    dir.ok(&["collate"]);
    let text = std::fs::read_to_string(dir.path("benchmark_output/mock.csv")).unwrap();
    let seed = "step,enqueue_latency_ms,total_latency_ms,tokens_per_sec,memory_throughput_gb_s,param_throughput_gb_s,generated_text,platform,release,device,username,hostname,size,quantize,seed,uuid,";
    assert!(text.starts_with(seed), "{}", text.lines().next().unwrap());
}

#[test]
fn old_logs_are_collated_beside_ours() {
    let dir = measured("old");
    let sample = include_bytes!("../../../core/tests/data/softmacs_1B_int8_seed42_uuid864c4aef.txt");
    dir.write("benchmark_output/softmacs_1B_int8_seed42_uuid864c4aef.txt", sample);
    dir.ok(&["collate"]);
    let old: Vec<_> = dir.rows().into_iter().filter(|row| row["hostname"] == "softmacs").collect();
    assert_eq!(old.len(), 20);
    assert_eq!(
        (old[0]["engine"].as_str(), old[0]["total_latency_ms"].as_str(), old[0]["tokens_per_sec"].as_str()),
        ("tinygrad", "44.77", "22.34")
    );
    assert_eq!(old[0]["generated_text"], "Hello");
    assert!(dir.path("benchmark_output/tinygrad.csv").is_file());
}

#[test]
fn the_plots_and_the_presentation_are_made_and_edits_survive() {
    let dir = measured("present");
    dir.ok(&["collate"]);
    dir.ok(&["plot"]);
    let plots = names(&dir.path("plots"));
    assert_eq!(plots.len(), 22, "{plots:?}");
    for name in [
        "backend_comparison",
        "speedup_comparison",
        "summary_stats",
        "quantization_impact",
        "latency_distribution",
        "memory_throughput",
        "param_throughput",
        "device_comparison",
    ] {
        assert!(plots.contains(&format!("{name}.png")) && plots.contains(&format!("{name}.svg")), "{name}");
    }
    dir.ok(&["present"]);
    assert!(std::fs::read(dir.path("presentation.pdf")).unwrap().starts_with(b"%PDF"));
    let source = std::fs::read_to_string(dir.path("presentation.typ")).unwrap();
    let edited = format!("{source}\n// an edit\n");
    dir.write("presentation.typ", &edited);
    dir.ok(&["present"]);
    assert_eq!(std::fs::read_to_string(dir.path("presentation.typ")).unwrap(), edited);
}

#[test]
fn a_damaged_log_is_named_and_the_rest_is_collated() {
    let dir = measured("damaged");
    let name = "mock_host_1B_nf4_seed1_uuid00000001.txt";
    dir.write(
        &format!("benchmark_output/{name}"),
        "tokometer-log: 1\nframework: mock\n\n{\"event\":\"repetition\",\"launch\":oops}\n{\"event\":\"warning\",\"code\":\"x\",\"message\":\"y\"}\n",
    );
    dir.run(&["collate"]).fails(3, &[name, "line 4"]);
    assert_eq!(dir.rows().len(), 48);
}

#[test]
fn an_edited_log_is_noticed() {
    let dir = measured("edited");
    let name = dir.logs().remove(0);
    let path = format!("benchmark_output/{name}");
    let text = std::fs::read_to_string(dir.path(&path)).unwrap();
    dir.write(&path, text.replace("800000,", "700000,"));
    dir.ok(&["collate"]);
    assert!(dir.rows().iter().any(|row| row["log"] == name && row["warnings"].contains("edited_log")));
}

#[test]
fn all_ends_with_the_analysis_as_json_where_asked() {
    let dir = Dir::new("all-json");
    let told = dir.ok(&on_tiny("all", "mock", &["--quick", "--prompt-tokens", "8", "--gen-tokens", "4", "--json"])).out;
    assert_eq!(told, dir.ok(&["analyze", "--json"]).out);
    assert!(dir.path("presentation.typ").is_file());
}

#[test]
fn verify_gives_an_engine_the_settings_of_the_configuration() {
    let dir = Dir::new("verify-options");
    dir.write("tokometer.toml", "[engines.mock]\noptions = { fault = \"out_of_memory\" }\n");
    dir.run(&on_tiny("verify", "mock", &["--quantize", "default,nf4"])).fails(1, &["cannot allocate 1 TB"]);
}

#[test]
fn two_measurements_do_not_run_at_once() {
    let dir = Dir::new("lock");
    let slow = on_tiny("run", "mock", &["--launches", "1", "--repetitions", "3", "--option", "sleep_ms=300"]);
    let mut first =
        dir.command(&slow).stdout(std::process::Stdio::null()).stderr(std::process::Stdio::null()).spawn().unwrap();
    let holder = format!("process {}\n", first.id());
    while std::fs::read_to_string(dir.lock()).ok().as_ref() != Some(&holder) {
        assert!(first.try_wait().unwrap().is_none(), "it ended without taking the lock");
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    let second = dir.run(&on_tiny("run", "mock", &["--quick"]));
    assert!(first.try_wait().unwrap().is_some(), "the second did not wait");
    let waited = format!("another measurement runs here ({})", holder.trim());
    assert!(second.err.contains(&waited), "{}", second.err);
    first.wait().unwrap();
}
