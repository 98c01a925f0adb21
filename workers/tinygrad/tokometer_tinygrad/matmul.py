"""Matrix products on the CPU: kernels that read packed weights once and dequantize them in registers.

Each kernel is one tinygrad program. Threads split the blocks of rows; inside, one vector of codes is loaded, converted
and scaled, and multiplied into the sums of up to eight rows of `x`. The dequantized weights never reach memory.
"""

import math

from tinygrad import Tensor, UOp, dtypes
from tinygrad.renderer import Estimates
from tinygrad.uop.ops import AxisType, KernelInfo

from . import lanes as vec
from .packed import Packed
from .versions import element

#: Multiplications for which it pays to wake another thread, which takes some tens of microseconds.
WORTH_A_THREAD = 1 << 19


def lanes_per_block() -> int:
    """Rows in one block: two vectors, enough independent sums to hide an addition's latency."""
    return 2 * vec.width()


def matmul(x: Tensor, w: Packed, residual: Tensor | None = None) -> Tensor:
    """`x @ w.T (+ residual)` for x [n, cols] in float32: [n, padded rows] in float32."""
    n = x.shape[0]
    out = Tensor.empty(n, w.padded_rows, dtype=dtypes.float32, device=x.device)
    inputs = [x, w.codes, *w.parts.values()]
    if w.format.table:
        inputs.append(table_of(w))
    if residual is not None:
        inputs.append(residual)
    return out.custom_kernel(*inputs, fxn=lambda *p: _kernel(w, n, residual is not None, *p))[0]


_tables: dict = {}


def table_of(w: Packed) -> Tensor:
    """The look-up table of the format as a tensor on the matrix's device; made once."""
    key = (w.format.table, w.codes.device)
    if key not in _tables:
        _tables[key] = Tensor(list(w.format.table), dtype=dtypes.float32, device=w.codes.device).realize()
    return _tables[key]


def _kernel(w: Packed, n: int, with_residual: bool, *nodes: UOp) -> UOp:
    out, x, codes, *rest = map(vec.flat, nodes)
    names = list(w.parts)
    parts = dict(zip(names, rest))
    table = vec.Table(rest[len(names)], vec.width()) if w.format.table else None
    residual = rest[-1] if with_residual else None
    step = vec.width()
    at_once = math.gcd(n, vec.rows_at_once())
    threads = w.threads if n * w.rows * w.cols >= w.threads * WORTH_A_THREAD else 1
    thread = UOp.range(threads, 0, AxisType.THREAD)
    within, group = UOp.range(w.blocks // threads, 1), UOp.range(n // at_once, 2)
    block = thread * (w.blocks // threads) + within
    loops = _column_loops(w)
    rows = [group * at_once + i for i in range(at_once)]
    firsts = range(0, w.lanes, step)
    inputs = [[element(x, row * w.cols + _column(w, loops) + p) for p in range(w.format.per_byte)] for row in rows]
    terms = []
    for first in firsts:
        weights = _weights(w, codes, parts, table, block, first, loops)
        terms += [list(zip(weights, values)) for values in inputs]
    sums = vec.Sums(len(terms), step, 0, [thread, within, group]).over(loops, terms)
    stores = []
    for first in firsts:
        row_scale = _row_scale(w, parts, block, first)
        for row in rows:
            total = sums[len(stores)]
            if row_scale is not None:
                total = vec.alu("({0}*{1})", total, row_scale)
            place = row * w.padded_rows + block * w.lanes + first
            if residual is not None:
                total = vec.alu("({0}+{1})", total, vec.load(residual, place, "float32", step))
            stores.append((out, place, total))
    return vec.store(stores).end(group, within, thread).sink(arg=_info(w, n, with_residual), tag=1)


def _column_loops(w: Packed) -> list:
    """Nested loops over the columns, one level per group size; the innermost counts stored elements."""
    sizes = [w.cols, *w.format.groups, w.format.per_byte]
    return [UOp.range(outer // inner, 3 + i) for i, (outer, inner) in enumerate(zip(sizes, sizes[1:]))]


def _stored(w: Packed, loops: list, upto: int) -> UOp:
    """The index that the first `upto` loops count together."""
    sizes = [w.cols, *w.format.groups, w.format.per_byte]
    index = loops[0]
    for i in range(1, upto):
        index = index * (sizes[i] // sizes[i + 1]) + loops[i]
    return index


def _column(w: Packed, loops: list) -> UOp:
    """The column of the first code in the stored element that the loops stand at."""
    return _stored(w, loops, len(loops)) * w.format.per_byte


def _weights(w: Packed, codes: UOp, parts: dict, table, block: UOp, first: int, loops: list) -> list:
    """Vectors of weights of the columns in one stored element, for the lanes from `first` on."""
    step, fmt = vec.width(), w.format
    elements = w.cols // fmt.per_byte
    offset = (block * elements + _stored(w, loops, len(loops))) * w.lanes + first
    if fmt.codes != "nibbles":
        values = [vec.load(codes, offset, fmt.codes, step)]
    else:
        both = vec.load_bytes(codes, offset, step)
        values = [vec.alu(text, both) for text in ("({0}&15)", "({0}>>4)")]
        values = [table.look_up(v) if table else vec.to_float(v, step) for v in values]
    scale = _product(w, fmt.scales, parts, block, first, loops)
    low = _product(w, fmt.mins, parts, block, first, loops)
    if scale is not None and low is not None:
        return [vec.alu("({0}*{1}-{2})", v, scale, low) for v in values]
    return values if scale is None else [vec.alu("({0}*{1})", v, scale) for v in values]


def _product(w: Packed, wanted: tuple, parts: dict, block: UOp, first: int, loops: list):
    """The product of grouped parts at the place where the loops stand, or None if there are none."""
    product = None
    for part in wanted:
        if part.group == 0:
            continue
        index = _stored(w, loops, 1 + w.format.groups.index(part.group))
        offset = (block * (w.cols // part.group) + index) * w.lanes + first
        scale = vec.load(parts[part.name], offset, part.dtype, vec.width())
        product = scale if product is None else vec.alu("({0}*{1})", product, scale)
    return product


def _row_scale(w: Packed, parts: dict, block: UOp, first: int):
    """The scale of whole rows, for after the sums."""
    for part in w.format.scales:
        if part.group == 0:
            return vec.load(parts[part.name], block * w.lanes + first, part.dtype, vec.width())
    return None


def _info(w: Packed, n: int, with_residual: bool) -> KernelInfo:
    results = n * w.padded_rows * 4
    moved = w.nbytes + n * w.cols * 4 + results * (2 if with_residual else 1)
    name = f"matmul_{w.format.name}_{n}_{w.padded_rows}_{w.cols}{'_add' if with_residual else ''}"
    return KernelInfo(name=name, estimates=Estimates(2 * n * w.padded_rows * w.cols, moved, moved))
