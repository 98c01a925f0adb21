//! The mock engine: timings that are computed, not measured, and every kind of misbehaviour on demand.
//!
//! Options of `load`: `prefill_us` and `decode_us` per token (defaults 100 and 1000), `growth_ns` added per token of
//! context, `sleep_ms` real time per generation, `slow_after=N` (every generation after the N-th takes an hour),
//! `allocate_mb` of real memory that loading takes and touches, and
//! `fault`, one of [`FAULTS`]. `fault_launch=N` limits the fault to the N-th process that counts itself in the file
//! `fault_counter`; `fail_random=FILE` makes generations fail at random, see [`dice`]. For `complete` see [`complete`]; for GPUs, and for
//! mocks that look at each other, [`floor`]. The variable `TOKOMETER_MOCK_VERSION` names another version than 1.
//!
//! `TOKOMETER_MOCK_WITHOUT` in the environment names a request that this mock does not offer.
//!
//! Scores are known as well: at every position the token that is given next has the log-probability -16 / bits (of
//! `mock-16`: -1), and all others share the rest.

mod complete;
mod dice;
mod floor;

use complete::{Cancelled, Speaker};
use std::collections::BTreeMap;
use std::io::{self, Write};
use std::path::Path;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;
use tokometer_protocol::{
    Answer, Body, Call, Complete, Failure, FailureKind, Generate, Generated, Hello, Load, Loaded, Reply, Request,
    Scored, VERSION,
};

/// What can go wrong.
const FAULTS: &[&str] = &[
    "crash_in_load",
    "hang_in_load",
    "deaf",
    "crash_in_generate",
    "exit",
    "hang",
    "killed",
    "garbage",
    "short",
    "cached",
    "error",
    "out_of_memory",
    "flood",
];

#[derive(Default)]
struct Mock {
    options: BTreeMap<String, String>,
    loaded: bool,
    /// Where it computes.
    device: String,
    memory: Vec<u8>,
    generations: u64,
    cancelled: Cancelled,
    speaker: Speaker,
    /// Completions that may run at once.
    sequences: u32,
    ears: Ears,
    /// Bits of the native quantization.
    bits: u64,
}

/// Ids are below this.
const VOCAB: u32 = 1000;

fn main() -> io::Result<()> {
    let mut mock = Mock::default();
    let lines = mock.ears.listen(mock.cancelled.clone());
    loop {
        mock.ears.open();
        let Ok(line) = lines.recv() else { break };
        mock.ears.close();
        let call: Call = match serde_json::from_str(&line?) {
            Ok(call) => call,
            Err(error) => {
                let failure = Failure { kind: FailureKind::Protocol, message: error.to_string() };
                send(&Reply { id: 0, body: Body::Error(failure) })?;
                continue;
            }
        };
        if let (Request::Complete(request), true) = (&call.request, mock.loaded && mock.sequences > 1) {
            mock.begin(call.id, request.clone());
            continue;
        }
        let last = call.request == Request::Shutdown;
        let body = match mock.perform(call.id, call.request) {
            Ok(answer) => Body::Result(answer),
            Err(failure) => Body::Error(failure),
        };
        send(&Reply { id: call.id, body })?;
        if last {
            break;
        }
        if mock.loaded && mock.fault() == "deaf" {
            std::thread::sleep(Duration::from_secs(3600));
        }
    }
    Ok(())
}

/// Reads the input, but only while somebody listens: a mock that is deaf leaves it unread. Cancellations are heard at once.
#[derive(Default)]
struct Ears {
    /// Lets the reader read on to the next call.
    permits: Option<Sender<()>>,
    /// Whether it may.
    is_open: bool,
}

impl Ears {
    /// Starts the reader; the lines that are no cancellations come out.
    fn listen(&mut self, cancelled: Cancelled) -> Receiver<io::Result<String>> {
        let (permits, permitted) = channel();
        let (sender, lines) = channel();
        self.permits = Some(permits);
        std::thread::spawn(move || {
            let mut input = io::stdin().lines();
            for () in permitted {
                loop {
                    let Some(line) = input.next() else { return };
                    let call = line.as_ref().ok().and_then(|line| serde_json::from_str::<Call>(line).ok());
                    if let Some(Call { request: Request::Cancel { call }, .. }) = call {
                        cancelled.add(call);
                        continue;
                    }
                    if sender.send(line).is_err() {
                        return;
                    }
                    break;
                }
            }
        });
        lines
    }

    /// The next call is waited for, or a cancellation.
    fn open(&mut self) {
        if let (false, Some(permits)) = (self.is_open, &self.permits) {
            self.is_open = permits.send(()).is_ok();
        }
    }

    /// A call has come.
    fn close(&mut self) {
        self.is_open = false;
    }
}

fn send(reply: &Reply) -> io::Result<()> {
    let mut out = io::stdout().lock();
    serde_json::to_writer(&mut out, reply)?;
    out.write_all(b"\n")?;
    out.flush()
}

fn failure<T>(kind: FailureKind, message: &str) -> Result<T, Failure> {
    Err(Failure { kind, message: message.into() })
}

impl Mock {
    fn perform(&mut self, id: u64, request: Request) -> Result<Answer, Failure> {
        match request {
            Request::Hello { .. } => Ok(Answer::Hello(hello())),
            Request::Load(load) => self.load(load),
            Request::Generate(_) | Request::Complete(_) | Request::Score { .. } if !self.loaded => {
                failure(FailureKind::Protocol, "no model is loaded")
            }
            Request::Generate(request) => {
                self.generations += 1;
                self.generate(&request).map(Answer::Generated)
            }
            Request::Complete(request) => {
                self.ears.open();
                self.speaker.complete(id, &request).map(Answer::Completed)
            }
            Request::Score { tokens, from, full } => {
                self.score(&tokens, from as usize, full.as_deref()).map(Answer::Scored)
            }
            Request::Tokenize { text, .. } => Ok(Answer::Tokens { tokens: text.bytes().map(u32::from).collect() }),
            Request::Detokenize { tokens } => {
                Ok(Answer::Pieces { pieces: tokens.iter().map(|token| complete::text(*token)).collect() })
            }
            Request::Quantize { .. } | Request::Compile(_) => {
                failure(FailureKind::Unsupported, "the mock engine has no files")
            }
            Request::Unload | Request::Shutdown | Request::Cancel { .. } => Ok(Answer::Done),
        }
    }

    /// Says a completion beside others, in a thread of its own.
    fn begin(&self, id: u64, request: Complete) {
        let speaker = self.speaker.clone();
        std::thread::spawn(move || {
            let body = match speaker.complete(id, &request) {
                Ok(completed) => Body::Result(Answer::Completed(completed)),
                Err(failure) => Body::Error(failure),
            };
            // Nobody listens any more: the next call finds out.
            let _ = send(&Reply { id, body });
        });
    }

    fn load(&mut self, load: Load) -> Result<Answer, Failure> {
        let devices = floor::devices();
        let asked = load.device.as_deref();
        let device = devices.iter().find(|device| asked.is_none_or(|name| device.name.eq_ignore_ascii_case(name)));
        let Some(device) = device else { return failure(FailureKind::Unsupported, "there is no such device") };
        self.device.clone_from(&device.name);
        self.options = load.options;
        self.arm();
        match self.fault() {
            "crash_in_load" => std::process::exit(3),
            "hang_in_load" => std::thread::sleep(Duration::from_secs(3600)),
            "out_of_memory" => return failure(FailureKind::OutOfMemory, "cannot allocate 1 TB"),
            fault if !fault.is_empty() && !FAULTS.contains(&fault) => {
                return failure(FailureKind::Unsupported, &format!("there is no fault {fault:?}"));
            }
            _ => (),
        }
        self.allocate()?;
        self.loaded = true;
        self.sequences = load.sequences.unwrap_or(1);
        self.speaker = Speaker::new(self.options.clone(), self.cancelled.clone());
        let native = load.quantize.unwrap_or_else(|| "mock-8".into());
        let bits: u64 = native.rsplit('-').next().and_then(|bits| bits.parse().ok()).unwrap_or(8).max(1);
        self.bits = bits;
        Ok(Answer::Loaded(Box::new(Loaded {
            load_ns: 5_000_000,
            device: self.device.clone(),
            native_quantize: native,
            weights_bytes: bits * 125_000_000,
            weights_read_bytes: Some(bits * 125_000_000),
            n_params: 1_000_000_000,
            kv_bytes: Some(u64::from(load.ctx_tokens) * 1000 * u64::from(self.sequences)),
            kv_bytes_per_token: Some(1000),
            kv_type: Some("f16".into()),
            ctx_tokens: load.ctx_tokens,
            sequences: Some(self.sequences),
            threads: load.threads,
            bos: Some(complete::BOS),
            eos: vec![complete::EOS],
            chat_template: Some(complete::CHAT_TEMPLATE.into()),
            ctx_train: Some(4096),
            vocab_size: VOCAB,
            ..Loaded::default()
        })))
    }

    fn score(&self, tokens: &[u32], from: usize, full: Option<&str>) -> Result<Scored, Failure> {
        let Some(next) = tokens.get(from + 1..).filter(|next| !next.is_empty()) else {
            return failure(FailureKind::Protocol, "nothing is to be scored");
        };
        let logprob = -16.0 / self.bits as f64;
        let (given, other) = (logprob as f32, ((1.0 - logprob.exp()) / f64::from(VOCAB - 1)).ln() as f32);
        if let Some(path) = full {
            let row = |token: u32| (0..VOCAB).map(move |id| if id == token { given } else { other });
            let bytes: Vec<u8> = next.iter().copied().flat_map(row).flat_map(f32::to_le_bytes).collect();
            if let Err(why) = std::fs::write(path, bytes) {
                return failure(FailureKind::Engine, &format!("cannot write {path}: {why}"));
            }
        }
        Ok(Scored {
            logprobs: vec![given; next.len()],
            top_tokens: next.to_vec(),
            top_logprobs: vec![given; next.len()],
        })
    }

    /// Takes memory and writes to all of it.
    fn allocate(&mut self) -> Result<(), Failure> {
        let megabytes = self.number("allocate_mb", 0);
        let bytes = usize::try_from(megabytes).ok().and_then(|n| n.checked_mul(1_000_000)).unwrap_or(usize::MAX);
        if self.memory.try_reserve_exact(bytes).is_err() {
            return failure(FailureKind::OutOfMemory, &format!("cannot allocate {megabytes} MB"));
        }
        self.memory.resize(bytes, 1);
        Ok(())
    }

    /// Disarms the fault in all but the launch that it is meant for.
    fn arm(&mut self) {
        let (Some(wanted), Some(counter)) = (self.options.get("fault_launch"), self.options.get("fault_counter"))
        else {
            return;
        };
        let count =
            std::fs::read_to_string(counter).ok().and_then(|text| text.trim().parse::<u32>().ok()).unwrap_or(0) + 1;
        let _ = std::fs::write(counter, count.to_string());
        if *wanted != count.to_string() {
            self.options.remove("fault");
            self.options.remove("serve_crash_at");
        }
    }

    fn fault(&self) -> &str {
        self.options.get("fault").map_or("", String::as_str)
    }

    /// What goes wrong in a generation.
    fn fault_of_generation(&self) -> &str {
        let thrown = self.options.get("fail_random").and_then(|file| dice::throw(Path::new(file)));
        thrown.unwrap_or_else(|| self.fault())
    }

    fn number(&self, name: &str, default: u64) -> u64 {
        self.options.get(name).and_then(|text| text.parse().ok()).unwrap_or(default)
    }

    fn generate(&self, request: &Generate) -> Result<Generated, Failure> {
        let _in_use = floor::enter(&self.device)?;
        std::thread::sleep(Duration::from_millis(self.number("sleep_ms", 0)));
        if self.generations > self.number("slow_after", u64::MAX) {
            std::thread::sleep(Duration::from_secs(3600));
        }
        let mut n = request.gen_tokens;
        let mut prompt_tokens = request.prompt.len() as u32;
        match self.fault_of_generation() {
            "crash_in_generate" => {
                eprintln!("mock: about to crash");
                std::process::abort();
            }
            "exit" => std::process::exit(3),
            "hang" => std::thread::sleep(Duration::from_secs(3600)),
            "killed" => {
                let _ = std::process::Command::new("kill").args(["-9", &std::process::id().to_string()]).status();
                std::thread::sleep(Duration::from_secs(5));
            }
            "garbage" => println!("Segmentation fault (not really)"),
            "short" => n -= 1,
            "cached" => prompt_tokens = 1,
            "error" => return failure(FailureKind::Engine, "the engine is out of order"),
            "flood" => (0..5000).for_each(|i| eprintln!("mock: line {i}")),
            _ => (),
        }
        let prefill = self.number("prefill_us", 100) * 1000 * request.prompt.len() as u64;
        let (decode, growth) = (self.number("decode_us", 1000) * 1000, self.number("growth_ns", 0));
        let before = (request.context.len() + request.prompt.len()) as u64;
        let mut now = prefill;
        let done_ns: Vec<u64> = (0..u64::from(n))
            .map(|i| {
                now += if i == 0 { 0 } else { decode + growth * (before + i) };
                now
            })
            .collect();
        Ok(Generated {
            prompt_tokens,
            context_tokens: request.context.len() as u32,
            tokens: (0..n).collect(),
            enqueued_ns: done_ns.iter().map(|ns| ns - 1000.min(*ns)).collect(),
            pieces: (0..n).map(|i| format!(" {i}")).collect(),
            done_ns,
            ..Generated::default()
        })
    }
}

fn hello() -> Hello {
    Hello {
        protocol: VERSION,
        engine: "mock".into(),
        engine_version: std::env::var("TOKOMETER_MOCK_VERSION").unwrap_or_else(|_| "1".into()),
        worker_version: env!("CARGO_PKG_VERSION").into(),
        build: BTreeMap::new(),
        devices: floor::devices(),
        methods: ["load", "generate", "complete", "score", "tokenize", "detokenize", "unload"]
            .into_iter()
            .filter(|method| std::env::var("TOKOMETER_MOCK_WITHOUT").map_or(true, |without| without != *method))
            .map(String::from)
            .collect(),
        quantizations: ["mock-4", "mock-8", "mock-16"].map(String::from).to_vec(),
    }
}
