//! Names of raw logs: `{engine}_{hostname}_{size}_{quantize}_seed{seed}_uuid{hex}.txt`, and the seed workflow's form without
//! the engine. Hostnames and quantizations may hold underscores themselves, so names are taken apart from both ends.

use std::fmt;

/// Engines that may stand at the left of a name. An engine that is not here still makes good names; only when such a log
/// has no header of its own does the engine end up in the hostname.
pub const ENGINES: &[&str] = &["llamacpp", "mlc_llm", "mock", "tinygrad"];

/// The parts of a name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FileName {
    /// `None` for the seed workflow's names.
    pub engine: Option<String>,
    /// The machine.
    pub hostname: String,
    /// Size label of the model, as `1B`.
    pub size: String,
    /// The quantization that was asked for.
    pub quantize: String,
    /// The seed.
    pub seed: u64,
    /// Hex digits, eight in our own names.
    pub uuid: String,
}

impl FileName {
    /// Takes a name apart; `.txt`, `.jsonl` and a further `.partial` at its end are allowed. `None` when it has another form.
    pub fn parse(name: &str) -> Option<FileName> {
        let name = name.strip_suffix(".partial").unwrap_or(name);
        let stem = name.strip_suffix(".txt").or_else(|| name.strip_suffix(".jsonl"))?;
        let tokens: Vec<&str> = stem.split('_').collect();
        let [front @ .., seed, uuid] = tokens.as_slice() else { return None };
        let uuid = uuid.strip_prefix("uuid").filter(|text| is_uuid(text))?;
        let seed = seed.strip_prefix("seed").filter(|text| text.bytes().all(|b| b.is_ascii_digit()))?.parse().ok()?;
        let (engine, rest, at) = split(front)?;
        Some(FileName {
            engine: engine.map(str::to_owned),
            hostname: rest[..at].join("_"),
            size: rest[at].to_owned(),
            quantize: rest[at + 1..].join("_"),
            seed,
            uuid: uuid.to_owned(),
        })
    }
}

impl fmt::Display for FileName {
    /// The name of the finished log. What no file name should hold is replaced by `-`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(engine) = &self.engine {
            write!(f, "{}_", clean(engine))?;
        }
        let size = clean(&self.size).replace('_', "-");
        write!(f, "{}_{size}_{}_seed{}", clean(&self.hostname), clean(&self.quantize), self.seed)?;
        write!(f, "_uuid{}.txt", clean(&self.uuid))
    }
}

/// One name for each engine, however a header spells it (`llama.cpp`, `mlc-llm`); fit for a file name.
pub fn canonical_engine(name: &str) -> String {
    let lower = name.trim().to_ascii_lowercase();
    let letters: String = lower.chars().filter(char::is_ascii_alphanumeric).collect();
    match letters.as_str() {
        "llamacpp" | "llamabench" | "llamacpppython" => "llamacpp".to_owned(),
        "mlcllm" | "mlc" => "mlc_llm".to_owned(),
        "tinygrad" => "tinygrad".to_owned(),
        _ => clean(&lower),
    }
}

/// Engine, the tokens after it, and which of these is the size.
fn split<'t, 's>(tokens: &'t [&'s str]) -> Option<(Option<&'static str>, &'t [&'s str], usize)> {
    let named = ENGINES.iter().find_map(|engine| {
        let parts: Vec<&str> = engine.split('_').collect();
        let rest = tokens.strip_prefix(parts.as_slice())?;
        Some((Some(*engine), rest))
    });
    let readings = [named, Some((None, tokens))];
    for find in [by_size, by_quantize, by_place] {
        for (engine, rest) in readings.iter().flatten() {
            if let Some(at) = find(rest) {
                return Some((*engine, *rest, at));
            }
        }
    }
    None
}

/// The last token that looks like a size and has a neighbour on each side.
fn by_size(tokens: &[&str]) -> Option<usize> {
    (1..tokens.len().saturating_sub(1)).rev().find(|&i| is_size(tokens[i]))
}

/// The token before the last one that begins like a quantization.
fn by_quantize(tokens: &[&str]) -> Option<usize> {
    (1..tokens.len().saturating_sub(1)).rev().find(|&i| is_quantize(tokens[i + 1]))
}

/// Nothing looks familiar: the last token is the quantization, the one before it the size.
fn by_place(tokens: &[&str]) -> Option<usize> {
    tokens.len().checked_sub(2).filter(|&at| at > 0)
}

/// `tiny`, `60M`, `1B`, `1.5B`, `8x7B`.
fn is_size(token: &str) -> bool {
    let Some(number) = token.strip_suffix(['K', 'M', 'B', 'T', 'k', 'm', 'b', 't']) else {
        return token.eq_ignore_ascii_case("tiny");
    };
    number.starts_with(|c: char| c.is_ascii_digit())
        && number.ends_with(|c: char| c.is_ascii_digit())
        && number.bytes().all(|b| b.is_ascii_digit() || b == b'.' || b == b'x')
}

/// `int8`, `nf4`, `Q4`, `q4f16`, `IQ2`, `F16`, ...
fn is_quantize(token: &str) -> bool {
    let lower = token.to_ascii_lowercase();
    let words = ["default", "float32", "float16", "bfloat16", "mxfp4"];
    let bits = ["int", "uint", "nf", "fp", "bf", "iq", "tq", "q", "f"];
    words.contains(&lower.as_str())
        || bits.iter().any(|b| lower.strip_prefix(b).is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit())))
}

/// Hex digits, at least the eight that everybody writes, with the dashes of a full UUID.
fn is_uuid(text: &str) -> bool {
    (8..=36).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_hexdigit() || b == b'-')
}

/// A part of a file name: letters, digits, `.`, `_` and `-` stay, anything else becomes `-`.
fn clean(text: &str) -> String {
    if text.is_empty() {
        return "unknown".to_owned();
    }
    let keep = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    text.chars().map(|c| if keep(c) { c } else { '-' }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(engine: Option<&str>, hostname: &str, size: &str, quantize: &str) -> FileName {
        FileName {
            engine: engine.map(str::to_owned),
            hostname: hostname.into(),
            size: size.into(),
            quantize: quantize.into(),
            seed: 42,
            uuid: "864c4aef".into(),
        }
    }

    #[test]
    fn names_survive_being_printed() {
        for engine in [None, Some("llamacpp"), Some("tinygrad"), Some("mlc_llm"), Some("mock")] {
            for host in ["softmacs", "my_host", "a_b-c.local", "node_8B", "mlc", "tiny", "Q4_K"] {
                for size in ["1B", "60M", "tiny", "8B", "1.5B", "8x7B", "Llama-3.2"] {
                    for quantize in ["default", "nf4", "int8", "Q4_K_M", "q4f16_1", "IQ2_XXS", "Q8_0"] {
                        if (host == "tiny" || host == "node_8B") && size == "Llama-3.2" {
                            continue; // really ambiguous
                        }
                        let name = name(engine, host, size, quantize);
                        let text = name.to_string();
                        assert_eq!(FileName::parse(&text).as_ref(), Some(&name), "{text}");
                        assert_eq!(FileName::parse(&format!("{text}.partial")).as_ref(), Some(&name), "{text}");
                    }
                }
            }
        }
    }

    #[test]
    fn the_old_form_is_read() {
        let got = FileName::parse("softmacs_1B_int8_seed42_uuid864c4aef.txt").unwrap();
        assert_eq!(got, name(None, "softmacs", "1B", "int8"));
        assert_eq!(FileName::parse("host_1B_nf4_seed7_uuid00000000.jsonl").unwrap().seed, 7);
    }

    #[test]
    fn a_host_that_is_called_like_an_engine_stays_a_host() {
        let got = FileName::parse("tinygrad_1B_Q4_K_M_seed42_uuid864c4aef.txt").unwrap();
        assert_eq!(got, name(None, "tinygrad", "1B", "Q4_K_M"));
    }

    #[test]
    fn other_names_are_not_taken_apart() {
        for text in [
            "notes.txt",
            "a_1B_nf4_seed42.txt",
            "a_1B_nf4_seed42_uuid12.txt",
            "a_1B_nf4_seed_uuid864c4aef.txt",
            "a_1B_nf4_seed-1_uuid864c4aef.txt",
            "a_1B_nf4_seed99999999999999999999_uuid864c4aef.txt",
            "1B_nf4_seed42_uuid864c4aef.txt",
            "a_1B_nf4_seed42_uuid864c4aef.csv",
            "seed42_uuid864c4aef.txt",
            "",
        ] {
            assert_eq!(FileName::parse(text), None, "{text}");
        }
    }

    #[test]
    fn what_a_file_name_must_not_hold_is_replaced() {
        let odd = name(Some("llamacpp"), "a/../b c", "my_model", "");
        assert_eq!(odd.to_string(), "llamacpp_a-..-b-c_my-model_unknown_seed42_uuid864c4aef.txt");
    }

    #[test]
    fn engines_have_one_name() {
        for (text, engine) in [
            ("llama.cpp", "llamacpp"),
            ("MLC-LLM", "mlc_llm"),
            (" Tinygrad ", "tinygrad"),
            ("a/b", "a-b"),
            ("vllm", "vllm"),
        ] {
            assert_eq!(canonical_engine(text), engine);
        }
    }
}
