//! Finished cases that were measured with another version of their engine, or with a model whose files have changed since:
//! they are told, and stay as they are until they are asked for again.

use super::prepare::Shelf;
use crate::args::Sweep;
use crate::commands::Session;
use std::collections::{BTreeMap, BTreeSet};
use tokometer_core::machine::Machine;
use tokometer_core::plan::sweep::Planned;
use tokometer_core::plan::{Case, ModelRef};
use tokometer_core::prepare::{self, SourceFile};
use tokometer_core::sweep::{Finish, Origin, Place, State, Stored};

/// Cases that are listed by name for each reason.
const LISTED: usize = 3;

/// What was found out of the finished cases.
#[derive(Debug, Default)]
pub struct Look {
    /// Those that are outdated, in the order of the plan.
    pub outdated: Vec<Outdated>,
    /// Engines of finished cases that tell no version on this machine.
    silent: BTreeSet<String>,
    /// That nobody looked, for something is measured on this machine.
    kept_off: bool,
}

/// A finished case that was measured with what is another now.
#[derive(Debug)]
pub struct Outdated {
    /// The name under which journal and logs know the case.
    pub key: String,
    /// What is another than it was, in words.
    pub reasons: Vec<String>,
    /// Names of its logs that are outdated.
    pub logs: Vec<String>,
    title: String,
}

/// A case with a measurement.
struct Measured<'a> {
    planned: &'a Planned,
    host: Option<&'a str>,
    key: String,
    /// Names of its finished logs; it stands by the first.
    logs: Vec<String>,
}

impl Look {
    /// Looks at all finished cases of the plan, but those that another machine measured, unless `of_all_machines`: its engines
    /// cannot be asked here. Engines' workers are looked for on `shelf`. The caller holds the machine's lock.
    pub fn at(
        session: &Session<'_>,
        (place, stored, state): (&Place, &Stored, &State),
        shelf: &mut Shelf,
        of_all_machines: bool,
    ) -> Look {
        let here = Machine::this().hostname;
        let measured = measured(stored, state);
        let names: Vec<&str> = measured.iter().flat_map(|one| &one.logs).map(String::as_str).collect();
        let mut origins = Origin::of_logs(place, &names).into_iter();
        let mut now = Now { session, shelf, files: BTreeMap::new() };
        let mut look = Look::default();
        for one in measured {
            let case = &one.planned.case;
            now.shelf.look_for(session, &case.engine);
            let mut reasons: Vec<Vec<String>> = Vec::new();
            for origin in origins.by_ref().take(one.logs.len()) {
                let origin = origin.filter(|origin| of_all_machines || !origin.is_of_another_machine(&here));
                reasons.push(origin.map(|origin| now.others(case, &origin)).unwrap_or_default());
            }
            if now.shelf.version(&case.engine).is_empty() {
                look.silent.insert(case.engine.clone());
            }
            look.outdated.extend(Outdated::of(one, &reasons));
        }
        look
    }

    /// That nobody looked, where there are finished cases.
    pub fn kept_off(stored: &Stored, state: &State) -> Look {
        Look { kept_off: stored.tally(state).ok > 0, ..Look::default() }
    }

    /// What is to be said of it, a line each.
    pub fn lines(&self, options: &Sweep) -> Vec<String> {
        let mut lines = Vec::new();
        let on_nodes = options.on.is_some();
        if self.kept_off {
            lines.push(
                "whether finished cases are outdated is not looked at: something is measured on this machine, or its lock \
                 cannot be used"
                    .to_owned(),
            );
        }
        if !self.silent.is_empty() && (on_nodes || options.retry_outdated) {
            let names: Vec<&str> = self.silent.iter().map(String::as_str).collect();
            lines.push(format!(
                "{} tells no version on this machine: whether another one measured its finished cases is not known",
                names.join(", ")
            ));
        }
        if !self.outdated.is_empty() {
            let nodes = if on_nodes { " (this machine was asked; the nodes may have other versions)" } else { "" };
            lines.push(format!("{}{nodes}: {}", way(options), self.reasons()));
        }
        lines
    }

    /// Each reason with the cases that it is told of.
    fn reasons(&self) -> String {
        let mut told: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for one in &self.outdated {
            one.reasons.iter().for_each(|reason| told.entry(reason).or_default().push(&one.title));
        }
        let parts: Vec<String> = told.iter().map(|(reason, titles)| format!("{reason}: {}", listed(titles))).collect();
        parts.join("; ")
    }
}

/// What becomes of outdated cases.
fn way(options: &Sweep) -> String {
    if options.retry_outdated {
        return "measured anew, for their engine or model is another now, while the old logs are kept in \
                benchmark_output/superseded/"
            .to_owned();
    }
    let on = options.on.as_ref().map(|on| format!(" --on {on}")).unwrap_or_default();
    format!(
        "finished cases count although their engine or model is another now (`tokometer sweep --resume{on} \
         --retry-outdated` measures them anew)"
    )
}

impl Outdated {
    /// The case with what is another than it was for each of its logs, if it is so for the one by which it stands.
    fn of(one: Measured<'_>, reasons: &[Vec<String>]) -> Option<Outdated> {
        let own = reasons.first().filter(|own| !own.is_empty())?;
        let title = match one.host {
            Some(host) => format!("{} on {host}", one.planned.case.title()),
            None => one.planned.case.title(),
        };
        let logs = one.logs.into_iter().zip(reasons).filter(|(_, reasons)| !reasons.is_empty());
        Some(Outdated { key: one.key, reasons: own.clone(), logs: logs.map(|(log, _)| log).collect(), title })
    }
}

/// The finished cases of the plan, on every machine that measures all of it.
fn measured<'a>(stored: &'a Stored, state: &State) -> Vec<Measured<'a>> {
    let mut measured = Vec::new();
    for host in stored.machines() {
        let here = state.on_host(host);
        for planned in stored.blocks.iter().flat_map(|block| &block.cases) {
            let Some(standing) = here.of(&planned.hash).filter(|standing| standing.finish == Finish::Ok) else {
                continue;
            };
            let logs = std::iter::once(&standing.log).chain(here.others(&planned.hash)).cloned().collect();
            measured.push(Measured { planned, host, key: here.key(&planned.hash), logs });
        }
    }
    measured
}

/// `a, b, c and 2 more`.
fn listed(titles: &[&str]) -> String {
    let shown = titles[..titles.len().min(LISTED)].join(", ");
    match titles.len().saturating_sub(LISTED) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}

/// What there is now, each looked up once.
struct Now<'a> {
    session: &'a Session<'a>,
    shelf: &'a mut Shelf,
    files: BTreeMap<String, Option<Vec<SourceFile>>>,
}

impl Now<'_> {
    /// What is another than it was. The case's engine has been looked for.
    fn others(&mut self, case: &Case, origin: &Origin) -> Vec<String> {
        let mut others = Vec::new();
        let now = self.shelf.version(&case.engine);
        if let Some(then) = origin.other_version(now, case) {
            others.push(format!("{} {then} (now {now})", case.engine));
        }
        if !origin.files.is_empty() && self.files(&case.model).is_some_and(|files| *files != origin.files) {
            others.push(format!("{} before its files changed", case.model));
        }
        others
    }

    /// The files of a model that lies on this machine. One of the hub is not asked for here, and a made-up one stays the same.
    fn files(&mut self, model: &str) -> Option<&Vec<SourceFile>> {
        let session = self.session;
        let files = self.files.entry(model.to_owned()).or_insert_with(|| {
            let model = model.parse::<ModelRef>().ok()?;
            let local = matches!(model, ModelRef::Folder(_) | ModelRef::Gguf(_)).then_some(model)?;
            let source = prepare::resolve(&session.folders.store(), &local, session.terminal.progress()).ok()?;
            Some(source.info.files)
        });
        files.as_ref()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::args::{Args, Command};
    use clap::Parser;
    use tokometer_core::plan::{Settings, Workload};

    fn options(more: &[&str]) -> Sweep {
        let words = ["tokometer", "sweep"].iter().chain(more);
        match Args::try_parse_from(words).unwrap().command {
            Command::Sweep(sweep) => *sweep,
            other => panic!("{other:?}"),
        }
    }

    fn planned() -> Planned {
        let case = Case {
            engine: "mock".into(),
            model: "synthetic:tiny".into(),
            quantize: "nf4".into(),
            native: "mock-4".into(),
            workload: Workload::default(),
            settings: Settings::default(),
            seed: 42,
        };
        Planned { hash: case.hash(), case, refused: None }
    }

    fn outdated(reasons: [&[&str]; 3]) -> Option<Outdated> {
        let (planned, logs) = (planned(), ["last", "first", "second"].map(str::to_owned).to_vec());
        let one = Measured { planned: &planned, host: Some("n1"), key: "c@n1".into(), logs };
        let reasons = reasons.map(|texts| texts.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>());
        Outdated::of(one, &reasons)
    }

    #[test]
    fn a_case_is_outdated_as_its_last_log_is_and_takes_those_along_that_are_too() {
        let one = outdated([&["mock 1 (now 2)"], &["mock 0 (now 2)"], &[]]).unwrap();
        assert_eq!((one.key.as_str(), one.logs), ("c@n1", vec!["last".to_owned(), "first".to_owned()]));
        assert_eq!(one.reasons, ["mock 1 (now 2)"]);
        // What `--again` has measured since counts with it, as was asked for.
        assert!(outdated([&[], &["mock 0 (now 2)"], &[]]).is_none());
    }

    #[test]
    fn the_line_names_the_way_out_and_says_who_was_asked() {
        let look = Look { outdated: vec![outdated([&["mock 1 (now 2)"], &[], &[]]).unwrap()], ..Look::default() };
        let lines = look.lines(&options(&[]));
        assert_eq!(lines.len(), 1, "{lines:?}");
        let line = &lines[0];
        assert!(line.contains("`tokometer sweep --resume --retry-outdated` measures them anew"), "{line}");
        assert!(line.ends_with("): mock 1 (now 2): mock nf4 (mock-4) on n1") && !line.contains("nodes"), "{line}");
        let line = look.lines(&options(&["--on", "slurm"])).remove(0);
        assert!(
            line.contains("--resume --on slurm --retry-outdated") && line.contains("nodes may have other"),
            "{line}"
        );
        let line = look.lines(&options(&["--retry-outdated"])).remove(0);
        assert!(line.starts_with("measured anew") && line.contains("superseded"), "{line}");
    }

    #[test]
    fn an_engine_that_tells_no_version_is_named_where_that_matters() {
        let look = Look { silent: ["mock".to_owned()].into(), ..Look::default() };
        assert!(look.lines(&options(&[])).is_empty());
        assert!(look.lines(&options(&["--on", "slurm"]))[0].starts_with("mock tells no version on this machine"));
    }

    #[test]
    fn of_many_cases_some_are_listed() {
        let titles = ["a", "b", "c", "d", "e"];
        assert_eq!((listed(&titles[..3]), listed(&titles)), ("a, b, c".to_owned(), "a, b, c and 2 more".to_owned()));
    }
}
