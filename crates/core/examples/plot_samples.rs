//! Draws all plots from made-up measurements, to look at them: `cargo run --release --example plot_samples FOLDER`.
//!
//! `FOLDER/many`: two engines, four quantizations, two hosts. `FOLDER/one`: one engine on one host.
//! `FOLDER/old`: a single short log. `FOLDER/nothing`: no data.

use std::error::Error;
use std::path::Path;
use std::time::Instant;
use std::{env, fs};
use tokometer_core::analyze::{Random, analyze};
use tokometer_core::plot::render_all;
use tokometer_core::record::{Context, Phase, Series, Status, Step, ThroughputSource};

/// Engine, label, native name, bits per weight, milliseconds of a step on the first host.
type Case = (&'static str, &'static str, &'static str, f64, f64);

const CASES: [Case; 8] = [
    ("llamacpp", "default", "Q6_K", 6.56, 24.0),
    ("llamacpp", "float16", "F16", 16.0, 55.0),
    ("llamacpp", "int8", "Q8_0", 8.5, 31.0),
    ("llamacpp", "nf4", "Q4_K_M", 4.91, 19.0),
    ("tinygrad", "default", "float16", 16.0, 70.0),
    ("tinygrad", "float16", "float16", 16.0, 71.0),
    ("tinygrad", "int8", "int8", 8.1, 48.0),
    ("tinygrad", "nf4", "nf4", 4.5, 44.0),
];
const PARAMETERS: f64 = 1.236e9;

/// Host, device, its description, how many times as fast as the first host.
type Host = (&'static str, &'static str, &'static str, f64);

const HOSTS: [Host; 2] =
    [("workstation", "CPU", "AMD Ryzen 9 7950X", 1.0), ("gpu-node-17", "CUDA", "NVIDIA H100 80GB", 7.5)];

fn main() -> Result<(), Box<dyn Error>> {
    let folder = env::args().nth(1).ok_or("usage: plot_samples FOLDER")?;
    let folder = Path::new(&folder);
    let many: Vec<Series> =
        HOSTS.iter().flat_map(|host| CASES.iter().flat_map(move |case| measured(*host, *case))).collect();
    let many = many.into_iter().chain([failed()]).collect::<Vec<_>>();
    let one: Vec<Series> = CASES[..4].iter().flat_map(|case| measured(HOSTS[0], *case)).collect();
    draw(&folder.join("many"), &many)?;
    draw(&folder.join("one"), &one)?;
    draw(&folder.join("old"), &[old()])?;
    draw(&folder.join("nothing"), &[])
}

fn draw(folder: &Path, series: &[Series]) -> Result<(), Box<dyn Error>> {
    let analysis = analyze(series);
    fs::create_dir_all(folder)?;
    let begin = Instant::now();
    let figures = render_all(&analysis)?;
    println!("{}: {} plots in {:.0?}", folder.display(), figures.len(), begin.elapsed());
    for figure in figures {
        fs::write(folder.join(format!("{}.svg", figure.name)), figure.svg)?;
        fs::write(folder.join(format!("{}.png", figure.name)), figure.png)?;
        if let Some(missing) = figure.missing {
            println!("  {}: {missing}", figure.name);
        }
    }
    Ok(())
}

/// A number around 0 with the standard deviation 1 (sum of twelve uniform ones).
fn normal(random: &mut Random) -> f64 {
    (0..12).map(|_| (random.bits() >> 11) as f64 / (1u64 << 53) as f64).sum::<f64>() - 6.0
}

/// Three launches of five repetitions: launches differ by 2%, repetitions by 1%, steps by 3% with a few slow ones.
fn measured(host: Host, case: Case) -> Vec<Series> {
    let (engine, label, native, bits, step_ms) = case;
    let mut random = Random::named(42, &format!("{} {engine} {label}", host.0));
    let bytes = (PARAMETERS * bits / 8.0) as u64;
    let mut all = Vec::new();
    for launch in 1..=3 {
        let of_launch = 1.0 + 0.02 * normal(&mut random);
        let load = (400.0 + bytes as f64 / 1.5e6) * (1.0 + 0.05 * normal(&mut random));
        for repetition in 1..=5 {
            let pace = step_ms / host.3 * of_launch * (1.0 + 0.01 * normal(&mut random));
            let mut context = context(host, case, bytes);
            context.launch = Some(launch);
            context.repetition = Some(repetition);
            context.load_ms = Some(load);
            context.native_quantize = Some(native.into());
            let prompt_ms = pace * 512.0 / 14.0 * (1.0 + 0.01 * normal(&mut random));
            let prefill =
                Step { phase: Phase::Prefill, tokens: Some(512), total_ms: Some(prompt_ms), ..Step::default() };
            let mut steps = vec![prefill];
            for i in 0..127 {
                let slow = if random.below(60) == 0 { 1.6 } else { 1.0 };
                let ms = pace * slow * (1.0 + 0.03 * normal(&mut random)).max(0.5);
                steps.push(Step {
                    step: Some(i + 1),
                    tokens: Some(1),
                    enqueue_ms: Some(ms * 0.05),
                    total_ms: Some(ms),
                    memory_gb_s: Some((bytes as f64 + 34e6) / 1e6 / ms),
                    param_gb_s: Some(bytes as f64 / 1e6 / ms),
                    ..Step::default()
                });
            }
            all.push(Series { context, steps });
        }
    }
    all
}

fn context(host: Host, case: Case, bytes: u64) -> Context {
    let engine_counts = case.0 == "tinygrad";
    Context {
        engine: case.0.into(),
        engine_version: Some(if engine_counts { "0.11.0" } else { "b7100" }.into()),
        hostname: Some(host.0.into()),
        device: Some(host.1.into()),
        device_description: Some(host.2.into()),
        size: Some("1B".into()),
        model: Some("Llama-3.2-1B-Instruct".into()),
        quantize: Some(case.1.into()),
        bits_per_weight: Some(case.3),
        weights_bytes: Some(bytes),
        uuid: Some(format!("{:08x}", bytes % 0xffff_ffff)),
        prompt_tokens: Some(512),
        gen_tokens: Some(128),
        depth: Some(0),
        threads: Some(16),
        throughput_source: Some(if engine_counts { ThroughputSource::Engine } else { ThroughputSource::Model }),
        peak_rss_bytes: Some(bytes + 310_000_000),
        peak_device_bytes: (host.1 == "CUDA").then_some(bytes + 900_000_000),
        ..Context::default()
    }
}

/// A launch that was killed before its device was known.
fn failed() -> Series {
    let mut context = context(HOSTS[0], ("tinygrad", "q8", "q8", 8.0, 1.0), 1);
    context.uuid = Some("dead0001".into());
    context.device = None;
    (context.bits_per_weight, context.weights_bytes) = (None, None);
    context.status = Status::Failed;
    context.reason = Some("the worker was killed for memory (signal 9)".into());
    Series { context, steps: Vec::new() }
}

/// What a log of the seed workflow holds: 22 steps and few facts.
fn old() -> Series {
    let context = Context {
        engine: "tinygrad".into(),
        hostname: Some("an-old-machine".into()),
        device: Some("METAL".into()),
        size: Some("1B".into()),
        quantize: Some("int8".into()),
        uuid: Some("864c4aef".into()),
        ..Context::default()
    };
    let mut random = Random::new(1);
    let steps = (0..22).map(|i| Step {
        step: Some(i),
        tokens: Some(1),
        total_ms: Some(if i == 0 { 930.0 } else { 41.0 + normal(&mut random) }),
        ..Step::default()
    });
    Series { context, steps: steps.collect() }
}
