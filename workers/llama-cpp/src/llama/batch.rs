//! Tokens of one or several sequences that are computed together.

use super::{Result, failure};
use llama_cpp_sys_2 as sys;
use tokometer_protocol::FailureKind;

/// A batch with room for a certain number of tokens; freed on drop.
pub struct Batch {
    raw: sys::llama_batch,
    room: usize,
}

impl Batch {
    /// An empty batch with room for `room` tokens, each of one sequence.
    pub fn new(room: usize) -> Batch {
        // SAFETY: allocates; freed on drop.
        Batch { raw: unsafe { sys::llama_batch_init(room as i32, 0, 1) }, room }
    }

    /// Tokens that it holds.
    pub fn len(&self) -> usize {
        self.raw.n_tokens as usize
    }

    /// Whether it holds none.
    pub fn is_empty(&self) -> bool {
        self.raw.n_tokens == 0
    }

    /// Tokens that it still has room for.
    pub fn room(&self) -> usize {
        self.room - self.len()
    }

    /// Takes all tokens out.
    pub fn clear(&mut self) {
        self.raw.n_tokens = 0;
    }

    /// Adds a token of a sequence at its position there, and returns its place in the batch, by which its logits are asked for
    /// if they are kept.
    ///
    /// # Errors
    /// There is no room.
    pub fn push(&mut self, token: i32, position: usize, sequence: usize, logits: bool) -> Result<i32> {
        if self.room() == 0 {
            return Err(failure(FailureKind::Engine, format!("a batch has room for {} tokens only", self.room)));
        }
        let place = self.len();
        // SAFETY: `place` is below the room that was allocated for every field.
        unsafe {
            *self.raw.token.add(place) = token;
            *self.raw.pos.add(place) = position as i32;
            *self.raw.n_seq_id.add(place) = 1;
            **self.raw.seq_id.add(place) = sequence as i32;
            *self.raw.logits.add(place) = i8::from(logits);
        }
        self.raw.n_tokens += 1;
        Ok(place as i32)
    }

    /// For contexts; valid as long as the batch is not changed.
    pub(super) fn raw(&self) -> sys::llama_batch {
        self.raw
    }
}

impl Drop for Batch {
    fn drop(&mut self) {
        // SAFETY: ours alone, allocated by llama_batch_init.
        unsafe { sys::llama_batch_free(self.raw) };
    }
}

#[cfg(test)]
mod tests {
    use super::Batch;

    #[test]
    fn a_batch_takes_what_it_has_room_for() {
        let mut batch = Batch::new(2);
        assert!(batch.is_empty());
        assert_eq!(batch.push(5, 0, 0, false).unwrap(), 0);
        assert_eq!(batch.push(6, 9, 3, true).unwrap(), 1);
        assert_eq!((batch.len(), batch.room()), (2, 0));
        assert!(batch.push(7, 1, 0, true).is_err());
        batch.clear();
        assert_eq!((batch.len(), batch.room()), (0, 2));
    }
}
