//! All that the presentation shows, as one JSON value: a pure function of the analysis and its context.

use super::context::ReportContext;
use super::{figures, glance, method, quality, rows, section, setting};
use crate::analyze::{Analysis, Grade, validity_lines};
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// Version of the shape of the data. A template written for another one may not find its keys.
pub const FORMAT: u32 = 1;

/// The data of `docs/presentation.json`, without images: those are known once the plots lie in place.
///
/// Every figure comes twice: as rounded text and as the raw value in the unit that the template prints. What is not
/// known is null or an empty list.
pub fn data(analysis: &Analysis, context: &ReportContext) -> Value {
    with_images(analysis, context, &BTreeMap::new())
}

/// The same, with paths of the plots by their names.
pub(super) fn with_images(analysis: &Analysis, context: &ReportContext, images: &BTreeMap<String, String>) -> Value {
    let (hosts, models) = (setting::hosts(analysis), setting::models(analysis));
    let (common_place, answers) = glance::answers(analysis);
    json!({
        "format": FORMAT,
        "tokometer": env!("CARGO_PKG_VERSION"),
        "title": context.title.clone().unwrap_or_else(|| title(&models)),
        "models": models,
        "hosts": hosts,
        "measured_on": context.days(),
        "counts": counts(analysis),
        "validity": validity(analysis),
        "common_place": common_place,
        "answers": answers,
        "checks": glance::checks(analysis),
        "method": method::method(analysis),
        "machines": setting::machines(analysis, context),
        "builds": setting::builds(analysis, context),
        "results": rows::results(analysis),
        "roofline_notes": roofline_notes(analysis),
        "quality": quality::quality(&analysis.scores),
        "figures": figures::figures(analysis, context, images),
        "findings": findings(analysis),
        "failures": setting::failures(analysis),
        "warnings": setting::warnings(analysis, context),
        "limits": method::limits(analysis, context),
        "repeat": setting::repeat(analysis, context),
    })
}

/// Findings on the slides; a sweep has more than anybody reads there.
const FINDINGS: usize = 24;

/// What was found, what is established first where there is more than the slides hold.
fn findings(analysis: &Analysis) -> Vec<Value> {
    let entry = |text: &str, established: bool| json!({"text": text, "established": established});
    let all = &analysis.findings;
    if all.len() <= FINDINGS {
        return all.iter().map(|f| entry(&f.text, f.established)).collect();
    }
    let (sure, rest): (Vec<_>, Vec<_>) = all.iter().partition(|finding| finding.established);
    let chosen = sure.into_iter().chain(rest).take(FINDINGS);
    let mut shown: Vec<Value> = chosen.map(|f| entry(&f.text, f.established)).collect();
    let more = all.len() - FINDINGS;
    shown.push(entry(&format!("{more} further findings are in `tokometer analyze --json`."), false));
    shown
}

fn title(models: &[String]) -> String {
    match models {
        [] => "Inference speed".to_owned(),
        [one] => format!("Inference speed of {one}"),
        [one, other] => format!("Inference speed of {one} and {other}"),
        several => format!("Inference speed of {} models", several.len()),
    }
}

fn counts(analysis: &Analysis) -> Value {
    let groups = &analysis.groups;
    json!({
        "cases": groups.len(),
        "measured": groups.iter().filter(|group| !group.repetitions.is_empty()).count(),
        "repetitions": groups.iter().map(|group| group.repetitions.len()).sum::<usize>(),
        "steps": groups.iter().filter_map(|group| Some(group.steps.as_ref()?.n)).sum::<usize>(),
    })
}

/// Whether the figures can be believed; `ok` is null where nobody watched the machine.
fn validity(analysis: &Analysis) -> Vec<Value> {
    let ok = |grade| match grade {
        Grade::Valid => Some(true),
        Grade::Unchecked => None,
        Grade::Degraded | Grade::Invalid => Some(false),
    };
    let lines = validity_lines(&analysis.validity).into_iter();
    lines.map(|(grade, text)| json!({"grade": grade.word(), "ok": ok(grade), "text": text})).collect()
}

/// Notes on shares of the machine on a slide.
const NOTES: usize = 12;

/// What must be known of shares above 100% and of devices without a roof, once each.
fn roofline_notes(analysis: &Analysis) -> Vec<String> {
    let told = analysis.roofline.iter().flat_map(|roof| {
        let name = section::case(&analysis.groups[roof.group]);
        let notes = roof.notes.iter().map(move |note| format!("{name}: {note}."));
        roof.no_roof.iter().map(|why| format!("{why}.")).chain(notes)
    });
    let mut notes = method::distinct(told);
    let more = notes.len().saturating_sub(NOTES);
    notes.truncate(NOTES);
    notes.extend((more > 0).then(|| format!("{more} further notes are in `tokometer analyze --json`.")));
    notes
}
