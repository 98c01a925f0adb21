//! The battery of a laptop that runs on it: the whole machine, screen included, in coarse steps (Linux:
//! Documentation/ABI/testing/sysfs-class-power: µWh, µW, or µAh, µA and µV).

use super::super::root::{self, Root};
use super::{Source, Told};
use std::path::PathBuf;

/// One step of most gauges, J: ten milliwatt-hours.
const STEP_JOULES: f64 = 36.0;

/// The number in a battery's file.
type Reader<'a> = &'a dyn Fn(&str) -> Option<f64>;

/// Batteries, added.
#[derive(Debug)]
pub(super) struct Battery {
    folders: Vec<PathBuf>,
}

/// Opens the batteries; none while the machine runs on mains.
pub(super) fn open(root: &Root) -> Option<Battery> {
    let is_battery = |folder: &PathBuf| root::text(&folder.join("type")).as_deref() == Some("Battery");
    let folders: Vec<PathBuf> = root.entries("sys/class/power_supply").into_iter().filter(is_battery).collect();
    let battery = Battery { folders };
    battery.discharges().then_some(battery)
}

impl Battery {
    fn discharges(&self) -> bool {
        self.folders.iter().any(|folder| root::text(&folder.join("status")).as_deref() == Some("Discharging"))
    }

    /// Sum over the batteries; `None` where one of them does not tell.
    fn sum(&self, figure: fn(Reader<'_>) -> Option<f64>) -> Option<f64> {
        let of = |folder: &PathBuf| figure(&|file: &str| root::number::<f64>(&folder.join(file)));
        self.folders.iter().map(of).sum()
    }
}

impl Source for Battery {
    fn name(&self) -> &'static str {
        "battery"
    }

    fn step_joules(&self) -> f64 {
        STEP_JOULES
    }

    fn read(&mut self) -> Told {
        if !self.discharges() {
            return Told::default();
        }
        let stored = self.sum(|read| {
            let microwatt_hours =
                read("energy_now").or_else(|| Some(read("charge_now")? * (read("voltage_now")? / 1e6)))?;
            Some(microwatt_hours * 3600.0 / 1e6)
        });
        let watts = self.sum(|read| {
            let microwatts = read("power_now").or_else(|| Some(read("current_now")? * (read("voltage_now")? / 1e6)))?;
            Some(microwatts.abs() / 1e6)
        });
        // What is stored shrinks as what was used grows.
        Told { joules: stored.map(|joules| -joules), watts: watts.filter(|watts| *watts > 0.0) }
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::root::Tree;
    use super::*;

    fn tree(files: &[(&str, &str)]) -> Tree {
        let tree = Tree::new(&[("sys/class/power_supply/AC/type", "Mains\n")]);
        files.iter().for_each(|(name, text)| tree.write(&[(&format!("sys/class/power_supply/BAT0/{name}"), text)]));
        tree
    }

    #[test]
    fn charge_and_current_stand_in_for_energy_and_power() {
        let tree = tree(&[
            ("type", "Battery\n"),
            ("status", "Discharging\n"),
            ("charge_now", "4000000\n"),
            ("current_now", "-1500000\n"),
            ("voltage_now", "12000000\n"),
        ]);
        let told = open(&tree.root()).unwrap().read();
        assert_eq!(told, Told { joules: Some(-172_800.0), watts: Some(18.0) });
    }

    #[test]
    fn on_mains_a_battery_tells_nothing() {
        let files = [("type", "Battery"), ("status", "Discharging"), ("energy_now", "1000000"), ("power_now", "0")];
        let tree = tree(&files);
        let mut battery = open(&tree.root()).unwrap();
        assert_eq!(battery.read(), Told { joules: Some(-3600.0), watts: None });
        tree.write(&[("sys/class/power_supply/BAT0/status", "Charging")]);
        assert_eq!(battery.read(), Told::default());
        assert!(open(&tree.root()).is_none());
    }
}
