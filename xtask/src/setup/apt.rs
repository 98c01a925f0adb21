//! System packages on Debian and its kin, as root. Other systems get advice instead (`needs::advice`): nothing is
//! installed with rights that nobody gave.

use crate::shell::{Cmd, on_path, say};
use anyhow::Result;

/// Installs what is not installed yet; whether there is hope that something has changed. A failure is told, not fatal:
/// there are other ways.
pub fn install(packages: &[&str]) -> bool {
    if on_path("apt-get").is_none() || Cmd::new("id").arg("-u").ask().as_deref() != Some("0") {
        return false;
    }
    let wanted: Vec<&str> = packages.iter().copied().filter(|package| !is_installed(package)).collect();
    if wanted.is_empty() {
        return false;
    }
    say("setup", format!("installing {} with apt-get", wanted.join(", ")));
    match run(&wanted) {
        Ok(()) => true,
        Err(error) => {
            say("setup", format!("apt-get could not: {error:#}"));
            false
        }
    }
}

fn run(packages: &[&str]) -> Result<()> {
    let apt = || Cmd::new("apt-get").env("DEBIAN_FRONTEND", "noninteractive");
    // Without package lists nothing installs; with old ones most things do, so a mirror that fails now is no end.
    if let Err(error) = apt().args(["update", "-q"]).run() {
        say("setup", format!("the package lists stay as they are: {error:#}"));
    }
    apt().args(["install", "-q", "-y", "--no-install-recommends"]).args(packages).run()
}

fn is_installed(package: &str) -> bool {
    let status = Cmd::new("dpkg-query").args(["--show", "--showformat=${Status}", package]).ask();
    status.is_some_and(|status| status.ends_with(" installed"))
}
