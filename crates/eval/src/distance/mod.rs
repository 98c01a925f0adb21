//! Distance from the original: how far a quantization's predictions are from those of the unquantized model, on a text and
//! without any task.
//!
//! The definitions are those of llama.cpp's `llama-perplexity` with `--kl-divergence` (`tools/perplexity/perplexity.cpp`,
//! functions `perplexity` and `kl_divergence`), so that its figures and ours can be laid side by side:
//!
//! - the text is made tokens once, as the model's tokenizer begins a text, and cut into chunks of `ctx` tokens; what is left
//!   at the end is not used. Where the tokenizer begins a text with a BOS token, the first token of each chunk is replaced by
//!   it (`text`);
//! - the second half of each chunk is scored: the predictions after the tokens `ctx / 2` to `ctx - 2`, so that every
//!   prediction has some context, that is `ctx - 1 - ctx / 2` positions in each chunk;
//! - a position tells the negative log-likelihood of the token that really follows, for both models, the Kullback-Leibler
//!   divergence of the two distributions, Δp and whether both find the same token the most probable (`compare`);
//! - means with standard errors and percentiles over all positions (`sums`, `figures`).
//!
//! Two differences: llama-perplexity keeps the base's log-probabilities as 16-bit steps over 16 nats, here they are f32;
//! and it leaves out of the divergence what the base finds less probable than e^-16, here everything counts. Both are far
//! below the errors that it prints.
//!
//! `measure` asks the workers: first the base over all chunks, whose distributions go to files, then each quantization, of
//! which one chunk is kept at a time. Any two engines can be held against each other if their vocabularies are equal. `record`
//! makes the result's files. Names, flags and places are left to the `tokometer` program.

mod compare;
mod figures;
mod measure;
mod record;
mod rows;
mod sums;
mod text;

pub use compare::position;
pub use figures::{FIGURES, Figure, Value, figures};
pub use measure::{Base, Measured, Settings, Subject, tells_nothing};
pub use record::{ENVIRONMENT, Record, Unmeasured, finished, positions_csv};
pub use sums::{Position, Sums};
pub use text::{Chunks, Text};

use std::path::{Path, PathBuf};
use tokometer_core::disk;
use tokometer_core::engine::{Failed, Kind};

/// Why a distance could not be measured.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The engine failed, or cannot do what is needed.
    #[error("{engine} could not {doing}: {failed}")]
    Engine {
        /// Engine and quantization.
        engine: String,
        /// What was being done.
        doing: &'static str,
        /// What happened.
        failed: Failed,
    },
    /// The distributions of the base do not fit on the disk.
    #[error(
        "the log-probabilities of the unquantized model need room for {chunks} chunks: {why}; or use fewer (--chunks)"
    )]
    Space {
        /// How many there are.
        chunks: usize,
        /// What there is and what is needed.
        why: disk::Error,
    },
    /// The text cannot be read.
    #[error("cannot read the text {}: {why}; --text takes a file of plain UTF-8", .path.display())]
    Text {
        /// The file.
        path: PathBuf,
        /// What the system said.
        why: std::io::Error,
    },
    /// A file or folder.
    #[error("cannot {doing} {}: {why}; check permissions and free space", .path.display())]
    Io {
        /// What was being done.
        doing: &'static str,
        /// With what.
        path: PathBuf,
        /// What the system said.
        why: std::io::Error,
    },
    /// The text makes too few tokens.
    #[error(
        "{text} makes {tokens} tokens only, and {least} are the least that can be scored: give a longer one (--text FILE)"
    )]
    Short {
        /// The text's name.
        text: String,
        /// Its tokens.
        tokens: usize,
        /// How many are needed.
        least: usize,
    },
    /// The two models do not have the same tokens.
    #[error(
        "{other} has a vocabulary of {theirs} tokens and the original, {base}, one of {own}: their distributions cannot be \
         compared; --base with a quantization alone holds each engine against its own original"
    )]
    Vocabulary {
        /// The base.
        base: String,
        /// Its tokens.
        own: u32,
        /// The other model.
        other: String,
        /// Its tokens.
        theirs: u32,
    },
    /// A worker wrote something else than was asked for.
    #[error(
        "{engine} returned {found} where {wanted} were asked for: its worker and this tokometer do not fit together; build \
         both anew (`cargo xtask build`)"
    )]
    Shape {
        /// Engine and quantization.
        engine: String,
        /// What came.
        found: String,
        /// What should have come.
        wanted: String,
    },
    /// A log-probability is infinite or no number.
    #[error(
        "chunk {chunk}, position {position}: a log-probability of {engine} or of the original is not finite, so nothing can be \
         said of the distance; `tokometer verify` tells whether the engine computes as others do"
    )]
    NotFinite {
        /// Engine and quantization.
        engine: String,
        /// Number of the chunk, from 0.
        chunk: usize,
        /// Number of the scored position in it, from 0.
        position: usize,
    },
}

/// What an engine without log-probabilities could not do.
const SCORE: &str = "score a text";

/// What this module returns.
pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    /// Whether the engine tells no log-probabilities at all: another attempt would end alike. What a device, an option or a
    /// length of context made impossible is a failure like others.
    pub fn is_not_offered(&self) -> bool {
        matches!(self, Error::Engine { doing: SCORE, failed: Failed { kind: Kind::Unsupported, .. }, .. })
    }
}

/// Shorthand for an [`Error::Io`].
fn io_error(doing: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> Error {
    let path = path.to_owned();
    move |why| Error::Io { doing, path, why }
}
