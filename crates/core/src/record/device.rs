//! What the devices of engines are called in records.

/// The kind of a device that an engine calls so, in the seed workflow's sense: `CUDA` for `CUDA1`, `cuda:1` and
/// `CUDA:PTX`.
pub(crate) fn kind(name: &str) -> String {
    let word = name.split(':').next().unwrap_or_default();
    without_number(word).to_uppercase()
}

/// The kind with the number that a name ends with, if it has one: `CUDA1` for `CUDA1` and `cuda:1`. A processor has none.
pub(crate) fn numbered(name: &str) -> String {
    let kind = kind(name);
    let number = &name[without_number(name).len()..];
    if kind == "CPU" { kind } else { kind + number }
}

fn without_number(name: &str) -> &str {
    name.trim_end_matches(|c: char| c.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gpu_keeps_its_number_however_it_is_written() {
        for (name, of_kind, with_number) in [
            ("CUDA1", "CUDA", "CUDA1"),
            ("cuda:12", "CUDA", "CUDA12"),
            ("CUDA:PTX", "CUDA", "CUDA"),
            ("Metal", "METAL", "METAL"),
            ("CPU", "CPU", "CPU"),
            ("CPU:0", "CPU", "CPU"),
            ("", "", ""),
        ] {
            assert_eq!((kind(name).as_str(), numbered(name).as_str()), (of_kind, with_number), "{name}");
        }
    }
}
