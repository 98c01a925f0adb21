//! Sizes, colours, hatches and markers: what makes the plots look like one set.
//!
//! A sheet is measured in units of 1/100 inch, so that a text size of 11 is 8 pt in a figure 10 inches wide.

use kuva::plot::FillPattern;

/// Width of every sheet, units.
pub(super) const WIDTH: f64 = 1000.0;
/// Least height of a sheet, units.
pub(super) const MIN_HEIGHT: f64 = 600.0;
/// Empty border of a sheet, units.
pub(super) const MARGIN: f64 = 18.0;
/// Space between panels, units.
pub(super) const GAP: f64 = 26.0;
/// Pixels of a PNG per unit of the sheet: 3 pixels per 1/100 inch are 300 dpi.
pub(super) const PIXELS_PER_UNIT: f32 = 3.0;

/// Text and axes.
pub(super) const INK: &str = "#000000";
/// Secondary text.
pub(super) const MUTED: &str = "#4a4a4a";
/// What went wrong.
pub(super) const ALARM: &str = "#a31515";
/// Bands behind headings.
pub(super) const BAND: &str = "#ececec";

/// Where text stands relative to its point.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Align {
    Left,
    Centre,
    Right,
}

/// How a piece of text is set.
#[derive(Debug, Clone, Copy)]
pub(super) struct Type {
    pub size: u32,
    pub color: &'static str,
    pub align: Align,
}

impl Type {
    const fn new(size: u32, color: &'static str) -> Type {
        Type { size, color, align: Align::Left }
    }

    /// The same, ending at its point.
    pub const fn right(self) -> Type {
        Type { align: Align::Right, ..self }
    }

    /// The same, around its point.
    pub const fn centred(self) -> Type {
        Type { align: Align::Centre, ..self }
    }

    /// The same in another colour.
    pub const fn in_color(self, color: &'static str) -> Type {
        Type { color, ..self }
    }
}

/// The sheet's title.
pub(super) const TITLE: Type = Type::new(19, INK);
/// The line under it.
pub(super) const SUBTITLE: Type = Type::new(13, MUTED);
/// A panel's title.
pub(super) const FACET: Type = Type::new(13, INK);
/// Names of categories, labels of axes, the legend.
pub(super) const LABEL: Type = Type::new(12, INK);
/// Values, details under a name, notes. Nothing is smaller.
pub(super) const SMALL: Type = Type::new(11, MUTED);

/// The shape of a point.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Marker {
    Circle,
    Triangle,
    Square,
    Diamond,
}

/// How one series looks. Colour, hatch and marker each tell it apart, so that it survives a grey print.
#[derive(Debug, Clone, Copy)]
pub(super) struct Look {
    pub color: &'static str,
    pub hatch: FillPattern,
    pub marker: Marker,
}

/// The palette of M. Okabe and K. Ito, "Color Universal Design", 2008, with grey in place of black.
const COLORS: [&str; 8] = ["#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#F0E442", "#999999"];

const HATCHES: [FillPattern; 8] = [
    FillPattern::Solid,
    FillPattern::DiagonalForward,
    FillPattern::Dots,
    FillPattern::DiagonalBack,
    FillPattern::Horizontal,
    FillPattern::Crosshatch,
    FillPattern::Vertical,
    FillPattern::DiagonalCrosshatch,
];

const MARKERS: [Marker; 4] = [Marker::Circle, Marker::Triangle, Marker::Square, Marker::Diamond];

/// The look of the series in that slot. There are 64 combinations before one comes again.
pub(super) fn look(slot: usize) -> Look {
    Look {
        color: COLORS[slot % COLORS.len()],
        hatch: HATCHES[(slot + slot / COLORS.len()) % HATCHES.len()],
        marker: MARKERS[slot % MARKERS.len()],
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn the_first_64_series_look_different() {
        let looks: BTreeSet<_> = (0..64).map(|slot| (look(slot).color, look(slot).hatch.id())).collect();
        assert_eq!(looks.len(), 64);
    }

    #[test]
    fn no_text_is_below_eight_points() {
        for style in [TITLE, SUBTITLE, FACET, LABEL, SMALL] {
            assert!(f64::from(style.size) * 72.0 / 100.0 > 7.9, "{style:?}");
        }
    }
}
