//! Which models for which engines, and preparing them.

use clap::Args;
use std::path::PathBuf;

/// Which models for which engines.
#[derive(Debug, Clone, Default, Args)]
pub struct Selection {
    /// Engines, comma-separated [default: all that are installed]
    #[arg(long, value_delimiter = ',', value_name = "E")]
    pub engine: Vec<String>,
    /// The model.
    #[arg(
        long,
        value_name = "M",
        conflicts_with = "size",
        help = "hf:org/name[@revision], a folder, a .gguf file, or synthetic:tiny|60M|1B|3B|8B"
    )]
    pub model: Option<String>,
    /// A built-in checkpoint: 1B, 3B, 8B, 70B, 405B (Llama 3 Instruct)
    #[arg(long, value_name = "SIZE")]
    pub size: Option<String>,
    /// default, float16, int8, nf4, or an engine's native name such as Q5_K_M; comma-separated [default: default]
    #[arg(long, value_delimiter = ',', value_name = "Q")]
    pub quantize: Vec<String>,
    /// A llama.cpp convert_hf_to_gguf.py for architectures that Tokometer does not convert itself
    #[arg(long, value_name = "PATH")]
    pub converter: Option<PathBuf>,
    /// Threads [default: one per physical core]
    #[arg(long, value_name = "N")]
    pub threads: Option<u32>,
    /// Print the result as JSON
    #[arg(long)]
    pub json: bool,
}

/// `prepare`.
#[derive(Debug, Clone, Args)]
pub struct Prepare {
    /// What.
    #[command(flatten)]
    pub selection: Selection,
    /// Device that a library is compiled for, by the engine's name [default: the engine's choice]
    #[arg(long, value_name = "D")]
    pub device: Option<String>,
}
