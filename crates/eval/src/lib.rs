//! Accuracy: what a quantization costs in quality. Nothing here prints; files are written by the `tokometer` program.

pub mod distance;
