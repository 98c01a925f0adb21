//! Whole conversions of tiny checkpoints that are written here, byte by byte.

use serde_json::{Value as Json, json};

use super::*;
use crate::prepare::gguf::{GgmlType, Gguf, Value};
use crate::testing::Dir;

const HIDDEN: usize = 8;
const VOCAB: usize = 260;

/// One layer, two heads of four elements, one of them shared by both queries.
pub(super) fn tiny_config(architecture: &str) -> Json {
    json!({
        "architectures": [architecture], "hidden_size": HIDDEN, "intermediate_size": 12, "num_hidden_layers": 1, "num_attention_heads": 2,
        "num_key_value_heads": 1, "head_dim": 4, "vocab_size": VOCAB, "max_position_embeddings": 64, "rope_theta": 10000.0,
        "rms_norm_eps": 1e-5, "tie_word_embeddings": true, "bos_token_id": 256,
    })
}

fn tiny_shapes() -> Vec<(String, Vec<usize>)> {
    let mut shapes = vec![
        ("model.embed_tokens.weight".to_owned(), vec![VOCAB, HIDDEN]),
        ("model.norm.weight".to_owned(), vec![HIDDEN]),
    ];
    for (part, shape) in [
        ("input_layernorm", vec![HIDDEN]),
        ("post_attention_layernorm", vec![HIDDEN]),
        ("self_attn.q_proj", vec![8, HIDDEN]),
        ("self_attn.k_proj", vec![4, HIDDEN]),
        ("self_attn.v_proj", vec![4, HIDDEN]),
        ("self_attn.o_proj", vec![HIDDEN, 8]),
        ("mlp.gate_proj", vec![12, HIDDEN]),
        ("mlp.up_proj", vec![12, HIDDEN]),
        ("mlp.down_proj", vec![HIDDEN, 12]),
    ] {
        shapes.push((format!("model.layers.0.{part}.weight"), shape));
    }
    shapes
}

/// A safetensors file of 32-bit floats: element `i` of a matrix is `i / row * 100 + i % row`.
fn safetensors(shapes: &[(String, Vec<usize>)]) -> Vec<u8> {
    let mut header = serde_json::Map::new();
    let mut data: Vec<u8> = Vec::new();
    for (name, shape) in shapes {
        let start = data.len();
        let row = *shape.last().unwrap();
        for i in 0..shape.iter().product::<usize>() {
            data.extend(((i / row * 100 + i % row) as f32).to_le_bytes());
        }
        header.insert(name.clone(), json!({ "dtype": "F32", "shape": shape, "data_offsets": [start, data.len()] }));
    }
    let header = Json::Object(header).to_string();
    let mut out = (header.len() as u64).to_le_bytes().to_vec();
    out.extend(header.as_bytes());
    out.extend(data);
    out
}

/// A byte-level BPE tokenizer of the 256 bytes and one special token, with Llama 3's pre-tokenizer.
fn tiny_tokenizer() -> Json {
    let mut vocab = serde_json::Map::new();
    let printable = |b: u32| matches!(b, 0x21..=0x7e | 0xa1..=0xac | 0xae..=0xff);
    let mut next = 256;
    for byte in 0..256u32 {
        let code = if printable(byte) { byte } else { next };
        next += u32::from(!printable(byte));
        vocab.insert(char::from_u32(code).unwrap().to_string(), json!(byte));
    }
    json!({
        "version": "1.0", "truncation": null, "padding": null, "normalizer": null, "decoder": { "type": "ByteLevel", "add_prefix_space": true, "trim_offsets": true, "use_regex": true },
        "added_tokens": [{ "id": 256, "content": "<|bos|>", "single_word": false, "lstrip": false, "rstrip": false, "normalized": false, "special": true }],
        "pre_tokenizer": { "type": "Sequence", "pretokenizers": [
            { "type": "Split", "pattern": { "Regex": r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+" }, "behavior": "Isolated", "invert": false },
            { "type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": false } ] },
        "post_processor": { "type": "TemplateProcessing", "single": [{ "SpecialToken": { "id": "<|bos|>", "type_id": 0 } }, { "Sequence": { "id": "A", "type_id": 0 } }],
            "pair": [{ "Sequence": { "id": "A", "type_id": 0 } }, { "Sequence": { "id": "B", "type_id": 0 } }],
            "special_tokens": { "<|bos|>": { "id": "<|bos|>", "ids": [256], "tokens": ["<|bos|>"] } } },
        "model": { "type": "BPE", "dropout": null, "unk_token": null, "continuing_subword_prefix": null, "end_of_word_suffix": null, "fuse_unk": false, "byte_fallback": false,
            "ignore_merges": true, "vocab": vocab, "merges": [] },
    })
}

/// A complete checkpoint.
fn tiny() -> Dir {
    let folder = Dir::new();
    folder.write("config.json", tiny_config("LlamaForCausalLM").to_string());
    folder.write("model.safetensors", safetensors(&tiny_shapes()));
    folder.write("tokenizer.json", tiny_tokenizer().to_string());
    folder.write(
        "tokenizer_config.json",
        json!({ "bos_token": "<|bos|>", "tokenizer_class": "PreTrainedTokenizerFast" }).to_string(),
    );
    folder
}

fn run(folder: &Dir, dtype: Dtype) -> Result<Converted> {
    let output = folder.path().join("out.gguf");
    convert(&Conversion { folder: folder.path(), output: &output, dtype, name_hint: Some("Tiny"), pace: None }, &Silent)
}

/// The message of a conversion that must fail, after a look whether it left nothing behind.
fn fail(folder: &Dir) -> String {
    let error = run(folder, Dtype::F16).expect_err("the conversion should have failed").to_string();
    let left = std::fs::read_dir(folder.path())
        .unwrap()
        .filter(|e| e.as_ref().unwrap().file_name().to_string_lossy().contains("gguf"))
        .count();
    assert_eq!(left, 0, "something was left behind after: {error}");
    error
}

#[test]
fn a_tiny_llama_becomes_a_gguf_file() {
    let folder = tiny();
    let converted = run(&folder, Dtype::F16).unwrap();
    let bytes = std::fs::read(folder.path().join("out.gguf")).unwrap();
    assert_eq!((converted.bytes, converted.tensors), (bytes.len() as u64, 11));
    assert_eq!(converted.sha256, crate::fingerprint::of_bytes(&bytes));
    let gguf = Gguf::parse(&bytes, "out").unwrap();
    assert_eq!(gguf.n_params(), converted.n_params);
    assert_eq!(tensor_bytes(folder.path(), Dtype::F16).unwrap(), gguf.tensor_bytes());
    let m = &gguf.metadata;
    assert_eq!((m.str("general.architecture"), m.str("general.name")), (Some("llama"), Some("Tiny")));
    for (key, value) in [
        ("llama.block_count", 1),
        ("llama.rope.dimension_count", 4),
        ("llama.vocab_size", 260),
        ("general.file_type", 1),
        ("tokenizer.ggml.bos_token_id", 256),
    ] {
        assert_eq!(m.u64(key), Some(value), "{key}");
    }
    assert_eq!(m.str("tokenizer.ggml.pre"), Some("llama-bpe"));
    assert_eq!(m.get("tokenizer.ggml.add_bos_token"), Some(&Value::Bool(true)));
    let Some(Value::Array(crate::prepare::gguf::Array::String(tokens))) = m.get("tokenizer.ggml.tokens") else {
        panic!("no tokens")
    };
    assert_eq!((tokens.len(), tokens[256].as_str(), tokens[259].as_str()), (260, "<|bos|>", "[PAD259]"));

    let q = gguf.tensors.iter().find(|t| t.name == "blk.0.attn_q.weight").unwrap();
    assert_eq!((q.ty, q.dims.as_slice()), (GgmlType::F16, &[8u64, 8][..]));
    let first: Vec<f32> = gguf
        .tensor_data(&bytes, q)
        .unwrap()
        .as_chunks::<2>()
        .0
        .iter()
        .step_by(8)
        .map(|raw| half::f16::from_le_bytes(*raw).to_f32())
        .collect();
    assert_eq!(first, [0.0, 200.0, 100.0, 300.0, 400.0, 600.0, 500.0, 700.0], "the rows of each head alternate");
    let norm = gguf.tensors.iter().find(|t| t.name == "output_norm.weight").unwrap();
    assert_eq!(norm.ty, GgmlType::F32);
}

#[test]
fn the_output_type_is_guessed_or_taken() {
    let folder = tiny();
    for (dtype, name, file_type) in [(Dtype::F32, "F32", 0), (Dtype::Bf16, "BF16", 32), (Dtype::Auto, "F16", 1)] {
        run(&folder, dtype).unwrap();
        let gguf = Gguf::open(&folder.path().join("out.gguf")).unwrap();
        let embedding = gguf.tensors.iter().find(|t| t.name == "token_embd.weight").unwrap();
        assert_eq!((embedding.ty.name, gguf.metadata.u64("general.file_type")), (name, Some(file_type)));
    }
}

#[test]
fn missing_strange_and_misshapen_tensors_are_named() {
    let folder = tiny();
    let mut shapes = tiny_shapes();
    let q = shapes.remove(4);
    folder.write("model.safetensors", safetensors(&shapes));
    assert!(fail(&folder).contains("self_attn.q_proj.weight"));

    shapes.push((q.0, vec![4, 16]));
    folder.write("model.safetensors", safetensors(&shapes));
    let error = fail(&folder);
    assert!(error.contains("[4, 16]") && error.contains("[8, 8]") && error.contains("model.safetensors"), "{error}");

    let mut shapes = tiny_shapes();
    shapes.push(("model.layers.1.mlp.up_proj.weight".to_owned(), vec![1]));
    folder.write("model.safetensors", safetensors(&shapes));
    assert!(fail(&folder).contains("model.layers.1"));

    let mut shapes = tiny_shapes();
    shapes.push(("model.layers.0.self_attn.rotary_emb.inv_freq".to_owned(), vec![2]));
    folder.write("model.safetensors", safetensors(&shapes));
    assert_eq!(run(&folder, Dtype::F16).unwrap().tensors, 11, "old buffers are passed over");
}

#[test]
fn damaged_files_are_refused() {
    let folder = tiny();
    let whole = safetensors(&tiny_shapes());
    for length in [0, 4, 100, whole.len() - 1] {
        folder.write("model.safetensors", &whole[..length]);
        assert!(fail(&folder).contains("model.safetensors"));
    }
    let mut lying = whole.clone();
    lying[..8].copy_from_slice(&u64::MAX.to_le_bytes());
    folder.write("model.safetensors", &lying);
    assert!(fail(&folder).contains("not a usable safetensors file"));
    folder.write("model.safetensors", &whole);
    for (name, content, word) in [
        ("tokenizer.json", "{", "tokenizer.json"),
        ("config.json", "[]", "config.json"),
        ("tokenizer.json", "{}", "tokenizer"),
    ] {
        let folder = tiny();
        folder.write(name, content);
        assert!(fail(&folder).contains(word));
    }
}

#[test]
fn an_index_cannot_lead_out_of_the_folder() {
    let folder = tiny();
    let index = |file: &str| {
        let map: serde_json::Map<String, Json> =
            tiny_shapes().into_iter().map(|(name, _)| (name, json!(file))).collect();
        json!({ "weight_map": map }).to_string()
    };
    for file in ["../model.safetensors", "/etc/model.safetensors", "a/b.safetensors", "model.bin", ".."] {
        folder.write("model.safetensors.index.json", index(file));
        assert!(fail(&folder).contains("weight") || fail(&folder).contains("not the name"), "{file}");
    }
    folder.write("model.safetensors.index.json", index("absent.safetensors"));
    assert!(fail(&folder).contains("absent.safetensors"));
    folder.write("model.safetensors.index.json", index("model.safetensors"));
    run(&folder, Dtype::F16).unwrap();
}

#[test]
fn a_head_of_billions_of_elements_is_refused_before_anything_is_made_for_it() {
    let folder = tiny();
    let mut config = tiny_config("LlamaForCausalLM");
    config["head_dim"] = json!(4_000_000_000u32);
    config["rope_scaling"] = json!({ "rope_type": "llama3", "factor": 8.0 });
    folder.write("config.json", config.to_string());
    let error = fail(&folder);
    assert!(error.contains("config.json") && error.contains("head_dim is 4000000000"), "{error}");
}

#[test]
fn what_is_not_covered_says_so() {
    let folder = tiny();
    std::fs::remove_file(folder.path().join("model.safetensors")).unwrap();
    folder.write("pytorch_model.bin", "pickle");
    let error = fail(&folder);
    assert!(error.contains("pytorch_model.bin") && error.contains("safetensors"), "{error}");

    for (key, value) in [
        ("num_local_experts", json!(8)),
        ("quantization_config", json!({ "quant_method": "gptq" })),
        ("rope_scaling", json!({ "rope_type": "longrope" })),
    ] {
        let folder = tiny();
        let mut config = tiny_config("LlamaForCausalLM");
        config[key] = value;
        folder.write("config.json", config.to_string());
        let error = fail(&folder);
        assert!(error.contains("--converter") && error.contains("config.json"), "{error}");
    }

    let folder = tiny();
    std::fs::remove_file(folder.path().join("tokenizer.json")).unwrap();
    assert!(fail(&folder).contains("tokenizer.model"));

    let folder = tiny();
    let mut tokenizer = tiny_tokenizer();
    tokenizer["pre_tokenizer"]["pretokenizers"][0]["pattern"]["Regex"] = json!(r"\d+");
    folder.write("tokenizer.json", tokenizer.to_string());
    let error = fail(&folder);
    assert!(error.contains("pre-tokenizer") && error.contains("--converter"), "{error}");
}
