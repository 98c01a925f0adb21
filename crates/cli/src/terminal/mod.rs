//! What a person sees: messages, bars, tables.

mod progress;
mod table;

pub use progress::duration;
pub use table::{Align, Table};

use crate::args::Global;
use std::io::{IsTerminal, Write};
use std::sync::Arc;

/// Styles of text.
#[derive(Debug, Clone, Copy)]
pub enum Style {
    /// Headings.
    Bold,
    /// As it is.
    Plain,
    /// Less important.
    Dim,
    /// Good.
    Green,
    /// To be noticed.
    Yellow,
    /// Wrong.
    Red,
}

/// The terminal as the user wants it.
pub struct Terminal {
    color: bool,
    quiet: bool,
    /// Whether details are wanted.
    pub verbose: bool,
    progress: Arc<progress::Bars>,
}

impl Terminal {
    /// From the global options, `NO_COLOR` and what stdout is.
    pub fn new(global: &Global) -> Terminal {
        let wanted = std::env::var_os("NO_COLOR").is_none_or(|v| v.is_empty()) && std::io::stdout().is_terminal();
        let color = global.color || (wanted && !global.no_color);
        let progress = Arc::new(progress::Bars::new(global.quiet));
        Terminal { color, quiet: global.quiet, verbose: global.verbose > 0, progress }
    }

    /// Where the pipeline reports its progress.
    pub fn progress(&self) -> &dyn tokometer_core::progress::Progress {
        &*self.progress
    }

    /// The same, for threads that outlive a command.
    pub fn shared_progress(&self) -> Arc<dyn tokometer_core::progress::Progress> {
        Arc::clone(&self.progress) as Arc<dyn tokometer_core::progress::Progress>
    }

    /// Text in a style, if colours are wanted.
    pub fn paint(&self, style: Style, text: &str) -> String {
        let code = match style {
            _ if !self.color => return text.to_owned(),
            Style::Plain => return text.to_owned(),
            Style::Bold => 1,
            Style::Dim => 2,
            Style::Green => 32,
            Style::Yellow => 33,
            Style::Red => 31,
        };
        format!("\x1b[{code}m{text}\x1b[0m")
    }

    /// A line of the result, on stdout.
    pub fn line(&self, text: &str) {
        let _ = writeln!(std::io::stdout(), "{text}");
    }

    /// A sentence of the result, on stdout, broken at spaces to fit the terminal.
    pub fn paragraph(&self, style: Style, text: &str) {
        for line in wrapped(text, self.width()) {
            self.line(&self.paint(style, &line));
        }
    }

    /// A named value of the result, on stdout; what does not fit stands below its beginning. Nothing for an empty value.
    pub fn field(&self, name: &str, text: &str) {
        const NAME: usize = 12;
        if text.is_empty() {
            return;
        }
        for (i, line) in wrapped(text, self.width().saturating_sub(NAME)).into_iter().enumerate() {
            let name = if i == 0 { name } else { "" };
            self.line(&format!("{}{line}", self.paint(Style::Dim, &format!("{name:<NAME$}"))));
        }
    }

    /// A line about what is going on, on stderr; nothing with `--quiet`.
    pub fn say(&self, text: &str) {
        if !self.quiet {
            self.progress.print(text);
        }
    }

    /// A warning, on stderr.
    pub fn warn(&self, text: &str) {
        self.progress.print(&format!("{} {text}", self.paint(Style::Yellow, "warning:")));
    }

    /// An error, on stderr.
    pub fn error(&self, text: &str) {
        self.progress.print(&format!("{} {text}", self.paint(Style::Red, "error:")));
    }

    /// Columns that there are: of the terminal, else 80.
    pub fn width(&self) -> usize {
        let own = std::env::var("COLUMNS").ok().and_then(|text| text.parse().ok());
        own.or_else(progress::columns).unwrap_or(80).clamp(40, 200)
    }
}

/// Lines of at most `width` characters; a longer word stands alone.
fn wrapped(text: &str, width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split(' ') {
        let last = lines.last_mut().expect("there is a line");
        if last.is_empty() {
            last.push_str(word);
        } else if last.chars().count() + 1 + word.chars().count() <= width {
            last.extend([" ", word]);
        } else {
            lines.push(word.to_owned());
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::wrapped;

    #[test]
    fn sentences_are_broken_at_spaces() {
        assert_eq!(wrapped("one two three", 7), ["one two", "three"]);
        assert_eq!(wrapped("averylongword a", 5), ["averylongword", "a"]);
    }
}
