"""Makes small random models: Hugging Face folders and GGUF files, with the weights that a reader must see in them."""

import json
import struct

import numpy as np

TINY = {
    "model_type": "llama", "hidden_size": 256, "num_hidden_layers": 4, "num_attention_heads": 8,
    "num_key_value_heads": 4, "head_dim": 32, "intermediate_size": 512, "vocab_size": 2048, "rms_norm_eps": 1e-5,
    "hidden_act": "silu", "rope_theta": 10000.0, "tie_word_embeddings": True, "bos_token_id": 1,
    # stretched from 64 positions on, so that a few hundred positions tell whether the scaling is in force
    "rope_scaling": {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
                     "original_max_position_embeddings": 64},
}


def random_weights(config, seed=1, bias=False, qk_norm=False):
    """float32 weights in Hugging Face names, scaled so that the logits are far from flat."""
    rng = np.random.default_rng(seed)
    hidden, size = config["hidden_size"], config["head_dim"]
    q, kv, ffn = config["num_attention_heads"] * size, config["num_key_value_heads"] * size, config["intermediate_size"]

    def matrix(rows, cols, gain=1.0):
        return (rng.normal(size=(rows, cols)) * gain / np.sqrt(cols)).astype(np.float32)

    def norm(count):
        return rng.uniform(0.5, 1.5, size=count).astype(np.float32)

    weights = {"model.embed_tokens.weight": matrix(config["vocab_size"], hidden, 3.0), "model.norm.weight": norm(hidden)}
    if not config["tie_word_embeddings"]:
        weights["lm_head.weight"] = matrix(config["vocab_size"], hidden, 3.0)
    for i in range(config["num_hidden_layers"]):
        p = f"model.layers.{i}."
        shapes = {"self_attn.q_proj": (q, hidden), "self_attn.k_proj": (kv, hidden), "self_attn.v_proj": (kv, hidden),
                  "self_attn.o_proj": (hidden, q), "mlp.gate_proj": (ffn, hidden), "mlp.up_proj": (ffn, hidden),
                  "mlp.down_proj": (hidden, ffn)}
        for name, shape in shapes.items():
            weights[f"{p}{name}.weight"] = matrix(*shape, gain=1.5)
            if bias and name[-6:] in ("q_proj", "k_proj", "v_proj"):
                weights[f"{p}{name}.bias"] = rng.normal(size=shape[0]).astype(np.float32) * np.float32(0.5)
        weights[p + "input_layernorm.weight"] = norm(hidden)
        weights[p + "post_attention_layernorm.weight"] = norm(hidden)
        if qk_norm:
            weights[p + "self_attn.q_norm.weight"] = norm(size)
            weights[p + "self_attn.k_norm.weight"] = norm(size)
    return weights


def stored(w, kind):
    """The bytes of a float array in a type, and the values that they stand for."""
    if kind == "BF16":
        bits = ((w.view(np.uint32).astype(np.uint64) + 0x8000) >> 16).astype(np.uint16)
        return bits.tobytes(), (bits.astype(np.uint32) << 16).view(np.float32)
    cast = w.astype({"F32": np.float32, "F16": np.float16}[kind])
    return cast.tobytes(), cast.astype(np.float32)


def write_folder(folder, config, weights, kind="F32", shards=1):
    """Writes a Hugging Face folder; returns the weights as stored."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(config))
    names, kept, where = list(weights), {}, {}
    for shard in range(shards):
        header, data = {"__metadata__": {"format": "pt"}}, b""
        for name in names[shard::shards]:
            raw, kept[name] = stored(weights[name], kind)
            ends = [len(data), len(data) + len(raw)]
            header[name] = {"dtype": kind, "shape": list(weights[name].shape), "data_offsets": ends}
            data += raw
        file = "model.safetensors" if shards == 1 else f"model-{shard + 1:05d}-of-{shards:05d}.safetensors"
        head = json.dumps(header).encode()
        (folder / file).write_bytes(struct.pack("<Q", len(head)) + head + data)
        where.update({name: file for name in names[shard::shards]})
    if shards > 1:
        (folder / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": where}))
    return kept


def write_tiny(folder, **changes):
    """Writes a small checkpoint of random weights in float16; returns its configuration and the weights as stored."""
    config = {**TINY, **changes}
    return config, write_folder(folder, config, random_weights(config), "F16")


GGUF_NAMES = {
    "model.embed_tokens": "token_embd", "model.norm": "output_norm", "lm_head": "output",
    "input_layernorm": "attn_norm", "post_attention_layernorm": "ffn_norm", "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k", "self_attn.v_proj": "attn_v", "self_attn.o_proj": "attn_output",
    "self_attn.q_norm": "attn_q_norm", "self_attn.k_norm": "attn_k_norm",
    "mlp.gate_proj": "ffn_gate", "mlp.up_proj": "ffn_up", "mlp.down_proj": "ffn_down",
}


def gguf_name(name):
    """`model.layers.0.mlp.up_proj.weight` to `blk.0.ffn_up.weight`."""
    stem, kind = name.rsplit(".", 1)
    if stem.startswith("model.layers."):
        _, _, number, rest = stem.split(".", 3)
        return f"blk.{number}.{GGUF_NAMES[rest]}.{kind}"
    return f"{GGUF_NAMES[stem]}.{kind}"


def neighbours(w, size):
    """Rows of heads from pairs half a head apart to pairs of neighbours, as converters do for llama."""
    return w.reshape(-1, 2, size // 2, *w.shape[1:]).swapaxes(1, 2).reshape(w.shape)


def write_gguf(path, metadata, tensors):
    """Writes a GGUF file. `tensors` maps names to (number of the type, shape, bytes)."""
    def text(value):
        raw = value.encode()
        return struct.pack("<Q", len(raw)) + raw

    head = b"GGUF" + struct.pack("<IQQ", 3, len(tensors), len(metadata))
    for key, value in metadata.items():
        head += text(key)
        if isinstance(value, str):
            head += struct.pack("<I", 8) + text(value)
        elif isinstance(value, float):
            head += struct.pack("<If", 6, value)
        elif isinstance(value, list):
            head += struct.pack("<IIQ", 9, 8, len(value)) + b"".join(map(text, value))
        else:
            head += struct.pack("<II", 4, value)
    data = b""
    for name, (number, shape, raw) in tensors.items():
        head += text(name) + struct.pack("<I", len(shape)) + struct.pack(f"<{len(shape)}Q", *shape[::-1])
        head += struct.pack("<IQ", number, len(data))
        data += raw + b"\0" * (-len(raw) % 32)
    path.write_bytes(head + b"\0" * (-len(head) % 32) + data)
