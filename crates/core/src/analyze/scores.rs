//! What evaluations say, joined with the cases that were measured: same engine, same model, same native quantization.
//! Quality does not depend on the machine, so a result holds for the cases of every host.

use super::{Group, GroupKey};
use crate::record::Quality;
use crate::record::quality::{DISTANCE, Metric};
use serde::Serialize;

/// Two-sided 95% quantile of the standard normal distribution.
const Z: f64 = 1.959_964;

/// Names of the metric by which a task is judged, the first that it has; else its first one.
const MAIN: &[&str] = &[
    "accuracy",
    "acc",
    "acc,none",
    "exact_match",
    "exact_match,none",
    "exact_match,strict-match",
    "correct",
    "reward",
    "score",
];

/// The figure by which a distance is judged.
const MAIN_OF_DISTANCE: &str = "kld_mean";

/// What an evaluation says of an engine and quantization.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Score {
    /// The task set, or [`DISTANCE`].
    pub environment: String,
    /// Scores of another setting are not comparable.
    pub setting: String,
    /// The engine.
    pub engine: String,
    /// The model's name, or its size label where the result does not tell the name.
    pub model: String,
    /// The label that was asked for.
    pub quantize: String,
    /// What the engine computed with, where known.
    pub native_quantize: Option<String>,
    /// Measured bits per weight, where known.
    pub bits_per_weight: Option<f64>,
    /// Bytes of the weights as stored, where known.
    pub weights_bytes: Option<u64>,
    /// The figure by which it is judged: the mean divergence of a distance, the accuracy of a task.
    pub metric: String,
    /// That figure.
    pub value: f64,
    /// Its 95% interval, where the result allows one.
    pub interval: Option<(f64, f64)>,
    /// Examples or positions.
    pub examples: Option<u64>,
    /// All figures of the result.
    pub metrics: Vec<Metric>,
    /// Indices of the groups that it holds for.
    pub groups: Vec<usize>,
    /// The result's file.
    pub file: String,
}

impl Score {
    /// Whether it is a distance from the unquantized model: less is better. Of tasks more is better.
    pub fn is_distance(&self) -> bool {
        self.environment == DISTANCE
    }

    /// Whether it holds for a group.
    pub fn holds_for(&self, group: usize) -> bool {
        // They are in order.
        self.groups.binary_search(&group).is_ok()
    }

    /// Another figure of the result.
    pub fn other(&self, name: &str) -> Option<&Metric> {
        self.metrics.iter().find(|metric| metric.name == name)
    }

    /// `nf4 (Q4_K_M)`.
    pub fn quantize_label(&self) -> String {
        match &self.native_quantize {
            Some(native) if *native != self.quantize => format!("{} ({native})", self.quantize),
            _ => self.quantize.clone(),
        }
    }
}

/// That an evaluation has no figures: its engine does not offer it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Unscored {
    /// The task set, or [`DISTANCE`].
    pub environment: String,
    /// The engine.
    pub engine: String,
    /// Why.
    pub reason: String,
    /// Indices of the groups that it holds for, in order.
    pub groups: Vec<usize>,
}

/// Results without figures that say why, each reason once, the one that was found last at the end.
pub fn unscored(quality: &[Quality], groups: &[Group]) -> Vec<Unscored> {
    let mut empty: Vec<(&Quality, &String)> =
        quality.iter().filter(|one| main(one).is_none()).filter_map(|one| Some((one, one.reason.as_ref()?))).collect();
    empty.sort_by(|(a, _), (b, _)| a.timestamp.cmp(&b.timestamp));
    let of = |(quality, reason): (&Quality, &String)| Unscored {
        environment: quality.environment.clone(),
        engine: quality.engine.clone(),
        reason: reason.clone(),
        groups: (0..groups.len()).filter(|i| is_of(quality, &groups[*i].key)).collect(),
    };
    let mut all: Vec<Unscored> = Vec::new();
    for one in empty.into_iter().map(of) {
        // The latest attempt stands last.
        all.retain(|other| *other != one);
        all.push(one);
    }
    all
}

/// Scores of all results. Of several results of one engine, model, quantization and setting the one with the most examples
/// counts, of equals the latest. Order: model, environment, setting, then that of the groups, then of the files.
pub fn scores(quality: &[Quality], groups: &[Group]) -> Vec<Score> {
    let mut kept: Vec<&Quality> = Vec::new();
    for one in quality.iter().filter(|quality| main(quality).is_some()) {
        match kept.iter_mut().find(|other| key(other) == key(one)) {
            Some(other) if rank(one) > rank(other) => *other = one,
            Some(_) => (),
            None => kept.push(one),
        }
    }
    let mut all: Vec<Score> = kept.into_iter().filter_map(|quality| score(quality, groups)).collect();
    let place = |score: &Score| score.groups.first().copied().unwrap_or(usize::MAX);
    all.sort_by(|a, b| {
        let name =
            |score: &Score| (score.model.clone(), score.environment.clone(), score.setting.clone(), place(score));
        name(a).cmp(&name(b)).then(a.file.cmp(&b.file))
    });
    all
}

type Key<'a> = (&'a str, Option<&'a str>, &'a str, &'a str, &'a str);

fn key(quality: &Quality) -> Key<'_> {
    let model = quality.model.as_deref().or(quality.size.as_deref());
    let native = quality.native_quantize.as_deref().unwrap_or(&quality.quantize);
    (&quality.engine, model, native, &quality.environment, &quality.setting)
}

fn rank(quality: &Quality) -> (u64, &str) {
    (quality.num_examples.unwrap_or(0), quality.timestamp.as_deref().unwrap_or(""))
}

fn main(quality: &Quality) -> Option<&Metric> {
    if quality.environment == DISTANCE {
        return quality.metric(MAIN_OF_DISTANCE);
    }
    MAIN.iter().find_map(|name| quality.metric(name)).or(quality.metrics.first())
}

fn score(quality: &Quality, groups: &[Group]) -> Option<Score> {
    let metric = main(quality)?;
    let same: Vec<usize> = (0..groups.len()).filter(|i| is_of(quality, &groups[*i].key)).collect();
    let known = || same.iter().map(|i| &groups[*i].key);
    Some(Score {
        environment: quality.environment.clone(),
        setting: quality.setting.clone(),
        engine: quality.engine.clone(),
        model: quality.model.clone().or_else(|| quality.size.clone()).unwrap_or_else(|| "unknown".into()),
        quantize: quality.quantize.clone(),
        native_quantize: quality
            .native_quantize
            .clone()
            .or_else(|| known().find_map(|key| key.native_quantize.clone())),
        bits_per_weight: quality.bits_per_weight.or_else(|| known().find_map(|key| key.bits_per_weight)),
        weights_bytes: quality.weights_bytes.or_else(|| known().find_map(|key| key.weights_bytes)),
        metric: metric.name.clone(),
        value: metric.avg,
        interval: interval(metric, quality.environment == DISTANCE, quality.num_examples),
        examples: quality.num_examples,
        metrics: quality.metrics.clone(),
        groups: same,
        file: quality.file.clone(),
    })
}

/// Whether a result is of a group's engine, model and quantization.
fn is_of(quality: &Quality, key: &GroupKey) -> bool {
    let model = match (&quality.model, &quality.size) {
        (Some(model), _) => *model == key.model || quality.source.as_ref() == Some(&key.model),
        (None, Some(size)) => size.eq_ignore_ascii_case(&key.size),
        (None, None) => false,
    };
    let quantization = match (&quality.native_quantize, &key.native_quantize) {
        (Some(own), Some(native)) => own == native,
        _ => quality.quantize.eq_ignore_ascii_case(&key.quantize),
    };
    quality.engine == key.engine && model && quantization
}

/// The 95% interval of a mean: from its standard error, or from the standard deviation of single examples.
///
/// Shares of examples (each right or wrong, as their standard deviation shows) have the score interval of E. Wilson,
/// "Probable inference, the law of succession, and statistical inference", Journal of the American Statistical Association
/// 22, 1927: all of ten right does not mean that the next is.
fn interval(metric: &Metric, is_error: bool, examples: Option<u64>) -> Option<(f64, f64)> {
    let (avg, std) = (metric.avg, metric.std?);
    if is_error {
        return Some((avg - Z * std, avg + Z * std));
    }
    let n = examples.filter(|n| *n > 1)? as f64;
    let spread = avg * (1.0 - avg);
    let shares = (0.0..=1.0).contains(&avg) && (std * std - spread).abs() <= 2.0 * spread / n + 1e-6;
    if !shares {
        let half = Z * std / n.sqrt();
        return Some((avg - half, avg + half));
    }
    let z2 = Z * Z / n;
    let (middle, half) = ((avg + z2 / 2.0) / (1.0 + z2), Z * (spread / n + z2 / (4.0 * n)).sqrt() / (1.0 + z2));
    Some(((middle - half).max(0.0), (middle + half).min(1.0)))
}

#[cfg(test)]
mod tests {
    use super::super::testing::case;
    use super::*;

    fn quality(quantize: &str, environment: &str, metric: (&str, f64, f64), n: u64) -> Quality {
        let (name, avg, std) = metric;
        Quality {
            environment: environment.into(),
            engine: "mock".into(),
            model: Some("m".into()),
            quantize: quantize.into(),
            num_examples: Some(n),
            metrics: vec![Metric { name: name.into(), avg, std: Some(std) }],
            ..Quality::default()
        }
    }

    #[test]
    fn a_result_belongs_to_the_cases_of_its_engine_model_and_quantization() {
        let mut series = case("int8", "run", &[1.0; 4]);
        series.extend(case("nf4", "run", &[1.0; 4]));
        let groups = super::super::groups(&series);
        let known = quality("nf4", "gsm8k", ("accuracy", 0.5, 0.5), 100);
        let of = |quality: Quality| scores(&[quality], &groups)[0].groups.clone();
        assert_eq!(of(known.clone()), [1]);
        assert!(of(Quality { engine: "other".into(), ..known.clone() }).is_empty());
        assert!(of(Quality { model: Some("x".into()), ..known.clone() }).is_empty());
        // A result that tells the native name alone still has the bits of the case.
        assert_eq!(scores(&[known], &groups)[0].bits_per_weight, Some(4.5));
    }

    #[test]
    fn of_results_of_the_same_the_one_with_most_examples_counts() {
        let few = quality("nf4", "gsm8k", ("accuracy", 0.9, 0.3), 10);
        let many = quality("nf4", "gsm8k", ("accuracy", 0.5, 0.5), 100);
        let other = quality("nf4", "reverse", ("reward", 0.2, 0.1), 10);
        let found = scores(&[few.clone(), many, other, few], &[]);
        assert_eq!(found.iter().map(|s| s.value).collect::<Vec<_>>(), [0.5, 0.2]);
    }

    #[test]
    fn intervals_of_shares_means_and_errors() {
        let metric = |avg: f64, std: f64| Metric { name: "x".into(), avg, std: Some(std) };
        let (low, high) = interval(&metric(1.0, 0.0), false, Some(10)).unwrap();
        assert!((low - 0.722).abs() < 1e-3 && high > 0.999, "{low} {high}");
        let (low, high) = interval(&metric(0.5, 0.1), false, Some(100)).unwrap();
        assert!((low - 0.4804).abs() < 1e-4 && (high - 0.5196).abs() < 1e-4, "{low} {high}");
        let (low, _) = interval(&metric(0.1, 0.01), true, Some(100)).unwrap();
        assert!((low - 0.0804).abs() < 1e-4, "{low}");
        assert_eq!(interval(&Metric { name: "x".into(), avg: 0.5, std: None }, false, Some(9)), None);
        assert_eq!(interval(&metric(0.5, 0.5), false, None), None);
    }
}
