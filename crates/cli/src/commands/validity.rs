//! Whether the figures can be believed: said before any of them.

use super::Session;
use crate::terminal::Style;
use tokometer_core::analyze::{Grade, Validity, validity_lines};

/// The verdict on every run, the worst first.
pub fn show(session: &Session<'_>, runs: &[Validity]) {
    tell(session, "", runs);
    if !runs.is_empty() {
        session.terminal.line("");
    }
}

/// The same of one of several sets, under its name.
pub fn of_set(session: &Session<'_>, name: &str, runs: &[Validity]) {
    tell(session, &format!("{name}: "), runs);
}

fn tell(session: &Session<'_>, before: &str, runs: &[Validity]) {
    for (grade, line) in validity_lines(runs) {
        let style = match grade {
            Grade::Valid => Style::Green,
            Grade::Unchecked => Style::Dim,
            Grade::Degraded => Style::Yellow,
            Grade::Invalid => Style::Red,
        };
        session.terminal.paragraph(style, &format!("{before}{line}"));
    }
}
