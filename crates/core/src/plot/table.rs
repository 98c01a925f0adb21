//! Small multiples in rows: one row per case, one column per measure, a dot with its interval in each cell.

use super::canvas::{Area, Canvas};
use super::frame::{Axis, Frame};
use super::sheet::Panel;
use super::style::{ALARM, BAND, INK, LABEL, SMALL, look};
use super::text;

/// Height of a row, units.
const ROW: f64 = 18.0;
/// Height of the measures' names, units.
const ABOVE: f64 = 22.0;
/// Height of the axes' numbers, units.
const BELOW: f64 = 24.0;
/// Space between measures, units.
const BETWEEN: f64 = 34.0;
/// From this ratio of largest to smallest value on, an axis is logarithmic.
const WIDE: f64 = 30.0;

/// A row of the table.
#[derive(Clone)]
pub(super) enum Row {
    /// Names what the rows below have in common.
    Heading(String),
    /// A case; its name is cut where there is no room, its `figure` never is.
    Case { slot: usize, name: String, figure: String, failed: bool },
}

/// A value in a cell.
#[derive(Clone, Copy)]
pub(super) struct Cell {
    /// The value.
    pub value: f64,
    /// Its interval.
    pub ci: Option<(f64, f64)>,
    /// A second value, drawn hollow.
    pub other: Option<f64>,
}

/// A column of the table.
pub(super) struct Measure {
    /// Name with the unit.
    pub name: &'static str,
    /// One cell per row; `None` in headings and where nothing was measured.
    pub cells: Vec<Option<Cell>>,
}

/// Rows and some measures of them.
pub(super) struct Table {
    /// The rows.
    pub rows: Vec<Row>,
    /// The columns, each with a cell per row.
    pub measures: Vec<Measure>,
}

impl Measure {
    /// All values, intervals included.
    fn values(&self) -> impl Iterator<Item = f64> {
        self.cells.iter().flatten().flat_map(|cell| {
            let (low, high) = cell.ci.unwrap_or((cell.value, cell.value));
            [low, high, cell.value, cell.other.unwrap_or(cell.value)]
        })
    }

    fn axis(&self, length: f64) -> Option<Axis> {
        let (low, high) = self.values().map(|v| (v, v)).reduce(|a, b| (a.0.min(b.0), a.1.max(b.1)))?;
        match low > 0.0 && high / low > WIDE {
            true => Some(Axis::log(low, high)),
            false => Some(Axis::from_zero(high, length, 10.0, 62.0)),
        }
    }
}

impl Table {
    fn names(&self, width: f64) -> f64 {
        let names = self.rows.iter().map(|row| match row {
            Row::Heading(_) => 0.0,
            Row::Case { name, figure, .. } => text::width(name, SMALL.size) + text::width(figure, SMALL.size) + 4.0,
        });
        names.fold(60.0, f64::max).min(width * 0.32)
    }

    /// Names of the cases, and the headings as bands over the grid.
    fn draw_names(&self, canvas: &mut Canvas, area: Area, names: f64, pitch: f64) {
        for (i, row) in self.rows.iter().enumerate() {
            let y = area.y + ABOVE + i as f64 * pitch;
            let baseline = y + pitch / 2.0 + 4.0;
            match row {
                Row::Heading(heading) => {
                    let height = (pitch - 2.0).min(ROW + 4.0);
                    let band = Area { x: area.x, y: y + (pitch - height) / 2.0, width: area.width, height };
                    canvas.fill(band, BAND);
                    let heading = text::shorten(heading, LABEL.size, area.width - 8.0);
                    canvas.text((area.x + 4.0, baseline), &heading, LABEL);
                }
                Row::Case { name, figure, failed, .. } => {
                    let style = SMALL.in_color(if *failed { ALARM } else { INK });
                    let rest = format!("{figure}{}", if *failed { " failed" } else { "" });
                    let room = names - text::width(&rest, SMALL.size);
                    let name = format!("{}{rest}", text::shorten(name, SMALL.size, room));
                    canvas.text((area.x + names, baseline), &name, style.right());
                }
            }
        }
    }

    fn draw_measure(&self, canvas: &mut Canvas, measure: &Measure, plot: Area, pitch: f64) {
        canvas.text((plot.x, plot.y - 8.0), measure.name, LABEL);
        let Some(axis) = measure.axis(plot.width) else {
            let at = (plot.x + plot.width / 2.0, plot.y + plot.height / 2.0 + 4.0);
            return canvas.text(at, "not measured", SMALL.centred());
        };
        let frame = Frame::draw(canvas, plot, axis, Axis::places(1.0));
        for (i, (row, cell)) in self.rows.iter().zip(&measure.cells).enumerate() {
            let (Row::Case { slot, .. }, Some(cell)) = (row, cell) else { continue };
            let y = plot.y + (i as f64 + 0.5) * pitch;
            let (low, high) = cell.ci.unwrap_or((cell.value, cell.value));
            if cell.ci.is_some() {
                canvas.whisker((frame.x(low), y), (frame.x(high), y), 3.0);
            }
            if let Some(other) = cell.other {
                canvas.marker((frame.x(other), y), 3.4, look(*slot), false);
            }
            canvas.marker((frame.x(cell.value), y), 3.8, look(*slot), true);
            let caption = text::figure(cell.value);
            let ends = [frame.x(low), frame.x(high), frame.x(cell.other.unwrap_or(cell.value))];
            let (left, right) =
                (ends.iter().copied().fold(f64::MAX, f64::min), ends.iter().copied().fold(f64::MIN, f64::max));
            match right + 8.0 + text::width(&caption, SMALL.size) <= plot.right() {
                true => canvas.text((right + 8.0, y + 4.0), &caption, SMALL.in_color(INK)),
                false => canvas.text((left - 8.0, y + 4.0), &caption, SMALL.in_color(INK).right()),
            }
        }
    }
}

impl Panel for Table {
    fn height(&self, _: f64) -> f64 {
        ABOVE + self.rows.len() as f64 * ROW + BELOW
    }

    fn draw(&self, canvas: &mut Canvas, area: Area) {
        let names = self.names(area.width);
        let pitch = (area.height - ABOVE - BELOW) / self.rows.len().max(1) as f64;
        let count = self.measures.len().max(1) as f64;
        let begin = area.x + names + 12.0;
        let width = (area.right() - begin - (count - 1.0) * BETWEEN) / count;
        for (i, measure) in self.measures.iter().enumerate() {
            let plot = Area {
                x: begin + i as f64 * (width + BETWEEN),
                y: area.y + ABOVE,
                width,
                height: area.height - ABOVE - BELOW,
            };
            self.draw_measure(canvas, measure, plot, pitch);
        }
        self.draw_names(canvas, area, names, pitch);
    }
}
