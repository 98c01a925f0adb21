//! The tokenizer of the synthetic checkpoints: byte-level BPE over the text that the project ships, cut into words as
//! Llama 3 does, with Llama 3's names for the special tokens. Learning the merges is the business of `bpe`, writing
//! files that of `files`.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;

use tokenizers::models::bpe::{BPE, Vocab};
use tokenizers::pre_tokenizers::byte_level::ByteLevel;
use tokenizers::pre_tokenizers::sequence::Sequence;
use tokenizers::pre_tokenizers::split::{Split, SplitPattern};
use tokenizers::processors::template::TemplateProcessing;
use tokenizers::{
    AddedToken, OffsetReferential, OffsetType, PreTokenizedString, PreTokenizer, SplitDelimiterBehavior, Tokenizer,
};

use super::bpe::{self, Learnt};
use super::{Error, Result};

/// What the tokenizer is trained on.
const PROSE: &str = include_str!("../../../data/prose.txt");
/// How Llama 3 cuts text into words (the `Split` pattern in the `tokenizer.json` of its models): contractions,
/// letters with one character before them, up to three digits, other signs, blanks.
const WORDS: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";

/// Begins every sequence.
pub(super) const BOS: &str = "<|begin_of_text|>";
/// Ends a text.
pub(super) const END_OF_TEXT: &str = "<|end_of_text|>";
/// Ends a turn of a conversation.
pub(super) const END_OF_TURN: &str = "<|eot_id|>";
/// The special tokens, in the order of their ids, which follow the last learnt token's.
pub(super) const SPECIAL: [&str; 5] = [BOS, END_OF_TEXT, "<|start_header_id|>", "<|end_header_id|>", END_OF_TURN];

/// Merges of the whole text, learnt once per process.
static LEARNT: LazyLock<std::result::Result<Learnt, String>> = LazyLock::new(|| {
    let words = word_counts(&pre_tokenizer().map_err(|e| e.to_string())?).map_err(|e| e.to_string())?;
    let alphabet: BTreeSet<char> = ByteLevel::alphabet().into_iter().collect();
    Ok(bpe::learn(&words, &alphabet))
});

/// A tokenizer, and what else must be known to describe it.
pub(super) struct Built {
    /// Ready to be used.
    pub tokenizer: Tokenizer,
    /// How many tokens were learnt; ids from here on are special, then unused.
    pub learnt: usize,
}

impl Built {
    /// The content of `tokenizer.json`.
    pub fn json(&self) -> Result<String> {
        self.tokenizer.to_string(true).map_err(broken)
    }

    /// The special tokens with their ids.
    pub fn specials(&self) -> impl Iterator<Item = (&'static str, usize)> + use<> {
        SPECIAL.into_iter().zip(self.learnt..)
    }

    /// The id of a special token.
    pub fn special(&self, name: &str) -> usize {
        self.learnt + SPECIAL.iter().position(|&s| s == name).unwrap_or(0)
    }
}

/// A tokenizer of at most `vocab` ids; fewer where the text yields no more.
///
/// # Errors
/// [`Error::Tokenizer`] when the tokenizers crate refuses what it is given.
pub(super) fn build(vocab: usize) -> Result<Built> {
    let learnt = LEARNT.as_ref().map_err(|why| broken(why.as_str()))?;
    let tokens = &learnt.tokens[..learnt.tokens.len().min(vocab.saturating_sub(SPECIAL.len()))];
    let merges = learnt.merges.iter().take_while(|(_, id)| (*id as usize) < tokens.len());
    let text = |id: u32| learnt.tokens[id as usize].clone();
    let model = BPE::builder()
        .vocab_and_merges(
            tokens.iter().cloned().zip(0..).collect::<Vocab>(),
            merges.map(|&((a, b), _)| (text(a), text(b))).collect(),
        )
        .ignore_merges(true)
        .build()
        .map_err(broken)?;
    let mut tokenizer = Tokenizer::new(model);
    tokenizer.with_pre_tokenizer(Some(pre_tokenizer().map_err(broken)?)).with_decoder(Some(ByteLevel::default()));
    tokenizer.add_special_tokens(SPECIAL.map(|name| AddedToken::from(name, true))).map_err(broken)?;
    let built = Built { learnt: tokens.len(), tokenizer };
    for (name, id) in built.specials() {
        let got = built.tokenizer.token_to_id(name);
        if got != u32::try_from(id).ok() {
            return Err(broken(format!("{name} has the id {got:?} instead of {id}")));
        }
    }
    with_bos(built)
}

/// Makes every encoded text begin with [`BOS`].
fn with_bos(mut built: Built) -> Result<Built> {
    let id = u32::try_from(built.special(BOS)).map_err(|e| broken(e.to_string()))?;
    let template = TemplateProcessing::builder()
        .try_single(format!("{BOS} $A").as_str())
        .and_then(|b| b.try_pair(format!("{BOS} $A {BOS}:1 $B:1").as_str()))
        .map_err(broken)?
        .special_tokens(vec![(BOS, id)])
        .build()
        .map_err(|e| broken(e.to_string()))?;
    built.tokenizer.with_post_processor(Some(template));
    Ok(built)
}

/// Words as in Llama 3, then bytes as printable characters.
fn pre_tokenizer() -> tokenizers::Result<Sequence> {
    let split = Split::new(SplitPattern::Regex(WORDS.to_owned()), SplitDelimiterBehavior::Isolated, false)?;
    Ok(Sequence::new(vec![split.into(), ByteLevel::new(false, true, false).into()]))
}

/// How often each word occurs in the text.
fn word_counts(pre_tokenizer: &Sequence) -> tokenizers::Result<BTreeMap<String, u64>> {
    let mut counts = BTreeMap::new();
    for paragraph in PROSE.split_inclusive("\n\n") {
        let mut text = PreTokenizedString::from(paragraph);
        pre_tokenizer.pre_tokenize(&mut text)?;
        for (word, _, _) in text.get_splits(OffsetReferential::Original, OffsetType::Byte) {
            *counts.entry(word.to_owned()).or_default() += 1;
        }
    }
    Ok(counts)
}

/// The crate's errors have no type of their own.
fn broken(why: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Error {
    Error::Tokenizer { why: why.into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sentence_with_accents_comes_back_and_starts_with_bos() {
        let built = build(2048).unwrap();
        let text = "Das Café am Fluß öffnet um 7:45; ¿quién trae el pan? It's 20 °C — naïve 日本 🙂\n\n  ok";
        let ids = built.tokenizer.encode(text, true).unwrap().get_ids().to_vec();
        assert_eq!(ids[0] as usize, built.special(BOS));
        assert_eq!(ids.iter().filter(|&&id| id == ids[0]).count(), 1);
        assert_eq!(built.tokenizer.decode(&ids, true).unwrap(), text);
        assert!(ids.iter().all(|&id| id < 2048));
    }

    #[test]
    fn small_vocabularies_are_full_and_large_ones_end_with_the_text() {
        let tiny = build(2048).unwrap();
        assert_eq!((tiny.learnt, tiny.special(END_OF_TURN)), (2043, 2047));
        let large = build(128_256).unwrap();
        assert!((2043..32_000).contains(&large.learnt), "{}", large.learnt);
        assert_eq!(large.learnt, LEARNT.as_ref().unwrap().tokens.len());
        // The smaller vocabulary is a prefix of the larger one.
        assert_eq!(tiny.tokenizer.id_to_token(2042), large.tokenizer.id_to_token(2042));
    }

    #[test]
    fn the_file_is_the_same_each_time_and_loads_to_the_same_tokenizer() {
        let built = build(2048).unwrap();
        let json = built.json().unwrap();
        assert_eq!(json, build(2048).unwrap().json().unwrap());
        let again =
            bpe::learn(&word_counts(&pre_tokenizer().unwrap()).unwrap(), &ByteLevel::alphabet().into_iter().collect());
        assert_eq!(&again, LEARNT.as_ref().unwrap());
        let loaded = Tokenizer::from_bytes(json.as_bytes()).unwrap();
        let encode =
            |t: &Tokenizer| t.encode("The harbour clock struck 12345 times.", true).unwrap().get_ids().to_vec();
        assert_eq!(encode(&loaded), encode(&built.tokenizer));
        let special = loaded.encode("<|start_header_id|>user<|end_header_id|>", false).unwrap().get_ids().to_vec();
        assert_eq!((special[0] as usize, special.len() >= 3), (built.special("<|start_header_id|>"), true));
    }

    #[test]
    fn common_words_of_the_text_are_single_tokens() {
        let built = build(2048).unwrap();
        let ids = built.tokenizer.encode(" the water", false).unwrap().get_ids().to_vec();
        assert_eq!(ids.len(), 2, "{ids:?}");
    }
}
