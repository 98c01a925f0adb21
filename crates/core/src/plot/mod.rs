//! Step 4: figures. Eleven plots of an [`Analysis`] and those of what was varied, each as SVG and as PNG with 300 dpi; bytes, and no files.
//!
//! To add a plot: one file with a function from an analysis to a sheet, and one line in [`PLOTS`].
//!
//! Nothing is averaged here, and nothing is measured: the figures are those of `analyze`. Every sheet is 10 inches wide
//! and at least 6 high, and grows with its panels.
//!
//! Of very many cases a picture shows some: whole panels, those with the most cases first, as many as print well; a note below
//! says so (`sheet::Page::choose`).
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
mod scaling;
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
use crate::parallel::on_all_cores;
use resvg::usvg;
use sheet::Sheet;

/// All plots, in the order of the presentation.
pub const PLOTS: &[Plot] = &[
    always("backend_comparison", backend_comparison::TITLE, backend_comparison::build),
    always("speedup_comparison", speedup_comparison::TITLE, speedup_comparison::build),
    always("summary_stats", summary_stats::TITLE, summary_stats::build),
    always("quantization_impact", quantization_impact::TITLE, quantization_impact::build),
    always("latency_distribution", latency_distribution::TITLE, latency_distribution::build),
    always("memory_throughput", throughput::MEMORY_TITLE, throughput::memory),
    always("param_throughput", throughput::PARAM_TITLE, throughput::param),
    always("device_comparison", device_comparison::TITLE, device_comparison::build),
    always("accuracy_vs_speed", accuracy_vs_speed::TITLE, accuracy_vs_speed::build),
    always("quality_vs_size", quality_vs_size::TITLE, quality_vs_size::build),
    always("memory", memory::TITLE, memory::build),
    where_varied("context_scaling", scaling::CONTEXT_TITLE, scaling::context),
    where_varied("thread_scaling", scaling::THREADS_TITLE, scaling::threads),
    where_varied("batch_scaling", scaling::BATCH_TITLE, scaling::batch),
];

/// A plot of every set: without data it says what is missing.
const fn always(name: &'static str, title: &'static str, build: fn(&Analysis) -> Sheet) -> Plot {
    Plot { name, title, build, optional: false }
}

/// A plot that is drawn only where there is something to show.
const fn where_varied(name: &'static str, title: &'static str, build: fn(&Analysis) -> Sheet) -> Plot {
    Plot { name, title, build, optional: true }
}

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
    /// Whether it is left out where it has nothing to show.
    optional: bool,
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

/// Draws all plots on all cores, in the order of [`PLOTS`]; those of what was varied only where something was. The same analysis
/// gives the same bytes.
///
/// # Errors
/// The first [`Error`] in that order; a plot without data is none.
pub fn render_all(analysis: &Analysis) -> Result<Vec<Figure>> {
    render_each(analysis, &[], |figure| figure)
}

/// Draws the plots of these names (none: all, as [`render_all`] does) on all cores; each core hands over a picture as soon as it is
/// drawn. What `keep` returns is in the order of [`PLOTS`].
///
/// # Errors
/// The first error in that order.
pub fn render_each<T: Send>(
    analysis: &Analysis,
    names: &[String],
    keep: impl Fn(Figure) -> T + Sync,
) -> Result<Vec<T>> {
    render_each_at(analysis, names, style::PIXELS_PER_UNIT, keep)
}

fn render_each_at<T: Send>(
    analysis: &Analysis,
    names: &[String],
    pixels_per_unit: f32,
    keep: impl Fn(Figure) -> T + Sync,
) -> Result<Vec<T>> {
    let named = |plot: &&Plot| names.is_empty() || names.iter().any(|name| name == plot.name);
    let made = on_all_cores(PLOTS.iter().filter(named).collect(), |plot: &Plot| {
        let sheet = (plot.build)(analysis);
        let left_out = names.is_empty() && plot.optional && sheet.missing.is_some();
        (!left_out).then(|| render::figure(plot, &sheet, pixels_per_unit).map(&keep))
    });
    made.into_iter().flatten().collect()
}
