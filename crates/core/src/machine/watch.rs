//! Everything that the machine has to say of a run, as events for its raw logs: the probe between rounds, the conditions and
//! the energy of launches and repetitions. The runner says when; nothing is read or computed inside a measured generation.
//!
//! This file alone of `machine` looks down to `record`: it hands out events that are ready to be written.

use super::energy::{Mark, Meter};
use super::probe::{Probe, Reading};
use super::root::Root;
use super::sensors::{Conditions, Sample, Sensors};
use crate::record::Event;
use std::time::{Duration, Instant};

/// How long the machine is listened to, doing nothing, where it counts energy.
const IDLE: Duration = Duration::from_millis(500);
/// So many probes are made between rounds however short these are, for a verdict on the run needs some.
const FIRST: u32 = 5;
/// Of the time of short rounds after them the probe takes about one part in so many.
const SELDOM: u32 = 40;

/// Watches the machine during a run.
#[derive(Debug)]
pub struct Watch {
    /// `None` beside other runs, which it would disturb.
    probe: Option<Probe>,
    /// Probes so far.
    probes: u32,
    /// When the last one was over, and how long it took.
    probed: Option<(Instant, Duration)>,
    /// Whether a round ended without a probe since.
    owed: bool,
    sensors: Sensors,
    meter: Meter,
    launch: Option<Launch>,
    repetition: Option<Mark>,
}

/// A launch that is going on.
#[derive(Debug)]
struct Launch {
    pid: u32,
    before: Sample,
    began: Mark,
    /// MHz right after each generation.
    frequencies: Vec<f64>,
    /// The highest so far, degrees Celsius.
    hottest: Option<f64>,
    /// The GPUs that the worker is on, asked once; inner `None`: it cannot be told.
    gpus: Option<Option<Vec<String>>>,
}

impl Watch {
    /// Looks for what the machine can tell, for a workload of so many threads. Where energy is counted, the power of the
    /// idle machine is measured, which takes half a second: call it before anything is started.
    pub fn new(threads: u32, root: Root) -> Watch {
        let (probe, meter) = (Probe::below(threads, &root), Meter::open(&root));
        Watch::with(Some(probe), meter, Sensors::new(root, threads))
    }

    /// The same for a run on a device of its own, while other runs of this program may be under way on others: nothing is
    /// probed, and energy and load are told as far as they are certainly not theirs.
    pub fn beside_others(threads: u32, root: Root) -> Watch {
        let mut meter = Meter::open(&root);
        meter.keep_gpus();
        Watch::with(None, meter, Sensors::new(root, threads))
    }

    fn with(probe: Option<Probe>, mut meter: Meter, sensors: Sensors) -> Watch {
        if !meter.is_empty() {
            meter.measure_idle(IDLE);
        }
        Watch { probe, probes: 0, probed: None, owed: false, sensors, meter, launch: None, repetition: None }
    }

    /// The probe. To be called before the first round, between rounds and after the last one, while no engine computes;
    /// the event belongs into the log of every case. `round` is the round that it follows, 0 before the first.
    ///
    /// Readers go by the place of the event among the repetitions, so that any numbering serves. The reading is empty beside
    /// other runs, and after the first rounds where the last probe was a moment ago (rounds that are as short as a probe would
    /// pay more for it than it tells): the event closes the round all the same.
    pub fn between_rounds(&mut self, round: u32) -> Event {
        let seldom = |(ended, took): (Instant, Duration)| ended.elapsed() < took.saturating_mul(SELDOM);
        self.owed = self.probes >= FIRST && self.probed.is_some_and(seldom);
        let reading = if self.owed { Reading::default() } else { self.measure() };
        Event::Probe { round, reading }
    }

    /// After the last round: the probe, where [`Watch::between_rounds`] left it out.
    pub fn after_last_round(&mut self, round: u32) -> Option<Event> {
        std::mem::take(&mut self.owed).then(|| Event::Probe { round, reading: self.measure() })
    }

    /// An empty reading where nothing is to be probed.
    fn measure(&mut self) -> Reading {
        let Some(probe) = &self.probe else { return Reading::default() };
        let began = Instant::now();
        let reading = probe.measure();
        self.probed = Some((Instant::now(), began.elapsed()));
        self.probes += 1;
        reading
    }

    /// A worker was started, or one that stayed resident is about to be used again.
    pub fn launch_started(&mut self, pid: u32) {
        let (before, began) = (self.sensors.sample(), self.meter.mark());
        self.repetition = None;
        self.launch = Some(Launch { pid, before, began, frequencies: Vec::new(), hottest: None, gpus: None });
    }

    /// A repetition is about to begin.
    pub fn repetition_started(&mut self) {
        if let Some(launch) = &mut self.launch
            && launch.gpus.is_none()
        {
            // Now that the model is loaded.
            launch.gpus = Some(self.sensors.gpus_of(launch.pid));
        }
        self.repetition = Some(self.meter.mark());
    }

    /// The repetition is over: its energy, where the machine counts it.
    pub fn repetition_ended(&mut self, launch: u32, repetition: u32) -> Option<Event> {
        let after = self.meter.mark();
        let before = self.repetition.take()?;
        if let Some(launch) = &mut self.launch {
            launch.frequencies.extend(self.sensors.frequency_mhz());
            launch.hottest = highest(launch.hottest, self.sensors.temperature_c());
        }
        let energy = self.meter.between(&before, &after, |gpu| self.counts(gpu))?;
        Some(Event::Energy { launch, repetition: Some(repetition), energy })
    }

    /// The launch is over; the worker should still be there, or its memory on the device and its processor time cannot
    /// be told. Conditions, energy and warnings. Nothing without [`Watch::launch_started`].
    pub fn launch_ended(&mut self, launch: u32) -> Vec<Event> {
        let Some(current) = &self.launch else { return Vec::new() };
        let (after, ended) = (self.sensors.sample(), self.meter.mark());
        let (pid, own) = (current.pid, std::process::id());
        let mut conditions = match self.probe {
            Some(_) => Conditions::between(&current.before, &after, pid, own),
            None => Conditions::beside_others(&current.before, &after, pid, own),
        };
        let frequencies = &current.frequencies;
        if !frequencies.is_empty() {
            let mean = frequencies.iter().sum::<f64>() / frequencies.len() as f64;
            conditions.freq_mhz = Some((mean * 100.0).round() / 100.0);
        }
        conditions.temperature_c = highest(conditions.temperature_c, current.hottest);
        let energy = self.meter.between(&current.began, &ended, |gpu| self.counts(gpu));
        let warnings = conditions.warnings().into_iter();
        let warnings = warnings.map(|warning| Event::Warning {
            launch: Some(launch),
            code: warning.code.into(),
            message: warning.message,
        });
        let energy = energy.map(|energy| Event::Energy { launch, repetition: None, energy });
        let events = warnings.chain(energy).chain([Event::Conditions { launch, conditions }]).collect();
        self.launch = None;
        self.repetition = None;
        events
    }

    /// Whether a GPU's energy is that of the launch: the worker is on it. Where that cannot be told, the only one counts; none
    /// beside other runs.
    fn counts(&self, gpu: &str) -> bool {
        match self.launch.as_ref().and_then(|launch| launch.gpus.as_ref()) {
            Some(Some(own)) if gpu.starts_with("GPU-") => own.iter().any(|uuid| uuid == gpu),
            _ => self.probe.is_some() && self.meter.gpus() == 1,
        }
    }
}

fn highest(a: Option<f64>, b: Option<f64>) -> Option<f64> {
    a.into_iter().chain(b).reduce(f64::max)
}

#[cfg(test)]
mod tests {
    use super::super::root::Tree;
    use super::*;

    const ENERGY: &str = "sys/class/powercap/intel-rapl:0/energy_uj";

    fn tree() -> Tree {
        Tree::new(&[
            ("sys/class/powercap/intel-rapl:0/name", "package-0"),
            (ENERGY, "1000000"),
            ("proc/stat", "cpu  10 0 0 10 0 0 0 0\n"),
            ("proc/meminfo", "MemAvailable: 1024 kB\n"),
            ("sys/devices/system/cpu/cpu0/cpufreq/scaling_cur_freq", "3000000"),
        ])
    }

    #[test]
    fn a_launch_has_conditions_energy_and_warnings() {
        let tree = tree();
        let mut watch = Watch::new(1, tree.root());
        assert_eq!(watch.launch_ended(1), []);
        watch.launch_started(77);
        watch.repetition_started();
        tree.write(&[(ENERGY, "9000000"), ("sys/devices/system/cpu/cpu0/cpufreq/scaling_cur_freq", "2000000")]);
        let Some(Event::Energy { launch: 3, repetition: Some(2), energy }) = watch.repetition_ended(3, 2) else {
            panic!("no energy of the repetition")
        };
        assert_eq!((energy.joules, energy.source.as_str(), energy.idle_watts), (8.0, "rapl", Some(0.0)));
        tree.write(&[("proc/stat", "cpu  10 0 0 60 0 0 0 50\n"), (ENERGY, "10000000")]);
        tree.write(&[("sys/devices/system/cpu/cpu0/cpufreq/scaling_cur_freq", "800000")]);
        let events = watch.launch_ended(3);
        assert!(
            matches!(&events[0], Event::Warning { launch: Some(3), code, .. } if code == "steal_time"),
            "{events:?}"
        );
        assert!(
            matches!(&events[1], Event::Energy { repetition: None, energy, .. } if energy.joules == 9.0),
            "{events:?}"
        );
        let Event::Conditions { launch: 3, conditions } = &events[2] else { panic!("{events:?}") };
        // The frequency is that of the generations, not that of the pause after them.
        assert_eq!((conditions.steal_percent, conditions.freq_mhz), (Some(50.0), Some(2000.0)));
        assert_eq!(watch.launch_ended(3), []);
    }

    #[test]
    fn between_rounds_there_is_a_reading() {
        let tree = tree();
        let Event::Probe { round: 4, reading } = Watch::new(1, tree.root()).between_rounds(4) else { panic!() };
        assert!(reading.gflops.is_some() && reading.threads == 1);
    }

    #[test]
    fn short_rounds_share_a_probe_and_the_last_one_has_its_own() {
        let tree = tree();
        let mut watch = Watch::new(1, tree.root());
        let read = |event| match event {
            Event::Probe { reading, .. } => reading != Reading::default(),
            _ => panic!("no probe"),
        };
        // Nobody owes one yet.
        assert_eq!(watch.after_last_round(0), None);
        let readings = [0, 1, 2, 3, 4, 5, 6].map(|round| read(watch.between_rounds(round)));
        assert_eq!(readings, [true, true, true, true, true, false, false]);
        assert!(watch.after_last_round(6).is_some_and(read));
        assert_eq!(watch.after_last_round(6), None);
        // A round as long as forty probes.
        watch.probed = watch.probed.map(|(ended, _)| (ended, Duration::ZERO));
        assert!(read(watch.between_rounds(7)));
    }

    #[test]
    fn beside_others_a_round_is_closed_without_a_probe_and_the_machines_energy_is_not_told() {
        let tree = tree();
        let mut watch = Watch::beside_others(1, tree.root());
        let Event::Probe { round: 4, reading } = watch.between_rounds(4) else { panic!() };
        assert_eq!(reading, Reading::default());
        watch.launch_started(77);
        watch.repetition_started();
        tree.write(&[(ENERGY, "9000000")]);
        assert_eq!(watch.repetition_ended(1, 1), None);
        let events = watch.launch_ended(1);
        assert!(events.iter().all(|event| matches!(event, Event::Conditions { .. })), "{events:?}");
    }

    #[test]
    fn the_events_come_back_as_they_were() {
        let tree = tree();
        let mut watch = Watch::new(1, tree.root());
        watch.launch_started(77);
        let mut events = watch.launch_ended(1);
        events.push(watch.between_rounds(1));
        for event in events {
            let text = serde_json::to_string(&event).unwrap();
            assert_eq!(serde_json::from_str::<Event>(&text).unwrap(), event, "{text}");
        }
    }
}
