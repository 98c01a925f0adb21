//! `tokometer present`: step 5.

use super::{OK, Session, analyze, write_whole};
use crate::args::Present;
use anyhow::{Context, Result, bail};
use std::path::PathBuf;
use tokometer_core::analyze::Analysis;
use tokometer_core::plot::PLOTS;
use tokometer_core::report;
use tokometer_typst::Options;

/// The command.
pub fn present(session: &Session<'_>, options: &Present) -> Result<u8> {
    let analysis = analyze::chosen(session, &analyze::only(&options.only)?)?;
    let folder = session.folders.plots();
    let plots: Vec<_> = PLOTS
        .iter()
        .map(|plot| (plot.name, folder.join(format!("{}.png", plot.name))))
        .filter(|(_, path)| path.is_file())
        .collect();
    if plots.is_empty() {
        bail!("{} holds no plots; `tokometer plot` draws them", folder.display());
    }
    if analysis.chosen.is_some() {
        session
            .terminal
            .say("the plots are those that lie in plots/: `tokometer plot` with the same --only draws these cases");
    }
    for path in make(session, &analysis, &plots)? {
        session.terminal.line(&path.display().to_string());
    }
    Ok(OK)
}

/// Writes source, data and PDF; returns the paths of source and PDF.
pub fn make(session: &Session<'_>, analysis: &Analysis, plots: &[(&'static str, PathBuf)]) -> Result<Vec<PathBuf>> {
    let terminal = session.terminal;
    let root = &session.folders.root;
    let context = report::gather(&session.folders.output());
    let both = plots.iter().flat_map(|(name, png)| [(*name, png.clone()), (*name, png.with_extension("svg"))]);
    let figures: Vec<(&str, PathBuf)> = both.filter(|(_, path)| path.is_file()).collect();
    let made = report::present(root, analysis, &context, &figures)?;
    for note in &made.notes {
        terminal.warn(note);
    }
    if !tokometer_typst::AVAILABLE {
        terminal.warn("this build has no Typst compiler: presentation.typ is written, compile it with `typst compile`");
        return Ok(vec![made.source]);
    }
    let options = Options { epoch: epoch(), ..Options::default() };
    let compiled = tokometer_typst::compile_with(&made.source, root, &options)
        .context("mend presentation.typ, or move it aside and run `tokometer present` again for a fresh one")?;
    for warning in &compiled.warnings {
        terminal.warn(warning);
    }
    let pdf = root.join("presentation.pdf");
    write_whole(&pdf, &compiled.pdf)?;
    terminal.say(&format!("presentation: {} pages", compiled.pages));
    Ok(vec![made.source, pdf])
}

/// The date of the PDF, where SOURCE_DATE_EPOCH (reproducible-builds.org) gives one: the same files then always make the
/// same bytes.
fn epoch() -> Option<i64> {
    std::env::var("SOURCE_DATE_EPOCH").ok().and_then(|text| text.parse().ok())
}
