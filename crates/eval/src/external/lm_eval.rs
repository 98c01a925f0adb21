//! `lm_eval` of PyPI's `lm-eval`, through its model `local-completions`; results in `samples_*.jsonl`.
//!
//! It writes results at its end only. A module of ours runs it and writes down which examples have all their answers in its
//! cache (`evals/tokometer_lm_eval.py`): a choice takes several requests, so the number of these tells little.
//!
//! Tasks by log-likelihood need to know where a prompt ends in tokens: they ask the endpoint for its tokenizer.

use super::{Order, SCORES, Tool};
use crate::result::Scored;
use crate::task::BUILT_IN;
use crate::{Error, Result};
use serde_json::Value;
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

/// The program.
pub const LM_EVAL: Tool = Tool {
    title: "lm_eval",
    environment: "lm_eval",
    variable: "TOKOMETER_LM_EVAL_PYTHON",
    package: "lm-eval",
    files: &[
        ("modules/tokometer_lm_eval.py", include_str!("../../../../evals/tokometer_lm_eval.py")),
        ("tasks/tokometer_scores.py", SCORES),
        ("tasks/tokometer_reverse_text.yaml", include_str!("../../../../evals/lm_eval/tokometer_reverse_text.yaml")),
        ("tasks/tokometer_arithmetic.yaml", include_str!("../../../../evals/lm_eval/tokometer_arithmetic.yaml")),
        ("tasks/tokometer_copy.yaml", include_str!("../../../../evals/lm_eval/tokometer_copy.yaml")),
        ("tasks/tokometer_sort.yaml", include_str!("../../../../evals/lm_eval/tokometer_sort.yaml")),
        ("tasks/tokometer_choice.yaml", include_str!("../../../../evals/lm_eval/tokometer_choice.yaml")),
    ],
    arguments,
    count,
    read,
};

/// The file in which examples are written down as they are done.
const EXAMPLES: &str = "examples.jsonl";

fn arguments(order: &Order<'_>) -> Result<Vec<OsString>> {
    let task = match BUILT_IN.iter().any(|(name, _)| *name == order.name) {
        true => format!("tokometer_{}", order.name.replace('-', "_")),
        false => order.name.to_owned(),
    };
    let backend = if order.offers_tokenizer { "remote" } else { "None" };
    let model = format!(
        "model={},base_url={}/completions,tokenizer_backend={backend},num_concurrent=1,max_retries=2,timeout=3600",
        order.model, order.url
    );
    let inside = |name: &str| order.folder.join(name).into_os_string();
    let mut words: Vec<OsString> = vec!["-m".into(), "tokometer_lm_eval".into(), inside(EXAMPLES)];
    words.extend(["run", "--model", "local-completions", "--log_samples"].map(OsString::from));
    words.extend([OsString::from("--model_args"), model.into(), "--tasks".into(), task.into()]);
    words.extend([OsString::from("--include_path"), inside("tasks"), "--output_path".into(), inside("out")]);
    // Answers of an attempt that died are taken from here.
    words.extend([OsString::from("--use_cache"), inside("cache")]);
    if let Some(n) = order.num_examples {
        words.extend([OsString::from("--limit"), n.to_string().into()]);
    }
    if let Some(n) = order.max_tokens {
        words.extend([OsString::from("--gen_kwargs"), format!("max_gen_toks={n}").into()]);
    }
    Ok(words)
}

/// The samples' files below `out`, the newest of each task.
fn samples(folder: &Path) -> Vec<PathBuf> {
    let list = |folder: &Path| -> Vec<PathBuf> {
        std::fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path()).collect()
    };
    let mut newest: BTreeMap<String, PathBuf> = BTreeMap::new();
    let mut paths: Vec<PathBuf> = list(&folder.join("out")).iter().flat_map(|inner| list(inner)).collect();
    paths.sort();
    for path in paths {
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        // `samples_{task}_{date}.jsonl`; dates sort by time.
        if let Some((task, _)) = name.strip_prefix("samples_").and_then(|rest| rest.rsplit_once('_')) {
            newest.insert(task.to_owned(), path);
        }
    }
    newest.into_values().collect()
}

/// Examples with all their answers, of this attempt and earlier ones. A last line that was cut off does not count.
fn count(folder: &Path) -> Option<usize> {
    let text = std::fs::read_to_string(folder.join(EXAMPLES)).ok()?;
    Some(text.matches('\n').count())
}

fn read(folder: &Path) -> Result<Vec<Scored>> {
    let paths = samples(folder);
    let many = paths.len() > 1;
    let mut all = Vec::new();
    for path in paths {
        let text = std::fs::read_to_string(&path).map_err(Error::file("read", &path))?;
        let task = path.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
        let task =
            task.strip_prefix("samples_").and_then(|rest| rest.rsplit_once('_')).map(|(task, _)| task.to_owned());
        let found =
            parse(&text).map_err(|why| Error::Form { path: path.clone(), what: "a list of lm_eval's samples", why })?;
        all.extend(found.into_iter().map(|scored| match (&task, many) {
            (Some(task), true) => Scored { id: format!("{task}/{}", scored.id), ..scored },
            _ => scored,
        }));
    }
    Ok(all)
}

/// Examples of a `samples_*.jsonl`. The score is the first metric of the first filter; the others are metrics.
pub(super) fn parse(text: &str) -> std::result::Result<Vec<Scored>, String> {
    let (mut first_filter, mut found): (Option<Value>, BTreeMap<u64, Scored>) = (None, BTreeMap::new());
    for (i, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
        let sample: Value = serde_json::from_str(line).map_err(|error| format!("line {}: {error}", i + 1))?;
        let place = sample["doc_id"].as_u64().unwrap_or(i as u64);
        let is_first = *first_filter.get_or_insert_with(|| sample["filter"].clone()) == sample["filter"];
        let scored = found.entry(place).or_insert_with(|| Scored {
            id: sample["doc"]["id"].as_str().map_or_else(|| place.to_string(), str::to_owned),
            score: None,
            reply: None,
            metrics: BTreeMap::new(),
            milliseconds: None,
            error: None,
        });
        let filter = sample["filter"].as_str().unwrap_or("none");
        let names = sample["metrics"].as_array().map(Vec::as_slice).unwrap_or_default();
        for name in names.iter().filter_map(Value::as_str) {
            let Some(value) = sample[name].as_f64() else { continue };
            if is_first && scored.score.is_none() {
                scored.score = Some(value);
                scored.reply = sample["filtered_resps"][0].as_str().map(str::to_owned);
            }
            let label = if filter == "none" { name.to_owned() } else { format!("{name},{filter}") };
            scored.metrics.insert(label, value);
        }
    }
    let told = |scored: Scored| match scored.score {
        None => Scored { error: Some("its metrics are not of single examples".into()), ..scored },
        Some(_) => scored,
    };
    Ok(found.into_values().map(told).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_are_read_and_the_first_filter_counts() {
        let text = r#"{"doc_id":1,"doc":{"id":"b"},"filter":"strict","metrics":["exact_match"],"exact_match":0.0,"filtered_resps":["x"]}
{"doc_id":0,"doc":{"q":"?"},"filter":"strict","metrics":["exact_match"],"exact_match":1.0,"filtered_resps":["y"]}
{"doc_id":1,"doc":{"id":"b"},"filter":"flexible","metrics":["exact_match"],"exact_match":1.0,"filtered_resps":["z"]}
"#;
        let scored = parse(text).unwrap();
        assert_eq!(
            scored.iter().map(|s| (s.id.as_str(), s.score)).collect::<Vec<_>>(),
            [("0", Some(1.0)), ("b", Some(0.0))]
        );
        assert_eq!(scored[1].metrics["exact_match,flexible"], 1.0);
        assert_eq!(scored[1].reply.as_deref(), Some("x"));
    }

    #[test]
    fn examples_are_counted_as_they_are_done_where_they_are_written_down() {
        let folder = std::env::temp_dir().join(format!("tokometer-lm-eval-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        assert_eq!(count(&folder), None);
        let order = Order {
            name: "choice",
            url: "http://127.0.0.1:1/v1",
            model: "m",
            num_examples: None,
            max_tokens: None,
            folder: &folder,
            offers_tokenizer: true,
        };
        // The module is ours, and is told the file.
        let words = arguments(&order).unwrap();
        assert_eq!(words[..2], ["-m", "tokometer_lm_eval"].map(OsString::from));
        assert!(LM_EVAL.files.iter().any(|(path, _)| *path == "modules/tokometer_lm_eval.py"));
        std::fs::write(&words[2], "{\"doc_id\":0}\n{\"doc_id\":3}\n{\"doc").unwrap();
        assert_eq!(count(&folder), Some(2));
        std::fs::remove_dir_all(&folder).unwrap();
    }

    #[test]
    fn every_built_in_set_has_a_task() {
        for (name, _) in BUILT_IN {
            let file = format!("tasks/tokometer_{}.yaml", name.replace('-', "_"));
            let text = LM_EVAL.files.iter().find(|(path, _)| *path == file).unwrap().1;
            assert!(text.contains(&format!("task: tokometer_{}\n", name.replace('-', "_"))), "{name}");
        }
    }
}
