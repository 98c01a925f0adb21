//! The data and the files, on made-up series.

use super::*;
use crate::analyze::{Analysis, analyze};
use crate::record::{Context, Phase, Series, Status, Step};
use std::fs;

/// One repetition of a case: the prompt in 50 ms, then four steps of about `ms`.
fn series(quantize: (&str, &str, f64), launch: u32, repetition: u32, ms: f64) -> Series {
    let text = |text: &str| Some(text.to_owned());
    let context = Context {
        engine: "llamacpp".into(),
        engine_version: text("b1"),
        hostname: text("host-a"),
        device: text("CPU"),
        model: text("synthetic:tiny"),
        uuid: text(quantize.0),
        quantize: text(quantize.0),
        native_quantize: text(quantize.1),
        bits_per_weight: Some(quantize.2),
        weights_bytes: Some(1_000_000),
        prompt_tokens: Some(100),
        gen_tokens: Some(5),
        threads: Some(2),
        launch: Some(launch),
        repetition: Some(repetition),
        round: Some(launch),
        warmup_ms: Some(9.0),
        cold_ttft_ms: Some(80.0),
        ..Context::default()
    };
    let prefill = Step { phase: Phase::Prefill, tokens: Some(100), total_ms: Some(50.0), ..Step::default() };
    let decode = (0..4u32).map(|step| Step {
        step: Some(step + 1),
        tokens: Some(1),
        total_ms: Some(ms + 0.01 * f64::from(step + launch + repetition)),
        ..Step::default()
    });
    Series { context, steps: std::iter::once(prefill).chain(decode).collect() }
}

const NF4: (&str, &str, f64) = ("nf4", "Q4_K_M", 4.85);
const F16: (&str, &str, f64) = ("float16", "F16", 16.0);

/// nf4 is twice as fast as float16; three launches of two repetitions each.
fn two_cases() -> Vec<Series> {
    let places = (1..=3).flat_map(|launch| [(launch, 1), (launch, 2)]);
    places
        .flat_map(|(launch, repetition)| [series(NF4, launch, repetition, 10.0), series(F16, launch, repetition, 20.0)])
        .collect()
}

fn context() -> ReportContext {
    ReportContext {
        runs: vec![RunInfo {
            host: Some("host-a".into()),
            machine: vec!["a processor, 2 cores".into()],
            command: ["tokometer", "run"].map(str::to_owned).to_vec(),
            versions: vec![("llama.cpp".into(), "b1".into())],
            measured_on: Some("2026-11-24".into()),
        }],
        ..ReportContext::default()
    }
}

#[test]
fn nothing_measured_is_a_whole_presentation_without_figures() {
    let value = data(&analyze(&[]), &ReportContext::default());
    for list in ["answers", "checks", "machines", "builds", "results", "quality", "findings", "failures", "warnings"] {
        assert_eq!(value[list].as_array().map(Vec::len), Some(0), "{list}");
    }
    assert_eq!((value["title"].as_str(), value["measured_on"].as_str()), (Some("Inference speed"), None));
    assert!(value["figures"].as_array().unwrap().iter().all(|figure| figure["missing"].is_string()));
}

#[test]
fn the_answer_comes_with_how_sure_it_is() {
    let value = data(&analyze(&two_cases()), &context());
    let answer = &value["answers"][0];
    assert_eq!((answer["case"].as_str(), answer["sure"].as_bool()), (Some("llamacpp nf4 (Q4_K_M)"), Some(true)));
    let verdict = answer["verdict"].as_str().unwrap();
    assert!(verdict.contains("times as fast as the next, llamacpp float16 (F16)"), "{verdict}");
    assert!(value["checks"].as_array().unwrap().iter().all(|check| check["ok"] == true), "{}", value["checks"]);
    assert_eq!(value["method"]["repetitions"], "3 × 2 (launches × repetitions in each) for every case.");
    let interval = value["method"]["interval"].as_str().unwrap();
    assert!(["Student's t", "within 2%", "at 99.7%"].iter().all(|words| interval.contains(words)), "{interval}");
}

#[test]
fn equal_cases_are_not_told_apart() {
    let places = || (1..=3u32).flat_map(|launch| [(launch, 1u32), (launch, 2)]);
    let noisy = |launch: u32, repetition: u32| 10.0 + f64::from((launch * 7 + repetition * 3) % 5);
    let both: Vec<Series> =
        places().flat_map(|(l, r)| [series(NF4, l, r, noisy(l, r)), series(F16, l, r, noisy(l, r) + 0.05)]).collect();
    let answer = &data(&analyze(&both), &context())["answers"][0];
    assert_eq!(answer["sure"], false);
    assert!(answer["verdict"].as_str().unwrap().starts_with("Not clearly faster"), "{answer}");
}

#[test]
fn one_repetition_has_no_interval_and_says_so() {
    let value = data(&analyze(&[series(NF4, 1, 1, 10.0), series(F16, 1, 1, 20.0)]), &context());
    let row = &value["results"][0]["rows"][0];
    assert!(row["decode"]["interval"].is_null() && row["decode"]["text"].is_string(), "{row}");
    assert_eq!(value["answers"][0]["sure"], false);
    assert!(value["checks"].as_array().unwrap().iter().any(|check| check["ok"] == false));
}

#[test]
fn rows_carry_text_and_raw_values_and_name_the_baseline_once() {
    let value = data(&analyze(&two_cases()), &context());
    let section = &value["results"][0];
    assert_eq!(section["baseline"], "llamacpp float16 (F16)");
    let rows = section["rows"].as_array().unwrap();
    let nf4 = rows.iter().find(|row| row["quantize"] == "nf4 (Q4_K_M)").unwrap();
    assert!((nf4["ratio"]["mean"].as_f64().unwrap() - 2.0).abs() < 0.01, "{nf4}");
    assert_eq!(
        (nf4["best"].as_bool(), nf4["runs"].as_str(), nf4["bits"]["text"].as_str()),
        (Some(true), Some("3 × 2"), Some("4.85"))
    );
    assert!(nf4["rss"].is_null() && nf4["ratio"]["note"].is_null());
    assert!(nf4["first_token_penalty"]["text"] == "30.00" && nf4["e2e"]["text"].is_string(), "{nf4}");
    assert_eq!(
        value["limits"].as_array().unwrap().iter().filter(|l| l.as_str().unwrap().contains("random weights")).count(),
        1
    );
}

#[test]
fn failures_and_warnings_are_told() {
    let mut all = two_cases();
    for one in all.iter_mut().filter(|one| one.context.quantize.as_deref() == Some("nf4")) {
        one.context.warnings = vec!["high_load".into()];
    }
    let mut lost = series(F16, 4, 1, 1.0);
    lost.steps.clear();
    lost.context.status = Status::Failed;
    lost.context.reason = Some("killed by signal 9".into());
    all.push(lost);
    let mut told = context();
    told.warning_texts.insert("high_load".into(), "other work ran".into());
    let value = data(&analyze(&all), &told);
    assert_eq!(value["failures"][0]["reason"], "killed by signal 9");
    assert_eq!(
        (value["warnings"][0]["title"].as_str(), value["warnings"][0]["text"].as_str()),
        (Some("high load"), Some("other work ran"))
    );
    assert_eq!(
        value["checks"].as_array().unwrap().iter().filter(|check| check["ok"] == false).count(),
        2,
        "{}",
        value["checks"]
    );
}

#[test]
fn of_many_cases_the_tables_list_some_and_say_so() {
    let mut all = Vec::new();
    for prompt in 1..=100 {
        for mut one in [series(NF4, 1, 1, 10.0), series(F16, 1, 1, 20.0)] {
            one.context.prompt_tokens = Some(prompt);
            all.push(one);
        }
    }
    let value = data(&analyze(&all), &context());
    let rows: usize =
        value["results"].as_array().unwrap().iter().map(|section| section["rows"].as_array().unwrap().len()).sum();
    assert_eq!((rows, value["answers"].as_array().unwrap().len()), (48, 24));
    assert_eq!(value["counts"]["cases"], 200);
    let told = |limit: &serde_json::Value| limit.as_str().unwrap().contains("48 of 200 cases, in 24 of 100 sections");
    assert!(value["limits"].as_array().unwrap().iter().any(told), "{}", value["limits"]);
}

#[test]
fn the_template_asks_only_for_keys_that_the_data_have() {
    let value = data(&analyze(&two_cases()), &context());
    let row = &value["results"][0]["rows"][0];
    let asked = |before: &str| -> Vec<&'static str> {
        let word = |rest: &'static str| rest.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').next().unwrap();
        TEMPLATE.split(before).skip(1).map(word).filter(|key| !key.is_empty()).collect()
    };
    let (top, columns) = (asked("report."), asked("column(\""));
    assert!(top.len() > 30 && columns.len() > 15, "the search found too little");
    assert!(top.iter().all(|key| value.get(key).is_some()), "{top:?}");
    assert!(columns.iter().all(|key| row.get(key).is_some()), "{columns:?}");
    assert_eq!(template_version(TEMPLATE), Some(3));
}

/// A working folder with one for plots.
struct Dir(crate::testing::Dir);

impl Dir {
    fn new() -> Dir {
        let dir = Dir(crate::testing::Dir::new());
        fs::create_dir_all(dir.0.join("plots")).unwrap();
        dir
    }

    fn plot(&self, file: &str, bytes: &[u8]) -> PathBuf {
        let path = self.0.join("plots").join(file);
        fs::write(&path, bytes).unwrap();
        path
    }

    fn present(&self, analysis: &Analysis, figures: &[(&str, PathBuf)]) -> Presented {
        present(&self.0, analysis, &context(), figures).unwrap()
    }

    fn data(&self) -> serde_json::Value {
        serde_json::from_slice(&fs::read(self.0.join(DATA)).unwrap()).unwrap()
    }
}

#[test]
fn plots_are_copied_and_the_vector_image_is_shown() {
    let dir = Dir::new();
    let figures = [
        ("backend_comparison", dir.plot("backend_comparison.svg", b"<svg/>")),
        ("backend_comparison", dir.plot("backend_comparison.png", b"png")),
        ("summary_stats", dir.plot("summary_stats.png", b"other")),
    ];
    let presented = dir.present(&analyze(&two_cases()), &figures);
    assert_eq!(presented.images.len(), 3);
    assert_eq!(fs::read(dir.0.join("docs/images/summary_stats.png")).unwrap(), b"other");
    let data = dir.data();
    let image =
        |name: &str| data["figures"].as_array().unwrap().iter().find(|f| f["name"] == name).unwrap()["image"].clone();
    assert_eq!(image("backend_comparison"), "docs/images/backend_comparison.svg");
    assert_eq!(image("summary_stats"), "docs/images/summary_stats.png");
    assert!(image("memory_throughput").is_null());
}

#[test]
fn the_users_text_survives_and_the_data_follow() {
    let dir = Dir::new();
    let first = dir.present(&analyze(&[]), &[]);
    assert!(first.source_written && fs::read_to_string(&first.source).unwrap() == TEMPLATE);
    fs::write(&first.source, "// tokometer template 0\nMine").unwrap();
    let second = dir.present(&analyze(&two_cases()), &[]);
    assert!(!second.source_written && second.notes.len() == 1 && second.notes[0].contains("template 0"), "{second:?}");
    assert_eq!(fs::read_to_string(&second.source).unwrap(), "// tokometer template 0\nMine");
    assert_eq!(dir.data()["counts"]["cases"], 2);
    let before = fs::read(dir.0.join(DATA)).unwrap();
    dir.present(&analyze(&two_cases()), &[]);
    assert_eq!(before, fs::read(dir.0.join(DATA)).unwrap());
    let left: Vec<_> = fs::read_dir(dir.0.join("docs")).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left, ["presentation.json"]);
}

#[test]
fn a_plot_that_is_gone_or_no_picture_is_named() {
    let dir = Dir::new();
    let error = |path: PathBuf| present(&dir.0, &analyze(&[]), &context(), &[("x", path)]).unwrap_err().to_string();
    assert!(error(dir.0.join("plots/none.png")).contains("none.png"));
    assert!(error(dir.plot("x.pdf", b"")).contains("x.pdf"));
    assert!(!dir.0.join(SOURCE).exists());
}
