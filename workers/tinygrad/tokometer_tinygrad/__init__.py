"""Tokometer's tinygrad worker: loads a model, generates, scores, and says when each token was there.

Run as `python -m tokometer_tinygrad`. The order of the modules:

- `worker` answers the calls; `environ` prepares the environment variables that tinygrad reads when it is imported;
- `checkpoint` opens a model (`safetensors`, `gguf`) and says what it is (`config`, `rope`);
- `loader` turns it into `packed` matrices in a `formats` description (`quantize`, `ggml`);
- `model` is the network, computed by `tuned` (our kernels for CPUs: `matmul`, `attention`) or by `plain` (tinygrad's own);
- `generate` and `score` run it, compiled once by `compiled`; `tokens` is the tokenizer;
- `versions` is all that differs between the versions of tinygrad that this runs on.

Only `worker`, `environ`, `config`, `rope`, `checkpoint`, `safetensors`, `gguf`, `formats` and `tokens` may be imported
before the environment is prepared: they do not import tinygrad.
"""

__version__ = "0.1.0"
