//! One file for each command. A command does its step and tells what came of it; the exit code is its result.

mod again;
mod all;
mod analyze;
mod beside;
mod collate;
mod compare;
mod details;
mod distance;
mod doctor;
mod eval;
mod keep;
mod merge;
mod plot;
mod prepare;
mod present;
mod ratios;
mod recommend;
mod rerun;
mod roofline;
mod rule;
mod run;
mod serve;
mod shell;
mod show;
mod status;
mod sweep;
mod validity;
mod verify;

use crate::args::{Args, Command};
use crate::settings::{Folders, config};
use crate::terminal::Terminal;
use anyhow::{Context, Result};
use std::path::Path;

/// Everything worked.
pub const OK: u8 = 0;
/// Some cases failed, or some logs are damaged; the rest is done.
pub const SOME_FAILED: u8 = 3;
/// A regression is established, or a case does not work any more (`compare --fail-above`).
pub const REGRESSION: u8 = 4;
/// Stopped by a person, as shells report it.
pub const INTERRUPTED: u8 = 130;

/// What every command is given.
pub struct Session<'a> {
    /// The terminal.
    pub terminal: &'a Terminal,
    /// The folders.
    pub folders: Folders,
    /// The configuration.
    pub config: tokometer_core::plan::Config,
    /// The options of every command.
    pub global: crate::args::Global,
}

impl<'a> Session<'a> {
    /// The same with models in another folder.
    pub fn with_models(&self, models: &Path) -> Session<'a> {
        Session {
            terminal: self.terminal,
            folders: Folders { models: models.to_owned(), ..self.folders.clone() },
            config: self.config.clone(),
            global: self.global.clone(),
        }
    }
}

/// Runs the command that was typed.
pub fn dispatch(args: &Args, terminal: &Terminal) -> Result<u8> {
    match &args.command {
        Command::Completions { shell } => return shell::completions(*shell),
        Command::Man => return shell::man(),
        _ => (),
    }
    let session = Session {
        terminal,
        folders: Folders::new(&args.global),
        config: config(&args.global)?,
        global: args.global.clone(),
    };
    match &args.command {
        Command::Prepare(options) => prepare::prepare(&session, options),
        Command::Run(options) => run::run(&session, options),
        Command::Collate(options) => collate::collate(&session, options),
        Command::Analyze(options) => analyze::analyze(&session, options),
        Command::Plot(options) => plot::plot(&session, options),
        Command::Present(options) => present::present(&session, options),
        Command::All(options) => all::all(&session, options),
        Command::Serve(options) => serve::serve(&session, options),
        Command::Show(options) => show::show(&session, options),
        Command::Rerun(options) => rerun::rerun(&session, options),
        Command::Sweep(options) => sweep::sweep(&session, options),
        Command::Status(options) => status::status(&session, options),
        Command::Doctor(options) => doctor::doctor(&session, options),
        Command::Merge(options) => merge::merge(&session, options),
        Command::Compare(options) => compare::compare(&session, options),
        Command::Recommend(options) => recommend::recommend(&session, options),
        Command::Verify(options) => verify::verify(&session, options),
        Command::Eval(options) => eval::eval(&session, options),
        Command::Completions { .. } | Command::Man => unreachable!("answered above"),
    }
}

/// Writes a file whole or not at all.
pub fn write_whole(path: &Path, bytes: &[u8]) -> Result<()> {
    tokometer_core::disk::write_whole(path, bytes).with_context(|| {
        format!("cannot write {}; check that the folder may be written and the disk has room", path.display())
    })
}

/// Pretty JSON on stdout.
pub fn print_json(terminal: &Terminal, value: &impl serde::Serialize) -> Result<()> {
    terminal.line(&serde_json::to_string_pretty(value).context("the result does not serialize")?);
    Ok(())
}
