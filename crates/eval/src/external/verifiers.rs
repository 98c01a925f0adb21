//! `vf-eval` of PyPI's `verifiers` 0.4: task sets of its version 1, results in `traces.jsonl`.

use super::{Order, SCORES, Tool};
use crate::result::Scored;
use crate::task::BUILT_IN;
use crate::{Error, Result};
use serde_json::Value;
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

/// The program.
pub const VERIFIERS: Tool = Tool {
    title: "vf-eval",
    environment: "verifiers",
    variable: "TOKOMETER_VERIFIERS_PYTHON",
    package: "verifiers",
    files: &[
        (
            "modules/tokometer_tasks/__init__.py",
            include_str!("../../../../evals/verifiers/tokometer_tasks/__init__.py"),
        ),
        ("modules/tokometer_scores.py", SCORES),
        ("modules/tokometer_chat/__init__.py", include_str!("../../../../evals/verifiers/tokometer_chat/__init__.py")),
    ],
    arguments,
    count,
    read,
};

/// What `vf-eval` is, without a path to it.
const ENTRY: &str = "from verifiers.v1.cli.eval.main import main; main()";

fn arguments(order: &Order<'_>) -> Result<Vec<OsString>> {
    let mut words: Vec<OsString> = vec!["-c".into(), ENTRY.into()];
    let saved = saved_config(order.folder);
    if saved.is_file() && count(order.folder).is_some_and(|done| done > 0) {
        // Its own way of going on; the endpoint has another port now.
        move_to(&saved, order.url)?;
        words.extend([OsString::from("@"), saved.into_os_string(), "--resume".into()]);
        return Ok(words);
    }
    match BUILT_IN.iter().any(|(name, _)| *name == order.name) {
        true => {
            let data = order.folder.join("tasks.jsonl").into_os_string();
            words.extend([OsString::from("tokometer_tasks"), "--env.taskset.data".into(), data]);
        }
        false => words.push(order.name.into()),
    }
    let fixed = [
        "--env.agent.harness.id tokometer_chat --env.agent.runtime.type subprocess --env.interception.type server",
        "--client.api-key-var TOKOMETER_API_KEY --no-push --no-rich -c 1 --run.dir run --clean --sampling.temperature 0",
    ];
    words.extend(fixed.iter().flat_map(|line| line.split(' ')).map(OsString::from));
    words.extend([OsString::from("-m"), order.model.into(), "--client.base-url".into(), order.url.into()]);
    words.extend([OsString::from("-o"), order.folder.as_os_str().to_owned()]);
    if let Some(n) = order.num_examples {
        words.extend([OsString::from("-n"), n.to_string().into()]);
    }
    if let Some(n) = order.max_tokens {
        words.extend([OsString::from("--sampling.max-tokens"), n.to_string().into()]);
    }
    Ok(words)
}

fn traces(folder: &Path) -> PathBuf {
    folder.join("run").join("traces.jsonl")
}

fn saved_config(folder: &Path) -> PathBuf {
    folder.join("run").join("configs").join("resolved").join("eval.json")
}

/// Puts the endpoint's address into the saved configuration. Without one there it would ask whom it asks by itself.
fn move_to(path: &Path, url: &str) -> Result<()> {
    let text = std::fs::read_to_string(path).map_err(Error::file("read", path))?;
    let wrong = |why: String| Error::Form {
        path: path.into(),
        what: "a configuration of vf-eval",
        why: format!("{why}; remove the folder `run` that it lies in to begin anew"),
    };
    let mut config: Value = serde_json::from_str(&text).map_err(|error| wrong(error.to_string()))?;
    let Some(address) = config.pointer_mut("/client/base_url") else {
        return Err(wrong("it has no `base_url` of its `client`".into()));
    };
    *address = Value::from(url);
    let text = serde_json::to_string_pretty(&config).map_err(|error| wrong(error.to_string()))?;
    tokometer_core::disk::write_whole(path, text.as_bytes()).map_err(Error::file("write", path))
}

/// It writes each example down when it is done; without the file there is none.
fn count(folder: &Path) -> Option<usize> {
    let text = std::fs::read_to_string(traces(folder)).unwrap_or_default();
    Some(text.lines().filter(|line| !line.trim().is_empty()).count())
}

fn read(folder: &Path) -> Result<Vec<Scored>> {
    let path = traces(folder);
    let text = match std::fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(Error::file("read", &path)(error)),
    };
    parse(&text).map_err(|why| Error::Form { path, what: "a list of vf-eval's traces", why })
}

/// Examples of a `traces.jsonl`, in the order of the task set. The score is the sum of weighted rewards.
pub(super) fn parse(text: &str) -> std::result::Result<Vec<Scored>, String> {
    let mut found: Vec<(u64, Scored)> = Vec::new();
    for (i, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
        let episode: Value = serde_json::from_str(line).map_err(|error| format!("line {}: {error}", i + 1))?;
        let data = &episode["task"]["data"];
        let place = data["idx"].as_u64().unwrap_or(i as u64);
        let id = ["id", "name"]
            .iter()
            .find_map(|name| data[*name].as_str())
            .map_or_else(|| place.to_string(), str::to_owned);
        found.push((place, scored(id, &episode)));
    }
    found.sort_by_key(|(place, _)| *place);
    Ok(found.into_iter().map(|(_, scored)| scored).collect())
}

fn scored(id: String, episode: &Value) -> Scored {
    let trace = &episode["traces"][0];
    let empty = serde_json::Map::new();
    let rewards = trace["rewards"].as_object().unwrap_or(&empty);
    let mut metrics = BTreeMap::new();
    let mut sum = 0.0;
    for (name, reward) in rewards {
        let Some(score) = reward["score"].as_f64() else { continue };
        sum += score * reward["weight"].as_f64().unwrap_or(1.0);
        metrics.insert(name.clone(), score);
    }
    for (name, value) in trace["metrics"].as_object().unwrap_or(&empty) {
        if let Some(value) = value.as_f64() {
            metrics.insert(name.clone(), value);
        }
    }
    let ok = episode["ok"].as_bool().unwrap_or(true) && !rewards.is_empty();
    let nodes = trace["nodes"].as_array().map(Vec::as_slice).unwrap_or_default();
    let reply = nodes.iter().rev().find(|node| node["message"]["role"] == "assistant");
    let errors = [&episode["errors"], &trace["errors"]].into_iter().filter_map(Value::as_array).flatten();
    let error = errors.filter_map(|error| error["message"].as_str()).next().unwrap_or("no reward was given");
    Scored {
        id,
        score: ok.then_some(sum),
        reply: reply.and_then(|node| node["message"]["content"].as_str()).map(str::to_owned),
        metrics: if ok { metrics } else { BTreeMap::new() },
        milliseconds: trace["timing"]["agent"]["model"]["duration"].as_f64().map(|seconds| seconds * 1000.0),
        error: (!ok).then(|| error.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn traces_are_read_in_the_sets_order() {
        let trace = |idx: u64, score: f64| {
            format!(
                r#"{{"task":{{"data":{{"idx":{idx},"id":"r-{idx}"}}}},"ok":true,"errors":[],"traces":[{{"nodes":[
                {{"message":{{"role":"user","content":"q"}}}},{{"message":{{"role":"assistant","content":"a"}}}}],
                "rewards":{{"answered":{{"score":{score},"weight":0.5}}}},"metrics":{{"turns":1.0}},"errors":[]}}]}}"#
            )
            .replace('\n', "")
        };
        let failed = r#"{"task":{"data":{"idx":0,"id":"r-0"}},"ok":false,"errors":[],"traces":[{"nodes":[],"rewards":{},"errors":[{"message":"boom"}]}]}"#;
        let scored = parse(&format!("{}\n{}\n{failed}\n", trace(2, 1.0), trace(1, 0.5))).unwrap();
        assert_eq!(scored.iter().map(|s| s.id.as_str()).collect::<Vec<_>>(), ["r-0", "r-1", "r-2"]);
        assert_eq!(scored.iter().map(|s| s.score).collect::<Vec<_>>(), [None, Some(0.25), Some(0.5)]);
        assert_eq!((scored[0].error.as_deref(), scored[2].reply.as_deref()), (Some("boom"), Some("a")));
        assert_eq!((scored[2].metrics["answered"], scored[2].metrics["turns"]), (1.0, 1.0));
        assert!(parse("{").unwrap_err().contains("line 1"));
    }
}
