"""A checkpoint laid out as MLC-LLM's converter wants it: links to its files in a folder of ours, with an index of tensors.

Without `model.safetensors.index.json` the converter imports torch to make one, in the user's folder. And a folder that
also holds pickles would have them read; only files of known kinds are linked.
"""

import json
import os
import shutil
import tempfile
from pathlib import Path

from tokometer_worker import Failed

_INDEX = "model.safetensors.index.json"
_KINDS = (".json", ".jinja", ".txt", ".model", ".safetensors", ".tiktoken")
#: The longest header of a safetensors file, as the format's own library limits it.
_LONGEST_HEADER = 100_000_000


class Links:
    """The folder, while it is open."""

    def __init__(self, checkpoint: Path, beside: Path):
        self._checkpoint = checkpoint
        self.path = Path(tempfile.mkdtemp(prefix=".links-", dir=beside))

    def __enter__(self) -> Path:
        try:
            self._fill()
        except BaseException:
            self.__exit__()
            raise
        return self.path

    def __exit__(self, *_) -> None:
        shutil.rmtree(self.path, ignore_errors=True)

    def _fill(self) -> None:
        shards = []
        for file in sorted(self._checkpoint.iterdir()):
            if file.is_file() and file.name.endswith(_KINDS) and not file.name.startswith((".", "consolidated.")):
                os.symlink(file.resolve(), self.path / file.name)
                if file.name.endswith(".safetensors"):
                    shards.append(file)
        if not shards:
            raise Failed("model", f"{self._checkpoint} has no safetensors")
        if not (self.path / _INDEX).exists():
            weight_map = {name: shard.name for shard in shards for name in tensors(shard)}
            text = json.dumps({"metadata": {}, "weight_map": weight_map}, indent=1)
            (self.path / _INDEX).write_text(text, encoding="utf-8")


def tensors(file: Path) -> list:
    """The names of the tensors in a safetensors file, from its header."""
    size = file.stat().st_size
    with file.open("rb") as stream:
        length = int.from_bytes(stream.read(8), "little")
        if size < 8 or length > min(size - 8, _LONGEST_HEADER):
            raise Failed("model", f"{file}: damaged: a header of {length} bytes does not fit into its {size} bytes")
        try:
            header = json.loads(stream.read(length))
        except ValueError as error:
            raise Failed("model", f"{file}: damaged: its header is no JSON ({error})") from None
    if not isinstance(header, dict):
        raise Failed("model", f"{file}: damaged: its header is no table")
    return [name for name in header if name != "__metadata__"]
