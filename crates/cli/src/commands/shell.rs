//! `tokometer completions` and `tokometer man`: made from the flags.

use super::OK;
use crate::args;
use anyhow::{Context, Result};

/// Completions for a shell, on stdout.
pub fn completions(shell: clap_complete::Shell) -> Result<u8> {
    clap_complete::generate(shell, &mut args::command(), "tokometer", &mut std::io::stdout());
    Ok(OK)
}

/// The manual page and those of the commands, one after another, on stdout.
pub fn man() -> Result<u8> {
    let mut out = std::io::stdout();
    let command = args::command();
    clap_mangen::Man::new(command.clone()).render(&mut out).context("cannot write the manual page")?;
    for sub in command.get_subcommands().filter(|sub| sub.get_name() != "help") {
        let name: &'static str = Box::leak(format!("tokometer-{}", sub.get_name()).into_boxed_str());
        clap_mangen::Man::new(sub.clone().name(name)).render(&mut out).context("cannot write the manual page")?;
    }
    Ok(OK)
}
