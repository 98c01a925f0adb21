//! The CSV files: written beside the old ones under hidden names, synced, and renamed together at the end. Until then the old
//! files are untouched; dropped without [`Output::finish`], nothing is left.

use super::index::Part;
use super::rows;
use super::sources::Stamp;
use super::{ALL, Error, Result};
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::fs::{self, File};
use std::io::{self, BufWriter, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

/// What the names of unfinished files end in.
const TEMPORARY: &str = ".csv.tmp";

/// The files that are being written.
pub(super) struct Output {
    dir: PathBuf,
    all: Table,
    /// By engine.
    tables: BTreeMap<String, Table>,
    started: Stamp,
}

/// One file.
struct Table {
    temporary: PathBuf,
    finished: PathBuf,
    file: BufWriter<File>,
    at: u64,
}

impl Output {
    /// Begins with an empty `all.csv`. What an earlier collation left half written is removed.
    pub fn create(dir: &Path) -> Result<Output> {
        for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
            let name = entry.file_name();
            if name.to_str().is_some_and(|name| name.starts_with('.') && name.ends_with(TEMPORARY)) {
                let _ = fs::remove_file(entry.path());
            }
        }
        let all = Table::create(dir, ALL)?;
        let metadata = all.file.get_ref().metadata().map_err(|cause| all.failed(cause))?;
        Ok(Output { dir: dir.to_path_buf(), started: Stamp::of(&metadata), all, tables: BTreeMap::new() })
    }

    /// When this began, by the clock of the folder's file system.
    pub fn started_ns(&self) -> u64 {
        self.started.mtime_ns
    }

    /// Appends new rows of an engine.
    pub fn append(&mut self, engine: &str, text: &[u8], rows: u64) -> Result<Part> {
        let table = self.table(engine)?;
        let start = table.at;
        table.file.write_all(text).map_err(|cause| write_error(&table.finished, cause))?;
        table.at += text.len() as u64;
        Ok(Part { engine: engine.to_owned(), start, end: table.at, rows })
    }

    /// Appends rows that stand in an old file.
    pub fn copy(&mut self, old: &File, part: &Part) -> Result<Part> {
        let table = self.table(&part.engine)?;
        let start = table.at;
        let length = part.end - part.start;
        let copied = seek(old, part.start).and_then(|file| {
            let copied = io::copy(&mut file.take(length), &mut table.file)?;
            if copied == length { Ok(()) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
        });
        copied.map_err(|cause| write_error(&table.finished, cause))?;
        table.at += length;
        Ok(Part { start, end: table.at, ..part.clone() })
    }

    /// Completes all files and puts them in place. Returns the stamps by name.
    pub fn finish(mut self) -> Result<BTreeMap<String, Stamp>> {
        for table in self.tables.values_mut() {
            table.sync()?;
            let body = rows::header().len() as u64;
            let copied = seek(table.file.get_ref(), body).and_then(|mut file| {
                // From file to file: the system need not bring the bytes here.
                self.all.file.flush()?;
                io::copy(&mut file, self.all.file.get_mut())
            });
            copied.map_err(|cause| write_error(&self.all.finished, cause))?;
        }
        self.all.sync()?;
        let mut stamps = BTreeMap::new();
        for (engine, table) in self.tables.iter().chain([(&ALL.to_owned(), &self.all)]) {
            fs::rename(&table.temporary, &table.finished).map_err(|cause| write_error(&table.finished, cause))?;
            let metadata = fs::metadata(&table.finished).map_err(|cause| write_error(&table.finished, cause))?;
            stamps.insert(format!("{engine}.csv"), Stamp::of(&metadata));
        }
        File::open(&self.dir).and_then(|dir| dir.sync_all()).map_err(|cause| write_error(&self.dir, cause))?;
        Ok(stamps)
    }

    fn table(&mut self, engine: &str) -> Result<&mut Table> {
        match self.tables.entry(engine.to_owned()) {
            Entry::Occupied(entry) => Ok(entry.into_mut()),
            Entry::Vacant(entry) => Ok(entry.insert(Table::create(&self.dir, engine)?)),
        }
    }
}

impl Drop for Output {
    fn drop(&mut self) {
        for table in self.tables.values().chain([&self.all]) {
            // After a rename there is nothing of that name.
            let _ = fs::remove_file(&table.temporary);
        }
    }
}

impl Table {
    fn create(dir: &Path, name: &str) -> Result<Table> {
        let finished = dir.join(format!("{name}.csv"));
        let temporary = dir.join(format!(".{name}{TEMPORARY}"));
        // Readable as well: `all.csv` is made from the others.
        let file = File::options().read(true).write(true).create(true).truncate(true).open(&temporary);
        let file = BufWriter::with_capacity(1 << 20, file.map_err(|cause| write_error(&temporary, cause))?);
        let mut table = Table { temporary, finished, file, at: 0 };
        let header = rows::header();
        table.file.write_all(header.as_bytes()).map_err(|cause| table.failed(cause))?;
        table.at = header.len() as u64;
        Ok(table)
    }

    fn sync(&mut self) -> Result<()> {
        let synced = self.file.flush().and_then(|()| self.file.get_ref().sync_all());
        synced.map_err(|cause| self.failed(cause))
    }

    fn failed(&self, cause: io::Error) -> Error {
        write_error(&self.finished, cause)
    }
}

/// The file at a place; a shared handle can be read as well.
fn seek(mut file: &File, place: u64) -> io::Result<&File> {
    file.seek(SeekFrom::Start(place))?;
    Ok(file)
}

fn write_error(path: &Path, cause: io::Error) -> Error {
    Error::Write { path: path.to_path_buf(), cause }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::testing::Dir;

    #[test]
    fn all_holds_the_engines_in_the_order_of_their_names() {
        let dir = Dir::new();
        let mut output = Output::create(dir.path()).unwrap();
        for (engine, text) in [("b", "b1\n"), ("a", "a1\n"), ("b", "b2\n")] {
            output.append(engine, text.as_bytes(), 1).unwrap();
        }
        let stamps = output.finish().unwrap();
        assert_eq!(stamps.keys().collect::<Vec<_>>(), ["a.csv", "all.csv", "b.csv"]);
        let read = |name: &str| fs::read_to_string(dir.path().join(name)).unwrap();
        assert_eq!(read("all.csv"), rows::header() + "a1\nb1\nb2\n");
        assert_eq!(read("b.csv"), rows::header() + "b1\nb2\n");
        assert_eq!(stamps["b.csv"].size, read("b.csv").len() as u64);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 3);
    }

    #[test]
    fn what_is_not_finished_leaves_the_old_files_alone() {
        let dir = Dir::new();
        fs::write(dir.path().join("a.csv"), "old").unwrap();
        fs::write(dir.path().join(".gone.csv.tmp"), "half").unwrap();
        let mut output = Output::create(dir.path()).unwrap();
        output.append("a", b"new\n", 1).unwrap();
        drop(output);
        assert_eq!(fs::read_to_string(dir.path().join("a.csv")).unwrap(), "old");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn rows_are_copied_out_of_an_old_file() {
        let dir = Dir::new();
        let old = dir.path().join("old");
        fs::write(&old, "0123456789").unwrap();
        let old = File::open(old).unwrap();
        let mut output = Output::create(dir.path()).unwrap();
        let part = Part { engine: "a".into(), start: 3, end: 6, rows: 2 };
        let header = rows::header().len() as u64;
        assert_eq!(output.copy(&old, &part).unwrap(), Part { start: header, end: header + 3, ..part.clone() });
        assert!(output.copy(&old, &Part { start: 8, end: 12, ..part }).is_err());
    }
}
