//! MLC-LLM by a stand-in with its surface (`workers/mlc-llm/tests/standin`): prepare, run, collate, and an engine that
//! misbehaves. The worker's own tests run against the real one where `TOKOMETER_MLC_PYTHON` names it.

use crate::dir::{Dir, Ran};
use serde_json::Value;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A small workload; what is given already stays.
fn workload(mut arguments: Vec<&str>) -> Vec<&str> {
    for (name, value) in [
        ("--model", "synthetic:tiny"),
        ("--prompt-tokens", "16"),
        ("--gen-tokens", "12"),
        ("--launches", "1"),
        ("--repetitions", "2"),
    ] {
        if !arguments.contains(&name) {
            arguments.extend([name, value]);
        }
    }
    arguments
}

/// A Python that is new enough for the workers.
fn python() -> &'static str {
    let new_enough = |name: &&str| {
        let script = "import sys; sys.exit(sys.version_info < (3, 11))";
        Command::new(name).args(["-c", script]).status().is_ok_and(|status| status.success())
    };
    let names = ["python3", "python3.14", "python3.13", "python3.12", "python3.11", "python"];
    names.into_iter().find(new_enough).expect("the workers need Python 3.11 or newer")
}

fn standin() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../workers/mlc-llm/tests/standin");
    here.canonicalize().unwrap()
}

/// The program with the stand-in installed, which has these faults.
fn command(dir: &Dir, faults: &str, arguments: &[&str]) -> Command {
    let mut command = dir.command(arguments);
    command
        .env("TOKOMETER_MLC_PYTHON", python())
        .env("PYTHONPATH", standin())
        .env("TOKOMETER_CACHE", dir.path("cache"))
        .env("MLC_STANDIN", faults)
        .env("MLC_STANDIN_TOKEN_MS", "0.2");
    command
}

fn tokometer(dir: &Dir, faults: &str, arguments: &[&str]) -> Ran {
    Ran::of(command(dir, faults, arguments).output().unwrap())
}

/// Measures MLC-LLM beside the mock engine; every command must get to its end.
fn run(dir: &Dir, faults: &str, more: &[&str]) -> Ran {
    tokometer(dir, faults, &workload([&["run", "--engine", "mlc_llm,mock"][..], more].concat()))
}

#[test]
fn models_are_prepared_measured_and_collated() {
    let dir = Dir::new("mlc");
    let ran = run(&dir, "", &["--quantize", "nf4,float16,int8", "--threads", "2"]);
    // int8 is not offered, which stops nothing else.
    ran.fails(3, &["MLC-LLM does not offer the quantization \"int8\"", "compiling the library for cpu takes about"]);
    dir.ok(&["collate"]);
    let rows = dir.rows();
    let mlc: Vec<_> = rows.iter().filter(|row| row["engine"] == "mlc_llm").collect();
    assert_eq!(mlc.len(), 2 * 2 * 12);
    for row in &mlc {
        for column in ["bits_per_weight", "weights_bytes", "memory_throughput_gb_s", "load_ms", "warmup_ms", "kv_bytes"]
        {
            assert!(!row[column].is_empty() || row["phase"] == "prefill", "{column}");
        }
        assert_eq!((row["status"].as_str(), row["threads"].as_str(), row["device"].as_str()), ("ok", "2", "CPU"));
        assert_eq!((row["engine_version"].as_str(), row["ubatch"].as_str()), ("0.0.standin", "512"));
        assert!(!row["warnings"].contains("engine_disagrees"), "{}", row["warnings"]);
    }
    // On a processor the label is the format that computes in float32.
    let natives: BTreeSet<_> =
        mlc.iter().map(|row| (row["quantize"].as_str(), row["native_quantize"].as_str())).collect();
    assert_eq!(natives, [("float16", "q0f16"), ("nf4", "q4f32_1")].into());
    assert!(rows.iter().any(|row| row["engine"] == "mock" && row["quantize"] == "int8"));
    dir.ok(&["analyze"]);
}

#[test]
fn weights_are_kept_and_a_library_is_made_again_with_the_reason() {
    let dir = Dir::new("mlc-library");
    let prepare = |more: &[&str]| {
        let mut arguments =
            vec!["prepare", "--engine", "mlc_llm", "--model", "synthetic:tiny", "--quantize", "nf4", "--json"];
        arguments.extend(more);
        let ran = tokometer(&dir, "", &arguments);
        assert_eq!(ran.code, 0, "{}\n{}", ran.out, ran.err);
        let told: Value = serde_json::from_str(&ran.out).unwrap();
        (told[0].clone(), ran.err)
    };
    let (first, said) = prepare(&[]);
    assert_eq!((first["native"].as_str(), first["reused"].as_bool()), (Some("q4f32_1"), Some(false)));
    assert!(said.contains("converting") && said.contains("compiling the library"), "{said}");
    let (second, said) = prepare(&[]);
    assert_eq!((&second["path"], second["reused"].as_bool()), (&first["path"], Some(true)));
    assert!(!said.contains("compiling"), "{said}");
    // Another size of the prefill needs another library, and not other weights.
    let ran = run(&dir, "", &["--quantize", "nf4", "--ubatch", "64"]);
    assert_eq!(ran.code, 0, "{}", ran.err);
    assert!(ran.err.contains("prefill chunk is 64, it was 512") && !ran.err.contains("converting"), "{}", ran.err);
    // A library that is damaged is noticed.
    std::fs::write(Path::new(first["path"].as_str().unwrap()).join("lib.so"), "cut").unwrap();
    let (third, said) = prepare(&[]);
    assert_eq!(third["path"], first["path"]);
    assert!(said.contains("damaged") && !said.contains("converting"), "{said}");
}

#[test]
fn weights_that_were_converted_before_are_only_compiled() {
    let dir = Dir::new("mlc-converted");
    let prepare = ["prepare", "--engine", "mlc_llm", "--quantize", "q4f16_1", "--json", "--model"];
    let made = tokometer(&dir, "", &[&prepare[..], &["synthetic:tiny"]].concat());
    assert_eq!(made.code, 0, "{}", made.err);
    let weights = crate::dir::names(&dir.path("models")).into_iter().find(|name| name.contains("-weights-")).unwrap();
    let weights = dir.path("models").join(weights);
    let converted = dir.path("converted-MLC");
    std::fs::create_dir(&converted).unwrap();
    for name in crate::dir::names(&weights).iter().filter(|name| *name != "manifest.json") {
        std::fs::copy(weights.join(name), converted.join(name)).unwrap();
    }
    let model = converted.to_str().unwrap();
    let ran = tokometer(&dir, "", &["prepare", "--engine", "mlc_llm", "--model", model, "--json"]);
    assert_eq!(ran.code, 0, "{}", ran.err);
    assert!(ran.err.contains("compiling") && !ran.err.contains("converting"), "{}", ran.err);
    let told: Value = serde_json::from_str(&ran.out).unwrap();
    assert_eq!(told[0]["native"], "q4f16_1");
    tokometer(&dir, "", &["prepare", "--engine", "mlc_llm", "--model", model, "--quantize", "q0f32"])
        .fails(1, &["was converted to q4f16_1 already"]);
    tokometer(&dir, "", &["prepare", "--engine", "llamacpp", "--model", model])
        .fails(1, &["only --engine mlc_llm takes them"]);
}

#[test]
fn a_constructor_that_hangs_is_ended_with_its_group_and_the_rest_goes_on() {
    let dir = Dir::new("mlc-hang");
    let ran = run(&dir, "hang_in_constructor", &["--quantize", "nf4", "--timeout", "3"]);
    ran.fails(3, &["mlc_llm nf4", "hang"]);
    dir.ok(&["collate"]);
    let rows = dir.rows();
    assert!(rows.iter().any(|row| row["engine"] == "mlc_llm" && row["reason"].starts_with("hang")));
    assert!(rows.iter().any(|row| row["engine"] == "mock" && row["status"] == "ok"));
    // No process of the stand-in is left that works in this folder.
    let marker = dir.path("cache").display().to_string();
    let left: Vec<_> = std::fs::read_dir("/proc")
        .unwrap()
        .flatten()
        .filter(|entry| {
            std::fs::read(entry.path().join("environ"))
                .is_ok_and(|text| String::from_utf8_lossy(&text).contains(&marker))
        })
        .collect();
    assert!(left.is_empty(), "{left:?}");
}

/// A fault is a failed case with these words; the other engine is measured.
fn fails(name: &str, fault: &str, words: &str) {
    let dir = Dir::new(name);
    let ran = run(&dir, fault, &["--quantize", "nf4"]);
    ran.fails(3, &[words]);
    dir.ok(&["collate"]);
    let rows = dir.rows();
    let failed: Vec<_> = rows.iter().filter(|row| row["engine"] == "mlc_llm").collect();
    assert_eq!((failed.len(), failed[0]["status"].as_str()), (1, "failed"));
    assert!(failed[0]["reason"].contains(words), "{}", failed[0]["reason"]);
    assert!(rows.iter().any(|row| row["engine"] == "mock" && row["status"] == "ok"));
}

#[test]
fn fewer_tokens_are_a_failed_case() {
    fails("mlc-short", "short", "12 tokens were asked for, 11 came");
}

#[test]
fn a_pre_empted_request_is_a_failed_case() {
    fails("mlc-preempt", "preempt", "pre-empted");
}

#[test]
fn an_exception_in_the_engines_thread_is_a_failed_case() {
    fails("mlc-thread", "raise_in_thread", "the library does not fit the model");
}

#[test]
fn figures_that_disagree_with_the_engines_own_are_a_warning_in_the_row() {
    let dir = Dir::new("mlc-figures");
    let ran = run(&dir, "wrong_figures,print", &["--quantize", "nf4", "--gen-tokens", "32"]);
    assert_eq!(ran.code, 0, "{}", ran.err);
    dir.ok(&["collate"]);
    assert!(dir.rows().iter().any(|row| row["engine"] == "mlc_llm" && row["warnings"].contains("engine_disagrees")));
}

#[test]
fn tools_that_fail_say_why() {
    let dir = Dir::new("mlc-tools");
    run(&dir, "fail_convert", &["--quantize", "nf4"]).fails(3, &["MLC-LLM could not convert", "Parameter not found"]);
    run(&dir, "fail_compile", &["--quantize", "nf4"])
        .fails(3, &["MLC-LLM could not compile", "no code for this processor"]);
    assert!(crate::dir::names(&dir.path("models")).iter().all(|name| !name.contains("-library-")));
}

#[test]
fn the_server_is_a_case_of_its_own() {
    let dir = Dir::new("mlc-serve");
    let options = ["run", "--engine", "mlc_llm", "--quantize", "nf4"];
    let engine = tokometer(&dir, "", &workload(options.to_vec()));
    assert_eq!(engine.code, 0, "{}", engine.err);
    let served = tokometer(&dir, "", &workload([&options[..], &["--via", "serve", "--gen-tokens", "40"]].concat()));
    assert_eq!(served.code, 0, "{}", served.err);
    dir.ok(&["collate"]);
    let rows = dir.rows();
    let (via, plain): (Vec<_>, Vec<_>) = rows.iter().partition(|row| row["engine_version"].contains("via=serve"));
    assert_eq!(plain.len(), 2 * 12);
    assert_ne!(via[0]["case"], plain[0]["case"]);
    // Chunks are not tokens: the rows of a repetition hold 40 tokens in fewer steps.
    let tokens = |rows: &[&std::collections::BTreeMap<String, String>]| -> u32 {
        rows.iter().filter(|row| row["phase"] == "decode").map(|row| row["tokens"].parse::<u32>().unwrap()).sum()
    };
    assert!(via.len() < 2 * 40);
    assert!(tokens(&via) >= 2 * 38 && tokens(&via) <= 2 * 39, "{}", tokens(&via));
    assert!(via.iter().all(|row| row["warnings"].contains("estimated_chunks")));
    assert_ne!(via[0]["peak_rss_bytes"], "");
}

#[test]
fn without_it_every_command_says_so_once_and_measures_the_others() {
    let dir = Dir::new("mlc-absent");
    let absent = |arguments: &[&str]| {
        let mut command = dir.command(arguments);
        command.env("TOKOMETER_MLC_PYTHON", dir.path("no/python"));
        Ran::of(command.output().unwrap())
    };
    let ran = absent(&workload(vec!["run", "--engine", "mlc_llm,mock", "--quantize", "nf4,float16"]));
    ran.fails(3, &["mlc_llm: not installed", "no/python"]);
    assert_eq!(ran.err.matches("mlc_llm: not installed").count(), 1, "{}", ran.err);
    dir.ok(&["collate"]);
    assert_eq!(dir.rows().len(), 2 * 2 * 12);
    let prepared =
        absent(&["prepare", "--engine", "mlc_llm,mock", "--model", "synthetic:tiny", "--quantize", "nf4,float16"]);
    assert_eq!(prepared.code, 3, "{}", prepared.err);
    assert_eq!(prepared.err.matches("mlc_llm: not installed").count(), 1, "{}", prepared.err);
    let told = absent(&["doctor"]);
    assert_eq!(told.code, 0);
    assert!(told.out.contains("mlc_llm") && told.out.contains("no/python"), "{}", told.out);
}

#[test]
fn doctor_finds_an_installation_wherever_it_is_named() {
    let dir = Dir::new("mlc-doctor");
    let told = |command: &mut Command| -> Value {
        let ran = Ran::of(command.output().unwrap());
        assert_eq!(ran.code, 0, "{}", ran.err);
        let told: Value = serde_json::from_str(&ran.out).unwrap();
        told["engines"].as_array().unwrap().iter().find(|engine| engine["engine"] == "mlc_llm").unwrap().clone()
    };
    let by_variable = told(&mut command(&dir, "", &["doctor", "--json"]));
    assert_eq!(by_variable["hello"]["engine_version"], "0.0.standin");
    assert!(by_variable["hello"]["devices"].as_array().unwrap().iter().any(|device| device["name"] == "cpu"));
    // A flag counts more than the variable, the configuration too.
    let flag = ["doctor", "--json", "--python", python()];
    let by_flag = told(command(&dir, "", &flag).env("TOKOMETER_MLC_PYTHON", "/no/python"));
    assert_eq!(by_flag["installed"], true);
    dir.write("tokometer.toml", format!("[engines.mlc_llm]\npython = \"{}\"\n", python()));
    let by_file = told(command(&dir, "", &["doctor", "--json"]).env("TOKOMETER_MLC_PYTHON", "/no/python"));
    assert_eq!(by_file["installed"], true);
}

#[test]
fn an_engine_without_log_probabilities_is_verified_by_its_greedy_tokens() {
    let dir = Dir::new("mlc-verify");
    let ran = tokometer(
        &dir,
        "",
        &[
            "verify",
            "--engine",
            "mlc_llm,mock",
            "--model",
            "synthetic:tiny",
            "--quantize",
            "float16",
            "--tokens",
            "40",
            "--json",
        ],
    );
    // The mock engine finds every token as probable as its own choice.
    assert_eq!(ran.code, 0, "{}\n{}", ran.out, ran.err);
    let told: Value = serde_json::from_str(&ran.out).unwrap();
    assert_eq!((told[0]["compared"].as_str(), told[0]["positions"].as_u64()), (Some("greedy"), Some(64)));
    assert_eq!(told[0]["reference"], "mock float16 (mock-16)");
}

#[test]
fn an_engine_without_log_probabilities_has_distances_without_figures_and_the_others_go_on() {
    let dir = Dir::new("mlc-distance");
    dir.write("text.txt", "0123456789".repeat(10));
    let distance =
        ["eval", "--engine", "mlc_llm,mock", "--model", "synthetic:tiny", "--env", "distance", "--text", "text.txt"];
    let eval = |more: &[&str]| tokometer(&dir, "", &[&distance[..], &["--ctx", "20"], more].concat());
    let ran = eval(&["--quantize", "nf4,int8", "--json"]);
    ran.fails(
        3,
        &["mlc_llm nf4 is not offered: mlc_llm tells no log-probabilities of a given text", "--env reverse-text"],
    );
    // Known before anything is made.
    assert!(!ran.err.contains("converting") && !ran.err.contains("compiling"), "{}", ran.err);
    let told: Value = serde_json::from_str(&ran.out).unwrap();
    let engine = |name: &str| -> Vec<&Value> {
        told.as_array().unwrap().iter().filter(|record| record["engine"] == name).collect()
    };
    assert_eq!((engine("mlc_llm").len(), engine("mock").len()), (2, 2), "{told}");
    assert!(engine("mock").iter().all(|record| record["metrics"]["kld_mean"]["avg"].as_f64().is_some()), "{told}");
    for record in engine("mlc_llm") {
        assert!(record["metrics"].as_object().unwrap().is_empty() && record["reason"].is_string(), "{record}");
        assert_eq!(record["engine_version"], "0.0.standin");
    }
    // The same for people, and where it is the original that there cannot be.
    let shown = eval(&["--quantize", "nf4"]);
    assert_eq!(shown.code, 3, "{}", shown.err);
    let row = shown.out.lines().find(|line| line.starts_with("mlc_llm ")).unwrap();
    assert!(row.contains("not offered") && !row.contains('0'), "{row}");
    eval(&["--quantize", "int8", "--base", "mlc_llm:float16", "--json"])
        .fails(3, &["mock int8: there is no original, mlc_llm float16", "--base with a quantization alone"]);
    // Every line is in the table, with its reason and no figure.
    let mut reader = csv::Reader::from_path(dir.path("verifiers_results/all.csv")).unwrap();
    let rows: Vec<std::collections::BTreeMap<String, String>> = reader.deserialize().map(|row| row.unwrap()).collect();
    let empty: Vec<_> = rows.iter().filter(|row| row["engine"] == "mlc_llm").collect();
    assert_eq!(empty.len(), 4);
    for row in empty {
        assert_eq!((row["metric"].as_str(), row["avg"].as_str(), row["weights_bytes"].as_str()), ("", "", ""));
        assert!(row["reason"].contains("log-probabilities"), "{row:?}");
    }
}

#[test]
fn a_distance_that_is_not_offered_is_missing_evidence_and_missing_in_plots() {
    let dir = Dir::new("mlc-recommend");
    assert_eq!(run(&dir, "", &["--quantize", "nf4"]).code, 0);
    dir.ok(&["collate"]);
    let distance =
        ["eval", "--engine", "mlc_llm,mock", "--model", "synthetic:tiny", "--env", "distance", "--quantize", "nf4"];
    tokometer(&dir, "", &distance).fails(3, &["mlc_llm nf4 is not offered"]);
    let ran = dir.run(&["recommend", "--max-kl", "9", "--json"]);
    // That there is no distance is no trouble of a file.
    assert!(!ran.err.contains("left out"), "{}", ran.err);
    let advice: Value = serde_json::from_str(&ran.out).unwrap();
    let places = advice.as_array().unwrap().iter();
    let missing: Vec<&Value> = places.flat_map(|place| place["missing"].as_array().unwrap()).collect();
    let of = |text: &str| missing.iter().find(|one| one["what"].as_str().unwrap().contains(text));
    let own = of("mlc_llm nf4").unwrap_or_else(|| panic!("{advice}"));
    assert!(own["what"].as_str().unwrap().contains("tells no log-probabilities") && own["command"].is_null(), "{own}");
    let said = dir.run(&["recommend", "--max-kl", "9"]).out.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(said.contains("missing mlc_llm nf4") && said.contains("tells no log-probabilities"), "{said}");
    // Tables and plots show what there is.
    dir.ok(&["plot", "--only", "quality_vs_size"]);
    dir.ok(&["plot", "--only", "accuracy_vs_speed"]);
    dir.ok(&["present"]);
    let data: Value = serde_json::from_slice(&std::fs::read(dir.path("docs/presentation.json")).unwrap()).unwrap();
    let rows: Vec<&Value> =
        data["quality"].as_array().unwrap().iter().flat_map(|t| t["rows"].as_array().unwrap()).collect();
    assert_eq!(rows.len(), 1, "{}", data["quality"]);
    assert!(rows[0][0].as_str().unwrap().starts_with("mock"), "{}", rows[0]);
}

/// All that goes in is known before anything is started, though a library that is compiled again has other bytes.
#[test]
fn a_finished_evaluation_is_kept_unless_anything_differs() {
    let dir = Dir::new("mlc-kept");
    // The model is made for 4096 tokens, which is what other endpoints have.
    let eval = [
        "eval",
        "--engine",
        "mlc_llm",
        "--model",
        "synthetic:tiny",
        "--env",
        "copy",
        "--num-examples",
        "2",
        "--max-tokens",
        "2",
    ];
    let eval = |quantize: &str| tokometer(&dir, "", &[&eval[..], &["--quantize", quantize, "--json"]].concat());
    let kept = |ran: &Ran| {
        assert_eq!(ran.code, 0, "{}\n{}", ran.out, ran.err);
        ran.err.matches("kept: mlc_llm").count()
    };
    assert_eq!(kept(&eval("nf4")), 0);
    let second = eval("nf4");
    assert_eq!(kept(&second), 1);
    let told: Value = serde_json::from_str(&second.out).unwrap();
    let result = &told["results"][0];
    assert_eq!(
        (result["engine_version"].as_str(), result["native_quantize"].as_str()),
        (Some("0.0.standin"), Some("q4f32_1"))
    );
    assert!(result["identity"].is_string() && result["bits_per_weight"].as_f64().is_some(), "{result}");
    // Compiled again, it is the same model.
    for name in crate::dir::names(&dir.path("models")).iter().filter(|name| name.contains("-library-")) {
        std::fs::remove_dir_all(dir.path("models").join(name)).unwrap();
    }
    let again = eval("nf4");
    assert!(again.err.contains("compiling the library"), "{}", again.err);
    assert_eq!(kept(&again), 1);
    // Another format, and another library of the same weights, are not.
    assert_eq!(kept(&eval("float16")), 0);
    dir.write("tokometer.toml", "[engines.mlc_llm]\noptions = { opt = \"O3\" }\n");
    assert_eq!(kept(&eval("nf4")), 0);
}
