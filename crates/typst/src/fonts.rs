//! The fonts of a compilation: the built-in ones, parsed once per process, and the caller's behind them.

use super::{Error, Result};
use std::sync::LazyLock;
use typst::foundations::Bytes;
use typst::text::Font;

/// Libertinus Serif, New Computer Modern and DejaVu Sans Mono, as the asset crate brings them.
static BUILT_IN: LazyLock<Vec<Font>> =
    LazyLock::new(|| typst_assets::fonts().flat_map(|data| Font::iter(Bytes::new(data))).collect());

/// All fonts, in the order of preference among equals.
///
/// # Errors
/// [`Error::Font`] when one of `more` holds no font.
pub fn all(more: &[&'static [u8]]) -> Result<Vec<Font>> {
    let mut fonts = BUILT_IN.clone();
    for (index, data) in more.iter().enumerate() {
        let before = fonts.len();
        fonts.extend(Font::iter(Bytes::new(*data)));
        if fonts.len() == before {
            return Err(Error::Font { index });
        }
    }
    Ok(fonts)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fonts_of_the_template_are_built_in() {
        let fonts = all(&[]).unwrap();
        for family in ["Libertinus Serif", "DejaVu Sans Mono"] {
            assert!(fonts.iter().any(|font| font.info().family == family), "{family}");
        }
    }

    #[test]
    fn a_font_that_is_none_is_named() {
        assert!(matches!(all(&[b"no font at all"]), Err(Error::Font { index: 0 })));
    }
}
