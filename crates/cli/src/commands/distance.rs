//! `tokometer eval --env distance`: how far each quantization is from the unquantized model, on a text.

use super::keep::{self, Introductions};
use super::{OK, SOME_FAILED, Session, prepare, print_json, write_whole};
use crate::args::{DistanceFlags, Selection};
use crate::settings::{self, Found};
use crate::terminal::{Align, Style, Table};
use anyhow::{Context, Result, anyhow, bail};
use std::collections::BTreeMap;
use std::time::Duration;
use tokometer_core::engine::Timeouts;
use tokometer_core::machine::Machine;
use tokometer_core::plan::ModelRef;
use tokometer_core::prepare::Target;
use tokometer_eval::distance::{
    Base, ENVIRONMENT, Record, Settings, Subject, Text, Value, Without, finished, positions_csv,
};
use tokometer_eval::keep::distance as identity_of;

/// The names of this evaluation.
pub const NAMES: &[&str] = &[ENVIRONMENT, "perplexity"];

/// What it needs of the command line.
pub struct Distance<'a> {
    /// Which models and engines.
    pub selection: &'a Selection,
    /// Its own flags.
    pub flags: &'a DistanceFlags,
    /// Device by the engine's name.
    pub device: Option<&'a str>,
    /// Whether what has a finished result is measured again.
    pub again: bool,
    /// Seconds without an answer after which a worker counts as hung.
    pub timeout: u64,
}

/// Measures the distance of every engine and quantization and writes the results.
pub fn distance(session: &Session<'_>, options: &Distance<'_>) -> Result<u8> {
    let flags = options.flags;
    if flags.chunks == Some(0) {
        bail!("--chunks must be at least 1");
    }
    let text = match &flags.text {
        Some(path) => Text::read(path)?,
        None => Text::held_out(),
    };
    let found = settings::engines(&options.selection.engine, &session.config, |text| session.terminal.say(text))?;
    let model = settings::model(options.selection, &session.config)?;
    let plan = plan(&found, flags)?;
    let _lock = super::run::exclusive(session)?;
    let earlier = if options.again { Vec::new() } else { finished(&session.folders.verifiers_results()) };
    let (records, without, failed) = (Vec::new(), Vec::new(), Vec::new());
    let mut job =
        Job { session, options, model, text, earlier, engines: Introductions::default(), records, without, failed };
    for (base, engines) in plan {
        job.against(base, &engines);
    }
    for reason in &job.failed {
        session.terminal.error(reason);
    }
    if job.records.is_empty() && job.without.is_empty() {
        bail!("nothing could be compared");
    }
    match options.selection.json {
        true => {
            let all = job.records.iter().map(serde_json::to_value);
            let all = all.chain(job.without.iter().map(serde_json::to_value));
            print_json(session.terminal, &all.collect::<serde_json::Result<Vec<_>>>()?)?;
        }
        false => show(session, &job.records, &job.without),
    }
    Ok(if job.failed.is_empty() && job.without.is_empty() { OK } else { SOME_FAILED })
}

/// An original: engine and quantization.
type Original<'a> = (&'a Found, &'a str);

/// Which engines are held against which original: each against its own, or all against one that names its engine.
fn plan<'a>(found: &'a [Found], flags: &'a DistanceFlags) -> Result<Vec<(Original<'a>, Vec<&'a Found>)>> {
    let asked = flags.base.as_str();
    let Some((engine, quantize)) = asked.split_once(':') else {
        return Ok(found.iter().map(|engine| ((engine, asked), vec![engine])).collect());
    };
    let base = found.iter().find(|found| found.engine.name == engine).ok_or_else(|| {
        let known: Vec<&str> = found.iter().map(|found| found.engine.name).collect();
        anyhow!("--base names the engine {engine:?}, which is not among the chosen ones: {}", known.join(", "))
    })?;
    Ok(vec![((base, quantize), found.iter().collect())])
}

/// One run of the evaluation.
struct Job<'a> {
    session: &'a Session<'a>,
    options: &'a Distance<'a>,
    model: ModelRef,
    text: Text,
    /// Results that there were before; none where all is measured again.
    earlier: Vec<Record>,
    engines: Introductions,
    records: Vec<Record>,
    /// What has no distance.
    without: Vec<Without>,
    failed: Vec<String>,
}

impl Job<'_> {
    /// Holds all quantizations of these engines against one original, which is measured once there is one without a finished
    /// result. Each result is written at once.
    fn against(&mut self, (original, label): Original<'_>, engines: &[&Found]) {
        let lost = |error: &anyhow::Error| format!("{} {label}, the original: {error:#}", original.engine.name);
        let quantizations = settings::quantizations(self.options.selection, &self.session.config);
        let tells = |found: &Found| self.engines.offers(found, "score") != Some(false);
        let (engines, silent): (Vec<&Found>, Vec<&Found>) = engines.iter().copied().partition(|found| tells(found));
        for found in silent {
            let without = quantizations.iter().map(|quantize| Without::log_probabilities(found.engine, quantize));
            self.without.extend(without);
        }
        if engines.is_empty() {
            return;
        }
        let subject = match self.subject(original, label) {
            Ok(subject) => subject,
            Err(error) => return self.failed.push(lost(&error)),
        };
        let mut base = None;
        for found in engines {
            for quantize in &quantizations {
                let Some(wanted) = self.wanted((original, &subject), found, quantize) else { continue };
                let measured = match self.measured(&subject, &mut base) {
                    Ok(measured) => measured,
                    Err(error) => return self.failed.push(lost(&error)),
                };
                if let Err(error) = self.one((&subject, measured), &wanted) {
                    self.failed.push(format!("{} {quantize}: {error:#}", found.engine.name));
                }
            }
        }
    }

    /// The original's distributions, measured when they are first asked for.
    fn measured<'b>(&self, subject: &Subject, base: &'b mut Option<Base>) -> Result<&'b Base> {
        let measured = match base.take() {
            Some(measured) => measured,
            None => Base::measure(subject, &self.text, &self.settings(), self.session.terminal.progress())?,
        };
        Ok(base.insert(measured))
    }

    /// A quantization that is to be measured, with its identity; `None` for one that is kept or cannot be prepared.
    fn wanted(
        &mut self,
        (original, base): (&Found, &Subject),
        found: &Found,
        quantize: &str,
    ) -> Option<(Subject, String)> {
        let subject = match self.subject(found, quantize) {
            Ok(subject) => subject,
            Err(error) => {
                self.failed.push(format!("{} {quantize}: {error:#}", found.engine.name));
                return None;
            }
        };
        let (base, own) = (self.computing(base), self.computing(&subject));
        let identity = identity_of(&base, &own, &self.text, self.options.flags.chunks);
        let Some(record) = self.kept(&identity, original, found) else { return Some((subject, identity)) };
        let text = format!("kept: {} distance, measured {} (--again measures anew)", subject.name(), record.timestamp);
        self.session.terminal.say(&text);
        self.records.push(record);
        None
    }

    fn computing(&self, subject: &Subject) -> String {
        let (device, ctx) = (self.options.device, self.options.flags.ctx);
        keep::identity(self.session, &subject.manifest, &subject.quantize, device, ctx)
    }

    /// The newest result of that identity, if both engines are of the same versions.
    fn kept(&self, identity: &str, original: &Found, found: &Found) -> Option<Record> {
        let is_alike = |record: &&Record| record.identity.as_deref() == Some(identity);
        let alike: Vec<&Record> = self.earlier.iter().filter(is_alike).collect();
        if alike.is_empty() {
            return None;
        }
        let (base, own) = (self.engines.version(original)?, self.engines.version(found)?);
        let is_same =
            |record: &&Record| record.engine_version == own && record.base.engine_version.as_ref() == Some(&base);
        let newest = alike.into_iter().filter(is_same).max_by(|a, b| a.timestamp.cmp(&b.timestamp));
        newest.cloned()
    }

    fn one(&mut self, base: (&Subject, &Base), (subject, identity): &(Subject, String)) -> Result<()> {
        let measured = base.1.distance(subject, self.session.terminal.progress())?;
        let mut record = Record::new(base, subject, &measured, &self.text, &Machine::this().hostname);
        record.identity = Some(identity.clone());
        let file = self.session.folders.verifiers_results().join(format!("{}.json", record.stem()));
        let positions = positions_csv(&measured.chunks, record.scored_from);
        write_whole(&file.with_extension("csv"), positions.as_bytes())?;
        write_whole(&file, &record.json().context("the result does not serialize")?)?;
        self.session.terminal.say(&format!("result: {} (and .csv)", file.display()));
        self.records.push(record);
        Ok(())
    }

    /// Prepares a model in a quantization of an engine.
    fn subject(&self, found: &Found, quantize: &str) -> Result<Subject> {
        let (session, selection) = (self.session, self.options.selection);
        if let Some(missing) = found.missing() {
            bail!(missing);
        }
        let native = found.engine.native(quantize).map_err(anyhow::Error::msg)?;
        let own = settings::engine_options(found.engine.name, &session.config);
        let target =
            Target { device: self.options.device, ctx_tokens: self.options.flags.ctx, ubatch: None, options: &own };
        let prepared = prepare::one(session, selection, found, &self.model, (quantize, native), target)?;
        Ok(Subject {
            engine: found.engine,
            quantize: quantize.to_owned(),
            discovery: found.worker.clone()?,
            model_path: prepared.path,
            manifest: prepared.manifest,
            threads: settings::threads(selection, &session.config, &Machine::this()),
            device: self.options.device.map(str::to_owned),
            options: own,
        })
    }

    fn settings(&self) -> Settings {
        let request = Duration::from_secs(self.options.timeout.max(1));
        Settings {
            ctx: self.options.flags.ctx,
            chunks: self.options.flags.chunks,
            scratch: self.session.folders.verifiers_results().join(".distance"),
            threads: std::thread::available_parallelism().map_or(1, usize::from),
            timeouts: Timeouts { request, ..Timeouts::default() },
        }
    }
}

fn show(session: &Session<'_>, records: &[Record], without: &[Without]) {
    let terminal = session.terminal;
    let mut sections: BTreeMap<String, Vec<&Record>> = BTreeMap::new();
    for record in records {
        let heading = format!(
            "{} against {} {}, on {}: {} positions in {} chunks of {} tokens",
            record.model,
            record.base.engine,
            record.base.native_quantize,
            record.text.name,
            record.num_examples,
            record.chunks,
            record.ctx
        );
        sections.entry(heading).or_default().push(record);
    }
    for (heading, records) in sections {
        terminal.paragraph(Style::Bold, &heading);
        rows(session, records.into_iter().map(cells));
    }
    if !without.is_empty() {
        terminal.paragraph(Style::Bold, "without a distance");
        rows(session, without.iter().map(empty_cells));
        let mut reasons: Vec<&str> = without.iter().map(|without| without.reason.as_str()).collect();
        reasons.dedup();
        reasons.into_iter().for_each(|reason| terminal.paragraph(Style::Plain, reason));
        if records.is_empty() {
            return;
        }
        terminal.line("");
    }
    let meaning = "± is the standard error of the mean over positions, as llama-perplexity prints it; divergences are in nats per token";
    terminal.paragraph(Style::Dim, meaning);
}

fn rows(session: &Session<'_>, rows: impl Iterator<Item = Vec<String>>) {
    let terminal = session.terminal;
    let mut table = Table::new(&[
        ("engine", Align::Left),
        ("quantize", Align::Left),
        ("bits/w", Align::Right),
        ("KL divergence", Align::Right),
        ("same top", Align::Right),
        ("ln PPL ratio", Align::Right),
        ("PPL", Align::Right),
        ("RMS Δp", Align::Right),
        ("KLD 99%", Align::Right),
        ("KLD max", Align::Right),
    ]);
    rows.for_each(|row| table.row(row));
    table.lines(terminal.width()).iter().for_each(|line| terminal.line(line));
    terminal.line("");
}

/// Nothing but what was asked for.
fn empty_cells(without: &Without) -> Vec<String> {
    let native = without.native_quantize.as_deref().unwrap_or(&without.quantization);
    let mut cells = vec![without.engine.to_owned(), label(&without.quantization, native)];
    cells.resize(10, String::new());
    cells
}

/// A quantization with what it really is, in few words.
fn label(quantize: &str, native: &str) -> String {
    match quantize == native {
        true => quantize.to_owned(),
        false => format!("{quantize} ({})", native.split(',').next().unwrap_or_default()),
    }
}

fn cells(record: &Record) -> Vec<String> {
    let with_error = |name: &str, factor: f64, digits: usize, unit: &str| {
        let text = |Value { avg, std }: Value| {
            let error = std.map(|std| format!(" ±{:.digits$}", std * factor)).unwrap_or_default();
            format!("{:.digits$}{error}{unit}", avg * factor)
        };
        record.value(name).map(text).unwrap_or_default()
    };
    vec![
        record.engine.clone(),
        label(&record.quantization, &record.native_quantize),
        record.bits_per_weight.map(|bits| format!("{bits:.2}")).unwrap_or_default(),
        with_error("kld_mean", 1.0, 5, ""),
        with_error("same_top", 100.0, 2, "%"),
        with_error("ln_ppl_ratio", 1.0, 5, ""),
        with_error("ppl", 1.0, 3, ""),
        with_error("delta_p_rms", 100.0, 2, "%"),
        with_error("kld_p99", 1.0, 4, ""),
        with_error("kld_max", 1.0, 4, ""),
    ]
}
