//! The name of the rule that splits text before BPE. llama.cpp implements the rules one by one and
//! finds the right one by name; its converter recognizes tokenizers by what they make of a test text.

use serde_json::Value as Json;
use sha2::{Digest, Sha256};
use tokenizers::Tokenizer;

use super::pretokenizer_table::KNOWN;

/// The test text of llama.cpp's `convert_hf_to_gguf_update.py`.
const TEST_TEXT: &str = concat!(
    "\n \n\n \n\n\n \t \t\t \t\n  \n   \n    \n     \n\u{1f680} (normal) \u{1f636}\u{200d}\u{1f32b}\u{fe0f} (",
    "multiple emojis concatenated) \u{2705} \u{1f999}\u{1f999} 3 33 333 3333 33333 333333 3333333 33333333 3.",
    "3 3..3 3...3 \u{1780}\u{17b6}\u{1793}\u{17cb}\u{178f}\u{17c2}\u{1796}\u{17b7}\u{179f}\u{17c1}\u{179f}",
    "\u{17a2}\u{17b6}\u{1785}\u{1f601} ?\u{6211}\u{60f3}\u{5728}apple\u{5de5}\u{4f5c}1314151\u{5929}\u{ff5e} -",
    "-----======= \u{43d}\u{435}\u{449}\u{43e} \u{43d}\u{430} \u{411}\u{44a}\u{43b}\u{433}\u{430}\u{440}",
    "\u{441}\u{43a}\u{438} ''''''```````\"\"\"\"......!!!!!!?????? I've been 'told he's there, 'RE you sure? '",
    "M not sure I'll make it, 'D you like some tea? We'Ve a'lL",
);

/// What identifies a tokenizer: the SHA-256 of its ids for the test text, written as a Python list.
/// `before` and `after` are ids that the tokenizer's class adds around the text itself, in which case
/// the post-processor of the file does not count.
///
/// # Errors
/// What the tokenizer says when it cannot encode the text.
pub(super) fn fingerprint(tokenizer: &Tokenizer, around: Option<(&[u32], &[u32])>) -> tokenizers::Result<String> {
    let encoding = tokenizer.encode(TEST_TEXT, around.is_none())?;
    let (before, after) = around.unwrap_or((&[], &[]));
    let ids = before.iter().chain(encoding.get_ids()).chain(after);
    let list = ids.map(u32::to_string).collect::<Vec<_>>().join(", ");
    let hash = Sha256::digest(format!("[{list}]"));
    Ok(hash.as_slice().iter().map(|byte| format!("{byte:02x}")).collect())
}

/// The name for a fingerprint that llama.cpp's converter knows.
pub(super) fn by_fingerprint(fingerprint: &str) -> Option<&'static str> {
    KNOWN.iter().find(|(hash, _)| *hash == fingerprint).map(|(_, name)| *name)
}

/// One regular expression and the name of the rule that has it.
struct Pattern {
    name: &'static str,
    regex: &'static str,
}

/// The patterns of `tokenizer.json` files whose rule llama.cpp quotes in `llama-vocab.cpp`.
const PATTERNS: &[Pattern] = &[
    Pattern {
        name: "llama-bpe",
        regex: r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+",
    },
    Pattern {
        name: "qwen2",
        regex: r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+",
    },
    Pattern {
        name: "qwen35",
        regex: r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N}| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+",
    },
    Pattern {
        name: "tekken",
        regex: r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+",
    },
    Pattern {
        name: "gpt-4o",
        regex: r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+",
    },
];

/// The name for the steps in `pre_tokenizer` of a `tokenizer.json`, where they are exactly those of a
/// rule that llama.cpp has: a tokenizer of one's own with a well-known pre-tokenizer.
pub(super) fn by_structure(pre_tokenizer: &Json) -> Option<&'static str> {
    let kind = |step: &Json| step.get("type").and_then(Json::as_str).map(str::to_owned);
    let steps: Vec<&Json> = match pre_tokenizer.get("pretokenizers").and_then(Json::as_array) {
        Some(steps) => steps.iter().collect(),
        None => vec![pre_tokenizer],
    };
    let flag = |step: &Json, name: &str, default: bool| step.get(name).and_then(Json::as_bool).unwrap_or(default);
    let (last, first) = steps.split_last()?;
    if kind(last)? != "ByteLevel" || flag(last, "add_prefix_space", true) {
        return None;
    }
    let gpt2 = flag(last, "use_regex", true);
    match (first, gpt2) {
        ([], true) => Some("gpt-2"),
        ([digits], true) if kind(digits)? == "Digits" && flag(digits, "individual_digits", false) => Some("smollm"),
        ([split], false) if kind(split)? == "Split" => {
            let isolated =
                split.get("behavior").and_then(Json::as_str) == Some("Isolated") && !flag(split, "invert", false);
            let regex = split.get("pattern")?.get("Regex")?.as_str()?;
            PATTERNS.iter().find(|p| isolated && p.regex == regex).map(|p| p.name)
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn split(regex: &str, use_regex: bool) -> Json {
        json!({ "type": "Sequence", "pretokenizers": [
            { "type": "Split", "pattern": { "Regex": regex }, "behavior": "Isolated", "invert": false },
            { "type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": use_regex } ] })
    }

    #[test]
    fn well_known_structures_have_a_name() {
        for pattern in PATTERNS {
            assert_eq!(by_structure(&split(pattern.regex, false)), Some(pattern.name));
            assert_eq!(by_structure(&split(pattern.regex, true)), None, "two rules one after the other are a third");
        }
        assert_eq!(by_structure(&json!({ "type": "ByteLevel", "add_prefix_space": false })), Some("gpt-2"));
        assert_eq!(by_structure(&json!({ "type": "ByteLevel", "add_prefix_space": true })), None);
        let digits = json!({ "type": "Sequence", "pretokenizers": [
            { "type": "Digits", "individual_digits": true }, { "type": "ByteLevel", "add_prefix_space": false, "use_regex": true } ] });
        assert_eq!(by_structure(&digits), Some("smollm"));
        for other in [
            json!(null),
            json!({}),
            json!({ "type": "Whitespace" }),
            json!({ "pretokenizers": [] }),
            split(r"\s+", false),
        ] {
            assert_eq!(by_structure(&other), None, "{other}");
        }
    }

    #[test]
    fn the_table_holds_hashes_and_finds_them() {
        assert_eq!(
            by_fingerprint("0ef9807a4087ebef797fc749390439009c3b9eda9ad1a097abbe738f486c01e5"),
            Some("llama-bpe")
        );
        assert_eq!(by_fingerprint("0"), None);
        for (i, (hash, name)) in KNOWN.iter().enumerate() {
            assert!(hash.len() == 64 && hash.bytes().all(|b| b.is_ascii_hexdigit()) && !name.is_empty());
            assert!(KNOWN[..i].iter().all(|(other, _)| other != hash), "{hash} appears twice");
        }
    }
}
