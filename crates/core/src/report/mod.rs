//! Step 5: the presentation's source and its data. `presentation.typ` holds words and layout and belongs to the user;
//! everything measured comes from `docs/presentation.json`, which each run writes anew.
//!
//! Compiling to PDF is the business of the `tokometer-typst` crate, drawing the plots that of `plot`.

mod context;
mod data;
mod figures;
mod files;
mod gather;
mod glance;
mod method;
mod number;
mod quality;
mod rows;
mod section;
mod setting;
#[cfg(test)]
mod tests;

pub use context::{ModelSource, ReportContext, RunInfo};
pub use data::{FORMAT, data};
pub use files::{Presented, present};
pub use gather::gather;

use std::io;
use std::path::PathBuf;

/// The presentation as it is shipped: `presentation.typ`. Its first line tells its version.
pub const TEMPLATE: &str = include_str!("template.typ");
/// The source, below the working folder.
pub const SOURCE: &str = "presentation.typ";
/// The data that it reads, below the working folder.
pub const DATA: &str = "docs/presentation.json";
/// Where copies of the plots go, below the working folder.
pub const IMAGES: &str = "docs/images";

/// What this module returns.
pub type Result<T> = std::result::Result<T, Error>;

/// Why the presentation could not be put in place.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A plot or an existing source cannot be read.
    #[error("cannot read {} for the presentation: {why}; check that it exists and is readable (`tokometer plot` draws plots)", .path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        why: io::Error,
    },
    /// A file cannot be written.
    #[error("cannot write {}: {why}; check the folder's permissions and free space", .path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// What the system said.
        why: io::Error,
    },
    /// A plot is neither PNG nor SVG.
    #[error("cannot put {} into the presentation: only .png and .svg files can be shown", .path.display())]
    Kind {
        /// The file.
        path: PathBuf,
    },
}

/// The version in a `// tokometer template N` line, if there is one.
pub fn template_version(source: &str) -> Option<u32> {
    source.lines().find_map(|line| line.strip_prefix("// tokometer template ")?.split_whitespace().next()?.parse().ok())
}
