//! Is the machine quiet enough to measure? What is not is a warning, before the run and in the record.

use std::fs;
use std::path::Path;

/// Something that may disturb the figures.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Warning {
    /// Short name, for columns.
    pub code: &'static str,
    /// In words, with what to do.
    pub message: String,
}

/// Use of the processors by others above this share disturbs.
pub const BUSY: f64 = 0.1;

/// Percent of a GPU's time in use by others.
const BUSY_GPU: u32 = 5;

/// Looks at load (`busy`, see [`busy_share`]), governor, power, GPUs and memory below `root` (`/` on a real machine).
pub fn check(root: &Path, logical_cpus: u32, busy: Option<f64>) -> Vec<Warning> {
    let mut warnings = Vec::new();
    let mut warn = |code, message| warnings.push(Warning { code, message });
    if let Some(share) = busy.filter(|share| *share > BUSY) {
        warn(
            "high_load",
            format!(
                "other programs use {:.0}% of the {logical_cpus} processors: end them for figures that repeat",
                share * 100.0
            ),
        );
    }
    if let Some(governor) =
        line(root, "sys/devices/system/cpu/cpu0/cpufreq/scaling_governor").filter(|g| g == "powersave")
        && line(root, "sys/devices/system/cpu/cpu0/cpufreq/scaling_driver").as_deref() != Some("intel_pstate")
    {
        warn(
            "powersave_governor",
            format!(
                "the processor's frequency governor is {governor}: `cpupower frequency-set -g performance` as root lifts it"
            ),
        );
    }
    if on_battery(root) {
        warn("on_battery", "the machine runs on battery: plug it in".into());
    }
    for (name, percent) in super::gpu::gpu_load(root).into_iter().filter(|(_, percent)| *percent > BUSY_GPU) {
        warn("busy_gpu", format!("{name} is {percent}% busy already: end the other work on it"));
    }
    if let Some(share) = swap_used(root).filter(|share| *share > 0.5) {
        warn("swapping", format!("{:.0}% of the swap space is in use: memory is short", share * 100.0));
    }
    warnings
}

/// Share of the processors' time that is in use, over `wait`, while this program does nothing.
pub fn busy_share(root: &Path, wait: std::time::Duration) -> Option<f64> {
    let before = cpu_times(root)?;
    std::thread::sleep(wait);
    let after = cpu_times(root)?;
    let total = after.total.checked_sub(before.total).filter(|total| *total > 0)?;
    Some(1.0 - after.idle.saturating_sub(before.idle) as f64 / total as f64)
}

/// Load average over one minute.
pub fn load_average(root: &Path) -> Option<f64> {
    line(root, "proc/loadavg")?.split_whitespace().next()?.parse().ok()
}

/// Processor time of the whole machine since it started, in clock ticks.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct CpuTimes {
    /// All, idle included.
    pub total: u64,
    /// Doing nothing or waiting for disks.
    pub idle: u64,
    /// Taken by the hypervisor for others.
    pub steal: u64,
}

/// Reads the machine's processor times.
pub fn cpu_times(root: &Path) -> Option<CpuTimes> {
    let first = line(root, "proc/stat")?;
    let ticks: Vec<u64> =
        first.strip_prefix("cpu ")?.split_whitespace().map_while(|t| t.parse().ok()).take(8).collect();
    let get = |i: usize| ticks.get(i).copied().unwrap_or(0);
    Some(CpuTimes { total: ticks.iter().sum(), idle: get(3) + get(4), steal: get(7) })
}

fn line(root: &Path, path: &str) -> Option<String> {
    Some(fs::read_to_string(root.join(path)).ok()?.lines().next()?.trim().to_owned())
}

/// A battery that discharges, and no mains that is online.
pub(super) fn on_battery(root: &Path) -> bool {
    let Ok(supplies) = fs::read_dir(root.join("sys/class/power_supply")) else { return false };
    let (mut discharging, mut mains) = (false, false);
    for supply in supplies.flatten() {
        let read = |name: &str| fs::read_to_string(supply.path().join(name)).unwrap_or_default().trim().to_owned();
        match read("type").as_str() {
            "Battery" => discharging |= read("status") == "Discharging",
            "Mains" | "USB" => mains |= read("online") == "1",
            _ => (),
        }
    }
    discharging && !mains
}

fn swap_used(root: &Path) -> Option<f64> {
    let text = fs::read_to_string(root.join("proc/meminfo")).ok()?;
    let kib = |name: &str| -> Option<f64> {
        text.lines().find_map(|l| l.strip_prefix(name)?.trim().strip_suffix("kB")?.trim().parse().ok())
    };
    let total = kib("SwapTotal:").filter(|total| *total > 0.0)?;
    Some(1.0 - kib("SwapFree:")? / total)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Dir;

    #[test]
    fn a_busy_laptop_on_battery_is_noticed() {
        let root = Dir::with(&[
            ("sys/devices/system/cpu/cpu0/cpufreq/scaling_governor", "powersave\n"),
            ("sys/class/power_supply/BAT0/type", "Battery\n"),
            ("sys/class/power_supply/BAT0/status", "Discharging\n"),
            ("sys/class/power_supply/AC/type", "Mains\n"),
            ("sys/class/power_supply/AC/online", "0\n"),
            ("proc/meminfo", "SwapTotal: 1000 kB\nSwapFree: 100 kB\n"),
        ]);
        let codes: Vec<_> = check(&root, 4, Some(0.8)).into_iter().map(|w| w.code).collect();
        assert_eq!(codes, ["high_load", "powersave_governor", "on_battery", "swapping"]);
    }

    #[test]
    fn a_quiet_server_gives_no_warning() {
        let root = Dir::with(&[
            ("proc/loadavg", "0.02 0.1 0.1 1/100 1\n"),
            ("proc/stat", "cpu  10 0 20 60 10 0 0 5 0 0\ncpu0 1\n"),
        ]);
        assert_eq!(check(&root, 4, Some(0.02)), []);
        assert_eq!(cpu_times(&root), Some(CpuTimes { total: 105, idle: 70, steal: 5 }));
    }
}
