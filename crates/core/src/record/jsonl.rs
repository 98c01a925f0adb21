//! Logs of other tools that hold one JSON object per line, with or without a `key: value` header before them. What the
//! objects mean is up to the formats.

use super::header::{self, Header};
use super::lines::{Line, lines};
use super::{Input, Result};

/// Hands every JSON line to `each`, with the header that holds for it.
///
/// Before the first object anything else is skipped: engines print there. After it only a further header may stand
/// (logs that were appended to each other); anything else is damage.
pub(super) fn walk(input: &Input<'_>, mut each: impl FnMut(&Header, &Line<'_>) -> Result<()>) -> Result<()> {
    let mut header = Header::default();
    let mut objects = 0u64;
    let mut in_body = false;
    for line in lines(input.bytes) {
        let line = Line { bytes: line.bytes.trim_ascii(), ..line };
        if line.bytes.is_empty() {
            continue;
        }
        if line.bytes[0] == b'{' {
            each(&header, &line)?;
            objects += 1;
            in_body = true;
            continue;
        }
        let found = line.text().ok().and_then(header::pair);
        match found {
            Some((key, value)) if objects == 0 || !in_body || header::is_known(key) => {
                if in_body {
                    header = Header::default();
                    in_body = false;
                }
                header.push(key, value);
            }
            _ if objects == 0 => {}
            _ => return Err(input.damaged(line.number, "neither a JSON object nor a `key: value` line")),
        }
    }
    Ok(())
}

/// Header and first JSON line of the beginning of a log.
pub(super) fn peek(head: &[u8]) -> (Header, &[u8]) {
    let mut header = Header::default();
    for line in lines(head) {
        let bytes = line.bytes.trim_ascii();
        if bytes.first() == Some(&b'{') {
            return (header, bytes);
        }
        if let Some((key, value)) = std::str::from_utf8(bytes).ok().and_then(header::pair) {
            header.push(key, value);
        }
    }
    (header, b"")
}

/// Whether a JSON line has a key of that name; a look at the bytes, enough to tell formats apart.
pub(super) fn mentions(line: &[u8], key: &str) -> bool {
    let quoted = format!("\"{key}\"");
    line.windows(quoted.len()).any(|window| window == quoted.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    fn collect(text: &str) -> Result<Vec<(Option<String>, usize)>> {
        let mut seen = Vec::new();
        walk(&Input::new(text.as_bytes(), Path::new("x.txt")), |header, line| {
            seen.push((header.get("hostname").map(str::to_owned), line.number));
            Ok(())
        })?;
        Ok(seen)
    }

    #[test]
    fn a_header_holds_until_the_next_one() {
        let log = "noise before\nhostname: a\n\n{}\n{}\r\nhostname: b\nother: 1\n{}\n";
        assert_eq!(collect(log).unwrap(), [(Some("a".into()), 4), (Some("a".into()), 5), (Some("b".into()), 8)]);
    }

    #[test]
    fn text_between_objects_is_damage_with_its_line() {
        assert_eq!(collect("{}\ngarbage\n").unwrap_err().line(), Some(2));
        assert_eq!(collect("{}\nanswer: 42\n").unwrap_err().line(), Some(2));
    }
}
