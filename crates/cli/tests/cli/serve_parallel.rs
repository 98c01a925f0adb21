//! The endpoint where several requests are computed at once: on the mock engine, which knows how many there are, and on the real
//! llama.cpp, which must say the same to each as if it were alone.

use crate::dir::Dir;
use crate::serve::{children, resident, rest, texts};
use crate::server::{Answer, Server};
use serde_json::{Value, json};
use std::io::Read;

/// Asks for all of these at once and returns the answers in their order.
fn at_once(server: &Server, bodies: &[Value]) -> Vec<Answer> {
    std::thread::scope(|scope| {
        let asked: Vec<_> = bodies.iter().map(|body| scope.spawn(|| server.complete(body.clone()))).collect();
        asked.into_iter().map(|asked| asked.join().unwrap()).collect()
    })
}

fn text(answer: &Answer) -> String {
    answer.json()["choices"][0]["text"].as_str().unwrap_or_else(|| panic!("{}", answer.body)).to_owned()
}

#[test]
fn as_many_as_were_asked_for_are_computed_at_once() {
    let dir = Dir::new("serve-together");
    // Nobody is told anything before three are there.
    let server = Server::start(&dir, &["--parallel", "3", "--option", "serve_together=3"]);
    assert_eq!(server.ready["parallel"], 3);
    let bodies: Vec<Value> = (0..3).map(|seed| json!({"temperature": 1, "seed": seed})).collect();
    for (seed, answer) in at_once(&server, &bodies).iter().enumerate() {
        assert_eq!(text(answer), format!(" {seed}.0 {seed}.1 {seed}.2 {seed}.3"));
        assert_eq!(answer.json()["usage"]["completion_tokens"], 4);
    }
    // The prompts of one request, too.
    let both = server.complete(json!({"prompt": ["a", "bc"]})).json();
    assert_eq!((&both["choices"][1]["text"], &both["usage"]["prompt_tokens"]), (&json!(" 0 1 2 3"), &json!(3)));
}

#[test]
fn who_leaves_or_stops_or_reads_nothing_is_no_matter_to_the_others() {
    let dir = Dir::new("serve-beside");
    let options = ["--parallel", "3", "--ctx-size", "50000", "--client-timeout", "2"];
    let server = Server::start(&dir, &[&options[..], &["--option", "serve_us=300"]].concat());
    let long = |more: Value| {
        let mut body = server.completion(json!({"max_tokens": 40_000, "stream": true}));
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        body.to_string()
    };
    let mut leaves = server.send("/v1/completions", &long(json!({})));
    leaves.read_exact(&mut [0; 20]).unwrap();
    // Far more than the system keeps for it.
    let mut stalls = server.send_narrow("/v1/completions", &long(json!({"logprobs": 20})), 16 << 10);
    stalls.read_exact(&mut [0; 20]).unwrap();
    let stopped = server.complete(json!({"max_tokens": 1000, "stop": [" 7"]})).json();
    assert_eq!(
        (&stopped["choices"][0]["text"], &stopped["usage"]["completion_tokens"]),
        (&json!(" 0 1 2 3 4 5 6"), &json!(8))
    );
    drop(leaves);
    server.wait_for(|active| active == 1);
    for _ in 0..3 {
        assert_eq!(text(&server.complete(json!({}))), " 0 1 2 3");
    }
    // A given text is scored when the way is free, and what comes after it waits as long.
    let scored = json!({"echo": true, "logprobs": 1, "max_tokens": 1});
    let answers = at_once(&server, &[scored, json!({})]);
    assert!(answers.iter().all(|answer| answer.status == 200));
    server.wait_until_idle();
    assert!(!rest(stalls).contains("[DONE]"));
    assert_eq!(children(server.pid()).len(), 1);
}

#[test]
fn a_worker_that_dies_is_an_error_for_all_that_it_computed_and_for_nobody_else() {
    let dir = Dir::new("serve-die-together");
    let counter = format!("fault_counter={}", dir.path("count").display());
    let faults = ["serve_crash_at=2", "fault_launch=1", &counter, "serve_together=2"];
    let options: Vec<&str> = faults.iter().flat_map(|fault| ["--option", fault]).collect();
    let server = Server::start(&dir, &[&["--parallel", "2"][..], &options].concat());
    let bodies = [json!({"stream": true}), json!({"stream": true})];
    for broken in at_once(&server, &bodies) {
        let events = broken.events();
        assert_eq!(events[events.len() - 1]["error"]["code"], "engine_failed", "{}", broken.body);
    }
    for whole in at_once(&server, &bodies) {
        assert_eq!(texts(&whole.events()), " 0 1 2 3");
    }
}

#[test]
fn an_engine_that_does_one_at_a_time_says_so() {
    let dir = Dir::new("serve-one");
    dir.run(&["serve", "--engine", "mock", "--model", "synthetic:tiny", "--parallel", "0"]).fails(2, &["--parallel"]);
    let server = Server::start(&dir, &[]);
    assert_eq!(server.ready["parallel"], 1);
    assert_eq!(server.get("/v1/models", "").json()["data"][0]["parallel"], 1);
}

#[test]
fn llama_cpp_says_to_each_of_several_what_it_says_to_one_alone() {
    let dir = Dir::new("serve-together-llamacpp");
    let options = ["--quantize", "float16", "--ctx-size", "512", "--threads", "2"];
    let server = Server::start_on(&dir, "llamacpp", &[&options[..], &["--parallel", "4"]].concat());
    // Short and long prompts, some of which are computed while others generate.
    let bodies: Vec<Value> = [1usize, 7, 60, 200, 3, 120, 20, 300]
        .iter()
        .enumerate()
        .map(|(seed, length)| {
            let prompt: Vec<usize> = (0..*length).map(|place| 10 + (seed * 31 + place * 17) % 200).collect();
            let drawn = seed % 2;
            json!({"prompt": prompt, "max_tokens": 24, "ignore_eos": true, "logprobs": 1, "temperature": drawn, "seed": seed})
        })
        .collect();
    let alone: Vec<Answer> = bodies.iter().map(|body| server.complete(body.clone())).collect();
    let together = at_once(&server, &bodies);
    // Each token with its log-probability.
    let tokens = |answer: &Answer| -> Vec<(String, f64)> {
        let told = answer.json()["choices"][0]["logprobs"].clone();
        let texts = told["tokens"].as_array().unwrap().iter().map(|text| text.as_str().unwrap().to_owned());
        texts.zip(told["token_logprobs"].as_array().unwrap().iter().map(|value| value.as_f64().unwrap())).collect()
    };
    let mut alike = 0;
    for (one, other) in alone.iter().zip(&together) {
        let (one, other) = (tokens(one), tokens(other));
        assert_eq!((one.len(), other.len()), (24, 24));
        // Sums are made in another order: where two tokens are nearly as probable, or the draw falls between them, the texts may
        // part. Up to there, and at the first token in any case, both are of the same mind.
        let common: Vec<_> = one.iter().zip(&other).take_while(|((a, _), (b, _))| a == b).collect();
        assert!(!common.is_empty(), "{one:?} alone, {other:?} beside others");
        for ((token, a), (_, b)) in &common {
            assert!((a - b).abs() < 0.05, "{token:?}: {a} alone, {b} beside others");
        }
        alike += common.len();
    }
    assert!(alike >= 8 * 24 / 4, "{alike} tokens are alike of {}", 8 * 24);
    // A text is scored between two others.
    let scored = json!({"prompt": "abc abc", "echo": true, "logprobs": 1, "max_tokens": 0});
    let answers = at_once(&server, &[bodies[0].clone(), scored, bodies[2].clone()]);
    assert!(answers.iter().all(|answer| answer.status == 200));
    assert_eq!(text(&answers[1]), "abc abc");
}

#[test]
fn llama_cpp_answers_two_hundred_clients_and_another_worker_those_after_a_kill() {
    let dir = Dir::new("serve-crowd-llamacpp");
    let options = ["--quantize", "nf4", "--ctx-size", "256", "--parallel", "8"];
    let server = Server::start_on(&dir, "llamacpp", &options);
    let bodies: Vec<Value> =
        (0..200).map(|n| json!({"prompt": [5 + n % 100, 7], "max_tokens": 4, "ignore_eos": true})).collect();
    let all_are_answered = || {
        for answer in at_once(&server, &bodies) {
            assert_eq!(
                (answer.status, &answer.json()["usage"]["completion_tokens"]),
                (200, &json!(4)),
                "{}",
                answer.body
            );
        }
        server.wait_until_idle();
    };
    all_are_answered();
    let worker = children(server.pid())[0];
    let before = (resident(server.pid()), resident(worker));
    all_are_answered();
    let after = (resident(server.pid()), resident(worker));
    assert!(after.0 < before.0 + 10_000 && after.1 < before.1 + 10_000, "{before:?} kB before, {after:?} kB after");
    let long = server.completion(json!({"max_tokens": 200, "ignore_eos": true, "stream": true})).to_string();
    let mut running: Vec<_> = (0..3).map(|_| server.send("/v1/completions", &long)).collect();
    running.iter_mut().for_each(|stream| stream.read_exact(&mut [0; 20]).unwrap());
    // SAFETY: a plain system call; the process is a child of the server's.
    assert_eq!(unsafe { libc::kill(worker as i32, libc::SIGKILL) }, 0);
    let answered = server.complete(json!({"ignore_eos": true}));
    assert!(answered.status == 200 || answered.code() == "engine_failed", "{}", answered.body);
    for stream in running {
        let text = rest(stream);
        // The tiny model may have been done before.
        assert!(text.contains("engine_failed") || text.contains("[DONE]"), "{text}");
    }
    assert_eq!(server.complete(json!({})).status, 200);
    assert_eq!(children(server.pid()).len(), 1);
}
