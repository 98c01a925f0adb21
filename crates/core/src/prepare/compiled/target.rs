//! The machine as a compiled library sees it: device, processor, versions; all as the engine's worker tells them.

use std::collections::BTreeMap;
use tokometer_protocol::{Device, Hello};

/// Where a library is to run, and what compiles it.
#[derive(Debug, Clone)]
pub struct Machine {
    /// The device.
    pub device: Device,
    /// Versions of the engine and of its compiler, and the worker's way of calling them.
    versions: BTreeMap<String, String>,
    processor: String,
}

impl Machine {
    /// The device of that name, or the best one.
    ///
    /// # Errors
    /// There is none of that name; the text lists those that are there.
    pub fn choose(hello: &Hello, asked: Option<&str>) -> Result<Machine, String> {
        let found = match asked {
            Some(name) => hello.devices.iter().find(|device| plain(&device.name) == plain(name)),
            None => hello.devices.first(),
        };
        let Some(device) = found.cloned() else {
            let names: Vec<_> = hello.devices.iter().map(|device| device.name.as_str()).collect();
            return Err(format!(
                "{} sees no device {:?} here; it sees {}",
                hello.engine,
                asked.unwrap_or("at all"),
                if names.is_empty() { "none".to_owned() } else { names.join(", ") }
            ));
        };
        let told = |name: &str| hello.build.get(name).cloned().unwrap_or_else(|| "unknown".into());
        let versions = [
            (hello.engine.clone(), hello.engine_version.clone()),
            ("tvm".into(), told("tvm")),
            ("recipe".into(), told("recipe")),
        ];
        Ok(Machine { device, versions: versions.into(), processor: told("processor") })
    }

    /// Whether the device is the processor.
    pub fn is_cpu(&self) -> bool {
        self.device.kind == "cpu"
    }

    /// What converted weights depend on.
    pub fn converter(&self) -> BTreeMap<String, String> {
        self.versions.clone()
    }

    /// What a library depends on. The processor is part of it for GPUs too: their libraries hold code for the host.
    pub fn compiler(&self) -> BTreeMap<String, String> {
        let mut all = self.versions.clone();
        all.insert("device".into(), format!("{} ({})", self.device.name, self.device.description));
        all.insert("processor".into(), self.processor.clone());
        all.insert("system".into(), format!("{} {}", std::env::consts::OS, std::env::consts::ARCH));
        all
    }
}

/// A device's name as everybody may write it: `CUDA0`, `cuda:0` and `cuda` are one.
fn plain(name: &str) -> String {
    let name = name.to_lowercase().replace(':', "");
    name.strip_suffix('0').filter(|rest| !rest.ends_with(|c: char| c.is_ascii_digit())).unwrap_or(&name).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hello() -> Hello {
        let device = |name: &str, kind: &str| Device { name: name.into(), kind: kind.into(), ..Device::default() };
        Hello {
            engine: "mlc_llm".into(),
            devices: vec![device("cuda", "gpu"), device("cuda:1", "gpu"), device("cpu", "cpu")],
            ..Hello::default()
        }
    }

    #[test]
    fn devices_are_found_however_they_are_written() {
        let name = |asked| Machine::choose(&hello(), asked).unwrap().device.name;
        assert_eq!(name(None), "cuda");
        assert_eq!(
            (name(Some("CPU")), name(Some("CUDA0")), name(Some("cuda:0"))),
            ("cpu".into(), "cuda".into(), "cuda".into())
        );
        assert_eq!(name(Some("cuda1")), "cuda:1");
        assert_eq!(plain("cuda10"), "cuda10");
    }

    #[test]
    fn an_absent_device_is_named_with_those_that_are_there() {
        let error = Machine::choose(&hello(), Some("metal")).unwrap_err();
        assert!(error.contains("\"metal\"") && error.contains("cuda, cuda:1, cpu"), "{error}");
        let none = Machine::choose(&Hello::default(), None).unwrap_err();
        assert!(none.contains("it sees none"), "{none}");
    }
}
