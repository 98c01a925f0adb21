//! The words under a case: its quantization with what that really was, its machine, its model and workload.

use super::text;
use crate::analyze::Group;

/// Bytes in GB (10^9), or in MB where that reads better.
pub(super) fn bytes(count: u64) -> String {
    let gigabytes = count as f64 / 1e9;
    match gigabytes {
        g if g >= 100.0 => format!("{g:.0} GB"),
        g if g >= 10.0 => format!("{g:.1} GB"),
        g if g >= 0.1 => format!("{g:.2} GB"),
        g if g >= 1e-4 => format!("{} MB", text::figure(g * 1e3)),
        _ => format!("{count} bytes"),
    }
}

/// What a quantization label stands for in this case: native name, bits per weight, bytes of the weights.
pub(super) fn weights(group: &Group) -> Vec<String> {
    let key = &group.key;
    let mut parts = Vec::new();
    parts.extend(key.native_quantize.clone().filter(|native| *native != key.quantize));
    parts.extend(key.bits_per_weight.map(|bits| format!("{bits:.2} bpw")));
    parts.extend(key.weights_bytes.map(bytes));
    if key.native_quantize.is_none() && key.bits_per_weight.is_none() {
        parts.insert(0, "bits not recorded".to_owned());
    }
    parts
}

/// Host and device, with the device in words where it is known.
pub(super) fn place(group: &Group) -> String {
    // A long host name must not push the device off the line.
    let host = text::shorten(&group.key.host, super::style::FACET.size, 220.0);
    match &group.device_description {
        Some(words) if !words.is_empty() => format!("{host} · {} ({words})", group.key.device),
        _ => short_place(group),
    }
}

/// Host and device.
pub(super) fn short_place(group: &Group) -> String {
    let host = text::shorten(&group.key.host, super::style::FACET.size, 220.0);
    format!("{host} · {}", group.key.device)
}

/// Model and workload.
pub(super) fn work(group: &Group) -> String {
    let model = text::shorten(&group.key.model, super::style::SUBTITLE.size, 300.0);
    match group.workload_label() {
        workload if workload.is_empty() => model,
        workload => format!("{model} · {workload}"),
    }
}

/// The two lines over the panel of a facet.
pub(super) fn facet_title(group: &Group) -> Vec<String> {
    vec![place(group), work(group)]
}

/// Whether nothing was measured because every launch failed.
pub(super) fn failed(group: &Group) -> bool {
    group.repetitions.is_empty() && !group.failures.is_empty()
}

/// A line that says how many cases failed and why the first did; `None` if none failed.
pub(super) fn failures(groups: &[Group]) -> Option<String> {
    let failed: Vec<&Group> = groups.iter().filter(|group| failed(group)).collect();
    let first = failed.first()?;
    let count = match failed.len() {
        1 => "1 case failed".to_owned(),
        n => format!("{n} cases failed"),
    };
    let (engine, label) = (first.engine_label(), first.quantize_label());
    let reason = text::shorten(&first.failures[0], super::style::SMALL.size, 620.0);
    Some(format!("{count}; {engine} {label}: {reason}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plot::fixture;

    #[test]
    fn a_label_never_hides_what_it_was() {
        let analysis = fixture::one_group();
        assert_eq!(weights(&analysis.groups[0]), ["Q4_K_M", "4.91 bpw", "0.77 GB"]);
        let old = fixture::old_log();
        assert_eq!(weights(&old.groups[0]), ["bits not recorded"]);
    }

    #[test]
    fn bytes_are_decimal() {
        assert_eq!(
            [1, 52_000_000, 768_000_000, 16_060_000_000].map(bytes),
            ["1 bytes", "52.0 MB", "0.77 GB", "16.1 GB"]
        );
    }

    #[test]
    fn a_long_host_name_leaves_the_device_on_the_line() {
        let analysis = fixture::long_names();
        assert!(short_place(&analysis.groups[0]).ends_with("… · CPU"), "{}", short_place(&analysis.groups[0]));
    }
}
