//! Which blocks can be measured at the same time: those on different GPUs. All that is not certainly on a GPU of its own is
//! measured with nothing beside it.
//!
//! Engines number the cards of a machine alike, but each interface counts for itself: `CUDA0` and `CUDA:0` are one card,
//! `CUDA1` is another one, and `Vulkan1` may be either of them.

use crate::plan::Case;
use std::collections::BTreeMap;

/// Settings by which an engine computes a part of the model on the processor, however large.
const SHARING: &[&str] = &["gpu_layers"];

/// A GPU: the interface through which an engine uses it, and its number there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gpu {
    interface: String,
    number: u32,
}

impl Gpu {
    /// The GPU that an engine calls so: `CUDA0`, `CUDA:1`; without a number it is the first. `None` for what is no such
    /// name.
    pub fn named(name: &str) -> Option<Gpu> {
        let word = name.trim_end_matches(|c: char| c.is_ascii_digit());
        let digits = &name[word.len()..];
        let interface = word.strip_suffix(':').unwrap_or(word);
        let is_word = !interface.is_empty() && interface.chars().all(|c| c.is_ascii_alphabetic());
        let number = if digits.is_empty() { 0 } else { digits.parse().ok()? };
        is_word.then(|| Gpu { interface: interface.to_ascii_uppercase(), number })
    }
}

/// Blocks that are measured one after the other on one GPU, while other lanes are measured on others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lane {
    /// The GPU, as the first case names it.
    pub device: String,
    /// Numbers of the blocks.
    pub blocks: Vec<usize>,
}

/// What is measured at the same time, and what is not.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Order {
    /// Lanes that are measured at the same time, one set of them after the other: a set has one interface.
    pub at_once: Vec<Vec<Lane>>,
    /// Blocks that nothing is measured beside, one after the other, after all lanes.
    pub alone: Vec<usize>,
}

impl Order {
    /// Nothing is measured at the same time.
    pub fn in_turn(blocks: &[usize]) -> Order {
        Order { at_once: Vec::new(), alone: blocks.to_vec() }
    }

    /// Different GPUs are measured at the same time. `blocks` are numbers of blocks with the cases of each that are to be
    /// started; `is_gpu` tells whether the device that a case names is a GPU of its engine's.
    pub fn overlapping(blocks: &[(usize, Vec<&Case>)], is_gpu: impl Fn(&Case) -> bool) -> Order {
        let mut order = Order::default();
        let mut lanes: BTreeMap<String, BTreeMap<u32, Lane>> = BTreeMap::new();
        for (at, cases) in blocks {
            let Some((Gpu { interface, number }, device)) = gpu_of(cases, &is_gpu) else {
                order.alone.push(*at);
                continue;
            };
            let numbers = lanes.entry(interface).or_default();
            numbers.entry(number).or_insert_with(|| Lane { device, blocks: Vec::new() }).blocks.push(*at);
        }
        for lanes in lanes.into_values() {
            match lanes.len() {
                1 => order.alone.extend(lanes.into_values().flat_map(|lane| lane.blocks)),
                _ => order.at_once.push(lanes.into_values().collect()),
            }
        }
        order.alone.sort_unstable();
        order
    }
}

/// The one GPU on which all of these cases are computed, if there is one, and its name.
fn gpu_of(cases: &[&Case], is_gpu: &impl Fn(&Case) -> bool) -> Option<(Gpu, String)> {
    let gpu = |case: &Case| {
        let shares = SHARING.iter().any(|name| case.settings.options.contains_key(*name));
        let named = Gpu::named(case.settings.device.as_deref()?);
        named.filter(|_| !shares && is_gpu(case))
    };
    let mut gpus = cases.iter().copied().map(gpu);
    let first = gpus.next()??;
    let name = cases.first()?.settings.device.clone()?;
    gpus.all(|gpu| gpu.as_ref() == Some(&first)).then_some((first, name))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::{Settings, Workload};

    fn case(engine: &str, device: Option<&str>) -> Case {
        Case {
            engine: engine.into(),
            model: "synthetic:tiny".into(),
            quantize: "default".into(),
            native: "x".into(),
            workload: Workload::default(),
            settings: Settings { device: device.map(str::to_owned), ..Settings::default() },
            seed: 42,
        }
    }

    /// Devices and blocks of lanes.
    type Lanes = Vec<(String, Vec<usize>)>;

    /// The lanes and the rest, for blocks of these cases; `CPU` is no GPU, nor is what the engine `blind` names.
    fn order(blocks: &[Vec<Case>]) -> (Vec<Lanes>, Vec<usize>) {
        let blocks: Vec<(usize, Vec<&Case>)> =
            blocks.iter().enumerate().map(|(at, cases)| (at, cases.iter().collect())).collect();
        let is_gpu = |case: &Case| case.engine != "blind" && case.settings.device.as_deref() != Some("CPU");
        let Order { at_once, alone } = Order::overlapping(&blocks, is_gpu);
        let lanes = |lanes: Vec<Lane>| -> Lanes { lanes.into_iter().map(|lane| (lane.device, lane.blocks)).collect() };
        (at_once.into_iter().map(lanes).collect(), alone)
    }

    fn lane(device: &str, blocks: &[usize]) -> (String, Vec<usize>) {
        (device.to_owned(), blocks.to_vec())
    }

    #[test]
    fn a_card_has_one_number_in_every_engine_that_uses_the_same_interface() {
        let named = |name: &str| Gpu::named(name).unwrap();
        assert!(["CUDA:0", "cuda:0", "cuda", "CUDA"].iter().all(|name| named(name) == named("CUDA0")));
        assert_ne!(named("CUDA0"), named("CUDA1"));
        assert_ne!(named("CUDA1"), named("CUDA:11"));
        assert_ne!(named("CUDA1"), named("Vulkan1"));
        for name in ["", "0", ":1", "CUDA:PTX:1", "CUDA-1", "CUDA0,CUDA1", "CUDA99999999999"] {
            assert_eq!(Gpu::named(name), None, "{name}");
        }
    }

    #[test]
    fn blocks_on_two_gpus_make_two_lanes_and_all_others_stay_alone() {
        let of = |device: &str| vec![case("a", Some(device)), case("b", Some(device))];
        let blocks = [of("CUDA0"), of("CPU"), of("CUDA1"), vec![case("a", None)], of("CUDA:0"), of("CUDA1")];
        let (at_once, alone) = order(&blocks);
        assert_eq!(at_once, [vec![lane("CUDA0", &[0, 4]), lane("CUDA1", &[2, 5])]]);
        assert_eq!(alone, [1, 3]);
    }

    #[test]
    fn in_doubt_a_block_stays_alone() {
        let other = || vec![case("a", Some("CUDA1"))];
        let two_devices = vec![case("a", Some("CUDA0")), case("a", Some("CUDA1"))];
        let not_named = vec![case("a", Some("CUDA0")), case("a", None)];
        let not_reported = vec![case("a", Some("CUDA0")), case("blind", Some("CUDA0"))];
        let mut partly = case("a", Some("CUDA0"));
        partly.settings.options.insert("gpu_layers".into(), "20".into());
        for doubtful in [two_devices, not_named, not_reported, vec![partly], Vec::new()] {
            assert_eq!(order(&[doubtful, other()]), (vec![], vec![0, 1]));
        }
    }

    #[test]
    fn interfaces_never_overlap_and_a_single_gpu_is_no_lane() {
        let blocks = ["Vulkan0", "CUDA0", "Vulkan1", "CUDA1", "ROCm0"].map(|device| vec![case("a", Some(device))]);
        let (at_once, alone) = order(&blocks);
        let cuda = vec![lane("CUDA0", &[1]), lane("CUDA1", &[3])];
        let vulkan = vec![lane("Vulkan0", &[0]), lane("Vulkan1", &[2])];
        assert_eq!(at_once, [cuda, vulkan]);
        assert_eq!(alone, [4]);
        assert_eq!(order(&[vec![case("a", Some("CUDA0"))], vec![case("a", Some("cuda:0"))]]), (vec![], vec![0, 1]));
    }
}
