//! Series to the text of CSV rows. Returns bytes and touches no files.

use super::cell::quote;
use super::columns::{COLUMNS, Cell};
use crate::record::{Series, Status, Step};
use std::ops::Range;

/// The header line.
pub fn header() -> String {
    let names: Vec<_> = COLUMNS.iter().map(|column| column.name).collect();
    names.join(",") + "\n"
}

/// Cells of a row that lie side by side and come from the same place.
enum Part {
    /// The same in every row of the series: a range of the text made once.
    Fixed(Range<usize>),
    /// Made for each row.
    Step(fn(&Step, &mut Vec<u8>)),
}

/// Appends the rows of a series from the raw log `log`, and returns how many they are. A launch that failed before it
/// measured anything is one row without a sample.
pub fn write_series(out: &mut Vec<u8>, series: &Series, log: &str) -> u64 {
    let (fixed, parts) = layout(series, log);
    let row = |out: &mut Vec<u8>, step: Option<&Step>| {
        for (i, part) in parts.iter().enumerate() {
            if i > 0 {
                out.push(b',');
            }
            match (part, step) {
                (Part::Fixed(range), _) => out.extend_from_slice(&fixed[range.clone()]),
                (Part::Step(write), Some(step)) => write(step, out),
                (Part::Step(_), None) => {}
            }
        }
        out.push(b'\n');
    };
    for step in &series.steps {
        row(out, Some(step));
    }
    if series.steps.is_empty() && series.context.status == Status::Failed {
        row(out, None);
        return 1;
    }
    series.steps.len() as u64
}

/// The text of the cells that all rows share, and the order of everything.
fn layout(series: &Series, log: &str) -> (Vec<u8>, Vec<Part>) {
    let mut fixed = Vec::with_capacity(512);
    let mut parts: Vec<Part> = Vec::new();
    for column in COLUMNS {
        if let Cell::Step { write, .. } = &column.cell {
            parts.push(Part::Step(*write));
            continue;
        }
        // A cell behind another shared one joins it.
        let start = match parts.last() {
            Some(Part::Fixed(range)) => {
                let start = range.start;
                parts.pop();
                fixed.push(b',');
                start
            }
            _ => fixed.len(),
        };
        match &column.cell {
            Cell::Context { write, .. } => write(&series.context, &mut fixed),
            Cell::Log | Cell::Step { .. } => quote(&mut fixed, log.as_bytes()),
        }
        parts.push(Part::Fixed(start..fixed.len()));
    }
    (fixed, parts)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::{Context, Phase};

    #[test]
    fn a_row_has_a_cell_for_every_column() {
        let context = Context {
            engine: "mock".into(),
            hostname: Some("a,b".into()),
            warnings: vec!["x".into(), "y".into()],
            ..Context::default()
        };
        let steps = vec![
            Step { step: Some(0), phase: Phase::Prefill, total_ms: Some(10.5), ..Step::default() },
            Step { step: Some(1), total_ms: Some(4.0), text: Some("\"q\"\n".into()), ..Step::default() },
        ];
        let mut out = Vec::new();
        assert_eq!(write_series(&mut out, &Series { context, steps }, "l.txt"), 2);
        let text = String::from_utf8(out).unwrap();
        let last = COLUMNS.len() - 1;
        let mut reader = csv::ReaderBuilder::new().has_headers(false).from_reader(text.as_bytes());
        let rows: Vec<_> = reader.records().map(Result::unwrap).collect();
        assert!(rows.iter().all(|row| row.len() == COLUMNS.len() && &row[11] == "a,b" && &row[last] == "l.txt"));
        assert_eq!((&rows[0][2], &rows[0][3], &rows[0][23]), ("10.5", "", "prefill"));
        assert_eq!((&rows[1][3], &rows[1][6], &rows[1][last - 1]), ("250", "\"q\"\n", "x y"));
    }

    #[test]
    fn a_failed_launch_is_a_row_without_a_sample() {
        let context = Context {
            engine: "mock".into(),
            status: Status::Failed,
            reason: Some("crash".into()),
            ..Context::default()
        };
        let mut out = Vec::new();
        assert_eq!(write_series(&mut out, &Series { context, steps: vec![] }, "l.txt"), 1);
        let text = String::from_utf8(out).unwrap();
        assert!(text.starts_with(",,,") && text.ends_with(",failed,crash,,l.txt\n"), "{text}");
        assert_eq!(text.matches(',').count(), COLUMNS.len() - 1);
        assert_eq!(write_series(&mut Vec::new(), &Series::default(), "l.txt"), 0);
    }
}
