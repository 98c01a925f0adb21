//! JSON files of a checkpoint, and the small questions that are asked of them again and again.

use std::fs;
use std::io;
use std::path::Path;

use serde_json::Value as Json;

use super::error::{Error, Result};

/// A JSON object; keys keep the file's order.
pub(super) type Object = serde_json::Map<String, Json>;

/// A whole text file.
pub(super) fn read_text(path: &Path) -> Result<String> {
    fs::read_to_string(path).map_err(|why| Error::Read { path: path.to_owned(), why })
}

/// A JSON file; `None` when there is none.
pub(super) fn read_optional(path: &Path) -> Result<Option<Json>> {
    match fs::read_to_string(path) {
        Ok(text) => serde_json::from_str(&text).map(Some).map_err(|why| Error::Json { path: path.to_owned(), why }),
        Err(why) if why.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(why) => Err(Error::Read { path: path.to_owned(), why }),
    }
}

/// A JSON file that holds an object; `None` when there is no such file.
pub(super) fn read_object(path: &Path) -> Result<Option<Object>> {
    match read_optional(path)? {
        None => Ok(None),
        Some(Json::Object(object)) => Ok(Some(object)),
        Some(_) => Err(Error::Invalid { path: path.to_owned(), what: "it should hold a JSON object".to_owned() }),
    }
}

/// What Python's `if value:` says.
pub(super) fn truthy(value: Option<&Json>) -> bool {
    match value {
        None | Some(Json::Null) => false,
        Some(Json::Bool(b)) => *b,
        Some(Json::Number(n)) => n.as_f64() != Some(0.0),
        Some(Json::String(s)) => !s.is_empty(),
        Some(Json::Array(a)) => !a.is_empty(),
        Some(Json::Object(o)) => !o.is_empty(),
    }
}

/// The text of a token that is given as a string or as an object with `content`.
pub(super) fn token_text(value: &Json) -> Option<&str> {
    value.as_str().or_else(|| value.get("content").and_then(Json::as_str))
}
