//! `tokometer verify`: do engines and quantizations compute the same?

use super::{OK, SOME_FAILED, Session, prepare, print_json};
use crate::args::Verify;
use crate::settings::{self, Found};
use crate::terminal::{Align, Style, Table};
use anyhow::{Context, Result, bail};
use serde::Serialize;
use tokometer_core::engine::{Failed, ModelFormat, Timeouts, Worker};
use tokometer_core::machine::Machine;
use tokometer_core::plan::Workload;
use tokometer_core::prepare::{Prepared, Target};
use tokometer_core::run::{Prompt, draw};
use tokometer_protocol::{Answer, Generate, Generated, Load, Request, Scored};

/// Tokens generated greedily.
const GREEDY: u32 = 64;
/// Prompt of the greedy generation.
const GREEDY_PROMPT: usize = 32;

/// What one side computed.
struct Side<'a> {
    name: String,
    found: &'a Found,
    prepared: Prepared,
    prompt: Prompt,
    /// Log-probabilities of the drawn tokens; `None` where the engine does not tell them.
    scored: Option<Scored>,
    /// What it generated greedily after the first of these tokens.
    greedy: Vec<u32>,
}

/// One side against the first.
#[derive(Debug, Serialize)]
struct Agreement {
    side: String,
    reference: String,
    /// Positions that were compared.
    positions: usize,
    /// `scores`: the log-probabilities of the same tokens. `greedy`: by how much less probable the reference finds each
    /// greedy token than its own choice at that place, for an engine that tells no log-probabilities.
    compared: &'static str,
    /// Mean absolute difference, nats.
    mean_difference: f64,
    /// Largest such difference, nats.
    max_difference: f64,
    /// Share of positions at which both hold the same token for the most probable.
    same_top: f64,
    /// Greedy tokens that are equal before the first that differs.
    greedy_equal: usize,
    /// Greedy tokens generated.
    greedy: usize,
    agrees: bool,
}

/// The command.
pub fn verify(session: &Session<'_>, options: &Verify) -> Result<u8> {
    let terminal = session.terminal;
    if options.tokens < 2 {
        bail!("--tokens must be at least 2");
    }
    let found = settings::engines(&options.selection.engine, &session.config, |text| terminal.say(text))?;
    let model = settings::model(&options.selection, &session.config)?;
    workload(options).validate()?;
    let _lock = super::run::exclusive(session)?;
    let mut sides = Vec::new();
    for found in &found {
        if let Some(missing) = found.missing() {
            terminal.error(&missing);
            continue;
        }
        let target = Target {
            device: options.device.as_deref(),
            ctx_tokens: workload(options).ctx_tokens(),
            ubatch: None,
            options: &settings::engine_options(found.engine.name, &session.config),
        };
        for quantize in settings::quantizations(&options.selection, &session.config) {
            let native = found.engine.native(&quantize).map_err(anyhow::Error::msg)?;
            let prepared = prepare::one(session, &options.selection, found, &model, (&quantize, native), target)?;
            terminal.say(&format!("{} {quantize} ({}) ...", found.engine.name, prepared.manifest.native));
            sides.push(
                compute(session, options, found, &quantize, prepared)
                    .with_context(|| format!("{} {quantize}", found.engine.name))?,
            );
        }
    }
    if sides.len() < 2 {
        bail!(
            "verify compares two or more: name several engines (--engine llamacpp,tinygrad) or quantizations (--quantize float16,nf4)"
        );
    }
    let Some(first) = sides.iter().position(|side| side.scored.is_some()) else {
        bail!("none of these engines tells log-probabilities: name one that does beside them, as llamacpp");
    };
    let reference = sides.remove(first);
    let agreements: Vec<_> =
        sides.iter().map(|side| agreement(session, options, &reference, side)).collect::<Result<_>>()?;
    show(session, options, &agreements)?;
    Ok(if agreements.iter().all(|a| a.agrees) { OK } else { SOME_FAILED })
}

fn workload(options: &Verify) -> Workload {
    Workload { prompt_tokens: options.tokens, gen_tokens: GREEDY, depth: 0 }
}

fn compute<'a>(
    session: &Session<'_>,
    options: &Verify,
    found: &'a Found,
    quantize: &str,
    prepared: Prepared,
) -> Result<Side<'a>> {
    let seed = options.seed.or(session.config.defaults.seed).unwrap_or(42);
    let prompt = draw(&workload(options), seed, prepared.manifest.prompt_ids, prepared.manifest.bos);
    let mut worker = loaded(session, options, found, &prepared)?;
    let can_score = worker.hello.methods.iter().any(|method| method == "score");
    let scored = can_score.then(|| score(&mut worker, &prompt.prompt)).transpose()?;
    let greedy = generate(&mut worker, &prompt)?.tokens;
    worker.shutdown();
    let name = format!("{} {quantize} ({})", found.engine.name, prepared.manifest.native);
    Ok(Side { name, found, prepared, prompt, scored, greedy })
}

/// A worker with the model loaded, with the settings that `run` measures.
fn loaded(session: &Session<'_>, options: &Verify, found: &Found, prepared: &Prepared) -> Result<Worker> {
    let mut worker = Worker::start(&found.worker.clone()?, Timeouts::default())?;
    let load = Load {
        model: prepared.path.display().to_string(),
        ctx_tokens: workload(options).ctx_tokens(),
        threads: Some(settings::threads(&options.selection, &session.config, &Machine::this())),
        device: options.device.clone(),
        quantize: (found.engine.format != ModelFormat::Gguf).then(|| prepared.manifest.native.clone()),
        options: settings::engine_options(found.engine.name, &session.config),
        ..Load::default()
    };
    worker.call(Request::Load(load), |_| ())?;
    Ok(worker)
}

fn score(worker: &mut Worker, tokens: &[u32]) -> Result<Scored, Failed> {
    match worker.call(Request::Score { tokens: tokens.to_vec(), from: 0, full: None }, |_| ())? {
        Answer::Scored(scored) => Ok(scored),
        other => Err(Failed::new(tokometer_core::engine::Kind::Garbage, format!("score was answered by {other:?}"))),
    }
}

fn generate(worker: &mut Worker, prompt: &Prompt) -> Result<Generated, Failed> {
    let start = start(prompt).to_vec();
    match worker
        .call(Request::Generate(Generate { prompt: start, gen_tokens: GREEDY, ..Generate::default() }), |_| ())?
    {
        Answer::Generated(generated) => Ok(generated),
        other => Err(Failed::new(tokometer_core::engine::Kind::Garbage, format!("generate was answered by {other:?}"))),
    }
}

/// The prompt of the greedy generation.
fn start(prompt: &Prompt) -> &[u32] {
    &prompt.prompt[..prompt.prompt.len().min(GREEDY_PROMPT)]
}

/// Holds a side against the reference, by scores where it tells them. Otherwise the reference scores what it generated.
fn agreement(session: &Session<'_>, options: &Verify, reference: &Side<'_>, side: &Side<'_>) -> Result<Agreement> {
    let own = reference.scored.as_ref().context("the reference has no scores")?;
    if let Some(scored) = &side.scored {
        return Ok(compare(reference, side, options.tolerance, "scores", &Differences::of_scores(own, scored)));
    }
    let start = start(&side.prompt);
    let tokens = [start, &side.greedy].concat();
    let mut worker = loaded(session, options, reference.found, &reference.prepared)?;
    let scored = score(&mut worker, &tokens)?;
    worker.shutdown();
    let differences = Differences::of_greedy(&scored, start.len(), &side.greedy);
    Ok(compare(reference, side, options.tolerance, "greedy", &differences))
}

/// Place by place.
struct Differences {
    /// Nats.
    nats: Vec<f64>,
    /// Places at which both find the same token the most probable.
    same_top: usize,
    /// Whether both sides told all places.
    complete: bool,
}

impl Differences {
    fn of_scores(a: &Scored, b: &Scored) -> Differences {
        Differences {
            nats: a.logprobs.iter().zip(&b.logprobs).map(|(x, y)| f64::from((x - y).abs())).collect(),
            same_top: a.top_tokens.iter().zip(&b.top_tokens).filter(|(x, y)| x == y).count(),
            complete: a.logprobs.len() == b.logprobs.len(),
        }
    }

    /// `scored` is of a prompt of `start` tokens and the greedy tokens after it; entry i is of token i + 1.
    fn of_greedy(scored: &Scored, start: usize, greedy: &[u32]) -> Differences {
        let from = start.saturating_sub(1);
        let places = scored.logprobs.iter().zip(&scored.top_logprobs).skip(from);
        let nats: Vec<f64> = places.map(|(given, top)| f64::from((top - given).max(0.0))).collect();
        let same_top = scored.top_tokens.iter().skip(from).zip(greedy).filter(|(top, token)| top == token).count();
        Differences { complete: nats.len() == greedy.len(), nats, same_top }
    }
}

fn compare(
    reference: &Side<'_>,
    side: &Side<'_>,
    tolerance: f64,
    compared: &'static str,
    differences: &Differences,
) -> Agreement {
    let positions = differences.nats.len();
    let mean = differences.nats.iter().sum::<f64>() / positions.max(1) as f64;
    let equal = reference.greedy.iter().zip(&side.greedy).take_while(|(x, y)| x == y).count();
    Agreement {
        side: side.name.clone(),
        reference: reference.name.clone(),
        positions,
        compared,
        mean_difference: mean,
        max_difference: differences.nats.iter().copied().fold(0.0, f64::max),
        same_top: differences.same_top as f64 / positions.max(1) as f64,
        greedy_equal: equal,
        greedy: side.greedy.len(),
        agrees: positions > 0 && differences.complete && mean <= tolerance,
    }
}

fn show(session: &Session<'_>, options: &Verify, agreements: &[Agreement]) -> Result<()> {
    if options.selection.json {
        return print_json(session.terminal, &agreements);
    }
    let terminal = session.terminal;
    terminal.line(&format!(
        "against {}, over {} positions (tolerance {} nats on average):",
        agreements[0].reference, agreements[0].positions, options.tolerance
    ));
    let mut table = Table::new(&[
        ("engine and quantization", Align::Left),
        ("mean |Δ log p|", Align::Right),
        ("max", Align::Right),
        ("same top-1", Align::Right),
        ("greedy equal", Align::Right),
        ("verdict", Align::Left),
    ]);
    for agreement in agreements {
        let mark = if agreement.compared == "greedy" { "*" } else { "" };
        table.row(vec![
            format!("{}{mark}", agreement.side),
            format!("{:.5}", agreement.mean_difference),
            format!("{:.5}", agreement.max_difference),
            format!("{:.1}%", agreement.same_top * 100.0),
            format!("{}/{}", agreement.greedy_equal, agreement.greedy),
            if agreement.agrees { "agrees" } else { "differs" }.into(),
        ]);
    }
    table.lines(terminal.width()).iter().for_each(|line| terminal.line(line));
    if let Some(greedy) = agreements.iter().find(|agreement| agreement.compared == "greedy") {
        let text = format!(
            "* tells no log-probabilities: at each of its {} greedy tokens, how much more probable the reference's own choice is to the reference",
            greedy.positions
        );
        terminal.paragraph(Style::Plain, &text);
    }
    Ok(())
}
