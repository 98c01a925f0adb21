//! Compiles the presentation to PDF inside the program: no other install, fonts included.
//!
//! A document may read files below one root folder and nothing else: no packages, no network, no fonts of the system.
//! The same files give the same bytes on every machine. Writing the PDF, and knowing what it shows, is the caller's business.
//!
//! Without the feature `typst` the same functions exist and answer [`Error::Disabled`].

#[cfg(feature = "typst")]
mod clock;
mod diagnostic;
#[cfg(not(feature = "typst"))]
mod disabled;
#[cfg(feature = "typst")]
mod enabled;
#[cfg(feature = "typst")]
mod fonts;
#[cfg(all(test, feature = "typst"))]
mod tests;
#[cfg(feature = "typst")]
mod world;

pub use diagnostic::Diagnostic;
#[cfg(not(feature = "typst"))]
pub use disabled::{AVAILABLE, compile_with};
#[cfg(feature = "typst")]
pub use enabled::{AVAILABLE, compile_with};

use std::io;
use std::path::{Path, PathBuf};

/// A finished document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Compiled {
    /// The bytes of the PDF.
    pub pdf: Vec<u8>,
    /// Its pages.
    pub pages: usize,
    /// What the compiler thinks is odd, one text each, with file, line and column where it has them.
    pub warnings: Vec<String>,
}

/// What a compilation may use beside the files.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Options<'a> {
    /// Further fonts (TrueType, OpenType or collections), behind the built-in ones.
    pub fonts: &'a [&'static [u8]],
    /// Now, in seconds since 1970, UTC: the date of the PDF and `datetime.today()`. `None`: the PDF has no date and the
    /// document cannot ask for one. Pass `SOURCE_DATE_EPOCH` for builds that repeat byte for byte.
    pub epoch: Option<i64>,
}

/// What this crate returns.
pub type Result<T> = std::result::Result<T, Error>;

/// Why there is no PDF.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The document, or the root, cannot be opened.
    #[error("cannot compile {}: {why}; check that it exists and is readable", .path.display())]
    Open {
        /// What was to be opened.
        path: PathBuf,
        /// What the system said.
        why: io::Error,
    },
    /// The document is not below the root.
    #[error("cannot compile {}: it lies outside of {}, and only files inside may be read; move it there", .main.display(), .root.display())]
    Outside {
        /// The document.
        main: PathBuf,
        /// The root.
        root: PathBuf,
    },
    /// The document has errors.
    #[error("cannot compile {}:{}", .main.display(), listed(.diagnostics))]
    Source {
        /// The document.
        main: PathBuf,
        /// What is wrong, in the order in which it was found; at least one.
        diagnostics: Vec<Diagnostic>,
    },
    /// A font that the caller passed is none.
    #[error("cannot use font {index} of those passed: it is no TrueType or OpenType font")]
    Font {
        /// Its place in the list, from 0.
        index: usize,
    },
    /// Built without the compiler.
    #[error("cannot compile {}: this build has no Typst compiler (feature \"typst\"); compile it with `typst compile`, or build with default features", .main.display())]
    Disabled {
        /// The document.
        main: PathBuf,
    },
}

/// Compiles `main`, which may read files below `root`.
///
/// # Errors
/// See [`Error`]; mistakes in the document carry file, line and column.
pub fn compile(main: &Path, root: &Path) -> Result<Compiled> {
    compile_with(main, root, &Options::default())
}

/// Compiles with further fonts.
///
/// # Errors
/// As [`compile`], and [`Error::Font`].
pub fn compile_with_fonts(main: &Path, root: &Path, fonts: &[&'static [u8]]) -> Result<Compiled> {
    compile_with(main, root, &Options { fonts, ..Options::default() })
}

fn listed(diagnostics: &[Diagnostic]) -> String {
    diagnostics.iter().map(|diagnostic| format!("\n  {}", diagnostic.to_string().replace('\n', "\n  "))).collect()
}
