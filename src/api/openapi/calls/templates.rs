//! What is said of the calls that try templates, ready-made templates and response rules.

use schemars::JsonSchema;

use super::super::operation::{Operation, Tag};
use super::subscriptions::Warning;
use crate::api::responses::CheckBody;
use crate::api::templates::{ImportBody, TemplateBody};
use crate::attempt::Outcome;
use crate::subscription::{BodyFormat, Method, PresetLimit, PresetParameter, PresetReply, RequestSpec};
use crate::template::{Fix, Format, Style};

/// What was found in a template.
#[derive(JsonSchema)]
#[schemars(rename = "Findings")]
#[expect(dead_code, reason = "it stands for its schema")]
struct FindingsAnswer {
    /// Whether none of the findings is an error.
    ok: bool,
    /// The rendered text; null if there is none.
    output: Option<String>,
    errors: Vec<FindingAnswer>,
    warnings: Vec<FindingAnswer>,
}

/// One error or warning, with its place in the template. Lines and columns are from 1.
#[derive(JsonSchema)]
#[schemars(rename = "Finding")]
#[expect(dead_code, reason = "it stands for its schema")]
struct FindingAnswer {
    code: String,
    message: String,
    line: u32,
    column: u32,
    end_line: u32,
    end_column: u32,
    /// What was probably meant.
    suggestion: Option<String>,
    /// A change that removes the finding.
    fix: Option<Fix>,
}

/// Another platform's text in our language.
#[derive(JsonSchema)]
#[schemars(rename = "ImportedTemplate")]
#[expect(dead_code, reason = "it stands for its schema")]
struct ImportedAnswer {
    /// The style that was given or found; null if the text has no macros.
    style: Option<Style>,
    format: Format,
    /// The template, if it is a URL.
    url: Option<String>,
    /// The template, if it is none.
    body: Option<String>,
    body_format: Option<Format>,
    template: String,
    mapped: Vec<Mapped>,
    /// Macros without a counterpart. They stand in the template as text.
    unmapped: Vec<UnmappedAnswer>,
    /// What to look at before using the template.
    notes: Vec<String>,
    errors: Vec<FindingAnswer>,
    warnings: Vec<FindingAnswer>,
}

/// A foreign macro and ours.
#[derive(JsonSchema)]
#[schemars(rename = "MappedMacro")]
#[expect(dead_code, reason = "it stands for its schema")]
struct Mapped {
    from: String,
    to: String,
}

/// A foreign macro without a counterpart, and its place in the text that was imported.
#[derive(JsonSchema)]
#[schemars(rename = "UnmappedMacro")]
#[expect(dead_code, reason = "it stands for its schema")]
struct UnmappedAnswer {
    name: String,
    line: u32,
    column: u32,
    end_line: u32,
    end_column: u32,
}

/// A ready-made template in a list.
#[derive(JsonSchema)]
#[schemars(rename = "PresetSummary")]
#[expect(dead_code, reason = "it stands for its schema")]
struct PresetSummary {
    name: String,
    title: String,
    /// Who receives, in one line.
    receiver: String,
    /// Whether the vendor's page was read: `yes`, `in part` or `no`.
    verified: String,
    event_types: Vec<String>,
    method: Method,
    body_format: BodyFormat,
}

/// A ready-made template.
#[derive(JsonSchema)]
#[schemars(rename = "Preset")]
#[expect(dead_code, reason = "it stands for its schema")]
struct PresetAnswer {
    name: String,
    title: String,
    /// Who receives, in one line.
    receiver: String,
    /// Whether the vendor's page was read: `yes`, `in part` or `no`.
    verified: String,
    /// Where it was read.
    sources: Vec<String>,
    event_types: Vec<String>,
    /// What to fill in and what to know.
    notes: String,
    /// What the user must replace.
    parameters: Vec<PresetParameter>,
    /// Length limits at the receiver.
    limits: Vec<PresetLimit>,
    /// Known answers of the receiver.
    replies: Vec<PresetReply>,
    subscription: PresetSubscription,
}

/// The subscription that a ready-made template makes, without what is the user's to say.
#[derive(JsonSchema)]
#[expect(dead_code, reason = "it stands for its schema")]
struct PresetSubscription {
    name: String,
    event_types: Vec<String>,
    request: RequestSpec,
    success_response: Option<String>,
    error_response: Option<String>,
}

/// What an answer of a receiver would come to.
#[derive(JsonSchema)]
#[schemars(rename = "ResponseJudgement")]
#[expect(dead_code, reason = "it stands for its schema")]
struct JudgementAnswer {
    outcome: Outcome,
    /// Whether nothing more is sent.
    r#final: bool,
    /// What comes next: `delivered`, `dead` or `retry`.
    next: String,
    /// How long the receiver asks to wait, in seconds; null if it does not.
    retry_after_s: Option<u64>,
    /// Why, in one sentence.
    reason: String,
    /// The rules that match: `error_response`, `success_response`.
    matched: Vec<String>,
    /// Each line of the rules.
    conditions: Vec<ConditionAnswer>,
    warnings: Vec<Warning>,
}

/// One line of a rule, and whether it holds.
#[derive(JsonSchema)]
#[schemars(rename = "RuleCondition")]
#[expect(dead_code, reason = "it stands for its schema")]
struct ConditionAnswer {
    /// `error_response` or `success_response`.
    rule: String,
    condition: String,
    holds: bool,
}

pub(in crate::api) fn check() -> Operation {
    Operation::new("check_template", Tag::Templates, "Check a template")
        .takes::<TemplateBody>("The template. An event, if one is given, tells which names there are.")
        .example(r#"{"format": "url", "template": "https://tracker.example/postback?cid={SubId1}"}"#)
        .answers::<FindingsAnswer>(200, "What was found.")
        .fails(&["unknown_account", "unknown_event_type"])
}

pub(in crate::api) fn render() -> Operation {
    Operation::new("render_template", Tag::Templates, "Render a template")
        .takes::<TemplateBody>("The template, with `event`, or `event_type` for its sample.")
        .example(r#"{"format": "query", "template": "id={ActionId}", "event_type": "action.tracked"}"#)
        .answers::<FindingsAnswer>(200, "The text, and what was found.")
        .fails(&["unknown_account", "unknown_event_type"])
}

pub(in crate::api) fn import() -> Operation {
    Operation::new("import_template", Tag::Templates, "Import another platform's template")
        .takes::<ImportBody>("A URL or a body with the other platform's macros.")
        .example(r##"{"text": "https://tracker.example/postback?cid=#s2#", "from": "#x#"}"##)
        .answers::<ImportedAnswer>(200, "The template in our language, and what did not map.")
        .fails(&["unknown_account"])
}

pub(in crate::api) fn list_presets() -> Operation {
    Operation::new("list_presets", Tag::Templates, "List ready-made templates")
        .describe("All of them on one page, the general ones first.")
        .lists::<PresetSummary>("The ready-made templates.")
        .fails(&["invalid_input"])
}

pub(in crate::api) fn show_preset() -> Operation {
    Operation::new("get_preset", Tag::Templates, "Read a ready-made template")
        .path::<String>("name", "Its name.")
        .answers::<PresetAnswer>(200, "Everything about it, and the subscription that it makes.")
        .fails(&["invalid_input"])
}

pub(in crate::api) fn check_response() -> Operation {
    Operation::new("check_response", Tag::Templates, "Judge an answer of a receiver")
        .takes::<CheckBody>("The rules of a subscription, and an answer.")
        .example(r#"{"success_response": "contains:OK", "response": {"status": 200, "body": "OK"}}"#)
        .answers::<JudgementAnswer>(200, "What the answer would come to.")
}
