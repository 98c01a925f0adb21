//! The order of the cases in each round, and in which rounds an engine's process is started anew.

use crate::random::Random;

/// The cases of a round, by number, in an order drawn from the seed.
pub(super) fn order(seed: u64, round: u32, cases: usize) -> Vec<usize> {
    let mut order: Vec<usize> = (0..cases).collect();
    Random::named(seed, &format!("round {round}")).shuffle(&mut order);
    order
}

/// How launches are spread over the rounds.
#[derive(Debug, Clone, Copy)]
pub(super) struct Restarts {
    /// Launches of each case in all, as asked for.
    pub launches: u32,
    /// Rounds in all, as far as known. While nobody knows, every round is a launch of its own.
    pub rounds: Option<u32>,
}

impl Restarts {
    /// Whether a worker that was started in an earlier round must be started anew for `round`. The rounds are cut into
    /// `launches` parts that differ by one at most; a process belongs to one part. Where more rounds come than were
    /// expected, further parts follow, none shorter.
    pub fn due(&self, started_in: u32, round: u32) -> bool {
        let Some(rounds) = self.rounds else { return round > started_in };
        let rounds = u64::from(rounds.max(round));
        let part = |round: u32| u64::from(round.saturating_sub(1)) * u64::from(self.launches) / rounds;
        part(round) > part(started_in)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Rounds in which a case is started.
    fn starts(restarts: Restarts, rounds: u32) -> Vec<u32> {
        let mut starts = vec![1];
        for round in 2..=rounds {
            if restarts.due(*starts.last().unwrap(), round) {
                starts.push(round);
            }
        }
        starts
    }

    #[test]
    fn launches_are_spread_evenly() {
        let of = |launches, rounds| starts(Restarts { launches, rounds: Some(rounds) }, rounds);
        assert_eq!(of(3, 3), [1, 2, 3]);
        assert_eq!(of(2, 4), [1, 3]);
        assert_eq!(of(1, 5), [1]);
        for (launches, rounds) in [(3, 7), (4, 9), (3, 100), (7, 8), (1, 1)] {
            let starts = of(launches, rounds);
            assert_eq!(starts.len(), launches as usize, "{launches} in {rounds}: {starts:?}");
            let ends = starts.iter().skip(1).copied().chain([rounds + 1]);
            let lengths: Vec<u32> = starts.iter().zip(ends).map(|(start, end)| end - start).collect();
            assert!(lengths.iter().max().unwrap() - lengths.iter().min().unwrap() <= 1, "{lengths:?}");
        }
    }

    #[test]
    fn while_nobody_knows_every_round_is_a_launch() {
        assert_eq!(starts(Restarts { launches: 3, rounds: None }, 4), [1, 2, 3, 4]);
    }

    #[test]
    fn more_rounds_than_expected_do_not_start_a_process_each() {
        let starts = starts(Restarts { launches: 3, rounds: Some(9) }, 18);
        assert_eq!(starts[..3], [1, 4, 7]);
        assert!(starts.len() <= 6, "{starts:?}");
    }

    #[test]
    fn the_order_is_drawn_from_seed_and_round() {
        assert_eq!(order(42, 1, 6), order(42, 1, 6));
        let orders: Vec<_> = (1..=5).map(|round| order(42, round, 6)).collect();
        assert!(orders.iter().any(|other| *other != orders[0]));
        assert_ne!(order(42, 1, 6), order(43, 1, 6));
    }
}
