"""Quantizes matrices while they are loaded. Expressions only: nothing is computed before `pack` realizes it.

A numpy version of both schemes is in the tests; they must agree code for code.
"""

from tinygrad import Tensor, dtypes
from tokometer_worker import Failed

from .formats import NF4_GROUP, NF4_LEVELS


def int8(weights: Tensor) -> tuple:
    """Codes in [-127, 127] and the parts of `INT8`: one scale per row, the largest magnitude / 127."""
    weights = weights.cast(dtypes.float32)
    largest = weights.abs().max(axis=1)
    largest = (largest == 0).where(127.0, largest).contiguous().realize()
    inverse = (largest.reciprocal() * 127.0).contiguous().realize()
    codes = (weights * inverse.reshape(-1, 1)).round().clip(-127, 127).cast(dtypes.int8)
    scale = (largest * (1 / 127)).contiguous().realize()
    return codes, {"scale": scale}


def nf4(weights: Tensor) -> tuple:
    """Nibbles and the parts of `NF4`: the nearest level of w / absmax, with an absmax in float16 per 64 columns."""
    rows, cols = weights.shape
    if cols % NF4_GROUP:
        raise Failed("unsupported", f"nf4 needs rows of a multiple of {NF4_GROUP} weights; one matrix has {cols}")
    groups = weights.cast(dtypes.float32).reshape(rows, cols // NF4_GROUP, NF4_GROUP)
    absmax = groups.abs().max(axis=2).cast(dtypes.float16)
    absmax = (absmax == 0).where(1.0, absmax).cast(dtypes.float16).contiguous().realize()
    scaled = groups / absmax.cast(dtypes.float32).reshape(rows, -1, 1)
    codes = None
    for low, high in zip(NF4_LEVELS, NF4_LEVELS[1:]):
        above = (scaled > (low + high) / 2).cast(dtypes.uint8)
        codes = above if codes is None else codes + above
    pairs = codes.reshape(rows, cols // 2, 2)
    return pairs[:, :, 0].bitwise_or(pairs[:, :, 1].lshift(4)), {"absmax": absmax}
