"""Random blocks of GGUF types and, written independently of the worker, the values that they stand for."""

import numpy as np


def random_matrix(rng, kind, rows, cols):
    """(number of the type, bytes, values) of a matrix whose values have a spread of about 1.5 / sqrt(cols)."""
    number, elements, maker = _MAKERS[kind]
    raw, values = maker(rng, rows * cols // elements, 1.5 / np.sqrt(cols))
    return number, raw.astype(np.uint8).tobytes(), values.reshape(rows, cols)


def _half(values):
    return values.astype(np.float16).reshape(-1, 1).view(np.uint8).reshape(len(values), 2)


def _q8_0(rng, n, spread):
    d = (rng.uniform(0.8, 1.2, n) * spread / 70).astype(np.float16)
    q = rng.integers(-127, 128, (n, 32)).astype(np.int8)
    return np.concatenate([_half(d), q.view(np.uint8)], 1), q * d.astype(np.float64)[:, None]


def _q4_0(rng, n, spread):
    d = (rng.uniform(0.8, 1.2, n) * spread / 4.5).astype(np.float16)
    q = rng.integers(0, 16, (n, 32)).astype(np.uint8)
    return np.concatenate([_half(d), q[:, :16] | q[:, 16:] << 4], 1), (q.astype(float) - 8) * d.astype(np.float64)[:, None]


def _q5_0(rng, n, spread):
    d = (rng.uniform(0.8, 1.2, n) * spread / 9).astype(np.float16)
    q = rng.integers(0, 32, (n, 32))
    bits = (q >> 4 << np.arange(32)).sum(1).astype("<u4").reshape(n, 1).view(np.uint8).reshape(n, 4)
    raw = np.concatenate([_half(d), bits, (q[:, :16] & 15) | (q[:, 16:] & 15) << 4], 1)
    return raw, (q.astype(float) - 16) * d.astype(np.float64)[:, None]


def _k_scales(rng, n):
    """Eight 6-bit scales and minima of each block, and the 12 bytes that hold them."""
    sc, mn = (rng.integers(20, 64, (n, 8)) for _ in range(2))
    raw = np.zeros((n, 12), dtype=np.int64)
    raw[:, 0:4] = sc[:, 0:4] | sc[:, 4:8] >> 4 << 6
    raw[:, 4:8] = mn[:, 0:4] | mn[:, 4:8] >> 4 << 6
    raw[:, 8:12] = (sc[:, 4:8] & 15) | (mn[:, 4:8] & 15) << 4
    return sc, mn, raw


def _k_parts(rng, n, spread, levels):
    d = (rng.uniform(0.8, 1.2, n) * spread / (levels / 3.4) / 42).astype(np.float16)
    dmin = (d.astype(float) * (levels - 1) / 2).astype(np.float16)
    sc, mn, scales = _k_scales(rng, n)
    q = rng.integers(0, levels, (n, 8, 32))
    values = q * (d.astype(float)[:, None] * sc)[:, :, None] - (dmin.astype(float)[:, None] * mn)[:, :, None]
    low = (q[:, 0::2] & 15) | (q[:, 1::2] & 15) << 4
    return [_half(d), _half(dmin), scales], q, low.reshape(n, 128), values


def _q4_k(rng, n, spread):
    head, _, low, values = _k_parts(rng, n, spread, 16)
    return np.concatenate([*head, low], 1), values


def _q5_k(rng, n, spread):
    head, q, low, values = _k_parts(rng, n, spread, 32)
    high = ((q >> 4) << np.arange(8)[None, :, None]).sum(1)
    return np.concatenate([*head, high, low], 1), values


def _q6_k(rng, n, spread):
    d = (rng.uniform(0.8, 1.2, n) * spread / 18 / 64).astype(np.float16)
    sc = rng.integers(-127, 128, (n, 16)).astype(np.int8)
    q = rng.integers(0, 64, (n, 2, 4, 32))
    low = np.concatenate([(q[:, :, 0] & 15) | (q[:, :, 2] & 15) << 4, (q[:, :, 1] & 15) | (q[:, :, 3] & 15) << 4], 2)
    high = sum((q[:, :, i] >> 4) << (2 * i) for i in range(4))
    values = (q.reshape(n, 16, 16) - 32) * sc[:, :, None].astype(float) * d.astype(float)[:, None, None]
    return np.concatenate([low.reshape(n, 128), high.reshape(n, 64), sc.view(np.uint8), _half(d)], 1), values


_MAKERS = {"Q4_0": (2, 32, _q4_0), "Q5_0": (6, 32, _q5_0), "Q8_0": (8, 32, _q8_0), "Q4_K": (12, 256, _q4_k),
           "Q5_K": (13, 256, _q5_k), "Q6_K": (14, 256, _q6_k)}
