//! Several completions at once: in each step every one of them computes its next token, and what the batch has room for beside
//! these is filled with the prompts of those that have just come.
//!
//! Who may begin is the caller's business; it asks for step after step as long as somebody is here.

use crate::complete::{Generation, Next};
use crate::llama::{Batch, Context, Result};
use crate::measure::ids;
use tokometer_protocol::{Complete, Completed, Failure, Finish, Streamed};

/// What comes of a completion in a step.
pub enum Said {
    /// A token.
    Token(Streamed),
    /// Its end.
    Ended(std::result::Result<Completed, Failure>),
}

/// The sequences of a context and the completions in them.
pub struct Together {
    /// By the number of the sequence.
    seats: Vec<Option<Running>>,
    batch: Batch,
}

struct Running {
    /// The call.
    id: u64,
    generation: Generation,
    state: State,
}

enum State {
    /// So many tokens of the prompt are computed.
    Prompt(usize),
    /// The next token is to be computed.
    Decode(i32),
}

impl Together {
    /// Nobody yet.
    pub fn new(context: &Context) -> Together {
        let seats = (0..context.sequences()).map(|_| None).collect();
        Together { seats, batch: Batch::new(context.batch() as usize) }
    }

    /// Whether nobody is here.
    pub fn is_empty(&self) -> bool {
        self.seats.iter().all(Option::is_none)
    }

    /// Whether there is room for one more.
    pub fn has_room(&self) -> bool {
        self.seats.iter().any(Option::is_none)
    }

    /// Begins a completion; its sequence is forgotten first.
    ///
    /// # Errors
    /// It is refused, or there is no room.
    pub fn begin(&mut self, context: &mut Context, id: u64, request: &Complete) -> Result<()> {
        let generation = Generation::new(context, request)?;
        let Some(seat) = self.seats.iter().position(Option::is_none) else { return Err(no_room(self.seats.len())) };
        context.forget(seat);
        self.seats[seat] = Some(Running { id, generation, state: State::Prompt(0) });
        Ok(())
    }

    /// Computes one batch and tells what comes of it; `is_cancelled` ends a call before its next token. What fails, fails for
    /// all that were computed.
    pub fn step(&mut self, context: &mut Context, is_cancelled: impl Fn(u64) -> bool, mut tell: impl FnMut(u64, Said)) {
        for seat in &mut self.seats {
            if let Some(running) = seat.as_mut().filter(|running| is_cancelled(running.id)) {
                tell(running.id, Said::Ended(Ok(running.generation.end(Finish::Cancelled))));
                *seat = None;
            }
        }
        let computed = self.fill(context).and_then(|places| match self.batch.is_empty() {
            true => Ok(places),
            false => context.decode_batch(&self.batch).map(|()| places),
        });
        let places = match computed {
            Ok(places) => places,
            Err(failure) => {
                for running in self.seats.iter_mut().filter_map(Option::take) {
                    tell(running.id, Said::Ended(Err(failure.clone())));
                }
                return;
            }
        };
        for (seat, place) in places {
            let Some(running) = &mut self.seats[seat] else { continue };
            let id = running.id;
            let next = running.generation.take(context, place, &mut |token| tell(id, Said::Token(token)));
            match next {
                Ok(Next::Feed(token)) => running.state = State::Decode(token),
                Ok(Next::Ended(completed)) => {
                    tell(id, Said::Ended(Ok(completed)));
                    self.seats[seat] = None;
                }
                Err(failure) => {
                    tell(id, Said::Ended(Err(failure)));
                    self.seats[seat] = None;
                }
            }
        }
    }

    /// Fills the batch, and returns which sequences have logits at which place of it.
    fn fill(&mut self, context: &Context) -> Result<Vec<(usize, i32)>> {
        let mut places = Vec::with_capacity(self.seats.len());
        self.batch.clear();
        for (seat, running) in self.seats.iter().enumerate() {
            let Some(Running { generation, state: State::Decode(token), .. }) = running else { continue };
            places.push((seat, self.batch.push(*token, generation.position(), seat, true)?));
        }
        // Who waits for the next token waits for one physical batch of prompts at most.
        let mut room = match self.batch.is_empty() {
            true => self.batch.room(),
            false => self.batch.room().min(context.ubatch() as usize),
        };
        for (seat, running) in self.seats.iter_mut().enumerate() {
            let Some(Running { generation, state: State::Prompt(computed), .. }) = running else { continue };
            let prompt = generation.prompt();
            let begin = *computed;
            let end = prompt.len().min(begin + room);
            for (place, token) in ids(&prompt[begin..end]).into_iter().enumerate() {
                let position = begin + place;
                let is_last = position + 1 == prompt.len();
                let place = self.batch.push(token, position, seat, is_last)?;
                if is_last {
                    places.push((seat, place));
                }
            }
            room -= end - begin;
            *computed = end;
        }
        Ok(places)
    }
}

fn no_room(sequences: usize) -> Failure {
    let message =
        format!("{sequences} completions run already, more at once were not asked for when the model was loaded");
    Failure { kind: tokometer_protocol::FailureKind::Protocol, message }
}
