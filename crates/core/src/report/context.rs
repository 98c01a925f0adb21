//! What the presentation tells beside the figures: machines, commands, versions, dates. All of it comes from raw logs
//! and manifests; what they do not tell stays empty.

use std::collections::BTreeMap;

/// Everything that the analysis does not hold.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ReportContext {
    /// Title of the presentation; `None`: one is made from the models.
    pub title: Option<String>,
    /// The runs, in any order.
    pub runs: Vec<RunInfo>,
    /// Where models came from.
    pub sources: Vec<ModelSource>,
    /// Warnings in words, by their short names.
    pub warning_texts: BTreeMap<String, String>,
    /// Why a plot could not be drawn, by the plot's name.
    pub missing_figures: BTreeMap<String, String>,
}

/// One run as its raw logs describe it.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct RunInfo {
    /// The machine's name, as in the analysis.
    pub host: Option<String>,
    /// The machine in words, a few lines: processor and memory, system, GPUs.
    pub machine: Vec<String>,
    /// The command line, program first.
    pub command: Vec<String>,
    /// What was used, and in which version: `("llama.cpp", "b6000")`.
    pub versions: Vec<(String, String)>,
    /// The day, as `2026-11-24`.
    pub measured_on: Option<String>,
}

/// Where a prepared model came from.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ModelSource {
    /// The model's name, as in the analysis.
    pub model: String,
    /// The quantization's label, where the source is that of one quantization only.
    pub quantize: Option<String>,
    /// `hf:org/name`, a file, `synthetic:tiny`.
    pub source: String,
    /// The revision, where the source has one.
    pub revision: Option<String>,
}

impl ReportContext {
    /// The source of a model in a quantization: the most specific entry, in words.
    pub(super) fn source(&self, model: &str, quantize: &str) -> Option<String> {
        let of_model = || self.sources.iter().filter(|source| source.model == model);
        let exact = of_model().find(|source| source.quantize.as_deref() == Some(quantize));
        let found = exact.or_else(|| of_model().find(|source| source.quantize.is_none()))?;
        Some(match &found.revision {
            Some(revision) => format!("{} at {}", found.source, short(revision)),
            None => found.source.clone(),
        })
    }

    /// First and last day of measurement.
    pub(super) fn days(&self) -> Option<String> {
        let mut days: Vec<&str> = self.runs.iter().filter_map(|run| run.measured_on.as_deref()).collect();
        days.sort_unstable();
        let (first, last) = (days.first()?, days.last()?);
        Some(if first == last { (*first).to_owned() } else { format!("{first} to {last}") })
    }
}

/// A commit hash as people write it; any other revision as it is.
fn short(revision: &str) -> &str {
    let hash = revision.len() == 40 && revision.bytes().all(|b| b.is_ascii_hexdigit());
    if hash { &revision[..12] } else { revision }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_source_of_one_quantization_wins() {
        let source = |quantize: Option<&str>, source: &str| ModelSource {
            model: "m".into(),
            quantize: quantize.map(str::to_owned),
            source: source.into(),
            revision: Some("0123456789abcdef0123456789abcdef01234567".into()),
        };
        let context = ReportContext {
            sources: vec![source(None, "hf:a/m"), source(Some("nf4"), "m.gguf")],
            ..Default::default()
        };
        assert_eq!(context.source("m", "nf4").as_deref(), Some("m.gguf at 0123456789ab"));
        assert_eq!(context.source("m", "int8").as_deref(), Some("hf:a/m at 0123456789ab"));
        assert_eq!(context.source("other", "int8"), None);
    }

    #[test]
    fn days_span_all_runs() {
        let day = |day: &str| RunInfo { measured_on: Some(day.into()), ..Default::default() };
        let mut context = ReportContext { runs: vec![day("2026-11-24"), RunInfo::default()], ..Default::default() };
        assert_eq!(context.days().as_deref(), Some("2026-11-24"));
        context.runs.push(day("2026-11-20"));
        assert_eq!(context.days().as_deref(), Some("2026-11-20 to 2026-11-24"));
    }
}
