//! The matrix of a sweep: axes -> cases, cut into blocks that are measured together.
//!
//! `axes` says what can be varied and how it is written in `tokometer.toml`, `rules` which combinations are left out or
//! added, `expand` makes the cases, `block` cuts them into blocks. What becomes of the cases is `crate::sweep`'s business.

mod axes;
mod block;
mod expand;
mod rules;

pub use axes::{Axes, Many};
pub use block::{Block, blocks};
pub use expand::{Base, Matrix, Planned, expand, shape};
pub use rules::Rule;

use super::SlurmOptions;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// `[sweep]` in `tokometer.toml`: the axes, and what is otherwise for an engine or a combination.
///
/// ```toml
/// [sweep]
/// model = ["synthetic:1B", "synthetic:3B"]
/// quantize = "all"
/// depth = [0, 512, 2048]
/// overlap = true                  # measure different GPUs at the same time
///
/// [sweep.engines.tinygrad]        # in place of the axes above, for this engine
/// depth = [0, 512]
///
/// [[sweep.exclude]]               # no case that agrees with all of these
/// model = "synthetic:3B"
/// quantize = "float16"
///
/// [[sweep.include]]               # further cases; what is not named is that of the axes
/// quantize = "Q5_K_M"
/// engine = "llamacpp"
/// ```
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "toml::Table")]
pub struct SweepConfig {
    /// The axes.
    #[serde(flatten)]
    pub axes: Axes,
    /// Axes that an engine has in place of those.
    pub engines: BTreeMap<String, Axes>,
    /// Combinations that are added.
    pub include: Vec<Axes>,
    /// Combinations that are left out.
    pub exclude: Vec<Rule>,
    /// What a cluster is asked for, with `--on slurm`.
    pub slurm: SlurmOptions,
    /// `--overlap`.
    pub overlap: bool,
}

/// Serde cannot refuse unknown keys of flattened parts, so the parts are taken out by hand and what is left are the axes.
impl TryFrom<toml::Table> for SweepConfig {
    type Error = toml::de::Error;

    fn try_from(mut table: toml::Table) -> Result<SweepConfig, toml::de::Error> {
        fn part<T: Default + serde::de::DeserializeOwned>(
            table: &mut toml::Table,
            name: &str,
        ) -> Result<T, toml::de::Error> {
            table.remove(name).map_or_else(|| Ok(T::default()), toml::Value::try_into)
        }
        Ok(SweepConfig {
            engines: part(&mut table, "engines")?,
            include: part(&mut table, "include")?,
            exclude: part(&mut table, "exclude")?,
            slurm: part(&mut table, "slurm")?,
            overlap: part(&mut table, "overlap")?,
            axes: toml::Value::Table(table).try_into()?,
        })
    }
}
