//! The files of step 5: images, data, and the presentation's source, which belongs to the user once it exists.

use super::context::ReportContext;
use super::{DATA, Error, IMAGES, Result, SOURCE, TEMPLATE, data, template_version};
use crate::analyze::Analysis;
use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// An SVG above this size is shown as PNG where there is one: thousands of paths make a slow PDF.
const LARGE_SVG: u64 = 2_000_000;

/// What was made, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Presented {
    /// `presentation.typ`: compile this one.
    pub source: PathBuf,
    /// Whether it was written now; otherwise it is the user's and was left alone.
    pub source_written: bool,
    /// `docs/presentation.json`.
    pub data: PathBuf,
    /// The copies of the plots.
    pub images: Vec<PathBuf>,
    /// What the user should know.
    pub notes: Vec<String>,
}

/// Copies the plots to `docs/images/`, writes `docs/presentation.json`, and writes `presentation.typ` if there is none.
///
/// `figures` are names and files (`.png` or `.svg`) of plots; a name may come with both. Each file is written whole or
/// not at all. An existing `presentation.typ` is never touched.
///
/// # Errors
/// [`Error`] with the file that could not be read or written.
pub fn present(
    dir: &Path,
    analysis: &Analysis,
    context: &ReportContext,
    figures: &[(&str, PathBuf)],
) -> Result<Presented> {
    let copied = copy_images(dir, figures)?;
    let mut shown = BTreeMap::new();
    for copy in &copied {
        let best = shown.entry(copy.name.clone()).or_insert(copy);
        if copy.rank() > best.rank() {
            *best = copy;
        }
    }
    let images: BTreeMap<String, String> =
        shown.into_iter().map(|(name, copy)| (name, format!("{IMAGES}/{}", copy.file))).collect();
    let value = data::with_images(analysis, context, &images);
    let mut text =
        serde_json::to_vec_pretty(&value).map_err(|why| Error::Write { path: dir.join(DATA), why: why.into() })?;
    text.push(b'\n');
    let data = dir.join(DATA);
    write_whole(&data, &text)?;
    let source = dir.join(SOURCE);
    let (source_written, notes) = source_if_none(&source)?;
    let images = copied.into_iter().map(|copy| copy.path).collect();
    Ok(Presented { source, source_written, data, images, notes })
}

/// A plot in `docs/images/`.
struct Image {
    name: String,
    file: String,
    path: PathBuf,
    bytes: u64,
}

impl Image {
    /// Which of several files of one plot is shown: a vector image unless it is huge, else a bitmap.
    fn rank(&self) -> u8 {
        match self.file.ends_with(".svg") {
            true if self.bytes <= LARGE_SVG => 2,
            true => 0,
            false => 1,
        }
    }
}

fn copy_images(dir: &Path, figures: &[(&str, PathBuf)]) -> Result<Vec<Image>> {
    let mut copied = Vec::new();
    for (name, from) in figures {
        let kind = from.extension().and_then(|e| e.to_str()).map(str::to_ascii_lowercase);
        let Some(kind) = kind.filter(|kind| matches!(kind.as_str(), "png" | "svg")) else {
            return Err(Error::Kind { path: from.clone() });
        };
        let bytes = fs::read(from).map_err(|why| Error::Read { path: from.clone(), why })?;
        let file = format!("{name}.{kind}");
        let path = dir.join(IMAGES).join(&file);
        // Most often the plots are still those of the last presentation.
        if !fs::read(&path).is_ok_and(|old| old == bytes) {
            write_whole(&path, &bytes)?;
        }
        copied.push(Image { name: (*name).to_owned(), file, path, bytes: bytes.len() as u64 });
    }
    Ok(copied)
}

/// Whether the source was written, and a note where an older template is in use.
fn source_if_none(path: &Path) -> Result<(bool, Vec<String>)> {
    match fs::read_to_string(path) {
        Ok(text) => Ok((false, older(path, &text).into_iter().collect())),
        Err(why) if why.kind() == io::ErrorKind::NotFound => {
            write_whole(path, TEMPLATE.as_bytes())?;
            Ok((true, Vec::new()))
        }
        Err(why) => Err(Error::Read { path: path.to_path_buf(), why }),
    }
}

fn older(path: &Path, text: &str) -> Option<String> {
    let (own, shipped) = (template_version(text)?, template_version(TEMPLATE)?);
    (own < shipped).then(|| format!(
        "{} was made from template {own} and this tokometer ships template {shipped}; your text stays as it is. To see the new one, move your file aside and run `tokometer present` again",
        path.display(),
    ))
}

/// Writes a file whole or not at all.
fn write_whole(path: &Path, bytes: &[u8]) -> Result<()> {
    crate::disk::write_whole(path, bytes).map_err(|why| Error::Write { path: path.to_path_buf(), why })
}
