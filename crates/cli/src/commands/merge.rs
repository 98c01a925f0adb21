//! `tokometer merge`: results of other machines come into the working folder.

use super::{OK, SOME_FAILED, Session, print_json};
use crate::args::Merge;
use anyhow::{Result, bail};
use serde_json::json;
use std::collections::BTreeMap;
use std::path::PathBuf;
use tokometer_core::collate::merge::{self, Merged};

/// The command.
pub fn merge(session: &Session<'_>, options: &Merge) -> Result<u8> {
    let wanted = merge::Options { dry_run: options.dry_run, anyway: options.anyway, names: names(&options.host)? };
    let merged = merge::merge(&session.folders.root, &options.dirs, &wanted, session.terminal.progress())?;
    if options.json {
        print_json(session.terminal, &json!({ "dry_run": options.dry_run, "folders": merged }))?;
    } else {
        merged.iter().for_each(|one| show(session, one, options.dry_run));
    }
    let refused = merged.iter().flat_map(|one| &one.refused);
    let mut all_taken = true;
    for one in refused {
        all_taken = false;
        session.terminal.error(&format!("{} is left out: {}", one.log.display(), one.reason));
    }
    if !options.json && !options.dry_run && merged.iter().any(|one| !one.copied.is_empty()) {
        session.terminal.say("`tokometer collate` makes the tables anew");
    }
    Ok(if all_taken { OK } else { SOME_FAILED })
}

fn show(session: &Session<'_>, one: &Merged, dry_run: bool) {
    let hosts: Vec<&str> = one.hosts.iter().map(String::as_str).collect();
    let from = if hosts.is_empty() { String::new() } else { format!(" of {}", hosts.join(", ")) };
    let verb = if dry_run { "would come along" } else { "came along" };
    let others = match one.others.len() {
        0 => String::new(),
        n => format!(", and {n} other file(s)"),
    };
    session.terminal.line(&format!(
        "{}: {} raw log(s){from} {verb}{others}; {} were here, {} left out",
        one.dir.display(),
        one.copied.len(),
        one.same,
        one.refused.len()
    ));
}

/// `DIR=NAME`, each folder once. A folder's own name may hold equals signs.
fn names(words: &[String]) -> Result<BTreeMap<PathBuf, String>> {
    let mut names = BTreeMap::new();
    for word in words {
        let (dir, name) = match word.rsplit_once('=') {
            Some((dir, name)) if !dir.is_empty() && !name.trim().is_empty() => (dir, name.trim()),
            _ => bail!("--host takes DIR=NAME, the folder as it is named behind `merge`; not {word:?}"),
        };
        if names.insert(PathBuf::from(dir), name.to_owned()).is_some() {
            bail!("--host names the machine of {dir} twice");
        }
    }
    Ok(names)
}

#[cfg(test)]
mod tests {
    use super::names;
    use std::path::Path;

    #[test]
    fn hosts_are_named_by_folder() {
        let told = names(&["a=b/=phone".to_owned(), "c=x".to_owned()]).unwrap();
        assert_eq!((told[Path::new("a=b")].as_str(), told[Path::new("c")].as_str()), ("phone", "x"));
        for words in [vec!["phone"], vec!["=x"], vec!["a="], vec!["a=x", "a/=y"]] {
            let words: Vec<String> = words.into_iter().map(str::to_owned).collect();
            assert!(names(&words).is_err(), "{words:?}");
        }
    }
}
