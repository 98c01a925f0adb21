//! `tokometer analyze`: step 4, the first look.

use super::{OK, Session, print_json, roofline, validity};
use crate::args::Analyze;
use crate::terminal::{Align, Style, Table};
use anyhow::{Context, Result};
use tokometer_core::analyze::{self, Analysis, Comparison, Estimate, Group, best_per_host};
use tokometer_core::collate;
use tokometer_core::record::quality;

/// The command.
pub fn analyze(session: &Session<'_>, options: &Analyze) -> Result<u8> {
    let analysis = read(session)?;
    if options.json {
        print_json(session.terminal, &analysis)?;
    } else {
        show(session, &analysis);
    }
    Ok(OK)
}

/// The analysis of the working folder's all.csv and of its evaluations.
pub fn read(session: &Session<'_>) -> Result<Analysis> {
    let path = session.folders.output().join("all.csv");
    let (quality, problems) = quality::read_folder(&session.folders.verifiers_results());
    for problem in &problems {
        session.terminal.warn(problem);
    }
    if !path.is_file() {
        if !quality.is_empty() {
            return Ok(analyze::analyze_with(&[], &quality));
        }
        anyhow::bail!(
            "{} is not there; `tokometer collate` makes it from the raw logs of `tokometer run`",
            path.display()
        );
    }
    let series = collate::read::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
    Ok(analyze::analyze_with(&series, &quality))
}

/// Tables and bars.
pub fn show(session: &Session<'_>, analysis: &Analysis) {
    validity::show(session, analysis);
    let mut done: Vec<String> = Vec::new();
    for group in &analysis.groups {
        let heading = heading(group);
        if done.contains(&heading) {
            continue;
        }
        let members: Vec<&Group> = analysis.groups.iter().filter(|other| self::heading(other) == heading).collect();
        section(session, &heading, &members);
        done.push(heading);
    }
    speedups(session, analysis);
    roofline::show(session, analysis);
    summary(session, analysis);
}

/// What a section has in common: never mixed with another.
pub fn heading(group: &Group) -> String {
    let workload = group.workload_label();
    let parts = [
        Some(group.key.host.clone()),
        Some(group.key.device.clone()),
        Some(group.key.model.clone()),
        (!workload.is_empty()).then_some(workload),
        group.key.threads.map(|threads| format!("{threads} threads")),
    ];
    parts.into_iter().flatten().collect::<Vec<_>>().join(" · ")
}

fn section(session: &Session<'_>, heading: &str, groups: &[&Group]) {
    let terminal = session.terminal;
    terminal.paragraph(Style::Bold, heading);
    let mut table = Table::new(&[
        ("engine", Align::Left),
        ("quantize", Align::Left),
        ("bits/w", Align::Right),
        ("decode tok/s", Align::Right),
        ("prefill tok/s", Align::Right),
        ("TTFT ms", Align::Right),
        ("GB", Align::Right),
        ("n", Align::Right),
        ("peak RSS GB", Align::Right),
        ("load ms", Align::Right),
        ("TPOT ms", Align::Right),
        ("step p95 ms", Align::Right),
        ("warnings", Align::Left),
    ]);
    for group in groups {
        table.row(cells(group, groups));
    }
    table.lines(terminal.width()).iter().for_each(|line| terminal.line(line));
    terminal.line("");
    bars(session, groups);
    for group in groups {
        for reason in &group.failures {
            terminal.line(&terminal.paint(
                Style::Red,
                &format!("failed: {} {}: {reason}", group.engine_label(), group.short_quantize_label()),
            ));
        }
    }
    terminal.line("");
}

fn cells(group: &Group, members: &[&Group]) -> Vec<String> {
    let mean = |estimate: &Option<Estimate>, digits: usize| {
        estimate.as_ref().map(|e| format!("{:.digits$}", e.mean)).unwrap_or_default()
    };
    let gb = |bytes: Option<u64>| bytes.map(gigabytes).unwrap_or_default();
    let decode = match (&group.decode, &group.mixed) {
        (Some(decode), _) => with_interval(decode),
        (None, Some(mixed)) => format!("{} (with prefill)", with_interval(mixed)),
        (None, None) if !group.failures.is_empty() => "failed".into(),
        (None, None) => String::new(),
    };
    let mut steps = group.step_ms.clone();
    steps.sort_by(f64::total_cmp);
    let p95 = (steps.len() >= 20).then(|| format!("{:.2}", analyze::quantile(&steps, 0.95)));
    let n = group.repetitions.len();
    vec![
        group.engine_label_among(members.iter().copied()),
        group.short_quantize_label(),
        group.key.bits_per_weight.map(|bits| format!("{bits:.2}")).unwrap_or_default(),
        decode,
        mean(&group.prefill, 1),
        mean(&group.ttft, 1),
        gb(group.key.weights_bytes),
        n.to_string(),
        gb(group.peak_rss_bytes),
        mean(&group.load, 0),
        mean(&group.tpot, 2),
        p95.unwrap_or_default(),
        group.warnings.join(" "),
    ]
}

/// GB with two decimals, or as many as a small model needs.
fn gigabytes(bytes: u64) -> String {
    let gb = bytes as f64 / 1e9;
    if gb < 0.1 { format!("{gb:.4}") } else { format!("{gb:.2}") }
}

/// `35.20 ±0.42`: mean and half the 95% interval.
fn with_interval(estimate: &Estimate) -> String {
    match estimate.ci {
        Some((low, high)) => format!("{:.2} ±{:.2}", estimate.mean, (high - low) / 2.0),
        None => format!("{:.2}", estimate.mean),
    }
}

/// A bar per group, all on one scale.
fn bars(session: &Session<'_>, groups: &[&Group]) {
    let terminal = session.terminal;
    let speed = |group: &Group| group.decode.as_ref().or(group.mixed.as_ref()).map(|e| e.mean);
    let Some(longest) = groups.iter().filter_map(|group| speed(group)).reduce(f64::max) else { return };
    let engine = |group: &Group| group.engine_label_among(groups.iter().copied());
    let label = |group: &Group| format!("{} {}", group.short_quantize_label(), engine(group));
    let width = groups.iter().map(|group| label(group).chars().count()).max().unwrap_or(0);
    let room = terminal.width().saturating_sub(width + 16).max(10);
    for group in groups {
        let Some(value) = speed(group) else { continue };
        let cells = value / longest * room as f64;
        let whole = cells.floor() as usize;
        let eighths = ['▏', '▎', '▍', '▌', '▋', '▊', '▉'];
        let part = ((cells - whole as f64) * 8.0) as usize;
        let mut bar = "█".repeat(whole);
        bar.extend(part.checked_sub(1).and_then(|i| eighths.get(i)));
        let name = label(group);
        let pad = " ".repeat(width - name.chars().count());
        terminal.line(&format!("{name}{pad}  {} {value:.2} tok/s", terminal.paint(Style::Green, &bar)));
    }
}

fn speedups(session: &Session<'_>, analysis: &Analysis) {
    let terminal = session.terminal;
    let mut table = Table::new(&[
        ("decode speed of", Align::Left),
        ("ratio", Align::Right),
        ("95% interval", Align::Right),
        ("verdict", Align::Left),
        ("against", Align::Left),
    ]);
    for comparison in analysis.speedups.iter().filter(|c| c.group != c.baseline) {
        let group = &analysis.groups[comparison.group];
        table.row(vec![
            format!("{} {}", group.engine_label_among(&analysis.groups), group.short_quantize_label()),
            format!("{:.3}x", comparison.ratio),
            comparison.ci.map(|(low, high)| format!("{low:.3} to {high:.3}")).unwrap_or_default(),
            verdict(comparison),
            comparison.against.clone(),
        ]);
    }
    let lines = table.lines(terminal.width());
    if lines.len() > 2 {
        terminal.line(&terminal.paint(Style::Bold, "Speedups"));
        lines.iter().for_each(|line| terminal.line(line));
        terminal.line("");
    }
}

/// The verdict; where nothing can be told, how many more rounds would tell.
fn verdict(comparison: &Comparison) -> String {
    match comparison.more_rounds {
        Some(more) => format!("{} (+{more} rounds would)", comparison.words()),
        None => comparison.words(),
    }
}

fn summary(session: &Session<'_>, analysis: &Analysis) {
    let terminal = session.terminal;
    terminal.line(&terminal.paint(Style::Bold, "Best per host"));
    for i in best_per_host(&analysis.groups) {
        let group = &analysis.groups[i];
        let Some(decode) = &group.decode else { continue };
        terminal.paragraph(
            Style::Plain,
            &format!(
                "{}: {} {}, {} tok/s",
                heading(group),
                group.engine_label(),
                group.short_quantize_label(),
                with_interval(decode)
            ),
        );
    }
    let intervals = "± is half of the 95% interval of the mean (bootstrap over launches and repetitions); decode excludes prefill and warm-up";
    terminal.paragraph(Style::Dim, intervals);
    let mut codes: Vec<&String> = analysis.groups.iter().flat_map(|group| &group.warnings).collect();
    codes.sort();
    codes.dedup();
    if !codes.is_empty() {
        let codes: Vec<&str> = codes.into_iter().map(String::as_str).collect();
        terminal.paragraph(Style::Yellow, &format!("warnings in the record: {}", codes.join(", ")));
    }
}
