//! The ratios of two sets in a table: a word for each, the two figures with their unit, and what would tell where nothing can be
//! told.

use super::Session;
use crate::terminal::{Align, Style, Table};
use tokometer_core::analyze::versus::{Pair, Versus};
use tokometer_core::analyze::{Group, Judge, Metric, Verdict};

/// Cases of which it is said one by one how many more rounds would tell.
const NAMED: usize = 8;

/// The table, and what must be known of it.
pub fn show(session: &Session<'_>, (a, b): (&[Group], &[Group]), pairs: &[Pair], found: &[Versus], judge: &Judge) {
    let terminal = session.terminal;
    let mut table = Table::new(&[
        ("case", Align::Left),
        ("figure", Align::Left),
        ("ratio", Align::Right),
        ("verdict", Align::Left),
        ("95% interval", Align::Right),
        ("more rounds", Align::Right),
        ("rounds", Align::Right),
        ("first", Align::Right),
        ("second", Align::Right),
    ]);
    for versus in found {
        let (ratio, pair) = (&versus.ratio, &pairs[versus.pair]);
        table.row(vec![
            a[pair.a].short_label(),
            versus.metric.to_owned(),
            format!("{:.3}x", ratio.ratio),
            judge.words(ratio.verdict),
            ratio.ci.map(|(low, high)| format!("{low:.3} to {high:.3}")).unwrap_or_default(),
            ratio.more_rounds.map(|rounds| format!("+{rounds}")).unwrap_or_default(),
            format!("{}{}", ratio.rounds, if ratio.paired { "" } else { " apart" }),
            figure(versus.metric, &a[pair.a]),
            figure(versus.metric, &b[pair.b]),
        ]);
    }
    table.lines(terminal.width()).iter().for_each(|line| terminal.line(line));
    let told = |versus: &Versus| format!("{} {}", a[pairs[versus.pair].a].short_label(), versus.metric);
    advice(found, told).iter().for_each(|text| terminal.paragraph(Style::Plain, text));
    let apart = if found.iter().any(|versus| !versus.ratio.paired) {
        " \"apart\": measured in different runs, so what changed between them is in the ratio and in no interval."
    } else {
        ""
    };
    terminal.paragraph(
        Style::Dim,
        &format!(
            "Ratio: the second over the first. The words rest on intervals of {} for all {} together.{apart}",
            judge.level_text(),
            found.len()
        ),
    );
}

/// The mean of a case's figure with its unit; nothing where it has none.
fn figure(metric: &str, group: &Group) -> String {
    let Ok(metric) = Metric::named(metric) else { return String::new() };
    (metric.estimate)(group).map(|figure| format!("{:.2} {}", figure.mean, metric.unit)).unwrap_or_default()
}

/// What to do where it cannot be told, whatever columns the terminal has room for.
fn advice(found: &[Versus], name: impl Fn(&Versus) -> String) -> Vec<String> {
    let mut lines = Vec::new();
    let more = found.iter().filter_map(|versus| Some((versus, versus.ratio.more_rounds?)));
    let more: Vec<String> = more.map(|(versus, rounds)| format!("{} +{rounds}", name(versus))).collect();
    if !more.is_empty() {
        let rest = more.len().saturating_sub(NAMED);
        let rest = if rest > 0 { format!(", and {rest} others") } else { String::new() };
        let some = more[..more.len().min(NAMED)].join(", ");
        lines.push(format!("More rounds of both that would tell (`tokometer run --rounds`): {some}{rest}."));
    }
    let any = |verdict: Verdict| found.iter().any(|versus| versus.ratio.verdict == verdict);
    if any(Verdict::OneLaunch) {
        lines.push("One launch tells nothing of what launches differ by: measure with `--launches 2` or more.".into());
    }
    if any(Verdict::NoInterval) {
        lines
            .push("Of a single sample there is no interval: measure with more rounds, launches or repetitions.".into());
    }
    if any(Verdict::OtherConditions) {
        let text = "The machine was not as quiet for the one as for the other: measure both in one run, or again; \
                    `--anyway` judges them all the same.";
        lines.push(text.into());
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokometer_core::analyze::Ratio;

    fn versus(verdict: Verdict, more_rounds: Option<u32>) -> Versus {
        let ratio =
            Ratio { ratio: 1.0, ci: None, interval: None, verdict, rounds: 6, launches: 3, paired: true, more_rounds };
        Versus { pair: 0, metric: "decode", ratio }
    }

    fn told(found: &[Versus]) -> String {
        advice(found, |versus| format!("x {}", versus.metric)).join("\n")
    }

    #[test]
    fn what_cannot_be_told_says_what_would_tell() {
        assert_eq!(told(&[versus(Verdict::Faster, None), versus(Verdict::Same, None)]), "");
        let text = told(&[versus(Verdict::CannotTell, Some(12)), versus(Verdict::Faster, None)]);
        assert!(text.ends_with("(`tokometer run --rounds`): x decode +12."), "{text}");
        let many: Vec<Versus> = (0..10).map(|n| versus(Verdict::CannotTell, Some(n + 1))).collect();
        assert!(told(&many).ends_with("x decode +8, and 2 others."), "{}", told(&many));
        assert!(told(&[versus(Verdict::OneLaunch, None)]).contains("--launches 2"));
        assert!(told(&[versus(Verdict::NoInterval, None)]).contains("no interval"));
        assert!(told(&[versus(Verdict::OtherConditions, None)]).contains("--anyway"));
    }
}
