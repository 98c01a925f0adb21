//! Stop strings in a text that comes in pieces: they may begin in one piece and end in another.

/// Holds back what may be the beginning of a stop string.
#[derive(Debug, Default)]
pub struct Stops {
    stops: Vec<String>,
    held: String,
}

impl Stops {
    /// Ends the text before the first of these; empty ones are none.
    pub fn new(stops: Vec<String>) -> Stops {
        Stops { stops: stops.into_iter().filter(|stop| !stop.is_empty()).collect(), held: String::new() }
    }

    /// Takes a piece; returns the text that is certain, and whether a stop string was found: then nothing comes after it.
    pub fn push(&mut self, piece: &str) -> (String, bool) {
        if self.stops.is_empty() {
            return (piece.to_owned(), false);
        }
        self.held.push_str(piece);
        let first = self.stops.iter().filter_map(|stop| self.held.find(stop.as_str())).min();
        if let Some(at) = first {
            self.held.truncate(at);
            return (std::mem::take(&mut self.held), true);
        }
        let certain = self.held.len() - self.beginning();
        let rest = self.held.split_off(certain);
        (std::mem::replace(&mut self.held, rest), false)
    }

    /// What was held back, at the end of the text.
    pub fn rest(&mut self) -> String {
        std::mem::take(&mut self.held)
    }

    /// Bytes at the end of what is held with which a stop string begins: as many as possible.
    fn beginning(&self) -> usize {
        let longest = |stop: &String| {
            let most = (stop.len() - 1).min(self.held.len());
            (1..=most).rev().find(|n| stop.is_char_boundary(*n) && self.held.ends_with(&stop[..*n]))
        };
        self.stops.iter().filter_map(longest).max().unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// All that comes out of these pieces, and whether it was stopped.
    fn run(stops: &[&str], pieces: &[&str]) -> (String, bool) {
        let mut filter = Stops::new(stops.iter().map(|stop| (*stop).to_owned()).collect());
        let mut text = String::new();
        for piece in pieces {
            let (certain, stopped) = filter.push(piece);
            text.push_str(&certain);
            if stopped {
                return (text, true);
            }
        }
        text.push_str(&filter.rest());
        (text, false)
    }

    #[test]
    fn a_stop_string_is_found_across_pieces() {
        assert_eq!(run(&["END"], &["one E", "N", "D two"]), ("one ".into(), true));
        assert_eq!(run(&["\n\n"], &["a\n", "b\n", "\nc"]), ("a\nb".into(), true));
    }

    #[test]
    fn what_only_looks_like_one_comes_out() {
        assert_eq!(run(&["END"], &["one E", "N", "E two EN"]), ("one ENE two EN".into(), false));
        assert_eq!(run(&["aab"], &["a", "a", "a", "b", "c"]), ("a".into(), true));
    }

    #[test]
    fn the_first_in_the_text_counts_however_they_are_listed() {
        assert_eq!(run(&["later", "now"], &["a now b later"]), ("a ".into(), true));
        assert_eq!(run(&["abc", "b"], &["xab"]), ("xa".into(), true));
    }

    #[test]
    fn characters_of_several_bytes_are_not_cut() {
        assert_eq!(run(&["é!"], &["caf", "é", "?"]), ("café?".into(), false));
        assert_eq!(run(&["é!"], &["caf", "é", "!"]), ("caf".into(), true));
        assert_eq!(run(&["ab"], &["é"]), ("é".into(), false));
    }

    #[test]
    fn empty_strings_stop_nothing() {
        assert_eq!(run(&["", "x"], &["ab", "xc"]), ("ab".into(), true));
        assert_eq!(run(&[""], &["ab"]), ("ab".into(), false));
    }
}
