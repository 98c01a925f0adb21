//! What the machine was like around a repetition: probes, conditions and energy as columns and warnings.

use super::super::lines::Line;
use super::super::series::{Context, Phase, Series};
use super::scan::parse;
use crate::machine::probe::{Drift, drifts, unsteadiness};
use crate::machine::{Conditions, Energy, Reading};
use serde::Deserialize;
use std::collections::BTreeMap;

/// Memory was faster or slower around a row than in the rest of its run.
const MEMORY_DRIFT: &str = "memory_drift";
/// So was arithmetic.
const COMPUTE_DRIFT: &str = "compute_drift";
/// The machine's speed changed within tenths of a second, in the whole run.
const UNSTEADY: &str = "unsteady_machine";

/// What a log says of the machine. Places are numbers of series that stand before.
#[derive(Debug, Default)]
pub(super) struct Surroundings {
    /// Places of the probes, ascending.
    places: Vec<usize>,
    /// The probes, in the same order.
    probes: Vec<Reading>,
    /// Place, launch, conditions.
    conditions: Vec<(usize, u32, Conditions)>,
    /// By launch and repetition.
    energy: BTreeMap<(u32, u32), Energy>,
}

#[derive(Deserialize)]
struct ProbeEvent {
    reading: Reading,
}

#[derive(Deserialize)]
struct ConditionsEvent {
    launch: u32,
    #[serde(flatten)]
    conditions: Conditions,
}

#[derive(Deserialize)]
struct EnergyEvent {
    launch: u32,
    #[serde(default)]
    repetition: Option<u32>,
    #[serde(flatten)]
    energy: Energy,
}

impl Surroundings {
    /// Takes an event; `place` series stand before it.
    pub fn take(&mut self, kind: &str, line: Line<'_>, place: usize) -> Result<(), String> {
        match kind {
            "probe" => {
                let event: ProbeEvent = parse(line)?;
                // An empty one only closes a round.
                if event.reading.threads > 0 {
                    self.places.push(place);
                    self.probes.push(event.reading);
                }
            }
            "conditions" => {
                let event: ConditionsEvent = parse(line)?;
                self.conditions.push((place, event.launch, event.conditions));
            }
            _ => {
                let event: EnergyEvent = parse(line)?;
                if let Some(repetition) = event.repetition {
                    self.energy.insert((event.launch, repetition), event.energy);
                }
            }
        }
        Ok(())
    }

    /// The same with the probes compared with each other.
    pub fn compared(&self) -> Compared<'_> {
        Compared { all: self, drifts: drifts(&self.probes), unsteady: unsteadiness(&self.probes).is_some() }
    }
}

/// See [`Surroundings::compared`].
pub(super) struct Compared<'a> {
    all: &'a Surroundings,
    drifts: Vec<Drift>,
    unsteady: bool,
}

impl Compared<'_> {
    /// Puts what is known into a series of which `place` stand before it.
    pub fn tell(&self, place: usize, series: &mut Series) {
        let context = &mut series.context;
        self.tell_probes(place, context);
        // What a launch ran under stands behind its repetitions; one that spans several rounds has it once for each.
        let own =
            self.all.conditions.iter().find(|(behind, launch, _)| *behind > place && context.launch == Some(*launch));
        if let Some((.., conditions)) = own {
            tell_conditions(conditions, context);
        }
        let key = context.launch.zip(context.repetition);
        // A context that was filled before is in the energy and in no step.
        let filled = context.depth.is_some_and(|depth| depth > 0);
        if let Some(energy) = key.and_then(|key| self.all.energy.get(&key)).filter(|_| !filled) {
            let decoded = series.steps.iter().filter(|step| step.phase == Phase::Decode).filter_map(|step| step.tokens);
            tell_energy(energy, 1 + decoded.map(|tokens| tokens as usize).sum::<usize>(), context);
        }
    }

    /// The probe before the series and the one after it.
    fn tell_probes(&self, place: usize, context: &mut Context) {
        let before = self.all.places.partition_point(|probe| *probe <= place);
        let around = before.saturating_sub(1)..(before + 1).min(self.all.probes.len());
        let (readings, drifts) = (&self.all.probes[around.clone()], &self.drifts[around]);
        let warnings = [
            (MEMORY_DRIFT, drifts.iter().any(|drift| drift.memory.is_some())),
            (COMPUTE_DRIFT, drifts.iter().any(|drift| drift.compute.is_some())),
            (UNSTEADY, self.unsteady),
        ];
        for (code, _) in warnings.into_iter().filter(|(_, applies)| *applies) {
            if !context.warnings.iter().any(|known| known == code) {
                context.warnings.push(code.to_owned());
            }
        }
        // The processor's probe is no measure of a GPU, nor of more or fewer threads.
        let cpu = context.device.as_deref().is_some_and(|device| device.eq_ignore_ascii_case("cpu"));
        let alike = |reading: &Reading| context.threads.is_none_or(|threads| threads == reading.threads);
        if cpu && readings.iter().all(alike) {
            context.probe_gb_s = mean(readings.iter().map(|reading| reading.bandwidth_gb_s));
            context.probe_gflops = mean(readings.iter().map(|reading| reading.gflops));
            context.cache_bytes = readings.iter().filter_map(|reading| reading.cache_bytes).max();
        }
    }
}

/// The mean of those that are there, three decimals.
fn mean(values: impl Iterator<Item = Option<f64>>) -> Option<f64> {
    let known: Vec<f64> = values.flatten().collect();
    let mean = known.iter().sum::<f64>() / known.len() as f64;
    (!known.is_empty()).then_some((mean * 1000.0).round() / 1000.0)
}

fn tell_conditions(conditions: &Conditions, context: &mut Context) {
    context.freq_mhz = conditions.freq_mhz;
    context.temperature_c = conditions.temperature_c;
    context.throttle_events = conditions.throttle_events;
    context.steal_percent = conditions.steal_percent;
    context.peak_device_bytes = context.peak_device_bytes.or(conditions.device_memory_bytes);
}

/// `tokens` were generated in the repetition.
fn tell_energy(energy: &Energy, tokens: usize, context: &mut Context) {
    let Some(joules) = energy.net_joules().filter(|_| tokens > 0) else { return };
    context.joules_per_token = Some((joules / tokens as f64 * 1e6).round() / 1e6);
    context.energy_source = Some(energy.source.clone()).filter(|source| !source.is_empty());
}

#[cfg(test)]
mod tests {
    use super::super::super::read_log;
    use super::super::super::testing::{generated, header};
    use super::super::super::{Event, Series};
    use super::*;
    use std::path::Path;
    use tokometer_protocol::{Hello, Loaded};

    fn reading(gb_s: f64, threads: u32) -> Reading {
        Reading {
            threads,
            bandwidth_gb_s: Some(gb_s),
            gflops: Some(100.0),
            bandwidth_samples: vec![gb_s; 5],
            cache_bytes: Some(1 << 25),
            ..Reading::default()
        }
    }

    fn log(events: &[Event]) -> Vec<Series> {
        let mut text = String::from("tokometer-log: 1\n");
        header().iter().for_each(|(key, value)| text.push_str(&format!("{key}: {value}\n")));
        text.push('\n');
        for event in events {
            text.push_str(&serde_json::to_string(event).unwrap());
            text.push('\n');
        }
        read_log(text.as_bytes(), Path::new("x.txt")).unwrap().series
    }

    fn repetition(round: u32) -> Event {
        Event::Repetition { launch: round, round, repetition: 1, generated: generated() }
    }

    fn probe(round: u32, gb_s: f64) -> Event {
        Event::Probe { round, reading: reading(gb_s, 2) }
    }

    fn load(launch: u32, threads: u32, device: &str) -> [Event; 2] {
        let loaded = Loaded { threads: Some(threads), device: device.into(), ..Loaded::default() };
        [
            Event::Launch { launch, round: launch, order: 1, hello: Hello::default(), start_ns: 1 },
            Event::Load { launch, loaded: Box::new(loaded) },
        ]
    }

    #[test]
    fn a_drift_is_a_warning_on_the_rows_beside_it() {
        let events = [
            probe(0, 20.0),
            repetition(1),
            probe(1, 20.0),
            repetition(2),
            probe(2, 14.0),
            repetition(3),
            probe(3, 20.2),
            repetition(4),
            probe(4, 20.0),
        ];
        let all = log(&events);
        let warned: Vec<bool> = all.iter().map(|s| s.context.warnings.contains(&MEMORY_DRIFT.to_owned())).collect();
        assert_eq!(warned, [false, true, true, false]);
        let rates: Vec<_> = all.iter().map(|s| s.context.probe_gb_s).collect();
        assert_eq!(rates, [Some(20.0), Some(17.0), Some(17.1), Some(20.1)]);
        assert!(all.iter().all(|s| s.context.cache_bytes == Some(1 << 25) && s.context.probe_gflops == Some(100.0)));
    }

    #[test]
    fn rounds_without_a_reading_share_the_probes_around_them() {
        let closed = |round| Event::Probe { round, reading: Reading::default() };
        let all = log(&[
            probe(0, 20.0),
            repetition(1),
            closed(1),
            repetition(2),
            closed(2),
            probe(2, 22.0),
            repetition(3),
            closed(3),
        ]);
        let rates: Vec<_> = all.iter().map(|s| s.context.probe_gb_s).collect();
        assert_eq!(rates, [Some(21.0), Some(21.0), Some(22.0)]);
    }

    #[test]
    fn a_gpu_and_other_threads_have_no_roof_of_the_processor() {
        for (threads, device, there) in [(2, "CPU", true), (4, "CPU", false), (2, "CUDA0", false)] {
            let [launch, load] = load(1, threads, device);
            let all = log(&[probe(0, 20.0), launch, load, repetition(1), probe(1, 20.0)]);
            assert_eq!(all[0].context.probe_gb_s.is_some(), there, "{threads} {device}");
        }
    }

    #[test]
    fn conditions_and_energy_become_columns() {
        let energy = Energy { joules: 12.0, seconds: 3.0, idle_watts: Some(2.0), source: "rapl".into() };
        let conditions = Conditions {
            steal_percent: Some(1.5),
            freq_mhz: Some(3000.0),
            throttle_events: Some(0),
            device_memory_bytes: Some(77),
            ..Conditions::default()
        };
        let shallow = tokometer_protocol::Generated { context_tokens: 0, ..generated() };
        let of_first = Event::Energy { launch: 1, repetition: Some(1), energy: energy.clone() };
        let deep = log(&[repetition(1), of_first.clone()]);
        // The context was filled inside of it: whose joules they are cannot be told.
        assert_eq!(deep[0].context.joules_per_token, None);
        let all = log(&[
            Event::Repetition { launch: 1, round: 1, repetition: 1, generated: shallow },
            of_first,
            Event::Energy { launch: 1, repetition: None, energy: Energy { joules: 99.0, ..energy } },
            Event::Conditions { launch: 1, conditions },
        ]);
        let context = &all[0].context;
        // 12 J less 6 J of idling, over three tokens.
        assert_eq!((context.joules_per_token, context.energy_source.as_deref()), (Some(2.0), Some("rapl")));
        assert_eq!(
            (context.steal_percent, context.freq_mhz, context.throttle_events),
            (Some(1.5), Some(3000.0), Some(0))
        );
        assert_eq!((context.peak_device_bytes, context.probe_gb_s, context.temperature_c), (Some(77), None, None));
    }

    #[test]
    fn a_launch_that_spans_two_rounds_has_conditions_of_each() {
        let again = Event::Repetition { launch: 1, round: 2, repetition: 2, generated: generated() };
        let conditions = |percent| {
            let conditions = Conditions { steal_percent: Some(percent), ..Conditions::default() };
            Event::Conditions { launch: 1, conditions }
        };
        let all = log(&[repetition(1), conditions(1.0), again, conditions(2.0)]);
        let found: Vec<_> = all.iter().map(|s| s.context.steal_percent).collect();
        assert_eq!(found, [Some(1.0), Some(2.0)]);
    }

    #[test]
    fn a_log_without_probes_has_no_drift() {
        let all = log(&[repetition(1)]);
        assert!(all[0].context.warnings.is_empty() && all[0].context.probe_gflops.is_none());
    }
}
