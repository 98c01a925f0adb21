//! Pressure stall information: how long tasks waited for a processor or for memory (Linux: Documentation/accounting/psi).

use super::super::root::Root;

/// Microseconds since the start of the system in which at least one task waited.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Pressure {
    /// For a processor.
    pub cpu_us: Option<u64>,
    /// For memory.
    pub memory_us: Option<u64>,
}

/// Reads it; nothing where the kernel keeps none.
pub(super) fn pressure(root: &Root) -> Pressure {
    let some = |what: &str| {
        let text = root.text(&format!("proc/pressure/{what}"))?;
        let line = text.lines().find_map(|line| line.strip_prefix("some "))?;
        line.split_whitespace().find_map(|word| word.strip_prefix("total=")?.parse().ok())
    };
    Pressure { cpu_us: some("cpu"), memory_us: some("memory") }
}

#[cfg(test)]
mod tests {
    use super::super::super::root::Tree;
    use super::*;

    #[test]
    fn totals_are_read() {
        let cpu =
            "some avg10=4.52 avg60=2.08 avg300=1.92 total=2603184078\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=7\n";
        let tree = Tree::new(&[("proc/pressure/cpu", cpu)]);
        assert_eq!(pressure(&tree.root()), Pressure { cpu_us: Some(2_603_184_078), memory_us: None });
    }
}
