//! What the harness and a worker say to each other: JSON Lines, versioned.
//!
//! The harness writes one [`Call`] per line to the worker's stdin and reads [`Reply`] lines from its
//! stdout. A call is answered by any number of `progress` (and, for `complete`, `token`) replies and then by
//! exactly one `result` or `error`; `cancel` alone gets no reply. Whatever an engine prints itself goes to stderr and into the raw log,
//! never into this channel. Calls are answered in order, one at a time; only `complete` may be asked several times at once, where
//! the worker has loaded for it ([`Loaded::sequences`]): replies of these come as they arise, and `tokenize` and `detokenize` are
//! answered meanwhile. Whatever else is asked waits for their end.
//!
//! This crate holds types only: no I/O, no process handling (that is `tokometer-core`'s `engine` module).
//! Times are nanoseconds of a monotonic clock; inside one [`Generated`] they count from the moment at which
//! the worker began the work of the request, after parsing it.

mod call;
mod reply;

pub use call::*;
pub use reply::*;

/// The version of this protocol. Harness and worker must agree on it exactly.
pub const VERSION: u32 = 2;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_is_one_flat_json_object() {
        let call = Call { id: 7, request: Request::Hello { protocol: VERSION } };
        let line = serde_json::to_string(&call).unwrap();
        assert_eq!(line, r#"{"id":7,"method":"hello","protocol":2}"#);
        assert_eq!(serde_json::from_str::<Call>(&line).unwrap(), call);
    }

    #[test]
    fn every_request_survives_the_wire() {
        let all = [
            Request::Hello { protocol: VERSION },
            Request::Load(Load { model: "m.gguf".into(), ctx_tokens: 640, ..Load::default() }),
            Request::Generate(Generate { prompt: vec![1, 2], gen_tokens: 3, ..Generate::default() }),
            Request::Complete(Complete { prompt: vec![1], max_tokens: 2, temperature: 0.7, ..Complete::default() }),
            Request::Cancel { call: 6 },
            Request::Tokenize { text: "a".into(), add_special: true, parse_special: true },
            Request::Score { tokens: vec![1, 2, 3], from: 0, full: None },
            Request::Score { tokens: vec![1, 2, 3], from: 1, full: Some("rows.f32".into()) },
            Request::Detokenize { tokens: vec![1] },
            Request::Quantize { input: "a".into(), output: "b".into(), native: "Q4_K_M".into(), threads: 2 },
            Request::Compile(Compile { model: "a".into(), output: "a.so".into(), ..Compile::default() }),
            Request::Unload,
            Request::Shutdown,
        ];
        for request in all {
            let call = Call { id: 1, request };
            let line = serde_json::to_string(&call).unwrap();
            assert!(!line.contains('\n'));
            assert_eq!(serde_json::from_str::<Call>(&line).unwrap(), call);
        }
    }

    #[test]
    fn a_score_of_all_tokens_is_as_short_as_it_can_be() {
        let request = Request::Score { tokens: vec![1, 2], from: 0, full: None };
        let line = serde_json::to_string(&Call { id: 1, request }).unwrap();
        assert_eq!(line, r#"{"id":1,"method":"score","tokens":[1,2]}"#);
    }

    #[test]
    fn missing_measurements_are_absent_not_zero() {
        let reply = Reply { id: 1, body: Body::Result(Answer::Generated(Generated::default())) };
        let line = serde_json::to_string(&reply).unwrap();
        assert!(!line.contains("enqueued_ns"), "{line}");
        assert_eq!(serde_json::from_str::<Reply>(&line).unwrap(), reply);
    }

    #[test]
    fn a_token_without_log_probabilities_is_short() {
        let token = Streamed { index: 3, token: 5, piece: "a".into(), ..Streamed::default() };
        let reply = Reply { id: 1, body: Body::Token(token) };
        let line = serde_json::to_string(&reply).unwrap();
        assert_eq!(line, r#"{"id":1,"token":{"index":3,"token":5,"piece":"a"}}"#);
        assert_eq!(serde_json::from_str::<Reply>(&line).unwrap(), reply);
    }

    #[test]
    fn the_end_of_a_completion_says_why() {
        let completed =
            Completed { prompt_tokens: 2, completion_tokens: 1, finish: Finish::Cancelled, ..Completed::default() };
        let line = serde_json::to_string(&Body::Result(Answer::Completed(completed.clone()))).unwrap();
        assert!(line.contains(r#""kind":"completed""#) && line.contains(r#""finish":"cancelled""#), "{line}");
        assert_eq!(serde_json::from_str::<Body>(&line).unwrap(), Body::Result(Answer::Completed(completed)));
    }

    #[test]
    fn an_unknown_field_of_a_newer_worker_is_ignored() {
        let line = r#"{"id":1,"error":{"kind":"engine","message":"boom","hint":"new"}}"#;
        let reply: Reply = serde_json::from_str(line).unwrap();
        assert_eq!(reply.body, Body::Error(Failure { kind: FailureKind::Engine, message: "boom".into() }));
    }
}
