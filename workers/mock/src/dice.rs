//! Faults at random points: the option `fail_random=FILE`. The file holds `PERCENT STATE`: how many of a hundred generations
//! fail, and where the dice stand.
//!
//! Every throw moves the dice in the file on, so that a process that is started again does not fail where the one before it
//! did, and yet the same file makes the same faults each time. Without the file nothing fails.

use std::path::Path;

/// What may go wrong, each as often as the others.
const FAULTS: [&str; 5] = ["crash_in_generate", "exit", "hang", "garbage", "error"];

/// Throws the dice of this file: the fault of this generation, if it is to have one.
pub fn throw(file: &Path) -> Option<&'static str> {
    let text = std::fs::read_to_string(file).ok()?;
    let (percent, state) = text.trim().split_once(' ')?;
    let (percent, state) = (percent.parse().ok()?, state.parse().ok()?);
    let (state, fault) = next(percent, state);
    std::fs::write(file, format!("{percent} {state}")).ok()?;
    fault
}

/// Where the dice stand afterwards, and the fault that they show (the generator of D. Knuth's MMIX).
fn next(percent: u64, state: u64) -> (u64, Option<&'static str>) {
    let state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    // The lowest bits repeat soon.
    let shown = state >> 33;
    let fault = FAULTS[(shown / 100) as usize % FAULTS.len()];
    (state, (shown % 100 < percent).then_some(fault))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_many_fail_as_asked_in_every_way_that_there_is() {
        let (mut state, mut shown) = (6, Vec::new());
        for _ in 0..10_000 {
            let (after, fault) = next(20, state);
            state = after;
            shown.push(fault);
        }
        let times = |wanted: Option<&str>| shown.iter().filter(|fault| **fault == wanted).count();
        assert!((7800..8200).contains(&times(None)), "{}", times(None));
        for fault in FAULTS {
            assert!(crate::FAULTS.contains(&fault));
            assert!((300..500).contains(&times(Some(fault))), "{fault}: {}", times(Some(fault)));
        }
    }

    #[test]
    fn the_dice_move_on_in_the_file_and_without_it_nothing_fails() {
        let file = std::env::temp_dir().join(format!("tokometer-mock-dice-{}", std::process::id()));
        assert_eq!(throw(&file), None);
        std::fs::write(&file, "100 6").unwrap();
        let faults: Vec<_> = (0..20).map(|_| throw(&file)).collect();
        assert!(faults.iter().all(Option::is_some) && faults.iter().any(|fault| *fault != faults[0]), "{faults:?}");
        std::fs::remove_file(&file).unwrap();
    }
}
