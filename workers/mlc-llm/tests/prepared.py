"""A model prepared once for all tests, by the worker itself, and laid out as `tokometer prepare` does."""

import atexit
import functools
import json
import os
import shutil
import tempfile
from pathlib import Path

import checkpoints
from client import Client

NATIVE = "q4f32_1"
WINDOW, CHUNK = 2048, 64

ROOT = Path(tempfile.mkdtemp(prefix="tokometer-mlc-"))
atexit.register(shutil.rmtree, ROOT, ignore_errors=True)
os.environ.setdefault("TOKOMETER_CACHE", str(ROOT / "cache"))


@functools.cache
def checkpoint():
    """A Hugging Face folder without an index."""
    return checkpoints.write(ROOT / "checkpoint")


@functools.cache
def model():
    """The folder that is loaded. With the real MLC-LLM this takes a minute or two."""
    with Client(ROOT / "prepare.txt") as client:
        build = client("hello", protocol=2)
        client("quantize", input=str(checkpoint()), output=str(ROOT / "weights"), native=NATIVE, threads=2)
        library = ROOT / "library"
        library.mkdir()
        client("compile", model=str(ROOT / "weights"), output=str(library / "lib.so"), device="cpu", ctx_tokens=WINDOW,
               prefill_chunk=CHUNK, threads=2)
        said = [reply["progress"] for reply in client.said]
    write_joined(library, build, {})
    return library, said


def write_joined(library, hello, changes):
    """`compiled.json` for a library."""
    device = hello["devices"][-1]
    made_for = {"mlc_llm": hello["engine_version"], "tvm": hello["build"]["tvm"], "processor": hello["build"]["processor"],
                "device": f"{device['name']} ({device['description']})", "context": str(WINDOW), "prefill chunk": str(CHUNK), **changes}
    joined = {"weights": "../weights", "library": "lib.so", "compile_ns": 5, "made_for": made_for}
    (library / "compiled.json").write_text(json.dumps(joined), encoding="utf-8")


def loading(**more):
    """The fields of a `load` on the processor."""
    return {"model": str(model()[0]), "ctx_tokens": 256, "device": "CPU", "threads": 2, "quantize": NATIVE, **more}
