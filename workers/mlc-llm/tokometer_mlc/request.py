"""What a load asks for, checked before anything heavy begins."""

from dataclasses import dataclass
from pathlib import Path

from tokometer_worker import Failed, Params

from . import devices, environ
from .models import Model

_OPTIONS = {
    "via": ("engine in this process, serve through MLC-LLM's HTTP server", ("engine", "serve")),
    "prefix_cache": ("disable, or radix, which a context before the prompt needs", ("disable", "radix")),
    "prefill_mode": ("the engine's hybrid or chunked", ("hybrid", "chunked")),
    "opt": ("optimization flags of the library, as O2; they are the library's own", None),
    "model_lib": ("path of a library for a folder that was not prepared by Tokometer", None),
}
#: Tokens of KV cache beyond the workload. Near its end requests are pre-empted and prefilled again: the engine keeps a
#: watermark of 8 tokens and pages of 16; with 128 spare tokens a prompt of 512 was prefilled 18 times (seen with 0.1.dev0, July 2026).
_ROOM = 1024
_PAGE = 16


@dataclass(frozen=True)
class Request:
    """A load."""

    model: Model
    library: Path
    device: dict
    threads: int
    ctx_tokens: int
    chunk: int
    via: str
    prefix_cache: str
    prefill_mode: str

    @property
    def kv_tokens(self) -> int:
        """Tokens of KV cache: the workload with room to spare, in whole pages. A context in the prefix cache is kept beside
        the sequence that goes on from it."""
        needed = self.ctx_tokens * (2 if self.prefix_cache == "radix" else 1) + _ROOM
        return -(-needed // _PAGE) * _PAGE

    @property
    def longest(self) -> int:
        """The longest sequence. One more than the workload: a sequence that fills its context is ended."""
        return self.ctx_tokens + 1


def read(params: Params) -> Request:
    """Checks the parameters of a `load`."""
    options = params.settings("options")
    for name, value in options.items():
        if name not in _OPTIONS:
            known = "; ".join(f"{key}: {words}" for key, (words, _) in _OPTIONS.items())
            raise Failed("unsupported", f"MLC-LLM has no option {name!r}; it has {known}")
        allowed = _OPTIONS[name][1]
        if allowed and value not in allowed:
            raise Failed("unsupported", f"{name} is {' or '.join(allowed)}, not {value!r}")
    if params.flag("flash_attn") is not None:
        raise Failed("unsupported", "MLC-LLM's attention is part of the compiled library: it is neither switched on nor off")
    model = Model.open(Path(params.text("model")))
    _check_format(model, params)
    device = devices.choose(params.optional_text("device"))
    _check_made_for(model, device)
    chunk, ctx_tokens = _sizes(model, params)
    return Request(
        model, _library(model, options), device, params.optional_count("threads", 1) or environ.available_threads(), ctx_tokens,
        chunk, options.get("via", "engine"), options.get("prefix_cache", "disable"), options.get("prefill_mode", "hybrid"))


def _check_format(model: Model, params: Params) -> None:
    native = params.optional_text("quantize")
    if native and model.quantization not in native.split(" or ") and native != "default":
        raise Failed("unsupported", f"{model.weights} is {model.quantization}, not {native}: prepare it for that")
    kv_type = params.optional_text("kv_type")
    if kv_type and kv_type != model.compute_type():
        raise Failed("unsupported", f"the KV cache of a {model.quantization} model is {model.compute_type()}, not {kv_type}")


def _check_made_for(model: Model, device: dict) -> None:
    """A library for something else is refused before the engine gets it: it can crash, or wait for ever."""
    here = {"mlc_llm": environ.mlc_version(), "tvm": environ.tvm_version(), "processor": environ.processor(),
            "device": f"{device['name']} ({device['description']})"}
    for name, value in here.items():
        made = model.made_for.get(name)
        if made is not None and made != value:
            raise Failed("model", f"the library was compiled for {name} {made!r}, this is {value!r}: `tokometer prepare` compiles "
                         "another one")


def _sizes(model: Model, params: Params) -> tuple[int, int]:
    def made(name: str) -> int | None:
        text = str(model.made_for.get(name, ""))
        return int(text) if text.isdecimal() else None

    ctx_tokens, window = params.count("ctx_tokens", 1), made("context")
    if window is not None and ctx_tokens + 1 > window:
        raise Failed("unsupported", f"{ctx_tokens} tokens do not fit into the library's context of {window}: prepare it again")
    chunk = made("prefill chunk") or 512
    asked = [n for n in (params.optional_count("ubatch", 1), params.optional_count("batch", 1)) if n]
    if asked and min(asked) > chunk:
        raise Failed("unsupported", f"the library computes {chunk} prompt tokens at once, not {min(asked)}: prepare it again")
    return min([chunk, *asked]), ctx_tokens


def _library(model: Model, options: dict) -> Path:
    library = Path(options["model_lib"]) if "model_lib" in options else model.library
    if library is None:
        raise Failed("model", f"{model.weights} has no compiled library: `tokometer prepare --engine mlc_llm --model {model.weights}` "
                     "makes one, or --option model_lib=PATH names it")
    if not library.is_file():
        raise Failed("model", f"the library {library} is not there: prepare the model again")
    return library.resolve()
