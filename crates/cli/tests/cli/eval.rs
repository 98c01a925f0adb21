//! `tokometer eval` on real engines: our own sets, and the real vf-eval and lm_eval, which `cargo xtask test` sets up.

use crate::dir::{Dir, Ran, names, on_tiny};
use crate::serve::children;
use serde_json::Value;
use std::os::unix::fs::PermissionsExt;
use std::process::Stdio;
use std::time::Duration;

/// The results' files, by name.
fn results(dir: &Dir) -> Vec<(String, Value)> {
    let folder = dir.path("verifiers_results");
    let files = names(&folder).into_iter().filter(|name| name.ends_with(".json"));
    files
        .map(|name| {
            let text = std::fs::read_to_string(folder.join(&name)).unwrap();
            (name, serde_json::from_str(&text).unwrap())
        })
        .collect()
}

/// A field of every example of a result.
fn examples<'a, T>(result: &'a Value, field: &str, read: impl Fn(&'a Value) -> Option<T>) -> Vec<T> {
    let examples = result["examples"].as_array().unwrap();
    examples.iter().map(|example| read(&example[field]).unwrap()).collect()
}

fn journals(dir: &Dir) -> Vec<String> {
    names(&dir.path("verifiers_results")).into_iter().filter(|name| name.ends_with(".partial.jsonl")).collect()
}

/// Arguments of an evaluation of the tiny model, with these further ones. On one thread: two would wait for each other
/// wherever other tests keep the processors busy.
fn on_llamacpp<'a>(more: &[&'a str]) -> Vec<&'a str> {
    on_tiny("eval", "llamacpp", &[&["--threads", "1"][..], more].concat())
}

fn said(ran: &Ran) -> String {
    format!("{}\n{}", ran.out, ran.err)
}

#[test]
fn each_quantization_is_evaluated_and_compared() {
    let dir = Dir::new("eval");
    let more =
        ["--quantize", "float16,nf4", "--env", "reverse-text,choice", "--num-examples", "4", "--max-tokens", "4"];
    let ran = dir.ok(&on_llamacpp(&more));
    assert!(ran.out.lines().all(|line| line.chars().count() <= 80 || line.contains('/')), "{}", ran.out);
    assert!(ran.out.contains("nf4 (Q4_K_M)"), "{}", ran.out);
    let found = results(&dir);
    assert_eq!(found.len(), 4, "{}", said(&ran));
    for (name, result) in &found {
        assert!(name.starts_with("llamacpp_") && name.contains("_tiny_") && name.contains("_uuid"), "{name}");
        assert_eq!((result["returncode"].as_i64(), result["num_examples"].as_u64()), (Some(0), Some(4)), "{result}");
        assert_eq!(examples(result, "id", Value::as_str).len(), 4);
        assert!(
            result["metrics"]["reward"]["avg"].as_f64().is_some_and(|mean| (0.0..=1.0).contains(&mean)),
            "{result}"
        );
        assert!(result["bits_per_weight"].as_f64().is_some() && result["native_quantize"].is_string(), "{result}");
        assert!(result["engine_version"].as_str().is_some_and(|version| !version.is_empty()), "{result}");
        assert!(result["interval_95"].is_array() && result["task_sha256"].is_string(), "{result}");
    }
    assert!(journals(&dir).is_empty());
    let table = std::fs::read_to_string(dir.path("verifiers_results/all.csv")).unwrap();
    assert!(table.starts_with("quantization,size,environment,num_examples,max_tokens,"), "{table}");
    // Per result the score and one metric, of an LCS also whether it is exact.
    assert_eq!(table.lines().count(), 1 + 2 * (3 + 2), "{table}");
}

#[test]
fn greedy_answers_repeat_and_the_differences_of_equal_answers_are_nothing() {
    let dir = Dir::new("eval-json");
    let more = ["--quantize", "float16", "--env", "copy", "--num-examples", "3", "--max-tokens", "4", "--json"];
    let more = [&more[..], &["--again"]].concat();
    let run = || -> Value { serde_json::from_str(&dir.ok(&on_llamacpp(&more)).out).unwrap() };
    let (first, second) = (run(), run());
    let replies = examples(&first["results"][0], "reply", Value::as_str);
    assert_eq!(replies, examples(&second["results"][0], "reply", Value::as_str));
    assert_eq!(replies.len(), 3);
    assert!(first["differences"].as_array().unwrap().is_empty());
}

#[test]
fn an_evaluation_that_died_goes_on_where_it_was() {
    let dir = Dir::new("eval-resume");
    let line = |i: usize| {
        format!(r#"{{"id":"q{i}","prompt":"Copy: word {i}","answer":"word {i}","scorer":"lcs","max_tokens":48}}"#)
    };
    dir.write("mine.jsonl", (0..40).map(|i| line(i) + "\n").collect::<String>());
    let file = dir.path("mine.jsonl");
    let more = ["--quantize", "float16", "--env", file.to_str().unwrap()];
    let arguments = on_llamacpp(&more);
    let mut child = dir.command(&arguments).spawn().unwrap();
    let lines = || {
        let journal = journals(&dir).first().map(|name| dir.path("verifiers_results").join(name));
        journal.and_then(|path| std::fs::read_to_string(path).ok()).map_or(0, |text| text.lines().count())
    };
    // The first line says what is evaluated.
    while lines() < 4 {
        assert!(child.try_wait().unwrap().is_none(), "it ended before anything was written down");
        std::thread::sleep(std::time::Duration::from_millis(2));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!((results(&dir).len(), journals(&dir).len()), (0, 1));
    let ran = dir.ok(&arguments);
    assert!(ran.err.contains("of 40 examples were done by an earlier attempt"), "{}", said(&ran));
    let found = results(&dir);
    let ids = examples(&found[0].1, "id", Value::as_str);
    assert_eq!(ids, (0..40).map(|i| format!("q{i}")).collect::<Vec<_>>());
    assert!(found[0].1["resumed_examples"].as_u64().unwrap() >= 3);
    assert!(journals(&dir).is_empty());
}

#[test]
fn what_cannot_be_served_is_a_recorded_result_and_the_rest_goes_on() {
    let dir = Dir::new("eval-fails");
    let more = ["--quantize", "q9_nonsense,float16", "--env", "copy", "--num-examples", "2", "--max-tokens", "2"];
    let ran = dir.run(&on_llamacpp(&more));
    ran.fails(3, &["does not offer the quantization \"q9_nonsense\""]);
    let codes: Vec<i64> = results(&dir).iter().map(|(_, result)| result["returncode"].as_i64().unwrap()).collect();
    assert_eq!(codes.iter().filter(|code| **code == 0).count(), 1, "{codes:?}");
    assert_eq!(codes.len(), 2);
    dir.run(&["eval", "--env", "coppy", "--model", "synthetic:tiny"]).fails(1, &["did you mean copy?"]);
}

/// What must not depend on how many ran at a time: all but names, times and the command line.
fn essence(dir: &Dir) -> Vec<Value> {
    let without = |mut result: Value| {
        let fields = result.as_object_mut().unwrap();
        // The configurations that they are given differ.
        for name in ["uuid", "timestamp", "elapsed_seconds", "command", "jobs", "identity"] {
            fields.remove(name);
        }
        for example in fields["examples"].as_array_mut().unwrap() {
            example.as_object_mut().unwrap().remove("milliseconds");
        }
        result
    };
    let mut all: Vec<Value> = results(dir).into_iter().map(|(_, result)| without(result)).collect();
    all.sort_by_key(Value::to_string);
    all
}

/// Has the mock engine begin no answer before so many of its processes are at work.
fn meet(dir: &Dir, count: u32, more: &str) {
    let folder = dir.path("met").display().to_string();
    let options = format!("serve_meet = {folder:?}, serve_meet_count = \"{count}\"{more}");
    dir.write("tokometer.toml", format!("[engines.mock]\noptions = {{ {options} }}\n"));
}

#[test]
fn three_at_a_time_give_the_results_of_one_after_the_other() {
    let base = ["--quantize", "float16,q9_nonsense,nf4", "--env", "copy,arithmetic,choice", "--num-examples", "3"];
    let base = [&base[..], &["--max-tokens", "4", "--json"]].concat();
    let (one, three) = (Dir::new("eval-jobs-1"), Dir::new("eval-jobs-3"));
    let plain = one.run(&on_tiny("eval", "mock", &base));
    // Nobody answers before three evaluations are under way; the one that fails holds nobody up.
    meet(&three, 3, "");
    let beside = three.run(&on_tiny("eval", "mock", &[&base[..], &["--jobs", "3"]].concat()));
    for ran in [&plain, &beside] {
        ran.fails(3, &["does not offer the quantization \"q9_nonsense\""]);
    }
    assert_eq!(essence(&one), essence(&three));
    let told = |ran: &Ran| -> Value { serde_json::from_str(&ran.out).unwrap() };
    let order = |told: &Value| -> Vec<String> {
        let results = told["results"].as_array().unwrap().iter();
        results.map(|result| format!("{} {}", result["quantization"], result["environment"])).collect()
    };
    let (plain, beside) = (told(&plain), told(&beside));
    assert_eq!(order(&plain), order(&beside));
    assert_eq!(order(&plain).len(), 9);
    assert!(plain["results"].as_array().unwrap().iter().all(|result| result.get("jobs").is_none()), "{plain}");
    assert!(beside["results"].as_array().unwrap().iter().all(|result| result["jobs"] == 3), "{beside}");
    assert_eq!(plain["differences"].as_array().unwrap().len(), beside["differences"].as_array().unwrap().len());
    assert!(journals(&three).is_empty());
}

#[test]
fn the_device_is_that_of_the_endpoint() {
    let dir = Dir::new("eval-device");
    let more = ["--quantize", "nf4", "--env", "copy", "--num-examples", "2", "--max-tokens", "2", "--device"];
    let on = |device: &str| dir.run(&on_tiny("eval", "mock", &[&more[..], &[device]].concat()));
    on("CPU").fails(0, &[]);
    on("GPU7").fails(3, &["there is no such device"]);
}

#[test]
fn a_key_for_servers_does_not_lock_an_evaluation_out() {
    let dir = Dir::new("eval-key");
    let more = ["--quantize", "nf4", "--env", "copy", "--num-examples", "2", "--max-tokens", "2"];
    let mut command = dir.command(&on_tiny("eval", "mock", &more));
    let ran = Ran::of(command.env("TOKOMETER_API_KEY", "secret").output().unwrap());
    assert_eq!(ran.code, 0, "{}", said(&ran));
    assert_eq!(results(&dir)[0].1["num_examples"], 2);
}

#[test]
fn what_is_named_twice_is_evaluated_once() {
    let dir = Dir::new("eval-jobs-twice");
    let more = ["--quantize", "nf4", "--env", "copy,copy", "--num-examples", "2", "--max-tokens", "2", "--jobs", "4"];
    dir.ok(&on_tiny("eval", "mock", &more));
    let found = results(&dir);
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].1["engine_version"], "1");
    // One alone is not beside others.
    assert!(found[0].1.get("jobs").is_none(), "{}", found[0].1);
}

#[test]
fn a_finished_result_is_kept_unless_anything_differs() {
    let dir = Dir::new("eval-kept");
    let more = ["--quantize", "float16,nf4", "--env", "copy,choice", "--num-examples", "2", "--max-tokens", "2"];
    let more = [&more[..], &["--json"]].concat();
    let run = |further: &[&str]| dir.ok(&on_tiny("eval", "mock", &[&more[..], further].concat()));
    let told = |ran: &Ran| -> Vec<String> {
        let told: Value = serde_json::from_str(&ran.out).unwrap();
        let results = told["results"].as_array().unwrap().iter();
        results.map(|result| result["uuid"].as_str().unwrap().to_owned()).collect()
    };
    let kept = |ran: &Ran| ran.err.matches("kept: mock").count();
    let first = run(&[]);
    assert_eq!((told(&first).len(), kept(&first), results(&dir).len()), (4, 0, 4), "{}", said(&first));
    // However many run at a time, and though an endpoint may take longer.
    let second = run(&["--jobs", "3", "--timeout", "700"]);
    assert_eq!((told(&second), kept(&second), results(&dir).len()), (told(&first), 4, 4), "{}", said(&second));
    // One environment more on the endpoint of those that are kept.
    let third = dir.ok(&on_tiny("eval", "mock", &[&more[..], &["--env", "sort"]].concat()));
    assert_eq!((told(&third).len(), kept(&third), results(&dir).len()), (6, 4, 6), "{}", said(&third));
    for (i, further) in [&["--device", "cpu"][..], &["--again"]].into_iter().enumerate() {
        let ran = run(further);
        assert_eq!((kept(&ran), results(&dir).len()), (0, 10 + 4 * i), "{further:?} {}", said(&ran));
    }
    let other = [&["eval", "--engine", "mock", "--model", "synthetic:60M"][..], &more].concat();
    let ran = dir.ok(&other);
    assert_eq!((kept(&ran), results(&dir).len()), (0, 18), "{}", said(&ran));
    // What another version has left is not taken, nor what says nothing of how it came about.
    for (name, mut result) in results(&dir) {
        if result["quantization"] == "nf4" {
            result["engine_version"] = "0".into();
        } else {
            result.as_object_mut().unwrap().remove("identity");
        }
        dir.write(&format!("verifiers_results/{name}"), result.to_string());
    }
    let ran = run(&[]);
    assert_eq!((kept(&ran), results(&dir).len()), (0, 22), "{}", said(&ran));
}

/// Whether a process has not ended.
fn is_running(pid: u32) -> bool {
    let status = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    // The state stands behind the name, which is in brackets.
    status.rsplit_once(')').is_some_and(|(_, rest)| !rest.trim_start().starts_with(['Z', 'X']))
}

/// Two evaluations at a time are ended by a signal in the middle of both: what they have started ends, what was answered is
/// kept, and the same command goes on with it.
fn two_at_a_time_end_and_go_on(name: &str, signal: libc::c_int) {
    let dir = Dir::new(name);
    let line = |i: usize| {
        format!(r#"{{"id":"q{i}","prompt":"Copy: word {i}","answer":"word {i}","scorer":"lcs","max_tokens":48}}"#)
    };
    dir.write("mine.jsonl", (0..40).map(|i| line(i) + "\n").collect::<String>());
    let file = dir.path("mine.jsonl");
    let more = ["--quantize", "float16,nf4", "--env", file.to_str().unwrap(), "--jobs", "2"];
    let more = [&more[..], &["--timeout", "700", "--device", "cpu"]].concat();
    let arguments = on_tiny("eval", "mock", &more);
    meet(&dir, 2, ", serve_us = \"2000\"");
    let mut child = dir.command(&arguments).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let lines = |name: &str| {
        std::fs::read_to_string(dir.path("verifiers_results").join(name)).map_or(0, |text| text.lines().count())
    };
    // The first line of each says what is evaluated.
    while journals(&dir).iter().filter(|name| lines(name.as_str()) >= 3).count() < 2 {
        assert!(child.try_wait().unwrap().is_none(), "it ended before anything was written down");
        std::thread::sleep(Duration::from_millis(2));
    }
    let endpoints = children(child.id());
    let workers: Vec<u32> = endpoints.iter().flat_map(|pid| children(*pid)).collect();
    assert_eq!((endpoints.len(), workers.len()), (2, 2));
    for pid in &endpoints {
        // The words of a command line end with zeros.
        let line = std::fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap();
        let given = |name: &str| line.split('\0').skip_while(|word| *word != name).nth(1);
        assert_eq!((given("--timeout"), given("--device")), (Some("700"), Some("cpu")), "{line:?}");
    }
    // SAFETY: a signal to a process of our own that nobody has waited for.
    assert_eq!(unsafe { libc::kill(child.id() as i32, signal) }, 0);
    assert!(!child.wait().unwrap().success());
    while endpoints.iter().chain(&workers).any(|pid| is_running(*pid)) {
        std::thread::sleep(Duration::from_millis(5));
    }
    assert_eq!((results(&dir).len(), journals(&dir).len()), (0, 2));
    std::fs::remove_file(dir.path("tokometer.toml")).unwrap();
    let ran = dir.ok(&arguments);
    let resumed = ran.err.matches("of 40 examples were done by an earlier attempt").count();
    assert_eq!(resumed, 2, "{}", said(&ran));
    for (_, result) in results(&dir) {
        let examples = result["examples"].as_array().unwrap().iter();
        let ids: Vec<&str> = examples.map(|example| example["id"].as_str().unwrap()).collect();
        assert_eq!(ids, (0..40).map(|i| format!("q{i}")).collect::<Vec<_>>());
        assert!(result["resumed_examples"].as_u64().unwrap() >= 2, "{result}");
    }
    assert_eq!((results(&dir).len(), journals(&dir).len()), (2, 0));
}

#[test]
fn ctrl_c_ends_all_endpoints_and_keeps_what_was_answered() {
    two_at_a_time_end_and_go_on("eval-jobs-ctrlc", libc::SIGINT);
}

#[test]
fn evaluations_at_a_time_that_were_killed_go_on_where_they_were() {
    two_at_a_time_end_and_go_on("eval-jobs-killed", libc::SIGKILL);
}

/// The model that the project trained.
fn trained() -> String {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../training/tasks-2.4M");
    folder.canonicalize().unwrap().display().to_string()
}

/// Mean score of each engine in one environment.
fn means(dir: &Dir, environment: &str) -> Vec<(String, f64)> {
    let results = results(dir);
    let of = results.iter().filter(|(_, result)| result["environment"] == environment);
    of.map(|(_, result)| {
        let scores = examples(result, "score", Value::as_f64);
        (result["engine"].as_str().unwrap().to_owned(), scores.iter().sum::<f64>() / scores.len() as f64)
    })
    .collect()
}

/// The model answers what it was trained for, in both engines alike: its tokenizer, its chat template and its weights arrive.
#[test]
fn the_trained_model_scores_alike_in_both_engines() {
    let dir = Dir::new("eval-trained");
    let model = trained();
    let environments = "arithmetic,reverse-text,choice";
    let ran = dir.ok(&[
        "eval",
        "--engine",
        "llamacpp,tinygrad",
        "--model",
        &model,
        "--quantize",
        "float16",
        "--env",
        environments,
        "--num-examples",
        "40",
    ]);
    for (environment, least) in [("arithmetic", 0.85), ("reverse-text", 0.9), ("choice", 0.85)] {
        let means = means(&dir, environment);
        assert_eq!(means.len(), 2, "{}", said(&ran));
        assert!(means.iter().all(|(_, mean)| *mean >= least), "{environment}: {means:?}");
        // Greedy answers in half precision: a tie may fall either way, no more.
        assert!((means[0].1 - means[1].1).abs() <= 0.05, "{environment}: {means:?}");
    }
}

/// Both evaluators of others, over both engines, on the trained model.
#[test]
fn the_real_vf_eval_and_lm_eval_score_tinygrad_too() {
    let dir = Dir::new("eval-others-tinygrad");
    let (model, environments) = (trained(), "arithmetic,vf:arithmetic,lm:arithmetic");
    let ran = dir.ok(&[
        "eval",
        "--engine",
        "tinygrad",
        "--model",
        &model,
        "--quantize",
        "float16",
        "--env",
        environments,
        "--num-examples",
        "6",
    ]);
    let found = results(&dir);
    assert_eq!(found.len(), 3, "{}", said(&ran));
    for (name, result) in &found {
        let scores = examples(result, "score", Value::as_f64);
        let right = scores.iter().filter(|score| **score == 1.0).count();
        assert!(scores.len() == 6 && right >= 4, "{name}: {result}");
    }
}

#[test]
fn the_real_vf_eval_and_lm_eval_score_as_we_do() {
    let dir = Dir::new("eval-others");
    let (model, environments) = (trained(), "reverse-text,vf:reverse-text,lm:reverse-text");
    let ran = dir.ok(&[
        "eval",
        "--engine",
        "llamacpp",
        "--threads",
        "1",
        "--model",
        &model,
        "--quantize",
        "float16",
        "--env",
        environments,
        "--num-examples",
        "3",
    ]);
    let found = results(&dir);
    assert_eq!(found.len(), 3, "{}", said(&ran));
    let of = |kind: &str| &found.iter().find(|(_, result)| result["kind"] == kind).unwrap().1;
    let scores = |kind: &str| examples(of(kind), "score", Value::as_f64);
    assert_eq!(scores("verifiers").len(), 3);
    // The same messages to the same greedy model.
    assert_eq!(scores("verifiers"), scores("native"));
    assert_eq!(scores("lm_eval").len(), 3);
    assert!(of("verifiers")["evaluator"].as_str().unwrap().starts_with("verifiers 0.4"), "{}", of("verifiers"));
    assert!(of("lm_eval")["evaluator"].as_str().unwrap().starts_with("lm-eval 0.4"), "{}", of("lm_eval"));
    assert!(of("lm_eval")["metrics"]["score"].is_object(), "{}", of("lm_eval"));
}

/// Where nothing counts examples, the server's count of requests is told.
#[test]
fn an_lm_eval_that_dies_half_way_tells_how_many_requests_were_answered() {
    let dir = Dir::new("eval-dies");
    let program = r#"#!/usr/bin/env python3
import json, sys, urllib.request
if "-m" not in sys.argv:
    sys.exit(1)
given = dict(pair.split("=", 1) for pair in sys.argv[sys.argv.index("--model_args") + 1].split(","))
body = json.dumps({"model": given["model"], "prompt": "a", "max_tokens": 1}).encode()
for _ in range(3):
    headers = {"Content-Type": "application/json"}
    urllib.request.urlopen(urllib.request.Request(given["base_url"], data=body, headers=headers)).read()
sys.exit("that was too much")
"#;
    dir.write("lm_eval", program);
    std::fs::set_permissions(dir.path("lm_eval"), std::fs::Permissions::from_mode(0o755)).unwrap();
    let mut command = dir.command(&on_tiny("eval", "mock", &["--quantize", "nf4", "--env", "lm:copy"]));
    let ran = Ran::of(command.env("TOKOMETER_LM_EVAL_PYTHON", dir.path("lm_eval")).output().unwrap());
    ran.fails(3, &["after 3 of its requests were answered", "that was too much"]);
}

/// A choice takes several requests, so these are no measure: the module that runs lm_eval counts examples.
#[test]
fn an_lm_eval_that_dies_half_way_tells_how_many_examples_were_done_and_goes_on() {
    let dir = Dir::new("eval-dies-counted");
    // What `evals/tokometer_lm_eval.py` does, without lm_eval.
    let program = r#"#!/usr/bin/env python3
import json, os, sys
if "-m" not in sys.argv:
    sys.exit(1)
path = sys.argv[sys.argv.index("-m") + 2]
done = len(open(path).readlines()) if os.path.exists(path) else 0
with open(path, "a") as file:
    for i in range(done, done + 2):
        file.write(json.dumps({"task": "tokometer_choice", "doc_id": i}) + "\n")
if done == 0:
    sys.exit("that was too much")
out = os.path.join(os.path.dirname(path), "out", "m")
os.makedirs(out)
with open(os.path.join(out, "samples_tokometer_choice_2026-11-30.jsonl"), "w") as file:
    for i in range(done + 2):
        file.write(json.dumps({"doc_id": i, "doc": {}, "filter": "none", "metrics": ["acc"], "acc": 1.0}) + "\n")
"#;
    dir.write("lm_eval", program);
    std::fs::set_permissions(dir.path("lm_eval"), std::fs::Permissions::from_mode(0o755)).unwrap();
    let arguments = on_tiny("eval", "mock", &["--quantize", "nf4", "--env", "lm:choice", "--num-examples", "4"]);
    let run = || {
        let mut command = dir.command(&arguments);
        Ran::of(command.env("TOKOMETER_LM_EVAL_PYTHON", dir.path("lm_eval")).output().unwrap())
    };
    let first = run();
    first.fails(3, &["after 2 of 4 examples, 0 of its requests were answered", "that was too much"]);
    assert!(first.err.contains("the same command goes on from there"), "{}", said(&first));
    let second = run();
    assert_eq!(second.code, 0, "{}", said(&second));
    assert!(second.err.contains("2 of 4 examples were done by an earlier attempt"), "{}", said(&second));
    let found = results(&dir);
    let whole = found.iter().find(|(_, result)| result["returncode"] == 0).unwrap();
    assert_eq!((whole.1["resumed_examples"].as_u64(), whole.1["num_examples"].as_u64()), (Some(2), Some(4)));
}

#[test]
fn the_real_lm_eval_that_was_killed_goes_on_and_says_how_many_examples_were_done() {
    let dir = Dir::new("eval-lm-killed");
    let model = trained();
    let model = model.as_str();
    let arguments = [
        "eval",
        "--engine",
        "llamacpp",
        "--threads",
        "1",
        "--model",
        model,
        "--quantize",
        "float16",
        "--env",
        "lm:choice",
        "--num-examples",
        "40",
    ];
    let mut child = dir.command(&arguments).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let done = || {
        let work = dir.path("verifiers_results/.work");
        let files = names(&work).into_iter().map(|name| work.join(name).join("examples.jsonl"));
        files.filter_map(|path| std::fs::read_to_string(path).ok()).map(|text| text.lines().count()).sum::<usize>()
    };
    while done() < 2 {
        assert!(child.try_wait().unwrap().is_none(), "it ended before an example was done");
        std::thread::sleep(Duration::from_millis(2));
    }
    let left: Vec<u32> = children(child.id());
    child.kill().unwrap();
    child.wait().unwrap();
    while left.iter().any(|pid| is_running(*pid)) {
        std::thread::sleep(Duration::from_millis(5));
    }
    let before = done();
    assert!((2..40).contains(&before) && results(&dir).is_empty(), "{before}");
    let ran = dir.ok(&arguments);
    let told = format!("{before} of 40 examples were done by an earlier attempt");
    assert!(ran.err.contains(&told), "{}", said(&ran));
    let found = results(&dir);
    assert_eq!(
        (found[0].1["resumed_examples"].as_u64(), found[0].1["num_examples"].as_u64()),
        (Some(before as u64), Some(40))
    );
}

#[test]
fn a_result_of_the_older_vf_eval_is_taken_in() {
    let dir = Dir::new("eval-import");
    dir.write("old.txt", "Environment: gsm8k\nModel: m-1B\nExamples: 5\nreward: avg - 0.400, std - 0.490\n");
    let file = dir.path("old.txt");
    let ran = dir.ok(&["eval", "--import", file.to_str().unwrap(), "--engine", "llamacpp", "--quantize", "nf4"]);
    let (name, result) = &results(&dir)[0];
    assert!(name.contains("_1B_nf4_vf-gsm8k_uuid"), "{name} {}", said(&ran));
    assert_eq!((result["num_examples"].as_u64(), result["metrics"]["reward"]["avg"].as_f64()), (Some(5), Some(0.4)));
    dir.run(&["eval", "--import", file.to_str().unwrap()]).fails(1, &["one --engine and one --quantize"]);
}
