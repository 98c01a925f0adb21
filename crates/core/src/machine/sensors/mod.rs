//! What the machine says of itself: load, frequency, temperature, throttling, time stolen by a hypervisor, waiting tasks,
//! other programs on processors and GPUs, battery. A [`Sample`] is a moment; two of them make the [`Conditions`] of a
//! launch. Reading takes some milliseconds and a processor: only before and after launches and between repetitions, never
//! inside a measured generation.

mod conditions;
mod gpu;
mod pressure;
mod processes;
mod processor;

pub use conditions::{Conditions, GpuState};
pub(crate) use gpu::gpus;

use super::quiet::{self, CpuTimes};
use super::root::Root;
use gpu::{App, Gpu};
use pressure::Pressure;
use processes::Processes;
use std::time::Instant;

/// The machine at a moment.
#[derive(Debug, Clone)]
pub struct Sample {
    at: Instant,
    load: Option<f64>,
    cpu: Option<CpuTimes>,
    freq_mhz: Option<f64>,
    temperature_c: Option<f64>,
    throttled: Option<u64>,
    pressure: Pressure,
    processes: Processes,
    on_battery: bool,
    gpus: Vec<Gpu>,
    apps: Vec<App>,
}

/// Reads samples.
#[derive(Debug, Clone)]
pub struct Sensors {
    root: Root,
    threads: u32,
    nvidia: bool,
}

impl Sensors {
    /// Sensors below `root`, for a workload of so many threads. GPUs are asked on the real machine only.
    pub fn new(root: Root, threads: u32) -> Sensors {
        let nvidia = root.is_real() && gpus().is_some_and(|all| !all.is_empty());
        Sensors { root, threads, nvidia }
    }

    /// The machine now.
    pub fn sample(&self) -> Sample {
        let root = &self.root;
        Sample {
            at: Instant::now(),
            load: quiet::load_average(root.path()),
            cpu: quiet::cpu_times(root.path()),
            freq_mhz: self.frequency_mhz(),
            temperature_c: self.temperature_c(),
            throttled: processor::throttle_count(root),
            pressure: pressure::pressure(root),
            processes: processes::processes(root),
            on_battery: quiet::on_battery(root.path()),
            gpus: if self.nvidia { gpus().unwrap_or_default() } else { Vec::new() },
            apps: if self.nvidia { gpu::apps() } else { Vec::new() },
        }
    }

    /// Mean frequency of as many processors as the workload has threads, the fastest ones, MHz.
    pub fn frequency_mhz(&self) -> Option<f64> {
        processor::frequency_mhz(&self.root, self.threads)
    }

    /// The hottest reading of the processor, degrees Celsius.
    pub fn temperature_c(&self) -> Option<f64> {
        processor::temperature_c(&self.root)
    }

    /// The GPUs on which process `pid` has memory, by the driver's names for them. `None` where that cannot be told: no
    /// process is shown, or they are shown by numbers of another name space, as in a container.
    pub fn gpus_of(&self, pid: u32) -> Option<Vec<String>> {
        let apps = if self.nvidia { gpu::apps() } else { Vec::new() };
        let own: Vec<String> = apps.iter().filter(|app| app.pid == pid).map(|app| app.uuid.clone()).collect();
        let strange = apps.iter().any(|app| !self.root.join(&format!("proc/{}", app.pid)).exists());
        let known = !own.is_empty() || (!apps.is_empty() && !strange);
        known.then_some(own)
    }
}
