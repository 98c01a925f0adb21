//! Our own sets, asked one after another over HTTP, each result written down at once.
//!
//! Sequential on purpose: the endpoint computes one request at a time, and a second one in flight would only wait there.

use crate::Result;
use crate::client::{Client, Refusal, Reply};
use crate::journal::Journal;
use crate::result::Scored;
use crate::score::{chosen, score};
use crate::task::{Example, Scorer};
use std::collections::BTreeMap;
use std::time::Instant;
use tokometer_core::progress::Task;

/// Tokens of a reply where neither the example nor the user says how many.
pub const MAX_TOKENS: u32 = 128;

/// How a set is asked.
#[derive(Debug, Clone, Copy, Default)]
pub struct Limits {
    /// Most tokens of a reply; `None` is what each example says.
    pub max_tokens: Option<u32>,
}

/// What asking came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asked {
    /// `chat` or `raw`: how prompts of choices went in, where there are any; else `chat`.
    pub prompt_form: &'static str,
    /// Why it ended early, if it did. What was asked before is in the journal.
    pub broken: Option<String>,
}

/// Asks what the journal does not hold yet. A request that the server refuses is an example without a score; a server that
/// is gone ends it.
///
/// # Errors
/// The journal cannot be written.
pub fn ask(
    client: &Client,
    examples: &[Example],
    limits: Limits,
    journal: &mut Journal,
    task: &dyn Task,
) -> Result<Asked> {
    let began = Instant::now();
    let mut asked = Asked { prompt_form: "chat", broken: None };
    let mut sum = journal.examples().iter().filter_map(|scored| scored.score).sum::<f64>();
    let mut n = journal.examples().iter().filter(|scored| scored.score.is_some()).count();
    for example in examples {
        if journal.has(&example.id) {
            continue;
        }
        let one = Instant::now();
        let scored = match answer(client, example, limits, &mut asked.prompt_form) {
            Ok(scored) => Scored { milliseconds: Some(one.elapsed().as_secs_f64() * 1000.0), ..scored },
            Err(Refusal::Request(why)) => Scored { error: Some(why), ..empty(&example.id) },
            Err(Refusal::Gone(why)) => {
                asked.broken = Some(why);
                break;
            }
        };
        if let Some(score) = scored.score {
            sum += score;
            n += 1;
        }
        journal.add(scored, began.elapsed().as_secs_f64())?;
        task.advance(1);
        if n > 0 {
            task.detail(&format!("score {:.3}", sum / n as f64));
        }
    }
    Ok(asked)
}

/// Examples of the set in its order, from what was written down in the order of asking.
pub fn in_order(examples: &[Example], done: &[Scored]) -> Vec<Scored> {
    let by_id: BTreeMap<&str, &Scored> = done.iter().map(|scored| (scored.id.as_str(), scored)).collect();
    examples.iter().filter_map(|example| by_id.get(example.id.as_str()).map(|scored| (*scored).clone())).collect()
}

fn answer(
    client: &Client,
    example: &Example,
    limits: Limits,
    prompt_form: &mut &'static str,
) -> std::result::Result<Scored, Refusal> {
    if example.scorer == Scorer::Choice {
        return choose(client, example, prompt_form);
    }
    let max_tokens = limits.max_tokens.or(example.max_tokens).unwrap_or(MAX_TOKENS);
    let Reply { text, .. } = client.chat(&example.prompt, max_tokens)?;
    let value = score(example, &text);
    let mut metrics: BTreeMap<String, f64> =
        value.map(|value| (example.scorer.metric().to_owned(), value)).into_iter().collect();
    if example.scorer == Scorer::Lcs {
        let same = text.trim() == example.answer.trim();
        metrics.insert(Scorer::Exact.metric().to_owned(), f64::from(u8::from(same)));
    }
    Ok(Scored { score: value, reply: Some(text), metrics, ..empty(&example.id) })
}

/// Of prompt and choice together the log-likelihood is taken: the prompt's share is the same for all choices.
fn choose(client: &Client, example: &Example, prompt_form: &mut &'static str) -> std::result::Result<Scored, Refusal> {
    let prompt = match client.templated(&example.prompt)? {
        Some(prompt) => prompt,
        None => {
            *prompt_form = "raw";
            format!("{} ", example.prompt)
        }
    };
    let likelihood = |choice: &String| client.log_likelihood(&format!("{prompt}{choice}"));
    let likelihoods = example.choices.iter().map(likelihood).collect::<std::result::Result<Vec<_>, _>>()?;
    let Some(choice) = chosen(&likelihoods).and_then(|place| example.choices.get(place)) else {
        return Err(Refusal::Request("no choice has a log-likelihood".into()));
    };
    let value = f64::from(u8::from(*choice == example.answer));
    let metrics = BTreeMap::from([(Scorer::Choice.metric().to_owned(), value)]);
    Ok(Scored { score: Some(value), reply: Some(choice.clone()), metrics, ..empty(&example.id) })
}

fn empty(id: &str) -> Scored {
    Scored { id: id.to_owned(), score: None, reply: None, metrics: BTreeMap::new(), milliseconds: None, error: None }
}

/// That examples have no score, in words; `None` if all have one.
pub fn unscored(examples: &[Scored]) -> Option<String> {
    let missing: Vec<&Scored> = examples.iter().filter(|scored| scored.score.is_none()).collect();
    let first = missing.first()?;
    let why = first.error.as_deref().unwrap_or("no score");
    Some(format!("{} of {} examples have no score; the first, {}: {why}", missing.len(), examples.len(), first.id))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::TaskSet;
    use crate::journal::Key;
    use std::io::{BufRead, BufReader, Read, Write};
    use std::net::TcpListener;
    use std::time::Duration;
    use tokometer_core::progress::Silent;

    /// A server that answers `requests` requests, reversing what it is asked, and is gone then. Texts that end in `right`
    /// are the likeliest.
    fn server(requests: usize) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/v1", listener.local_addr().unwrap());
        std::thread::spawn(move || {
            for stream in listener.incoming().take(requests) {
                let mut reader = BufReader::new(stream.unwrap());
                let (mut first, mut length) = (String::new(), 0);
                reader.read_line(&mut first).unwrap();
                loop {
                    let mut line = String::new();
                    reader.read_line(&mut line).unwrap();
                    let line = line.trim().to_lowercase();
                    if let Some(value) = line.strip_prefix("content-length:") {
                        length = value.trim().parse().unwrap();
                    }
                    if line.is_empty() {
                        break;
                    }
                }
                let mut body = vec![0; length];
                reader.read_exact(&mut body).unwrap();
                let body: serde_json::Value = serde_json::from_slice(&body).unwrap();
                let (status, answer) = answer_to(&first, &body);
                let text = answer.to_string();
                write!(
                    reader.get_mut(),
                    "HTTP/1.1 {status} X\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{text}",
                    text.len()
                )
                .unwrap();
            }
        });
        url
    }

    fn answer_to(first: &str, body: &serde_json::Value) -> (u16, serde_json::Value) {
        if first.contains("/v1/chat/completions") {
            let text = body["messages"][0]["content"].as_str().unwrap();
            if text == "refuse" {
                return (400, serde_json::json!({"error": {"message": "too long"}}));
            }
            let reversed: String = text.chars().rev().collect();
            return (
                200,
                serde_json::json!({"choices": [{"message": {"content": reversed}, "finish_reason": "stop"}]}),
            );
        }
        if first.contains("/v1/completions") {
            let good = body["prompt"].as_str().unwrap().ends_with("right");
            let values = serde_json::json!([null, -1.0, if good { -0.5 } else { -3.0 }]);
            return (200, serde_json::json!({"choices": [{"text": "", "logprobs": {"token_logprobs": values}}]}));
        }
        (404, serde_json::json!({"error": {"message": "not here"}}))
    }

    const SET: &str = r#"{"id":"a","prompt":"abc","answer":"cba","scorer":"exact","max_tokens":8}
        {"id":"b","prompt":"abcd","answer":"dcbx","scorer":"lcs"}
        {"id":"c","prompt":"refuse","answer":"x","scorer":"exact"}
        {"id":"d","prompt":"which","answer":"right","scorer":"choice","choices":["wrong","right"]}"#;

    #[test]
    fn a_server_that_goes_away_is_gone_on_with() {
        let set = TaskSet::parse("t", SET).unwrap();
        let folder = std::env::temp_dir().join(format!("tokometer-eval-native-{}", std::process::id()));
        let key = Key {
            engine: "fake".into(),
            model: "m".into(),
            model_sha256: None,
            quantization: "q".into(),
            native: None,
            environment: "t".into(),
            task_sha256: None,
            max_tokens: None,
            num_examples: None,
        };
        let client = |url: &str| Client::new(url, "m", Duration::from_secs(10));
        let mut journal = Journal::open(&folder, &key).unwrap();
        let asked = ask(&client(&server(2)), &set.examples, Limits::default(), &mut journal, &Silent).unwrap();
        assert!(asked.broken.is_some());
        assert_eq!(journal.examples().iter().map(|s| s.score).collect::<Vec<_>>(), [Some(1.0), Some(0.75)]);
        drop(journal);
        let mut journal = Journal::open(&folder, &key).unwrap();
        assert_eq!(journal.resumed(), 2);
        let asked = ask(&client(&server(4)), &set.examples, Limits::default(), &mut journal, &Silent).unwrap();
        assert_eq!(asked, Asked { prompt_form: "raw", broken: None });
        let scored = in_order(&set.examples, journal.examples());
        assert_eq!(scored.iter().map(|s| s.score).collect::<Vec<_>>(), [Some(1.0), Some(0.75), None, Some(1.0)]);
        assert_eq!(scored[1].metrics["exact"], 0.0);
        assert!(unscored(&scored).unwrap().contains("1 of 4 examples") && scored[3].reply.as_deref() == Some("right"));
        journal.finish().unwrap();
        std::fs::remove_dir_all(&folder).unwrap();
    }
}
