"""The network: a decoder of the Llama family over the weights of `loader`, computed by `tuned` or `plain`."""

from tinygrad import Tensor, UOp, dtypes

from . import rope
from .checkpoint import Checkpoint
from .loader import Layer, Weights


class Model:
    """Weights, a KV cache, and the functions that a step is made of. Lazy: the callers realize and compile."""

    def __init__(self, checkpoint: Checkpoint, weights: Weights, math, device: str):
        self.config, self.weights, self.math, self.device = checkpoint.config, weights, math, device
        self.caches = [math.cache(device) for _ in weights.layers]
        self.turns = tuple(
            Tensor(table, device=device).bitcast(dtypes.float32).reshape(math.positions, -1).contiguous().realize()
            for table in rope.tables(checkpoint.frequencies, math.positions)
        )

    @property
    def cache_bytes(self) -> int:
        """Bytes of all KV caches."""
        return sum(tensor.nbytes() for pair in self.caches for tensor in pair)

    def hidden(self, tokens: Tensor, start: UOp) -> Tensor:
        """Runs `tokens` [n] at positions from `start` through all layers: [n, hidden], before the last norm."""
        x = self.math.embed(tokens, self.weights.embedding)
        for layer, cache in zip(self.weights.layers, self.caches):
            x = self._layer(layer, cache, x, start)
        return x

    def logits(self, hidden: Tensor) -> Tensor:
        """The logits [n, vocabulary] after the positions of `hidden` [n, hidden]."""
        normed = self.math.norm(hidden, self.weights.norm)
        return self.math.linear(normed, self.weights.head)[:, : self.config.vocab]

    def _layer(self, layer: Layer, cache: tuple, x: Tensor, start: UOp) -> Tensor:
        c, math = self.config, self.math
        q, k, v = self._qkv(layer, math.norm(x, layer.input_norm))
        mixed, *_ = math.attend(q, k, v, self.turns, cache, start)
        x = math.linear(mixed, layer.o, x)
        normed = math.norm(x, layer.post_norm)
        if len(layer.gate_up) == 1:
            both = math.linear(normed, layer.gate_up[0])
            gate, up = both[:, : c.ffn], both[:, c.ffn : 2 * c.ffn]
        else:
            gate, up = (math.linear(normed, w)[:, : c.ffn] for w in layer.gate_up)
        return math.linear((gate.silu() * up).contiguous(), layer.down, x)

    def _qkv(self, layer: Layer, x: Tensor) -> list:
        """q, k and v, each as (tensor, first column)."""
        c = self.config
        widths = (c.heads * c.head_size, c.kv_heads * c.head_size, c.kv_heads * c.head_size)
        if len(layer.qkv) == 1:
            fused = self.math.linear(x, layer.qkv[0])
            parts = [(fused, first) for first in (0, widths[0], widths[0] + widths[1])]
        else:
            parts = [(self.math.linear(x, w), 0) for w in layer.qkv]
        for i, norm in enumerate((layer.q_norm, layer.k_norm, None)):
            tensor, first = parts[i]
            if layer.qkv_bias:
                tensor, first = tensor[:, first : first + widths[i]] + layer.qkv_bias[i], 0
            if norm is not None:
                heads = tensor[:, first : first + widths[i]].reshape(x.shape[0], -1, c.head_size)
                tensor, first = self.math.norm(heads, norm).reshape(x.shape[0], -1), 0
            parts[i] = (tensor if tensor is parts[i][0] else tensor.contiguous(), first)
        return parts
