//! The raw log: writing ours while a case is measured, and reading ours and others' into one common form.
//!
//! A format is one file with one [`Format`] and one line in [`FORMATS`]. Readers take bytes and hand out [`Series`], one at
//! a time, so that a caller never has to hold more than one of them; they touch no files. What becomes of the series, and
//! which files there are, is `collate`'s business.

pub(crate) mod device;
pub mod event;
pub mod file_name;
mod head;
mod header;
mod jsonl;
mod lines;
mod llama_bench;
pub mod provenance;
pub mod quality;
mod seed_mlc;
pub mod series;
#[cfg(test)]
pub(crate) mod testing;
mod tinygrad;
mod tokometer;
pub mod writer;

pub use event::{Event, Resources};
pub use file_name::{FileName, canonical_engine};
pub use head::head;
pub use provenance::Provenance;
pub use quality::Quality;
pub use series::{Context, Log, Phase, SampleUnit, Series, Status, Step, ThroughputSource, to_millionths};
pub use writer::LogWriter;
pub(crate) use writer::write_error;

use std::io;
use std::path::{Path, PathBuf};

/// Every format that can be read, the most specific first: the first that recognizes a log reads it.
pub const FORMATS: &[&dyn Format] =
    &[&tokometer::Tokometer, &llama_bench::LlamaBench, &seed_mlc::SeedMlc, &tinygrad::Tinygrad];

/// Bytes at the beginning of a log by which its format is recognized.
const HEAD: usize = 64 << 10;

/// A kind of raw log.
pub trait Format: Sync {
    /// Short name, for messages and tests.
    fn name(&self) -> &'static str;

    /// Whether a log that begins with `head` and is called `file_name` is of this kind.
    fn recognize(&self, head: &[u8], file_name: &str) -> bool;

    /// Reads the log and hands each series to `emit`, in the order of the file.
    ///
    /// # Errors
    /// [`Error::Damaged`] with the line. What was emitted before belongs to a damaged log: throw it away.
    fn read(&self, input: &Input<'_>, emit: &mut dyn FnMut(Series)) -> Result<()>;
}

/// A raw log that lies in memory.
#[derive(Debug, Clone)]
pub struct Input<'a> {
    /// All of it.
    pub bytes: &'a [u8],
    /// What the name of the file tells, if it has the usual form.
    pub name: Option<FileName>,
    /// Where it came from, for messages.
    pub path: &'a Path,
}

impl<'a> Input<'a> {
    /// The log at `path`, whose content is `bytes`.
    pub fn new(bytes: &'a [u8], path: &'a Path) -> Self {
        Input { bytes, name: FileName::parse(&file_name(path)), path }
    }

    /// The error of line `line` (from 1).
    pub(crate) fn damaged(&self, line: usize, reason: impl Into<String>) -> Error {
        Error::Damaged { path: self.path.to_path_buf(), line, reason: reason.into() }
    }
}

/// The format of a log, if it has one that is known.
pub fn recognize(input: &Input<'_>) -> Option<&'static dyn Format> {
    let head = &input.bytes[..input.bytes.len().min(HEAD)];
    let name = file_name(input.path);
    FORMATS.iter().copied().find(|format| format.recognize(head, &name))
}

/// Reads a log of any known format and hands each series to `emit`. A log that does not name itself, neither in its header
/// nor by the form of its file name, is named by a hash of its file name: two files are never one launch.
///
/// # Errors
/// [`Error::Unknown`] when no format recognizes it, [`Error::Damaged`] with the line when its reader gives up.
pub fn read_each(input: &Input<'_>, emit: &mut dyn FnMut(Series)) -> Result<()> {
    let Some(format) = recognize(input) else {
        let found = if input.bytes.is_empty() {
            "it is empty".to_owned()
        } else {
            let known: Vec<_> = FORMATS.iter().map(|format| format.name()).collect();
            format!("it begins like none of {}", known.join(", "))
        };
        return Err(Error::Unknown { path: input.path.to_path_buf(), found });
    };
    let mut made = None;
    format.read(input, &mut |mut series| {
        let uuid = &mut series.context.uuid;
        if uuid.is_none() {
            *uuid = Some(made.get_or_insert_with(|| uuid_of(input.path)).clone());
        }
        emit(series);
    })
}

/// Eight hex digits from the name of a file, the same while it is being written and afterwards.
fn uuid_of(path: &Path) -> String {
    let name = file_name(path);
    crate::fingerprint::of_bytes(name.strip_suffix(writer::PARTIAL).unwrap_or(&name).as_bytes())[..8].to_owned()
}

/// All of a log at once: see [`read_each`].
///
/// # Errors
/// Those of [`read_each`].
pub fn read_log(bytes: &[u8], path: &Path) -> Result<Log> {
    let mut log = Log::default();
    read_each(&Input::new(bytes, path), &mut |series| log.series.push(series))?;
    Ok(log)
}

/// The last part of a path as text.
fn file_name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

/// What serde_json says of a single line, without the line number that it counts itself.
fn json_reason(error: &serde_json::Error) -> String {
    let text = error.to_string();
    let words = text.rsplit_once(" at line ").map_or(text.as_str(), |(words, _)| words);
    format!("{words} (column {})", error.column())
}

/// Why a raw log could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A line makes no sense.
    #[error("{path}, line {line}: {reason}; the log is left out: mend that line, or move the file out of the folder")]
    Damaged {
        /// The log.
        path: PathBuf,
        /// Its line, from 1.
        line: usize,
        /// What is wrong with it.
        reason: String,
    },
    /// No reader knows the file.
    #[error("{path} is not a raw log of any known format: {found}; move it out of the folder if it is something else")]
    Unknown {
        /// The file.
        path: PathBuf,
        /// What was seen.
        found: String,
    },
    /// A header key that could not be read back.
    #[error("cannot begin the raw log {path}: `{key}` is no header key (letters, digits, `_` and `-`, once each)")]
    HeaderKey {
        /// The log.
        path: PathBuf,
        /// The key.
        key: String,
    },
    /// A log of that name is there.
    #[error("cannot begin the raw log {path}: it exists, and logs are never overwritten; run again for a new uuid")]
    Exists {
        /// The log.
        path: PathBuf,
    },
    /// The operating system refused to write.
    #[error("cannot write the raw log {path}: {cause}; {hint}")]
    Write {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        cause: io::Error,
        /// What to do.
        hint: &'static str,
    },
}

impl Error {
    /// The line of the log that is at fault, if it is one.
    pub fn line(&self) -> Option<usize> {
        match self {
            Error::Damaged { line, .. } => Some(*line),
            _ => None,
        }
    }

    /// What is wrong, without path and line.
    pub fn reason(&self) -> String {
        match self {
            Error::Damaged { reason, .. } => reason.clone(),
            Error::Unknown { found, .. } => format!("not a raw log of any known format: {found}"),
            other => other.to_string(),
        }
    }
}

/// What this module returns.
pub type Result<T> = std::result::Result<T, Error>;

#[cfg(test)]
mod tests {
    use super::*;
    use testing::{Mutator, samples};

    #[test]
    fn each_sample_is_recognized_by_its_own_format_only() {
        for sample in samples() {
            let path = Path::new(sample.name);
            let input = Input::new(&sample.bytes, path);
            let format = recognize(&input).unwrap_or_else(|| panic!("{} is unknown", sample.name));
            assert_eq!(format.name(), sample.format, "{}", sample.name);
            assert_eq!(read_log(&sample.bytes, path).unwrap().series.len(), sample.series, "{}", sample.name);
        }
    }

    #[test]
    fn a_log_that_does_not_name_itself_is_named_by_its_file() {
        let uuids = |sample: &testing::Sample, name: &str| {
            let log = read_log(&sample.bytes, Path::new(name)).unwrap();
            log.series.into_iter().map(|series| series.context.uuid.unwrap()).collect::<Vec<_>>()
        };
        for sample in samples().iter().filter(|sample| sample.series > 0) {
            let (a, again, b) = (uuids(sample, "a.txt"), uuids(sample, "x/a.txt.partial"), uuids(sample, "b.txt"));
            assert_eq!((a.len(), &a), (sample.series, &again), "{}", sample.name);
            assert!(a.iter().all(|uuid| uuid.len() == 8 && *uuid == a[0]) && a[0] != b[0], "{}", sample.name);
            let named = uuids(sample, "host_1B_nf4_seed42_uuid0badcafe.txt");
            assert!(named.iter().all(|uuid| uuid == "0badcafe"), "{}", sample.name);
        }
    }

    #[test]
    fn every_format_has_a_sample() {
        for format in FORMATS {
            assert!(samples().iter().any(|sample| sample.format == format.name()), "{}", format.name());
        }
    }

    #[test]
    fn no_mutation_of_a_sample_makes_a_reader_panic() {
        let mut mutator = Mutator::new(0x7060_5040_3020_1001);
        for sample in samples() {
            let path = Path::new(sample.name);
            for _ in 0..400 {
                let bytes = mutator.mutate(&sample.bytes);
                let input = Input::new(&bytes, path);
                for format in FORMATS {
                    let _ = format.read(&input, &mut |_| {});
                }
                let _ = read_log(&bytes, path);
            }
        }
    }

    #[test]
    fn what_no_format_knows_is_named_as_such() {
        let error = read_log(b"%PDF-1.7\n", Path::new("x/notes.txt")).unwrap_err();
        assert!(error.to_string().contains("notes.txt is not a raw log of any known format"), "{error}");
        assert!(error.reason().contains("tinygrad"), "{error}");
        assert_eq!(error.line(), None);
        assert!(read_log(b"", Path::new("e.txt")).unwrap_err().reason().contains("empty"));
    }

    #[test]
    fn a_json_error_keeps_its_column_and_loses_its_line() {
        let error = serde_json::from_str::<u32>("tru").unwrap_err();
        let text = json_reason(&error);
        assert!(!text.contains("line") && text.contains("(column "), "{text}");
    }
}
