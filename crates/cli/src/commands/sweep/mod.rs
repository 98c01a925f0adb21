//! `tokometer sweep`: the whole matrix, whatever happens on the way.
//!
//! `plan` makes it from flags and `tokometer.toml`, `foresee` says what it will take, `dry_run` lists it, `prepare` makes the
//! models ready, `measure` runs block after block, `lanes` those of different GPUs at the same time, `books` keeps what became
//! of the cases, `reopen` opens those again that are asked for, `outdated` tells which finished ones were measured with another
//! engine or model than there is now, `cluster` hands the blocks to a Slurm cluster, `follow` tells how far it is, `summary`
//! what came of it.

mod books;
mod cluster;
mod dry_run;
mod follow;
mod foresee;
mod lanes;
mod measure;
mod outdated;
mod plan;
mod prepare;
mod reopen;
mod summary;

pub use foresee::Foresight;
pub use measure::best;

use super::{INTERRUPTED, OK, SOME_FAILED, Session, analyze, collate, plot, present, run};
use crate::args::Sweep;
use crate::interrupt;
use anyhow::{Result, bail};
use follow::Follow;
use std::sync::{Arc, Mutex};
use tokometer_core::machine::Machine;
use tokometer_core::run::Stop;
use tokometer_core::sweep::{self, Finish, Place, State, Stored};

/// The command.
pub fn sweep(session: &Session<'_>, options: &Sweep) -> Result<u8> {
    let place = Place::new(&session.folders.root);
    if let Some(task) = options.task {
        return of_cluster(session, options, &place, task);
    }
    let stored = match options.resume {
        true => Stored::read(&place)?,
        false => plan::stored(session, options)?,
    };
    if options.dry_run {
        dry_run::show(session, &stored, options)?;
        return Ok(OK);
    }
    let _own = place.lock()?;
    if !options.resume {
        stored.write(&place)?;
    }
    let reopen::Beginning { mut state, shelf, lock, .. } =
        reopen::Beginning::new(session, &place, &stored, &standing(&place)?, options)?;
    // A node of a cluster may be this very machine.
    let lock = lock.filter(|_| options.on.is_none());
    let stop = Stop::default();
    let terminal = session.terminal;
    let _listening = interrupt::listen(stop.clone(), terminal.shared_progress())?;
    let follow = Arc::new(Follow::new(terminal.shared_progress(), Some(place.clone())));
    let finished = match (options.on.is_some(), stored.tally(&state).open) {
        (_, 0) => true,
        (true, _) => {
            follow.stage("cluster");
            let on = cluster::OnSlurm { session, place: &place, stop: &stop, follow: &follow };
            let finished = on.all(&stored, &state, &cluster::asked(session, options, Some(&stored)))?;
            state = standing(&place)?;
            finished
        }
        (false, _) => {
            let all: Vec<usize> = (0..stored.blocks.len()).collect();
            do_all(session, options, (&place, &stored, shelf), &all, &mut state, &stop, &follow)?
        }
    };
    drop(lock);
    let tally = stored.tally(&state);
    if !finished {
        terminal.warn("stopped; `tokometer sweep --resume` goes on where it was");
        summary::show(session, &stored, &state, options.json)?;
        return Ok(INTERRUPTED);
    }
    if !options.measure_only && tally.ok + tally.failed > 0 {
        follow.stage("report");
        report(session, options.json)?;
    }
    follow.stage("done");
    summary::show(session, &stored, &state, options.json)?;
    Ok(if tally.failed + tally.skipped + tally.open > 0 { SOME_FAILED } else { OK })
}

/// One block, as a task of a cluster: who submitted it has the plan, reports, and tells how far all of them are.
fn of_cluster(session: &Session<'_>, options: &Sweep, place: &Place, task: usize) -> Result<u8> {
    let own = options.node_models.as_ref().map(|models| session.with_models(models));
    let session = own.as_ref().unwrap_or(session);
    let stored = Stored::read(place)?;
    if task >= stored.blocks.len() {
        bail!("there is no block {task} in {}: the plan has {}", place.plan().display(), stored.blocks.len());
    }
    let host = Machine::this().hostname;
    let mut state = standing(place)?.on_host((!stored.hosts.is_empty()).then_some(host.as_str()));
    let stop = Stop::default();
    let _listening = interrupt::listen(stop.clone(), session.terminal.shared_progress())?;
    let follow = Arc::new(Follow::new(session.terminal.shared_progress(), None));
    let _lock = run::exclusive(session)?;
    let shelf = prepare::Shelf::empty();
    if !do_all(session, options, (place, &stored, shelf), &[task], &mut state, &stop, &follow)? {
        return Ok(INTERRUPTED);
    }
    let standings = stored.blocks[task].cases.iter().filter_map(|planned| state.of(&planned.hash));
    let failed = standings.filter(|standing| standing.finish != Finish::Ok).count();
    Ok(if failed > 0 { SOME_FAILED } else { OK })
}

/// What has been measured so far; logs that were closed but not renamed get their names.
fn standing(place: &Place) -> Result<State> {
    for log in sweep::left_open(place)?.into_values().flatten() {
        sweep::settle(&log);
    }
    Ok(State::read(place)?)
}

/// Prepares and measures what is open of these blocks; `shelf` may know engines already. The caller holds the machine's lock.
/// Returns whether it came to the end.
fn do_all(
    session: &Session<'_>,
    options: &Sweep,
    (place, stored, mut shelf): (&Place, &Stored, prepare::Shelf),
    blocks: &[usize],
    state: &mut State,
    stop: &Stop,
    follow: &Arc<Follow>,
) -> Result<bool> {
    follow.stage("prepare");
    shelf.fill(session, options.jobs, (stored, blocks), state, stop)?;
    if stop.asked() {
        return Ok(false);
    }
    // Only now is the shape of a model known that had to be downloaded.
    let foresight = &Foresight::new(stored);
    let books = Mutex::new(books::Books::open(place, state)?);
    let (shelf, machine) = (&shelf, Machine::this());
    let measuring = measure::Measuring { session, place, stored, foresight, shelf, machine, stop, follow, books };
    // A task of a cluster is one block.
    let overlap = options.task.is_none() && (options.overlap || (stored.overlap && !options.no_overlap));
    measuring.all(blocks, overlap)
}

/// Steps 3 to 5.
fn report(session: &Session<'_>, quiet: bool) -> Result<()> {
    let collated = collate::gather(session, false)?;
    let analysis = analyze::read(session)?;
    let plots = plot::draw(session, &analysis, &[])?;
    let made = present::make(session, &analysis, &plots)?;
    if quiet {
        return Ok(());
    }
    analyze::show(session, &analysis);
    let terminal = session.terminal;
    terminal.line("");
    collate::show(session, &collated);
    terminal.line(&format!("{} plots in {}", plots.len(), session.folders.plots().display()));
    made.iter().for_each(|path| terminal.line(&path.display().to_string()));
    Ok(())
}
