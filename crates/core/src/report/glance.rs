//! At a glance: what is fastest, by how much, how sure that is, and whether the measurement can be trusted.

use super::number::{count, estimate, in_words, interval, number};
use super::section::{SECTIONS, full_case, place, places, schedule, sections, workload};
use crate::analyze::{Analysis, Comparison, Estimate, Group, Verdict, against_rivals, largest};
use serde_json::{Value, json};

/// Launches below which an interval says little about what changes from launch to launch.
pub const FEW_LAUNCHES: usize = 3;
/// Half an interval above this share of its mean is a wide one.
const WIDE: f64 = 0.05;

/// What all answers have in common, and one answer per section that has decode speeds.
pub fn answers(analysis: &Analysis) -> (String, Vec<Value>) {
    let groups = &analysis.groups;
    let mut sections = sections(groups);
    sections.retain(|section| section.iter().any(|i| groups[*i].decode.is_some()));
    // An answer is one line, and must be the best of all of its section.
    let sections = largest(sections, SECTIONS, usize::MAX).sets;
    let (common, own) = places(groups, &sections);
    let answers = sections.iter().zip(own).filter_map(|(section, own)| answer(groups, section, &own));
    (common, answers.collect())
}

fn answer(groups: &[Group], section: &[usize], short_place: &str) -> Option<Value> {
    let mut order: Vec<(usize, &Estimate)> =
        section.iter().filter_map(|i| Some((*i, groups[*i].decode.as_ref()?))).collect();
    order.sort_by(|a, b| b.1.mean.total_cmp(&a.1.mean));
    let (best, speed) = *order.first()?;
    let all = against_rivals(groups, section, best);
    let rivals: Vec<&Comparison> =
        order[1..].iter().filter_map(|(i, _)| all.iter().find(|rival| rival.baseline == *i)).collect();
    let sure = (!rivals.is_empty()).then(|| rivals.iter().all(|rival| rival.verdict == Verdict::Faster));
    Some(json!({
        "place": place(&groups[best].key),
        "short_place": short_place,
        "workload": workload(&groups[best]),
        "case": full_case(groups, section, best),
        "bits": groups[best].key.bits_per_weight.map(|bits| format!("{bits:.2} bits per weight")),
        "speed": estimate(Some(speed), 1.0),
        "cases": order.len(),
        "sure": sure,
        "verdict": verdict(groups, section, &rivals),
    }))
}

fn verdict(groups: &[Group], section: &[usize], rivals: &[&Comparison]) -> String {
    let Some(next) = rivals.first() else {
        return "The only case measured here.".to_owned();
    };
    let name = full_case(groups, section, next.baseline);
    let ratio = number(next.ratio);
    let Some(ci) = next.ci.filter(|_| next.launches > 1) else {
        return format!(
            "{ratio} times as fast as the next, {name}; with a single launch or repetition nothing says how sure that is."
        );
    };
    let interval = interval(next.ratio, ci);
    if next.verdict != Verdict::Faster {
        let words = next.words();
        return format!("Not clearly faster than the next, {name}: ratio {ratio} (95% interval {interval}): {words}.");
    }
    let doubt = rivals.iter().find(|rival| rival.verdict != Verdict::Faster);
    let doubt = doubt
        .map(|r| format!(" Not established against {}.", full_case(groups, section, r.baseline)))
        .unwrap_or_default();
    format!("{ratio} times as fast as the next, {name} (95% interval {interval}).{doubt}")
}

/// What speaks for and against trusting the figures: `{"ok": bool, "text": ...}` each.
pub fn checks(analysis: &Analysis) -> Vec<Value> {
    let groups = &analysis.groups;
    let measured: Vec<&Group> = groups.iter().filter(|group| !group.repetitions.is_empty()).collect();
    let found = [failures(groups), interruptions(groups), warnings(groups), launches(&measured), spread(&measured)];
    found.into_iter().flatten().map(|(ok, text)| json!({"ok": ok, "text": text})).collect()
}

type Check = Option<(bool, String)>;

fn failures(groups: &[Group]) -> Check {
    let failed: usize = groups.iter().map(|group| group.failures.len()).sum();
    let text = if failed == 0 {
        "No launch failed.".to_owned()
    } else {
        format!("{} failed: see the list of failures.", count(failed, "launch", "launches"))
    };
    (!groups.is_empty()).then_some((failed == 0, text))
}

fn interruptions(groups: &[Group]) -> Check {
    let cut = groups.iter().filter(|group| group.interrupted).count();
    (cut > 0).then(|| {
        (
            false,
            format!(
                "{} cut off before the end; what was measured until then counts.",
                count(cut, "case was", "cases were")
            ),
        )
    })
}

fn warnings(groups: &[Group]) -> Check {
    let warned = groups.iter().filter(|group| !group.warnings.is_empty()).count();
    let text = if warned == 0 {
        "No warning about the state of the machine.".to_owned()
    } else {
        format!("{} of {} carry a warning: see the list of warnings.", warned, count(groups.len(), "case", "cases"))
    };
    (!groups.is_empty()).then_some((warned == 0, text))
}

fn launches(measured: &[&Group]) -> Check {
    let few = measured.iter().filter(|group| schedule(group).len() < FEW_LAUNCHES).count();
    let all = count(measured.len(), "case", "cases");
    let text = if few == 0 {
        format!("Every case was launched at least {FEW_LAUNCHES} times.")
    } else {
        format!(
            "{few} of {all} rest on fewer than {FEW_LAUNCHES} launches: what changes from launch to launch is hardly seen."
        )
    };
    (!measured.is_empty()).then_some((few == 0, text))
}

fn spread(measured: &[&Group]) -> Check {
    let width = |group: &Group| group.decode.as_ref().and_then(Estimate::relative_half_width).filter(|w| w.is_finite());
    let widest =
        measured.iter().filter_map(|group| Some((width(group)?, *group))).max_by(|a, b| a.0.total_cmp(&b.0))?;
    let what = in_words(widest.1.decode.as_ref()?, "tokens/s");
    let text = format!(
        "Widest interval of a decode speed: ±{:.1}%, {} {} on {}, {what}.",
        widest.0 * 100.0,
        widest.1.engine_label(),
        widest.1.quantize_label(),
        widest.1.key.host,
    );
    Some((widest.0 <= WIDE, text))
}
