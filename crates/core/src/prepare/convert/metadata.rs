//! The keys `general.*` about the model as a work: name, origin, licence, recommended sampling. Taken
//! from the model card, `config.json`, `generation_config.json` and the folder's name, in the order
//! and by the rules of llama.cpp's `gguf-py/gguf/metadata.py`.

use std::path::Path;

use serde_json::Value as Json;

use super::error::{Error, Result};
use super::files::{self, Object};
use super::front_matter::{self, Card};
use super::model_id::{ModelId, title};
use crate::prepare::gguf::{Array, Metadata};

/// Adds them. `name_hint` replaces the name that would be found; `total_params` is the number of elements of
/// all tensors.
pub(super) fn describe(
    folder: &Path,
    config: &Object,
    name_hint: Option<&str>,
    total_params: u64,
    metadata: &mut Metadata,
) -> Result<()> {
    let card = match std::fs::read(folder.join("README.md")) {
        Ok(bytes) => front_matter::parse(&String::from_utf8_lossy(&bytes)),
        Err(_) => Card::Null,
    };
    let ids = [config_id(config, total_params), Some(ModelId::parse(&folder_name(folder), total_params))];
    let known = Known { card: &card, ids: &ids };
    metadata.set("general.type", "model");
    describe_sampling(&folder.join("generation_config.json"), metadata)?;

    let name = name_hint.map(str::to_owned).or_else(|| known.card(&["name", "model_name"]));
    let name =
        name.or_else(|| known.id(|id| id.full_name.as_deref().map(title))).unwrap_or_else(|| folder_name(folder));
    put(metadata, "general.name", Some(name));
    put(metadata, "general.author", known.card(&["author", "model_author", "model_creator"]));
    put(
        metadata,
        "general.version",
        known.card(&["version", "model_version"]).or_else(|| known.id(|id| id.version.clone())),
    );
    let organization = known.card(&["organization", "model_organization"]);
    put(
        metadata,
        "general.organization",
        organization.or_else(|| known.id(|id| id.organization.as_deref().map(title))),
    );
    put(
        metadata,
        "general.finetune",
        known.card(&["finetune", "model_finetune"]).or_else(|| known.id(|id| id.finetune.clone())),
    );
    let basename = known.card(&["basename", "model_basename", "model_type"]);
    put(metadata, "general.basename", basename.or_else(|| known.id(|id| id.basename.clone())));
    put(metadata, "general.description", known.card(&["description", "model_description"]));
    let label = known.card(&["size_label", "model_size_label"]).or_else(|| known.id(|id| id.size_label.clone()));
    put(metadata, "general.size_label", Some(label.unwrap_or_else(|| size_label(total_params))));
    put(metadata, "general.license", licence(&card));
    put(metadata, "general.license.name", known.card(&["license_name"]));
    put(metadata, "general.license.link", known.card(&["license_link"]));
    put(metadata, "general.source.url", known.card(&["url", "model_url"]));
    put(metadata, "general.source.doi", known.card(&["doi", "model_doi"]));
    put(metadata, "general.source.uuid", known.card(&["uuid", "model_uuid"]));
    put(metadata, "general.source.repo_url", known.card(&["repo_url", "model_repo_url"]));
    describe_relatives(
        &card,
        "base_model",
        &["base_model", "base_models", "base_model_sources"],
        total_params,
        metadata,
    );
    describe_relatives(&card, "dataset", &["datasets", "dataset", "dataset_sources"], total_params, metadata);
    put_list(metadata, "general.tags", &card, &["tags", "pipeline_tag"]);
    put_list(metadata, "general.languages", &card, &["languages", "language"]);
    Ok(())
}

/// What is known about the model, best first.
struct Known<'a> {
    card: &'a Card,
    ids: &'a [Option<ModelId>; 2],
}

impl Known<'_> {
    /// The first of these keys of the card that holds a text.
    fn card(&self, keys: &[&str]) -> Option<String> {
        keys.iter().find_map(|key| self.card.get(key)?.text().map(str::to_owned))
    }

    /// What the first name that tells it tells.
    fn id(&self, part: impl Fn(&ModelId) -> Option<String>) -> Option<String> {
        self.ids.iter().flatten().find_map(part)
    }
}

/// The name in `config.json`, unless it is the path of somebody's disk.
fn config_id(config: &Object, total_params: u64) -> Option<ModelId> {
    let name = config.get("_name_or_path")?.as_str()?;
    (name.matches('/').count() <= 1).then(|| ModelId::parse(name, total_params))
}

/// The folder's own name, also where it was given as `.`.
fn folder_name(folder: &Path) -> String {
    let own = |path: &Path| path.file_name().map(|name| name.to_string_lossy().into_owned());
    own(folder).or_else(|| own(&folder.canonicalize().ok()?)).unwrap_or_default()
}

/// A text that is not empty.
fn put(metadata: &mut Metadata, key: &str, value: Option<String>) {
    if let Some(value) = value.filter(|v| !v.is_empty()) {
        metadata.set(key, value);
    }
}

/// The texts of several keys of the card, one after the other.
fn put_list(metadata: &mut Metadata, key: &str, card: &Card, from: &[&str]) {
    let mut all = Vec::new();
    for name in from {
        match card.get(name) {
            Some(Card::Text(text)) => all.push(text.clone()),
            Some(Card::List(items)) => all.extend(items.iter().filter_map(Card::text).map(str::to_owned)),
            _ => {}
        }
    }
    if !all.is_empty() {
        metadata.set(key, Array::String(all));
    }
}

fn licence(card: &Card) -> Option<String> {
    match card.get("license")? {
        Card::List(items) => Some(items.iter().filter_map(Card::text).collect::<Vec<_>>().join(",")),
        other => other.text().map(str::to_owned),
    }
}

/// Base models or datasets: a count, and what can be told about each.
fn describe_relatives(card: &Card, kind: &str, keys: &[&str], total_params: u64, metadata: &mut Metadata) {
    let Some(value) = keys.iter().find_map(|key| card.get(key)) else { return };
    let entries: Vec<Vec<(String, String)>> = match value {
        Card::List(items) => items.iter().map(|item| relative(item, total_params)).collect(),
        Card::Text(_) => vec![relative(value, total_params)],
        _ => Vec::new(),
    };
    metadata.set(format!("general.{kind}.count"), entries.len() as u32);
    for (i, entry) in entries.iter().enumerate() {
        for field in ["name", "author", "version", "organization", "description", "url", "doi", "uuid", "repo_url"] {
            let value = entry.iter().find(|(name, _)| name == field).map(|(_, value)| value.clone());
            put(metadata, &format!("general.{kind}.{i}.{field}"), value);
        }
    }
}

fn relative(item: &Card, total_params: u64) -> Vec<(String, String)> {
    let text = match item {
        Card::Map(entries) => {
            return entries.iter().filter_map(|(key, value)| Some((key.clone(), value.text()?.to_owned()))).collect();
        }
        other => match other.text() {
            Some(text) => text,
            None => return Vec::new(),
        },
    };
    let mut out = Vec::new();
    let is_url = ["http://", "https://", "ssh://"].iter().any(|scheme| text.starts_with(scheme));
    let id = if is_url {
        out.push(("repo_url".to_owned(), text.to_owned()));
        match hub_id(text) {
            Some(id) => ModelId::parse(id, total_params),
            None => return out,
        }
    } else {
        ModelId::parse(text, total_params)
    };
    if let (false, Some(organization), Some(name)) = (is_url, &id.organization, &id.full_name) {
        out.push(("repo_url".to_owned(), format!("https://huggingface.co/{organization}/{name}")));
    }
    let told = [
        ("name", id.full_name.as_deref().map(title)),
        ("organization", id.organization.as_deref().map(title)),
        ("version", id.version),
    ];
    out.extend(told.into_iter().filter_map(|(field, value)| Some((field.to_owned(), value?))));
    out
}

/// `org/name` of an address on the hub that has nothing behind it.
fn hub_id(url: &str) -> Option<&str> {
    let id = ["https://huggingface.co/", "http://huggingface.co/"].iter().find_map(|start| url.strip_prefix(start))?;
    let (organization, name) = id.split_once('/')?;
    (!organization.is_empty() && !name.is_empty() && !name.contains('/')).then_some(id)
}

/// The sampling that the model's makers recommend.
fn describe_sampling(path: &Path, metadata: &mut Metadata) -> Result<()> {
    // Many models carry a broken one; it is no reason to fail.
    let Ok(Some(config)) = files::read_object(path) else { return Ok(()) };
    let wrong = |key: &str, value: &Json| Error::Invalid {
        path: path.to_owned(),
        what: format!("{key} is {value}, which is no such number"),
    };
    let penalty = if config.contains_key("penalty_repeat") { "penalty_repeat" } else { "repetition_penalty" };
    let fields = [
        ("top_k", "top_k", true),
        ("top_p", "top_p", false),
        ("min_p", "min_p", false),
        ("xtc_probability", "xtc_probability", false),
        ("xtc_threshold", "xtc_threshold", false),
        ("temp", "temperature", false),
        ("penalty_last_n", "penalty_last_n", true),
        ("penalty_repeat", penalty, false),
        ("mirostat", "mirostat", true),
        ("mirostat_tau", "mirostat_tau", false),
        ("mirostat_eta", "mirostat_eta", false),
    ];
    if let Some(sequence) = config.get("sequence").and_then(Json::as_str) {
        put(metadata, "general.sampling.sequence", Some(sequence.to_owned()));
    }
    for (key, from, whole) in fields {
        let Some(value) = config.get(from).filter(|v| !v.is_null()) else { continue };
        let key = format!("general.sampling.{key}");
        if whole {
            let number = value.as_i64().and_then(|n| i32::try_from(n).ok()).ok_or_else(|| wrong(from, value))?;
            metadata.set(key, number);
        } else {
            let number = value.as_f64().ok_or_else(|| wrong(from, value))?;
            metadata.set(key, number as f32);
        }
    }
    Ok(())
}

/// `1.2B`, `60M`: two digits at least (`model_weight_count_rounded_notation` in `gguf-py/gguf/utility.py`).
fn size_label(params: u64) -> String {
    let n = params as f64;
    let (scaled, unit) = match n {
        n if n > 1e12 => (n * 1e-12, 'T'),
        n if n > 1e9 => (n * 1e-9, 'B'),
        n if n > 1e6 => (n * 1e-6, 'M'),
        n => (n * 1e-3, 'K'),
    };
    let whole = format!("{}", scaled.round_ties_even());
    let digits = whole.trim_start_matches('0').len();
    let decimals = 2usize.saturating_sub(digits);
    format!("{scaled:.decimals$}{unit}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Dir;

    #[test]
    fn sizes_have_two_digits() {
        for (n, expected) in [
            (1_235_814_400, "1.2B"),
            (60_000_000, "60M"),
            (999_600_000, "1000M"),
            (7_248_023_552, "7.2B"),
            (70_553_706_496, "71B"),
            (400, "0.40K"),
            (9_500, "10K"),
            (0, "0.00K"),
        ] {
            assert_eq!(size_label(n), expected);
        }
    }

    #[test]
    fn the_card_comes_before_the_name() {
        let folder = Dir::new();
        folder.write("README.md", "---\nmodel_name: My Model\nlicense: [mit, other]\nbase_model: a/Base-7B-v2\ndatasets:\n- https://huggingface.co/o/data-set\n- name: own\n  url: u\nlanguage: no\n---\n");
        folder.write("generation_config.json", r#"{"temperature": 1, "top_k": 50, "top_p": null}"#);
        let config = serde_json::json!({ "_name_or_path": "org/Other-7B-chat" });
        let mut m = Metadata::new();
        describe(folder.path(), config.as_object().unwrap(), None, 7_000_000_000, &mut m).unwrap();
        assert_eq!(m.str("general.name"), Some("My Model"));
        assert_eq!(m.str("general.organization"), Some("Org"));
        assert_eq!(m.str("general.basename"), Some("Other"));
        assert_eq!(m.str("general.finetune"), Some("chat"));
        assert_eq!(m.str("general.size_label"), Some("7B"));
        assert_eq!(m.str("general.license"), Some("mit,other"));
        assert_eq!(m.str("general.base_model.0.name"), Some("Base 7B v2"));
        assert_eq!(m.str("general.base_model.0.repo_url"), Some("https://huggingface.co/a/Base-7B-v2"));
        assert_eq!(m.u64("general.dataset.count"), Some(2));
        assert_eq!(m.str("general.dataset.0.repo_url"), Some("https://huggingface.co/o/data-set"));
        assert_eq!(m.str("general.dataset.0.name"), Some("Data Set"));
        assert_eq!(m.str("general.dataset.1.url"), Some("u"));
        assert_eq!(m.get("general.languages"), None);
        assert_eq!(m.get("general.sampling.temp"), Some(&1.0f32.into()));
        assert_eq!(m.get("general.sampling.top_k"), Some(&50i32.into()));
        assert_eq!(m.get("general.sampling.top_p"), None);

        describe(folder.path(), config.as_object().unwrap(), Some("Hint"), 1, &mut m).unwrap();
        assert_eq!(m.str("general.name"), Some("Hint"));
    }

    #[test]
    fn a_path_in_the_configuration_is_no_name() {
        let folder = Dir::new();
        let config = serde_json::json!({ "_name_or_path": "/home/me/model" });
        let mut m = Metadata::new();
        describe(folder.path(), config.as_object().unwrap(), None, 60_000_000, &mut m).unwrap();
        assert_eq!(m.str("general.size_label"), Some("60M"));
        assert!(m.str("general.name").is_some_and(|name| !name.contains("Home")));
    }
}
