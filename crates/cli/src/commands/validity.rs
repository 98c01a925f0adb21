//! Whether the figures can be believed: said before any of them.

use super::Session;
use crate::terminal::Style;
use tokometer_core::analyze::{Analysis, Grade, validity_lines};

/// The verdict on every run, the worst first.
pub fn show(session: &Session<'_>, analysis: &Analysis) {
    let lines = validity_lines(&analysis.validity);
    for (grade, line) in &lines {
        let style = match grade {
            Grade::Valid => Style::Green,
            Grade::Unchecked => Style::Dim,
            Grade::Degraded => Style::Yellow,
            Grade::Invalid => Style::Red,
        };
        session.terminal.paragraph(style, line);
    }
    if !lines.is_empty() {
        session.terminal.line("");
    }
}
