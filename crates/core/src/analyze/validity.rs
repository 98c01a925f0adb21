//! Can the figures of a run be believed? From the probes, conditions and warnings of its rows: valid, degraded with the
//! reasons, invalid with the reasons. It stands before the figures, not behind them.
//!
//! Drift and load hit all cases of a round alike, so ratios paired by round suffer less than the figures themselves.

use crate::record::{Series, Status};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// How much the figures of a run can be believed, the worst last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Grade {
    /// The machine was watched, and nothing disturbed.
    Valid,
    /// Nobody watched the machine: logs of other tools, or of older versions.
    Unchecked,
    /// Something disturbed: figures may be off, and intervals are wider than need be.
    Degraded,
    /// Not to be used.
    Invalid,
}

impl Grade {
    /// The word for it.
    pub fn word(self) -> &'static str {
        match self {
            Grade::Valid => "valid",
            Grade::Unchecked => "unchecked",
            Grade::Degraded => "degraded",
            Grade::Invalid => "invalid",
        }
    }
}

/// The verdict on one run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Validity {
    /// The machine.
    pub host: String,
    /// The run's name, or its log's uuid where there is none.
    pub run: String,
    /// The verdict.
    pub grade: Grade,
    /// Why it is not valid, the gravest first; at the end what must be known though it is.
    pub reasons: Vec<String>,
}

/// A warning that speaks against a run, or must be known of one that is valid.
struct Doubt {
    code: &'static str,
    grade: Grade,
    words: &'static str,
}

const fn degrades(code: &'static str, words: &'static str) -> Doubt {
    Doubt { code, grade: Grade::Degraded, words }
}

/// Warnings that say something of the machine; others say something of a case, and stand in its row.
const DOUBTS: &[Doubt] = &[
    Doubt { code: "edited_log", grade: Grade::Invalid, words: "a raw log was changed after it was written" },
    degrades("memory_drift", "memory was faster or slower than in the rest of the run"),
    degrades("compute_drift", "the processor was faster or slower than in the rest of the run"),
    degrades("unsteady_machine", "the machine's speed changed within tenths of a second"),
    degrades("throttled", "the processor slowed down for its heat"),
    degrades("steal_time", "a hypervisor gave processor time to others"),
    degrades("other_load", "other programs used the processors"),
    degrades("high_load", "other programs used the processors before a launch"),
    degrades("memory_pressure", "tasks waited for memory"),
    degrades("swapping", "swap space was in use"),
    degrades("gpu_shared", "other programs were on the GPU"),
    degrades("busy_gpu", "the GPU was busy before a launch"),
    degrades("power_changed", "the mains came or went"),
    degrades("on_battery", "the machine ran on battery"),
    degrades("powersave_governor", "the frequency governor saves power"),
    // Asked for, and named so that it is compared with its like.
    Doubt { code: "overlapped", grade: Grade::Valid, words: "another GPU was measured at the same time" },
];

/// Probes of one run that differ by this factor come from two machines, so to speak.
const TOO_FAR: f64 = 2.0;
/// Time stolen in the middle launch above which nothing was measured but the neighbours, percent.
const MOSTLY_STOLEN: f64 = 20.0;
/// Runs that are told one by one.
const SHOWN: usize = 5;
/// What is said of a valid run.
const UNDISTURBED: &str = "the machine was watched, and nothing disturbed the measurement";

/// What a warning of the machine means, in words; `None` for those that say nothing of it.
pub fn warning_meaning(code: &str) -> Option<&'static str> {
    DOUBTS.iter().find(|doubt| doubt.code == code).map(|doubt| doubt.words)
}

/// The verdict on every run, by host and name.
pub fn validity(series: &[Series]) -> Vec<Validity> {
    let mut runs = Runs::default();
    series.iter().for_each(|one| runs.push(one));
    runs.finish()
}

/// What speaks for and against runs, as their series come.
#[derive(Default)]
pub(super) struct Runs(BTreeMap<(String, String), Run>);

impl Runs {
    /// Hears of one more series.
    pub fn push(&mut self, series: &Series) {
        let context = &series.context;
        let run = context.run.as_deref().or(context.uuid.as_deref()).unwrap_or("unknown");
        let host = context.hostname.as_deref().unwrap_or("unknown");
        self.0.entry((host.to_owned(), run.to_owned())).or_default().push(series);
    }

    /// The verdicts.
    pub fn finish(self) -> Vec<Validity> {
        self.0.into_iter().map(|((host, run), told)| told.judge(host, run)).collect()
    }
}

/// The verdicts in a few lines, the worst first.
pub fn validity_lines(all: &[Validity]) -> Vec<(Grade, String)> {
    let mut order: Vec<&Validity> = all.iter().collect();
    order.sort_by_key(|one| std::cmp::Reverse(one.grade));
    if let [one] = order.as_slice() {
        return vec![(one.grade, sentence(one, ""))];
    }
    let mut lines = Vec::new();
    for one in order.iter().filter(|one| one.grade > Grade::Unchecked).take(SHOWN) {
        lines.push((one.grade, sentence(one, &format!(", run {} on {}", one.run, one.host))));
    }
    for grade in [Grade::Invalid, Grade::Degraded, Grade::Unchecked, Grade::Valid] {
        let told = lines.iter().filter(|(of, _)| *of == grade).count();
        let n = order.iter().filter(|one| one.grade == grade).count() - told;
        if n > 0 {
            let more = if told > 0 { "more " } else { "" };
            let runs = if n == 1 { "run" } else { "runs" };
            lines.push((grade, format!("{}: {n} {more}{runs}", grade.word())));
        }
    }
    lines
}

fn sentence(one: &Validity, place: &str) -> String {
    let why = match (one.grade, one.reasons.is_empty()) {
        (Grade::Valid, true) => UNDISTURBED.to_owned(),
        (Grade::Valid, false) => format!("{UNDISTURBED}; {}", one.reasons.join("; ")),
        (Grade::Unchecked, _) => "nobody watched the machine while this was measured".to_owned(),
        (_, true) => "no reason was recorded".to_owned(),
        (_, false) => one.reasons.join("; "),
    };
    format!("{}{place}: {why}", one.grade.word())
}

/// What the series of one run tell.
#[derive(Default)]
struct Run {
    /// Whether anybody watched the machine.
    watched: bool,
    /// Launches that failed.
    failed: usize,
    /// Repetitions that were measured.
    measured: usize,
    /// Of the first log that was cut off: why, where it says so.
    cut: Option<Option<String>>,
    bandwidth: Extent,
    arithmetic: Extent,
    /// Time stolen in each launch and repetition, percent.
    stolen: Vec<f64>,
    /// For each doubt: repetitions that it concerns, and whether it was told at all.
    doubts: [(usize, bool); DOUBTS.len()],
}

/// Lowest and highest reading by threads: other threads measure another figure.
type Extent = BTreeMap<Option<u32>, (f64, f64)>;

impl Run {
    fn push(&mut self, series: &Series) {
        let context = &series.context;
        let measured = usize::from(!series.steps.is_empty());
        self.measured += measured;
        self.failed += usize::from(context.status == Status::Failed);
        if self.cut.is_none() && context.status == Status::Interrupted {
            self.cut = Some(context.reason.clone());
        }
        let readings = [(&mut self.bandwidth, context.probe_gb_s), (&mut self.arithmetic, context.probe_gflops)];
        for (extent, value) in readings {
            self.watched |= value.is_some();
            if let Some(value) = value {
                let (low, high) = extent.entry(context.threads).or_insert((value, value));
                (*low, *high) = (low.min(value), high.max(value));
            }
        }
        self.watched |= context.steal_percent.is_some();
        self.stolen.extend(context.steal_percent);
        for ((repetitions, told), doubt) in self.doubts.iter_mut().zip(DOUBTS) {
            if context.warnings.iter().any(|code| code == doubt.code) {
                *repetitions += measured;
                *told = true;
            }
        }
    }

    fn judge(mut self, host: String, run: String) -> Validity {
        let mut found = self.extent();
        found.extend(self.lost());
        let warned = self.doubts.iter().zip(DOUBTS).filter(|((_, told), _)| *told);
        found.extend(warned.map(|((n, _), doubt)| (doubt.grade, self.warned(doubt, *n))));
        // The gravest first; those of one grade stay in their order.
        found.sort_by_key(|(grade, _)| std::cmp::Reverse(*grade));
        let unwarned = if self.watched { Grade::Valid } else { Grade::Unchecked };
        let grade = found.iter().map(|(grade, _)| *grade).fold(unwarned, Grade::max);
        let reasons = found.into_iter().map(|(_, reason)| reason).collect();
        Validity { host, run, grade, reasons }
    }

    /// How far the machine went, whatever caused it.
    fn extent(&mut self) -> Vec<(Grade, String)> {
        let mut found = Vec::new();
        for (what, by_threads) in [("memory bandwidth", &self.bandwidth), ("arithmetic", &self.arithmetic)] {
            for (low, high) in by_threads.values().filter(|(low, high)| *high > TOO_FAR * *low) {
                let share = 100.0 * low / high;
                found.push((Grade::Invalid, format!("{what} fell to {share:.0}% of its highest during the run")));
            }
        }
        self.stolen.sort_by(f64::total_cmp);
        if let Some(middle) = self.stolen.get(self.stolen.len() / 2).filter(|middle| **middle > MOSTLY_STOLEN) {
            found.push((Grade::Invalid, format!("a hypervisor gave {middle:.0}% of the processors' time to others")));
        }
        found
    }

    /// What was not measured.
    fn lost(&self) -> Vec<(Grade, String)> {
        let mut found = Vec::new();
        if self.measured == 0 {
            found.push((Grade::Invalid, "no launch measured anything".to_owned()));
        } else if self.failed > 0 {
            let launches = if self.failed == 1 { "launch" } else { "launches" };
            found.push((Grade::Degraded, format!("{} {launches} failed", self.failed)));
        }
        if let Some(why) = &self.cut {
            let why = why.clone();
            found.push((Grade::Degraded, why.unwrap_or_else(|| "a log has no end: the run was cut off".to_owned())));
        }
        found
    }

    /// A doubt with how many of the repetitions it concerns.
    fn warned(&self, doubt: &Doubt, repetitions: usize) -> String {
        match repetitions {
            0 => format!("{} (in a launch that failed)", doubt.words),
            n if n == self.measured => doubt.words.to_owned(),
            n => format!("{} ({n} of {} repetitions)", doubt.words, self.measured),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::{Context, Step};

    fn series(run: &str, warnings: &[&str]) -> Series {
        let context = Context {
            hostname: Some("h".into()),
            run: Some(run.into()),
            steal_percent: Some(0.0),
            probe_gb_s: Some(20.0),
            threads: Some(2),
            warnings: warnings.iter().map(|code| (*code).to_owned()).collect(),
            ..Context::default()
        };
        Series { context, steps: vec![Step::default()] }
    }

    fn one(members: &[Series]) -> Validity {
        validity(members).remove(0)
    }

    #[test]
    fn a_watched_quiet_run_is_valid_and_an_unwatched_one_is_not_judged() {
        assert_eq!(one(&[series("a", &[]), series("a", &["not_deterministic"])]).grade, Grade::Valid);
        let mut old = series("a", &[]);
        (old.context.steal_percent, old.context.probe_gb_s) = (None, None);
        assert_eq!(one(&[old]).grade, Grade::Unchecked);
    }

    #[test]
    fn a_warning_degrades_and_says_how_often() {
        let found = one(&[series("a", &["throttled"]), series("a", &[])]);
        assert_eq!(found.grade, Grade::Degraded);
        assert_eq!(found.reasons, ["the processor slowed down for its heat (1 of 2 repetitions)"]);
        let all = one(&[series("a", &["throttled"]), series("a", &["throttled"])]);
        assert_eq!(all.reasons, ["the processor slowed down for its heat"]);
    }

    #[test]
    fn a_remark_is_named_and_degrades_nothing() {
        let found = one(&[series("a", &["overlapped"]), series("a", &[])]);
        assert_eq!(found.grade, Grade::Valid);
        let lines = validity_lines(&[found]);
        assert!(lines[0].1.ends_with("; another GPU was measured at the same time (1 of 2 repetitions)"), "{lines:?}");
        let worse = one(&[series("a", &["overlapped", "throttled"])]);
        assert_eq!((worse.grade, worse.reasons.len()), (Grade::Degraded, 2));
        assert!(worse.reasons[0].contains("heat"));
    }

    #[test]
    fn the_gravest_reason_comes_first_and_gives_the_grade() {
        let mut slow = series("a", &["on_battery", "edited_log"]);
        slow.context.probe_gb_s = Some(5.0);
        let found = one(&[series("a", &[]), slow]);
        assert_eq!(found.grade, Grade::Invalid);
        assert_eq!(found.reasons[0], "memory bandwidth fell to 25% of its highest during the run");
        assert!(found.reasons[1].starts_with("a raw log was changed") && found.reasons[2].contains("battery"));
    }

    #[test]
    fn other_threads_are_no_drift_and_failures_are_told() {
        let mut single = series("a", &[]);
        (single.context.probe_gb_s, single.context.threads) = (Some(5.0), Some(1));
        assert_eq!(one(&[series("a", &[]), single.clone()]).grade, Grade::Valid);
        single.context.status = Status::Failed;
        single.steps.clear();
        assert_eq!(one(&[series("a", &[]), single.clone()]).reasons, ["1 launch failed"]);
        assert_eq!(one(&[single]).reasons, ["no launch measured anything"]);
    }

    #[test]
    fn runs_are_judged_apart_and_summed_up() {
        let all = validity(&[series("a", &[]), series("b", &["swapping"]), series("c", &[])]);
        assert_eq!(all.len(), 3);
        let lines: Vec<String> = validity_lines(&all).into_iter().map(|(_, line)| line).collect();
        assert_eq!(lines, ["degraded, run b on h: swap space was in use", "valid: 2 runs"]);
        let single = validity_lines(&all[..1]);
        assert!(single[0].1.starts_with("valid: the machine was watched") && single.len() == 1);
        assert!(validity_lines(&[]).is_empty());
        let many: Vec<Validity> = (0..8).map(|_| all[1].clone()).collect();
        assert_eq!(validity_lines(&many).last().unwrap().1, "degraded: 3 more runs");
    }

    #[test]
    fn every_doubt_has_words_of_its_own() {
        for doubt in DOUBTS {
            assert_eq!(warning_meaning(doubt.code), Some(doubt.words));
        }
        assert_eq!(warning_meaning("no_warmup"), None);
    }
}
