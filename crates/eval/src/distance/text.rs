//! The text and its chunks of tokens.

use super::{Error, Result};
use std::path::Path;
use tokometer_core::fingerprint;

/// Text that no model of ours was trained on.
const HELD_OUT: &str = include_str!("../../data/held-out.txt");

/// The shortest chunk: fewer tokens leave nothing to score.
const LEAST_CTX: usize = 8;

/// A text to predict.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Text {
    /// Its name, for people.
    pub name: String,
    /// What is made tokens.
    pub content: String,
    /// sha256 of that in hex.
    pub sha256: String,
}

impl Text {
    /// The text that comes with the program.
    pub fn held_out() -> Text {
        Text::new("held-out.txt", HELD_OUT)
    }

    /// A file. As in llama.cpp's programs, one line break at its end is not part of the text.
    ///
    /// # Errors
    /// It cannot be read or is no UTF-8.
    pub fn read(path: &Path) -> Result<Text> {
        let content = std::fs::read_to_string(path).map_err(|why| Error::Text { path: path.to_owned(), why })?;
        Ok(Text::new(&path.file_name().unwrap_or(path.as_os_str()).to_string_lossy(), &content))
    }

    fn new(name: &str, content: &str) -> Text {
        let content = content.strip_suffix('\n').unwrap_or(content);
        Text { name: name.to_owned(), content: content.to_owned(), sha256: fingerprint::of_bytes(content.as_bytes()) }
    }
}

/// A text as chunks of equal length.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chunks {
    /// Tokens of the whole text.
    pub tokens: usize,
    /// Tokens in a chunk.
    pub ctx: usize,
    /// The first token of a chunk whose prediction is scored.
    pub first: usize,
    /// The chunks.
    pub chunks: Vec<Vec<u32>>,
}

impl Chunks {
    /// Cuts `tokens` into chunks of `ctx`, or of half the text where that is shorter; at most `most` of them. With `bos` each
    /// begins with that token.
    ///
    /// # Errors
    /// [`Error::Short`].
    pub(super) fn cut(
        text: &Text,
        tokens: &[u32],
        bos: Option<u32>,
        ctx: usize,
        most: Option<usize>,
    ) -> Result<Chunks> {
        // llama-perplexity asks for two chunks at least.
        let ctx = ctx.min(tokens.len() / 2);
        if ctx < LEAST_CTX {
            return Err(Error::Short { text: text.name.clone(), tokens: tokens.len(), least: 2 * LEAST_CTX });
        }
        let mut chunks: Vec<Vec<u32>> =
            tokens.chunks_exact(ctx).take(most.unwrap_or(usize::MAX)).map(<[u32]>::to_vec).collect();
        if let Some(bos) = bos {
            for chunk in &mut chunks {
                chunk[0] = bos;
            }
        }
        Ok(Chunks { tokens: tokens.len(), ctx, first: ctx / 2, chunks })
    }

    /// Scored positions of each chunk.
    pub fn positions(&self) -> usize {
        self.ctx - 1 - self.first
    }

    /// The tokens that the scored positions of a chunk predict.
    pub(super) fn next<'a>(&self, chunk: &'a [u32]) -> &'a [u32] {
        &chunk[self.first + 1..]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cut(n: u32, bos: Option<u32>, ctx: usize, most: Option<usize>) -> Result<Chunks> {
        Chunks::cut(&Text::new("t", "x"), &(0..n).collect::<Vec<_>>(), bos, ctx, most)
    }

    #[test]
    fn chunks_are_those_of_llama_perplexity() {
        let chunks = cut(1100, Some(9999), 512, None).unwrap();
        assert_eq!((chunks.chunks.len(), chunks.first, chunks.positions(), chunks.tokens), (2, 256, 255, 1100));
        assert_eq!((chunks.chunks[1][0], chunks.chunks[1][1]), (9999, 513));
        let next = chunks.next(&chunks.chunks[1]);
        assert_eq!((next.len(), next[0], next[254]), (255, 512 + 257, 1023));
        assert_eq!(cut(1100, None, 512, None).unwrap().chunks[1][0], 512);
        assert_eq!(cut(5000, None, 512, Some(3)).unwrap().chunks.len(), 3);
    }

    #[test]
    fn a_short_text_makes_short_chunks_and_a_shorter_one_none() {
        let chunks = cut(101, None, 512, None).unwrap();
        assert_eq!((chunks.ctx, chunks.chunks.len(), chunks.positions()), (50, 2, 24));
        assert!(matches!(cut(15, None, 512, None), Err(Error::Short { tokens: 15, least: 16, .. })));
    }

    #[test]
    fn what_is_no_text_is_named_with_what_would_be() {
        let path = std::env::temp_dir().join(format!("tokometer-no-text-{}", std::process::id()));
        std::fs::write(&path, [0xff, 0xfe]).unwrap();
        let told = Text::read(&path).unwrap_err().to_string();
        assert!(told.contains("tokometer-no-text") && told.contains("UTF-8") && told.contains("--text"), "{told}");
        assert!(!told.contains("permissions"), "{told}");
        std::fs::remove_file(path).unwrap();
    }

    #[test]
    fn one_line_break_at_the_end_does_not_count() {
        assert_eq!(Text::new("t", "a\n\n").content, "a\n");
        assert!(Text::held_out().content.len() > 10_000);
    }
}
