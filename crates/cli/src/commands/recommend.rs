//! `tokometer recommend`: which case to take, what it costs, and how sure that is.

use super::{OK, SOME_FAILED, Session, analyze, print_json};
use crate::args::Recommend;
use crate::terminal::{Style, Terminal};
use anyhow::{Result, bail};
use std::collections::BTreeMap;
use tokometer_core::analyze::{Advice, Candidate, Wishes, recommend as judge};
use tokometer_core::report;

/// Hosts, devices, models and workloads that are told of one by one.
const SHOWN: usize = 40;

/// The command. The exit code says whether every place has a case that does all that is wished.
pub fn recommend(session: &Session<'_>, options: &Recommend) -> Result<u8> {
    let terminal = session.terminal;
    let wishes = wishes(options)?;
    if wishes.is_empty() {
        bail!("what is needed? --min-speed TOKENS_PER_S, --max-memory SIZE, --max-kl NATS, --min-accuracy SHARE");
    }
    let analysis = analyze::read(session)?;
    let sources = report::gather(&session.folders.output()).sources;
    let names: BTreeMap<String, String> = sources.into_iter().map(|source| (source.model, source.source)).collect();
    let advice = judge(&analysis.groups, (&analysis.scores, &analysis.unscored), &wishes, &names);
    if advice.is_empty() {
        bail!(
            "nothing was measured yet: `tokometer run --model M --quantize default,float16,int8,nf4 && tokometer collate` does it"
        );
    }
    match options.json {
        true => print_json(terminal, &advice)?,
        false => {
            advice.iter().take(SHOWN).for_each(|advice| show(terminal, advice));
            if let Some(more) = advice.len().checked_sub(SHOWN).filter(|more| *more > 0) {
                terminal.paragraph(Style::Dim, &format!("{more} further places are left out; `--json` tells of all"));
            }
        }
    }
    Ok(if advice.iter().all(|advice| advice.choice.is_some()) { OK } else { SOME_FAILED })
}

fn wishes(options: &Recommend) -> Result<Wishes> {
    let share = options.min_accuracy;
    if share.is_some_and(|share| !(0.0..=1.0).contains(&share)) {
        bail!("--min-accuracy is a share from 0 to 1, as 0.8");
    }
    let positive = |value: Option<f64>| value.is_none_or(|value| value.is_finite() && value >= 0.0);
    if !positive(options.min_speed) || !positive(options.max_kl) {
        bail!("--min-speed and --max-kl are numbers from 0");
    }
    Ok(Wishes {
        min_speed: options.min_speed,
        max_memory: options.max_memory,
        max_kl: options.max_kl,
        min_accuracy: share,
        environment: options.env.clone(),
    })
}

fn show(terminal: &Terminal, advice: &Advice) {
    terminal.paragraph(Style::Bold, &advice.place);
    match &advice.choice {
        Some(choice) => {
            terminal.paragraph(Style::Green, &format!("take {}", choice.name));
            terminal.field("why", "the fastest that does all that is wished");
            terminal.field("costs", choice.cost.as_deref().unwrap_or(""));
            for (i, sentence) in choice.sure.iter().enumerate() {
                terminal.field(if i == 0 { "how sure" } else { "" }, sentence);
            }
        }
        None if advice.missing.is_empty() => terminal.paragraph(Style::Red, "no case does all that is wished"),
        None => terminal.paragraph(Style::Yellow, "no case is known to do all that is wished"),
    }
    let others =
        advice.candidates.iter().enumerate().filter(|(i, _)| advice.choice.as_ref().is_none_or(|c| c.candidate != *i));
    for (_, candidate) in others {
        terminal
            .field("other", &format!("{}, {:.2} tokens/s: {}", candidate.name, candidate.speed, why_not(candidate)));
    }
    for missing in &advice.missing {
        terminal.field("missing", &missing.what);
        if let Some(command) = &missing.command {
            terminal.field("brings it", command);
        }
    }
    terminal.line("");
}

/// What speaks against a case.
fn why_not(candidate: &Candidate) -> String {
    let told = |met: Option<bool>, word: &str| -> Vec<String> {
        let conditions = candidate.conditions.iter().filter(|condition| condition.met == met);
        conditions.map(|condition| format!("{word} {}: {}", condition.wish, condition.found)).collect()
    };
    let (failed, unknown) = (told(Some(false), "not"), told(None, "not known whether"));
    match (failed.is_empty(), unknown.is_empty()) {
        (false, _) => failed.join("; "),
        (true, false) => unknown.join("; "),
        (true, true) => "does it as well, slower".to_owned(),
    }
}
