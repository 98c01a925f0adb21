//! How much of a processor a program takes while one that it started computes: the kernel's own account, read from outside.

use super::measure::children_of;
use crate::shell::{self, Cmd};
use anyhow::{Context, Result, bail};
use serde_json::{Value, json};
use std::fs;
use std::process::Stdio;
use std::time::{Duration, Instant};

/// Between two readings.
const INTERVAL: Duration = Duration::from_millis(100);
/// Share of an interval that each of the child's threads must have computed for it to count.
const BUSY: f64 = 0.8;

/// What the parent took while its child computed.
#[derive(Debug, Default)]
pub struct Asleep {
    /// Intervals in which the child computed on all of its threads.
    pub intervals: usize,
    /// Those in which the parent ran at all.
    pub awake: usize,
    /// Their length in all, nanoseconds.
    pub span_ns: u64,
    /// What the parent ran in them, nanoseconds of processor time.
    pub parent_ns: u64,
}

impl Asleep {
    /// Processor time of the parent for each second in which its child computed, microseconds.
    pub fn us_per_s(&self) -> f64 {
        self.parent_ns as f64 / 1e3 / (self.span_ns as f64 / 1e9)
    }

    /// For the raw figures.
    pub fn raw(&self) -> Value {
        json!({
            "intervals": self.intervals, "awake": self.awake, "span_ns": self.span_ns, "parent_ns": self.parent_ns,
        })
    }
}

/// Runs a program unseen and reads the accounts of it and of what it started, until it ends.
pub fn watch(cmd: Cmd, threads: usize) -> Result<Asleep> {
    let mut command = cmd.into_inner();
    let shown = shell::show(&command);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let mut child = command.spawn().with_context(|| format!("cannot start `{shown}`"))?;
    let parent = child.id();
    let mut asleep = Asleep::default();
    let mut last: Option<(Instant, u64, u64, u32)> = None;
    let status = loop {
        if let Some(status) = child.try_wait().with_context(|| format!("cannot wait for `{shown}`"))? {
            break status;
        }
        let worker = children_of(parent).first().copied();
        let now = worker.map(|worker| (Instant::now(), computed_ns(parent), computed_ns(worker), worker));
        if let (Some(before), Some(now)) = (last, now)
            && before.3 == now.3
        {
            let span_ns = (now.0 - before.0).as_nanos() as u64;
            let computed = now.2.saturating_sub(before.2) as f64;
            if computed >= BUSY * span_ns as f64 * threads as f64 {
                let parent_ns = now.1.saturating_sub(before.1);
                asleep.intervals += 1;
                asleep.awake += usize::from(parent_ns > 0);
                asleep.span_ns += span_ns;
                asleep.parent_ns += parent_ns;
            }
        }
        last = now;
        std::thread::sleep(INTERVAL);
    };
    if !status.success() {
        bail!("`{shown}` failed ({status})");
    }
    Ok(asleep)
}

/// Nanoseconds that the threads of a process have computed (`schedstat`, `Documentation/scheduler/sched-stats.rst` of Linux).
fn computed_ns(pid: u32) -> u64 {
    let threads = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    let texts = threads.filter_map(|thread| fs::read_to_string(thread.path().join("schedstat")).ok());
    texts.filter_map(|text| text.split_whitespace().next()?.parse::<u64>().ok()).sum()
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn a_parent_that_waits_is_told_from_one_that_computes() {
        let busy = "import time\nend = time.monotonic() + 1.5\nwhile time.monotonic() < end: pass";
        let script = |meanwhile: &str| {
            format!(
                "import subprocess, sys, time\nchild = subprocess.Popen([sys.executable, '-c', {busy:?}])\n{meanwhile}"
            )
        };
        let waits = watch(Cmd::new("python3").args(["-c", &script("child.wait()")]), 1).unwrap();
        if waits.intervals == 0 {
            eprintln!("skipped: on this machine nothing may compute for a tenth of a second on end");
            return;
        }
        assert!(waits.us_per_s() < 20_000.0, "{waits:?}");
        let computes = watch(Cmd::new("python3").args(["-c", &script("while child.poll() is None: pass")]), 1).unwrap();
        assert!(computes.intervals == 0 || computes.us_per_s() > 50_000.0, "{computes:?}");
    }
}
