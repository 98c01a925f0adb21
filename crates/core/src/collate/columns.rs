//! The columns of every CSV file, in order: one line each, with how it is written and read back. The first sixteen are the
//! seed workflow's and stay as they are; further ones may only be added at the end of their group.

use super::cell::Value;
use crate::record::{Context, Phase, SampleUnit, Step, to_millionths};

/// A column.
pub struct Column {
    /// Its name in the header line.
    pub name: &'static str,
    /// What it holds, with the unit.
    pub doc: &'static str,
    /// Where its values come from.
    pub cell: Cell,
}

/// Where the values of a column come from.
pub enum Cell {
    /// The sample.
    Step {
        /// Appends the cell.
        write: fn(&Step, &mut Vec<u8>),
        /// Takes the value of a cell.
        read: fn(&mut Step, &str) -> Result<(), String>,
    },
    /// What all samples of a series share.
    Context {
        /// Appends the cell.
        write: fn(&Context, &mut Vec<u8>),
        /// Takes the value of a cell.
        read: fn(&mut Context, &str) -> Result<(), String>,
    },
    /// The name of the raw log.
    Log,
}

macro_rules! step {
    ($name:literal, $field:ident, $doc:literal) => {
        Column {
            name: $name,
            doc: $doc,
            cell: Cell::Step {
                write: |step, out| step.$field.write(out),
                read: |step, text| {
                    step.$field = Value::read(text)?;
                    Ok(())
                },
            },
        }
    };
}

macro_rules! context {
    ($name:literal, $field:ident, $doc:literal) => {
        Column {
            name: $name,
            doc: $doc,
            cell: Cell::Context {
                write: |context, out| context.$field.write(out),
                read: |context, text| {
                    context.$field = Value::read(text)?;
                    Ok(())
                },
            },
        }
    };
}

/// Every column.
pub const COLUMNS: &[Column] = &[
    step!("step", step, "index of the step in its series, from 0; empty for a repetition"),
    step!("enqueue_latency_ms", enqueue_ms, "time until the step's work was handed to the device, ms"),
    step!("total_latency_ms", total_ms, "wall time of the row, ms; of a prefill step: the time to the first token"),
    Column {
        name: "tokens_per_sec",
        doc: "as the tool printed it, else 1000 x tokens / total_latency_ms of a decode step; empty for a prefill step",
        cell: Cell::Step {
            write: |step, out| speed(step).write(out),
            read: |step, text| {
                step.tokens_per_sec = Value::read(text)?;
                Ok(())
            },
        },
    },
    step!("memory_throughput_gb_s", memory_gb_s, "bytes read and written / time, GB/s; see throughput_source"),
    step!("param_throughput_gb_s", param_gb_s, "bytes of weights as stored / time, GB/s"),
    step!("generated_text", text, "the text that the step added"),
    context!("platform", platform, "operating system"),
    context!("release", release, "release of the operating system"),
    context!("device", device, "CPU, CUDA, METAL, ..."),
    context!("username", username, "who ran it"),
    context!("hostname", hostname, "on which machine"),
    context!("size", size, "size label of the model"),
    context!("quantize", quantize, "the quantization asked for"),
    context!("seed", seed, "seed of the run"),
    context!("uuid", uuid, "eight hex digits that name the log"),
    context!("engine", engine, "what ran the model"),
    context!("engine_version", engine_version, "as the engine names it"),
    context!("native_quantize", native_quantize, "what the engine really computed with"),
    context!("bits_per_weight", bits_per_weight, "8 x bytes of weights / parameters, as measured"),
    context!("weights_bytes", weights_bytes, "bytes of the weights as stored"),
    context!("model", model, "the model's name"),
    context!("device_description", device_description, "processor or GPU model"),
    step!("phase", phase, "prefill, decode, or mixed where a tool does not tell them apart"),
    step!("unit", unit, "step or repetition: what the row stands for; never mix them"),
    step!("tokens", tokens, "tokens computed in the row"),
    step!("position", position, "tokens in the KV cache before the row"),
    context!("run", run, "name of the run that the case belonged to"),
    context!("case", case, "content hash of the case"),
    context!("round", round, "round, from 1"),
    context!("launch", launch, "start of the engine's process, from 1"),
    context!("repetition", repetition, "repetition inside the launch, from 1"),
    context!("prompt_tokens", prompt_tokens, "prompt tokens of the workload"),
    context!("gen_tokens", gen_tokens, "generated tokens of the workload"),
    context!("depth", depth, "tokens in the KV cache before the prompt"),
    context!("threads", threads, "threads really used"),
    context!("batch", batch, "logical batch"),
    context!("ubatch", ubatch, "physical batch"),
    context!("flash_attn", flash_attn, "whether flash attention was in use: true or false"),
    context!("kv_type", kv_type, "type of the KV cache"),
    context!("kv_bytes", kv_bytes, "bytes of KV cache allocated"),
    context!("throughput_source", throughput_source, "who counted the bytes moved: model or engine"),
    context!("load_ms", load_ms, "time to load the model in this launch, ms"),
    context!("warmup_ms", warmup_ms, "time of the warm-up in this launch, ms"),
    context!("cold_ttft_ms", cold_ttft_ms, "time to the first token of the launch's first warm-up pass, ms"),
    context!("peak_rss_bytes", peak_rss_bytes, "highest resident memory of the launch, bytes"),
    context!("peak_anon_bytes", peak_anon_bytes, "highest anonymous memory of the launch, bytes"),
    context!("peak_device_bytes", peak_device_bytes, "highest device memory of the launch, bytes"),
    context!("jit_ms", jit_ms, "time to compile and record kernels after the load in this launch, cold or warm, ms"),
    context!("kernels", kernels, "kernels that the device runs in one decode step, as the engine counts them"),
    context!(
        "probe_gb_s",
        probe_gb_s,
        "memory bandwidth measured around the repetition, as many threads, GB/s; CPU only"
    ),
    context!("probe_gflops", probe_gflops, "float32 arithmetic measured around it, 10^9 operations/s; CPU only"),
    context!("cache_bytes", cache_bytes, "last-level cache within reach of the threads, bytes"),
    context!("freq_mhz", freq_mhz, "frequency of the processors at work, MHz, mean of the launch"),
    context!("temperature_c", temperature_c, "highest temperature of the processor in the launch, degrees Celsius"),
    context!("throttle_events", throttle_events, "times that a core was slowed down for its heat in the launch"),
    context!("steal_percent", steal_percent, "processor time given to others by a hypervisor in the launch, percent"),
    context!("joules_per_token", joules_per_token, "energy beyond idling / generated tokens, J, prefill included"),
    context!("energy_source", energy_source, "who counted the energy: rapl, nvml, hwmon_energy, battery, ..."),
    context!("status", status, "ok, interrupted (the log has no end) or failed"),
    context!("reason", reason, "why the launch failed"),
    context!("warnings", warnings, "short names of the warnings that apply, with spaces between"),
    Column { name: "log", doc: "file name of the raw log", cell: Cell::Log },
];

/// Tokens per second of a row. A prefill step has none unless its tool printed one: a mean must not mix the phases.
pub(super) fn speed(step: &Step) -> Option<f64> {
    step.tokens_per_sec.or_else(|| derived_speed(step))
}

/// 1000 / ms of a decode step.
pub(super) fn derived_speed(step: &Step) -> Option<f64> {
    let ms = step.total_ms.filter(|ms| *ms > 0.0)?;
    (step.phase == Phase::Decode && step.unit == SampleUnit::Step).then(|| to_millionths(1000.0 / ms))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn the_seed_workflows_columns_come_first() {
        let names: Vec<_> = COLUMNS.iter().map(|column| column.name).take(16).collect();
        let seed = "step,enqueue_latency_ms,total_latency_ms,tokens_per_sec,memory_throughput_gb_s,\
            param_throughput_gb_s,generated_text,platform,release,device,username,hostname,size,quantize,seed,uuid";
        assert_eq!(names.join(","), seed);
    }

    #[test]
    fn every_column_has_a_name_of_its_own_and_says_what_it_holds() {
        let names: HashSet<_> = COLUMNS.iter().map(|column| column.name).collect();
        assert_eq!(names.len(), COLUMNS.len());
        for column in COLUMNS {
            assert!(!column.doc.is_empty() && column.name.bytes().all(|b| b.is_ascii_lowercase() || b == b'_'));
        }
    }

    #[test]
    fn every_cell_is_read_back_as_it_was_written() {
        for column in COLUMNS {
            let empty = match &column.cell {
                Cell::Step { write, read } => {
                    let (mut out, mut step) = (Vec::new(), Step::default());
                    write(&step, &mut out);
                    read(&mut step, std::str::from_utf8(&out).unwrap()).map(|()| step == Step::default())
                }
                Cell::Context { write, read } => {
                    let (mut out, mut context) = (Vec::new(), Context::default());
                    write(&context, &mut out);
                    read(&mut context, std::str::from_utf8(&out).unwrap()).map(|()| context == Context::default())
                }
                Cell::Log => Ok(true),
            };
            assert_eq!(empty, Ok(true), "{}", column.name);
        }
    }

    #[test]
    fn speed_is_derived_for_decode_steps_only() {
        let decode = Step { total_ms: Some(20.0), ..Step::default() };
        assert_eq!(speed(&decode), Some(50.0));
        assert_eq!(speed(&Step { tokens_per_sec: Some(49.9), ..decode.clone() }), Some(49.9));
        assert_eq!(speed(&Step { phase: Phase::Prefill, ..decode.clone() }), None);
        assert_eq!(speed(&Step { unit: SampleUnit::Repetition, ..decode.clone() }), None);
        assert_eq!(speed(&Step { total_ms: Some(0.0), ..decode }), None);
    }
}
