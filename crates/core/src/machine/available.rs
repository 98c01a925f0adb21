//! Memory that programs can still take: of the machine, and of the control groups that this process is in.

use std::fs;
use std::path::Path;

/// Bytes that can be taken without swapping, below `root` (`/` on a real machine): `MemAvailable`, or less where a
/// control group leaves less. `None` where the system does not tell.
pub fn available_memory(root: &Path) -> Option<u64> {
    let machine = kib(&fs::read_to_string(root.join("proc/meminfo")).ok()?, "MemAvailable")?;
    let group = group_headroom(root).or_else(|| super::cgroup::headroom_of_version_1(root));
    Some(group.map_or(machine, |group| machine.min(group)))
}

/// Resident memory of process `pid` now, mapped files included, bytes.
pub fn resident_memory(root: &Path, pid: u32) -> Option<u64> {
    kib(&fs::read_to_string(root.join(format!("proc/{pid}/status"))).ok()?, "VmRSS")
}

/// The value of a line `Name:   123 kB`, in bytes.
fn kib(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()?.checked_mul(1024)
}

/// What the tightest of the control groups above this process leaves; `None` where none has a limit.
fn group_headroom(root: &Path) -> Option<u64> {
    let text = fs::read_to_string(root.join("proc/self/cgroup")).ok()?;
    let own = text.lines().find_map(|line| line.strip_prefix("0::"))?.trim_start_matches('/').to_owned();
    let top = root.join("sys/fs/cgroup");
    Path::new(&own).ancestors().filter_map(|group| headroom(&top.join(group))).min()
}

/// Limit minus use, where the page cache counts as free.
fn headroom(group: &Path) -> Option<u64> {
    let read = |name: &str| fs::read_to_string(group.join(name)).ok();
    let limit: u64 = read("memory.max")?.trim().parse().ok()?;
    let used: u64 = read("memory.current")?.trim().parse().ok()?;
    let stat = read("memory.stat").unwrap_or_default();
    let cache =
        |name: &str| -> u64 { stat.lines().find_map(|line| line.strip_prefix(name)?.trim().parse().ok()).unwrap_or(0) };
    let cached = cache("inactive_file ").saturating_add(cache("active_file "));
    Some(limit.saturating_sub(used.saturating_sub(cached)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Dir;

    #[test]
    fn the_machine_or_the_tightest_group_limits() {
        let machine = ("proc/meminfo", "MemTotal: 16000 kB\nMemAvailable:    8000 kB\n");
        assert_eq!(available_memory(&Dir::with(&[machine])), Some(8_192_000));
        let root = Dir::with(&[
            machine,
            ("proc/self/cgroup", "0::/outer/inner\n"),
            ("sys/fs/cgroup/outer/memory.max", "5000000\n"),
            ("sys/fs/cgroup/outer/memory.current", "3000000\n"),
            ("sys/fs/cgroup/outer/memory.stat", "anon 1\ninactive_file 500000\nactive_file 500000\n"),
            ("sys/fs/cgroup/outer/inner/memory.max", "max\n"),
            ("sys/fs/cgroup/outer/inner/memory.current", "3000000\n"),
        ]);
        assert_eq!(available_memory(&root), Some(3_000_000));
        assert_eq!(available_memory(Path::new("/nowhere")), None);
    }

    #[test]
    fn this_process_is_resident() {
        assert!(resident_memory(Path::new("/"), std::process::id()).unwrap() > 0);
        assert_eq!(resident_memory(Path::new("/nowhere"), 1), None);
    }
}
