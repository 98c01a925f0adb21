//! Block after block: what cannot be started gets its row, the rest is measured together, and the journal hears of it.

use super::super::rule::{Narrow, Rule};
use super::super::run::groups_of;
use super::prepare::Shelf;
use super::{Follow, Foresight};
use crate::commands::Session;
use crate::settings;
use crate::terminal::duration;
use anyhow::{Result, anyhow};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;
use tokometer_core::engine::Discovery;
use tokometer_core::machine::{Machine, Root, Watch};
use tokometer_core::plan::ModelRef;
use tokometer_core::plan::sweep::{Block, Planned};
use tokometer_core::prepare::Manifest;
use tokometer_core::progress::Progress;
use tokometer_core::run::{self, CaseOutcome, Earlier, Hooks, Job, Options, Stop};
use tokometer_core::sweep::{self, BLOCK_KEY, Best, CASE_KEY, Entry, Finish, Journal, Place, Standing, State, Stored};

/// What the blocks need.
pub struct Measuring<'a> {
    /// The command's session.
    pub session: &'a Session<'a>,
    /// Where.
    pub place: &'a Place,
    /// The plan.
    pub stored: &'a Stored,
    /// What it will take.
    pub foresight: &'a Foresight,
    /// Engines and models.
    pub shelf: &'a Shelf,
    /// Who stops it.
    pub stop: &'a Stop,
    /// Who tells how far it is.
    pub follow: &'a Arc<Follow>,
}

impl Measuring<'_> {
    /// Measures all open cases of these blocks, given by number. Returns whether it came to the end.
    pub fn all(&self, blocks: &[usize], state: &mut State) -> Result<bool> {
        let mut journal = Journal::new(self.place);
        let machine = Machine::this();
        let mut left_open = sweep::left_open(self.place)?;
        self.session.terminal.say(&format!("measuring on {}", machine.line()));
        for (at, block) in blocks.iter().filter_map(|at| Some((*at, self.stored.blocks.get(*at)?))) {
            let open: Vec<&Planned> = block.cases.iter().filter(|planned| state.of(&planned.hash).is_none()).collect();
            if open.is_empty() {
                continue;
            }
            if self.stop.asked() {
                return Ok(false);
            }
            self.announce(at, block, state);
            let options = self.options(block, &machine);
            let jobs = self.start(block, &open, &options, &mut journal, state)?;
            if jobs.is_empty() {
                continue;
            }
            let earlier = self.earlier(&jobs, &mut left_open, state)?;
            if !self.block(&jobs, &options, &earlier, &mut journal, state)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Says which block comes, and how far the sweep is.
    fn announce(&self, at: usize, block: &Block, state: &State) {
        let calibration = self.foresight.calibration(self.stored, state);
        let rest = &self.stored.blocks[at..];
        let left = self.foresight.left(rest, state, &calibration);
        let own = self.foresight.left([block], state, &calibration);
        let tally = state.tally(self.stored);
        let best = best(self.stored, state);
        self.follow.block((at + 1, self.stored.blocks.len()), best.clone(), left, own);
        let case = &block.cases[0].case;
        let eta = left.map(|seconds| format!(", about {} left", duration(seconds))).unwrap_or_default();
        let best = best.map(|best| format!("; best so far {:.1} tok/s, {}", best.decode_tok_s, best.title));
        self.session.terminal.say(&format!(
            "block {} of {}: {} · prompt {}, gen {}, depth {}, {} thread(s) · {} case(s); {} of {} done{eta}{}",
            at + 1,
            self.stored.blocks.len(),
            settings::short(&case.model, 24),
            case.workload.prompt_tokens,
            case.workload.gen_tokens,
            case.workload.depth,
            case.settings.threads.unwrap_or(0),
            block.cases.len(),
            tally.total - tally.open,
            tally.total,
            best.unwrap_or_default(),
        ));
    }

    fn options(&self, block: &Block, machine: &Machine) -> Options {
        Options {
            output: self.place.output(),
            schedule: self.stored.schedule,
            ends: self.stored.ends,
            resident: self.stored.resident,
            machine: machine.clone(),
            command: super::run::command_line(),
            timeouts: settings::timeouts(self.stored.timeout_s),
            seed: block.cases.first().map_or(42, |planned| planned.case.seed),
            leave_open: true,
        }
    }

    /// The jobs of the cases that can be started; the others get their rows.
    fn start(
        &self,
        block: &Block,
        open: &[&Planned],
        options: &Options,
        journal: &mut Journal,
        state: &mut State,
    ) -> Result<Vec<(Job, Planned)>> {
        let (mut jobs, mut skipped) = (Vec::new(), Vec::new());
        for planned in open {
            let marks = vec![(CASE_KEY.into(), state.key(&planned.hash)), (BLOCK_KEY.into(), block.hash.clone())];
            match self.job(planned, marks.clone(), options.machine.logical_cpus) {
                Ok(job) => jobs.push((job, (*planned).clone())),
                Err((kind, reason)) => skipped.push(self.skip(planned, marks, options, kind, &reason, state)?),
            }
        }
        if !skipped.is_empty() {
            journal.append(&skipped)?;
        }
        Ok(jobs)
    }

    fn job(
        &self,
        planned: &Planned,
        marks: Vec<(String, String)>,
        logical_cpus: u32,
    ) -> std::result::Result<Job, super::prepare::Refusal> {
        let (found, prepared) = self.shelf.take(planned)?;
        let weights =
            prepared.manifest.weights_bytes.filter(|_| prepared.path.extension().is_some_and(|e| e == "gguf"));
        let need = self.foresight.memory(planned, weights);
        if let (Some(need), Some((free, place))) = (need, self.shelf.memory_for(planned)) {
            let free = planned.case.settings.memory_limit.map_or(free, |limit| limit.min(free));
            if need.total() > free {
                let gb = |bytes: u64| bytes as f64 / 1e9;
                let reason = format!(
                    "about {:.2} GB are needed (weights {:.2}, KV cache {:.2}), {:.2} GB are {place}",
                    gb(need.total()),
                    gb(need.weights),
                    gb(need.kv),
                    gb(free)
                );
                return Err(("does_not_fit", reason));
            }
        }
        let discovery = found.worker.as_ref().map_err(|failed| ("not_installed", failed.reason.clone()))?;
        let mut case = planned.case.clone();
        case.native.clone_from(&prepared.manifest.native);
        let memory_limit = case.settings.memory_limit.or(self.shelf.guard);
        Ok(Job {
            case,
            engine: found.engine,
            discovery: Discovery { memory_limit, ..discovery.clone() },
            model_path: prepared.path.clone(),
            manifest: prepared.manifest.clone(),
            logical_cpus,
            marks,
        })
    }

    /// The row of a case that is not started.
    fn skip(
        &self,
        planned: &Planned,
        marks: Vec<(String, String)>,
        options: &Options,
        kind: &'static str,
        reason: &str,
        state: &mut State,
    ) -> Result<Entry> {
        let case = planned.case.clone();
        let engine = tokometer_core::engine::by_name(&case.engine).map_err(|reason| anyhow!(reason))?;
        let model: ModelRef = case.model.parse()?;
        let job = Job {
            engine,
            discovery: Discovery {
                program: PathBuf::new(),
                arguments: Vec::new(),
                environment: Vec::new(),
                memory_limit: None,
            },
            model_path: PathBuf::new(),
            manifest: Manifest::unprepared(&model, engine, &case.native),
            case,
            logical_cpus: options.machine.logical_cpus,
            marks,
        };
        let log = run::never_started(&job, options, &planned.hash, kind, reason)?;
        // That an engine is missing was said when it was looked for; other reasons are said once.
        let known = state.reasons().any(|known| known == format!("{kind}: {reason}"));
        if kind != "not_installed" && !known {
            self.session.terminal.warn(&format!("{}: skipped, {kind}: {reason}", job.case.title()));
        }
        let standing = Standing {
            finish: Finish::Skipped,
            log: name_of(&log),
            reason: Some(format!("{kind}: {reason}")),
            seconds: None,
            decode_tok_s: None,
        };
        Ok(ended(planned, standing, state))
    }

    /// What a run of this block that was cut off left behind. Without all of its logs, or with another model by now, the
    /// block begins again and the logs are put aside.
    fn earlier(
        &self,
        jobs: &[(Job, Planned)],
        left_open: &mut BTreeMap<String, Vec<PathBuf>>,
        state: &State,
    ) -> Result<Vec<Earlier>> {
        let mut logs: Vec<PathBuf> = Vec::new();
        let (mut earlier, mut whole) = (Vec::new(), true);
        for (job, planned) in jobs {
            let own = left_open.remove(&state.key(&planned.hash)).unwrap_or_default();
            if let [log] = own.as_slice() {
                let read = Earlier::read(log)?;
                let manifest = serde_json::to_value(&job.manifest)?;
                whole &= read.manifest() == Some(&manifest);
                earlier.push(read);
            } else {
                whole = false;
            }
            logs.extend(own);
        }
        if whole && run::can_go_on(&earlier) {
            return Ok(earlier);
        }
        sweep::put_aside(self.place, &logs)?;
        Ok(Vec::new())
    }

    /// Measures the jobs of a block. Returns whether it came to its end.
    fn block(
        &self,
        jobs: &[(Job, Planned)],
        options: &Options,
        earlier: &[Earlier],
        journal: &mut Journal,
        state: &mut State,
    ) -> Result<bool> {
        let mut rule = Rule::new(self.stored.ends, Narrow::asked(&self.stored.ends));
        let threads = jobs.iter().filter_map(|(job, _)| job.case.settings.threads).max();
        let mut observer = Watch::new(threads.unwrap_or(options.machine.logical_cpus), Root::default());
        let progress = Follow::progress(self.follow);
        let hooks = Hooks { progress: &progress, controller: &mut rule, observer: &mut observer, stop: self.stop };
        let only: Vec<Job> = jobs.iter().map(|(job, _)| job.clone()).collect();
        let began = Instant::now();
        let outcome = run::resume(&only, options, hooks, earlier)?;
        if outcome.interrupted {
            return Ok(false);
        }
        let seconds = began.elapsed().as_secs_f64() / jobs.len() as f64;
        let mut entries = Vec::new();
        for ((_, planned), outcome) in jobs.iter().zip(&outcome.cases) {
            let Some(log) = &outcome.log else { continue };
            // Of a block that was gone on with, the time is not that of the whole.
            let seconds = earlier.is_empty().then_some(seconds);
            entries.push(ended(planned, standing(outcome, name_of(log), seconds)?, state));
        }
        journal.append(&entries)?;
        let failed = outcome.cases.iter().filter(|case| !case.failures.is_empty()).count();
        if failed > 0 {
            progress.warn(&format!("{failed} case(s) of this block failed; the reasons are in the table at the end"));
        }
        Ok(true)
    }
}

fn standing(outcome: &CaseOutcome, log: String, seconds: Option<f64>) -> Result<Standing> {
    let groups = groups_of(outcome)?;
    Ok(Standing {
        finish: if outcome.failures.is_empty() { Finish::Ok } else { Finish::Failed },
        log,
        reason: outcome.failures.first().cloned(),
        seconds,
        decode_tok_s: groups.iter().find_map(|group| group.decode.as_ref()).map(|decode| decode.mean),
    })
}

fn name_of(log: &std::path::Path) -> String {
    log.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

/// Notes the case and makes the journal's line.
fn ended(planned: &Planned, standing: Standing, state: &mut State) -> Entry {
    state.end(&planned.hash, standing.clone());
    let Standing { finish, log, reason, seconds, decode_tok_s } = standing;
    Entry::Done { case: state.key(&planned.hash), finish, log, reason, seconds, decode_tok_s }
}

/// The fastest case so far.
pub fn best(stored: &Stored, state: &State) -> Option<Best> {
    let cases = stored.blocks.iter().flat_map(|block| &block.cases);
    let speeds = cases.filter_map(|planned| Some((planned, state.of(&planned.hash)?.decode_tok_s?)));
    let (planned, decode_tok_s) = speeds.max_by(|a, b| a.1.total_cmp(&b.1))?;
    Some(Best { title: format!("{} {}", planned.case.title(), planned.case.model), decode_tok_s })
}
