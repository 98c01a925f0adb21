//! `--converter`: a script of somebody else's makes the GGUF file.

use crate::dir::{Dir, Ran, names, on_tiny};
use serde_json::Value;
use std::path::{Path, PathBuf};

/// Takes a ready file for its result, and notes what it was told.
const COPIES: &str = r#"
import json, shutil, sys

told = sys.argv[1:]
with open(NOTES, "w") as notes:
    json.dump(told, notes)
shutil.copyfile(READY, told[told.index("--outfile") + 1])
"#;

/// A folder in which our own conversion has made the model, and a script that copies that one; both paths.
fn with_copying_script(name: &str) -> (Dir, PathBuf, PathBuf) {
    let dir = Dir::new(name);
    let made = json(&dir.ok(&on_tiny("prepare", "llamacpp", &["--quantize", "float16", "--json"])));
    let ready = PathBuf::from(made[0]["path"].as_str().unwrap());
    // A text is written in JSON as it is in Python.
    let text = |path: &Path| Value::from(path.to_str().unwrap()).to_string();
    let constants = format!("NOTES = {}\nREADY = {}\n", text(&dir.path("told.json")), text(&ready));
    dir.write("convert.py", constants + COPIES);
    let script = dir.path("convert.py");
    (dir, ready, script)
}

fn json(ran: &Ran) -> Value {
    serde_json::from_str(&ran.out).unwrap()
}

/// The manifest beside the `i`th model that was prepared.
fn manifest(prepared: &Value, i: usize) -> Value {
    let path = Path::new(prepared[i]["path"].as_str().unwrap());
    serde_json::from_slice(&std::fs::read(path.with_file_name("manifest.json")).unwrap()).unwrap()
}

#[test]
fn a_script_makes_the_model_and_is_named_in_its_manifest() {
    let (dir, ready, script) = with_copying_script("converter");
    let named = script.display().to_string();
    let arguments = on_tiny("prepare", "llamacpp", &["--quantize", "float16,nf4", "--converter", &named, "--json"]);
    let prepared = json(&dir.ok(&arguments));
    let path = Path::new(prepared[0]["path"].as_str().unwrap());
    assert_ne!(path, ready);
    assert!(std::fs::read(path).unwrap() == std::fs::read(&ready).unwrap());
    let first = manifest(&prepared, 0);
    let tool = first["tools"]["converter"].as_str().unwrap();
    assert!(tool.starts_with(&named) && tool.contains(" sha256 "), "{tool}");
    assert_eq!((&prepared[0]["native"], &prepared[0]["reused"]), (&"F16".into(), &false.into()));
    // What is quantized from it tells both tools.
    let second = manifest(&prepared, 1);
    assert_eq!(second["tools"]["converter"].as_str(), Some(tool));
    assert!(second["tools"]["quantizer"].is_string() && first["tools"]["quantizer"].is_null(), "{second}");

    let told: Vec<String> = serde_json::from_slice(&std::fs::read(dir.path("told.json")).unwrap()).unwrap();
    assert_eq!((told.len(), told[1].as_str(), &told[3..]), (5, "--outfile", &["--outtype".into(), "f16".into()][..]));
    assert!(Path::new(&told[0]).join("config.json").is_file(), "{told:?}");

    // What is there is not made again, and it runs.
    std::fs::remove_file(dir.path("told.json")).unwrap();
    let again = json(&dir.ok(&arguments));
    assert!(again[0]["reused"] == true && again[1]["reused"] == true, "{again}");
    let workload = ["--prompt-tokens", "8", "--gen-tokens", "4", "--launches", "1", "--repetitions", "1"];
    let measured = [&["--quantize", "float16", "--converter", &named][..], &workload].concat();
    dir.ok(&on_tiny("run", "llamacpp", &measured));
    assert!(!dir.path("told.json").exists());
    dir.ok(&["collate"]);
    let rows = dir.rows();
    assert!(rows.len() == 4 && rows.iter().all(|row| row["status"] == "ok"), "{rows:?}");
}

#[test]
fn another_script_makes_another_model() {
    let (dir, _, script) = with_copying_script("converter-edited");
    let named = script.display().to_string();
    let arguments = on_tiny("prepare", "llamacpp", &["--quantize", "float16", "--converter", &named, "--json"]);
    let first = json(&dir.ok(&arguments));
    let edited = std::fs::read_to_string(&script).unwrap() + "# an edit\n";
    dir.write("convert.py", edited);
    let second = json(&dir.ok(&arguments));
    assert_eq!(second[0]["reused"], false);
    assert_ne!(first[0]["path"], second[0]["path"]);
}

#[test]
fn a_script_that_makes_no_model_is_named_with_what_it_said() {
    let dir = Dir::new("converter-fails");
    dir.write("raises.py", "raise ValueError('an architecture that nobody knows')\n");
    dir.write("idle.py", "print('done')\n");
    dir.write("scribbles.py", "import sys\nopen(sys.argv[sys.argv.index('--outfile') + 1], 'w').write('no model')\n");
    for (script, words) in [
        ("raises.py", &["failed on", "an architecture that nobody knows"][..]),
        ("idle.py", &["wrote nothing to its --outfile"][..]),
        ("scribbles.py", &["wrote no usable model"][..]),
        ("absent.py", &["cannot read the converter"][..]),
    ] {
        let ran = dir.run(&on_tiny("prepare", "llamacpp", &["--quantize", "float16", "--converter", script]));
        ran.fails(1, &[&[script][..], words].concat());
        let left = names(&dir.path("models"));
        assert!(left.iter().all(|name| !name.starts_with(".partial") && !name.contains("F16")), "{script}: {left:?}");
    }
}
