//! Tests that sweep all plots over all kinds of data.

use super::canvas::Area;
use super::sheet::{MOST_CASES, Sheet};
use super::{Figure, PLOTS, Plot, fixture, render, render_each_at, style, text};
use crate::analyze::Analysis;
use kuva::render::render::{Primitive, TextAnchor};

type Data = (&'static str, fn() -> Analysis);

const DATA: [Data; 9] = [
    ("empty", fixture::empty),
    ("one group", fixture::one_group),
    ("full", fixture::full),
    ("old log", fixture::old_log),
    ("long names", fixture::long_names),
    ("two thread counts", fixture::two_thread_counts),
    ("one failed", fixture::one_failed),
    ("only failed", fixture::only_failed),
    ("per run", fixture::per_run),
];

/// The rectangles of all texts that are not turned, with the texts.
fn texts(sheet: &Sheet) -> Vec<(Area, String)> {
    let mut found = Vec::new();
    for element in &sheet.scene.elements {
        let Primitive::Text { x, y, content, size, anchor, rotate: None, .. } = element else { continue };
        let width = text::width(&content.replace("\\$", "$"), *size);
        let x = match anchor {
            TextAnchor::Start => *x,
            TextAnchor::Middle => x - width / 2.0,
            TextAnchor::End => x - width,
        };
        let size = f64::from(*size);
        found.push((Area { x, y: y - size * 0.78, width, height: size * 0.9 }, content.clone()));
    }
    found
}

fn says(sheet: &Sheet, word: &str) -> bool {
    texts(sheet).iter().any(|(_, text)| text.contains(word))
}

fn sheet(name: &str, analysis: &Analysis) -> Sheet {
    (plot(name).build)(analysis)
}

fn plot(name: &str) -> &'static Plot {
    PLOTS.iter().find(|plot| plot.name == name).unwrap()
}

/// All plots, small.
fn all_small(analysis: &Analysis) -> super::Result<Vec<Figure>> {
    render_each_at(analysis, &[], 0.2, |figure| figure)
}

#[test]
fn every_plot_draws_every_kind_of_data() {
    for (data, make) in DATA {
        let analysis = make();
        for plot in PLOTS {
            let sheet = (plot.build)(&analysis);
            let source = render::source(&sheet);
            assert!(!source.contains("NaN") && !source.contains("\"inf"), "{data}: {}", plot.name);
            let figure = render::figure(plot, &sheet, 0.2).unwrap();
            assert!(
                figure.svg.starts_with(b"<svg viewBox") && figure.png.starts_with(b"\x89PNG"),
                "{data}: {}",
                plot.name
            );
            // Nothing is varied in these data.
            assert!(data != "full" || plot.optional || figure.missing.is_none(), "{}: {:?}", plot.name, figure.missing);
        }
    }
}

#[test]
fn no_text_leaves_the_sheet() {
    for (data, make) in DATA {
        let analysis = make();
        for plot in PLOTS {
            let sheet = (plot.build)(&analysis);
            for (area, text) in texts(&sheet) {
                let inside = area.x >= -2.0 && area.right() <= style::WIDTH + 2.0;
                let inside = inside && area.y >= 0.0 && area.bottom() <= sheet.scene.height;
                assert!(inside, "{data}, {}: {text:?} at {area:?}", plot.name);
            }
        }
    }
}

#[test]
fn no_text_lies_on_another() {
    // Labels of points in a plane are placed by search; `cloud` has its own test.
    let clouds = ["quantization_impact", "accuracy_vs_speed", "quality_vs_size", "memory"];
    for (data, make) in DATA {
        let analysis = make();
        for plot in PLOTS.iter().filter(|plot| !clouds.contains(&plot.name)) {
            let texts = texts(&(plot.build)(&analysis));
            for (i, (a, one)) in texts.iter().enumerate() {
                for (b, other) in &texts[..i] {
                    let across = a.right().min(b.right()) - a.x.max(b.x);
                    let down = a.bottom().min(b.bottom()) - a.y.max(b.y);
                    assert!(across < 2.0 || down < 2.0, "{data}, {}: {one:?} on {other:?}", plot.name);
                }
            }
        }
    }
}

#[test]
fn without_data_a_plot_says_what_brings_it() {
    let analysis = fixture::empty();
    for plot in PLOTS {
        let sheet = (plot.build)(&analysis);
        let command = match plot.name {
            "quality_vs_size" => "tokometer eval",
            _ if plot.optional => "tokometer sweep",
            _ => "tokometer run",
        };
        assert!(sheet.missing.as_ref().is_some_and(|missing| missing.contains(command)), "{}", plot.name);
        assert!(says(&sheet, "Nothing to show yet") && says(&sheet, command), "{}", plot.name);
    }
}

#[test]
fn an_old_log_shows_what_it_has() {
    let analysis = fixture::old_log();
    for (name, there) in [
        ("backend_comparison", true),
        ("speedup_comparison", false),
        ("summary_stats", true),
        ("latency_distribution", true),
        ("memory_throughput", false),
        ("device_comparison", true),
    ] {
        assert_eq!(sheet(name, &analysis).missing.is_none(), there, "{name}");
    }
    assert!(says(&sheet("backend_comparison", &analysis), "No prefill speed"));
    assert!(says(&sheet("backend_comparison", &analysis), "single repetition"));
}

#[test]
fn a_failed_case_is_a_category_with_the_word() {
    let analysis = fixture::one_failed();
    for name in ["backend_comparison", "device_comparison", "latency_distribution", "summary_stats"] {
        assert!(says(&sheet(name, &analysis), "failed"), "{name}");
    }
    let nothing = sheet("summary_stats", &fixture::only_failed());
    assert!(nothing.missing.unwrap().contains("signal 9"));
}

#[test]
fn hosts_are_named_and_never_merged() {
    let analysis = fixture::full();
    // Quality does not depend on the host.
    for plot in PLOTS.iter().filter(|plot| !plot.optional && plot.name != "quality_vs_size") {
        let sheet = (plot.build)(&analysis);
        assert!(says(&sheet, "host-a") && says(&sheet, "host-b"), "{}", plot.name);
    }
    assert!(says(&sheet("device_comparison", &fixture::one_group()), "Only host-a · CPU was measured"));
}

#[test]
fn bits_and_native_names_stand_under_labels() {
    let analysis = fixture::full();
    for name in
        ["backend_comparison", "speedup_comparison", "memory_throughput", "param_throughput", "quantization_impact"]
    {
        let sheet = sheet(name, &analysis);
        assert!(says(&sheet, "Q4_K_M") && says(&sheet, "4.91 bpw"), "{name}");
    }
}

#[test]
fn the_trade_is_told_with_engine_native_name_bits_and_front() {
    let analysis = fixture::full();
    for name in ["accuracy_vs_speed", "quality_vs_size", "memory"] {
        let sheet = sheet(name, &analysis);
        assert!(says(&sheet, "llamacpp Q4_K_M 4.91 bpw") && says(&sheet, "Pareto front"), "{name}");
    }
    assert!(says(&sheet("quality_vs_size", &analysis), "Divergence"));
    assert!(says(&sheet("accuracy_vs_speed", &analysis), "gsm8k (accuracy)"));
    // Without evaluations only memory has something to show.
    let measured = fixture::one_group();
    assert!(sheet("memory", &measured).missing.is_none());
    assert!(sheet("accuracy_vs_speed", &measured).missing.unwrap().contains("tokometer eval"));
}

#[test]
fn repetitions_of_other_tools_are_a_series_of_their_own() {
    let sheet = sheet("backend_comparison", &fixture::per_run());
    assert!(says(&sheet, "llamacpp (per run)") && says(&sheet, "Prefill + decode"));
}

#[test]
fn the_same_data_give_the_same_bytes_whatever_the_threads() {
    let analysis = fixture::one_group();
    let parallel = all_small(&analysis).unwrap();
    let again = all_small(&analysis).unwrap();
    // Nothing is varied in one group.
    let plots = || PLOTS.iter().filter(|plot| !plot.optional);
    let one_by_one: Vec<Figure> =
        plots().map(|plot| render::figure(plot, &(plot.build)(&analysis), 0.2).unwrap()).collect();
    assert!(parallel == again && parallel == one_by_one);
    assert!(parallel.iter().map(|figure| figure.name).eq(plots().map(|plot| plot.name)));
}

#[test]
fn what_was_varied_has_a_plot_only_then() {
    let analysis = fixture::two_thread_counts();
    let names: Vec<_> = all_small(&analysis).unwrap().iter().map(|figure| figure.name).collect();
    assert!(names.contains(&"thread_scaling") && !names.contains(&"context_scaling"), "{names:?}");
}

#[test]
fn of_five_hundred_cases_some_are_shown_and_the_sheet_says_which() {
    let analysis = fixture::five_hundred();
    assert_eq!(analysis.groups.len(), 500);
    let bars = |sheet: &Sheet| {
        let elements = sheet.scene.elements.iter();
        elements.filter(|element| matches!(element, Primitive::Rect { stroke: Some(_), .. })).count()
    };
    for plot in PLOTS.iter().filter(|plot| !plot.optional) {
        let sheet = (plot.build)(&analysis);
        assert!(bars(&sheet) <= 3 * MOST_CASES && sheet.scene.height < 6000.0, "{}: {}", plot.name, bars(&sheet));
        let told = match plot.name {
            "accuracy_vs_speed" | "quality_vs_size" => "Nothing to show yet",
            "summary_stats" => "Shown are 32 of 500 cases, in 8 of 125 panels",
            _ => "Shown are 24 of 500 cases, in 6 of 125 panels",
        };
        assert!(says(&sheet, told), "{}", plot.name);
    }
    assert!(says(&sheet("context_scaling", &analysis), "more than 40 points"));
}

#[test]
fn a_png_has_300_dpi_and_the_size_of_its_sheet() {
    let figures = super::render_each(&fixture::empty(), &["param_throughput".to_owned()], |figure| figure).unwrap();
    let [figure] = &figures[..] else { panic!("{} figures", figures.len()) };
    let number = |at: usize| u32::from_be_bytes(figure.png[at..at + 4].try_into().unwrap());
    assert_eq!((number(16), number(20)), (3000, 1800));
    let at = figure.png.windows(4).position(|name| name == b"pHYs").unwrap();
    assert_eq!((number(at + 4), number(at + 8), figure.png[at + 12]), (11_811, 11_811, 1));
}

#[test]
fn names_are_files_and_come_once() {
    for (i, plot) in PLOTS.iter().enumerate() {
        assert!(plot.name.bytes().all(|b| b.is_ascii_lowercase() || b == b'_'));
        assert!(PLOTS[..i].iter().all(|other| other.name != plot.name));
    }
}
