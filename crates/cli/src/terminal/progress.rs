//! Progress: bars with ETA in a terminal, plain lines in a log.
//!
//! Bars are drawn only when something advances: nothing ticks while an engine is being measured.

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::io::{IsTerminal, Write};
use std::sync::Mutex;
use std::time::{Duration, Instant};
use tokometer_core::progress::{Progress, Task, Unit};

/// Between two plain lines of one task.
const PLAIN_INTERVAL: Duration = Duration::from_secs(10);

/// All bars.
pub struct Bars {
    multi: Option<MultiProgress>,
    quiet: bool,
}

/// Columns of the terminal that stderr is.
pub fn columns() -> Option<usize> {
    if !std::io::stdout().is_terminal() {
        return None;
    }
    // SAFETY: the structure is plain data that the call fills.
    unsafe {
        let mut size: libc::winsize = std::mem::zeroed();
        (libc::ioctl(1, libc::TIOCGWINSZ, &raw mut size) == 0 && size.ws_col > 0).then_some(usize::from(size.ws_col))
    }
}

impl Bars {
    /// Bars if stderr is a terminal, plain lines otherwise, nothing when quiet.
    pub fn new(quiet: bool) -> Bars {
        let multi = (!quiet && std::io::stderr().is_terminal())
            .then(|| MultiProgress::with_draw_target(ProgressDrawTarget::stderr_with_hz(4)));
        Bars { multi, quiet }
    }

    /// A line on stderr that does not tear the bars.
    pub fn print(&self, text: &str) {
        match &self.multi {
            Some(multi) => multi.suspend(|| eprint_line(text)),
            None => eprint_line(text),
        }
    }
}

fn eprint_line(text: &str) {
    let _ = writeln!(std::io::stderr(), "{text}");
}

impl Progress for Bars {
    fn task(&self, label: &str, total: Option<u64>, unit: Unit) -> Box<dyn Task> {
        if self.quiet {
            return Box::new(tokometer_core::progress::Silent);
        }
        match &self.multi {
            Some(multi) => {
                let bar = multi.add(match total {
                    Some(total) => ProgressBar::new(total).with_style(style(unit)),
                    None => ProgressBar::new_spinner(),
                });
                bar.set_prefix(label.to_owned());
                if total.is_none() {
                    bar.set_message(format!("{label} ..."));
                    bar.enable_steady_tick(Duration::from_millis(500));
                }
                bar.tick();
                Box::new(Bar { bar, multi: multi.clone(), label: label.to_owned(), unit, began: Instant::now() })
            }
            None => {
                eprint_line(&format!("{label} ..."));
                let state = Mutex::new(Plain { done: 0, total, said: Instant::now(), detail: String::new() });
                Box::new(Lines { label: label.to_owned(), unit, began: Instant::now(), state })
            }
        }
    }

    fn note(&self, text: &str) {
        if !self.quiet {
            self.print(text);
        }
    }

    fn warn(&self, text: &str) {
        self.print(&format!("warning: {text}"));
    }
}

fn style(unit: Unit) -> ProgressStyle {
    let template = match unit {
        Unit::Bytes => "{prefix} {wide_bar} {bytes}/{total_bytes} {bytes_per_sec} ETA {eta} {msg}",
        Unit::Count => "{prefix} {wide_bar} {pos}/{len} ETA {eta} {msg}",
    };
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar())
}

struct Bar {
    bar: ProgressBar,
    multi: MultiProgress,
    label: String,
    unit: Unit,
    began: Instant,
}

impl Task for Bar {
    fn advance(&self, n: u64) {
        self.bar.inc(n);
    }

    fn expect(&self, total: u64) {
        if self.bar.length().is_none() {
            // It began without a total, as a line that says that something is done; its share needs no ticking.
            self.bar.disable_steady_tick();
            self.bar.set_style(style(self.unit));
            self.bar.set_message(String::new());
        }
        self.bar.set_length(total);
    }

    fn detail(&self, text: &str) {
        self.bar.set_message(text.to_owned());
    }

    fn finish(self: Box<Self>, summary: &str) {
        self.bar.finish_and_clear();
        let line = finished(&self.label, summary, self.began);
        self.multi.suspend(|| eprint_line(&line));
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}

fn finished(label: &str, summary: &str, began: Instant) -> String {
    let took = began.elapsed().as_secs_f64();
    format!("{label}: {summary} ({})", duration(took))
}

/// `0.4 s`, `12 s`, `3 min 20 s`.
pub fn duration(seconds: f64) -> String {
    match seconds {
        s if s < 10.0 => format!("{s:.1} s"),
        s if s < 120.0 => format!("{s:.0} s"),
        s => format!("{} min {} s", s as u64 / 60, s as u64 % 60),
    }
}

struct Lines {
    label: String,
    unit: Unit,
    began: Instant,
    state: Mutex<Plain>,
}

struct Plain {
    done: u64,
    total: Option<u64>,
    said: Instant,
    detail: String,
}

impl Task for Lines {
    fn advance(&self, n: u64) {
        let Ok(mut state) = self.state.lock() else { return };
        state.done += n;
        if state.said.elapsed() < PLAIN_INTERVAL {
            return;
        }
        state.said = Instant::now();
        let amount = |n: u64| match self.unit {
            Unit::Bytes => format!("{:.2} GB", n as f64 / 1e9),
            Unit::Count => n.to_string(),
        };
        let spent = self.began.elapsed().as_secs_f64();
        let eta = state.total.filter(|_| state.done > 0).map(|total| {
            let left = spent * total.saturating_sub(state.done) as f64 / state.done as f64;
            format!(" of {}, ETA {}", amount(total), duration(left))
        });
        let detail = if state.detail.is_empty() { String::new() } else { format!(" · {}", state.detail) };
        eprint_line(&format!("{}: {}{}{detail}", self.label, amount(state.done), eta.unwrap_or_default()));
    }

    fn expect(&self, total: u64) {
        if let Ok(mut state) = self.state.lock() {
            state.total = Some(total);
        }
    }

    fn detail(&self, text: &str) {
        if let Ok(mut state) = self.state.lock() {
            state.detail = text.to_owned();
        }
    }

    fn finish(self: Box<Self>, summary: &str) {
        eprint_line(&finished(&self.label, summary, self.began));
    }
}

#[cfg(test)]
mod tests {
    use super::duration;

    #[test]
    fn durations_read_well() {
        assert_eq!([duration(0.44), duration(12.3), duration(200.9)], ["0.4 s", "12 s", "3 min 20 s"]);
    }
}
