//! A choice among cases: `KEY=VALUE[,VALUE]`, as `--only` takes it. Several keys all count, of the values of one key any does.

use super::{Group, GroupKey};
use crate::nearest;
use std::collections::BTreeSet;

/// Something that cases are chosen by.
#[derive(Debug)]
struct Key {
    /// As it is typed.
    name: &'static str,
    /// The words that a case answers to.
    words: fn(&GroupKey) -> Vec<String>,
    /// Whether the words are whole numbers.
    number: bool,
}

/// All that cases can be chosen by.
const KEYS: &[Key] = &[
    text("engine", |key| vec![key.engine.clone()]),
    text("model", |key| vec![key.model.clone()]),
    text("size", |key| vec![key.size.clone()]),
    text("quantize", |key| [Some(key.quantize.clone()), key.native_quantize.clone()].into_iter().flatten().collect()),
    text("host", |key| vec![key.host.clone()]),
    text("device", |key| vec![key.device.clone()]),
    number("prompt_tokens", |key| of_number(key.prompt_tokens)),
    number("gen_tokens", |key| of_number(key.gen_tokens)),
    number("depth", |key| of_number(key.depth)),
    number("threads", |key| of_number(key.threads)),
    number("batch", |key| of_number(key.batch)),
];

const fn text(name: &'static str, words: fn(&GroupKey) -> Vec<String>) -> Key {
    Key { name, words, number: false }
}

const fn number(name: &'static str, words: fn(&GroupKey) -> Vec<String>) -> Key {
    Key { name, words, number: true }
}

fn of_number(value: Option<u32>) -> Vec<String> {
    value.map(|n| n.to_string()).into_iter().collect()
}

/// Values that are named where nothing was chosen.
const NAMED: usize = 12;

/// A choice among cases.
#[derive(Debug, Default)]
pub struct Only {
    /// Each key once, with its values.
    wanted: Vec<(&'static Key, Vec<String>)>,
}

impl Only {
    /// Reads `KEY=VALUE[,VALUE]`, one word each. Hyphens in a key are as good as underscores.
    ///
    /// # Errors
    /// A word of another form, an unknown key, or a value that is no number where it should be one.
    pub fn parse<'a>(words: impl IntoIterator<Item = &'a str>) -> Result<Only, String> {
        let mut only = Only::default();
        for word in words {
            let (name, values) = word.split_once('=').ok_or_else(|| format!("{word:?} is not KEY=VALUE[,VALUE]"))?;
            let name = name.trim().replace('-', "_").to_lowercase();
            let names = KEYS.iter().map(|key| key.name);
            let key = KEYS.iter().find(|key| key.name == name);
            let key = key.ok_or_else(|| format!("cases have no {name:?}{}", nearest::hint(&name, names)))?;
            let values: Vec<String> = values.split(',').map(|value| value.trim().to_owned()).collect();
            if let Some(odd) =
                values.iter().find(|value| value.is_empty() || key.number && value.parse::<u32>().is_err())
            {
                let kind = if key.number { "a whole number" } else { "a value" };
                return Err(format!("{} takes {kind}, not {odd:?}", key.name));
            }
            match only.wanted.iter_mut().find(|(known, _)| known.name == key.name) {
                Some((_, known)) => known.extend(values),
                None => only.wanted.push((key, values)),
            }
        }
        Ok(only)
    }

    /// Whether it chooses everything.
    pub fn is_empty(&self) -> bool {
        self.wanted.is_empty()
    }

    /// Whether it chooses a case. Of one that failed before it was loaded, what is not known excludes nothing: a failure must
    /// not vanish.
    pub fn chooses(&self, group: &Group) -> bool {
        let lost = group.repetitions.is_empty() && !group.failures.is_empty();
        self.wanted.iter().all(|(key, values)| {
            let unknown = || (key.words)(&group.key).iter().all(|word| word == "unknown");
            agrees(key, values, &group.key) || lost && unknown()
        })
    }

    /// As it can be typed again: `--only depth=0 --only engine=llamacpp,tinygrad`.
    pub(super) fn words(&self) -> String {
        let words = self.wanted.iter().map(|(key, values)| format!("--only {}={}", key.name, values.join(",")));
        words.collect::<Vec<_>>().join(" ")
    }

    /// Why nothing was chosen of these: the values that there are of the first key that excludes all.
    pub(super) fn nothing(&self, groups: &[Group]) -> String {
        if groups.is_empty() {
            return "nothing was measured yet".to_owned();
        }
        for (key, values) in &self.wanted {
            if !groups.iter().any(|group| agrees(key, values, &group.key)) {
                let there: BTreeSet<String> = groups.iter().flat_map(|group| (key.words)(&group.key)).collect();
                let more = if there.len() > NAMED { ", ..." } else { "" };
                let shown: Vec<String> = there.into_iter().take(NAMED).collect();
                let shown = if shown.is_empty() { "none".to_owned() } else { shown.join(", ") };
                return format!("no case has {} {}; there are {shown}{more}", key.name, values.join(" or "));
            }
        }
        "no case has all of what --only asks for; single ones of these have some".to_owned()
    }
}

fn agrees(key: &Key, values: &[String], case: &GroupKey) -> bool {
    let same = |word: &str, value: &str| match (key.number, value.parse::<u32>()) {
        (true, Ok(number)) => word == number.to_string(),
        _ => word.eq_ignore_ascii_case(value),
    };
    (key.words)(case).iter().any(|word| values.iter().any(|value| same(word, value)))
}

#[cfg(test)]
mod tests {
    use super::super::testing::case;
    use super::super::{Analysis, analyze};
    use super::*;

    fn three() -> Analysis {
        let mut all = case("float16", "run", &[2.0; 6]);
        all.extend(case("int8", "run", &[1.0; 6]));
        for mut series in case("nf4", "other", &[0.5; 6]) {
            series.context.threads = Some(8);
            series.context.native_quantize = Some("Q4_K_M".into());
            all.push(series);
        }
        analyze(&all)
    }

    fn chosen(words: &[&str]) -> Result<Analysis, String> {
        three().only(&Only::parse(words.iter().copied())?)
    }

    fn labels(words: &[&str]) -> Vec<String> {
        chosen(words).unwrap().groups.into_iter().map(|group| group.key.quantize).collect()
    }

    #[test]
    fn keys_all_count_and_of_values_any_does() {
        assert_eq!(labels(&[]), ["float16", "int8", "nf4"]);
        assert_eq!(labels(&["quantize=INT8,q4_k_m"]), ["int8", "nf4"]);
        assert_eq!(labels(&["quantize=int8", "quantize=nf4", "threads=02"]), ["int8"]);
        assert_eq!(labels(&["Gen-Tokens=5", "engine=mock", "threads=8"]), ["nf4"]);
    }

    #[test]
    fn what_follows_is_that_of_the_chosen_cases() {
        let int8 = chosen(&["quantize=int8"]).unwrap();
        assert!(int8.speedups.iter().all(|comparison| comparison.group == 0 && comparison.baseline == 0));
        assert_eq!(int8.validity.iter().map(|run| run.run.as_str()).collect::<Vec<_>>(), ["run"]);
        assert!(int8.findings.iter().all(|finding| !finding.text.contains("float16")), "{:?}", int8.findings);
        let all = serde_json::to_value(three()).unwrap();
        let everything = chosen(&["host=host", "device=cpu"]).unwrap();
        assert_eq!(everything.chosen.as_deref(), Some("--only host=host --only device=cpu"));
        assert_eq!(serde_json::to_value(Analysis { chosen: None, ..everything }).unwrap(), all);
    }

    #[test]
    fn a_case_that_failed_before_it_was_loaded_does_not_vanish() {
        let mut all = case("int8", "run", &[1.0; 6]);
        let mut failed = case("nf4", "run", &[1.0; 1]).remove(0);
        failed.steps.clear();
        failed.context.threads = None;
        failed.context.status = crate::record::Status::Failed;
        failed.context.reason = Some("crashed".into());
        all.push(failed);
        let threads = all[0].context.threads.unwrap();
        let only = |threads: u32| analyze(&all).only(&Only::parse([format!("threads={threads}").as_str()]).unwrap());
        assert_eq!(only(threads).unwrap().groups.len(), 2);
        assert_eq!(only(threads + 1).unwrap().groups.len(), 1);
    }

    #[test]
    fn errors_say_what_there_is() {
        let error = |words: &[&str]| chosen(words).err().unwrap();
        assert!(error(&["quantise=nf4"]).contains("did you mean quantize"), "{}", error(&["quantise=nf4"]));
        assert!(error(&["nf4"]).contains("KEY=VALUE"));
        assert!(error(&["depth=deep"]).contains("whole number") && error(&["engine="]).contains("a value"));
        assert!(error(&["threads=3"]).ends_with("there are 2, 8"), "{}", error(&["threads=3"]));
        assert!(error(&["threads=8", "quantize=int8"]).contains("all of what"));
    }
}
