"""The command line tools: files of the right names and forms, without weights that mean anything."""

import argparse
import json
import os
import shutil
import sys
import time
from pathlib import Path

from . import faults

_FORMATS = ["q0f16", "q0bf16", "q0f32", "q3f16_1", "q4f16_0", "q4f16_1", "q4f32_1"]


def _fail(text):
    print("some lines\nbefore the last", file=sys.stderr)
    sys.exit(text)


def convert_weight(argv):
    """Writes shards and their index."""
    parser = argparse.ArgumentParser("convert_weight")
    parser.add_argument("config")
    parser.add_argument("--quantization", required=True, choices=_FORMATS)
    for name in ("--device", "--source-format"):
        parser.add_argument(name, default="auto")
    parser.add_argument("--output", "-o", required=True)
    args = parser.parse_args(argv)
    source, output = Path(args.config), Path(args.output)
    if not (source / "model.safetensors.index.json").is_file():
        _fail("ModuleNotFoundError: No module named 'torch'")
    if list(source.glob("*.bin")):
        _fail("the stand-in would read a pickle now")
    if faults.on("fail_convert"):
        _fail("ValueError: Parameter not found in source: model.norm.weight")
    index = json.loads((source / "model.safetensors.index.json").read_text(encoding="utf-8"))
    for shard in set(index["weight_map"].values()):
        assert (source / shard).is_file(), shard
    config = json.loads((source / "config.json").read_text(encoding="utf-8"))
    hidden, vocab, wide = config["hidden_size"], config["vocab_size"], "float32" if "f32" in args.quantization else "float16"
    shapes = [("model.embed_tokens.weight", [vocab, hidden], wide), ("model.layers.0.mlp.weight", [hidden, hidden], wide),
              ("lm_head.weight", [vocab, hidden], wide)]
    records, offset = [], 0
    for name, shape, dtype in shapes:
        nbytes = shape[0] * shape[1] * 2
        records.append({"name": name, "shape": shape, "dtype": dtype, "format": "f32-to-bf16", "nbytes": nbytes, "byteOffset": offset})
        offset += nbytes
    parameters = sum(shape[0] * shape[1] for _, shape, _ in shapes)
    size = parameters * (4 if wide == "float32" else 2)
    (output / "params_shard_0.bin").write_bytes(bytes(offset))
    told = {"metadata": {"ParamSize": len(records), "ParamBytes": float(size), "BitsPerParam": 8.0 * size / parameters},
            "records": [{"dataPath": "params_shard_0.bin", "format": "raw-shard", "nbytes": offset, "records": records}]}
    (output / "tensor-cache.json").write_text(json.dumps(told), encoding="utf-8")
    print("\x1b[1mSaved\x1b[0m")


def gen_config(argv):
    """Writes the configuration and copies the tokenizer."""
    parser = argparse.ArgumentParser("gen_config")
    parser.add_argument("config")
    parser.add_argument("--quantization", required=True, choices=_FORMATS)
    templates = ["LM"] if faults.on("no_templates") else ["LM", "llama-2", "llama-3_1", "chatml", "qwen2"]
    parser.add_argument("--conv-template", required=True, choices=templates)
    for name in ("--context-window-size", "--prefill-chunk-size", "--max-batch-size"):
        parser.add_argument(name, type=int)
    parser.add_argument("--output", "-o", required=True)
    args = parser.parse_args(argv)
    source, output = Path(args.config), Path(args.output)
    config = json.loads((source / "config.json").read_text(encoding="utf-8"))
    window = args.context_window_size or config["max_position_embeddings"]
    told = {"version": "0.1.0", "model_type": config["model_type"], "quantization": args.quantization,
            "model_config": {**config, "context_window_size": window, "prefill_chunk_size": min(args.prefill_chunk_size, window)},
            "vocab_size": config["vocab_size"], "context_window_size": window,
            "prefill_chunk_size": min(args.prefill_chunk_size, window), "tokenizer_files": [],
            "conv_template": {"name": args.conv_template}, "bos_token_id": config.get("bos_token_id", 1)}
    for name in ("tokenizer.json", "tokenizer_config.json"):
        if (source / name).is_file():
            shutil.copy(source / name, output / name)
            told["tokenizer_files"].append(name)
    (output / "mlc-chat-config.json").write_text(json.dumps(told, indent=2), encoding="utf-8")


def compile_library(argv):
    """Writes what the library was compiled for."""
    parser = argparse.ArgumentParser("compile")
    parser.add_argument("model")
    for name in ("--device", "--opt", "--overrides"):
        parser.add_argument(name, default="")
    parser.add_argument("--output", "-o", required=True)
    args = parser.parse_args(argv)
    if faults.on("fail_compile"):
        _fail("TVMError: no code for this processor")
    time.sleep(float(os.environ.get("MLC_STANDIN_COMPILE_S", "0")))
    told = json.loads(Path(args.model).read_text(encoding="utf-8"))
    overrides = dict(pair.split("=") for pair in args.overrides.split(";"))
    made = {"quantization": told["quantization"], "device": args.device, "opt": args.opt,
            "threads": os.environ["TVM_NUM_THREADS"], **{name: int(value) for name, value in overrides.items()}}
    Path(args.output).write_text(json.dumps(made), encoding="utf-8")
