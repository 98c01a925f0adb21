//! Lines of a byte slice, with what an error message needs to know of them.

use std::io::BufRead;

/// One line.
#[derive(Debug, Clone, Copy)]
pub(super) struct Line<'a> {
    /// From 1.
    pub number: usize,
    /// Where it begins in the file.
    pub offset: usize,
    /// Its bytes without the line end.
    pub bytes: &'a [u8],
    /// Whether a line end follows; only the last line of a file can lack it.
    pub terminated: bool,
}

impl<'a> Line<'a> {
    /// The line as text, or what is wrong with it.
    pub fn text(&self) -> Result<&'a str, String> {
        std::str::from_utf8(self.bytes).map_err(|e| format!("byte {} is not UTF-8", e.valid_up_to() + 1))
    }
}

/// The lines of `bytes`. Like [`str::lines`]: an end of line at the end of the file begins no further line.
#[derive(Debug, Clone)]
pub(super) struct Lines<'a> {
    bytes: &'a [u8],
    at: usize,
    number: usize,
}

/// Begins at the first line.
pub(super) fn lines(bytes: &[u8]) -> Lines<'_> {
    Lines { bytes, at: 0, number: 0 }
}

impl<'a> Iterator for Lines<'a> {
    type Item = Line<'a>;

    fn next(&mut self) -> Option<Line<'a>> {
        let rest = &self.bytes[self.at..];
        if rest.is_empty() {
            return None;
        }
        // The standard library's search for one byte; on a slice it cannot fail.
        let mut search = rest;
        let length = search.skip_until(b'\n').unwrap_or(rest.len());
        let whole = &rest[..length];
        let (bytes, terminated) = match whole.strip_suffix(b"\n") {
            Some(line) => (line.strip_suffix(b"\r").unwrap_or(line), true),
            None => (whole, false),
        };
        let offset = self.at;
        self.at += length;
        self.number += 1;
        Some(Line { number: self.number, offset, bytes, terminated })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_know_where_they_stand() {
        let got: Vec<_> = lines(b"a\r\n\nbc").map(|l| (l.number, l.offset, l.bytes.to_vec(), l.terminated)).collect();
        assert_eq!(got, [(1, 0, b"a".to_vec(), true), (2, 3, vec![], true), (3, 4, b"bc".to_vec(), false)]);
        assert_eq!(lines(b"").count(), 0);
        assert_eq!(lines(b"a\n").count(), 1);
    }
}
