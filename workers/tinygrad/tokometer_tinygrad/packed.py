"""A matrix in memory: its format, its shape, and the tensors that hold codes and scales.

Rows lie in blocks of `lanes`, column after column, so that one vector load gives the same column of neighbouring rows
and a block is read from its first byte to its last. With `lanes` = 1 that is the ordinary row-major matrix, which is
what everything but the CPU's own kernels uses.
"""

from dataclasses import dataclass, field

from tinygrad import Tensor, dtypes

from .formats import Format


@dataclass
class Packed:
    """A matrix of `rows` x `cols`; rows from `rows` up to `blocks * lanes` are padding and hold zeros.

    `codes` is [blocks, cols / format.per_byte, lanes]; a part with groups is [blocks, cols / group, lanes], one that
    spans the row [blocks, lanes].
    """

    format: Format
    rows: int
    cols: int
    lanes: int
    blocks: int
    threads: int
    codes: Tensor
    parts: dict = field(default_factory=dict)

    @property
    def nbytes(self) -> int:
        """Bytes of codes and scales as stored, padding included."""
        return self.codes.nbytes() + sum(part.nbytes() for part in self.parts.values())

    @property
    def padded_rows(self) -> int:
        """Rows with padding."""
        return self.blocks * self.lanes

    def tensors(self) -> list:
        """All tensors of this matrix."""
        return [self.codes, *self.parts.values()]

    def dequantized(self) -> Tensor:
        """The matrix [rows, cols] as float32, as an expression that computes nothing yet."""
        values = self._values()
        for sign, parts in ((1, self.format.scales), (-1, self.format.mins)):
            factor = None
            for part in parts:
                each = self._spread(part)
                factor = each if factor is None else factor * each
            if factor is not None:
                values = values * factor if sign > 0 else values - factor
        return values.permute(0, 2, 1).reshape(self.padded_rows, self.cols)[: self.rows]

    def _values(self) -> Tensor:
        """The codes as numbers, [blocks, cols, lanes]."""
        codes = self.codes
        if self.format.codes == "bfloat16":
            return codes.cast(dtypes.uint32).lshift(16).bitcast(dtypes.float32)
        if self.format.codes != "nibbles":
            return codes.cast(dtypes.float32)
        pair = Tensor.stack(codes.bitwise_and(15), codes.rshift(4), dim=2)
        pair = pair.reshape(self.blocks, self.cols, self.lanes)
        if self.format.table:
            table = Tensor(list(self.format.table), dtype=dtypes.float32, device=codes.device)
            return table[pair.cast(dtypes.int32)]
        return pair.cast(dtypes.float32)

    def _spread(self, part) -> Tensor:
        """A part as floats for every column, broadcastable to [blocks, cols, lanes]."""
        scale = self.parts[part.name].cast(dtypes.float32)
        if part.group == 0:
            return scale.reshape(self.blocks, 1, self.lanes)
        groups = self.cols // part.group
        spread = scale.reshape(self.blocks, groups, 1, self.lanes).expand(self.blocks, groups, part.group, self.lanes)
        return spread.reshape(self.blocks, self.cols, self.lanes)


def share(blocks: int, threads: int) -> tuple:
    """Spreads blocks evenly: the number of threads to use (at most `threads`) and the padded number of blocks."""
    each = -(-blocks // max(1, threads))
    used = -(-blocks // each)
    return used, used * each


@dataclass
class Piece:
    """Some rows of a matrix: `codes` [rows, cols / per_byte], parts [rows, cols / group] or [rows]. Lazy or not."""

    codes: Tensor
    parts: dict


def pack(fmt: Format, pieces: list, lanes: int, threads: int = 1) -> Packed:
    """Lays out pieces below each other; all but the last have whole blocks of rows. Realized when this returns."""
    rows = sum(piece.codes.shape[0] for piece in pieces)
    cols = pieces[0].codes.shape[1] * fmt.per_byte
    used, blocks = share(-(-rows // lanes), threads)
    codes = _lay_out([piece.codes for piece in pieces], lanes, blocks)
    parts = {name: _lay_out([piece.parts[name] for piece in pieces], lanes, blocks) for name in pieces[0].parts}
    return Packed(fmt, rows, cols, lanes, blocks, used, codes, parts)


def _lay_out(tensors: list, lanes: int, blocks: int) -> Tensor:
    """[blocks, columns, lanes] from pieces of [rows, columns], or [blocks, lanes] from pieces of [rows]."""
    whole = sum(-(-tensor.shape[0] // lanes) for tensor in tensors)
    if len(tensors) == 1 and whole == blocks:
        return _blocked(tensors[0], lanes).contiguous().realize()
    shape = (blocks, *tensors[0].shape[1:], lanes)
    out = Tensor.zeros(*shape, dtype=tensors[0].dtype, device=tensors[0].device).contiguous().realize()
    first = 0
    for tensor in tensors:
        piece = _blocked(tensor, lanes)
        out[first : first + piece.shape[0]].assign(piece).realize()
        first += piece.shape[0]
    return out


def _blocked(tensor: Tensor, lanes: int) -> Tensor:
    """The rows in blocks of `lanes`, the last one filled up with zeros."""
    padding = -tensor.shape[0] % lanes
    if padding:
        tensor = tensor.pad(((0, padding),) + ((0, 0),) * (tensor.ndim - 1))
    blocked = tensor.reshape(-1, lanes, *tensor.shape[1:])
    return blocked.permute(0, 2, 1) if tensor.ndim == 2 else blocked
