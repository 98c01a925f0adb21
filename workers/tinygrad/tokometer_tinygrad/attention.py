"""Attention over the KV cache on the CPU, in four kernels that stop at the last position in use.

Keys lie transposed, [kv heads, head size, positions], so that the positions of one block are one vector; values lie as
[kv heads, positions, head size]. Query heads that share a KV head are rows of one small matrix product. Loops over
positions end at a variable, so that nothing is compiled again as the context grows.
"""

import math

from tinygrad import Tensor, UOp, dtypes
from tinygrad.renderer import Estimates
from tinygrad.uop.ops import AxisType, KernelInfo

from . import lanes as vec
from .launch import largest_divisor, launch
from .matmul import WORTH_A_THREAD
from .versions import const, element, variable, vector

_MASKED = -1e30


class Attention:
    """The kernels for one shape: `n` tokens at once, their heads, and a cache of `positions`."""

    def __init__(self, n: int, heads: int, kv_heads: int, head_size: int, positions: int, threads: int, kv_type: str):
        self.n, self.heads, self.kv_heads, self.size = n, heads, kv_heads, head_size
        self.positions, self.kv_type = positions, kv_type
        self.group = heads // kv_heads
        self.rows = n * self.group
        self.at_once = largest_divisor(self.rows, vec.rows_at_once())
        worth = n * heads * head_size * positions // (2 * WORTH_A_THREAD)  # with the cache half full
        self.threads = max(1, min(threads, worth))

    def __call__(self, q, k, v, cos: Tensor, sin: Tensor, keys: Tensor, values: Tensor, start: UOp) -> tuple:
        """Attends from `n` tokens at `start`. q, k and v are (tensor [n, width], first column).

        Returns the result [n, heads * size] and both caches as they are after it.
        """
        var = variable(start)
        turned = Tensor.empty(self.kv_heads, self.rows, self.size, dtype=dtypes.float32, device=keys.device)
        columns = (q[1], k[1], v[1])
        turned, keys, values, *_ = launch(
            lambda *p: self._store(var, columns, *p), turned, keys, values, q[0], k[0], v[0], cos, sin, bound=start)
        shape = (self.kv_heads, self.rows, self.positions)
        scores = Tensor.empty(*shape, dtype=dtypes.float32, device=keys.device)
        scores = launch(lambda *p: self._scores(var, *p), scores, turned, keys, bound=start)[0]
        shares = Tensor.empty(*shape, dtype=dtypes.float32, device=keys.device)
        shares = launch(lambda *p: self._softmax(var, *p), shares, scores, bound=start)[0]
        out = Tensor.empty(self.n, self.heads * self.size, dtype=dtypes.float32, device=keys.device)
        out = launch(lambda *p: self._mix(var, *p), out, shares, values, bound=start)[0]
        return out, keys, values

    def _store(self, start: UOp, columns: tuple, turned: UOp, keys: UOp, values: UOp, q: UOp, k: UOp, v: UOp,
               cos: UOp, sin: UOp) -> UOp:
        """Rotates queries and keys, and writes keys and values to their places in the cache."""
        half, stored = self.size // 2, vec.STORED[self.kv_type]
        scale = const(1.0 / math.sqrt(self.size), dtypes.float)

        def pair(source: UOp, row: UOp, column: UOp, d: UOp) -> tuple:
            first, second = source[row, column + d], source[row, column + d + half]
            c, s = cos[start + row, d], sin[start + row, d]
            return first * c - second * s, second * c + first * s

        row, head, share, d = (UOp.range(end, i) for i, end in enumerate((self.n, self.kv_heads, self.group, half)))
        a, b = pair(q, row, columns[0] + (head * self.group + share) * self.size, d)
        place = row * self.group + share
        queries = UOp.group(turned[head, place, d].store(a * scale), turned[head, place, d + half].store(b * scale))
        queries = queries.end(row, head, share, d)

        row, head, d = (UOp.range(end, 4 + i) for i, end in enumerate((self.n, self.kv_heads, half)))
        a, b = pair(k, row, columns[1] + head * self.size, d)
        new_keys = UOp.group(keys[head, d, start + row].store(a.cast(stored)),
                             keys[head, d + half, start + row].store(b.cast(stored))).end(row, head, d)

        row, head, d = (UOp.range(end, 7 + i) for i, end in enumerate((self.n, self.kv_heads, self.size)))
        value = v[row, columns[2] + head * self.size + d].cast(stored)
        new_values = values[head, start + row, d].store(value).end(row, head, d)
        moved = self.n * (2 * self.heads + 4 * self.kv_heads) * self.size * 4
        return self._sink("store", moved, moved, queries, new_keys, new_values)

    def _blocks(self, start: UOp, lanes: int) -> UOp:
        """Blocks of `lanes` positions that hold everything up to the last of the new tokens."""
        whole = 2 * vec.width()
        return ((start + (self.n + whole - 1)) // whole) * (whole // lanes)

    def _split(self, units: int) -> tuple:
        """A range over threads and one within a thread, that together count to `units`."""
        used = largest_divisor(units, self.threads)
        thread, within = UOp.range(used, 0, AxisType.THREAD), UOp.range(units // used, 1)
        return thread * (units // used) + within, [within, thread]

    def _scores(self, start: UOp, *nodes: UOp) -> UOp:
        """scores[h, r, j] = sum over d of query[h, r, d] * key[h, d, j]."""
        scores, turned, keys = map(vec.flat, nodes)
        step, groups = vec.width(), self.rows // self.at_once
        unit, ends = self._split(self.kv_heads * groups)
        head = unit // groups
        rows = [unit * self.at_once + i for i in range(self.at_once)]
        block, d = UOp.range(self._blocks(start, 2 * step), 2), UOp.range(self.size, 3)
        columns = [block * (2 * step) + first for first in (0, step)]
        queries = [element(turned, row * self.size + d) for row in rows]
        terms = []
        for column in columns:
            key = vec.load(keys, (head * self.size + d) * self.positions + column, self.kv_type, step)
            terms += [[(key, query)] for query in queries]
        sums = vec.Sums(len(terms), step, 0, [*ends, block]).over([d], terms)
        places = [row * self.positions + column for column in columns for row in rows]
        stores = vec.store([(scores, place, total) for place, total in zip(places, sums)])
        moved = self._cache_bytes(start) + self._score_bytes(start)
        return self._sink("scores", self._work(start), moved, stores.end(block, *ends))

    def _softmax(self, start: UOp, *nodes: UOp) -> UOp:
        """shares[h, r, j] = softmax over the positions j that row r may see, 0 for the others."""
        shares, scores = map(vec.flat, nodes)
        step = vec.width()
        row, ends = self._split(self.kv_heads * self.rows)
        last = start + (row % self.rows) // self.group
        base = row * self.positions
        blocks = self._blocks(start, step)
        first, second, third = (UOp.range(blocks, i) for i in (2, 3, 4))

        def visible(loop: UOp) -> tuple:
            mask = vector(dtypes.int, step, "({0}<={1})", vec.count_up(loop * step, step), last.cast(dtypes.int))
            return vec.load(scores, base + loop * step, "float32", step), mask

        def raised(loop: UOp, highest: UOp) -> UOp:
            value, mask = visible(loop)
            power = vec.exp(vec.alu("({0}-{1})", value, highest), step)
            return vec.select(mask, power, vec.constant(0.0, step), step)

        value, mask = visible(first)
        value = vec.select(mask, value, vec.constant(_MASKED, step), step)
        highest = vec.Sums(1, step, 0, ends, _MASKED).highest([first], value)
        highest = vec.across("({0}>{1}?{0}:{1})", highest)
        one = const(1.0, dtypes.float)
        total = vec.Sums(1, step, 1, ends).over([second], [[(raised(second, highest), one)]])[0]
        share = vec.alu("({0}*(1.0f/{1}))", raised(third, highest), vec.across("({0}+{1})", total))
        moved = 2 * self._score_bytes(start)
        return self._sink("softmax", moved, moved, vec.store([(shares, base + third * step, share)]).end(third, *ends))

    def _mix(self, start: UOp, *nodes: UOp) -> UOp:
        """out[t, h, d] = sum over j of share[h, r, j] * value[h, j, d]."""
        out, shares, values = map(vec.flat, nodes)
        step = math.gcd(self.size, vec.width())
        lanes = math.gcd(self.size, 2 * step)
        groups, parts = self.rows // self.at_once, self.size // lanes
        unit, ends = self._split(self.kv_heads * groups)
        head = unit // groups
        rows = [(unit % groups) * self.at_once + i for i in range(self.at_once)]
        part, j = UOp.range(parts, 2), UOp.range(self._blocks(start, 1), 3)
        columns = [part * lanes + first for first in range(0, lanes, step)]
        weights = [element(shares, (unit * self.at_once + i) * self.positions + j) for i in range(self.at_once)]
        terms = []
        for column in columns:
            value = vec.load(values, (head * self.positions + j) * self.size + column, self.kv_type, step)
            terms += [[(value, weight)] for weight in weights]
        sums = vec.Sums(len(terms), step, 0, [*ends, part]).over([j], terms)
        places = [((row // self.group) * self.heads + head * self.group + row % self.group) * self.size + column
                  for column in columns for row in rows]
        stores = vec.store([(out, place, total) for place, total in zip(places, sums)])
        moved = self._cache_bytes(start) + self._score_bytes(start)
        return self._sink("mix", self._work(start), moved, stores.end(part, *ends))

    def _cache_bytes(self, start: UOp):
        """Bytes of one cache up to the last position."""
        return (start + self.n) * (self.kv_heads * self.size * (2 if self.kv_type == "float16" else 4))

    def _score_bytes(self, start: UOp):
        """Bytes of the scores up to the last position."""
        return (start + self.n) * (self.kv_heads * self.rows * 4)

    def _work(self, start: UOp):
        """Operations of one product over the cache."""
        return (start + self.n) * (2 * self.kv_heads * self.rows * self.size)

    def _sink(self, what: str, work, moved, *ends: UOp) -> UOp:
        name = f"attention_{what}_{self.n}_{self.heads}_{self.kv_heads}_{self.size}_{self.positions}"
        return UOp.sink(*ends, arg=KernelInfo(name=name, estimates=Estimates(work, moved, moved)), tag=1)

