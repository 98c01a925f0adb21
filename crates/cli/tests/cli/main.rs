//! The real `tokometer`, run as a user runs it, on the mock engine and on llama.cpp.
//!
//! Workers are looked for beside the program: `cargo xtask test` builds them first.

mod bad_input;
mod compare;
mod converter;
mod dir;
mod distance;
mod eval;
mod faults;
mod labels;
mod llamacpp;
mod merge;
mod mlc_llm;
mod pipeline;
mod provenance;
mod rounds;
mod serve;
mod serve_parallel;
mod server;
mod slurm;
mod slurm_cluster;
mod sweep;
mod sweep_outdated;
mod sweep_overlap;
mod tinygrad;
