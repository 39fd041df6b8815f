//! The document: each call of the table, with what every call of its kind has in common.

use std::collections::{BTreeMap, BTreeSet};

use axum::http::{Method, StatusCode};
use schemars::SchemaGenerator;
use serde_json::{Map, Value, json};

use super::operation::{Answer, Operation, Place, RequestBody, SchemaOf, Tag};
use super::schemas::{Generators, open, rename};
use crate::api::caller::Access;
use crate::api::codes;
use crate::api::problem::Problem;

/// What the whole API has in common.
const INTRODUCTION: &str = "Stores events and delivers them as postbacks, durably and under limits.\n\n\
    Times are RFC 3339 with an offset, and UTC in answers. Numbers in the data of events keep their digits: `5.00` is stored, \
    answered and sent as `5.00`. Lists are newest first and go on with `next_cursor`; a page may be short of its limit and still not \
    be the last. Fields and parameters that do not exist are errors. Errors are `application/problem+json` (RFC 9457) with a stable `code`. \
    Every answer carries `X-Request-Id`: the one that was sent, or a new one.";

/// A call of the table of routes.
pub(in crate::api) struct Described {
    pub method: Method,
    pub path: &'static str,
    pub access: Access,
    pub operation: Operation,
}

impl Described {
    /// All codes with which the call fails, in the order of the documentation.
    fn codes(&self) -> Vec<&'static codes::Code> {
        let mut names = self.operation.codes.clone();
        if self.access != Access::Open {
            names.extend(["unauthorized", "too_many_failures"]);
        }
        if self.access == Access::Operator || (self.access == Access::Keyed && self.method != Method::GET) {
            names.push("forbidden");
        }
        if self.path.contains('{') {
            names.extend(["not_found", "bad_request"]);
        }
        codes::CODES.iter().filter(|code| names.contains(&code.name)).collect()
    }

    /// The calls that go on from an object that this call creates.
    fn links(&self, all: &[Self]) -> Map<String, Value> {
        let mut links = Map::new();
        if self.method == Method::POST && !self.path.contains('{') {
            let under = format!("{}/{{id}}", self.path);
            for call in all.iter().filter(|call| call.path.starts_with(&under)) {
                links.insert(call.operation.id.into(), link(call.operation.id, "$response.body#/id"));
            }
        }
        for to in &self.operation.links {
            links.insert(to.operation.into(), link(to.operation, to.id));
        }
        links
    }
}

fn link(operation: &str, id: &str) -> Value {
    json!({"operationId": operation, "parameters": {"id": id}})
}

/// The OpenAPI document of these calls.
pub(in crate::api) fn document(calls: &[Described]) -> Value {
    let mut generators = Generators::new();
    let problem = schema_value(|generator| generator.subschema_for::<Problem>(), &mut generators.answers);
    let mut drafts: Vec<(&Described, Value, Value)> = Vec::new();
    for call in calls {
        let sent = sent_part(&call.operation, &mut generators.requests);
        let answers = answers_part(call, calls, &problem, &mut generators.answers);
        drafts.push((call, sent, answers));
    }
    let (schemas, renamed) = generators.finish();
    let mut paths = Map::new();
    for (call, sent, answers) in drafts {
        let path = paths.entry(call.path).or_insert_with(|| json!({}));
        path[call.method.as_str().to_lowercase()] = whole(call, sent, answers, &renamed);
    }
    let tags: Vec<_> = Tag::ALL.iter().map(|tag| json!({"name": tag.name(), "description": tag.description()})).collect();
    json!({
        "openapi": "3.1.0",
        "info": {"title": "Postrider", "version": env!("CARGO_PKG_VERSION"), "description": INTRODUCTION},
        "servers": [{"url": "/", "description": "This server."}],
        "tags": tags,
        "security": [{"key": []}],
        "paths": paths,
        "components": {
            "schemas": schemas,
            "securitySchemes": {
                "key": {"type": "http", "scheme": "bearer", "description": "An API key. The operator's is in `operator.key` in the data folder."},
            },
        },
    })
}

fn schema_value(of: SchemaOf, generator: &mut SchemaGenerator) -> Value {
    of(generator).to_value()
}

/// Parameters and body of a call.
fn sent_part(operation: &Operation, generator: &mut SchemaGenerator) -> Value {
    let mut part = Map::new();
    let parameters: Vec<_> = operation
        .parameters
        .iter()
        .map(|parameter| {
            json!({
                "name": parameter.name,
                "in": parameter.place.as_str(),
                "required": parameter.place == Place::Path,
                "description": parameter.meaning,
                "schema": schema_value(parameter.schema, generator),
            })
        })
        .collect();
    if !parameters.is_empty() {
        part.insert("parameters".into(), parameters.into());
    }
    if let Some(RequestBody { required, meaning, content, example }) = &operation.body {
        let content: Map<_, _> = content
            .iter()
            .enumerate()
            .map(|(index, (media_type, schema))| {
                let mut shown = json!({"schema": schema_value(*schema, generator)});
                // The example is of the first form, and of those that are of one shape with it.
                if let Some(example) =
                    example.filter(|_| index == 0 || media_type.ends_with("merge-patch+json") || *media_type == "application/json")
                {
                    shown["example"] = serde_json::from_str(example).expect("examples are JSON, as a test finds");
                }
                ((*media_type).to_owned(), shown)
            })
            .collect();
        part.insert("requestBody".into(), json!({"required": required, "description": meaning, "content": content}));
    }
    Value::Object(part)
}

/// What a call answers, by status.
fn answers_part(call: &Described, all: &[Described], problem: &Value, generator: &mut SchemaGenerator) -> Value {
    let mut answers = BTreeMap::new();
    for answer in &call.operation.answers {
        answers.insert(answer.status, success(answer, &call.links(all), generator));
    }
    let mut by_status: BTreeMap<u16, Vec<&codes::Code>> = BTreeMap::new();
    for code in call.codes() {
        by_status.entry(code.status).or_default().push(code);
    }
    for (status, codes) in by_status {
        // A call that refuses in its own form has said so.
        answers.entry(status).or_insert_with(|| failure(status, &codes, problem));
    }
    answers.into_iter().map(|(status, answer)| (status.to_string(), answer)).collect::<Map<_, _>>().into()
}

fn success(answer: &Answer, links: &Map<String, Value>, generator: &mut SchemaGenerator) -> Value {
    let mut shown = json!({"description": answer.meaning});
    if !answer.headers.is_empty() {
        let headers = answer.headers.iter().map(|header| {
            let shown = json!({"description": header.meaning, "required": header.always, "schema": {"type": "string"}});
            (header.name.to_owned(), shown)
        });
        shown["headers"] = headers.collect::<Map<_, _>>().into();
    }
    if let Some((media_type, schema)) = answer.content {
        let mut schema = schema_value(schema, generator);
        open(&mut schema);
        shown["content"] = json!({media_type: {"schema": schema}});
    }
    if (200..300).contains(&answer.status) && !links.is_empty() {
        shown["links"] = links.clone().into();
    }
    shown
}

fn failure(status: u16, codes: &[&codes::Code], problem: &Value) -> Value {
    let names: Vec<_> = codes.iter().map(|code| code.name).collect();
    let lines: Vec<_> = codes.iter().map(|code| format!("- `{}`: {}", code.name, code.meaning)).collect();
    let mut headers = Map::new();
    let mut header = |name: &str, meaning: &str, schema: Value| {
        headers.insert(name.into(), json!({"description": meaning, "required": true, "schema": schema}));
    };
    match StatusCode::from_u16(status) {
        Ok(StatusCode::UNAUTHORIZED) => {
            header("WWW-Authenticate", "The scheme of authentication.", json!({"type": "string", "const": "Bearer"}))
        }
        Ok(StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE) => {
            header("Retry-After", "Seconds after which to try again.", json!({"type": "integer", "minimum": 1}));
        }
        _ => {}
    }
    let mut shown = json!({"description": lines.join("\n")});
    if !headers.is_empty() {
        shown["headers"] = headers.into();
    }
    let schema = json!({"allOf": [problem, {"properties": {"code": {"enum": names}, "status": {"const": status}}}]});
    shown["content"] = json!({"application/problem+json": {"schema": schema}});
    shown
}

/// The operation object.
fn whole(call: &Described, mut sent: Value, answers: Value, renamed: &BTreeSet<String>) -> Value {
    let operation = &call.operation;
    rename(&mut sent, renamed);
    let mut shown = json!({"operationId": operation.id, "tags": [operation.tag.name()], "summary": operation.summary});
    let access = match call.access {
        Access::Open => {
            shown["security"] = json!([]);
            "Needs no key."
        }
        Access::Keyed if call.method == Method::GET => "Takes every key.",
        Access::Keyed => "Takes keys of scope `operator` and `account`.",
        Access::Pure => "Takes every key, since it changes and sends nothing.",
        Access::Operator => "Takes keys of scope `operator`.",
    };
    let description = [operation.description, access].iter().filter(|text| !text.is_empty()).copied().collect::<Vec<_>>().join("\n\n");
    shown["description"] = description.into();
    if let (Value::Object(shown), Value::Object(sent)) = (&mut shown, sent) {
        shown.extend(sent);
        shown.insert("responses".into(), answers);
    }
    shown
}
