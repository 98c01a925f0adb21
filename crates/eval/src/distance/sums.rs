//! What one position says, and the sums over positions from which all means and their errors follow.

use serde::{Deserialize, Serialize};

/// One scored position.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Position {
    /// The token that really follows.
    pub token: u32,
    /// Its negative log-likelihood, nats.
    pub nll: f64,
    /// The same by the base.
    pub nll_base: f64,
    /// Kullback-Leibler divergence of the base's distribution from this one, nats.
    pub kld: f64,
    /// Probability of the token that follows, less that by the base.
    pub delta_p: f64,
    /// Whether both find the same token the most probable.
    pub same_top: bool,
}

/// Sums over positions, as llama-perplexity keeps them (`kl_divergence_result`).
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Sums {
    /// Positions.
    pub count: u64,
    /// Of the negative log-likelihoods.
    pub nll: f64,
    /// Of their squares.
    pub nll2: f64,
    /// Of the base's negative log-likelihoods.
    pub nll_base: f64,
    /// Of their squares.
    pub nll_base2: f64,
    /// Of the products of both.
    pub nll_nll_base: f64,
    /// Of the divergences.
    pub kld: f64,
    /// Of their squares.
    pub kld2: f64,
    /// Of Δp.
    pub delta_p: f64,
    /// Of its squares.
    pub delta_p2: f64,
    /// Of its fourth powers.
    pub delta_p4: f64,
    /// Positions at which the most probable token is the same.
    pub same_top: u64,
}

impl Sums {
    /// Over these positions.
    pub fn of<'a>(positions: impl IntoIterator<Item = &'a Position>) -> Sums {
        let mut sums = Sums::default();
        for p in positions {
            let square = p.delta_p * p.delta_p;
            sums.count += 1;
            sums.nll += p.nll;
            sums.nll2 += p.nll * p.nll;
            sums.nll_base += p.nll_base;
            sums.nll_base2 += p.nll_base * p.nll_base;
            sums.nll_nll_base += p.nll * p.nll_base;
            sums.kld += p.kld;
            sums.kld2 += p.kld * p.kld;
            sums.delta_p += p.delta_p;
            sums.delta_p2 += square;
            sums.delta_p4 += square * square;
            sums.same_top += u64::from(p.same_top);
        }
        sums
    }
}
