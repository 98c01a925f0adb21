//! `tokometer doctor`: what is there, what is missing, and the command that mends it.

use super::{OK, Session, print_json};
use crate::args::Json;
use crate::terminal::Style;
use anyhow::Result;
use serde_json::json;
use std::path::Path;
use std::time::Duration;
use tokometer_core::engine::{self, Engine, Failed, Timeouts, Worker};
use tokometer_core::machine::energy::Meter;
use tokometer_core::machine::{self, Machine, Probe, Reading, Root};
use tokometer_protocol::Hello;

/// The command.
pub fn doctor(session: &Session<'_>, options: &Json) -> Result<u8> {
    let machine = Machine::this();
    let warnings = machine::check(
        Path::new("/"),
        machine.logical_cpus,
        machine::busy_share(Path::new("/"), Duration::from_millis(300)),
    );
    let (probe, energy) = (Probe::new(machine.physical_cores).measure(), Meter::open(&Root::default()).names());
    let engines: Vec<(&Engine, Result<Hello, Failed>)> =
        engine::visible().map(|engine| (engine, greet(session, engine))).collect();
    if options.json {
        let engines: Vec<_> = engines
            .iter()
            .map(|(engine, hello)| match hello {
                Ok(hello) => json!({"engine": engine.name, "installed": true, "hello": hello}),
                Err(failed) => json!({"engine": engine.name, "installed": false, "reason": failed.reason}),
            })
            .collect();
        let warnings: Vec<_> = warnings.iter().map(|w| json!({"code": w.code, "message": w.message})).collect();
        print_json(
            session.terminal,
            &json!({"tokometer": env!("CARGO_PKG_VERSION"), "machine": machine, "probe": probe, "energy": energy, "warnings": warnings, "engines": engines}),
        )?;
        return Ok(OK);
    }
    let terminal = session.terminal;
    terminal.line(&format!("tokometer {}", env!("CARGO_PKG_VERSION")));
    terminal.line(&format!("machine    {} ({})", machine.hostname, machine.line()));
    terminal.line(&format!("           {}", achieved(&probe)));
    let energy =
        if energy.is_empty() { "not counted here".to_owned() } else { format!("counted by {}", energy.join(", ")) };
    terminal.line(&format!("           energy {energy}"));
    for warning in &warnings {
        terminal.line(&format!("           {}", terminal.paint(Style::Yellow, &warning.message)));
    }
    for (engine, hello) in &engines {
        show(session, engine, hello);
    }
    presentation(session);
    Ok(OK)
}

/// What the probe found, in words.
fn achieved(probe: &Reading) -> String {
    let memory =
        probe.bandwidth_gb_s.map_or_else(|| "memory bandwidth unknown".into(), |gb_s| format!("{gb_s:.1} GB/s"));
    let compute = probe.gflops.map(|gflops| format!(", {gflops:.0} GFLOP/s in float32 ({})", probe.kernel));
    format!("{memory}{} with {} thread(s)", compute.unwrap_or_default(), probe.threads)
}

fn greet(session: &Session<'_>, engine: &Engine) -> Result<Hello, Failed> {
    let discovery = engine::find_worker(engine, &session.config.overrides(engine.name))?;
    let mut worker = Worker::start(&discovery, Timeouts::default())?;
    let hello = std::mem::take(&mut worker.hello);
    worker.shutdown();
    Ok(hello)
}

fn show(session: &Session<'_>, engine: &Engine, hello: &Result<Hello, Failed>) {
    let terminal = session.terminal;
    match hello {
        Ok(hello) => {
            let lacks = lacks(hello);
            let state = match lacks.is_empty() {
                true => terminal.paint(Style::Green, "ok"),
                false => terminal.paint(Style::Yellow, "in part"),
            };
            terminal.line(&format!("{:<10} {state} {}", engine.name, hello.engine_version));
            for lack in lacks {
                terminal.line(&format!("           {}", terminal.paint(Style::Yellow, lack)));
            }
            for device in &hello.devices {
                let memory =
                    device.memory_bytes.map(|bytes| format!(", {:.1} GB", bytes as f64 / 1e9)).unwrap_or_default();
                terminal.line(&format!("           {} ({}): {}{memory}", device.name, device.kind, device.description));
            }
            for (key, value) in hello.build.iter().filter(|_| terminal.verbose) {
                terminal.line(&terminal.paint(Style::Dim, &format!("           {key}: {value}")));
            }
        }
        Err(failed) => {
            terminal.line(&format!("{:<10} {}", engine.name, terminal.paint(Style::Red, "missing")));
            terminal.line(&format!("           {}", failed.reason));
        }
    }
}

/// What a worker says that it did not find, each with what mends it.
fn lacks(hello: &Hello) -> Vec<&str> {
    hello.build.values().filter_map(|value| value.strip_prefix("not found: ")).collect()
}

fn presentation(session: &Session<'_>) {
    let terminal = session.terminal;
    match tokometer_typst::AVAILABLE {
        true => terminal.line(&format!("{:<10} {} built in", "typst", terminal.paint(Style::Green, "ok"))),
        false => terminal.line(&format!("{:<10} left out of this build: `present` writes presentation.typ but no PDF; build with the feature `typst`", "typst")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_worker_lacks_is_told_with_what_mends_it() {
        let build = [("python", "3.11"), ("clang", "not found: `apt-get install clang`")];
        let build = build.map(|(key, value)| (key.to_owned(), value.to_owned())).into();
        let hello = Hello { build, ..Hello::default() };
        assert_eq!(lacks(&hello), ["`apt-get install clang`"]);
        assert!(lacks(&Hello::default()).is_empty());
    }
}
