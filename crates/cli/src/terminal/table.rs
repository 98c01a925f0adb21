//! Tables that fit the terminal.

/// How a column is aligned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Align {
    /// Text.
    Left,
    /// Numbers.
    Right,
}

/// A table of text. Columns are as wide as needed; where the terminal is too narrow, columns are left out from the
/// right, the least important ones, and a last line says so.
#[derive(Debug, Default)]
pub struct Table {
    header: Vec<(String, Align)>,
    rows: Vec<Vec<String>>,
}

impl Table {
    /// A table with these columns, the most important first.
    pub fn new(columns: &[(&str, Align)]) -> Table {
        Table { header: columns.iter().map(|(name, align)| ((*name).to_owned(), *align)).collect(), rows: Vec::new() }
    }

    /// Adds a row; missing cells are empty.
    pub fn row(&mut self, cells: Vec<String>) {
        self.rows.push(cells);
    }

    /// The lines, none longer than `width` as long as the first column fits. A column without any content is left out.
    pub fn lines(&self, width: usize) -> Vec<String> {
        let used: Vec<usize> = (0..self.header.len())
            .filter(|i| self.rows.iter().any(|row| row.get(*i).is_some_and(|c| !c.is_empty())))
            .collect();
        let widths: Vec<usize> = used.iter().map(|i| self.column_width(*i)).collect();
        let mut shown = 0;
        let mut total = 0;
        for w in &widths {
            let next = total + w + if shown == 0 { 0 } else { 2 };
            if shown > 0 && next > width {
                break;
            }
            total = next;
            shown += 1;
        }
        let columns = &used[..shown];
        let header = self.header.iter().map(|(name, _)| name.clone()).collect::<Vec<_>>();
        let mut lines = vec![self.join(columns, &widths, &header), "─".repeat(total.min(width))];
        lines.extend(self.rows.iter().map(|row| self.join(columns, &widths, row)));
        if shown < used.len() {
            let left: Vec<_> = used[shown..].iter().map(|i| self.header[*i].0.as_str()).collect();
            lines.extend(super::wrapped(&format!("(a wider terminal also shows: {})", left.join(", ")), width));
        }
        lines
    }

    fn column_width(&self, i: usize) -> usize {
        let cells = self.rows.iter().filter_map(|row| row.get(i)).map(|cell| cell.chars().count());
        cells.chain([self.header[i].0.chars().count()]).max().unwrap_or(0)
    }

    fn join(&self, columns: &[usize], widths: &[usize], cells: &[String]) -> String {
        let mut line = String::new();
        for (n, i) in columns.iter().enumerate() {
            let cell = cells.get(*i).map_or("", String::as_str);
            let pad = " ".repeat(widths[n].saturating_sub(cell.chars().count()));
            if n > 0 {
                line.push_str("  ");
            }
            match self.header[*i].1 {
                Align::Left => line.extend([cell, &pad]),
                Align::Right => line.extend([&pad, cell]),
            }
        }
        line.trim_end().to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_narrow_terminal_loses_the_last_columns_and_says_so() {
        let mut table = Table::new(&[
            ("engine", Align::Left),
            ("tok/s", Align::Right),
            ("note", Align::Left),
            ("empty", Align::Left),
        ]);
        table.row(vec!["llamacpp".into(), "35.20".into(), "a rather long note".into(), String::new()]);
        table.row(vec!["x".into(), "7.00".into()]);
        let wide = table.lines(80);
        assert_eq!(wide[0], "engine    tok/s  note");
        assert_eq!(wide[3], "x          7.00");
        let narrow = table.lines(20);
        assert!(narrow.iter().all(|line| line.chars().count() <= 20), "{narrow:?}");
        assert_eq!(narrow[4..].join(" "), "(a wider terminal also shows: note)");
    }
}
