//! `tokometer verify`: do engines and quantizations compute the same?

use super::{OK, SOME_FAILED, Session, prepare, print_json};
use crate::args::Verify;
use crate::settings::{self, Found};
use crate::terminal::{Align, Table};
use anyhow::{Context, Result, bail};
use serde::Serialize;
use tokometer_core::engine::{Failed, ModelFormat, Timeouts, Worker};
use tokometer_core::machine::{Machine, threads_for};
use tokometer_core::plan::Workload;
use tokometer_core::prepare::Prepared;
use tokometer_core::run::{Prompt, draw};
use tokometer_protocol::{Answer, Generate, Generated, Load, Request, Scored};

/// Tokens generated greedily.
const GREEDY: u32 = 64;
/// Prompt of the greedy generation.
const GREEDY_PROMPT: usize = 32;

/// What one side computed.
struct Side {
    name: String,
    scored: Scored,
    greedy: Vec<u32>,
}

/// One side against the first.
#[derive(Debug, Serialize)]
struct Agreement {
    side: String,
    reference: String,
    /// Positions that were compared.
    positions: usize,
    /// Mean absolute difference of log-probabilities of the given tokens, nats.
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
    Workload { prompt_tokens: options.tokens, gen_tokens: GREEDY, depth: 0 }.validate()?;
    let _lock = super::run::exclusive(session)?;
    let mut sides = Vec::new();
    for found in &found {
        for quantize in settings::quantizations(&options.selection, &session.config) {
            let native = found.engine.native(&quantize).map_err(anyhow::Error::msg)?;
            let prepared = prepare::one(session, &options.selection, found, &model, &quantize, native)?;
            terminal.say(&format!("{} {quantize} ({}) ...", found.engine.name, prepared.manifest.native));
            sides.push(
                compute(session, options, found, &quantize, &prepared)
                    .with_context(|| format!("{} {quantize}", found.engine.name))?,
            );
        }
    }
    if sides.len() < 2 {
        bail!(
            "verify compares two or more: name several engines (--engine llamacpp,tinygrad) or quantizations (--quantize float16,nf4)"
        );
    }
    let agreements: Vec<_> = sides[1..].iter().map(|side| compare(&sides[0], side, options.tolerance)).collect();
    show(session, options, &agreements)?;
    Ok(if agreements.iter().all(|a| a.agrees) { OK } else { SOME_FAILED })
}

fn compute(
    session: &Session<'_>,
    options: &Verify,
    found: &Found,
    quantize: &str,
    prepared: &Prepared,
) -> Result<Side> {
    let discovery = found.worker.clone()?;
    let workload = Workload { prompt_tokens: options.tokens, gen_tokens: GREEDY, depth: 0 };
    let seed = options.seed.or(session.config.defaults.seed).unwrap_or(42);
    let prompt = draw(&workload, seed, prepared.manifest.prompt_ids, prepared.manifest.bos);
    let mut worker = Worker::start(&discovery, Timeouts::default())?;
    let load = Load {
        model: prepared.path.display().to_string(),
        ctx_tokens: workload.ctx_tokens(),
        threads: Some(threads_for(options.selection.threads, &Machine::this())),
        device: options.device.clone(),
        quantize: (found.engine.format != ModelFormat::Gguf).then(|| prepared.manifest.native.clone()),
        ..Load::default()
    };
    worker.call(Request::Load(load), |_| ())?;
    let scored = score(&mut worker, &prompt)?;
    let greedy = generate(&mut worker, &prompt)?.tokens;
    worker.shutdown();
    Ok(Side { name: format!("{} {quantize} ({})", found.engine.name, prepared.manifest.native), scored, greedy })
}

fn score(worker: &mut Worker, prompt: &Prompt) -> Result<Scored, Failed> {
    match worker.call(Request::Score { tokens: prompt.prompt.clone() }, |_| ())? {
        Answer::Scored(scored) => Ok(scored),
        other => Err(Failed::new(tokometer_core::engine::Kind::Garbage, format!("score was answered by {other:?}"))),
    }
}

fn generate(worker: &mut Worker, prompt: &Prompt) -> Result<Generated, Failed> {
    let start = prompt.prompt[..prompt.prompt.len().min(GREEDY_PROMPT)].to_vec();
    match worker
        .call(Request::Generate(Generate { prompt: start, gen_tokens: GREEDY, ..Generate::default() }), |_| ())?
    {
        Answer::Generated(generated) => Ok(generated),
        other => Err(Failed::new(tokometer_core::engine::Kind::Garbage, format!("generate was answered by {other:?}"))),
    }
}

fn compare(reference: &Side, side: &Side, tolerance: f64) -> Agreement {
    let (a, b) = (&reference.scored, &side.scored);
    let positions = a.logprobs.len().min(b.logprobs.len());
    let differences: Vec<f64> = a.logprobs.iter().zip(&b.logprobs).map(|(x, y)| f64::from((x - y).abs())).collect();
    let mean = differences.iter().sum::<f64>() / positions.max(1) as f64;
    let same = a.top_tokens.iter().zip(&b.top_tokens).filter(|(x, y)| x == y).count();
    let equal = reference.greedy.iter().zip(&side.greedy).take_while(|(x, y)| x == y).count();
    Agreement {
        side: side.name.clone(),
        reference: reference.name.clone(),
        positions,
        mean_difference: mean,
        max_difference: differences.iter().copied().fold(0.0, f64::max),
        same_top: same as f64 / positions.max(1) as f64,
        greedy_equal: equal,
        greedy: side.greedy.len(),
        agrees: positions > 0 && a.logprobs.len() == b.logprobs.len() && mean <= tolerance,
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
        table.row(vec![
            agreement.side.clone(),
            format!("{:.5}", agreement.mean_difference),
            format!("{:.5}", agreement.max_difference),
            format!("{:.1}%", agreement.same_top * 100.0),
            format!("{}/{}", agreement.greedy_equal, agreement.greedy),
            if agreement.agrees { "agrees" } else { "differs" }.into(),
        ]);
    }
    table.lines(terminal.width()).iter().for_each(|line| terminal.line(line));
    Ok(())
}
