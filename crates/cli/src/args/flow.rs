//! Paragraphs of `--help` that fit the terminal: the lines of the source are joined, so that it is clap that breaks them.

use super::Args;
use clap::{Command, CommandFactory};

/// The command line with such paragraphs.
pub fn command() -> Command {
    flowing(Args::command())
}

fn flowing(command: Command) -> Command {
    let help = command.get_after_help().map(|text| joined(&text.to_string()));
    let command = match help {
        Some(text) => command.after_help(text),
        None => command,
    };
    let names: Vec<String> = command.get_subcommands().map(|sub| sub.get_name().to_owned()).collect();
    names.into_iter().fold(command, |command, name| command.mut_subcommand(name, flowing))
}

/// Lines of a paragraph become one. What is indented stands by itself, and so does a heading: a first line that ends in a colon.
fn joined(text: &str) -> String {
    let mut all = String::with_capacity(text.len());
    let mut open = false;
    for line in text.lines() {
        let flows = !line.is_empty() && !line.starts_with(' ');
        if !all.is_empty() {
            all.push(if open && flows { ' ' } else { '\n' });
        }
        all.push_str(line);
        open = flows && (open || !line.ends_with(':'));
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paragraphs_are_joined_and_examples_are_not() {
        let text = "Examples:\n  tokometer run\n  tokometer all\n\nA line\nand this:\nits rest.\n\nLast:\n  x";
        let expected = "Examples:\n  tokometer run\n  tokometer all\n\nA line and this: its rest.\n\nLast:\n  x";
        assert_eq!(joined(text), expected);
    }

    #[test]
    fn every_command_keeps_its_help() {
        let command = command();
        let sweep = command.find_subcommand("sweep").and_then(|sweep| sweep.get_after_help()).unwrap().to_string();
        assert!(sweep.contains("\n  tokometer sweep --resume"), "{sweep}");
        assert!(sweep.contains("threads) are measured together, in rounds. A finished case"), "{sweep}");
    }
}
