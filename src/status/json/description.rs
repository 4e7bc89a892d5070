//! `web/openapi.json`, for tests that hold answers against it.

use serde_json::Value;

use super::OPENAPI;
use crate::status::http::{Method, Response};

pub fn openapi() -> Value {
    serde_json::from_str(OPENAPI).unwrap()
}

/// Everything that is wrong with an answer: a status, a type or a key that is not described, a key or
/// a field of the head that should be there and is not, a value that may not be.
pub fn faults(method: Method, target: &str, response: &Response) -> Vec<String> {
    let description = openapi();
    let path = target.split('?').next().unwrap_or_default();
    let method = if method == Method::Post { "post" } else { "get" };
    let code = response.status.code().to_string();
    let mut answer = &description["paths"][path][method]["responses"][&code];
    if let Some(place) = answer["$ref"].as_str() {
        answer = description.pointer(place.trim_start_matches('#')).unwrap_or(&Value::Null);
    }
    let content_type = response.field("Content-Type").unwrap_or_default();
    let media = content_type.split(';').next().unwrap_or_default();
    let mut schema = answer["content"][media]["schema"].clone();
    if !schema.is_object() {
        return vec![format!("{method} {path} {code} {media:?} is not described")];
    }
    let headers = answer["headers"].as_object().into_iter().flat_map(|headers| headers.keys());
    if let Some(missing) = headers.into_iter().find(|name| response.field(name).is_none()) {
        return vec![format!("{method} {path} {code} is without {missing}")];
    }
    // Its references go to where they are in the whole description.
    schema["components"] = description["components"].clone();
    let text = String::from_utf8(response.body.as_bytes().to_vec()).unwrap();
    let body = match media {
        "application/json" => serde_json::from_str(&text).unwrap(),
        _ => Value::String(text),
    };
    let validator = jsonschema::validator_for(&schema).unwrap();
    let fault = |error: jsonschema::ValidationError<'_>| {
        format!("{target}{}: {error}", error.instance_path())
    };
    validator.iter_errors(&body).map(fault).collect()
}
