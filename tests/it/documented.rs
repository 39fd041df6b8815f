//! Compares every answer that a test gets with the API's description.

use std::sync::LazyLock;

use serde_json::Value;

use super::http::Answer;
use super::schema::Schemas;

static DOCUMENT: LazyLock<Value> = LazyLock::new(postrider::api::openapi_document);

/// Panics if a call that is described answers what is not.
pub fn check(method: &str, target: &str, answer: &Answer) {
    let path = target.split('?').next().unwrap_or_default();
    let Some((shown, call)) = operation(method, path) else { return };
    let place = format!("{method} {shown} answered {}", answer.status);
    let Some(described) = call["responses"].get(answer.status.to_string()) else {
        panic!("{place}, which is not described: {}", answer.body);
    };
    for (name, header) in described["headers"].as_object().into_iter().flatten() {
        assert!(header["required"] == false || answer.header(name).is_some(), "{place} without the header `{name}`");
    }
    let Some(content) = described["content"].as_object() else {
        assert_eq!(answer.body, "", "{place} with a body");
        return;
    };
    let given = answer.header("content-type").unwrap_or_else(|| panic!("{place} without `Content-Type`"));
    let media_type = given.split(';').next().unwrap_or_default();
    let Some(schema) = content.get(media_type).map(|content| &content["schema"]) else {
        panic!("{place} as {media_type}; described are {:?}", content.keys().collect::<Vec<_>>());
    };
    if method != "HEAD" && media_type.ends_with("json") && !media_type.contains("ndjson") {
        Schemas::new(&DOCUMENT).check(&answer.json(), schema).unwrap_or_else(|fault| panic!("{place}: {fault}\n{}", answer.body));
    }
}

/// The description of a call, and its path; none if there is no such call.
fn operation(method: &str, path: &str) -> Option<(&'static str, &'static Value)> {
    // Methods are written in capitals; another spelling is another method.
    let method = match method {
        "HEAD" | "GET" => "get",
        "POST" => "post",
        "PUT" => "put",
        "PATCH" => "patch",
        "DELETE" => "delete",
        _ => return None,
    };
    let fits = |shown: &str| {
        let (shown, given): (Vec<_>, Vec<_>) = (shown.split('/').collect(), path.split('/').collect());
        let part_fits = |(shown, given): (&&str, &&str)| shown == given || (shown.starts_with('{') && !given.is_empty());
        shown.len() == given.len() && shown.iter().zip(&given).all(part_fits)
    };
    let paths = DOCUMENT["paths"].as_object()?;
    // A path that is written out goes before one with a parameter.
    let (shown, calls) = paths.get_key_value(path).or_else(|| paths.iter().find(|(shown, _)| fits(shown)))?;
    Some((shown, calls.get(method)?))
}
