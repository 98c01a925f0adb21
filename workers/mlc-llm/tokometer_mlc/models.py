"""A prepared model: its folder of weights and its library, and what its files tell of it.

`compiled.json`, which `tokometer prepare` writes, joins a library with its weights. A folder with `mlc-chat-config.json`
is taken too; then the option `model_lib` names the library.
"""

import json
import math
from dataclasses import dataclass
from pathlib import Path

from tokometer_worker import Failed

CONFIG = "mlc-chat-config.json"
_JOINED = "compiled.json"
_INDEXES = ("tensor-cache.json", "ndarray-cache.json")
_SIZES = {"float64": 8, "int64": 8, "uint64": 8, "float32": 4, "int32": 4, "uint32": 4, "float16": 2, "bfloat16": 2,
          "int16": 2, "uint16": 2, "int8": 1, "uint8": 1, "float8_e4m3fn": 1, "float8_e5m2": 1}
_EMBEDDINGS = ("embed_tokens", "wte.", "word_embeddings", "tok_embeddings")


@dataclass(frozen=True)
class Model:
    """What lies on the disk."""

    #: The folder of weights, tokenizer and configuration.
    weights: Path
    #: The library, if it is known.
    library: Path | None
    #: The configuration.
    config: dict
    #: Tensors by name: shape and type.
    tensors: dict
    #: What the index of the weights says of all of them.
    totals: dict
    #: What the library was compiled for, as `tokometer prepare` noted it.
    made_for: dict
    compile_ns: int | None

    @staticmethod
    def open(path: Path) -> "Model":
        """Reads the small files; a Failed says what is wrong with them."""
        weights, library, made_for, compile_ns = path, None, {}, None
        if (path / _JOINED).is_file():
            joined = _json(path / _JOINED)
            if not isinstance(joined.get("weights"), str) or not isinstance(joined.get("library"), str):
                raise Failed("model", f"{path / _JOINED}: damaged: it does not name weights and library")
            weights, library = path / joined["weights"], path / joined["library"]
            made_for, compile_ns = joined.get("made_for") or {}, joined.get("compile_ns")
        if not (weights / CONFIG).is_file():
            raise Failed("model", f"{weights} holds no {CONFIG}: `tokometer prepare --engine mlc_llm` makes such folders")
        index = next((weights / name for name in _INDEXES if (weights / name).is_file()), None)
        told = _json(index) if index else {}
        tensors = {record["name"]: record for shard in told.get("records") or [] for record in shard.get("records") or []
                   if isinstance(record, dict) and isinstance(record.get("name"), str)}
        return Model(weights.resolve(), library, _json(weights / CONFIG), tensors, told.get("metadata") or {}, made_for,
                     compile_ns)

    @property
    def quantization(self) -> str:
        """The engine's name of the format."""
        return str(self.config.get("quantization", "unknown"))

    @property
    def vocab(self) -> int:
        """Ids are below it."""
        return self.config.get("vocab_size") or self._inner().get("vocab_size") or 0

    @property
    def bos(self) -> int | None:
        """The id that begins a text."""
        bos = self.config.get("bos_token_id")
        return bos if isinstance(bos, int) else None

    @property
    def eos(self) -> list:
        """The ids that end a text."""
        told = self.config.get("eos_token_id")
        ids = told if isinstance(told, list) else [told]
        conversation = self.config.get("conv_template")
        if isinstance(conversation, dict):
            ids = ids + (conversation.get("stop_token_ids") or [])
        return list(dict.fromkeys(i for i in ids if isinstance(i, int) and not isinstance(i, bool) and i >= 0))

    @property
    def chat_template(self) -> str | None:
        """The checkpoint's own template, which the folder of weights keeps with the tokenizer."""
        file = self.weights / "tokenizer_config.json"
        told = _json(file).get("chat_template") if file.is_file() else None
        if isinstance(told, list):  # several, by name
            told = next((entry.get("template") for entry in told if entry.get("name") == "default"), None)
        return told if isinstance(told, str) and told else None

    def layers(self) -> int | None:
        """Number of layers."""
        inner = self._inner()
        return inner.get("num_hidden_layers") or inner.get("n_layer") or inner.get("num_layers")

    def compute_type(self) -> str:
        """The type of activations and KV cache: `f32`, `f16` or `bf16`, which the format's name ends in."""
        name = self.quantization
        return "f32" if "f32" in name else "bf16" if "bf16" in name else "f16"

    def weights_bytes(self) -> int | None:
        """Bytes of all tensors in memory."""
        told = self.totals.get("ParamBytes")
        if self.tensors:
            return sum(map(_bytes, self.tensors.values()))
        return round(told) if isinstance(told, (int, float)) else None

    def weights_read_bytes(self) -> int | None:
        """Bytes that a decode step reads: of an embedding that is not the head as well, one row."""
        total = self.weights_bytes()
        if total is None or not any(name.startswith("lm_head") for name in self.tensors) or not self.vocab:
            return total
        embedding = sum(_bytes(record) for name, record in self.tensors.items() if any(part in name for part in _EMBEDDINGS))
        return total - embedding + embedding // self.vocab

    def parameters(self) -> int | None:
        """Number of parameters before quantization."""
        size, bits = self.totals.get("ParamBytes"), self.totals.get("BitsPerParam")
        return round(size * 8 / bits) if isinstance(size, (int, float)) and isinstance(bits, (int, float)) and bits else None

    def kv_bytes_per_token(self) -> int | None:
        """Bytes of keys and values of one token."""
        inner = self._inner()
        heads = inner.get("num_key_value_heads") or inner.get("num_attention_heads")
        wide = inner.get("head_dim")
        if not wide and inner.get("hidden_size") and inner.get("num_attention_heads"):
            wide = inner["hidden_size"] // inner["num_attention_heads"]
        layers = self.layers()
        if not all(isinstance(x, int) and x > 0 for x in (heads, wide, layers)):
            return None
        return 2 * heads * wide * layers * (4 if self.compute_type() == "f32" else 2)

    def native_words(self) -> str:
        """What the engine computes with, in words that hide nothing: float32 weights are stored as bfloat16."""
        rounded = any(record.get("format") == "f32-to-bf16" and record.get("dtype") == "float32"
                      for name, record in self.tensors.items() if "norm" not in name)
        return self.quantization + (" (weights rounded to bfloat16)" if rounded and self.quantization == "q0f32" else "")

    def _inner(self) -> dict:
        inner = self.config.get("model_config")
        if not isinstance(inner, dict):
            return {}
        text = inner.get("text_config")
        return {**inner, **text} if isinstance(text, dict) else inner


def _bytes(record: dict) -> int:
    shape = record.get("shape") or []
    size = _SIZES.get(str(record.get("dtype")))
    if size is None or not all(isinstance(n, int) and n >= 0 for n in shape):
        return int(record.get("nbytes") or 0)
    return math.prod(shape) * size


def _json(file: Path) -> dict:
    try:
        value = json.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise Failed("model", f"cannot read {file}: {error.strerror or error}") from None
    except ValueError as error:
        raise Failed("model", f"{file}: damaged: {error}") from None
    if not isinstance(value, dict):
        raise Failed("model", f"{file}: damaged: it is no table")
    return value
