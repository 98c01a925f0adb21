"""Loads weights: from disk to the device, quantized, laid out, one matrix at a time.

Matrices that read the same input and have the same form become one: q, k and v; gate and up.
"""

from collections.abc import Callable
from dataclasses import dataclass

from tinygrad import Tensor, dtypes
from tokometer_worker import Failed

from . import formats, ggml, gguf, quantize
from .checkpoint import Checkpoint
from .packed import Packed, Piece, pack
from .safetensors import Entry

_DTYPES = {"F32": dtypes.float32, "F16": dtypes.float16, "BF16": dtypes.uint16}
_FORMATS = {"F32": formats.FLOAT32, "F16": formats.FLOAT16, "BF16": formats.BFLOAT16}


@dataclass
class Layer:
    """The weights of one layer. `qkv` and `gate_up` are one fused matrix, or one for each of their parts."""

    input_norm: Tensor
    qkv: list
    qkv_bias: list
    q_norm: Tensor | None
    k_norm: Tensor | None
    o: Packed
    post_norm: Tensor
    gate_up: list
    down: Packed


@dataclass
class Weights:
    """All weights of a model. `head` is `embedding` where they are tied."""

    embedding: Packed
    layers: list
    norm: Tensor
    head: Packed

    def tensors(self) -> list:
        """Every tensor once."""
        found: dict = {}
        for part in (self.embedding, self.head, self.norm, *(v for layer in self.layers for v in vars(layer).values())):
            for item in part if isinstance(part, list) else [part]:
                for tensor in item.tensors() if isinstance(item, Packed) else [item]:
                    if tensor is not None:
                        found[id(tensor)] = tensor
        return list(found.values())


class Loader:
    """Reads one checkpoint. `native` is a name of `formats.NATIVE`, or `default` for the types of the checkpoint."""

    def __init__(self, checkpoint: Checkpoint, native: str, device: str, lanes: int, threads: int,
                 progress: Callable[[int, int], None]):
        self.checkpoint, self.native, self.device = checkpoint, native, device
        self.lanes, self.threads = lanes, threads
        self._progress, self._left = progress, set(checkpoint.entries)

    def load(self) -> Weights:
        """Everything. Tensors of the checkpoint that the network does not use are refused if they would matter."""
        config = self.checkpoint.config
        layers = []
        for i in range(config.layers):
            layers.append(self._layer(f"model.layers.{i}."))
            self._progress(i + 1, config.layers + 1)
        rough = self.native in ("int8", "nf4")
        table = ("model.embed_tokens.weight",)
        if config.tied:
            embedding = head = self._matrix(table, (config.vocab,), config.hidden, as_float16=rough)
            self._left.discard("lm_head.weight")
        else:
            embedding = self._matrix(table, (config.vocab,), config.hidden, as_float16=rough, lanes=1)
            head = self._matrix(("lm_head.weight",), (config.vocab,), config.hidden, as_float16=rough)
        norm = self._vector("model.norm.weight", config.hidden)
        self._progress(config.layers + 1, config.layers + 1)
        left = [name for name in self._left if not name.endswith(("rotary_emb.inv_freq", "rope_freqs.weight"))]
        if left:
            raise Failed("unsupported", f"{self.checkpoint.path} has {len(left)} tensors that this network does not use: "
                         + ", ".join(sorted(left)[:4]))
        return Weights(embedding, layers, norm, head)

    def _layer(self, prefix: str) -> Layer:
        c = self.checkpoint.config
        q, kv = c.heads * c.head_size, c.kv_heads * c.head_size
        qkv = [f"{prefix}self_attn.{name}_proj" for name in "qkv"]
        qk = [f"{prefix}self_attn.{name}_norm.weight" for name in "qk"]
        gate_up = [f"{prefix}mlp.{name}_proj.weight" for name in ("gate", "up")]
        return Layer(
            input_norm=self._vector(prefix + "input_layernorm.weight", c.hidden),
            qkv=self._fused([name + ".weight" for name in qkv], (q, kv, kv), c.hidden),
            qkv_bias=[self._vector(name + ".bias", n, name) for name, n in zip(qkv, (q, kv, kv))] if c.qkv_bias else [],
            q_norm=self._vector(qk[0], c.head_size) if c.qk_norm else None,
            k_norm=self._vector(qk[1], c.head_size) if c.qk_norm else None,
            o=self._matrix((prefix + "self_attn.o_proj.weight",), (c.hidden,), q),
            post_norm=self._vector(prefix + "post_attention_layernorm.weight", c.hidden),
            gate_up=self._fused(gate_up, (c.ffn, c.ffn), c.hidden),
            down=self._matrix((prefix + "mlp.down_proj.weight",), (c.hidden,), c.ffn),
        )

    def _fused(self, names: list, rows: tuple, cols: int) -> list:
        """One matrix where all parts have one type and whole blocks of rows, else one for each part."""
        kinds = {self.checkpoint.entry(name).kind for name in names}
        if len(kinds) == 1 and all(n % self.lanes == 0 for n in rows[:-1]):
            return [self._matrix(tuple(names), rows, cols)]
        return [self._matrix((name,), (n,), cols) for name, n in zip(names, rows)]

    def _matrix(self, names: tuple, rows: tuple, cols: int, as_float16: bool = False, lanes: int = 0) -> Packed:
        """Reads matrices and puts their rows below each other."""
        pieces = []
        for name, n in zip(names, rows):
            entry = self._take(name, (n, cols))
            fmt, codes, parts = self._codes(entry, n, cols, as_float16)
            if self.checkpoint.interleaved and name.endswith(("q_proj.weight", "k_proj.weight")):
                codes, parts = self._half_split(codes), {key: self._half_split(part) for key, part in parts.items()}
            pieces.append(Piece(codes, parts))
        return pack(fmt, pieces, lanes or self.lanes, 1 if lanes else self.threads)

    def _take(self, name: str, shape: tuple) -> Entry:
        entry = self.checkpoint.entry(name)
        if tuple(entry.shape) != shape:
            raise Failed("model", f"{entry.path}: tensor {name} is {list(entry.shape)}, "
                         f"the configuration says {list(shape)}")
        self._left.discard(name)
        return entry

    def _codes(self, entry: Entry, rows: int, cols: int, as_float16: bool) -> tuple:
        """Format, codes and parts of a matrix in the wanted quantization."""
        plain = entry.kind in _DTYPES
        if self.native == "default" and not plain:
            blocks = self._read(entry, dtypes.uint8)
            if ggml.can_unpack(entry.kind):
                return ggml.unpack(entry.kind, blocks.reshape(-1, self._block_bytes(entry)), rows)
            return ggml.to_float16(gguf.NUMBERS[entry.kind], blocks, rows, cols)
        if not plain:
            raise Failed("unsupported", f"{entry.path} is quantized already ({entry.kind}): it can be run as it is "
                         f"(`default`), not as {self.native}")
        values = self._read(entry, _DTYPES[entry.kind]).reshape(rows, cols)
        if self.native == "default":
            return _FORMATS[entry.kind], values, {}
        values = _as_float(entry.kind, values)
        if as_float16 or self.native == "float16":
            return formats.FLOAT16, values.cast(dtypes.float16), {}
        if self.native == "float32":
            return formats.FLOAT32, values, {}
        return formats.NATIVE[self.native], *(quantize.int8 if self.native == "int8" else quantize.nf4)(values)

    def _block_bytes(self, entry: Entry) -> int:
        return gguf.TYPES[gguf.NUMBERS[entry.kind]][2]

    def _read(self, entry: Entry, dtype) -> Tensor:
        """The bytes of a tensor on the device, as elements of `dtype`."""
        disk = Tensor(entry.path)[entry.offset : entry.offset + entry.nbytes]
        return disk.bitcast(dtype).to(self.device).realize()

    def _vector(self, name: str, count: int, of: str = "") -> Tensor:
        """A norm's weight or a bias, in float32. A bias of q or k follows its matrix in the order of rows."""
        entry = self._take(name, (count,))
        if entry.kind not in _DTYPES:
            raise Failed("unsupported", f"{entry.path}: tensor {name} is {entry.kind}, not a float type")
        values = _as_float(entry.kind, self._read(entry, _DTYPES[entry.kind]))
        if self.checkpoint.interleaved and of.endswith(("q_proj", "k_proj")):
            values = self._half_split(values)
        return values.contiguous().realize()

    def _half_split(self, tensor: Tensor) -> Tensor:
        """Rows of heads ordered for pairs of neighbours, put in the order of pairs half a head apart."""
        half, rest = self.checkpoint.config.head_size // 2, tensor.shape[1:]
        heads = tensor.reshape(-1, half, 2, *rest)
        return heads.permute(0, 2, 1, *range(3, 3 + len(rest))).reshape(tensor.shape)


def _as_float(kind: str, values: Tensor) -> Tensor:
    """Values as float32; bfloat16 is held as its bits, since not every compiler knows the type."""
    if kind == "BF16":
        return values.cast(dtypes.uint32).lshift(16).bitcast(dtypes.float32)
    return values.cast(dtypes.float32)
