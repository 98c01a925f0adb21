//! `llama-bench -o jsonl`, with or without a `key: value` header before it. Each object is one test: a whole prefill, a
//! whole generation, or both; a repetition is one figure, so its rows are marked as such and never mixed with steps.
//!
//! Field names: llama.cpp `tools/llama-bench/llama-bench.cpp`, `test::get_fields`.

use super::file_name::FileName;
use super::header::Header;
use super::jsonl;
use super::series::{Context, Phase, SampleUnit, Series, Step};
use super::{Format, Input, Result, json_reason};
use serde::Deserialize;
use serde_json::Value;
use std::collections::HashMap;
use std::path::Path;

/// See the module.
pub struct LlamaBench;

/// What is used of an object. Everything but the workload and the samples may be missing: versions differ.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Test {
    build_commit: Option<String>,
    build_number: Option<u64>,
    cpu_info: Option<String>,
    gpu_info: Option<String>,
    backends: Option<String>,
    model_filename: Option<String>,
    model_type: Option<String>,
    model_size: Option<u64>,
    model_n_params: Option<u64>,
    n_batch: Option<u32>,
    n_ubatch: Option<u32>,
    n_threads: Option<u32>,
    type_k: Option<String>,
    type_v: Option<String>,
    n_gpu_layers: Option<i64>,
    flash_attn: Option<Value>,
    n_prompt: Option<u32>,
    n_gen: Option<u32>,
    n_depth: u32,
    samples_ns: Vec<u64>,
    samples_ts: Vec<f64>,
}

impl Format for LlamaBench {
    fn name(&self) -> &'static str {
        "llama-bench"
    }

    fn recognize(&self, head: &[u8], _: &str) -> bool {
        let (header, first) = jsonl::peek(head);
        if first.is_empty() {
            return header.engine().as_deref() == Some("llamacpp");
        }
        jsonl::mentions(first, "n_prompt") || jsonl::mentions(first, "samples_ns")
    }

    fn read(&self, input: &Input<'_>, emit: &mut dyn FnMut(Series)) -> Result<()> {
        let mut seen: HashMap<String, u32> = HashMap::new();
        jsonl::walk(input, |header, line| {
            let test: Test =
                serde_json::from_slice(line.bytes).map_err(|e| input.damaged(line.number, json_reason(&e)))?;
            let steps = test.steps().map_err(|reason| input.damaged(line.number, reason))?;
            let mut context = test.context(header, input.name.as_ref());
            // The same test once more is another start of the tool.
            let launch = seen.entry(format!("{context:?}")).or_insert(0);
            *launch += 1;
            context.launch = Some(*launch);
            emit(Series { context, steps });
            Ok(())
        })
    }
}

impl Test {
    /// One step per repetition.
    fn steps(&self) -> std::result::Result<Vec<Step>, String> {
        let (Some(prompt), Some(generated)) = (self.n_prompt, self.n_gen) else {
            return Err("no test of llama-bench: `n_prompt` or `n_gen` is missing".to_owned());
        };
        let phase = match (prompt, generated) {
            (0, 0) => return Err("a test without prompt and generated tokens".to_owned()),
            (_, 0) => Phase::Prefill,
            (0, _) => Phase::Decode,
            _ => Phase::Mixed,
        };
        if self.samples_ns.is_empty() {
            return Err("`samples_ns` is missing or empty: run llama-bench with -o jsonl".to_owned());
        }
        if !self.samples_ts.is_empty() && self.samples_ts.len() != self.samples_ns.len() {
            let (ts, ns) = (self.samples_ts.len(), self.samples_ns.len());
            return Err(format!("`samples_ts` has {ts} entries, `samples_ns` has {ns}"));
        }
        let tokens = prompt.checked_add(generated).ok_or("more tokens than can be")?;
        let step = |(i, &ns): (usize, &u64)| {
            let seconds = ns as f64 / 1e9;
            let derived = (ns > 0).then(|| f64::from(tokens) / seconds);
            // Every generated token reads all weights once.
            let read = self.model_size.filter(|_| phase == Phase::Decode && ns > 0);
            Step {
                phase,
                unit: SampleUnit::Repetition,
                tokens: Some(tokens),
                position: Some(self.n_depth),
                total_ms: Some(ns as f64 / 1e6),
                tokens_per_sec: self.samples_ts.get(i).copied().or(derived),
                param_gb_s: read.map(|bytes| bytes as f64 * f64::from(tokens) / ns as f64),
                ..Step::default()
            }
        };
        Ok(self.samples_ns.iter().enumerate().map(step).collect())
    }

    /// What the object says of itself, under what header and file name say.
    fn context(&self, header: &Header, name: Option<&FileName>) -> Context {
        let base = header.context(name, "llamacpp");
        let native = base.native_quantize.clone().or_else(|| self.native());
        let measured = match (self.model_size, self.model_n_params) {
            (Some(bytes), Some(params)) if bytes > 0 && params > 0 => Some(8.0 * bytes as f64 / params as f64),
            _ => None,
        };
        Context {
            engine_version: base.engine_version.clone().or_else(|| self.version()),
            device: base.device.clone().or_else(|| self.device()),
            device_description: self.device_description(base.device.as_deref()),
            size: base.size.clone().or_else(|| self.size()),
            quantize: base.quantize.clone().or_else(|| native.clone()),
            native_quantize: native,
            bits_per_weight: base.bits_per_weight.or(measured),
            weights_bytes: base.weights_bytes.or(self.model_size.filter(|bytes| *bytes > 0)),
            model: base.model.clone().or_else(|| self.stem()),
            prompt_tokens: self.n_prompt,
            gen_tokens: self.n_gen,
            depth: Some(self.n_depth),
            threads: self.n_threads,
            batch: self.n_batch,
            ubatch: self.n_ubatch,
            flash_attn: self.flash_attn.as_ref().and_then(switch),
            kv_type: self.kv_type(),
            ..base
        }
    }

    fn version(&self) -> Option<String> {
        let commit = self.build_commit.clone().filter(|text| !text.is_empty() && text != "unknown");
        match (self.build_number.filter(|number| *number > 0), commit) {
            (Some(number), Some(commit)) => Some(format!("b{number} ({commit})")),
            (Some(number), None) => Some(format!("b{number}")),
            (None, commit) => commit,
        }
    }

    /// The first accelerator among the backends, unless no layer was given to it.
    fn device(&self) -> Option<String> {
        let backends = self.backends.as_deref()?.to_ascii_uppercase();
        let mut names = backends.split(',').map(str::trim).filter(|name| !name.is_empty()).peekable();
        names.peek()?;
        let accelerator = names.find(|name| !matches!(*name, "CPU" | "BLAS" | "RPC"));
        match accelerator {
            Some("MTL") if self.n_gpu_layers != Some(0) => Some("METAL".to_owned()),
            Some(name) if self.n_gpu_layers != Some(0) => Some(name.to_owned()),
            _ => Some("CPU".to_owned()),
        }
    }

    fn device_description(&self, device: Option<&str>) -> Option<String> {
        let device = device.map(str::to_owned).or_else(|| self.device());
        let said = if device.as_deref() == Some("CPU") { &self.cpu_info } else { &self.gpu_info };
        said.clone().filter(|text| !text.is_empty())
    }

    fn kv_type(&self) -> Option<String> {
        match (self.type_k.as_deref(), self.type_v.as_deref()) {
            (Some(k), Some(v)) if k != v => Some(format!("{k}/{v}")),
            (k, v) => k.or(v).map(str::to_owned),
        }
    }

    /// The model file's name without folder and `.gguf`.
    fn stem(&self) -> Option<String> {
        let name = Path::new(self.model_filename.as_deref()?).file_name()?.to_str()?;
        Some(name.strip_suffix(".gguf").unwrap_or(name).to_owned())
    }

    /// `llama 1B Q4_K - Medium` names architecture, size and type.
    fn native(&self) -> Option<String> {
        let (_, kind) = self.described()?;
        let (name, rest) = kind.split_once(" - ").unwrap_or((kind, ""));
        let suffix = match rest {
            "Small" => "_S",
            "Medium" => "_M",
            "Large" => "_L",
            _ => "",
        };
        let name = name.trim().trim_start_matches("all ");
        (!name.is_empty() && !name.contains(' ')).then(|| format!("{name}{suffix}"))
    }

    fn size(&self) -> Option<String> {
        let (size, _) = self.described()?;
        Some(size.to_owned()).filter(|text| text.starts_with(|c: char| c.is_ascii_digit()))
    }

    /// Size and type out of the description; the architecture before them is one word.
    fn described(&self) -> Option<(&str, &str)> {
        let mut words = self.model_type.as_deref()?.splitn(3, ' ');
        words.next()?;
        Some((words.next()?, words.next()?))
    }
}

/// A setting that versions write as a boolean, a number or a word.
fn switch(value: &Value) -> Option<bool> {
    match value {
        Value::Bool(on) => Some(*on),
        Value::Number(number) => match number.as_i64() {
            Some(0) => Some(false),
            Some(1) => Some(true),
            _ => None,
        },
        Value::String(word) => match word.as_str() {
            "on" | "1" | "true" => Some(true),
            "off" | "0" | "false" => Some(false),
            _ => None,
        },
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::super::read_log;
    use super::super::testing::LLAMA_BENCH;
    use super::*;

    #[test]
    fn a_test_becomes_repetitions_with_its_own_phase() {
        let log = read_log(LLAMA_BENCH.as_bytes(), Path::new("bench.jsonl")).unwrap();
        let phases: Vec<_> = log.series.iter().map(|s| (s.steps[0].phase, s.steps.len())).collect();
        assert_eq!(phases, [(Phase::Prefill, 2), (Phase::Decode, 3), (Phase::Mixed, 1)]);
        let prefill = &log.series[0].steps[0];
        assert_eq!((prefill.total_ms, prefill.tokens_per_sec), (Some(8000.0), Some(64.0)));
        assert_eq!((prefill.tokens, prefill.position, prefill.step), (Some(512), Some(0), None));
        let decode = &log.series[1];
        assert!(decode.steps.iter().all(|s| s.unit == SampleUnit::Repetition && s.position == Some(128)));
        // 800 MB of weights read 100 times in 4 seconds.
        assert_eq!(decode.steps[0].param_gb_s, Some(20.0));
        assert_eq!(prefill.param_gb_s, None);
    }

    #[test]
    fn an_object_names_model_device_and_settings() {
        let log = read_log(LLAMA_BENCH.as_bytes(), Path::new("bench.jsonl")).unwrap();
        let c = &log.series[0].context;
        assert_eq!((c.engine.as_str(), c.engine_version.as_deref()), ("llamacpp", Some("b5000 (abc1234)")));
        assert_eq!((c.size.as_deref(), c.quantize.as_deref()), (Some("1B"), Some("Q4_K_M")));
        assert_eq!((c.native_quantize.as_deref(), c.bits_per_weight), (Some("Q4_K_M"), Some(6.4)));
        assert_eq!((c.device.as_deref(), c.device_description.as_deref()), (Some("CPU"), Some("Some CPU")));
        assert_eq!((c.kv_type.as_deref(), c.flash_attn, c.threads), (Some("f16"), Some(false), Some(2)));
        assert_eq!((c.model.as_deref(), c.hostname.as_deref(), c.launch), (Some("m-Q4_K_M"), None, Some(1)));
    }

    #[test]
    fn a_header_and_the_file_name_add_what_the_object_lacks() {
        let text = format!(
            "framework: llama.cpp
hostname: box
quantize: nf4
device: CUDA

{LLAMA_BENCH}"
        );
        let log = read_log(text.as_bytes(), Path::new("other_1B_int8_seed42_uuid864c4aef.txt")).unwrap();
        let c = &log.series[2].context;
        assert_eq!((c.hostname.as_deref(), c.quantize.as_deref()), (Some("box"), Some("nf4")));
        assert_eq!((c.seed, c.native_quantize.as_deref()), (Some(42), Some("Q4_K_M")));
        assert_eq!((c.device.as_deref(), c.device_description.as_deref()), (Some("CUDA"), None));
    }

    #[test]
    fn the_same_test_again_is_another_launch() {
        let log = read_log(LLAMA_BENCH.repeat(2).as_bytes(), Path::new("x.jsonl")).unwrap();
        let launches: Vec<_> = log.series.iter().map(|s| s.context.launch).collect();
        assert_eq!(launches, [Some(1), Some(1), Some(1), Some(2), Some(2), Some(2)]);
    }

    #[test]
    fn damage_is_named_with_its_line() {
        for (bad, words) in [
            ("{\"n_prompt\": 1", "EOF"),
            ("{\"n_prompt\": 1, \"n_gen\": 0, \"samples_ns\": []}", "samples_ns"),
            ("{\"n_prompt\": 0, \"n_gen\": 0, \"samples_ns\": [1]}", "without prompt"),
            ("{\"n_prompt\": 1, \"n_gen\": 0, \"samples_ns\": [1], \"samples_ts\": [1, 2]}", "2 entries"),
            ("{\"n_gen\": 1, \"samples_ns\": [1]}", "n_prompt"),
        ] {
            let error = read_log(format!("{LLAMA_BENCH}{bad}\n").as_bytes(), Path::new("x.jsonl")).unwrap_err();
            assert_eq!(error.line(), Some(4), "{error}");
            assert!(error.reason().contains(words), "{error}");
        }
    }

    #[test]
    fn types_are_named_as_quantizations_are() {
        for (text, native) in [
            ("llama 1B Q4_K - Medium", Some("Q4_K_M")),
            ("qwen2 ?B all F32", Some("F32")),
            ("llama 8B Q8_0", Some("Q8_0")),
            ("llama 8B IQ2_XXS - 2.0625 bpw", Some("IQ2_XXS")),
            ("llama", None),
        ] {
            let test = Test { model_type: Some(text.to_owned()), ..Test::default() };
            assert_eq!(test.native().as_deref(), native, "{text}");
        }
    }
}
