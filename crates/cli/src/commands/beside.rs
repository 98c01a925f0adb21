//! What `compare` shows beside speeds: memory, a start, energy.

use super::Session;
use super::analyze::{self, decimals};
use crate::terminal::{Align, Style, Table};
use tokometer_core::analyze::versus::Pair;
use tokometer_core::analyze::{Amount, Group, Resource};

/// Ratios of amounts that are no means are told in a sentence, all in one, where they are nearer to 1 than this.
const EQUAL: f64 = 0.005;

/// The table of what differs, and the names of what does not.
pub fn show(session: &Session<'_>, a: &[Group], pairs: &[Pair], resources: &[Resource]) {
    let terminal = session.terminal;
    let (equal, other): (Vec<&Resource>, Vec<&Resource>) =
        resources.iter().partition(|one| !one.is_mean && (one.ratio - 1.0).abs() < EQUAL);
    let mut table = Table::new(&[
        ("case", Align::Left),
        ("takes", Align::Left),
        ("ratio", Align::Right),
        ("first", Align::Right),
        ("second", Align::Right),
        ("first ±", Align::Right),
        ("second ±", Align::Right),
    ]);
    for one in &other {
        table.row(vec![
            a[pairs[one.pair].a].short_label(),
            format!("{} {}", one.figure, one.unit).trim_end().to_owned(),
            format!("{:.3}x", one.ratio),
            figure(&one.a),
            figure(&one.b),
            half(&one.a),
            half(&one.b),
        ]);
    }
    if !other.is_empty() {
        terminal.line("");
        terminal.line(&terminal.paint(Style::Bold, "Memory, start and energy"));
        table.lines(terminal.width()).iter().for_each(|line| terminal.line(line));
    }
    let mut names: Vec<&str> = Vec::new();
    for one in equal.iter().filter(|one| other.iter().all(|other| other.figure != one.figure)) {
        if !names.contains(&one.figure) {
            names.push(one.figure);
        }
    }
    if !names.is_empty() {
        terminal.paragraph(Style::Dim, &format!("The same within 0.5%: {}.", names.join(", ")));
    }
}

/// With four significant digits.
fn figure(amount: &Amount) -> String {
    format!("{:.*}", decimals(amount.value, 4), amount.value)
}

/// Half the 95% interval, where there is one, with as many decimals.
fn half(amount: &Amount) -> String {
    analyze::half(amount.ci, decimals(amount.value, 4))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_have_four_digits_and_their_intervals_as_many_decimals() {
        let text = |value, ci| {
            let amount = Amount { value, ci };
            (figure(&amount), half(&amount))
        };
        assert_eq!(text(0.044_123, None), ("0.04412".into(), String::new()));
        assert_eq!(text(123.456, Some((120.0, 128.0))), ("123.5".into(), "4.0".into()));
    }
}
