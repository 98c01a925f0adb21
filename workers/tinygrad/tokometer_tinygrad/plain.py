"""Computes with tinygrad's own kernels: GPUs, and the CPU where a user asks for `kernels=stock`."""

from tinygrad import Tensor, UOp, dtypes

from .packed import Packed


class Plain:
    """Row-major matrices, and expressions that tinygrad's scheduler fuses as it likes.

    `positions` is the length of the KV cache, `kv_type` its type.
    """

    def __init__(self, config, positions: int, threads: int, kv_type: str):
        self.config, self.positions, self.kv_type = config, positions, kv_type

    @staticmethod
    def lanes() -> int:
        """Rows in a block of the matrices that `linear` takes."""
        return 1

    @staticmethod
    def default_kv_type(device: str) -> str:
        """The type of the KV cache where none is asked for."""
        return "float32" if device.split(":")[0] == "CPU" else "float16"

    def granule(self) -> int:
        """The length of the cache must be a multiple of this."""
        return 1

    def cache(self, device: str) -> tuple:
        """Empty caches of one layer, keys and values."""
        shape = (self.config.kv_heads, self.positions, self.config.head_size)
        dtype = dtypes.float16 if self.kv_type == "float16" else dtypes.float32
        return tuple(Tensor.zeros(*shape, dtype=dtype, device=device).contiguous().realize() for _ in range(2))

    def linear(self, x: Tensor, w: Packed, residual: Tensor | None = None) -> Tensor:
        """`x @ w.T (+ residual)` for x [n, cols]: [n, rows or more] in float32."""
        if x.device.split(":")[0] != "CPU" and w.format.codes == "float16":
            out = x.cast(dtypes.float16).matmul(w.codes.reshape(w.rows, w.cols).T, dtype=dtypes.float32)
        else:
            out = x.matmul(w.dequantized().T, dtype=dtypes.float32)
        return out if residual is None else out + residual

    def norm(self, x: Tensor, weight: Tensor) -> Tensor:
        """RMS norm over the last dimension of [..., size]."""
        return (x * (x.square().mean(-1, keepdim=True) + self.config.epsilon).rsqrt() * weight).contiguous()

    def embed(self, tokens: Tensor, w: Packed) -> Tensor:
        """The rows of the tokens [n], as float32 [n, cols]."""
        return w.dequantized()[tokens]

    def attend(self, q: tuple, k: tuple, v: tuple, turns: tuple, cache: tuple, start: UOp) -> tuple:
        """Turns q and k, puts k and v into the cache at `start`, and attends.

        q, k and v are (tensor [n, width], first column); `turns` are cosines and sines of all positions.
        Returns the result [n, heads * size] and both caches as they are after it.
        """
        c, n = self.config, q[0].shape[0]
        turned, new_keys = self._turn(q, c.heads, turns, start), self._turn(k, c.kv_heads, turns, start)
        new_values = self._heads(v, c.kv_heads)
        keys, values = (self._written(old, new, start) for old, new in zip(cache, (new_keys, new_values)))
        end = start + n
        used = [held[:, 0:end].cast(dtypes.float32) for held in (keys, values)]
        group = c.heads // c.kv_heads
        rows = turned.reshape(c.kv_heads, group, n, c.head_size) * c.head_size**-0.5
        scores = rows @ used[0].unsqueeze(1).transpose(-1, -2)
        if n > 1:
            mask = Tensor.full((1, 1, n, end), float("-inf"), device=scores.device, buffer=False).triu(start + 1)
            scores = scores + mask
        mixed = scores.softmax(-1) @ used[1].unsqueeze(1)
        return mixed.reshape(c.heads, n, c.head_size).transpose(0, 1).reshape(n, -1), keys, values

    def _heads(self, source: tuple, heads: int) -> Tensor:
        """[heads, n, size] from the columns of a matrix."""
        tensor, first = source
        size = self.config.head_size
        return tensor[:, first : first + heads * size].reshape(-1, heads, size).transpose(0, 1)

    def _turn(self, source: tuple, heads: int, turns: tuple, start: UOp) -> Tensor:
        """The rotary embedding of heads at positions from `start`."""
        x = self._heads(source, heads)
        n, half = x.shape[1], self.config.head_size // 2
        cos, sin = (table[start : start + n].unsqueeze(0) for table in turns)
        first, second = x[..., :half], x[..., half:]
        return (first * cos - second * sin).cat(second * cos + first * sin, dim=-1)

    def _written(self, cache: Tensor, new: Tensor, start: UOp) -> Tensor:
        """The cache after `new` [kv heads, n, size] was stored at `start`."""
        place = cache[:, start : start + new.shape[1]].uop
        return Tensor(cache.uop.after(place.store(new.cast(cache.dtype).contiguous().uop)))
