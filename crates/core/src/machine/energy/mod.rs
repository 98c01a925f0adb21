//! Joules, where the machine counts them: RAPL for processor and memory, hwmon, NVIDIA's library for its GPUs, the battery
//! where nothing else is there. Two [`Mark`]s make an [`Energy`]. What the machine draws when it does nothing is measured
//! before the run and kept beside every figure, so that it can be subtracted.
//!
//! Every source counts the whole machine or a whole device: what others use meanwhile is in it, and `sensors` tells that
//! they do.

mod battery;
mod hwmon;
mod nvml;
mod rapl;

use super::root::Root;
use serde::{Deserialize, Serialize};
use std::fmt::Debug;
use std::time::{Duration, Instant};

/// A counter that moves in steps counts only where it moved by this many: two percent.
const STEPS: f64 = 50.0;

/// What a source tells at a moment.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
struct Told {
    /// A counter that only grows, J.
    joules: Option<f64>,
    /// Power now, or over the source's last interval, W.
    watts: Option<f64>,
}

/// Something that tells energy or power.
trait Source: Debug + Send {
    /// Short name, for the column `energy_source`.
    fn name(&self) -> &'static str;

    /// Reads it.
    fn read(&mut self) -> Told;

    /// The GPU that it counts, by the driver's name for it; `None`: the machine or its processor.
    fn gpu(&self) -> Option<&str> {
        None
    }

    /// The steps in which its counter moves, J.
    fn step_joules(&self) -> f64 {
        0.0
    }
}

/// Energy of a span of time.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Energy {
    /// All that was used, J.
    pub joules: f64,
    /// The span, s.
    pub seconds: f64,
    /// Power of the same sources before the run, when the machine did nothing, W.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub idle_watts: Option<f64>,
    /// Who counted, as `rapl+nvml`.
    pub source: String,
}

impl Energy {
    /// What was used beyond idling, J; `None` where idling is not known or was no less.
    pub fn net_joules(&self) -> Option<f64> {
        let net = self.joules - self.idle_watts? * self.seconds;
        (net.is_finite() && net > 0.0).then_some(net)
    }
}

/// All sources of a machine.
#[derive(Debug)]
pub struct Meter {
    sources: Vec<Box<dyn Source>>,
    /// Of each source, W.
    idle: Vec<Option<f64>>,
}

/// What all sources told at a moment.
#[derive(Debug, Clone)]
pub struct Mark {
    at: Instant,
    told: Vec<Told>,
}

impl Meter {
    /// Finds the sources below `root`: one for the processor (RAPL, else hwmon, else the battery), and all for GPUs.
    pub fn open(root: &Root) -> Meter {
        let machine = rapl::open(root).map(boxed);
        let machine = machine.or_else(|| hwmon::machine(root).map(boxed));
        let machine = machine.or_else(|| battery::open(root).map(boxed));
        let mut sources: Vec<Box<dyn Source>> = machine.into_iter().collect();
        sources.extend(hwmon::gpu(root).map(boxed));
        if root.is_real() {
            sources.extend(nvml::open().into_iter().map(boxed));
        }
        Meter { idle: vec![None; sources.len()], sources }
    }

    /// Leaves out what counts the whole machine: where several measurements are under way nobody can tell whose it was.
    pub fn keep_gpus(&mut self) {
        self.sources.retain(|source| source.gpu().is_some());
        self.idle = vec![None; self.sources.len()];
    }

    /// Whether the machine tells nothing.
    pub fn is_empty(&self) -> bool {
        self.sources.is_empty()
    }

    /// Names of the sources, each once.
    pub fn names(&self) -> Vec<&'static str> {
        let mut names: Vec<&'static str> = Vec::new();
        for source in &self.sources {
            if !names.contains(&source.name()) {
                names.push(source.name());
            }
        }
        names
    }

    /// How many GPUs are counted.
    pub fn gpus(&self) -> usize {
        self.sources.iter().filter(|source| source.gpu().is_some()).count()
    }

    /// Reads all sources. Counters that start anew after some minutes are followed only if this is called in between.
    pub fn mark(&mut self) -> Mark {
        Mark { at: Instant::now(), told: self.sources.iter_mut().map(|source| source.read()).collect() }
    }

    /// Measures what the machine draws for `wait`, while it should be doing nothing.
    pub fn measure_idle(&mut self, wait: Duration) {
        let before = self.mark();
        std::thread::sleep(wait);
        let after = self.mark();
        let seconds = after.at.duration_since(before.at).as_secs_f64();
        let watts = |i: usize| Some(self.joules(i, &before, &after)? / seconds).filter(|watts| watts.is_finite());
        self.idle = (0..self.sources.len()).map(watts).collect();
    }

    /// What was used between two marks, by the machine and by those GPUs for which `counts` is true. `None` where a source
    /// fails: a part is not the whole.
    pub fn between(&self, before: &Mark, after: &Mark, counts: impl Fn(&str) -> bool) -> Option<Energy> {
        let used: Vec<usize> = (0..self.sources.len()).filter(|i| self.sources[*i].gpu().is_none_or(&counts)).collect();
        if used.is_empty() {
            return None;
        }
        let sum = |values: Option<Vec<f64>>| values.map(|values| values.into_iter().sum::<f64>());
        let joules = sum(used.iter().map(|i| self.joules(*i, before, after)).collect())?;
        let idle_watts = sum(used.iter().map(|i| self.idle[*i]).collect());
        let mut names: Vec<&str> = used.iter().map(|i| self.sources[*i].name()).collect();
        names.dedup();
        let seconds = after.at.duration_since(before.at).as_secs_f64();
        Some(Energy { joules, seconds, idle_watts, source: names.join("+") })
    }

    /// Of one source: its counter, or else its power at the end of the span times the span.
    fn joules(&self, i: usize, before: &Mark, after: &Mark) -> Option<f64> {
        let (first, last) = (before.told.get(i)?, after.told.get(i)?);
        let least = STEPS * self.sources[i].step_joules();
        let counted = first.joules.zip(last.joules).map(|(first, last)| last - first);
        let seconds = after.at.duration_since(before.at).as_secs_f64();
        counted.filter(|joules| *joules >= least).or_else(|| Some(last.watts? * seconds))
    }
}

fn boxed(source: impl Source + 'static) -> Box<dyn Source> {
    Box::new(source)
}

#[cfg(test)]
mod tests {
    use super::super::root::Tree;
    use super::*;

    const RAPL: &str = "sys/class/powercap/intel-rapl:0";

    #[test]
    fn a_machine_without_meters_has_no_energy() {
        let mut meter = Meter::open(&Tree::new(&[]).root());
        assert!(meter.is_empty() && meter.names().is_empty());
        let (before, after) = (meter.mark(), meter.mark());
        assert_eq!(meter.between(&before, &after, |_| true), None);
    }

    #[test]
    fn without_what_counts_the_machine_only_gpus_are_left() {
        let tree = Tree::new(&[(&format!("{RAPL}/name"), "package-0"), (&format!("{RAPL}/energy_uj"), "5")]);
        let mut meter = Meter::open(&tree.root());
        meter.keep_gpus();
        assert!(meter.is_empty() && meter.gpus() == 0);
    }

    #[test]
    fn idling_is_kept_beside_the_sum() {
        let name = format!("{RAPL}/name");
        let energy = format!("{RAPL}/energy_uj");
        let tree = Tree::new(&[(&name, "package-0\n"), (&energy, "1000000\n")]);
        let mut meter = Meter::open(&tree.root());
        assert_eq!(meter.names(), ["rapl"]);
        meter.idle = vec![Some(2.0)];
        let before = meter.mark();
        tree.write(&[(&energy, "31000000\n")]);
        let mut after = meter.mark();
        after.at = before.at + Duration::from_secs(5);
        let found = meter.between(&before, &after, |_| true).unwrap();
        let expected = Energy { joules: 30.0, seconds: 5.0, idle_watts: Some(2.0), source: "rapl".into() };
        assert_eq!((found.net_joules(), found), (Some(20.0), expected));
    }

    #[test]
    fn power_times_time_stands_where_a_counter_is_too_coarse() {
        let supply = |name: &str| format!("sys/class/power_supply/BAT0/{name}");
        let files =
            [("type", "Battery"), ("status", "Discharging"), ("energy_now", "50000000"), ("power_now", "12000000")];
        let tree = Tree::new(&[]);
        files.iter().for_each(|(name, text)| tree.write(&[(&supply(name), text)]));
        let mut meter = Meter::open(&tree.root());
        let before = meter.mark();
        let mut after = meter.mark();
        after.at = before.at + Duration::from_secs(10);
        let found = meter.between(&before, &after, |_| true).unwrap();
        assert_eq!((found.joules, found.source.as_str(), found.idle_watts), (120.0, "battery", None));
        assert_eq!(found.net_joules(), None);
        // A watt-hour later the counter has moved by enough: 3600 J.
        tree.write(&[(&supply("energy_now"), "49000000")]);
        let mut later = meter.mark();
        later.at = before.at + Duration::from_secs(300);
        let found = meter.between(&before, &later, |_| true).unwrap();
        assert!((found.joules - 3600.0).abs() < 1e-6, "{found:?}");
    }

    #[test]
    fn idling_is_measured_from_the_counters() {
        let tree = Tree::new(&[(&format!("{RAPL}/name"), "package-0"), (&format!("{RAPL}/energy_uj"), "5")]);
        let mut meter = Meter::open(&tree.root());
        meter.measure_idle(Duration::from_millis(1));
        assert_eq!(meter.idle, [Some(0.0)]);
    }
}
