//! Distance from the original: known distributions of the mock, the real llama.cpp and tinygrad, and what is made of results.

use crate::dir::{Dir, Ran, names, on_tiny};
use serde_json::Value;

fn records(dir: &Dir, arguments: &[&str]) -> Vec<Value> {
    let ran = dir.ok(arguments);
    let all: Value = serde_json::from_str(&ran.out).unwrap_or_else(|_| panic!("{}\n{}", ran.out, ran.err));
    all.as_array().unwrap().clone()
}

fn avg(record: &Value, name: &str) -> f64 {
    record["metrics"][name]["avg"].as_f64().unwrap_or_else(|| panic!("{name}: {record}"))
}

fn std(record: &Value, name: &str) -> f64 {
    record["metrics"][name]["std"].as_f64().unwrap_or_else(|| panic!("{name}: {record}"))
}

/// Evaluates the mock on a text of 100 tokens: five chunks of 20 tokens, nine scored positions in each.
fn mock(dir: &Dir, quantize: &str, more: &[&str]) -> Vec<Value> {
    dir.write("text.txt", format!("{}\n", "0123456789".repeat(10)));
    let own = &["--env", "distance", "--quantize", quantize, "--text", "text.txt", "--ctx", "20", "--json"][..];
    records(dir, &on_tiny("eval", "mock", &[own, more].concat()))
}

/// The files of results: what each evaluation left, without the table of all.
fn files(dir: &Dir) -> Vec<String> {
    names(&dir.path("verifiers_results")).into_iter().filter(|name| name != "all.csv").collect()
}

#[test]
fn figures_of_known_distributions() {
    let dir = Dir::new("distance-mock");
    let found = mock(&dir, "float16,int8", &[]);
    let (itself, half) = (&found[0], &found[1]);
    for name in ["kld_mean", "kld_max", "ln_ppl_ratio", "delta_p_rms"] {
        assert_eq!(avg(itself, name), 0.0, "{name}");
    }
    assert_eq!(
        (itself["num_examples"].as_u64(), itself["chunks"].as_u64(), itself["ctx"].as_u64()),
        (Some(45), Some(5), Some(20))
    );
    // The token that follows has e^-1 by the original and e^-2 here; all others share the rest.
    let (p, q) = ((-1f64).exp(), (-2f64).exp());
    let close = |name: &str, wanted: f64| assert!((avg(half, name) - wanted).abs() < 1e-5, "{name}: {half} {wanted}");
    close("kld_mean", p + (1.0 - p) * ((1.0 - p) / (1.0 - q)).ln());
    close("ppl", 2f64.exp());
    close("ppl_base", 1f64.exp());
    close("ln_ppl_ratio", 1.0);
    close("delta_p_mean", q - p);
    close("delta_p_rms", p - q);
    close("same_top", 1.0);
    assert_eq!(
        (half["native_quantize"].as_str(), half["base"]["native_quantize"].as_str()),
        (Some("mock-8"), Some("mock-16"))
    );
    // One JSON and one CSV of positions for each, in the names of the evaluations; nothing else stays.
    let files = files(&dir);
    assert_eq!(files.len(), 4, "{files:?}");
    assert!(files.iter().all(|name| name.starts_with("mock_") && name.contains("_distance_uuid")), "{files:?}");
    let csv = files.iter().find(|name| name.contains("int8") && name.ends_with(".csv")).unwrap();
    let rows = std::fs::read_to_string(dir.path("verifiers_results").join(csv)).unwrap();
    assert_eq!(rows.lines().count(), 46);
    let sums: f64 = half["chunk_sums"].as_array().unwrap().iter().map(|sums| sums["kld"].as_f64().unwrap()).sum();
    assert!((sums / 45.0 - avg(half, "kld_mean")).abs() < 1e-12);
    // The table of all evaluations has a row for each figure.
    let table = std::fs::read_to_string(dir.path("verifiers_results/all.csv")).unwrap();
    assert_eq!(table.lines().filter(|line| line.contains(",distance,45,0,kld_mean,")).count(), 2, "{table}");
}

#[test]
fn what_the_engine_does_not_offer_is_a_result_without_figures() {
    let dir = Dir::new("distance-not-offered");
    dir.write("text.txt", "0123456789".repeat(10));
    let own = ["--env", "distance", "--quantize", "q9_nonsense,nf4", "--text", "text.txt", "--ctx", "20", "--json"];
    let ran = dir.run(&on_tiny("eval", "mock", &own));
    ran.fails(3, &["mock q9_nonsense is not offered", "does not offer the quantization \"q9_nonsense\""]);
    let told: Value = serde_json::from_str(&ran.out).unwrap();
    let [nonsense, nf4] = told.as_array().unwrap().as_slice() else { panic!("{told}") };
    assert!(avg(nf4, "kld_mean") > 0.0 && nf4.get("reason").is_none());
    without_figures(nonsense, "does not offer");
    // It is in the files as well, and is tried again.
    assert_eq!(files(&dir).len(), 4);
    let table = std::fs::read_to_string(dir.path("verifiers_results/all.csv")).unwrap();
    assert_eq!(table.lines().filter(|line| line.contains(",distance,0,0,,,,0,1,")).count(), 1, "{table}");
}

fn without_figures(record: &Value, why: &str) {
    assert_eq!((record["returncode"].as_i64(), &record["metrics"]), (Some(1), &serde_json::json!({})), "{record}");
    assert!(record["reason"].as_str().is_some_and(|reason| reason.contains(why)), "{record}");
    assert!(record.get("weights_bytes").is_none() && record.get("chunks").is_none(), "{record}");
}

/// That would be told of the engine for good, and `recommend` would believe it.
#[test]
fn a_wrong_device_or_original_is_a_failure_and_no_property_of_the_engine() {
    let dir = Dir::new("distance-wrong-device");
    dir.write("text.txt", "0123456789".repeat(10));
    let own = ["--env", "distance", "--quantize", "nf4", "--text", "text.txt", "--ctx", "20"];
    let eval = |more: &[&str]| dir.run(&on_tiny("eval", "mock", &[&own[..], more].concat()));
    eval(&["--device", "GPU7"]).fails(1, &["there is no such device", "the reasons stand above"]);
    eval(&["--base", "flaot16"]).fails(1, &["mock flaot16, the original", "does not offer the quantization"]);
    assert!(files(&dir).iter().all(|name| !name.ends_with(".json")), "{:?}", files(&dir));
}

#[test]
fn an_engine_without_log_probabilities_has_results_without_figures_and_others_have_theirs() {
    let dir = Dir::new("distance-without");
    dir.write("text.txt", "0123456789".repeat(10));
    let own = ["--env", "distance", "--quantize", "float16,nf4", "--text", "text.txt", "--ctx", "20", "--json"];
    let silent = |engines: &str, more: &[&str]| -> (Ran, Vec<Value>) {
        let arguments = [&["eval", "--engine", engines, "--model", "synthetic:tiny"], &own[..], more].concat();
        let ran = Ran::of(dir.command(&arguments).env("TOKOMETER_MOCK_WITHOUT", "score").output().unwrap());
        assert_eq!(ran.code, 3, "{}", ran.err);
        let told: Value = serde_json::from_str(&ran.out).unwrap_or_else(|_| panic!("{}\n{}", ran.out, ran.err));
        (ran, told.as_array().unwrap().clone())
    };
    let (_, alone) = silent("mock", &[]);
    assert_eq!(alone.len(), 2);
    alone.iter().for_each(|one| without_figures(one, "log-probabilities"));
    let (_, beside) = silent("llamacpp,mock", &[]);
    let of = |engine: &str| beside.iter().filter(|one| one["engine"] == engine).collect::<Vec<_>>();
    assert!(of("llamacpp").iter().all(|one| avg(one, "kld_mean") >= 0.0), "{beside:?}");
    of("mock").iter().for_each(|one| without_figures(one, "log-probabilities"));
    assert_eq!((of("llamacpp").len(), of("mock").len()), (2, 2));
    // Where it is the original that cannot be, the others may well have another.
    let (ran, told) = silent("llamacpp,mock", &["--base", "mock:float16"]);
    assert!(ran.err.contains("llamacpp nf4: there is no original, mock float16"), "{}", ran.err);
    assert!(told.iter().all(|one| one["engine"] == "mock"), "{told:?}");
}

/// The original's distributions lie in one place of the folder, so one waits for the other.
#[test]
fn two_at_once_in_one_folder_do_not_disturb_each_other() {
    let dir = &Dir::new("distance-both");
    let alone = avg(&mock(dir, "nf4", &[])[0], "kld_mean");
    let more = ["--env", "distance", "--quantize", "nf4", "--text", "text.txt", "--ctx", "20", "--json", "--jobs", "2"];
    let more = &[&more[..], &["--again"]].concat()[..];
    let both = std::thread::scope(|scope| {
        let both = [(); 2].map(|()| scope.spawn(move || records(dir, &on_tiny("eval", "mock", more))));
        both.map(|one| avg(&one.join().unwrap()[0], "kld_mean"))
    });
    assert_eq!(both, [alone, alone]);
    assert_eq!(files(dir).len(), 6);
}

#[test]
fn a_finished_distance_is_kept_unless_anything_differs() {
    let dir = &Dir::new("distance-kept");
    let of = |found: &[Value]| -> Vec<String> {
        found.iter().map(|record| record["uuid"].as_str().unwrap().to_owned()).collect()
    };
    let files = || files(dir).len();
    let first = mock(dir, "float16,int8", &[]);
    let second = mock(dir, "int8,nf4,float16", &[]);
    assert_eq!((of(&second)[0].as_str(), of(&second)[2].as_str()), (of(&first)[1].as_str(), of(&first)[0].as_str()));
    assert!(!of(&first).contains(&of(&second)[1]));
    assert_eq!((files(), second[0]["metrics"]["kld_mean"].is_object()), (6, true));
    for (i, further) in [&["--chunks", "2"][..], &["--base", "nf4"], &["--again"]].into_iter().enumerate() {
        let other = mock(dir, "int8", further);
        assert!(!of(&second).contains(&of(&other)[0]), "{further:?}");
        assert_eq!(files(), 8 + 2 * i, "{further:?}");
    }
    dir.ok(&on_tiny("eval", "mock", &["--env", "distance", "--quantize", "int8", "--text", "text.txt", "--ctx", "10"]));
    assert_eq!(files(), 14);
}

#[test]
fn the_choice_names_missing_evidence_and_then_a_case() {
    let dir = Dir::new("recommend");
    assert_eq!(dir.mock(&["--quantize", "float16,nf4", "--launches", "3", "--repetitions", "1"]).code, 0);
    dir.ok(&["collate"]);
    let wishes = ["recommend", "--min-speed", "500", "--max-memory", "10G", "--max-kl", "0.1"];
    let ran = dir.run(&[&wishes[..], &["--json"]].concat());
    assert_eq!(ran.code, 3, "{}", ran.err);
    let advice: Value = serde_json::from_str(&ran.out).unwrap();
    let commands: Vec<&str> =
        advice[0]["missing"].as_array().unwrap().iter().map(|m| m["command"].as_str().unwrap()).collect();
    assert!(
        commands.contains(&"tokometer eval --env distance --engine mock --model synthetic:tiny --quantize nf4"),
        "{commands:?}"
    );
    mock(&dir, "float16,nf4", &[]);
    let ran = dir.ok(&wishes);
    // Lines are broken to fit the terminal.
    let said = ran.out.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(said.contains("take mock float16 (mock-16)"), "{said}");
    // e^-1 against e^-4 is a divergence of 0.83.
    assert!(said.contains("mock nf4 (mock-4)") && said.contains("not divergence at most 0.1"), "{said}");
    dir.run(&["recommend", "--max-kl", "0"]).fails(0, &[]);
    dir.run(&["recommend", "--min-speed", "5000000"]).fails(3, &[]);
    dir.run(&["recommend"]).fails(1, &["--min-speed"]);
    // Plots and presentation take the results up.
    for name in ["quality_vs_size", "memory"] {
        let ran = dir.ok(&["plot", "--only", name]);
        assert!(!ran.err.contains("this brings it"), "{}", ran.err);
    }
    assert!(dir.ok(&["plot", "--only", "accuracy_vs_speed"]).err.contains("tokometer eval"));
    dir.ok(&["present"]);
    let data: Value = serde_json::from_slice(&std::fs::read(dir.path("docs/presentation.json")).unwrap()).unwrap();
    assert_eq!(data["quality"][0]["rows"].as_array().unwrap().len(), 2, "{}", data["quality"]);
}

#[test]
fn what_makes_no_sense_is_named() {
    let dir = Dir::new("distance-wrong");
    dir.write("short.txt", "short");
    let eval = |more: &[&str]| dir.run(&on_tiny("eval", "mock", &[&["--env", "distance"][..], more].concat()));
    eval(&["--text", "short.txt"]).fails(1, &["5 tokens only", "--text"]);
    eval(&["--text", "short.txt"]).fails(1, &["mock float16, the original", "the reasons stand above"]);
    eval(&["--text", "none.txt"]).fails(1, &["none.txt", "--text takes"]);
    eval(&["--base", "llamacpp:float16"]).fails(1, &["llamacpp", "mock", "--engine takes both"]);
    eval(&["--chunks", "0"]).fails(1, &["--chunks", "the whole text"]);
    eval(&["--ctx", "3"]).fails(2, &["--ctx"]);
    dir.run(&on_tiny("eval", "mock", &["--env", "no-such"])).fails(1, &["no-such", "distance"]);
    assert!(!dir.path("verifiers_results/.distance").exists());
}

#[test]
fn llama_cpp_is_at_no_distance_from_itself_and_its_quantizations_are() {
    let dir = Dir::new("distance-llamacpp");
    let more = ["--env", "perplexity", "--quantize", "float16,int8,nf4", "--chunks", "3", "--ctx", "128", "--json"];
    let found = records(&dir, &on_tiny("eval", "llamacpp", &more));
    let (itself, int8, nf4) = (&found[0], &found[1], &found[2]);
    assert!(avg(itself, "kld_mean").abs() < 1e-6 && avg(itself, "same_top") == 1.0, "{itself}");
    assert_eq!(itself["num_examples"], 3 * 63);
    assert!(
        avg(int8, "kld_mean") > avg(itself, "kld_mean") && avg(nf4, "kld_mean") > avg(int8, "kld_mean"),
        "{int8} {nf4}"
    );
    assert!(avg(nf4, "kld_mean") > 3.0 * std(nf4, "kld_mean"), "{nf4}");
    assert!(avg(nf4, "same_top") < 1.0 && avg(nf4, "delta_p_rms") > 0.0, "{nf4}");
    assert_eq!(
        (nf4["native_quantize"].as_str(), nf4["base"]["native_quantize"].as_str()),
        (Some("Q4_K_M"), Some("F16"))
    );
    // Every perplexity is of the same base.
    assert!((avg(itself, "ppl") - avg(nf4, "ppl_base")).abs() < 1e-6 * avg(itself, "ppl"));
}

#[test]
fn tinygrad_is_held_against_its_own_original_and_against_llama_cpps() {
    let dir = Dir::new("distance-tinygrad");
    let more = ["--env", "distance", "--chunks", "2", "--ctx", "128", "--json"];
    let own = records(&dir, &on_tiny("eval", "tinygrad", &[&more[..], &["--quantize", "float16,nf4"]].concat()));
    assert!(avg(&own[0], "kld_mean").abs() < 1e-6, "{}", own[0]);
    assert!(avg(&own[1], "kld_mean") > 1e-4, "{}", own[1]);
    let both = [&more[..], &["--quantize", "float16", "--base", "llamacpp:float16"]].concat();
    let both = records(&dir, &on_tiny("eval", "llamacpp,tinygrad", &both));
    let other = both.iter().find(|record| record["engine"] == "tinygrad").unwrap();
    assert_eq!(other["base"]["engine"], "llamacpp");
    // The same weights in two programs: nearer than any quantization.
    assert!(avg(other, "kld_mean") < 0.5 * avg(&own[1], "kld_mean"), "{other} {}", own[1]);
    assert!(avg(other, "same_top") > 0.95, "{other}");
}
