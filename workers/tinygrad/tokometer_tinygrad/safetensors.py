"""Finds the tensors of a Hugging Face folder: one `model.safetensors`, or shards with an index.

Headers are checked against the files' real sizes before anything is believed. The data itself is not read here.
Format: https://github.com/huggingface/safetensors#format
"""

import json
import math
from dataclasses import dataclass
from pathlib import Path

from tokometer_worker import Failed

#: Bytes per element of the types that models use.
ITEM_BYTES = {"F32": 4, "F16": 2, "BF16": 2}
_MOST_HEADER_BYTES = 100_000_000


@dataclass(frozen=True)
class Entry:
    """Where a tensor lies: `kind` is a safetensors type or the name of a GGUF type."""

    path: Path
    offset: int
    nbytes: int
    kind: str
    shape: tuple

    @property
    def count(self) -> int:
        """Number of elements."""
        return math.prod(self.shape)


def find(folder: Path) -> dict:
    """All tensors of the folder by name."""
    index = folder / "model.safetensors.index.json"
    if index.is_file():
        entries: dict = {}
        for name in _shards(index):
            entries.update(read_header(folder / name))
        return entries
    single = folder / "model.safetensors"
    if single.is_file():
        return read_header(single)
    raise Failed("model", f"{folder} holds neither model.safetensors nor model.safetensors.index.json")


def _shards(index: Path) -> list:
    """The file names that an index lists, each of them inside the folder."""
    try:
        names = sorted(set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values()))
        outside = [name for name in names if Path(name).name != name]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise Failed("model", f"{index} is no index of safetensors: {error!r}") from None
    if outside:
        raise Failed("model", f"{index} points outside of its folder: {outside[0]!r}")
    return names


def read_header(path: Path) -> dict:
    """The tensors of one file by name."""
    try:
        with open(path, "rb") as file:
            size = file.seek(0, 2)
            file.seek(0)
            length = int.from_bytes(file.read(8), "little")
            if not 2 <= length <= min(size - 8, _MOST_HEADER_BYTES):
                raise Failed("model", f"{path} says its header has {length} bytes; the file has {size}")
            table = json.loads(file.read(length))
    except OSError as error:
        raise Failed("model", f"cannot read {path}: {error.strerror}") from None
    except ValueError as error:
        raise Failed("model", f"the header of {path} is no JSON: {error}") from None
    if not isinstance(table, dict):
        raise Failed("model", f"the header of {path} is no JSON object")
    table.pop("__metadata__", None)
    return {name: _entry(path, name, info, 8 + length, size) for name, info in table.items()}


def _entry(path: Path, name: str, info: object, start: int, size: int) -> Entry:
    try:
        kind, shape, (first, end) = info["dtype"], tuple(info["shape"]), info["data_offsets"]
        whole = all(isinstance(n, int) and n >= 0 for n in (*shape, first, end))
    except (TypeError, KeyError, ValueError):
        raise Failed("model", f"{path}: the entry of tensor {name} is malformed") from None
    if not whole or not first <= end <= size - start:
        raise Failed("model", f"{path}: tensor {name} lies outside of the file, which may have been cut")
    if kind in ITEM_BYTES and math.prod(shape) * ITEM_BYTES[kind] != end - first:
        raise Failed("model", f"{path}: tensor {name} has {end - first} bytes, {kind} {list(shape)} needs another number")
    return Entry(path, start + first, end - first, kind, shape)
