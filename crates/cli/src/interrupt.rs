//! Ctrl-C while measuring: once finishes the case that is being measured, twice stops now. While serving: once finishes what
//! is being computed, twice gives it up. At any other time it ends the program as usual.
//!
//! Signals are taken by `signal-hook`: maintained, on `libc` alone, and it hands them to a thread in which anything may be
//! called, where a bare handler may do next to nothing; `ctrlc` cannot end the program in the usual way when nothing is
//! being measured.

use anyhow::{Context, Result};
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use signal_hook::low_level::emulate_default_handler;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokometer_core::progress::Progress;
use tokometer_core::run::Stop;

/// How long closing the logs may take once everything is to stop now.
const GRACE: Duration = Duration::from_secs(3);

/// While it lives, signals stop the run instead of the program.
pub struct Listening {
    measuring: Arc<AtomicBool>,
}

/// Listens for SIGINT and SIGTERM until the result is dropped.
///
/// # Errors
/// The system refuses to hand over signals.
pub fn listen(stop: Stop, progress: Arc<dyn Progress>) -> Result<Listening> {
    let mut signals = Signals::new([SIGINT, SIGTERM]).context("cannot listen for Ctrl-C")?;
    let measuring = Arc::new(AtomicBool::new(true));
    let listening = Listening { measuring: Arc::clone(&measuring) };
    // The thread stays: a signal that nobody takes any more would be lost, not back to ending the program.
    std::thread::spawn(move || {
        for signal in signals.forever() {
            match measuring.load(Ordering::SeqCst) {
                true => heard(signal, &stop, &*progress),
                false => drop(emulate_default_handler(signal)),
            }
        }
    });
    Ok(listening)
}

/// From now on SIGINT and SIGTERM stop this server instead of the program; the third one ends the program.
///
/// # Errors
/// The system refuses to hand over signals.
pub fn stop_server(stop: tokometer_serve::Stop, progress: Arc<dyn Progress>) -> Result<()> {
    let mut signals = Signals::new([SIGINT, SIGTERM]).context("cannot listen for Ctrl-C")?;
    std::thread::spawn(move || {
        for (count, signal) in signals.forever().enumerate() {
            match count {
                0 => progress.note("finishing what is being computed; Ctrl-C again gives it up"),
                1 => progress.note("stopping now"),
                _ => drop(emulate_default_handler(signal)),
            }
            stop.stop();
        }
    });
    Ok(())
}

fn heard(signal: i32, stop: &Stop, progress: &dyn Progress) {
    if signal == SIGINT && !stop.asked() {
        stop.after_case();
        progress.note("finishing the case that is being measured, then closing the logs; Ctrl-C again stops now");
        return;
    }
    progress.note("stopping now; what was measured stays");
    stop.now();
    std::thread::sleep(GRACE);
    // Whatever hangs: the logs are readable as they are.
    std::process::exit(i32::from(crate::commands::INTERRUPTED));
}

impl Drop for Listening {
    fn drop(&mut self) {
        self.measuring.store(false, Ordering::SeqCst);
    }
}
