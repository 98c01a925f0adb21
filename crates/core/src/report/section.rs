//! Which groups stand together in a table: those that may be compared, and what tells their rows apart.

use super::number::count;
use crate::analyze::{Group, GroupKey, Shown, largest, together};

/// Indices of the groups of each section, in the order of the analysis: the rule of [`crate::analyze::speedups`].
pub fn sections(groups: &[Group]) -> Vec<Vec<usize>> {
    together(groups, 0..groups.len())
}

/// Rows of a table of the presentation; more would make slides that nobody turns over.
const ROWS: usize = 60;
/// Sections of these rows.
pub const SECTIONS: usize = 24;

/// The sections that the presentation tells of.
pub fn shown(sections: Vec<Vec<usize>>) -> Shown<usize> {
    largest(sections, SECTIONS, ROWS)
}

/// `host · CPU · model`.
pub fn place(key: &GroupKey) -> String {
    format!("{} · {} · {}", key.host, key.device, key.model)
}

/// `prefill 512, decode 128 · 2 threads`; empty where nothing of it is known.
pub fn workload(group: &Group) -> String {
    let parts =
        [group.workload_label(), group.key.threads.map(|n| count(n as usize, "thread", "threads")).unwrap_or_default()];
    parts.iter().filter(|part| !part.is_empty()).cloned().collect::<Vec<_>>().join(" · ")
}

/// What all sections have in common (host, device, model, workload), and for each what it has of its own.
pub fn places(groups: &[Group], sections: &[Vec<usize>]) -> (String, Vec<String>) {
    let parts = |section: &Vec<usize>| {
        let group = &groups[section[0]];
        [group.key.host.clone(), group.key.device.clone(), group.key.model.clone(), workload(group)]
    };
    let all: Vec<[String; 4]> = sections.iter().map(parts).collect();
    let shared = |part: usize| all.windows(2).all(|pair| pair[0][part] == pair[1][part]);
    let joined = |place: &[String; 4], want: bool| {
        let some = place.iter().enumerate().filter(|(part, text)| shared(*part) == want && !text.is_empty());
        some.map(|(_, text)| text.as_str()).collect::<Vec<_>>().join(" · ")
    };
    let common = all.first().map(|place| joined(place, true)).unwrap_or_default();
    (common, all.iter().map(|place| joined(place, false)).collect())
}

/// `llamacpp nf4 (Q4_K_M)`.
pub fn case(group: &Group) -> String {
    format!("{} {}", group.engine_label(), group.quantize_label())
}

/// A case with the settings that tell it apart from others of its section.
pub fn full_case(groups: &[Group], section: &[usize], i: usize) -> String {
    let detail = detail(groups, section, i);
    if detail.is_empty() { case(&groups[i]) } else { format!("{}, {detail}", case(&groups[i])) }
}

type Setting = fn(&GroupKey) -> Option<String>;

const SETTINGS: &[Setting] = &[
    |key| key.engine_version.clone(),
    |key| key.bits_per_weight.map(|bits| format!("{bits:.2} bits per weight")),
    |key| key.batch.map(|n| format!("batch {n}")),
    |key| key.ubatch.map(|n| format!("ubatch {n}")),
    |key| key.flash_attn.map(|on| format!("flash attention {}", if on { "on" } else { "off" })),
    |key| key.kv_type.as_ref().map(|kind| format!("KV cache {kind}")),
    |key| key.weights_bytes.map(|bytes| format!("{bytes} bytes of weights")),
];

/// The settings in which rows of the same engine and quantization differ; empty for a row without twins.
pub fn detail(groups: &[Group], section: &[usize], i: usize) -> String {
    let twins: Vec<&GroupKey> =
        section.iter().filter(|j| case(&groups[**j]) == case(&groups[i])).map(|j| &groups[*j].key).collect();
    let own = &groups[i].key;
    let differ = SETTINGS.iter().filter(|setting| twins.iter().any(|twin| setting(twin) != setting(own)));
    differ.filter_map(|setting| setting(own)).collect::<Vec<_>>().join(", ")
}

/// Launches, and repetitions of each launch, that a group has figures of.
pub fn schedule(group: &Group) -> Vec<usize> {
    let launches = group.repetitions.iter().map(|r| r.launch + 1).max().unwrap_or(0);
    let of = |launch: usize| group.repetitions.iter().filter(|r| r.launch == launch).count();
    (0..launches).map(of).filter(|n| *n > 0).collect()
}

/// `3 × 5`, or `14 in 3 launches` where launches differ, or nothing.
pub fn schedule_text(group: &Group) -> Option<String> {
    let launches = schedule(group);
    let first = launches.first()?;
    Some(if launches.iter().all(|n| n == first) {
        format!("{} × {first}", launches.len())
    } else {
        format!("{} in {} launches", launches.iter().sum::<usize>(), launches.len())
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::analyze::analyze;
    use crate::record::{Context, Series};

    fn series(host: &str, batch: u32, prompt: u32) -> Series {
        let text = |text: &str| Some(text.to_owned());
        let context = Context {
            engine: "llamacpp".into(),
            hostname: text(host),
            device: text("CPU"),
            model: text("m"),
            quantize: text("nf4"),
            batch: Some(batch),
            prompt_tokens: Some(prompt),
            threads: Some(1),
            ..Context::default()
        };
        Series { context, steps: Vec::new() }
    }

    #[test]
    fn rows_of_one_section_are_told_apart_by_what_differs() {
        let groups = analyze(&[series("a", 512, 10), series("a", 2048, 10)]).groups;
        assert_eq!(sections(&groups), [[0, 1]]);
        let mut names = [0, 1].map(|i| full_case(&groups, &[0, 1], i));
        names.sort();
        assert_eq!(names, ["llamacpp nf4, batch 2048", "llamacpp nf4, batch 512"]);
        assert_eq!(detail(&groups, &[0], 0), "");
    }

    #[test]
    fn a_short_place_names_only_what_varies() {
        let groups = analyze(&[series("a", 1, 10), series("b", 1, 10)]).groups;
        let (common, own) = places(&groups, &sections(&groups));
        assert_eq!(common, "CPU · m · prefill 10 · 1 thread");
        assert_eq!(own, ["a", "b"]);
    }
}
