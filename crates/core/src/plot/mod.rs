//! Step 4: figures. Eleven plots of an [`Analysis`], each as SVG and as PNG with 300 dpi; bytes, and no files.
//!
//! To add a plot: one file with a function from an analysis to a sheet, and one line in [`PLOTS`].
//!
//! Nothing is averaged here, and nothing is measured: the figures are those of `analyze`. Every sheet is 10 inches wide
//! and at least 6 high, and grows with its panels.
//!
//! From the data down: a plot's own file decides what is shown; `roster` finds the cases that may stand together and the
//! series they belong to; `chart` (`upright`, `sideways`, `marks`), `table` and `cloud` are the panels; `sheet` puts panels,
//! legend and notes on a page; `frame` and `canvas` draw with kuva's axes and primitives; `render` makes SVG and PNG.

mod accuracy_vs_speed;
mod backend_comparison;
mod canvas;
mod chart;
mod cloud;
mod device_comparison;
#[cfg(test)]
mod fixture;
mod frame;
mod grouped;
mod labels;
mod latency_distribution;
mod marks;
mod memory;
mod quality_vs_size;
mod quantization_impact;
mod render;
mod roster;
mod sheet;
mod sideways;
mod speedup_comparison;
mod style;
mod summary_stats;
mod table;
#[cfg(test)]
mod tests;
mod text;
mod throughput;
mod upright;

use crate::analyze::Analysis;
use resvg::usvg;
use sheet::Sheet;
use std::panic::resume_unwind;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

/// All plots, in the order of the presentation.
pub const PLOTS: &[Plot] = &[
    Plot { name: "backend_comparison", title: backend_comparison::TITLE, build: backend_comparison::build },
    Plot { name: "speedup_comparison", title: speedup_comparison::TITLE, build: speedup_comparison::build },
    Plot { name: "summary_stats", title: summary_stats::TITLE, build: summary_stats::build },
    Plot { name: "quantization_impact", title: quantization_impact::TITLE, build: quantization_impact::build },
    Plot { name: "latency_distribution", title: latency_distribution::TITLE, build: latency_distribution::build },
    Plot { name: "memory_throughput", title: throughput::MEMORY_TITLE, build: throughput::memory },
    Plot { name: "param_throughput", title: throughput::PARAM_TITLE, build: throughput::param },
    Plot { name: "device_comparison", title: device_comparison::TITLE, build: device_comparison::build },
    Plot { name: "accuracy_vs_speed", title: accuracy_vs_speed::TITLE, build: accuracy_vs_speed::build },
    Plot { name: "quality_vs_size", title: quality_vs_size::TITLE, build: quality_vs_size::build },
    Plot { name: "memory", title: memory::TITLE, build: memory::build },
];

/// What brings the data of most plots.
const RUN: &[&str] = &["tokometer run --engine llamacpp --model synthetic:60M --quantize nf4", "tokometer collate"];

/// What brings the data of plots that compare.
const RUN_BOTH: &[&str] =
    &["tokometer run --engine llamacpp --model synthetic:60M --quantize float16,nf4", "tokometer collate"];

/// What brings the data of plots that hold accuracy against speed.
const RUN_AND_EVALUATE: &[&str] = &[
    "tokometer run --engine llamacpp --model synthetic:60M --quantize float16,nf4",
    "tokometer collate",
    "tokometer eval --env reverse-text --engine llamacpp --model synthetic:60M --quantize float16,nf4",
];

/// What brings the data of plots that hold quality against size.
const EVALUATE: &[&str] =
    &["tokometer eval --env distance --engine llamacpp --model synthetic:60M --quantize float16,nf4"];

/// A plot that can be drawn.
#[derive(Debug)]
pub struct Plot {
    /// Name of its files.
    pub name: &'static str,
    /// What it shows, in a few words.
    pub title: &'static str,
    build: fn(&Analysis) -> Sheet,
}

/// A drawn plot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Figure {
    /// Name of the plot.
    pub name: &'static str,
    /// SVG with a `viewBox` and all text as outlines: it needs no font.
    pub svg: Vec<u8>,
    /// PNG, 24-bit, with 300 dpi in its `pHYs` chunk.
    pub png: Vec<u8>,
    /// What is missing and which command brings it, if there was nothing to draw; the sheet says the same.
    pub missing: Option<String>,
}

/// Why a plot could not be drawn.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The drawing did not make sense to the rasterizer.
    #[error(
        "cannot draw the plot {plot}: its SVG is not valid: {cause}; that is a fault of Tokometer: please report it with all.csv"
    )]
    Svg {
        /// The plot.
        plot: &'static str,
        /// What the rasterizer says.
        cause: usvg::Error,
    },
    /// No picture of that size can be made.
    #[error(
        "cannot draw the plot {plot}: a picture of {width} x {height} pixels is too large; plot fewer cases at once"
    )]
    Size {
        /// The plot.
        plot: &'static str,
        /// Pixels.
        width: u32,
        /// Pixels.
        height: u32,
    },
    /// The PNG could not be encoded.
    #[error("cannot write the PNG of the plot {plot}: {cause}; the CSV files hold its figures")]
    Png {
        /// The plot.
        plot: &'static str,
        /// What the encoder says.
        cause: png::EncodingError,
    },
}

/// What this module returns.
pub type Result<T> = std::result::Result<T, Error>;

/// Draws one plot. The same analysis gives the same bytes.
///
/// # Errors
/// See [`Error`]; a plot without data is no error.
pub fn render(plot: &Plot, analysis: &Analysis) -> Result<Figure> {
    render::figure(plot, &(plot.build)(analysis), style::PIXELS_PER_UNIT)
}

/// Draws all plots on all cores, in the order of [`PLOTS`].
///
/// # Errors
/// The first error in that order.
pub fn render_all(analysis: &Analysis) -> Result<Vec<Figure>> {
    render_all_at(analysis, style::PIXELS_PER_UNIT)
}

fn render_all_at(analysis: &Analysis, pixels_per_unit: f32) -> Result<Vec<Figure>> {
    let next = AtomicUsize::new(0);
    let work = || {
        let mut done = Vec::new();
        loop {
            let index = next.fetch_add(1, Ordering::Relaxed);
            let Some(plot) = PLOTS.get(index) else { return done };
            done.push((index, render::figure(plot, &(plot.build)(analysis), pixels_per_unit)));
        }
    };
    let workers = thread::available_parallelism().map_or(1, |cores| cores.get()).min(PLOTS.len());
    let mut figures: Vec<(usize, Result<Figure>)> = thread::scope(|scope| {
        let threads: Vec<_> = (0..workers).map(|_| scope.spawn(work)).collect();
        threads.into_iter().flat_map(|thread| thread.join().unwrap_or_else(|panic| resume_unwind(panic))).collect()
    });
    figures.sort_by_key(|(index, _)| *index);
    figures.into_iter().map(|(_, figure)| figure).collect()
}
