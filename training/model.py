"""The model: Hugging Face's `LlamaForCausalLM` in JAX, over a dictionary of weights with its names and shapes.
Attention is grouped, the rotary embedding turns the halves of a head (half-split), the embedding is the output too."""

import math

import jax
import jax.numpy as jnp
import numpy as np

from layout import shapes


def initial(config, seed):
    """Weights to begin with, float32. What writes into the residual stream begins smaller (GPT-2's rule)."""
    rng = np.random.default_rng([seed, 0])
    spread = config["initializer_range"]
    weights = {}
    for name, shape in shapes(config).items():
        if len(shape) == 1:
            weights[name] = np.ones(shape, np.float32)
            continue
        residual = name.endswith(("o_proj.weight", "down_proj.weight"))
        scale = spread / math.sqrt(2 * config["num_hidden_layers"]) if residual else spread
        weights[name] = (rng.standard_normal(shape) * scale).astype(np.float32)
    return weights


def norm(x, weight, epsilon):
    """RMS normalization (Zhang and Sennrich, 2019)."""
    return x * jax.lax.rsqrt(jnp.mean(x * x, axis=-1, keepdims=True) + epsilon) * weight


def logits(config, weights, tokens):
    """Logits after every token: [batch, length] ids -> [batch, length, vocabulary]."""
    heads, kv, size = config["num_attention_heads"], config["num_key_value_heads"], config["head_dim"]
    batch, length = tokens.shape
    wave = config["rope_theta"] ** (-np.arange(0, size, 2) / size)
    angles = np.arange(length)[:, None] * wave[None]
    cos, sin = np.cos(angles, dtype=np.float32)[:, None], np.sin(angles, dtype=np.float32)[:, None]
    hidden = jnp.triu(jnp.full((length, length), -1e9, jnp.float32), 1)

    def turn(x):
        first, second = x[..., : size // 2], x[..., size // 2 :]
        return jnp.concatenate([first * cos - second * sin, second * cos + first * sin], axis=-1)

    def attend(layer, x):
        q = turn((x @ weights[layer + "q_proj.weight"].T).reshape(batch, length, heads, size))
        k = turn((x @ weights[layer + "k_proj.weight"].T).reshape(batch, length, kv, size))
        v = (x @ weights[layer + "v_proj.weight"].T).reshape(batch, length, kv, size)
        q = q.reshape(batch, length, kv, heads // kv, size)
        scores = jnp.einsum("btkgd,bskd->bkgts", q, k) / math.sqrt(size) + hidden
        mixed = jnp.einsum("bkgts,bskd->btkgd", jax.nn.softmax(scores, axis=-1), v)
        return mixed.reshape(batch, length, heads * size) @ weights[layer + "o_proj.weight"].T

    def feed(layer, x):
        gate = jax.nn.silu(x @ weights[layer + "gate_proj.weight"].T)
        return (gate * (x @ weights[layer + "up_proj.weight"].T)) @ weights[layer + "down_proj.weight"].T

    epsilon = config["rms_norm_eps"]
    x = weights["model.embed_tokens.weight"][tokens]
    for i in range(config["num_hidden_layers"]):
        layer = f"model.layers.{i}."
        x = x + attend(layer + "self_attn.", norm(x, weights[layer + "input_layernorm.weight"], epsilon))
        x = x + feed(layer + "mlp.", norm(x, weights[layer + "post_attention_layernorm.weight"], epsilon))
    return norm(x, weights["model.norm.weight"], epsilon) @ weights["model.embed_tokens.weight"].T
