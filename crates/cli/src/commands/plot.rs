//! `tokometer plot`: step 4, the pictures.

use super::{OK, Session, analyze, write_whole};
use crate::args::Plot;
use anyhow::{Result, bail};
use std::path::PathBuf;
use tokometer_core::analyze::Analysis;
use tokometer_core::nearest;
use tokometer_core::plot::{self, Figure, PLOTS};

/// The command.
pub fn plot(session: &Session<'_>, options: &Plot) -> Result<u8> {
    let (cases, names): (Vec<String>, Vec<String>) = options.only.iter().cloned().partition(|word| word.contains('='));
    let names: Vec<String> = names.iter().flat_map(|word| word.split(',')).map(|name| name.trim().to_owned()).collect();
    for name in &names {
        if !PLOTS.iter().any(|plot| plot.name == name) {
            bail!("there is no plot {name:?}{}", nearest::hint(name, PLOTS.iter().map(|plot| plot.name)));
        }
    }
    let analysis = analyze::chosen(session, &analyze::only(&cases)?)?;
    for (name, png) in draw(session, &analysis, &names)? {
        session.terminal.line(&format!("{name}: {} (and .svg)", png.display()));
    }
    Ok(OK)
}

/// Draws all plots, or those of `only`; returns names and paths of the PNG files.
pub fn draw(session: &Session<'_>, analysis: &Analysis, only: &[String]) -> Result<Vec<(&'static str, PathBuf)>> {
    let folder = session.folders.plots();
    let keep = |figure: Figure| -> Result<_> {
        let png = folder.join(format!("{}.png", figure.name));
        write_whole(&png, &figure.png)?;
        write_whole(&png.with_extension("svg"), &figure.svg)?;
        Ok((figure.name, png, figure.missing))
    };
    let mut written = Vec::new();
    for kept in plot::render_each(analysis, only, keep)? {
        let (name, png, missing) = kept?;
        if let Some(missing) = missing {
            session.terminal.say(&format!("{name}: {missing}"));
        }
        written.push((name, png));
    }
    Ok(written)
}
