//! What the operating system says of a worker's part in a round.

use crate::machine::{self, CpuTimes};
use crate::record::Resources;
use std::path::Path;
use std::time::Instant;

const ROOT: &str = "/";

/// The machine's state when the part began.
pub(super) struct Usage {
    began: Instant,
    load: Option<f64>,
    cpu: Option<CpuTimes>,
    /// Ticks that the worker had used before; none for one that is about to be started.
    ticks: u64,
}

impl Usage {
    /// Begins to count; `pid` is that of a worker that runs already.
    pub fn begin(pid: Option<u32>) -> Usage {
        let root = Path::new(ROOT);
        Usage {
            began: Instant::now(),
            load: machine::load_average(root),
            cpu: machine::cpu_times(root),
            ticks: pid.and_then(|pid| machine::process_ticks(root, pid)).unwrap_or(0),
        }
    }

    /// What was used since; `anon` is the highest anonymous memory that was seen.
    pub fn until_now(&self, pid: u32, anon: Option<u64>) -> Resources {
        let root = Path::new(ROOT);
        let memory = machine::process_memory(root, pid);
        let own = machine::process_ticks(root, pid).map(|ticks| ticks.saturating_sub(self.ticks));
        let spent = self.cpu.zip(machine::cpu_times(root)).map(|(before, after)| CpuTimes {
            total: after.total.saturating_sub(before.total),
            idle: after.idle.saturating_sub(before.idle),
            steal: after.steal.saturating_sub(before.steal),
        });
        let share = |ticks: u64, spent: &CpuTimes| (spent.total > 0).then(|| ticks as f64 / spent.total as f64);
        let others = spent.zip(own).and_then(|(spent, own)| {
            let busy = spent.total.saturating_sub(spent.idle);
            share(busy.saturating_sub(own).saturating_sub(spent.steal), &spent)
        });
        Resources {
            peak_rss_bytes: memory.peak_rss,
            peak_anon_bytes: anon.max(memory.anon),
            peak_device_bytes: None,
            cpu_ns: own.map(|ticks| ticks * machine::TICK_NS),
            wall_ns: Some(self.began.elapsed().as_nanos() as u64),
            load_before: self.load,
            steal: spent.and_then(|spent| share(spent.steal, &spent)),
            others,
            readings: Default::default(),
        }
    }
}
