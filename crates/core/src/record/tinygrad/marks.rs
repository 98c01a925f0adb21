//! The lines of tinygrad's llama3 example that mean something. Generated text stands between them and can look like
//! anything, so a line counts only when it matches to the last character.

/// A line that means something.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Mark {
    /// `seed = 42`
    Seed(u64),
    /// `loaded weights in   3.81 ms, 0.00 GB loaded at 0.00 GB/s`: the time.
    Loaded(f64),
    /// `enqueue in  21.90 ms`; with tinygrad's debug output more figures follow.
    Enqueue(f64),
    /// `total  44.77 ms, 22.34 tok/s, 80.11 GB/s, param 33.60 GB/s`
    Total(Total),
}

/// The figures of a `total` line.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Total {
    pub ms: f64,
    pub tokens_per_sec: f64,
    pub memory_gb_s: Option<f64>,
    pub param_gb_s: Option<f64>,
}

/// What a line means, if anything.
pub(super) fn mark(line: &str) -> Option<Mark> {
    match line.as_bytes().first()? {
        b's' => seed(line).map(Mark::Seed),
        b'l' => loaded(line).map(Mark::Loaded),
        b'e' => enqueue(line).map(Mark::Enqueue),
        b't' => total(line).map(Mark::Total),
        _ => None,
    }
}

fn seed(line: &str) -> Option<u64> {
    let digits = line.strip_prefix("seed = ")?.trim_end();
    digits.bytes().all(|b| b.is_ascii_digit()).then(|| digits.parse().ok())?
}

fn loaded(line: &str) -> Option<f64> {
    let (ms, rest) = figure(line, "loaded weights in ", " ms")?;
    let (_, rest) = figure(rest, ", ", " GB loaded at ")?;
    let (_, rest) = figure(rest, "", " GB/s")?;
    rest.trim_end().is_empty().then_some(ms)
}

fn enqueue(line: &str) -> Option<f64> {
    let (ms, rest) = figure(line, "enqueue in ", " ms")?;
    (rest.is_empty() || rest.starts_with(", ")).then_some(ms)
}

fn total(line: &str) -> Option<Total> {
    let (ms, rest) = figure(line, "total ", " ms")?;
    let (tokens_per_sec, rest) = figure(rest, ", ", " tok/s")?;
    let (memory_gb_s, rest) = optional(rest, ", ", " GB/s");
    let (param_gb_s, rest) = optional(rest, ", param ", " GB/s");
    rest.is_empty().then_some(Total { ms, tokens_per_sec, memory_gb_s, param_gb_s })
}

/// The number between two fixed texts, and what follows. tinygrad prints it with two decimals, padded with spaces.
fn figure<'a>(text: &'a str, before: &str, after: &str) -> Option<(f64, &'a str)> {
    let text = text.strip_prefix(before)?.trim_start_matches(' ');
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.')?;
    let (digits, rest) = text.split_at(end);
    let (whole, decimals) = digits.split_once('.')?;
    let value: f64 = digits.parse().ok()?;
    let proper = !whole.is_empty() && !decimals.is_empty() && value.is_finite();
    Some((value, rest.strip_prefix(after)?)).filter(|_| proper)
}

fn optional<'a>(text: &'a str, before: &str, after: &str) -> (Option<f64>, &'a str) {
    figure(text, before, after).map_or((None, text), |(value, rest)| (Some(value), rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn real_lines_mean_something() {
        let total = Total { ms: 44.77, tokens_per_sec: 22.34, memory_gb_s: Some(80.11), param_gb_s: Some(33.6) };
        for (line, meaning) in [
            ("seed = 42", Mark::Seed(42)),
            ("loaded weights in   3.81 ms, 0.00 GB loaded at 0.00 GB/s", Mark::Loaded(3.81)),
            ("loaded weights in 4639.73 ms, 4.94 GB loaded at 1.07 GB/s", Mark::Loaded(4639.73)),
            ("enqueue in  21.90 ms", Mark::Enqueue(21.9)),
            ("enqueue in  21.90 ms, 12.00 ms on GPU", Mark::Enqueue(21.9)),
            ("total  44.77 ms, 22.34 tok/s, 80.11 GB/s, param 33.60 GB/s", Mark::Total(total)),
        ] {
            assert_eq!(mark(line), Some(meaning), "{line}");
        }
    }

    #[test]
    fn text_that_only_resembles_them_means_nothing() {
        for line in [
            "seed = forty-two",
            "seed = -1",
            "seed = ",
            "seed = 99999999999999999999999",
            " seed = 42",
            "loaded weights in a hurry",
            "enqueue in  21.90 ms today",
            "enqueue in 21 ms",
            "total  44.77 ms",
            "total  44.77 ms, 22.34 tok/s, 80.11 GB/s, param 33.60 GB/s!",
            "total 1.2.3 ms, 22.34 tok/s",
            "total eclipse",
            "",
            "ß",
        ] {
            assert_eq!(mark(line), None, "{line}");
        }
    }
}
