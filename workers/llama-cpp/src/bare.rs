//! `--bare`: the timed loop without harness and protocol, for the benchmark that asks what the harness costs. The very same
//! loop as when it is driven; only nobody asks and nobody is answered.

use crate::llama::{self, Context, ContextSettings, Model, failure};
use crate::measure;
use tokometer_protocol::{Failure, FailureKind, Generate};

/// Runs `--bare MODEL THREADS PROMPT GENERATED PASSES` after one warm-up pass and returns a line of JSON: times of each pass
/// in nanoseconds, to the first token and from there to the last.
pub fn run(arguments: &[String]) -> Result<String, Failure> {
    let [model, numbers @ ..] = arguments else { return Err(usage()) };
    let numbers: Vec<u32> = numbers.iter().map(|text| text.parse().map_err(|_| usage())).collect::<Result<_, _>>()?;
    let [threads, prompt, generated, passes] = numbers.as_slice() else { return Err(usage()) };
    llama::init();
    let model = Model::load(model, None, None, &mut |_| ())?;
    let settings = ContextSettings {
        ctx_tokens: prompt + generated,
        sequences: 1,
        threads: *threads,
        batch: None,
        ubatch: None,
        flash_attn: None,
        kv_type: "f16".into(),
        asynchronous: false,
    };
    let mut context = Context::new(model, &settings)?;
    let vocab = context.model().vocab_size().max(2);
    let tokens = (0..*prompt).map(|i| 1 + i * 7919 % (vocab - 1)).collect();
    let request = Generate { prompt: tokens, gen_tokens: *generated, ..Generate::default() };
    let mut times = (Vec::new(), Vec::new());
    context.wake();
    for pass in 0..=*passes {
        let generated = measure::generate(&mut context, &request)?;
        if pass > 0 {
            times.0.push(generated.done_ns.first().copied().unwrap_or(0));
            times.1.push(generated.decode().1);
        }
    }
    Ok(serde_json::json!({ "ttft_ns": times.0, "decode_ns": times.1, "steps": generated.saturating_sub(1) })
        .to_string())
}

fn usage() -> Failure {
    failure(FailureKind::Protocol, "--bare takes MODEL THREADS PROMPT GENERATED PASSES")
}
