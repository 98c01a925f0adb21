//! A small table for the terminal, and the figures that go into it.

use std::fmt;

/// Rows of text: the first column left, the others right.
#[derive(Default)]
pub struct Table {
    rows: Vec<Vec<String>>,
}

impl Table {
    /// With these headings.
    pub fn new(headings: &[&str]) -> Table {
        Table { rows: vec![headings.iter().map(|heading| (*heading).to_owned()).collect()] }
    }

    /// Adds a row.
    pub fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        self.rows.push(cells.into_iter().collect());
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let columns = self.rows.iter().map(Vec::len).max().unwrap_or(0);
        let width =
            |column: usize| self.rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max();
        let widths: Vec<usize> = (0..columns).map(|column| width(column).unwrap_or(0)).collect();
        for row in &self.rows {
            let mut line = String::from(" ");
            for (column, (cell, width)) in row.iter().zip(&widths).enumerate() {
                match column {
                    0 => line.push_str(&format!(" {cell:width$}")),
                    _ => line.push_str(&format!("  {cell:>width$}")),
                }
            }
            writeln!(f, "{}", line.trim_end())?;
        }
        Ok(())
    }
}

/// The middle value; of an even number the mean of the two in the middle. NaN of nothing.
pub fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    match sorted.len() {
        0 => f64::NAN,
        n if n % 2 == 1 => sorted[n / 2],
        n => (sorted[n / 2 - 1] + sorted[n / 2]) / 2.0,
    }
}

/// The smallest value.
pub fn lowest(values: &[f64]) -> f64 {
    values.iter().copied().fold(f64::NAN, f64::min)
}

/// The largest value.
pub fn highest(values: &[f64]) -> f64 {
    values.iter().copied().fold(f64::NAN, f64::max)
}

/// Ratios of two series that were measured in turn, round by round.
pub fn ratios(ours: &[f64], theirs: &[f64]) -> Vec<f64> {
    ours.iter().zip(theirs).map(|(ours, theirs)| ours / theirs).collect()
}

/// Three significant digits, more before the point; `-` for what was not measured.
pub fn figure(value: f64) -> String {
    match value {
        value if !value.is_finite() => "-".into(),
        value if value.abs() >= 100.0 => format!("{value:.0}"),
        value if value.abs() >= 10.0 => format!("{value:.1}"),
        value if value.abs() >= 1.0 => format!("{value:.2}"),
        value => format!("{value:.3}"),
    }
}

/// Megabytes of something that may not have been measured.
pub fn megabytes(bytes: Option<u64>) -> String {
    bytes.map_or_else(|| "-".into(), |bytes| format!("{:.0}", bytes as f64 / 1e6))
}

/// A ratio and its range over the rounds: `1.003 (0.998..1.007)`.
pub fn range(ratios: &[f64]) -> String {
    match ratios.is_empty() {
        true => "-".into(),
        false => format!("{:.3} ({:.3}..{:.3})", median(ratios), lowest(ratios), highest(ratios)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up() {
        let mut table = Table::new(&["what", "tok/s"]);
        table.row(["prefill".into(), "1234".into()]);
        table.row(["decode".into(), "7.25".into()]);
        assert_eq!(table.to_string(), "  what     tok/s\n  prefill   1234\n  decode    7.25\n");
    }

    #[test]
    fn medians_and_ratios_go_by_round() {
        assert_eq!(median(&[3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(&[4.0, 1.0, 2.0, 3.0]), 2.5);
        assert_eq!(range(&ratios(&[2.0, 3.0, 4.0], &[1.0, 3.0, 2.0])), "2.000 (1.000..2.000)");
    }

    #[test]
    fn what_was_not_measured_is_no_zero() {
        assert_eq!(figure(median(&[])), "-");
        assert_eq!(range(&[]), "-");
        assert_eq!(megabytes(None), "-");
    }
}
