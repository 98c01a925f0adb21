"""A loaded model: everything that `load` does once tinygrad may be imported, and what it reports."""

import gc
import platform
import time
from pathlib import Path

from tinygrad import Device
from tinygrad.helpers import DEV
from tokometer_worker import Replies

from . import ends, loader, versions
from .checkpoint import Checkpoint
from .compiled import Compiled
from .environ import Settings, processor
from .model import Model
from .tokens import Tokenizer

_KV_TYPES = {"f32": "float32", "f16": "float16"}


class Session:
    """A model that can generate. `request` holds what the load asked for, checked by `worker`."""

    def __init__(self, checkpoint: Checkpoint, request: dict, settings: Settings, started_ns: int, replies: Replies):
        self.checkpoint, self.request, self.settings = checkpoint, request, settings
        self.tokenizer = Tokenizer.find(Path(checkpoint.path))
        self.eos = [i for i in ends.eos(Path(checkpoint.path), self.tokenizer) if i < checkpoint.config.vocab]
        self.native = request["quantize"]
        device = Device.DEFAULT
        kind = _math(request["kernels"], device)
        self.kv_type = _KV_TYPES.get(request["kv_type"] or "", kind.default_kv_type(device))
        self.chunk = min(request["chunk"], max(8, request["ctx_tokens"]))
        threads = versions.threads(settings.threads)
        before = time.monotonic_ns()
        model_loader = loader.Loader(checkpoint, self.native, device, kind.lanes(), threads,
                                     lambda done, total: replies.progress("reading weights", done, total))
        weights = model_loader.load()
        math = kind(checkpoint.config, 0, threads, self.kv_type)
        math.positions = -(-(request["ctx_tokens"] + self.chunk) // math.granule()) * math.granule()
        self.model = Model(checkpoint, weights, math, device)
        Device[device].synchronize()
        if hasattr(Device[device].allocator, "free_cache"):
            Device[device].allocator.free_cache()  # what loading needed for a moment goes back to the system
        self.weights_ns = time.monotonic_ns() - before
        self.load_ns = time.monotonic_ns() - started_ns
        self._compile(replies)
        gc.collect()
        gc.freeze()

    def _compile(self, replies: Replies) -> None:
        """Compiles and records the functions, and counts what the kernel cache did not have."""
        compiler = Device[self.model.device].renderer.compiler
        compile_one, self.kernels_compiled = compiler.compile, 0

        def counted(source: str) -> bytes:
            self.kernels_compiled += 1
            replies.progress("compiling kernels (first start on this machine)", self.kernels_compiled)
            return compile_one(source)

        replies.progress("preparing kernels")
        before = time.monotonic_ns()
        compiler.compile = counted
        try:
            self.compiled = Compiled(self.model, self.chunk)
            self.compiled.warm_up()
            self.compiled.synchronize()
        finally:
            del compiler.compile
        self.jit_ns = time.monotonic_ns() - before

    def loaded(self, clang: str | None, version: str) -> dict:
        """The fields of the protocol's `loaded`."""
        config, weights = self.checkpoint.config, self.model.weights
        total = sum(tensor.nbytes() for tensor in weights.tensors())
        read = total
        if weights.embedding is not weights.head:
            read -= weights.embedding.nbytes - weights.embedding.nbytes // weights.embedding.padded_rows
        device, positions = self.model.device, self.model.math.positions
        counts, threads = self.compiled.kernels(), self.compiled.threads()
        details = {
            "tinygrad": version, "python": platform.python_version(), "kernels": self.request["kernels"],
            "weights_ns": str(self.weights_ns), "jit_ns": str(self.jit_ns),
            "jit": "cold" if self.kernels_compiled else "warm", "kernels_compiled": str(self.kernels_compiled),
            "kernels_prefill": str(counts["prefill"]), "kernels_decode": str(counts["decode"]),
            "threads_prefill": str(threads["prefill"]), "threads_decode": str(threads["decode"]),
            "kv_positions": str(positions), "renderer": type(Device[device].renderer).__name__, "target": repr(DEV),
        }
        if clang:
            details["compiler"] = clang
        if self.settings.beam:
            details["beam"] = str(self.settings.beam)
        answer = {
            "kind": "loaded", "load_ns": self.load_ns, "device": device, "native_quantize": self._native_words(),
            "weights_bytes": total, "weights_read_bytes": read, "n_params": self.checkpoint.parameters,
            "kv_bytes": self.model.cache_bytes, "kv_bytes_per_token": self.model.cache_bytes // positions,
            "kv_type": {"float32": "f32", "float16": "f16"}[self.kv_type], "ctx_tokens": self.request["ctx_tokens"],
            "batch": self.chunk, "ubatch": self.chunk, "flash_attn": False,
            "vocab_size": config.vocab, "details": details,
        }
        if device.split(":")[0] == "CPU":
            answer |= {"device_description": processor(), "threads": max(threads.values())}
        folder = Path(self.checkpoint.path)
        optional = {"bos": config.bos, "eos": self.eos or None, "chat_template": ends.chat_template(folder),
                    "ctx_train": config.ctx_train}
        answer |= {name: value for name, value in optional.items() if value is not None}
        return answer

    def _native_words(self) -> str:
        """What the engine computes with, in words that hide nothing."""
        on_cpu = self.model.device.split(":")[0] == "CPU"
        if self.native in ("int8", "nf4"):
            return f"{self.native}, embedding and head float16"
        if self.native != "default":
            return self.native + (", computed in float32" if on_cpu and self.native == "float16" else "")
        words = []
        for kind in self.checkpoint.kinds:
            name = {"F32": "float32", "F16": "float16", "BF16": "bfloat16"}.get(kind, kind)
            if kind in ("Q5_K", "Q6_K"):
                name += " (codes as int8)"
            elif kind in ("Q4_1", "Q5_0", "Q5_1"):
                name += " (as float16)"
            words.append(name)
        return " + ".join(words) + (", computed in float32" if words != ["float32"] else "")


def _math(kernels: str, device: str):
    """The class that computes: our kernels on a CPU whose C is compiled by Clang, else tinygrad's own."""
    if kernels == "stock":
        from .plain import Plain

        return Plain
    from .tuned import Tuned

    return Tuned

