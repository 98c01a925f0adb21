//! A model's chat template (Jinja, as the `transformers` library renders it): messages to the text of a prompt.
//!
//! Tools and dates are not offered to templates: `strftime_now` is left undefined on purpose, so that templates fall back to
//! their fixed date and the same messages are the same prompt every day.

use crate::error::ApiError;
use minijinja::value::{Kwargs, Value as JinjaValue};
use minijinja::{Environment, Error, ErrorKind};
use serde::Serialize;
use serde_json::ser::{Formatter, PrettyFormatter, Serializer};
use serde_json::{Map, Value, json};
use std::io;

/// Instructions after which a template counts as endless.
const FUEL: u64 = 5_000_000;

/// What a template needs of its model.
#[derive(Debug, Clone, Copy)]
pub struct Names<'a> {
    /// The template.
    pub template: &'a str,
    /// The name of the token that begins a text; empty without one.
    pub bos: &'a str,
    /// The name of the token that ends one; empty without one.
    pub eos: &'a str,
}

/// The prompt that asks for the next message. `more` are further variables of the template.
///
/// # Errors
/// The template refuses the messages, or cannot be rendered.
pub fn render(names: Names<'_>, messages: &[Value], more: &Map<String, Value>) -> Result<String, ApiError> {
    let mut context = more.clone();
    let own = [
        ("messages", json!(messages)),
        ("bos_token", json!(names.bos)),
        ("eos_token", json!(names.eos)),
        ("add_generation_prompt", json!(true)),
    ];
    context.extend(own.map(|(name, value)| (name.to_owned(), value)));
    let rendered = environment().render_str(names.template, &context);
    rendered.map_err(|error| {
        // Only the first line is for people; the others show the template.
        let said = format!("{error:#}");
        let first = said.lines().next().unwrap_or_default();
        ApiError::invalid("messages", format!("the model's chat template does not take these messages: {first}"))
    })
}

/// The settings and functions of `transformers`' `apply_chat_template`.
fn environment() -> Environment<'static> {
    let mut environment = Environment::new();
    environment.set_trim_blocks(true);
    environment.set_lstrip_blocks(true);
    environment.set_fuel(Some(FUEL));
    environment.set_unknown_method_callback(minijinja_contrib::pycompat::unknown_method_callback);
    environment.add_function("raise_exception", raise_exception);
    environment.add_filter("tojson", tojson);
    environment
}

fn raise_exception(message: String) -> Result<JinjaValue, Error> {
    Err(Error::new(ErrorKind::InvalidOperation, message))
}

/// As Python's `json.dumps(value, ensure_ascii=False, indent=indent)`.
fn tojson(value: JinjaValue, options: Kwargs) -> Result<JinjaValue, Error> {
    let indent: Option<usize> = options.get("indent")?;
    let written = match indent {
        Some(indent) => written(&value, PrettyFormatter::with_indent(" ".repeat(indent).as_bytes())),
        None => written(&value, Spaced),
    };
    let text = written.map_err(|error| Error::new(ErrorKind::BadSerialization, error.to_string()))?;
    Ok(JinjaValue::from_safe_string(text))
}

fn written(value: &JinjaValue, formatter: impl Formatter) -> serde_json::Result<String> {
    let mut bytes = Vec::new();
    value.serialize(&mut Serializer::with_formatter(&mut bytes, formatter))?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// One line with a space after commas and colons.
struct Spaced;

impl Formatter for Spaced {
    fn begin_array_value<W: ?Sized + io::Write>(&mut self, writer: &mut W, first: bool) -> io::Result<()> {
        if first { Ok(()) } else { writer.write_all(b", ") }
    }

    fn begin_object_key<W: ?Sized + io::Write>(&mut self, writer: &mut W, first: bool) -> io::Result<()> {
        if first { Ok(()) } else { writer.write_all(b", ") }
    }

    fn begin_object_value<W: ?Sized + io::Write>(&mut self, writer: &mut W) -> io::Result<()> {
        writer.write_all(b": ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rendered(template: &str, messages: Value) -> Result<String, ApiError> {
        let names = Names { template, bos: "<s>", eos: "</s>" };
        render(names, messages.as_array().unwrap(), &Map::new())
    }

    #[test]
    fn the_template_of_llama_3_gives_its_prompt() {
        let template = "{{ bos_token }}{% for message in messages %}<|start_header_id|>{{ message['role'] }}<|end_header_id|>\
            {{ '\\n\\n' }}{{ message['content'] | trim }}<|eot_id|>{% endfor %}\
            {% if add_generation_prompt %}<|start_header_id|>assistant<|end_header_id|>{{ '\\n\\n' }}{% endif %}";
        let messages = json!([{"role": "system", "content": "Be short."}, {"role": "user", "content": " Hi <b> "}]);
        assert_eq!(
            rendered(template, messages).unwrap(),
            "<s><|start_header_id|>system<|end_header_id|>\n\nBe short.<|eot_id|><|start_header_id|>user<|end_header_id|>\n\n\
             Hi <b><|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\n"
        );
    }

    #[test]
    fn blocks_leave_no_lines_behind_and_python_methods_work() {
        let template = "{%- set ns = namespace(seen=false) %}\n{% for m in messages %}\n    {% if m.role.startswith('u') %}\n\
            [{{ m.content.strip().upper() }}]\n    {% set ns.seen = true %}\n    {% endif %}\n{% endfor %}\n{{ ns.seen }}{{ messages[1:] | length }}";
        let messages = json!([{"role": "user", "content": " a "}, {"role": "tool", "content": "b"}]);
        // As Python writes it.
        assert_eq!(rendered(template, messages).unwrap(), "[A]\nTrue1");
    }

    #[test]
    fn a_template_that_refuses_says_why() {
        let template = "{% if messages[0].role != 'user' %}{{ raise_exception('roles must alternate') }}{% endif %}";
        let error = rendered(template, json!([{"role": "assistant", "content": "x"}])).unwrap_err();
        assert_eq!(error.status, 400);
        assert!(error.message.contains("roles must alternate"), "{}", error.message);
    }

    #[test]
    fn json_is_written_as_python_does() {
        let template = "{{ messages[0] | tojson }}";
        let text = rendered(template, json!([{"content": "<é>", "n": [1, 2]}])).unwrap();
        assert_eq!(text, r#"{"content": "<é>", "n": [1, 2]}"#);
    }

    #[test]
    fn an_endless_template_is_ended() {
        let template = "{% for a in range(9000) %}{% for b in range(9000) %}{{ a + b }}{% endfor %}{% endfor %}";
        assert_eq!(rendered(template, json!([])).unwrap_err().status, 400);
    }
}
