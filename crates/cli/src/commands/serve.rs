//! `tokometer serve`: an OpenAI-compatible endpoint over one engine.
//!
//! It takes no part in the lock that measurements hold: an evaluation holds it and starts servers, and whoever measures
//! beside a busy server is warned of the load.

use super::{OK, Session, prepare};
use crate::args::Serve;
use crate::interrupt;
use crate::settings::{self, Found};
use anyhow::{Context, Result, anyhow, bail};
use serde_json::json;
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener};
use std::time::Duration;
use tokometer_core::engine::{ModelFormat, Timeouts};
use tokometer_core::machine::Machine;
use tokometer_core::prepare::{Prepared, Target};
use tokometer_protocol::Load;
use tokometer_serve::{Launch, Model, Settings, Stop};

/// The variable that holds the API key.
const KEY: &str = "TOKOMETER_API_KEY";

/// The command.
pub fn serve(session: &Session<'_>, options: &Serve) -> Result<u8> {
    let terminal = session.terminal;
    let selection = &options.selection;
    let found = settings::engines(&selection.engine, &session.config, |_| ())?;
    let [found] = &found[..] else {
        let names: Vec<_> = found.iter().map(|found| found.engine.name).collect();
        bail!("serve takes one engine: --engine {}", names.join(" or --engine "));
    };
    if let Some(missing) = found.missing() {
        bail!(missing);
    }
    let quantizations = settings::quantizations(selection, &session.config);
    let [quantize] = &quantizations[..] else {
        bail!("serve takes one quantization, not {}: name it with --quantize", quantizations.join(", "));
    };
    let native = found.engine.native(quantize).map_err(anyhow::Error::msg)?;
    let model = settings::model(selection, &session.config)?;
    if options.ctx_size < 2 {
        bail!("--ctx-size must be at least 2: a token of a prompt and one of an answer");
    }
    let api_key = api_key(options)?;
    // An address that cannot be had is told before the work; it is taken when there is somebody to answer.
    drop(listener(options)?);
    let engine_options = engine_options(session, options, found)?;
    let target = Target {
        device: options.device.as_deref(),
        ctx_tokens: options.ctx_size,
        ubatch: None,
        options: &engine_options,
    };
    let prepared = prepare::one(session, selection, found, &model, (quantize, native), target)?;
    let launch = launch(session, options, found, &prepared, engine_options)?;
    let name = format!("{}-{quantize}", prepared.manifest.name);
    let settings = Settings {
        api_key,
        queue: options.parallel_queue.max(1),
        client_time: Duration::from_secs(options.client_timeout),
        ..Settings::new(&name)
    };
    let listener = listener(options)?;
    let address = listener.local_addr().context("the socket has no address")?;
    if !address.ip().is_loopback() && settings.api_key.is_none() {
        terminal
            .warn(&format!("everybody who reaches {address} may use this server: {KEY} or --api-key asks for a key"));
    }
    let stop = Stop::default();
    outlive_broken_pipes();
    interrupt::stop_server(stop.clone(), terminal.shared_progress())?;
    terminal.say(&format!("loading {name} ({}) ...", found.engine.title));
    let ready = Ready { session, options, name: &name, found, quantize, address };
    tokometer_serve::serve(listener, launch, settings, &stop, |model| ready.tell(model))?;
    Ok(OK)
}

fn listener(options: &Serve) -> Result<TcpListener> {
    let address = (options.host.as_str(), options.port);
    TcpListener::bind(address).with_context(|| {
        format!("cannot listen on {}:{}; --port 0 takes any port that is free", options.host, options.port)
    })
}

fn api_key(options: &Serve) -> Result<Option<String>> {
    let variable = std::env::var(KEY).ok().filter(|key| !key.is_empty());
    match options.api_key.clone().or(variable) {
        Some(key) if key.trim().is_empty() => bail!("the API key is empty: leave --api-key out to serve without one"),
        Some(key) => Ok(Some(key.trim().to_owned())),
        None => Ok(None),
    }
}

/// `--option` before what tokometer.toml says for the engine.
fn engine_options(session: &Session<'_>, options: &Serve, found: &Found) -> Result<BTreeMap<String, String>> {
    let mut all = settings::engine_options(found.engine.name, &session.config);
    for text in &options.options {
        let (name, value) = settings::option(text)?;
        all.insert(name, value);
    }
    Ok(all)
}

fn launch(
    session: &Session<'_>,
    options: &Serve,
    found: &Found,
    prepared: &Prepared,
    engine_options: BTreeMap<String, String>,
) -> Result<Launch> {
    let discovery = found.worker.clone().map_err(|failed| anyhow!(failed))?;
    let load = Load {
        model: prepared.path.display().to_string(),
        ctx_tokens: options.ctx_size,
        sequences: (options.parallel > 1).then_some(options.parallel),
        threads: Some(settings::threads(&options.selection, &session.config, &Machine::this())),
        device: options.device.clone(),
        quantize: (found.engine.format != ModelFormat::Gguf).then(|| prepared.manifest.native.clone()),
        options: engine_options,
        ..Load::default()
    };
    let timeouts = Timeouts { request: Duration::from_secs(options.timeout.max(1)), ..Timeouts::default() };
    Ok(Launch { discovery, timeouts, load })
}

/// A client that leaves while it is written to must be an error of that connection: elsewhere this program lets SIGPIPE end
/// it, as one that prints into a pipe should.
fn outlive_broken_pipes() {
    #[cfg(unix)]
    // SAFETY: ignores a signal; nothing depends on its handler.
    unsafe {
        libc::signal(libc::SIGPIPE, libc::SIG_IGN);
    }
}

/// What is told when the model answers.
struct Ready<'a> {
    session: &'a Session<'a>,
    options: &'a Serve,
    name: &'a str,
    found: &'a Found,
    quantize: &'a str,
    address: SocketAddr,
}

impl Ready<'_> {
    fn tell(&self, model: &Model) {
        let terminal = self.session.terminal;
        if let Some(trained) = model.ctx_train.filter(|trained| *trained < model.ctx_tokens) {
            terminal.warn(&format!(
                "the model was trained for {trained} tokens of context and is served with {}: --ctx-size {trained} keeps within it",
                model.ctx_tokens
            ));
        }
        if model.sequences < self.options.parallel {
            terminal.warn(&format!(
                "{} computes {} at a time, not {}: the others wait for their turn",
                self.found.engine.title, model.sequences, self.options.parallel
            ));
        }
        let url = format!("http://{}/v1", reachable(self.address));
        if self.options.selection.json {
            let line = json!({
                "ready": true, "url": url, "model": self.name, "engine": self.found.engine.name,
                "engine_version": model.engine_version, "quantize": self.quantize, "native": model.native,
                "parallel": model.sequences,
            });
            terminal.line(&line.to_string());
        } else {
            terminal.line(&format!(
                "serving {} ({}, {}, {} tokens of context) at {url}",
                self.name, self.found.engine.title, model.native, model.ctx_tokens
            ));
        }
    }
}

/// An address that a client on this machine can connect to: a server on all addresses has none of its own.
fn reachable(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip() {
        ip if !ip.is_unspecified() => ip,
        IpAddr::V4(_) => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(_) => IpAddr::V6(Ipv6Addr::LOCALHOST),
    };
    SocketAddr::new(ip, address.port())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_url_can_be_connected_to() {
        let shown = |text: &str| reachable(text.parse().unwrap()).to_string();
        assert_eq!(shown("0.0.0.0:80"), "127.0.0.1:80");
        assert_eq!(shown("[::]:80"), "[::1]:80");
        assert_eq!(shown("192.0.2.1:8000"), "192.0.2.1:8000");
    }
}
