//! One message of the compiler, as plain text that stands alone.

use std::fmt;

/// An error or a warning in a document.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Diagnostic {
    /// The file, relative to the root; `None` where the message belongs to no file.
    pub file: Option<String>,
    /// Line, from 1.
    pub line: Option<usize>,
    /// Column in characters, from 1.
    pub column: Option<usize>,
    /// What is wrong.
    pub message: String,
    /// What may help.
    pub hints: Vec<String>,
    /// How the compiler came there: one `while ... (file:line:column)` each, innermost first.
    pub trace: Vec<String>,
}

impl Diagnostic {
    /// `file:line:column`, as far as known.
    pub fn place(&self) -> Option<String> {
        let mut place = self.file.clone()?;
        for number in [self.line, self.column].into_iter().flatten() {
            place.push_str(&format!(":{number}"));
        }
        Some(place)
    }
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(place) = self.place() {
            write!(f, "{place}: ")?;
        }
        f.write_str(&self.message)?;
        self.trace.iter().try_for_each(|step| write!(f, "\n  {step}"))?;
        self.hints.iter().try_for_each(|hint| write!(f, "\n  hint: {hint}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_names_its_place_first_and_its_hints_last() {
        let diagnostic = Diagnostic {
            file: Some("a.typ".into()),
            line: Some(3),
            column: Some(7),
            message: "unknown variable: x".into(),
            hints: vec!["define it".into()],
            trace: vec!["while calling `f` (a.typ:9:2)".into()],
        };
        let text = "a.typ:3:7: unknown variable: x\n  while calling `f` (a.typ:9:2)\n  hint: define it";
        assert_eq!(diagnostic.to_string(), text);
        assert_eq!(Diagnostic { message: "lost".into(), ..Diagnostic::default() }.to_string(), "lost");
    }
}
