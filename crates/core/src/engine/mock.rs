//! The mock engine: exact, known timings and every kind of misbehaviour, for tests of the pipeline.

use super::{Engine, ModelFormat, Program};

/// See [`Engine`].
pub const ENGINE: Engine = Engine {
    name: "mock",
    title: "mock",
    format: ModelFormat::Nothing,
    labels: &[("default", "mock-8"), ("float16", "mock-16"), ("int8", "mock-8"), ("nf4", "mock-4")],
    natives: &["mock-4", "mock-8", "mock-16"],
    program: Program::Native("tokometer-worker-mock"),
    has_server: false,
    hidden: true,
};
