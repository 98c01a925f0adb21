//! Logs of tinygrad's llama3 example: an optional header, `seed = 42`, `loaded weights in ...`, then per token `enqueue in
//! ...`, `total ...` and the text so far. The format has no escapes and no end: text may span lines and look like anything,
//! several runs may follow each other in one file, and a run that failed may have left nothing but its seed.
//!
//! All steps are decode steps: the example computes the prompt before it begins to print.

mod marks;

use super::header::{self, Header};
use super::series::{Context, Phase, SampleUnit, Series, Status, Step, ThroughputSource};
use super::{Format, Input, Result};
use marks::{Mark, mark};

/// See the module.
pub struct Tinygrad;

/// How many lines are read ahead to tell a new run from generated text.
const LOOKAHEAD: usize = 256;

impl Format for Tinygrad {
    fn name(&self) -> &'static str {
        "tinygrad"
    }

    fn recognize(&self, head: &[u8], _: &str) -> bool {
        let head = String::from_utf8_lossy(head);
        let mut header = Header::default();
        for line in head.lines() {
            if mark(line).is_some() {
                return true;
            }
            if let Some((key, value)) = header::pair(line) {
                header.push(key, value);
            }
        }
        header.is_plausible()
    }

    fn read(&self, input: &Input<'_>, emit: &mut dyn FnMut(Series)) -> Result<()> {
        let text = String::from_utf8_lossy(input.bytes);
        let lines: Vec<&str> = text.lines().collect();
        let mut reader = Reader::new(input, &lines, text.ends_with('\n'));
        let mut at = 0;
        while at < lines.len() {
            at = reader.advance(at, emit);
        }
        reader.close(lines.len(), emit);
        Ok(())
    }
}

/// What stands between two runs, in this order; each part may be missing.
#[derive(Debug, Default)]
struct Preamble {
    header: Option<Header>,
    seed: Option<u64>,
    load_ms: Option<f64>,
    /// Lines that it takes.
    lines: usize,
}

impl Preamble {
    /// The places of its first and last part: 1 header, 2 seed, 3 weights.
    fn span(&self) -> (u8, u8) {
        let parts = [(1, self.header.is_some()), (2, self.seed.is_some()), (3, self.load_ms.is_some())];
        let mut there = parts.iter().filter(|(_, is)| *is).map(|(place, _)| *place);
        let first = there.next().unwrap_or(0);
        (first, there.next_back().unwrap_or(first))
    }
}

/// The run that is being read.
struct Reader<'a> {
    lines: &'a [&'a str],
    /// Whether the last line of the file is whole.
    whole: bool,
    /// The latest header.
    header: Header,
    /// The context that it gives.
    base: Context,
    input: &'a Input<'a>,
    run: Series,
    /// Place of the last part of the run's preamble.
    filled: u8,
    launches: u32,
    /// First line of the latest step's text.
    text_from: usize,
    has_enqueue: bool,
}

impl<'a> Reader<'a> {
    fn new(input: &'a Input<'a>, lines: &'a [&'a str], whole: bool) -> Self {
        let base = Header::default().context(input.name.as_ref(), "tinygrad");
        let run = Series { context: base.clone(), steps: Vec::new() };
        let header = Header::default();
        Reader { lines, whole, header, base, input, run, filled: 0, launches: 0, text_from: 0, has_enqueue: false }
    }

    /// Takes what begins at line `at` and returns the line after it.
    fn advance(&mut self, at: usize, emit: &mut dyn FnMut(Series)) -> usize {
        if let Some((step, used)) = self.step(at) {
            self.finish_text(at);
            self.launches = self.launches.max(1);
            self.has_enqueue |= step.enqueue_ms.is_some();
            self.run.steps.push(step);
            self.text_from = at + used;
            return at + used;
        }
        if self.cut(at) {
            self.finish_text(at);
            self.run.context.status = Status::Interrupted;
            return self.lines.len();
        }
        if let Some(preamble) = self.preamble(at).filter(|found| self.begins_run(at, found)) {
            let used = preamble.lines;
            self.begin(at, preamble, emit);
            return at + used;
        }
        at + 1
    }

    /// A step: its two lines, or its `total` alone in a run that prints no `enqueue`.
    fn step(&self, at: usize) -> Option<(Step, usize)> {
        let (enqueue_ms, total, used) = match mark(self.lines[at])? {
            Mark::Enqueue(ms) => match mark(self.lines.get(at + 1)?)? {
                Mark::Total(total) => (Some(ms), total, 2),
                _ => return None,
            },
            Mark::Total(total) if !self.has_enqueue => (None, total, 1),
            _ => return None,
        };
        let step = Step {
            step: u32::try_from(self.run.steps.len()).ok(),
            phase: Phase::Decode,
            unit: SampleUnit::Step,
            tokens: Some(1),
            enqueue_ms,
            total_ms: Some(total.ms),
            tokens_per_sec: Some(total.tokens_per_sec),
            memory_gb_s: total.memory_gb_s,
            param_gb_s: total.param_gb_s,
            ..Step::default()
        };
        Some((step, used))
    }

    /// Whether the file ends here in the middle of a step.
    fn cut(&self, at: usize) -> bool {
        let started = self.filled > 0 || !self.run.steps.is_empty();
        let rest = &self.lines[at..];
        match rest {
            [only] if matches!(mark(only), Some(Mark::Enqueue(_))) => started,
            [only] => started && !self.whole && begun(only, "enqueue in "),
            [first, second] => {
                let enqueued = matches!(mark(first), Some(Mark::Enqueue(_)));
                started && !self.whole && enqueued && begun(second, "total ")
            }
            _ => false,
        }
    }

    /// The preamble at a line, if one stands there.
    fn preamble(&self, at: usize) -> Option<Preamble> {
        let mut found = Preamble::default();
        let mut next = at;
        if let Some((header, lines)) = self.header(at) {
            found.header = Some(header);
            next = self.skip_blank(at + lines);
        }
        if let Some(Mark::Seed(seed)) = self.lines.get(next).and_then(|line| mark(line)) {
            found.seed = Some(seed);
            next += 1;
            found.lines = next - at;
            next = self.skip_blank(next);
        }
        if let Some(Mark::Loaded(ms)) = self.lines.get(next).and_then(|line| mark(line)) {
            found.load_ms = Some(ms);
            next += 1;
            found.lines = next - at;
        }
        if found.lines == 0 && found.header.is_some() {
            found.lines = next - at;
        }
        (found.lines > 0).then_some(found)
    }

    /// `key: value` lines, the first with a key that headers use, and how many they are.
    fn header(&self, at: usize) -> Option<(Header, usize)> {
        let known = header::pair(self.lines[at]).is_some_and(|(key, _)| header::is_known(key));
        let first = at == 0 && header::pair(self.lines[0]).is_some();
        if !known && !first {
            return None;
        }
        let mut header = Header::default();
        let mut count = 0;
        while let Some((key, value)) = self.lines.get(at + count).and_then(|line| header::pair(line)) {
            header.push(key, value);
            count += 1;
            if count == LOOKAHEAD {
                break;
            }
        }
        Some((header, count))
    }

    fn skip_blank(&self, mut at: usize) -> usize {
        let end = self.lines.len().min(at + LOOKAHEAD);
        while at < end && self.lines[at].trim().is_empty() {
            at += 1;
        }
        at
    }

    /// Before the first step a preamble is what it seems. After it, generated text may look like one. The text grows from
    /// step to step: what the next step's text repeats is text, too.
    fn begins_run(&self, at: usize, found: &Preamble) -> bool {
        if self.run.steps.is_empty() || found.load_ms.is_some() {
            return true;
        }
        if found.header.as_ref().is_some_and(|header| !header.is_plausible()) {
            return false;
        }
        let mut next = self.skip_blank(at + found.lines);
        while next < self.lines.len() && next < at + LOOKAHEAD {
            if let Some((_, used)) = self.step(next) {
                return !self.repeats(at, next + used);
            }
            match self.preamble(next) {
                Some(further) if further.load_ms.is_some() => return true,
                Some(further) => next = self.skip_blank(next + further.lines),
                None => return false,
            }
        }
        next >= self.lines.len() && !self.grew(at)
    }

    /// Whether line `at` goes on with a line of the text of the step before: a token is less than a whole line.
    fn grew(&self, at: usize) -> bool {
        let before = self.run.steps.iter().rev().nth(1).and_then(|step| step.text.as_deref());
        let line = before.and_then(|text| text.split('\n').nth(at - self.text_from));
        line.is_some_and(|line| self.lines[at].starts_with(line))
    }

    /// Whether the text that begins at line `next` begins with the latest step's text up to and including line `at`.
    fn repeats(&self, at: usize, next: usize) -> bool {
        let text = &self.lines[self.text_from..=at];
        let Some(later) = self.lines.get(next..next + text.len()) else { return false };
        let (Some((last, front)), Some((later_last, later_front))) = (text.split_last(), later.split_last()) else {
            return false;
        };
        front == later_front && later_last.starts_with(last)
    }

    /// Goes on with the run that has begun when the preamble only adds to it; otherwise closes it and begins the next.
    fn begin(&mut self, at: usize, mut preamble: Preamble, emit: &mut dyn FnMut(Series)) {
        if let Some(further) = preamble.header.take_if(|header| !header.is_plausible()) {
            self.header.extend(further);
            self.use_header();
        }
        let (first, last) = preamble.span();
        if first == 0 {
            return;
        }
        if !self.run.steps.is_empty() || first <= self.filled {
            self.close(at, emit);
            self.run.context = self.base.clone();
            self.filled = 0;
            self.launches += 1;
        }
        if let Some(header) = preamble.header {
            self.header = header;
            self.use_header();
        }
        self.filled = last;
        self.launches = self.launches.max(1);
        if preamble.seed.is_some() {
            self.run.context.seed = preamble.seed;
        }
        if preamble.load_ms.is_some() {
            self.run.context.load_ms = preamble.load_ms;
        }
    }

    /// The run gets the header's context; a seed or load time of its own stays.
    fn use_header(&mut self) {
        self.base = self.header.context(self.input.name.as_ref(), "tinygrad");
        let old = &self.run.context;
        let seed = if self.filled > 1 { old.seed } else { self.base.seed };
        self.run.context = Context { seed, load_ms: old.load_ms, ..self.base.clone() };
    }

    /// Gives the latest step the lines before `end` as its text.
    fn finish_text(&mut self, end: usize) {
        if let Some(step) = self.run.steps.last_mut() {
            step.text = Some(self.lines[self.text_from..end].join("\n"));
        }
    }

    /// Ends the run before line `end`. A run without steps leaves nothing.
    fn close(&mut self, end: usize, emit: &mut dyn FnMut(Series)) {
        if self.run.context.status != Status::Interrupted {
            self.finish_text(end);
        }
        let context = std::mem::take(&mut self.run.context);
        let mut steps = std::mem::take(&mut self.run.steps);
        self.has_enqueue = false;
        if steps.is_empty() {
            return;
        }
        let counted = steps.iter().any(|step| step.memory_gb_s.is_some());
        additions(&mut steps);
        let throughput_source = counted.then_some(ThroughputSource::Engine);
        emit(Series { context: Context { launch: Some(self.launches), throughput_source, ..context }, steps });
    }
}

/// The text so far of each step becomes what the step added to the one before. Text that was changed (a character that came
/// in two halves) begins where the two part.
fn additions(steps: &mut [Step]) {
    for i in (1..steps.len()).rev() {
        let (before, from) = steps.split_at_mut(i);
        if let (Some(before), Some(text)) = (&before[i - 1].text, &mut from[0].text) {
            let common: usize =
                before.chars().zip(text.chars()).take_while(|(a, b)| a == b).map(|(c, _)| c.len_utf8()).sum();
            text.drain(..common);
        }
    }
}

/// Whether a line that may be cut off is the beginning of one that begins with `lead`.
fn begun(line: &str, lead: &str) -> bool {
    line.starts_with(lead) || (!line.is_empty() && lead.starts_with(line))
}

#[cfg(test)]
mod tests;
