//! The command line that measures a case again: the recorded one, or that of the case alone where a sweep measured it, for the
//! sweep itself finds the case finished.

use serde_json::Value;
use tokometer_core::plan::{self, Case, Ends, Schedule};
use tokometer_core::record::provenance::Provenance;
use tokometer_core::sweep::CASE_KEY;

/// Options of a sweep that its cases do not tell: with what they are measured.
const KEPT: &[&str] = &["--config", "--python", "--converter", "--timeout"];

/// The command line that measures the case of a log again, program first; empty where the log does not tell.
pub fn line(one: &Provenance) -> Vec<String> {
    let alone = one.header(CASE_KEY).and_then(|_| alone(one));
    alone.unwrap_or_else(|| one.command.clone())
}

/// `run` of the case of a log; `None` where the log was cut off before it told.
fn alone(one: &Provenance) -> Option<Vec<String>> {
    let case: Case = serde_json::from_value(one.case.clone()).ok()?;
    let mut words = Words(vec!["tokometer".to_owned(), "run".to_owned()]);
    words.case(&case);
    words.often(&one.schedule);
    words.0.extend(kept(&one.command));
    Some(words.0)
}

/// The options of a command line that are kept, with their values.
fn kept(command: &[String]) -> Vec<String> {
    let mut words = Vec::new();
    for (at, word) in command.iter().enumerate() {
        let (name, value) = word.split_once('=').map_or((word.as_str(), None), |(name, value)| (name, Some(value)));
        let value = value.or_else(|| command.get(at + 1).map(String::as_str));
        if let Some(value) = value.filter(|_| KEPT.contains(&name)) {
            words.extend([name.to_owned(), value.to_owned()]);
        }
    }
    words
}

/// A command line that is being made.
struct Words(Vec<String>);

impl Words {
    fn put(&mut self, flag: &str, value: Option<impl ToString>) {
        if let Some(value) = value {
            self.0.extend([flag.to_owned(), value.to_string()]);
        }
    }

    fn case(&mut self, case: &Case) {
        let (workload, settings) = (&case.workload, &case.settings);
        self.put("--engine", Some(&case.engine));
        self.put("--model", Some(&case.model));
        self.put("--quantize", Some(&case.quantize));
        self.put("--prompt-tokens", Some(workload.prompt_tokens));
        self.put("--gen-tokens", Some(workload.gen_tokens));
        self.put("--depth", Some(workload.depth));
        self.put("--seed", Some(case.seed));
        self.put("--threads", settings.threads);
        self.put("--batch", settings.batch);
        self.put("--ubatch", settings.ubatch);
        self.put("--flash-attn", settings.flash_attn.map(|on| if on { "on" } else { "off" }));
        self.put("--kv-type", settings.kv_type.as_ref());
        self.put("--device", settings.device.as_ref());
        for (name, value) in &settings.options {
            self.put("--option", Some(format!("{name}={value}")));
        }
        self.put("--memory-limit", settings.memory_limit.map(amount));
    }

    /// `--ratios` is left out: a case alone has none.
    fn often(&mut self, schedule: &Value) {
        if let Ok(times) = serde_json::from_value::<Schedule>(schedule["times"].clone()) {
            self.put("--launches", Some(times.launches));
            self.put("--repetitions", Some(times.repetitions));
            self.put("--warmup", Some(times.warmup));
        }
        if let Ok(ends) = serde_json::from_value::<Ends>(schedule["ends"].clone()) {
            self.put("--rounds", ends.rounds);
            self.put("--until", ends.until.map(percent));
            self.put("--budget", ends.budget_s.map(|seconds| format!("{seconds}s")));
        }
        self.put("--resident", schedule["resident"].as_str());
    }
}

/// An amount that is read back to the byte: halving is exact.
fn amount(bytes: u64) -> String {
    match bytes % 1_000_000 {
        0 => format!("{}M", bytes / 1_000_000),
        _ => format!("{}MiB", bytes as f64 / f64::from(1u32 << 20)),
    }
}

/// The shortest percentage that is read back as this share.
fn percent(share: f64) -> String {
    let mut texts = (0..=17usize).map(|digits| format!("{:.digits$}%", share * 100.0));
    let reads_back = |text: &String| plan::until(text).is_ok_and(|read| read.to_bits() == share.to_bits());
    texts.find(reads_back).unwrap_or_else(|| format!("{}%", share * 100.0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::args::{Args, Command};
    use crate::settings;
    use clap::Parser;
    use serde_json::json;
    use tokometer_core::machine::Machine;
    use tokometer_core::plan::sweep::Base;
    use tokometer_core::plan::{Config, Settings, Workload};

    fn case(settings: Settings) -> Case {
        Case {
            engine: "mock".into(),
            model: "synthetic:tiny".into(),
            quantize: "nf4".into(),
            native: "mock-4".into(),
            workload: Workload { prompt_tokens: 8, gen_tokens: 4, depth: 16 },
            settings,
            seed: 7,
        }
    }

    /// As a sweep records it.
    fn recorded(case: &Case, times: Schedule, ends: Ends) -> Provenance {
        let command = "tokometer --config=own.toml sweep --resume --timeout 600 --model synthetic:tiny";
        Provenance {
            header: [(CASE_KEY.to_owned(), json!("0123456789ab"))].into_iter().collect(),
            command: command.split(' ').map(str::to_owned).collect(),
            case: json!(case),
            schedule: json!({ "times": times, "ends": ends, "resident": "never" }),
            ..Provenance::default()
        }
    }

    fn holds(case: &Case, times: Schedule, ends: Ends) {
        let line = line(&recorded(case, times, ends));
        let args = Args::try_parse_from(&line).unwrap_or_else(|error| panic!("{line:?}: {error}"));
        let Command::Run(run) = &args.command else { panic!("{line:?}") };
        let base = settings::base(run, &Config::default(), &Machine::this()).unwrap();
        let Base { workload, settings, seed, schedule, ends: until } = base;
        assert_eq!((workload, &settings, seed), (case.workload, &case.settings, case.seed), "{line:?}");
        assert_eq!((schedule, until), (times, ends), "{line:?}");
        let selection = &run.selection;
        let names = [selection.engine.join(","), selection.quantize.join(",")];
        assert_eq!(names, ["mock", "nf4"]);
        assert_eq!((selection.model.as_deref(), run.limits.timeout), (Some("synthetic:tiny"), 600));
        assert_eq!(args.global.config.as_deref(), Some(std::path::Path::new("own.toml")));
    }

    #[test]
    fn a_case_of_a_sweep_is_told_by_options_of_run() {
        let plain = Settings { threads: Some(2), ..Settings::default() };
        holds(&case(plain), Schedule::default(), Ends { rounds: Some(3), ..Ends::default() });
        let all = Settings {
            threads: Some(3),
            batch: Some(64),
            ubatch: Some(32),
            flash_attn: Some(false),
            kv_type: Some("q8_0".into()),
            device: Some("CPU".into()),
            options: [("sleep_ms".to_owned(), "3".to_owned()), ("a".to_owned(), "b=c".to_owned())].into(),
            memory_limit: Some(1_610_612_737),
        };
        let ends = Ends { rounds: Some(40), until: Some(0.07), ratios: false, budget_s: Some(5400) };
        holds(&case(all), Schedule { launches: 2, repetitions: 4, warmup: 0 }, ends);
    }

    #[test]
    fn what_no_sweep_measured_keeps_its_command_line() {
        let case = case(Settings::default());
        let mut one = recorded(&case, Schedule::default(), Ends::default());
        one.header.clear();
        assert_eq!(line(&one), one.command);
        // Cut off before it told its case.
        let one = Provenance { case: Value::Null, ..recorded(&case, Schedule::default(), Ends::default()) };
        assert_eq!(line(&one), one.command);
    }

    #[test]
    fn shares_and_amounts_are_read_back_as_they_were() {
        for (share, text) in [(0.01, "1%"), (0.005, "0.5%"), (0.07, "7%")] {
            assert_eq!(percent(share), text);
        }
        for bytes in [4_000_000_000, 1 << 30, 1_234_567_891_234_567] {
            assert_eq!(settings::memory_limit(&amount(bytes)).unwrap(), bytes);
        }
    }
}
