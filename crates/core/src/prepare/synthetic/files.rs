//! The small files of a synthetic checkpoint: what `config.json` and its companions say, with the keys that the
//! transformers library writes for Llama models. Returns their content; `mod.rs` writes them. Keys are in
//! alphabetical order, which holds however serde_json was built.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::geometry::{Geometry, RMS_EPS, ROPE_THETA};
use super::tokenizer::{BOS, Built, END_OF_TEXT, END_OF_TURN};
use super::weights::EMBEDDING_GAIN;

/// Llama 3's way of writing a conversation, in words of our own: each turn has a header with the speaker's role and
/// ends with a special token.
const CHAT_TEMPLATE: &str = "{{ bos_token }}\
{% for message in messages %}\
<|start_header_id|>{{ message['role'] }}<|end_header_id|>{{ '\\n\\n' }}{{ message['content'] | trim }}<|eot_id|>\
{% endfor %}\
{% if add_generation_prompt %}<|start_header_id|>assistant<|end_header_id|>{{ '\\n\\n' }}{% endif %}";

/// `config.json`, the description of the model.
pub(super) fn config(g: &Geometry, tokenizer: &Built) -> Value {
    json!({
        "architectures": ["LlamaForCausalLM"],
        "attention_bias": false,
        "attention_dropout": 0.0,
        "bos_token_id": tokenizer.special(BOS),
        "eos_token_id": tokenizer.special(END_OF_TURN),
        "head_dim": g.head_dim,
        "hidden_act": "silu",
        "hidden_size": g.hidden,
        "initializer_range": EMBEDDING_GAIN / (g.hidden as f64).sqrt(),
        "intermediate_size": g.ffn,
        "max_position_embeddings": g.max_position,
        "mlp_bias": false,
        "model_type": "llama",
        "num_attention_heads": g.heads,
        "num_hidden_layers": g.layers,
        "num_key_value_heads": g.kv_heads,
        "pretraining_tp": 1,
        "rms_norm_eps": RMS_EPS,
        "rope_scaling": {
            "factor": g.rope.factor,
            "high_freq_factor": g.rope.high_freq_factor,
            "low_freq_factor": g.rope.low_freq_factor,
            "original_max_position_embeddings": g.rope.original_max_position,
            "rope_type": "llama3",
        },
        "rope_theta": ROPE_THETA,
        "tie_word_embeddings": g.tied,
        "torch_dtype": "bfloat16",
        "use_cache": true,
        "vocab_size": g.vocab,
    })
}

/// `generation_config.json`: where generation starts and ends, and that it is greedy.
pub(super) fn generation_config(tokenizer: &Built) -> Value {
    json!({
        "bos_token_id": tokenizer.special(BOS),
        "do_sample": false,
        "eos_token_id": [tokenizer.special(END_OF_TEXT), tokenizer.special(END_OF_TURN)],
    })
}

/// `tokenizer_config.json`: the special tokens once more, and the chat template.
pub(super) fn tokenizer_config(g: &Geometry, tokenizer: &Built) -> Value {
    let special = |(name, id): (&str, usize)| {
        let token = json!({
            "content": name,
            "lstrip": false,
            "normalized": false,
            "rstrip": false,
            "single_word": false,
            "special": true,
        });
        (id.to_string(), token)
    };
    json!({
        "added_tokens_decoder": tokenizer.specials().map(special).collect::<BTreeMap<_, _>>(),
        "bos_token": BOS,
        "chat_template": CHAT_TEMPLATE,
        "clean_up_tokenization_spaces": false,
        "eos_token": END_OF_TURN,
        "model_input_names": ["input_ids", "attention_mask"],
        "model_max_length": g.max_position,
        "tokenizer_class": "PreTrainedTokenizerFast",
    })
}

/// `special_tokens_map.json`.
pub(super) fn special_tokens_map() -> Value {
    json!({ "bos_token": BOS, "eos_token": END_OF_TURN })
}

/// `README.md`: what this is, for whoever finds the folder.
pub(super) fn readme(g: &Geometry, seed: u64) -> String {
    format!(
        "# synthetic:{name}\n\nThis checkpoint was made by Tokometer to measure speed: its {params} parameters are random numbers (bfloat16, seed {seed}) in the \
         geometry of a Llama 3 model ({layers} layers, width {hidden}, {heads} query and {kv} key-value heads, feed-forward width {ffn}, {vocab} rows in the embedding, {tied} output). \
         It knows nothing; what it writes are words in no order. The same name and seed always give the same bytes.\n",
        name = g.name,
        params = g.n_params(),
        layers = g.layers,
        hidden = g.hidden,
        heads = g.heads,
        kv = g.kv_heads,
        ffn = g.ffn,
        vocab = g.vocab,
        tied = if g.tied { "tied" } else { "separate" },
    )
}

#[cfg(test)]
mod tests {
    use super::super::tokenizer;
    use super::*;

    #[test]
    fn the_config_names_the_tokenizers_own_ids() {
        let g = Geometry::find("1B").unwrap();
        let built = tokenizer::build(g.vocab).unwrap();
        let config = config(g, &built);
        let id = |name: &str| built.tokenizer.token_to_id(name).unwrap();
        assert_eq!(config["bos_token_id"], json!(id(BOS)));
        assert_eq!(config["eos_token_id"], json!(id(END_OF_TURN)));
        assert_eq!((&config["vocab_size"], &config["rope_scaling"]["factor"]), (&json!(128_256), &json!(32.0)));
        let decoder = tokenizer_config(g, &built);
        assert_eq!(decoder["added_tokens_decoder"][id(END_OF_TEXT).to_string()]["content"], json!(END_OF_TEXT));
    }

    #[test]
    fn the_template_uses_special_tokens_that_exist() {
        let built = tokenizer::build(2048).unwrap();
        for part in CHAT_TEMPLATE.split("<|").skip(1) {
            let name = format!("<|{}|>", part.split("|>").next().unwrap());
            assert!(built.tokenizer.token_to_id(&name).is_some(), "{name}");
        }
    }
}
