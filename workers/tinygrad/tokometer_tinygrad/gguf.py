"""Reads the metadata of GGUF files and where their tensors lie. Nothing is dequantized here.

Layout: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md. Every length is checked against the file before
anything of that length is read.
"""

import math
import mmap
import re
import struct
from pathlib import Path

from tokometer_worker import Failed

from .safetensors import Entry

#: Types by their number: name, elements per block, bytes per block.
TYPES = {
    0: ("F32", 1, 4), 1: ("F16", 1, 2), 2: ("Q4_0", 32, 18), 3: ("Q4_1", 32, 20), 6: ("Q5_0", 32, 22),
    7: ("Q5_1", 32, 24), 8: ("Q8_0", 32, 34), 12: ("Q4_K", 256, 144), 13: ("Q5_K", 256, 176), 14: ("Q6_K", 256, 210),
    30: ("BF16", 1, 2),
}
NUMBERS = {name: number for number, (name, _, _) in TYPES.items()}
_SCALARS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
_STRING, _ARRAY = 8, 9


class _Reader:
    """Takes values from a file, and never beyond its end."""

    def __init__(self, path: Path, data: mmap.mmap):
        self.path, self.data, self.at = path, data, 0

    def take(self, count: int) -> bytes:
        if count > len(self.data) - self.at:
            raise Failed("model", f"{self.path} ends inside its metadata; it may have been cut")
        self.at += count
        return self.data[self.at - count : self.at]

    def scalar(self, letter: str):
        return struct.unpack("<" + letter, self.take(struct.calcsize("<" + letter)))[0]

    def text(self) -> str:
        return self.take(self.scalar("Q")).decode("utf-8", "replace")

    def value(self, kind: int, depth: int = 0):
        if kind in _SCALARS:
            return self.scalar(_SCALARS[kind])
        if kind == _STRING:
            return self.text()
        if kind != _ARRAY or depth > 2:
            raise Failed("model", f"{self.path} holds a metadata value of unknown type {kind}")
        inner, count = self.scalar("I"), self.scalar("Q")
        if inner in _SCALARS:
            letter = _SCALARS[inner]
            if count > len(self.data) // struct.calcsize("<" + letter):
                raise Failed("model", f"{self.path} claims an array of {count} entries, more than the file can hold")
            return struct.unpack(f"<{count}{letter}", self.take(count * struct.calcsize("<" + letter)))
        if count > len(self.data) // 8:
            raise Failed("model", f"{self.path} claims an array of {count} entries, more than the file can hold")
        return [self.value(inner, depth + 1) for _ in range(count)]


def read(path: Path) -> tuple:
    """The metadata and the tensors by name; the parts of a split model are read together."""
    metadata, entries = _read_one(path)
    parts = metadata.get("split.count", 1)
    if parts > 1:
        match = re.fullmatch(r"(.*)-00001-of-(\d{5})\.gguf", path.name)
        if not match or int(match[2]) != parts:
            raise Failed("model", f"{path} is one of {parts} parts: give the one that ends in -00001-of-{parts:05d}.gguf")
        for number in range(2, parts + 1):
            entries.update(_read_one(path.with_name(f"{match[1]}-{number:05d}-of-{parts:05d}.gguf"))[1])
    return metadata, entries


def _read_one(path: Path) -> tuple:
    try:
        with open(path, "rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            return _parse(_Reader(path, data))
    except (OSError, ValueError) as error:
        raise Failed("model", f"cannot read {path}: {error}") from None


def _parse(reader: _Reader) -> tuple:
    path = reader.path
    if reader.take(4) != b"GGUF":
        raise Failed("model", f"{path} is no GGUF file")
    version = reader.scalar("I")
    if version not in (2, 3):
        raise Failed("model", f"{path} is GGUF version {version}; versions 2 and 3 can be read")
    tensors, pairs = reader.scalar("Q"), reader.scalar("Q")
    metadata = {}
    for _ in range(pairs):
        name = reader.text()
        metadata[name] = reader.value(reader.scalar("I"))
    places = [_place(reader) for _ in range(tensors)]
    alignment = metadata.get("general.alignment", 32)
    if not isinstance(alignment, int) or alignment < 1:
        raise Failed("model", f"{path} has an alignment of {alignment!r}")
    start = -(-reader.at // alignment) * alignment
    return metadata, {name: _entry(reader, start, name, *rest) for name, *rest in places}


def _place(reader: _Reader) -> tuple:
    name, dimensions = reader.text(), reader.scalar("I")
    if dimensions > 4:
        raise Failed("model", f"{reader.path}: tensor {name} has {dimensions} dimensions")
    shape = tuple(reader.scalar("Q") for _ in range(dimensions))
    return name, shape[::-1], reader.scalar("I"), reader.scalar("Q")


def _entry(reader: _Reader, start: int, name: str, shape: tuple, number: int, offset: int) -> Entry:
    if number not in TYPES:
        raise Failed("unsupported", f"{reader.path}: tensor {name} has type {number}; this worker reads "
                     + ", ".join(kind for kind, _, _ in TYPES.values()))
    kind, elements, block = TYPES[number]
    if shape and shape[-1] % elements:
        raise Failed("model", f"{reader.path}: a row of tensor {name} has {shape[-1]} elements, "
                     f"{kind} needs a multiple of {elements}")
    nbytes = math.prod(shape) // elements * block
    if start + offset + nbytes > len(reader.data):
        raise Failed("model", f"{reader.path}: tensor {name} lies outside of the file, which may have been cut")
    return Entry(reader.path, start + offset, nbytes, kind, shape)
