//! What a quantization buys: decode speed against the size of the weights.

use super::cloud::{Cloud, Dot};
use super::roster::{Roster, facets_of};
use super::sheet::{Key, MOST_PANELS, Page, Sheet};
use super::{RUN_BOTH, labels};
use crate::analyze::{Analysis, Group};

pub(super) const TITLE: &str = "Decode speed against the size of the weights";

/// What the horizontal axis measures.
#[derive(Clone, Copy, PartialEq)]
enum Size {
    Bytes,
    Bits,
}

impl Size {
    fn of(self, group: &Group) -> Option<f64> {
        match self {
            Size::Bytes => group.key.weights_bytes.map(|bytes| bytes as f64),
            Size::Bits => group.key.bits_per_weight,
        }
    }
}

/// One panel per facet; a point per case.
pub(super) fn build(analysis: &Analysis) -> Sheet {
    let groups = &analysis.groups;
    let roster = Roster::new(groups);
    let facets = facets_of(groups, |group| group.decode.is_some() && size(group).is_some());
    if facets.is_empty() {
        let what = "no case has both a decode speed and a known size of its weights";
        return Page::nothing(TITLE, what, RUN_BOTH, labels::failures(groups));
    }
    let mut page =
        Page::of(analysis, TITLE, "Higher is faster, further left is smaller. Mean and 95% interval of each case.");
    let facets = page.choose(facets, MOST_PANELS, "cases");
    let clouds: Vec<Cloud> = facets.iter().map(|cases| cloud(&roster, cases)).collect();
    page.keys(roster.series_of(facets.into_iter().flatten()).into_iter().map(|(slot, name)| Key::Point(slot, name)));
    if clouds.iter().flat_map(|cloud| &cloud.dots).any(|dot| dot.ci.is_some()) {
        page.keys([Key::Interval("95% interval of the mean")]);
    }
    let unknown = groups.iter().filter(|group| group.decode.is_some() && size(group).is_none()).count();
    if unknown > 0 {
        page.note(format!("{unknown} measured case(s) are not shown: their logs do not tell the size of the weights."));
    }
    if let Some(failures) = labels::failures(groups) {
        page.note(format!("{failures}."));
    }
    page.note("bpw: bits per weight as stored. What the bits cost in quality is not in this figure.");
    page.columns(if clouds.len() > 1 { 2 } else { 1 });
    page.section(clouds);
    page.finish()
}

/// Whether anything tells the size of a case's weights.
fn size(group: &Group) -> Option<f64> {
    Size::Bytes.of(group).or(Size::Bits.of(group))
}

/// Cases of which speed and size are known: at least one.
fn cloud(roster: &Roster<'_>, cases: &[usize]) -> Cloud {
    let groups = roster.groups;
    // Bytes are what a step reads; bits stand in where they are better known.
    let known = |size: Size| cases.iter().filter(|case| size.of(&groups[**case]).is_some()).count();
    let axis = if known(Size::Bytes) >= known(Size::Bits) { Size::Bytes } else { Size::Bits };
    let largest = cases.iter().filter_map(|case| axis.of(&groups[*case])).fold(0.0, f64::max);
    let (unit, name) = match axis {
        Size::Bits => (1.0, "Bits per weight as stored"),
        Size::Bytes if largest < 5e8 => (1e6, "Weights as stored (MB)"),
        Size::Bytes => (1e9, "Weights as stored (GB)"),
    };
    let dots = cases.iter().filter_map(|case| {
        let group = &groups[*case];
        let decode = group.decode.as_ref()?;
        let more = match axis {
            Size::Bytes => group.key.bits_per_weight.map(|bits| format!(" {bits:.2} bpw")),
            Size::Bits => group.key.weights_bytes.map(|bytes| format!(" {}", labels::bytes(bytes))),
        };
        let label = format!("{}{}", group.short_quantize_label(), more.unwrap_or_default());
        let x = axis.of(group)? / unit;
        Some(Dot { slot: roster.slot(*case), x, x_ci: None, y: decode.mean, ci: decode.ci, label })
    });
    Cloud {
        title: labels::facet_title(&groups[cases[0]]),
        x: name.to_owned(),
        y: "Decode speed (tokens/s)".to_owned(),
        dots: dots.collect(),
        better: None,
    }
}
