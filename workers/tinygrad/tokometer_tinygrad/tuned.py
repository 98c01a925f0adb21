"""Computes with our kernels for CPUs. The same methods as `plain`, which says what they do."""

import math

from tinygrad import Tensor, UOp, dtypes
from tinygrad.renderer import Estimates
from tinygrad.uop.ops import KernelInfo

from . import lanes as vec
from .attention import Attention
from .launch import launch
from .matmul import lanes_per_block, matmul, table_of
from .packed import Packed
from .versions import const


class Tuned:
    """Packed rows in blocks of lanes, fused dequantization, attention that stops at the last position."""

    def __init__(self, config, positions: int, threads: int, kv_type: str):
        self.config, self.positions, self.threads, self.kv_type = config, positions, threads, kv_type

    @staticmethod
    def lanes() -> int:
        return lanes_per_block()

    @staticmethod
    def default_kv_type(_device: str) -> str:
        return "float32"

    def granule(self) -> int:
        return 2 * vec.width()

    def cache(self, device: str) -> tuple:
        c, dtype = self.config, vec.STORED[self.kv_type]
        keys = (c.kv_heads, c.head_size, self.positions)
        values = (c.kv_heads, self.positions, c.head_size)
        return tuple(Tensor.zeros(*shape, dtype=dtype, device=device).contiguous().realize() for shape in (keys, values))

    def linear(self, x: Tensor, w: Packed, residual: Tensor | None = None) -> Tensor:
        if residual is None or w.padded_rows == w.rows:
            return matmul(x, w, residual)
        return matmul(x, w)[:, : w.rows] + residual

    def norm(self, x: Tensor, weight: Tensor) -> Tensor:
        size = weight.shape[0]
        rows = x.contiguous().reshape(-1, size)
        out = Tensor.empty(*rows.shape, dtype=dtypes.float32, device=x.device)
        return launch(lambda *p: _norm(size, self.config.epsilon, *p), out, rows, weight)[0].reshape(x.shape)

    def embed(self, tokens: Tensor, w: Packed) -> Tensor:
        out = Tensor.empty(tokens.shape[0], w.cols, dtype=dtypes.float32, device=w.codes.device)
        table = [table_of(w)] if w.format.table else []
        return launch(lambda *p: _gather(w, *p), out, tokens, w.codes, *w.parts.values(), *table)[0]

    def attend(self, q: tuple, k: tuple, v: tuple, turns: tuple, cache: tuple, start: UOp) -> tuple:
        c, n = self.config, q[0].shape[0]
        kernels = Attention(n, c.heads, c.kv_heads, c.head_size, self.positions, self.threads, self.kv_type)
        return kernels(q, k, v, *turns, *cache, start)


def _norm(size: int, epsilon: float, *nodes: UOp) -> UOp:
    """out[row] = x[row] * weight / root mean square of x[row]."""
    n = nodes[0].shape[0]
    out, x, weight = map(vec.flat, nodes)
    step = math.gcd(size, vec.width())
    row, first, second = UOp.range(n, 0), UOp.range(size // step, 1), UOp.range(size // step, 2)

    def at(buffer: UOp, loop: UOp, base) -> UOp:
        return vec.load(buffer, base + loop * step, "float32", step)

    values = at(x, first, row * size)
    one = const(1.0, dtypes.float)
    squares = vec.Sums(1, step, 0, [row]).over([first], [[(vec.alu("({0}*{0})", values), one)]])[0]
    total = vec.across("({0}+{1})", squares)
    root = vec.custom(dtypes.float, f"(1.0f/__builtin_sqrtf({{0}}*{1 / size!r}f+{epsilon!r}f))", total)
    scaled = vec.alu("({0}*{1}*{2})", at(x, second, row * size), root, at(weight, second, const(0, dtypes.weakint)))
    stores = vec.store([(out, row * size + second * step, scaled)]).end(second, row)
    info = KernelInfo(name=f"norm_{n}_{size}", estimates=Estimates(4 * n * size, 8 * n * size, 8 * n * size))
    return stores.sink(arg=info, tag=1)


def _gather(w: Packed, out: UOp, tokens: UOp, codes: UOp, *rest: UOp) -> UOp:
    """Rows of a packed matrix, dequantized: out[t, column] for the token of each t."""
    fmt = w.format
    parts = {name: part.flatten() for name, part in zip(w.parts, rest)}
    n = out.shape[0]
    t, element = UOp.range(n, 0), UOp.range(w.cols // fmt.per_byte, 1)
    row = tokens[t].cast(dtypes.weakint)
    block, lane = row // w.lanes, row % w.lanes
    code = codes.flatten()[(block * (w.cols // fmt.per_byte) + element) * w.lanes + lane]
    if fmt.codes == "nibbles":
        wide = code.cast(dtypes.int)
        values = [wide & 15, wide >> 4]
        table = rest[-1].flatten()
        values = [table[v.cast(dtypes.weakint)] if fmt.table else v.cast(dtypes.float) for v in values]
    elif fmt.codes == "bfloat16":
        values = [(code.cast(dtypes.uint) << 16).bitcast(dtypes.float)]
    else:
        values = [code.cast(dtypes.float)]

    def factor(wanted: tuple, column: UOp):
        product = None
        for part in wanted:
            groups = w.cols // part.group if part.group else 1
            group = column // part.group if part.group else 0
            each = parts[part.name][(block * groups + group) * w.lanes + lane].cast(dtypes.float)
            product = each if product is None else product * each
        return product

    stores = []
    for offset, value in enumerate(values):
        column = element * fmt.per_byte + offset
        scale, low = factor(fmt.scales, column), factor(fmt.mins, column)
        value = value if scale is None else value * scale
        value = value if low is None else value - low
        stores.append(out[t, column].store(value))
    moved = n * w.cols * 4 + n * w.nbytes // w.padded_rows
    info = KernelInfo(name=f"embed_{fmt.name}_{n}_{w.padded_rows}_{w.cols}", estimates=Estimates(0, moved, moved))
    return UOp.group(*stores).end(t, element).sink(arg=info, tag=1)
