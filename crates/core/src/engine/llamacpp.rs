//! llama.cpp: GGUF files, quantized beforehand by llama.cpp's own quantizer.

use super::{Engine, ModelFormat, Program};

/// See [`Engine`].
pub const ENGINE: Engine = Engine {
    name: "llamacpp",
    title: "llama.cpp",
    format: ModelFormat::Gguf,
    labels: &[("default", "Q6_K"), ("float16", "F16"), ("int8", "Q8_0"), ("nf4", "Q4_K_M")],
    natives: &[
        "F32", "F16", "BF16", "Q8_0", "Q6_K", "Q5_K_M", "Q5_K_S", "Q5_1", "Q5_0", "Q4_K_M", "Q4_K_S", "Q4_1", "Q4_0",
        "IQ4_NL", "IQ4_XS", "Q3_K_L", "Q3_K_M", "Q3_K_S", "IQ3_M", "IQ3_S", "Q2_K", "TQ2_0", "TQ1_0",
    ],
    program: Program::Native("tokometer-worker-llamacpp"),
    has_server: false,
    hidden: false,
};
