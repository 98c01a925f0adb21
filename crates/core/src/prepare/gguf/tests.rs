//! Round trips, and files that lie.

use super::*;

fn sample_metadata() -> Metadata {
    let mut m = Metadata::new();
    m.set("general.architecture", "llama");
    m.set("a.u8", Value::U8(7));
    m.set("a.i8", Value::I8(-7));
    m.set("a.u16", Value::U16(700));
    m.set("a.i16", Value::I16(-700));
    m.set("a.u32", 70_000u32);
    m.set("a.i32", -70_000i32);
    m.set("a.f32", 0.1f32);
    m.set("a.bool", true);
    m.set("a.u64", Value::U64(1 << 40));
    m.set("a.i64", Value::I64(-(1 << 40)));
    m.set("a.f64", Value::F64(0.1));
    m.set("b.u8", Array::U8(vec![1, 2, 3]));
    m.set("b.i8", Array::I8(vec![-1]));
    m.set("b.u16", Array::U16(vec![1, 2]));
    m.set("b.i16", Array::I16(vec![-1, 2]));
    m.set("b.u32", Array::U32(vec![1]));
    m.set("b.i32", Array::I32(vec![-1, 1]));
    m.set("b.f32", Array::F32(vec![0.5, -0.5]));
    m.set("b.bool", Array::Bool(vec![true, false]));
    m.set("b.strings", Array::String(vec![String::new(), "Ġhé".to_owned()]));
    m.set("b.u64", Array::U64(vec![u64::MAX]));
    m.set("b.i64", Array::I64(vec![i64::MIN]));
    m.set("b.f64", Array::F64(vec![1e300]));
    m
}

fn sample_tensors() -> Vec<TensorSpec> {
    let q8 = GgmlType::from_name("Q8_0").unwrap();
    vec![
        TensorSpec { name: "first.weight".to_owned(), dims: vec![3, 5], ty: GgmlType::F32 },
        TensorSpec { name: "second.weight".to_owned(), dims: vec![64, 2], ty: q8 },
        TensorSpec { name: "third.weight".to_owned(), dims: vec![7], ty: GgmlType::F16 },
    ]
}

fn sample_file() -> (Vec<u8>, Written) {
    let mut writer = GgufWriter::start(Vec::new(), &sample_metadata(), &sample_tensors()).unwrap();
    for (i, spec) in sample_tensors().iter().enumerate() {
        let data = vec![i as u8 + 1; spec.bytes().unwrap() as usize];
        let (a, b) = data.split_at(data.len() / 2);
        writer.write(a).unwrap();
        writer.write(b).unwrap();
    }
    writer.finish().unwrap()
}

#[test]
fn what_is_written_is_read_back() {
    let (bytes, written) = sample_file();
    assert_eq!(written.bytes, bytes.len() as u64);
    assert_eq!(written.sha256.len(), 64);
    let gguf = Gguf::parse(&bytes, "sample").unwrap();
    assert_eq!((gguf.version, gguf.alignment), (3, 32));
    assert_eq!(gguf.metadata, sample_metadata());
    let names: Vec<&str> = gguf.tensors.iter().map(|t| t.name.as_str()).collect();
    assert_eq!(names, ["first.weight", "second.weight", "third.weight"]);
    for (i, tensor) in gguf.tensors.iter().enumerate() {
        let data = gguf.tensor_data(&bytes, tensor).unwrap();
        assert!(data.iter().all(|b| *b == i as u8 + 1) && data.len() as u64 == tensor.bytes);
        assert_eq!((gguf.data_offset + tensor.offset) % 32, 0);
    }
    assert_eq!(gguf.n_params(), 15 + 128 + 7);
    assert_eq!(gguf.tensor_bytes(), 60 + 136 + 14);
    let bits = gguf.bits_per_weight().unwrap();
    assert!((bits - 210.0 * 8.0 / 150.0).abs() < 1e-12, "{bits}");
    let shares = gguf.by_type();
    assert_eq!(shares[0].ty.name, "Q8_0");
    assert_eq!((shares[0].tensors, shares[0].elements, shares[0].bytes), (1, 128, 136));
}

#[test]
fn the_hash_that_is_told_is_the_files_in_whatever_chunks_it_came() {
    let rows = 3 << 10;
    let specs = [TensorSpec { name: "large.weight".to_owned(), dims: vec![256, rows], ty: GgmlType::F32 }];
    let data: Vec<u8> = (0..specs[0].bytes().unwrap()).map(|i| (i % 251) as u8).collect();
    let mut hashes = Vec::new();
    for chunk in [data.len(), (1 << 20) + 1, 1 << 20, 1000] {
        let mut writer = GgufWriter::start(Vec::new(), &sample_metadata(), &specs).unwrap();
        data.chunks(chunk).for_each(|chunk| writer.write(chunk).unwrap());
        let (bytes, written) = writer.finish().unwrap();
        assert_eq!(written.sha256, crate::fingerprint::of_bytes(&bytes), "in chunks of {chunk}");
        hashes.push(written.sha256);
    }
    assert!(hashes.iter().all(|hash| *hash == hashes[0]));
}

#[test]
fn an_alignment_of_its_own_is_kept() {
    let mut metadata = Metadata::new();
    metadata.set("general.alignment", 256u32);
    let spec = TensorSpec { name: "t".to_owned(), dims: vec![1], ty: GgmlType::F32 };
    let mut writer = GgufWriter::start(Vec::new(), &metadata, &[spec]).unwrap();
    writer.write(&1.0f32.to_le_bytes()).unwrap();
    let (bytes, _) = writer.finish().unwrap();
    let gguf = Gguf::parse(&bytes, "aligned").unwrap();
    assert_eq!((gguf.alignment, gguf.data_offset % 256, bytes.len() % 256), (256, 0, 0));
}

#[test]
fn the_writer_holds_the_caller_to_the_plan() {
    let mut writer = GgufWriter::start(Vec::new(), &Metadata::new(), &sample_tensors()).unwrap();
    assert!(writer.write(&[0; 61]).is_err(), "longer than the first tensor");
    writer.write(&[0; 10]).unwrap();
    let error = writer.finish().err().unwrap().to_string();
    assert!(error.contains("first.weight") && error.contains("50"), "{error}");
    let odd = TensorSpec { name: "odd".to_owned(), dims: vec![33], ty: GgmlType::from_name("Q8_0").unwrap() };
    assert!(GgufWriter::start(Vec::new(), &Metadata::new(), &[odd]).is_err());
}

#[test]
fn every_cut_is_an_error_that_names_the_file() {
    let (bytes, _) = sample_file();
    let padding = 32 - 14; // after the last tensor: not data
    for length in 0..bytes.len() - padding {
        let error =
            Gguf::parse(&bytes[..length], "cut.gguf").err().unwrap_or_else(|| panic!("{length} bytes were accepted"));
        assert!(error.to_string().contains("cut.gguf"));
    }
}

#[test]
fn counts_that_no_file_could_hold_are_refused_before_allocating() {
    let (bytes, _) = sample_file();
    for at in [8, 16] {
        let mut lying = bytes.clone();
        lying[at..at + 8].copy_from_slice(&(u64::MAX / 3).to_le_bytes());
        let error = Gguf::parse(&lying, "f").unwrap_err().to_string();
        assert!(error.contains(&format!("at byte {at},")), "{error}");
    }
}

#[test]
fn doubles_versions_and_magic_are_refused() {
    let mut twice = Metadata::new();
    twice.push("k".to_owned(), Value::U8(1));
    twice.push("k".to_owned(), Value::U8(2));
    let (bytes, _) = GgufWriter::start(Vec::new(), &twice, &[]).unwrap().finish().unwrap();
    assert!(Gguf::parse(&bytes, "f").unwrap_err().to_string().contains("twice"));

    let spec = TensorSpec { name: "t".to_owned(), dims: vec![0], ty: GgmlType::F32 };
    let (bytes, _) = GgufWriter::start(Vec::new(), &Metadata::new(), &[spec.clone(), spec]).unwrap().finish().unwrap();
    assert!(Gguf::parse(&bytes, "f").unwrap_err().to_string().contains("twice"));

    let mut metadata = Metadata::new();
    metadata.set("general.alignment", 32u32);
    let (mut bytes, _) = GgufWriter::start(Vec::new(), &metadata, &[]).unwrap().finish().unwrap();
    let at = bytes.windows(4).rposition(|w| w == 32u32.to_le_bytes()).unwrap();
    bytes[at] = 33;
    assert!(Gguf::parse(&bytes, "f").unwrap_err().to_string().contains("power of two"));

    for (version, word) in [(1u32, "version 1"), (3u32.swap_bytes(), "big-endian"), (9, "version 9")] {
        bytes[4..8].copy_from_slice(&version.to_le_bytes());
        assert!(Gguf::parse(&bytes, "f").unwrap_err().to_string().contains(word));
    }
    assert!(Gguf::parse(b"PK\x03\x04 something", "f").unwrap_err().to_string().contains("magic"));
}

/// A small generator, so that a failure can be run again.
struct XorShift(u64);

impl XorShift {
    fn draw(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }
}

#[test]
fn damaged_files_never_panic() {
    let (bytes, _) = sample_file();
    let mut random = XorShift(0x2545_f491_4f6c_dd1d);
    for _ in 0..20_000 {
        let mut damaged = bytes.clone();
        for _ in 0..=random.draw() % 4 {
            let at = (random.draw() % damaged.len() as u64) as usize;
            damaged[at] = match random.draw() % 4 {
                0 => 0,
                1 => 0xff,
                2 => damaged[at] ^ (1 << (random.draw() % 8)),
                _ => random.draw() as u8,
            };
        }
        if random.draw().is_multiple_of(8) {
            damaged.truncate((random.draw() % damaged.len() as u64) as usize);
        }
        if let Ok(gguf) = Gguf::parse(&damaged, "damaged") {
            for tensor in &gguf.tensors {
                assert!(gguf.tensor_data(&damaged, tensor).is_some(), "a tensor outside of the file was accepted");
            }
            let _ = (gguf.bits_per_weight(), gguf.by_type());
        }
    }
}

#[test]
fn a_file_on_disk_is_opened_and_a_missing_one_named() {
    let dir = crate::testing::Dir::new();
    let path = dir.join("model.gguf");
    std::fs::write(&path, sample_file().0).unwrap();
    assert_eq!(Gguf::open(&path).unwrap().tensors.len(), 3);
    std::fs::write(&path, b"").unwrap();
    assert!(Gguf::open(&path).is_err());
    std::fs::remove_file(&path).unwrap();
    let error = Gguf::open(&path).unwrap_err().to_string();
    assert!(error.contains("model.gguf"), "{error}");
}
