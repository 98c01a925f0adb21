//! How many cores this process may use: those of its affinity mask (`taskset`, cpusets of containers), and no more than
//! the quota of its control group pays for.

use super::describe::field;
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

/// Processors in this process's affinity mask; `None` where the system does not tell.
#[cfg(target_os = "linux")]
pub(super) fn allowed_cpus() -> Option<Vec<usize>> {
    // SAFETY: the set is plain data that the call fills, CPU_ISSET stays below CPU_SETSIZE bits.
    unsafe {
        let mut set: libc::cpu_set_t = std::mem::zeroed();
        if libc::sched_getaffinity(0, size_of::<libc::cpu_set_t>(), &raw mut set) != 0 {
            return None;
        }
        Some((0..libc::CPU_SETSIZE as usize).filter(|cpu| libc::CPU_ISSET(*cpu, &set)).collect())
    }
}

/// The same where there are no such masks.
#[cfg(not(target_os = "linux"))]
pub(super) fn allowed_cpus() -> Option<Vec<usize>> {
    None
}

/// Physical cores among the `allowed` processors (all that are online without a mask), at most `quota` and at least one.
/// Reads /sys and, where that is not mounted, `cpuinfo`; `None` where neither tells.
pub(super) fn usable(root: &Path, cpuinfo: &str, allowed: Option<&[usize]>, quota: Option<f64>) -> Option<u32> {
    let cores = from_topology(root, allowed).or_else(|| from_cpuinfo(cpuinfo, allowed))?;
    Some(quota.map_or(cores, |quota| cores.min((quota.floor() as u32).max(1))))
}

/// A core is the set of processors that share it, whatever numbers sockets, dies and clusters give their cores
/// (kernel documentation, "How CPU topology info is exported via sysfs").
fn from_topology(root: &Path, allowed: Option<&[usize]>) -> Option<u32> {
    let folder = root.join("sys/devices/system/cpu");
    let siblings = |cpu: usize| {
        let topology = folder.join(format!("cpu{cpu}/topology"));
        // The second name is that of kernels before 5.3.
        let names = ["core_cpus_list", "thread_siblings_list"];
        names.iter().find_map(|name| fs::read_to_string(topology.join(name)).ok())
    };
    let cores: BTreeSet<String> = match allowed {
        Some(cpus) => cpus.iter().map(|cpu| siblings(*cpu)).collect::<Option<_>>()?,
        None => {
            let names = fs::read_dir(&folder).ok()?.flatten().map(|entry| entry.file_name());
            let number = |name: std::ffi::OsString| name.to_str()?.strip_prefix("cpu")?.parse::<usize>().ok();
            names.filter_map(number).filter_map(siblings).collect()
        }
    };
    u32::try_from(cores.len()).ok().filter(|n| *n > 0)
}

/// Distinct pairs of socket and core in /proc/cpuinfo; `None` where it does not tell (ARM).
fn from_cpuinfo(cpuinfo: &str, allowed: Option<&[usize]>) -> Option<u32> {
    let is_allowed = |block: &&str| {
        let number = field(block, "processor").and_then(|text| text.parse().ok());
        allowed.is_none_or(|allowed| number.is_none_or(|number| allowed.contains(&number)))
    };
    let blocks = cpuinfo.split("\n\n").filter(is_allowed);
    let cores: BTreeSet<(String, String)> =
        blocks.filter_map(|block| Some((field(block, "physical id")?, field(block, "core id")?))).collect();
    u32::try_from(cores.len()).ok().filter(|n| *n > 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Dir;

    #[test]
    fn only_cores_of_the_affinity_mask_count() {
        let root = Dir::new();
        // Four cores with two threads each; cpu0 and cpu4 share one, and so on.
        for cpu in 0..8 {
            let topology = root.join(format!("sys/devices/system/cpu/cpu{cpu}/topology"));
            fs::create_dir_all(&topology).unwrap();
            let name = if cpu % 2 == 0 { "core_cpus_list" } else { "thread_siblings_list" };
            fs::write(topology.join(name), format!("{},{}\n", cpu % 4, cpu % 4 + 4)).unwrap();
        }
        fs::create_dir_all(root.join("sys/devices/system/cpu/cpufreq")).unwrap();
        let count = |allowed: Option<&[usize]>, quota| usable(&root, "", allowed, quota);
        assert_eq!(count(None, None), Some(4));
        assert_eq!(count(Some(&[0, 4]), None), Some(1));
        assert_eq!(count(Some(&[0, 1, 4]), None), Some(2));
        assert_eq!(count(Some(&[0, 1, 2, 3]), Some(2.5)), Some(2));
        assert_eq!(count(Some(&[0, 1, 2, 3]), Some(0.5)), Some(1));
        assert_eq!(count(Some(&[0]), Some(16.0)), Some(1));
        // A processor of which nothing is known: /sys does not tell.
        assert_eq!(count(Some(&[0, 99]), None), None);
    }

    #[test]
    fn without_sys_cpuinfo_tells_and_hyperthreads_are_not_cores() {
        let block = |cpu: u32, core: u32| format!("processor : {cpu}\nphysical id : 0\ncore id : {core}\n");
        let info = [block(0, 0), block(1, 1), block(2, 0), block(3, 1)].join("\n");
        let nowhere = Path::new("/nowhere");
        assert_eq!(usable(nowhere, &info, None, None), Some(2));
        assert_eq!(usable(nowhere, &info, Some(&[0, 2]), None), Some(1));
        assert_eq!(usable(nowhere, "processor : 0\n", None, None), None);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn this_process_may_use_a_processor() {
        assert!(!allowed_cpus().unwrap().is_empty());
    }
}
