"""Has MLC-LLM convert weights and compile libraries, with its own tools, in processes of their own."""

import json
import time
from pathlib import Path

from tokometer_worker import Failed, Params, Replies

from . import child, devices, durations, templates
from .links import Links
from .models import CONFIG, Model

#: Prompt tokens that a model's configuration allows to be computed at once; a library has its own, smaller or equal.
_CHUNK = 2048
#: Requests that are computed together: one, as everywhere in Tokometer.
_BATCH = 1


def quantize(params: Params, replies: Replies) -> dict:
    """A Hugging Face folder to a folder of weights, tokenizer and configuration. Weights are the same on every machine, so
    they are always converted on the processor."""
    checkpoint, output, native = Path(params.text("input")), Path(params.text("output")), params.text("native")
    threads = params.optional_count("threads", 1) or 1
    if not (checkpoint / "config.json").is_file():
        raise Failed("model", f"{checkpoint} is no Hugging Face checkpoint: it has no config.json")
    output.mkdir(parents=True, exist_ok=True)
    layers, size = _layers(checkpoint / "config.json"), _bytes(checkpoint, (".safetensors",)) / 1e9
    expected, source = durations.expected("convert", "cpu", layers, size)
    replies.progress(f"converting {checkpoint.name} to {native} takes about {durations.words(expected)} ({source})")
    began = time.monotonic()
    with Links(checkpoint, output) as links:
        tool = child.Tool(["convert_weight", str(links), "--quantization", native, "--device", "cpu", "--source-format",
                           "huggingface-safetensor", "-o", str(output)], "converting weights", expected, _limit(expected))
        spent = child.run(tool, threads, replies)
        _configure(links, output, native, threads, replies, (spent, expected))
    durations.remember("convert", "cpu", layers, size, time.monotonic() - began)
    return _made(_bytes(output, ("",)), began)


def _configure(links: Path, output: Path, native: str, threads: int, replies: Replies, so_far: tuple) -> None:
    """Configuration and tokenizer. A version that lacks the template gets the plain one."""
    for template in dict.fromkeys((templates.choose(links), "LM")):
        words = ["gen_config", str(links), "--quantization", native, "--conv-template", template, "--prefill-chunk-size",
                 str(_CHUNK), "--max-batch-size", str(_BATCH), "-o", str(output)]
        try:
            child.run(child.Tool(words, "writing the configuration", 20, 600), threads, replies, *so_far)
            return
        except Failed as failed:
            if template == "LM" or "--conv-template" not in failed.message:
                raise


def compile_library(params: Params, replies: Replies) -> dict:
    """A folder of weights to a library for a device."""
    model, output, options = Model.open(Path(params.text("model"))), Path(params.text("output")), params.settings("options")
    device = devices.choose(params.text("device"))
    threads = params.optional_count("threads", 1) or 1
    # Optimizations are for GPUs; on a CPU the plain flags are what was seen working.
    opt = options.get("opt") or ("O0" if device["kind"] == "cpu" else "O2")
    overrides = {"context_window_size": params.count("ctx_tokens", 1), "prefill_chunk_size": params.count("prefill_chunk", 1),
                 "max_batch_size": _BATCH}
    layers, size = model.layers() or 16, (model.weights_bytes() or 0) / 1e9
    expected, source = durations.expected("compile", device["name"], layers, size)
    replies.progress(f"compiling the library for {device['name']} takes about {durations.words(expected)} ({source}); once for "
                     "each device, processor and version")
    began = time.monotonic()
    words = ["compile", str(model.weights / CONFIG), "--device", device["name"], "--opt", opt, "--overrides",
             ";".join(f"{name}={value}" for name, value in overrides.items()), "-o", str(output)]
    spent = child.run(child.Tool(words, "compiling", expected, _limit(expected)), threads, replies)
    if not output.is_file():
        raise Failed("engine", f"`mlc_llm compile` ended well, but {output} is not there")
    durations.remember("compile", device["name"], layers, size, spent)
    return _made(output.stat().st_size, began)


def _made(size: int, began: float) -> dict:
    return {"kind": "quantized", "bytes": size, "elapsed_ns": int((time.monotonic() - began) * 1e9)}


def _limit(expected: float) -> float:
    """A tool that takes ten times as long as expected hangs; an hour is always allowed."""
    return max(3600.0, 10 * expected)


def _layers(config: Path) -> int:
    try:
        told = json.loads(config.read_text(encoding="utf-8"))
    except ValueError as error:
        raise Failed("model", f"{config}: damaged: {error}") from None
    layers = told.get("num_hidden_layers") if isinstance(told, dict) else None
    return layers if isinstance(layers, int) and layers > 0 else 16


def _bytes(folder: Path, endings: tuple) -> int:
    return sum(file.stat().st_size for file in folder.iterdir() if file.is_file() and file.name.endswith(endings))
