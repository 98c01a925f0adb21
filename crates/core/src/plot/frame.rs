//! A plot area: axes, ticks and grid by kuva, and where a value lies on the sheet.
//!
//! The margins that kuva would choose are replaced by the area that the panel asks for, so that panels line up.

use super::canvas::{Area, Canvas};
use super::style::{FACET, LABEL, SMALL};
use super::text;
use kuva::render::axis::add_axes_and_grid;
use kuva::render::layout::{AxisLabelOverlap, ComputedLayout, Layout, TickFormat};
use std::sync::Arc;

/// What an axis measures.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Axis {
    pub min: f64,
    pub max: f64,
    pub scale: Scale,
}

/// How an axis runs.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Scale {
    /// Categories: no ticks, no grid.
    Places,
    /// Evenly, with a tick every `step`.
    Linear { step: f64 },
    /// By powers of ten.
    Log,
}

/// Share of the highest value above which all must lie for an axis to begin elsewhere than at 0.
const FAR: f64 = 0.7;

impl Axis {
    /// An axis on which categories have their places.
    pub fn places(count: f64) -> Axis {
        Axis { min: 0.0, max: count.max(1.0), scale: Scale::Places }
    }

    /// From 0 to `high` and `room` units of empty space beyond, on `length` units of paper; ticks about `spacing` apart.
    pub fn from_zero(high: f64, length: f64, room: f64, spacing: f64) -> Axis {
        let high = if high.is_finite() && high > 0.0 { high } else { 1.0 };
        let max = with_room(high, length, room);
        Axis { min: 0.0, max, scale: Scale::Linear { step: tick_step(max, length, spacing) } }
    }

    /// For points: from 0, or from a tick below `low` where all lie so far from 0 that they would crowd together at the far
    /// end. `room` and `spacing` as in [`Axis::from_zero`].
    pub fn around(low: f64, high: f64, length: f64, room: f64, spacing: f64) -> Axis {
        if !(low.is_finite() && low > FAR * high) {
            return Axis::from_zero(high, length, room, spacing);
        }
        // Points that are all the same still get an axis of some width.
        let width = (high - low).max(0.05 * high);
        let step = tick_step(with_room(width, length, room), length, spacing);
        let min = ((high - width) / step + 1e-9).floor() * step;
        Axis { min, max: min + with_room(high - min, length, room), scale: Scale::Linear { step } }
    }

    /// Logarithmic, from `low` to `high` (both above 0), widened to numbers that get a tick.
    pub fn log(low: f64, high: f64) -> Axis {
        let (min, max) = (round_log(low, false), round_log(high, true));
        let max = if max > min { max } else { min * 10.0 };
        Axis { min, max, scale: Scale::Log }
    }

    /// The widest number that stands at a tick, units.
    pub fn tick_width(&self) -> f64 {
        match self.scale {
            Scale::Places => 0.0,
            Scale::Log => text::width(&text::tick(self.max), LABEL.size).max(text::width("0.05", LABEL.size)),
            Scale::Linear { step } => {
                let count = ((self.max - self.min) / step).clamp(0.0, 20.0) as u32;
                let labels: Vec<String> = (0..=count).map(|i| text::tick(self.min + f64::from(i) * step)).collect();
                text::widest(&labels, LABEL.size)
            }
        }
    }
}

/// What an axis of `length` units spans, if `span` is to leave `room` units empty beyond.
fn with_room(span: f64, length: f64, room: f64) -> f64 {
    span / (1.0 - (room / length.max(1.0)).clamp(0.0, 0.7))
}

/// A step for ticks about `spacing` units apart on an axis of `length` units that spans `span`.
fn tick_step(span: f64, length: f64, spacing: f64) -> f64 {
    nice_step(span / (length / spacing).clamp(2.0, 8.0))
}

/// The next of 1, 2, 2.5, 5 and 10 times a power of ten that is not below `raw`.
fn nice_step(raw: f64) -> f64 {
    let power = 10f64.powf(raw.log10().floor());
    let factor = raw / power;
    let nice = [1.0, 2.0, 2.5, 5.0].into_iter().find(|nice| factor <= nice * (1.0 + 1e-9)).unwrap_or(10.0);
    nice * power
}

/// The nearest of 1, 2 and 5 times a power of ten that is not above, or not below, `value`.
fn round_log(value: f64, up: bool) -> f64 {
    let power = 10f64.powf(value.log10().floor());
    let factor = value / power;
    let steps = [1.0, 2.0, 5.0, 10.0];
    let near = match up {
        true => steps.into_iter().find(|step| factor <= step * (1.0 + 1e-9)),
        false => steps.into_iter().rev().find(|step| factor >= step * (1.0 - 1e-9)),
    };
    near.unwrap_or(1.0) * power
}

/// Axes that were drawn.
pub(super) struct Frame {
    computed: ComputedLayout,
    area: Area,
}

impl Frame {
    /// Draws axes, ticks and grid around `area`; tick numbers stand outside of it.
    pub fn draw(canvas: &mut Canvas, area: Area, x: Axis, y: Axis) -> Frame {
        let mut layout = Layout::new((x.min, x.max), (y.min, y.max))
            .with_width(area.right())
            .with_height(area.bottom())
            .with_force_margins(area.x, 0.0)
            .with_force_margins_y(area.y, 0.0)
            .with_x_axis_min(x.min)
            .with_x_axis_max(x.max)
            .with_y_axis_min(y.min)
            .with_y_axis_max(y.max)
            .with_tick_size(LABEL.size)
            .with_grid_line_width(0.6)
            .with_x_label_overlap(AxisLabelOverlap::Thin)
            .with_x_tick_format(TickFormat::Custom(Arc::new(text::tick)))
            .with_y_tick_format(TickFormat::Custom(Arc::new(text::tick)));
        // A step that is not finite means no ticks at all.
        layout = match x.scale {
            Scale::Places => layout.with_x_tick_step(f64::INFINITY),
            Scale::Linear { step } => layout.with_x_tick_step(step),
            Scale::Log => layout.with_log_x(),
        };
        layout = match y.scale {
            Scale::Places => layout.with_y_tick_step(f64::INFINITY),
            Scale::Linear { step } => layout.with_y_tick_step(step),
            Scale::Log => layout.with_log_y(),
        };
        let computed = ComputedLayout::from_layout(&layout);
        add_axes_and_grid(&mut canvas.scene, &computed, &layout);
        Frame { computed, area }
    }

    /// Where a value of the horizontal axis lies.
    pub fn x(&self, value: f64) -> f64 {
        self.computed.map_x(value)
    }

    /// Where a value of the vertical axis lies.
    pub fn y(&self, value: f64) -> f64 {
        self.computed.map_y(value)
    }

    /// Names the horizontal axis, below its numbers.
    pub fn label_x(&self, canvas: &mut Canvas, label: &str) {
        let label = text::shorten(label, LABEL.size, self.area.width + 60.0);
        let half = text::width(&label, LABEL.size) / 2.0;
        // Kept on the sheet where the label is wider than its axis.
        let x = (self.area.x + self.area.width / 2.0).min(super::style::WIDTH - 4.0 - half);
        canvas.text((x, self.area.bottom() + 35.0), &label, LABEL.centred());
    }

    /// Names the vertical axis, `left` units beside it.
    pub fn label_y(&self, canvas: &mut Canvas, label: &str, left: f64) {
        let room = self.area.height + 50.0;
        let style = if text::width(label, LABEL.size) > room { SMALL } else { LABEL };
        let label = text::shorten(label, style.size, room);
        let at = (self.area.x - left, self.area.y + self.area.height / 2.0);
        canvas.upward_text(at, &label, style.centred());
    }
}

/// Writes the lines of a panel's title and returns the height that they take.
pub(super) fn title(canvas: &mut Canvas, area: Area, lines: &[String]) -> f64 {
    for (i, line) in lines.iter().enumerate() {
        let style = if i == 0 { FACET } else { super::style::SUBTITLE };
        let line = text::shorten(line, style.size, area.width);
        canvas.text((area.x, area.y + 12.0 + i as f64 * 17.0), &line, style);
    }
    title_height(lines)
}

/// Height of a panel's title.
pub(super) fn title_height(lines: &[String]) -> f64 {
    lines.len() as f64 * 17.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_lie_where_the_area_says() {
        let mut canvas = Canvas::new(400.0, 300.0);
        let area = Area { x: 50.0, y: 20.0, width: 200.0, height: 100.0 };
        let y = Axis { min: 0.0, max: 10.0, scale: Scale::Linear { step: 5.0 } };
        let frame = Frame::draw(&mut canvas, area, Axis::places(4.0), y);
        assert_eq!((frame.x(0.0), frame.x(4.0)), (50.0, 250.0));
        assert_eq!((frame.y(0.0), frame.y(10.0)), (120.0, 20.0));
    }

    #[test]
    fn a_log_axis_ends_at_ticks_around_the_data() {
        let axis = Axis::log(21.0, 34.0);
        assert!((axis.min - 20.0).abs() < 1e-9 && (axis.max - 50.0).abs() < 1e-9, "{axis:?}");
        let axis = Axis::log(1.0, 1.0);
        assert!(axis.min < axis.max, "{axis:?}");
    }

    #[test]
    fn an_axis_from_zero_keeps_room_beyond_the_data() {
        let axis = Axis::from_zero(90.0, 200.0, 20.0, 40.0);
        assert_eq!(axis.max, 100.0);
        assert_eq!(axis.scale, Scale::Linear { step: 20.0 });
        assert_eq!(Axis::from_zero(0.0, 200.0, 0.0, 40.0).max, 1.0);
    }

    #[test]
    fn points_far_from_zero_get_an_axis_around_them() {
        let axis = Axis::around(0.93, 0.99, 300.0, 26.0, 42.0);
        assert!(axis.min > 0.8 && axis.min <= 0.93 && axis.max > 0.99, "{axis:?}");
        let Scale::Linear { step } = axis.scale else { panic!("{axis:?}") };
        assert!((axis.min / step - (axis.min / step).round()).abs() < 1e-6, "{axis:?}");
        // Not where one is near 0, and not into nothing where all are the same.
        assert_eq!(Axis::around(10.0, 90.0, 200.0, 20.0, 40.0), Axis::from_zero(90.0, 200.0, 20.0, 40.0));
        let same = Axis::around(1.0, 1.0, 300.0, 26.0, 42.0);
        assert!(same.min < 1.0 && same.max > 1.0, "{same:?}");
        assert_eq!(Axis::around(f64::INFINITY, 0.0, 200.0, 0.0, 40.0).min, 0.0);
    }

    #[test]
    fn steps_are_round() {
        for (raw, nice) in [(0.9, 1.0), (1.0, 1.0), (2.2, 2.5), (26.0, 50.0), (700.0, 1000.0)] {
            assert!((nice_step(raw) / nice - 1.0).abs() < 1e-9, "{raw}: {}", nice_step(raw));
        }
    }
}
