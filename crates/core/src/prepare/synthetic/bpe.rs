//! Learns byte-pair merges from counted words (Sennrich, Haddow and Birch, "Neural machine translation of rare words
//! with subword units", 2016). How text becomes words, and what a tokenizer has besides merges, is the business of
//! `tokenizer`.
//!
//! The tokenizers crate has a trainer too, and on the text that the project ships it learns the same tokens. But its
//! queue can hold a pair twice, and which of two equal entries goes first follows the order of a hash map and the
//! version of the crate. A synthetic checkpoint is named by geometry and seed alone, so its tokens must never change:
//! here ties go to the pair with the smaller ids, and nothing is ordered by a hash.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

/// Two neighbouring tokens, by id.
type Pair = (u32, u32);

/// Tokens and merges in the order in which they were learnt: the first ones alone are a smaller vocabulary.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Learnt {
    /// The token of each id; the alphabet first.
    pub tokens: Vec<String>,
    /// What is merged, and the id of the result. Two merges may have the same result.
    pub merges: Vec<(Pair, u32)>,
}

/// Merges the most frequent pair until none occurs twice. Characters that are not in `alphabet` are left out.
pub(super) fn learn(words: &BTreeMap<String, u64>, alphabet: &BTreeSet<char>) -> Learnt {
    let mut learnt = Learnt { tokens: alphabet.iter().map(char::to_string).collect(), merges: Vec::new() };
    let mut ids: BTreeMap<String, u32> = learnt.tokens.iter().cloned().zip(0..).collect();
    let mut state = State::new(words, &ids);
    while let Some(&(count, Reverse(pair))) = state.queue.last() {
        if count < 2 {
            break;
        }
        let text = format!("{}{}", learnt.tokens[pair.0 as usize], learnt.tokens[pair.1 as usize]);
        let id = *ids.entry(text).or_insert_with_key(|text| {
            learnt.tokens.push(text.clone());
            learnt.tokens.len() as u32 - 1
        });
        learnt.merges.push((pair, id));
        state.merge(pair, id);
    }
    learnt
}

/// A distinct word: its tokens so far, and how often it occurs.
struct Word {
    tokens: Vec<u32>,
    count: u64,
}

/// The words, and what must be known about their pairs.
struct State {
    words: Vec<Word>,
    counts: BTreeMap<Pair, u64>,
    /// Words that hold a pair, or once did.
    places: BTreeMap<Pair, BTreeSet<usize>>,
    /// Pairs by count; the last one is next.
    queue: BTreeSet<(u64, Reverse<Pair>)>,
}

impl State {
    fn new(words: &BTreeMap<String, u64>, ids: &BTreeMap<String, u32>) -> Self {
        let split = |word: &str| word.chars().filter_map(|c| ids.get(&*c.encode_utf8(&mut [0; 4])).copied()).collect();
        let words = words.iter().map(|(word, &count)| Word { tokens: split(word), count }).collect();
        let mut state = Self { words, counts: BTreeMap::new(), places: BTreeMap::new(), queue: BTreeSet::new() };
        for index in 0..state.words.len() {
            state.count(index, true);
        }
        state
    }

    /// Replaces `pair` by `id` wherever it occurs.
    fn merge(&mut self, pair: Pair, id: u32) {
        for index in self.places.remove(&pair).unwrap_or_default() {
            self.count(index, false);
            join(&mut self.words[index].tokens, pair, id);
            self.count(index, true);
        }
    }

    /// Adds or takes away the pairs of one word.
    fn count(&mut self, index: usize, add: bool) {
        let Word { tokens, count } = &self.words[index];
        for two in tokens.windows(2) {
            let pair = (two[0], two[1]);
            let old = self.counts.get(&pair).copied().unwrap_or(0);
            let new = if add { old + count } else { old.saturating_sub(*count) };
            self.queue.remove(&(old, Reverse(pair)));
            if new == 0 {
                self.counts.remove(&pair);
            } else {
                self.counts.insert(pair, new);
                self.queue.insert((new, Reverse(pair)));
            }
            if add {
                self.places.entry(pair).or_default().insert(index);
            }
        }
    }
}

/// Replaces `pair` by `id` from left to right.
fn join(tokens: &mut Vec<u32>, pair: Pair, id: u32) {
    let mut kept = 0;
    let mut at = 0;
    while at < tokens.len() {
        let found = tokens[at] == pair.0 && tokens.get(at + 1) == Some(&pair.1);
        tokens[kept] = if found { id } else { tokens[at] };
        kept += 1;
        at += 1 + usize::from(found);
    }
    tokens.truncate(kept);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn learn_from(words: &[(&str, u64)]) -> Learnt {
        let words: BTreeMap<_, _> = words.iter().map(|&(w, n)| (w.to_owned(), n)).collect();
        learn(&words, &words.keys().flat_map(|w| w.chars()).collect())
    }

    fn merged(learnt: &Learnt) -> Vec<&str> {
        learnt.merges.iter().map(|&(_, id)| learnt.tokens[id as usize].as_str()).collect()
    }

    #[test]
    fn the_most_frequent_pair_goes_first_and_single_pairs_are_left() {
        // he: 4 (the, then), th: 4; the tie goes to "he", whose first letter has the smaller id.
        let learnt = learn_from(&[("the", 3), ("then", 1), ("sea", 1)]);
        assert_eq!(merged(&learnt), ["he", "the"]);
        assert_eq!(learnt.tokens[..6].concat(), "aehnst");
    }

    #[test]
    fn repeated_letters_do_not_overlap() {
        let mut tokens = vec![1, 1, 1, 2, 1, 1];
        join(&mut tokens, (1, 1), 9);
        assert_eq!(tokens, [9, 1, 2, 9]);
        assert_eq!(merged(&learn_from(&[("aaaa", 2)])), ["aa", "aaaa"]);
    }

    #[test]
    fn no_text_has_two_ids_and_counts_stay_right() {
        let learnt = learn_from(&[("abab", 5), ("babb", 3), ("aabba", 4), ("bbb", 2), ("abba", 1)]);
        let distinct: BTreeSet<_> = learnt.tokens.iter().collect();
        assert_eq!(distinct.len(), learnt.tokens.len());
        // ab: 10 + 3 + 4 + 1 = 18 beats ba: 5 + 3 + 4 + 1 = 13 and bb: 3 + 4 + 4 + 1 = 12.
        assert_eq!(merged(&learnt)[0], "ab");
        for &((a, b), id) in &learnt.merges {
            let joined = format!("{}{}", learnt.tokens[a as usize], learnt.tokens[b as usize]);
            assert_eq!(joined, learnt.tokens[id as usize]);
        }
    }

    #[test]
    fn characters_outside_the_alphabet_are_left_out() {
        let words = BTreeMap::from([("a\u{e9}b".to_owned(), 3)]);
        let learnt = learn(&words, &BTreeSet::from(['a', 'b']));
        assert_eq!(merged(&learnt), ["ab"]);
    }
}
