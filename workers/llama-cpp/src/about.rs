//! What the worker tells of itself, and of what it has loaded.

use crate::llama::{self, Context, ContextSettings, Result, failure};
use tokometer_protocol::{Answer, Device, Failure, FailureKind, Hello, Load, Loaded, VERSION};

/// The handshake.
pub fn hello(protocol: u32) -> Result<Answer> {
    if protocol != VERSION {
        let message =
            format!("the harness speaks protocol {protocol}, this worker {VERSION}: build both from one version");
        return Err(Failure { kind: FailureKind::Protocol, message });
    }
    let names = ["load", "generate", "complete", "score", "tokenize", "detokenize", "quantize", "unload"];
    Ok(Answer::Hello(Hello {
        protocol: VERSION,
        engine: "llamacpp".into(),
        engine_version: llama::version(),
        worker_version: env!("CARGO_PKG_VERSION").into(),
        build: llama::build_info(),
        devices: llama::devices(),
        methods: names.map(String::from).to_vec(),
        quantizations: llama::QUANTIZATIONS.iter().map(|(name, _)| (*name).to_owned()).collect(),
    }))
}

/// The engine-specific settings: `gpu_layers` alone so far.
pub fn options(load: &Load) -> Result<Option<i32>> {
    if let Some(quantize) = &load.quantize {
        let message = format!("llama.cpp does not quantize while loading ({quantize}): prepare a GGUF file first");
        return Err(failure(FailureKind::Unsupported, message));
    }
    let mut gpu_layers = None;
    for (key, value) in &load.options {
        match (key.as_str(), value.parse()) {
            ("gpu_layers", Ok(layers)) => gpu_layers = Some(layers),
            ("gpu_layers", Err(_)) => {
                return Err(failure(
                    FailureKind::Unsupported,
                    format!("gpu_layers takes a whole number, not {value:?}"),
                ));
            }
            _ => {
                return Err(failure(
                    FailureKind::Unsupported,
                    format!("llama.cpp has no option {key:?}; it has gpu_layers"),
                ));
            }
        }
    }
    Ok(gpu_layers)
}

/// Threads where nobody says how many.
pub fn default_threads() -> u32 {
    std::thread::available_parallelism().map_or(1, |n| n.get() as u32)
}

/// The device that computes: the one that was asked for, else a GPU unless every layer is kept off it, else the processor.
pub fn device_in_use(load: &Load, gpu_layers: Option<i32>) -> Option<Device> {
    let mut devices = llama::devices();
    let cpu = || devices.iter().position(|device| device.kind == "cpu");
    let place = match &load.device {
        Some(name) => devices.iter().position(|device| device.name.eq_ignore_ascii_case(name)),
        None if gpu_layers == Some(0) => cpu(),
        None => devices.iter().position(|device| device.kind == "gpu").or_else(cpu),
    };
    place.map(|place| devices.swap_remove(place))
}

/// What was loaded, as it is in use.
pub fn describe(context: &Context, device: Option<Device>, settings: &ContextSettings, load_ns: u64) -> Loaded {
    let model = context.model();
    let per_token = context.kv_bytes_per_token;
    Loaded {
        load_ns,
        device: device.as_ref().map_or_else(|| "CPU".into(), |device| device.name.clone()),
        device_description: device.map(|device| device.description),
        native_quantize: model.quantization(),
        weights_bytes: model.weights_bytes(),
        weights_read_bytes: model.weights_read_bytes(),
        n_params: model.n_params(),
        kv_bytes: per_token.map(|bytes| bytes * u64::from(context.ctx_tokens()) * u64::from(context.sequences())),
        kv_bytes_per_token: per_token,
        kv_type: Some(settings.kv_type.clone()),
        ctx_tokens: context.ctx_tokens(),
        sequences: Some(context.sequences()),
        threads: Some(context.threads()),
        batch: Some(context.batch()),
        ubatch: Some(context.ubatch()),
        flash_attn: context.flash_attn,
        pid: None,
        vocab_size: model.vocab_size(),
        bos: model.bos(),
        eos: model.eos(),
        chat_template: model.chat_template(),
        ctx_train: model.ctx_train(),
        details: Default::default(),
    }
}
