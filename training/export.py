"""Writes a trained checkpoint as a Hugging Face folder: weights in float16, tokenizer, chat template.

    python export.py --checkpoint run/checkpoint.npz --out tasks-2.4M
"""

import argparse
import json
import math
import pathlib
import struct

import numpy as np

import layout
import tokenizer

WEIGHTS = "model.safetensors"


def safetensors(weights):
    """The bytes of a safetensors file: length of the header, header, tensors in float16."""
    header, at = {"__metadata__": {"format": "pt"}}, 0
    blocks = []
    for name in sorted(weights):
        block = np.ascontiguousarray(weights[name], dtype="<f2").tobytes()
        header[name] = {"dtype": "F16", "shape": list(weights[name].shape), "data_offsets": [at, at + len(block)]}
        blocks.append(block)
        at += len(block)
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return b"".join([struct.pack("<Q", len(text)), text, *blocks])


def read(folder):
    """(config, weights in float32) of an exported folder."""
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    content = (folder / WEIGHTS).read_bytes()
    (length,) = struct.unpack("<Q", content[:8])
    header = json.loads(content[8 : 8 + length])
    weights = {}
    for name, entry in header.items():
        if name == "__metadata__":
            continue
        start, end = (8 + length + offset for offset in entry["data_offsets"])
        flat = np.frombuffer(content[start:end], dtype="<f2")
        weights[name] = flat.reshape(entry["shape"]).astype(np.float32)
    return config, weights


def small_files():
    """The content of every JSON file beside the weights, by name."""
    eos = [tokenizer.special_id(name) for name in (tokenizer.END_OF_TEXT, tokenizer.END_OF_TURN)]
    size = sum(2 * math.prod(shape) for shape in layout.shapes(layout.CONFIG).values())
    index = {"metadata": {"total_size": size}}
    index["weight_map"] = {name: WEIGHTS for name in sorted(layout.shapes(layout.CONFIG))}
    return {
        "config.json": layout.CONFIG,
        "generation_config.json": {"bos_token_id": layout.CONFIG["bos_token_id"], "do_sample": False, "eos_token_id": eos},
        "model.safetensors.index.json": index,
        "special_tokens_map.json": {"bos_token": tokenizer.BOS, "eos_token": tokenizer.END_OF_TURN},
        "tokenizer.json": tokenizer.tokenizer_json(),
        "tokenizer_config.json": tokenizer.tokenizer_config(layout.CONFIG["max_position_embeddings"]),
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--checkpoint", type=pathlib.Path, required=True)
    parser.add_argument("--out", type=pathlib.Path, required=True)
    args = parser.parse_args()
    with np.load(args.checkpoint) as file:
        weights = {name[2:]: file[name] for name in file.files if name.startswith("0 ")}
    wrong = {name for name, shape in layout.shapes(layout.CONFIG).items() if weights[name].shape != shape}
    if wrong or len(weights) != len(layout.shapes(layout.CONFIG)):
        raise SystemExit(f"{args.checkpoint} does not hold this model: {sorted(wrong)}")
    args.out.mkdir(parents=True, exist_ok=True)
    (args.out / WEIGHTS).write_bytes(safetensors(weights))
    for name, content in small_files().items():
        text = json.dumps(content, indent=2, ensure_ascii=False, sort_keys=name != "tokenizer.json")
        (args.out / name).write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
