//! Where every case stands: what the journal says, as far as the raw logs bear it out, and what the logs say that the
//! journal does not know yet.

use super::journal::{Entry, Finish, Journal};
use super::{Place, Result, Stored, logs};
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

/// Where a case stands.
#[derive(Debug, Clone, PartialEq)]
pub struct Standing {
    /// How it ended.
    pub finish: Finish,
    /// Its raw log's name.
    pub log: String,
    /// Why it failed.
    pub reason: Option<String>,
    /// Time that it took, s.
    pub seconds: Option<f64>,
    /// Mean decode speed, tokens/s.
    pub decode_tok_s: Option<f64>,
}

/// All cases that have ended, by their hash in the plan.
#[derive(Debug, Clone, Default)]
pub struct State {
    ended: HashMap<String, Standing>,
    /// Finished logs beside the one by which a case stands: what `--again` measured counts together.
    others: Arc<HashMap<String, Vec<String>>>,
    /// The machine whose cases are looked at, where every machine measures the whole matrix.
    host: Option<String>,
}

/// Numbers of cases.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize)]
pub struct Tally {
    /// In the plan.
    pub total: usize,
    /// Measured.
    pub ok: usize,
    /// Failed.
    pub failed: usize,
    /// Never started.
    pub skipped: usize,
    /// Still to be measured.
    pub open: usize,
}

impl std::ops::AddAssign for Tally {
    fn add_assign(&mut self, other: Tally) {
        self.total += other.total;
        self.ok += other.ok;
        self.failed += other.failed;
        self.skipped += other.skipped;
        self.open += other.open;
    }
}

impl State {
    /// Reads journal and logs. A case whose log has gone is open again.
    ///
    /// # Errors
    /// A folder cannot be read.
    pub fn read(place: &Place) -> Result<State> {
        let output = place.output();
        let names = logs::names(&output)?;
        let entries = Journal::read(place)?;
        let mut state = State::default();
        let mut known: HashSet<&str> = HashSet::new();
        let mut others: HashMap<String, Vec<String>> = HashMap::new();
        for entry in &entries {
            let Entry::Done { case, finish, log, reason, seconds, decode_tok_s } = entry else { continue };
            known.insert(log);
            if names.contains(log) {
                let standing = Standing {
                    finish: *finish,
                    log: log.clone(),
                    reason: reason.clone(),
                    seconds: *seconds,
                    decode_tok_s: *decode_tok_s,
                };
                let before = state.ended.insert(case.clone(), standing).filter(|before| before.log != *log);
                if let Some(before) = before {
                    others.entry(case.clone()).or_default().push(before.log);
                }
            }
        }
        for found in logs::unknown(&output, &names, &known)? {
            let logs::Found { name, case, finish, reason } = found;
            if state.ended.contains_key(&case) {
                others.entry(case).or_default().push(name);
                continue;
            }
            state.ended.insert(case, Standing { finish, log: name, reason, seconds: None, decode_tok_s: None });
        }
        state.others = Arc::new(others);
        Ok(state)
    }

    /// The same cases as they stand on one machine, where every machine measures all of them.
    pub fn on_host(&self, host: Option<&str>) -> State {
        State { ended: self.ended.clone(), others: Arc::clone(&self.others), host: host.map(str::to_owned) }
    }

    /// Why cases failed or were skipped.
    pub fn reasons(&self) -> impl Iterator<Item = &str> {
        self.ended.values().filter_map(|standing| standing.reason.as_deref())
    }

    /// The name under which journal and logs know a case.
    pub fn key(&self, case: &str) -> String {
        match &self.host {
            Some(host) => format!("{case}@{host}"),
            None => case.to_owned(),
        }
    }

    /// Where the case stands; `None` if it has not ended.
    pub fn of(&self, case: &str) -> Option<&Standing> {
        match self.host {
            Some(_) => self.ended.get(&self.key(case)),
            None => self.ended.get(case),
        }
    }

    /// Names of the case's further finished logs, as far as they were there when this was read.
    pub fn others(&self, case: &str) -> &[String] {
        self.others.get(&self.key(case)).map(Vec::as_slice).unwrap_or_default()
    }

    /// Notes what became of a case.
    pub fn end(&mut self, case: &str, standing: Standing) {
        self.ended.insert(self.key(case), standing);
    }

    /// Forgets a case: it is open again.
    pub fn reopen(&mut self, case: &str) -> Option<Standing> {
        self.ended.remove(&self.key(case))
    }

    /// The plan's cases, counted.
    pub fn tally(&self, stored: &Stored) -> Tally {
        let mut tally = Tally { total: stored.cases(), ..Tally::default() };
        for planned in stored.blocks.iter().flat_map(|block| &block.cases) {
            match self.of(&planned.hash).map(|standing| standing.finish) {
                Some(Finish::Ok) => tally.ok += 1,
                Some(Finish::Failed) => tally.failed += 1,
                Some(Finish::Skipped) => tally.skipped += 1,
                None => tally.open += 1,
            }
        }
        tally
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::testing::Dir;

    fn done(log: &str) -> Entry {
        let (case, log) = ("c@n1".to_owned(), log.to_owned());
        Entry::Done { case, finish: Finish::Ok, log, reason: None, seconds: None, decode_tok_s: None }
    }

    #[test]
    fn a_case_stands_by_its_last_log_and_the_others_are_known() {
        let dir = Dir::new();
        let place = Place::new(dir.path());
        std::fs::create_dir_all(place.output()).unwrap();
        let log = |name: &str, text: &str| std::fs::write(place.output().join(name), text).unwrap();
        ["a.txt", "b.txt"].iter().for_each(|name| log(name, ""));
        log("c.txt", "tokometer-log: 1\nsweep_case: c@n1\n\n");
        // One has gone, one was written down twice.
        Journal::new(&place).append(&["a.txt", "gone.txt", "b.txt", "b.txt"].map(done)).unwrap();
        let state = State::read(&place).unwrap().on_host(Some("n1"));
        assert_eq!(state.of("c").map(|standing| standing.log.as_str()), Some("b.txt"));
        assert_eq!(state.others("c"), ["a.txt", "c.txt"]);
        assert!(state.on_host(None).others("c").is_empty());
    }
}
