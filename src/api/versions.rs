//! Objects with a version: `ETag` and `If-Match`, and changes in whole or in part.
//!
//! A caller may send back what it read: the fields that the server sets are left out before anything is looked at.

use axum::Json;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use super::{ApiError, body};

/// An answer with an object at this version.
pub(super) fn with_etag(status: StatusCode, version: u32, body: impl Serialize) -> Response {
    (status, [(header::ETAG, format!("\"{version}\""))], Json(body)).into_response()
}

/// The version that `If-Match` asks for; none if any will do.
pub(super) fn expected_version(headers: &HeaderMap) -> Result<Option<u32>, ApiError> {
    let Some(value) = headers.get(header::IF_MATCH) else { return Ok(None) };
    let text = value.to_str().unwrap_or_default().trim();
    if text == "*" {
        return Ok(None);
    }
    tagged_version(text).map(Some).ok_or_else(|| {
        ApiError::new(
            StatusCode::PRECONDITION_FAILED,
            "version_mismatch",
            "`If-Match` is not an `ETag` of this server; read the object again and pass on its `ETag`",
        )
    })
}

/// The version in a tag of ours: `"3"`, what a proxy that compresses makes of it, `W/"3"`, and what people write, `3`.
fn tagged_version(tag: &str) -> Option<u32> {
    let tag = tag.strip_prefix("W/").unwrap_or(tag);
    let number = tag.strip_prefix('"').unwrap_or(tag);
    let number = number.strip_suffix('"').unwrap_or(number);
    let is_plain = number.starts_with(|first: char| ('1'..='9').contains(&first)) && number.bytes().all(|byte| byte.is_ascii_digit());
    number.parse().ok().filter(|_| is_plain)
}

/// The fields of an object that was sent whole or in part, without those that the server sets.
pub(super) fn read_fields(text: &str, read_only: &[&str]) -> Result<Map<String, Value>, ApiError> {
    let mut fields: Map<String, Value> = body::read(text, "")?;
    remove(&mut fields, read_only);
    Ok(fields)
}

/// The object that was sent whole.
pub(super) fn read_whole<T: DeserializeOwned>(text: &str, read_only: &[&str]) -> Result<T, ApiError> {
    body::read(&Value::Object(read_fields(text, read_only)?).to_string(), "")
}

/// What `patch` makes of `present`.
pub(super) fn patched<T: DeserializeOwned>(mut present: Value, patch: Map<String, Value>, read_only: &[&str]) -> Result<T, ApiError> {
    if let Some(fields) = present.as_object_mut() {
        remove(fields, read_only);
    }
    merge(&mut present, Value::Object(patch));
    body::read(&present.to_string(), "")
}

fn remove(fields: &mut Map<String, Value>, names: &[&str]) {
    names.iter().for_each(|name| drop(fields.shift_remove(*name)));
}

/// JSON Merge Patch: null removes, objects merge, the rest replaces. Source: RFC 7396.
fn merge(target: &mut Value, patch: Value) {
    match patch {
        Value::Object(fields) => {
            if !target.is_object() {
                *target = Value::Object(Map::new());
            }
            for (name, value) in fields {
                if value.is_null() {
                    if let Some(object) = target.as_object_mut() {
                        object.shift_remove(&name);
                    }
                } else {
                    merge(&mut target[&name], value);
                }
            }
        }
        other => *target = other,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_patch_removes_merges_and_replaces() {
        let present = json!({"id": 1, "a": {"b": 1, "c": [1, 2]}, "d": 1, "n": 5.10});
        let patch = read_fields(r#"{"id": 9, "a": {"b": null, "c": [3], "e": {"f": null}}, "d": null}"#, &["id"]).unwrap();
        let value: Value = patched(present, patch, &["id"]).unwrap();
        assert_eq!(value, json!({"a": {"c": [3], "e": {}}, "n": 5.10}));
    }

    #[test]
    fn if_match_takes_our_tags_alone() {
        let read = |value: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::IF_MATCH, value.parse().unwrap());
            expected_version(&headers).ok()
        };
        assert_eq!([read("\"3\""), read("W/\"3\""), read("*")], [Some(Some(3)), Some(Some(3)), Some(None)]);
        assert_eq!(read("3"), Some(Some(3)));
        for text in ["\"x\"", "", "\"1\", \"2\"", "+3", "03", "\"0\"", "\"\"3\"\"", "W/W/\"3\""] {
            assert_eq!(read(text), None, "{text}");
        }
    }
}
