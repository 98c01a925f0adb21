//! Our output beside llama.cpp's. Needs checkpoints and the files that `convert_hf_to_gguf.py` made of
//! them, which are not part of this repository.
//!
//! Give a folder in `TOKOMETER_REFERENCE`, with `NAME/` (a checkpoint) and `NAME.TYPE.ref.gguf` (f16, bf16, f32
//! or auto) side by side, and run this test with `--ignored`.

use std::path::Path;

use super::*;
use crate::prepare::gguf::{Array, Gguf, Value};
use crate::testing::Dir;

/// The names of chat templates come out of a Python set, in no particular order.
fn comparable(key: &str, value: &Value) -> Value {
    match value {
        Value::Array(Array::String(names)) if key == "tokenizer.chat_templates" => {
            let mut names = names.clone();
            names.sort();
            Array::String(names).into()
        }
        other => other.clone(),
    }
}

fn compare(reference: &Path, ours: &Path) -> Vec<String> {
    let read = |path: &Path| {
        let bytes = std::fs::read(path).unwrap();
        let gguf = Gguf::parse(&bytes, &path.display().to_string()).unwrap();
        (bytes, gguf)
    };
    let ((a_bytes, a), (b_bytes, b)) = (read(reference), read(ours));
    let mut differences = Vec::new();
    let keys = |g: &Gguf| g.metadata.iter().map(|(k, _)| k.to_owned()).collect::<Vec<_>>();
    if keys(&a) != keys(&b) {
        differences.push(format!("keys: {:?} / {:?}", keys(&a), keys(&b)));
    }
    for (key, value) in a.metadata.iter() {
        let (theirs, ours) = (Some(comparable(key, value)), b.metadata.get(key).map(|v| comparable(key, v)));
        if theirs != ours {
            let short = |v: Option<Value>| format!("{v:?}").chars().take(300).collect::<String>();
            differences.push(format!("{key}: {} / {}", short(theirs), short(ours)));
        }
    }
    if a.tensors != b.tensors {
        let names =
            |g: &Gguf| g.tensors.iter().map(|t| format!("{} {} {:?}", t.name, t.ty, t.dims)).collect::<Vec<_>>();
        differences.push(format!("tensors: {:?} / {:?}", names(&a), names(&b)));
    }
    for (x, y) in a.tensors.iter().zip(&b.tensors) {
        if a.tensor_data(&a_bytes, x) != b.tensor_data(&b_bytes, y) {
            differences.push(format!("data of {}", x.name));
        }
    }
    differences
}

#[test]
#[ignore = "needs files made by llama.cpp's converter: see the top of this file"]
fn equals_llama_cpps_converter() {
    let root = std::env::var_os("TOKOMETER_REFERENCE").expect("TOKOMETER_REFERENCE names the folder");
    let root = Path::new(&root);
    let out = Dir::new();
    let mut compared = 0;
    let mut failed = Vec::new();
    for entry in std::fs::read_dir(root).unwrap() {
        let file = entry.unwrap().file_name().into_string().unwrap();
        let Some((name, kind)) = file.strip_suffix(".ref.gguf").and_then(|stem| stem.rsplit_once('.')) else {
            continue;
        };
        let dtype = match kind {
            "f16" => Dtype::F16,
            "bf16" => Dtype::Bf16,
            "f32" => Dtype::F32,
            _ => Dtype::Auto,
        };
        let output = out.path().join(&file);
        convert(&Conversion { folder: &root.join(name), output: &output, dtype, name_hint: None, pace: None }, &Silent)
            .unwrap();
        failed.extend(compare(&root.join(&file), &output).into_iter().map(|what| format!("{file}: {what}")));
        compared += 1;
    }
    assert!(compared > 0, "no *.ref.gguf in {}", root.display());
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}
