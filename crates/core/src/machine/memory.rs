//! Memory of a process, from /proc.

use std::path::Path;

/// What /proc/PID/status says, bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ProcessMemory {
    /// Highest resident memory so far (VmHWM); the kernel keeps this exactly.
    pub peak_rss: Option<u64>,
    /// Resident memory now (VmRSS).
    pub rss: Option<u64>,
    /// Anonymous resident memory now (RssAnon).
    pub anon: Option<u64>,
}

/// Reads the memory of process `pid` below `root` (`/` on a real machine).
pub fn process_memory(root: &Path, pid: u32) -> ProcessMemory {
    let text = std::fs::read_to_string(root.join(format!("proc/{pid}/status"))).unwrap_or_default();
    let bytes = |name: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
        line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()?.checked_mul(1024)
    };
    ProcessMemory { peak_rss: bytes("VmHWM"), rss: bytes("VmRSS"), anon: bytes("RssAnon") }
}

/// Nanoseconds of a clock tick of /proc: 100 per second on every Linux (USER_HZ, `man 5 proc`).
pub const TICK_NS: u64 = 10_000_000;

/// Processor time of process `pid` and of its children that have ended, in clock ticks.
pub fn process_ticks(root: &Path, pid: u32) -> Option<u64> {
    let text = std::fs::read_to_string(root.join(format!("proc/{pid}/stat"))).ok()?;
    // The name in brackets may hold anything; fields 14 to 17 of the line count from behind it.
    let fields: Vec<&str> = text.rsplit_once(')')?.1.split_whitespace().collect();
    fields.get(11..15)?.iter().map(|field| field.parse::<u64>().ok()).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_has_memory_and_an_absent_one_has_none() {
        let own = process_memory(Path::new("/"), std::process::id());
        assert!(own.peak_rss.unwrap() >= own.rss.unwrap() && own.rss.unwrap() >= own.anon.unwrap());
        assert_eq!(process_memory(Path::new("/nowhere"), 1), ProcessMemory::default());
    }
}
