//! A chart whose values run upwards, with the names of the categories below.

use super::canvas::{Area, Canvas, Stroke};
use super::chart::{Category, Chart, Entry};
use super::frame::{Axis, Frame, title, title_height};
use super::marks::Spot;
use super::style::{INK, LABEL, SMALL};
use super::text;

/// Space between categories, in widths of a case.
const BETWEEN: f64 = 0.8;
/// Height of a line of labels, units.
const LINE: f64 = 14.0;
/// Left margin that is assumed before the axis is known, units.
const LEFT: f64 = 66.0;
/// Least height of the plot area, units.
const LEAST: f64 = 150.0;
/// A bar is no thicker than this, units.
const THICKEST: f64 = 52.0;

/// Places of all cases: number of widths that they take in all.
fn places(chart: &Chart) -> f64 {
    chart.categories.iter().map(|category| category.entries.len() as f64 + BETWEEN).sum::<f64>().max(1.0)
}

/// Width of a category and of one of its cases, less a little air.
fn rooms(category: &Category, slot: f64) -> (f64, f64) {
    ((category.entries.len() as f64 + BETWEEN) * slot - 6.0, slot - 5.0)
}

/// Whether all labels fit below a panel of that width without being cut.
pub(super) fn fits(chart: &Chart, width: f64) -> bool {
    let slot = (width - LEFT) / places(chart);
    let whole = |parts: &[String], room: f64| {
        text::widest(parts, SMALL.size) <= room && text::pack(parts, SMALL.size, room).len() <= 3
    };
    chart.column.is_none()
        && slot > 16.0
        && chart.categories.iter().all(|category| {
            let (wide, narrow) = rooms(category, slot);
            text::width(&category.name, LABEL.size) <= wide
                && whole(&category.parts, wide)
                && category.entries.iter().all(|entry| whole(&entry.parts, narrow))
        })
}

/// Height below the plot area.
fn below(chart: &Chart, slot: f64) -> f64 {
    let lines = chart.categories.iter().map(|category| {
        let (wide, narrow) = rooms(category, slot);
        let own = |entry: &Entry| text::pack(&entry.parts, SMALL.size, narrow).len();
        text::pack(&category.parts, SMALL.size, wide).len() + category.entries.iter().map(own).max().unwrap_or(0)
    });
    8.0 + LINE * (1.0 + lines.max().unwrap_or(0) as f64) + 4.0
}

/// Least height of the panel.
pub(super) fn height(chart: &Chart, width: f64) -> f64 {
    let slot = (width - LEFT) / places(chart);
    title_height(&chart.title) + 10.0 + LEAST + below(chart, slot)
}

/// Draws the panel.
pub(super) fn draw(chart: &Chart, canvas: &mut Canvas, area: Area) {
    let count = places(chart);
    let top = title(canvas, area, &chart.title) + 10.0;
    let tall = area.height - top - below(chart, (area.width - LEFT) / count);
    let turned =
        chart.entries().any(|entry| text::width(&entry.mark.caption(), SMALL.size) > (area.width - LEFT) / count - 1.0);
    let axis =
        Axis::from_zero(chart.range().map_or(1.0, |(_, high)| high), tall, if turned { 48.0 } else { 24.0 }, 42.0);
    let left = axis.tick_width() + 28.0;
    let right = if chart.reference.is_some() { 30.0 } else { 4.0 };
    let plot = Area { x: area.x + left, y: area.y + top, width: area.width - left - right, height: tall };
    let slot = plot.width / count;
    let frame = Frame::draw(canvas, plot, Axis::places(count), axis);
    frame.label_y(canvas, &chart.axis, axis.tick_width() + 16.0);
    let mut begin = plot.x;
    for category in &chart.categories {
        for (i, entry) in category.entries.iter().enumerate() {
            let centre = begin + (BETWEEN / 2.0 + i as f64 + 0.5) * slot;
            let thickness = (slot * 0.84).min(THICKEST);
            let spot = Spot { frame: &frame, sideways: false, axis, centre, thickness, room: slot, slot: entry.slot };
            spot.draw(canvas, &entry.mark);
        }
        label(canvas, category, begin, slot, plot.bottom());
        begin += (category.entries.len() as f64 + BETWEEN) * slot;
    }
    if let Some((value, name)) = &chart.reference {
        let y = frame.y(*value);
        canvas.line((plot.x, y), (plot.right(), y), Stroke::new(INK, 1.2).dashed());
        canvas.text((plot.right() + 3.0, y + 4.0), name, SMALL);
    }
}

/// Name and details of a category, from `begin` on, below the axis at `bottom`.
fn label(canvas: &mut Canvas, category: &Category, begin: f64, slot: f64, bottom: f64) {
    let (wide, narrow) = rooms(category, slot);
    let centre = begin + (category.entries.len() as f64 + BETWEEN) * slot / 2.0;
    let line = |i: usize| bottom + 8.0 + 11.0 + LINE * i as f64;
    canvas.text((centre, line(0)), &text::shorten(&category.name, LABEL.size, wide), LABEL.centred());
    let shared = text::pack(&category.parts, SMALL.size, wide);
    for (i, part) in shared.iter().enumerate() {
        canvas.text((centre, line(1 + i)), part, SMALL.centred());
    }
    for (at, entry) in category.entries.iter().enumerate() {
        let centre = begin + (BETWEEN / 2.0 + at as f64 + 0.5) * slot;
        for (i, part) in text::pack(&entry.parts, SMALL.size, narrow).iter().enumerate() {
            canvas.text((centre, line(1 + shared.len() + i)), part, SMALL.centred());
        }
    }
}
