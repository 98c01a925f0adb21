//! RAPL, the processor's own energy counters (Linux: Documentation/power/powercap, `intel-rapl`; AMD's are shown under
//! the same name). Since 2020 only root may read them, unless the administrator says otherwise.

use super::super::root::{self, Root};
use super::{Source, Told};
use std::path::PathBuf;

/// Packages and, where they are counted apart, memory.
#[derive(Debug)]
pub(super) struct Rapl {
    domains: Vec<Domain>,
}

/// One counter.
#[derive(Debug)]
struct Domain {
    file: PathBuf,
    /// Where the counter starts anew, µJ.
    range: Option<u64>,
    last: u64,
    /// Since it was opened, µJ.
    sum: u64,
}

/// Opens the counters of all packages and their memory. `core` and `uncore` are parts of their package, `psys` holds it
/// all, and `intel-rapl-mmio` shows the same package once more: none of them is added.
pub(super) fn open(root: &Root) -> Option<Rapl> {
    let mut domains = Vec::new();
    let mut packages = 0;
    for folder in root.entries("sys/class/powercap") {
        if !root::name(&folder).starts_with("intel-rapl:") {
            continue;
        }
        let name = root::text(&folder.join("name")).unwrap_or_default();
        let package = name.starts_with("package");
        if !package && name != "dram" {
            continue;
        }
        let file = folder.join("energy_uj");
        let range = root::number(&folder.join("max_energy_range_uj"));
        let Some(last) = root::number(&file) else { continue };
        packages += u32::from(package);
        domains.push(Domain { file, range, last, sum: 0 });
    }
    (packages > 0).then_some(Rapl { domains })
}

impl Source for Rapl {
    fn name(&self) -> &'static str {
        "rapl"
    }

    fn read(&mut self) -> Told {
        // All are read, whatever one of them says: none may miss that it starts anew.
        let sums: Vec<Option<u64>> = self.domains.iter_mut().map(Domain::read).collect();
        let sum = sums.into_iter().try_fold(0u64, |all, one| all.checked_add(one?));
        Told { joules: sum.map(|uj| uj as f64 / 1e6), watts: None }
    }
}

impl Domain {
    /// µJ since it was opened.
    fn read(&mut self) -> Option<u64> {
        let now: u64 = root::number(&self.file)?;
        let step = match now.checked_sub(self.last) {
            Some(step) => step,
            None => self.range?.checked_sub(self.last)?.checked_add(now)?,
        };
        self.last = now;
        self.sum = self.sum.checked_add(step)?;
        Some(self.sum)
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::root::Tree;
    use super::*;

    fn tree(zones: &[(&str, &str, &str)]) -> Tree {
        let tree = Tree::new(&[("sys/class/powercap/intel-rapl/enabled", "1\n")]);
        for (zone, name, energy) in zones {
            let file = |file: &str| format!("sys/class/powercap/{zone}/{file}");
            tree.write(&[
                (&file("name"), name),
                (&file("energy_uj"), energy),
                (&file("max_energy_range_uj"), "1000000"),
            ]);
        }
        tree
    }

    #[test]
    fn packages_and_memory_are_added_and_nothing_twice() {
        let zones = [
            ("intel-rapl:0", "package-0", "0"),
            ("intel-rapl:0:0", "core", "0"),
            ("intel-rapl:0:1", "dram", "0"),
            ("intel-rapl:1", "psys", "0"),
            ("intel-rapl-mmio:0", "package-0", "0"),
        ];
        let tree = tree(&zones);
        let mut rapl = open(&tree.root()).unwrap();
        for (zone, ..) in zones {
            tree.write(&[(&format!("sys/class/powercap/{zone}/energy_uj"), "500000")]);
        }
        assert_eq!(rapl.read(), Told { joules: Some(1.0), watts: None });
    }

    #[test]
    fn a_counter_that_starts_anew_goes_on() {
        let tree = tree(&[("intel-rapl:0", "package-0", "900000")]);
        let mut rapl = open(&tree.root()).unwrap();
        let mut read = |energy: &str| {
            tree.write(&[("sys/class/powercap/intel-rapl:0/energy_uj", energy)]);
            rapl.read().joules
        };
        assert_eq!(read("100000"), Some(0.2));
        assert_eq!(read("950000"), Some(1.05));
        assert_eq!(read("50000"), Some(1.15));
        assert_eq!(read("nonsense"), None);
        // Nothing is lost by one failed look.
        assert_eq!(read("60000"), Some(1.16));
    }

    #[test]
    fn what_only_root_may_read_is_not_there() {
        let tree = Tree::new(&[("sys/class/powercap/intel-rapl:0/name", "package-0\n")]);
        assert!(open(&tree.root()).is_none());
    }
}
