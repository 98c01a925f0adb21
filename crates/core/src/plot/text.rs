//! Text: how wide it is, how it is cut and wrapped to fit, and how figures are written.

/// Advance widths of U+0020 to U+007E in DejaVu Sans (its `hmtx` table), in 1/2048 of the size.
#[rustfmt::skip]
const ASCII: [u16; 95] = [
    651, 821, 942, 1716, 1303, 1946, 1597, 563, 799, 799, 1024, 1716, 651, 739, 651, 690, 1303, 1303, 1303, 1303, 1303,
    1303, 1303, 1303, 1303, 1303, 690, 690, 1716, 1716, 1716, 1087, 2048, 1401, 1405, 1430, 1577, 1294, 1178, 1587, 1540,
    604, 604, 1343, 1141, 1767, 1532, 1612, 1235, 1612, 1423, 1300, 1251, 1499, 1401, 2025, 1403, 1251, 1403, 799, 690,
    799, 1716, 1024, 1024, 1255, 1300, 1126, 1300, 1260, 721, 1300, 1298, 569, 569, 1186, 569, 1995, 1298, 1253, 1300,
    1300, 842, 1067, 803, 1298, 1212, 1675, 1212, 1212, 1075, 1303, 690, 1303, 1716,
];

/// What stands between the parts of a detail.
const DOT: &str = " · ";

/// Width of one character in 1/2048 of the size; generous for what is not in the table.
fn advance(c: char) -> f64 {
    match c {
        ' '..='~' => f64::from(ASCII[c as usize - 0x20]),
        '·' | '\u{a0}' => 651.0,
        '×' | '±' | '≥' | '≤' | '≈' | '→' | '−' => 1716.0,
        '–' => 1024.0,
        '\u{a1}'..='\u{45f}' => 1450.0,
        _ => 2048.0,
    }
}

/// Width of a line of text, units.
pub(super) fn width(text: &str, size: u32) -> f64 {
    text.chars().map(advance).sum::<f64>() * f64::from(size) / 2048.0
}

/// The widest of some lines, units; 0 for none.
pub(super) fn widest<'a>(lines: impl IntoIterator<Item = &'a String>, size: u32) -> f64 {
    lines.into_iter().map(|line| width(line, size)).fold(0.0, f64::max)
}

/// The text, with an ellipsis in place of what does not fit into `room` units.
pub(super) fn shorten(text: &str, size: u32, room: f64) -> String {
    if width(text, size) <= room {
        return text.to_owned();
    }
    let mut left = room - width("…", size);
    let mut kept = String::new();
    for c in text.chars() {
        left -= advance(c) * f64::from(size) / 2048.0;
        if left < 0.0 {
            break;
        }
        kept.push(c);
    }
    format!("{}…", kept.trim_end())
}

/// Breaks text at spaces into lines of at most `room` units; a longer word is shortened.
pub(super) fn wrap(text: &str, size: u32, room: f64) -> Vec<String> {
    let words: Vec<String> = text.split_whitespace().map(str::to_owned).collect();
    flow(&words, " ", size, room)
}

/// Joins the parts of a detail by dots, in as few lines of `room` units as their order allows.
pub(super) fn pack(parts: &[String], size: u32, room: f64) -> Vec<String> {
    flow(parts, DOT, size, room)
}

fn flow(parts: &[String], between: &str, size: u32, room: f64) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for part in parts {
        let part = shorten(part, size, room);
        match lines.last_mut() {
            Some(line) if width(line, size) + width(between, size) + width(&part, size) <= room => {
                line.push_str(between);
                line.push_str(&part);
            }
            _ => lines.push(part),
        }
    }
    lines
}

/// A measured value with about three digits.
pub(super) fn figure(value: f64) -> String {
    let size = value.abs();
    if size >= 1e6 || (size > 0.0 && size < 1e-3) {
        return format!("{value:.2e}");
    }
    let decimals = match size {
        s if s >= 100.0 => 0,
        s if s >= 10.0 => 1,
        s if s >= 1.0 => 2,
        _ => 3,
    };
    format!("{value:.decimals$}")
}

/// The number at a tick: as short as it can be.
pub(super) fn tick(value: f64) -> String {
    if value == 0.0 || !value.is_finite() {
        return "0".to_owned();
    }
    let order = value.abs().log10().floor();
    if !(-6.0..9.0).contains(&order) {
        return format!("{value:e}");
    }
    let decimals = (3.0 - order).clamp(0.0, 9.0) as usize;
    let text = format!("{value:.decimals$}");
    match text.contains('.') {
        true => text.trim_end_matches('0').trim_end_matches('.').to_owned(),
        false => text,
    }
}

/// What may be drawn: no control characters (XML has none), and `$` escaped, which would begin a formula.
pub(super) fn clean(text: &str) -> String {
    let mut clean = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '$' => clean.push_str("\\$"),
            '\u{fffe}' | '\u{ffff}' => clean.push('\u{fffd}'),
            c if c.is_control() => clean.push(' '),
            c => clean.push(c),
        }
    }
    clean
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_too_long_is_cut_to_the_room() {
        let long = "a-host-name-that-never-ends".repeat(400);
        let short = shorten(&long, 12, 100.0);
        assert!(width(&short, 12) <= 100.0 && short.ends_with('…'), "{short}");
        assert_eq!(shorten("host", 12, 100.0), "host");
        assert_eq!(shorten("host", 12, 1.0), "…");
    }

    #[test]
    fn parts_share_a_line_where_they_fit() {
        let parts = ["Q4_K_M".to_owned(), "4.91 bpw".to_owned(), "0.80 GB".to_owned()];
        assert_eq!(pack(&parts, 11, 500.0), ["Q4_K_M · 4.91 bpw · 0.80 GB"]);
        assert_eq!(pack(&parts, 11, 110.0), ["Q4_K_M · 4.91 bpw", "0.80 GB"]);
        assert_eq!(pack(&parts, 11, 60.0), ["Q4_K_M", "4.91 bpw", "0.80 GB"]);
    }

    #[test]
    fn numbers_are_short() {
        assert_eq!([0.0, 0.3, 2.5, 40.0, 12_500.0].map(tick), ["0", "0.3", "2.5", "40", "12500"]);
        assert_eq!(tick(0.1 + 0.2), "0.3");
        assert_eq!([0.5, 9.876, 47.31, 134.4, 2.5e7].map(figure), ["0.500", "9.88", "47.3", "134", "2.50e7"]);
    }

    #[test]
    fn nothing_that_breaks_the_picture_is_drawn() {
        assert_eq!(clean("a$b\u{1}c\nd"), "a\\$b c d");
    }
}
