//! Labelled points with whiskers in a plane. The points of a series are joined by a thin line, or the points that no other
//! beats by a dashed one: the Pareto front.

use super::canvas::{Area, Canvas, Stroke};
use super::frame::{Axis, Frame, title, title_height};
use super::sheet::Panel;
use super::style::{Align, INK, MUTED, SMALL, Type, look};
use super::text;
use crate::analyze::{Better, front};

/// Height for the numbers and the name of the horizontal axis, units.
const BELOW: f64 = 42.0;
/// Least height of the plot area, units.
const LEAST: f64 = 230.0;

/// Units from a point within which its label needs no line.
const NEAR: f64 = 12.0;

/// An axis reaches no further than so many times the largest value.
const WIDEST: f64 = 1.6;

/// A point.
pub(super) struct Dot {
    /// Slot of the look.
    pub slot: usize,
    /// Place on the horizontal axis.
    pub x: f64,
    /// Place on the vertical axis.
    pub y: f64,
    /// Interval of `x`.
    pub x_ci: Option<(f64, f64)>,
    /// Interval of `y`.
    pub ci: Option<(f64, f64)>,
    /// What stands beside it.
    pub label: String,
}

/// A panel of points.
pub(super) struct Cloud {
    /// Lines over the panel.
    pub title: Vec<String>,
    /// Name of the horizontal axis with its unit.
    pub x: String,
    /// Name of the vertical axis with its unit.
    pub y: String,
    /// The points.
    pub dots: Vec<Dot>,
    /// Which ends of the axes are the good ones, if the Pareto front is to be drawn in place of the lines of the series.
    pub better: Option<(Better, Better)>,
}

impl Dot {
    /// Nothing on these axes is below 0, but an interval may reach there.
    fn interval(interval: Option<(f64, f64)>) -> Option<(f64, f64)> {
        interval.map(|(low, high)| (low.max(0.0), high.max(0.0)))
    }
}

impl Cloud {
    /// Joins the points of each series in the order of `x`, or those of the front.
    fn join(&self, canvas: &mut Canvas, frame: &Frame) {
        if let Some((x, y)) = self.better {
            let points: Vec<(f64, f64)> = self.dots.iter().map(|dot| (dot.x, dot.y)).collect();
            let best = front(&points, x, y);
            if best.len() > 1 {
                let points = best.into_iter().map(|i| (frame.x(points[i].0), frame.y(points[i].1.max(0.0)))).collect();
                canvas.polyline(points, Stroke::new(INK, 1.2).dashed());
            }
            return;
        }
        let mut slots: Vec<usize> = self.dots.iter().map(|dot| dot.slot).collect();
        slots.sort_unstable();
        slots.dedup();
        for slot in slots {
            let mut own: Vec<&Dot> = self.dots.iter().filter(|dot| dot.slot == slot).collect();
            own.sort_by(|a, b| a.x.total_cmp(&b.x).then(a.y.total_cmp(&b.y)));
            if own.len() > 1 {
                let points = own.iter().map(|dot| (frame.x(dot.x), frame.y(dot.y))).collect();
                canvas.polyline(points, Stroke::new(look(slot).color, 1.2));
            }
        }
    }
}

impl Panel for Cloud {
    fn height(&self, _: f64) -> f64 {
        title_height(&self.title) + 12.0 + LEAST + BELOW
    }

    fn draw(&self, canvas: &mut Canvas, area: Area) {
        let top = title(canvas, area, &self.title) + 12.0;
        let tall = area.height - top - BELOW;
        let (ys, xs) = (
            self.dots.iter().map(|dot| (dot.y, Dot::interval(dot.ci))),
            self.dots.iter().map(|dot| (dot.x, Dot::interval(dot.x_ci))),
        );
        let vertical = Axis::around(nearest(ys.clone()), farthest(ys), tall, 26.0, 42.0);
        let left = vertical.tick_width() + 28.0;
        let plot = Area { x: area.x + left, y: area.y + top, width: area.width - left - 10.0, height: tall };
        let horizontal = Axis::around(nearest(xs.clone()), farthest(xs), plot.width, 40.0, 64.0);
        let frame = Frame::draw(canvas, plot, horizontal, vertical);
        frame.label_x(canvas, &self.x);
        frame.label_y(canvas, &self.y, vertical.tick_width() + 16.0);
        self.join(canvas, &frame);
        let mut taken: Vec<Area> = Vec::new();
        for dot in &self.dots {
            let (x, y) = (frame.x(dot.x), frame.y(dot.y.max(0.0)));
            if let Some((low, high)) = Dot::interval(dot.x_ci) {
                let (from, to) = (frame.x(low).max(plot.x), frame.x(high).min(plot.right()));
                canvas.whisker((from, y), (to, y), 4.0);
                taken.push(Area { x: from, y: y - 2.0, width: to - from, height: 4.0 });
            }
            if let Some((low, high)) = Dot::interval(dot.ci) {
                let (from, to) = (frame.y(low).min(plot.bottom()), frame.y(high).max(plot.y));
                canvas.whisker((x, from), (x, to), 4.0);
                taken.push(Area { x: x - 2.0, y: to, width: 4.0, height: from - to });
            }
            canvas.marker((x, y), 5.0, look(dot.slot), true);
            taken.push(Area { x: x - 6.0, y: y - 6.0, width: 12.0, height: 12.0 });
        }
        for dot in &self.dots {
            let at = (frame.x(dot.x), frame.y(dot.y.max(0.0)));
            // The legend tells the engine: where there is no room for all, the rest says more.
            let short = dot.label.split_once(' ').map_or(dot.label.as_str(), |(_, rest)| rest);
            for label in [dot.label.as_str(), short] {
                let label = text::shorten(label, SMALL.size, plot.width * 0.6);
                if let Some((beside, style)) = place(at, &label, plot, &taken) {
                    let own = bounds(beside, &label, style);
                    lead(canvas, at, own);
                    taken.push(own);
                    canvas.veil(own);
                    canvas.text(beside, &label, style);
                    break;
                }
            }
        }
    }
}

/// A thin line from a point to a label that does not stand beside it.
fn lead(canvas: &mut Canvas, (x, y): (f64, f64), label: Area) {
    let to = (x.clamp(label.x, label.right()), y.clamp(label.y, label.bottom()));
    let (dx, dy) = (to.0 - x, to.1 - y);
    let length = dx.hypot(dy);
    if length > NEAR {
        canvas.line((x + dx / length * 5.0, y + dy / length * 5.0), to, Stroke::new(MUTED, 0.5));
    }
}

/// The least that an axis must hold: the beginning of every interval.
fn nearest(values: impl Iterator<Item = (f64, Option<(f64, f64)>)>) -> f64 {
    values.map(|(value, ci)| ci.map_or(value, |(low, _)| low.min(value))).fold(f64::INFINITY, f64::min)
}

/// How far an axis must reach: to the end of every interval, but not so far that an interval of a few samples makes all
/// points lie on one line.
fn farthest(values: impl Iterator<Item = (f64, Option<(f64, f64)>)> + Clone) -> f64 {
    let largest = values.clone().map(|(value, _)| value).fold(0.0, f64::max);
    let ends = values.map(|(value, ci)| ci.map_or(value, |(_, high)| high.max(value)));
    ends.fold(0.0, f64::max).min(largest * WIDEST)
}

/// The rectangle that a label covers.
fn bounds((x, y): (f64, f64), label: &str, style: Type) -> Area {
    let width = text::width(label, style.size);
    let left = match style.align {
        Align::Left => x,
        Align::Centre => x - width / 2.0,
        Align::Right => x - width,
    };
    let size = f64::from(style.size);
    Area { x: left, y: y - size * 0.85, width, height: size * 1.1 }
}

/// The first place around a point where a label is inside the plot and covers nothing that is `taken`, if there is one.
fn place((x, y): (f64, f64), label: &str, plot: Area, taken: &[Area]) -> Option<((f64, f64), Type)> {
    let style = SMALL.in_color(INK);
    let sides = [(10.0, style), (-10.0, style.right()), (0.0, style.centred())];
    let heights = [4.0, -10.0, 18.0, -24.0, 32.0, -38.0, 46.0, -52.0, 60.0, -66.0, 74.0, 88.0];
    let mut spots =
        heights.into_iter().flat_map(|dy| sides.into_iter().map(move |(dx, style)| ((x + dx, y + dy), style)));
    let free = |spot: &((f64, f64), Type)| {
        let own = bounds(spot.0, label, spot.1);
        let inside = own.x >= plot.x && own.right() <= plot.right() + 8.0;
        let inside = inside && own.y >= plot.y - 4.0 && own.bottom() <= plot.bottom();
        inside && !taken.iter().any(|other| overlap(own, *other))
    };
    spots.find(free)
}

fn overlap(a: Area, b: Area) -> bool {
    a.x < b.right() && b.x < a.right() && a.y < b.bottom() && b.y < a.bottom()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_of_near_points_do_not_cover_each_other() {
        let plot = Area { x: 0.0, y: 0.0, width: 400.0, height: 300.0 };
        let mut taken: Vec<Area> = Vec::new();
        for i in 0..6 {
            let (at, style) = place((200.0 + f64::from(i), 150.0), "nf4 (Q4_K_M) 4.91 bpw", plot, &taken).unwrap();
            let own = bounds(at, "nf4 (Q4_K_M) 4.91 bpw", style);
            assert!(!taken.iter().any(|other| overlap(own, *other)), "label {i}");
            taken.push(own);
        }
    }
}
