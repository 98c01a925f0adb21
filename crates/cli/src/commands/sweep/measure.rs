//! Block after block: what cannot be started gets its row, the rest is measured together, and the books hear of it.

use super::super::rule::{Narrow, Rule};
use super::super::run::groups_of;
use super::books::Books;
use super::lanes::InLane;
use super::prepare::{Refusal, Shelf};
use super::{Follow, Foresight};
use crate::commands::Session;
use crate::settings;
use crate::terminal::duration;
use anyhow::{Result, anyhow};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;
use tokometer_core::engine::Discovery;
use tokometer_core::machine::{Machine, Root, Watch};
use tokometer_core::plan::ModelRef;
use tokometer_core::plan::sweep::{Block, Planned};
use tokometer_core::prepare::Manifest;
use tokometer_core::progress::Progress;
use tokometer_core::run::{self, CaseOutcome, Earlier, Hooks, Job, Observer, Options, Stop};
use tokometer_core::sweep::{self, BLOCK_KEY, Best, CASE_KEY, Entry, Finish, Place, Standing, State, Stored};

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
    /// The machine.
    pub machine: Machine,
    /// Who stops it.
    pub stop: &'a Stop,
    /// Who tells how far it is.
    pub follow: &'a Arc<Follow>,
    /// What became of the cases; see [`Books`] for who may hold them.
    pub books: Mutex<Books<'a>>,
}

impl<'a> Measuring<'a> {
    /// Measures all open cases of these blocks, given by number, one block after the other. Returns whether it came to the
    /// end.
    pub fn in_turn(&self, blocks: &[usize], lane: Option<&InLane<'_>>) -> Result<bool> {
        for (i, at) in blocks.iter().enumerate() {
            let Some(block) = self.stored.blocks.get(*at) else { continue };
            let open = self.open(block);
            if open.is_empty() {
                continue;
            }
            if self.stop.asked() {
                return Ok(false);
            }
            self.announce(block, &blocks[i..], lane);
            let options = self.options(block);
            let jobs = self.start(block, &open, &options, lane)?;
            if jobs.is_empty() {
                continue;
            }
            let earlier = self.earlier(&jobs)?;
            if !self.block(&jobs, &options, &earlier, lane)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn books(&self) -> MutexGuard<'_, Books<'a>> {
        self.books.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The open cases of a block.
    pub fn open<'b>(&self, block: &'b Block) -> Vec<&'b Planned> {
        let books = self.books();
        block.cases.iter().filter(|planned| books.state.of(&planned.hash).is_none()).collect()
    }

    /// Seconds that the open cases of these blocks will take, one after the other; `None` if nothing is known of any.
    pub fn left(&self, blocks: &[usize]) -> Option<f64> {
        let books = self.books();
        let calibration = self.foresight.calibration(self.stored, books.state);
        self.foresight.left(blocks.iter().filter_map(|at| self.stored.blocks.get(*at)), books.state, &calibration)
    }

    /// Says that a block comes, the first of `rest`, and how far the sweep is.
    fn announce(&self, block: &Block, rest: &[usize], lane: Option<&InLane<'_>>) {
        let (left, own) = (self.left(rest), self.left(&rest[..1]));
        let (tally, best) = {
            let books = self.books();
            (books.state.tally(self.stored), best(self.stored, books.state))
        };
        let number = (rest[0] + 1, self.stored.blocks.len());
        let device = lane.map(|within| within.lane.device.as_str());
        self.follow.block(device, number, best.clone(), left, own);
        let case = &block.cases[0].case;
        let device = device.map(|device| format!(" on {device}")).unwrap_or_default();
        let eta = left.map(|seconds| format!(", about {} left{device}", duration(seconds))).unwrap_or_default();
        let best = best.map(|best| format!("; best so far {:.1} tok/s, {}", best.decode_tok_s, best.title));
        self.session.terminal.say(&format!(
            "block {} of {}{device}: {} · prompt {}, gen {}, depth {}, {} thread(s) · {} case(s); {} of {} done{eta}{}",
            number.0,
            number.1,
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

    fn options(&self, block: &Block) -> Options {
        Options {
            output: self.place.output(),
            schedule: self.stored.schedule,
            ends: self.stored.ends,
            resident: self.stored.resident,
            machine: self.machine.clone(),
            command: self.stored.command.clone(),
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
        lane: Option<&InLane<'_>>,
    ) -> Result<Vec<(Job, Planned)>> {
        let mut books = self.books();
        let (mut jobs, mut skipped) = (Vec::new(), Vec::new());
        for planned in open {
            let key = books.state.key(&planned.hash);
            let marks = vec![(CASE_KEY.into(), key), (BLOCK_KEY.into(), block.hash.clone())];
            match self.job(planned, marks.clone(), lane) {
                Ok(job) => jobs.push((job, (*planned).clone())),
                Err(refusal) => skipped.push(self.skip(planned, marks, options, &refusal, &mut books)?),
            }
        }
        books.write(&skipped)?;
        Ok(jobs)
    }

    fn job(
        &self,
        planned: &Planned,
        marks: Vec<(String, String)>,
        lane: Option<&InLane<'_>>,
    ) -> std::result::Result<Job, Refusal> {
        let (found, prepared) = self.shelf.take(planned)?;
        let weights =
            prepared.manifest.weights_bytes.filter(|_| prepared.path.extension().is_some_and(|e| e == "gguf"));
        let need = self.foresight.memory(planned, weights);
        if let (Some(need), Some((free, place))) = (need, self.shelf.memory_for(planned))
            && need.total() > free
        {
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
        let discovery = found.worker.as_ref().map_err(|failed| ("not_installed", failed.reason.clone()))?;
        let mut case = planned.case.clone();
        case.native.clone_from(&prepared.manifest.native);
        // All lanes together must leave the machine some.
        let guard = self.shelf.guard.map(|bytes| bytes / lane.map_or(1, |within| within.lanes));
        let memory_limit = case.settings.memory_limit.or(guard);
        Ok(Job {
            case,
            engine: found.engine,
            discovery: Discovery { memory_limit, ..discovery.clone() },
            model_path: prepared.path.clone(),
            manifest: prepared.manifest.clone(),
            logical_cpus: self.machine.logical_cpus,
            marks,
        })
    }

    /// The row of a case that is not started.
    fn skip(
        &self,
        planned: &Planned,
        marks: Vec<(String, String)>,
        options: &Options,
        (kind, reason): &Refusal,
        books: &mut Books<'_>,
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
            logical_cpus: self.machine.logical_cpus,
            marks,
        };
        let log = run::never_started(&job, options, &planned.hash, kind, reason)?;
        // That an engine is missing was said when it was looked for; other reasons are said once.
        let known = books.state.reasons().any(|known| known == format!("{kind}: {reason}"));
        if *kind != "not_installed" && !known {
            self.session.terminal.warn(&format!("{}: skipped, {kind}: {reason}", job.case.title()));
        }
        let standing = Standing {
            finish: Finish::Skipped,
            log: name_of(&log),
            reason: Some(format!("{kind}: {reason}")),
            seconds: None,
            decode_tok_s: None,
        };
        Ok(books.end(planned, standing))
    }

    /// What a run of this block that was cut off left behind. Without all of its logs, or with another model by now, the
    /// block begins again and the logs are put aside.
    fn earlier(&self, jobs: &[(Job, Planned)]) -> Result<Vec<Earlier>> {
        let mut logs: Vec<PathBuf> = Vec::new();
        let (mut earlier, mut whole) = (Vec::new(), true);
        for (job, planned) in jobs {
            let own = self.books().cut_off(planned);
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
        lane: Option<&InLane<'_>>,
    ) -> Result<bool> {
        let mut rule = Rule::new(self.stored.ends, Narrow::asked(&self.stored.ends));
        let threads = jobs.iter().filter_map(|(job, _)| job.case.settings.threads).max();
        let mut observer = observer(threads.unwrap_or(self.machine.logical_cpus), lane);
        let progress = Follow::progress(self.follow, lane.map(|within| within.lane.device.as_str()));
        let hooks = Hooks { progress: &progress, controller: &mut rule, observer: &mut *observer, stop: self.stop };
        let only: Vec<Job> = jobs.iter().map(|(job, _)| job.clone()).collect();
        let began = Instant::now();
        let outcome = run::resume(&only, options, hooks, earlier)?;
        drop(observer);
        if outcome.interrupted {
            return Ok(false);
        }
        let seconds = began.elapsed().as_secs_f64() / jobs.len() as f64;
        let mut ended = Vec::new();
        for ((_, planned), outcome) in jobs.iter().zip(&outcome.cases) {
            let Some(log) = &outcome.log else { continue };
            // Of a block that was gone on with, the time is not that of the whole.
            let seconds = earlier.is_empty().then_some(seconds);
            ended.push((planned, standing(outcome, name_of(log), seconds)?));
        }
        let mut books = self.books();
        let entries: Vec<Entry> = ended.into_iter().map(|(planned, standing)| books.end(planned, standing)).collect();
        books.write(&entries)?;
        drop(books);
        let failed = outcome.cases.iter().filter(|case| !case.failures.is_empty()).count();
        if failed > 0 {
            progress.warn(&format!("{failed} case(s) of this block failed; the reasons are in the table at the end"));
        }
        Ok(true)
    }
}

/// Who watches the machine: in a lane also who is measured beside it.
fn observer<'l>(threads: u32, lane: Option<&'l InLane<'_>>) -> Box<dyn Observer + 'l> {
    match lane {
        None => Box::new(Watch::new(threads, Root::default())),
        Some(InLane { lane, company, .. }) => {
            Box::new(company.enter(&lane.device, Watch::beside_others(threads, Root::default())))
        }
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

/// The fastest case so far.
pub fn best(stored: &Stored, state: &State) -> Option<Best> {
    let cases = stored.blocks.iter().flat_map(|block| &block.cases);
    let speeds = cases.filter_map(|planned| Some((planned, state.of(&planned.hash)?.decode_tok_s?)));
    let (planned, decode_tok_s) = speeds.max_by(|a, b| a.1.total_cmp(&b.1))?;
    Some(Best { title: format!("{} {}", planned.case.title(), planned.case.model), decode_tok_s })
}
