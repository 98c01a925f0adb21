//! The files of a result, as bytes: JSON in the form of the evaluations, and every position as CSV.
//!
//! The JSON begins with the fields that every evaluation has (`quantization`, `size`, `environment`, `num_examples`: positions,
//! `max_tokens`: 0, `metrics`, `elapsed_seconds`, `returncode`, `timestamp`, `backend`). `metrics` holds [`super::FIGURES`] by
//! name as `{"avg": ..., "std": ...}`, where `std` is the standard error of `avg`, not the spread of single positions, and null
//! where there is none. `chunk_sums` are the sums of each chunk, from which all means and errors follow; the percentiles
//! follow from the CSV. Missing is left out.
//!
//! What an engine does not offer has a result, too, with `reason`, a `returncode` that is not 0 and no figures.

use super::figures::{FIGURES, Value, figures};
use super::measure::{Base, Measured, Subject};
use super::sums::{Position, Sums};
use super::text::Text;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::Path;
use tokometer_core::prepare::Manifest;
use tokometer_core::{clock, fingerprint};

/// The name of this evaluation.
pub const ENVIRONMENT: &str = "distance";

/// A result.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Record {
    /// The label that was asked for.
    pub quantization: String,
    /// Size label of the model.
    pub size: String,
    /// [`ENVIRONMENT`].
    pub environment: String,
    /// Scored positions; 0 where nothing was measured.
    pub num_examples: usize,
    /// Nothing is generated.
    pub max_tokens: u32,
    /// The figures.
    #[serde(serialize_with = "as_map", deserialize_with = "from_map")]
    pub metrics: Vec<(String, Value)>,
    /// Starting the worker, loading, scoring and comparing, without the base.
    pub elapsed_seconds: f64,
    /// 0, or 1 where there are no figures.
    pub returncode: i32,
    /// When it was done, UTC.
    pub timestamp: String,
    /// The engine.
    pub backend: String,
    /// The same, as columns elsewhere call it.
    pub engine: String,
    /// Its version as it names itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub engine_version: Option<String>,
    /// The machine.
    pub hostname: String,
    /// The model's name.
    pub model: String,
    /// The model as the user named it.
    pub source: String,
    /// What the engine computed with.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub native_quantize: Option<String>,
    /// 8 x bytes of the weights as stored / parameters.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bits_per_weight: Option<f64>,
    /// Bytes of the weights as stored.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub weights_bytes: Option<u64>,
    /// Number of parameters.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub n_params: Option<u64>,
    /// What it was held against.
    pub base: BaseRecord,
    /// What was predicted.
    pub text: TextRecord,
    /// Tokens of a chunk.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ctx: Option<usize>,
    /// The first token of each chunk whose prediction is scored.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scored_from: Option<usize>,
    /// Number of chunks.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub chunks: Option<usize>,
    /// Sums over the positions of each chunk.
    pub chunk_sums: Vec<Sums>,
    /// Eight hex digits that name this result.
    pub uuid: String,
    /// The program's version.
    pub tokometer: String,
    /// Hash of all that went in but the engines' versions: what has the same need not be measured again.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub identity: Option<String>,
    /// Why there are no figures.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// What is not offered, as far as it is known.
#[derive(Debug, Clone, Copy)]
pub struct Unmeasured<'a> {
    /// What is known of a model that was not prepared.
    pub manifest: &'a Manifest,
    /// The label that was asked for.
    pub quantize: &'a str,
    /// What the engine would compute with.
    pub native: Option<&'a str>,
    /// The engine's version as it names itself.
    pub engine_version: Option<&'a str>,
    /// What it was to be held against: engine and label.
    pub original: (&'a str, &'a str),
    /// What was to be predicted.
    pub text: &'a Text,
    /// The machine.
    pub hostname: &'a str,
    /// Why there are no figures.
    pub reason: &'a str,
}

/// The base of a result.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct BaseRecord {
    /// The engine.
    pub engine: String,
    /// Its version as it names itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub engine_version: Option<String>,
    /// The label that was asked for.
    pub quantize: String,
    /// What the engine computed with.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub native_quantize: Option<String>,
    /// 8 x bytes of the weights as stored / parameters.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bits_per_weight: Option<f64>,
}

/// The text of a result.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct TextRecord {
    /// Its name.
    pub name: String,
    /// sha256 in hex of what was made tokens.
    pub sha256: String,
    /// Its tokens.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tokens: Option<usize>,
}

fn as_map<S: Serializer>(metrics: &[(String, Value)], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_map(metrics.iter().map(|(name, value)| (name, value)))
}

/// The figures that are known, in their order.
fn from_map<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<(String, Value)>, D::Error> {
    let found = BTreeMap::<String, Value>::deserialize(deserializer)?;
    let known = FIGURES.iter().filter_map(|figure| found.get_key_value(figure.name));
    Ok(known.map(|(name, value)| (name.clone(), *value)).collect())
}

fn named(chunks: &[Vec<Position>]) -> Vec<(String, Value)> {
    figures(chunks.iter().flatten()).into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

fn bits(bytes: u64, parameters: u64) -> Option<f64> {
    (parameters > 0).then(|| 8.0 * bytes as f64 / parameters as f64)
}

impl Record {
    /// Of a quantization that was held against a base.
    pub fn new(base: (&Subject, &Base), subject: &Subject, measured: &Measured, text: &Text, hostname: &str) -> Record {
        let (original, base) = base;
        let (manifest, loaded) = (&subject.manifest, &measured.loaded);
        Record {
            quantization: subject.quantize.clone(),
            size: manifest.size.clone(),
            environment: ENVIRONMENT.to_owned(),
            num_examples: measured.chunks.iter().map(Vec::len).sum(),
            max_tokens: 0,
            metrics: named(&measured.chunks),
            elapsed_seconds: measured.elapsed.as_secs_f64(),
            returncode: 0,
            timestamp: clock::now_utc(),
            backend: subject.engine.name.to_owned(),
            engine: subject.engine.name.to_owned(),
            engine_version: Some(measured.engine_version.clone()),
            hostname: hostname.to_owned(),
            model: manifest.name.clone(),
            source: manifest.source.model.clone(),
            native_quantize: Some(loaded.native_quantize.clone()),
            bits_per_weight: bits(loaded.weights_bytes, loaded.n_params),
            weights_bytes: Some(loaded.weights_bytes),
            n_params: Some(loaded.n_params),
            base: BaseRecord {
                engine: original.engine.name.to_owned(),
                engine_version: Some(base.engine_version.clone()),
                quantize: original.quantize.clone(),
                native_quantize: Some(base.loaded.native_quantize.clone()),
                bits_per_weight: bits(base.loaded.weights_bytes, base.loaded.n_params),
            },
            text: TextRecord { name: text.name.clone(), sha256: text.sha256.clone(), tokens: Some(base.chunks.tokens) },
            ctx: Some(base.chunks.ctx),
            scored_from: Some(base.chunks.first),
            chunks: Some(base.chunks.chunks.len()),
            chunk_sums: measured.chunks.iter().map(Sums::of).collect(),
            uuid: fingerprint::fresh_name(),
            tokometer: env!("CARGO_PKG_VERSION").to_owned(),
            identity: None,
            reason: None,
        }
    }

    /// Of a quantization that cannot be held against a base: everything but figures, and why.
    pub fn not_offered(wanted: &Unmeasured<'_>) -> Record {
        let Unmeasured { manifest, text, original, .. } = *wanted;
        Record {
            quantization: wanted.quantize.to_owned(),
            size: manifest.size.clone(),
            environment: ENVIRONMENT.to_owned(),
            num_examples: 0,
            max_tokens: 0,
            metrics: Vec::new(),
            elapsed_seconds: 0.0,
            returncode: 1,
            timestamp: clock::now_utc(),
            backend: manifest.engine.clone(),
            engine: manifest.engine.clone(),
            engine_version: wanted.engine_version.map(str::to_owned),
            hostname: wanted.hostname.to_owned(),
            model: manifest.name.clone(),
            source: manifest.source.model.clone(),
            native_quantize: wanted.native.map(str::to_owned),
            bits_per_weight: None,
            weights_bytes: None,
            n_params: None,
            base: BaseRecord {
                engine: original.0.to_owned(),
                engine_version: None,
                quantize: original.1.to_owned(),
                native_quantize: None,
                bits_per_weight: None,
            },
            text: TextRecord { name: text.name.clone(), sha256: text.sha256.clone(), tokens: None },
            ctx: None,
            scored_from: None,
            chunks: None,
            chunk_sums: Vec::new(),
            uuid: fingerprint::fresh_name(),
            tokometer: env!("CARGO_PKG_VERSION").to_owned(),
            identity: None,
            reason: Some(wanted.reason.to_owned()),
        }
    }

    /// A figure by its name.
    pub fn value(&self, name: &str) -> Option<Value> {
        self.metrics.iter().find(|(known, _)| known == name).map(|(_, value)| *value)
    }

    /// `{engine}_{hostname}_{size}_{quantize}_distance_uuid{8 hex}`: the name of its files without the ending.
    pub fn stem(&self) -> String {
        let parts = [&self.engine, &self.hostname, &self.size, &self.quantization].map(|part| clean(part));
        format!("{}_{ENVIRONMENT}_uuid{}", parts.join("_"), self.uuid)
    }

    /// The JSON file.
    ///
    /// # Errors
    /// A figure cannot be written, which would be a fault of this program.
    pub fn json(&self) -> serde_json::Result<Vec<u8>> {
        let mut bytes = serde_json::to_vec_pretty(self)?;
        bytes.push(b'\n');
        Ok(bytes)
    }
}

/// The distances of a folder that may be kept: those that tell how they came about and whose positions lie beside them.
pub fn finished(folder: &Path) -> Vec<Record> {
    let paths = std::fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    let is_whole = |path: &Path| path.extension().is_some_and(|e| e == "json") && path.with_extension("csv").is_file();
    let read = |path: &Path| serde_json::from_slice::<Record>(&std::fs::read(path).ok()?).ok();
    let records = paths.filter(|path| is_whole(path)).filter_map(|path| read(&path));
    records.filter(|record| record.environment == ENVIRONMENT && record.identity.is_some()).collect()
}

/// What a file name may hold: letters, digits, `.`, `_` and `-`.
fn clean(text: &str) -> String {
    let keep = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    text.chars().map(|c| if keep(c) { c } else { '-' }).collect()
}

/// Every position as CSV: number of the chunk, tokens before the one that is predicted, that token, and what it says (nats,
/// Δp as a difference of probabilities, `same_top` 1 or 0).
pub fn positions_csv(chunks: &[Vec<Position>], scored_from: usize) -> String {
    let mut text = String::from("chunk,position,token,nll,nll_base,kld,delta_p,same_top\n");
    for (number, chunk) in chunks.iter().enumerate() {
        for (i, p) in chunk.iter().enumerate() {
            let place = scored_from + 1 + i;
            // Writing to a string cannot fail.
            let _ = writeln!(
                text,
                "{number},{place},{},{},{},{},{},{}",
                p.token,
                p.nll,
                p.nll_base,
                p.kld,
                p.delta_p,
                u8::from(p.same_top)
            );
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokometer_core::engine;
    use tokometer_core::plan::ModelRef;
    use tokometer_core::record::Quality;

    #[test]
    fn every_position_is_a_row_that_reads_back() {
        let p = Position { token: 7, nll: 0.1, nll_base: 0.25, kld: 1e-9, delta_p: -0.5, same_top: true };
        let text = positions_csv(&[vec![p], vec![p, p]], 4);
        let rows: Vec<&str> = text.lines().collect();
        assert_eq!(rows[1], "0,5,7,0.1,0.25,0.000000001,-0.5,1");
        assert_eq!((rows.len(), &rows[3][..4]), (4, "1,6,"));
    }

    #[test]
    fn metrics_are_a_map_in_their_order_and_missing_errors_are_null() {
        #[derive(Debug, PartialEq, Serialize, Deserialize)]
        struct Only {
            #[serde(serialize_with = "as_map", deserialize_with = "from_map")]
            metrics: Vec<(String, Value)>,
        }
        let one = |name: &str, avg, std| (name.to_owned(), Value { avg, std });
        let only = Only { metrics: vec![one("ppl", 1.5, Some(0.5)), one("kld_max", 2.0, None)] };
        let text = serde_json::to_string(&only).unwrap();
        assert_eq!(text, r#"{"metrics":{"ppl":{"avg":1.5,"std":0.5},"kld_max":{"avg":2.0,"std":null}}}"#);
        assert_eq!(serde_json::from_str::<Only>(&text).unwrap(), only);
    }

    #[test]
    fn what_is_not_offered_has_no_figure_not_even_zero() {
        let model: ModelRef = "synthetic:tiny".parse().unwrap();
        let engine = engine::by_name("mlc_llm").unwrap();
        let wanted = Unmeasured {
            manifest: &Manifest::unprepared(&model, engine, "q4f16_1"),
            quantize: "nf4",
            native: None,
            engine_version: Some("0.1"),
            original: ("mlc_llm", "float16"),
            text: &Text::held_out(),
            hostname: "host",
            reason: "it cannot",
        };
        let record = Record::not_offered(&wanted);
        let told: serde_json::Value = serde_json::from_slice(&record.json().unwrap()).unwrap();
        assert_eq!((told["reason"].as_str(), told["returncode"].as_i64()), (Some("it cannot"), Some(1)));
        assert_eq!((told["metrics"].as_object().map(|all| all.len()), record.value("kld_mean")), (Some(0), None));
        for absent in ["weights_bytes", "n_params", "bits_per_weight", "ctx", "chunks", "native_quantize"] {
            assert!(told.get(absent).is_none(), "{absent}: {told}");
        }
        // Whoever reads evaluations reads this one, too, and takes it for one without figures.
        let quality = Quality::parse("a.json", &record.json().unwrap()).unwrap();
        assert_eq!((quality.metrics.len(), quality.reason.as_deref()), (0, Some("it cannot")));
        let result: crate::EvalResult = serde_json::from_value(told).unwrap();
        assert_eq!((result.metrics.len(), result.reason.as_deref()), (0, Some("it cannot")));
        assert_eq!(positions_csv(&[], 0).lines().count(), 1);
    }

    #[test]
    fn names_of_files_hold_nothing_odd() {
        assert_eq!(clean("Q4_K_M"), "Q4_K_M");
        assert_eq!(clean("a/b c"), "a-b-c");
    }
}
