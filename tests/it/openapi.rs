//! The API's description: what it says of each call is what the server takes and answers.

use std::collections::BTreeSet;
use std::path::Path;

use postrider::api::{Access, calls, error_codes, openapi_document};
use serde_json::{Map, Value};

use super::http::Client;
use super::schema::Schemas;
use super::server::Running;

const METHODS: [&str; 5] = ["get", "post", "put", "patch", "delete"];

fn operations(document: &Value) -> Vec<(&str, &str, &Value)> {
    let paths = document["paths"].as_object().unwrap();
    let all = paths
        .iter()
        .flat_map(|(path, calls)| calls.as_object().unwrap().iter().map(move |(method, call)| (path.as_str(), method.as_str(), call)));
    all.collect()
}

fn names(value: &Value, key: &str) -> Vec<String> {
    value.as_array().into_iter().flatten().map(|item| item[key].as_str().unwrap().to_owned()).collect()
}

#[test]
fn the_committed_document_is_the_programs() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/openapi.json");
    let expected = format!("{:#}\n", openapi_document());
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(&file, &expected).unwrap();
    }
    assert!(
        std::fs::read_to_string(&file).unwrap_or_default() == expected,
        "docs/openapi.json is behind the program; run this test with UPDATE_DOCS=1"
    );
}

/// Source: OpenAPI 3.1.0, sections 4.8.1 to 4.8.21.
#[test]
fn the_document_has_the_structure_of_openapi_3_1() {
    let document = openapi_document();
    let keys = |value: &Value| value.as_object().unwrap().keys().cloned().collect::<BTreeSet<_>>();
    let only = |value: &Value, known: &[&str], place: &str| {
        for key in keys(value) {
            assert!(known.contains(&key.as_str()), "{place} has `{key}`");
        }
    };
    assert_eq!(document["openapi"], "3.1.0");
    only(&document, &["openapi", "info", "servers", "tags", "security", "paths", "components"], "the document");
    assert!(document["info"]["title"].is_string() && document["info"]["version"].is_string());
    let tags: BTreeSet<_> = names(&document["tags"], "name").into_iter().collect();
    let schemes = keys(&document["components"]["securitySchemes"]);
    let mut ids = BTreeSet::new();
    for (path, method, call) in operations(&document) {
        let place = format!("{method} {path}");
        assert!(path.starts_with('/') && METHODS.contains(&method), "{place}");
        only(call, &["operationId", "tags", "summary", "description", "security", "parameters", "requestBody", "responses"], &place);
        assert!(ids.insert(call["operationId"].as_str().unwrap()), "{place}: the id is given twice");
        assert!(!call["summary"].as_str().unwrap().is_empty(), "{place} has no summary");
        assert!(call["tags"].as_array().unwrap().iter().all(|tag| tags.contains(tag.as_str().unwrap())), "{place}: a tag is not listed");
        for requirement in call["security"].as_array().or(document["security"].as_array()).unwrap() {
            assert!(keys(requirement).is_subset(&schemes), "{place}: a security scheme is not there");
        }
        let in_path: BTreeSet<_> =
            path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}')).map(str::to_owned).collect();
        let mut declared = BTreeSet::new();
        let mut seen = BTreeSet::new();
        for parameter in call["parameters"].as_array().into_iter().flatten() {
            only(parameter, &["name", "in", "required", "description", "schema"], &place);
            let (name, stands) = (parameter["name"].as_str().unwrap(), parameter["in"].as_str().unwrap());
            assert!(seen.insert((name, stands)), "{place}: parameter `{name}` is given twice");
            assert!(["path", "query", "header"].contains(&stands) && parameter["schema"].is_object(), "{place}: parameter `{name}`");
            if stands == "path" {
                assert_eq!(parameter["required"], true, "{place}: `{name}`");
                declared.insert(name.to_owned());
            }
        }
        assert_eq!(declared, in_path, "{place}: the parameters of the path");
        if let Some(body) = call.get("requestBody") {
            only(body, &["required", "description", "content"], &place);
            content(&body["content"], &place);
        }
        let answers = call["responses"].as_object().unwrap();
        assert!(answers.keys().any(|status| status.starts_with('2')), "{place} never succeeds");
        for (status, answer) in answers {
            let place = format!("{place} {status}");
            assert!(status.len() == 3 && status.parse::<u16>().is_ok_and(|status| (200..600).contains(&status)), "{place}");
            only(answer, &["description", "headers", "content", "links"], &place);
            assert!(!answer["description"].as_str().unwrap().is_empty(), "{place} says nothing");
            content_if_any(answer, &place);
        }
    }
    for (path, method, call) in operations(&document) {
        for link in call["responses"].as_object().unwrap().values().filter_map(|answer| answer["links"].as_object()).flat_map(Map::values) {
            assert!(ids.contains(link["operationId"].as_str().unwrap()), "{method} {path}: a link leads nowhere");
        }
    }
    for name in keys(&document["components"]["schemas"]) {
        assert!(!name.ends_with(|last: char| last.is_ascii_digit()), "`{name}`: two types have one name; rename one");
    }
    Schemas::new(&document).check_all_references();
}

fn content(content: &Value, place: &str) {
    for (media_type, shown) in content.as_object().unwrap() {
        assert!(media_type.contains('/') && shown["schema"].is_object(), "{place}: {media_type}");
    }
}

fn content_if_any(answer: &Value, place: &str) {
    if let Some(found) = answer.get("content") {
        content(found, place);
    }
}

#[test]
fn every_call_of_the_router_is_described_and_no_other() {
    let document = openapi_document();
    let described: BTreeSet<_> =
        operations(&document).iter().map(|(path, method, _)| (method.to_uppercase(), (*path).to_owned())).collect();
    let routed: BTreeSet<_> = calls().into_iter().map(|(method, path, _)| (method.to_string(), path.to_owned())).collect();
    assert_eq!(described, routed);
    for (method, path, access) in calls() {
        let call = &document["paths"][path][method.as_str().to_lowercase()];
        let open = call["security"].as_array().is_some_and(Vec::is_empty);
        assert_eq!(open, access == Access::Open, "{method} {path}");
        // Metrics ask for a key only of some.
        assert_eq!(call["responses"].get("401").is_none(), open && path != "/metrics", "{method} {path}");
    }
}

#[test]
fn every_code_of_the_table_is_in_the_description_of_some_call() {
    let text = openapi_document().to_string();
    // These two are answered where there is no call.
    for (code, _) in error_codes().filter(|(code, _)| !["no_such_route", "method_not_allowed"].contains(code)) {
        assert!(text.contains(&format!("`{code}`")), "no call says that it may fail with `{code}`");
    }
}

#[test]
fn examples_are_of_the_shape_that_they_show() {
    let document = openapi_document();
    let schemas = Schemas::new(&document);
    let mut checked = 0;
    for (path, method, call) in operations(&document) {
        for (media_type, shown) in call["requestBody"]["content"].as_object().into_iter().flatten() {
            if let Some(example) = shown.get("example") {
                schemas.check(example, &shown["schema"]).unwrap_or_else(|fault| panic!("{method} {path} {media_type}: {fault}"));
                checked += 1;
            }
        }
    }
    assert!(checked >= 7, "only {checked} examples were found");
}

/// What a body may hold beyond what is described, and why. All else that is not described is refused.
const OPEN: [(&str, &str); 6] = [
    ("NewEvent/data", "the macro values, which the event type and the account's own fields name"),
    ("CloudEvent/data", "the macro values"),
    ("DefinedField/example", "a value of the field's type"),
    ("SubscriptionDraft/subscription", "a draft: its faults are found, not refused"),
    ("TrialEvent", "an event, or bare data"),
    ("has_secret", "what an answer said, ignored when it is sent back"),
];

/// A schema that takes what the server refuses makes a promise that nobody keeps, and `.ci/schemathesis` finds it by luck alone.
#[test]
fn bodies_that_are_taken_hold_only_what_is_described() {
    let document = openapi_document();
    let mut walk = Walk { document: &document, seen: BTreeSet::new(), open: BTreeSet::new(), objects: 0 };
    for (_, _, call) in operations(&document) {
        for shown in call["requestBody"]["content"].as_object().into_iter().flat_map(Map::values) {
            walk.look_at(&shown["schema"], call["operationId"].as_str().unwrap());
        }
    }
    assert_eq!(walk.open, OPEN.map(|(place, _)| place.to_owned()).into(), "open on the left; listed with a reason on the right");
    assert!(walk.objects >= 50, "only {} objects were found", walk.objects);
}

/// A walk through schemas that looks for objects without a bound.
struct Walk<'a> {
    document: &'a Value,
    seen: BTreeSet<&'a str>,
    open: BTreeSet<String>,
    objects: usize,
}

impl<'a> Walk<'a> {
    fn look_at(&mut self, schema: &'a Value, place: &str) {
        let schema = schema.as_object().unwrap_or_else(|| panic!("{place} is {schema}"));
        if let Some(target) = schema.get("$ref").and_then(Value::as_str) {
            let name = target.rsplit('/').next().unwrap();
            if self.seen.insert(name) {
                self.look_at(&self.document["components"]["schemas"][name], name);
            }
            return;
        }
        let is_object = match schema.get("type") {
            Some(Value::String(name)) => name == "object",
            Some(Value::Array(names)) => names.iter().any(|name| name == "object"),
            Some(other) => panic!("{place}: the type is {other}"),
            None => schema.contains_key("properties"),
        };
        let says_nothing = schema.keys().all(|key| ["description", "default"].contains(&key.as_str()));
        let is_bounded = schema.get("additionalProperties").is_some_and(|others| *others == Value::Bool(false) || others.is_object());
        self.objects += usize::from(is_object);
        let is_set_by_server = schema.get("description").is_some_and(|meaning| meaning == "Set by the server; left as it is.");
        if (is_object && !is_bounded) || (says_nothing && !is_set_by_server) {
            let known = if place.ends_with("/has_secret") { "has_secret" } else { place };
            self.open.insert(known.to_owned());
        }
        for (name, field) in schema.get("properties").and_then(Value::as_object).into_iter().flatten() {
            self.look_at(field, &format!("{place}/{name}"));
        }
        for key in ["items", "additionalProperties"] {
            if let Some(inner) = schema.get(key).filter(|inner| inner.is_object()) {
                self.look_at(inner, &format!("{place}/{key}"));
            }
        }
        for key in ["anyOf", "oneOf", "allOf"] {
            for part in schema.get(key).and_then(Value::as_array).into_iter().flatten() {
                self.look_at(part, place);
            }
        }
    }
}

#[tokio::test]
async fn it_is_served_without_a_key() {
    let running = Running::start().await;
    let client = Client { key: String::new(), ..running.client.clone() };
    let answer = client.get("/openapi.json").await;
    assert_eq!((answer.status, answer.header("content-type")), (200, Some("application/json")));
    assert_eq!(answer.json(), openapi_document());
    assert_eq!(client.send("HEAD", "/openapi.json", &[], b"").await.status, 200);
}

#[tokio::test]
async fn the_page_shows_every_call_runs_nothing_and_loads_nothing() {
    let running = Running::start().await;
    let client = Client { key: String::new(), ..running.client.clone() };
    let answer = client.get("/docs").await;
    assert_eq!((answer.status, answer.header("content-type")), (200, Some("text/html; charset=utf-8")));
    let page = &answer.body;
    let document = openapi_document();
    for (path, method, call) in operations(&document) {
        let id = call["operationId"].as_str().unwrap();
        assert!(page.contains(&format!("<section id=\"{id}\">")) && page.contains(&format!("<code>{path}</code>")), "{method} {path}");
    }
    for schema in document["components"]["schemas"].as_object().unwrap().keys() {
        assert!(page.contains(&format!("<section id=\"schema-{}\">", schema.to_lowercase())), "{schema}");
    }
    let attributes =
        |name: &str| page.split(&format!(" {name}=\"")).skip(1).map(|rest| rest.split('"').next().unwrap()).collect::<Vec<_>>();
    let ids: BTreeSet<_> = attributes("id").into_iter().collect();
    assert_eq!(ids.len(), attributes("id").len(), "an id is given twice");
    for target in attributes("href") {
        assert!(target == "openapi.json" || target.strip_prefix('#').is_some_and(|id| ids.contains(id)), "`{target}` leads nowhere");
    }
    for loaded in ["<script", "<link", "<img", "<iframe", " src=", "url(", "@import", " style=\"", " onclick="] {
        assert!(!page.contains(loaded), "the page holds `{loaded}`");
    }
    let policy = answer.header("content-security-policy").unwrap();
    let style = page.split("<style>").nth(1).unwrap().split("</style>").next().unwrap();
    assert!(policy.starts_with("default-src 'none'; style-src 'sha256-") && !policy.contains("unsafe"), "{policy}");
    assert!(policy.contains(&sha256_base64(style)), "the policy is of another style: {policy}");
}

fn sha256_base64(text: &str) -> String {
    use base64::Engine as _;
    use sha2::Digest as _;
    base64::engine::general_purpose::STANDARD.encode(sha2::Sha256::digest(text.as_bytes()))
}

/// The error for an unknown parameter lists those that there are; they are the documented ones.
#[tokio::test]
async fn parameters_are_those_that_the_handlers_know() {
    let running = Running::start().await;
    let event = running.client.post("/v1/events", r#"{"account":"acme","type":"test.ping","data":{}}"#).await.json()["id"].clone();
    let event = event.as_str().unwrap();
    let offer = r#"{"id":"acme","account":"acme","name":"n","landing_url":"https://shop.example/","currency":"USD","actions":[{"name":"lead","rate":"1"}]}"#;
    assert_eq!(running.client.post("/v1/offers", offer).await.status, 201);
    let document = openapi_document();
    for (path, method, call) in operations(&document).into_iter().filter(|(_, method, _)| *method == "get") {
        let mut documented: Vec<_> = call["parameters"]
            .as_array()
            .into_iter()
            .flatten()
            .filter(|parameter| parameter["in"] == "query")
            .map(|parameter| parameter["name"].as_str().unwrap().to_owned())
            .collect();
        // Links and reports carry parameters for others, too, and ignore what they do not know.
        if path == "/v1/export" || path.starts_with("/{") {
            continue;
        }
        let answer = running
            .client
            .get(
                &format!("{path}?no_such_parameter=1")
                    .replace("/events/{id}", &format!("/events/{event}"))
                    .replace("{id}", "acme")
                    .replace("{type}", "test.ping")
                    .replace("{name}", "cake"),
            )
            .await;
        let mut known: Vec<String> = Vec::new();
        if answer.status == 422 {
            let error = answer.json()["errors"][0].clone();
            assert_eq!(error["code"], "unknown_parameter", "{method} {path}");
            let detail = error["detail"].as_str().unwrap().to_owned();
            let listed = detail.split_once("; use ").map_or("", |(_, listed)| listed);
            known = listed.split(", ").filter(|name| !name.is_empty() && !name.ends_with('.')).map(str::to_owned).collect();
        }
        documented.sort();
        known.sort();
        assert_eq!(documented, known, "{method} {path}");
    }
}

#[tokio::test]
async fn a_parameter_without_a_value_or_given_twice_is_refused() {
    let running = Running::start().await;
    for query in
        ["limit=", "state=", "limit=1&limit=2", "state=no", "cursor=x", "limit=0", "limit=201", "cursor=%2B0000000000000000000000000000001"]
    {
        let answer = running.client.get(&format!("/v1/subscriptions?{query}")).await;
        assert_eq!((answer.status, answer.json()["errors"][0]["code"].clone()), (422, "invalid_parameter".into()), "{query}");
    }
}

#[tokio::test]
async fn a_list_is_no_object_and_a_word_is_a_text() {
    let running = Running::start().await;
    assert_eq!(running.client.post("/v1/accounts", r#"{"id":"other"}"#).await.status, 201);
    for (method, path, body, pointer) in [
        ("POST", "/v1/accounts", r#"["another"]"#, ""),
        ("POST", "/v1/accounts", r#"{"id":"another","limits":[]}"#, "/limits"),
        ("PATCH", "/v1/accounts/other", r#"{"limits":[5]}"#, "/limits"),
        ("POST", "/v1/keys", r#"{"name":"n","scope":{"operator":null}}"#, "/scope"),
    ] {
        let answer = running.client.send(method, path, &[("Content-Type", "application/json")], body.as_bytes()).await;
        assert_eq!((answer.status, answer.json()["errors"][0]["pointer"].clone()), (422, pointer.into()), "{method} {path} {body}");
    }
}

#[tokio::test]
async fn a_body_of_a_type_that_a_call_does_not_take_is_refused() {
    let running = Running::start().await;
    let calls: [(&str, &str, &[u8]); 4] = [
        ("POST", "/v1/accounts", br#"{"id":"other"}"#),
        ("POST", "/v1/keys", br#"{"name":"n","scope":"read"}"#),
        ("POST", "/v1/subscriptions", b"{}"),
        ("PATCH", "/v1/subscriptions/sub_00000000000000000000000000", b"{}"),
    ];
    for (method, path, body) in calls {
        for given in ["application/x-www-form-urlencoded", "text/plain", "application/xml", "json"] {
            let answer = running.client.send(method, path, &[("Content-Type", given)], body).await;
            assert_eq!((answer.status, answer.json()["code"].clone()), (415, "unsupported_media_type".into()), "{method} {path} {given}");
        }
        for taken in ["application/json", "Application/JSON; charset=utf-8"] {
            assert_ne!(running.client.send(method, path, &[("Content-Type", taken)], body).await.status, 415, "{method} {path} {taken}");
        }
        assert_ne!(running.client.send(method, path, &[], body).await.status, 415, "{method} {path} without a type");
    }
    let nothing = running.client.send("POST", "/v1/subscriptions", &[("Content-Type", "text/plain")], b"").await;
    assert_eq!(nothing.status, 400, "an empty body has no type");
}
