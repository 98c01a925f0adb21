//! What happened between two samples, and what of it disturbs a measurement.

use super::super::quiet::{BUSY, CpuTimes, Warning};
use super::processes::{Used, used};
use super::{App, Sample};
use serde::{Deserialize, Serialize};

/// Clock ticks of /proc in a second (USER_HZ, `man 5 proc`).
const TICKS: f64 = 100.0;
/// Time stolen by the hypervisor above which figures suffer, percent.
const STOLEN: f64 = 1.0;
/// Share of time in which tasks waited for memory, percent.
const WAITING: f64 = 1.0;

/// What a launch ran under. Absent where the machine does not tell. Shares are of the launch's wall time and of all
/// processors.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Conditions {
    /// Wall time from the first sample to the second, s.
    pub seconds: f64,
    /// Load average over one minute, before the launch.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub load_before: Option<f64>,
    /// Processor time taken by the hypervisor for others, percent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub steal_percent: Option<f64>,
    /// Processor time in use by anybody, percent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub busy_percent: Option<f64>,
    /// Processor time in use by others than worker and harness, percent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub others_percent: Option<f64>,
    /// The busiest of the others.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub busiest_other: Option<String>,
    /// What it used of one processor, percent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub busiest_other_percent: Option<f64>,
    /// Mean frequency of as many processors as the workload has threads, MHz, over the moments right after generations.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub freq_mhz: Option<f64>,
    /// Highest temperature of the processor at those moments, degrees Celsius.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub temperature_c: Option<f64>,
    /// Times that a core was slowed down for its heat.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub throttle_events: Option<u64>,
    /// Time in which a task waited for a processor, percent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpu_pressure_percent: Option<f64>,
    /// Time in which a task waited for memory, percent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory_pressure_percent: Option<f64>,
    /// Whether it ran on battery, at its end.
    pub on_battery: bool,
    /// Whether the mains came or went.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub power_changed: bool,
    /// The GPUs at the end of the launch.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub gpus: Vec<GpuState>,
    /// Processes of others that held memory on a GPU before the launch.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub others_on_gpu: Option<u32>,
    /// Memory of the worker on GPUs at the end of the launch, bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub device_memory_bytes: Option<u64>,
}

/// A GPU at the end of a launch.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct GpuState {
    /// The model.
    pub name: String,
    /// Share of the last moments in which it computed, percent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub utilization_percent: Option<f64>,
    /// Memory in use by everybody, bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory_used_bytes: Option<u64>,
    /// Power, watts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub power_watts: Option<f64>,
    /// Temperature, degrees Celsius.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub temperature_c: Option<f64>,
}

impl Conditions {
    /// What happened from `before` to `after` to the worker `pid`, seen from the process `own` that started it.
    pub fn between(before: &Sample, after: &Sample, pid: u32, own: u32) -> Conditions {
        let seconds = after.at.duration_since(before.at).as_secs_f64();
        let used = used(&before.processes, &after.processes, pid, own);
        let spent = before.cpu.zip(after.cpu).and_then(|(before, after)| Spent::between(before, after));
        let waited = |before: Option<u64>, after: Option<u64>| {
            let us = after?.checked_sub(before?)?;
            (seconds > 0.0).then(|| percent(us as f64 / 1e6 / seconds))
        };
        let busiest = used.busiest.clone().filter(|_| seconds > 0.0);
        let (others_on_gpu, device_memory_bytes) = on_gpus(before, after, pid, own);
        Conditions {
            seconds: round(seconds),
            load_before: before.load,
            steal_percent: spent.map(|spent| percent(spent.share(spent.steal))),
            busy_percent: spent.map(|spent| percent(spent.share(spent.busy))),
            others_percent: spent.and_then(|spent| others(&spent, &used, 0)),
            busiest_other: busiest.as_ref().map(|(name, _)| name.clone()),
            busiest_other_percent: busiest.map(|(_, ticks)| percent(ticks as f64 / TICKS / seconds)),
            freq_mhz: after.freq_mhz.map(round),
            temperature_c: after.temperature_c.map(round),
            throttle_events: before
                .throttled
                .zip(after.throttled)
                .and_then(|(before, after)| after.checked_sub(before)),
            cpu_pressure_percent: waited(before.pressure.cpu_us, after.pressure.cpu_us),
            memory_pressure_percent: waited(before.pressure.memory_us, after.pressure.memory_us),
            on_battery: after.on_battery,
            power_changed: before.on_battery != after.on_battery,
            gpus: after.gpus.iter().map(GpuState::of).collect(),
            others_on_gpu,
            device_memory_bytes,
        }
    }

    /// The same where other workers of `own` were measured meanwhile: their processor time is not that of others, and of the
    /// GPUs only that is told which is certainly not theirs.
    pub fn beside_others(before: &Sample, after: &Sample, pid: u32, own: u32) -> Conditions {
        let used = used(&before.processes, &after.processes, pid, own);
        let spent = before.cpu.zip(after.cpu).and_then(|(before, after)| Spent::between(before, after));
        // By numbers of another name space nobody can tell whose a process is.
        let strangers = before.apps.iter().any(|app| !before.processes.contains_key(&app.pid));
        let is_shown = after.apps.iter().any(|app| app.pid == pid);
        let all = Conditions::between(before, after, pid, own);
        Conditions {
            others_percent: spent.and_then(|spent| others(&spent, &used, used.siblings)),
            others_on_gpu: all.others_on_gpu.filter(|_| !strangers),
            device_memory_bytes: all.device_memory_bytes.filter(|_| is_shown),
            ..all
        }
    }

    /// What of it disturbs.
    pub fn warnings(&self) -> Vec<Warning> {
        let mut warnings = Vec::new();
        let mut warn = |code, message| warnings.push(Warning { code, message });
        if let Some(percent) = self.steal_percent.filter(|percent| *percent > STOLEN) {
            warn("steal_time", format!("the hypervisor gave {percent:.1}% of the processors' time to others"));
        }
        if let Some(percent) = self.others_percent.filter(|percent| *percent > BUSY * 100.0) {
            let who = self.busiest_other.as_ref().map(|name| format!(", most of all {name}")).unwrap_or_default();
            warn("other_load", format!("other programs used {percent:.0}% of the processors during the launch{who}"));
        }
        if let Some(events) = self.throttle_events.filter(|events| *events > 0) {
            warn("throttled", format!("the processor slowed down {events} times for its heat during the launch"));
        }
        if let Some(percent) = self.memory_pressure_percent.filter(|percent| *percent > WAITING) {
            warn("memory_pressure", format!("tasks waited for memory in {percent:.1}% of the launch: it is short"));
        }
        if self.power_changed {
            warn("power_changed", "the mains came or went during the launch".to_owned());
        }
        if let Some(n) = self.others_on_gpu.filter(|n| *n > 0) {
            warn("gpu_shared", format!("{n} process(es) of others held memory on a GPU"));
        }
        warnings
    }
}

impl GpuState {
    fn of(gpu: &super::Gpu) -> GpuState {
        GpuState {
            name: gpu.name.clone(),
            utilization_percent: gpu.utilization_percent,
            memory_used_bytes: gpu.memory_used_bytes,
            power_watts: gpu.power_watts,
            temperature_c: gpu.temperature_c,
        }
    }
}

/// Processor time between two samples, in ticks.
#[derive(Debug, Clone, Copy)]
struct Spent {
    total: u64,
    busy: u64,
    steal: u64,
}

impl Spent {
    fn between(before: CpuTimes, after: CpuTimes) -> Option<Spent> {
        let total = after.total.checked_sub(before.total).filter(|total| *total > 0)?;
        let steal = after.steal.saturating_sub(before.steal);
        let idle = after.idle.saturating_sub(before.idle);
        Some(Spent { total, busy: total.saturating_sub(idle).saturating_sub(steal), steal })
    }

    fn share(&self, ticks: u64) -> f64 {
        ticks as f64 / self.total as f64
    }
}

/// Unknown when the worker is gone: its own time would count as that of others. `siblings` are ticks that are no news either.
fn others(spent: &Spent, used: &Used, siblings: u64) -> Option<f64> {
    let own = used.worker?.saturating_add(used.own).saturating_add(siblings);
    Some(percent(spent.share(spent.busy.saturating_sub(own))))
}

/// Processes of others on GPUs before the launch, and the worker's memory there after it.
///
/// In a container the driver may show process numbers of the host. What appeared during the launch is then the worker;
/// and where no process is shown at all, it is what one GPU's memory grew by.
fn on_gpus(before: &Sample, after: &Sample, pid: u32, own: u32) -> (Option<u32>, Option<u64>) {
    if after.gpus.is_empty() {
        return (None, None);
    }
    let ours = |app: &App, sample: &Sample| {
        // A worker leads a process group: what it has started, as an engine's own server, is in it.
        let of_a_worker = |group: u32| sample.processes.get(&group).is_some_and(|leader| leader.parent == own);
        let process = sample.processes.get(&app.pid);
        app.pid == pid || process.is_some_and(|process| process.parent == own || of_a_worker(process.group))
    };
    let others = before.apps.iter().filter(|app| !ours(app, before)).count();
    let memory = |test: &dyn Fn(&App) -> bool| {
        after.apps.iter().filter(|app| test(app)).filter_map(|app| app.memory_bytes).reduce(u64::saturating_add)
    };
    let known = memory(&|app| app.pid == pid);
    let new = || memory(&|app| !ours(app, after) && before.apps.iter().all(|old| old.pid != app.pid));
    let grown = || {
        let ([before], [after], true) = (&before.gpus[..], &after.gpus[..], after.apps.is_empty()) else { return None };
        after.memory_used_bytes?.checked_sub(before.memory_used_bytes?).filter(|bytes| *bytes > 0)
    };
    (u32::try_from(others).ok(), known.or_else(new).or_else(grown))
}

/// A share in percent, two decimals.
fn percent(share: f64) -> f64 {
    round(share * 100.0)
}

fn round(value: f64) -> f64 {
    (value * 100.0).round() / 100.0
}

#[cfg(test)]
mod tests {
    use super::super::super::root::Tree;
    use super::super::{Gpu, Sensors};
    use super::*;
    use std::time::Duration;

    const OWN: u32 = 7;

    fn stat(pid: u32, name: &str, ticks: u64) -> String {
        format!("{pid} ({name}) S 1 {pid} 1 0 -1 0 1 0 0 0 {ticks} 0 0 0 20 0 1 0 5 1 1\n")
    }

    /// Ten seconds on two processors: 2000 ticks, of which 100 are stolen and 400 are idle.
    fn ten_seconds() -> (Sample, Sample) {
        let tree = Tree::new(&[
            ("proc/stat", "cpu  1000 0 0 5000 0 0 0 10 0 0\n"),
            ("proc/loadavg", "0.50 0.1 0.1 1/100 1\n"),
            ("proc/pressure/memory", "some avg10=0 avg60=0 avg300=0 total=1000000\n"),
            ("proc/20/stat", &stat(20, "worker", 0)),
            ("proc/30/stat", &stat(30, "browser", 50)),
            ("sys/devices/system/cpu/cpu0/thermal_throttle/core_throttle_count", "5\n"),
            ("sys/devices/system/cpu/cpu0/cpufreq/scaling_cur_freq", "2000000\n"),
        ]);
        let sensors = Sensors::new(tree.root(), 2);
        let before = sensors.sample();
        tree.write(&[
            ("proc/stat", "cpu  2500 0 0 5400 0 0 0 110 0 0\n"),
            ("proc/pressure/memory", "some avg10=0 avg60=0 avg300=0 total=1500000\n"),
            ("proc/20/stat", &stat(20, "worker", 1000)),
            ("proc/30/stat", &stat(30, "browser", 450)),
            ("sys/devices/system/cpu/cpu0/thermal_throttle/core_throttle_count", "8\n"),
            ("sys/devices/system/cpu/cpu0/cpufreq/scaling_cur_freq", "3100000\n"),
        ]);
        let mut after = sensors.sample();
        after.at = before.at + Duration::from_secs(10);
        (before, after)
    }

    #[test]
    fn two_samples_tell_what_happened() {
        let (before, after) = ten_seconds();
        let found = Conditions::between(&before, &after, 20, OWN);
        assert_eq!((found.seconds, found.load_before), (10.0, Some(0.5)));
        assert_eq!(
            (found.steal_percent, found.busy_percent, found.others_percent),
            (Some(5.0), Some(75.0), Some(25.0))
        );
        assert_eq!((found.busiest_other.as_deref(), found.busiest_other_percent), (Some("browser"), Some(40.0)));
        assert_eq!((found.freq_mhz, found.throttle_events), (Some(3100.0), Some(3)));
        assert_eq!((found.memory_pressure_percent, found.cpu_pressure_percent), (Some(5.0), None));
        let codes: Vec<_> = found.warnings().into_iter().map(|warning| warning.code).collect();
        assert_eq!(codes, ["steal_time", "other_load", "throttled", "memory_pressure"]);
        let text = serde_json::to_string(&found).unwrap();
        assert_eq!(serde_json::from_str::<Conditions>(&text).unwrap(), found);
    }

    #[test]
    fn the_time_of_a_dead_worker_is_not_that_of_others() {
        let (before, mut after) = ten_seconds();
        after.processes.remove(&20);
        let found = Conditions::between(&before, &after, 20, OWN);
        assert_eq!((found.busy_percent, found.others_percent), (Some(75.0), None));
    }

    #[test]
    fn a_sibling_is_nobody_else_where_both_are_measured() {
        let (before, mut after) = ten_seconds();
        // What the browser was: a worker that this program started meanwhile.
        after.processes.get_mut(&30).unwrap().parent = OWN;
        let others = |found: Conditions| (found.others_percent, found.busiest_other);
        assert_eq!(others(Conditions::between(&before, &after, 20, OWN)), (Some(25.0), None));
        assert_eq!(others(Conditions::beside_others(&before, &after, 20, OWN)), (Some(5.0), None));
    }

    #[test]
    fn beside_others_nothing_is_guessed_of_a_gpu() {
        let (mut before, mut after) = ten_seconds();
        let app = |pid: u32| App { pid, uuid: "G".into(), memory_bytes: Some(1 << 30) };
        (before.gpus, after.gpus) = (vec![Gpu::default()], vec![Gpu::default()]);
        // Numbers of the host: either may be a sibling.
        (before.apps, after.apps) = (vec![app(900)], vec![app(900), app(901)]);
        let told = |before: &Sample, after: &Sample| {
            let found = Conditions::beside_others(before, after, 20, OWN);
            (found.others_on_gpu, found.device_memory_bytes)
        };
        assert_eq!(told(&before, &after), (None, None));
        (before.apps, after.apps) = (vec![app(30)], vec![app(30), app(20)]);
        assert_eq!(told(&before, &after), (Some(1), Some(1 << 30)));
    }

    #[test]
    fn a_machine_that_tells_nothing_gives_no_warning() {
        let tree = Tree::new(&[]);
        let sensors = Sensors::new(tree.root(), 1);
        let found = Conditions::between(&sensors.sample(), &sensors.sample(), 20, OWN);
        assert_eq!((found.steal_percent, found.others_percent, found.throttle_events), (None, None, None));
        assert_eq!(found.warnings(), []);
    }

    #[test]
    fn memory_on_the_gpu_is_the_workers_own_as_well_as_can_be_told() {
        let (mut before, mut after) = ten_seconds();
        let gpu = |gib: u64| Gpu { uuid: "G".into(), memory_used_bytes: Some(gib << 30), ..Gpu::default() };
        let app = |pid: u32, gib: u64| App { pid, uuid: "G".into(), memory_bytes: Some(gib << 30) };
        (before.gpus, after.gpus) = (vec![gpu(1)], vec![gpu(9)]);
        // No process is shown: what the memory grew by.
        let memory = |before: &Sample, after: &Sample| Conditions::between(before, after, 20, OWN).device_memory_bytes;
        assert_eq!(memory(&before, &after), Some(8 << 30));
        // The host's number: what appeared.
        (before.apps, after.apps) = (vec![app(900, 1)], vec![app(900, 1), app(901, 7)]);
        assert_eq!(memory(&before, &after), Some(7 << 30));
        after.apps.push(app(20, 6));
        assert_eq!(memory(&before, &after), Some(6 << 30));
        let found = Conditions::between(&before, &after, 20, OWN);
        assert_eq!((found.others_on_gpu, found.warnings().last().map(|w| w.code)), (Some(1), Some("gpu_shared")));
    }
}
