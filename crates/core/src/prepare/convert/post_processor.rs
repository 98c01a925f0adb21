//! What the post-processor of a `tokenizer.json` says about special tokens: whether BOS and EOS are
//! added, and which tokens those are. The rules, and their limits with unusual templates, are those of
//! llama.cpp's `SpecialVocab`: its output is what must be met.

use serde_json::Value as Json;

use super::files::{Object, truthy};
use super::special::Special;

/// Reads one processor, a sequence of them, or none. May name tokens that `settings`
/// (`tokenizer_config.json`) lacks, and add kinds of tokens to look for.
pub(super) fn read(
    processor: Option<&Json>,
    settings: &mut Option<Object>,
    kinds: &mut Vec<String>,
    special: &mut Special,
) {
    let mut named = Named::of(settings.as_mut());
    let Some(processor) = processor.filter(|p| truthy(Some(p))) else { return };
    let steps: Vec<&Json> = match processor.get("processors").and_then(Json::as_array) {
        Some(steps) => steps.iter().collect(),
        None => vec![processor],
    };
    for step in steps {
        match step.get("type").and_then(Json::as_str) {
            Some("ByteLevel") => {
                special.set_add_default("bos", false);
                special.set_add_default("eos", false);
            }
            Some("RobertaProcessing") => read_roberta(step, &mut named, settings.as_mut(), special),
            Some("TemplateProcessing") => {
                let single = step.get("single").and_then(Json::as_array).map_or(&[][..], Vec::as_slice);
                let ends = read_single(single, &mut named, settings.as_mut(), kinds, special);
                let pair = step.get("pair").and_then(Json::as_array).map_or(&[][..], Vec::as_slice);
                read_pair(pair, &ends, &named, settings.as_mut(), special);
            }
            _ => {}
        }
    }
}

/// The special tokens that are named so far; a name may be a text or an object with `content`.
struct Named {
    bos: Option<Json>,
    cls: Option<Json>,
    eos: Option<Json>,
    sep: Option<Json>,
}

impl Named {
    /// The names in the settings, where CLS may stand in for BOS and SEP for EOS.
    fn of(settings: Option<&mut Object>) -> Named {
        let Some(settings) = settings else { return Named { bos: None, cls: None, eos: None, sep: None } };
        for (missing, stand_in) in [("bos_token", "cls_token"), ("eos_token", "sep_token")] {
            let other = settings.get(stand_in).cloned();
            if let (false, true, Some(other)) = (truthy(settings.get(missing)), truthy(other.as_ref()), other) {
                settings.insert(missing.to_owned(), other);
            }
        }
        let get = |key: &str| settings.get(key).cloned();
        Named { bos: get("bos_token"), cls: get("cls_token"), eos: get("eos_token"), sep: get("sep_token") }
    }
}

/// Whether a name is exactly this text.
fn is(name: Option<&Json>, text: &str) -> bool {
    name.and_then(Json::as_str) == Some(text)
}

fn set(settings: &mut Option<&mut Object>, key: &str, value: &Json) {
    if let Some(settings) = settings {
        settings.insert(key.to_owned(), value.clone());
    }
}

fn read_roberta(step: &Json, named: &mut Named, mut settings: Option<&mut Object>, special: &mut Special) {
    for kind in ["bos", "eos", "sep"] {
        special.set_add(kind, true);
    }
    if settings.is_none() {
        return;
    }
    for (key, field, own, other) in
        [("cls_token", "cls", &mut named.cls, &named.bos), ("sep_token", "sep", &mut named.sep, &named.eos)]
    {
        if truthy(own.as_ref()) {
            continue;
        }
        let first = step.get(field).and_then(|pair| pair.get(0)).or(other.as_ref()).cloned().unwrap_or(Json::Null);
        set(&mut settings, key, &first);
        *own = Some(first);
    }
}

/// The special tokens at the two ends of the template for a single text.
struct Ends<'a> {
    first: Option<&'a str>,
    last: Option<&'a str>,
}

/// The name of a special token in a template; `None` for a piece that is text.
fn special_id(piece: &Json) -> Option<&str> {
    piece.get("SpecialToken")?.get("id")?.as_str().filter(|id| !id.is_empty())
}

fn read_single<'a>(
    pieces: &'a [Json],
    named: &mut Named,
    mut settings: Option<&mut Object>,
    kinds: &mut Vec<String>,
    special: &mut Special,
) -> Ends<'a> {
    let [first, .., last] = pieces else { return Ends { first: None, last: None } };
    let ends = Ends { first: special_id(first), last: special_id(last) };
    if let Some(first) = ends.first {
        let value = Json::from(first);
        if settings.is_none() {
            named.bos = Some(value);
        } else if !is(named.bos.as_ref(), first) && !is(named.cls.as_ref(), first) {
            if !truthy(named.bos.as_ref()) {
                set(&mut settings, "bos_token", &value);
                named.bos = Some(value.clone());
            }
            if !truthy(named.cls.as_ref()) {
                set(&mut settings, "cls_token", &value);
                named.cls = Some(value);
            }
        }
        special.set_add("bos", is(named.bos.as_ref(), first) || is(named.cls.as_ref(), first));
    }
    if let Some(last) = ends.last {
        let value = Json::from(last);
        if settings.is_some() && !is(named.eos.as_ref(), last) {
            // The EOS of the settings ends a turn rather than a text.
            let old = named.eos.clone().unwrap_or(Json::Null);
            if let Some(kind) = ["eot", "eom"].into_iter().find(|kind| kinds.iter().all(|k| k != kind)) {
                kinds.push(kind.to_owned());
                set(&mut settings, &format!("{kind}_token"), &old);
            }
            set(&mut settings, "eos_token", &value);
        }
        named.eos = Some(value);
        special.set_add("eos", true);
    }
    ends
}

/// Whether the template for two texts puts SEP between them.
fn read_pair(
    pieces: &[Json],
    ends: &Ends<'_>,
    named: &Named,
    mut settings: Option<&mut Object>,
    special: &mut Special,
) {
    let (Some(first), Some(last)) = (pieces.first(), pieces.last()) else { return };
    let start = usize::from(ends.first.is_some() && special_id(first) == ends.first);
    let stop = pieces.len() - usize::from(ends.last.is_some() && special_id(last) == ends.last);
    let Some(pieces) = pieces.get(start..stop) else { return };
    let sequence = |piece: Option<&Json>| piece.and_then(|p| p.get("Sequence")?.get("id")?.as_str()).map(str::to_owned);
    if sequence(pieces.first()).as_deref() != Some("A") || sequence(pieces.last()).as_deref() != Some("B") {
        return;
    }
    let Some(between) = pieces.get(1..pieces.len() - 1).filter(|b| !b.is_empty()) else { return };
    let separates =
        |piece: &Json| special_id(piece).is_some_and(|id| is(named.sep.as_ref(), id) || is(named.eos.as_ref(), id));
    let add = (separates(&between[0]) && ends.last.is_none()) || (between.len() == 2 && separates(&between[1]));
    special.set_add("sep", add);
    if add && !truthy(named.sep.as_ref()) {
        let eos = named.eos.clone().unwrap_or(Json::Null);
        set(&mut settings, "sep_token", &eos);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn run(processor: &Json, settings: Json) -> (Vec<(String, bool)>, Object, Vec<String>) {
        let mut settings = settings.as_object().cloned().filter(|s| !s.is_empty());
        let mut kinds: Vec<String> = super::super::special::KINDS.iter().map(|k| (*k).to_owned()).collect();
        let mut special = Special::default();
        read(Some(processor), &mut settings, &mut kinds, &mut special);
        (special.add, settings.unwrap_or_default(), kinds)
    }

    fn token(id: &str) -> Json {
        json!({ "SpecialToken": { "id": id, "type_id": 0 } })
    }

    fn text(id: &str) -> Json {
        json!({ "Sequence": { "id": id, "type_id": 0 } })
    }

    #[test]
    fn llama_3_adds_bos_and_no_separator() {
        let template = json!({ "type": "TemplateProcessing",
            "single": [token("<B>"), text("A")], "pair": [token("<B>"), text("A"), token("<B>"), text("B")] });
        let processor = json!({ "type": "Sequence", "processors": [{ "type": "ByteLevel" }, template] });
        let (add, _, _) = run(&processor, json!({ "bos_token": "<B>", "eos_token": "<E>" }));
        let expected = [("bos", true), ("eos", false), ("sep", false)];
        assert_eq!(add, expected.map(|(k, v)| (k.to_owned(), v)));
    }

    #[test]
    fn an_eos_of_the_template_makes_the_other_one_an_end_of_turn() {
        let processor = json!({ "type": "TemplateProcessing", "single": [text("A"), token("<E>")], "pair": [] });
        let (add, settings, kinds) = run(&processor, json!({ "eos_token": "<turn>" }));
        assert_eq!(add, [("eos".to_owned(), true)]);
        assert_eq!((&settings["eos_token"], &settings["eot_token"]), (&json!("<E>"), &json!("<turn>")));
        assert_eq!(kinds.last().map(String::as_str), Some("eot"));
    }

    #[test]
    fn roberta_and_separators() {
        let (add, settings, _) = run(
            &json!({ "type": "RobertaProcessing", "cls": ["<c>", 0], "sep": ["<s>", 2] }),
            json!({ "bos_token": "<c>" }),
        );
        assert!(add.iter().all(|(_, v)| *v) && add.len() == 3);
        assert_eq!((&settings["cls_token"], &settings["sep_token"]), (&json!("<c>"), &json!("<s>")));
        let pair = json!({ "type": "TemplateProcessing", "single": [text("A")], "pair": [text("A"), token("<E>"), text("B")] });
        let (add, settings, _) = run(&pair, json!({ "eos_token": "<E>" }));
        assert_eq!(add, [("sep".to_owned(), true)]);
        assert_eq!(settings["sep_token"], json!("<E>"));
    }

    #[test]
    fn strange_processors_do_not_panic() {
        for processor in [
            json!(1),
            json!({}),
            json!({ "processors": 3 }),
            json!({ "type": "TemplateProcessing" }),
            json!({ "type": "TemplateProcessing", "single": [1, 2], "pair": [text("A")] }),
            json!({ "type": "TemplateProcessing", "single": [token("x"), token("x")], "pair": [token("x")] }),
        ] {
            let _ = run(&processor, json!({ "a": 1 }));
            let _ = run(&processor, json!({}));
        }
    }
}
