//! The plots as slides: titles, captions computed from the data, and what is missing where a plot has nothing to show.

use super::context::ReportContext;
use super::number::{count, in_words, interval, number};
use super::section::{case, full_case, sections};
use crate::analyze::{Analysis, Estimate, Group, Score, peak_memory};
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// A plot that the presentation knows.
struct Figure {
    name: &'static str,
    title: &'static str,
    /// A sentence about the data; `None`: the data are not there.
    caption: fn(&Analysis) -> Option<String>,
    /// What is missing then.
    missing: &'static str,
}

const FIGURES: &[Figure] = &[
    Figure {
        name: "backend_comparison",
        title: "Speed by engine and quantization",
        caption: fastest,
        missing: "no decode speed was measured",
    },
    Figure {
        name: "speedup_comparison",
        title: "Speed against the baseline",
        caption: largest_ratio,
        missing: "no two cases can be compared",
    },
    Figure { name: "summary_stats", title: "Summary", caption: summary, missing: "nothing was measured" },
    Figure {
        name: "quantization_impact",
        title: "What a quantization does to speed",
        caption: quantization,
        missing: "no engine ran two quantizations whose bits per weight are known",
    },
    Figure {
        name: "latency_distribution",
        title: "Latency of single steps",
        caption: tail,
        missing: "no log holds latencies of single steps",
    },
    Figure {
        name: "memory_throughput",
        title: "Memory throughput",
        caption: |a| highest(a, |g| g.memory.as_ref()),
        missing: "no log says how many bytes a step moves",
    },
    Figure {
        name: "param_throughput",
        title: "Parameter throughput",
        caption: |a| highest(a, |g| g.param.as_ref()),
        missing: "the bytes of the weights are not known",
    },
    Figure {
        name: "device_comparison",
        title: "Hosts and devices",
        caption: devices,
        missing: "no decode speed was measured",
    },
    Figure {
        name: "accuracy_vs_speed",
        title: "Accuracy against speed",
        caption: most_accurate,
        missing: "no case has both a speed and a score on a task (`tokometer eval --env NAME` brings scores)",
    },
    Figure {
        name: "quality_vs_size",
        title: "Quality against size",
        caption: farthest,
        missing: "no quantization was evaluated (`tokometer eval --env distance` does it)",
    },
    Figure {
        name: "memory",
        title: "Speed against memory",
        caption: least_memory,
        missing: "no log tells how much memory a case needed",
    },
];

/// Plots that are there only where something was varied, with the titles of their slides.
const VARIED: &[(&str, &str)] = &[
    ("context_scaling", "Speed against the context"),
    ("thread_scaling", "Speed against the number of threads"),
    ("batch_scaling", "Speed against the batch"),
];

/// All figures. `images` are paths as the template opens them, by the plot's name; a plot without a path is missing.
pub fn figures(analysis: &Analysis, context: &ReportContext, images: &BTreeMap<String, String>) -> Vec<Value> {
    let known = FIGURES.iter().map(|figure| {
        let caption = (figure.caption)(analysis);
        let image = images.get(figure.name);
        let told = context.missing_figures.get(figure.name).cloned();
        let missing = told.or_else(|| caption.is_none().then(|| figure.missing.to_owned()));
        entry(figure.name, figure.title.to_owned(), caption, image, missing)
    });
    let others = images.iter().filter(|(name, _)| FIGURES.iter().all(|figure| figure.name != **name));
    let title = |name: &str| {
        let own = VARIED.iter().find(|(known, _)| *known == name).map(|(_, title)| (*title).to_owned());
        own.unwrap_or_else(|| spelled(name))
    };
    known.chain(others.map(|(name, image)| entry(name, title(name), None, Some(image), None))).collect()
}

fn entry(name: &str, title: String, caption: Option<String>, image: Option<&String>, missing: Option<String>) -> Value {
    let missing =
        missing.or_else(|| image.is_none().then(|| "the plot was not drawn; `tokometer plot` draws it".to_owned()));
    json!({
        "name": name,
        "title": title,
        "caption": caption.unwrap_or_default(),
        "image": if missing.is_none() { image } else { None },
        "missing": missing,
    })
}

/// `my_plot` as `My plot`.
fn spelled(name: &str) -> String {
    let words = name.replace('_', " ");
    let mut letters = words.chars();
    letters.next().map(|first| first.to_uppercase().chain(letters).collect()).unwrap_or_default()
}

fn most_accurate(analysis: &Analysis) -> Option<String> {
    let measured = |score: &&Score| score.groups.iter().any(|i| analysis.groups[*i].decode.is_some());
    let tasks = || analysis.scores.iter().filter(|score| !score.is_distance()).filter(measured);
    let highest = tasks().map(|score| score.value).max_by(f64::total_cmp)?;
    let best = tasks().find(|score| score.value == highest)?;
    let same = |other: &&Score| {
        (&other.metric, &other.environment, other.value) == (&best.metric, &best.environment, best.value)
    };
    let others = match tasks().filter(same).count() {
        1 => String::new(),
        2 => " and one other".to_owned(),
        n => format!(" and {} others", n - 1),
    };
    let sure = best.interval.map(|ci| format!(" (95% interval {})", interval(best.value, ci))).unwrap_or_default();
    Some(format!(
        "Highest {} on {}: {} {}{others}, {}{sure}.",
        best.metric,
        best.environment,
        best.engine,
        best.quantize_label(),
        number(best.value),
    ))
}

fn farthest(analysis: &Analysis) -> Option<String> {
    let sized = || analysis.scores.iter().filter(|score| score.weights_bytes.is_some());
    let distances = sized().filter(|score| score.is_distance());
    match distances.max_by(|a, b| a.value.total_cmp(&b.value)) {
        Some(score) => Some(format!(
            "Farthest from the unquantized model: {} {}, divergence {} nats per token.",
            score.engine,
            score.quantize_label(),
            number(score.value),
        )),
        None => sized().next().map(|_| "Scores on tasks, by the size of the weights.".to_owned()),
    }
}

fn least_memory(analysis: &Analysis) -> Option<String> {
    let known = analysis.groups.iter().filter(|group| group.decode.is_some());
    let peaks = known.filter_map(|group| Some((group, peak_memory(group)?)));
    let (group, peak) = peaks.min_by_key(|(_, peak)| *peak)?;
    Some(format!("Least peak memory: {}, {} GB.", on_host(group), number(peak as f64 / 1e9)))
}

fn on_host(group: &Group) -> String {
    format!("{} on {}", case(group), group.key.host)
}

/// The group in which a figure is highest.
fn top(analysis: &Analysis, figure: fn(&Group) -> Option<f64>) -> Option<(&Group, f64)> {
    let values = analysis.groups.iter().filter_map(|group| Some((group, figure(group)?)));
    values.max_by(|a, b| a.1.total_cmp(&b.1))
}

fn fastest(analysis: &Analysis) -> Option<String> {
    let (group, _) = top(analysis, |group| group.decode.as_ref().map(|e| e.mean))?;
    Some(format!("Highest decode speed of all: {}, {}.", on_host(group), in_words(group.decode.as_ref()?, "tokens/s")))
}

fn largest_ratio(analysis: &Analysis) -> Option<String> {
    let ratios = analysis.speedups.iter().filter(|comparison| comparison.group != comparison.baseline);
    let largest = ratios.max_by(|a, b| a.ratio.total_cmp(&b.ratio))?;
    let sure = largest.ci.map(|ci| format!(" (95% interval {})", interval(largest.ratio, ci))).unwrap_or_default();
    let group = &analysis.groups[largest.group];
    Some(format!(
        "Largest ratio: {} decodes {} times as fast as {}{sure}.",
        on_host(group),
        number(largest.ratio),
        largest.against
    ))
}

fn summary(analysis: &Analysis) -> Option<String> {
    let repetitions: usize = analysis.groups.iter().map(|group| group.repetitions.len()).sum();
    let steps: usize = analysis.groups.iter().filter_map(|group| Some(group.steps.as_ref()?.n)).sum();
    let cases = analysis.groups.iter().filter(|group| !group.repetitions.is_empty()).count();
    (repetitions > 0).then(|| {
        format!(
            "{}, {}, {}.",
            count(cases, "case", "cases"),
            count(repetitions, "repetition", "repetitions"),
            count(steps, "decode step", "decode steps"),
        )
    })
}

/// From the most to the fewest bits per weight of one engine, in the first section that has two.
fn quantization(analysis: &Analysis) -> Option<String> {
    let groups = &analysis.groups;
    sections(groups).iter().find_map(|section| {
        let engine = &groups[section[0]].key.engine;
        let own = section.iter().filter(|i| groups[**i].key.engine == *engine);
        let mut known: Vec<(usize, f64, &Estimate)> =
            own.filter_map(|i| Some((*i, groups[*i].key.bits_per_weight?, groups[*i].decode.as_ref()?))).collect();
        known.sort_by(|a, b| b.1.total_cmp(&a.1));
        let (first, last) = (known.first()?, known.last()?);
        (first.1 > last.1).then(|| {
            format!(
                "On {}: from {:.2} bits per weight ({}) to {:.2} ({}), decode goes from {} to {} tokens/s.",
                groups[first.0].key.host,
                first.1,
                full_case(groups, section, first.0),
                last.1,
                full_case(groups, section, last.0),
                number(first.2.mean),
                number(last.2.mean),
            )
        })
    })
}

fn tail(analysis: &Analysis) -> Option<String> {
    let known = analysis.groups.iter().filter_map(|group| Some((group, group.steps.as_ref()?)));
    let (group, steps) = known.max_by(|a, b| (a.1.p99.ms / a.1.p50.ms).total_cmp(&(b.1.p99.ms / b.1.p50.ms)))?;
    Some(format!(
        "Longest tail: {}, where 1% of the steps take longer than {} ms and half of them longer than {} ms.",
        on_host(group),
        number(steps.p99.ms),
        number(steps.p50.ms),
    ))
}

fn highest(analysis: &Analysis, figure: fn(&Group) -> Option<&Estimate>) -> Option<String> {
    let values = analysis.groups.iter().filter_map(|group| Some((group, figure(group)?)));
    let (group, estimate) = values.max_by(|a, b| a.1.mean.total_cmp(&b.1.mean))?;
    Some(format!("Highest: {}, {}.", on_host(group), in_words(estimate, "GB/s")))
}

fn devices(analysis: &Analysis) -> Option<String> {
    top(analysis, |group| group.decode.as_ref().map(|e| e.mean))?;
    let names = super::method::distinct(
        analysis.groups.iter().map(|group| format!("{} ({})", group.key.host, group.key.device)),
    );
    Some(match names.as_slice() {
        [one] => format!("One device only: {one}."),
        several => format!("{}: {}.", count(several.len(), "device", "devices"), several.join(", ")),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plot_that_nobody_described_is_shown_under_its_name() {
        let nothing = crate::analyze::analyze(&[]);
        let images = BTreeMap::from([("my_plot".to_owned(), "docs/images/my_plot.svg".to_owned())]);
        let all = figures(&nothing, &ReportContext::default(), &images);
        assert_eq!(all.len(), FIGURES.len() + 1);
        let mine = &all[FIGURES.len()];
        assert_eq!((mine["title"].as_str(), mine["missing"].as_str()), (Some("My plot"), None));
        assert!(all[..FIGURES.len()].iter().all(|f| f["missing"].is_string() && f["image"].is_null()));
    }
}
