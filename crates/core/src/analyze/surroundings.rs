//! What the machine was like while a group was measured: from the columns that probes, conditions and energy filled.

use super::Estimate;
use crate::record::{Context, Series};
use serde::Serialize;
use std::collections::BTreeMap;

/// The machine, as far as it told. Everything is missing in the logs of other tools.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
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

impl Surroundings {
    /// Of the series of a group; `name` is the group's own, for repeatable draws.
    pub(super) fn of(members: &[&Series], name: &str) -> Surroundings {
        let values = |figure: fn(&Context) -> Option<f64>| members.iter().filter_map(move |s| figure(&s.context));
        let highest = |figure: fn(&Context) -> Option<f64>| values(figure).reduce(f64::max);
        let most = |figure: fn(&Context) -> Option<u64>| members.iter().filter_map(|s| figure(&s.context)).max();
        let frequencies: Vec<f64> = values(|c| c.freq_mhz).collect();
        let mean = frequencies.iter().sum::<f64>() / frequencies.len() as f64;
        let mut joules: BTreeMap<(Option<&str>, Option<u32>), Vec<f64>> = BTreeMap::new();
        for series in members {
            let launch = (series.context.uuid.as_deref(), series.context.launch);
            joules.entry(launch).or_default().extend(series.context.joules_per_token);
        }
        let joules: Vec<Vec<f64>> = joules.into_values().collect();
        Surroundings {
            bandwidth_gb_s: highest(|c| c.probe_gb_s),
            gflops: highest(|c| c.probe_gflops),
            cache_bytes: most(|c| c.cache_bytes),
            freq_mhz: (!frequencies.is_empty()).then_some(mean),
            temperature_c: highest(|c| c.temperature_c),
            steal_percent: highest(|c| c.steal_percent),
            throttle_events: most(|c| c.throttle_events),
            joules_per_token: Estimate::new(&joules, &format!("{name}\0joules")),
            energy_source: members.iter().find_map(|s| s.context.energy_source.clone()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn roofs_are_the_highest_and_energy_is_a_mean_over_launches() {
        let series = |launch, gb_s, joules| {
            let context = Context {
                launch: Some(launch),
                probe_gb_s: Some(gb_s),
                joules_per_token: joules,
                freq_mhz: Some(1000.0 * f64::from(launch)),
                energy_source: Some("rapl".into()),
                ..Context::default()
            };
            Series { context, steps: Vec::new() }
        };
        let all = [series(1, 20.0, Some(2.0)), series(1, 21.0, Some(4.0)), series(2, 19.0, None)];
        let found = Surroundings::of(&all.iter().collect::<Vec<_>>(), "x");
        assert_eq!((found.bandwidth_gb_s, found.gflops), (Some(21.0), None));
        assert!((found.freq_mhz.unwrap() - 4000.0 / 3.0).abs() < 1e-9);
        let joules = found.joules_per_token.unwrap();
        assert_eq!((joules.mean, joules.n, joules.launches), (3.0, 2, 1));
        assert_eq!(Surroundings::of(&[], "x"), Surroundings::default());
    }
}
