//! The last-level cache: a buffer must be well beyond it before reading it says anything of memory.

use super::super::root::{self, Root};
use std::collections::BTreeMap;

/// The highest level of cache that holds data.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct LastLevel {
    /// Bytes of one instance.
    pub bytes: u64,
    /// How many there are; processors of one instance share it.
    pub instances: u64,
}

impl LastLevel {
    /// What `threads` threads can find in caches at most: they may run below as many instances.
    pub fn reach(&self, threads: u64) -> u64 {
        self.bytes.saturating_mul(self.instances.min(threads.max(1)))
    }
}

/// Reads the caches of all processors (Linux: Documentation/ABI/testing/sysfs-devices-system-cpu, `cache/index*`).
pub(super) fn last_level(root: &Root) -> Option<LastLevel> {
    // By level and the processors that share an instance: its bytes.
    let mut caches: BTreeMap<(u32, String), u64> = BTreeMap::new();
    for cpu in root.entries("sys/devices/system/cpu").iter().filter(|path| is_cpu(&root::name(path))) {
        for index in root::entries(&cpu.join("cache")) {
            let read = |name: &str| root::text(&index.join(name));
            let (Some(level), Some(kind), Some(size)) = (read("level"), read("type"), read("size")) else { continue };
            let (Ok(level), Some(bytes)) = (level.parse(), bytes(&size)) else { continue };
            if kind != "Instruction" {
                let shared = read("shared_cpu_list").unwrap_or_else(|| root::name(cpu));
                caches.insert((level, shared), bytes);
            }
        }
    }
    let highest = caches.keys().map(|(level, _)| *level).max()?;
    let last: Vec<u64> = caches.iter().filter(|((level, _), _)| *level == highest).map(|(_, bytes)| *bytes).collect();
    Some(LastLevel { bytes: last.iter().copied().max()?, instances: last.len() as u64 })
}

/// `cpu0`, but not `cpufreq`.
fn is_cpu(name: &str) -> bool {
    name.strip_prefix("cpu").is_some_and(|digits| !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit()))
}

/// `32768K` or `32M`.
fn bytes(size: &str) -> Option<u64> {
    let unit = match size.bytes().last()? {
        b'K' => 1 << 10,
        b'M' => 1 << 20,
        _ => return size.parse().ok(),
    };
    size[..size.len() - 1].parse::<u64>().ok()?.checked_mul(unit)
}

#[cfg(test)]
mod tests {
    use super::super::super::root::Tree;
    use super::*;

    #[test]
    fn two_instances_shared_by_pairs_are_two() {
        let mut files = vec![("sys/devices/system/cpu/cpufreq/policy0/x".to_owned(), "1".to_owned())];
        for cpu in 0..4 {
            let shared = if cpu < 2 { "0-1" } else { "2-3" };
            let caches =
                [("1", "Data", "32K", "0"), ("1", "Instruction", "64M", "0"), ("3", "Unified", "32768K", shared)];
            for (index, (level, kind, size, shared)) in caches.into_iter().enumerate() {
                let folder = format!("sys/devices/system/cpu/cpu{cpu}/cache/index{index}");
                for (name, value) in [("level", level), ("type", kind), ("size", size), ("shared_cpu_list", shared)] {
                    files.push((format!("{folder}/{name}"), format!("{value}\n")));
                }
            }
        }
        let files: Vec<(&str, &str)> = files.iter().map(|(path, text)| (path.as_str(), text.as_str())).collect();
        let found = last_level(&Tree::new(&files).root()).unwrap();
        assert_eq!(found, LastLevel { bytes: 32 << 20, instances: 2 });
        assert_eq!((found.reach(1), found.reach(16)), (32 << 20, 64 << 20));
    }

    #[test]
    fn an_unknown_cache_is_none_and_odd_sizes_do_not_overflow() {
        assert_eq!(last_level(&Tree::new(&[]).root()), None);
        assert_eq!(
            (bytes("18446744073709551615M"), bytes("K"), bytes(""), bytes("1024")),
            (None, None, None, Some(1024))
        );
    }
}
