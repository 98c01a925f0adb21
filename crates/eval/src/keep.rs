//! Which finished result is that of an evaluation which is asked for again.
//!
//! All that an evaluation is made of is known before anything is started, but for the engine's version. A hash of it stands
//! in each result (`identity`), the version beside it. A result without that hash, of an earlier program, is never taken.

use crate::case::{Wish, built_in};
use crate::distance::{Record, Text};
use crate::external::{LM_EVAL, VERIFIERS};
use crate::{Environment, EvalResult};
use tokometer_core::engine::{self, ModelFormat};
use tokometer_core::fingerprint;
use tokometer_core::prepare::{Manifest, SourceFile};

/// Raised when something is asked or scored in another way, so that earlier results are not taken for those of now.
const FORM: u32 = 1;

/// What computes: an engine with a prepared model, on a machine.
#[derive(Debug, Clone, Copy)]
pub struct Computes<'a> {
    /// The quantization's label.
    pub quantize: &'a str,
    /// The prepared model.
    pub manifest: &'a Manifest,
    /// The machine, whose devices are chosen from where none is named.
    pub hostname: &'a str,
    /// Device by the engine's name.
    pub device: Option<&'a str>,
    /// What the configuration says of the engine.
    pub configured: &'a str,
    /// Tokens of context.
    pub ctx_tokens: u32,
}

impl Computes<'_> {
    /// The hash of all of it. The model counts by its files, wherever they lie, and by its name, which results tell. What was
    /// compiled counts by what it was made of and for (`tools`): compiling that again gives other bytes.
    pub fn identity(&self) -> String {
        let model = self.manifest;
        let is_compiled = engine::by_name(&model.engine).is_ok_and(|engine| engine.format == ModelFormat::Compiled);
        let made: &[SourceFile] = if is_compiled { &[] } else { &model.files };
        let files = (&model.source.files, &model.source.revision, made, &model.tools);
        fingerprint::of_value(&(
            (FORM, env!("CARGO_PKG_VERSION"), &model.engine, self.quantize, &model.native, &model.name, files),
            (self.hostname, self.device, self.configured, self.ctx_tokens),
        ))
    }
}

/// Identity of what is asked and of who asks; `None` where that cannot be known: `vf-eval`'s own environments are packages
/// whose content nobody tells, and a program that is not installed tells no version.
pub fn asking(environment: &Environment, wish: &Wish) -> Option<String> {
    let (by, set) = match environment {
        Environment::Native(set) => (format!("tokometer {}", env!("CARGO_PKG_VERSION")), Some(set.clone())),
        Environment::Verifiers(name) => {
            let set = built_in(name)?;
            (VERIFIERS.identity()?, Some(set))
        }
        // Its own tasks come with the package and so with its version.
        Environment::LmEval(name) => (LM_EVAL.identity()?, built_in(name)),
    };
    let examples = set.as_ref().map(|set| set.first(wish.num_examples).len()).or(wish.num_examples);
    let content = set.map(|set| set.sha256);
    Some(fingerprint::of_value(&(FORM, environment.name(), by, content, examples, wish.max_tokens)))
}

/// Identity of an evaluation, of those of what computes and of what is asked.
pub fn evaluation(computing: &str, asking: &str) -> String {
    fingerprint::of_value(&(computing, asking))
}

/// Identity of a distance, of those of the original and of what is held against it.
pub fn distance(base: &str, computing: &str, text: &Text, chunks: Option<usize>) -> String {
    fingerprint::of_value(&("distance", base, computing, &text.name, &text.sha256, chunks))
}

/// A result that may be taken again.
pub trait Finished {
    /// Hash of all that went in; `None` of a failed result, and of one that does not tell it.
    fn identity(&self) -> Option<&str>;
    /// Versions of the engines that took part, always in the same order.
    fn versions(&self) -> Vec<Option<&str>>;
    /// When it was done, UTC.
    fn timestamp(&self) -> &str;
}

impl Finished for EvalResult {
    fn identity(&self) -> Option<&str> {
        self.identity.as_deref().filter(|_| self.returncode == 0)
    }

    fn versions(&self) -> Vec<Option<&str>> {
        vec![self.engine_version.as_deref()]
    }

    fn timestamp(&self) -> &str {
        &self.timestamp
    }
}

impl Finished for Record {
    fn identity(&self) -> Option<&str> {
        self.identity.as_deref().filter(|_| self.returncode == 0)
    }

    /// The original's, then its own.
    fn versions(&self) -> Vec<Option<&str>> {
        vec![self.base.engine_version.as_deref(), self.engine_version.as_deref()]
    }

    fn timestamp(&self) -> &str {
        &self.timestamp
    }
}

/// The newest successful result of that identity and of the engines' versions, which are asked for only where they matter;
/// `None` where one of them is not told.
pub fn find<'r, R: Finished>(
    results: &'r [R],
    identity: &str,
    versions: impl FnOnce() -> Option<Vec<String>>,
) -> Option<&'r R> {
    let alike: Vec<&R> = results.iter().filter(|result| result.identity() == Some(identity)).collect();
    if alike.is_empty() {
        return None;
    }
    let versions = versions()?;
    let versions: Vec<Option<&str>> = versions.iter().map(|version| Some(version.as_str())).collect();
    let of_versions = alike.into_iter().filter(|result| result.versions() == versions);
    of_versions.max_by(|a, b| a.timestamp().cmp(b.timestamp()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::distance::Unmeasured;
    use crate::result::testing::result;
    use std::time::Duration;

    fn wish(num_examples: Option<usize>, max_tokens: Option<u32>) -> Wish {
        Wish { num_examples, max_tokens, patience: Duration::from_secs(1) }
    }

    #[test]
    fn what_is_asked_is_known_by_content_number_and_length() {
        let open = |word: &str| Environment::open(word).unwrap();
        let of = |word: &str, n, most| asking(&open(word), &wish(n, most)).unwrap();
        assert_eq!(of("copy", Some(3), None), of("copy", Some(3), None));
        let others = [of("copy", Some(4), None), of("copy", Some(3), Some(9)), of("sort", Some(3), None)];
        assert!(others.iter().all(|other| *other != of("copy", Some(3), None)));
        // All of a set is all of it, however it is said.
        assert_eq!(of("copy", None, None), of("copy", Some(1_000_000), None));
        assert_eq!(asking(&open("vf:not-ours"), &wish(None, None)), None);
    }

    #[test]
    fn only_a_successful_result_of_the_same_version_is_taken_and_the_newest() {
        let of = |uuid: &str, identity: Option<&str>, version: &str, timestamp: &str| EvalResult {
            uuid: uuid.into(),
            identity: identity.map(str::to_owned),
            engine_version: Some(version.into()),
            timestamp: timestamp.into(),
            ..result("mock", "nf4", 4.0, &[1.0])
        };
        let failed = EvalResult { returncode: 1, ..of("failed", Some("i"), "2", "2027-01-01T00:00:00Z") };
        let results = [
            of("newest", Some("i"), "2", "2026-11-26T00:00:00Z"),
            of("older", Some("i"), "2", "2026-11-25T00:00:00Z"),
            of("of another version", Some("i"), "1", "2026-11-27T00:00:00Z"),
            of("before there were any", None, "2", "2026-11-28T00:00:00Z"),
            failed,
        ];
        let found = |identity: &str, version: Option<&str>| {
            find(&results, identity, || Some(vec![version?.to_owned()])).map(|result| result.uuid.as_str())
        };
        assert_eq!(found("i", Some("2")), Some("newest"));
        assert_eq!(found("i", Some("1")), Some("of another version"));
        assert_eq!((found("i", Some("3")), found("i", None), found("j", Some("2"))), (None, None, None));
        assert!(find(&results, "j", || panic!("nobody need tell the version")).is_none());
    }

    #[test]
    fn what_is_compiled_is_known_by_what_it_is_made_for_and_other_models_by_their_files() {
        let of = |name: &str, bytes: &str, processor: &str| {
            let engine = engine::by_name(name).unwrap();
            let mut manifest = Manifest::unprepared(&"synthetic:tiny".parse().unwrap(), engine, "native");
            manifest.files = vec![SourceFile { name: "made".into(), bytes: 1, sha256: bytes.into() }];
            manifest.tools = [("processor".to_owned(), processor.to_owned())].into();
            let manifest = &manifest;
            let hostname = "host";
            Computes { quantize: "nf4", manifest, hostname, device: None, configured: "", ctx_tokens: 1 }.identity()
        };
        assert_eq!(of("mlc_llm", "a", "P"), of("mlc_llm", "b", "P"));
        assert_ne!(of("mlc_llm", "a", "P"), of("mlc_llm", "a", "Q"));
        assert_ne!(of("llamacpp", "a", "P"), of("llamacpp", "b", "P"));
    }

    #[test]
    fn of_a_distance_both_versions_count() {
        let of = |timestamp: &str, base: Option<&str>, own: &str| {
            let wanted = Unmeasured {
                manifest: &Manifest::unprepared(
                    &"synthetic:tiny".parse().unwrap(),
                    engine::by_name("mock").unwrap(),
                    "mock-4",
                ),
                quantize: "nf4",
                native: None,
                engine_version: Some(own),
                original: ("mock", "float16"),
                text: &Text::held_out(),
                hostname: "host",
                reason: "",
            };
            let mut record = Record::not_offered(&wanted);
            (record.timestamp, record.identity) = (timestamp.to_owned(), Some("i".to_owned()));
            (record.returncode, record.reason) = (0, None);
            record.base.engine_version = base.map(str::to_owned);
            record
        };
        let mut failed = of("d", Some("1"), "2");
        failed.returncode = 1;
        let records =
            [of("a", Some("1"), "2"), of("c", Some("2"), "2"), of("b", Some("1"), "2"), of("e", None, "2"), failed];
        let found = |base: &str, own: &str| {
            find(&records, "i", || Some(vec![base.to_owned(), own.to_owned()])).map(|record| record.timestamp.as_str())
        };
        assert_eq!((found("1", "2"), found("2", "2"), found("2", "1")), (Some("b"), Some("c"), None));
    }
}
