//! Templates without a subscription: check one, render one, import another platform's.

use axum::Json;
use axum::extract::State;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::body::{self, Body};
use super::caller::{Accounts, Caller};
use super::findings::{finding_json, findings_document};
use super::problem::Invalid;
use super::trial_event::{TrialEvent, no_sample, sample_data};
use super::{ApiError, ApiState};
use crate::event::catalogue::{self, Provider};
use crate::event::{AccountId, EventData, EventType};
use crate::queue::Registry;
use crate::subscription::{EventNames, FieldNames};
use crate::template::{Code, Engine, Finding, Format, Names, Options, Style, Template, Values, import};

/// What both calls about one template take.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "TemplateDraft")]
pub(super) struct TemplateBody {
    #[serde(default)]
    engine: Engine,
    format: Format,
    template: String,
    /// Whose extra names are known.
    #[serde(default)]
    account: Option<AccountId>,
    #[serde(default)]
    #[schemars(with = "Option<TrialEvent>")]
    event: Option<Box<RawValue>>,
    #[serde(default)]
    event_type: Option<EventType>,
    /// Warnings that are not reported, by code.
    /// Codes of warnings that are not to be reported.
    #[serde(default)]
    #[schemars(with = "Vec<Code>")]
    silence: Vec<String>,
}

impl TemplateBody {
    fn silenced(&self) -> Result<Vec<Code>, ApiError> {
        let unknown = |index: usize, error: crate::template::UnknownCode| {
            ApiError::invalid(vec![Invalid::new(format!("/silence/{index}"), "invalid_value", error.to_string())])
        };
        self.silence.iter().enumerate().map(|(index, code)| code.parse().map_err(|error| unknown(index, error))).collect()
    }

    fn event(&self) -> Result<Option<TrialEvent>, ApiError> {
        self.event.as_ref().map(|event| TrialEvent::read(event.get(), "/event")).transpose()
    }
}

/// `POST /v1/templates/check`: what is wrong with a template, without rendering it.
pub(super) async fn check(State(state): State<ApiState>, caller: Caller, body: Body) -> Result<Json<Value>, ApiError> {
    let body: TemplateBody = body::read(body::text(&body, state.body_bytes_max)?, "")?;
    let registry = state.queue.registry();
    let silence = body.silenced()?;
    let event = body.event()?;
    let (names, event_type) = names_and_type(&body, event.as_ref(), &caller, &registry)?;
    let data = event.as_ref().and_then(TrialEvent::data_text).map(read_data).transpose()?;
    let compiled = match &data {
        Some(data) => compile(&body, &EventNames::new(&names, data.fields()), &silence),
        None => compile(&body, &names, &silence),
    };
    let (template, findings) = match compiled {
        Ok(template) => (Some(template.clone()), template.warnings().to_vec()),
        Err(findings) => (None, findings),
    };
    let mut document = findings_document(None, &findings);
    if let Some(template) = template {
        add_name_warnings(&mut document, &template, &names, event_type.as_ref(), &registry);
    }
    Ok(Json(document))
}

/// `POST /v1/templates/render`: the text for one event, or for the sample of a type.
pub(super) async fn render(State(state): State<ApiState>, caller: Caller, body: Body) -> Result<Json<Value>, ApiError> {
    let body: TemplateBody = body::read(body::text(&body, state.body_bytes_max)?, "")?;
    let registry = state.queue.registry();
    let silence = body.silenced()?;
    let event = body.event()?;
    let (names, event_type) = names_and_type(&body, event.as_ref(), &caller, &registry)?;
    let data = match (event.as_ref().and_then(TrialEvent::data_text), &event_type) {
        (Some(text), _) => read_data(text)?,
        (None, Some(event_type)) => {
            let sample = sample_data(event_type, &registry).ok_or_else(|| no_sample(event_type, "/event_type"))?;
            read_data(&Value::Object(sample).to_string())?
        }
        (None, None) => {
            let detail = "there is nothing to render; send `event`, or `event_type` for its sample";
            return Err(ApiError::invalid(vec![Invalid::new("/event", "missing_field", detail)]));
        }
    };
    let template = match compile(&body, &EventNames::new(&names, data.fields()), &silence) {
        Ok(template) => template,
        Err(findings) => return Ok(Json(findings_document(None, &findings))),
    };
    let system = system_values(event_type.as_ref());
    let extra: Vec<(&str, Value)> = system.iter().map(|(name, value)| (name.as_str(), value.clone())).collect();
    let mut findings = template.warnings().to_vec();
    let output = match template.render(&Values { event: data.fields(), extra: &extra }) {
        Ok(output) => Some(output),
        Err(finding) => {
            findings.push(*finding);
            None
        }
    };
    let mut document = findings_document(output.as_deref(), &findings);
    add_name_warnings(&mut document, &template, &names, event_type.as_ref(), &registry);
    Ok(Json(document))
}

fn compile(body: &TemplateBody, names: &dyn Names, silence: &[Code]) -> Result<Template, Vec<Finding>> {
    Template::compile_with(body.engine, body.format, &body.template, names, &Options { silence })
}

/// Data of any shape: a list where one value belongs is then a finding with its place in the template.
fn read_data(text: &str) -> Result<EventData, ApiError> {
    EventData::from_stored(text.into())
        .map_err(|error| ApiError::invalid(vec![Invalid::new(format!("/event/data{}", error.pointer), error.code, error.detail)]))
}

/// The names that are declared, and the type that the template is meant for, if one is given.
fn names_and_type(
    body: &TemplateBody,
    event: Option<&TrialEvent>,
    caller: &Caller,
    registry: &Registry,
) -> Result<(FieldNames, Option<EventType>), ApiError> {
    // The account of an event is no more than a hint: samples name one that may not exist.
    let hint = event.and_then(|event| event.account.as_ref()).filter(|account| caller.sees(account));
    let names = names_of(body.account.as_ref(), hint, caller, registry)?;
    let given = body.event_type.as_ref().map(|event_type| (event_type, "/event_type"));
    let given = given.or_else(|| event.and_then(|event| event.event_type.as_ref()).map(|event_type| (event_type, "/event/type")));
    match given {
        Some((event_type, pointer)) if !registry.knows_event_type(event_type) => Err(ApiError::unknown_event_type(event_type, pointer)),
        given => Ok((names, given.map(|(event_type, _)| event_type.clone()))),
    }
}

/// The names of the account that a body names, else of the one that is meant: the caller's own, or that of
/// an event.
fn names_of(named: Option<&AccountId>, hint: Option<&AccountId>, caller: &Caller, registry: &Registry) -> Result<FieldNames, ApiError> {
    let own = match caller.accounts() {
        Accounts::One(account) => Some(account),
        Accounts::All => None,
    };
    match named {
        Some(account) if !caller.sees(account) || registry.account(account).is_none() => {
            Err(ApiError::unknown_account(account, "/account"))
        }
        Some(account) => Ok(registry.field_names(account)),
        None => Ok(hint.or(own.as_ref()).map_or_else(|| registry.declared_names(), |account| registry.field_names(account))),
    }
}

fn system_values(event_type: Option<&EventType>) -> serde_json::Map<String, Value> {
    let name = event_type.map_or("test.ping", EventType::as_str);
    let mut values = catalogue::system_sample(name).or_else(|| catalogue::system_sample("test.ping")).unwrap_or_default();
    if catalogue::find(name).is_none() {
        values.insert("EventFamily".into(), name.split('.').next().unwrap_or(name).into());
        values.insert("EventKind".into(), name.rsplit('.').next().unwrap_or(name).into());
    }
    values
}

/// Warns of names that the type does not carry, and of those that only this event does.
fn add_name_warnings(document: &mut Value, template: &Template, names: &FieldNames, event_type: Option<&EventType>, registry: &Registry) {
    for name in template.names_used() {
        let root = name.split('.').next().unwrap_or(name);
        let warning = if names.kind(name).is_none() && names.kind(root).is_none() {
            Some((
                "undeclared_field",
                format!("only this event carries `{name}`; declare it in `fields` of the account, or a subscription with it is refused"),
            ))
        } else {
            let missing = event_type.filter(|event_type| !carries(event_type, root, registry) && !names.is_extra(root));
            missing.map(|event_type| {
                ("field_not_in_type", format!("events of the type `{event_type}` do not carry `{name}`; it will always be empty"))
            })
        };
        if let Some((code, message)) = warning {
            let place = place_of(template.source(), name);
            document["warnings"].as_array_mut().expect("warnings are a list").push(json!({
                "code": code, "message": message, "line": place.0, "column": place.1, "end_line": place.0,
                "end_column": place.1 + name.chars().count(), "suggestion": null, "fix": null,
            }));
        }
    }
}

fn carries(event_type: &EventType, name: &str, registry: &Registry) -> bool {
    let is_system = catalogue::known_field(name).is_some_and(|field| field.provider == Provider::System);
    is_system
        || catalogue::find(event_type.as_str()).is_some_and(|entry| entry.field(name).is_some())
        || registry.event_type(event_type).is_some_and(|defined| defined.field(name).is_some())
}

/// Line and column, both from 1, of the first place where a name stands as a whole word.
fn place_of(source: &str, name: &str) -> (usize, usize) {
    let is_part = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let at = source
        .match_indices(name)
        .map(|(at, _)| at)
        .find(|at| !source[..*at].ends_with(is_part) && !source[at + name.len()..].starts_with(is_part));
    line_and_column(source, at.unwrap_or(0))
}

fn line_and_column(source: &str, at: usize) -> (usize, usize) {
    let before = &source[..at];
    let line_start = before.rfind('\n').map_or(0, |end| end + 1);
    (before.matches('\n').count() + 1, before[line_start..].chars().count() + 1)
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "TemplateImport")]
pub(super) struct ImportBody {
    text: String,
    #[serde(default)]
    #[schemars(with = "Option<Style>")]
    from: Option<String>,
    #[serde(default)]
    account: Option<AccountId>,
}

/// `POST /v1/templates/import`: another platform's postback URL or body in our language.
pub(super) async fn import_text(State(state): State<ApiState>, caller: Caller, body: Body) -> Result<Json<Value>, ApiError> {
    let body: ImportBody = body::read(body::text(&body, state.body_bytes_max)?, "")?;
    let registry = state.queue.registry();
    let style = body
        .from
        .as_deref()
        .map(str::parse::<Style>)
        .transpose()
        .map_err(|error| ApiError::invalid(vec![Invalid::new("/from", "invalid_value", error.to_string())]))?;
    let names = names_of(body.account.as_ref(), None, &caller, &registry)?;
    let text = body.text.trim_end_matches('\n');
    if text.trim().is_empty() {
        return Err(ApiError::invalid(vec![Invalid::new("/text", "empty_text", "there is nothing to import; send a URL or a body")]));
    }
    let imported = import(style, text, &names);
    let format = format_of(text);
    let unmapped: Vec<Value> = imported
        .unmapped
        .iter()
        .map(|unmapped| {
            let (start, end) = (line_and_column(text, unmapped.span.start), line_and_column(text, unmapped.span.end));
            json!({"name": unmapped.name, "line": start.0, "column": start.1, "end_line": end.0, "end_column": end.1})
        })
        .collect();
    let is_url = format == Format::Url;
    let (warnings, errors) = match Template::compile(Engine::Macro, format, &imported.template, &names) {
        Ok(template) => (template.warnings().to_vec(), Vec::new()),
        Err(findings) => findings.into_iter().partition(|finding| !finding.is_error()),
    };
    Ok(Json(json!({
        "style": imported.style,
        "format": format,
        "url": is_url.then_some(&imported.template),
        "body": (!is_url).then_some(&imported.template),
        "body_format": (!is_url).then_some(format),
        "template": imported.template,
        "mapped": imported.mapped.iter().map(|(from, to)| json!({"from": from, "to": to})).collect::<Vec<_>>(),
        "unmapped": unmapped,
        "notes": imported.notes,
        "errors": errors.iter().map(finding_json).collect::<Vec<_>>(),
        "warnings": warnings.iter().map(finding_json).collect::<Vec<_>>(),
    })))
}

/// What a text looks like.
fn format_of(text: &str) -> Format {
    let start: String = text.trim_start().chars().take(8).collect::<String>().to_ascii_lowercase();
    if start.starts_with("http://") || start.starts_with("https://") {
        Format::Url
    } else if start.starts_with("{\"") || start.starts_with('[') || start.starts_with("{\n") || start.starts_with("{ ") {
        Format::Json
    } else if start.starts_with('<') && !start.starts_with("<>") && text.contains("</") || start.starts_with("<?xml") {
        Format::Xml
    } else if text.contains('=') {
        Format::Query
    } else {
        Format::Raw
    }
}
