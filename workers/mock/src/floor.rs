//! What mocks know of each other, for tests of measuring several devices at the same time.
//!
//! Variables, for what a device is and who shares it is no setting of a case: `TOKOMETER_MOCK_GPUS=N` pretends that there
//! are GPUs `GPU0`, `GPU1`, ...; `TOKOMETER_MOCK_FLOOR=FOLDER` makes mocks look at each other in that folder. There a
//! generation fails if its device is in use, or if anything is while the processor is; and on a GPU the first one waits
//! until each other GPU has begun one, so that it fails unless all are measured at the same time, however fast they are.

use crate::failure;
use std::fs::{self, OpenOptions};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use tokometer_protocol::{Device, Failure, FailureKind};

/// The name of the processor.
pub const CPU: &str = "CPU";
/// How long GPUs wait for each other.
const PATIENCE: Duration = Duration::from_secs(120);
/// Behind the names of devices that have begun a generation.
const BEGUN: &str = ".begun";

/// The devices, GPUs first.
pub fn devices() -> Vec<Device> {
    let device = |name: String, kind: &str, words: &str| {
        let description = format!("mock {words}");
        Device { name, description, kind: kind.into(), memory_bytes: None }
    };
    let gpus: u32 = std::env::var("TOKOMETER_MOCK_GPUS").ok().and_then(|n| n.parse().ok()).unwrap_or(0);
    let gpus = (0..gpus).map(|n| device(format!("GPU{n}"), "gpu", "GPU"));
    gpus.chain([device(CPU.into(), "cpu", "processor")]).collect()
}

/// A device in use, until it is dropped.
#[derive(Debug)]
pub struct InUse(PathBuf);

impl Drop for InUse {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

/// Begins a generation on a device; `None` where no test looks.
pub fn enter(device: &str) -> Result<Option<InUse>, Failure> {
    let Some(floor) = std::env::var_os("TOKOMETER_MOCK_FLOOR").map(PathBuf::from) else { return Ok(None) };
    let in_use = take(&floor, device);
    let names = devices().into_iter().filter(|other| other.kind == "gpu").map(|other| other.name);
    let gpus: Vec<String> = if device == CPU { Vec::new() } else { names.collect() };
    let met = in_use.and_then(|in_use| meet(&floor, device, &gpus, PATIENCE).map(|()| in_use));
    met.map(Some).or_else(|why| failure(FailureKind::Engine, &why))
}

/// Puts the device into use. It looks around after it has made itself seen: of two that begin at once one sees the other.
fn take(floor: &Path, device: &str) -> Result<InUse, String> {
    let path = floor.join(device);
    let made = OpenOptions::new().write(true).create_new(true).open(&path);
    made.map_err(|why| format!("{device} is in use already: {why}"))?;
    let in_use = InUse(path);
    let entries = fs::read_dir(floor).map_err(|why| why.to_string())?.flatten();
    let names = entries.map(|entry| entry.file_name().to_string_lossy().into_owned());
    let others: Vec<String> = names.filter(|name| name != device && !name.ends_with(BEGUN)).collect();
    let shares = !others.is_empty() && (device == CPU || others.iter().any(|other| other == CPU));
    if shares { Err(format!("{device} is not alone: {}", others.join(", "))) } else { Ok(in_use) }
}

/// Waits until all of these devices have begun.
fn meet(floor: &Path, device: &str, all: &[String], patience: Duration) -> Result<(), String> {
    let begun = |device: &str| floor.join(format!("{device}{BEGUN}"));
    fs::write(begun(device), "").map_err(|why| why.to_string())?;
    let deadline = Instant::now() + patience;
    while let Some(missing) = all.iter().find(|other| !begun(other).exists()) {
        if Instant::now() > deadline {
            return Err(format!("{device} waited in vain for {missing}"));
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn floor(name: &str) -> PathBuf {
        let floor = std::env::temp_dir().join(format!("tokometer-floor-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&floor);
        fs::create_dir(&floor).unwrap();
        floor
    }

    #[test]
    fn a_device_is_used_once_and_the_processor_with_nobody_beside_it() {
        let floor = floor("take");
        let gpu = take(&floor, "GPU0").unwrap();
        assert!(take(&floor, "GPU0").unwrap_err().contains("in use"));
        let other = take(&floor, "GPU1").unwrap();
        assert!(take(&floor, CPU).unwrap_err().contains("GPU0"));
        drop((gpu, other));
        let cpu = take(&floor, CPU).unwrap();
        assert!(take(&floor, "GPU0").unwrap_err().contains(CPU));
        drop(cpu);
        assert!(take(&floor, "GPU0").is_ok());
        fs::remove_dir_all(floor).unwrap();
    }

    #[test]
    fn gpus_wait_for_each_other_and_not_for_ever() {
        let floor = floor("meet");
        let all = ["GPU0", "GPU1"].map(String::from);
        assert!(meet(&floor, "GPU0", &all, Duration::ZERO).unwrap_err().contains("in vain for GPU1"));
        assert_eq!(meet(&floor, "GPU1", &all, Duration::ZERO), Ok(()));
        assert_eq!(meet(&floor, "GPU0", &all, Duration::ZERO), Ok(()));
        fs::remove_dir_all(floor).unwrap();
    }
}
