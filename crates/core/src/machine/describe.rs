//! What the machine is.

use super::{cgroup, cores};
use serde::{Deserialize, Serialize};
use std::fs;
use std::path::Path;

/// A machine as the record keeps it. Absent where the system does not tell.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Machine {
    /// Host name, without characters that file names cannot hold.
    pub hostname: String,
    /// The user.
    pub username: String,
    /// Operating system, as `Linux`.
    pub platform: String,
    /// Its kernel's release.
    pub release: String,
    /// Architecture, as `x86_64`.
    pub arch: String,
    /// Processor model.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpu: Option<String>,
    /// Processors that this process may use.
    pub logical_cpus: u32,
    /// Physical cores among them, within the quota.
    pub physical_cores: u32,
    /// Processors that the control group's quota pays for, where there is one: 1.5 is one and a half.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpu_quota: Option<f64>,
    /// Memory, bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory_bytes: Option<u64>,
    /// Frequency governor of the first processor.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub governor: Option<String>,
    /// Hypervisor or container hint, as `kvm`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub virtualization: Option<String>,
    /// Distribution, as `Debian GNU/Linux 12`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub distribution: Option<String>,
}

impl Machine {
    /// Describes the machine that this runs on.
    pub fn this() -> Machine {
        Machine::read(Path::new("/"))
    }

    /// The same, reading files below `root`.
    pub fn read(root: &Path) -> Machine {
        let (platform, release, arch, node) = uname();
        let cpuinfo = text(root, "proc/cpuinfo").unwrap_or_default();
        let logical = std::thread::available_parallelism().map_or(1, |n| n.get() as u32);
        let (allowed, cpu_quota) = (cores::allowed_cpus(), cgroup::cpu_quota(root));
        let physical = cores::usable(root, &cpuinfo, allowed.as_deref(), cpu_quota);
        Machine {
            hostname: file_safe(&node),
            username: username(),
            platform,
            release,
            arch,
            cpu: field(&cpuinfo, "model name").or_else(|| field(&cpuinfo, "Model")),
            logical_cpus: logical,
            physical_cores: physical.map_or(logical, |cores| cores.min(logical)),
            cpu_quota,
            memory_bytes: text(root, "proc/meminfo").and_then(|t| kib(&field(&t, "MemTotal")?)),
            governor: text(root, "sys/devices/system/cpu/cpu0/cpufreq/scaling_governor").map(|t| t.trim().to_owned()),
            virtualization: virtualization(root, &cpuinfo),
            distribution: text(root, "etc/os-release").and_then(|t| {
                t.lines().find_map(|l| Some(l.strip_prefix("PRETTY_NAME=")?.trim_matches('"').to_owned()))
            }),
        }
    }

    /// One line for people: processor, cores, memory, system.
    pub fn line(&self) -> String {
        let cpu = self.cpu.as_deref().unwrap_or(&self.arch);
        let memory = self.memory_bytes.map(|b| format!(", {:.0} GB", b as f64 / 1e9)).unwrap_or_default();
        let system = self.distribution.as_deref().unwrap_or(&self.platform);
        let virt = self.virtualization.as_deref().map(|v| format!(", virtual machine ({v})")).unwrap_or_default();
        let quota = self.cpu_quota.map(|quota| format!(" (a quota of {quota:.1})")).unwrap_or_default();
        format!(
            "{cpu}, {} cores{quota}{memory}, {system}, {} {}{virt}",
            self.physical_cores, self.platform, self.release
        )
    }
}

/// Threads that a case uses: what was asked for, else one per physical core that this process may use.
pub fn threads_for(asked: Option<u32>, machine: &Machine) -> u32 {
    asked.unwrap_or(machine.physical_cores).max(1)
}

fn text(root: &Path, path: &str) -> Option<String> {
    fs::read_to_string(root.join(path)).ok()
}

/// Value of the first `name : value` line.
pub(super) fn field(text: &str, name: &str) -> Option<String> {
    text.lines().find_map(|line| {
        let (key, value) = line.split_once(':')?;
        (key.trim() == name).then(|| value.trim().to_owned())
    })
}

fn kib(value: &str) -> Option<u64> {
    value.strip_suffix("kB")?.trim().parse::<u64>().ok()?.checked_mul(1024)
}

fn virtualization(root: &Path, cpuinfo: &str) -> Option<String> {
    if !field(cpuinfo, "flags").is_some_and(|flags| flags.split_whitespace().any(|f| f == "hypervisor")) {
        return None;
    }
    let vendor = text(root, "sys/class/dmi/id/sys_vendor").map(|v| v.trim().to_owned()).filter(|v| !v.is_empty());
    Some(vendor.unwrap_or_else(|| "unknown hypervisor".into()))
}

fn username() -> String {
    std::env::var("USER").or_else(|_| std::env::var("LOGNAME")).unwrap_or_else(|_| {
        // SAFETY: getuid cannot fail.
        if unsafe { libc::getuid() } == 0 { "root".into() } else { "unknown".into() }
    })
}

/// System, release, machine and node names.
fn uname() -> (String, String, String, String) {
    let text = |bytes: &[libc::c_char]| {
        let bytes: Vec<u8> = bytes.iter().take_while(|c| **c != 0).map(|c| *c as u8).collect();
        String::from_utf8_lossy(&bytes).into_owned()
    };
    // SAFETY: the structure is plain data that uname fills.
    unsafe {
        let mut names: libc::utsname = std::mem::zeroed();
        if libc::uname(&raw mut names) != 0 {
            return Default::default();
        }
        (text(&names.sysname), text(&names.release), text(&names.machine), text(&names.nodename))
    }
}

fn file_safe(name: &str) -> String {
    let safe: String =
        name.chars().map(|c| if c.is_ascii_alphanumeric() || "-.".contains(c) { c } else { '-' }).collect();
    let safe = safe.trim_matches(['.', '-']).to_owned();
    if safe.is_empty() { "localhost".into() } else { safe }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_fit_into_file_names() {
        assert_eq!(file_safe("my host/1"), "my-host-1");
        assert_eq!(file_safe(""), "localhost");
    }

    #[test]
    fn this_machine_has_a_name_and_cores() {
        let machine = Machine::this();
        assert!(!machine.hostname.is_empty() && machine.physical_cores >= 1);
        assert!(machine.physical_cores <= machine.logical_cpus);
    }
}
