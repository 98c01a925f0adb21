//! The real `tokometer`, run as a user runs it, on the mock engine and on llama.cpp.
//!
//! Workers are looked for beside the program: `cargo xtask test` builds them first.

mod bad_input;
mod compare;
mod dir;
mod distance;
mod faults;
mod llamacpp;
mod mlc_llm;
mod pipeline;
mod provenance;
mod rounds;
mod tinygrad;
