//! `tokometer analyze`: step 4, the first look.

use super::{OK, Session, details, print_json, roofline, validity};
use crate::args::Analyze;
use crate::terminal::{Align, Style, Table};
use anyhow::{Context, Result, anyhow, bail};
use std::collections::BTreeSet;
use tokometer_core::analyze::{
    self, Analysis, Comparison, EXPLAINED, EngineLabels, Estimate, Finding, Group, Only, best_per_host, by_key,
    warning_meaning, within_run,
};
use tokometer_core::record::quality;

/// The command.
pub fn analyze(session: &Session<'_>, options: &Analyze) -> Result<u8> {
    let analysis = chosen(session, &only(&options.only)?)?;
    if options.json {
        print_json(session.terminal, &analysis)?;
    } else {
        show(session, &analysis);
    }
    Ok(OK)
}

/// The analysis of the working folder's all.csv and of its evaluations.
pub fn read(session: &Session<'_>) -> Result<Analysis> {
    chosen(session, &Only::default())
}

/// What `--only` asks for.
pub fn only(words: &[String]) -> Result<Only> {
    Only::parse(words.iter().map(String::as_str)).map_err(|why| anyhow!("--only: {why}"))
}

/// The same as [`read`] of the cases that were chosen.
pub fn chosen(session: &Session<'_>, only: &Only) -> Result<Analysis> {
    let path = session.folders.output().join("all.csv");
    let (quality, problems) = quality::read_folder(&session.folders.verifiers_results());
    for problem in &problems {
        session.terminal.warn(problem);
    }
    if !path.is_file() {
        if !quality.is_empty() && only.is_empty() {
            return Ok(analyze::analyze_with(&[], &quality));
        }
        bail!("{} is not there; `tokometer collate` makes it from the raw logs of `tokometer run`", path.display());
    }
    let analysis = analyze::of_table(&path, session.terminal.progress());
    let analysis = analysis.with_context(|| format!("cannot read {}", path.display()))?;
    Ok(analysis.only(only).map_err(|why| anyhow!("--only: {why}"))?.with_quality(&quality))
}

/// Sections that are printed, and cases in all of them: more would scroll away unread.
const MOST_SECTIONS: usize = 24;
/// See [`MOST_SECTIONS`].
const MOST_CASES: usize = 200;

/// Tables and bars; of very many cases the first ones in the order of tables.
pub fn show(session: &Session<'_>, analysis: &Analysis) {
    let groups = &analysis.groups;
    validity::show(session, &analysis.validity);
    let sections = by_key(0..groups.len(), |i| heading(&groups[i]));
    let of_all = sections.len();
    let mut shown: BTreeSet<usize> = BTreeSet::new();
    let mut printed: BTreeSet<String> = BTreeSet::new();
    for cases in sections.into_iter().take(MOST_SECTIONS) {
        let room = MOST_CASES - shown.len();
        if room == 0 {
            break;
        }
        let members: Vec<&Group> = cases.iter().take(room).map(|i| &groups[*i]).collect();
        section(session, &heading(members[0]), &members);
        printed.insert(heading(members[0]));
        shown.extend(cases.into_iter().take(room));
    }
    speedups(session, analysis, &shown);
    roofline::show(session, analysis, &shown);
    in_time(session, shown.iter().map(|i| &groups[*i]));
    summary(session, analysis, &printed);
    if shown.len() < groups.len() {
        let words = format!(
            "Shown are {} of {} cases, in {} of {of_all} sections: the first ones. `tokometer analyze --only KEY=VALUE` shows \
             others (depth=0, threads=4, ...), `tokometer analyze --json` all.",
            shown.len(),
            groups.len(),
            printed.len()
        );
        session.terminal.paragraph(Style::Yellow, &words);
    }
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
        ("n", Align::Right),
        ("warnings", Align::Left),
    ]);
    let labels = EngineLabels::among(groups.iter().copied());
    for group in groups {
        table.row(cells(group, &labels));
    }
    table.lines(terminal.width()).iter().for_each(|line| terminal.line(line));
    terminal.line("");
    bars(session, groups, &labels);
    details::show(session, groups, &labels);
    for group in groups {
        for reason in &group.failures {
            terminal.line(&terminal.paint(Style::Red, &format!("failed: {}: {reason}", group.short_label())));
        }
    }
    if groups.iter().any(|group| !group.failures.is_empty()) {
        terminal.line("");
    }
}

fn cells(group: &Group, labels: &EngineLabels) -> Vec<String> {
    let mean = |estimate: &Option<Estimate>, digits: usize| {
        estimate.as_ref().map(|e| format!("{:.digits$}", e.mean)).unwrap_or_default()
    };
    let decode = match (&group.decode, &group.mixed) {
        (Some(decode), _) => with_interval(decode),
        (None, Some(mixed)) => format!("{} (with prefill)", with_interval(mixed)),
        (None, None) if !group.failures.is_empty() => "failed".into(),
        (None, None) => String::new(),
    };
    let n = group.repetitions.len();
    vec![
        labels.of(group),
        group.short_quantize_label(),
        group.key.bits_per_weight.map(|bits| format!("{bits:.2}")).unwrap_or_default(),
        decode,
        mean(&group.prefill, 1),
        mean(&group.ttft, 1),
        n.to_string(),
        group.warnings.join(" "),
    ]
}

/// GB with two decimals, or as many as a small model needs.
pub fn gigabytes(bytes: u64) -> String {
    let gb = bytes as f64 / 1e9;
    if gb < 0.1 { format!("{gb:.4}") } else { format!("{gb:.2}") }
}

/// `35.20 ±0.42`: mean and half the 95% interval.
pub fn with_interval(estimate: &Estimate) -> String {
    plus_minus(estimate.mean, estimate.ci)
}

/// Decimals with which a figure has so many significant digits; six at most.
pub fn decimals(value: f64, significant: u8) -> usize {
    (f64::from(significant) - 1.0 - value.abs().max(1e-6).log10().floor()).clamp(0.0, 6.0) as usize
}

/// Half an interval with so many decimals; nothing without one.
pub fn half(interval: Option<(f64, f64)>, decimals: usize) -> String {
    interval.map(|(low, high)| format!("{:.decimals$}", (high - low) / 2.0)).unwrap_or_default()
}

/// A figure and half its interval.
pub fn plus_minus(value: f64, interval: Option<(f64, f64)>) -> String {
    match interval {
        Some((low, high)) => format!("{value:.2} ±{:.2}", (high - low) / 2.0),
        None => format!("{value:.2}"),
    }
}

/// A bar per group, all on one scale.
fn bars(session: &Session<'_>, groups: &[&Group], labels: &EngineLabels) {
    let terminal = session.terminal;
    let speed = |group: &Group| group.decode.as_ref().or(group.mixed.as_ref()).map(|e| e.mean);
    let Some(longest) = groups.iter().filter_map(|group| speed(group)).reduce(f64::max) else { return };
    let label = |group: &Group| format!("{} {}", group.short_quantize_label(), labels.of(group));
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
    terminal.line("");
}

fn speedups(session: &Session<'_>, analysis: &Analysis, shown: &BTreeSet<usize>) {
    let terminal = session.terminal;
    let labels = EngineLabels::among(&analysis.groups);
    let mut table = Table::new(&[
        ("decode speed of", Align::Left),
        ("ratio", Align::Right),
        ("verdict", Align::Left),
        ("95% interval", Align::Right),
        ("more rounds", Align::Right),
        ("against", Align::Left),
    ]);
    let compared = analysis.speedups.iter().filter(|c| c.group != c.baseline && shown.contains(&c.group));
    let compared: Vec<&Comparison> = compared.collect();
    // What all are held against stands in the title, where no terminal is too narrow for it.
    let baselines: BTreeSet<&str> = compared.iter().map(|comparison| comparison.against.as_str()).collect();
    let one = baselines.first().filter(|_| baselines.len() == 1);
    for comparison in compared.iter().copied() {
        let group = &analysis.groups[comparison.group];
        table.row(vec![
            format!("{} {}", labels.of(group), group.short_quantize_label()),
            format!("{:.3}x", comparison.ratio),
            comparison.words(),
            comparison.ci.map(|(low, high)| format!("{low:.3} to {high:.3}")).unwrap_or_default(),
            comparison.more_rounds.map(|more| format!("+{more}")).unwrap_or_default(),
            one.map_or_else(|| comparison.against.clone(), |_| String::new()),
        ]);
    }
    let lines = table.lines(terminal.width());
    if lines.len() > 2 {
        let title = one.map_or_else(|| "Speedups".to_owned(), |baseline| format!("Speedups against {baseline}"));
        terminal.paragraph(Style::Bold, &title);
        lines.iter().for_each(|line| terminal.line(line));
        terminal.line("");
    }
}

/// Sentences that are printed of what changed during the runs.
const MOST_CHANGES: usize = 12;

/// How the cases changed during their runs, and how they grow with the context; nothing where nothing is established.
fn in_time<'a>(session: &Session<'_>, groups: impl Iterator<Item = &'a Group>) {
    let terminal = session.terminal;
    let found: Vec<Finding> = groups.flat_map(within_run).collect();
    if found.is_empty() {
        return;
    }
    terminal.line(&terminal.paint(Style::Bold, "During the run"));
    found.iter().take(MOST_CHANGES).for_each(|finding| terminal.paragraph(Style::Plain, &finding.text));
    if let Some(more) = found.len().checked_sub(MOST_CHANGES).filter(|more| *more > 0) {
        terminal.paragraph(Style::Dim, &format!("{more} more such sentences are in `tokometer analyze --json`."));
    }
    terminal.line("");
}

/// A warning with what it means, where that is more than its name says.
fn explained(code: &str) -> String {
    let of_drift = || EXPLAINED.iter().find(|(known, _)| *known == code).map(|(_, words)| *words);
    match warning_meaning(code).or_else(of_drift) {
        Some(words) => format!("{code} ({words})"),
        None => code.to_owned(),
    }
}

/// What is fastest in the sections that were printed, and what the figures mean.
fn summary(session: &Session<'_>, analysis: &Analysis, printed: &BTreeSet<String>) {
    let terminal = session.terminal;
    terminal.line(&terminal.paint(Style::Bold, "Best per host"));
    for i in best_per_host(&analysis.groups) {
        let group = &analysis.groups[i];
        if !printed.contains(&heading(group)) {
            continue;
        }
        let Some(decode) = &group.decode else { continue };
        terminal.paragraph(
            Style::Plain,
            &format!("{}: {}, {} tok/s", heading(group), group.short_label(), with_interval(decode)),
        );
    }
    let intervals = "± is half of the 95% interval of the mean (Student's t over launches, of a single one over its rounds or repetitions); decode excludes prefill and warm-up";
    terminal.paragraph(Style::Dim, intervals);
    let mut codes: Vec<&String> = analysis.groups.iter().flat_map(|group| &group.warnings).collect();
    codes.sort();
    codes.dedup();
    if !codes.is_empty() {
        let codes: Vec<String> = codes.into_iter().map(|code| explained(code)).collect();
        terminal.paragraph(Style::Yellow, &format!("warnings in the record: {}", codes.join("; ")));
    }
}
