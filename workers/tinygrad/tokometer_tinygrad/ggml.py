"""Takes GGUF blocks apart into codes and scales, without a change to any value.

Block layouts: `ggml-common.h` of llama.cpp. Types without a form of their own here (Q4_1, Q5_0, Q5_1) are dequantized
to float16 by tinygrad's own reader.
"""

from tinygrad import Tensor, dtypes

from . import formats


def unpack(kind: str, blocks: Tensor, rows: int) -> tuple:
    """Format, codes [rows, cols / per_byte] and parts of a matrix whose blocks are [number of blocks, bytes]."""
    return _UNPACK[kind](blocks, rows)


def can_unpack(kind: str) -> bool:
    """Whether the type has a form of its own."""
    return kind in _UNPACK


def _half(blocks: Tensor, at: int, rows: int) -> Tensor:
    """The float16 at byte `at` of every block, [rows, blocks of a row]."""
    low, high = (blocks[:, at + i].cast(dtypes.uint16) for i in range(2))
    return low.bitwise_or(high.lshift(8)).bitcast(dtypes.float16).reshape(rows, -1)


def _pairs(codes: Tensor, rows: int) -> Tensor:
    """Codes of 4 bits in the order of columns, two of them in a byte."""
    pairs = codes.reshape(rows, -1, 2)
    return pairs[:, :, 0].bitwise_or(pairs[:, :, 1].lshift(4))


def _q8_0(blocks: Tensor, rows: int) -> tuple:
    return formats.Q8_0, blocks[:, 2:].bitcast(dtypes.int8).reshape(rows, -1), {"d": _half(blocks, 0, rows)}


def _q4_0(blocks: Tensor, rows: int) -> tuple:
    both = blocks[:, 2:]
    codes = both.bitwise_and(15).cat(both.rshift(4), dim=1)
    return formats.Q4_0, _pairs(codes, rows), {"d": _half(blocks, 0, rows)}


def _k_scales(blocks: Tensor, rows: int) -> dict:
    """d, dmin and the eight 6-bit scales and minima of Q4_K and Q5_K."""
    packed = blocks[:, 4:16]
    first, second, third = packed[:, 0:4], packed[:, 4:8], packed[:, 8:12]
    scales = first.bitwise_and(63).cat(third.bitwise_and(15).bitwise_or(first.rshift(6).lshift(4)), dim=1)
    minima = second.bitwise_and(63).cat(third.rshift(4).bitwise_or(second.rshift(6).lshift(4)), dim=1)
    return {"d": _half(blocks, 0, rows), "sc": scales.reshape(rows, -1),
            "dmin": _half(blocks, 2, rows), "mn": minima.reshape(rows, -1)}


def _k_nibbles(both: Tensor) -> Tensor:
    """Four runs of 32 bytes: the low halves are one group of 32 columns, the high halves the next."""
    both = both.reshape(-1, 4, 1, 32)
    return both.bitwise_and(15).cat(both.rshift(4), dim=2).reshape(-1, 256)


def _q4_k(blocks: Tensor, rows: int) -> tuple:
    return formats.Q4_K, _pairs(_k_nibbles(blocks[:, 16:144]), rows), _k_scales(blocks, rows)


def _q5_k(blocks: Tensor, rows: int) -> tuple:
    fifth = blocks[:, 16:48].reshape(-1, 1, 32)
    bits = Tensor.stack(*(fifth.rshift(i).bitwise_and(1) for i in range(8)), dim=2).reshape(-1, 256)
    codes = _k_nibbles(blocks[:, 48:176]).bitwise_or(bits.lshift(4))
    return formats.Q5_K, codes.bitcast(dtypes.int8).reshape(rows, -1), _k_scales(blocks, rows)


def _q6_k(blocks: Tensor, rows: int) -> tuple:
    low = blocks[:, 0:128].reshape(-1, 2, 1, 64)
    low = low.bitwise_and(15).cat(low.rshift(4), dim=2).reshape(-1, 2, 4, 32)
    high = blocks[:, 128:192].reshape(-1, 2, 32)
    high = Tensor.stack(*(high.rshift(2 * i).bitwise_and(3) for i in range(4)), dim=2)
    codes = low.bitwise_or(high.lshift(4)).bitcast(dtypes.int8) - 32
    scales = blocks[:, 192:208].bitcast(dtypes.int8).reshape(rows, -1)
    return formats.Q6_K, codes.reshape(rows, -1), {"d": _half(blocks, 208, rows), "sc": scales}


_UNPACK = {"Q8_0": _q8_0, "Q4_0": _q4_0, "Q4_K": _q4_k, "Q5_K": _q5_k, "Q6_K": _q6_k}


def to_float16(number: int, data: Tensor, rows: int, cols: int) -> tuple:
    """Any type that tinygrad's own reader knows, as float16."""
    from tinygrad.llm.gguf import ggml_data_to_tensor

    values = ggml_data_to_tensor(data, rows * cols, number).reshape(rows, cols)
    return formats.FLOAT16, values.cast(dtypes.float16), {}
