//! A CSV file back to the series that it was made of, for the analysis. Also reads what the seed workflow's own scripts
//! wrote: sixteen columns, one engine per file, every row a decode step.

use super::columns::{COLUMNS, Cell, Column, derived_speed};
use super::{ALL, Error, Result};
use crate::progress::{Progress, Silent, Unit};
use crate::record::file_name::canonical_engine;
use crate::record::{Context, Series, Step};
use csv::{ByteRecord, ReaderBuilder};
use std::fs::{self, File};
use std::path::Path;

/// Bytes of a file whose reading takes long enough to be told how far it is.
const LARGE: u64 = 64 << 20;

/// The series of a CSV file, in its order, without the generated text.
///
/// Consecutive rows that agree in everything but the sample are one series; a step index that does not grow begins the next.
///
/// # Errors
/// [`Error::Open`], or [`Error::Table`] with line and column.
pub fn read(path: &Path) -> Result<Vec<Series>> {
    read_with(path, false)
}

/// As [`read`]; `text` keeps the generated text, which is most of the file.
///
/// # Errors
/// As [`read`].
pub fn read_with(path: &Path, text: bool) -> Result<Vec<Series>> {
    let mut all = Vec::new();
    each(path, text, |series, _| all.push(series))?;
    Ok(all)
}

/// As [`read`], but each series is handed over as soon as it is read: no more than one is in memory.
///
/// # Errors
/// As [`read`]; what was handed over before counts for nothing then.
pub fn read_each(path: &Path, progress: &dyn Progress, mut emit: impl FnMut(Series)) -> Result<()> {
    let size = fs::metadata(path).map_or(0, |metadata| metadata.len());
    let told: &dyn Progress = if size < LARGE { &Silent } else { progress };
    let task = told.task("reading the rows", Some(size), Unit::Bytes);
    let (mut done, mut count) = (0, 0usize);
    each(path, false, |series, at| {
        task.advance(at.saturating_sub(done));
        done = at;
        count += 1;
        emit(series);
    })?;
    task.finish(&format!("{count} series"));
    Ok(())
}

/// Calls `emit` with every series and the byte that was read up to.
fn each(path: &Path, text: bool, mut emit: impl FnMut(Series, u64)) -> Result<()> {
    let file = File::open(path).map_err(|cause| Error::Open { path: path.to_path_buf(), cause })?;
    let mut reader = ReaderBuilder::new().buffer_capacity(1 << 20).from_reader(file);
    let names = reader.byte_headers().map_err(|e| csv_error(path, e))?.clone();
    let mut table = Table { path, layout: Layout::new(path, &names, text)?, open: None, last: ByteRecord::new() };
    let mut record = ByteRecord::new();
    while reader.read_byte_record(&mut record).map_err(|e| csv_error(path, e))? {
        if let Some(whole) = table.push(&record)? {
            emit(whole, record.position().map_or(0, csv::Position::byte));
        }
        std::mem::swap(&mut table.last, &mut record);
    }
    if let Some(whole) = table.open {
        emit(whole, reader.position().byte());
    }
    Ok(())
}

/// How a sample's cell is read.
type ReadStep = fn(&mut Step, &str) -> std::result::Result<(), String>;

/// How a shared cell is read.
type ReadContext = fn(&mut Context, &str) -> std::result::Result<(), String>;

/// Which cell is what in this file.
struct Layout {
    steps: Vec<(usize, &'static str, ReadStep)>,
    contexts: Vec<(usize, &'static str, ReadContext)>,
    /// Cells that must agree inside a series.
    shared: Vec<usize>,
    /// Phase and unit: both empty in a row without a sample.
    kind: Option<(usize, usize)>,
    /// The engine of a file that does not tell.
    engine: Option<String>,
}

impl Layout {
    fn new(path: &Path, names: &ByteRecord, text: bool) -> Result<Layout> {
        let mut layout = Layout { steps: vec![], contexts: vec![], shared: vec![], kind: None, engine: None };
        let place = |name: &str| names.iter().position(|cell| header_name(cell) == name.as_bytes());
        for Column { name, cell, .. } in COLUMNS {
            let Some(i) = place(name) else { continue };
            match cell {
                Cell::Step { .. } if *name == "generated_text" && !text => {}
                Cell::Step { read, .. } => layout.steps.push((i, *name, *read)),
                Cell::Context { read, .. } => {
                    layout.contexts.push((i, *name, *read));
                    layout.shared.push(i);
                }
                Cell::Log => layout.shared.push(i),
            }
        }
        layout.kind = place("phase").zip(place("unit"));
        if place("total_latency_ms").is_none() && place("tokens_per_sec").is_none() {
            let reason = "no table of a benchmark: it has neither `total_latency_ms` nor `tokens_per_sec`".to_owned();
            return Err(Error::Table { path: path.to_path_buf(), line: 1, column: None, reason });
        }
        let stem = path.file_stem().map(|stem| stem.to_string_lossy().into_owned());
        layout.engine = stem.filter(|stem| stem != ALL).map(|stem| canonical_engine(&stem));
        Ok(layout)
    }

    fn has_sample(&self, record: &ByteRecord) -> bool {
        let empty = |i: usize| record.get(i).is_none_or(<[u8]>::is_empty);
        !self.kind.is_some_and(|(phase, unit)| empty(phase) && empty(unit))
    }
}

/// What is being read.
struct Table<'a> {
    path: &'a Path,
    layout: Layout,
    /// The series that the last row belongs to.
    open: Option<Series>,
    /// The row before.
    last: ByteRecord,
}

impl Table<'_> {
    /// Adds a row to the series that it belongs to. Returns the one before where the row begins another.
    fn push(&mut self, record: &ByteRecord) -> Result<Option<Series>> {
        let step = if self.layout.has_sample(record) { Some(self.step(record)?) } else { None };
        let same = self.layout.shared.iter().all(|&i| record.get(i) == self.last.get(i));
        let index = step.as_ref().and_then(|step| step.step);
        let goes_on = self.open.as_ref().is_some_and(|open| match open.steps.last().and_then(|step| step.step) {
            Some(before) => index.is_some_and(|index| index > before),
            None => index.is_none() || open.steps.is_empty(),
        });
        let mut whole = None;
        if !same || !goes_on {
            let context = self.context(record)?;
            whole = self.open.replace(Series { context, steps: Vec::new() });
        }
        if let (Some(step), Some(open)) = (step, &mut self.open) {
            open.steps.push(step);
        }
        Ok(whole)
    }

    fn step(&self, record: &ByteRecord) -> Result<Step> {
        let mut step = Step::default();
        for (i, name, read) in &self.layout.steps {
            self.cell(record, *i, name, |text| read(&mut step, text))?;
        }
        // A speed that says no more than the time was not printed by a tool.
        if step.tokens_per_sec.is_some() {
            let printed = step.tokens_per_sec.take();
            if printed != derived_speed(&step) {
                step.tokens_per_sec = printed;
            }
        }
        Ok(step)
    }

    fn context(&self, record: &ByteRecord) -> Result<Context> {
        let mut context = Context::default();
        for (i, name, read) in &self.layout.contexts {
            self.cell(record, *i, name, |text| read(&mut context, text))?;
        }
        if context.engine.is_empty() {
            let Some(engine) = &self.layout.engine else {
                let reason = "neither the row nor the file's name tell the engine".to_owned();
                return Err(self.failed(record, Some("engine"), reason));
            };
            context.engine.clone_from(engine);
        }
        Ok(context)
    }

    /// Gives a cell that is not empty to `read`; an empty one leaves the default.
    fn cell(
        &self,
        record: &ByteRecord,
        i: usize,
        name: &str,
        read: impl FnOnce(&str) -> std::result::Result<(), String>,
    ) -> Result<()> {
        let bytes = record.get(i).unwrap_or_default();
        if bytes.is_empty() {
            return Ok(());
        }
        let text = std::str::from_utf8(bytes).map_err(|e| format!("byte {} is not UTF-8", e.valid_up_to() + 1));
        text.and_then(read).map_err(|reason| self.failed(record, Some(name), reason))
    }

    fn failed(&self, record: &ByteRecord, column: Option<&str>, reason: String) -> Error {
        let line = record.position().map_or(0, csv::Position::line);
        Error::Table { path: self.path.to_path_buf(), line, column: column.map(str::to_owned), reason }
    }
}

/// A column's name as somebody's editor may have left it.
fn header_name(cell: &[u8]) -> &[u8] {
    cell.strip_prefix(b"\xef\xbb\xbf").unwrap_or(cell).trim_ascii()
}

fn csv_error(path: &Path, error: csv::Error) -> Error {
    let path = path.to_path_buf();
    let line = error.position().map_or(1, csv::Position::line);
    let reason = match error.kind() {
        csv::ErrorKind::UnequalLengths { expected_len, len, .. } => {
            format!("the row has {len} cells, the header line has {expected_len}")
        }
        _ => error.to_string(),
    };
    match error.into_kind() {
        csv::ErrorKind::Io(cause) => Error::Open { path, cause },
        _ => Error::Table { path, line, column: None, reason },
    }
}

#[cfg(test)]
mod tests {
    use super::super::rows;
    use super::*;
    use crate::record::testing::{Dir, Mutator, samples};
    use crate::record::{Phase, SampleUnit, read_log};

    /// Every series of the samples, and the rows that they make.
    fn written() -> (Vec<Series>, Vec<u8>) {
        let (mut all, mut text) = (Vec::new(), rows::header().into_bytes());
        for sample in samples() {
            for series in read_log(&sample.bytes, Path::new(sample.name)).unwrap().series {
                rows::write_series(&mut text, &series, sample.name);
                all.push(series);
            }
        }
        (all, text)
    }

    fn table(text: &str, name: &str) -> Result<Vec<Series>> {
        let dir = Dir::new();
        let path = dir.path().join(name);
        fs::write(&path, text).unwrap();
        read_with(&path, true)
    }

    #[test]
    fn every_sample_comes_back_as_it_was() {
        let (mut written, text) = written();
        let mut got = table(std::str::from_utf8(&text).unwrap(), "all.csv").unwrap();
        for series in written.iter_mut().chain(&mut got) {
            for step in &mut series.steps {
                // No text and an empty text are the same cell.
                step.text = step.text.take().filter(|text| !text.is_empty());
            }
        }
        assert_eq!(got, written);
    }

    #[test]
    fn one_after_the_other_they_are_the_same() {
        let (_, text) = written();
        let dir = Dir::new();
        let path = dir.path().join("all.csv");
        fs::write(&path, text).unwrap();
        let mut got = Vec::new();
        read_each(&path, &Silent, |series| got.push(series)).unwrap();
        assert!(got.len() > 1 && got == read(&path).unwrap());
    }

    #[test]
    fn the_seed_workflows_tables_are_read() {
        let columns: Vec<_> = COLUMNS.iter().map(|column| column.name).take(16).collect();
        let text = format!(
            "\u{feff}{}\n0,1.5,20.0,50.0,3.0,2.0,\"a\nb\",Darwin,23.1,METAL,me,box,1B,nf4,42.0,864c4aef\n\
             1,,25,40,,,,Darwin,23.1,METAL,me,box,1B,nf4,42.0,864c4aef\n\
             0,,25,41,,,,Darwin,23.1,METAL,me,box,1B,nf4,42.0,864c4aef\n\
             1,,25,41,,,,Darwin,23.1,METAL,me,box,1B,int8,42.0,864c4aef\n",
            columns.join(",")
        );
        let all = table(&text, "MLC-LLM.csv").unwrap();
        let lengths: Vec<_> = all.iter().map(|series| series.steps.len()).collect();
        assert_eq!(lengths, [2, 1, 1]);
        let (context, step) = (&all[0].context, &all[0].steps[0]);
        assert_eq!(
            (context.engine.as_str(), context.seed, context.hostname.as_deref()),
            ("mlc_llm", Some(42), Some("box"))
        );
        assert_eq!((step.phase, step.unit, step.enqueue_ms), (Phase::Decode, SampleUnit::Step, Some(1.5)));
        assert_eq!((step.text.as_deref(), step.tokens_per_sec), (Some("a\nb"), None));
        assert_eq!((all[1].steps[0].tokens_per_sec, all[1].steps[0].enqueue_ms), (Some(41.0), None));
    }

    #[test]
    fn errors_name_line_and_column() {
        let head = "step,total_latency_ms,engine\n";
        let error = table(&format!("{head}0,1.5,a\n1,fast,a\n"), "all.csv").unwrap_err().to_string();
        assert!(error.contains("line 3, column `total_latency_ms`: `fast` is no number"), "{error}");
        let error = table(&format!("{head}0,1.5\n"), "all.csv").unwrap_err().to_string();
        assert!(error.contains("line 2: the row has 2 cells"), "{error}");
        let error = table(&format!("{head}0,1.5,\n"), "all.csv").unwrap_err().to_string();
        assert!(error.contains("column `engine`"), "{error}");
        let error = table("a,b\n1,2\n", "all.csv").unwrap_err().to_string();
        assert!(error.contains("no table of a benchmark"), "{error}");
        let error = read(Path::new("no/such.csv")).unwrap_err().to_string();
        assert!(error.contains("such.csv") && error.contains("tokometer collate"), "{error}");
    }

    #[test]
    fn no_mutation_makes_it_panic() {
        let (_, text) = written();
        let dir = Dir::new();
        let path = dir.path().join("all.csv");
        let mut mutator = Mutator::new(99);
        for _ in 0..200 {
            fs::write(&path, mutator.mutate(&text)).unwrap();
            let _ = read_with(&path, true);
        }
    }
}
