//! What the processor says of itself: frequency, temperature, how often it throttled.

use super::super::root::{self, Root};
use std::path::{Path, PathBuf};

/// hwmon drivers of processors.
const THERMOMETERS: &[&str] = &["coretemp", "k10temp", "zenpower", "cpu_thermal", "soc_thermal"];

/// Mean frequency of the `busy` fastest processors, MHz (cpufreq's `scaling_cur_freq`, kHz): with two threads at work
/// the other sixty processors of a server say nothing.
pub(super) fn frequency_mhz(root: &Root, busy: u32) -> Option<f64> {
    let read = |cpu: &PathBuf| root::number::<f64>(&cpu.join("cpufreq/scaling_cur_freq")).filter(|khz| *khz > 0.0);
    let mut khz: Vec<f64> = cpus(root).iter().filter_map(read).collect();
    khz.sort_by(|a, b| b.total_cmp(a));
    khz.truncate(busy.max(1) as usize);
    let mean = khz.iter().sum::<f64>() / khz.len() as f64;
    (!khz.is_empty()).then_some(mean / 1000.0)
}

/// The hottest reading of the processor, degrees Celsius: hwmon, or else the thermal zones (both in thousandths).
pub(super) fn temperature_c(root: &Root) -> Option<f64> {
    let chips = root.entries("sys/class/hwmon");
    let own = chips.iter().filter(|chip| root::text(&chip.join("name")).is_some_and(|n| THERMOMETERS.contains(&&*n)));
    let inputs = own.flat_map(|chip| root::entries(chip)).filter(|path| is_temperature(path));
    let zones = root.entries("sys/class/thermal").into_iter().filter(|zone| is_processor_zone(zone));
    hottest(inputs).or_else(|| hottest(zones.map(|zone| zone.join("temp"))))
}

/// Times that a core was slowed down for its heat since the start of the system (x86: `thermal_throttle`). Cores and
/// packages count the same events, so the larger sum stands.
pub(super) fn throttle_count(root: &Root) -> Option<u64> {
    let count = |name: &str| -> Option<u64> {
        let counts = cpus(root).into_iter().filter_map(|cpu| root::number(&cpu.join("thermal_throttle").join(name)));
        counts.reduce(|sum: u64, count: u64| sum.saturating_add(count))
    };
    count("core_throttle_count").max(count("package_throttle_count"))
}

fn cpus(root: &Root) -> Vec<PathBuf> {
    let is_cpu = |path: &PathBuf| {
        let name = root::name(path);
        name.strip_prefix("cpu").is_some_and(|n| !n.is_empty() && n.bytes().all(|b| b.is_ascii_digit()))
    };
    root.entries("sys/devices/system/cpu").into_iter().filter(is_cpu).collect()
}

fn is_temperature(path: &Path) -> bool {
    let name = root::name(path);
    name.starts_with("temp") && name.ends_with("_input")
}

fn is_processor_zone(zone: &Path) -> bool {
    let kind = root::text(&zone.join("type")).unwrap_or_default().to_lowercase();
    ["cpu", "pkg", "soc"].iter().any(|word| kind.contains(word))
}

fn hottest(files: impl Iterator<Item = PathBuf>) -> Option<f64> {
    let degrees = files.filter_map(|path| root::number::<f64>(&path)).map(|thousandths| thousandths / 1000.0);
    degrees.filter(|c| (-50.0..200.0).contains(c)).reduce(f64::max)
}

#[cfg(test)]
mod tests {
    use super::super::super::root::Tree;
    use super::*;

    #[test]
    fn only_the_busy_processors_count() {
        let tree = Tree::new(&[
            ("sys/devices/system/cpu/cpu0/cpufreq/scaling_cur_freq", "3500000\n"),
            ("sys/devices/system/cpu/cpu1/cpufreq/scaling_cur_freq", "800000\n"),
            ("sys/devices/system/cpu/cpu2/cpufreq/scaling_cur_freq", "3300000\n"),
            ("sys/devices/system/cpu/cpufreq/boost", "1\n"),
        ]);
        assert_eq!(frequency_mhz(&tree.root(), 2), Some(3400.0));
        assert_eq!(frequency_mhz(&Tree::new(&[]).root(), 2), None);
    }

    #[test]
    fn a_disk_is_no_processor_and_zones_are_second_choice() {
        let tree = Tree::new(&[
            ("sys/class/hwmon/hwmon0/name", "nvme\n"),
            ("sys/class/hwmon/hwmon0/temp1_input", "99000\n"),
            ("sys/class/thermal/thermal_zone0/type", "acpitz\n"),
            ("sys/class/thermal/thermal_zone0/temp", "90000\n"),
            ("sys/class/thermal/thermal_zone1/type", "x86_pkg_temp\n"),
            ("sys/class/thermal/thermal_zone1/temp", "61500\n"),
        ]);
        assert_eq!(temperature_c(&tree.root()), Some(61.5));
        tree.write(&[
            ("sys/class/hwmon/hwmon1/name", "k10temp\n"),
            ("sys/class/hwmon/hwmon1/temp1_input", "70125\n"),
            ("sys/class/hwmon/hwmon1/temp3_input", "68000\n"),
            ("sys/class/hwmon/hwmon1/temp1_max", "110000\n"),
        ]);
        assert_eq!(temperature_c(&tree.root()), Some(70.125));
    }

    #[test]
    fn throttling_is_counted_over_the_cores() {
        let tree = Tree::new(&[
            ("sys/devices/system/cpu/cpu0/thermal_throttle/core_throttle_count", "3\n"),
            ("sys/devices/system/cpu/cpu1/thermal_throttle/core_throttle_count", "4\n"),
            ("sys/devices/system/cpu/cpu0/thermal_throttle/package_throttle_count", "2\n"),
        ]);
        assert_eq!((throttle_count(&tree.root()), throttle_count(&Tree::new(&[]).root())), (Some(7), None));
    }
}
