//! Made-up measurements for the tests of the plots.

use crate::analyze::{Analysis, Random, analyze, analyze_with};
use crate::record::quality::{DISTANCE, Metric};
use crate::record::{Context, Phase, Quality, SampleUnit, Series, Status, Step, ThroughputSource};

/// A case: engine, label, native name, bits per weight, bytes of weights, milliseconds of a decode step.
type Case<'a> = (&'a str, &'a str, &'a str, f64, u64, f64);

const CASES: [Case<'_>; 8] = [
    ("llamacpp", "default", "Q6_K", 6.56, 1_020_000_000, 24.0),
    ("llamacpp", "float16", "F16", 16.0, 2_480_000_000, 55.0),
    ("llamacpp", "int8", "Q8_0", 8.5, 1_320_000_000, 31.0),
    ("llamacpp", "nf4", "Q4_K_M", 4.91, 768_000_000, 19.0),
    ("tinygrad", "default", "float16", 16.0, 2_480_000_000, 70.0),
    ("tinygrad", "float16", "float16", 16.0, 2_480_000_000, 71.0),
    ("tinygrad", "int8", "int8", 8.1, 1_300_000_000, 48.0),
    ("tinygrad", "nf4", "nf4", 4.5, 700_000_000, 44.0),
];

/// Nothing at all.
pub(super) fn empty() -> Analysis {
    analyze(&[])
}

/// Some launches of two repetitions each.
fn series(host: &str, case: Case<'_>, launches: u32) -> Vec<Series> {
    let (engine, label, native, bits, bytes, step_ms) = case;
    let mut random = Random::named(7, &format!("{host} {engine} {label}"));
    let mut noise = move || 1.0 + 0.1 * (random.bits() >> 11) as f64 / (1u64 << 53) as f64;
    let mut all = Vec::new();
    for launch in 1..=launches {
        for repetition in 1..=2 {
            let context = Context {
                engine: engine.into(),
                hostname: Some(host.into()),
                device: Some("CPU".into()),
                device_description: Some("A Processor With 8 Cores".into()),
                size: Some("1B".into()),
                model: Some("Llama-3.2-1B-Instruct".into()),
                quantize: Some(label.into()),
                native_quantize: Some(native.into()),
                bits_per_weight: Some(bits),
                weights_bytes: Some(bytes),
                uuid: Some("0a1b2c3d".into()),
                launch: Some(launch),
                repetition: Some(repetition),
                prompt_tokens: Some(512),
                gen_tokens: Some(16),
                depth: Some(0),
                threads: Some(4),
                throughput_source: Some(ThroughputSource::Model),
                load_ms: Some(800.0 * noise()),
                peak_rss_bytes: Some(bytes + 200_000_000),
                ..Context::default()
            };
            let prefill =
                Step { phase: Phase::Prefill, tokens: Some(512), total_ms: Some(900.0 * noise()), ..Step::default() };
            let decode = (0..16).map(|i| {
                let ms = step_ms * noise();
                let rate = |bytes: u64| Some(bytes as f64 / 1e6 / ms);
                Step {
                    step: Some(i),
                    tokens: Some(1),
                    total_ms: Some(ms),
                    memory_gb_s: rate(bytes + 30_000_000),
                    param_gb_s: rate(bytes),
                    ..Step::default()
                }
            });
            all.push(Series { context, steps: std::iter::once(prefill).chain(decode).collect() });
        }
    }
    all
}

/// One engine, one quantization, one host.
pub(super) fn one_group() -> Analysis {
    analyze(&series("host-a", CASES[3], 2))
}

/// Two engines, four quantizations, two hosts.
pub(super) fn full() -> Analysis {
    let hosts = ["host-a", "host-b"];
    let all = hosts.iter().flat_map(|host| CASES.iter().flat_map(move |case| series(host, *case, 2)));
    let quality = CASES.iter().flat_map(|case| evaluated(*case));
    analyze_with(&all.collect::<Vec<_>>(), &quality.collect::<Vec<_>>())
}

/// A distance and a score on a task; the fewer bits, the worse.
fn evaluated(case: Case<'_>) -> [Quality; 2] {
    let (engine, label, native, bits, bytes, _) = case;
    let one = |environment: &str, metric: &str, avg: f64, std: f64| Quality {
        file: format!("{engine}_{label}_{environment}.json"),
        environment: environment.into(),
        engine: engine.into(),
        model: Some("Llama-3.2-1B-Instruct".into()),
        quantize: label.into(),
        native_quantize: Some(native.into()),
        bits_per_weight: Some(bits),
        weights_bytes: Some(bytes),
        num_examples: Some(200),
        setting: if environment == DISTANCE { "from llamacpp F16, on a text".into() } else { String::new() },
        metrics: vec![Metric { name: metric.into(), avg, std: Some(std) }],
        ..Quality::default()
    };
    let lost = (16.0 - bits) / 160.0;
    [one(DISTANCE, "kld_mean", lost, lost / 20.0), one("gsm8k", "accuracy", 0.6 - lost, 0.49)]
}

/// A log as the seed workflow had it: 22 decode steps, once, and nothing known of the weights.
pub(super) fn old_log() -> Analysis {
    let context = Context {
        engine: "tinygrad".into(),
        hostname: Some("old".into()),
        size: Some("1B".into()),
        quantize: Some("int8".into()),
        uuid: Some("864c4aef".into()),
        ..Context::default()
    };
    let steps = (0..22).map(|i| Step {
        step: Some(i),
        tokens: Some(1),
        total_ms: Some(if i == 0 { 900.0 } else { 40.0 + f64::from(i % 3) }),
        ..Step::default()
    });
    analyze(&[Series { context, steps: steps.collect() }])
}

/// Names that fit nowhere, with signs that mean something to XML and to formulas.
pub(super) fn long_names() -> Analysis {
    let long = |text: &str| format!("{text} <&> $x$ ").repeat(40);
    let mut all = Vec::new();
    for case in [CASES[1], CASES[3]] {
        for mut one in series("host", case, 2) {
            one.context.hostname = Some(long("host"));
            one.context.model = Some(long("model"));
            one.context.engine = long("engine");
            one.context.device_description = Some(long("device"));
            one.context.quantize = Some(long(case.1));
            one.context.native_quantize = Some(long(case.2));
            all.push(one);
        }
    }
    let mut quality = Vec::new();
    for one in &all {
        for known in evaluated(CASES[3]) {
            quality.push(Quality {
                engine: one.context.engine.clone(),
                model: one.context.model.clone(),
                quantize: one.context.quantize.clone().unwrap_or_default(),
                native_quantize: one.context.native_quantize.clone(),
                setting: long("setting"),
                ..known
            });
        }
    }
    analyze_with(&all, &quality)
}

/// One case with two numbers of threads.
pub(super) fn two_thread_counts() -> Analysis {
    let mut all = series("host-a", CASES[3], 1);
    for mut one in series("host-a", CASES[3], 1) {
        one.context.threads = Some(2);
        all.push(one);
    }
    analyze(&all)
}

/// Five hundred cases: four quantizations at each of 125 depths.
pub(super) fn five_hundred() -> Analysis {
    let mut all = Vec::new();
    for depth in 0..125 {
        for case in &CASES[..4] {
            for mut one in series("host-a", *case, 1) {
                one.context.depth = Some(16 * depth);
                all.push(one);
            }
        }
    }
    analyze(&all)
}

/// One case that was measured and one that failed before its device was known.
pub(super) fn one_failed() -> Analysis {
    let mut all = series("host-a", CASES[3], 2);
    all.push(Series { context: failed(&all[0].context), steps: Vec::new() });
    analyze(&all)
}

/// Nothing but a failure.
pub(super) fn only_failed() -> Analysis {
    let context = failed(&series("host-a", CASES[3], 1)[0].context);
    analyze(&[Series { context, steps: Vec::new() }])
}

fn failed(like: &Context) -> Context {
    Context {
        engine: like.engine.clone(),
        hostname: like.hostname.clone(),
        size: like.size.clone(),
        model: like.model.clone(),
        quantize: Some("int8".into()),
        uuid: Some("ffffffff".into()),
        prompt_tokens: like.prompt_tokens,
        gen_tokens: like.gen_tokens,
        depth: like.depth,
        status: Status::Failed,
        reason: Some("the worker ended with signal 9".into()),
        ..Context::default()
    }
}

/// Repetitions of another tool beside our own steps.
pub(super) fn per_run() -> Analysis {
    let mut all = series("host-a", CASES[3], 2);
    let context = all[0].context.clone();
    let whole = |phase, speed: f64| Step {
        unit: SampleUnit::Repetition,
        phase,
        tokens_per_sec: Some(speed),
        ..Step::default()
    };
    let steps = vec![whole(Phase::Decode, 50.0), whole(Phase::Decode, 51.0), whole(Phase::Mixed, 90.0)];
    all.push(Series { context, steps });
    analyze(&all)
}
