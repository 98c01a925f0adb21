//! Finished cases that were measured with another version of their engine, or with a model whose files have changed since:
//! they are told, and stay as they are until they are asked for again.

use super::prepare::Shelf;
use crate::commands::Session;
use std::collections::BTreeMap;
use tokometer_core::plan::sweep::Planned;
use tokometer_core::plan::{Case, ModelRef};
use tokometer_core::prepare::{self, SourceFile};
use tokometer_core::sweep::{Finish, Origin, Place, State, Stored};

/// Cases that are listed by name for each reason.
const LISTED: usize = 3;

/// Tells in one line which finished cases of the plan these are. Their engines' workers are looked for on `shelf`.
pub fn tell(session: &Session<'_>, place: &Place, stored: &Stored, state: &State, shelf: &mut Shelf) {
    let cases = stored.blocks.iter().flat_map(|block| &block.cases);
    let finished: Vec<(&Planned, &str)> = cases
        .filter_map(|planned| {
            let standing = state.of(&planned.hash).filter(|standing| standing.finish == Finish::Ok)?;
            Some((planned, standing.log.as_str()))
        })
        .collect();
    let logs: Vec<&str> = finished.iter().map(|(_, log)| *log).collect();
    let mut now = Now { session, shelf, files: BTreeMap::new() };
    let mut told: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for ((planned, _), origin) in finished.iter().zip(Origin::of_logs(place, &logs)) {
        let Some(origin) = origin else { continue };
        for reason in now.others(&planned.case, &origin) {
            told.entry(reason).or_default().push(planned.case.title());
        }
    }
    if !told.is_empty() {
        let parts: Vec<String> = told.iter().map(|(reason, titles)| format!("{reason}: {}", listed(titles))).collect();
        session.terminal.warn(&format!(
            "finished cases count although their engine or model is another now (`tokometer sweep --again` with the options of \
             this sweep measures finished cases anew): {}",
            parts.join("; ")
        ));
    }
}

/// Says that it is not looked for, where something has been measured.
pub fn tell_nothing(session: &Session<'_>, stored: &Stored, state: &State) {
    if stored.tally(state).ok > 0 {
        session.terminal.say(
            "whether finished cases are outdated is not looked at: something is measured on this machine, or its lock \
             cannot be used",
        );
    }
}

/// `a, b, c and 2 more`.
fn listed(titles: &[String]) -> String {
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
    /// What is another than it was.
    fn others(&mut self, case: &Case, origin: &Origin) -> Vec<String> {
        let mut others = Vec::new();
        self.shelf.look_for(self.session, &case.engine);
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
    use super::listed;

    #[test]
    fn of_many_cases_some_are_listed() {
        let titles: Vec<String> = ["a", "b", "c", "d", "e"].map(str::to_owned).to_vec();
        assert_eq!((listed(&titles[..3]), listed(&titles)), ("a, b, c".to_owned(), "a, b, c and 2 more".to_owned()));
    }
}
