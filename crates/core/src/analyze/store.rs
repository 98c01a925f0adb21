//! The analysis of a folder's `all.csv`, kept beside it in `.analysis`: the rows need not be read again as long as they are
//! what they were.
//!
//! It is a cache. It fits if size and date of the CSV file are those that it was made from, and size and date of the program
//! those of the one that made it; whatever is odd about it, the rows are read instead. Groups whose numbers did not change are
//! taken over even then. Evaluations are not in it: joining them costs nothing.

use super::gather::Known;
use super::{Analysis, Comparison, Finding, Gatherer, Group, Roofline, Validity};
use crate::collate::read::read_each;
use crate::collate::{self, Stamp, TICK_NS};
use crate::progress::Progress;
use crate::{disk, fingerprint};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::path::{Path, PathBuf};
use std::time::Duration;
use std::{env, fs, io, thread};

/// Its name in the folder.
const FILE: &str = ".analysis";

/// To be raised when what is kept changes its form.
const FORMAT: u32 = 2;

/// Hex digits at its beginning: the sha256 of all that follows.
const HASH: usize = 64;

/// The analysis of a CSV file, without evaluations: as it is kept, or made anew and kept.
///
/// # Errors
/// The CSV file cannot be read. That the analysis cannot be kept is none.
pub fn of_table(table: &Path, progress: &dyn Progress) -> collate::Result<Analysis> {
    let found = Key::of(table).and_then(|key| Kept::read(table, &key));
    let known = match found {
        Some((true, kept)) => return Ok(kept.analysis()),
        Some((false, kept)) => kept.known(),
        None => Known::new(),
    };
    settle(table);
    let key = Key::of(table);
    let mut gatherer = Gatherer::default();
    read_each(table, progress, |series| gatherer.push(&series))?;
    let analysis = gatherer.finish_with(&known);
    if let Some(key) = key.filter(|key| Key::of(table).as_ref() == Some(key)) {
        // A folder that may not be written costs time, no more.
        let _ = Kept::of(&analysis).write(table, &key);
    }
    Ok(analysis)
}

/// The analysis that is kept of a CSV file, if it fits.
pub fn stored(table: &Path) -> Option<Analysis> {
    let (fits, kept) = Kept::read(table, &Key::of(table)?)?;
    fits.then(|| kept.analysis())
}

/// Waits, for some milliseconds at most, until a file cannot change any more without a new date.
fn settle(path: &Path) {
    let changed = fs::metadata(path).and_then(|metadata| metadata.modified());
    let age = changed.map_or(Duration::MAX, |time| time.elapsed().unwrap_or_default());
    if let Some(rest) = Duration::from_nanos(TICK_NS).checked_sub(age) {
        thread::sleep(rest);
    }
}

/// What an analysis was made from, and by whom.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Key {
    format: u32,
    version: String,
    program: Stamp,
    /// Name of the CSV file.
    name: String,
    table: Stamp,
}

impl Key {
    /// Of the file as it is now and this program; `None` where the system does not tell.
    fn of(table: &Path) -> Option<Key> {
        // What the system cannot date may have changed.
        let stamp = |path: &Path| {
            let stamp = Stamp::of(&fs::metadata(path).ok()?);
            (stamp.mtime_ns > 0).then_some(stamp)
        };
        Some(Key {
            format: FORMAT,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            program: stamp(&env::current_exe().ok()?)?,
            name: table.file_name()?.to_str()?.to_owned(),
            table: stamp(table)?,
        })
    }

    /// Whether both were made by the same program.
    fn same_program(&self, other: &Key) -> bool {
        (self.format, &self.version, self.program) == (other.format, &other.version, other.program)
    }
}

/// An analysis as it is kept, behind its key.
#[derive(Serialize, Deserialize)]
struct Kept<'a> {
    validity: Cow<'a, [Validity]>,
    groups: Cow<'a, [Group]>,
    /// For each group: the fields that its JSON does not show.
    unseen: Vec<Unseen<'a>>,
    speedups: Cow<'a, [Comparison]>,
    roofline: Cow<'a, [Roofline]>,
    findings: Cow<'a, [Finding]>,
}

/// Fields of a group that are left out of its JSON.
#[derive(Serialize, Deserialize)]
struct Unseen<'a> {
    inputs: Cow<'a, str>,
    step_order: Cow<'a, [f64]>,
}

impl<'a> Kept<'a> {
    fn of(analysis: &'a Analysis) -> Kept<'a> {
        let unseen = |group: &'a Group| Unseen {
            inputs: Cow::Borrowed(group.inputs.as_str()),
            step_order: Cow::Borrowed(group.step_order.as_slice()),
        };
        Kept {
            validity: Cow::Borrowed(&analysis.validity),
            groups: Cow::Borrowed(&analysis.groups),
            unseen: analysis.groups.iter().map(unseen).collect(),
            speedups: Cow::Borrowed(&analysis.speedups),
            roofline: Cow::Borrowed(&analysis.roofline),
            findings: Cow::Borrowed(&analysis.findings),
        }
    }

    /// What lies beside a CSV file, if this program made it, and whether it was made of the file as it is.
    fn read(table: &Path, key: &Key) -> Option<(bool, Kept<'static>)> {
        let bytes = fs::read(place(table)).ok()?;
        let (hash, body) = bytes.split_at_checked(HASH)?;
        if fingerprint::of_bytes(body).as_bytes() != hash {
            return None;
        }
        let (made, rest): (Key, &[u8]) = postcard::take_from_bytes(body).ok()?;
        if !made.same_program(key) {
            return None;
        }
        let kept: Kept<'static> = postcard::from_bytes(rest).ok()?;
        (kept.groups.len() == kept.unseen.len()).then_some((made == *key, kept))
    }

    /// Writes it beside the CSV file, whole or not at all.
    fn write(&self, table: &Path, key: &Key) -> io::Result<()> {
        let body = postcard::to_stdvec(&(key, self)).expect("plain data serializes");
        disk::write_whole(&place(table), &[fingerprint::of_bytes(&body).as_bytes(), body.as_slice()].concat())
    }

    /// The groups, whole again.
    fn groups(groups: Cow<'_, [Group]>, unseen: Vec<Unseen<'_>>) -> Vec<Group> {
        let whole = |(group, unseen): (Group, Unseen<'_>)| Group {
            inputs: unseen.inputs.into_owned(),
            step_order: unseen.step_order.into_owned(),
            ..group
        };
        groups.into_owned().into_iter().zip(unseen).map(whole).collect()
    }

    fn analysis(self) -> Analysis {
        Analysis {
            chosen: None,
            validity: self.validity.into_owned(),
            groups: Self::groups(self.groups, self.unseen),
            speedups: self.speedups.into_owned(),
            roofline: self.roofline.into_owned(),
            findings: self.findings.into_owned(),
            scores: Vec::new(),
            unscored: Vec::new(),
        }
    }

    fn known(self) -> Known {
        let groups = Self::groups(self.groups, self.unseen);
        groups.into_iter().map(|group| (group.inputs.clone(), group)).collect()
    }
}

/// Where the analysis of a CSV file is kept.
fn place(table: &Path) -> PathBuf {
    table.with_file_name(FILE)
}

#[cfg(test)]
mod tests {
    use super::super::analyze;
    use super::super::testing::case;
    use super::*;
    use crate::collate::rows;
    use crate::progress::Silent;
    use crate::record::testing::{Dir, samples};
    use crate::record::{Series, read_log};

    /// A folder with an all.csv of these series.
    fn folder(series: &[Series]) -> (Dir, PathBuf) {
        let dir = Dir::new();
        let table = dir.path().join("all.csv");
        write(&table, series);
        (dir, table)
    }

    fn write(table: &Path, series: &[Series]) {
        let mut text = rows::header().into_bytes();
        for (i, one) in series.iter().enumerate() {
            rows::write_series(&mut text, one, &format!("{i}.txt"));
        }
        fs::write(table, text).unwrap();
    }

    fn two() -> Vec<Series> {
        let mut all = case("float16", "run", &[2.0, 2.1, 2.0, 2.2, 2.0, 2.1]);
        all.extend(case("int8", "run", &[1.0, 1.1, 1.0, 1.2, 1.0, 1.1]));
        all
    }

    fn of(table: &Path) -> Analysis {
        of_table(table, &Silent).unwrap()
    }

    /// All of an analysis, to the last bit.
    fn told(analysis: &Analysis) -> String {
        let unseen: Vec<_> = analysis.groups.iter().map(|group| (&group.inputs, &group.step_order)).collect();
        serde_json::to_string(&(analysis, unseen)).unwrap()
    }

    #[test]
    fn what_is_kept_is_what_was_made() {
        let logs = samples();
        let mut all: Vec<Series> =
            logs.iter().flat_map(|log| read_log(&log.bytes, Path::new(log.name)).unwrap().series).collect();
        all.extend(two());
        let (_dir, table) = folder(&all);
        assert!(stored(&table).is_none());
        let made = of(&table);
        let fresh = analyze(&collate::read::read(&table).unwrap());
        assert_eq!(told(&made), told(&fresh));
        assert_eq!(told(&stored(&table).unwrap()), told(&fresh));
        assert_eq!(told(&of(&table)), told(&fresh));
    }

    #[test]
    fn an_edited_table_is_analyzed_anew() {
        let mut all = two();
        let (_dir, table) = folder(&all);
        of(&table);
        all[0].steps[1].total_ms = Some(9.0);
        write(&table, &all);
        assert!(stored(&table).is_none());
        assert_eq!(told(&of(&table)), told(&analyze(&collate::read::read(&table).unwrap())));
        assert!(stored(&table).is_some());
    }

    #[test]
    fn what_is_damaged_or_of_another_program_is_made_anew() {
        let (_dir, table) = folder(&two());
        let made = told(&of(&table));
        let whole = fs::read(place(&table)).unwrap();
        for at in (0..whole.len()).step_by(97) {
            let mut damaged = whole.clone();
            damaged[at] ^= 0x10;
            fs::write(place(&table), damaged).unwrap();
            assert!(stored(&table).is_none(), "byte {at}");
        }
        fs::write(place(&table), &whole[..whole.len() / 2]).unwrap();
        assert_eq!(told(&of(&table)), made);
        assert_eq!(fs::read(place(&table)).unwrap(), whole);
        let analysis = stored(&table).unwrap();
        let other = Key { version: "another".into(), ..Key::of(&table).unwrap() };
        Kept::of(&analysis).write(&table, &other).unwrap();
        assert!(stored(&table).is_none());
    }
}
