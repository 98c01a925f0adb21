//! Speed against something that was varied: the context, the threads, the batch. One curve for each engine and quantization,
//! prefill beside decode. Drawn only where there are at least two values.

use super::cloud::{Cloud, Dot};
use super::sheet::{Key, MOST_PANELS, Page, Sheet};
use super::{labels, text};
use crate::analyze::{Analysis, Estimate, Group, GroupKey, by_key};

pub(super) const CONTEXT_TITLE: &str = "Speed against the context";
pub(super) const THREADS_TITLE: &str = "Speed against the number of threads";
pub(super) const BATCH_TITLE: &str = "Speed against the batch";

/// What was varied.
struct Varied {
    title: &'static str,
    subtitle: &'static str,
    /// Name of the horizontal axis.
    axis: &'static str,
    missing: &'static str,
    command: &'static str,
    of: fn(&GroupKey) -> Option<u32>,
    /// The key without it: what is equal in all points of a panel.
    without: fn(&mut GroupKey),
}

/// Depth of the KV cache before the prompt.
pub(super) fn context(analysis: &Analysis) -> Sheet {
    let varied = Varied {
        title: CONTEXT_TITLE,
        subtitle: "Mean and 95% interval of each case, by the tokens that were in the KV cache before the prompt.",
        axis: "Context before the prompt (tokens)",
        missing: "no case was measured at two depths",
        command: "tokometer sweep --model synthetic:60M --quantize nf4 --depth 0,512,2048",
        of: |key| key.depth,
        without: |key| key.depth = None,
    };
    build(analysis, &varied)
}

/// Threads as really used.
pub(super) fn threads(analysis: &Analysis) -> Sheet {
    let varied = Varied {
        title: THREADS_TITLE,
        subtitle: "Mean and 95% interval of each case, by the threads that really computed.",
        axis: "Threads",
        missing: "no case was measured with two numbers of threads",
        command: "tokometer sweep --model synthetic:60M --quantize nf4 --threads 1,2",
        of: |key| key.threads,
        without: |key| key.threads = None,
    };
    build(analysis, &varied)
}

/// Prompt tokens that are computed at once: the physical batch, or the logical one where that is smaller.
pub(super) fn batch(analysis: &Analysis) -> Sheet {
    let varied = Varied {
        title: BATCH_TITLE,
        subtitle: "Mean and 95% interval of each case, by the prompt tokens that are computed at once.",
        axis: "Prompt tokens computed at once",
        missing: "no case was measured with two batches",
        command: "tokometer sweep --model synthetic:60M --quantize nf4 --ubatch 32,128,512",
        of: at_once,
        without: |key| (key.batch, key.ubatch) = (None, None),
    };
    build(analysis, &varied)
}

/// Points of a curve that are shown; more would run into each other.
const MOST_POINTS: usize = 40;

/// A curve: its name and its cases, in the order of what was varied.
struct Curve<'a> {
    name: String,
    points: Vec<(u32, &'a Group)>,
}

fn build(analysis: &Analysis, varied: &Varied) -> Sheet {
    let panels = panels(&analysis.groups, varied);
    if panels.is_empty() {
        return Page::nothing(varied.title, varied.missing, &[varied.command], labels::failures(&analysis.groups));
    }
    let mut page = Page::of(analysis, varied.title, varied.subtitle);
    // Each is drawn twice: decode and prefill.
    let mut panels = page.choose(panels, MOST_PANELS / 2, "curves");
    panels.iter_mut().for_each(|curves| tell_apart(curves));
    let all = || panels.iter().flatten();
    let names = by_key(all(), |curve| curve.name.as_str());
    let names: Vec<String> = names.into_iter().map(|same| same[0].name.clone()).collect();
    if all().any(|curve| curve.points.len() > MOST_POINTS) {
        page.note(format!(
            "Of curves with more than {MOST_POINTS} points so many are shown, evenly among them and with both ends."
        ));
    }
    page.keys(names.iter().enumerate().map(|(slot, name)| Key::Point(slot, name.clone())));
    let mut whiskers = false;
    let mut clouds: Vec<Cloud> = Vec::new();
    for curves in &panels {
        for (axis, figure) in figures() {
            let cloud = cloud(curves, &names, varied, axis, figure);
            whiskers |= cloud.dots.iter().any(|dot| dot.ci.is_some());
            clouds.push(cloud);
        }
    }
    clouds.retain(|cloud| !cloud.dots.is_empty());
    if whiskers {
        page.keys([Key::Interval("95% interval of the mean")]);
    }
    if let Some(failures) = labels::failures(&analysis.groups) {
        page.note(format!("{failures}."));
    }
    page.note("An interval that is wider than the frame ends at its edge: more launches make it narrow.");
    page.note("Lines join the cases of one engine and quantization; between the points nothing was measured.");
    page.columns(2);
    page.section(clouds);
    page.finish()
}

type Figure = fn(&Group) -> Option<&Estimate>;

/// Decode at the left, prefill at the right.
fn figures() -> [(&'static str, Figure); 2] {
    [
        ("Decode speed (tokens/s)", |group| group.decode.as_ref()),
        ("Prefill speed (tokens/s)", |group| group.prefill.as_ref()),
    ]
}

fn cloud(curves: &[Curve<'_>], names: &[String], varied: &Varied, axis: &str, figure: Figure) -> Cloud {
    let mut dots = Vec::new();
    for curve in curves {
        let slot = names.iter().position(|name| *name == curve.name).unwrap_or(0);
        let measured = thinned(&curve.points).filter_map(|(x, group)| Some((*x, figure(group)?)));
        dots.extend(measured.map(|(x, estimate)| Dot {
            slot,
            x: f64::from(x),
            y: estimate.mean,
            x_ci: None,
            ci: estimate.ci,
            label: String::new(),
        }));
    }
    let first = curves.first().and_then(|curve| curve.points.first()).map(|(_, group)| without(group, varied));
    let mut title = first.as_ref().map(labels::facet_title).unwrap_or_default();
    if let (Some(line), Some(threads)) = (title.last_mut(), first.as_ref().and_then(|group| group.key.threads)) {
        line.push_str(&format!(" · {threads} thread{}", if threads == 1 { "" } else { "s" }));
    }
    Cloud { title, x: varied.axis.to_owned(), y: axis.to_owned(), dots, better: None }
}

/// The points of a curve that are shown.
fn thinned<T>(points: &[T]) -> impl Iterator<Item = &T> {
    let shown = points.len().min(MOST_POINTS);
    (0..shown).map(move |i| match shown == points.len() {
        true => &points[i],
        false => &points[i * (points.len() - 1) / (shown - 1)],
    })
}

/// The group without what is varied, for the title of its panel.
fn without(group: &Group, varied: &Varied) -> Group {
    let mut plain = group.clone();
    (varied.without)(&mut plain.key);
    plain
}

/// Curves of at least two points, by panel: host, device, model, workload and all settings but the one that is varied.
fn panels<'a>(groups: &'a [Group], varied: &Varied) -> Vec<Vec<Curve<'a>>> {
    let measured = groups.iter().filter(|group| group.decode.is_some() || group.prefill.is_some());
    let points = measured.filter_map(|group| Some(((varied.of)(&group.key)?, group)));
    let mut curves: Vec<Vec<(u32, &Group)>> = by_key(points, |(_, group)| curve_key(group, varied));
    curves.iter_mut().for_each(|points| points.sort_by_key(|(x, _)| *x));
    curves.retain(|points| points.first().map(|(x, _)| x) != points.last().map(|(x, _)| x));
    let sets = by_key(0..curves.len(), |i| panel_key(curves[i][0].1, varied));
    let mut curve = |i: usize| Curve { name: name(curves[i][0].1), points: std::mem::take(&mut curves[i]) };
    sets.into_iter().map(|set| set.into_iter().map(&mut curve).collect()).collect()
}

/// Curves of one name are told apart by the settings in which they differ.
fn tell_apart(curves: &mut [Curve<'_>]) {
    let settings: [fn(&GroupKey) -> Option<String>; 4] = [
        |key| at_once(key).map(|n| format!("{n} at once")),
        |key| key.flash_attn.map(|on| format!("flash attention {}", if on { "on" } else { "off" })),
        |key| key.kv_type.as_ref().map(|kind| format!("KV {kind}")),
        |key| key.engine_version.clone(),
    ];
    let names: Vec<String> = curves.iter().map(|curve| curve.name.clone()).collect();
    for at in 0..curves.len() {
        let twins: Vec<usize> = (0..curves.len()).filter(|other| names[*other] == names[at]).collect();
        for setting in settings {
            let of = |i: usize| setting(&curves[i].points[0].1.key);
            let own = of(at);
            if twins.iter().any(|other| of(*other) != own) {
                curves[at].name = format!("{}, {}", curves[at].name, own.unwrap_or_else(|| "unknown".into()));
            }
        }
    }
}

/// Prompt tokens that are computed at once. Engines cut their batches to the context, which changes nothing where the
/// prompt is shorter.
fn at_once(key: &GroupKey) -> Option<u32> {
    let batch = [key.batch, key.ubatch].into_iter().flatten().min()?;
    Some(key.prompt_tokens.map_or(batch, |prompt| batch.min(prompt)))
}

/// What the points of one curve share. The hash of the case differs between them and says nothing more.
fn curve_key(group: &Group, varied: &Varied) -> String {
    let mut key = group.key.clone();
    (key.ubatch, key.batch) = (at_once(&key), None);
    (varied.without)(&mut key);
    key.case = None;
    key.weights_bytes = None;
    format!("{key:?}")
}

/// What the curves of one panel share.
fn panel_key(group: &Group, varied: &Varied) -> String {
    let mut key = group.key.clone();
    (varied.without)(&mut key);
    let all = (key.host, key.device, key.model, key.prompt_tokens, key.gen_tokens, key.depth, key.threads);
    format!("{all:?}")
}

/// Engine, quantization and bits per weight.
fn name(group: &Group) -> String {
    let bits = group.key.bits_per_weight.map(|bits| format!(", {bits:.2} bpw")).unwrap_or_default();
    text::shorten(&format!("{}{bits}", group.short_label()), 12, 300.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plot::fixture;

    #[test]
    fn two_thread_counts_make_a_curve_and_one_depth_does_not() {
        let analysis = fixture::two_thread_counts();
        assert!(threads(&analysis).missing.is_none());
        let missing = context(&analysis).missing.unwrap();
        assert!(missing.contains("two depths") && missing.contains("tokometer sweep"), "{missing}");
    }

    #[test]
    fn points_are_in_the_order_of_what_was_varied() {
        let analysis = fixture::two_thread_counts();
        let varied = Varied {
            title: "",
            subtitle: "",
            axis: "",
            missing: "",
            command: "",
            of: |key| key.threads,
            without: |key| key.threads = None,
        };
        let panels = panels(&analysis.groups, &varied);
        let xs: Vec<u32> = panels[0][0].points.iter().map(|(x, _)| *x).collect();
        assert_eq!(xs, [2, 4]);
    }

    #[test]
    fn a_long_curve_keeps_its_ends() {
        let long: Vec<usize> = (0..1000).collect();
        let shown: Vec<usize> = thinned(&long).copied().collect();
        assert_eq!((shown.len(), shown[0], shown[MOST_POINTS - 1]), (MOST_POINTS, 0, 999));
        assert_eq!(thinned(&[5, 6]).collect::<Vec<_>>(), [&5, &6]);
    }
}
