//! MLC-LLM: weights converted and a library compiled by its own tools, in the environment that the user installed.
//!
//! No 8-bit format is in its list, so `int8` is not offered. On CPUs the 4-bit format that runs is the one that computes in
//! float32.

use super::{Engine, ModelFormat, Program, UserPython};

/// See [`Engine`].
pub const ENGINE: Engine = Engine {
    name: "mlc_llm",
    title: "MLC-LLM",
    format: ModelFormat::Compiled,
    labels: &[("default", "q4f16_1 or q4f32_1"), ("float16", "q0f16"), ("nf4", "q4f16_1 or q4f32_1")],
    natives: &[
        "q0f16", "q0bf16", "q0f32", "q3f16_0", "q3f16_1", "q4f16_0", "q4f16_1", "q4f16_2", "q4bf16_0", "q4bf16_1",
        "q4f32_1",
    ],
    program: Program::UserPython(UserPython {
        module: "tokometer_mlc",
        folder: "mlc-llm",
        package: "mlc_llm",
        part: "serve",
        variable: "TOKOMETER_MLC_PYTHON",
        page: "https://llm.mlc.ai/docs/install/mlc_llm.html",
        // As the page says in July 2026. For CUDA 13.0 it has cu130 in place of cu128, for ROCm 6.1 rocm61.
        install: &[
            ("linux", "python -m pip install --pre -U -f https://mlc.ai/wheels mlc-llm-nightly-cpu mlc-ai-nightly-cpu"),
            (
                "linux-nvidia",
                "python -m pip install --pre -U -f https://mlc.ai/wheels mlc-llm-nightly-cu128 mlc-ai-nightly-cu128",
            ),
            (
                "linux-amd",
                "python -m pip install --pre -U -f https://mlc.ai/wheels mlc-llm-nightly-rocm62 mlc-ai-nightly-rocm62",
            ),
            ("macos", "python -m pip install --pre -U -f https://mlc.ai/wheels mlc-llm-nightly-cpu mlc-ai-nightly-cpu"),
        ],
    }),
    has_server: true,
    hidden: false,
};
