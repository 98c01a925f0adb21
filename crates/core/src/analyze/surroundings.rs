//! What the machine was like while a group was measured: from the columns that probes, conditions and energy filled.

use super::Estimate;
use super::gather::Launch;
use crate::record::Context;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The machine, as far as it told. Everything is missing in the logs of other tools.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Surroundings {
    /// Highest memory bandwidth that probes around the repetitions measured with as many threads, GB/s; CPU only.
    pub bandwidth_gb_s: Option<f64>,
    /// Highest float32 arithmetic that they measured, 10^9 operations/s; CPU only.
    pub gflops: Option<f64>,
    /// Last-level cache within reach of the threads, bytes.
    pub cache_bytes: Option<u64>,
    /// Mean frequency, MHz.
    pub freq_mhz: Option<f64>,
    /// Highest temperature, degrees Celsius.
    pub temperature_c: Option<f64>,
    /// Highest share of processor time that a hypervisor gave to others in a launch, percent.
    pub steal_percent: Option<f64>,
    /// Most times that cores were slowed down for their heat in a launch.
    pub throttle_events: Option<u64>,
    /// Energy beyond idling / generated tokens, J, prefill included.
    pub joules_per_token: Option<Estimate>,
    /// Who counted it.
    pub energy_source: Option<String>,
}

/// What the series of a group tell of the machine, as they come.
#[derive(Default, Serialize)]
pub(super) struct Around {
    bandwidth_gb_s: Option<f64>,
    gflops: Option<f64>,
    cache_bytes: Option<u64>,
    frequencies: Vec<f64>,
    temperature_c: Option<f64>,
    steal_percent: Option<f64>,
    throttle_events: Option<u64>,
    /// By launch.
    joules: BTreeMap<Launch, Vec<f64>>,
    energy_source: Option<String>,
}

impl Around {
    /// Hears of one more series.
    pub fn push(&mut self, launch: &Launch, context: &Context) {
        let highest = |known: &mut Option<f64>, new: Option<f64>| {
            *known = [*known, new].into_iter().flatten().reduce(f64::max);
        };
        highest(&mut self.bandwidth_gb_s, context.probe_gb_s);
        highest(&mut self.gflops, context.probe_gflops);
        highest(&mut self.temperature_c, context.temperature_c);
        highest(&mut self.steal_percent, context.steal_percent);
        self.cache_bytes = self.cache_bytes.max(context.cache_bytes);
        self.throttle_events = self.throttle_events.max(context.throttle_events);
        self.frequencies.extend(context.freq_mhz);
        if let Some(joules) = context.joules_per_token {
            self.joules.entry(launch.clone()).or_default().push(joules);
        }
        if self.energy_source.is_none() {
            self.energy_source.clone_from(&context.energy_source);
        }
    }

    /// What came of it; `name` is the group's own, for repeatable draws.
    pub fn finish(self, name: &str) -> Surroundings {
        let mean = self.frequencies.iter().sum::<f64>() / self.frequencies.len() as f64;
        let joules: Vec<Vec<f64>> = self.joules.into_values().collect();
        Surroundings {
            bandwidth_gb_s: self.bandwidth_gb_s,
            gflops: self.gflops,
            cache_bytes: self.cache_bytes,
            freq_mhz: (!self.frequencies.is_empty()).then_some(mean),
            temperature_c: self.temperature_c,
            steal_percent: self.steal_percent,
            throttle_events: self.throttle_events,
            joules_per_token: Estimate::new(&joules, &format!("{name}\0joules")),
            energy_source: self.energy_source,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn roofs_are_the_highest_and_energy_is_a_mean_over_launches() {
        let mut around = Around::default();
        for (launch, gb_s, joules) in [(1, 20.0, Some(2.0)), (1, 21.0, Some(4.0)), (2, 19.0, None)] {
            let context = Context {
                probe_gb_s: Some(gb_s),
                joules_per_token: joules,
                freq_mhz: Some(1000.0 * f64::from(launch)),
                energy_source: Some("rapl".into()),
                ..Context::default()
            };
            around.push(&(None, Some(launch)), &context);
        }
        let found = around.finish("x");
        assert_eq!((found.bandwidth_gb_s, found.gflops), (Some(21.0), None));
        assert!((found.freq_mhz.unwrap() - 4000.0 / 3.0).abs() < 1e-9);
        let joules = found.joules_per_token.unwrap();
        assert_eq!((joules.mean, joules.n, joules.launches), (3.0, 2, 1));
        assert_eq!(Around::default().finish("x"), Surroundings::default());
    }
}
