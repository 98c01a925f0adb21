//! Labels: names that a person gives to a run (`tokometer run --label before-upgrade`). The header of each of its raw logs
//! has the label under [`KEY`]; logs of a run without one do not have the key.
//!
//! A label stands where a path, the uuid of a log or the name of a run may stand as well, so it must not look like one. That
//! it is not taken is looked up by [`super::labelled`].

use super::find::BEGINNING;

/// The header key.
pub const KEY: &str = "label";

/// What means the newest run, and is no label.
pub const LATEST: &str = "latest";

/// Characters of a label at most.
const LONGEST: usize = 64;

/// How files of measurements end.
const FILES: [&str; 4] = [".csv", ".txt", ".jsonl", ".partial"];

/// Where a uuid has its dashes.
const DASHES: [usize; 4] = [8, 13, 18, 23];

/// Why a text is no label.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Invalid {
    /// Empty, or too long.
    #[error("a label has 1 to {} characters", LONGEST)]
    Length,
    /// It would look like a path, an option or several words.
    #[error(
        "a label has letters, digits, `.`, `_` and `-`, and begins with a letter or digit, as before-upgrade or v1.2"
    )]
    Characters,
    /// It names a file of the folder.
    #[error("a label does not end like a file of measurements (.csv, .txt, .jsonl, .partial)")]
    File,
    /// It means the newest run.
    #[error("`{}` is the newest run, whatever its label", LATEST)]
    Latest,
    /// A uuid may begin with it.
    #[error("this could be the beginning of a uuid: add a letter that is no hex digit, as run-{0}")]
    Uuid(String),
}

/// A label as it was typed.
///
/// # Errors
/// It is none: it could be taken for a path, for [`LATEST`], or for the beginning of a uuid, a case or a run's name.
pub fn parse(text: &str) -> Result<String, Invalid> {
    if !(1..=LONGEST).contains(&text.chars().count()) {
        return Err(Invalid::Length);
    }
    let plain = |c: char| c.is_alphanumeric() || matches!(c, '.' | '_' | '-');
    if !text.starts_with(char::is_alphanumeric) || !text.chars().all(plain) {
        return Err(Invalid::Characters);
    }
    let lower = text.to_ascii_lowercase();
    if FILES.iter().any(|end| lower.ends_with(end)) {
        return Err(Invalid::File);
    }
    if text.eq_ignore_ascii_case(LATEST) {
        return Err(Invalid::Latest);
    }
    let hex = |(at, c): (usize, char)| c.is_ascii_hexdigit() || (c == '-' && DASHES.contains(&at));
    if text.chars().count() >= BEGINNING && text.chars().enumerate().all(hex) {
        return Err(Invalid::Uuid(text.to_owned()));
    }
    Ok(text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_people_give_are_labels() {
        for text in ["before-upgrade", "v1.2", "a", "2026-11-24", "baseline_2", "vorher-größer", "latest-driver"] {
            assert_eq!(parse(text).as_deref(), Ok(text));
        }
        assert!(parse(&"x".repeat(LONGEST)).is_ok());
    }

    #[test]
    fn what_may_mean_something_else_is_refused() {
        let long = "x".repeat(LONGEST + 1);
        for text in ["", long.as_str()] {
            assert_eq!(parse(text), Err(Invalid::Length), "{text}");
        }
        for text in ["a/b", "a\\b", "../x", ".hidden", "-x", "two words", "latest~1", "a:b", "a\nb", "*"] {
            assert_eq!(parse(text), Err(Invalid::Characters), "{text}");
        }
        for text in ["all.csv", "llamacpp.CSV", "a.txt", "b.jsonl", "c.txt.partial"] {
            assert_eq!(parse(text), Err(Invalid::File), "{text}");
        }
        for text in ["latest", "LATEST"] {
            assert_eq!(parse(text), Err(Invalid::Latest), "{text}");
        }
        for text in ["1a2b", "cafe", "DEAD", "20261124", "1a2b3c4d-5e6f", "1a2b3c4d-5e6f-7a8b-9c0d-1e2f3a4b5c6d"] {
            assert_eq!(parse(text), Err(Invalid::Uuid(text.into())), "{text}");
        }
        assert!(parse("cafe").unwrap_err().to_string().contains("run-cafe"));
    }
}
