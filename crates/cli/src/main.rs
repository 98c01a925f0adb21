//! The `tokometer` command: flags, terminal, exit codes. The only place that prints.
//!
//! `args` says what can be typed, `settings` checks it and joins it with `tokometer.toml`, `commands` has one file for
//! each command, `terminal` draws bars and tables, `interrupt` hears Ctrl-C.
//!
//! Exit codes: 0 everything worked, 1 an error, 2 wrong usage, 3 some cases failed or some logs are damaged, 4 a regression is
//! established, 130 stopped by Ctrl-C.

mod args;
mod commands;
mod interrupt;
mod settings;
mod terminal;

use clap::FromArgMatches;
use std::process::ExitCode;

fn main() -> ExitCode {
    restore_sigpipe();
    let given = args::command().get_matches();
    let args = args::Args::from_arg_matches(&given).unwrap_or_else(|error| error.exit());
    let terminal = terminal::Terminal::new(&args.global);
    match commands::dispatch(&args, &terminal) {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            terminal.error(&format!("{error:#}"));
            ExitCode::from(1)
        }
    }
}

/// Rust ignores SIGPIPE, which turns `tokometer ... | head` into an error. A pipe that nobody reads is none.
fn restore_sigpipe() {
    #[cfg(unix)]
    // SAFETY: restores a default handler before any thread is started.
    unsafe {
        libc::signal(libc::SIGPIPE, libc::SIG_DFL);
    }
}
