//! A read position in bytes that somebody else wrote: no step goes past the end.

use super::error::{Error, FETCH_AGAIN, Result};

/// Reads little-endian fields one after the other.
pub(super) struct Cursor<'a> {
    bytes: &'a [u8],
    at: usize,
    file: &'a str,
}

impl<'a> Cursor<'a> {
    pub(super) fn new(bytes: &'a [u8], file: &'a str) -> Cursor<'a> {
        Cursor { bytes, at: 0, file }
    }

    /// Where the next field starts.
    pub(super) fn at(&self) -> u64 {
        self.at as u64
    }

    /// Bytes not read yet.
    pub(super) fn remaining(&self) -> u64 {
        (self.bytes.len() - self.at) as u64
    }

    /// An error at a place of the file.
    pub(super) fn malformed(&self, offset: u64, what: impl Into<String>) -> Error {
        self.malformed_with(offset, what, FETCH_AGAIN)
    }

    /// The same with a way out of its own.
    pub(super) fn malformed_with(&self, offset: u64, what: impl Into<String>, way_out: &'static str) -> Error {
        Error::Malformed { file: self.file.to_owned(), offset, what: what.into(), way_out }
    }

    /// The next `count` bytes; `what` names the field in an error.
    pub(super) fn take(&mut self, count: u64, what: &str) -> Result<&'a [u8]> {
        if count > self.remaining() {
            return Err(self.malformed(
                self.at(),
                format!("{what} takes {count} bytes but the file ends after {}", self.remaining()),
            ));
        }
        // In range: count is at most the number of bytes left.
        let end = self.at + count as usize;
        let taken = &self.bytes[self.at..end];
        self.at = end;
        Ok(taken)
    }

    pub(super) fn array<const N: usize>(&mut self, what: &str) -> Result<[u8; N]> {
        let mut out = [0; N];
        out.copy_from_slice(self.take(N as u64, what)?);
        Ok(out)
    }

    pub(super) fn u32(&mut self, what: &str) -> Result<u32> {
        Ok(u32::from_le_bytes(self.array(what)?))
    }

    pub(super) fn u64(&mut self, what: &str) -> Result<u64> {
        Ok(u64::from_le_bytes(self.array(what)?))
    }

    /// A length and that many bytes of text. Bytes that are no UTF-8 are replaced, as they can only
    /// be shown, never looked up.
    pub(super) fn string(&mut self, what: &str) -> Result<String> {
        let length = self.u64(what)?;
        Ok(String::from_utf8_lossy(self.take(length, what)?).into_owned())
    }

    /// A number of things of which each takes at least `least` bytes: refused when the file is too
    /// short for them, before anybody allocates for them.
    pub(super) fn count(&mut self, least: u64, what: &str) -> Result<usize> {
        let at = self.at();
        let count = self.u64(what)?;
        if count.checked_mul(least).is_none_or(|bytes| bytes > self.remaining()) {
            return Err(self.malformed(
                at,
                format!("{what} is {count}, more than the {} bytes that follow can hold", self.remaining()),
            ));
        }
        Ok(count as usize)
    }
}
