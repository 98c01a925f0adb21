//! Command lines as people paste them.

/// A command line that a shell reads back as it was; the program by its name alone.
pub fn line(command: &[String]) -> String {
    let words = command.iter().enumerate().map(|(i, word)| match i {
        0 => quoted(word.rsplit('/').next().unwrap_or(word)),
        _ => quoted(word),
    });
    words.collect::<Vec<_>>().join(" ")
}

/// A word as a shell reads it back.
pub fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_alphanumeric() || "-_=./:,@%+".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_can_be_pasted_into_a_shell() {
        let command = ["/opt/bin/tokometer", "run", "--model", "my model", "--quantize", "nf4,int8", "it's", ""];
        let text = line(&command.map(str::to_owned));
        assert_eq!(text, r"tokometer run --model 'my model' --quantize nf4,int8 'it'\''s' ''");
    }
}
