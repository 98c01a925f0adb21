//! What the tests of readers, writer and collation share: a sample of every format, a folder, and mutations.

pub use crate::testing::Dir;

use super::event::{Event, Resources};
use super::file_name::FileName;
use super::writer::LogWriter;
use std::fs;
use std::path::{Path, PathBuf};
use tokometer_protocol::{Generated, Hello, Loaded};

/// A real log of tinygrad's llama3 example.
pub const TINYGRAD: &str = include_str!("../../tests/data/softmacs_1B_int8_seed42_uuid864c4aef.txt");

/// A real log of a run that failed at once.
pub const TINYGRAD_EMPTY: &str = include_str!("../../tests/data/softmacs_1B_int8_seed42_uuid8df98122.txt");

/// A prefill, a decode at depth and a mixed test, one line each.
pub const LLAMA_BENCH: &str = concat!(
    r#"{"build_commit": "abc1234", "build_number": 5000, "cpu_info": "Some CPU", "gpu_info": "", "backends": "CPU", "#,
    r#""model_filename": "models/m-Q4_K_M.gguf", "model_type": "llama 1B Q4_K - Medium", "model_size": 800000000, "#,
    r#""model_n_params": 1000000000, "n_batch": 2048, "n_ubatch": 512, "n_threads": 2, "type_k": "f16", "type_v": "f16", "#,
    r#""n_gpu_layers": 0, "flash_attn": false, "n_prompt": 512, "n_gen": 0, "n_depth": 0, "avg_ns": 8000000000, "#,
    r#""samples_ns": [8000000000, 8000000001], "samples_ts": [64.0, 63.99]}"#,
    "\n",
    r#"{"build_commit": "abc1234", "model_type": "llama 1B Q4_K - Medium", "model_size": 800000000, "#,
    r#""model_n_params": 1000000000, "n_threads": 2, "flash_attn": 0, "n_prompt": 0, "n_gen": 100, "n_depth": 128, "#,
    r#""samples_ns": [4000000000, 4100000000, 4200000000], "samples_ts": [25.0, 24.39, 23.81]}"#,
    "\n",
    r#"{"model_type": "llama 1B Q4_K - Medium", "n_prompt": 10, "n_gen": 10, "samples_ns": [1000000000]}"#,
    "\n",
);

const SEED_MLC: &str = "framework: mlc_llm\nplatform: Linux\nhostname: box\nsize: 1B\nquantize: q4f16_1\nseed: 42\n\n\
    {\"run\": 1, \"tokens\": 20, \"time_s\": 2.0, \"tok_per_sec\": 10.0}\n\
    {\"run\": 2, \"tokens\": 20, \"time_s\": 1.6, \"tok_per_sec\": 12.5}\n";

/// A log of some format.
pub struct Sample {
    pub name: &'static str,
    /// [`super::Format::name`].
    pub format: &'static str,
    pub bytes: Vec<u8>,
    /// How many series it holds.
    pub series: usize,
}

/// At least one log of each format.
pub fn samples() -> Vec<Sample> {
    let sample = |name, format, text: &str, series| Sample { name, format, bytes: text.into(), series };
    let headed = format!("framework: llama.cpp\nhostname: box\n\n{LLAMA_BENCH}");
    let tiny_headed = format!("framework: tinygrad\nplatform: Darwin\nseed: 42\n\n{TINYGRAD}{TINYGRAD}");
    vec![
        sample("softmacs_1B_int8_seed42_uuid864c4aef.txt", "tinygrad", TINYGRAD, 1),
        sample("softmacs_1B_int8_seed42_uuid8df98122.txt", "tinygrad", TINYGRAD_EMPTY, 0),
        sample("tiny.txt", "tinygrad", &tiny_headed, 2),
        sample("bench.jsonl", "llama-bench", LLAMA_BENCH, 3),
        sample("box_1B_nf4_seed42_uuid00000001.txt", "llama-bench", &headed, 3),
        sample("box_1B_q4f16_1_seed42_uuid00000002.txt", "seed-mlc", SEED_MLC, 1),
        Sample { name: "mock_host_tiny_nf4_seed42_uuid0123abcd.txt", format: "tokometer", bytes: own_log(), series: 3 },
    ]
}

/// The name of a log of the mock engine.
pub fn name(hostname: &str) -> FileName {
    FileName {
        engine: Some("mock".into()),
        hostname: hostname.into(),
        size: "tiny".into(),
        quantize: "nf4".into(),
        seed: 42,
        uuid: "0123abcd".into(),
    }
}

/// The header of such a log.
pub fn header() -> Vec<(String, String)> {
    [("framework", "mock"), ("platform", "Linux"), ("hostname", "host"), ("device", "CPU"), ("bits_per_weight", "4.5")]
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .to_vec()
}

/// Three steps: 10 ms of prefill, then 4 ms and 5 ms of decode.
pub fn generated() -> Generated {
    Generated {
        prompt_tokens: 8,
        context_tokens: 16,
        tokens: vec![3, 4, 5],
        done_ns: vec![10_000_000, 14_000_000, 19_000_000],
        enqueued_ns: vec![1_000_000, 10_500_000, 13_000_000],
        pieces: vec!["a".into(), ", \"b\"".into(), "\nc".into()],
        ..Generated::default()
    }
}

/// Two launches: one with two repetitions, one that fails.
pub fn events() -> Vec<Event> {
    let hello = Hello { engine: "mock".into(), engine_version: "1.2".into(), ..Hello::default() };
    let details = [("jit_ns", "2500000"), ("kernels_decode", "31")];
    let loaded = Loaded {
        load_ns: 2_000_000,
        native_quantize: "Q4".into(),
        weights_bytes: 4_000_000,
        weights_read_bytes: Some(3_000_000),
        n_params: 8_000_000,
        kv_bytes_per_token: Some(1000),
        threads: Some(2),
        details: details.map(|(name, told)| (name.to_owned(), told.to_owned())).into(),
        ..Loaded::default()
    };
    let resources = Resources { peak_rss_bytes: Some(1 << 20), cpu_ns: Some(5), ..Resources::default() };
    let repetition = |repetition| Event::Repetition { launch: 1, round: 1, repetition, generated: generated() };
    // The first pass of a launch is that of a cold engine.
    let mut cold = generated();
    cold.done_ns.iter_mut().for_each(|ns| *ns += 2_000_000);
    let warning = |launch, code: &str| Event::Warning { launch, code: code.into(), message: "words".into() };
    vec![
        Event::Launch { launch: 1, round: 1, order: 1, hello: hello.clone(), start_ns: 5 },
        Event::Load { launch: 1, loaded: Box::new(loaded) },
        Event::Warmup { launch: 1, elapsed_ns: 3_000_000, generated: cold },
        Event::Warmup { launch: 1, elapsed_ns: 4_000_000, generated: generated() },
        repetition(1),
        repetition(2),
        Event::Resources { launch: 1, resources },
        Event::Launch { launch: 2, round: 2, order: 1, hello, start_ns: 5 },
        Event::Failure { launch: Some(2), kind: "crash".into(), reason: "signal 9".into() },
        warning(Some(1), "high_load"),
        warning(None, "battery"),
        Event::Output { launch: 1, lines: vec!["a line".into()], dropped: 0 },
    ]
}

/// A whole log of our own.
pub fn own_log() -> Vec<u8> {
    let dir = Dir::new();
    let path = write_own_log(dir.path(), "host");
    fs::read(path).unwrap()
}

/// Writes such a log into a folder.
pub fn write_own_log(folder: &Path, hostname: &str) -> PathBuf {
    let mut log = LogWriter::create(folder, &name(hostname), &header()).unwrap();
    for event in events() {
        log.append(&event).unwrap();
    }
    log.finish("failed").unwrap()
}

/// Damages bytes in ways that are the same on every run (xorshift64).
pub struct Mutator(u64);

impl Mutator {
    pub fn new(seed: u64) -> Mutator {
        Mutator(seed | 1)
    }

    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % limit.max(1) as u64) as usize
    }

    /// `bytes` after one to four accidents.
    pub fn mutate(&mut self, bytes: &[u8]) -> Vec<u8> {
        const ODD: &[&[u8]] =
            &[b"\n", b"\"", b"{", b"}", b"-1", b"1e999", b"99999999999999999999", b": ", b"\xff", b"\0", b"["];
        let mut bytes = bytes.to_vec();
        for _ in 0..=self.below(4) {
            let at = self.below(bytes.len());
            let end = (at + self.below(40)).min(bytes.len());
            match self.below(6) {
                0 => bytes.truncate(at),
                1 => drop(bytes.drain(at..end)),
                2 => {
                    let piece = bytes[at..end].to_vec();
                    let to = self.below(bytes.len());
                    drop(bytes.splice(to..to, piece));
                }
                3 if at < bytes.len() => bytes[at] ^= 1 << self.below(8),
                _ => {
                    let odd = ODD[self.below(ODD.len())];
                    let end = (at + self.below(4)).min(bytes.len());
                    drop(bytes.splice(at..end, odd.iter().copied()));
                }
            }
        }
        bytes
    }
}
