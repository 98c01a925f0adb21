//! Which logs a person means: a file; `latest` and the runs before it; the uuid of a log, the hash of a case, the name or the
//! label of a run in the working folder. `compare`, `show` and `rerun` all ask here.

use super::named::{Named, logs};
use super::runs::{Run, back, listed, over, runs};
use super::{Error, Result};
use crate::nearest;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// Characters of a uuid, a case or a run's name that may stand for the whole of it.
pub(super) const BEGINNING: usize = 4;

/// The logs that `name` means, in the order of their file names:
///
/// - a path, here or in `folder`;
/// - `latest`, `latest~1`, ...: those of the newest run in `folder`, of the one before it, ..., by the times in their headers.
///   A run that is still being measured is not counted, nor are cases that were never started;
/// - the uuid, case, run or label of logs in `folder`. Of a uuid, case or run the first four characters or more are enough.
///
/// # Errors
/// [`Error::Unknown`], [`Error::Ambiguous`], [`Error::Read`] when the folder cannot be read.
pub fn find(folder: &Path, name: &str) -> Result<Vec<PathBuf>> {
    for path in [PathBuf::from(name), folder.join(name)] {
        if path.is_file() {
            return Ok(vec![path]);
        }
    }
    let logs = logs(folder)?;
    let found = match back(name) {
        Some(n) => of_run(&logs, over(&logs).get(n)),
        None => called(&logs, name)?,
    };
    if found.is_empty() {
        return Err(Error::Unknown { name: name.to_owned(), folder: folder.to_path_buf(), hint: hint(name, &logs) });
    }
    Ok(found.into_iter().map(|log| log.path.clone()).collect())
}

/// The newest run in `folder` that has this label, if there is one.
///
/// # Errors
/// [`Error::Read`] when the folder cannot be read.
pub fn labelled(folder: &Path, label: &str) -> Result<Option<Run>> {
    Ok(runs(&logs(folder)?).into_iter().find(|run| run.label.as_deref() == Some(label)))
}

/// The logs of a run; none of none.
fn of_run<'a>(logs: &'a [Named], run: Option<&Run>) -> Vec<&'a Named> {
    let name = run.map(|run| run.name.as_str());
    logs.iter().filter(|log| log.run.is_some() && log.run.as_deref() == name).collect()
}

/// The logs that are called so, or whose names alone begin so.
fn called<'a>(logs: &'a [Named], name: &str) -> Result<Vec<&'a Named>> {
    let found: Vec<&Named> = logs.iter().filter(|log| log.is(name)).collect();
    if !found.is_empty() || name.chars().count() < BEGINNING {
        return Ok(found);
    }
    let begins = |log: &&Named| log.names.iter().any(|own| own.starts_with(name));
    let found: Vec<&Named> = logs.iter().filter(begins).collect();
    let meant: BTreeSet<&String> =
        found.iter().flat_map(|log| &log.names).filter(|own| own.starts_with(name)).collect();
    if meant.len() > 1 {
        return Err(Error::Ambiguous { name: name.to_owned(), found: meant.into_iter().cloned().collect() });
    }
    Ok(found)
}

/// What there is instead: the nearest names, and the newest runs.
fn hint(name: &str, logs: &[Named]) -> String {
    if logs.is_empty() {
        return ": it holds no raw log; `tokometer run` makes them".to_owned();
    }
    let newest = over(logs);
    let mut text = match back(name) {
        Some(_) => format!(": {} run(s) that are over are there", newest.len()),
        None => {
            let known: BTreeSet<&str> =
                logs.iter().flat_map(|log| log.names.iter().chain(&log.label)).map(String::as_str).collect();
            let near = nearest::nearest(name, known);
            match near.is_empty() {
                true => "; the uuids stand at the end of the logs' file names".to_owned(),
                false => format!("; did you mean {}?", near.join(" or ")),
            }
        }
    };
    if !newest.is_empty() {
        let end = if text.ends_with('?') { "" } else { "." };
        text.push_str(&format!("{end} The newest runs:{}", listed(&newest)));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::super::super::testing::{Dir, TINYGRAD, events, header, name as file_name};
    use super::super::super::writer::LogWriter;
    use super::*;
    use std::fs;

    fn log(dir: &Dir, file: &str, uuid: &str, run: &str) {
        let text = format!("tokometer-log: 1\nuuid: {uuid}\ncase: 0123456789ab\nrun: {run}\n\n{{\"uuid\": 1}}\n");
        fs::write(dir.path().join(file), text).unwrap();
    }

    /// A log of a run that began in that minute.
    fn dated(dir: &Dir, file: &str, run: &str, minute: u32, label: &str) {
        let label = if label.is_empty() { String::new() } else { format!("label: {label}\n") };
        let time = format!("started_utc: 2026-11-24T01:{minute:02}:00.000Z");
        let text = format!("tokometer-log: 1\nengine_version: 1\n{time}\nuuid: {run}\nrun: {run}\n{label}\n");
        fs::write(dir.path().join(file), text).unwrap();
    }

    fn files(dir: &Dir, name: &str) -> Vec<String> {
        let found = find(dir.path(), name).unwrap();
        found.iter().map(|path| path.file_name().unwrap().to_string_lossy().into_owned()).collect()
    }

    #[test]
    fn a_log_has_several_names() {
        let dir = Dir::new();
        log(&dir, "a.txt", "aaaa0001", "77770001");
        log(&dir, "b.txt", "aaaa0002", "77770001");
        log(&dir, "c.txt.partial", "cccc0003", "77770002");
        fs::write(dir.path().join("old.txt"), "seed = 42\n").unwrap();
        assert_eq!(files(&dir, "a.txt"), ["a.txt"]);
        assert_eq!(files(&dir, "aaaa0002"), ["b.txt"]);
        assert_eq!(files(&dir, "77770001"), ["a.txt", "b.txt"]);
        assert_eq!(files(&dir, "0123456789ab").len(), 3);
        assert_eq!(files(&dir, "cccc"), ["c.txt.partial"]);
        let whole = dir.path().join("b.txt");
        assert_eq!(find(Path::new("nowhere"), whole.to_str().unwrap()).unwrap(), [whole]);
    }

    #[test]
    fn a_log_that_was_copied_before_and_after_its_end_is_one() {
        let dir = Dir::new();
        dated(&dir, "a.txt.partial", "77770001", 10, "twice");
        dated(&dir, "a.txt", "77770001", 10, "twice");
        assert_eq!(files(&dir, "twice"), ["a.txt"]);
        assert_eq!(files(&dir, "latest"), ["a.txt"]);
    }

    #[test]
    fn a_run_whose_first_start_failed_counts_and_one_that_was_never_started_does_not() {
        let dir = Dir::new();
        for (file, run, minute, more) in [
            ("a.txt", "77770001", 10, "engine_version: 1\n"),
            ("b.txt", "77770002", 20, "began: failed\n"),
            ("c.txt", "77770003", 30, ""),
        ] {
            let time = format!("started_utc: 2026-11-24T01:{minute}:00.000Z");
            let text = format!("tokometer-log: 1\n{more}{time}\nuuid: {run}\nrun: {run}\n\n");
            fs::write(dir.path().join(file), text).unwrap();
        }
        assert_eq!(files(&dir, "latest"), ["b.txt"]);
        assert_eq!(files(&dir, "latest~1"), ["a.txt"]);
    }

    #[test]
    fn what_is_not_there_or_not_clear_is_refused_with_a_way_out() {
        let dir = Dir::new();
        log(&dir, "a.txt", "aaaa0001", "77770001");
        log(&dir, "b.txt", "aaaa0002", "77770001");
        let error = |name: &str| find(dir.path(), name).unwrap_err().to_string();
        assert!(error("aaaa").contains("aaaa0001, aaaa0002"), "{}", error("aaaa"));
        assert!(error("aaab0001").contains("did you mean aaaa0001"), "{}", error("aaab0001"));
        // Three characters are a guess.
        assert!(error("777").contains("no raw log, uuid, case, run or label"), "{}", error("777"));
        let nothing = find(Path::new("no/folder"), "x").unwrap_err().to_string();
        assert!(nothing.contains("tokometer run"), "{nothing}");
    }

    #[test]
    fn the_newest_run_is_that_of_the_latest_time_in_its_logs() {
        let dir = Dir::new();
        // Neither the order of the names nor that of the files' dates.
        dated(&dir, "b.txt", "77770003", 30, "");
        dated(&dir, "c.txt", "77770002", 20, "after");
        dated(&dir, "d.txt", "77770002", 21, "after");
        dated(&dir, "a.txt", "77770001", 10, "before");
        assert_eq!(files(&dir, "latest"), ["b.txt"]);
        assert_eq!(files(&dir, "latest~1"), ["c.txt", "d.txt"]);
        assert_eq!(files(&dir, "latest~"), files(&dir, "latest~1"));
        assert_eq!(files(&dir, "latest~2"), ["a.txt"]);
        let old = fs::File::options().append(true).open(dir.path().join("a.txt")).unwrap();
        old.set_modified(std::time::SystemTime::now() + std::time::Duration::from_secs(3600)).unwrap();
        assert_eq!(files(&dir, "latest"), ["b.txt"]);
        let error = find(dir.path(), "latest~3").unwrap_err().to_string();
        assert!(error.contains(": 3 run(s)") && error.contains("latest~2   run 77770001"), "{error}");
    }

    #[test]
    fn a_label_means_all_logs_that_have_it_and_is_written_out() {
        let dir = Dir::new();
        dated(&dir, "a.txt", "77770001", 10, "before-upgrade");
        dated(&dir, "b.txt", "77770002", 20, "after-upgrade");
        dated(&dir, "c.txt", "77770002", 20, "after-upgrade");
        assert_eq!(files(&dir, "before-upgrade"), ["a.txt"]);
        assert_eq!(files(&dir, "after-upgrade"), ["b.txt", "c.txt"]);
        let error = find(dir.path(), "befor-upgrade").unwrap_err().to_string();
        assert!(error.contains("did you mean before-upgrade"), "{error}");
        assert!(error.contains("latest     run 77770002") && error.contains("2 logs, after-upgrade"), "{error}");
        // The beginning of a label is none.
        assert!(find(dir.path(), "before").is_err());
        assert_eq!(labelled(dir.path(), "after-upgrade").unwrap().unwrap().name, "77770002");
        assert_eq!(labelled(dir.path(), "77770002").unwrap(), None);
    }

    #[test]
    fn a_run_that_is_being_measured_is_not_the_latest() {
        let dir = Dir::new();
        dated(&dir, "a.txt", "77770001", 10, "");
        let mut own = header();
        let more = [("engine_version", "1"), ("run", "77770002"), ("started_utc", "2026-11-24T02:00:00.000Z")];
        own.extend(more.map(|(key, value)| (key.to_owned(), value.to_owned())));
        let mut writer = LogWriter::create(dir.path(), &file_name("host"), &own).unwrap();
        events().iter().for_each(|event| writer.append(event).unwrap());
        assert_eq!(files(&dir, "latest"), ["a.txt"]);
        assert_eq!(files(&dir, "77770002").len(), 1);
        let done = writer.finish("ok").unwrap();
        assert_eq!(find(dir.path(), "latest").unwrap(), [done]);
    }

    #[test]
    fn logs_of_other_tools_are_called_by_their_uuids_alone() {
        let dir = Dir::new();
        fs::write(dir.path().join("softmacs_1B_int8_seed42_uuid864c4aef.txt"), TINYGRAD).unwrap();
        assert_eq!(files(&dir, "864c4aef"), ["softmacs_1B_int8_seed42_uuid864c4aef.txt"]);
        assert!(find(dir.path(), "latest").is_err());
    }
}
