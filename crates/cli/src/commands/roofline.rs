//! How much of what the machine can do each case uses.

use super::Session;
use super::analyze::{decimals, half, heading};
use crate::terminal::{Align, Style, Table};
use std::collections::BTreeSet;
use tokometer_core::analyze::{Analysis, Estimate, Roofline, by_key};

/// A table for each section that has roofs or energy, and what must be known of it. Nothing where nothing is known.
/// `cases` are those that are shown.
pub fn show(session: &Session<'_>, analysis: &Analysis, cases: &BTreeSet<usize>) {
    let terminal = session.terminal;
    let told = analysis.roofline.iter().filter(|roof| cases.contains(&roof.group) && has_figures(analysis, roof));
    let sections = by_key(told, |roof| heading(&analysis.groups[roof.group]));
    for rows in &sections {
        let title = heading(&analysis.groups[rows[0].group]);
        terminal.paragraph(Style::Bold, &format!("Share of the machine · {title}"));
        table(analysis, rows).lines(terminal.width()).iter().for_each(|line| terminal.line(line));
        for (roof, note) in rows.iter().flat_map(|roof| roof.notes.iter().map(move |note| (roof, note))) {
            let style = if roof.impossible { Style::Red } else { Style::Dim };
            terminal.paragraph(style, &format!("{}: {note}", case(analysis, roof)));
        }
        terminal.line("");
    }
    let missing: BTreeSet<&String> = analysis.roofline.iter().filter_map(|roof| roof.no_roof.as_ref()).collect();
    missing.into_iter().for_each(|why| terminal.paragraph(Style::Dim, why));
    if !sections.is_empty() {
        let counted: BTreeSet<&str> = sections.iter().flatten().filter_map(|roof| counted_by(analysis, roof)).collect();
        let by = if counted.is_empty() { String::new() } else { format!(", counted by {}", join(counted)) };
        let words = "% of the bandwidth that the probe between rounds measured, in decode, and of its float32 peak, in prefill (2 x parameters x tokens operations); J are of a repetition, idling subtracted, per generated token";
        terminal.paragraph(Style::Dim, &format!("{words}{by}"));
        terminal.line("");
    }
}

/// Who counted the energy of a case.
fn counted_by<'a>(analysis: &'a Analysis, roof: &Roofline) -> Option<&'a str> {
    analysis.groups[roof.group].surroundings.energy_source.as_deref()
}

fn join(names: BTreeSet<&str>) -> String {
    names.into_iter().collect::<Vec<_>>().join(", ")
}

fn has_figures(analysis: &Analysis, roof: &Roofline) -> bool {
    let energy = &analysis.groups[roof.group].surroundings.joules_per_token;
    roof.bandwidth_percent.is_some() || roof.compute_percent.is_some() || energy.is_some()
}

fn table(analysis: &Analysis, rows: &[&Roofline]) -> Table {
    let mut table = Table::new(&[
        ("case", Align::Left),
        ("MB/tok", Align::Right),
        ("GB/s", Align::Right),
        ("of", Align::Right),
        ("%", Align::Right),
        ("GFLOP/s", Align::Right),
        ("of", Align::Right),
        ("%", Align::Right),
        ("J/tok", Align::Right),
        ("±", Align::Right),
    ]);
    for roof in rows {
        let joules = analysis.groups[roof.group].surroundings.joules_per_token.as_ref();
        table.row(vec![
            case(analysis, roof),
            number(roof.bytes_per_token.map(|bytes| bytes / 1e6), 1),
            number(roof.memory_gb_s, 1),
            number(roof.roof_gb_s, 1),
            number(roof.bandwidth_percent, 0),
            number(roof.prefill_gflops, 0),
            number(roof.roof_gflops, 0),
            number(roof.compute_percent, 0),
            joules.map(joules_text).unwrap_or_default(),
            joules.map(joules_half).unwrap_or_default(),
        ]);
    }
    table
}

fn case(analysis: &Analysis, roof: &Roofline) -> String {
    analysis.groups[roof.group].short_label()
}

fn number(value: Option<f64>, digits: usize) -> String {
    value.map(|value| format!("{value:.digits$}")).unwrap_or_default()
}

/// With three significant digits.
fn joules_text(joules: &Estimate) -> String {
    format!("{:.*}", decimals(joules.mean, 3), joules.mean)
}

/// Half the 95% interval, with as many decimals.
fn joules_half(joules: &Estimate) -> String {
    half(joules.ci, decimals(joules.mean, 3))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn joules_have_three_digits() {
        let text = |joules: f64| joules_text(&Estimate::new(&[vec![joules]], "x").unwrap());
        assert_eq!([123.4, 1.234, 0.01234, 0.0].map(text), ["123", "1.23", "0.0123", "0.000000"]);
        let several = Estimate::new(&[vec![1.0], vec![1.1], vec![0.9]], "x").unwrap();
        assert_eq!((joules_text(&several).as_str(), joules_half(&several).as_str()), ("1.00", "0.25"));
    }
}
