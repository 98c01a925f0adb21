//! The shipped presentation, compiled for real on made-up analyses from nothing to forty cases.

use std::fs;
use std::path::PathBuf;
use tokometer_core::analyze::{Analysis, analyze};
use tokometer_core::record::{Context, Phase, Series, Step};
use tokometer_core::report::{self, ModelSource, ReportContext, RunInfo};

const PLOTS: &[&str] = &[
    "backend_comparison",
    "speedup_comparison",
    "summary_stats",
    "quantization_impact",
    "latency_distribution",
    "memory_throughput",
    "param_throughput",
    "device_comparison",
];
const QUANTIZATIONS: &[(&str, &str, f64)] =
    &[("default", "Q6_K", 6.56), ("float16", "F16", 16.0), ("int8", "Q8_0", 8.5), ("nf4", "Q4_K_M", 4.85)];
const LONG_HOST: &str = "gpu-node-17.cluster.example-university.edu";
const LONG_MODEL: &str = "hf:organization-with-a-name/Model-3.2-1B-Instruct-with-a-very-long-name_v2";

/// A folder of its own, removed at the end.
struct Dir(PathBuf);

impl Dir {
    fn new(name: &str) -> Dir {
        let dir = Dir(std::env::temp_dir().join(format!("tokometer-presentation-{name}-{}", std::process::id())));
        fs::create_dir_all(dir.0.join("plots")).unwrap();
        dir
    }

    /// All plots, each a plain rectangle.
    fn plots(&self) -> Vec<(&'static str, PathBuf)> {
        let svg = r##"<svg xmlns="http://www.w3.org/2000/svg" width="100" height="60"><rect width="100" height="60" fill="#0072b2"/></svg>"##;
        let plot = |name: &&'static str| {
            let path = self.0.join("plots").join(format!("{name}.svg"));
            fs::write(&path, svg).unwrap();
            (*name, path)
        };
        PLOTS.iter().map(plot).collect()
    }

    /// Puts the presentation in place, compiles it, and returns its pages.
    fn compile(&self, analysis: &Analysis, context: &ReportContext, plots: &[(&str, PathBuf)]) -> usize {
        let presented = report::present(&self.0, analysis, context, plots).unwrap();
        let compiled = tokometer_typst::compile(&presented.source, &self.0).unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(compiled.warnings, Vec::<String>::new());
        assert!(compiled.pdf.starts_with(b"%PDF"));
        compiled.pages
    }
}

impl Drop for Dir {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn series(host: &str, quantization: usize, prompt: u32, launch: u32) -> Series {
    let (label, native, bits) = QUANTIZATIONS[quantization];
    let text = |text: &str| Some(text.to_owned());
    let context = Context {
        engine: "llamacpp".into(),
        engine_version: text("llama-cpp-sys-2 0.1.161"),
        hostname: text(host),
        device: text("CPU"),
        device_description: text("A processor with a long name @ 2.60GHz"),
        model: text(LONG_MODEL),
        uuid: Some(format!("{prompt:06x}{quantization:02x}")),
        quantize: text(label),
        native_quantize: text(native),
        bits_per_weight: Some(bits),
        weights_bytes: Some(1_000_000_000),
        prompt_tokens: Some(prompt),
        gen_tokens: Some(4),
        threads: Some(2),
        launch: Some(launch),
        load_ms: Some(800.0),
        warmup_ms: Some(90.0),
        cold_ttft_ms: Some(1234.5),
        peak_rss_bytes: Some(2_000_000_000),
        warnings: if prompt == 512 { vec!["high_load".into()] } else { Vec::new() },
        ..Context::default()
    };
    let prefill = Step { phase: Phase::Prefill, tokens: Some(prompt), total_ms: Some(50.0), ..Step::default() };
    let decode = (0..3u32).map(|i| Step {
        tokens: Some(1),
        total_ms: Some(bits + 0.1 * f64::from(i + launch)),
        memory_gb_s: Some(10.0),
        param_gb_s: Some(9.0),
        ..Step::default()
    });
    Series { context, steps: std::iter::once(prefill).chain(decode).collect() }
}

fn context(hosts: &[&str]) -> ReportContext {
    let run = |host: &&str| RunInfo {
        host: Some((*host).to_owned()),
        machine: vec!["A processor, 2 cores, 25 GB, Debian GNU/Linux 12, Linux 6.1.0".into()],
        command: ["tokometer", "run", "--model", LONG_MODEL, "--quantize", "default,float16,int8,nf4"]
            .map(str::to_owned)
            .to_vec(),
        versions: vec![("llama.cpp".into(), "b1234".into())],
        measured_on: Some("2026-11-24".into()),
    };
    ReportContext {
        runs: hosts.iter().map(run).collect(),
        sources: vec![ModelSource { model: LONG_MODEL.into(), source: LONG_MODEL.into(), ..ModelSource::default() }],
        ..ReportContext::default()
    }
}

fn measured(hosts: &[&str], quantizations: usize, workloads: u32) -> Analysis {
    let mut all = Vec::new();
    for host in hosts {
        for workload in 1..=workloads {
            for quantization in 0..quantizations {
                all.extend((1..=3).map(|launch| series(host, quantization, workload * 512, launch)));
            }
        }
    }
    analyze(&all)
}

#[test]
fn nothing_measured_compiles() {
    if !tokometer_typst::AVAILABLE {
        return;
    }
    let pages = Dir::new("nothing").compile(&analyze(&[]), &ReportContext::default(), &[]);
    assert!((5..=12).contains(&pages), "{pages}");
}

#[test]
fn one_case_compiles_with_every_plot() {
    if !tokometer_typst::AVAILABLE {
        return;
    }
    let dir = Dir::new("one");
    let analysis = measured(&["host-a"], 1, 1);
    let without = dir.compile(&analysis, &context(&["host-a"]), &[]);
    let with = dir.compile(&analysis, &context(&["host-a"]), &dir.plots());
    // Two plots have no data with a single case: no ratio, no second quantization.
    assert_eq!(with, without + PLOTS.len() - 2);
}

#[test]
fn forty_cases_on_two_hosts_with_long_names_compile() {
    if !tokometer_typst::AVAILABLE {
        return;
    }
    let hosts = [LONG_HOST, "b"];
    let analysis = measured(&hosts, 4, 5);
    assert_eq!(analysis.groups.len(), 40);
    let dir = Dir::new("forty");
    let pages = dir.compile(&analysis, &context(&hosts), &dir.plots());
    assert!((25..=60).contains(&pages), "{pages}");
}
