//! The seed workflow's MLC logs: a header with `framework: mlc_llm`, then one line per whole run,
//! `{"run": 1, "tokens": 20, "time_s": 1.9, "tok_per_sec": 10.5}`. Prefill and decode are one figure there.

use super::header::Header;
use super::jsonl;
use super::series::{Phase, SampleUnit, Series, Step};
use super::{Format, Input, Result, json_reason};
use serde::Deserialize;

/// See the module.
pub struct SeedMlc;

/// One line.
#[derive(Debug, Deserialize)]
struct Run {
    run: u64,
    tokens: u32,
    time_s: f64,
    tok_per_sec: Option<f64>,
}

impl Format for SeedMlc {
    fn name(&self) -> &'static str {
        "seed-mlc"
    }

    fn recognize(&self, head: &[u8], _: &str) -> bool {
        let (header, first) = jsonl::peek(head);
        if first.is_empty() {
            return header.engine().as_deref() == Some("mlc_llm");
        }
        jsonl::mentions(first, "tok_per_sec") || jsonl::mentions(first, "time_s")
    }

    fn read(&self, input: &Input<'_>, emit: &mut dyn FnMut(Series)) -> Result<()> {
        let mut current: Option<Series> = None;
        let mut last_run = 0;
        let mut launches = 0;
        jsonl::walk(input, |header, line| {
            let run: Run =
                serde_json::from_slice(line.bytes).map_err(|e| input.damaged(line.number, json_reason(&e)))?;
            let step = run.step().map_err(|reason| input.damaged(line.number, reason))?;
            // Runs are counted from 1: a number that does not grow belongs to a log that was appended.
            if (current.is_none() || run.run <= last_run)
                && let Some(done) = current.replace(begin(header, input, &mut launches))
            {
                emit(done);
            }
            last_run = run.run;
            if let Some(series) = &mut current {
                series.steps.push(step);
            }
            Ok(())
        })?;
        if let Some(done) = current {
            emit(done);
        }
        Ok(())
    }
}

/// A series without steps.
fn begin(header: &Header, input: &Input<'_>, launches: &mut u32) -> Series {
    *launches += 1;
    let mut context = header.context(input.name.as_ref(), "mlc_llm");
    context.launch = Some(*launches);
    if context.native_quantize.is_none() {
        // These logs were named by the engine's own quantization.
        context.native_quantize = context.quantize.clone().filter(|name| name.starts_with('q'));
    }
    Series { context, steps: Vec::new() }
}

impl Run {
    fn step(&self) -> std::result::Result<Step, String> {
        if self.time_s.is_nan() || self.time_s < 0.0 || self.tok_per_sec.is_some_and(|speed| speed < 0.0) {
            return Err("a time or speed below zero".to_owned());
        }
        let derived = (self.time_s > 0.0).then(|| f64::from(self.tokens) / self.time_s);
        Ok(Step {
            phase: Phase::Mixed,
            unit: SampleUnit::Repetition,
            tokens: Some(self.tokens),
            total_ms: Some(self.time_s * 1000.0),
            tokens_per_sec: self.tok_per_sec.or(derived),
            ..Step::default()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::read_log;
    use super::*;
    use std::path::Path;

    const LOG: &str = "framework: mlc_llm\nhostname: box\nsize: 1B\nquantize: q4f16_1\nseed: 42\nuuid: 0123abcd\n\n\
        {\"run\": 1, \"tokens\": 20, \"time_s\": 2.0, \"tok_per_sec\": 10.0}\n\
        {\"run\": 2, \"tokens\": 20, \"time_s\": 1.6}\n";

    #[test]
    fn runs_are_repetitions_of_one_mixed_figure() {
        let log = read_log(LOG.as_bytes(), Path::new("x.txt")).unwrap();
        let [series] = log.series.as_slice() else { panic!("{log:?}") };
        assert_eq!((series.context.engine.as_str(), series.context.seed), ("mlc_llm", Some(42)));
        assert_eq!(series.context.native_quantize.as_deref(), Some("q4f16_1"));
        let rows: Vec<_> = series.steps.iter().map(|s| (s.total_ms, s.tokens_per_sec, s.step, s.phase)).collect();
        assert_eq!(
            rows,
            [(Some(2000.0), Some(10.0), None, Phase::Mixed), (Some(1600.0), Some(12.5), None, Phase::Mixed)]
        );
        assert!(series.steps.iter().all(|s| s.unit == SampleUnit::Repetition && s.tokens == Some(20)));
    }

    #[test]
    fn an_appended_log_is_a_second_launch() {
        let log = read_log(LOG.repeat(2).as_bytes(), Path::new("x.txt")).unwrap();
        let launches: Vec<_> = log.series.iter().map(|s| (s.context.launch, s.steps.len())).collect();
        assert_eq!(launches, [(Some(1), 2), (Some(2), 2)]);
    }

    #[test]
    fn a_header_alone_holds_nothing_and_a_cut_line_is_named() {
        let header = &LOG[..LOG.find('{').unwrap()];
        assert_eq!(read_log(header.as_bytes(), Path::new("x.txt")).unwrap().series.len(), 0);
        let cut = &LOG[..LOG.len() - 9];
        assert_eq!(read_log(cut.as_bytes(), Path::new("x.txt")).unwrap_err().line(), Some(9));
    }
}
