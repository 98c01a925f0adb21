//! Which case to take: the fastest that does all that is wished, what it costs, and how sure that is.
//!
//! Every wish is judged by the end of a 95% interval that speaks against the case: the lower one of speed and accuracy, the
//! upper one of the divergence; memory is the highest peak of all launches. What is not known is neither met nor failed: the
//! answer then says which command brings it, or why none can.

use super::compare::{compare_pair, sections};
use super::condition::{self, Condition, figure};
use super::{Group, Score, Unscored};
use crate::parallel::on_all_cores;
use crate::record::quality::DISTANCE;
use serde::Serialize;
use std::collections::BTreeMap;

/// Fewer launches say little about what changes from one to the next.
const FEW_LAUNCHES: usize = 3;

/// What is wished.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Wishes {
    /// Decode speed, tokens/s, at least.
    pub min_speed: Option<f64>,
    /// Peak memory, bytes, at most.
    pub max_memory: Option<u64>,
    /// Mean divergence from the unquantized model, nats per token, at most.
    pub max_kl: Option<f64>,
    /// Accuracy on a task, at least.
    pub min_accuracy: Option<f64>,
    /// The task; `None` is the one that most cases were evaluated on.
    pub environment: Option<String>,
}

impl Wishes {
    /// Whether nothing is wished.
    pub fn is_empty(&self) -> bool {
        self.min_speed.is_none() && self.max_memory.is_none() && self.max_kl.is_none() && self.min_accuracy.is_none()
    }
}

/// The answer for one host, device, model and workload.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Advice {
    /// Host, device, model and workload, in words.
    pub place: String,
    /// The case to take, if one does all that is wished.
    pub choice: Option<Choice>,
    /// All cases, the fastest first.
    pub candidates: Vec<Candidate>,
    /// Evidence that might change the answer, and how to get it.
    pub missing: Vec<Missing>,
}

/// The case to take.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Choice {
    /// Index among the candidates.
    pub candidate: usize,
    /// Its name.
    pub name: String,
    /// What it costs against the candidate of the best quality; `None` where no quality is known, or it is the best itself.
    pub cost: Option<String>,
    /// How sure that is, a sentence each.
    pub sure: Vec<String>,
}

/// A case with what it meets and what not.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Candidate {
    /// Index of the group.
    pub group: usize,
    /// Engine, quantization, bits per weight.
    pub name: String,
    /// Mean decode speed, tokens/s.
    pub speed: f64,
    /// The wishes, in the order in which they are listed there.
    pub conditions: Vec<Condition>,
}

impl Candidate {
    /// Whether it does all that is wished, as far as known; `None` if something is not known and nothing fails.
    pub fn fits(&self) -> Option<bool> {
        let mut known = Some(true);
        for condition in &self.conditions {
            match condition.met {
                Some(false) => return Some(false),
                None => known = None,
                Some(true) => (),
            }
        }
        known
    }
}

/// Evidence that is not there.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Missing {
    /// What, of which case.
    pub what: String,
    /// The command that brings it; `None` where the engine cannot give it.
    pub command: Option<String>,
}

/// Judges all cases, for each host, device, model and workload by itself. `names` are models as they are named on the
/// command line, by the names of the analysis; a model that is not there is called by its name. `unscored` says which
/// evaluations there cannot be.
pub fn recommend(
    groups: &[Group],
    (scores, unscored): (&[Score], &[Unscored]),
    wishes: &Wishes,
    names: &BTreeMap<String, String>,
) -> Vec<Advice> {
    let judged = Judged { groups, scores, unscored, wishes, names };
    on_all_cores(sections(groups), |section| advise(&judged, &section))
}

/// What an answer rests on.
struct Judged<'a> {
    groups: &'a [Group],
    scores: &'a [Score],
    unscored: &'a [Unscored],
    wishes: &'a Wishes,
    names: &'a BTreeMap<String, String>,
}

fn advise(judged: &Judged<'_>, section: &[usize]) -> Advice {
    let task = judged.task(section);
    let mut missing = Vec::new();
    let mut candidates: Vec<Candidate> = section.iter().filter_map(|i| judged.candidate(*i, task.as_deref())).collect();
    let slowest = |candidate: &Candidate| low_speed(&judged.groups[candidate.group]).unwrap_or(0.0);
    candidates.sort_by(|a, b| slowest(b).total_cmp(&slowest(a)).then(b.speed.total_cmp(&a.speed)));
    let found = candidates.iter().position(|candidate| candidate.fits() == Some(true));
    for candidate in candidates.iter().filter(|candidate| candidate.fits().is_none()) {
        missing.extend(judged.missing(candidate, task.as_deref()));
    }
    let choice = found.map(|i| judged.choice(&candidates, i, task.as_deref()));
    Advice { place: place(&judged.groups[section[0]]), choice, candidates, missing }
}

fn place(group: &Group) -> String {
    let key = &group.key;
    let threads = key.threads.map(|n| format!("{n} threads")).unwrap_or_default();
    let parts = [key.host.clone(), key.device.clone(), key.model.clone(), group.workload_label(), threads];
    parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(" · ")
}

fn name(group: &Group) -> String {
    let bits = group.key.bits_per_weight.map(|bits| format!(", {bits:.2} bits per weight")).unwrap_or_default();
    format!("{}{bits}", group.short_label())
}

/// The lower end of the interval of the decode speed.
fn low_speed(group: &Group) -> Option<f64> {
    group.decode.as_ref()?.ci.map(|(low, _)| low)
}

impl Judged<'_> {
    /// Scores that hold for a group, of a kind.
    fn scores_of(&self, group: usize, kind: impl Fn(&Score) -> bool) -> Option<&Score> {
        let own = self.scores.iter().filter(|score| kind(score) && score.holds_for(group));
        own.max_by_key(|score| score.examples.unwrap_or(0))
    }

    fn distance(&self, group: usize) -> Option<&Score> {
        self.scores_of(group, Score::is_distance)
    }

    /// Why there can be no distance of a group, as the latest attempt says.
    fn without_distance(&self, group: usize) -> Option<&Unscored> {
        self.unscored.iter().rfind(|one| one.environment == DISTANCE && one.groups.contains(&group))
    }

    fn accuracy(&self, group: usize, task: Option<&str>) -> Option<&Score> {
        self.scores_of(group, |score| !score.is_distance() && Some(score.environment.as_str()) == task)
    }

    /// The task that accuracy is of: the one asked for, or the one that most cases of the section were evaluated on.
    fn task(&self, section: &[usize]) -> Option<String> {
        if let Some(asked) = &self.wishes.environment {
            return Some(asked.clone());
        }
        let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
        for score in self.scores.iter().filter(|score| !score.is_distance()) {
            let of = section.iter().filter(|group| score.holds_for(**group)).count();
            *counts.entry(&score.environment).or_default() += of;
        }
        // Of equals the first by name.
        let most = counts.iter().filter(|(_, n)| **n > 0).max_by(|a, b| a.1.cmp(b.1).then(b.0.cmp(a.0)));
        most.map(|(task, _)| (*task).to_owned())
    }

    fn candidate(&self, i: usize, task: Option<&str>) -> Option<Candidate> {
        let group = &self.groups[i];
        let speed = group.decode.as_ref()?;
        let wishes = self.wishes;
        let all = [
            wishes.min_speed.map(|least| condition::speed(speed, least)),
            wishes.max_memory.map(|most| condition::memory(group, most)),
            wishes.max_kl.map(|most| condition::divergence(self.distance(i), self.without_distance(i), most)),
            wishes.min_accuracy.map(|least| condition::accuracy(self.accuracy(i, task), task, least)),
        ];
        Some(Candidate {
            group: i,
            name: name(group),
            speed: speed.mean,
            conditions: all.into_iter().flatten().collect(),
        })
    }

    /// What to do about the conditions of a candidate that are not known.
    fn missing(&self, candidate: &Candidate, task: Option<&str>) -> Vec<Missing> {
        let key = &self.groups[candidate.group].key;
        let model = self.names.get(&key.model).unwrap_or(&key.model);
        let what = format!("--engine {} --model {model} --quantize {}", key.engine, key.quantize);
        let unknown = candidate.conditions.iter().filter(|condition| condition.met.is_none());
        let group = candidate.group;
        let cannot_be = self.distance(group).is_none() && self.without_distance(group).is_some();
        let command = |condition: &Condition| match condition.wish.split(' ').next() {
            Some("divergence") if cannot_be => None,
            Some("divergence") => Some(format!("tokometer eval --env distance {what}")),
            Some("accuracy") => Some(format!("tokometer eval --env {} {what}", task.unwrap_or("reverse-text"))),
            _ => Some(format!("tokometer run {what} --launches {FEW_LAUNCHES} && tokometer collate")),
        };
        unknown
            .map(|condition| Missing {
                what: format!("{}: {} ({})", candidate.name, condition.wish, condition.found),
                command: command(condition),
            })
            .collect()
    }

    fn choice(&self, candidates: &[Candidate], i: usize, task: Option<&str>) -> Choice {
        let candidate = &candidates[i];
        Choice {
            candidate: i,
            name: candidate.name.clone(),
            cost: self.cost(candidates, candidate, task),
            sure: self.sure(candidates, i),
        }
    }

    /// The candidate of the best quality: the least divergence, or where none is known the highest accuracy.
    fn best<'c>(&self, candidates: &'c [Candidate], task: Option<&str>) -> Option<&'c Candidate> {
        let by = |of: &dyn Fn(usize) -> Option<f64>| {
            let known = candidates.iter().filter_map(|c| Some((c, of(c.group)?)));
            known.min_by(|a, b| a.1.total_cmp(&b.1)).map(|(candidate, _)| candidate)
        };
        by(&|group| Some(self.distance(group)?.value)).or_else(|| by(&|group| Some(-self.accuracy(group, task)?.value)))
    }

    fn cost(&self, candidates: &[Candidate], chosen: &Candidate, task: Option<&str>) -> Option<String> {
        let best = self.best(candidates, task).filter(|best| best.group != chosen.group)?;
        let (own, other) = (chosen.group, best.group);
        let mut parts = Vec::new();
        if let (Some(a), Some(b)) = (self.distance(own), self.distance(other)) {
            parts.push(format!("divergence {} instead of {} nats per token", figure(a.value), figure(b.value)));
            parts.extend(
                a.other("same_top")
                    .map(|top| format!("the same most probable token at {:.1}% of places", top.avg * 100.0)),
            );
        }
        if let (Some(a), Some(b)) = (self.accuracy(own, task), self.accuracy(other, task)) {
            let (a, b) = (a.value * 100.0, b.value * 100.0);
            parts.push(format!("{a:.1}% instead of {b:.1}% on {}", task.unwrap_or("the task")));
        }
        if let Some(ratio) = compare_pair(self.groups, own, other, 1) {
            parts.push(format!("{:.2} times its speed", ratio.ratio));
        }
        let bytes = |i: usize| self.groups[i].key.weights_bytes.map(|bytes| bytes as f64);
        if let (Some(a), Some(b)) = (bytes(own), bytes(other).filter(|bytes| *bytes > 0.0)) {
            parts.push(format!("{:.2} of its weights", a / b));
        }
        (!parts.is_empty()).then(|| format!("against the best in quality, {}: {}", best.name, parts.join(", ")))
    }

    fn sure(&self, candidates: &[Candidate], i: usize) -> Vec<String> {
        let chosen = &candidates[i];
        let mut said: Vec<String> =
            chosen.conditions.iter().map(|condition| format!("{}: {}", condition.wish, condition.found)).collect();
        let rivals: Vec<&Candidate> = candidates[i + 1..].iter().filter(|c| c.fits() == Some(true)).collect();
        match rivals
            .first()
            .and_then(|next| Some((next, compare_pair(self.groups, chosen.group, next.group, rivals.len())?)))
        {
            Some((next, ratio)) => {
                let words = ratio.words();
                said.push(format!(
                    "against the next that does it, {}: {:.3} times its speed, {words}",
                    next.name, ratio.ratio
                ));
            }
            None => said.push("no other case does all that is wished".to_owned()),
        }
        let launches = self.groups[chosen.group].decode.as_ref().map_or(0, |speed| speed.launches);
        if launches < FEW_LAUNCHES {
            said.push(format!(
                "it rests on {launches} launch(es) only: what changes from one to the next is hardly in the interval"
            ));
        }
        said
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::case;
    use super::super::{groups, scores, unscored};
    use super::*;
    use crate::record::Quality;
    use crate::record::quality::Metric;

    /// Milliseconds of a step around a mean.
    fn around(ms: f64) -> [f64; 6] {
        [1.0, 1.002, 0.998, 1.0, 1.002, 0.998].map(|factor| ms * factor)
    }

    /// float16 at 50 tokens/s, int8 at 100, nf4 at 200.
    fn three() -> Vec<Group> {
        let mut all = case("float16", "run", &around(20.0));
        all.extend(case("int8", "run", &around(10.0)));
        all.extend(case("nf4", "run", &around(5.0)));
        for series in &mut all {
            let bytes = match series.context.quantize.as_deref() {
                Some("float16") => 4_000_000_000,
                Some("int8") => 2_000_000_000,
                _ => 1_000_000_000,
            };
            series.context.weights_bytes = Some(bytes);
            series.context.peak_rss_bytes = Some(bytes + 100_000_000);
        }
        groups(&all)
    }

    fn quality(quantize: &str, environment: &str, name: &str, avg: f64, std: f64) -> Quality {
        Quality {
            environment: environment.into(),
            engine: "mock".into(),
            model: Some("m".into()),
            quantize: quantize.into(),
            num_examples: Some(1000),
            metrics: vec![Metric { name: name.into(), avg, std: Some(std) }],
            ..Quality::default()
        }
    }

    fn distances() -> Vec<Quality> {
        let all = [("float16", 0.0, 0.0), ("int8", 0.01, 0.001), ("nf4", 0.049, 0.001)];
        all.iter().map(|(name, avg, std)| quality(name, DISTANCE, "kld_mean", *avg, *std)).collect()
    }

    fn advice(quality: &[Quality], wishes: &Wishes) -> Advice {
        let groups = three();
        let names = BTreeMap::from([("m".to_owned(), "hf:a/m".to_owned())]);
        let (scores, unscored) = (scores(quality, &groups), unscored(quality, &groups));
        let mut all = recommend(&groups, (&scores, &unscored), wishes, &names);
        assert_eq!(all.len(), 1);
        all.remove(0)
    }

    #[test]
    fn the_fastest_that_does_all_is_chosen_and_its_cost_named() {
        let wishes =
            Wishes { min_speed: Some(60.0), max_memory: Some(3_000_000_000), max_kl: Some(0.05), ..Wishes::default() };
        // 0.049 is below 0.05, but its interval is not.
        let advice = advice(&distances(), &wishes);
        let choice = advice.choice.as_ref().unwrap();
        assert!(choice.name.starts_with("mock int8"), "{choice:?}");
        let cost = choice.cost.as_ref().unwrap();
        assert!(cost.contains("mock float16") && cost.contains("0.0100 instead of 0.0000"), "{cost}");
        assert!(cost.contains("2.00 times its speed") && cost.contains("0.50 of its weights"), "{cost}");
        assert!(choice.sure.iter().any(|text| text.contains("no other case")), "{choice:?}");
        let fits: Vec<_> = advice.candidates.iter().map(Candidate::fits).collect();
        assert_eq!(fits, [Some(false), Some(true), Some(false)]);
        assert!(advice.candidates[0].conditions[2].found.contains("0.0490"), "{advice:?}");
        assert!(advice.missing.is_empty());
    }

    #[test]
    fn with_a_wider_limit_the_faster_one_is_chosen_and_held_against_the_next() {
        let advice = advice(&distances(), &Wishes { max_kl: Some(0.06), ..Wishes::default() });
        let choice = advice.choice.unwrap();
        assert!(choice.name.starts_with("mock nf4"), "{choice:?}");
        assert!(choice.sure.iter().any(|text| text.contains("mock int8") && text.ends_with("faster")), "{choice:?}");
    }

    #[test]
    fn missing_evidence_names_the_command() {
        let mut known = distances();
        known.remove(2);
        let advice = advice(&known, &Wishes { min_speed: Some(60.0), max_kl: Some(0.05), ..Wishes::default() });
        assert!(advice.choice.as_ref().unwrap().name.starts_with("mock int8"));
        let commands: Vec<Option<&str>> = advice.missing.iter().map(|missing| missing.command.as_deref()).collect();
        assert_eq!(commands, [Some("tokometer eval --env distance --engine mock --model hf:a/m --quantize nf4")]);
        // What is too slow anyway needs no evidence.
        let wishes = Wishes {
            min_speed: Some(60.0),
            min_accuracy: Some(0.8),
            environment: Some("gsm8k".into()),
            ..Wishes::default()
        };
        let advice = self::advice(&known, &wishes);
        assert!(advice.choice.is_none());
        let is_gsm8k = |m: &Missing| m.command.as_deref().is_some_and(|c| c.starts_with("tokometer eval --env gsm8k"));
        assert!(advice.missing.iter().all(is_gsm8k), "{advice:?}");
        assert_eq!(advice.missing.len(), 2);
    }

    #[test]
    fn a_distance_that_is_not_offered_is_missing_and_no_command_brings_it() {
        let empty = |quantize: &str| Quality {
            metrics: Vec::new(),
            reason: Some("the engine tells none".into()),
            ..quality(quantize, DISTANCE, "kld_mean", 0.0, 0.0)
        };
        let mut known = distances();
        // Beside a distance it says nothing; alone it is why there is none.
        known.extend([empty("int8"), empty("nf4")]);
        known.remove(2);
        let advice = advice(&known, &Wishes { max_kl: Some(0.05), ..Wishes::default() });
        assert!(advice.choice.as_ref().unwrap().name.starts_with("mock int8"), "{advice:?}");
        assert_eq!(advice.candidates[0].conditions[0].found, "the engine tells none");
        assert_eq!((advice.missing.len(), advice.missing[0].command.as_deref()), (1, None));
        assert!(advice.missing[0].what.contains("mock nf4") && advice.missing[0].what.contains("tells none"));
    }

    #[test]
    fn accuracy_counts_by_its_lower_end() {
        let known = [
            quality("nf4", "gsm8k", "accuracy", 0.81, (0.81f64 * 0.19).sqrt()),
            quality("int8", "gsm8k", "accuracy", 0.9, 0.3),
        ];
        let advice = advice(&known, &Wishes { min_accuracy: Some(0.8), ..Wishes::default() });
        assert!(advice.choice.unwrap().name.starts_with("mock int8"));
        assert_eq!(advice.candidates[0].conditions[0].met, Some(false));
    }

    #[test]
    fn nothing_measured_is_no_advice() {
        assert!(recommend(&[], (&[], &[]), &Wishes::default(), &BTreeMap::new()).is_empty());
    }
}
