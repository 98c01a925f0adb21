//! Energy and power meters of the hardware monitor (Linux: Documentation/hwmon/sysfs-interface: `energyN_input` in µJ,
//! `powerN_average` and `powerN_input` in µW). Of the many chips there only those are taken that are known to count a
//! processor, a whole machine or a GPU.

use super::super::root::{self, Root};
use super::{Source, Told};
use std::path::{Path, PathBuf};

/// Drivers of meters of processors or machines, with the labels that are to be added (all where there are none).
const MACHINES: &[(&str, &[&str])] = &[
    ("amd_energy", &["Esocket"]),
    ("power_meter", &[]),
    ("fam15h_power", &[]),
    ("xgene_hwmon", &["CPU power"]),
    ("ina3221", &["VDD_IN"]),
];
/// Drivers of GPUs.
const GPUS: &[&str] = &["amdgpu", "i915", "xe"];

/// Meters that are added.
#[derive(Debug)]
pub(super) struct Hwmon {
    name: &'static str,
    gpu: Option<String>,
    energy: Vec<PathBuf>,
    power: Vec<PathBuf>,
}

/// A meter of the processor or of the machine, counters before power.
pub(super) fn machine(root: &Root) -> Option<Hwmon> {
    let chips = chips(root);
    let known = chips.iter().filter_map(|(chip, name)| {
        let (_, labels) = MACHINES.iter().find(|(driver, _)| driver == name)?;
        meters(chip, labels, None)
    });
    let (counters, others): (Vec<Hwmon>, Vec<Hwmon>) = known.partition(|meter| !meter.energy.is_empty());
    counters.into_iter().chain(others).next()
}

/// The meter of the GPU, where there is exactly one: which of several an engine uses is not known here.
pub(super) fn gpu(root: &Root) -> Option<Hwmon> {
    let chips = chips(root);
    let gpus: Vec<_> = chips.iter().filter(|(_, name)| GPUS.contains(&name.as_str())).collect();
    match gpus.as_slice() {
        [(chip, name)] => meters(chip, &[], Some(format!("hwmon {name}"))),
        _ => None,
    }
}

fn chips(root: &Root) -> Vec<(PathBuf, String)> {
    let folders = root.entries("sys/class/hwmon").into_iter();
    folders.filter_map(|chip| Some((chip.clone(), root::text(&chip.join("name"))?))).collect()
}

/// The meters of a chip that can be read and whose label begins with one of `labels`.
fn meters(chip: &Path, labels: &[&str], gpu: Option<String>) -> Option<Hwmon> {
    let wanted = |file: &PathBuf| {
        let name = root::name(file);
        let label = name.rsplit_once('_').and_then(|(stem, _)| root::text(&chip.join(format!("{stem}_label"))));
        labels.is_empty() || label.is_some_and(|label| labels.iter().any(|wanted| label.starts_with(wanted)))
    };
    let readable = |file: &PathBuf| root::number::<u64>(file).is_some();
    let ending = |kind: &str, end: &str| -> Vec<PathBuf> {
        let fits = |file: &PathBuf| root::name(file).starts_with(kind) && root::name(file).ends_with(end);
        root::entries(chip).into_iter().filter(|file| fits(file) && wanted(file) && readable(file)).collect()
    };
    let energy = ending("energy", "_input");
    let mut power = ending("power", "_average");
    if power.is_empty() {
        power = ending("power", "_input");
    }
    let name = match (&gpu, energy.is_empty()) {
        (None, false) => "hwmon_energy",
        (None, true) => "hwmon_power",
        (Some(_), false) => "gpu_energy",
        (Some(_), true) => "gpu_power",
    };
    (!energy.is_empty() || !power.is_empty()).then_some(Hwmon { name, gpu, energy, power })
}

impl Source for Hwmon {
    fn name(&self) -> &'static str {
        self.name
    }

    fn gpu(&self) -> Option<&str> {
        self.gpu.as_deref()
    }

    fn read(&mut self) -> Told {
        Told { joules: sum(&self.energy), watts: sum(&self.power) }
    }
}

/// The sum of all files in units of 10^6 of theirs; `None` where there are none or one fails.
fn sum(files: &[PathBuf]) -> Option<f64> {
    let values: Option<Vec<f64>> = files.iter().map(|file| root::number::<f64>(file)).collect();
    values.filter(|values| !values.is_empty()).map(|values| values.into_iter().sum::<f64>() / 1e6)
}

#[cfg(test)]
mod tests {
    use super::super::super::root::Tree;
    use super::*;

    const CHIP: &str = "sys/class/hwmon/hwmon3";

    #[test]
    fn sockets_are_added_and_cores_are_not() {
        let tree = Tree::new(&[(&format!("{CHIP}/name"), "amd_energy\n")]);
        for (n, label, value) in [(1, "Ecore000", "5"), (2, "Esocket0", "3000000"), (3, "Esocket1", "4000000")] {
            tree.write(&[(&format!("{CHIP}/energy{n}_label"), label), (&format!("{CHIP}/energy{n}_input"), value)]);
        }
        let mut meter = machine(&tree.root()).unwrap();
        assert_eq!((meter.name(), meter.read()), ("hwmon_energy", Told { joules: Some(7.0), watts: None }));
        assert!(gpu(&tree.root()).is_none());
    }

    #[test]
    fn a_power_supply_of_somebody_else_is_no_meter_of_ours() {
        let tree = Tree::new(&[
            (&format!("{CHIP}/name"), "nvme\n"),
            (&format!("{CHIP}/power1_input"), "3000000\n"),
            ("sys/class/hwmon/hwmon4/name", "power_meter\n"),
            ("sys/class/hwmon/hwmon4/power1_average", "250000000\n"),
        ]);
        let mut meter = machine(&tree.root()).unwrap();
        assert_eq!((meter.name(), meter.read()), ("hwmon_power", Told { joules: None, watts: Some(250.0) }));
    }

    #[test]
    fn one_gpu_is_counted_and_two_are_not() {
        let gpu_files = |n: u32| {
            [
                (format!("sys/class/hwmon/hwmon{n}/name"), "amdgpu"),
                (format!("sys/class/hwmon/hwmon{n}/power1_average"), "40000000"),
            ]
        };
        let tree = Tree::new(&[]);
        gpu_files(1).iter().for_each(|(path, text)| tree.write(&[(path, text)]));
        let mut meter = gpu(&tree.root()).unwrap();
        let told = meter.read();
        assert_eq!((meter.name(), meter.gpu(), told.watts), ("gpu_power", Some("hwmon amdgpu"), Some(40.0)));
        gpu_files(2).iter().for_each(|(path, text)| tree.write(&[(path, text)]));
        assert!(gpu(&tree.root()).is_none());
    }
}
