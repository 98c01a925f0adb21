//! One word for a ratio, and the rule behind it.
//!
//! The rule looks at one interval. Its level is [`LEVEL`], three standard deviations of a normal distribution, for all
//! comparisons that are read together: with m of them each interval has the level 1 - (1 - LEVEL) / m (Bonferroni; O. Dunn,
//! "Multiple comparisons among means", Journal of the American Statistical Association 56, 1961).
//!
//! - inside 1 / (1 + X) to 1 + X: the same within X (equivalence by an interval: D. Schuirmann, Journal of Pharmacokinetics
//!   and Biopharmaceutics 15, 1987). This comes first: a difference below X is one that the user said not to care for.
//! - beyond 1 on the one or the other side: faster or slower.
//! - otherwise: cannot tell, and `rounds` says how many more rounds would.
//!
//! Why not 95%: of two equal cases one comparison in twenty would be called different. The promise is one in a hundred at
//! most, whatever the noise looks like; at 99.7% one in 330 is left for normal noise, and the rest is room for other noise.
//!
//! Below [`FEW_ROUNDS`] rounds the spread is taken to be at least [`ASSUMED_SPREAD`]. Launches often fall into one of two
//! modes; that three pairs of launches happen to differ the same way has a chance of 1 in 32, and their own spread is then
//! nearly nothing. Five do so in 1 of 512. So three rounds tell a factor of two, but never five per cent.

use super::student::t_critical;
use serde::{Deserialize, Serialize};

/// Level of all intervals together that a word rests on.
pub const LEVEL: f64 = 0.997;
/// Differences up to this share count as none, unless told otherwise.
pub const WITHIN: f64 = 0.02;
/// Rounds from which on their own spread is believed.
pub const FEW_ROUNDS: usize = 5;
/// Standard deviation of the logarithm of one round's ratio that fewer rounds are taken to have at least.
pub const ASSUMED_SPREAD: f64 = 0.03;

/// What is said of one case against another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Faster, established.
    Faster,
    /// Slower, established.
    Slower,
    /// The same within the limit, established.
    Same,
    /// The interval allows more than one of these.
    CannotTell,
    /// A side has a single launch: what launches differ by is only seen with two of them.
    OneLaunch,
    /// Too few samples for an interval.
    NoInterval,
    /// Measured in different runs, while the machine was not as quiet for the one as for the other.
    OtherConditions,
}

impl Verdict {
    /// Whether it is established.
    pub fn established(self) -> bool {
        matches!(self, Verdict::Faster | Verdict::Slower | Verdict::Same)
    }
}

/// The rule with its numbers.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Judge {
    /// Level of all intervals together.
    pub level: f64,
    /// Difference up to which two cases count as the same, as a share.
    pub within: f64,
    /// How many comparisons are read together.
    pub comparisons: usize,
}

impl Default for Judge {
    fn default() -> Judge {
        Judge { level: LEVEL, within: WITHIN, comparisons: 1 }
    }
}

impl Judge {
    /// The usual rule for that many comparisons at once.
    pub fn of(comparisons: usize) -> Judge {
        Judge { comparisons, ..Judge::default() }
    }

    /// The level of one interval.
    pub fn adjusted_level(&self) -> f64 {
        1.0 - (1.0 - self.level) / self.comparisons.max(1) as f64
    }

    /// Student's t at that level.
    pub(super) fn critical(&self, df: u32) -> f64 {
        t_critical(self.adjusted_level(), df)
    }

    /// The verdict on an interval of a ratio; `speed`: above 1 is faster, else it is a ratio of times.
    pub fn verdict(&self, (low, high): (f64, f64), speed: bool) -> Verdict {
        let edge = 1.0 + self.within;
        let (above, below) =
            if speed { (Verdict::Faster, Verdict::Slower) } else { (Verdict::Slower, Verdict::Faster) };
        if self.within > 0.0 && low >= 1.0 / edge && high <= edge {
            Verdict::Same
        } else if low > 1.0 {
            above
        } else if high < 1.0 {
            below
        } else {
            Verdict::CannotTell
        }
    }

    /// Whether an interval lies entirely beyond a slowdown by `limit`: more than (1 + limit) times as long.
    pub fn slower_than(&self, (low, high): (f64, f64), speed: bool, limit: f64) -> bool {
        if speed { high < 1.0 / (1.0 + limit) } else { low > 1.0 + limit }
    }

    /// A verdict in words.
    pub fn words(&self, verdict: Verdict) -> String {
        match verdict {
            Verdict::Faster => "faster".into(),
            Verdict::Slower => "slower".into(),
            Verdict::Same => format!("same within {}", percent(self.within)),
            Verdict::CannotTell => "cannot tell".into(),
            Verdict::OneLaunch => "cannot tell (one launch)".into(),
            Verdict::NoInterval => "no interval".into(),
            Verdict::OtherConditions => "cannot tell (conditions)".into(),
        }
    }

    /// `99.7%`, the level of all intervals together.
    pub fn level_text(&self) -> String {
        percent(self.level)
    }
}

/// A share as a percentage with as many digits as it needs, four at most.
pub(super) fn percent(share: f64) -> String {
    let text = format!("{:.4}", share * 100.0);
    format!("{}%", text.trim_end_matches('0').trim_end_matches('.'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_interval_decides_the_word() {
        let judge = Judge::default();
        let speed = |low, high| judge.verdict((low, high), true);
        assert_eq!(speed(1.001, 1.05), Verdict::Faster);
        assert_eq!(speed(0.9, 0.99), Verdict::Slower);
        assert_eq!(speed(0.99, 1.05), Verdict::CannotTell);
        assert_eq!(speed(0.99, 1.015), Verdict::Same);
        // Established, and too small to care for.
        assert_eq!(speed(1.001, 1.015), Verdict::Same);
        assert_eq!(judge.verdict((1.03, 1.05), false), Verdict::Slower);
        assert_eq!(Judge { within: 0.0, ..judge }.verdict((1.001, 1.015), true), Verdict::Faster);
        assert!(Verdict::Same.established() && !Verdict::OneLaunch.established());
    }

    #[test]
    fn several_comparisons_share_the_level() {
        assert!((Judge::of(10).adjusted_level() - 0.9997).abs() < 1e-12);
        assert_eq!(Judge::of(0).adjusted_level(), LEVEL);
        // Three standard deviations, where the spread is known.
        assert!((Judge::of(1).critical(100_000) - 2.968).abs() < 0.01);
        assert!(Judge::of(10).critical(9) > Judge::of(1).critical(9));
    }

    #[test]
    fn a_regression_lies_beyond_the_limit_as_a_whole() {
        let judge = Judge::default();
        assert!(judge.slower_than((0.90, 0.96), true, 0.03));
        assert!(!judge.slower_than((0.90, 0.98), true, 0.03));
        assert!(judge.slower_than((1.04, 1.08), false, 0.03) && !judge.slower_than((1.02, 1.08), false, 0.03));
    }

    #[test]
    fn words_name_their_limits() {
        let judge = Judge { within: 0.005, ..Judge::default() };
        assert_eq!(judge.words(Verdict::Same), "same within 0.5%");
        assert_eq!((judge.level_text().as_str(), percent(0.03).as_str()), ("99.7%", "3%"));
    }
}
