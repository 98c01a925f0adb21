"""The model once more, in plain numpy with a KV cache: what the exported folder computes, without JAX, and what it
computes after its matrices were quantized and restored. Rows of one length are computed together."""

import math

import numpy as np


def norm(x, weight, epsilon):
    """RMS normalization."""
    return x / np.sqrt((x * x).mean(axis=-1, keepdims=True) + epsilon) * weight


def log_softmax(logits):
    """Natural logarithms of probabilities along the last axis."""
    shifted = logits - logits.max(axis=-1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))


class Reference:
    """A Llama with Hugging Face's names and half-split rotary embedding."""

    def __init__(self, config, weights, kind=np.float32):
        self.config = config
        self.weights = {name: np.asarray(w, dtype=kind) for name, w in weights.items()}
        self.kind = kind
        self.cache = []

    def reset(self):
        """Forgets all tokens."""
        self.cache = []

    def feed(self, tokens):
        """Logits [rows, new, vocabulary] after new tokens [rows, new], which follow those fed before."""
        tokens, config = np.asarray(tokens), self.config
        if not self.cache:
            self.cache = [None] * config["num_hidden_layers"]
        x = self.weights["model.embed_tokens.weight"][tokens]
        epsilon = config["rms_norm_eps"]
        for i in range(config["num_hidden_layers"]):
            layer = f"model.layers.{i}."
            x = x + self._attend(i, norm(x, self.weights[layer + "input_layernorm.weight"], epsilon))
            normed = norm(x, self.weights[layer + "post_attention_layernorm.weight"], epsilon)
            gate = normed @ self.weights[layer + "mlp.gate_proj.weight"].T
            gate = gate / (1 + np.exp(-gate)) * (normed @ self.weights[layer + "mlp.up_proj.weight"].T)
            x = x + gate @ self.weights[layer + "mlp.down_proj.weight"].T
        return norm(x, self.weights["model.norm.weight"], epsilon) @ self.weights["model.embed_tokens.weight"].T

    def _attend(self, i, x):
        config, layer = self.config, f"model.layers.{i}.self_attn."
        heads, kv, size = config["num_attention_heads"], config["num_key_value_heads"], config["head_dim"]
        rows, new = x.shape[:2]
        past = 0 if self.cache[i] is None else self.cache[i][0].shape[1]
        wave = config["rope_theta"] ** (-np.arange(0, size, 2) / size)
        angles = (past + np.arange(new))[:, None] * wave[None]
        cos, sin = np.cos(angles).astype(self.kind)[:, None], np.sin(angles).astype(self.kind)[:, None]

        def project(name, count):
            return (x @ self.weights[layer + name].T).reshape(rows, new, count, size)

        def turn(x):
            first, second = x[..., : size // 2], x[..., size // 2 :]
            return np.concatenate([first * cos - second * sin, second * cos + first * sin], axis=-1)

        q, k, v = turn(project("q_proj.weight", heads)), turn(project("k_proj.weight", kv)), project("v_proj.weight", kv)
        if past:
            k, v = (np.concatenate([old, x], axis=1) for old, x in zip(self.cache[i], (k, v)))
        self.cache[i] = (k, v)
        k, v = (np.repeat(x, heads // kv, axis=2).transpose(0, 2, 1, 3) for x in (k, v))
        scores = q.transpose(0, 2, 1, 3) @ k.transpose(0, 1, 3, 2) / self.kind(math.sqrt(size))
        scores = scores + np.triu(np.full((new, past + new), -np.inf, self.kind), past + 1)
        mixed = np.exp(log_softmax(scores)) @ v
        return mixed.transpose(0, 2, 1, 3).reshape(rows, new, heads * size) @ self.weights[layer + "o_proj.weight"].T

    def greedy(self, prompts, end, max_tokens):
        """The most likely continuation of each row of ids [rows, length], up to `end`, which is left out."""
        self.reset()
        scores = self.feed(prompts)[:, -1]
        answers, done = [[] for _ in prompts], np.zeros(len(prompts), bool)
        for _ in range(max_tokens):
            best = scores.argmax(axis=-1)
            done |= best == end
            for answer, token, finished in zip(answers, best, done):
                if not finished:
                    answer.append(int(token))
            if done.all():
                break
            scores = self.feed(best[:, None])[:, -1]
        return answers


def round_to_nearest(w, bits, block=32):
    """Weights restored from `bits` per weight: per block a float16 scale, its largest magnitude over the largest
    code (the idea of ggml's Q8_0 and Q4_0, with codes from -(2^(bits-1) - 1) on)."""
    groups = w.astype(np.float32).reshape(-1, block)
    most = 2 ** (bits - 1) - 1
    scale = (np.abs(groups).max(axis=1, keepdims=True) / most).astype(np.float16).astype(np.float32)
    codes = np.rint(groups / np.where(scale == 0, 1, scale)).clip(-most, most)
    return (codes * scale).reshape(w.shape)


def quantized(weights, bits):
    """All matrices restored from `bits` per weight; vectors stay."""
    return {name: round_to_nearest(w, bits) if w.ndim == 2 else w for name, w in weights.items()}
