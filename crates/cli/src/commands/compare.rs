//! `tokometer compare`: two sets of measurements, a ratio and a word for each case.

use super::{OK, REGRESSION, Session, beside, print_json, ratios, validity};
use crate::args::Compare;
use crate::terminal::Style;
use anyhow::{Context, Result, bail};
use serde_json::json;
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use tokometer_core::analyze::versus::{Pair, Versus, failed_in, pairs, versus};
use tokometer_core::analyze::{self, Gatherer, Group, Judge, METRICS, Metric, Validity, Verdict, resources};
use tokometer_core::collate::{self, hosts::Hosts};
use tokometer_core::record::writer::is_being_written;
use tokometer_core::record::{Input, provenance, read_each};

/// The command.
pub fn compare(session: &Session<'_>, options: &Compare) -> Result<u8> {
    let (Set { groups: a, validity: of_a }, Set { groups: b, validity: of_b }) =
        (set(session, &options.a)?, set(session, &options.b)?);
    measured(&a, &options.a)?;
    let metrics = metrics(&options.metric)?;
    let judge = Judge { within: options.within, ..Judge::default() };
    let limit = options.fail_above;
    let pairs = pairs(&a, &b);
    let alone = Alone::of(&a, &b, &pairs, limit);
    // That everything failed is a result where it is asked for.
    if alone.failed.is_empty() {
        measured(&b, &options.b)?;
        if pairs.is_empty() {
            bail!("{} and {} have no engine and quantization in common; nothing can be compared", options.a, options.b);
        }
    }
    let found = versus(&a, &b, &pairs, &metrics, &judge, options.anyway);
    let judge = Judge { comparisons: found.len(), ..judge };
    let regressions = regressions(&found, &judge, limit);
    let obstacles: Vec<String> = pairs
        .iter()
        .flat_map(|pair| pair.obstacles.iter().map(|text| format!("{}: {text}", a[pair.a].short_label())))
        .collect();
    if !obstacles.is_empty() && !options.anyway {
        bail!(
            "these do not compare the same thing, `--anyway` shows the ratios all the same:\n  {}",
            obstacles.join("\n  ")
        );
    }
    alone.tell(session, &a, &b);
    let resources = resources(&a, &b, &pairs);
    let code = if regressions.is_empty() && alone.failed.is_empty() { OK } else { REGRESSION };
    if options.json {
        let groups = |set: &[Group]| set.iter().map(|g| json!({"key": g.key, "uuids": g.uuids})).collect::<Vec<_>>();
        let value = json!({
            "a": groups(&a), "b": groups(&b), "pairs": pairs, "ratios": found, "judge": judge, "fail_above": limit,
            "regressions": regressions, "failed": alone.failed, "missing": alone.missing, "resources": resources,
            "validity": {"a": of_a, "b": of_b},
        });
        print_json(session.terminal, &value)?;
        return Ok(code);
    }
    for (name, runs) in [(&options.a, &of_a), (&options.b, &of_b)] {
        validity::of_set(session, name, runs);
    }
    tell_differences(session, &a, &b, &pairs);
    if !found.is_empty() {
        ratios::show(session, (a.as_slice(), b.as_slice()), &pairs, &found, &judge);
    }
    beside::show(session, &a, &pairs, &resources);
    let Some(limit) = limit else { return Ok(OK) };
    for i in &regressions {
        let versus = &found[*i];
        let what = a[pairs[versus.pair].a].short_label();
        session.terminal.error(&format!("{what}: {} is slower by more than {}", versus.metric, percent(limit)));
    }
    if code == OK {
        session.terminal.line(&format!("no case is established to be slower by more than {}", percent(limit)));
    }
    Ok(code)
}

/// Cases that the first set measured and that have no counterpart in the second, by index. None where no limit was asked
/// for: then nothing is promised of them.
#[derive(Default)]
struct Alone {
    /// The second set asked for them, and they failed.
    failed: Vec<usize>,
    /// The second set does not hold them.
    missing: Vec<usize>,
}

impl Alone {
    fn of(a: &[Group], b: &[Group], pairs: &[Pair], limit: Option<f64>) -> Alone {
        if limit.is_none() {
            return Alone::default();
        }
        let used: BTreeSet<usize> = pairs.iter().map(|pair| pair.a).collect();
        let alone = (0..a.len()).filter(|i| !used.contains(i) && !a[*i].repetitions.is_empty());
        let (failed, missing) = alone.partition(|i| failed_in(b, &a[*i]).is_some());
        Alone { failed, missing }
    }

    /// Says so on stderr: who asks for an exit code reads nothing else.
    fn tell(&self, session: &Session<'_>, a: &[Group], b: &[Group]) {
        for group in self.failed.iter().map(|i| &a[*i]) {
            let reason = failed_in(b, group).and_then(|failed| failed.failures.first());
            let reason = reason.and_then(|text| text.lines().next()).unwrap_or_default();
            let text = "measured in the first set, failed in the second";
            session.terminal.error(&format!("{}: {text}: {reason}", group.short_label()));
        }
        for group in self.missing.iter().map(|i| &a[*i]) {
            let text = "measured in the first set and not in the second: whether it became slower is not known";
            session.terminal.warn(&format!("{}: {text}", group.short_label()));
        }
    }
}

fn metrics(names: &[String]) -> Result<Vec<&'static Metric>> {
    if names.is_empty() {
        return Ok(METRICS.iter().take(2).collect());
    }
    names.iter().map(|name| Metric::named(name).map_err(anyhow::Error::msg)).collect()
}

/// The established regressions, by index.
fn regressions(found: &[Versus], judge: &Judge, limit: Option<f64>) -> Vec<usize> {
    let Some(limit) = limit else { return Vec::new() };
    let beyond = |versus: &Versus| {
        let speed = METRICS.iter().any(|metric| metric.name == versus.metric && metric.speed);
        let sure = !matches!(versus.ratio.verdict, Verdict::OneLaunch | Verdict::NoInterval | Verdict::OtherConditions);
        sure && versus.ratio.interval.is_some_and(|interval| judge.slower_than(interval, speed, limit))
    };
    (0..found.len()).filter(|i| beyond(&found[*i])).collect()
}

/// What was measured.
struct Set {
    groups: Vec<Group>,
    /// Whether its figures can be believed, by run.
    validity: Vec<Validity>,
}

impl Set {
    fn of(gatherer: Gatherer) -> Set {
        let (validity, groups) = gatherer.judged();
        Set { groups, validity }
    }
}

/// The measurements that a word on the command line means: a folder, a CSV file, or raw logs by what they are called.
fn set(session: &Session<'_>, word: &str) -> Result<Set> {
    let path = Path::new(word);
    if path.is_dir() {
        folder(session, path)
    } else if path.is_file() {
        file(session, path)
    } else {
        let found = provenance::find(&session.folders.output(), word);
        let logs = found.with_context(|| format!("{word} is neither a file nor a folder"))?;
        match logs.as_slice() {
            // By its name in the folder of the logs.
            [one] => file(session, one),
            several => raw(several),
        }
    }
}

/// Refuses a set in which nothing was measured; `word` is what it is called on the command line.
fn measured(groups: &[Group], word: &str) -> Result<()> {
    if groups.iter().all(|group| group.repetitions.is_empty()) {
        bail!("{word} holds no measurement");
    }
    Ok(())
}

fn folder(session: &Session<'_>, path: &Path) -> Result<Set> {
    let inner = path.join("benchmark_output");
    let logs = if inner.is_dir() { inner } else { path.to_path_buf() };
    let table = logs.join("all.csv");
    if !table.is_file() {
        let above = if logs == path { logs.parent().unwrap_or(path) } else { path };
        bail!("{} is not there; `tokometer --dir {} collate` makes it", table.display(), above.display());
    }
    file(session, &table)
}

fn file(session: &Session<'_>, path: &Path) -> Result<Set> {
    if path.extension().is_none_or(|extension| extension != "csv") {
        return raw(&[path.to_path_buf()]);
    }
    if let Some(analysis) = analyze::stored(path) {
        return Ok(Set { groups: analysis.groups, validity: analysis.validity });
    }
    let mut gatherer = Gatherer::default();
    let read = collate::read::read_each(path, session.terminal.progress(), |series| gatherer.push(&series));
    read.with_context(|| format!("cannot read {}", path.display()))?;
    Ok(Set::of(gatherer))
}

/// What raw logs of one folder hold, under the names that `hosts.toml` there gives to machines.
fn raw(logs: &[PathBuf]) -> Result<Set> {
    let folder = logs.first().and_then(|log| log.parent());
    let hosts = folder.map(Hosts::read).transpose()?.unwrap_or_default();
    let mut gatherer = Gatherer::default();
    for log in logs {
        if is_being_written(log) {
            bail!("{} is still being measured; compare when it is done", log.display());
        }
        let bytes = fs::read(log).with_context(|| format!("cannot read {}", log.display()))?;
        read_each(&Input::new(&bytes, log), &mut |mut series| {
            hosts.rename(&mut series.context);
            gatherer.push(&series);
        })?;
    }
    Ok(Set::of(gatherer))
}

fn tell_differences(session: &Session<'_>, a: &[Group], b: &[Group], pairs: &[Pair]) {
    let terminal = session.terminal;
    for pair in pairs {
        for (text, style) in pair
            .obstacles
            .iter()
            .map(|text| (text, Style::Red))
            .chain(pair.differences.iter().map(|text| (text, Style::Dim)))
        {
            terminal.paragraph(style, &format!("{}: {text}", a[pair.a].short_label()));
        }
    }
    let alone = |set: &[Group], used: &BTreeSet<usize>, which: &str| {
        let alone = (0..set.len()).filter(|i| !used.contains(i) && !set[*i].repetitions.is_empty());
        let missing: Vec<String> = alone.map(|i| set[i].short_label()).collect();
        if !missing.is_empty() {
            terminal.paragraph(Style::Dim, &format!("only in {which}: {}", missing.join(", ")));
        }
    };
    alone(a, &pairs.iter().map(|pair| pair.a).collect(), "the first");
    alone(b, &pairs.iter().map(|pair| pair.b).collect(), "the second");
}

fn percent(share: f64) -> String {
    format!("{}%", (share * 1e6).round() / 1e4)
}
