//! The machine and the versions that a result belongs to.

use crate::paths;
use crate::shell::Cmd;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::fs;
use std::time::SystemTime;

/// Physical cores that this process may use: what an engine runs best with.
pub fn cores() -> usize {
    let allowed = std::thread::available_parallelism().map_or(1, usize::from);
    let text = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    match physical_cores(&text) {
        0 => allowed,
        physical => physical.min(allowed),
    }
}

/// Distinct pairs of socket and core in /proc/cpuinfo; 0 where it does not tell.
fn physical_cores(cpuinfo: &str) -> usize {
    let field = |block: &str, name: &str| {
        let line = block.lines().find(|line| line.split(':').next().is_some_and(|key| key.trim() == name))?;
        line.split_once(':').map(|(_, value)| value.trim().to_owned())
    };
    let pairs =
        cpuinfo.split("\n\n").filter_map(|block| Some((field(block, "physical id")?, field(block, "core id")?)));
    pairs.collect::<BTreeSet<_>>().len()
}

/// What the figures depend on. The load is that before the benchmark.
pub fn describe() -> Value {
    let line_of = |file: &str, key: &str| {
        let text = fs::read_to_string(file).ok()?;
        let line = text.lines().find(|line| line.starts_with(key))?;
        line.split_once(':').map(|(_, value)| value.trim().to_owned())
    };
    let load = fs::read_to_string("/proc/loadavg").ok();
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map(|time| time.as_secs()).ok();
    json!({
        "cpu": line_of("/proc/cpuinfo", "model name"),
        "logical_cpus": std::thread::available_parallelism().map(usize::from).ok(),
        "physical_cores": cores(),
        "memory": line_of("/proc/meminfo", "MemTotal"),
        "system": Cmd::new("uname").arg("-srm").ask(),
        "load_before": load.as_deref().and_then(|text| text.split(' ').next()),
        "unix_time": now,
    })
}

/// Versions of what took part.
pub fn versions() -> Value {
    let root = paths::root();
    json!({
        "tokometer": Cmd::new(paths::tokometer()).arg("--version").ask(),
        "commit": Cmd::new("git").dir(root).args(["describe", "--always", "--dirty", "--abbrev=12"]).ask(),
        "rustc": Cmd::new("rustc").arg("--version").ask(),
        "cc": Cmd::new("cc").arg("--version").ask().and_then(|text| text.lines().next().map(str::to_owned)),
    })
}

#[cfg(test)]
mod tests {
    use super::physical_cores;

    #[test]
    fn two_threads_of_one_core_count_once() {
        let text = "processor\t: 0\nphysical id\t: 0\ncore id\t\t: 0\n\nprocessor\t: 1\nphysical id\t: 0\ncore id\t\t: 0\n\n\
                    processor\t: 2\nphysical id\t: 0\ncore id\t\t: 1\n";
        assert_eq!(physical_cores(text), 2);
        assert_eq!(physical_cores("processor : 0\nmodel name : x\n"), 0);
    }
}
