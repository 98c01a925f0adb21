//! The text of a growing sequence of tokens, in whole characters.

use super::Model;

/// Takes tokens one by one and gives the text that each adds; an unfinished character waits for the token that ends it.
#[derive(Default)]
pub struct Pieces {
    pending: Vec<u8>,
    special: bool,
}

impl Pieces {
    /// With special tokens by their names; by default they are no text.
    pub fn with_special() -> Pieces {
        Pieces { pending: Vec::new(), special: true }
    }

    /// The text that this token adds.
    pub fn push(&mut self, model: &Model, token: u32) -> String {
        self.pending.extend_from_slice(&model.piece_bytes(token, self.special));
        take_complete(&mut self.pending)
    }

    /// What was held back and never ended.
    pub fn rest(&mut self) -> String {
        String::from_utf8_lossy(&std::mem::take(&mut self.pending)).into_owned()
    }
}

/// Takes all but an unfinished UTF-8 character at the end; bytes that can never be text become U+FFFD.
fn take_complete(pending: &mut Vec<u8>) -> String {
    let keep = match std::str::from_utf8(pending) {
        Ok(_) => 0,
        Err(error) if error.error_len().is_none() => pending.len() - error.valid_up_to(),
        Err(_) => {
            let tail = pending.len().min(3);
            (1..=tail)
                .find(|n| matches!(std::str::from_utf8(&pending[pending.len() - n..]), Err(e) if e.valid_up_to() == 0 && e.error_len().is_none()))
                .unwrap_or(0)
        }
    };
    let rest = pending.split_off(pending.len() - keep);
    let complete = std::mem::replace(pending, rest);
    String::from_utf8_lossy(&complete).into_owned()
}

#[cfg(test)]
mod tests {
    use super::take_complete;

    #[test]
    fn a_character_split_over_tokens_is_given_to_the_last() {
        let euro = "€".as_bytes();
        let mut pending = euro[..2].to_vec();
        assert_eq!(take_complete(&mut pending), "");
        pending.extend_from_slice(&euro[2..]);
        assert_eq!(take_complete(&mut pending), "€");
        assert!(pending.is_empty());
    }

    #[test]
    fn bytes_that_are_never_text_do_not_block_what_follows() {
        let mut pending = vec![0xff, b'a', 0xe2];
        assert_eq!(take_complete(&mut pending), "\u{fffd}a");
        assert_eq!(pending, [0xe2]);
    }
}
