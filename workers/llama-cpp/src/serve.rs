//! Does calls, writes replies. One at a time, in order.

use crate::calls::{Calls, Cancelled};
use crate::llama::{self, Context, ContextSettings, Model, Result, failure};
use crate::{complete, measure, score};
use std::io::{self, Write};
use std::time::Instant;
use tokometer_protocol::{
    Answer, Body, Call, Complete, Completed, Device, Failure, FailureKind, Hello, Load, Loaded, Progress, Quantized,
    Reply, Request, VERSION,
};

/// Serves until the input ends or `shutdown` comes.
pub fn serve(calls: Calls, output: impl Write) -> io::Result<()> {
    let mut worker = Worker { output, cancelled: calls.cancelled(), context: None, error: None };
    llama::init();
    for call in calls {
        let last = match call? {
            Ok(call) => worker.answer(call)?,
            Err(message) => {
                worker.send(0, Body::Error(Failure { kind: FailureKind::Protocol, message }))?;
                false
            }
        };
        if last {
            break;
        }
    }
    Ok(())
}

struct Worker<W> {
    output: W,
    cancelled: Cancelled,
    context: Option<Context>,
    // A reply that could not be written from inside a callback.
    error: Option<io::Error>,
}

impl<W: Write> Worker<W> {
    fn send(&mut self, id: u64, body: Body) -> io::Result<()> {
        let mut line = serde_json::to_vec(&Reply { id, body })?;
        line.push(b'\n');
        self.output.write_all(&line)?;
        self.output.flush()
    }

    /// Sends from where no error can be returned; the error comes out of the next `answer`.
    fn send_later(&mut self, id: u64, body: Body) {
        if let Err(error) = self.send(id, body) {
            self.error.get_or_insert(error);
        }
    }

    /// Does one call; true after `shutdown`.
    fn answer(&mut self, call: Call) -> io::Result<bool> {
        let last = call.request == Request::Shutdown;
        let body = match self.perform(call.id, call.request) {
            Ok(answer) => Body::Result(answer),
            Err(failure) => Body::Error(failure),
        };
        self.send(call.id, body)?;
        match self.error.take() {
            Some(error) => Err(error),
            None => Ok(last),
        }
    }

    fn perform(&mut self, id: u64, request: Request) -> Result<Answer> {
        match request {
            Request::Hello { protocol } => hello(protocol),
            Request::Load(load) => self.load(id, &load),
            Request::Generate(request) => {
                let mut context = self.take_context()?;
                context.wake();
                let generated = measure::generate(&mut context, &request);
                context.rest();
                self.context = Some(context);
                generated.map(Answer::Generated)
            }
            Request::Complete(request) => self.complete(id, &request).map(Answer::Completed),
            // Taken by whoever reads the calls; nothing comes of one that is late.
            Request::Cancel { .. } => Ok(Answer::Done),
            Request::Score { tokens, from, full } => {
                score::score(self.context()?, &tokens, from as usize, full.as_deref()).map(Answer::Scored)
            }
            Request::Tokenize { text, add_special, parse_special } => {
                let tokens = self.context()?.model().tokenize(&text, add_special, parse_special)?;
                Ok(Answer::Tokens { tokens })
            }
            Request::Detokenize { tokens } => Ok(Answer::Pieces { pieces: self.context()?.model().pieces(&tokens) }),
            Request::Quantize { input, output, native, threads } => {
                let start = Instant::now();
                llama::quantize(&input, &output, &native, threads)?;
                let bytes = std::fs::metadata(&output)
                    .map_err(|error| failure(FailureKind::Model, format!("{output}: {error}")))?
                    .len();
                Ok(Answer::Quantized(Quantized { bytes, elapsed_ns: start.elapsed().as_nanos() as u64 }))
            }
            Request::Compile(_) => {
                Err(failure(FailureKind::Unsupported, "llama.cpp runs GGUF files: nothing is compiled"))
            }
            Request::Unload => {
                self.context = None;
                Ok(Answer::Done)
            }
            Request::Shutdown => Ok(Answer::Done),
        }
    }

    fn complete(&mut self, id: u64, request: &Complete) -> Result<Completed> {
        let mut context = self.take_context()?;
        let cancelled = self.cancelled.clone();
        context.wake();
        let completed = complete::complete(
            &mut context,
            request,
            || cancelled.is(id),
            |token| {
                self.send_later(id, Body::Token(token));
            },
        );
        context.rest();
        self.context = Some(context);
        completed
    }

    fn context(&mut self) -> Result<&mut Context> {
        self.context.as_mut().ok_or_else(no_model)
    }

    fn take_context(&mut self) -> Result<Context> {
        self.context.take().ok_or_else(no_model)
    }

    fn load(&mut self, id: u64, load: &Load) -> Result<Answer> {
        self.context = None;
        let gpu_layers = options(load)?;
        let start = Instant::now();
        let mut shown = 0;
        let model = Model::load(&load.model, load.device.as_deref(), gpu_layers, &mut |fraction| {
            let percent = (fraction * 100.0) as u64;
            if percent >= shown + 10 {
                shown = percent;
                let progress = Progress { stage: "loading".into(), done: percent, total: Some(100) };
                self.send_later(id, Body::Progress(progress));
            }
        })?;
        let settings = ContextSettings {
            ctx_tokens: load.ctx_tokens,
            threads: load.threads.unwrap_or_else(default_threads),
            batch: load.batch,
            ubatch: load.ubatch,
            flash_attn: load.flash_attn,
            kv_type: load.kv_type.clone().unwrap_or_else(|| "f16".into()),
            asynchronous: device_in_use(load, gpu_layers).is_some_and(|device| device.kind == "gpu"),
        };
        let context = Context::new(model, &settings)?;
        let load_ns = start.elapsed().as_nanos() as u64;
        let loaded = describe(&context, device_in_use(load, gpu_layers), &settings, load_ns);
        self.context = Some(context);
        Ok(Answer::Loaded(Box::new(loaded)))
    }
}

fn no_model() -> Failure {
    failure(FailureKind::Protocol, "no model is loaded")
}

fn hello(protocol: u32) -> Result<Answer> {
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
fn options(load: &Load) -> Result<Option<i32>> {
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

fn default_threads() -> u32 {
    std::thread::available_parallelism().map_or(1, |n| n.get() as u32)
}

/// The device that computes: the one that was asked for, else a GPU unless every layer is kept off it, else the processor.
fn device_in_use(load: &Load, gpu_layers: Option<i32>) -> Option<Device> {
    let mut devices = llama::devices();
    let cpu = || devices.iter().position(|device| device.kind == "cpu");
    let place = match &load.device {
        Some(name) => devices.iter().position(|device| device.name.eq_ignore_ascii_case(name)),
        None if gpu_layers == Some(0) => cpu(),
        None => devices.iter().position(|device| device.kind == "gpu").or_else(cpu),
    };
    place.map(|place| devices.swap_remove(place))
}

fn describe(context: &Context, device: Option<Device>, settings: &ContextSettings, load_ns: u64) -> Loaded {
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
        kv_bytes: per_token.map(|bytes| bytes * u64::from(context.ctx_tokens())),
        kv_bytes_per_token: per_token,
        kv_type: Some(settings.kv_type.clone()),
        ctx_tokens: context.ctx_tokens(),
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
