//! Documents, compiled for real.

use super::{Error, Options, compile, compile_with, compile_with_fonts};
use std::fs;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};

/// One blue pixel.
const PNG: &[u8] = &[
    0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a, 0x00, 0x00, 0x00, 0x0d, 0x49, 0x48, 0x44, 0x52, 0x00, 0x00, 0x00,
    0x01, 0x00, 0x00, 0x00, 0x01, 0x08, 0x02, 0x00, 0x00, 0x00, 0x90, 0x77, 0x53, 0xde, 0x00, 0x00, 0x00, 0x0c, 0x49,
    0x44, 0x41, 0x54, 0x78, 0xda, 0x63, 0x60, 0x28, 0xda, 0x04, 0x00, 0x01, 0x9a, 0x01, 0x25, 0x47, 0x2f, 0x47, 0x56,
    0x00, 0x00, 0x00, 0x00, 0x49, 0x45, 0x4e, 0x44, 0xae, 0x42, 0x60, 0x82,
];

/// A folder of its own, removed at the end.
struct Dir(PathBuf);

impl Dir {
    fn new(files: &[(&str, &[u8])]) -> Dir {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!("tokometer-typst-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let dir = Dir(std::env::temp_dir().join(name));
        for (path, content) in files {
            let path = dir.0.join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, content).unwrap();
        }
        dir
    }

    fn error(&self, main: &str) -> Error {
        compile(&self.0.join(main), &self.0).unwrap_err()
    }
}

impl Drop for Dir {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

const DOCUMENT: &[u8] = br#"
#set page(width: 10cm, height: 8cm)
#let data = json("data/d.json")
= #data.title
#table(columns: 2, table.header[*case*][*tokens/s*], ..data.rows.map(row => (row.name, str(row.value))).flatten())
#pagebreak()
#image("images/p.png", width: 2cm, alt: "a pixel")
"#;

#[test]
fn a_table_an_image_and_data_become_the_same_pdf_twice() {
    let data: &[u8] = br#"{"title": "T", "rows": [{"name": "a", "value": 1.5}, {"name": "b", "value": 2}]}"#;
    let dir = Dir::new(&[("main.typ", DOCUMENT), ("data/d.json", data), ("images/p.png", PNG)]);
    let other = Dir::new(&[("main.typ", DOCUMENT), ("data/d.json", data), ("images/p.png", PNG)]);
    let first = compile(&dir.0.join("main.typ"), &dir.0).unwrap();
    assert!(first.pdf.starts_with(b"%PDF-1.7"));
    assert_eq!((first.pages, first.warnings.as_slice()), (2, [].as_slice()));
    assert_eq!(first, compile(&other.0.join("main.typ"), &other.0).unwrap());
}

#[test]
fn a_syntax_error_names_its_line_and_column() {
    let dir = Dir::new(&[("main.typ", b"= Fine\n\nText #let x = )\n")]);
    let Error::Source { diagnostics, .. } = dir.error("main.typ") else { panic!("another error") };
    assert_eq!((diagnostics[0].file.as_deref(), diagnostics[0].line), (Some("main.typ"), Some(3)));
    assert!(diagnostics[0].column.is_some());
    assert!(dir.error("main.typ").to_string().contains("main.typ:3:"));
}

#[test]
fn an_error_inside_a_function_tells_who_called_it() {
    let dir = Dir::new(&[("main.typ", b"#let f(x) = x.missing\n\n#f((a: 1))\n")]);
    let text = dir.error("main.typ").to_string();
    assert!(text.contains("main.typ:1:") && text.contains("(main.typ:3:"), "{text}");
}

#[test]
fn a_missing_image_names_the_file() {
    let dir = Dir::new(&[("main.typ", b"#image(\"docs/none.png\")")]);
    let text = dir.error("main.typ").to_string();
    assert!(text.contains("none.png") && text.contains("main.typ:1:"), "{text}");
}

#[test]
fn broken_data_is_found_in_its_own_file() {
    let dir = Dir::new(&[("main.typ", b"#json(\"d.json\")"), ("d.json", b"{\n  \"a\": oops\n}")]);
    let text = dir.error("main.typ").to_string();
    assert!(text.contains("d.json:2:"), "{text}");
}

#[test]
fn nothing_outside_of_the_root_is_read() {
    let dir = Dir::new(&[
        ("secret.txt", b"s"),
        ("p/up.typ", b"#read(\"../secret.txt\")"),
        ("p/link.typ", b"#read(\"l.txt\")"),
    ]);
    std::os::unix::fs::symlink(dir.0.join("secret.txt"), dir.0.join("p/l.txt")).unwrap();
    let root = dir.0.join("p");
    let error = |main: &str| compile(&root.join(main), &root).unwrap_err().to_string();
    assert!(error("up.typ").contains("escape"), "{}", error("up.typ"));
    assert!(!error("up.typ").contains("--root"), "{}", error("up.typ"));
    assert!(error("link.typ").contains("outside"), "{}", error("link.typ"));
    assert!(matches!(compile(&dir.0.join("secret.txt"), &root), Err(Error::Outside { .. })));
    assert!(matches!(compile(&root.join("none.typ"), &root), Err(Error::Open { .. })));
}

#[test]
fn packages_are_refused_in_words() {
    let dir = Dir::new(&[("main.typ", b"#import \"@preview/some-slides:1.0.0\": *")]);
    let text = dir.error("main.typ").to_string();
    assert!(text.contains("packages are not offered") && text.contains("some-slides"), "{text}");
}

#[test]
fn the_date_is_what_the_caller_says() {
    let dir = Dir::new(&[("main.typ", b"#datetime.today().display()")]);
    assert!(matches!(dir.error("main.typ"), Error::Source { .. }));
    let options = |epoch| Options { epoch: Some(epoch), ..Options::default() };
    let at = |epoch| compile_with(&dir.0.join("main.typ"), &dir.0, &options(epoch)).unwrap().pdf;
    assert_eq!(at(0), at(0));
    assert_ne!(at(0), at(86_400));
}

#[test]
fn an_unknown_font_is_a_warning_until_it_is_passed() {
    let dir = Dir::new(&[("main.typ", b"#set text(font: \"DejaVu Sans\")\nText")]);
    let main = dir.0.join("main.typ");
    let warnings = compile(&main, &dir.0).unwrap().warnings;
    assert!(warnings.len() == 1 && warnings[0].starts_with("main.typ:1:"), "{warnings:?}");
    let font: &'static [u8] = include_bytes!("../../core/data/fonts/DejaVuSans-Latin.ttf");
    assert_eq!(compile_with_fonts(&main, &dir.0, &[font]).unwrap().warnings, Vec::<String>::new());
}
