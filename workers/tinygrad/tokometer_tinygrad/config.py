"""What a model is: its shape and its switches, from a config.json or from GGUF metadata."""

from dataclasses import dataclass

from tokometer_worker import Failed

from .rope import Rope

#: What differs within the Llama family: biases of q, k and v; norms of q and k.
_FAMILY = {"llama": (False, False), "mistral": (False, False), "qwen2": (True, False), "qwen3": (False, True)}


@dataclass(frozen=True)
class Config:
    """The geometry of a decoder of the Llama family."""

    architecture: str
    hidden: int
    layers: int
    heads: int
    kv_heads: int
    head_size: int
    ffn: int
    vocab: int
    epsilon: float
    rope: Rope
    qkv_bias: bool
    qk_norm: bool
    tied: bool
    bos: int | None = None
    window: int | None = None
    #: Tokens of context that the model was trained for, where that is known.
    ctx_train: int | None = None

    def check(self) -> "Config":
        """Refuses what cannot be."""
        numbers = (self.hidden, self.layers, self.heads, self.kv_heads, self.head_size, self.ffn, self.vocab)
        if min(numbers) < 1 or self.heads % self.kv_heads or self.head_size % 2:
            raise Failed("model", f"this geometry makes no sense: {self}")
        return self


def from_hugging_face(table: dict) -> Config:
    """From the content of a config.json."""
    kind = table.get("model_type")
    if kind not in _FAMILY:
        raise Failed("unsupported", f"models of type {kind!r}: this worker runs {', '.join(_FAMILY)}")
    for switch, wanted in (("hidden_act", "silu"), ("mlp_bias", False), ("partial_rotary_factor", 1.0)):
        if table.get(switch, wanted) not in (wanted, None):
            raise Failed("unsupported", f"{switch} = {table[switch]!r}: this worker knows {wanted!r} only")
    try:
        hidden, heads = int(table["hidden_size"]), int(table["num_attention_heads"])
        rope = table.get("rope_parameters") or table.get("rope_scaling") or {}
        base = float(table.get("rope_theta") or rope.get("rope_theta") or 10000.0)
        bos = table.get("bos_token_id")
        return Config(
            architecture=kind, hidden=hidden, layers=int(table["num_hidden_layers"]), heads=heads,
            kv_heads=int(table.get("num_key_value_heads") or heads),
            head_size=int(table.get("head_dim") or hidden // heads), ffn=int(table["intermediate_size"]),
            vocab=int(table["vocab_size"]), epsilon=float(table["rms_norm_eps"]), rope=Rope.from_table(base, rope),
            qkv_bias=bool(table.get("attention_bias", _FAMILY[kind][0])), qk_norm=_FAMILY[kind][1],
            tied=bool(table.get("tie_word_embeddings", False)), bos=bos if isinstance(bos, int) else None,
            window=_window(table), ctx_train=_whole(table.get("max_position_embeddings")),
        ).check()
    except (KeyError, TypeError, ValueError) as error:
        raise Failed("model", f"config.json lacks something or holds nonsense: {error!r}") from None


def _whole(value: object) -> int | None:
    """A number of tokens, if it is one."""
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else None


def _window(table: dict) -> int | None:
    """Tokens of sliding-window attention, if it is in use."""
    window = table.get("sliding_window")
    return int(window) if window and table.get("use_sliding_window", True) else None


def from_gguf(metadata: dict, entries: dict) -> Config:
    """From the metadata of a GGUF file and the names and shapes of its tensors."""
    kind = metadata.get("general.architecture")
    if kind not in _FAMILY:
        raise Failed("unsupported", f"GGUF models of architecture {kind!r}: this worker runs llama, qwen2, qwen3")
    if metadata.get(f"{kind}.expert_count", 0):
        raise Failed("unsupported", "mixtures of experts")

    def need(name: str):
        try:
            return metadata[f"{kind}.{name}"]
        except KeyError:
            raise Failed("model", f"the GGUF file lacks {kind}.{name}") from None

    try:
        hidden, heads = int(need("embedding_length")), int(need("attention.head_count"))
        size = int(metadata.get(f"{kind}.attention.key_length", hidden // heads))
        if int(metadata.get(f"{kind}.rope.dimension_count", size)) != size:
            raise Failed("unsupported", "a rotary embedding of only part of each head")
        bos = metadata.get("tokenizer.ggml.bos_token_id")
        return Config(
            architecture=kind, hidden=hidden, layers=int(need("block_count")), heads=heads,
            kv_heads=int(metadata.get(f"{kind}.attention.head_count_kv", heads)), head_size=size,
            ffn=int(need("feed_forward_length")), vocab=int(entries["token_embd.weight"].shape[0]),
            epsilon=float(need("attention.layer_norm_rms_epsilon")), rope=_gguf_rope(kind, metadata),
            qkv_bias="blk.0.attn_q.bias" in entries, qk_norm="blk.0.attn_q_norm.weight" in entries,
            tied="output.weight" not in entries, bos=bos if isinstance(bos, int) else None,
            window=metadata.get(f"{kind}.attention.sliding_window") or None,
            ctx_train=_whole(metadata.get(f"{kind}.context_length")),
        ).check()
    except (KeyError, IndexError, TypeError, ValueError) as error:
        raise Failed("model", f"the GGUF metadata lacks something or holds nonsense: {error!r}") from None


def _gguf_rope(kind: str, metadata: dict) -> Rope:
    """llama3 scaling comes as a tensor of factors instead (`rope_freqs.weight`), which the loader applies."""
    base = float(metadata.get(f"{kind}.rope.freq_base", 10000.0))
    scaling = metadata.get(f"{kind}.rope.scaling.type", "none")
    if scaling == "none":
        return Rope(base)
    if scaling == "linear":
        return Rope(base, "linear", float(metadata.get(f"{kind}.rope.scaling.factor", 1.0)))
    raise Failed("unsupported", f"RoPE scaling {scaling!r} in a GGUF file: this worker knows linear, and llama3's factors")
