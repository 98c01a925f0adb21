"""A plain numpy decoder of the Llama family in float64, and numpy versions of both quantizations."""

import math

import numpy as np

LEVELS = np.array([
    -1.0, -0.6961928009986877, -0.5250730514526367, -0.39491748809814453, -0.28444138169288635, -0.18477343022823334,
    -0.09105003625154495, 0.0, 0.07958029955625534, 0.16093020141124725, 0.24611230194568634, 0.33791524171829224,
    0.44070982933044434, 0.5626170039176941, 0.7229568362236023, 1.0,
])


def fake_int8(w):
    """Rows rounded to 255 levels of their largest magnitude."""
    w = w.astype(np.float32)
    largest = np.abs(w).max(axis=1, keepdims=True)
    largest[largest == 0] = 127
    codes = np.rint(w * (np.float32(1) / largest * np.float32(127))).clip(-127, 127)
    return codes.astype(np.float64) * (largest * np.float32(1 / 127))


def fake_nf4(w):
    """The nearest NF4 level of every weight, with an absmax in float16 per 64."""
    groups = w.astype(np.float32).reshape(w.shape[0], -1, 64)
    absmax = np.abs(groups).max(axis=2, keepdims=True).astype(np.float16).astype(np.float32)
    absmax[absmax == 0] = 1
    middles = ((LEVELS[1:] + LEVELS[:-1]) / 2).astype(np.float32)
    codes = np.searchsorted(middles, groups / absmax, side="left")
    return (LEVELS[codes] * absmax).reshape(w.shape)


def frequencies(config):
    """Radians per position, with the llama3 or linear scaling of a config.json."""
    size = config["head_dim"]
    plain = config["rope_theta"] ** (-np.arange(0, size, 2) / size)
    scaling = config.get("rope_scaling") or {}
    if scaling.get("rope_type") == "linear":
        return plain / scaling["factor"]
    if scaling.get("rope_type") != "llama3":
        return plain
    wavelength = 2 * math.pi / plain
    original, factor = scaling["original_max_position_embeddings"], scaling["factor"]
    low, high = scaling["low_freq_factor"], scaling["high_freq_factor"]
    smooth = (original / wavelength - low) / (high - low)
    between = (1 - smooth) * plain / factor + smooth * plain
    return np.where(wavelength > original / low, plain / factor, np.where(wavelength < original / high, plain, between))


def log_softmax(logits):
    """Natural logarithms of probabilities along the last axis."""
    shifted = logits - logits.max(axis=-1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))


def _norm(x, weight, epsilon):
    return x / np.sqrt((x * x).mean(axis=-1, keepdims=True) + epsilon) * weight


def logits(config, weights, tokens):
    """Logits after every token, [tokens, vocabulary]. `weights` have Hugging Face names."""
    get = {name: np.asarray(w, dtype=np.float64) for name, w in weights.items()}
    heads, kv_heads, size = config["num_attention_heads"], config["num_key_value_heads"], config["head_dim"]
    epsilon, n = config["rms_norm_eps"], len(tokens)
    angles = np.arange(n)[:, None] * frequencies(config)[None]
    cos, sin = np.cos(angles)[:, None], np.sin(angles)[:, None]
    mask = np.triu(np.full((n, n), -np.inf), 1)

    def turn(x):
        first, second = x[..., : size // 2], x[..., size // 2 :]
        return np.concatenate([first * cos - second * sin, second * cos + first * sin], axis=-1)

    x = get["model.embed_tokens.weight"][list(tokens)]
    for i in range(config["num_hidden_layers"]):
        p = f"model.layers.{i}."

        def project(name, source):
            return source @ get[f"{p}{name}.weight"].T + get.get(f"{p}{name}.bias", 0.0)

        normed = _norm(x, get[p + "input_layernorm.weight"], epsilon)
        q = project("self_attn.q_proj", normed).reshape(n, heads, size)
        k = project("self_attn.k_proj", normed).reshape(n, kv_heads, size)
        v = project("self_attn.v_proj", normed).reshape(n, kv_heads, size)
        if f"{p}self_attn.q_norm.weight" in get:
            q = _norm(q, get[f"{p}self_attn.q_norm.weight"], epsilon)
            k = _norm(k, get[f"{p}self_attn.k_norm.weight"], epsilon)
        q, k = turn(q), np.repeat(turn(k), heads // kv_heads, axis=1)
        v = np.repeat(v, heads // kv_heads, axis=1)
        scores = np.einsum("thd,shd->hts", q, k) / math.sqrt(size) + mask
        mixed = np.einsum("hts,shd->thd", np.exp(log_softmax(scores)), v).reshape(n, -1)
        x = x + project("self_attn.o_proj", mixed)
        normed = _norm(x, get[p + "post_attention_layernorm.weight"], epsilon)
        gate = project("mlp.gate_proj", normed)
        x = x + project("mlp.down_proj", gate / (1 + np.exp(-gate)) * project("mlp.up_proj", normed))
    head = get.get("lm_head.weight", get["model.embed_tokens.weight"])
    return _norm(x, get["model.norm.weight"], epsilon) @ head.T
