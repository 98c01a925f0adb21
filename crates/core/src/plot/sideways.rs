//! A chart whose values run to the right: names and details stand at the left, so that any number of them fits.

use super::canvas::{Area, Canvas, Stroke};
use super::chart::{Category, Chart};
use super::frame::{Axis, Frame, title, title_height};
use super::marks::Spot;
use super::style::{INK, LABEL, SMALL};
use super::text;

/// Height of a line of labels, units.
const LINE: f64 = 14.0;
/// Space between categories, units.
const BETWEEN: f64 = 9.0;
/// Least height of a case, units.
const LEAST: f64 = 19.0;
/// A bar is no thicker than this, units.
const THICKEST: f64 = 40.0;
/// Height for the numbers and the name of the axis, units.
const BELOW: f64 = 42.0;

/// What stands left and right of the plot area, units.
struct Columns {
    /// Names of categories with shared details.
    names: f64,
    /// Details of single cases; 0 if there are none.
    details: f64,
    /// Text at the right; 0 if there is none.
    right: f64,
}

fn columns(chart: &Chart, width: f64) -> Columns {
    let room = (width * 0.34).min(270.0);
    let mut found = Columns { names: 0.0, details: 0.0, right: 0.0 };
    for category in &chart.categories {
        let name = text::width(&category.name, LABEL.size).min(room);
        let shared = text::pack(&category.parts, SMALL.size, room);
        found.names = found.names.max(name).max(text::widest(&shared, SMALL.size));
        for entry in &category.entries {
            let own = text::pack(&entry.parts, SMALL.size, room);
            found.details = found.details.max(text::widest(&own, SMALL.size));
            found.right = found.right.max(text::width(&entry.column, SMALL.size));
        }
    }
    if let Some(heading) = &chart.column {
        found.right = found.right.max(text::width(heading, SMALL.size)) + 14.0;
    }
    found
}

/// Share of the panel's width that labels take.
pub(super) fn labels_take(chart: &Chart, width: f64) -> f64 {
    let found = columns(chart, width);
    (found.names + found.details + found.right + 24.0) / width
}

/// Least height of a case, such that all lines of the labels have room.
fn pitch(chart: &Chart, width: f64) -> f64 {
    let found = columns(chart, width);
    let lines = |parts: &[String], room: f64| text::pack(parts, SMALL.size, room + 0.5).len() as f64;
    let need = chart.categories.iter().map(|category| {
        let own = category.entries.iter().map(|entry| lines(&entry.parts, found.details) * LINE + 4.0);
        let block = (1.0 + lines(&category.parts, found.names)) * LINE + 2.0;
        own.fold(block / category.entries.len().max(1) as f64, f64::max)
    });
    need.fold(LEAST, f64::max)
}

fn rows(chart: &Chart) -> f64 {
    (chart.entries().count() as f64).max(1.0)
}

fn above(chart: &Chart) -> f64 {
    let heading = chart.column.is_some() || chart.reference.is_some();
    title_height(&chart.title) + if heading { 22.0 } else { 8.0 }
}

/// Least height of the panel.
pub(super) fn height(chart: &Chart, width: f64) -> f64 {
    above(chart) + rows(chart) * pitch(chart, width) + chart.categories.len() as f64 * BETWEEN + BELOW
}

/// Draws the panel.
pub(super) fn draw(chart: &Chart, canvas: &mut Canvas, area: Area) {
    title(canvas, area, &chart.title);
    let found = columns(chart, area.width);
    let details = if found.details > 0.0 { found.details + 10.0 } else { 0.0 };
    let left = found.names + 10.0 + details;
    let plot = Area {
        x: area.x + left,
        y: area.y + above(chart),
        width: (area.width - left - found.right - 8.0).max(60.0),
        height: area.height - above(chart) - BELOW,
    };
    let pitch = (plot.height - chart.categories.len() as f64 * BETWEEN) / rows(chart);
    let axis = value_axis(chart, plot.width);
    let frame = Frame::draw(canvas, plot, axis, Axis::places(1.0));
    frame.label_x(canvas, &chart.axis);
    if let Some((value, name)) = &chart.reference {
        let x = frame.x(*value);
        canvas.line((x, plot.y), (x, plot.bottom()), Stroke::new(INK, 1.2).dashed());
        canvas.text((x, plot.y - 5.0), name, SMALL.centred());
    }
    if let Some(heading) = &chart.column {
        canvas.text((area.right(), plot.y - 5.0), heading, SMALL.right());
    }
    let mut y = plot.y + BETWEEN / 2.0;
    for category in &chart.categories {
        let block = Area { x: area.x, y, width: found.names, height: category.entries.len() as f64 * pitch };
        name(canvas, category, block);
        for entry in &category.entries {
            let centre = y + pitch / 2.0;
            let thickness = (pitch * 0.8).min(THICKEST);
            let spot = Spot { frame: &frame, sideways: true, axis, centre, thickness, room: 0.0, slot: entry.slot };
            spot.draw(canvas, &entry.mark);
            let lines = text::pack(&entry.parts, SMALL.size, found.details + 0.5);
            let first = centre + 4.0 - (lines.len() as f64 - 1.0) * LINE / 2.0;
            for (i, line) in lines.iter().enumerate() {
                canvas.text((plot.x - 8.0, first + i as f64 * LINE), line, SMALL.right());
            }
            canvas.text((area.right(), centre + 4.0), &entry.column, SMALL.right().in_color(INK));
            y += pitch;
        }
        y += BETWEEN;
    }
}

/// The axis of values, with room for the caption of the longest bar.
fn value_axis(chart: &Chart, length: f64) -> Axis {
    let (low, high) = chart.range().unwrap_or((0.0, 1.0));
    if chart.logarithmic {
        return Axis::log(low, high);
    }
    let captions = chart.entries().map(|entry| text::width(&entry.mark.caption(), SMALL.size));
    let room = captions.fold(0.0, f64::max);
    Axis::from_zero(high, length, room + 12.0, 64.0)
}

/// Name and shared details of a category, in the middle of its block at the left.
fn name(canvas: &mut Canvas, category: &Category, block: Area) {
    let lines = text::pack(&category.parts, SMALL.size, block.width + 0.5);
    let first = block.y + block.height / 2.0 + 4.0 - lines.len() as f64 * LINE / 2.0;
    canvas.text((block.x, first), &text::shorten(&category.name, LABEL.size, block.width + 0.5), LABEL);
    for (i, line) in lines.iter().enumerate() {
        canvas.text((block.x, first + (i as f64 + 1.0) * LINE), line, SMALL);
    }
}
