"""Opens a model, a Hugging Face folder or a GGUF file, under one set of tensor names (those of Hugging Face)."""

import json
import struct
from dataclasses import dataclass, replace
from pathlib import Path

from tokometer_worker import Failed

from . import config, gguf, safetensors
from .config import Config
from .safetensors import Entry

_GGUF_NAMES = {
    "token_embd": "model.embed_tokens", "output_norm": "model.norm", "output": "lm_head",
    "attn_norm": "input_layernorm", "ffn_norm": "post_attention_layernorm",
    "attn_q": "self_attn.q_proj", "attn_k": "self_attn.k_proj", "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj", "attn_q_norm": "self_attn.q_norm", "attn_k_norm": "self_attn.k_norm",
    "ffn_gate": "mlp.gate_proj", "ffn_up": "mlp.up_proj", "ffn_down": "mlp.down_proj",
}


@dataclass(frozen=True)
class Checkpoint:
    """A model on disk. `interleaved`: the rows of q and k are ordered for pairs of neighbours (llama GGUF files)."""

    path: Path
    config: Config
    entries: dict
    gguf: bool
    interleaved: bool
    frequencies: tuple

    def entry(self, name: str) -> Entry:
        """A tensor that must be there."""
        try:
            return self.entries[name]
        except KeyError:
            raise Failed("model", f"{self.path} has no tensor {name}") from None

    @property
    def parameters(self) -> int:
        """Number of parameters that the network uses; a tied head counts once."""
        skipped = ("rope_freqs.weight", "rotary_emb.inv_freq", *(["lm_head.weight"] if self.config.tied else []))
        return sum(entry.count for name, entry in self.entries.items() if not name.endswith(skipped))

    @property
    def kinds(self) -> list:
        """The types of the matrices, most bytes first."""
        weight: dict = {}
        for entry in self.entries.values():
            if len(entry.shape) == 2:
                weight[entry.kind] = weight.get(entry.kind, 0) + entry.nbytes
        return sorted(weight, key=weight.get, reverse=True)


def open_checkpoint(path: Path) -> Checkpoint:
    """Reads what is needed to know the model; the weights stay on disk."""
    if path.is_dir():
        table = _read_json(path / "config.json")
        entries = safetensors.find(path)
        shape = config.from_hugging_face(table)
        if "lm_head.weight" not in entries:
            shape = replace(shape, tied=True)
        frequencies = shape.rope.frequencies(shape.head_size)
        return Checkpoint(path, shape, entries, False, False, tuple(frequencies))
    if not path.exists():
        raise Failed("model", f"there is no {path}")
    metadata, raw = gguf.read(path)
    shape = config.from_gguf(metadata, raw)
    frequencies = shape.rope.frequencies(shape.head_size)
    if factors := raw.get("rope_freqs.weight"):
        frequencies = [f / d for f, d in zip(frequencies, _floats(factors, len(frequencies)), strict=True)]
    entries = {_rename(name): entry for name, entry in raw.items()}
    return Checkpoint(path, shape, entries, True, shape.architecture == "llama", tuple(frequencies))


def _read_json(path: Path) -> dict:
    try:
        table = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise Failed("model", f"cannot read {path}: {error.strerror}") from None
    except ValueError as error:
        raise Failed("model", f"{path} is no JSON: {error}") from None
    if not isinstance(table, dict):
        raise Failed("model", f"{path} is no JSON object")
    return table


def _rename(name: str) -> str:
    """`blk.3.attn_q.weight` to `model.layers.3.self_attn.q_proj.weight`; what is unknown keeps its name."""
    parts = name.split(".")
    if parts[0] == "blk" and len(parts) == 4 and parts[2] in _GGUF_NAMES:
        return f"model.layers.{parts[1]}.{_GGUF_NAMES[parts[2]]}.{parts[3]}"
    if len(parts) == 2 and parts[0] in _GGUF_NAMES:
        return f"{_GGUF_NAMES[parts[0]]}.{parts[1]}"
    return name


def _floats(entry: Entry, count: int) -> tuple:
    """A short vector of float32, straight from the file."""
    if entry.kind != "F32" or entry.count != count:
        raise Failed("model", f"{entry.path}: rope_freqs.weight must hold {count} floats")
    with open(entry.path, "rb") as file:
        file.seek(entry.offset)
        values = struct.unpack(f"<{count}f", file.read(4 * count))
    if not all(value > 0 for value in values):
        raise Failed("model", f"{entry.path}: rope_freqs.weight must be positive")
    return values
