//! `tokometer eval --env distance`: how far each quantization is from the unquantized model, on a text.
//!
//! What an engine does not offer is a result without figures that says why; what is printed of all results is `table`'s.

mod table;

use super::keep::{self, Told};
use super::{OK, SOME_FAILED, Session, eval, prepare, print_json, write_whole};
use crate::args::{DistanceFlags, Selection};
use crate::settings::{self, Found};
use anyhow::{Context, Result, anyhow, bail};
use std::path::PathBuf;
use std::time::Duration;
use tokometer_core::engine::Timeouts;
use tokometer_core::machine::Machine;
use tokometer_core::plan::ModelRef;
use tokometer_core::prepare::{Manifest, Target};
use tokometer_eval::distance::{
    self, Base, ENVIRONMENT, Record, Settings, Subject, Text, Unmeasured, finished, positions_csv, tells_nothing,
};
use tokometer_eval::keep::{distance as identity_of, find};

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
        bail!("--chunks must be at least 1; without it the whole text counts");
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
    let told = Told::default();
    let mut job = Job { session, options, model, text, earlier, told, records: Vec::new(), failed: Vec::new() };
    for (base, engines) in plan {
        job.against(base, &engines)?;
    }
    for reason in &job.failed {
        session.terminal.error(reason);
    }
    if job.records.is_empty() {
        bail!("no distance could be measured: the reasons stand above");
    }
    eval::write_table(session, &session.folders.verifiers_results())?;
    match options.selection.json {
        true => print_json(session.terminal, &job.records)?,
        false => table::show(session, &job.records),
    }
    Ok(if job.failed.is_empty() { OK } else { SOME_FAILED })
}

/// An engine and a quantization: an original, or what is held against it.
type Case<'a> = (&'a Found, &'a str);

/// Which engines are held against which original: each against its own, or all against one that names its engine.
fn plan<'a>(found: &'a [Found], flags: &'a DistanceFlags) -> Result<Vec<(Case<'a>, Vec<&'a Found>)>> {
    let asked = flags.base.as_str();
    let Some((engine, quantize)) = asked.split_once(':') else {
        return Ok(found.iter().map(|engine| ((engine, asked), vec![engine])).collect());
    };
    let base = found.iter().find(|found| found.engine.name == engine).ok_or_else(|| {
        let known: Vec<&str> = found.iter().map(|found| found.engine.name).collect();
        anyhow!(
            "--base names the engine {engine:?}, which is not among the chosen ones, {}: --engine takes both, separated by a comma",
            known.join(", ")
        )
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
    told: Told,
    records: Vec<Record>,
    failed: Vec<String>,
}

impl Job<'_> {
    /// Holds all quantizations of these engines against one original, which is measured once there is one without a finished
    /// result. Each result is written at once.
    ///
    /// # Errors
    /// That something is not offered cannot be written down.
    fn against(&mut self, original: Case<'_>, engines: &[&Found]) -> Result<()> {
        let quantizations = settings::quantizations(self.options.selection, &self.session.config);
        let cases: Vec<Case<'_>> = engines
            .iter()
            .flat_map(|found| quantizations.iter().map(move |quantize| (*found, quantize.as_str())))
            .collect();
        // A word that was typed wrong is no property of the cases.
        if let Err(why) = original.0.engine.native(original.1) {
            self.failed.push(format!("{} {}, the original: {why}", original.0.engine.name, original.1));
            return Ok(());
        }
        if let Some(why) = self.refused(original) {
            return self.without(original, &cases, &why);
        }
        let subject = match self.subject(original) {
            Ok(subject) => subject,
            Err(error) => return self.lost(original, &cases, &error),
        };
        let mut base = None;
        for (i, case) in cases.iter().copied().enumerate() {
            if let Some(why) = self.refused(case) {
                self.not_offered(original, case, &why)?;
                continue;
            }
            let Some(wanted) = self.wanted((original.0, &subject), case) else { continue };
            let measured = match self.measured(&subject, &mut base) {
                Ok(measured) => measured,
                Err(error) => return self.lost(original, &cases[i..], &error),
            };
            match self.one((&subject, measured), &wanted) {
                Ok(()) => (),
                Err(error) if is_not_offered(&error) => self.not_offered(original, case, &format!("{error:#}"))?,
                Err(error) => self.failed.push(format!("{} {}: {error:#}", case.0.engine.name, case.1)),
            }
        }
        Ok(())
    }

    /// Why there can be no distributions of an engine and quantization, as far as is known before anything is prepared.
    fn refused(&self, (found, quantize): Case<'_>) -> Option<String> {
        found.engine.native(quantize).err().or_else(|| tells_nothing(&self.told.of(found)?))
    }

    /// That there is no original to hold these against.
    fn lost(&mut self, original: Case<'_>, cases: &[Case<'_>], error: &anyhow::Error) -> Result<()> {
        if is_not_offered(error) {
            return self.without(original, cases, &format!("{error:#}"));
        }
        self.failed.push(format!("{} {}, the original: {error:#}", original.0.engine.name, original.1));
        Ok(())
    }

    /// Results without figures of all that was to be held against an original that there cannot be.
    fn without(&mut self, original: Case<'_>, cases: &[Case<'_>], why: &str) -> Result<()> {
        for case in cases.iter().copied() {
            match case.0.engine.name == original.0.engine.name {
                true => self.not_offered(original, case, why)?,
                // Against another original it may well have one.
                false => self.failed.push(format!(
                    "{} {}: there is no original, {} {}: {why}; --base with a quantization alone holds each engine against its own",
                    case.0.engine.name, case.1, original.0.engine.name, original.1
                )),
            }
        }
        Ok(())
    }

    /// A result without figures.
    fn not_offered(&mut self, original: Case<'_>, (found, quantize): Case<'_>, reason: &str) -> Result<()> {
        // What a label means may depend on the device, which only preparing chooses.
        let native = found.engine.native(quantize).ok().filter(|native| !native.contains(" or "));
        let hello = self.told.of(found);
        let record = Record::not_offered(&Unmeasured {
            manifest: &Manifest::unprepared(&self.model, found.engine, native.unwrap_or(quantize)),
            quantize,
            native,
            engine_version: hello.as_ref().map(|hello| hello.engine_version.as_str()),
            original: (original.0.engine.name, original.1),
            text: &self.text,
            hostname: &Machine::this().hostname,
            reason,
        });
        let file = self.write(&record, &positions_csv(&[], 0))?;
        let case = format!("{} {quantize}", found.engine.name);
        self.failed
            .push(format!("{case} is not offered: {reason}; its result, without figures, is {}", file.display()));
        self.records.push(record);
        Ok(())
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
        (found, quantize): Case<'_>,
    ) -> Option<(Subject, String)> {
        let subject = match self.subject((found, quantize)) {
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
        let versions = || Some(vec![self.told.version(original)?, self.told.version(found)?]);
        find(&self.earlier, identity, versions).cloned()
    }

    fn one(&mut self, base: (&Subject, &Base), (subject, identity): &(Subject, String)) -> Result<()> {
        let measured = base.1.distance(subject, self.session.terminal.progress())?;
        let mut record = Record::new(base, subject, &measured, &self.text, &Machine::this().hostname);
        record.identity = Some(identity.clone());
        let file = self.write(&record, &positions_csv(&measured.chunks, base.1.chunks.first))?;
        self.session.terminal.say(&format!("result: {} (and .csv)", file.display()));
        self.records.push(record);
        Ok(())
    }

    /// Writes a result and its positions; where the result is.
    fn write(&self, record: &Record, positions: &str) -> Result<PathBuf> {
        let file = self.session.folders.verifiers_results().join(format!("{}.json", record.stem()));
        write_whole(&file.with_extension("csv"), positions.as_bytes())?;
        write_whole(&file, &record.json().context("the result does not serialize")?)?;
        Ok(file)
    }

    /// Prepares a model in a quantization of an engine.
    fn subject(&self, (found, quantize): Case<'_>) -> Result<Subject> {
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

/// Whether an engine failed because it does not offer what was asked.
fn is_not_offered(error: &anyhow::Error) -> bool {
    error.downcast_ref::<distance::Error>().is_some_and(distance::Error::is_not_offered)
}
