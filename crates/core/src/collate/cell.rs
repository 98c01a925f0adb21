//! One value of a row: how it is printed and how it is read back. Missing is an empty cell, both ways.

use crate::record::{Phase, SampleUnit, Status, ThroughputSource};
use std::io::Write;

/// A value with a place in a table.
pub(super) trait Value: Sized {
    /// Appends the value as a cell.
    fn write(&self, out: &mut Vec<u8>);
    /// The value of a cell, or what is wrong with it.
    fn read(text: &str) -> Result<Self, String>;
}

impl Value for String {
    fn write(&self, out: &mut Vec<u8>) {
        quote(out, self.as_bytes());
    }

    fn read(text: &str) -> Result<Self, String> {
        Ok(text.to_owned())
    }
}

impl Value for Option<String> {
    fn write(&self, out: &mut Vec<u8>) {
        if let Some(text) = self {
            quote(out, text.as_bytes());
        }
    }

    fn read(text: &str) -> Result<Self, String> {
        Ok((!text.is_empty()).then(|| text.to_owned()))
    }
}

impl Value for Option<u64> {
    fn write(&self, out: &mut Vec<u8>) {
        if let Some(value) = self {
            integer(out, *value);
        }
    }

    fn read(text: &str) -> Result<Self, String> {
        if is_missing(text) {
            return Ok(None);
        }
        if let Ok(value) = text.parse() {
            return Ok(Some(value));
        }
        // Other programs write whole numbers as `42.0` where a column has gaps.
        match text.parse::<f64>() {
            Ok(value) if value >= 0.0 && value.fract() == 0.0 && value < 9e15 => Ok(Some(value as u64)),
            _ => Err(format!("`{text}` is no whole number")),
        }
    }
}

impl Value for Option<u32> {
    fn write(&self, out: &mut Vec<u8>) {
        self.map(u64::from).write(out);
    }

    fn read(text: &str) -> Result<Self, String> {
        let wide = <Option<u64> as Value>::read(text)?;
        wide.map(u32::try_from).transpose().map_err(|_| format!("{text} is too large for a whole number of 32 bits"))
    }
}

impl Value for Option<f64> {
    fn write(&self, out: &mut Vec<u8>) {
        if let Some(value) = self {
            number(out, *value);
        }
    }

    fn read(text: &str) -> Result<Self, String> {
        if is_missing(text) {
            return Ok(None);
        }
        match text.parse::<f64>() {
            Ok(value) if value.is_finite() => Ok(Some(value)),
            _ => Err(format!("`{text}` is no number")),
        }
    }
}

impl Value for Option<bool> {
    fn write(&self, out: &mut Vec<u8>) {
        if let Some(value) = self {
            out.extend_from_slice(if *value { b"true" } else { b"false" });
        }
    }

    fn read(text: &str) -> Result<Self, String> {
        match text {
            "true" | "True" => Ok(Some(true)),
            "false" | "False" => Ok(Some(false)),
            _ if is_missing(text) => Ok(None),
            _ => Err(format!("`{text}` is neither true nor false")),
        }
    }
}

impl Value for Vec<String> {
    fn write(&self, out: &mut Vec<u8>) {
        let words: Vec<String> = self.iter().map(|word| word.replace(char::is_whitespace, "_")).collect();
        quote(out, words.join(" ").as_bytes());
    }

    fn read(text: &str) -> Result<Self, String> {
        Ok(text.split_ascii_whitespace().map(str::to_owned).collect())
    }
}

/// A value out of a fixed set of words.
macro_rules! words {
    ($kind:ty, $what:literal, $($word:literal => $value:path),+) => {
        impl Value for $kind {
            fn write(&self, out: &mut Vec<u8>) {
                out.extend_from_slice(match self { $($value => $word.as_bytes()),+ });
            }

            fn read(text: &str) -> Result<Self, String> {
                match text {
                    $($word => Ok($value),)+
                    _ => Err(format!(concat!("`{}` is no ", $what), text)),
                }
            }
        }
    };
}

words!(Phase, "phase", "prefill" => Phase::Prefill, "decode" => Phase::Decode, "mixed" => Phase::Mixed);
words!(SampleUnit, "unit", "step" => SampleUnit::Step, "repetition" => SampleUnit::Repetition);
words!(Status, "status", "ok" => Status::Ok, "interrupted" => Status::Interrupted, "failed" => Status::Failed);
words!(ThroughputSource, "source", "model" => ThroughputSource::Model, "engine" => ThroughputSource::Engine);

impl Value for Option<ThroughputSource> {
    fn write(&self, out: &mut Vec<u8>) {
        if let Some(value) = self {
            value.write(out);
        }
    }

    fn read(text: &str) -> Result<Self, String> {
        if text.is_empty() { Ok(None) } else { ThroughputSource::read(text).map(Some) }
    }
}

/// What stands for a missing number or flag, in our tables and in those that went through other programs.
fn is_missing(text: &str) -> bool {
    matches!(text, "" | "nan" | "NaN" | "None")
}

/// A cell of text, quoted where RFC 4180 asks for it.
pub(super) fn quote(out: &mut Vec<u8>, text: &[u8]) {
    // Without early exits these loops become vector code: texts are long and mostly plain.
    let special = text.iter().fold(false, |found, &b| found | matches!(b, b',' | b'"' | b'\n' | b'\r'));
    if !special {
        out.extend_from_slice(text);
        return;
    }
    out.push(b'"');
    if text.iter().fold(false, |found, &b| found | (b == b'"')) {
        for (i, part) in text.split(|&b| b == b'"').enumerate() {
            if i > 0 {
                out.extend_from_slice(b"\"\"");
            }
            out.extend_from_slice(part);
        }
    } else {
        out.extend_from_slice(text);
    }
    out.push(b'"');
}

/// A number in the fewest digits that read back as the same one, as `{}` prints it. Nothing for what is no number.
pub(super) fn number(out: &mut Vec<u8>, value: f64) {
    if !value.is_finite() {
        return;
    }
    // Times are whole nanoseconds in ms, and other tools print a few decimals: such a value is n / 10^6. With at most 15
    // digits n's own digits are the shortest that read back, so printing an integer is enough (IEEE 754 binary64 keeps 15).
    let scaled = value * 1e6 + 0.5;
    if (0.0..1e15).contains(&value) && scaled < 1e15 {
        let n = scaled as u64;
        if n as f64 / 1e6 == value {
            millionths(out, n);
            return;
        }
    }
    // Writing to memory cannot fail.
    let _ = write!(out, "{value}");
}

/// n / 10^6 without trailing zeros.
fn millionths(out: &mut Vec<u8>, n: u64) {
    integer(out, n / 1_000_000);
    let mut rest = n % 1_000_000;
    if rest == 0 {
        return;
    }
    let mut digits = *b".000000";
    for digit in digits[1..].iter_mut().rev() {
        *digit += (rest % 10) as u8;
        rest /= 10;
    }
    let length = digits.iter().rposition(|&d| d != b'0').map_or(0, |last| last + 1);
    out.extend_from_slice(&digits[..length]);
}

fn integer(out: &mut Vec<u8>, mut value: u64) {
    let mut digits = [b'0'; 20];
    let mut at = digits.len();
    loop {
        at -= 1;
        digits[at] += (value % 10) as u8;
        value /= 10;
        if value == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[at..]);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn printed(value: &impl Value) -> String {
        let mut out = Vec::new();
        value.write(&mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn numbers_are_printed_as_rust_prints_them() {
        let mut state = 0x1234_5678_9abc_def1u64;
        let mut values = vec![0.0, 1.0, 0.1, 44.77, 1e-6, 5e-7, 1e-7, 123_456_789.123_456, 1e15, 1e22, 0.3, 2.0 / 3.0];
        for _ in 0..20_000 {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            values.push((state >> 20) as f64 / 1e6);
            values.push((state >> 40) as f64 / 100.0);
            values.push(1000.0 / ((state >> 30) as f64 / 1e6));
            values.push(f64::from_bits(state >> 2));
        }
        for value in values.into_iter().filter(|value| value.is_finite()) {
            assert_eq!(printed(&Some(value)), format!("{value}"));
            assert_eq!(<Option<f64> as Value>::read(&format!("{value}")).unwrap(), Some(value));
        }
        assert_eq!(printed(&Some(-1.5)), "-1.5");
        assert_eq!(printed(&Some(f64::NAN)), "");
    }

    #[test]
    fn whole_numbers_are_read_from_what_other_programs_write() {
        let read = <Option<u32> as Value>::read;
        assert_eq!((read("42"), read("42.0"), read(""), read("nan")), (Ok(Some(42)), Ok(Some(42)), Ok(None), Ok(None)));
        for text in ["4.5", "-1", "x", "4294967296", "1e300"] {
            assert!(read(text).is_err(), "{text}");
        }
        for value in [0, 7, 10, u64::MAX] {
            assert_eq!(printed(&Some(value)), value.to_string());
        }
    }

    #[test]
    fn text_is_quoted_where_it_must_be() {
        for (text, cell) in [
            ("a b", "a b"),
            ("a,b", "\"a,b\""),
            ("a\nb", "\"a\nb\""),
            ("say \"x\"", "\"say \"\"x\"\"\""),
            ("\"", "\"\"\"\""),
        ] {
            assert_eq!(printed(&Some(text.to_owned())), cell);
        }
    }

    #[test]
    fn words_survive_the_way_there_and_back() {
        for phase in [Phase::Prefill, Phase::Decode, Phase::Mixed] {
            assert_eq!(Phase::read(&printed(&phase)), Ok(phase));
        }
        assert_eq!(Status::read("gone"), Err("`gone` is no status".to_owned()));
        assert_eq!(printed(&vec!["a b".to_owned(), "c".to_owned()]), "a_b c");
        assert_eq!(<Option<ThroughputSource> as Value>::read(""), Ok(None));
    }
}
