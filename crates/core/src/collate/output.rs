//! The CSV files: written beside the old ones under hidden names and renamed together at the end. Until then the old files
//! are untouched; dropped without [`Output::finish`], nothing is left.
//!
//! Large files are not forced to the disk: that takes longer than all else, and the raw logs can give them again. The index
//! then says during which start of the system they were made, and is not believed after the next one.

use super::index::Part;
use super::rows;
use super::sources::Stamp;
use super::spool::Spool;
use super::{ALL, Error, Result};
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::fs::{self, File};
use std::io::{self, BufWriter, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

/// What the names of unfinished files end in.
pub(super) const TEMPORARY: &str = ".csv.tmp";

/// Bytes that are gathered before they are written; the rows of most logs are more, and go straight to the file.
const BUFFER: usize = 64 << 10;

/// Bytes of CSV that are forced to the disk at once.
const SYNCED: u64 = 64 << 20;

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
    pub fn append(&mut self, engine: &str, mut spool: Spool) -> Result<Part> {
        let rows = spool.rows;
        // Both while the rows are in the processor's caches: reading them back later would take longer.
        self.all.at += spool.pour(&mut self.all.file).map_err(|cause| self.all.failed(cause))?;
        let table = self.table(engine)?;
        let start = table.at;
        table.at += spool.pour(&mut table.file).map_err(|cause| write_error(&table.finished, cause))?;
        Ok(Part { engine: engine.to_owned(), start, end: table.at, rows })
    }

    /// Appends rows that stand in an old file.
    pub fn copy(&mut self, old: &File, part: &Part) -> Result<Part> {
        self.all.copy(old, part)?;
        let table = self.table(&part.engine)?;
        let start = table.at;
        table.copy(old, part)?;
        Ok(Part { start, end: table.at, ..part.clone() })
    }

    /// Completes all files and puts them in place. Returns the stamps by name, and whether the files are on the disk.
    pub fn finish(mut self) -> Result<(BTreeMap<String, Stamp>, bool)> {
        let synced = self.all.at <= SYNCED || boot().is_none();
        for table in self.tables.values_mut() {
            table.complete(synced)?;
        }
        self.all.complete(synced)?;
        let mut stamps = BTreeMap::new();
        for (engine, table) in self.tables.iter().chain([(&ALL.to_owned(), &self.all)]) {
            fs::rename(&table.temporary, &table.finished).map_err(|cause| write_error(&table.finished, cause))?;
            let metadata = fs::metadata(&table.finished).map_err(|cause| write_error(&table.finished, cause))?;
            stamps.insert(format!("{engine}.csv"), Stamp::of(&metadata));
        }
        File::open(&self.dir).and_then(|dir| dir.sync_all()).map_err(|cause| write_error(&self.dir, cause))?;
        Ok((stamps, synced))
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
        let file = File::create(&temporary);
        let file = BufWriter::with_capacity(BUFFER, file.map_err(|cause| write_error(&temporary, cause))?);
        let mut table = Table { temporary, finished, file, at: 0 };
        let header = rows::header();
        table.file.write_all(header.as_bytes()).map_err(|cause| table.failed(cause))?;
        table.at = header.len() as u64;
        Ok(table)
    }

    /// Appends rows that stand in an old file.
    fn copy(&mut self, old: &File, part: &Part) -> Result<()> {
        let length = part.end - part.start;
        let copied = seek(old, part.start).and_then(|file| {
            let copied = io::copy(&mut file.take(length), &mut self.file)?;
            if copied == length { Ok(()) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
        });
        copied.map_err(|cause| self.failed(cause))?;
        self.at += length;
        Ok(())
    }

    fn complete(&mut self, sync: bool) -> Result<()> {
        let flushed = self.file.flush();
        let done = flushed.and_then(|()| if sync { self.file.get_ref().sync_all() } else { Ok(()) });
        done.map_err(|cause| self.failed(cause))
    }

    fn failed(&self, cause: io::Error) -> Error {
        write_error(&self.finished, cause)
    }
}

/// Names the present start of the system, where it has such a name.
pub(super) fn boot() -> Option<String> {
    let id = fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    Some(id.trim().to_owned()).filter(|id| !id.is_empty())
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

    fn spool(text: &str) -> Spool {
        let mut spool = Spool::default();
        spool.rows = 1;
        spool.text().extend_from_slice(text.as_bytes());
        spool
    }

    #[test]
    fn all_holds_every_row_in_the_order_of_the_logs() {
        let dir = Dir::new();
        let mut output = Output::create(dir.path()).unwrap();
        for (engine, text) in [("b", "b1\n"), ("a", "a1\n"), ("b", "b2\n")] {
            output.append(engine, spool(text)).unwrap();
        }
        let (stamps, synced) = output.finish().unwrap();
        assert!(synced);
        assert_eq!(stamps.keys().collect::<Vec<_>>(), ["a.csv", "all.csv", "b.csv"]);
        let read = |name: &str| fs::read_to_string(dir.path().join(name)).unwrap();
        assert_eq!(read("all.csv"), rows::header() + "b1\na1\nb2\n");
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
        output.append("a", spool("new\n")).unwrap();
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
