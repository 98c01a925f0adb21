//! Axes -> cases.

use super::{Axes, SweepConfig};
use crate::engine::{self, Engine, LABELS};
use crate::plan::{Case, Config, Ends, Error, ModelRef, Result, Schedule, Settings, Workload, checkpoint_for};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, HashSet};

/// Cases of a sweep at most.
const MOST: usize = 1_000_000;

/// A case of a sweep.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Planned {
    /// Twelve hex digits of the sha256 of all that makes a measurement of it good for the sweep: the case, how often it
    /// is measured, and what `tokometer.toml` says of its engine.
    pub hash: String,
    /// The case.
    pub case: Case,
    /// Why the engine cannot do it at all, if so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refused: Option<String>,
}

/// All cases, without doubles.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Matrix {
    /// The cases, in the order of the axes: model, workload, threads and the like outermost, engine and quantization
    /// innermost.
    pub cases: Vec<Planned>,
    /// Cases that rules left out.
    pub excluded: usize,
}

/// What holds where no axis says otherwise.
#[derive(Debug, Clone)]
pub struct Base {
    /// The workload.
    pub workload: Workload,
    /// The settings; threads are resolved.
    pub settings: Settings,
    /// The seed.
    pub seed: u64,
    /// How often.
    pub schedule: Schedule,
    /// What ends a block.
    pub ends: Ends,
}

/// Makes the cases of the axes in `sweep` for the engines in `engines` (where the axes name none).
///
/// # Errors
/// A name that is not known, a number that makes no sense, a rule that says nothing, too many cases.
pub fn expand(sweep: &SweepConfig, engines: &[&'static Engine], config: &Config, base: &Base) -> Result<Matrix> {
    if let Some(at) = sweep.exclude.iter().position(|rule| !rule.says_something()) {
        return Err(Error::Invalid(format!(
            "[[sweep.exclude]] number {} names nothing: it would leave out all",
            at + 1
        )));
    }
    for name in sweep.engines.keys() {
        engine::by_name(name).map_err(|reason| Error::Invalid(format!("[sweep.engines.{name}]: {reason}")))?;
    }
    let mut making = Making { sweep, config, base, matrix: Matrix::default(), seen: HashSet::new() };
    let first = std::iter::once(sweep.axes.clone());
    let further = sweep.include.iter().map(|axes| axes.over(&sweep.axes));
    for axes in first.chain(further) {
        let named = axes.engine.values();
        let chosen: Vec<&'static Engine> = match named.is_empty() {
            true => engines.to_vec(),
            false => named.iter().map(|name| engine::by_name(name).map_err(Error::Invalid)).collect::<Result<_>>()?,
        };
        making.add(&axes, &chosen)?;
    }
    if making.matrix.cases.is_empty() {
        return Err(Error::Invalid("the sweep has no cases: its rules leave out everything".into()));
    }
    Ok(making.matrix)
}

struct Making<'a> {
    sweep: &'a SweepConfig,
    config: &'a Config,
    base: &'a Base,
    matrix: Matrix,
    seen: HashSet<String>,
}

impl Making<'_> {
    /// All combinations of the axes. What cases of a block share stands outermost.
    fn add(&mut self, axes: &Axes, engines: &[&'static Engine]) -> Result<()> {
        let of_engine: Vec<(&'static Engine, Axes)> = engines
            .iter()
            .map(|engine| {
                let own = self.sweep.engines.get(engine.name);
                (*engine, own.map_or_else(|| axes.clone(), |own| own.over(axes)))
            })
            .collect();
        // Engines may have other axes, so each goes over its own outer combinations; `blocks` brings them together.
        for (engine, axes) in &of_engine {
            for model in models(axes, self.config)? {
                for (workload, settings, seed) in outer(axes, self.base)? {
                    self.inner(engine, axes, &model, workload, &settings, seed)?;
                }
            }
        }
        Ok(())
    }

    /// The quantizations of one engine.
    fn inner(
        &mut self,
        engine: &'static Engine,
        axes: &Axes,
        model: &ModelRef,
        workload: Workload,
        settings: &Settings,
        seed: u64,
    ) -> Result<()> {
        for quantize in quantizations(engine, axes) {
            let (native, refused) = match engine.native(&quantize) {
                Ok(native) => (native.to_owned(), None),
                // A name that no engine knows is a slip of the pen, and no result.
                Err(reason) if !is_known(&quantize) => return Err(Error::Invalid(reason)),
                Err(reason) => (String::new(), Some(reason)),
            };
            let mut settings = settings.clone();
            for (name, value) in self.config.engines.get(engine.name).map(|own| own.options.clone()).unwrap_or_default()
            {
                settings.options.entry(name).or_insert(value);
            }
            let quantize = crate::plan::label(engine, &quantize);
            let case = Case {
                engine: engine.name.into(),
                model: model.to_string(),
                quantize,
                native,
                workload,
                settings,
                seed,
            };
            self.push(case, refused)?;
        }
        Ok(())
    }

    fn push(&mut self, case: Case, refused: Option<String>) -> Result<()> {
        if self.sweep.exclude.iter().any(|rule| rule.matches(&case)) {
            self.matrix.excluded += 1;
            return Ok(());
        }
        let overrides = self.config.overrides(&case.engine);
        let all = (&case, &self.base.schedule, &self.base.ends, overrides);
        let hash = crate::fingerprint::of_value(&all)[..12].to_owned();
        if self.seen.insert(hash.clone()) {
            if self.matrix.cases.len() >= MOST {
                return Err(Error::Invalid(format!(
                    "the sweep has more than {MOST} cases: leave out values or add rules"
                )));
            }
            self.matrix.cases.push(Planned { hash, case, refused });
        }
        Ok(())
    }
}

fn models(axes: &Axes, config: &Config) -> Result<Vec<ModelRef>> {
    let mut models = Vec::new();
    for model in axes.model.values() {
        models.push(model.parse()?);
    }
    for size in axes.size.values() {
        models.push(checkpoint_for(size, config)?);
    }
    if models.is_empty() {
        return Err(Error::Invalid(
            "which model? `model` or `size` in [sweep], or --model or --size on the command line".into(),
        ));
    }
    Ok(models)
}

/// Labels and native names; `all` are the common labels.
fn quantizations(engine: &Engine, axes: &Axes) -> Vec<String> {
    let asked = axes.quantize.values();
    let mut names: Vec<String> = Vec::new();
    for name in asked {
        if name.eq_ignore_ascii_case("all") {
            names.extend(LABELS.iter().map(|label| (*label).to_owned()));
        } else {
            names.push(name.clone());
        }
    }
    if asked.is_empty() {
        names.push("default".into());
    }
    // A native name belongs to the engines that have it; a common label that one lacks is a result.
    let natives_elsewhere = |name: &String| !LABELS.iter().any(|label| label.eq_ignore_ascii_case(name));
    names.retain(|name| !natives_elsewhere(name) || engine.native(name).is_ok() || !is_known(name));
    let mut seen = HashSet::new();
    names.retain(|name| seen.insert(name.to_lowercase()));
    names
}

/// Whether any engine knows that quantization.
fn is_known(name: &str) -> bool {
    engine::ENGINES.iter().any(|engine| engine.native(name).is_ok())
}

/// The combinations of everything but model, engine and quantization.
fn outer(axes: &Axes, base: &Base) -> Result<Vec<(Workload, Settings, u64)>> {
    let mut made = vec![(base.workload, base.settings.clone(), base.seed)];
    vary(&mut made, axes.seed.values(), |one, seed| one.2 = *seed);
    vary(&mut made, axes.prompt_tokens.values(), |one, n| one.0.prompt_tokens = *n);
    vary(&mut made, axes.gen_tokens.values(), |one, n| one.0.gen_tokens = *n);
    vary(&mut made, axes.depth.values(), |one, n| one.0.depth = *n);
    vary(&mut made, axes.threads.values(), |one, n| one.1.threads = Some((*n).max(1)));
    vary(&mut made, axes.device.values(), |one, name| one.1.device = Some(name.clone()));
    vary(&mut made, axes.batch.values(), |one, n| one.1.batch = Some(*n));
    vary(&mut made, axes.ubatch.values(), |one, n| one.1.ubatch = Some(*n));
    vary(&mut made, axes.kv_type.values(), |one, name| one.1.kv_type = Some(name.clone()));
    let mut flash = Vec::new();
    for word in axes.flash_attn.values() {
        flash.push(match word.as_str() {
            "on" => Some(true),
            "off" => Some(false),
            "auto" => None,
            _ => return Err(Error::Invalid(format!("flash-attn in [sweep] is {word:?}, not on, off or auto"))),
        });
    }
    vary(&mut made, &flash, |one, flash| one.1.flash_attn = *flash);
    for (name, values) in &axes.options {
        vary(&mut made, values.values(), |one, value| {
            one.1.options.insert(name.clone(), value.clone());
        });
    }
    made.iter().try_for_each(|(workload, _, _)| workload.validate())?;
    Ok(made)
}

/// Every one with every value; an empty axis changes nothing.
fn vary<T: Clone, V>(made: &mut Vec<T>, values: &[V], set: impl Fn(&mut T, &V)) {
    if values.is_empty() {
        return;
    }
    let before = std::mem::take(made);
    for one in &before {
        for value in values {
            let mut one = one.clone();
            set(&mut one, value);
            made.push(one);
        }
    }
}

/// How many cases share each value of what varies, for a person: `engine: 2, depth: 3`.
pub fn shape(cases: &[Planned]) -> Vec<(&'static str, usize)> {
    type Of = fn(&Case) -> String;
    let axes: [(&'static str, Of); 9] = [
        ("models", |case| case.model.clone()),
        ("engines", |case| case.engine.clone()),
        ("quantizations", |case| case.quantize.clone()),
        ("prompts", |case| case.workload.prompt_tokens.to_string()),
        ("depths", |case| case.workload.depth.to_string()),
        ("thread counts", |case| format!("{:?}", case.settings.threads)),
        ("batches", |case| format!("{:?} {:?}", case.settings.batch, case.settings.ubatch)),
        ("devices", |case| format!("{:?}", case.settings.device)),
        ("seeds", |case| case.seed.to_string()),
    ];
    let mut counts = BTreeMap::new();
    for (at, (name, of)) in axes.iter().enumerate() {
        let values: HashSet<String> = cases.iter().map(|planned| of(&planned.case)).collect();
        counts.insert(at, (*name, values.len()));
    }
    counts.into_values().filter(|(_, n)| *n > 1).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::by_name;

    fn base() -> Base {
        Base {
            workload: Workload::default(),
            settings: Settings { threads: Some(2), ..Settings::default() },
            seed: 42,
            schedule: Schedule::default(),
            ends: Ends::default(),
        }
    }

    fn made(text: &str) -> Result<Matrix> {
        let sweep: SweepConfig = toml::from_str(text).unwrap();
        let engines = ["llamacpp", "tinygrad", "mlc_llm"].map(|name| by_name(name).unwrap());
        expand(&sweep, &engines, &Config::default(), &base())
    }

    #[test]
    fn the_seed_workflows_matrix_is_engines_times_labels() {
        let matrix = made("model = \"synthetic:1B\"\nquantize = \"all\"").unwrap();
        assert_eq!(matrix.cases.len(), 12);
        let refused: Vec<_> = matrix.cases.iter().filter(|planned| planned.refused.is_some()).collect();
        assert_eq!(refused.len(), 1);
        assert_eq!((refused[0].case.engine.as_str(), refused[0].case.quantize.as_str()), ("mlc_llm", "int8"));
    }

    #[test]
    fn a_native_name_is_for_the_engine_that_has_it() {
        let matrix = made("model = \"synthetic:tiny\"\nquantize = [\"Q5_K_M\", \"nf4\"]").unwrap();
        let names: Vec<_> = matrix.cases.iter().map(|p| (p.case.engine.as_str(), p.case.quantize.as_str())).collect();
        assert_eq!(names, [("llamacpp", "Q5_K_M"), ("llamacpp", "nf4"), ("tinygrad", "nf4"), ("mlc_llm", "nf4")]);
        let slip = made("model = \"synthetic:tiny\"\nquantize = \"Q5_KM\"").unwrap_err().to_string();
        assert!(slip.contains("Q5_K_M"), "{slip}");
    }

    #[test]
    fn axes_multiply_rules_leave_out_and_includes_add() {
        let text = "
            model = \"synthetic:tiny\"
            engine = [\"llamacpp\", \"tinygrad\"]
            quantize = [\"float16\", \"nf4\"]
            depth = [0, 512]
            threads = [1, 2]
            [engines.tinygrad]
            threads = 2
            [[exclude]]
            quantize = \"nf4\"
            depth = 512
            [[include]]
            engine = \"llamacpp\"
            quantize = \"Q5_K_M\"
            depth = 0
            threads = 2
        ";
        let matrix = made(text).unwrap();
        // llamacpp 2x2x2 less 2, tinygrad 2x2 less 1, and one more.
        assert_eq!((matrix.cases.len(), matrix.excluded), (6 + 3 + 1, 3));
        let hashes: HashSet<_> = matrix.cases.iter().map(|planned| planned.hash.clone()).collect();
        assert_eq!(hashes.len(), matrix.cases.len());
        assert!(shape(&matrix.cases).contains(&("depths", 2)));
    }

    #[test]
    fn other_repetitions_are_another_measurement() {
        let sweep: SweepConfig = toml::from_str("model = \"synthetic:tiny\"").unwrap();
        let engines = [by_name("llamacpp").unwrap()];
        let hash = |base: &Base| expand(&sweep, &engines, &Config::default(), base).unwrap().cases[0].hash.clone();
        let quick = Base { schedule: Schedule::quick(), ..base() };
        assert_eq!(hash(&base()), hash(&base()));
        assert_ne!(hash(&base()), hash(&quick));
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        assert!(made("quantize = \"all\"").unwrap_err().to_string().contains("which model"));
        assert!(made("model = \"synthetic:tiny\"\ngen-tokens = 1").is_err());
        assert!(made("model = \"synthetic:tiny\"\nflash-attn = \"maybe\"").is_err());
        assert!(made("model = \"synthetic:tiny\"\n[[exclude]]").unwrap_err().to_string().contains("names nothing"));
        assert!(made("model = \"synthetic:tiny\"\n[engines.lamacpp]\ndepth = 1").is_err());
    }
}
