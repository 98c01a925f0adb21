//! Bad input gets a clear error with the way out, and never a panic.

use crate::dir::{Dir, on_tiny};

#[test]
fn names_that_are_not_known_come_with_the_nearest() {
    let dir = Dir::new("names");
    dir.run(&on_tiny("run", "lamacpp", &[])).fails(1, &["did you mean llamacpp"]);
    dir.run(&on_tiny("prepare", "llamacpp", &["--quantize", "Q4KM"])).fails(1, &["Q4_K_M"]);
    dir.run(&["prepare", "--model", "synthetic:tinny"]).fails(1, &["tiny"]);
    dir.run(&["run", "--size", "2B"]).fails(1, &["1B"]);
    dir.run(&["plot", "--only", "backend"]).fails(1, &["backend_comparison"]);
    dir.run(&["run", "--model", "no/such/model"]).fails(1, &["neither a folder nor a .gguf"]);
    dir.run(&["run"]).fails(1, &["--model", "--size"]);
}

#[test]
fn a_configuration_with_an_unknown_key_names_line_and_key() {
    let dir = Dir::new("config");
    dir.write("tokometer.toml", "[defaults]\nseeds = 3\n");
    dir.run(&["doctor"]).fails(1, &["tokometer.toml", "line 2", "did you mean `seed`"]);
}

#[test]
fn numbers_that_make_no_sense_are_refused() {
    let dir = Dir::new("numbers");
    dir.mock(&["--gen-tokens", "1"]).fails(2, &[]);
    dir.run(&on_tiny("run", "mock", &["--gen-tokens", "1"])).fails(1, &["--gen-tokens"]);
    dir.run(&on_tiny("run", "mock", &["--launches", "0"])).fails(1, &["--launches"]);
    dir.run(&on_tiny("run", "mock", &["--option", "x"])).fails(1, &["NAME=VALUE"]);
}

#[test]
fn a_gguf_that_is_cut_or_lies_is_named() {
    let dir = Dir::new("gguf");
    dir.write("cut.gguf", b"GGUF\x03\x00\x00\x00");
    dir.run(&["prepare", "--engine", "llamacpp", "--model", &dir.path("cut.gguf").display().to_string()])
        .fails(1, &["cut.gguf"]);
    let mut lying = b"GGUF\x03\x00\x00\x00".to_vec();
    lying.extend(u64::MAX.to_le_bytes());
    lying.extend(u64::MAX.to_le_bytes());
    dir.write("lying.gguf", lying);
    dir.run(&["prepare", "--engine", "llamacpp", "--model", &dir.path("lying.gguf").display().to_string()])
        .fails(1, &["lying.gguf"]);
}

#[test]
fn a_folder_that_is_no_checkpoint_or_lacks_a_tokenizer_is_named() {
    let dir = Dir::new("folder");
    std::fs::create_dir(dir.path("empty")).unwrap();
    dir.run(&["prepare", "--engine", "llamacpp", "--model", &dir.path("empty").display().to_string()])
        .fails(1, &["config.json"]);
    dir.write("bare/config.json", r#"{"architectures": ["LlamaForCausalLM"]}"#);
    dir.run(&["prepare", "--engine", "llamacpp", "--model", &dir.path("bare").display().to_string()])
        .fails(1, &["tokenizer"]);
}

#[test]
fn a_safetensors_header_that_points_outside_the_file_is_named() {
    let dir = Dir::new("safetensors");
    dir.ok(&on_tiny("prepare", "llamacpp", &["--quantize", "float16"]));
    let folder = std::fs::read_dir(dir.path("models"))
        .unwrap()
        .flatten()
        .find(|e| e.path().join("model.safetensors").is_file())
        .unwrap()
        .path();
    let broken = dir.path("broken");
    std::fs::create_dir(&broken).unwrap();
    for entry in std::fs::read_dir(&folder).unwrap().flatten() {
        std::fs::copy(entry.path(), broken.join(entry.file_name())).unwrap();
    }
    let mut bytes = std::fs::read(broken.join("model.safetensors")).unwrap();
    bytes.truncate(bytes.len() / 2);
    std::fs::write(broken.join("model.safetensors"), bytes).unwrap();
    let ran = dir.run(&[
        "prepare",
        "--engine",
        "llamacpp",
        "--model",
        &broken.display().to_string(),
        "--quantize",
        "float16",
    ]);
    ran.fails(1, &["model.safetensors"]);
}

#[test]
fn steps_without_their_input_say_which_step_brings_it() {
    let dir = Dir::new("order");
    dir.run(&["collate"]).fails(1, &["run"]);
    dir.run(&["analyze"]).fails(1, &["tokometer collate"]);
    dir.run(&["plot"]).fails(1, &["tokometer collate"]);
}
