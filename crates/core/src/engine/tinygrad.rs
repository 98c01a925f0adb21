//! tinygrad: Hugging Face folders and GGUF files, quantized while loading by our own Python worker.

use super::{Engine, ModelFormat, Program};

/// See [`Engine`].
pub const ENGINE: Engine = Engine {
    name: "tinygrad",
    title: "tinygrad",
    format: ModelFormat::Checkpoint,
    labels: &[("default", "default"), ("float16", "float16"), ("int8", "int8"), ("nf4", "nf4")],
    natives: &["float32", "float16", "int8", "nf4"],
    program: Program::Python { module: "tokometer_tinygrad", environment: "tinygrad" },
    has_server: false,
    hidden: false,
};
