//! When a run ends: after so many rounds, when the intervals are narrow enough, or when the time is spent.

use super::{Error, Result};
use serde::{Deserialize, Serialize};

/// The longest budget: a month.
const LONGEST_S: u64 = 31 * 24 * 3600;

/// What ends a run. Whatever comes first does; nothing given ends it never, so `rounds` is filled in by then.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Ends {
    /// Rounds: so many where nothing else ends the run, at most so many otherwise.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rounds: Option<u32>,
    /// Half the width of every interval relative to its figure, 0.01 for `1%`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub until: Option<f64>,
    /// Whether `until` asks that of every ratio to the first case, and not of every figure.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub ratios: bool,
    /// Time that the rounds may take, seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub budget_s: Option<u64>,
}

impl Ends {
    /// With the number of rounds that is due where nothing was asked for: one for each launch.
    ///
    /// # Errors
    /// No round at all, or more than can be counted.
    pub fn or_one_round_per_launch(self, launches: u32) -> Result<Ends> {
        let open = self.until.is_some() || self.budget_s.is_some();
        if self.ratios && self.until.is_none() {
            return Err(Error::Invalid(
                "--ratios says what --until waits for: give both, as --until 1% --ratios".into(),
            ));
        }
        let rounds = self.rounds.or((!open).then_some(launches));
        if rounds.is_some_and(|n| n == 0 || n > 1_000_000) {
            return Err(Error::Invalid("--rounds must be at least 1 and at most 1,000,000".into()));
        }
        Ok(Ends { rounds, ..self })
    }
}

/// A time as `90s`, `10m`, `1h` or `1h30m`, in seconds.
///
/// # Errors
/// It has another form, is nothing, or is longer than a month.
pub fn budget(text: &str) -> Result<u64> {
    let wrong = || Error::Invalid("a time such as 90s, 10m or 1h30m, at most 744h".into());
    let (mut total, mut digits) = (0u64, String::new());
    for letter in text.trim().chars() {
        let unit = match letter {
            '0'..='9' => {
                digits.push(letter);
                continue;
            }
            's' => 1,
            'm' => 60,
            'h' => 3600,
            _ => return Err(wrong()),
        };
        let number: u64 = digits.parse().map_err(|_| wrong())?;
        digits.clear();
        total = number.checked_mul(unit).and_then(|seconds| total.checked_add(seconds)).ok_or_else(wrong)?;
    }
    match digits.is_empty() && (1..=LONGEST_S).contains(&total) {
        true => Ok(total),
        false => Err(wrong()),
    }
}

/// A share as `1%` or `0.5%`, as a number: 0.01.
///
/// # Errors
/// It has another form, or is not above 0 and below 100%.
pub fn until(text: &str) -> Result<f64> {
    let percent = text.trim().strip_suffix('%').and_then(|number| number.trim().parse::<f64>().ok());
    match percent.filter(|percent| *percent > 0.0 && *percent < 100.0) {
        Some(percent) => Ok(percent / 100.0),
        None => Err(Error::Invalid("a share such as 1% or 0.5%".into())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_with_their_units() {
        let seconds: Vec<u64> = ["90s", "10m", "1h", "1h30m", " 2m5s "].iter().map(|t| budget(t).unwrap()).collect();
        assert_eq!(seconds, [90, 600, 3600, 5400, 125]);
        for wrong in ["", "10", "m", "0s", "10 m", "1d", "99999999999999999999h", "9999999999999999h", "745h", "-1s"] {
            assert!(budget(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn shares_are_read_as_percent() {
        assert_eq!((until("1%").unwrap(), until("0.5 %").unwrap()), (0.01, 0.005));
        for wrong in ["", "1", "%", "0%", "-1%", "100%", "nan%", "inf%"] {
            assert!(until(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn without_an_end_there_is_a_round_for_each_launch() {
        assert_eq!(Ends::default().or_one_round_per_launch(3).unwrap().rounds, Some(3));
        let open = Ends { budget_s: Some(60), ..Ends::default() };
        assert_eq!(open.or_one_round_per_launch(3).unwrap().rounds, None);
        assert!(Ends { rounds: Some(0), ..Ends::default() }.or_one_round_per_launch(3).is_err());
    }
}
