//! The front matter of a model card (`README.md`): the part of YAML that model cards use.
//!
//! Top-level keys with texts, lists and block texts; what lies deeper is recognized and passed over.
//! No YAML library: the cards come from strangers, and a few dozen lines are all that is needed.

use std::iter::Peekable;

/// A value of a card.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Card {
    /// `~`, `null` or nothing.
    Null,
    /// A text.
    Text(String),
    /// Something that YAML takes for a number, a truth value or a date; as it was written.
    Other(String),
    /// A list.
    List(Vec<Card>),
    /// Keys and values.
    Map(Vec<(String, Card)>),
}

impl Card {
    /// The text, whatever YAML takes it for.
    pub fn text(&self) -> Option<&str> {
        match self {
            Card::Text(text) | Card::Other(text) => Some(text),
            _ => None,
        }
    }

    /// The value of a key of a map.
    pub fn get(&self, key: &str) -> Option<&Card> {
        match self {
            Card::Map(entries) => entries.iter().find(|(k, _)| k == key).map(|(_, v)| v),
            _ => None,
        }
    }
}

/// A line without its indentation; empty lines and comments are none.
struct Line<'a> {
    indent: usize,
    text: &'a str,
}

type Lines<'a> = Peekable<std::vec::IntoIter<Line<'a>>>;

/// The front matter of a card; an empty map when there is none.
pub(super) fn parse(card: &str) -> Card {
    let card = card.replace('\t', "  ");
    let mut lines = card.lines().map(str::trim_end);
    if lines.next() != Some("---") {
        return Card::Map(Vec::new());
    }
    let lines: Vec<Line<'_>> = lines
        .take_while(|line| *line != "---")
        .map(|line| {
            let text = line.trim_start();
            Line { indent: line.len() - text.len(), text }
        })
        .collect();
    map(&mut lines.into_iter().peekable(), 0)
}

/// The next line that says something.
fn peek<'a>(lines: &mut Lines<'a>) -> Option<(usize, &'a str)> {
    while lines.next_if(|line| line.text.is_empty() || line.text.starts_with('#')).is_some() {}
    lines.peek().map(|line| (line.indent, line.text))
}

/// The entries of a map that stands at `indent`.
fn map(lines: &mut Lines<'_>, indent: usize) -> Card {
    let mut entries = Vec::new();
    while let Some((at, text)) = peek(lines) {
        if at < indent {
            break;
        }
        lines.next();
        // A deeper or strange line belongs to nothing that is read here.
        if let (true, Some((key, rest))) = (at == indent, split_key(text)) {
            entries.push((key, value(lines, indent, rest)));
        }
    }
    Card::Map(entries)
}

/// `key: rest`, with the key possibly quoted.
fn split_key(text: &str) -> Option<(String, &str)> {
    let (key, rest) = match text.strip_suffix(':') {
        Some(key) if !key.contains(": ") => (key, ""),
        _ => text.split_once(": ")?,
    };
    if key.is_empty() || key.starts_with(['-', '[', '{']) {
        return None;
    }
    Some((key.trim().trim_matches(['"', '\'']).to_owned(), rest.trim()))
}

/// What stands behind a key at `indent`, on its line (`rest`) and below.
fn value(lines: &mut Lines<'_>, indent: usize, rest: &str) -> Card {
    if let Some(style) = rest.strip_prefix(['|', '>']) {
        let folded = rest.starts_with('>');
        return Card::Text(block_text(lines, indent, folded, style));
    }
    let rest = without_comment(rest);
    if !rest.is_empty() {
        return inline(lines, indent, rest);
    }
    match peek(lines) {
        // Items of a list may stand as far left as their key.
        Some((at, text)) if at >= indent && is_item(text) => list(lines, at),
        Some((at, _)) if at > indent => map(lines, at),
        _ => Card::Null,
    }
}

fn is_item(text: &str) -> bool {
    text == "-" || text.starts_with("- ")
}

fn list(lines: &mut Lines<'_>, indent: usize) -> Card {
    let mut items = Vec::new();
    while let Some((at, text)) = peek(lines) {
        if at != indent || !is_item(text) {
            break;
        }
        lines.next();
        let rest = text[1..].trim_start();
        let inner = indent + (text.len() - rest.len());
        let quoted = rest.starts_with(['"', '\'', '[', '{']);
        match split_key(rest).filter(|_| !quoted) {
            Some((key, first)) => {
                let mut entries = vec![(key, value(lines, inner, first))];
                if let Card::Map(more) = map(lines, inner) {
                    entries.extend(more);
                }
                items.push(Card::Map(entries));
            }
            None => items.push(value(lines, indent + 1, rest)),
        }
    }
    Card::List(items)
}

/// A value that begins on the line of its key and may go on below, deeper than `indent`.
fn inline(lines: &mut Lines<'_>, indent: usize, rest: &str) -> Card {
    let mut text = rest.to_owned();
    let flow = rest.starts_with(['[', '{']);
    let open = |text: &str| match text.chars().next() {
        Some('[') => !text.ends_with(']'),
        Some('{') => !text.ends_with('}'),
        Some(quote @ ('"' | '\'')) => text.len() < 2 || !text.ends_with(quote),
        _ => false,
    };
    while let Some(line) =
        lines.next_if(|line| (open(&text) || line.indent > indent) && (flow || !line.text.is_empty()))
    {
        text.push(' ');
        text.push_str(line.text);
    }
    match text.chars().next() {
        Some('[') => {
            let inside = text.trim_start_matches('[').trim_end_matches(']');
            Card::List(split_flow(inside).into_iter().map(scalar).collect())
        }
        Some('{') => Card::Map(Vec::new()),
        _ => scalar(&text),
    }
}

/// Splits at commas outside of quotes.
fn split_flow(text: &str) -> Vec<&str> {
    let mut parts = Vec::new();
    let (mut start, mut quote) = (0, None);
    for (at, c) in text.char_indices() {
        match (c, quote) {
            (',', None) => {
                parts.push(text[start..at].trim());
                start = at + 1;
            }
            ('"' | '\'', None) => quote = Some(c),
            (_, Some(open)) if open == c => quote = None,
            _ => {}
        }
    }
    parts.push(text[start..].trim());
    parts.retain(|part| !part.is_empty());
    parts
}

fn without_comment(text: &str) -> &str {
    if text.starts_with('#') {
        return "";
    }
    if text.starts_with(['"', '\'']) {
        return text;
    }
    text.split_once(" #").map_or(text, |(before, _)| before).trim_end()
}

/// The lines below a key that are deeper than it: kept (`|`) or folded (`>`), with the end as `style` asks.
fn block_text(lines: &mut Lines<'_>, indent: usize, folded: bool, style: &str) -> String {
    let mut text = String::new();
    let mut own = None;
    let mut blank = 0;
    while let Some(line) = lines.next_if(|line| line.text.is_empty() || line.indent > indent) {
        if line.text.is_empty() {
            blank += 1;
            continue;
        }
        let own = *own.get_or_insert(line.indent);
        if !text.is_empty() {
            let breaks = if folded { blank } else { blank + 1 };
            text.push_str(if breaks == 0 { " " } else { "" });
            text.extend(std::iter::repeat_n('\n', breaks));
        }
        text.extend(std::iter::repeat_n(' ', line.indent.saturating_sub(own)));
        text.push_str(line.text);
        blank = 0;
    }
    if !style.starts_with('-') && !text.is_empty() {
        text.push('\n');
    }
    text
}

/// A single value: quoted text, or whatever YAML 1.1 makes of the bare word.
fn scalar(text: &str) -> Card {
    let inside = |quote: char| text.strip_prefix(quote).and_then(|t| t.strip_suffix(quote));
    if let Some(text) = inside('\'') {
        return Card::Text(text.replace("''", "'"));
    }
    if let Some(text) = inside('"') {
        return Card::Text(text.replace("\\\"", "\"").replace("\\n", "\n").replace("\\\\", "\\"));
    }
    if matches!(text, "" | "~" | "null" | "Null" | "NULL") {
        return Card::Null;
    }
    if is_typed(text) { Card::Other(text.to_owned()) } else { Card::Text(text.to_owned()) }
}

/// Whether YAML 1.1 takes a bare word for something else than a text.
fn is_typed(text: &str) -> bool {
    let lower = text.to_ascii_lowercase();
    let same_case = text == lower || text == text.to_ascii_uppercase() || text.get(1..) == lower.get(1..);
    if same_case && matches!(lower.as_str(), "yes" | "no" | "true" | "false" | "on" | "off") {
        return true;
    }
    let number = text.strip_prefix(['+', '-']).unwrap_or(text);
    let digits = number.chars().all(|c| c.is_ascii_digit() || c == '_');
    let float = number.split_once('.').is_some_and(|(whole, part)| {
        !(whole.is_empty() && part.is_empty())
            && (whole.chars().chain(part.chars())).all(|c| c.is_ascii_digit() || c == '_')
    });
    let date = text.len() == 10
        && text.bytes().enumerate().all(|(i, b)| if i == 4 || i == 7 { b == b'-' } else { b.is_ascii_digit() });
    (number.starts_with(|c: char| c.is_ascii_digit()) && (digits || date)) || (float && number != ".")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(items: &[&str]) -> Card {
        Card::List(items.iter().map(|t| Card::Text((*t).to_owned())).collect())
    }

    #[test]
    fn a_usual_card_is_understood() {
        let card = parse(
            "---\nlanguage:\n- en\n- \"no\"   \n# a comment\nlicense: llama3.2 # the licence\ntags: [a, \"b, c\", 'd']\nlist:\n  - one\n  -  two\n\
             model-index:\n- name: x\n  results:\n  - task:\n      type: text\n    dataset:\n      name: y\n\
             gated: >-\n  ### TITLE\n\n  text: more\n  and more\nkept: |\n  a\n    b\n\n  c\nlast: 'it''s'\nempty:\nyear: 2024\nno_text: no\nbase_model:\n- a/B\n---\n# body: x\n",
        );
        assert_eq!(card.get("language"), Some(&texts(&["en", "no"])));
        assert_eq!(card.get("license"), Some(&Card::Text("llama3.2".to_owned())));
        assert_eq!(card.get("tags"), Some(&texts(&["a", "b, c", "d"])));
        assert_eq!(card.get("list"), Some(&texts(&["one", "two"])));
        assert_eq!(card.get("gated").and_then(Card::text), Some("### TITLE\ntext: more and more"));
        assert_eq!(card.get("kept").and_then(Card::text), Some("a\n  b\n\nc\n"));
        assert_eq!(card.get("last").and_then(Card::text), Some("it's"));
        assert_eq!(card.get("empty"), Some(&Card::Null));
        assert_eq!(card.get("year"), Some(&Card::Other("2024".to_owned())));
        assert_eq!(card.get("no_text"), Some(&Card::Other("no".to_owned())));
        assert_eq!(card.get("base_model"), Some(&texts(&["a/B"])));
        assert_eq!(card.get("body"), None);
        let Some(Card::List(index)) = card.get("model-index") else { panic!("{card:?}") };
        assert_eq!(index[0].get("name").and_then(Card::text), Some("x"));
    }

    #[test]
    fn without_front_matter_there_is_nothing() {
        for card in ["", "# Title\n---\na: b\n---\n", "\n---\na: b\n", " ---\na: b"] {
            assert_eq!(parse(card), Card::Map(Vec::new()), "{card:?}");
        }
    }

    #[test]
    fn strange_cards_do_not_panic() {
        for card in [
            "---\n- a\n- b",
            "---\n:",
            "---\n-",
            "---\na: [",
            "---\na: {\n",
            "---\na: '",
            "---\na: \"",
            "---\n  deep: x\na: b",
            "---\na: |",
            "---\né: ü\nß",
            "---\na:\n  - -\n  - - b\n",
        ] {
            let _ = parse(card);
        }
        assert_eq!(parse("---\n  deep: x\na: b\n").get("a"), Some(&Card::Text("b".to_owned())));
    }
}
