//! From a sheet to bytes: SVG with all text as outlines, and PNG with 300 dpi, both from one tree.
//!
//! The font comes with the program and system fonts are never looked at, so that every machine draws the same picture.

use super::sheet::Sheet;
use super::{Error, Figure, Plot, Result};
use kuva::backend::svg::SvgBackend;
use resvg::tiny_skia::{Color, Pixmap, Transform};
use resvg::usvg::{self, fontdb};
use std::sync::{Arc, LazyLock};

/// The one font family of all plots; kuva measures its labels in it.
pub(super) const FONT_FAMILY: &str = "DejaVu Sans";

/// See `LICENSE-DejaVu` beside it.
const FONT: &[u8] = include_bytes!("../../data/fonts/DejaVuSans-Latin.ttf");

/// 300 dpi in pixels per metre, rounded as everybody does.
const PIXELS_PER_METRE: u32 = 11_811;

static FONTS: LazyLock<Arc<fontdb::Database>> = LazyLock::new(|| {
    let mut fonts = fontdb::Database::new();
    fonts.load_font_data(FONT.to_vec());
    Arc::new(fonts)
});

/// SVG and PNG of a sheet.
pub(super) fn figure(plot: &Plot, sheet: &Sheet, pixels_per_unit: f32) -> Result<Figure> {
    let tree = tree(plot, sheet)?;
    let svg = outlined(&tree, plot.title).into_bytes();
    let png = raster(plot, &tree, pixels_per_unit)?;
    Ok(Figure { name: plot.name, svg, png, missing: sheet.missing.clone() })
}

/// The sheet as kuva writes it, text as text.
pub(super) fn source(sheet: &Sheet) -> String {
    SvgBackend::new().render_scene(&sheet.scene)
}

/// The sheet as the rasterizer sees it, text already shaped.
fn tree(plot: &Plot, sheet: &Sheet) -> Result<usvg::Tree> {
    let source = source(sheet);
    let options =
        usvg::Options { font_family: FONT_FAMILY.to_owned(), fontdb: Arc::clone(&FONTS), ..usvg::Options::default() };
    usvg::Tree::from_str(&source, &options).map_err(|cause| Error::Svg { plot: plot.name, cause })
}

/// The published SVG: needs no font, and scales with the page (`viewBox`).
fn outlined(tree: &usvg::Tree, title: &str) -> String {
    let options = usvg::WriteOptions {
        coordinates_precision: 3,
        transforms_precision: 5,
        indent: usvg::Indent::None,
        ..usvg::WriteOptions::default()
    };
    let svg = tree.to_string(&options);
    let size = tree.size();
    let svg = svg.replacen("<svg ", &format!("<svg viewBox=\"0 0 {} {}\" ", size.width(), size.height()), 1);
    match svg.split_once('>') {
        Some((open, rest)) => format!("{open}><title>{title}</title>{rest}"),
        None => svg,
    }
}

fn raster(plot: &Plot, tree: &usvg::Tree, pixels_per_unit: f32) -> Result<Vec<u8>> {
    let width = (tree.size().width() * pixels_per_unit).round() as u32;
    let height = (tree.size().height() * pixels_per_unit).round() as u32;
    let mut pixels = Pixmap::new(width, height).ok_or(Error::Size { plot: plot.name, width, height })?;
    pixels.fill(Color::WHITE);
    resvg::render(tree, Transform::from_scale(pixels_per_unit, pixels_per_unit), &mut pixels.as_mut());
    // The background is opaque: colours are not premultiplied by anything but 1.
    let mut rgb = vec![0; pixels.data().len() / 4 * 3];
    for (to, [red, green, blue, _]) in rgb.as_chunks_mut::<3>().0.iter_mut().zip(pixels.data().as_chunks::<4>().0) {
        *to = [*red, *green, *blue];
    }
    drop(pixels);
    encode(&rgb, width, height).map_err(|cause| Error::Png { plot: plot.name, cause })
}

fn encode(rgb: &[u8], width: u32, height: u32) -> std::result::Result<Vec<u8>, png::EncodingError> {
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, width, height);
    encoder.set_color(png::ColorType::Rgb);
    encoder.set_depth(png::BitDepth::Eight);
    encoder.set_compression(png::Compression::Fast);
    // Most rows of a chart are those above them. Trying all filters for each takes longer than drawing.
    encoder.set_filter(png::Filter::Up);
    encoder.set_pixel_dims(Some(png::PixelDimensions {
        xppu: PIXELS_PER_METRE,
        yppu: PIXELS_PER_METRE,
        unit: png::Unit::Meter,
    }));
    let mut writer = encoder.write_header()?;
    writer.write_image_data(rgb)?;
    writer.finish()?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plot::canvas::Canvas;
    use crate::plot::style::LABEL;
    use crate::plot::{PLOTS, text};

    /// The picture of one line of text.
    fn written(line: &str) -> usvg::Tree {
        let mut canvas = Canvas::new(1000.0, 100.0);
        canvas.scene.background_color = None;
        canvas.text((10.0, 50.0), line, LABEL);
        tree(&PLOTS[0], &Sheet { scene: canvas.scene, missing: None }).unwrap()
    }

    #[test]
    fn text_is_as_wide_as_it_was_measured() {
        for line in ["llamacpp, 4 threads (Q4_K_M) 4.91 bpw", "Hamburgefonstiv 0123456789 %&/"] {
            let drawn = f64::from(written(line).root().abs_bounding_box().width());
            let measured = text::width(line, LABEL.size);
            assert!((drawn / measured - 1.0).abs() < 0.03, "{line}: {drawn} {measured}");
        }
    }

    #[test]
    fn the_published_svg_has_outlines_and_a_view_box() {
        let svg = outlined(&written("nf4 · $5 & <b> $x$"), "A title");
        assert!(svg.starts_with("<svg viewBox=\"0 0 1000 100\""), "{}", &svg[..120]);
        assert!(svg.contains("<title>A title</title>"));
        assert!(svg.contains("<path") && !svg.contains("<text"));
    }
}
