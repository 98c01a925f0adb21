//! What a model's name tells: `org/Base-7B-Instruct-v1` taken apart the way of llama.cpp's
//! `gguf-py/gguf/metadata.py` (`get_model_id_components`, `id_to_title`).

/// The parts of a name; every one may be missing.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct ModelId {
    pub full_name: Option<String>,
    pub organization: Option<String>,
    pub basename: Option<String>,
    pub finetune: Option<String>,
    pub version: Option<String>,
    pub size_label: Option<String>,
}

/// What a part between two dashes may be; several at once while it is not decided.
mod kind {
    pub const BASENAME: u8 = 1;
    pub const SIZE: u8 = 2;
    pub const FINETUNE: u8 = 4;
    pub const VERSION: u8 = 8;
    pub const TYPE: u8 = 16;
}

struct Part {
    text: String,
    kinds: u8,
}

impl Part {
    fn is(&self, kind: u8) -> bool {
        self.kinds & kind != 0
    }
}

impl ModelId {
    /// Takes a name apart. `total_params` decides whether `8K` is a size or a context length.
    pub fn parse(id: &str, total_params: u64) -> ModelId {
        if id.contains(' ') {
            return ModelId { full_name: Some(id.to_owned()), ..ModelId::default() };
        }
        let (organization, full) = match id.split_once('/') {
            Some((organization, full)) => (Some(organization), full),
            None => (None, id),
        };
        let mut parts: Vec<Part> = full
            .split('-')
            .filter(|text| !text.is_empty())
            .enumerate()
            .map(|(i, text)| annotate(i, text, total_params))
            .collect();
        drop_word_sizes(&mut parts);
        find_basename(&mut parts);
        let join = |wanted: &dyn Fn(&Part) -> bool| -> Option<String> {
            let texts: Vec<&str> = parts.iter().filter(|p| wanted(p)).map(|p| p.text.as_str()).collect();
            Some(texts.join("-")).filter(|joined| !joined.is_empty())
        };
        let mut sizes: Vec<&str> = Vec::new();
        for part in parts.iter().filter(|p| p.is(kind::SIZE)) {
            if !sizes.contains(&part.text.as_str()) {
                sizes.push(&part.text);
            }
        }
        let size_label = Some(sizes.join("-")).filter(|joined| !joined.is_empty());
        let finetune = join(&|p: &Part| p.is(kind::FINETUNE));
        let version = join(&|p: &Part| p.is(kind::VERSION) && !p.is(kind::BASENAME));
        let ambiguous = size_label.is_none() && finetune.is_none() && version.is_none();
        ModelId {
            full_name: Some(full.to_owned()),
            organization: organization.filter(|o| !o.starts_with('.')).map(str::to_owned),
            basename: join(&|p: &Part| p.is(kind::BASENAME)).filter(|_| !ambiguous),
            finetune,
            version,
            size_label,
        }
    }
}

fn annotate(i: usize, text: &str, total_params: u64) -> Part {
    let lower = text.to_ascii_lowercase();
    if is_version(&lower) {
        return Part { text: text.to_owned(), kinds: kind::VERSION };
    }
    if is_type(&lower) {
        return Part { text: text.to_uppercase(), kinds: kind::TYPE };
    }
    if i > 0 && is_size(&lower) {
        return size_part(text, total_params);
    }
    let finetune = i > 0 && matches!(lower.as_str(), "chat" | "instruct" | "vision" | "lora");
    Part { text: text.to_owned(), kinds: if finetune { kind::FINETUNE } else { 0 } }
}

/// A size as it will be shown, or a context length that looks like one.
fn size_part(text: &str, total_params: u64) -> Part {
    let mut part: Vec<char> = text.replace('_', ".").chars().collect();
    let digit = |c: Option<&char>| c.is_some_and(char::is_ascii_digit);
    if digit(part.last()) && part.len() >= 2 {
        // 7b1 is 7.1b.
        let (last, unit) = (part[part.len() - 1], part[part.len() - 2]);
        part.truncate(part.len() - 2);
        part.extend(['.', last, unit]);
    }
    if part.len() > 1 && digit(part.get(part.len() - 2)) {
        let at = part.len() - 1;
        if matches!(part[at], 'k' | 'm' | 'b' | 't') {
            part[at] = part[at].to_ascii_uppercase();
        }
    }
    let mut kinds = kind::SIZE;
    let (number, unit) = part.split_at(part.len().saturating_sub(1));
    let number: Option<f64> = number.iter().collect::<String>().parse().ok();
    if let (Some(number), [unit], true) = (number, unit, total_params > 0) {
        let power = " KMBT".find(*unit).map_or(-1, |at| at as i32);
        let label = number * 1000f64.powi(power);
        let total = total_params as f64;
        if (label - total).abs() > (7.0 * total / 8.0).floor() {
            kinds = kind::FINETUNE;
            if let Some(last) = part.last_mut() {
                *last = last.to_ascii_lowercase();
            }
        }
    }
    Part { text: part.into_iter().collect(), kinds }
}

/// Where a number tells the size, words like `small` do not.
fn drop_word_sizes(parts: &mut [Part]) {
    if parts.iter().any(|p| p.is(kind::SIZE) && p.text.chars().any(|c| c.is_ascii_digit())) {
        for part in parts.iter_mut() {
            if part.is(kind::SIZE) && part.text.chars().all(char::is_alphabetic) {
                part.kinds &= !kind::SIZE;
            }
        }
    }
}

/// The basename is the unmarked start of the name; everything unmarked after it is a finetune.
fn find_basename(parts: &mut [Part]) {
    let mut at_start = true;
    for part in parts.iter_mut() {
        let unmarked = part.kinds == 0;
        if at_start && ((unmarked && part.text.starts_with(char::is_alphabetic)) || part.is(kind::VERSION)) {
            part.kinds |= kind::BASENAME;
        } else {
            at_start = false;
            if unmarked {
                part.kinds = kind::FINETUNE;
            }
        }
    }
    // A version at the end of the basename is a version after all.
    for part in parts.iter_mut().rev() {
        if part.is(kind::BASENAME) && part.kinds.count_ones() > 1 {
            part.kinds &= !kind::BASENAME;
        } else {
            break;
        }
    }
}

/// Digits at the start of a text: the rest behind at least one of them.
fn digits(text: &str) -> Option<&str> {
    let rest = text.trim_start_matches(|c: char| c.is_ascii_digit());
    (rest.len() < text.len()).then_some(rest)
}

/// `(v|iter)?\d+([.]\d+)*`
fn is_version(text: &str) -> bool {
    is_dotted_number(text.strip_prefix("iter").or_else(|| text.strip_prefix('v')).unwrap_or(text))
}

/// `\d+([.]\d+)*`
fn is_dotted_number(text: &str) -> bool {
    let Some(mut rest) = digits(text) else { return false };
    while let Some(next) = rest.strip_prefix('.').and_then(digits) {
        rest = next;
    }
    rest.is_empty()
}

/// `i?q\d(_\w)*|b?fp?(16|32)`
fn is_type(text: &str) -> bool {
    if let Some(rest) = text.strip_prefix('i').unwrap_or(text).strip_prefix('q') {
        let mut chars = rest.chars();
        if chars.next().is_some_and(|c| c.is_ascii_digit()) {
            let rest: Vec<char> = chars.collect();
            let word = |c: char| c.is_alphanumeric() || c == '_';
            return rest.chunks(2).all(|pair| matches!(pair, ['_', c] if word(*c)));
        }
    }
    let float = text.strip_prefix('b').unwrap_or(text).strip_prefix('f');
    float.is_some_and(|rest| matches!(rest.strip_prefix('p').unwrap_or(rest), "16" | "32"))
}

/// `([a]|\d+[x])?\d+([._]\d+)?[kmbt]\d?` or a word for a size
fn is_size(text: &str) -> bool {
    if matches!(text, "small" | "mini" | "medium" | "large" | "xl" | "xxl") {
        return true;
    }
    let after_times = digits(text).and_then(|rest| rest.strip_prefix('x'));
    [Some(text), text.strip_prefix('a'), after_times].into_iter().flatten().any(is_number_with_unit)
}

fn is_number_with_unit(text: &str) -> bool {
    let Some(rest) = digits(text) else { return false };
    let rest = rest.strip_prefix(['.', '_']).map_or(Some(rest), digits);
    let Some(unit) = rest.and_then(|r| r.strip_prefix(['k', 'm', 'b', 't'])) else { return false };
    unit.is_empty() || (unit.len() == 1 && digits(unit).is_some())
}

/// A name for people: words in lower case get a capital, versions and sizes stay.
pub(super) fn title(id: &str) -> String {
    let words = id.trim().replace('-', " ");
    let titled = words.split_whitespace().map(|word| {
        let cased = word.chars().any(char::is_alphabetic) && !word.chars().any(char::is_uppercase);
        let version =
            word.strip_prefix('v').is_some_and(is_dotted_number) || word.starts_with(|c: char| c.is_ascii_digit());
        if cased && !version { capitalize(word) } else { word.to_owned() }
    });
    titled.collect::<Vec<_>>().join(" ")
}

/// A capital after everything that is no letter, as Python's `str.title`.
fn capitalize(word: &str) -> String {
    let mut out = String::with_capacity(word.len());
    let mut inside = false;
    for c in word.chars() {
        if inside {
            out.push(c);
        } else {
            out.extend(c.to_uppercase());
        }
        inside = c.is_alphabetic();
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Name, parameters, and what llama.cpp's converter makes of them.
    type Case = (&'static str, u64, [Option<&'static str>; 6]);

    #[test]
    fn names_fall_apart_as_in_llama_cpp() {
        for (id, params, expected) in CASES {
            let got = ModelId::parse(id, *params);
            let parts =
                [&got.full_name, &got.organization, &got.basename, &got.finetune, &got.version, &got.size_label];
            assert_eq!(parts.map(Option::as_deref), *expected, "{id}");
        }
    }

    #[test]
    fn titles_are_those_of_llama_cpp() {
        for (id, expected) in TITLES {
            assert_eq!(title(id), *expected);
        }
    }

    // Made with gguf-py of llama.cpp, mid 2026.
    const CASES: &[Case] = &[
        (
            "meta-llama/Llama-3.2-1B-Instruct",
            1_235_814_400,
            [Some("Llama-3.2-1B-Instruct"), Some("meta-llama"), Some("Llama-3.2"), Some("Instruct"), None, Some("1B")],
        ),
        (
            "Mistral-7B-v0.3",
            7_248_023_552,
            [Some("Mistral-7B-v0.3"), None, Some("Mistral"), None, Some("v0.3"), Some("7B")],
        ),
        (
            "Mistral-7B-v0.3",
            1_500_000,
            [Some("Mistral-7B-v0.3"), None, Some("Mistral"), Some("7b"), Some("v0.3"), None],
        ),
        (
            "Qwen2.5-0.5B-Instruct",
            494_032_768,
            [Some("Qwen2.5-0.5B-Instruct"), None, Some("Qwen2.5"), Some("Instruct"), None, Some("0.5B")],
        ),
        (
            "Mixtral-8x7B-Instruct-v0.1",
            46_700_000_000,
            [Some("Mixtral-8x7B-Instruct-v0.1"), None, Some("Mixtral"), Some("Instruct"), Some("v0.1"), Some("8x7B")],
        ),
        ("bloom-7b1", 7_069_016_064, [Some("bloom-7b1"), None, Some("bloom"), None, None, Some("7.1B")]),
        (
            "Phi-3-mini-4k-instruct",
            3_821_079_552,
            [Some("Phi-3-mini-4k-instruct"), None, Some("Phi-3"), Some("4k-instruct"), None, Some("mini")],
        ),
        ("Qwen3-30B-A3B", 30_000_000_000, [Some("Qwen3-30B-A3B"), None, Some("Qwen3"), None, None, Some("30B-A3B")]),
        ("model", 100, [Some("model"), None, None, None, None, None]),
        ("my-model", 100, [Some("my-model"), None, None, None, None, None]),
        ("./local-7B", 7_000_000_000, [Some("local-7B"), None, Some("local"), None, None, Some("7B")]),
        ("tiny random", 5, [Some("tiny random"), None, None, None, None, None]),
        (
            "SmolLM2-135M-Instruct-Q4_K_M",
            134_515_008,
            [Some("SmolLM2-135M-Instruct-Q4_K_M"), None, Some("SmolLM2"), Some("Instruct"), None, Some("135M")],
        ),
        ("TinyLlama_v1.1-bf16", 1_100_048_384, [Some("TinyLlama_v1.1-bf16"), None, None, None, None, None]),
        (
            "openchat-3.5-0106",
            7_000_000_000,
            [Some("openchat-3.5-0106"), None, Some("openchat"), None, Some("3.5-0106"), None],
        ),
        (
            "a--b-iter2-small-7B-7b-chat",
            7_000_000_000,
            [Some("a--b-iter2-small-7B-7b-chat"), None, Some("a-b-iter2-small"), Some("chat"), None, Some("7B")],
        ),
        ("v2-something", 1, [Some("v2-something"), None, None, None, None, None]),
        ("Foo-small", 1_000_000_000, [Some("Foo-small"), None, Some("Foo"), None, None, Some("small")]),
        (
            "Tiny-Llama-3.2-1B-Instruct",
            1_400_000,
            [Some("Tiny-Llama-3.2-1B-Instruct"), None, Some("Tiny-Llama-3.2"), Some("1b-Instruct"), None, None],
        ),
        ("x-1_5b-lora", 1_500_000_000, [Some("x-1_5b-lora"), None, Some("x"), Some("lora"), None, Some("1.5B")]),
        (
            "llama-60M-chat-v1.5",
            60_000_000,
            [Some("llama-60M-chat-v1.5"), None, Some("llama"), Some("chat"), Some("v1.5"), Some("60M")],
        ),
        ("gemma-xxl-IQ3_X", 1, [Some("gemma-xxl-IQ3_X"), None, Some("gemma"), None, None, Some("xxl")]),
        ("Yi-34B-200K", 34_000_000_000, [Some("Yi-34B-200K"), None, Some("Yi"), Some("200k"), None, Some("34B")]),
    ];
    const TITLES: &[(&str, &str)] = &[
        ("Llama-3.2-1B-Instruct", "Llama 3.2 1B Instruct"),
        ("meta-llama", "Meta Llama"),
        ("qwen2.5-7b-instruct", "Qwen2.5 7b Instruct"),
        ("v1.5-chat", "v1.5 Chat"),
        ("open_llama_3b", "Open_Llama_3B"),
        ("  two-words ", "Two Words"),
        ("a-v2b", "A V2B"),
        ("7b-x", "7b X"),
        ("gpt-4o", "Gpt 4o"),
        ("don't-stop", "Don'T Stop"),
    ];
}
