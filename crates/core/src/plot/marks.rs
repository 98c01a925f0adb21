//! What is drawn for one case: a bar with its interval and repetitions, or a distribution with its percentiles.

use super::canvas::{Canvas, Point, Stroke};
use super::frame::{Axis, Frame, Scale};
use super::style::{ALARM, INK, SMALL, look};
use super::text;
use crate::analyze::Estimate;
use kuva::render::render_utils::{silverman_bandwidth, simple_kde_reflect};

/// Fewer samples than this are drawn one by one: they make no shape.
const FEWEST_FOR_SHAPE: usize = 12;

/// What was measured in a case.
pub(super) enum Mark {
    /// A mean with its 95% interval and the repetitions in order of measurement.
    Bar { value: f64, ci: Option<(f64, f64)>, samples: Vec<f64> },
    /// Samples in ascending order, or so many that lie evenly among them, and three percentiles of all: median, p95, p99.
    Spread { sorted: Vec<f64>, percentiles: [f64; 3] },
    /// Nothing: every launch failed.
    Failed,
}

impl Mark {
    /// A bar for an estimate.
    pub fn bar(estimate: &Estimate) -> Mark {
        Mark::Bar { value: estimate.mean, ci: estimate.ci, samples: estimate.samples.clone() }
    }

    /// Smallest and largest value that the mark covers.
    pub fn range(&self) -> Option<(f64, f64)> {
        match self {
            Mark::Bar { value, ci, samples } => {
                let (low, high) = ci.unwrap_or((*value, *value));
                let low = samples.iter().copied().fold(low.min(*value), f64::min);
                Some((low, samples.iter().copied().fold(high.max(*value), f64::max)))
            }
            Mark::Spread { sorted, .. } => Some((*sorted.first()?, *sorted.last()?)),
            Mark::Failed => None,
        }
    }

    /// What is written beside the mark.
    pub fn caption(&self) -> String {
        match self {
            Mark::Bar { value, .. } => text::figure(*value),
            Mark::Spread { .. } => String::new(),
            Mark::Failed => "failed".to_owned(),
        }
    }
}

/// Where a mark goes: values run along an axis of the frame, `centre` and `thickness` are units across it.
pub(super) struct Spot<'a> {
    pub frame: &'a Frame,
    pub sideways: bool,
    pub axis: Axis,
    pub centre: f64,
    pub thickness: f64,
    /// Width that a caption may take, units; upright only.
    pub room: f64,
    pub slot: usize,
}

impl Spot<'_> {
    /// The point `off` units from the centre line at a value.
    fn at(&self, off: f64, value: f64) -> Point {
        match self.sideways {
            true => (self.frame.x(value), self.centre + off),
            false => (self.centre + off, self.frame.y(value)),
        }
    }

    /// Draws a mark.
    pub fn draw(&self, canvas: &mut Canvas, mark: &Mark) {
        match mark {
            Mark::Bar { value, ci, samples } => {
                let half = self.thickness / 2.0;
                canvas.block(self.at(-half, self.axis.min), self.at(half, *value), look(self.slot));
                if let Some((low, high)) = ci {
                    canvas.whisker(self.at(0.0, *low), self.at(0.0, *high), (self.thickness * 0.2).min(6.0));
                }
                if samples.len() > 1 {
                    self.dots(canvas, samples);
                }
                self.caption(canvas, mark);
            }
            Mark::Spread { sorted, percentiles } => self.spread(canvas, sorted, *percentiles),
            Mark::Failed => self.caption(canvas, mark),
        }
    }

    /// One dot per sample, in the order given from one edge to the other.
    fn dots(&self, canvas: &mut Canvas, samples: &[f64]) {
        let count = samples.len() as f64;
        let radius = if samples.len() > 40 { 1.3 } else { 2.0 };
        for (i, sample) in samples.iter().enumerate() {
            let off = ((i as f64 + 0.5) / count - 0.5) * self.thickness * 0.7;
            canvas.dot(self.at(off, *sample), radius);
        }
    }

    fn caption(&self, canvas: &mut Canvas, mark: &Mark) {
        let end = mark.range().map_or(self.axis.min, |(_, high)| high);
        let (x, y) = self.at(0.0, end);
        let caption = mark.caption();
        let style = SMALL.in_color(if matches!(mark, Mark::Failed) { ALARM } else { INK });
        match self.sideways {
            true => canvas.text((x + 6.0, y + 4.0), &caption, style),
            false if text::width(&caption, SMALL.size) > self.room => {
                canvas.upward_text((x + 4.0, y - 6.0), &caption, style);
            }
            false => canvas.text((x, y - 6.0), &caption, style.centred()),
        }
    }

    /// A violin with its percentiles, or dots where there are too few samples for a shape.
    fn spread(&self, canvas: &mut Canvas, sorted: &[f64], [p50, p95, p99]: [f64; 3]) {
        let (Some(first), Some(last)) = (sorted.first(), sorted.last()) else { return };
        canvas.line(self.at(0.0, *first), self.at(0.0, *last), Stroke::new("#333333", 1.0));
        let outline = if sorted.len() < FEWEST_FOR_SHAPE { Vec::new() } else { density(sorted, self.axis.scale) };
        if outline.is_empty() {
            self.dots(canvas, sorted);
        } else {
            let half = self.thickness / 2.0;
            let there = outline.iter().map(|(value, width)| self.at(-half * width, *value));
            let back = outline.iter().rev().map(|(value, width)| self.at(half * width, *value));
            canvas.shape(&there.chain(back).collect::<Vec<_>>(), look(self.slot));
        }
        let reach = self.thickness * 0.36;
        for (value, stroke) in [(p95, Stroke::new(INK, 1.6)), (p99, Stroke::new(INK, 1.6).dashed())] {
            canvas.line(self.at(-reach, value), self.at(reach, value), stroke);
        }
        canvas.dot(self.at(0.0, p50), 3.2);
    }
}

/// The outline of a distribution: values and densities relative to the highest. Empty where all values are equal.
///
/// Gaussian kernel with B. Silverman's bandwidth ("Density estimation", 1986, eq. 3.31), reflected at the extremes;
/// on a logarithmic axis it is the density of the logarithm.
fn density(sorted: &[f64], scale: Scale) -> Vec<(f64, f64)> {
    let log = scale == Scale::Log;
    let values: Vec<f64> = sorted.iter().map(|v| if log { v.log10() } else { *v }).collect();
    let (low, high) = (values[0], values[values.len() - 1]);
    if !(high - low).is_finite() || high - low <= low.abs() * 1e-9 {
        return Vec::new();
    }
    let curve = simple_kde_reflect(&values, silverman_bandwidth(&values), 96, low, high, true, true);
    let highest = curve.iter().map(|(_, density)| *density).fold(0.0, f64::max);
    if highest <= 0.0 {
        return Vec::new();
    }
    curve.into_iter().map(|(v, density)| (if log { 10f64.powf(v) } else { v }, density / highest)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_density_peaks_where_the_values_are() {
        let mut values: Vec<f64> = (0..200).map(|i| 20.0 + f64::from(i % 7) * 0.1).collect();
        values.extend([40.0, 41.0]);
        values.sort_by(f64::total_cmp);
        for scale in [Scale::Log, Scale::Linear { step: 1.0 }] {
            let outline = density(&values, scale);
            let (peak, _) = outline.iter().copied().max_by(|a, b| a.1.total_cmp(&b.1)).unwrap();
            assert!((19.9..21.0).contains(&peak), "{peak}");
            assert!(outline.iter().all(|(v, d)| v.is_finite() && (0.0..=1.0).contains(d)));
        }
    }

    #[test]
    fn equal_values_have_no_shape() {
        assert!(density(&[5.0; 50], Scale::Log).is_empty());
    }

    #[test]
    fn a_range_covers_interval_and_samples() {
        let bar = Mark::Bar { value: 5.0, ci: Some((4.5, 5.6)), samples: vec![4.0, 6.0] };
        assert_eq!(bar.range(), Some((4.0, 6.0)));
        assert_eq!(Mark::Failed.range(), None);
    }
}
