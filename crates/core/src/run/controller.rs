//! What a run knows of itself after each round, and who decides whether it goes on.
//!
//! Statistics come after this stage, so they are no business of the runner: it hands on what was measured and is told
//! whether to go on.

use std::time::Duration;
use tokometer_protocol::Generated;

/// Decides after each round whether there is another one.
pub trait Controller {
    /// Hears what was measured so far. Called after every whole round.
    fn after_round(&mut self, so_far: &Rounds) -> Next;

    /// Rounds in all as far as can be said before the first; restarts are spread over them.
    fn expected_rounds(&self) -> Option<u32> {
        None
    }

    /// The round after which it certainly stops, where there is one.
    fn most_rounds(&self) -> Option<u32> {
        None
    }

    /// How far it is, in a few words for the progress line.
    fn status(&self) -> Option<String> {
        None
    }
}

/// What is to be done after a round.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Next {
    /// The run is over.
    Stop {
        /// Why, in words; goes into the record.
        reason: String,
    },
    /// Another round.
    Continue {
        /// Rounds in all as expected now; restarts are spread over them and the ETA counts with them.
        expected_rounds: Option<u32>,
    },
}

/// All that was measured so far.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Rounds {
    /// Whole rounds.
    pub done: u32,
    /// The cases, in the order of the jobs.
    pub cases: Vec<CaseRounds>,
    /// How long each whole round took.
    pub took: Vec<Duration>,
    /// Time since the first round began.
    pub elapsed: Duration,
}

/// One case of [`Rounds`].
#[derive(Debug, Clone, Default, PartialEq)]
pub struct CaseRounds {
    /// `llamacpp nf4 (Q4_K_M)`.
    pub title: String,
    /// Hash of the case, its worker and its environment, as in the column `case`.
    pub hash: String,
    /// Its visits, in the order of the rounds. A round in which the engine could not be started has one without
    /// repetitions.
    pub visits: Vec<Visit>,
    /// Whether it failed in a way that makes further rounds useless.
    pub given_up: bool,
}

/// What one round measured of a case.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Visit {
    /// The round, from 1.
    pub round: u32,
    /// The launch (start of the engine's process) that it was part of, from 1.
    pub launch: u32,
    /// The repetitions, in order.
    pub repetitions: Vec<Measured>,
    /// Whether all repetitions were measured.
    pub complete: bool,
}

/// The figures of one repetition.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Measured {
    /// Time per output token, ms: (t_last - t_first) / (n - 1).
    pub tpot_ms: f64,
    /// Time to the first token, ms.
    pub ttft_ms: f64,
    /// From the request to the last token, ms.
    pub e2e_ms: f64,
}

impl Measured {
    /// `None` for fewer than two tokens.
    pub fn of(generated: &Generated) -> Option<Measured> {
        let times = &generated.done_ns;
        let (first, last) = (*times.first()?, *times.last()?);
        let (tokens, ns) = generated.decode();
        if tokens == 0 {
            return None;
        }
        Some(Measured {
            tpot_ms: ns as f64 / tokens as f64 / 1e6,
            ttft_ms: first as f64 / 1e6,
            e2e_ms: last as f64 / 1e6,
        })
    }

    /// Decode speed, tokens/s.
    pub fn decode_tok_s(&self) -> f64 {
        1000.0 / self.tpot_ms
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_of_a_repetition() {
        let generated = Generated { done_ns: vec![10_000_000, 12_000_000, 16_000_000], ..Generated::default() };
        let measured = Measured::of(&generated).unwrap();
        assert_eq!(measured, Measured { tpot_ms: 3.0, ttft_ms: 10.0, e2e_ms: 16.0 });
        assert_eq!(Measured::of(&Generated { done_ns: vec![5], ..Generated::default() }), None);
    }
}
