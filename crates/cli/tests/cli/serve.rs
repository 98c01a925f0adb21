//! The endpoint on the mock engine: both shapes, streams, errors, many clients, clients that leave, a worker that dies, the end.

use crate::dir::Dir;
use crate::server::{Server, answer};
use serde_json::{Value, json};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::Command;
use std::time::Duration;

/// Process ids whose parent is this one.
pub fn children(parent: u32) -> Vec<u32> {
    let listed = Command::new("ps").args(["-eo", "pid=,ppid=,stat="]).output().unwrap();
    let rows = String::from_utf8(listed.stdout).unwrap();
    let rows = rows.lines().map(|row| row.split_whitespace().map(str::to_owned).collect::<Vec<_>>());
    let own = rows.filter(|row| row[1] == parent.to_string() && !row[2].starts_with('Z'));
    own.map(|row| row[0].parse().unwrap()).collect()
}

/// Kilobytes of resident memory.
pub fn resident(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.split_whitespace().next().unwrap().parse().unwrap()
}

/// Sockets that a process has open.
fn sockets(pid: u32) -> usize {
    let open = std::fs::read_dir(format!("/proc/{pid}/fd")).unwrap().flatten();
    let open = open.filter_map(|entry| std::fs::read_link(entry.path()).ok());
    open.filter(|to| to.to_string_lossy().starts_with("socket:")).count()
}

/// Waits until the server has no more than so many sockets open.
fn wait_for_sockets(server: &Server, most: usize) {
    while sockets(server.pid()) > most {
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// All that still comes on a connection, however it ends.
pub fn rest(mut stream: TcpStream) -> String {
    let mut bytes = Vec::new();
    let _ = stream.read_to_end(&mut bytes);
    String::from_utf8_lossy(&bytes).into_owned()
}

/// The usage of an answer, which is the same streamed and not.
fn usage(server: &Server, more: Value) -> Value {
    let whole = server.complete(more.clone()).json()["usage"].clone();
    let mut streamed = more;
    streamed["stream"] = json!(true);
    streamed["stream_options"] = json!({"include_usage": true});
    let events = server.complete(streamed).events();
    assert_eq!(events[events.len() - 1], "[DONE]");
    assert_eq!(events[events.len() - 2]["usage"], whole);
    whole
}

fn counted(prompt: u64, completion: u64) -> Value {
    json!({"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion})
}

/// The text that events carry.
pub fn texts(events: &[Value]) -> String {
    events.iter().filter_map(|event| event["choices"][0]["text"].as_str()).collect()
}

#[test]
fn one_line_says_that_it_is_ready_and_the_end_is_graceful() {
    let dir = Dir::new("serve-ready");
    let server = Server::start(&dir, &["--quantize", "nf4"]);
    let url = server.ready["url"].as_str().unwrap();
    assert!(url.starts_with("http://127.0.0.1:") && url.ends_with("/v1"), "{url}");
    let wanted = json!({
        "ready": true, "url": url, "model": "synthetic-tiny-nf4", "engine": "mock", "engine_version": "1",
        "quantize": "nf4", "native": "mock-4", "parallel": 1
    });
    assert_eq!(server.ready, wanted);
    assert_eq!(server.get("/health", "").status, 200);
    let models = server.get("/v1/models", "").json();
    assert_eq!(models["data"][0]["id"], "synthetic-tiny-nf4");
    assert_eq!(server.get("/v1/models/synthetic-tiny-nf4", "").status, 200);
    let workers = children(server.pid());
    assert_eq!(workers.len(), 1, "{workers:?}");
    server.terminate();
    assert_eq!(server.wait(), (Some(0), String::new()));
    // SAFETY: a signal of number 0 only asks.
    assert_ne!(unsafe { libc::kill(workers[0] as i32, 0) }, 0, "the worker is still there");
}

#[test]
fn completions_and_chats_tell_text_and_usage() {
    let dir = Dir::new("serve-whole");
    let server = Server::start(&dir, &["--option", "serve_stop_after=9"]);
    let text = server.complete(json!({})).json();
    assert_eq!(text["choices"][0]["text"], " 0 1 2 3");
    assert_eq!(text["choices"][0]["finish_reason"], "length");
    assert_eq!(text["usage"], json!({"prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 7}));
    assert_eq!(text["object"], "text_completion");
    let ended = server.complete(json!({"max_tokens": 50})).json();
    assert_eq!(ended["choices"][0]["finish_reason"], "stop");
    let forced = server.complete(json!({"max_tokens": 50, "ignore_eos": true})).json();
    assert_eq!(forced["usage"]["completion_tokens"], 50);
    let messages = json!([{"role": "user", "content": " hi "}]);
    let chat = json!({"model": server.model(), "messages": messages, "max_tokens": 3, "seed": 7});
    let chat = server.post("/v1/chat/completions", &chat).json();
    assert_eq!(chat["choices"][0]["message"], json!({"role": "assistant", "content": " 7.0 7.1 7.2", "refusal": null}));
    // "<bos>[user]hi[assistant]", a token for each byte.
    assert_eq!(chat["usage"]["prompt_tokens"], 24);
    let stopped = server.complete(json!({"stop": ["1 2"]})).json();
    assert_eq!((&stopped["choices"][0]["text"], &stopped["usage"]["completion_tokens"]), (&json!(" 0 "), &json!(3)));
    let many = server.complete(json!({"prompt": [[1, 2], [3]]})).json();
    assert_eq!((many["choices"].as_array().unwrap().len(), &many["usage"]["prompt_tokens"]), (2, &json!(3)));
}

#[test]
fn streams_end_with_usage_and_done() {
    let dir = Dir::new("serve-stream");
    let server = Server::start(&dir, &[]);
    let events = server.complete(json!({"stream": true, "stream_options": {"include_usage": true}, "n": 1})).events();
    assert_eq!(texts(&events), " 0 1 2 3");
    assert_eq!(events[events.len() - 1], "[DONE]");
    assert_eq!(events[events.len() - 2]["usage"]["total_tokens"], 7);
    assert_eq!(events[events.len() - 3]["choices"][0]["finish_reason"], "length");
    assert!(events[..events.len() - 2].iter().all(|event| event["usage"].is_null()));
    let messages = json!([{"role": "user", "content": "hi"}]);
    let body =
        json!({"model": server.model(), "messages": messages, "max_tokens": 2, "temperature": 0, "stream": true});
    let chat = server.post("/v1/chat/completions", &body).events();
    assert_eq!(chat[0]["choices"][0]["delta"]["role"], "assistant");
    let text: String = chat.iter().filter_map(|event| event["choices"][0]["delta"]["content"].as_str()).collect();
    assert_eq!(text, " 0 1");
}

#[test]
fn a_given_text_is_scored() {
    let dir = Dir::new("serve-echo");
    let server = Server::start(&dir, &[]);
    let echo = server.complete(json!({"echo": true, "logprobs": 1, "max_tokens": 0})).json();
    let logprobs = &echo["choices"][0]["logprobs"];
    assert_eq!(echo["choices"][0]["text"], "abc");
    assert_eq!(logprobs["token_logprobs"], json!([null, -2.0, -2.0]));
    assert_eq!(logprobs["tokens"], json!(["a", "b", "c"]));
    assert_eq!(echo["usage"]["completion_tokens"], 0);
    let next = server.complete(json!({"echo": true, "logprobs": 1, "max_tokens": 1})).json();
    assert_eq!(next["choices"][0]["logprobs"]["tokens"].as_array().unwrap().len(), 4);
    assert_eq!(next["usage"]["completion_tokens"], 1);
    let plain = server.complete(json!({"logprobs": 2, "max_tokens": 2})).json();
    assert_eq!(plain["choices"][0]["logprobs"]["top_logprobs"][1], json!({" 1": -0.5, "other 1": -2.0}));
}

#[test]
fn what_is_wrong_is_an_openai_error_and_the_next_request_is_served() {
    let dir = Dir::new("serve-errors");
    let server = Server::start(&dir, &["--ctx-size", "64"]);
    assert_eq!(answer(server.send("/v1/completions", "{\"model\": ")).status, 400);
    assert_eq!(answer(server.send("/v1/completions", "")).status, 400);
    let unknown = server.complete(json!({"model": "another"}));
    assert_eq!((unknown.status, unknown.code()), (404, "model_not_found".into()));
    for (more, code) in [
        (json!({"max_tokens": 62}), "context_length_exceeded"),
        (json!({"prompt": "x".repeat(65)}), "context_length_exceeded"),
        (json!({"n": 2}), "unsupported_parameter"),
        (json!({"prompt": [1000]}), ""),
        (json!({"prompt": []}), ""),
        (json!({"prompt": ""}), ""),
        (json!({"temperature": 5}), ""),
        (json!({"max_tokens": -1}), ""),
    ] {
        let refused = server.complete(more.clone());
        assert_eq!((refused.status, refused.code()), (400, code.into()), "{more}: {}", refused.body);
        // A stream that is refused has a status, too.
        let mut streamed = more.clone();
        streamed["stream"] = json!(true);
        assert_eq!(server.complete(streamed).status, 400, "{more}");
    }
    assert_eq!(server.get("/v1/nothing", "").status, 404);
    assert_eq!(server.get("/v1/completions", "").status, 405);
    // 10 MB of prompt are read and refused.
    let long = server.complete(json!({"prompt": "long ".repeat(2_000_000)}));
    assert_eq!((long.status, long.code()), (400, "context_length_exceeded".into()));
    // More than is read at all.
    let mut stream = server.connect();
    stream.write_all(Server::head("/v1/completions", 1 << 30, "").as_bytes()).unwrap();
    assert_eq!(answer(stream).status, 413);
    assert_eq!(server.complete(json!({})).status, 200);
}

#[test]
fn half_a_body_holds_nobody_up() {
    let dir = Dir::new("serve-half");
    let server = Server::start(&dir, &[]);
    let body = server.completion(json!({})).to_string();
    let mut half = server.connect();
    half.write_all(Server::head("/v1/completions", body.len(), "").as_bytes()).unwrap();
    half.write_all(&body.as_bytes()[..10]).unwrap();
    assert_eq!(server.complete(json!({})).status, 200);
    half.write_all(&body.as_bytes()[10..]).unwrap();
    assert_eq!(answer(half).status, 200);
    let gone = server.connect();
    drop(gone);
    assert_eq!(server.complete(json!({})).status, 200);
}

#[test]
fn clients_that_leave_cancel_their_work() {
    let dir = Dir::new("serve-leave");
    // A thousand tokens of a tenth of a second each: nobody waits for them.
    let server = Server::start(&dir, &["--option", "serve_us=100000"]);
    let long = |stream: bool| server.completion(json!({"max_tokens": 1000, "stream": stream})).to_string();
    let mut streaming = server.send("/v1/completions", &long(true));
    let mut first = [0; 20];
    streaming.read_exact(&mut first).unwrap();
    // These wait in the queue behind it.
    let waiting: Vec<_> = (0..3).map(|_| server.send("/v1/completions", &long(false))).collect();
    server.wait_for(|active| active == 4);
    drop(waiting);
    drop(streaming);
    server.wait_until_idle();
    // One that is computed and streams nothing.
    let silent = server.send("/v1/completions", &long(false));
    server.wait_for(|active| active == 1);
    drop(silent);
    server.wait_until_idle();
    assert_eq!(server.complete(json!({"max_tokens": 2})).json()["choices"][0]["text"], " 0 1");
    assert_eq!(children(server.pid()).len(), 1);
}

#[test]
fn two_hundred_clients_at_once_are_answered_and_leave_nothing_behind() {
    let dir = Dir::new("serve-many");
    let server = Server::start(&dir, &["--option", "serve_us=100"]);
    let ask_all = || {
        std::thread::scope(|scope| {
            let clients: Vec<_> = (0..200)
                .map(|seed| {
                    let (server, body) = (&server, json!({"temperature": 1, "seed": seed, "stream": seed % 2 == 0}));
                    scope.spawn(move || (seed, server.complete(body)))
                })
                .collect();
            for client in clients {
                let (seed, got) = client.join().unwrap();
                assert_eq!(got.status, 200, "{}", got.body);
                let text = match seed % 2 {
                    0 => texts(&got.events()),
                    _ => got.json()["choices"][0]["text"].as_str().unwrap().to_owned(),
                };
                assert_eq!(text, format!(" {seed}.0 {seed}.1 {seed}.2 {seed}.3"));
            }
        });
        server.wait_until_idle();
    };
    ask_all();
    let before = resident(server.pid());
    for _ in 0..4 {
        ask_all();
    }
    let after = resident(server.pid());
    assert!(after < before + 10_000, "{before} kB before 800 further requests, {after} kB after");
}

#[test]
fn clients_that_stop_reading_are_given_up_and_hold_up_and_leave_nothing() {
    let dir = Dir::new("serve-stalled");
    let server = &Server::start(&dir, &["--ctx-size", "100000", "--client-timeout", "1"]);
    let before = sockets(server.pid());
    // Far more than anybody keeps for a client.
    let long = server.completion(json!({"max_tokens": 90_000, "logprobs": 20, "stream": true})).to_string();
    let ask_all = || {
        let mut stalled: Vec<_> = (0..3).map(|_| server.send_narrow("/v1/completions", &long, 16 << 10)).collect();
        std::thread::scope(|scope| {
            let others: Vec<_> = (0..3).map(|_| scope.spawn(move || server.complete(json!({})))).collect();
            // Each has its turn, though the ones before it never take the rest of theirs.
            for stream in &mut stalled {
                stream.read_exact(&mut [0; 20]).unwrap();
            }
            for other in others {
                assert_eq!(other.join().unwrap().json()["choices"][0]["text"], " 0 1 2 3");
            }
        });
        server.wait_until_idle();
        wait_for_sockets(server, before);
        for stream in stalled {
            let rest = rest(stream);
            assert!(rest.contains("\" 0\"") && !rest.contains("[DONE]"), "{} bytes", rest.len());
        }
    };
    ask_all();
    let once = resident(server.pid());
    ask_all();
    let twice = resident(server.pid());
    // What is kept for the three of them is more than this.
    assert!(twice < once + 15_000, "{once} kB after three clients that stalled, {twice} kB after six");
    assert_eq!(children(server.pid()).len(), 1);
}

#[test]
fn connections_on_which_nothing_is_asked_are_closed_and_none_that_waits_for_an_answer() {
    let dir = Dir::new("serve-idle");
    let server = Server::start(&dir, &["--client-timeout", "1", "--option", "serve_us=50000"]);
    let silent = server.connect();
    let mut half = server.connect();
    half.write_all(b"POST /v1/completions HTTP/1.1\r\nHost: local").unwrap();
    let mut kept = server.connect();
    kept.write_all(b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
    // Whose answer takes longer than that is not idle.
    assert_eq!(server.complete(json!({"max_tokens": 40})).status, 200);
    for (mut stream, begin) in [(silent, ""), (half, ""), (kept, "HTTP/1.1 200 OK")] {
        let mut text = String::new();
        // This fails where the server does not end it.
        stream.read_to_string(&mut text).unwrap();
        assert!(text.starts_with(begin) && text.is_empty() == begin.is_empty(), "{text}");
    }
}

#[test]
fn a_whole_answer_that_is_not_taken_is_dropped() {
    let dir = Dir::new("serve-stalled-whole");
    let server = Server::start(&dir, &["--client-timeout", "1"]);
    let before = sockets(server.pid());
    let long = server.completion(json!({"max_tokens": 4000, "logprobs": 20})).to_string();
    let mut stream = server.send_narrow("/v1/completions", &long, 16 << 10);
    let mut status = [0; 12];
    stream.read_exact(&mut status).unwrap();
    assert_eq!(&status, b"HTTP/1.1 200");
    wait_for_sockets(&server, before);
    let rest = rest(stream).to_lowercase();
    let (head, body) = rest.split_once("\r\n\r\n").unwrap();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap();
    assert!(body.len() < length.parse::<usize>().unwrap(), "{} of {length} bytes", body.len());
}

#[test]
fn a_slow_client_that_reads_on_gets_all_of_it() {
    let dir = Dir::new("serve-slow");
    let server = Server::start(&dir, &["--client-timeout", "4"]);
    let long = server.completion(json!({"max_tokens": 4000, "logprobs": 20, "stream": true})).to_string();
    let mut stream = server.send_narrow("/v1/completions", &long, 64 << 10);
    let (mut all, mut some) = (Vec::new(), vec![0; 32 << 10]);
    // All in all it takes longer than a client may take nothing.
    loop {
        match stream.read(&mut some).unwrap() {
            0 => break,
            n => all.extend_from_slice(&some[..n]),
        }
        std::thread::sleep(Duration::from_millis(80));
    }
    let text = String::from_utf8(all).unwrap();
    assert!(text.contains("\" 3999\"") && text.contains("[DONE]"), "{} bytes", text.len());
}

#[test]
fn usage_counts_what_was_generated_and_nothing_else() {
    let dir = Dir::new("serve-usage");
    let server = Server::start(&dir, &[]);
    for (more, wanted) in [
        (json!({}), counted(3, 4)),
        // The token in which the stop string ends was generated, too; what the engine did until it was told to stop was not.
        (json!({"max_tokens": 50, "stop": ["1 2"]}), counted(3, 3)),
        (json!({"max_tokens": 50, "stop": " 0"}), counted(3, 1)),
        // Text that is held back to the end.
        (json!({"stop": ["3x"]}), counted(3, 4)),
        (json!({"prompt": [[1, 2], [3]], "max_tokens": 50, "stop": ["1"]}), counted(3, 4)),
        (json!({"echo": true, "max_tokens": 0}), counted(3, 0)),
        (json!({"echo": true, "logprobs": 1, "max_tokens": 0}), counted(3, 0)),
        (json!({"echo": true, "logprobs": 1, "max_tokens": 1}), counted(3, 1)),
    ] {
        assert_eq!(usage(&server, more.clone()), wanted, "{more}");
    }
    // A text that the model ends at once: the token that says so was generated.
    let server = Server::start(&dir, &["--option", "serve_stop_after=0"]);
    assert_eq!(usage(&server, json!({"max_tokens": 50})), counted(3, 1));
    let ended = server.complete(json!({"max_tokens": 50})).json();
    assert_eq!((&ended["choices"][0]["text"], &ended["choices"][0]["finish_reason"]), (&json!(""), &json!("stop")));
}

#[test]
fn what_was_cancelled_is_in_nobodys_usage() {
    let dir = Dir::new("serve-usage-cancelled");
    let server = Server::start(&dir, &["--option", "serve_us=20000"]);
    let tells = json!({"max_tokens": 3000, "stream": true, "stream_options": {"include_usage": true}});
    let long = server.completion(tells).to_string();
    let mut left = server.send("/v1/completions", &long);
    left.read_exact(&mut [0; 20]).unwrap();
    drop(left);
    assert_eq!(usage(&server, json!({"max_tokens": 2})), counted(3, 2));
    // One that the server gives up ends with an error and tells no usage.
    let mut running = server.send("/v1/completions", &long);
    running.read_exact(&mut [0; 20]).unwrap();
    server.terminate();
    while server.get("/health", "").status != 503 {
        std::thread::sleep(Duration::from_millis(10));
    }
    server.terminate();
    let text = rest(running);
    assert!(text.contains("\"code\":\"stopping\""), "{text}");
    assert!(!text.contains("completion_tokens") && !text.contains("[DONE]"), "{text}");
    assert_eq!(server.wait(), (Some(0), String::new()));
}

#[test]
fn a_full_queue_says_so() {
    let dir = Dir::new("serve-full");
    let server = Server::start(&dir, &["--parallel-queue", "1", "--option", "serve_us=100000"]);
    let long = server.completion(json!({"max_tokens": 1000, "stream": true})).to_string();
    let mut running = server.send("/v1/completions", &long);
    running.read_exact(&mut [0; 20]).unwrap();
    let _waiting = server.send("/v1/completions", &long);
    server.wait_for(|active| active == 2);
    let refused = server.complete(json!({}));
    assert_eq!((refused.status, refused.code()), (503, "queue_full".into()));
    // What no waiting would help is no matter of time.
    let refused = server.complete(json!({"prompt": ["a", "b"]}));
    assert_eq!((refused.status, refused.code()), (400, "too_many_prompts".into()));
    assert!(refused.body.contains("1 at most"), "{}", refused.body);
}

#[test]
fn the_key_is_asked_for() {
    let dir = Dir::new("serve-key");
    let server = Server::start(&dir, &["--api-key", "secret"]);
    for wrong in
        ["", "Authorization: Bearer secreT\r\n", "Authorization: secret\r\n", "Authorization: Bearer secret2\r\n"]
    {
        let refused = server.get("/v1/models", wrong);
        assert_eq!((refused.status, refused.code()), (401, "invalid_api_key".into()), "{wrong}");
    }
    assert_eq!(server.complete(json!({})).status, 401);
    assert_eq!(server.get("/v1/models", "Authorization: Bearer secret\r\n").status, 200);
    assert_eq!(server.get("/health", "").status, 200);
}

#[test]
fn a_worker_that_dies_is_an_error_and_another_one_answers() {
    let dir = Dir::new("serve-crash");
    let counter = format!("fault_counter={}", dir.path("count").display());
    let options = ["--option", "serve_crash_at=2", "--option", "fault_launch=1", "--option", &counter];
    let server = Server::start(&dir, &options);
    let broken = server.complete(json!({"stream": true})).events();
    assert_eq!(texts(&broken), " 0 1");
    let last = &broken[broken.len() - 1]["error"];
    assert_eq!((&last["type"], &last["code"]), (&json!("server_error"), &json!("engine_failed")));
    assert_eq!(server.complete(json!({})).json()["choices"][0]["text"], " 0 1 2 3");
    assert_eq!(children(server.pid()).len(), 1);
    // One that is killed while nothing is asked is not even noticed.
    let worker = children(server.pid())[0];
    // SAFETY: a plain system call; the process is a child of the server's.
    assert_eq!(unsafe { libc::kill(worker as i32, libc::SIGKILL) }, 0);
    while children(server.pid()).contains(&worker) {
        std::thread::sleep(Duration::from_millis(5));
    }
    assert_eq!(server.complete(json!({})).status, 200);
}

#[test]
fn a_worker_that_dies_before_the_answer_is_a_status() {
    let dir = Dir::new("serve-crash-whole");
    let server = Server::start(&dir, &["--option", "serve_crash_at=2"]);
    for _ in 0..2 {
        let failed = server.complete(json!({}));
        assert_eq!((failed.status, failed.code()), (500, "engine_failed".into()));
    }
}

#[test]
fn stopping_finishes_what_is_computed_and_refuses_the_rest() {
    let dir = Dir::new("serve-stop");
    let server = Server::start(&dir, &["--option", "serve_us=50000"]);
    let twenty = server.completion(json!({"max_tokens": 20, "stream": true})).to_string();
    let mut running = server.send("/v1/completions", &twenty);
    let mut first = [0; 20];
    running.read_exact(&mut first).unwrap();
    let waiting = server.send("/v1/completions", &server.completion(json!({})).to_string());
    server.wait_for(|active| active == 2);
    server.terminate();
    assert_eq!(answer(waiting).status, 503);
    let mut rest = String::new();
    running.read_to_string(&mut rest).unwrap();
    assert!(rest.contains("\" 19\"") && rest.contains("[DONE]"), "{rest}");
    assert_eq!(server.wait(), (Some(0), String::new()));
}

#[test]
fn a_model_that_cannot_be_loaded_and_a_port_that_is_taken_are_errors() {
    let dir = Dir::new("serve-load");
    let start = ["serve", "--engine", "mock", "--model", "synthetic:tiny", "--port", "0"];
    dir.run(&[&start[..], &["--option", "fault=crash_in_load"]].concat()).fails(1, &["cannot be served", "crash"]);
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    dir.run(&[&start[..6], &[port.as_str()]].concat()).fails(1, &["cannot listen on 127.0.0.1", "--port 0"]);
    dir.run(&[&start[..], &["--quantize", "nf4,int8"]].concat()).fails(1, &["one quantization"]);
    dir.run(&["serve", "--engine", "mock,llamacpp", "--model", "synthetic:tiny"]).fails(1, &["one engine"]);
}
