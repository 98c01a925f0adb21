//! Which workers stay loaded between rounds. All that stay, and the largest of the others beside them, must fit into the
//! memory that was free before the run, with a margin: a machine that begins to swap measures nothing.

use super::Job;
use crate::engine::ModelFormat;
use serde::{Deserialize, Serialize};
use tokometer_protocol::{Hello, Loaded};

/// Share of the free memory that is left alone.
const MARGIN: f64 = 0.15;
/// What a worker needs beside weights and KV cache, as a guess before it has been measured.
const OVERHEAD: u64 = 300_000_000;

/// Whether workers stay loaded between rounds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Residency {
    /// Where memory allows and is known: not on devices with memory of their own.
    #[default]
    Auto,
    /// Without asking how much memory there is.
    Always,
    /// Every round starts every engine anew.
    Never,
}

/// Memory that a case needs while it is loaded.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Need {
    /// Bytes of main memory; `None` where there is not even a guess.
    pub bytes: Option<u64>,
    /// Whether it computes on a device with memory of its own.
    pub on_device: bool,
}

impl Need {
    /// Before it has been loaded: by the files.
    pub fn guess(job: &Job) -> Need {
        let manifest = &job.manifest;
        let of_files = |files: &[crate::prepare::SourceFile]| {
            (!files.is_empty()).then(|| files.iter().fold(0u64, |sum, file| sum.saturating_add(file.bytes)))
        };
        let stored =
            manifest.weights_bytes.or_else(|| of_files(&manifest.files)).or_else(|| of_files(&manifest.source.files));
        let stored = stored.or((job.engine.format == ModelFormat::Nothing).then_some(0));
        Need { bytes: stored.map(|bytes| bytes.saturating_add(OVERHEAD)), on_device: false }
    }

    /// Of what was loaded.
    pub fn of(loaded: &Loaded, hello: &Hello) -> Need {
        let name = loaded.device.as_str();
        let device = hello.devices.iter().find(|device| device.name.eq_ignore_ascii_case(name));
        let on_device = match device {
            Some(device) => device.kind != "cpu",
            None => !name.is_empty() && !name.to_ascii_uppercase().starts_with("CPU"),
        };
        Need { bytes: Some(loaded.weights_bytes.saturating_add(loaded.kv_bytes.unwrap_or(0))), on_device }
    }

    /// What is resident counts where it is more.
    pub fn at_least(&mut self, resident: Option<u64>) {
        self.bytes = self.bytes.max(resident);
    }
}

/// Decides who stays.
#[derive(Debug)]
pub(super) struct Residents {
    mode: Residency,
    /// Bytes that loaded workers may take together, where known.
    limit: Option<u64>,
    /// Why nobody stays any more.
    refused: Option<String>,
}

impl Residents {
    /// `available` are the bytes that were free before anything was loaded.
    pub fn new(mode: Residency, available: Option<u64>) -> Residents {
        let limit = available.map(|bytes| (bytes as f64 * (1.0 - MARGIN)) as u64);
        Residents { mode, limit, refused: None }
    }

    /// From now on nobody stays.
    pub fn refuse(&mut self, why: &str) {
        self.refused = Some(why.to_owned());
    }

    /// Whether case `index`, loaded now, stays loaded; in words either way. `all` holds each case's need and whether it
    /// is loaded.
    pub fn stays(&self, all: &[(Need, bool)], index: usize) -> Result<String, String> {
        if let Some(why) = &self.refused {
            return Err(why.clone());
        }
        let need = all[index].0;
        match self.mode {
            Residency::Never => return Err("as asked".into()),
            Residency::Always => return Ok(format!("as asked ({})", words(need.bytes))),
            Residency::Auto => (),
        }
        if need.on_device {
            return Err("how much memory its device has left is not known; --resident always keeps it loaded".into());
        }
        let Some(limit) = self.limit else {
            return Err("how much memory is free is not known; --resident always keeps it loaded".into());
        };
        let others = || all.iter().enumerate().filter(move |(other, _)| *other != index).map(|(_, entry)| entry);
        // What computes on a device of its own takes little here.
        let main = |need: &Need| if need.on_device { Some(OVERHEAD) } else { need.bytes };
        let loaded =
            others().filter(|(_, loaded)| *loaded).try_fold(0u64, |sum, (need, _)| sum.checked_add(main(need)?));
        let largest =
            others().filter(|(_, loaded)| !*loaded).try_fold(0u64, |most, (need, _)| Some(most.max(main(need)?)));
        let together = need.bytes.zip(loaded).and_then(|(own, loaded)| own.checked_add(loaded));
        match together.zip(largest).and_then(|(together, largest)| Some((together, together.checked_add(largest)?))) {
            None => Err("how much memory the others need is not known yet".into()),
            Some((together, all)) if all <= limit => {
                Ok(format!("{}; loaded models take {} of {}", words(need.bytes), gb(together), gb(limit)))
            }
            Some((_, all)) => {
                Err(format!("all that would be loaded at once needs {}, and {} are free for it", gb(all), gb(limit)))
            }
        }
    }
}

fn words(bytes: Option<u64>) -> String {
    bytes.map_or_else(|| "size not known".to_owned(), gb)
}

fn gb(bytes: u64) -> String {
    format!("{:.2} GB", bytes as f64 / 1e9)
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokometer_protocol::Device;

    const G: u64 = 1_000_000_000;

    fn need(gigabytes: u64) -> Need {
        Need { bytes: Some(gigabytes * G), on_device: false }
    }

    #[test]
    fn all_that_stay_and_the_largest_other_must_fit() {
        // 8.5 GB may be taken of 10.
        let residents = Residents::new(Residency::Auto, Some(10 * G));
        assert!(residents.stays(&[(need(8), true)], 0).is_ok());
        assert!(residents.stays(&[(need(9), true)], 0).is_err());
        assert!(residents.stays(&[(need(4), true), (need(4), true)], 1).is_ok());
        assert!(residents.stays(&[(need(4), true), (need(5), false)], 0).is_err());
        // Two that leave are never there at once.
        assert!(residents.stays(&[(need(4), true), (need(4), false), (need(3), false)], 0).is_ok());
    }

    #[test]
    fn what_is_not_known_does_not_stay_unless_asked() {
        let auto = Residents::new(Residency::Auto, Some(10 * G));
        let unknown = Need { bytes: None, on_device: false };
        let gpu = Need { bytes: Some(G), on_device: true };
        assert!(auto.stays(&[(need(1), true), (unknown, false)], 0).unwrap_err().contains("not known"));
        assert!(auto.stays(&[(gpu, true)], 0).unwrap_err().contains("--resident always"));
        assert!(auto.stays(&[(need(1), true), (gpu, true)], 0).is_ok());
        assert!(Residents::new(Residency::Auto, None).stays(&[(need(1), true)], 0).is_err());
        assert!(Residents::new(Residency::Always, None).stays(&[(gpu, true)], 0).is_ok());
        assert!(Residents::new(Residency::Never, Some(10 * G)).stays(&[(need(1), true)], 0).is_err());
        let mut once = Residents::new(Residency::Always, None);
        once.refuse("memory ran out");
        assert_eq!(once.stays(&[(need(1), true)], 0).unwrap_err(), "memory ran out");
    }

    #[test]
    fn a_device_is_told_from_the_processor() {
        let device = |name: &str, kind: &str| Device { name: name.into(), kind: kind.into(), ..Device::default() };
        let hello = Hello { devices: vec![device("CUDA0", "gpu"), device("CPU", "cpu")], ..Hello::default() };
        let loaded =
            |name: &str| Loaded { device: name.into(), weights_bytes: 5, kv_bytes: Some(2), ..Loaded::default() };
        assert_eq!(Need::of(&loaded("cpu"), &hello), Need { bytes: Some(7), on_device: false });
        assert!(Need::of(&loaded("CUDA0"), &hello).on_device);
        assert!(Need::of(&loaded("METAL"), &hello).on_device);
        let mut need = Need::of(&loaded("CPU:LLVM"), &hello);
        assert!(!need.on_device);
        need.at_least(Some(9));
        need.at_least(None);
        assert_eq!(need.bytes, Some(9));
    }
}
