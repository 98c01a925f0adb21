//! From an engine and a quantization to the server that is asked: what is known of it, what memory it needs, how it is
//! started.

use super::jobs::Common;
use crate::commands::{Session, keep, prepare};
use crate::settings::{self, Found};
use anyhow::{Context, Result, bail};
use std::ffi::OsString;
use std::time::Duration;
use tokometer_core::engine::{Engine, ModelFormat};
use tokometer_core::fingerprint;
use tokometer_core::machine::Machine;
use tokometer_core::plan::{Case, ModelRef, Settings, Workload, size_label};
use tokometer_core::prepare::{Manifest, Target, resolve};
use tokometer_core::sweep::fit;
use tokometer_eval::case::Subject;
use tokometer_eval::endpoint::Launch;

/// Tokens of context that an endpoint is started with, unless the model must have fewer.
const CONTEXT: u32 = 4096;

/// What is known of an endpoint before it is started.
#[derive(Debug, Clone, Copy)]
pub struct Known {
    /// Bytes that it will need, as far as that can be told.
    pub bytes: Option<u64>,
    /// Tokens of its context.
    pub context: u32,
}

/// What is known before anything is prepared.
pub fn unknown(common: &Common<'_>, found: &Found, quantize: &str) -> Subject {
    let model = common.model;
    Subject {
        engine: found.engine.name.to_owned(),
        quantization: quantize.to_owned(),
        size: size_label(&model.short_name(), 0),
        model: model.short_name(),
        hostname: Machine::this().hostname,
        command: std::iter::once("tokometer".to_owned())
            .chain(std::env::args_os().skip(1).map(|word| word.to_string_lossy().into_owned()))
            .collect(),
        ..Subject::default()
    }
}

/// Prepares the model as its endpoint will, so that it finds it there, and takes over what its manifest tells.
pub fn known(common: &Common<'_>, found: &Found, subject: &mut Subject) -> Result<Known> {
    if let Some(missing) = found.missing() {
        bail!(missing);
    }
    let Common { session, options, model, .. } = *common;
    let native = found.engine.native(&subject.quantization).map_err(anyhow::Error::msg)?;
    let context = context(session, found, model)?;
    let target = Target {
        device: options.device.as_deref(),
        // What is compiled is compiled for it.
        ctx_tokens: context,
        ubatch: None,
        options: &settings::engine_options(found.engine.name, &session.config),
    };
    let prepared = prepare::one(session, &options.selection, found, model, (&subject.quantization, native), target)?;
    take(subject, &prepared.manifest);
    let quantize = &subject.quantization;
    let identity = keep::identity(session, &prepared.manifest, quantize, options.device.as_deref(), context);
    subject.identity = Some(identity);
    let bytes = needed(model, found.engine, native, prepared.manifest.weights_bytes);
    Ok(Known { bytes, context })
}

/// Tokens of context: a compiled model has a token less than it is made for at most, because the engine ends a sequence that
/// fills its context. Others can be asked for more.
fn context(session: &Session<'_>, found: &Found, model: &ModelRef) -> Result<u32> {
    if found.engine.format != ModelFormat::Compiled {
        return Ok(CONTEXT);
    }
    let source = resolve(&session.folders.store(), model, session.terminal.progress())?;
    Ok(at_most(source.longest_context()))
}

fn at_most(longest: Option<u32>) -> u32 {
    longest.map_or(CONTEXT, |longest| CONTEXT.min(longest.saturating_sub(1)))
}

fn take(subject: &mut Subject, manifest: &Manifest) {
    subject.native = Some(manifest.native.clone());
    subject.model.clone_from(&manifest.name);
    subject.bits_per_weight = manifest.bits_per_weight;
    subject.weights_bytes = manifest.weights_bytes;
    subject.size.clone_from(&manifest.size);
    subject.revision.clone_from(&manifest.source.revision);
    let files: Vec<(&str, &str)> =
        manifest.source.files.iter().map(|file| (file.name.as_str(), file.sha256.as_str())).collect();
    subject.model_sha256 = (!files.is_empty()).then(|| fingerprint::of_value(&files));
}

/// Weights, KV cache and what engines take beside them, bytes, reckoned as for a sweep; `weights` are those of the prepared
/// model, where they are known.
fn needed(model: &ModelRef, engine: &Engine, native: &str, weights: Option<u64>) -> Option<u64> {
    if engine.format == ModelFormat::Nothing {
        return Some(0);
    }
    let Some(shape) = fit::shape(model) else { return weights };
    let case = Case {
        engine: engine.name.to_owned(),
        model: model.to_string(),
        quantize: native.to_owned(),
        native: native.to_owned(),
        workload: Workload { prompt_tokens: CONTEXT, gen_tokens: 0, depth: 0 },
        settings: Settings::default(),
        seed: 0,
    };
    Some(fit::footprint(&case, &shape, weights).total())
}

/// This program, as a server of that engine and quantization with so many tokens of context; `job` is the number of the one
/// for which it is started, of `jobs` at a time.
pub fn launch(
    common: &Common<'_>,
    found: &Found,
    quantize: &str,
    context: u32,
    (job, jobs): (u32, u32),
) -> Result<Launch> {
    let Common { session, options, model, .. } = *common;
    let program = std::env::current_exe().context("cannot find the program itself, which serves the model")?;
    let mut words: Vec<OsString> = vec!["--dir".into(), session.folders.root.clone().into_os_string()];
    if let Some(config) = &session.folders.config {
        words.extend([OsString::from("--config"), config.clone().into_os_string()]);
    }
    if let Some(python) = &session.folders.python {
        words.extend([OsString::from("--python"), python.clone().into_os_string()]);
    }
    words.extend(
        ["serve", "--engine", found.engine.name, "--quantize", quantize, "--port", "0", "--json"].map(OsString::from),
    );
    words.extend([OsString::from("--model"), model.to_string().into()]);
    words.extend([OsString::from("--ctx-size"), context.to_string().into()]);
    let timeout = options.timeout.max(1);
    words.extend([OsString::from("--timeout"), timeout.to_string().into()]);
    if let Some(device) = &options.device {
        words.extend([OsString::from("--device"), device.into()]);
    }
    let asked = options.selection.threads.or(session.config.defaults.threads);
    if let Some(threads) = threads(asked, Machine::this().logical_cpus, jobs) {
        words.extend([OsString::from("--threads"), threads.to_string().into()]);
    }
    if let Some(converter) = &options.selection.converter {
        words.extend([OsString::from("--converter"), converter.clone().into_os_string()]);
    }
    let job = if jobs > 1 { format!("-{job}") } else { String::new() };
    let name = format!("serve-{}-{quantize}{job}.log", found.engine.name);
    let log = session.folders.verifiers_results().join(".work").join(name);
    Ok(Launch { program, arguments: words, log, patience: Duration::from_secs(timeout) })
}

/// Threads of each endpoint: as asked, else the processors divided between the jobs; `None` leaves it to the server.
fn threads(asked: Option<u32>, processors: u32, jobs: u32) -> Option<u32> {
    asked.or_else(|| (jobs > 1).then(|| (processors / jobs).max(1)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokometer_core::engine;

    #[test]
    fn processors_are_divided_where_nobody_says_otherwise() {
        assert_eq!(threads(None, 8, 1), None);
        assert_eq!(threads(None, 8, 3), Some(2));
        assert_eq!(threads(None, 2, 3), Some(1));
        assert_eq!(threads(Some(5), 8, 3), Some(5));
    }

    #[test]
    fn a_compiled_model_has_no_more_context_than_it_is_made_for() {
        assert_eq!((at_most(None), at_most(Some(131_072)), at_most(Some(4096))), (4096, 4096, 4095));
        assert_eq!(at_most(Some(2048)), 2047);
    }

    #[test]
    fn an_endpoint_needs_weights_cache_and_more() {
        let engine = |name| engine::by_name(name).unwrap();
        let model: ModelRef = "synthetic:1B".parse().unwrap();
        let told = needed(&model, engine("llamacpp"), "Q4_K_M", Some(1_000_000_000)).unwrap();
        // 16,384 values of two bytes for each token.
        assert!(told > 1_000_000_000 + 2 * 16_384 * u64::from(CONTEXT), "{told}");
        assert!(needed(&model, engine("tinygrad"), "float16", None).unwrap() > 2_400_000_000);
        assert_eq!(needed(&model, engine("mock"), "mock-8", None), Some(0));
        // Nothing is known of its shape before it is there.
        let elsewhere = ModelRef::Gguf("no/such/file.gguf".into());
        assert_eq!(needed(&elsewhere, engine("llamacpp"), "Q4_K_M", None), None);
        assert_eq!(needed(&elsewhere, engine("llamacpp"), "Q4_K_M", Some(7)), Some(7));
    }
}
