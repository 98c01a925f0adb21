//! The machine that measures: what it is, what of it this process may use, whether it is quiet, and the lock that keeps
//! two measurements apart.
//!
//! `probe` measures what it achieves without an engine, `sensors` and `energy` read what it says of itself, and `watch`
//! makes events of all three for the raw log.
//!
//! Readers of /proc and /sys take the root folder as a parameter, so that they are tested on recorded trees.

mod available;
pub mod cgroup;
mod cores;
mod describe;
pub mod energy;
mod gpu;
mod lock;
mod memory;
pub mod probe;
mod quiet;
mod root;
pub mod sensors;
pub mod watch;

pub use available::{available_memory, resident_memory};
pub use cgroup::MemoryGroup;
pub use describe::{Machine, threads_for};
pub use energy::Energy;
pub use lock::{Lock, LockError};
pub use memory::{ProcessMemory, TICK_NS, process_memory, process_ticks};
pub use probe::{Probe, Reading};
pub use quiet::{BUSY, CpuTimes, Warning, busy_share, check, cpu_times, load_average};
pub use root::Root;
pub use sensors::Conditions;
pub use watch::Watch;
