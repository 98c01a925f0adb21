//! The machine that measures: what it is, what of it this process may use, whether it is quiet, and the lock that keeps
//! two measurements apart.
//!
//! Readers of /proc and /sys take the root folder as a parameter, so that they are tested on recorded trees.

mod available;
pub mod cgroup;
mod cores;
mod describe;
mod gpu;
mod lock;
mod memory;
mod quiet;

pub use available::{available_memory, resident_memory};
pub use cgroup::MemoryGroup;
pub use describe::{Machine, threads_for};
pub use lock::{Lock, LockError};
pub use memory::{ProcessMemory, TICK_NS, process_memory, process_ticks};
pub use quiet::{BUSY, CpuTimes, Warning, busy_share, check, cpu_times, load_average};
