"""The shape of the model: its `config.json`, and the tensors that follow from it."""

import tokenizer

CONFIG = {
    "architectures": ["LlamaForCausalLM"],
    "attention_bias": False,
    "attention_dropout": 0.0,
    "bos_token_id": tokenizer.special_id(tokenizer.BOS),
    "eos_token_id": tokenizer.special_id(tokenizer.END_OF_TURN),
    "head_dim": 64,
    "hidden_act": "silu",
    "hidden_size": 256,
    "initializer_range": 0.04,
    "intermediate_size": 512,
    "max_position_embeddings": 2048,
    "mlp_bias": False,
    "model_type": "llama",
    "num_attention_heads": 4,
    "num_hidden_layers": 4,
    "num_key_value_heads": 2,
    "pretraining_tp": 1,
    "rms_norm_eps": 1e-5,
    "rope_theta": 10000.0,
    "tie_word_embeddings": True,
    "torch_dtype": "float16",
    "use_cache": True,
    "vocab_size": tokenizer.size(),
}


def shapes(config):
    """The shape of every tensor, by name; matrices are [out, in]."""
    hidden, ffn, head = config["hidden_size"], config["intermediate_size"], config["head_dim"]
    q, kv = config["num_attention_heads"] * head, config["num_key_value_heads"] * head
    found = {"model.embed_tokens.weight": (config["vocab_size"], hidden)}
    for i in range(config["num_hidden_layers"]):
        layer = f"model.layers.{i}."
        found[layer + "input_layernorm.weight"] = (hidden,)
        found[layer + "self_attn.q_proj.weight"] = (q, hidden)
        found[layer + "self_attn.k_proj.weight"] = (kv, hidden)
        found[layer + "self_attn.v_proj.weight"] = (kv, hidden)
        found[layer + "self_attn.o_proj.weight"] = (hidden, q)
        found[layer + "post_attention_layernorm.weight"] = (hidden,)
        found[layer + "mlp.gate_proj.weight"] = (ffn, hidden)
        found[layer + "mlp.up_proj.weight"] = (ffn, hidden)
        found[layer + "mlp.down_proj.weight"] = (hidden, ffn)
    found["model.norm.weight"] = (hidden,)
    return found
