//! How busy the GPUs are, before anything is measured on them.

use std::fs;
use std::path::Path;

/// Percent of a GPU's time that is in use already, by the GPU's name, where the system tells.
pub fn gpu_load(root: &Path) -> Vec<(String, u32)> {
    let mut found = amd(root);
    if root == Path::new("/") {
        found.extend(nvidia());
    }
    found
}

/// amdgpu publishes its load as a file (kernel documentation, "GPU/Thermal Controls and Monitoring").
fn amd(root: &Path) -> Vec<(String, u32)> {
    let mut cards: Vec<_> = fs::read_dir(root.join("sys/class/drm")).into_iter().flatten().flatten().collect();
    cards.sort_by_key(|card| card.file_name());
    let load =
        |card: &fs::DirEntry| fs::read_to_string(card.path().join("device/gpu_busy_percent")).ok()?.trim().parse().ok();
    // card0-HDMI-A-1 and the like are connectors.
    let is_card = |name: &str| name.strip_prefix("card").is_some_and(|n| n.bytes().all(|b| b.is_ascii_digit()));
    cards
        .iter()
        .map(|card| (card.file_name().to_string_lossy().into_owned(), card))
        .filter(|(name, _)| is_card(name))
        .filter_map(|(name, card)| Some((name, load(card)?)))
        .collect()
}

/// NVIDIA's driver tells through its own program, which comes with it.
fn nvidia() -> Vec<(String, u32)> {
    let all = super::sensors::gpus().unwrap_or_default();
    all.into_iter().filter_map(|gpu| Some((gpu.name, gpu.utilization_percent? as u32))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Dir;

    #[test]
    fn a_busy_card_is_read_and_its_connectors_are_not() {
        let root = Dir::with(&[
            ("sys/class/drm/card1/device/gpu_busy_percent", "87\n"),
            ("sys/class/drm/card1-DP-1/device/gpu_busy_percent", "87\n"),
        ]);
        assert_eq!(gpu_load(&root), [("card1".to_owned(), 87)]);
    }
}
