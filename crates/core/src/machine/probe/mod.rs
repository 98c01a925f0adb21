//! The sentinel: what memory and arithmetic of this machine achieve at the moment, without any engine. A tenth of a second
//! or two between the rounds of a run, short ones sharing it; if it finds another machine after a round than before it, the figures of that
//! round say less. The same readings are the roof of `analyze::roofline`.
//!
//! Buffers are there only while a probe measures: between probes an engine has the memory to itself.

mod cache;
mod compute;
mod drift;
mod memory;
mod team;

pub use drift::{Drift, drifts, unsteadiness};

use super::root::Root;
use serde::{Deserialize, Serialize};
use std::time::{Duration, Instant};

/// Time spent on reading memory, and on computing.
const MEMORY: Duration = Duration::from_millis(70);
const COMPUTE: Duration = Duration::from_millis(40);

/// Measures the machine with as many threads as the workload uses.
#[derive(Debug, Clone)]
pub struct Probe {
    threads: usize,
    cache: Option<cache::LastLevel>,
    root: Root,
}

/// What a probe found. A figure that could not be measured is missing.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Reading {
    /// Threads that measured at once.
    pub threads: u32,
    /// Memory bandwidth, reading, GB/s (10^9 bytes): the best pass.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bandwidth_gb_s: Option<f64>,
    /// Arithmetic in float32, 10^9 operations/s, a fused multiply-add counting as two: the best pass.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gflops: Option<f64>,
    /// GB/s of every pass, in order: their spread is the probe's own noise.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub bandwidth_samples: Vec<f64>,
    /// 10^9 operations/s of every pass, in order.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub gflops_samples: Vec<f64>,
    /// Bytes that were read in each pass.
    pub buffer_bytes: u64,
    /// Bytes of last-level cache that so many threads can use; less than that needs no memory bandwidth.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cache_bytes: Option<u64>,
    /// Instructions that computed, as `avx512f`.
    pub kernel: String,
    /// Time that the probe took, ns.
    pub elapsed_ns: u64,
}

impl Probe {
    /// A probe with so many threads.
    pub fn new(threads: u32) -> Probe {
        Probe::below(threads, &Root::default())
    }

    /// The same, reading the sizes of caches and memory below `root`.
    pub fn below(threads: u32, root: &Root) -> Probe {
        Probe { threads: threads.max(1) as usize, cache: cache::last_level(root), root: root.clone() }
    }

    /// Measures, which takes a tenth of a second or two and all the threads.
    pub fn measure(&self) -> Reading {
        let begun = Instant::now();
        let memory = memory::bandwidth(self.threads, self.cache, super::available_memory(self.root.path()), MEMORY);
        let compute = compute::peak(self.threads, COMPUTE);
        Reading {
            threads: self.threads as u32,
            bandwidth_gb_s: best(&memory.gb_s),
            gflops: best(&compute.gflops),
            bandwidth_samples: memory.gb_s.into_iter().map(short).collect(),
            gflops_samples: compute.gflops.into_iter().map(short).collect(),
            buffer_bytes: memory.bytes,
            cache_bytes: self.cache.map(|cache| cache.reach(self.threads as u64)),
            kernel: compute.kernel.to_owned(),
            elapsed_ns: begun.elapsed().as_nanos() as u64,
        }
    }
}

/// The best pass: what disturbs can only slow down.
fn best(samples: &[f64]) -> Option<f64> {
    samples.iter().copied().reduce(f64::max).map(short)
}

/// With three decimals; more would only be digits.
fn short(value: f64) -> f64 {
    (value * 1000.0).round() / 1000.0
}

#[cfg(test)]
mod tests {
    use super::super::root::Tree;
    use super::*;

    #[test]
    fn a_reading_is_the_best_of_its_passes() {
        let reading = Probe::new(1).measure();
        let highest = reading.gflops_samples.iter().copied().fold(0.0, f64::max);
        assert_eq!((reading.gflops, reading.threads), (Some(highest), 1));
        assert!(reading.elapsed_ns > 0 && !reading.kernel.is_empty());
        let text = serde_json::to_string(&reading).unwrap();
        assert_eq!(serde_json::from_str::<Reading>(&text).unwrap(), reading);
    }

    #[test]
    fn without_memory_to_spare_only_the_bandwidth_is_missing() {
        let tree = Tree::new(&[("proc/meminfo", "MemAvailable: 1024 kB\n")]);
        let reading = Probe::below(1, &tree.root()).measure();
        assert_eq!((reading.bandwidth_gb_s, reading.buffer_bytes, reading.cache_bytes), (None, 0, None));
        assert!(reading.gflops.is_some());
    }
}
