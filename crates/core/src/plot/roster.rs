//! Which cases stand in one panel, and which series a case belongs to: its name, colour, hatch and marker.

use super::labels;
use crate::analyze::{Group, GroupKey, by_key};
use std::collections::BTreeMap;

/// All cases with the series that they belong to. Slots are the same in all plots that show cases.
pub(super) struct Roster<'a> {
    pub groups: &'a [Group],
    series: Vec<String>,
    slots: Vec<usize>,
}

impl<'a> Roster<'a> {
    /// Series are engines, told apart by settings where one engine measured the same case with several.
    pub fn new(groups: &'a [Group]) -> Roster<'a> {
        let names = series_names(groups);
        let mut slots = vec![0; groups.len()];
        let mut series: Vec<String> = Vec::new();
        for (slot, cases) in by_key(0..groups.len(), |case| names[case].as_str()).into_iter().enumerate() {
            series.push(names[cases[0]].clone());
            cases.into_iter().for_each(|case| slots[case] = slot);
        }
        Roster { groups, series, slots }
    }

    /// The slot of a case's series.
    pub fn slot(&self, case: usize) -> usize {
        self.slots[case]
    }

    /// The name of a case's series.
    pub fn name(&self, case: usize) -> &str {
        &self.series[self.slots[case]]
    }

    /// Slots and names of the series of these cases, each once, in the order of slots.
    pub fn series_of(&self, cases: impl IntoIterator<Item = usize>) -> Vec<(usize, String)> {
        let mut slots: Vec<usize> = cases.into_iter().map(|case| self.slots[case]).collect();
        slots.sort_unstable();
        slots.dedup();
        slots.into_iter().map(|slot| (slot, self.series[slot].clone())).collect()
    }
}

/// The settings by which two cases of one engine and quantization may differ.
fn settings() -> [fn(&GroupKey) -> Option<String>; 6] {
    [
        |key| key.engine_version.clone(),
        |key| key.threads.map(|n| format!("{n} threads")),
        |key| key.batch.map(|n| format!("batch {n}")),
        |key| key.ubatch.map(|n| format!("ubatch {n}")),
        |key| key.flash_attn.map(|on| format!("flash attention {}", if on { "on" } else { "off" })),
        |key| key.kv_type.as_ref().map(|kind| format!("KV {kind}")),
    ]
}

fn series_names(groups: &[Group]) -> Vec<String> {
    // The first case of each kind; another that differs from it in a setting makes that setting part of the name.
    let mut first: BTreeMap<String, usize> = BTreeMap::new();
    let mut telling: BTreeMap<String, [bool; 6]> = BTreeMap::new();
    for (i, group) in groups.iter().enumerate().filter(|(_, group)| !labels::failed(group)) {
        let key = &group.key;
        let kind = format!("{:?}{:?}{:?}{:?}", facet_key(key), group.engine_label(), key.quantize, key.native_quantize);
        let other = *first.entry(kind).or_insert(i);
        let told = telling.entry(group.engine_label()).or_default();
        for (told, setting) in told.iter_mut().zip(settings()) {
            *told |= setting(key) != setting(&groups[other].key);
        }
    }
    let name = |group: &Group| {
        let mut name = group.engine_label();
        let told = telling.get(&name).copied().unwrap_or_default();
        for (_, setting) in told.iter().zip(settings()).filter(|(told, _)| **told) {
            if let Some(value) = setting(&group.key) {
                name.push_str(", ");
                name.push_str(&value);
            }
        }
        name
    };
    groups.iter().map(name).collect()
}

type FacetKey<'a> = (&'a str, &'a str, &'a str, Option<u32>, Option<u32>, Option<u32>);

fn facet_key(key: &GroupKey) -> FacetKey<'_> {
    (key.host.as_str(), key.device.as_str(), key.model.as_str(), key.prompt_tokens, key.gen_tokens, key.depth)
}

/// Cases by host, device, model and workload: what may stand in one panel.
///
/// A case that failed before its device was known stands with the measured cases of its host, model and workload.
pub(super) fn facets(groups: &[Group]) -> Vec<Vec<usize>> {
    let key = |case: usize| facet_key(&groups[case].key);
    let whatever_device = |case: usize| {
        let (host, _, model, prompt, gen_tokens, depth) = key(case);
        (host, model, prompt, gen_tokens, depth)
    };
    let (failed, measured): (Vec<usize>, Vec<usize>) =
        (0..groups.len()).partition(|case| labels::failed(&groups[*case]));
    let mut found = by_key(measured, key);
    let mut places = BTreeMap::new();
    let mut hosts = BTreeMap::new();
    for (facet, cases) in found.iter().enumerate() {
        places.insert(key(cases[0]), facet);
        hosts.entry(whatever_device(cases[0])).or_insert(facet);
    }
    for case in failed {
        let own = key(case);
        let known = match own.1 {
            "unknown" => hosts.get(&whatever_device(case)).copied(),
            _ => places.get(&own).copied(),
        };
        match known {
            Some(facet) => found[facet].push(case),
            None => {
                places.insert(own, found.len());
                hosts.entry(whatever_device(case)).or_insert(found.len());
                found.push(vec![case]);
            }
        }
    }
    for cases in &mut found {
        cases.sort_unstable();
    }
    found.sort();
    found
}

/// The same with some of the cases alone; facets without any are left out.
pub(super) fn facets_of(groups: &[Group], wanted: impl Fn(&Group) -> bool) -> Vec<Vec<usize>> {
    let mut found = facets(groups);
    for cases in &mut found {
        cases.retain(|case| wanted(&groups[*case]));
    }
    found.retain(|cases| !cases.is_empty());
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plot::fixture;

    #[test]
    fn each_host_has_its_facet() {
        let analysis = fixture::full();
        let sets = facets(&analysis.groups);
        assert_eq!(sets.iter().map(Vec::len).collect::<Vec<_>>(), [8, 8]);
        let roster = Roster::new(&analysis.groups);
        assert_eq!(roster.series_of(0..16).len(), 2);
    }

    #[test]
    fn a_setting_that_differs_becomes_part_of_the_name() {
        let analysis = fixture::two_thread_counts();
        let roster = Roster::new(&analysis.groups);
        let names: Vec<String> = roster.series_of(0..analysis.groups.len()).into_iter().map(|(_, name)| name).collect();
        assert_eq!(names, ["llamacpp, 2 threads", "llamacpp, 4 threads"]);
    }

    #[test]
    fn a_case_that_failed_early_stands_with_its_host() {
        let analysis = fixture::one_failed();
        assert_eq!(facets(&analysis.groups).len(), 1);
    }
}
