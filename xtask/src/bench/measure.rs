//! Wall time and peak memory of a program.

use crate::shell::{self, Cmd};
use anyhow::{Context, Result, bail};
use std::collections::BTreeMap;
use std::fs;
use std::process::Stdio;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// One run of a program.
pub struct Measured {
    /// From start to exit.
    pub seconds: f64,
    /// The highest resident memory of the program or of a process that it started, whichever was larger, in bytes. On Linux
    /// only: the kernel keeps the peak, it is sampled every few milliseconds.
    pub peak_bytes: Option<u64>,
}

/// Runs it unseen; a failure shows the end of what it said.
pub fn measure(cmd: Cmd) -> Result<Measured> {
    let mut command = cmd.into_inner();
    let shown = shell::show(&command);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    let done = AtomicBool::new(false);
    let start = Instant::now();
    let child = command.spawn().with_context(|| format!("cannot start `{shown}`"))?;
    let pid = child.id();
    let (output, seconds, peak_bytes) = std::thread::scope(|scope| {
        let watch = scope.spawn(|| watch(pid, &done));
        let output = child.wait_with_output();
        let seconds = start.elapsed().as_secs_f64();
        done.store(true, Ordering::Relaxed);
        (output, seconds, watch.join().ok().flatten())
    });
    let output = output.with_context(|| format!("cannot wait for `{shown}`"))?;
    if !output.status.success() {
        let text = String::from_utf8_lossy(&output.stderr);
        let tail: Vec<&str> = text.trim().lines().rev().take(10).collect();
        let tail: Vec<&str> = tail.into_iter().rev().collect();
        bail!("`{shown}` failed ({})\n    {}", output.status, tail.join("\n    "));
    }
    Ok(Measured { seconds, peak_bytes })
}

/// Samples the peaks of a process and its descendants until told to stop.
fn watch(pid: u32, done: &AtomicBool) -> Option<u64> {
    let mut peaks: BTreeMap<u32, u64> = BTreeMap::new();
    while !done.load(Ordering::Relaxed) {
        let mut open = vec![pid];
        while let Some(pid) = open.pop() {
            if let Some(peak) = peak_of(pid) {
                peaks.insert(pid, peak);
            }
            open.extend(children_of(pid));
        }
        std::thread::sleep(Duration::from_millis(3));
    }
    peaks.into_values().max()
}

/// `VmHWM` of /proc/PID/status, in kB there.
fn peak_of(pid: u32) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kilobytes: u64 = line.split_whitespace().next()?.parse().ok()?;
    Some(kilobytes * 1024)
}

/// Processes that a process has started and that still run.
pub fn children_of(pid: u32) -> Vec<u32> {
    let threads = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    let lists = threads.filter_map(|thread| fs::read_to_string(thread.path().join("children")).ok());
    lists.flat_map(|list| list.split_whitespace().filter_map(|pid| pid.parse().ok()).collect::<Vec<u32>>()).collect()
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn the_peak_of_a_started_process_is_seen() {
        // The inner shell holds 20 MB for a while.
        let script = "sh -c 'x=$(head -c 20000000 /dev/zero | tr \"\\0\" x); sleep 0.3; : $x' ; true";
        let measured = measure(Cmd::new("sh").args(["-c", script])).unwrap();
        assert!(measured.peak_bytes.unwrap() > 20_000_000);
        assert!(measured.seconds > 0.0);
    }

    #[test]
    fn a_failure_shows_what_the_program_said() {
        let error = measure(Cmd::new("sh").args(["-c", "echo broken >&2; exit 4"])).err().unwrap();
        assert!(format!("{error:#}").contains("broken"));
    }
}
