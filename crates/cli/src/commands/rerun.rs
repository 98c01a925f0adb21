//! `tokometer rerun`: an earlier measurement once more, in the working folder of now.

use super::{OK, SOME_FAILED, Session, again};
use crate::args::Rerun;
use anyhow::{Context, Result, bail};
use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;
use tokometer_core::machine::Machine;
use tokometer_core::record::provenance::{self, Provenance};
use tokometer_core::shell;

/// Options of the recorded command line that say where and under which name, not what.
const LEFT_OUT: &[&str] = &["--dir", "--label"];

/// The command.
pub fn rerun(session: &Session<'_>, options: &Rerun) -> Result<u8> {
    let terminal = session.terminal;
    let logs = provenance::find(&session.folders.output(), &options.run)?;
    let all = logs.iter().map(|log| provenance::read(log)).collect::<provenance::Result<Vec<Provenance>>>()?;
    let mut words = the_one(&options.run, &all, &session.folders.root)?;
    if let Some(edited) = all.iter().find(|one| one.check.is_edited()) {
        terminal.error(&format!(
            "{} is not as it was written: {}; its command line is not run. If you trust it: {}",
            edited.log.display(),
            edited.check.problems.join("; "),
            shell::line(&again::line(edited))
        ));
        return Ok(SOME_FAILED);
    }
    words.extend(options.label.iter().flat_map(|label| ["--label".to_owned(), label.clone()]));
    for difference in all.first().map(differences).unwrap_or_default() {
        terminal.warn(&difference);
    }
    let line = shell::line(&[vec!["tokometer".to_owned()], words.clone()].concat());
    if options.dry_run {
        terminal.line(&line);
        return Ok(OK);
    }
    terminal.say(&line);
    let program = std::env::current_exe().context("cannot find this program to run it again")?;
    run(Command::new(program).args(words))
}

/// The words behind the program's name that measure all logs again, in the working folder of now: see [`here`].
fn the_one(name: &str, all: &[Provenance], root: &Path) -> Result<Vec<String>> {
    let lines = all.iter().map(again::line).filter(|line| !line.is_empty());
    let lines: BTreeSet<Vec<String>> = lines.map(|line| here(&line, root)).collect();
    match lines.into_iter().collect::<Vec<_>>().as_slice() {
        [one] => Ok(one.clone()),
        [] => bail!("no command line is recorded for {name:?}: the run was cut off before it began"),
        several => {
            let lines: Vec<String> = several.iter().map(|line| format!("  tokometer {}", shell::line(line))).collect();
            bail!("{name:?} was measured by {} command lines; name one log:\n{}", several.len(), lines.join("\n"))
        }
    }
}

/// The words behind the program's name, in the working folder of now and without the label of then.
fn here(recorded: &[String], root: &Path) -> Vec<String> {
    let mut words = vec!["--dir".to_owned(), root.display().to_string()];
    let mut rest = recorded.iter().skip(1);
    while let Some(word) = rest.next() {
        match word.split_once('=') {
            Some((option, _)) if LEFT_OUT.contains(&option) => (),
            None if LEFT_OUT.contains(&word.as_str()) => {
                rest.next();
            }
            _ => words.push(word.clone()),
        }
    }
    words
}

/// In what the machine of now is another one, in words.
fn differences(one: &Provenance) -> Vec<String> {
    let Ok(then) = serde_json::from_value::<Machine>(one.machine.clone()) else { return Vec::new() };
    let now = Machine::this();
    let pairs = [
        ("the machine", then.hostname.clone(), now.hostname.clone()),
        ("the processor", then.cpu.clone().unwrap_or_default(), now.cpu.clone().unwrap_or_default()),
        ("the kernel", then.release.clone(), now.release.clone()),
    ];
    let differ = pairs.into_iter().filter(|(_, then, now)| !then.is_empty() && then != now);
    differ.map(|(what, then, now)| format!("{what} was {then} then and is {now} now")).collect()
}

/// Becomes the other program: signals and exit code are its own.
#[cfg(unix)]
fn run(command: &mut Command) -> Result<u8> {
    use std::os::unix::process::CommandExt;
    Err(command.exec()).context("cannot run this program again")
}

#[cfg(not(unix))]
fn run(command: &mut Command) -> Result<u8> {
    let status = command.status().context("cannot run this program again")?;
    Ok(status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<String> {
        text.split(' ').map(str::to_owned).collect()
    }

    #[test]
    fn the_folder_is_that_of_now_the_label_stays_behind_and_all_else_is_kept() {
        for recorded in [
            "tokometer --dir old run --model m --quantize nf4,int8",
            "tokometer run --model m --dir=old --quantize nf4,int8",
            "tokometer run --model m --quantize nf4,int8 --dir old",
            "tokometer run --label before --model m --quantize nf4,int8",
            "tokometer --dir=old run --model m --label=before --quantize nf4,int8",
        ] {
            let found = here(&words(recorded), Path::new("new"));
            assert_eq!(found, words("--dir new run --model m --quantize nf4,int8"), "{recorded}");
        }
    }

    #[test]
    fn one_command_line_is_run_and_several_are_named() {
        let log = |command: &str| Provenance { command: words(command), ..Provenance::default() };
        let same = [log("tokometer run a"), log("tokometer run a")];
        let the_one = |all: &[Provenance]| the_one("x", all, Path::new("."));
        assert_eq!(the_one(&same).unwrap(), words("--dir . run a"));
        // The label is no part of what was measured, nor is the folder.
        let labels = [log("tokometer run a --label before"), log("tokometer --dir b run a --label after")];
        assert_eq!(the_one(&labels).unwrap(), words("--dir . run a"));
        let error = the_one(&[log("tokometer run a"), log("tokometer run b")]).unwrap_err().to_string();
        assert!(error.contains("2 command lines") && error.contains("tokometer --dir . run b"), "{error}");
        assert!(the_one(&[Provenance::default()]).is_err());
    }
}
